"""Make the line run on a table: plan every change first, then carry all of them out or none."""

import difflib
import re
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from esteira.adopt import baseline, project, rows, spread, texts
from esteira.adopt.decisions import Decision
from esteira.adopt.detect import Asked, detect
from esteira.adopt.newest import FirstCheck, first_check
from esteira.adopt.sniff import sniff
from esteira.line import holdout, parts, table
from esteira.line.errors import UserError
from esteira.line.files import replacing, transaction, write_text
from esteira.line.nearest import closest
from esteira.line.schema import Schema
from esteira.repository import dvc

RAW = Path("data/raw")
IGNORED = RAW / ".gitignore"  # DVC writes it
OWN_BATCH = "data/current.parquet"  # what the line itself cuts off as the newest rows
RARE = 50  # rows of a class, below which it may be absent from a fold


@dataclass(frozen=True)
class Plan:
    """Everything that adopting would do: why, files to copy under data/raw/, new texts by path."""

    decisions: list[Decision]
    copies: dict[Path, Path]  # destination: source
    texts: dict[str, str]

    def diff(self) -> str:
        """Show the changes of the project's files as a unified diff."""
        lines: list[str] = []
        for path, new in self.texts.items():
            old = Path(path).read_text(encoding="utf-8") if Path(path).is_file() else ""
            lines += difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True), path, f"{path} (new)"
            )
        return "".join(lines)


@dataclass(frozen=True)
class Batch:
    """The batch that the drift check gets, its file if it is not the line's own, and decisions."""

    setting: str
    copies: dict[Path, Path]
    decisions: list[Decision]


@dataclass(frozen=True)
class Start:
    """Settings of training that start anew, and what is said of it."""

    settings: dict[str, Any]
    decisions: list[Decision]


@dataclass(frozen=True)
class Scoring:
    """The score, by scikit-learn's name, to search and explain by."""

    name: str
    decisions: list[Decision]


def plan(
    path: str | Path,
    asked: Asked,
    *,
    current: str | Path | None = None,
    header: bool = True,
    force: bool = False,
) -> Plan:
    """Decide how the project in this folder would run on the table at `path`. Writes nothing.

    Raises UserError for a table, target or time that cannot be used, and for a project that has
    adopted a table before unless `force`.
    """
    with warnings.catch_warnings(action="ignore"):  # of libraries, which say nothing to the user
        return _plan(path, asked, current, header, force)


def _plan(
    path: str | Path, asked: Asked, current: str | Path | None, header: bool, force: bool
) -> Plan:
    before = project.settings(force)
    header = header and not _no_header(path, asked.target)
    written = sniff(path, header)
    looked_at = spread.read(path, written.form)
    found = detect(looked_at.rows, written.form, asked)
    schema = found.schema
    repeated = rows.repeated(found.raw, schema)
    raw = found.raw.drop_duplicates() if repeated.drop else found.raw
    typed = found.typed.loc[raw.index]
    newest = rows.newest(raw, schema, before.current)
    own = RAW / _file_name(path)
    batch = _batch(path, current, schema)
    ordered = rows.ordered(typed, schema, newest.share)
    split = holdout.Settings(
        current=newest.share,
        order=ordered.order,
        holdout=before.holdout,
        shuffle=schema.time is None,
        group=found.group,
        seed=before.seed,
    )
    model = project.own_model(schema.task, before.model_seed)
    proposal = baseline.propose(typed, schema, split, model)
    first = first_check(proposal, schema) if current is None else FirstCheck([])
    scoring = _scoring(typed[schema.target], schema.task)
    settings: dict[str, dict[str, Any]] = {
        "ingest": {"drop_duplicates": repeated.drop, "source": own.as_posix()},
        "split": split.model_dump(exclude={"holdout", "seed"}),
        "train": {"algorithm": proposal.algorithm},
        "evaluate": {"reference": project.ALL},
        "drift_check": {"current": batch.setting},
        "predict": {"batch": batch.setting},
    }
    start = _start(before, schema.task, proposal.algorithm)
    settings["train"] |= start.settings
    broken = [str(name) for name in found.rejects["column"].unique()]
    files = {
        "schema.yaml": texts.schema_text(found),
        "params.yaml": texts.params_text(settings, scoring.name),
        "dvc.yaml": texts.line_text(own.as_posix(), schema.task),
        "gates.yaml": texts.gates_text(proposal.rules, len(broken), first.accepted),
    }
    copies = {own: Path(path), **batch.copies}
    decisions = [
        *written.decisions,
        *looked_at.decisions(),
        *found.decisions,
        *repeated.decisions,
        *newest.decisions,
        *batch.decisions,
        *ordered.decisions,
        *_left_over(before.source, copies),
        *start.decisions,
        *_allowed(broken),
        *scoring.decisions,
        *proposal.decisions,
        *first.decisions,
    ]
    return Plan(decisions, copies, files)


