"""A table larger than memory goes through the whole line: what each stage takes, here and on Dask.

    python benchmarks/larger_than_memory.py [--rows 10000000] [--columns 50]
        [--engines local dask] [--write]

Every process of a stage is held to PROCESS bytes by the kernel (`ulimit -d`), and each of two Dask
workers to WORKER bytes; a stage that needs more fails, and so does this. Training takes a declared
sample. Both engines must write the same bytes. Peaks are of the proportional set size of a stage's
tree of processes, looked at every 30 ms, and of a worker's resident set, as the kernel keeps it.
Linux only. Run it with `make benchmark-memory`.
"""

import argparse
import hashlib
import re
import shutil
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import scale
import scale_cost as cost
import scale_made as made
from dask_cluster import cluster
from helpers import within
from scale_cost import Cost
from scale_made import ROOT, Place

CACHE = ROOT / ".cache" / "larger-than-memory"
RESULT = ROOT / "benchmarks" / "results" / "larger_than_memory.md"
GIB = 2**30
PROCESS, WORKER = int(1.5 * GIB), GIB
WORKERS = 2
WRITTEN = ("data", "models", "reports")
# What mimalloc else takes of the addresses, and never uses, counts; stages set it themselves.
NO_ARENA = {"MIMALLOC_ARENA_RESERVE": "64MiB"}


@dataclass(frozen=True)
class Run:
    """One run of the whole line."""

    engine: str
    costs: dict[str, Cost]  # by stage
    worker_peak: float  # MB, of the worker that held most; 0 without workers
    outputs: dict[str, str]  # hash of each file, by its path


def run(place: Place, engine: str) -> Run:
    """Run the stages one after the other, each held to its limit. Exits where one fails."""
    with ExitStack() as stack:
        env = place.environment(place.project, engine)
        workers: list[int] = []
        if engine == "dask":
            folder = CACHE / "cluster"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            dask = stack.enter_context(cluster(folder, WORKERS, limit=WORKER, env=NO_ARENA))
            env |= dask.env
            workers = dask.workers
        for left in outputs(place.project):  # what another engine wrote is no proof of this one
            (place.project / left).unlink()
        costs = {}
        for stage in scale.STAGES:
            command = within(PROCESS, "python", "-m", "esteira.line", stage)
            costs[stage] = cost.of(command, place.project, env)
            said = f"{costs[stage].cpu:.1f} CPU s, {costs[stage].peak:.0f} MB"
            print(f"{engine}: {stage}: {said}", flush=True)
        peak = max(map(resident_peak, workers), default=0.0)
    return Run(engine, costs, peak, outputs(place.project))


def resident_peak(pid: int) -> float:
    """Return the most MB that a process has held, as the kernel remembers it."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    kib = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if kib is None:
        sys.exit(f"larger_than_memory: the kernel does not say what process {pid} held")
    return int(kib[1]) * 1024 / 1e6


def outputs(project: Path) -> dict[str, str]:
    """Return the hashes of all that the line wrote."""
    found = {}
    for folder in WRITTEN:
        for path in sorted((project / folder).rglob("*")):
            if path.is_file() and "raw" not in path.parts:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "md5").hexdigest()
                found[path.relative_to(project).as_posix()] = digest
    return found


def differing(runs: list[Run]) -> list[str]:
    """Return the files that not all the engines wrote alike."""
    paths = {path for one in runs for path in one.outputs}
    return sorted(path for path in paths if len({one.outputs.get(path) for one in runs}) > 1)


def page(rows: int, columns: int, runs: list[Run]) -> str:
    """Return the table, and what it says."""
    titles = [f"{one.engine}: CPU s | MB" for one in runs]
    text = [
        f"**{rows:,} rows of {columns} columns**, training on {made.SAMPLE:,}",
        "",
        f"| | {' | '.join(titles)} |",
        f"| --- |{' --: | --: |' * len(runs)}",
    ]
    for stage in scale.STAGES:
        found = [one.costs[stage] for one in runs]
        cells = " | ".join(f"{each.cpu:,.0f} | {each.peak:,.0f}" for each in found)
        text.append(f"| `{stage}` | {cells} |")
    told = [
        f"Each process of a stage was held to {PROCESS / GIB:g} GiB by `ulimit -d`.",
        "Peaks are of a stage's tree of processes.",
    ]
    for one in runs:
        if one.worker_peak:
            told += [
                "On Dask CPU time and peaks are the client's.",
                f"Each of {WORKERS} workers was held to {WORKER / GIB:g} GiB, and held"
                f" {one.worker_peak:,.0f} MB at most.",
            ]
    if len(runs) > 1:
        told.append(f"All {len(runs[0].outputs)} files that the line wrote are the same bytes.")
    text += ["", " ".join([*told, "`make benchmark-memory` measures it again."]), ""]
    return "\n".join(text)


def main() -> None:
    """Run the line on each engine; print the table, and write it if asked."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--rows", type=int, default=10_000_000)
    parse.add_argument("--columns", type=int, default=50)
    parse.add_argument("--engines", nargs="+", choices=("local", "dask"), default=["local", "dask"])
    parse.add_argument("--write", action="store_true", help="write benchmarks/results")
    given = parse.parse_args()
    if sys.platform != "linux":
        sys.exit("larger_than_memory: only Linux holds a process to a limit")
    CACHE.mkdir(parents=True, exist_ok=True)
    place = made.new(CACHE / "project")
    scale.adopt(place, scale.ROWS, given.columns)
    made.write_table(place.project / "data/raw/table.csv", given.rows, given.columns)
    runs = [run(place, engine) for engine in given.engines]
    if wrong := differing(runs):
        sys.exit(f"larger_than_memory: the engines wrote other bytes: {', '.join(wrong)}")
    told = page(given.rows, given.columns, runs)
    print(told)
    if given.write:
        RESULT.write_text(told, "utf-8")


if __name__ == "__main__":
    main()
