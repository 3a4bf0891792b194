"""Make the line run on a table: plan every change first, then carry all of them out or none."""

import difflib
import io
import math
import re
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from esteira import table
from esteira.adopt import baseline
from esteira.adopt.detect import Found, closest, detect
from esteira.adopt.sniff import Decision, sniff
from esteira.errors import UserError
from esteira.files import read_yaml, replacing, write_text
from esteira.schema import Schema

RAW = Path("data/raw")
LEAST_ROWS = 52  # a little more than the drift check's least_rows
EVALUATION = "reports/evaluate/metrics.json"
RARE = 50  # rows of a class, below which it may be absent from a fold
NOT_WORDS = {w for v in ("yes", "no", "on", "off", "y", "n") for w in (v, v.title(), v.upper())}
LINE_ENDS = set("\n\r\x85\u2028\u2029")
HEAD = """\
# What each column of the table must hold, and what the line does with it.
# type: number, integer, category, boolean, datetime or text
# role: feature (the default), target, time, identifier or ignored
"""
# The plots at the end of dvc.yaml that differ by task; the template's dvc.yaml holds the same.
PLOTS = {
    "regression": """\
- Predictions:
    template: scatter
    x: actual
    y: {reports/evaluate/plots/custom/predictions.json: predicted}
    title: Predicted against actual (holdout)
- Residuals:
    template: scatter
    x: predicted
    y: {reports/evaluate/plots/custom/residuals.json: residual}
    title: Residual against prediction (holdout)
""",
    "classification": """\
- ROC:
    template: simple
    x: false_positive_rate
    y: {reports/evaluate/plots/custom/roc.json: true_positive_rate}
    title: ROC (holdout)
- Precision and recall:
    template: simple
    x: recall
    y: {reports/evaluate/plots/custom/precision_recall.json: precision}
    title: Precision and recall (holdout)
- Calibration:
    template: simple
    x: predicted
    y: {reports/evaluate/plots/custom/calibration.json: observed}
    title: Calibration (holdout)
- Confusion:
    template: counts
    x: predicted
    y: {reports/evaluate/plots/custom/confusion.json: actual}
    title: Confusion, rows of the holdout
""",
}


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
    shares = settings["split"]["current"], params["split"]["holdout"], params["split"]["seed"]
    algorithm, rules, floors = baseline.propose(typed, found.schema, *shares)
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
    texts = {
        "schema.yaml": schema_text(found),
        "params.yaml": _params_text(settings, scoring),
        "dvc.yaml": _line_text(own, found.schema.task),
        "gates.yaml": _gates_text(rules, rejects["column"].nunique()),
    }
    return Plan([*decisions, *found.decisions, *more, *score, *floors], copies, texts)


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


# --- the new texts


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dump(value: Any) -> str:
    text = io.StringIO()
    _yaml().dump(value, text)
    return text.getvalue()


def _load(path: str) -> Any:
    return _yaml().load(Path(path).read_text(encoding="utf-8"))


def _flow(value: dict[str, Any]) -> CommentedMap:
    """Write a mapping on one line, its lists too."""
    flow = CommentedMap()
    for key, item in value.items():
        if isinstance(item, tuple):
            item = CommentedSeq(map(_word, item))
            item.fa.set_flow_style()
        flow[key] = int(item) if isinstance(item, float) and item.is_integer() else _word(item)
    flow.fa.set_flow_style()
    return flow


def _word(value: Any) -> Any:
    """Quote the words that older YAML reads as true and false, and what YAML would fold."""
    if isinstance(value, str) and set(value) & LINE_ENDS:
        return DoubleQuotedScalarString(value)
    if isinstance(value, str) and value in NOT_WORDS:
        return SingleQuotedScalarString(value)
    return value


def schema_text(found: Found) -> str:
    """Write schema.yaml: a line for each column, its evidence beside it."""
    schema = found.schema
    top: dict[str, Any] = {"task": schema.task}
    if schema.positive is not None:
        top["positive"] = _word(schema.positive)
    top["file"] = _flow(schema.file.model_dump(exclude_none=True))
    lines = [HEAD, _dump(top), "columns:\n"]
    for name, column in schema.columns.items():
        line = _dump({_word(name): _flow(column.model_dump(exclude_defaults=True))})
        note = " ".join(found.notes.get(name, "").split())
        note = "".join(c for c in note if c.isprintable())
        if note and line.count("\n") == 1:
            line = f"{line.rstrip()}  # {note}\n"
        lines.append(textwrap.indent(line, "  "))
    return "".join(lines)


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
        short = rows * share < LEAST_ROWS
        where = "params.yaml, split.current"
        decisions.append(Decision(f"newest rows {share:.0%}", seen, where, short))
    drop = not (repeated and keep)
    return {
        "ingest": {"drop_duplicates": drop},
        "split": {"current": share, "shuffle": schema.time is None},
    }, decisions


def _scoring(target: pd.Series, task: str) -> tuple[str, list[Decision]]:
    """Score to search and explain by: one that can do without a class that is rarely held out."""
    rarest = int(target.value_counts().min())
    if task == "regression" or rarest >= RARE:
        return "r2" if task == "regression" else "neg_log_loss", []
    why = f"the rarest class has {rarest} rows, and may have none where scores are taken"
    where = "params.yaml, train.search.scoring and evaluate.importance"
    return "accuracy", [Decision("score accuracy", why, where)]


def _params_text(settings: dict[str, dict[str, Any]], scoring: str) -> str:
    """Edit params.yaml: the settings by section, and the score."""
    params = _load("params.yaml")
    for section, values in settings.items():
        for name, value in values.items():
            params[section][name] = value
    params["train"]["search"]["scoring"] = scoring
    params["evaluate"]["importance"] = scoring
    return _dump(params)


def _line_text(raw: str, task: str) -> str:
    """Edit dvc.yaml: the raw file among the deps of `ingest`, and the plots of the task."""
    line = _load("dvc.yaml")
    deps = line["stages"]["ingest"]["deps"]
    for old in [dep for dep in deps if str(dep).startswith(f"{RAW.as_posix()}/")]:
        deps.remove(old)
    deps.insert(0, raw)
    own = {kind: _yaml().load(text) for kind, text in PLOTS.items()}
    titles = {title for plots in own.values() for plot in plots for title in plot}
    for plot in [p for p in line.get("plots", []) if titles & set(p)]:
        line["plots"].remove(plot)
    for i, plot in enumerate(own[task]):
        line.setdefault("plots", CommentedSeq()).insert(i, plot)
    return _dump(line)


def _gates_text(rules: list[dict[str, Any]], broken: int) -> str:
    """Edit gates.yaml: floors for the model, and how many rules the table breaks already."""
    gates = _load("gates.yaml")
    kept = gates["rules"]
    for old in [rule for rule in kept if rule.get("file", EVALUATION) == EVALUATION]:
        kept.remove(old)
    for i, rule in enumerate(rules):
        kept.insert(i, _flow(rule))
    for rule in kept:
        if rule["metric"] == "rules_broken":
            rule["limit"] = broken
    return _dump(gates)


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
