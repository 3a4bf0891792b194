"""Compare a batch with the reference profile; say what happened, how sure that is, what to do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from esteira import files
from esteira.drift import statistics as st
from esteira.drift.columns import Entry, compare, count
from esteira.drift.profile import Predict, Profile, outcome, residuals
from esteira.drift.settings import Limits, Settings
from esteira.drift.tables import Source

ADVICE = {  # the metric `action` is the place in here
    "keep": "Nothing to do.",
    "retrain": "Retrain on recent data.",
    "rework": "Rework features, target or model; retraining on recent labels is a stop-gap.",
    "unusable": "Mend the batch where it is made, then check again; do not score it.",
}
Row = dict[str, Any]


def faults(profile: Profile, source: Source, least: int) -> dict[str | None, str]:
    """What makes a batch unusable by its shape alone: a sentence by column (None for the whole)."""
    for what, n in (("batch", source.rows), ("reference", profile["rows"])):
        if n < least:
            few = f"Too few rows in the {what} for a verdict: {n}, at least {least} are needed."
            return {None: few if n else f"The {what} is empty."}
    columns, found = dict(profile["columns"]), {}
    if (target := profile.get("target")) and source.kinds.get(target["name"], "empty") != "empty":
        columns[target["name"]] = target
    for name, entry in columns.items():
        before, now = entry["kind"].replace("text", "category"), source.kinds.get(name)
        if not now:
            found[name] = f"Column `{name}` is absent."
        elif now == "empty" != before:
            found[name] = f"Column `{name}` is wholly missing."
        elif before not in (now, "empty"):
            found[name] = f"Column `{name}` changed its type: {before} before, {now} now."
    return found


def column(name: str, role: str, entry: Entry, source: Source, limits: Limits) -> Row:
    """Count and test one column: its shares of missing cells, and each test's p and effect.

    An effect is in units of its limit. p-values are adjusted to the number of the column's tests.
    """
    found, m = count(entry, source, name), source.rows
    row: Row = {"column": name, "role": role, "kind": entry["kind"], "entry": entry, "found": found}
    row["missing_reference"] = (entry["missing"] + entry["infinite"]) / entry["rows"]
    row["missing_current"] = (found["missing"] + found["infinite"]) / m
    row["tests"], usual, tests = {}, entry.get("usual", {}), compare(entry, found, m)
    for kind, (p, sizes) in tests.items():
        bounds = {size: max(getattr(limits, size), usual.get(size, 0)) for size in sizes}
        effect = max(value / bounds[size] for size, value in sizes.items())
        row["tests"][kind] = min(1.0, p * len(tests)), effect
        row |= sizes
    return row


def judge(table: list[Row], alpha: float) -> None:
    """Mark the columns in which something is significant, and those where it is large as well.

    As in Rabanser, Günnemann & Lipton 2019, each column is tested alone and the tests share the
    chance of a false alarm: Bonferroni over a column's tests, Benjamini-Hochberg over columns.
    """
    for row in table:
        row["p"] = min([1.0, *(p for p, _ in row["tests"].values())])
    cut = st.benjamini_hochberg(np.array([row["p"] for row in table]), alpha)
    for row in table:
        row["sure"] = {kind: effect for kind, (p, effect) in row["tests"].items() if p <= cut}
        row["significant"] = int(bool(row["sure"]))
        row["drifted"] = int(any(effect >= 1 for effect in row["sure"].values()))
        row["effect"] = max([0.0, *(effect for _, effect in row["tests"].values())])
        row["says"] = "; ".join(remarks(row, row["entry"], row["found"]))


def remarks(row: Row, entry: Entry, found: Entry) -> Iterator[str]:
    """Say in words what is remarkable about one column."""
    if entry["kind"] == "date":
        before, now = (f"{e.get('first', '?')} to {e.get('last', '?')}" for e in (entry, found))
        yield f"{now} (reference {before}): dates move on, so only missing ones are tested"
    elif entry["kind"] == "text":
        yield "free text: only its length is compared"
    elif entry["kind"] == "empty":
        yield "not compared: the reference has no values"
    elif entry["kind"] == "other":
        yield "not compared: neither numbers, words nor dates"
    elif np.count_nonzero(entry["counts"]) == 1:
        yield "constant in the reference"
    if "missing" in row["sure"]:
        yield f"missing {row['missing_reference']:.1%} → {row['missing_current']:.1%}"
    if found["infinite"]:
        yield f"{found['infinite']} infinite values, taken as missing"
    if found["unseen"] and "unseen" in row:
        names = sorted(found["unseen"], key=lambda c: (-found["unseen"][c], c))
        yield f"never seen before, in {row['unseen']:.1%} of rows: {', '.join(names[:5])}"
    if "distribution" in row["sure"] and "edges" in entry:
        before, now = (median(entry["edges"], side["counts"]) for side in (entry, found))
        yield f"median {before} → {now}" if before != now else f"the median stays {now}"
    elif "distribution" in row["sure"]:
        yield f"{row['total_variation']:.1%} of rows changed category"
    if row["significant"] and not row["drifted"]:
        yield "significant but small"


def median(edges: list[float], counts: Any) -> str:
    """Median of a numeric column, to the nearest edge, in words."""
    upto = np.cumsum(counts)
    cell = int(np.searchsorted(upto, upto[-1] / 2))
    if cell in (0, len(edges)):
        return f"below {edges[1]:.4g}" if cell == 0 else f"above {edges[-1]:.4g}"
    return f"{edges[cell]:.4g}"


def check(
    profile: Profile, current: Any, settings: Settings, predict: Predict | None = None
) -> Row:
    """Check a batch (pandas, Arrow or a `Source`) against a profile.

    `predict` gives the model's answers for the rows of these numbers, as in `profile.build`;
    without it neither predictions nor the concept are checked. Returns `action`, `advice`,
    `reasons`, `notes`, `metrics` (flat), `columns`, `pairs` and `segments`.
    """
    source = current if isinstance(current, Source) else Source(current)
    wrong, table = faults(profile, source, settings.least_rows), []
    out: Row = {"faults": wrong, "columns": table, "rows": (profile["rows"], source.rows)}
    out |= {"pairs": [], "domain": {}, "concept": {}, "notes": []}
    if None in wrong:
        return conclude(out)
    for name in [name for name in profile["columns"] if name not in wrong]:
        entry = profile["columns"][name]
        table.append(column(name, "feature", entry, source, settings.of(name)))
        if table[-1]["missing_current"] == 1 > table[-1]["missing_reference"]:
            wrong[name] = f"Column `{name}` is wholly missing."
    codes = [row["found"]["sample"] for row in table]
    label = profile.get("target", {}).get("name")
    if source.kinds.get(label, "empty") != "empty" and label not in wrong:
        row = column(label, "target", profile["target"], source, settings.of(label))
        table += [row] if row["missing_current"] < 1 else []
    judge(table, settings.alpha)
    if left := [f"`{row['column']}`" for row in table if row["kind"] == "other"]:
        out["notes"].append(f"Columns of types that cannot be compared: {', '.join(left)}.")
    labelled = bool(table) and table[-1]["role"] == "target"
    if label and not labelled and label not in wrong:
        out["notes"].append("Concept drift cannot be told without labels; the batch has none.")
    if wrong:
        return conclude(out)
    from esteira.drift import joint

    mine = np.stack(codes)
    out["pairs"] = joint.pairs(profile, mine, settings)
    if settings.classifier:
        out["domain"] = joint.domain(profile, mine, settings)
    if predict and "prediction" in profile:
        predicted = predict(source.drawn)
        if gaps := int(np.isnan(predicted).reshape(len(predicted), -1).any(axis=1).sum()):
            out["notes"].append(f"{gaps} of {len(predicted)} predictions looked at are missing.")
        told, limits = outcome(profile["classes"], predicted), settings.of("prediction")
        row = column("prediction", "prediction", profile["prediction"], told, limits)
        judge([row], settings.alpha)
        table.append(row)
        if labelled:
            missed = residuals(profile["classes"], source.sample(label), predicted)
            out["concept"] = joint.concept(profile, mine, missed, settings)
        else:
            out["notes"] += joint.label_shift(profile, predicted)
    elif labelled or not label:
        needs = "the model's predictions" if label else "a target and predictions of it"
        out["notes"].append(f"Concept drift cannot be told without {needs}.")
    return conclude(out)


def conclude(out: Row) -> Row:
    """Turn the findings into the metrics, the reasons in words and the action."""
    concept, features = out["concept"], [r for r in out["columns"] if r["role"] == "feature"]
    moved = [row for row in out["columns"] if row["drifted"] and row["role"] != "prediction"]
    moved.sort(key=lambda row: -row["effect"])
    data = bool(moved or out["pairs"] or out["domain"].get("drift"))
    broken, assessable = bool(concept.get("drift")), bool(concept.get("assessable"))
    action = "unusable" if out["faults"] else "rework" if broken else "retrain" if data else "keep"
    if data and broken:
        out["notes"].append("Data and concept moved together: look at the segments first.")
    elif data and concept and not assessable:
        out["notes"].append("Label the new region, retrain with it, then check again.")
    if out["faults"] and out["columns"]:
        out["notes"].append("The columns that can be compared are shown; they give no verdict.")

    def top(name: str) -> float:
        return max([0.0, *(row.get(name, 0.0) for row in features)])

    for row in features:
        row["missing_increase"] = row["missing_current"] - row["missing_reference"]
    drifted = sum(row["drifted"] for row in features)
    metrics = {
        "rows_reference": out["rows"][0],
        "rows_current": out["rows"][1],
        "columns_checked": len(features),
        "columns_drifted": drifted,
        "share_drifted": drifted / max(1, len(features)),
        "max_ks": top("ks"),
        "max_psi": top("psi"),
        "missing_max_increase": top("missing_increase"),
        "unseen_category_max_share": top("unseen"),
        "correlation_pairs_changed": len(out["pairs"]),
        "schema_faults": len(out["faults"]),
    }
    others = [row for row in out["columns"] if row["role"] != "feature" and "psi" in row]
    metrics |= {f"{row['role']}_psi": row["psi"] for row in others}
    metrics |= {"domain_auc": out["domain"]["auc"]} if out["domain"] else {}
    metrics |= concept.get("metrics", {})
    metrics |= {"data_drift": int(data), "concept_drift": int(broken)}
    metrics |= {"concept_assessable": int(assessable), "action": list(ADVICE).index(action)}
    reasons = list(out["faults"].values()) or [*findings(out, moved, len(features))]
    reasons = reasons or ["Nothing is both significant and large."]
    out |= {"metrics": metrics, "action": action, "advice": ADVICE[action], "reasons": reasons}
    return out | {"segments": concept.get("segments", [])}


def findings(out: Row, moved: list[Row], checked: int) -> Iterator[str]:
    """Say in sentences what drifted, and how sure that is."""
    names = [f"`{row['column']}`" for row in moved if row["role"] == "feature"]
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        yield f"{len(names)} of {checked} columns drifted: {', '.join(names[:5])}{more}."
    yield from (f"The target `{r['column']}` drifted." for r in moved if r["role"] == "target")
    if moved:
        sure = min(row["p"] for row in moved)
        odds = "less than one in a million" if sure < 1e-6 else f"{sure:.1g}"
        says = "Without drift, the chance of a change as clear as the clearest of them"
        yield f"{says} is {odds}."
    for left, right, before, now in out["pairs"][:3]:
        how = f"rank correlation {before:.2f} → {now:.2f}"
        yield f"`{left}` and `{right}` no longer go together as they did: {how}."
    if len(out["pairs"]) > 3:
        yield f"Nor do {len(out['pairs']) - 3} more pairs of columns."
    if out["domain"].get("drift"):
        says = "A classifier can tell rows of the batch from rows of the reference"
        yield f"{says} (AUC {out['domain']['auc']:.2f})."
    yield from out["concept"].get("says", [])


def write(out: Row, folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`."""
    from esteira.drift import report

    files.write_metrics(Path(folder, "metrics.json"), out["metrics"])
    files.write_text(Path(folder, "columns.csv"), report.columns_csv(out))
    files.write_text(Path(folder, "histograms.csv"), report.histograms_csv(out))
    files.write_text(Path(folder, "report.html"), report.html(out, title))
