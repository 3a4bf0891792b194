"""CPU seconds and peak memory of the drift check and its peers, each a whole process.

    python benchmarks/drift_speed.py [--sizes small middle large] [--rounds 3] [--write]

Statistics to JSON, from the start of the process to the file on disk, on the same two Parquet
files without drift: four fifths numbers, one fifth categories. Peers run in environments of their
own, made here with uv and pinned to versions that work together; tools take turns, and the table
shows medians. `floor` only reads the batch's columns. A peer that needs more CPU than --limit is
stopped, and the table says so.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "{{cookiecutter.project_slug}}" / "vendor"
CACHE = ROOT / ".cache" / "drift_speed"
SIZES = {"small": (10_000, 20), "middle": (100_000, 50), "large": (1_000_000, 50)}
PEERS = {
    "evidently": "evidently==0.7.23 pandas==2.3.3 numpy==2.4.6 pyarrow==26.0.1",
    "deepchecks": "deepchecks==0.19.1 pandas==2.3.3 numpy==1.26.4 pyarrow==21.0.0"
    " scikit-learn==1.5.2 category-encoders==2.6.4 setuptools==80.9.0",
    "nannyml": "nannyml==0.13.1 pandas==2.3.3 statsmodels pyarrow==26.0.1",
    "alibi-detect": "alibi-detect==0.13.0 pandas==2.3.3 numpy==1.26.4 pyarrow==21.0.0",
}
READ = """
import pandas as pd
old, new = pd.read_parquet("reference.parquet"), pd.read_parquet("current.parquet")
texts = [name for name in old if old[name].dtype == object]
"""
OURS = """
from esteira.line import files
from dataclasses import asdict
from esteira.drift import profile, profile_file
from esteira.drift.check import check
from esteira.drift.limits import Settings
found = check({profile}, "current.parquet", Settings(classifier=False))
columns = [
    {{"column": column.measured.name, "p": column.p, "effect": column.effect,
      "drifted": column.drifted, "tests": [asdict(x) for x in column.measured.comparisons]}}
    for column in found.judged.columns
]
pairs = [asdict(pair) for pair in found.judged.pairs]
told = {{"metrics": found.metrics.known(), "columns": columns, "pairs": pairs}}
files.write_json("out.json", told)
"""
CODE = {
    "floor": """
import pyarrow.parquet as pq
file = pq.ParquetFile("current.parquet")
for group in range(file.num_row_groups):
    for name in file.schema_arrow.names:
        file.read_row_group(group, [name], use_threads=False)
""",
    "esteira": OURS.format(profile="profile_file.read('profile.json')"),
    "esteira, both files": OURS.format(profile="profile.build('reference.parquet')"),
    "esteira, all of it": """
from esteira.drift import profile, profile_file, report
from esteira.drift.check import check
from esteira.drift.limits import Settings
from esteira.drift.source import Source
batch = Source("current.parquet")
known, answers = profile_file.read("full.json"), batch.sample("p")
found = check(known, batch, Settings(), lambda rows: answers)
assert found.metrics.concept_assessable
report.write(found, "out")
""",
    "evidently": READ
    + """
from evidently import Report
from evidently.presets import DataDriftPreset
open("out.json", "w").write(Report([DataDriftPreset()]).run(new, old).json())
""",
    "deepchecks": READ
    + """
from deepchecks.tabular import Dataset
from deepchecks.tabular.checks import FeatureDrift
sides = [Dataset(side, cat_features=texts) for side in (old, new)]
open("out.json", "w").write(FeatureDrift().run(*sides).to_json(with_display=False))
""",
    "nannyml": READ
    + """
import nannyml
check = nannyml.UnivariateDriftCalculator(
    column_names=list(old), chunk_number=1,
    continuous_methods=["kolmogorov_smirnov"], categorical_methods=["chi2"],
)
open("out.json", "w").write(check.fit(old).calculate(new).to_df().to_json())
""",
    "alibi-detect": READ
    + """
import json
from alibi_detect.cd import TabularDrift
for name in texts:
    codes = {value: i for i, value in enumerate(sorted(set(old[name]) | set(new[name])))}
    old[name], new[name] = old[name].map(codes), new[name].map(codes)
places = {list(old).index(name): None for name in texts}
check = TabularDrift(old.to_numpy(float), categories_per_feature=places)
found = check.predict(new.to_numpy(float))["data"]
plain = {name: getattr(value, "tolist", lambda: value)() for name, value in found.items()}
json.dump(plain, open("out.json", "w"))
""",
}


def make_tables(folder: Path, rows: int, columns: int) -> None:
    """Write both tables, without drift, and the profiles made of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("reference", "current")):
        draw = np.random.default_rng(seed)
        texts = columns // 5 - 1
        table = {f"x{i}": draw.normal(size=rows) for i in range(columns - texts - 2)}
        table |= {f"c{i}": draw.choice(list("abcdefgh"), rows) for i in range(texts)}
        table["p"] = 1 / (1 + np.exp(-table["x0"]))
        table["y"] = np.where(draw.random(rows) < table["p"], "yes", "no")
        pq.write_table(pa.table(table), folder / f"{name}.parquet")
    code = """
from esteira.drift import profile, profile_file
from esteira.drift.source import Source
for name, named in (("profile", (None, None)), ("full", ("y", "p"))):
    profile_file.write(name + ".json", profile.of_table(Source("reference.parquet"), *named))
"""
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=surroundings(), check=True)


