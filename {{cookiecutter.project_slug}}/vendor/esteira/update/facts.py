"""What an update would do, as JSON: written by `update --out`, read by the job that offers it.

The job that writes it has run the template's code, so every text has a length, and what shows it
escapes it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from esteira.line.errors import UserError

FACTS = "update.json"
MOST_BYTES = 1_000_000
MOST = 1_000  # files or lines

Text = Annotated[str, Field(max_length=1_000)]
Texts = Annotated[tuple[Text, ...], Field(max_length=MOST)]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]


class Part(BaseModel):
    """Base of every part: no name that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Group(Part):
    """Files to which the same happens."""

    what: Text
    files: Texts


class Question(Part):
    """A question that the template did not ask before, and its default answer."""

    name: Text
    answer: Text


class Facts(Part):
    """What one update would do."""

    old: Text  # the version that the project has, and below the one that comes
    new: Text
    address: Text  # of the template
    base: Sha  # commit of the project that it was merged into
    written: Sha  # commit of what the template wrote
    news: Texts  # lines of the template's changelog
    edited: Texts  # files of vendor/ that the squad edited
    groups: Annotated[tuple[Group, ...], Field(max_length=20)]
    conflicts: Texts
    questions: Annotated[tuple[Question, ...], Field(max_length=100)]
    packages: Text


def read(folder: Path) -> Facts:
    """Read the facts of a folder. Raises UserError for a file that is absent or something else."""
    path = folder / FACTS
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path} is larger than any update's: it is not read.")
        return Facts.model_validate_json(content)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is no update: {where} {first['msg'].lower()}.") from None
