"""Which name was meant, where one is not there."""

from collections.abc import Iterable
from difflib import get_close_matches

LISTED = 10
LIKE = 0.5  # how alike two names must be, 0 to 1, as difflib measures it


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like another; None where none is."""
    by_lower_case = {str(known).lower(): str(known) for known in reversed(list(names))}
    near = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=LIKE)
    return by_lower_case[near[0]] if near else None


def closest(name: str, names: Iterable[str]) -> str:
    """Say which of `names` was probably meant, or else which there are; ends the sentence."""
    known = list(names)
    near = nearest(name, known)
    if near is not None:
        return f"did you mean `{near}`?"
    listed = ", ".join(f"`{other}`" for other in known[:LISTED])
    return f"it has {listed}{' …' if len(known) > LISTED else ''}."