def surroundings() -> dict[str, str]:
    """Return the environment of every tool: bytecode is kept, and nobody phones home."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in left_out}
    return env | {"PYTHONPATH": str(SOURCE), "DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}


def make_environment(name: str) -> Path:
    """Make a peer's environment once; return its Python."""
    python = CACHE / name / "bin" / "python"
    if not (CACHE / name / "ready").exists():
        subprocess.run(["uv", "venv", "-q", "--clear", "-p", "3.11", CACHE / name], check=True)
        install = ["uv", "pip", "install", "-q", "--python", python, *PEERS[name].split()]
        subprocess.run(install, check=True)
        subprocess.run([python, "-m", "compileall", "-q", CACHE / name / "lib"], check=False)
        (CACHE / name / "ready").touch()
    return python


def measure(name: str, folder: Path, limit: int) -> tuple[float, float] | None:
    """Run one tool: CPU seconds and peak MB; None if it was stopped at the limit."""
    python = make_environment(name) if name in PEERS else sys.executable

    def stop() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))

    with (folder / "log.txt").open("w") as log:
        child = subprocess.Popen(
            [python, "-c", CODE[name]],
            cwd=folder,
            env=surroundings(),
            stdout=log,
            stderr=log,
            preexec_fn=stop,
        )
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode < 0:
        return None
    if child.returncode:
        raise SystemExit(f"{name} failed:\n{(folder / 'log.txt').read_text()[-2000:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Measure in turns; print and write a table."""
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parse.add_argument("--rounds", type=int, default=3)
    parse.add_argument("--peer-rounds", type=int, help="rounds of the peers, if fewer")
    parse.add_argument("--limit", type=int, default=300, help="CPU seconds")
    parse.add_argument("--tools", nargs="+", choices=CODE, default=list(CODE))
    parse.add_argument("--write", action="store_true")
    given = parse.parse_args()
    kept = CACHE / "measured.json"
    measured = json.loads(kept.read_text()) if kept.exists() else {}
    for size in given.sizes:
        folder = CACHE / size
        if not (folder / "full.json").exists():
            # in a process of its own: what this one ever held would count as its children's peak
            maker = multiprocessing.Process(target=make_tables, args=(folder, *SIZES[size]))
            maker.start()
            maker.join()
        found: dict[str, list] = {name: [] for name in given.tools}
        for turn in range(given.rounds):
            for name in given.tools:
                peers_done = given.peer_rounds is not None and turn >= given.peer_rounds
                if (name in PEERS and peers_done) or None in found[name]:
                    continue
                found[name].append(measure(name, folder, given.limit))
                print(size, name, found[name][-1], flush=True)
        measured[size] = measured.get(size, {}) | found
        kept.write_text(json.dumps(measured))
    lines = [f"| CPU s (peak MB) | {' | '.join('{:,} × {}'.format(*SIZES[s]) for s in SIZES)} |"]
    lines.append("| --- |" + " ---: |" * len(SIZES))
    for name in CODE:
        cells = [cell(measured.get(size, {}).get(name), given.limit) for size in SIZES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    print("\n".join(lines))
    if given.write:
        text = ["# Speed of the drift check", "", *__doc__.splitlines()[4:], "", *lines, ""]
        text += [
            f"evidently takes {ratios(measured, 'evidently')} times the CPU of `esteira`, by size;"
            f" `esteira` takes {ratios(measured, 'esteira', 'floor')} times that of `floor`.",
            "",
            f"Medians, on {os.cpu_count()} cores; turns by size: ours"
            f" {turns(measured, False)}, peers {turns(measured, True)}. `esteira` checks the batch"
            " against the profile, as the line does; `both files` makes the profile first, as the"
            " peers must; `all of it` adds the classifier, concept drift, and the HTML report.",
            "",
            "Peers: " + "; ".join(f"`{pins}`" for pins in PEERS.values()) + ".",
            "",
            "Made by `python benchmarks/drift_speed.py`.",
        ]
        (ROOT / "benchmarks/results/drift_speed.md").write_text("\n".join(text) + "\n")


def ratios(measured: dict, name: str, base: str = "esteira") -> str:
    """CPU time of one tool over another's, by size; ? where one was stopped or not measured."""
    found = []
    for size in measured.values():
        a, b = (size.get(n) or [None] for n in (name, base))
        known = None not in (*a, *b)
        found.append(f"{median(x for x, _ in a) / median(x for x, _ in b):.3g}" if known else "?")
    return ", ".join(found)


def turns(measured: dict, peers: bool) -> str:
    """How often the floor or a peer was measured, by size."""
    name = next(iter(PEERS)) if peers else "floor"
    return ", ".join(str(len(found.get(name, []))) for found in measured.values())


def cell(turns: list | None, limit: int) -> str:
    """One cell of the table."""
    if not turns:
        return ""
    if None in turns:
        return f"over {limit}"
    return f"{median(cpu for cpu, _ in turns):.2f} ({median(mb for _, mb in turns):.0f})"


if __name__ == "__main__":
    main()
