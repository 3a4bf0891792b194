"""Make the line run on a table: plan every change first, then carry all of them out or none."""

import difflib
import math
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from esteira.line import table
from esteira.adopt import baseline, texts
from esteira.adopt.detect import closest, detect
from esteira.adopt.sniff import Decision, sniff
from esteira.line.errors import UserError
from esteira.line.files import read_yaml, replacing, write_text
from esteira.line.schema import Schema

RAW = Path("data/raw")
LEAST_ROWS = 52  # a little more than the drift check's least_rows
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


def plan(
    path: str | Path,
    target: str,
    *,
    time: str | None = None,
    task: str | None = None,
    positive: str | None = None,
    current: str | Path | None = None,
    header: bool = True,
    force: bool = False,
) -> Plan:
    """Decide how the project in this folder would run on the table at `path`. Writes nothing.

    Raises UserError for a table, target or time that cannot be used, and for a project that has
    adopted a table before unless `force`.
    """
    params = _project(force)
    header = header and not _no_header(path, target)
    form, decisions = sniff(path, header)
    found = detect(table.read_raw(path, form), form, target, time, task, positive)
    raw = table.read_raw(path, found.schema.file).dropna(how="all")  # as ingest does
    settings, more = _settings(raw, found.schema, params["split"]["current"])
    if settings["ingest"]["drop_duplicates"]:
        raw = raw.drop_duplicates()
    typed, rejects = table.parse(raw, found.schema)
    share, held, seed = (
        {**params["split"], **settings["split"]}[n] for n in ("current", "holdout", "seed")
    )
    order, sorted_by = _order(typed, found.schema, share)
    settings["split"]["order"] = order
    algorithm, rules, floors = baseline.propose(typed, found.schema, order, share, held, seed)
    copies = {RAW / _file_name(path): Path(path)}
    batch = "data/current.parquet"
    if current is not None:
        copies[RAW / _file_name(current)] = Path(current)
        batch = (RAW / _file_name(current)).as_posix()
        more.append(_check_batch(current, found.schema))
        if len(copies) == 1:
            raise UserError(f"{path} and {current} have one name: rename one of them.")
    own = (RAW / _file_name(path)).as_posix()
    settings["ingest"]["source"] = own
    scoring, score = _scoring(typed[target], found.schema.task)
    settings |= {"train": {"algorithm": algorithm}, "drift_check": {"current": batch}}
    if algorithm != params["train"]["algorithm"]:  # another one's would stop it
        settings["train"]["hyperparameters"] = {}
    files = {
        "schema.yaml": texts.schema_text(found),
        "params.yaml": texts.params_text(settings, scoring),
        "dvc.yaml": texts.line_text(own, found.schema.task),
        "gates.yaml": texts.gates_text(rules, rejects["column"].nunique()),
    }
    more += [*sorted_by, *_left_over(params["ingest"]["source"], copies)]
    return Plan([*decisions, *found.decisions, *more, *score, *floors], copies, files)


def _project(force: bool) -> dict[str, Any]:
    """Return params.yaml of a project that may adopt a table. Raises UserError for any other."""
    params, line, gates = map(read_yaml, ("params.yaml", "dvc.yaml", "gates.yaml"))
    try:
        source = params["ingest"]["source"]
        edited = [line["stages"]["ingest"]["deps"], gates["rules"], params["train"]["search"]]
        edited += [params["split"][n] for n in ("current", "holdout", "seed")]
        edited += [params["evaluate"], params["drift_check"], params["train"]["algorithm"]]
    except (KeyError, TypeError) as error:
        raise UserError(
            f"params.yaml, dvc.yaml or gates.yaml has lost {error}, which adopting edits: put it"
            " back."
        ) from None
    if not force and not str(source).startswith("sample-"):
        raise UserError(
            f"this project runs on {source} already: say --force to replace its schema.yaml, floors"
            " and settings, and see what changes."
        )
    return params


def carry_out(changes: Plan) -> None:
    """Copy and track the raw files, then replace the project's files; undo all on any failure.

    Raises UserError where DVC cannot track a file, or the disk takes no more.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    pointers = [Path(f"{raw}.dvc") for raw in changes.copies]
    try:
        with _restoring([*changes.copies, *pointers, *map(Path, changes.texts)]):
            for raw, source in changes.copies.items():
                if not (raw.exists() and raw.samefile(source)):
                    with replacing(raw) as temporary:
                        shutil.copyfile(source, temporary)
            with Repo() as repo:
                repo.scm_context.quiet = True  # no advice on Git
                repo.add([str(raw) for raw in changes.copies])
            for path, text in changes.texts.items():
                write_text(path, text)
    except (DvcException, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"nothing was adopted, all is as it was: {reason}.") from None


@contextmanager
def _restoring(paths: list[Path]) -> Iterator[None]:
    """Put the files back as they were, if the block fails for whatever reason."""
    kept = RAW.parent / ".before-adopt.tmp"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for i, path in enumerate(paths):
        if path.exists():
            shutil.copy2(path, kept / str(i))
    try:
        yield
    except BaseException:
        for i, path in enumerate(paths):
            path.unlink(missing_ok=True)
            if (kept / str(i)).exists():
                shutil.move(kept / str(i), path)
        raise
    finally:
        shutil.rmtree(kept, ignore_errors=True)


def _file_name(path: str | Path) -> str:
    """Name that a DVC file, YAML and a shell all take as it is."""
    return re.sub(r"[^\w.-]+", "_", Path(path).name)


def _no_header(path: str | Path, target: str) -> bool:
    """Whether the target's name itself says that the file has no header."""
    if not re.fullmatch(r"column_\d+", target) or table.kind(path) != "csv":
        return False
    form, _ = sniff(path)
    return target not in table.read_raw(path, form)


