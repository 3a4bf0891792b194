"""Names that a user may have mistyped."""

import difflib

LISTED = 10


def closest(name: str, names: list[str]) -> str:
    """Say which of `names` was probably meant."""
    by_lower_case = {str(known).lower(): known for known in reversed(names)}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{by_lower_case[near[0]]}`?"
    listed = ", ".join(f"`{known}`" for known in names[:LISTED])
    return f"it has {listed}{' …' if len(names) > LISTED else ''}."
