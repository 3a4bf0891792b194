"""Tables and projects of any size, for scale.py to measure."""

import hashlib
import secrets
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from helpers import bake, run, surroundings  # noqa: E402

SEED = 0
CELLS = 5_000_000  # of a table that are drawn at once
YEAR = 31_536_000  # seconds
SAMPLE = 5_000  # rows that a model learns from, whatever the table has
OF_THE_LINE = 8  # stages
METRICS = "reports/evaluate/metrics.json"
EXTRA_STAGE = """  {name}:
    cmd: cp data/ingested.parquet data/{name}.parquet
    deps:
      - data/ingested.parquet
      - schema.yaml
      - vendor/esteira/line
    outs:
      - data/{name}.parquet

"""
POINTER = "outs:\n- md5: {md5}\n  size: {size}\n  hash: md5\n  path: {name}\n"


@dataclass(frozen=True)
class Place:
    """A folder with a project, its remote, and DVC's notes about both."""

    folder: Path

    @property
    def project(self) -> Path:
        """The project."""
        return self.folder / "churn-radar"

    @property
    def remote(self) -> Path:
        """Where `dvc push` puts things."""
        return self.folder / "churn-radar-dvc-remote"

    def environment(self, where: Path, engine: str = "local") -> dict[str, str]:
        """Return the variables of a measured command in `where`: one thread of each library."""
        return surroundings(
            where,
            ESTEIRA_ENGINE=engine,
            DVC_SITE_CACHE_DIR=str(self.folder / f"site-{where.name}"),
            OMP_NUM_THREADS="1",
            OPENBLAS_NUM_THREADS="1",
        )

    def do(self, *command: str) -> None:
        """Run one of the project's commands, unmeasured."""
        run(self.project, *command, env=self.environment(self.project))

    def commit(self) -> None:
        """Commit all that there is."""
        self.do("git", "add", "--all")
        self.do("git", "commit", "--quiet", "--no-verify", "--allow-empty", "-m", "Grow")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that a file must have."""
        path = self.project / file
        text = path.read_text("utf-8")
        if old not in text:
            sys.exit(f"scale: {old!r} is not in {file}")
        path.write_text(text.replace(old, new, 1), "utf-8")


def new(folder: Path) -> Place:
    """Generate a project of the sample, and install it where the tests install theirs."""
    shutil.rmtree(folder, ignore_errors=True)
    place = Place(folder)
    bake(folder, lock=True)
    install = ("uv", "sync", "--locked", "--extra", "dask", "--compile-bytecode")
    run(place.project, *install, env={"UV_NO_SYNC": "0"})
    return place


def copy(place: Place, folder: Path) -> Place:
    """Copy a project with its remote."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(place.folder, folder, symlinks=True)
    return Place(folder)


# ---- tables


