"""What a project was made from: the answers and the version in .esteira.yaml."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from esteira.line.errors import UserError
from esteira.line.files import read_yaml
from esteira.line.params import parse

RECORD = Path(".esteira.yaml")


class Record(BaseModel):
    """The answers that were given, and the version of the template that was asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    template: str = ""  # its address; "" where it was a folder of somebody's machine
    answers: dict[str, str]


def read(path: Path = RECORD) -> Record:
    """Read the record. Raises UserError for one that is absent or cannot be believed."""
    if not path.is_file():
        raise UserError(
            f"{path} is not here, so nobody knows which answers made this project: `uv run esteira"
            " update --begin` writes it from what the project's files say."
        )
    return parse(read_yaml(path), Record, str(path))


def release(version: str) -> tuple[int, ...]:
    """Return a version such as 1.10.0 as numbers that compare. Raises UserError."""
    try:
        return tuple(int(part) for part in version.removeprefix("v").split("."))
    except ValueError:
        raise UserError(f"{version!r} is no version: it would be like 1.2.0.") from None
