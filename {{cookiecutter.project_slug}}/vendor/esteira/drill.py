"""Fire drill: a drifted batch made of the squad's own rows, checked by the line's drift check."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from esteira.drift import shown, verdicts
from esteira.line import schema, table
from esteira.line.errors import UserError
from esteira.line.files import read_yaml, write_text
from esteira.line.schema import Schema

SOURCE = "data/holdout.parquet"
FOLDER = Path("data/drill")
BEFORE = FOLDER / "before.txt"  # what drift_check.current was
REPORT = Path("reports/drift_check")
MOST_TOLD = 3  # columns

Frame = pd.DataFrame
Random = np.random.Generator


def data(rows: Frame, what: Schema, strength: float, random: Random) -> tuple[Frame, str]:
    """Draw the rows anew, those with high values of one feature more often.

    Inputs move by about `strength` standard deviations, and what they say of the target stays.
    """
    name = max(what.features, key=lambda n: (what.columns[n].numeric, rows[n].nunique()))
    values = rows[name]
    if not what.columns[name].numeric:
        values = pd.Series(pd.factorize(values)[0], rows.index, dtype="float64")
    centred = (values - values.mean()) / (values.std() or 1.0)
    weights = np.exp(strength * centred.fillna(0).clip(-3, 3))
    chosen = random.choice(len(rows), len(rows), p=weights / weights.sum())
    return rows.iloc[chosen], f"rows with a high `{name}` are drawn more often"


def concept(rows: Frame, what: Schema, strength: float, random: Random) -> tuple[Frame, str]:
    """Change the target of a share of the rows, half of them at strength 1; inputs stay."""
    hit = random.random(len(rows)) < min(1.0, strength / 2)
    target = rows[what.target]
    if what.task == "regression":
        changed = target.min() + target.max() - target
    else:
        classes = sorted(target.unique())
        changed = target.map(dict(zip(classes, classes[1:] + classes[:1], strict=True)))
    rows = rows.assign(**{what.target: target.mask(hit, changed)})
    return rows, f"`{what.target}` is turned round in {hit.mean():.0%} of the rows"


def missing(rows: Frame, what: Schema, strength: float, random: Random) -> tuple[Frame, str]:
    """Blank 30 % of the cells, at strength 1, in a third of the features."""
    names = what.features[: max(1, len(what.features) // 3)]
    share = min(1.0, 0.3 * strength)
    hit = random.random((len(rows), len(names))) < share
    blank = {n: rows[n].mask(hit[:, i]) for i, n in enumerate(names)}
    return rows.assign(**blank), f"{share:.0%} of the cells are blanked in {_listed(names)}"


def category(rows: Frame, what: Schema, strength: float, random: Random) -> tuple[Frame, str]:
    """Put a category never seen before into 10 % of the rows, at strength 1, of one column."""
    names = [n for n in what.features if what.columns[n].type in ("category", "text")]
    if not names:
        raise UserError("no feature is a category: rehearse with --kind data or missing.")
    hit = random.random(len(rows)) < min(1.0, 0.1 * strength)
    changed = rows[names[0]].mask(hit, "never seen before")
    return rows.assign(**{names[0]: changed}), f"`{names[0]}` has a new category, {hit.mean():.0%}"


def structure(rows: Frame, what: Schema, strength: float, random: Random) -> tuple[Frame, str]:
    """Leave columns out: one at strength 1, more beyond."""
    names = what.features[: max(1, round(strength))]
    return rows.drop(columns=names), f"{_listed(names)} is left out"


KINDS: dict[str, Callable[[Frame, Schema, float, Random], tuple[Frame, str]]] = {
    "data": data,
    "concept": concept,
    "missing": missing,
    "category": category,
    "schema": structure,
}


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{n}`" for n in names[:4]) + (" …" if len(names) > 4 else "")


def rehearse(kind: str, strength: float = 1.0) -> str:
    """Check a drifted batch; return what was done and what the drift check said.

    The batch is made of the held-out rows, which the reference knows: without the drill they
    raise no alarm. Raises UserError for an unknown kind, and where the line has not run.
    """
    if kind not in KINDS:
        raise UserError(f"there is no drill {kind!r}: choose one of {', '.join(KINDS)}.")
    if not 0 < strength < float("inf"):
        raise UserError(f"--strength is {strength:g}: it must be above 0; 1 is a plain drift.")
    what = schema.load()
    rows = table.read(SOURCE).reset_index(drop=True)
    batch, done = KINDS[kind](rows, what, strength, np.random.default_rng(0))
    path = FOLDER / f"{kind}.parquet"
    table.write(batch, path)
    if not BEFORE.exists():  # first, so that a drill that is killed can be undone
        write_text(BEFORE, _setting()[2])
    _point_at(path.as_posix())
    try:
        _reproduce()
    except UserError:
        undo(reproduce=False)
        raise
    done = f"Drill: {done}; {len(batch)} rows in {path}."
    return f"{done}\n{_alarm()}\nUndo: uv run esteira drill --undo"


def undo(reproduce: bool = True) -> str:
    """Check the former batch again and remove the drill. Raises UserError if there is none."""
    read_yaml("params.yaml")  # or says that this is not the project's folder
    if not BEFORE.exists():
        raise UserError("there is no drill to undo.")
    before = BEFORE.read_text(encoding="utf-8")
    _point_at(before)
    if reproduce:
        _reproduce()
    shutil.rmtree(FOLDER)
    return f"The drift check looks at {before} again.\n{_alarm() if reproduce else ''}".strip()


def _setting() -> re.Match[str]:
    """Find `drift_check.current` in params.yaml; its value is group 2. Raises UserError."""
    text = Path("params.yaml").read_text(encoding="utf-8")
    pattern = r"(?m)(^drift_check:[^\n]*\n(?:[ #][^\n]*\n|\n)*?  current:[ ]*)([^\s#]+)"
    found = re.search(pattern, text)
    if not found:
        raise UserError("params.yaml has no `current:` in section `drift_check:`; add it.")
    return found


def _point_at(path: str) -> None:
    """Change `drift_check.current` in params.yaml, and not another byte."""
    found = _setting()
    text = found.string
    write_text("params.yaml", text[: found.start(2)] + path + text[found.end(2) :])


def _reproduce() -> None:
    # What depends on it, such as the card, too: else the lock would be stale.
    command = [sys.executable, "-m", "dvc", "repro", "--downstream", "drift_check"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).split())[-300:]
        raise UserError(f"`dvc repro drift_check` failed: {last}")


def _alarm() -> str:
    """Say in words what the drift check found."""
    found = shown.read(REPORT / "shown.json")
    figures = dict(found.figures)
    lines = [f"The drift check says `{found.action}`. {found.advice}"]
    for word, yes, tested in (
        ("data drift", figures["data_drift"], found.verdict != verdicts.UNUSABLE),
        ("concept drift", figures["concept_drift"], figures["concept_assessable"]),
    ):
        lines.append(f"{word}: {('no', 'yes')[int(yes)] if tested else 'not tested'}")
    lines += [f"  {column.name}: {column.says}" for column in found.drifted[:MOST_TOLD]]
    return "\n".join([*lines, f"See {REPORT}/report.html"])
