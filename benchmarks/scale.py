"""How the cost of the line, of `dvc repro` and of a pull request grows.

    python benchmarks/scale.py [--most-rows 10000000] [--families rows columns ...] [--quick]
        [--again] [--write]

Families of measurements, each over one size:
  rows        each stage, for a table of 10 columns
  dask        the same with ESTEIRA_ENGINE=dask, two workers of this machine
  columns     each stage, and `esteira adopt`, for a table of 10,000 rows
  stages      `dvc repro` with nothing to do and `esteira pull-request collect`, by stages
  past runs   the same, by earlier runs in the run cache, the remote and Git
  raw files   the same, by raw files that DVC tracks
CPU time is user and system, of the whole tree of processes. Memory is the proportional set size of
the tree, looked at every 30 ms. The exponent is that of a + b · size^k, fitted with relative
errors. What was measured is kept in .cache/scale/measured.csv and not measured again, unless
--again is given. Run it with `make benchmark-scale`.
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from statistics import mean

import numpy as np
import scale_cost as cost
import scale_drawn as drawn
import scale_fit as fit
import scale_made as made
from scale_cost import Cost
from scale_fit import Curve, Point
from scale_made import ROOT, Place

CACHE = ROOT / ".cache" / "scale"
KEPT = CACHE / "measured.csv"
RESULTS = ROOT / "benchmarks" / "results"
PICTURE = ROOT / "docs" / "scale.svg"
STAGES = ("ingest", "validate", "split", "train", "evaluate", "drift_check", "predict", "card")
ROWS, COLUMNS = 10_000, 10  # of the smallest table
SIZES = {
    "rows": (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000),
    "dask": (10_000, 100_000, 1_000_000),
    "columns": (10, 100, 500),
    "stages": (8, 20, 50),
    "past runs": (1, 10, 1_000),
    "raw files": (1, 30, 1_000),
}
GROWN = {"stages": made.add_stages, "past runs": made.add_runs, "raw files": made.add_raw_files}
NOTHING = "dvc repro, nothing to do"
COLLECTS = {"collect, line unchanged": "unchanged", "collect, train changed": "train-only"}
MIND_RUNS = ("past runs",)  # families in which a pull request that runs stages is measured too
ROUNDS = 2  # of what is no stage; the mean counts


class Kept:
    """What was measured so far, in a file that a later run goes on with."""

    def __init__(self, again: bool) -> None:
        """Read the file, or begin `again`."""
        if again:
            KEPT.unlink(missing_ok=True)
        self.points = read(KEPT) if KEPT.exists() else []

    def add(self, family: str, what: str, size: int, costs: list[Cost]) -> None:
        """Keep the means of some rounds, and say them."""
        cpu = mean(found.cpu for found in costs)
        peak = mean(found.peak for found in costs)
        self.points.append(Point(family, what, size, round(cpu, 3), round(peak, 1)))
        write(KEPT, self.points)
        print(f"{family} {size:,}: {what}: {cpu:.2f} CPU s, {peak:.0f} MB", flush=True)

    def has(self, family: str, size: int, last: str) -> bool:
        """Whether a size was measured, down to what is measured last."""
        return any((p.family, p.what, p.size) == (family, last, size) for p in self.points)

    def forget(self, family: str, size: int) -> None:
        """Drop what was measured of a size before a run was stopped."""
        self.points = [p for p in self.points if (p.family, p.size) != (family, size)]


def read(path: Path) -> list[Point]:
    """Read measurements."""
    with path.open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    return [
        Point(
            row["family"],
            row["what"],
            int(row["size"]),
            float(row["cpu_seconds"]),
            float(row["peak_mb"]),
        )
        for row in rows
    ]


def write(path: Path, points: list[Point]) -> None:
    """Write measurements, by family, what and size."""
    families = list(SIZES)
    ordered = sorted(points, key=lambda p: (families.index(p.family), p.what, p.size))
    with path.open("w", encoding="utf-8", newline="") as target:
        out = csv.writer(target, lineterminator="\n")
        out.writerow(field.name for field in fields(Point))
        out.writerows(map(astuple, ordered))


# ---- the line


def measure_rows(base: Place, kept: Kept, family: str, sizes: list[int]) -> None:
    """Measure each stage for tables of COLUMNS columns. What was adopted is the smallest."""
    engine = "dask" if family == "dask" else "local"
    place = made.copy(base, CACHE / family)
    adopt(place, ROWS, COLUMNS)
    for size in sizes:
        made.write_table(place.project / "data/raw/table.csv", size, COLUMNS)
        measure_stages(place, kept, family, size, engine)


def measure_columns(base: Place, kept: Kept, family: str, sizes: list[int]) -> None:
    """Measure `adopt` and each stage for tables of ROWS rows."""
    for size in sizes:
        place = made.copy(base, CACHE / family)
        kept.add(family, "adopt", size, [adopt(place, ROWS, size)])
        measure_stages(place, kept, family, size, "local")


def adopt(place: Place, rows: int, columns: int) -> Cost:
    """Make a table the project's own, with its training on a declared sample."""
    table = place.folder / "table.csv"
    made.write_table(table, rows, columns)
    command = ["esteira", "adopt", str(table), "--target", "left", "--force"]
    found = cost.of(command, place.project, place.environment(place.project))
    made.settle_table(place)
    return found


