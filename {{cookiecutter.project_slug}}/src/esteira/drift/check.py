"""Compare a batch with the reference profile; say what happened, how sure that is, what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from esteira import files
from esteira.drift import profile as profiles
from esteira.drift import statistics as st
from esteira.drift import tables
from esteira.drift.settings import Limits, Settings
from esteira.errors import UserError

ACTIONS = ("keep", "retrain", "rework", "unusable")  # the metric `action` is the place in here
EXITS = {"keep": 0, "retrain": 10, "rework": 11, "unusable": 2}
ADVICE = {
    "keep": "Nothing to do.",
    "retrain": "Retrain on recent data.",
    "rework": "Rework features, target or model; retraining on recent labels is a stop-gap.",
    "unusable": "Mend the batch where it is made, then check again; do not score it.",
}
SIZES = {
    "missing": ("missing",),
    "unseen": ("unseen",),
    "distribution": ("ks", "psi", "total_variation"),
}
Row = dict[str, Any]
Predict = Callable[[tables.Source, Any], Any]


def faults(profile: profiles.Profile, source: tables.Source, least: int) -> dict[str, str]:
    """What makes a batch unusable by its shape alone: a sentence by column ("" for the whole)."""
    for what, n in (("batch", tables.rows(source)), ("reference", profile["rows"])):
        if n < least:
            few = f"Too few rows in the {what} for a verdict: {n}, at least {least} are needed."
            return {"": few if n else f"The {what} is empty."}
    kinds, found = tables.fields(source), {}
    for name, entry in profile["columns"].items():
        want = "category" if entry["kind"] == "text" else entry["kind"]
        if name not in kinds:
            found[name] = f"Column `{name}` is absent."
        elif kinds[name] == "empty" != want:
            found[name] = f"Column `{name}` is wholly missing."
        elif want not in (kinds[name], "empty"):
            found[name] = f"Column `{name}` changed its type: {want} before, {kinds[name]} now."
    return found


def compare(entry: Row, found: Row, m: int, limits: Limits) -> Row:
    """Test one column: p-value and size (in units of its limit) of each kind of change."""
    n, row = entry["rows"], {"kind": entry["kind"], **profiles.effects(entry, found, m)}
    lost = [side["missing"] + side["infinite"] for side in (entry, found)]
    row |= {"missing_reference": lost[0] / n, "missing_current": lost[1] / m, "tests": {}}
    p = {"missing": st.rate_p(lost[0], n, lost[1], m)} if sum(lost) else {}
    if "psi" in row:
        a, b = np.array(entry["counts"]), found["counts"]
        if "edges" in entry:
            tenth = st.deciles(a)
            cells = st.merge_rare(*(np.bincount(tenth, side, 10) for side in (a, b)))
            parts = st.rank_p(a, b), st.ks_p(row["ks"], a.sum(), b.sum()), st.chi2_p(*cells)
            p["distribution"] = min(1.0, 3 * min(parts))
        else:
            unseen = found["unseen"].total()
            p["distribution"] = st.chi2_p(*st.merge_rare(a, b, unseen))
            if unseen + entry["singletons"]:
                p["unseen"] = st.unseen_p(entry["singletons"], a.sum(), unseen, b.sum() + unseen)
    usual = entry.get("usual", {})
    for kind in p:
        limit = {name: max(getattr(limits, name), usual.get(name, 0)) for name in SIZES[kind]}
        effect = max(row[name] / limit[name] for name in SIZES[kind] if name in row)
        row["tests"][kind] = (p[kind], effect)
    return row


def judge(table: list[Row], alpha: float) -> None:
    """Mark the columns in which something is significant, and those where it is large as well.

    As in Rabanser, Günnemann & Lipton 2019, each column is tested alone and the tests share the
    chance of a false alarm: Bonferroni over a column's kinds, Benjamini-Hochberg over columns.
    """
    for row in table:
        row["p"] = min([1.0, *(len(row["tests"]) * p for p, _ in row["tests"].values())])
    cut = st.benjamini_hochberg(np.array([row["p"] for row in table]), alpha)
    for row in table:
        row["sure"] = {k: e for k, (p, e) in row["tests"].items() if len(row["tests"]) * p <= cut}
        row["significant"] = int(bool(row["sure"]))
        row["drifted"] = int(any(effect >= 1 for effect in row["sure"].values()))
        row["effect"] = max([0.0, *(effect for _, effect in row["tests"].values())])


def remarks(row: Row, entry: Row, found: Row) -> Iterator[str]:
    """Say in words what is remarkable about one column."""
    kind, sure = entry["kind"], row["sure"]
    if kind == "date":
        before, now = (f"{e.get('first')} to {e.get('last')}" for e in (entry, found))
        yield f"{now} (reference {before}): dates move on, so only missing ones are tested"
    elif kind == "text":
        yield "free text: its length is compared"
    elif kind == "empty":
        yield "not compared: the reference has no values"
    elif kind == "other":
        yield "not compared: nested or binary values"
    elif sum(c > 0 for c in entry["counts"]) == 1:
        yield "constant in the reference"
    if "missing" in sure:
        yield f"missing {row['missing_reference']:.1%} → {row['missing_current']:.1%}"
    if found["infinite"]:
        yield f"{found['infinite']} infinite values, taken as missing"
    if found.get("unseen") and "unseen" in row:
        names = sorted(found["unseen"], key=lambda c: (-found["unseen"][c], c))
        yield f"never seen before, in {row['unseen']:.1%} of rows: {', '.join(names[:5])}"
    if "distribution" in sure and "edges" in entry:
        medians = (profiles.median(entry, side["counts"]) for side in (entry, found))
        yield "median {} → {}".format(*medians)
    elif "distribution" in sure:
        yield f"{row['total_variation']:.1%} of rows changed category"
    if row["significant"] and not row["drifted"]:
        yield "significant but small"


def check(
    profile: profiles.Profile, current: Any, settings: Settings, predict: Predict | None = None
) -> Row:
    """Check a batch (pandas, Arrow or an open Parquet file) against a profile.

    `predict(source, rows)` gives the model's answers for the rows of these numbers, as in
    `profile.build`; without it neither predictions nor the concept are checked. Returns `action`,
    `advice`, `reasons`, `notes`, `metrics` (flat), `columns`, `pairs` and `segments`.
    """
    source = tables.to_source(current)
    m, wrong = tables.rows(source), faults(profile, source, settings.least_rows)
    out: Row = {"faults": wrong, "columns": [], "pairs": [], "segments": [], "notes": []}
    out |= {"domain": {}, "concept": {}, "rows": (profile["rows"], m)}
    if "" in wrong:
        return conclude(out)
    at, coded = tables.draw(m), []

    def column(name: str, entry: Row, source: Any, at: Any, role: str = "feature") -> Row:
        found = profiles.count(entry, source, name, at)
        row = compare(entry, found, tables.rows(source), settings.of(name))
        return row | {"column": name, "role": role, "entry": entry, "found": found}

    for name, entry in profile["columns"].items():
        if name not in wrong:
            row = column(name, entry, source, at)
            coded.append(row["found"].pop("sample"))
            out["columns"].append(row)
            if row["missing_current"] == 1 > row["missing_reference"]:
                wrong[name] = f"Column `{name}` is wholly missing."
    label = profile.get("target", {}).get("name")
    labelled = tables.fields(source).get(label, "empty") != "empty"
    if labelled:
        row = column(label, profile["target"], source, at, "target")
        labelled = row["missing_current"] < 1
        out["columns"] += [row] if labelled else []
    judge(out["columns"], settings.alpha)
    if label and not labelled:
        out["notes"].append("Concept drift cannot be told without labels; the batch has none.")
    if wrong:
        return conclude(out)
    from esteira.drift import joint

    mine = np.stack(coded)
    out["pairs"] = joint.pairs(profile, mine, settings)
    if settings.classifier:
        out["domain"] = joint.domain(profile, mine, settings)
    if "task" in profile and predict:
        answers = predict(source, at)
        told = profiles.outcome(profile["task"], answers)
        every = np.arange(len(at))
        row = column("prediction", profile["prediction"], told, every, "prediction")
        judge([row], settings.alpha)
        out["columns"].append(row)
        if labelled:
            target = tables.pick(source, [label], at)[label]
            missed = profiles.residuals(profile["task"], target, answers)
            out["concept"] = joint.concept(profile, mine, missed, settings)
        else:
            out["notes"] += joint.label_shift(profile, answers)
    elif labelled or not label:
        needs = "the model's predictions" if label else "a target and predictions of it"
        out["notes"].append(f"Concept drift cannot be told without {needs}.")
    return conclude(out)


def conclude(out: Row) -> Row:
    """Turn the findings into the metrics, the reasons in words and the action."""
    table, domain, concept = out["columns"], out["domain"], out["concept"]
    for row in table:
        row["says"] = "; ".join(remarks(row, row["entry"], row["found"]))
    moved = [row for row in table if row["drifted"] and row["role"] != "prediction"]
    moved.sort(key=lambda row: -row["effect"])
    data = bool(moved or out["pairs"] or domain.get("drift"))
    broken, assessable = bool(concept.get("drift")), bool(concept.get("assessable"))
    action = "rework" if broken else "retrain" if data else "keep"
    action = "unusable" if out["faults"] else action
    reasons = []
    if moved:
        names = ", ".join(f"`{row['column']}`" for row in moved[:5])
        more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
        tested = sum(row["role"] != "prediction" for row in table)
        reasons.append(f"{len(moved)} of {tested} columns drifted: {names}{more}.")
        sure = min(row["p"] for row in moved)
        odds = "less than one in a million" if sure < 1e-6 else f"{sure:.1g}"
        says = "Without drift, the chance of a change as clear as the clearest of them"
        reasons.append(f"{says} is {odds}.")
    for left, right, before, now in out["pairs"][:3]:
        how = f"rank correlation {before:.2f} → {now:.2f}"
        reasons.append(f"`{left}` and `{right}` no longer go together as they did: {how}.")
    if domain.get("drift"):
        says = "A classifier can tell rows of the batch from rows of the reference"
        reasons.append(f"{says} (AUC {domain['auc']:.2f}).")
    reasons += concept.get("says", [])
    if data and broken:
        out["notes"].append("Data and concept moved together: look at the segments first.")
    elif data and concept and not assessable:
        out["notes"].append("Label the new region, retrain with it, then check again.")
    metrics = figures(out) | {
        "data_drift": int(data),
        "concept_drift": int(broken),
        "concept_assessable": int(assessable),
        "action": ACTIONS.index(action),
    }
    reasons = list(out["faults"].values()) or reasons
    reasons = reasons or ["Nothing is both significant and large."]
    return out | {
        "metrics": metrics,
        "action": action,
        "advice": ADVICE[action],
        "reasons": reasons,
        "segments": concept.get("segments", []),
    }


def figures(out: Row) -> dict[str, float]:
    """The measured part of the flat metrics."""
    features = [row for row in out["columns"] if row["role"] == "feature"]
    for row in features:
        row["missing_increase"] = row["missing_current"] - row["missing_reference"]

    def top(name: str) -> float:
        return max([0.0, *(row.get(name, 0.0) for row in features)])

    drifted = sum(row["drifted"] for row in features)
    found = {
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
    others = [r for r in out["columns"] if r["role"] != "feature" and "psi" in r]
    found |= {f"{row['role']}_psi": row["psi"] for row in others}
    found |= {"domain_auc": out["domain"]["auc"]} if out["domain"] else {}
    return found | out["concept"].get("metrics", {})


def write(out: Row, folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`."""
    from esteira.drift import report

    files.write_metrics(Path(folder, "metrics.json"), out["metrics"])
    files.write_text(Path(folder, "columns.csv"), report.columns_csv(out))
    files.write_text(Path(folder, "histograms.csv"), report.histograms_csv(out))
    files.write_text(Path(folder, "report.html"), report.html(out, title))


def compare_files(
    reference: str,
    current: str,
    target: str | None = None,
    predictions: str | None = None,
    out: str = "drift",
    fast: bool = False,
) -> Row:
    """Check one table file, `current`, against another or against a profile (.json).

    Writes the report's files into `out` and returns the result. `fast` leaves out the domain
    classifier, the only part without labels that needs scikit-learn. Raises UserError.
    """
    if Path(out).exists() and not Path(out).is_dir():
        raise UserError(f"{out} is a file: give a folder for the report with --out.")
    source = tables.open_table(current)
    if Path(reference).suffix == ".json":
        profile = profiles.read(reference)
    else:
        profile = profiles.of_table(tables.open_table(reference), target, predictions)
    if predictions and predictions not in tables.fields(source):
        raise UserError(f"{current} has no column `{predictions}`: name one that it has.")

    def predict(source: tables.Source, at: Any) -> Any:
        return profiles.given(source, predictions, profile["task"], at)

    settings = Settings(classifier=not fast)
    result = check(profile, source, settings, predict if predictions else None)
    write(result, out, f"{Path(current).name} against {Path(reference).name}")
    return result
