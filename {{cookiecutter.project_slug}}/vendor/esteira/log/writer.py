"""Append answered rows to JSON lines, a file of its own for each worker, before they are given.

One write for each group of rows: what was answered is in the file, whatever kills the process. A
lock says which files are still written to; the system lets go of a dead process's.
"""

import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from filelock import FileLock

from esteira.line.errors import UserError
from esteira.line.schema import Schema
from esteira.log.records import SEGMENTS, Kept, lock_of

MOST_BYTES = 64 * 2**20  # of a segment
MOST_SECONDS = 3600.0  # that one is written to


class Answered(msgspec.Struct, frozen=True, gc=False):
    """One row that the service answered."""

    time: datetime  # UTC
    request: str  # its own identifier, no other row's
    model: str  # release or hash
    data: str  # hash of the rows that the model learnt
    row: Any  # the cells by column as the caller gave them: a mapping, or what msgspec makes one of
    prediction: str | float
    probabilities: dict[str, float] | None  # by class; None of a regression
    reasons: str  # which rules the row breaks; "" for none


@dataclass
class _Segment:
    """A file that nobody else writes to."""

    path: Path
    file: int
    lock: FileLock
    started: float  # by the monotonic clock
    size: int = 0  # bytes

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Begin one. Raises OSError."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = folder / f"{moment}-{os.getpid()}-{secrets.token_hex(3)}.jsonl"
        lock = FileLock(lock_of(path), thread_local=False)  # closed by the thread that writes
        lock.acquire()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        try:
            file = os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
        except OSError:
            lock.release()
            lock_of(path).unlink(missing_ok=True)
            raise
        return cls(path, file, lock, time.monotonic())

    def age(self) -> float:
        """Return for how many seconds it has been written to."""
        return time.monotonic() - self.started

    def write(self, lines: bytes) -> None:
        """Write whole lines, all of them or none. Raises OSError."""
        try:
            written = 0
            while written < len(lines):
                written += os.write(self.file, lines[written:])
        except OSError:
            os.ftruncate(self.file, self.size)  # half a line would spoil the next one
            raise
        self.size += len(lines)

    def close(self) -> None:
        """End it; one that holds nothing is removed."""
        os.close(self.file)
        if not self.size:
            self.path.unlink(missing_ok=True)
        self.lock.release()
        if not self.size:
            lock_of(self.path).unlink(missing_ok=True)


class Log:
    """The log of one worker. Not to be shared by threads that write at once."""

    def __init__(
        self,
        folder: str | Path,
        what: Schema,
        most_bytes: int = MOST_BYTES,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        """Start a segment in `folder`. Raises UserError where that cannot be written to."""
        self._folder = Path(folder) / SEGMENTS
        self._kept = Kept(what)
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._encoder = msgspec.json.Encoder()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._segment = _Segment.start(self._folder)
        except OSError as error:
            raise UserError(f"the log {folder} cannot be written: {error.strerror}.") from None

    def append(self, records: Sequence[Answered]) -> None:
        """Write a group of rows, all of them or none.

        Raises OSError where they cannot be written, as on a full disk: then they must not be given
        as answers.
        """
        if not records:
            return
        lines = self._encoder.encode_lines([self._kept_of(record) for record in records])
        if self._segment.size >= self._most_bytes or self._segment.age() >= self._most_seconds:
            former = self._segment
            self._segment = _Segment.start(self._folder)  # where that fails, the former stays
            former.close()
        self._segment.write(lines)

    def _kept_of(self, record: Answered) -> Answered:
        """Return what is kept of a record; where nothing is left out or hashed, all of it."""
        if not self._kept.changes:
            return record
        return msgspec.structs.replace(record, row=self._kept.of(msgspec.to_builtins(record.row)))

    def close(self) -> None:
        """End the segment; one that holds nothing is removed."""
        self._segment.close()

    def __enter__(self) -> Self:
        """Let `with` close it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()