def measure_stages(place: Place, kept: Kept, family: str, size: int, engine: str) -> None:
    """Run the stages one after the other, each as DVC does."""
    env = place.environment(place.project, engine)
    for stage in STAGES:
        command = ["python", "-m", "esteira.line", stage]
        kept.add(family, stage, size, [cost.of(command, place.project, env)])


# ---- what a project gathers


def measure_grown(base: Place, kept: Kept, family: str, sizes: list[int]) -> None:
    """Measure what a squad does every day, in projects that have gathered more or less."""
    settled = made.copy(base, CACHE / "settled")
    made.settle_line(settled)
    for size in sizes:
        place = made.copy(settled, CACHE / family.replace(" ", "-"))
        GROWN[family](place, size)
        made.add_branches(place)
        place.do("dvc", "repro")
        env = place.environment(place.project)
        idle = [cost.of(["dvc", "repro"], place.project, env) for _ in range(ROUNDS)]
        kept.add(family, NOTHING, size, idle)
        for what, branch in collects(family).items():
            kept.add(family, what, size, [collect(place, branch) for _ in range(ROUNDS)])


def collects(family: str) -> dict[str, str]:
    """Return the branch of each pull request that is measured in a family."""
    most = len(COLLECTS) if family in MIND_RUNS else 1
    return dict([*COLLECTS.items()][:most])


def collect(place: Place, branch: str) -> Cost:
    """Return what a pull request costs CI, in a fresh clone."""
    clone = made.clone(place, branch)
    command = ["esteira", "pull-request", "collect", "--base", "origin/main"]
    return cost.of(command, clone, place.environment(clone))


MEASURES = {
    "rows": measure_rows,
    "dask": measure_rows,
    "columns": measure_columns,
    "stages": measure_grown,
    "past runs": measure_grown,
    "raw files": measure_grown,
}
LAST = dict.fromkeys(("rows", "dask", "columns"), "card")


# ---- the page


