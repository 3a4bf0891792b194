"""The new texts of a project's own files: schema.yaml whole, edits that keep the rest elsewhere."""

import io
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from esteira.adopt.baseline import GateRule
from esteira.adopt.detect import Found

EVALUATION = "reports/evaluate/metrics.json"
NOT_WORDS = {w for v in ("yes", "no", "on", "off", "y", "n") for w in (v, v.title(), v.upper())}
LINE_ENDS = set("\n\r\x85\u2028\u2029")
HEAD = """\
# What each column of the table must hold, and what the line does with it.
# type: number, integer, category, boolean, datetime or text
# role: feature (the default), target, time, identifier or ignored
# format: of dates; of a number, it is a time of day, read as hours. unit: stands beside each number
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


def _yaml() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), _null)
    return yaml


def _null(representer: Any, value: None) -> Any:
    """Write null as a word: an empty place reads as forgotten."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


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
    usual = {name for name in ("skip", "footer") if not getattr(schema.file, name)}
    top["file"] = _flow(schema.file.model_dump(exclude_none=True, exclude=usual))
    lines = [HEAD, _dump(top), "columns:\n"]
    for name, column in schema.columns.items():
        line = _dump({_word(name): _flow(column.model_dump(exclude_defaults=True))})
        note = " ".join(found.notes.get(name, "").split())
        note = "".join(c for c in note if c.isprintable())
        if note and line.count("\n") == 1:
            line = f"{line.rstrip()}  # {note}\n"
        lines.append(textwrap.indent(line, "  "))
    return "".join(lines)


def params_text(settings: dict[str, dict[str, Any]], scoring: str) -> str:
    """Edit params.yaml: the settings by section, and the score."""
    params = _load("params.yaml")
    for section, values in settings.items():
        for name, value in values.items():
            params[section][name] = value
    params["train"]["search"]["scoring"] = scoring
    params["evaluate"]["importance"] = scoring
    return _dump(params)


def line_text(raw: str, task: str) -> str:
    """Edit dvc.yaml: the raw file among the deps of `ingest`, and the plots of the task."""
    line = _load("dvc.yaml")
    deps = line["stages"]["ingest"]["deps"]
    for old in [dep for dep in deps if str(dep).startswith("data/raw/")]:
        deps.remove(old)
    deps.insert(0, raw)
    own = {kind: _yaml().load(text) for kind, text in PLOTS.items()}
    titles = {title for plots in own.values() for plot in plots for title in plot}
    for plot in [p for p in line.get("plots", []) if titles & set(p)]:
        line["plots"].remove(plot)
    for i, plot in enumerate(own[task]):
        line.setdefault("plots", CommentedSeq()).insert(i, plot)
    return _dump(line)


def gates_text(rules: list[GateRule], broken: int, accepted: str) -> str:
    """Edit gates.yaml: floors for the model, and how many rules the table breaks already.

    `accepted` says why the drift check's `rework` lets a change pass, or is empty.
    """
    gates = _load("gates.yaml")
    kept = gates["rules"]
    for old in [rule for rule in kept if rule.get("file", EVALUATION) == EVALUATION]:
        kept.remove(old)
    for i, rule in enumerate(rules):
        kept.insert(i, _flow(asdict(rule)))
    for rule in kept:
        if rule["metric"] == "rules_broken":
            rule["limit"] = broken
    gates.pop("drift_accepted", None)
    if accepted:
        blocked = [action for action in gates.get("drift", []) if action != "rework"]
        gates["drift"] = CommentedSeq(blocked)
        gates["drift"].fa.set_flow_style()
        gates["drift_accepted"] = accepted
    return _dump(gates)
