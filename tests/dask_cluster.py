"""A Dask cluster on loopback: a scheduler and workers, real processes."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from helpers import ENVIRONMENT, surroundings, within


class Cluster:
    """Dask's scheduler and its workers, real processes on loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        port = self.address.rpartition(":")[2]
        self.processes: list[subprocess.Popen[str]] = []
        self.start("Scheduler at", "scheduler", "--host", "127.0.0.1", "--port", port,
                   "--no-dashboard")  # fmt: skip

    def start(
        self,
        ready: str,
        *words: str,
        bin: Path = ENVIRONMENT / "bin",
        limit: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        """Start a process held to so many bytes; wait for the line that says that it is ready."""
        around = surroundings(None, **(env or {}))  # without the project's code
        command = [str(bin / "dask"), *words]
        process = subprocess.Popen(
            within(limit, *command) if limit else command,
            cwd=self.folder, env=around, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.processes.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if ready in line:
                # What nobody read would stop it, once the pipe is full.
                Thread(target=process.stderr.read, daemon=True).start()
                return
        raise AssertionError("".join(said))

    def worker(
        self, name: str, limit: int | None = None, env: dict[str, str] | None = None
    ) -> None:
        """Start a worker that holds itself to a gigabyte, and is held to `limit` bytes."""
        self.start("Registered to", "worker", self.address, "--host", "127.0.0.1",
                   "--nworkers", "1", "--nthreads", "1", "--memory-limit", "1GB", "--no-nanny",
                   "--no-dashboard", "--name", name, limit=limit, env=env)  # fmt: skip

    @property
    def workers(self) -> list[int]:
        """The process numbers of the workers."""
        return [process.pid for process in self.processes[1:]]

    @property
    def env(self) -> dict[str, str]:
        """The variables by which a client finds the scheduler."""
        return {"DASK_SCHEDULER_ADDRESS": self.address}

    def close(self) -> None:
        """End all of them."""
        for process in self.processes[::-1]:
            process.kill()
            process.wait()


@contextmanager
def cluster(
    folder: Path, workers: int, limit: int | None = None, env: dict[str, str] | None = None
) -> Iterator[Cluster]:
    """Have a scheduler and some workers, which do not have the project's code.

    Each worker is held to `limit` bytes.
    """
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    found = Cluster(elsewhere)
    try:
        for number in range(workers):
            found.worker(f"worker-{number}", limit=limit, env=env)
        yield found
    finally:
        found.close()