def _check_batch(path: str | Path, schema: Schema) -> Decision:
    batch = table.read_raw(path, schema.file)
    absent = [name for name in schema.inputs if name not in batch]
    if absent:
        near = closest(absent[0], list(batch))
        raise UserError(f"{path} has no column `{absent[0]}`, which the model needs: {near}")
    labels = "with" if schema.target in batch else "without"
    evidence = f"{len(batch)} rows, {labels} `{schema.target}`"
    return Decision(f"current batch {path}", evidence, "params.yaml, drift_check.current")


def _settings(
    raw: pd.DataFrame, schema: Schema, share: float
) -> tuple[dict[str, dict[str, Any]], list[Decision]]:
    """Decide what becomes of repeated rows, and how many of the newest the drift check gets."""
    decisions = []
    repeated, keep = int(raw.duplicated().sum()), not schema.named("identifier")
    if repeated:
        why = "no identifier tells copies from look-alikes" if keep else "identifier and all"
        what = f"{repeated} repeated rows are {'kept' if keep else 'dropped'}"
        decisions.append(Decision(what, why, "params.yaml, ingest.drop_duplicates", keep))
        raw = raw if keep else raw.drop_duplicates()
    rows = len(raw.dropna(subset=[name for name in (schema.target, schema.time) if name]))
    if rows * share < LEAST_ROWS:
        share = min(0.35, math.ceil(100 * LEAST_ROWS / max(rows, 1)) / 100)
        seen = f"{round(rows * share)} of {rows} rows; the drift check needs {LEAST_ROWS}"
        where = "params.yaml, split.current"
        decisions.append(Decision(f"newest rows {share:.0%}", seen, where))
        if rows * share < LEAST_ROWS:
            why = f"{rows} rows; with fewer than 150 the drift check or a gate may never pass"
            decisions.append(Decision("the table is too small", why, "", warning=True))
    drop = not (repeated and keep)
    return {
        "ingest": {"drop_duplicates": drop},
        "split": {"current": share, "shuffle": schema.time is None},
    }, decisions


def _order(typed: pd.DataFrame, schema: Schema, share: float) -> tuple[str, list[Decision]]:
    """Decide whether the file's order can be that of time: not where a column sorts the rows."""
    rows = typed.dropna(subset=[schema.target])
    if schema.time or rows.empty:
        return "rows", []
    place, target = pd.Series(np.arange(len(rows)), rows.index), rows[schema.target]
    cut, why = len(rows) - round(len(rows) * share), ""
    if schema.task == "classification":
        for name, count in target.value_counts().items():
            older = int((target.iloc[:cut] == name).sum())
            expected = count * min(share, 1 - share)
            if older in (0, count) and expected >= 10:  # by luck once in 20,000 tables
                there = "none of" if older else "only"
                why = f"class {name} is in {there} the last {len(rows) - cut} rows"
    ties = {n: rows[n].rank().corr(place) for n in (schema.target, *schema.features)}
    sorts = [n for n, tie in ties.items() if abs(tie) > (0.5 if n == schema.target else 0.95)]
    if sorts and not why:
        name = max(sorts, key=lambda n: abs(ties[n]))
        why = f"they are sorted by `{name}` (rank correlation with the row number {ties[name]:.2f})"
    if not why:
        seen = "no column sorts the rows, so the last ones are taken for the newest"
        return "rows", [Decision("order of the rows is time", seen, "params.yaml, split.order")]
    why += "; if they are in time order all the same, write rows"
    return "random", [Decision("order of the rows is random", why, "params.yaml, split.order")]


def _left_over(source: str, copies: dict[Path, Path]) -> list[Decision]:
    """Tell of the raw file of an earlier adoption, which may be its only copy and so stays."""
    if source.startswith("sample-") or Path(source) in copies:
        return []
    why = f"nothing uses it now; `uv run dvc remove {source}.dvc` and deleting it lets it go"
    return [Decision(f"{source} and its .dvc file stay", why, "", warning=True)]


def _scoring(target: pd.Series, task: str) -> tuple[str, list[Decision]]:
    """Score to search and explain by: one that can do without a class that is rarely held out."""
    rarest = int(target.value_counts().min())
    if task == "regression" or rarest >= RARE:
        return "r2" if task == "regression" else "neg_log_loss", []
    why = f"the rarest class has {rarest} rows, and may have none where scores are taken"
    where = "params.yaml, train.search.scoring and evaluate.importance"
    return "accuracy", [Decision("score accuracy", why, where)]


def describe(decisions: list[Decision], limit: int = 60) -> str:
    """Say each decision on a line, warnings last and marked, so that they are seen."""
    plain = [d for d in decisions if not d.warning]
    shown = [*plain[:limit], *(d for d in decisions if d.warning)]
    lines = []
    for decision in shown:
        place = f"  [{decision.where}]" if decision.where else ""
        mark = "! " if decision.warning else "  "
        lines.append(f"{mark}{decision.what}: {decision.evidence}{place}")
    if len(plain) > limit:
        lines.insert(limit, f"  … and {len(plain) - limit} more, as comments in schema.yaml")
    return "\n".join(lines)