@dataclass(frozen=True)
class Series:
    """What one command or stage cost, by size."""

    what: str
    sizes: tuple[int, ...]
    cpu: tuple[float, ...]
    peak: tuple[float, ...]

    @property
    def curve(self) -> Curve | None:
        """How its CPU time grows; None where it does not, or where there are too few sizes."""
        enough = len(self.sizes) >= LEAST_SIZES
        return fit.curve(self.sizes, self.cpu) if enough and fit.grows(self.cpu) else None

    def cell(self, values: tuple[float, ...], size: int, form: str) -> str:
        """Say the value of a size, or that it was not measured."""
        known = dict(zip(self.sizes, values, strict=True))
        return format(known[size], form) if size in known else "–"

    @property
    def label(self) -> str:
        """Its name, and the power of the size that it grows with, unless that is but rough."""
        curve = self.curve
        if curve is None or len(self.sizes) <= LEAST_SIZES:
            return self.what
        return f"{self.what}, power {curve.power:.2f}"

    @property
    def drawn(self) -> list[tuple[float, float]]:
        """The fitted curve, size by size; nothing where there is none."""
        curve = self.curve
        if curve is None:
            return []
        sizes = np.geomspace(self.sizes[0], self.sizes[-1], DOTS)
        return [(float(size), curve.at(float(size))) for size in sizes]

    def measured(self, values: Sequence[float]) -> list[tuple[float, float]]:
        """Return sizes with the values of each."""
        return list(zip(map(float, self.sizes), values, strict=True))


def series(points: list[Point], family: str) -> list[Series]:
    """Return what was measured of a family, in the order of the line."""
    order = [*STAGES, "adopt", NOTHING, *COLLECTS]
    found = []
    for what in order:
        of_it = [p for p in points if (p.family, p.what) == (family, what)]
        of_it.sort(key=lambda point: point.size)
        if len(of_it) > 1:
            sizes, cpu, peak = zip(
                *((p.size, p.cpu_seconds, p.peak_mb) for p in of_it), strict=True
            )
            found.append(Series(what, sizes, cpu, peak))
    return found


TITLES = {
    "rows": f"Rows, {COLUMNS} columns",
    "dask": f"Rows, {COLUMNS} columns, on Dask",
    "columns": f"Columns, {ROWS:,} rows",
    "stages": "Stages of the line",
    "past runs": "Past runs",
    "raw files": "Raw files tracked by DVC",
}
LEAST_SIZES = 3  # that a curve is fitted to
LIMIT = 1.05  # exponent in rows
FIT = "train"


def page(points: list[Point]) -> str:
    """Return the tables, and what they say of the two promises."""
    text = []
    for family, title in TITLES.items():
        if found := series(points, family):
            sizes = ", ".join(f"{size:,}" for size in found[0].sizes)
            text += [f"**{title}**: {sizes}", "", *table(found), ""]
    told = [f"- {sentence}" for sentence in promises(points)]
    return "\n".join([*text, *told, "", ABOUT, ""])


def table(found: list[Series]) -> Iterator[str]:
    """Yield the lines of one family's table."""
    least, most = found[0].sizes[0], found[0].sizes[-1]
    yield (
        f"| | CPU s, {least:,} | CPU s, {most:,} | exponent"
        f" | peak MB, {least:,} | peak MB, {most:,} |"
    )
    yield "| --- | --: | --: | --: | --: | --: |"
    for one in found:
        what = one.what if " " in one.what else f"`{one.what}`"
        yield (
            f"| {what} | {one.cell(one.cpu, least, '.2f')} | {one.cell(one.cpu, most, '.2f')}"
            f" | {exponent(one)}"
            f" | {one.cell(one.peak, least, ',.0f')} | {one.cell(one.peak, most, ',.0f')} |"
        )


def exponent(one: Series) -> str:
    """Say a power, and its range with one of the sizes left out."""
    curve = one.curve
    if len(one.sizes) < LEAST_SIZES:
        return "–"
    if curve is None:
        return "does not grow"
    spread = "" if curve.low == curve.high else f" ({curve.low:.2f} to {curve.high:.2f})"
    return f"{curve.power:.2f}{spread}"


