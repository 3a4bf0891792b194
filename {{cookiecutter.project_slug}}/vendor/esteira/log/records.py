"""What the log keeps of a row, and where its files lie."""

import hashlib
import hmac
import os
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.line.errors import UserError
from esteira.line.logged import REQUEST
from esteira.line.schema import Schema

KEY = "ESTEIRA_LOG_KEY"  # the variable with the secret that `log: hash` needs
LEAST_KEY = 16  # characters
DIGEST_BYTES = 16

SEGMENTS = "segments"  # folder of a log: JSON lines as they are written, a file per worker
ANSWERS = "answers"  # folder: the same in Parquet, a file per segment
LABELS = "labels.parquet"
BY_REQUEST = "request"  # column of a table of labels, where the schema has no identifier


class Kept:
    """Which cells of a row the log keeps, and how: as they are, hashed, or not at all.

    `log: hash` keeps a keyed hash (HMAC, RFC 2104): without the key nobody can try out all values,
    and equal values stay equal, so that labels still find their row.
    """

    def __init__(self, what: Schema) -> None:
        """Read the rules of schema.yaml.

        Raises UserError where a column is to be hashed and there is no key to do it with.
        """
        columns = what.columns.items()
        self.left_out = frozenset(name for name, column in columns if column.log == "no")
        self.hashed = frozenset(name for name, column in columns if column.log == "hash")
        self.changes = bool(self.left_out or self.hashed)
        self._key = _read_key(sorted(self.hashed)) if self.hashed else b""

    def of(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what the log keeps of a row's cells."""
        return {
            name: self.hash(cell) if name in self.hashed else cell
            for name, cell in row.items()
            if name not in self.left_out
        }

    def hash(self, cell: Any) -> str | None:
        """Return the keyed hash of a cell; a missing one stays missing."""
        if cell is None or cell != cell:  # NaN is not itself
            return None
        told = hmac.new(self._key, plain(cell).encode(), hashlib.sha256)
        return told.hexdigest()[: 2 * DIGEST_BYTES]


def plain(cell: Any) -> str:
    """Return a cell as one text, whatever wrote it: 17, 17.0 and " 17" are "17"."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _read_key(hashed: list[str]) -> bytes:
    key = os.environ.get(KEY, "")
    if len(key) < LEAST_KEY:
        raise UserError(
            f"schema.yaml says `log: hash` of `{hashed[0]}`, and the variable {KEY} holds no secret"
            f" of at least {LEAST_KEY} characters to do it with: set it, the same on every machine."
        )
    return key.encode()


def require_log(folder: Path) -> None:
    """Raise UserError unless a folder holds a log."""
    if not (folder / SEGMENTS).is_dir() and not (folder / ANSWERS).is_dir():
        raise UserError(f"{folder} holds no log: give the folder that `esteira serve --log` has.")


def lock_of(segment: Path) -> Path:
    """Return the file that is locked while a segment is written to."""
    return segment.with_suffix(".lock")


def keys(frame: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return the columns that name rows, as text; missing where a table lacks one."""
    named = {}
    for name in key:
        source = REQUEST if name == BY_REQUEST and REQUEST in frame else name
        if source in frame:
            named[name] = frame[source].map(plain, na_action="ignore").astype("str")
        else:
            named[name] = pd.Series(None, index=frame.index, dtype="str")
    return pd.DataFrame(named)
