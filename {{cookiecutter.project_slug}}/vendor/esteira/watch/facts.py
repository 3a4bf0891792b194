"""What one check of a batch found, as JSON: written by `check`, read by those that tell of it.

Names of columns and categories come from who made the batch, so every text has a length, and what
shows it escapes it.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from esteira.drift.verdicts import BY_ACTION, Action, Verdict
from esteira.line.errors import UserError
from esteira.line.files import write_text

MOST_BYTES = 1_000_000
MOST_COLUMNS, MOST_TEXTS = 10, 20
LONGEST = 500  # characters of a text

Text = Annotated[str, Field(max_length=LONGEST)]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Count = Annotated[int, Field(ge=0, le=10**15)]


class Part(BaseModel):
    """Base of every part: no name that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Batch(Part):
    """The batch that was checked."""

    path: Text
    md5: Md5
    rows: Count
    labelled: bool


class Column(Part):
    """A column that drifted, and how, in words."""

    name: Text
    says: Text


class Checked(Part):
    """What one check found."""

    action: Action
    batch: Batch
    model: Text  # whose profile the batch was compared with: a release, or a commit
    commit: Sha  # of that model
    profile: Md5  # of its training data: another one is another model's
    time: datetime  # UTC
    advice: Text
    reasons: Annotated[list[Text], Field(max_length=MOST_TEXTS)]
    error: Text  # of the model, seen and expected
    notes: Annotated[list[Text], Field(max_length=MOST_TEXTS)]
    columns: Annotated[list[Column], Field(max_length=MOST_COLUMNS)]

    @property
    def verdict(self) -> Verdict:
        """What the check concludes."""
        return BY_ACTION[self.action]


def write(path: str | Path, checked: Checked) -> None:
    """Write what was found."""
    write_text(path, checked.model_dump_json(indent=2) + "\n")


def read(path: str | Path) -> Checked:
    """Read what was found. Raises UserError for a file that is absent or something else."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path} is larger than any check's: it is not read.")
        return Checked.model_validate_json(content)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is no check of a batch: {where} {first['msg'].lower()}.") from None