def carry_out(changes: Plan) -> None:
    """Copy and track the raw files, then replace the project's files; undo all on any failure.

    Where the process is killed, the next command undoes it. Raises UserError where DVC cannot track
    a file, or the disk takes no more.
    """
    pointers = [Path(f"{raw}.dvc") for raw in changes.copies]
    try:
        with transaction([*changes.copies, *pointers, IGNORED, *changes.texts], "adopt"):
            for raw, source in changes.copies.items():
                if not (raw.exists() and raw.samefile(source)):
                    with replacing(raw) as temporary:
                        shutil.copyfile(source, temporary)
            with dvc.repository() as repo:
                repo.scm_context.quiet = True  # no advice on Git
                repo.add([str(raw) for raw in changes.copies])
            for path, text in changes.texts.items():
                write_text(path, text)
    except (UserError, OSError) as error:
        reason = " ".join(str(error).split()).removesuffix(".")
        raise UserError(f"nothing was adopted, all is as it was: {reason}.") from None


def _file_name(path: str | Path) -> str:
    """Name that a DVC file, YAML and a shell all take as it is."""
    return re.sub(r"[^\w.-]+", "_", Path(path).name)


def _no_header(path: str | Path, target: str) -> bool:
    """Whether the target's name itself says that the file has no header."""
    if not re.fullmatch(r"column_\d+", target) or table.kind(path) != "csv":
        return False
    return target not in next(parts.read_raw(path, sniff(path).form))


def _batch(path: str | Path, current: str | Path | None, schema: Schema) -> Batch:
    """Check the batch that the user names; without one the line's newest rows play it."""
    if current is None:
        return Batch(OWN_BATCH, {}, [])
    copy = RAW / _file_name(current)
    if copy == RAW / _file_name(path):
        raise UserError(f"{path} and {current} have one name: rename one of them.")
    batch = next(parts.read_raw(current, schema.file))
    table.demand_like(batch, current, schema)
    absent = [name for name in schema.inputs if name not in batch]
    if absent:
        near = closest(absent[0], list(batch.columns))
        raise UserError(f"{current} has no column `{absent[0]}`, which the model needs: {near}")
    labels = "with" if schema.target in batch else "without"
    rows = sum(len(part) for part in parts.read_raw(current, schema.file))
    evidence = f"{rows} rows, {labels} `{schema.target}`"
    said = Decision(f"current batch {current}", evidence, "params.yaml, drift_check.current")
    return Batch(copy.as_posix(), {copy: Path(current)}, [said])


def _left_over(source: str, copies: dict[Path, Path]) -> list[Decision]:
    """Tell of the raw file of an earlier adoption, which may be its only copy and so stays."""
    if source.startswith(project.SAMPLE) or Path(source) in copies:
        return []
    why = f"nothing uses it now; `uv run dvc remove {source}.dvc` and deleting it lets it go"
    return [Decision(f"{source} and its .dvc file stay", why, warning=True)]


def _start(before: project.Settings, task: str, algorithm: str) -> Start:
    """Let go of settings that stop another model: those of another algorithm, or another task."""
    if (task, algorithm) == (before.task, before.algorithm):
        return Start({}, [])
    reset: dict[str, Any] = {"hyperparameters": {}}
    if not before.hyperparameters:
        return Start(reset, [])
    named = ", ".join(f"{name}: {value}" for name, value in before.hyperparameters.items())
    why = f"{named} was of {before.algorithm} for {before.task}"
    where = "params.yaml, train.hyperparameters"
    return Start(reset, [Decision("hyperparameters start anew", why, where, warning=True)])


def _allowed(broken: list[str]) -> list[Decision]:
    """Tell what the gate lets pass: columns with cells that are not of their type."""
    if not broken:
        return []
    named = ", ".join(f"`{name}`" for name in broken)
    why = f"cells of {named} are not of its type; mend them where they are made, and set it to 0"
    what = f"the gate lets {len(broken)} broken rule{'s' if len(broken) > 1 else ''} pass"
    return [Decision(what, why, "gates.yaml, rules_broken", warning=True)]


def _scoring(target: pd.Series, task: str) -> Scoring:
    """Choose the score: one that can do without a class that is rarely held out."""
    if task == "regression":
        return Scoring("r2", [])
    rarest = int(target.value_counts().min())
    if rarest >= RARE:
        return Scoring("neg_log_loss", [])
    why = f"the rarest class has {rarest} rows, and may have none where scores are taken"
    where = "params.yaml, train.search.scoring and evaluate.importance"
    return Scoring("accuracy", [Decision("score accuracy", why, where)])
