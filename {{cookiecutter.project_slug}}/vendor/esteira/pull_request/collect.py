"""Collect the facts of a pull request by running its code; judge nothing, hide nothing."""

import csv
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from io import StringIO
from pathlib import Path
from typing import Any

from esteira import gate

from esteira.repository import remote
from esteira.line.errors import UserError
from esteira.line.files import write_text
from esteira.pull_request import compare
from esteira.pull_request import facts as f
from esteira.pull_request.compare import git, short, yaml_at

DRIFT_FOLDER = Path("reports/drift_check")
NOISE = Path("reports/noise.json")  # `esteira noise` writes it
REPRODUCE = ["dvc", "repro"]
PULL = ["--pull", "--allow-missing", "--no-run-cache"]  # the run cache grows with history
HISTORY = 12  # earlier values of the leading metric that the chart shows


def event() -> dict[str, Any]:
    """Return the pull request of GitHub's event file, or {} outside of GitHub."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    known = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return known.get("pull_request") or {}


def merge_base(base: str) -> str | None:
    """Return the commit where this branch left `base`; None where they share none.

    Raises UserError where `base` is not here: a shallow clone must not pass for a first change.
    """
    if git("cat-file", "-e", f"{base}^{{commit}}") is None:
        raise UserError(f"the base {base!r} is no commit here: fetch it (fetch-depth: 0 in CI).")
    return git("merge-base", base, "HEAD")


def verify(question: str) -> dict[str, Any]:
    """Ask `esteira verify --lock` or `--pushed`. Raises UserError with what it said."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [
            "-c",
            "from esteira.cli import main; main()",
            "verify",
            question,
            "--json",
            answer,
        ]
        done = subprocess.run(
            [sys.executable, *map(str, command)], capture_output=True, encoding="utf-8"
        )
        print(done.stdout, done.stderr, sep="", end="", flush=True)
        if not answer.exists():
            said = [line for line in done.stderr.splitlines() if line] or ["it said nothing"]
            raise UserError(said[-1].removeprefix("esteira: "))
        return json.loads(answer.read_text(encoding="utf-8"))


def lock() -> f.Lock:
    """Tell which stages are stale, from hashes alone: no data and no credentials needed."""
    stale = verify("--lock")["stale"]
    stages = [f.Stale(stage=short(name), why=short("; ".join(why))) for name, why in stale.items()]
    return f.Lock(state="stale" if stages else "fresh", stages=stages[: f.MOST_ENTRIES])


def pushed(unusable: str) -> f.Pushed:
    """Ask the remote whether it has all that dvc.lock names; no other check finds out."""
    if unusable:
        return f.Pushed(reason=short(unusable))
    try:
        found = verify("--pushed")
    except UserError as error:
        return f.Pushed(reason=short(str(error)))
    paths = found["unpushed"]
    paths += [short(f"{path} ({command})") for path, command in found["unkept"].items()]
    return f.Pushed(state="missing" if paths else "pushed", paths=paths[: f.MOST_ENTRIES])


def absent_sources() -> list[str]:
    """Return the raw files that a .dvc file names and this clone lacks."""
    listed = (git("ls-files", "*.dvc") or "").splitlines()
    outs = [
        Path(file).parent / out["path"] for file in listed for out in yaml_at(file, None)["outs"]
    ]
    return [out.as_posix() for out in outs if not out.exists()]


