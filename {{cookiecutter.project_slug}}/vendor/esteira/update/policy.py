"""What an update does with each file: the table of the README, section Updates, as code."""

from esteira.repository.template import RECORD, TOOLBOX

# Replaced whole by the new version's, whatever was done to them here.
REPLACED = (TOOLBOX.as_posix(), "constraints.txt", RECORD.as_posix())
# Locked anew, as packages.py says.
LOCK = "uv.lock"
# Left: DVC, the line and `esteira record` make them, and the squad's data is there.
LEFT = ("data", "models", "reports", "dvc.lock", "environment.json")
# What `adopt` writes for a table of the squad's own.
ADOPTED = ("schema.yaml", "params.yaml", "dvc.yaml", "gates.yaml")
# Everything else is merged, line by line; dvc.yaml stage by stage where lines are in conflict.


def is_replaced(path: str) -> bool:
    """Whether an update replaces a file, by its path from the project's folder."""
    return _is_below(path, REPLACED)


def is_left(path: str) -> bool:
    """Whether an update leaves a file as it is, or locks it anew."""
    return _is_below(path, (LOCK, *LEFT))


def _is_below(path: str, places: tuple[str, ...]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)