def write_table(path: Path, rows: int, columns: int) -> None:
    """Write a CSV file: moments in no order, numbers, a fifth categories, and a target."""
    draw = np.random.default_rng(SEED)
    at_once = max(1, CELLS // columns)
    path.unlink(missing_ok=True)  # DVC keeps what it tracks as a link, perhaps
    first = _cells(draw, min(at_once, rows), columns)
    with csv.CSVWriter(path, first.schema) as out:
        out.write_table(first)
        for start in range(at_once, rows, at_once):
            out.write_table(_cells(draw, min(at_once, rows - start), columns))


def _cells(draw: np.random.Generator, rows: int, columns: int) -> pa.Table:
    categories = columns // 5
    numbers = draw.normal(size=(rows, columns - categories - 2)).clip(-3, 3).round(3)
    seconds = draw.integers(0, YEAR, rows).astype("timedelta64[s]")
    chance = 1 / (1 + np.exp(numbers[:, 1] - numbers[:, 0]))
    return pa.table(
        {
            "when": np.datetime64("2026-01-01T00:00:00") + seconds,
            **{f"x{place}": cells for place, cells in enumerate(numbers.T)},
            **{f"c{place}": draw.choice(list("abcdefgh"), rows) for place in range(categories)},
            "left": np.where(draw.random(rows) < chance, "yes", "no"),
        }
    )


def settle_table(place: Place) -> None:
    """After `adopt`: rows are in the order of `when`, and training takes a declared sample."""
    place.edit("schema.yaml", "format: ISO8601}", "format: ISO8601, role: time}")
    place.edit("params.yaml", "sample: all", f"sample: {SAMPLE}")


# ---- what a project gathers with the years


def settle_line(place: Place) -> None:
    """Reproduce, commit and push the line."""
    place.do("dvc", "repro")
    place.do("esteira", "record")
    place.commit()
    place.do("dvc", "push", "--run-cache")


def add_stages(place: Place, count: int) -> None:
    """Let the line have `count` stages; the further ones copy a file, with a stage's usual deps."""
    names = [f"extra_{number}" for number in range(count - OF_THE_LINE)]
    added = "".join(EXTRA_STAGE.format(name=name) for name in names)
    place.edit("dvc.yaml", "\nstages:\n", f"\nstages:\n{added}")
    settle_line(place)


def add_runs(place: Place, count: int) -> None:
    """Let there have been `count` runs: one real, the others under other hashes.

    Each leaves an entry of the run cache for each stage and an object for each output, here and in
    the remote, and a commit of its metrics.
    """
    cache = place.project / ".dvc" / "cache"
    entries = [path.read_bytes() for path in (cache / "runs").rglob("*") if path.is_file()]
    outputs = sum(path.is_file() for path in (cache / "files").rglob("*"))
    for _ in range(count - 1):
        for entry in entries:
            key = secrets.token_hex(32)
            _keep(place, f"runs/{key[:2]}/{key}/{secrets.token_hex(32)}", entry)
        for _ in range(outputs):
            key = secrets.token_hex(16)
            _keep(place, f"files/md5/{key[:2]}/{key[2:]}", key.encode())
    _add_commits(place, count - 1)


def _keep(place: Place, name: str, content: bytes) -> None:
    """Put a file into DVC's cache and into the remote."""
    for root in (place.project / ".dvc" / "cache", place.remote):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _add_commits(place: Place, count: int) -> None:
    """Put commits on `main`, each with other metrics, and a last one with those that are true."""
    if not count:
        return
    true = (place.project / METRICS).read_text("utf-8")
    texts = [true.rstrip() + "\n" * (2 + number % 2) for number in range(count)]
    told = "".join(
        _commit(text, first=not place_in) for place_in, text in enumerate([*texts, true])
    )
    stream = place.folder / "commits.txt"
    stream.write_text(told, "utf-8")
    place.do("bash", "-c", f"git fast-import --quiet < '{stream}' && git reset --quiet")


def _commit(text: str, first: bool) -> str:
    """Return a commit of metrics on `main`, as `git fast-import` reads it."""
    who = "Ana <ana@example.org> 1790000000 +0000"
    start = "from refs/heads/main^0\n" if first else ""
    return (
        f"commit refs/heads/main\ncommitter {who}\ndata 3\nRun\n{start}"
        f"M 100644 inline {METRICS}\ndata {len(text.encode())}\n{text}\n"
    )


def add_raw_files(place: Place, count: int) -> None:
    """Let DVC track `count` raw files, a .dvc file each."""
    raw = place.project / "data" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name, content = f"batch_{number}.csv", f"n\n{number}\n".encode()
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        (raw / name).write_bytes(content)
        pointer = POINTER.format(md5=md5, size=len(content), name=name)
        (raw / f"{name}.dvc").write_text(pointer, "utf-8")
        _keep(place, f"files/md5/{md5[:2]}/{md5[2:]}", content)
    place.commit()


# ---- pull requests


def add_branches(place: Place) -> None:
    """Make the pull requests: one that changes nothing of the line, one a setting of `train`."""
    for branch, file, old, new_text in (
        ("unchanged", "README.md", "#", "# "),
        ("train-only", "params.yaml", "hyperparameters: {}", "hyperparameters: {C: 0.5}"),
    ):
        place.do("git", "checkout", "--quiet", "-b", branch, "main")
        place.edit(file, old, new_text)
        place.commit()
    place.do("git", "checkout", "--quiet", "main")


def clone(place: Place, branch: str) -> Path:
    """Clone a branch beside the project, as CI does; return the clone, which has no data."""
    found = place.folder / "clone"
    shutil.rmtree(found, ignore_errors=True)
    shutil.rmtree(place.folder / "site-clone", ignore_errors=True)
    command = ("git", "clone", "--quiet", "--branch", branch, str(place.project), str(found))
    run(place.folder, *command)
    return found