def reproduce(stale: f.Lock, unusable: str) -> f.Run:
    """Run the line where the lock is stale; with a fresh lock there is nothing to run."""
    names = list(yaml_at("dvc.yaml", None).get("stages", {}))[: f.MOST_ENTRIES]
    if stale.state == "fresh":
        return f.Run(stages=[f.Stage(name=name, state="cached") for name in names])
    if unusable and (lacking := absent_sources()):
        reason = f"{', '.join(lacking[:3])} cannot be had: {unusable}"
        return f.Run(state="impossible", reason=short(reason))
    command = [sys.executable, "-m", *REPRODUCE, *([] if unusable else PULL)]
    print("$", " ".join(command[2:]), flush=True)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    became: dict[str, f.Stage] = {}
    lines, current, started = [], None, time.monotonic()

    def close(state: str) -> None:
        if current:
            seconds = round(time.monotonic() - started, 1)
            became[current] = f.Stage(name=current, state=state, seconds=seconds)

    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(short(line.rstrip(), 300))
        if line.startswith("Running stage '"):
            close("ran")
            current, started = line.split("'")[1], time.monotonic()
        elif line.startswith("Stage '") and "skipping" in line:
            name = line.split("'")[1]
            became[name] = f.Stage(name=name, state="cached")
    failed = process.wait() != 0
    close("failed" if failed else "ran")
    named = re.search(r"failed to reproduce '([^']+)'", "\n".join(lines))
    if failed and named and not current:  # it did not even start
        became[named[1]] = f.Stage(name=named[1], state="failed")
    stages = [became.get(name, f.Stage(name=name, state="not reached")) for name in names]
    if not failed:
        return f.Run(state="reproduced", stages=stages)
    return f.Run(state="failed", stages=stages, lines=[line for line in lines if line][-20:])


def metrics(repo: Any, base: str | None, stopped: bool) -> list[f.Metric]:
    """Return every metric at the base and now; where the line `stopped`, now is unknown."""
    now = flat(repo.metrics.show())
    before = flat(repo.metrics.show(revs=[base]), base) if base else {}
    found = []
    for file, name in before | now:
        old, new = before.get((file, name)), None if stopped else now.get((file, name))
        fault = "" if new is None or finite(new) else f"is {short(new, 40)}, no finite number"
        found.append(
            f.Metric(
                file=short(file),
                name=short(name),
                base=old if finite(old) else None,
                now=new if finite(new) else None,
                fault=fault,
            )
        )
    return found


