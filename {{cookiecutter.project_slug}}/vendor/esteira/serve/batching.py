"""Batching without a timer: what waits while the model works is answered together.

A call of the model costs nearly the same for one row as for sixteen. So one thread works, and when
it is free it takes all that has come meanwhile. A request that comes alone never waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

MOST_WAITING = 20_000  # rows
MOST_AT_ONCE = 10_000  # rows of one call, where more than one request is in it


class Request(Protocol):
    """What waits: some rows."""

    @property
    def rows(self) -> Sequence[Any]:
        """The rows to be answered."""
        ...


Asked = TypeVar("Asked", bound=Request)
Answer = TypeVar("Answer")


class FullError(Exception):
    """More rows wait than may."""


@dataclass
class _Job(Generic[Asked, Answer]):
    """A request that waits, and where its answer goes."""

    asked: Asked
    answer: asyncio.Future[Answer]


class Batcher(Generic[Asked, Answer]):
    """Calls `work` in one thread with the requests that wait.

    `work` is given a sequence of requests and returns as many answers; an exception among them is
    raised to that request alone.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Asked]], Sequence[Answer | Exception]],
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._work = work
        self._most_waiting = most_waiting
        self._jobs: deque[_Job[Asked, Answer]] = deque()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._loop: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._waiting

    async def ask(self, asked: Asked) -> Answer:
        """Return the answer to one request. Raises FullError at once where too many rows wait."""
        rows = len(asked.rows)
        if self._waiting and self._waiting + rows > self._most_waiting:
            raise FullError
        job: _Job[Asked, Answer] = _Job(asked, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._waiting += rows
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._answer_all())
        return await job.answer

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._jobs:
            jobs = self._take()
            asked = [job.asked for job in jobs]
            try:
                answers = await loop.run_in_executor(self._thread, self._work, asked)
            except Exception as error:  # whatever the model raises; the next ones are answered
                answers = [error] * len(jobs)
            for job, answer in zip(jobs, answers, strict=True):
                if job.answer.done():  # its client has gone
                    continue
                if isinstance(answer, Exception):
                    job.answer.set_exception(answer)
                else:
                    job.answer.set_result(answer)

    def _take(self) -> list[_Job[Asked, Answer]]:
        """Take what waits, as much as one call may have; what nobody waits for is let go."""
        taken: list[_Job[Asked, Answer]] = []
        rows = 0
        while self._jobs:
            job = self._jobs[0]
            if taken and rows + len(job.asked.rows) > MOST_AT_ONCE:
                break
            self._jobs.popleft()
            self._waiting -= len(job.asked.rows)
            if not job.answer.done():
                taken.append(job)
                rows += len(job.asked.rows)
        return taken

    async def close(self) -> None:
        """Answer what waits, and end the thread."""
        if self._loop is not None:
            with suppress(asyncio.CancelledError):
                await self._loop
        self._thread.shutdown()
