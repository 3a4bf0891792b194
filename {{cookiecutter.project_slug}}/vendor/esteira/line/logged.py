"""A batch that was made of the log of the service's answers: what its file says of itself.

Its metadata name the inputs that the log does not keep as they are (`log:` in schema.yaml). Those
cannot be checked, and without them the model cannot be asked again: its answers stand in the batch.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from esteira.line import table
from esteira.line.errors import UserError
from esteira.line.files import replacing
from esteira.line.predictions import PROBABILITY

OWN = "log."  # before the name of what is the log's own, and no column of the table
TIME, REQUEST, MODEL = f"{OWN}time", f"{OWN}request", f"{OWN}model"
DATA, REASONS, PREDICTION = f"{OWN}data", f"{OWN}reasons", f"{OWN}prediction"
METADATA = b"esteira.not_logged"


@dataclass(frozen=True)
class Note:
    """What a batch says of itself; of a batch that is none of the log's, nothing."""

    not_logged: tuple[str, ...] = ()  # inputs that the log left out or hashed

    def answers(self, positive: str | None) -> str:
        """Return the column with the model's answers: the odds of a class, or what it said."""
        return PREDICTION if positive is None else f"{OWN}{PROBABILITY}{positive}"

    def says(self) -> list[str]:
        """Say which inputs are not checked."""
        if not self.not_logged:
            return []
        names = ", ".join(f"`{name}`" for name in self.not_logged)
        return [f"Not checked: {names}, which the log does not keep (`log:` in schema.yaml)."]


def note_of(path: str | Path) -> Note:
    """Read what a batch says of itself. Raises UserError for a note that cannot be believed."""
    if table.kind(path) != "parquet" or not Path(path).is_file():
        return Note()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        text = (pq.read_schema(path).metadata or {}).get(METADATA, b"[]")
        names = json.loads(text)
    except (pa.ArrowException, OSError):
        return Note()  # who reads the table says what is wrong with it
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{path} does not say in a known way what the log left out: make it anew.")
    return Note(tuple(names))


def write(batch: pd.DataFrame, path: str | Path, note: Note) -> None:
    """Write a batch as Parquet with what it says of itself, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.Table.from_pandas(batch, preserve_index=False)
    metadata = {**(whole.schema.metadata or {}), METADATA: json.dumps(note.not_logged)}
    with replacing(path) as temporary:
        pq.write_table(whole.replace_schema_metadata(metadata), temporary, compression="zstd")