def promises(points: list[Point]) -> Iterator[str]:
    """Yield what the measurements say of the two promises: rows, and past runs."""
    rows = [one for one in series(points, "rows") if one.what != FIT]
    powers = {one.what: one.curve.power for one in rows if one.curve}
    if powers:
        above = [f"`{stage}`" for stage, power in powers.items() if power > LIMIT]
        yield (
            f"Exponents in rows of all stages but `{FIT}`: {min(powers.values()):.2f} to"
            f" {max(powers.values()):.2f}; above {LIMIT}: {', '.join(above) or 'none'}."
        )
        missing = [size for size in SIZES["rows"] if size > rows[0].sizes[-1]]
        yield from (f"Not measured in this run: {size:,} rows." for size in missing)
    for one in series(points, "past runs"):
        yield (
            f"With {one.sizes[-1]:,} past runs, {one.what}:"
            f" {one.cpu[-1] / one.cpu[0]:.2f}× the CPU time of {one.sizes[0]}."
        )


ABOUT = (
    "CPU time is user and system of the whole tree of processes, and memory its proportional set"
    " size, looked at every 30 ms. The exponent is k of a + b · size^k, fitted to all sizes with"
    " relative errors least; in brackets its range when one of the sizes is left out. What costs"
    f" at most {fit.FLAT} times as much at the largest size as at the smallest does not grow. Each"
    f" stage once; the other commands, means of {ROUNDS} runs. The tables are CSV files whose"
    f" rows come in no order of time; `train.sample` is {made.SAMPLE:,}. `collect` is `esteira"
    " pull-request collect` in a fresh clone; where a setting of `train` changed, it runs the"
    " stages that need it. A past run left entries in the run cache, outputs in the remote, and a"
    " commit. Where there is – nothing was measured, or the run was stopped. Through three sizes"
    " the curve goes exactly, noise and all, so those exponents are rough. One thread of each"
    " numerical library. `make benchmark-scale` measures it again."
)


# ---- the picture

COUNTED = {"rows": "rows", "dask": "rows", "columns": "columns"}
DOTS = 40  # of a curve


def panels(points: list[Point]) -> list[drawn.Panel]:
    """Return the drawings: CPU time of each family, and memory by rows."""
    found = []
    for family, title in TITLES.items():
        of_family = series(points, family)
        if not of_family:
            continue
        counted = COUNTED.get(family, family)
        lines = [drawn.Line(one.label, one.measured(one.cpu), one.drawn) for one in of_family]
        found.append(drawn.Panel(f"CPU s. {title}", counted, lines))
        if family == "rows":
            lines = [drawn.Line(one.what, one.measured(one.peak), ()) for one in of_family]
            found.append(drawn.Panel(f"Peak MB. {title}", counted, lines))
    return found


def main() -> None:
    """Measure what is not measured yet; print the tables, and write them if asked."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--families", nargs="+", choices=SIZES, default=list(SIZES))
    parse.add_argument("--most-rows", type=int, default=SIZES["rows"][-1])
    parse.add_argument("--quick", action="store_true", help="the two smallest sizes of each")
    parse.add_argument("--again", action="store_true", help="forget what was measured")
    parse.add_argument("--write", action="store_true", help="write benchmarks/results and docs")
    given = parse.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = Kept(given.again)
    base = None
    for family in given.families:
        last = LAST.get(family, [*collects(family)][-1])
        sizes = SIZES[family][: 2 if given.quick else None]
        if family in ("rows", "dask"):
            sizes = [size for size in sizes if size <= given.most_rows]
        lacking = [size for size in sizes if not kept.has(family, size, last)]
        for size in lacking:
            kept.forget(family, size)
        if lacking:
            base = base or made.new(CACHE / "base")
            MEASURES[family](base, kept, family, lacking)
    print(page(kept.points))
    if given.write:
        write(RESULTS / "scale.csv", kept.points)
        (RESULTS / "scale.md").write_text(page(kept.points), "utf-8")
        PICTURE.write_text(drawn.picture(panels(kept.points)), "utf-8")


if __name__ == "__main__":
    main()