def flat(shown: dict[str, Any], revision: str = "") -> dict[tuple[str, str], Any]:
    """Flatten what DVC shows of one revision to {(file, metric): value}; names joined by dots.

    A file that DVC cannot read is one entry without a name, its value what DVC says of it.
    """
    found: dict[tuple[str, str], Any] = {}

    def add(file: str, prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                add(file, f"{prefix}.{name}" if prefix else str(name), inner)
        else:
            found[file, prefix] = value

    for file, content in shown.get(revision, {}).get("data", {}).items():
        if "error" in content:
            missing = isinstance(content["error"], FileNotFoundError)
            if not (revision and missing):
                what = "missing" if missing else "not readable"
                found[file, Path(file).name] = f"{what}"
        else:
            add(file, "", content["data"])
    return found


def finite(value: Any) -> bool:
    """Tell whether a value is a number that can be compared."""
    try:
        return not isinstance(value, bool | str) and math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def gates(base: str | None) -> list[f.Gate]:
    """Judge gates.yaml over the metric files as they are now."""
    return [
        f.Gate(
            file=v.file, metric=v.metric, better=v.better, base=v.base, limit=v.limit,
            now=None if isinstance(v.value, str) else v.value,
            word=v.value if isinstance(v.value, str) else "",
            regression=v.regression, reason=short(v.reason or ""),
        )
        for v in gate.judge_all(base)
    ]  # fmt: skip


def drift() -> f.Drift | None:
    """Read what the drift check wrote; None where it wrote nothing that can be read."""
    try:
        measured = gate.read_metrics(str(DRIFT_FOLDER / "metrics.json"))
        rows = list(csv.DictReader(StringIO((DRIFT_FOLDER / "columns.csv").read_text("utf-8"))))
        columns = [
            f.Column(
                name=short(row["column"]),
                drifted=row["drifted"] == "1",
                significant=row["significant"] == "1",
                effect=float(row["effect"]),
                says=short(row["says"]),
            )
            for row in rows
        ]
        return f.Drift(
            action=gate.ACTIONS[measured["action"]],
            checked=measured.get("columns_checked", 0),
            drifted=measured.get("columns_drifted", 0),
            columns=sorted(columns, key=lambda c: -c.effect)[: f.MOST_ENTRIES],
        )
    except (UserError, OSError, KeyError, ValueError, TypeError, IndexError):
        return None  # the gate on the drift check's action says what is wrong


def history(base: str | None, leading: f.Gate | None) -> list[f.Point]:
    """Return the leading metric at the last commits of the base branch that changed its file."""
    if base is None or leading is None:
        return []
    log = git("log", "--first-parent", f"-{HISTORY}", "--format=%H", base, "--", leading.file) or ""
    points = []
    for commit in reversed(log.splitlines()):
        try:
            value = gate.number(gate.read_metrics(leading.file, commit), leading.metric, commit)
            points.append(f.Point(commit=commit, value=value))
        except UserError:
            continue
    return points


def noise(base: str | None) -> dict[str, Any]:
    """Return the spread of each metric over a few seeds, as the base knows it; see noise.py."""
    try:
        known = json.loads(git("show", f"{base}:{NOISE}") or NOISE.read_text(encoding="utf-8"))
        spread = {short(name): v for name, v in known["spread"].items() if finite(v)}
        return {"noise": spread, "noise_seeds": len(known["seeds"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def capped(parts: dict[str, Any]) -> dict[str, Any]:
    """Cut every list to MOST_ENTRIES, and count what was left out."""
    long = {k: v for k, v in parts.items() if isinstance(v, list) and len(v) > f.MOST_ENTRIES}
    left_out = sum(len(value) - f.MOST_ENTRIES for value in long.values())
    return parts | {k: v[: f.MOST_ENTRIES] for k, v in long.items()} | {"left_out": left_out}


def chain(error: BaseException | None) -> str:
    """Return the messages of an error and of its causes, in one line."""
    said = []
    while error is not None:
        said.append(" ".join(str(error).split()))
        error = error.__cause__
    return ": ".join(filter(None, said))


def measure(base: str | None) -> dict[str, Any]:
    """Return the parts of the facts that come from running and measuring. Raises UserError."""
    unusable = remote.unusable()
    parts: dict[str, Any] = {"lock": lock()}
    run = reproduce(parts["lock"], unusable)
    stopped = run.state == "failed"
    parts["run"] = run.model_copy(update={"stages": run.stages + list(compare.removed(base))})
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            parts["metrics"] = metrics(repo, base, stopped)
    except DvcException as error:
        raise UserError(f"DVC cannot read the metrics: {short(chain(error))}") from None
    parts["gates"] = [] if stopped else gates(base)
    stale = "the lock is stale, so what it names is not what will be merged"
    parts["pushed"] = pushed(unusable) if run.state == "not needed" else f.Pushed(reason=stale)
    parts |= {"drift": None if stopped else drift(), "data": compare.data(base)}
    parts["history"] = history(base, next((g for g in parts["gates"] if g.limit is not None), None))
    return parts


def collect(base: str | None, output: str | Path) -> f.Facts:
    """Write the facts of this commit against `base` (or GitHub's event) to `output`; return them.

    A fault of the pull request is a fact like any other, so that there is a report to read.
    """
    opened = event()
    homes = [((opened.get(side) or {}).get("repo") or {}).get("id") for side in ("head", "base")]
    known: dict[str, Any] = {
        "number": opened.get("number", 0),
        "head": git("rev-parse", "HEAD") or "0" * 40,
        "fork": homes[0] != homes[1],
    }
    try:
        known["base"] = merge_base(base or (opened["base"]["sha"] if opened else "origin/main"))
        start = known["base"]
        known |= compare.texts(start)
        known |= measure(start) | noise(start)
    except UserError as error:
        known["problem"] = short(str(error))
    found = f.Facts(**capped(known))
    write_text(output, found.model_dump_json(indent=1) + "\n")
    return found
