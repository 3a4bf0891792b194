"""What the line costs beyond its work: DVC, and imports.

Compares, interleaved in one run, on the default sample:
  line      `dvc repro --force`
  stages    each stage's module run directly, one after the other
  imports   only the imports of each stage's module
  nothing   `dvc repro` when nothing changed
  dvc       `dvc --version`
in CPU seconds (user + system, children included), medians over the rounds. Run it with
`make benchmark-overhead`; it rewrites benchmarks/results/repro_overhead.md.
"""

import os
import platform
import resource
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from helpers import bake, run  # noqa: E402

ROUNDS = 5
STAGES = ("ingest", "validate", "split", "train", "evaluate", "drift_check", "predict", "card")


def cpu(work: Callable[[], object]) -> float:
    """Return the CPU seconds that the children of `work` used."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(project: Path) -> dict[str, float]:
    """Return the median CPU seconds of each way, over interleaved rounds."""
    modules = [f"churn_radar.stages.{stage}" for stage in STAGES]
    ways: dict[str, Callable[[], object]] = {
        "line": lambda: run(project, "dvc", "repro", "--force"),
        "stages": lambda: [run(project, "python", "-m", module) for module in modules],
        "imports": lambda: [run(project, "python", "-c", f"import {m}") for m in modules],
        "nothing": lambda: run(project, "dvc", "repro"),
        "dvc": lambda: run(project, "dvc", "--version"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS):
        print(f"round {number + 1} of {ROUNDS}", file=sys.stderr)
        for name, work in ways.items():
            seconds[name].append(cpu(work))
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Generate, install and reproduce a project, measure, write the table."""
    with tempfile.TemporaryDirectory() as folder:
        project = bake(Path(folder), lock=True)
        run(project, "uv", "sync", "--locked", "--compile-bytecode", env={"UV_NO_SYNC": "0"})
        run(project, "dvc", "repro")
        found = measure(project)
    compared = {
        "`dvc repro --force`, against the stages run directly": ("line", "stages"),
        "`dvc repro --force`, against pure imports": ("line", "imports"),
        "the stages run directly, against pure imports": ("stages", "imports"),
        "`dvc repro` with nothing to do, against `dvc --version`": ("nothing", "dvc"),
    }
    table = "\n".join(
        f"| {what} | {found[a] / found[b]:.2f}× |" for what, (a, b) in compared.items()
    )
    seconds = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    text = f"""| compared, in CPU time | ratio |
| --- | --- |
{table}

Medians of {ROUNDS} interleaved rounds; CPU seconds: {seconds}. Python
{platform.python_version()}, {os.cpu_count()} cores. `make benchmark-overhead` measures it again.
"""
    (ROOT / "benchmarks/results/repro_overhead.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
