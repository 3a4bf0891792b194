"""Compare a batch with the reference profile, and say what happened and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from esteira import files
from esteira.drift import profile as profiles
from esteira.drift import statistics as st
from esteira.errors import UserError
from esteira.params import Section, parse

ACTIONS = ("keep", "retrain", "rework", "unusable")  # the metric `action` is the place in here
EXITS = {"keep": 0, "retrain": 10, "rework": 11, "unusable": 2}
ADVICE = {
    "keep": "Nothing to do.",
    "retrain": "Retrain on recent data.",
    "rework": "Rework features, target or model; retraining on recent labels is a stop-gap.",
    "unusable": "Mend the batch where it is made, then check again; do not score it.",
}


class Limits(Section):
    """From which size on a significant change of one column counts."""

    ks: float = 0.1
    psi: float = 0.1
    total_variation: float = 0.08
    missing: float = 0.2
    unseen: float = 0.005


class Settings(Limits):
    """Thresholds of the check: sizes, and the chance of an alarm without drift."""

    alpha: float = 0.02
    correlation: float = 0.1
    correlation_alpha: float = 0.005
    auc: float = 0.55
    auc_alpha: float = 0.01
    loss: float = 0.15
    gain: float = 0.1
    concept_alpha: float = 0.03
    support: float = 0.5
    least_rows: int = 50
    classifier: bool = True
    columns: dict[str, dict[str, float]] = Field(default_factory=dict)

    def of(self, name: str) -> Limits:
        """The limits of one column: the general ones, less what `columns` overrides."""
        general = {key: getattr(self, key) for key in Limits.model_fields}
        where = f"drift_check.columns.{name}"
        return parse(general | self.columns.get(name, {}), Limits, where)


def faults(profile: profiles.Profile, source: profiles.Source, least: int) -> list[str]:
    """Say what makes a batch unusable by its shape alone, one sentence for each fault."""
    if profiles.rows(source) == 0:
        return ["The batch is empty."]
    if profiles.rows(source) < least:
        return [f"Too few rows for a verdict: {profiles.rows(source)}, at least {least} needed."]
    kinds, found = profiles.fields(source), []
    for name, entry in profile["columns"].items():
        want = {"text": "category"}.get(entry["kind"], entry["kind"])
        if name not in kinds:
            found.append(f"Column `{name}` is absent.")
        elif kinds[name] != want and "empty" not in (kinds[name], want):
            found.append(f"Column `{name}` changed its type: {want} before, {kinds[name]} now.")
    return found


def compare(entry: dict[str, Any], found: dict[str, Any], m: int, limits: Limits) -> dict[str, Any]:
    """Test one column: p-value, effect and limit of each kind of change, and what to say of it."""
    n, kind = entry["rows"], entry["kind"]
    result: dict[str, Any] = {"kind": kind, "tests": {}, "says": []}
    lost = [side["missing"] + side["infinite"] for side in (entry, found)]
    result |= {"missing_reference": lost[0] / n, "missing_current": lost[1] / m}
    if sum(lost):
        p = st.rate_p(lost[0], n, lost[1], m)
        result["tests"]["missing"] = (p, st.cohens_h(lost[0] / n, lost[1] / m) / limits.missing)
    if "counts" not in entry or lost[0] == n or lost[1] == m:
        return result
    a, b = np.array(entry["counts"]), found["counts"]
    if kind == "category":
        unseen = found["unseen"].total()
        result["unseen_share"] = unseen / m
        if unseen + entry["singletons"]:
            p = st.unseen_p(entry["singletons"], a.sum(), unseen, b.sum() + unseen)
            result["tests"]["unseen"] = (p, unseen / m / limits.unseen)
        a, b = st.merge_rare(np.append(a, 0), np.append(b, unseen))
        p, ks = st.chi2_p(a, b), 0.0
        result["total_variation"] = tv = st.total_variation(a, b)
    else:
        result["ks"] = ks = st.ks_distance(a, b)
        p = 3 * min(st.rank_p(a, b), st.ks_p(ks, a.sum(), b.sum()))
        tenth = st.deciles(a)
        a, b = np.bincount(tenth, a, 10), np.bincount(tenth, b, 10)
        used = a + b > 0
        a, b, tv = a[used], b[used], 0.0
        p = min(1.0, p, 3 * st.chi2_p(a, b))
    result["psi"] = st.psi(a, b)
    effect = max(ks / limits.ks, result["psi"] / limits.psi, tv / limits.total_variation)
    result["tests"]["distribution"] = (p, effect)
    return result


def middle(entry: dict[str, Any], counts: Any) -> float:
    """Median of a numeric column, to the nearest edge."""
    return entry["edges"][
        min(np.searchsorted(np.cumsum(counts), sum(counts) / 2), len(entry["edges"]) - 1)
    ]


def judge(table: list[dict[str, Any]], alpha: float) -> None:
    """Mark what is significant (Benjamini-Hochberg over columns) and what is large as well.

    A column's kinds of change share its chance of a false alarm (Bonferroni); so testing each
    kind alone and asking for agreement is what Rabanser, Günnemann & Lipton 2019 found to hold.
    """
    for row in table:
        row["p"] = min([1.0, *(len(row["tests"]) * p for p, _ in row["tests"].values())])
    cut = st.benjamini_hochberg(np.array([r["p"] for r in table]), alpha)
    for row in table:
        sure = {k: e for k, (p, e) in row["tests"].items() if len(row["tests"]) * p <= cut}
        row["significant"] = int(bool(sure))
        row["sure"] = sorted(sure)
        row["changes"] = [k for k, effect in sure.items() if effect >= 1]
        row["drifted"] = int(bool(row["changes"]))
        row["effect"] = max([0.0, *(e for _, e in row["tests"].values())])


def describe(row: dict[str, Any], entry: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Say in words what is remarkable about one column."""
    says = []
    if entry["kind"] == "date":
        says.append(
            f"dates from {found.get('first')} to {found.get('last')} (reference {entry.get('first')}"
            f" to {entry.get('last')}): a calendar moves on, so only missing cells are tested"
        )
    elif entry["kind"] == "text":
        says.append("free text: its length and missing cells are tested")
    elif entry["kind"] in ("empty", "other"):
        says.append(
            "not compared: "
            + (
                "no values in the reference"
                if entry["kind"] == "empty"
                else "nested or binary values"
            )
        )
    elif sum(c > 0 for c in entry["counts"]) == 1:
        says.append("constant in the reference")
    if "missing" in row["changes"]:
        says.append(
            f"missing {percent(row['missing_reference'])} → {percent(row['missing_current'])}"
        )
    if found["infinite"]:
        says.append(
            f"{found['infinite']} infinite values (reference {entry['infinite']}), taken as missing"
        )
    if found.get("unseen"):
        names = ", ".join(sorted(found["unseen"], key=lambda c: (-found["unseen"][c], c))[:5])
        says.append(
            f"categories never seen before in {percent(row['unseen_share'])} of rows: {names}"
        )
    if "distribution" in row["sure"] and "edges" in entry:
        says.append(
            f"median {middle(entry, entry['counts']):.4g} → {middle(entry, found['counts']):.4g}"
        )
    elif "distribution" in row["sure"] and "total_variation" in row:
        says.append(f"{percent(row['total_variation'])} of rows changed category")
    if row["significant"] and not row["drifted"]:
        says.append("significant but small")
    return says


def percent(share: float) -> str:
    """A share in words, to a tenth."""
    return f"{100 * share:.1f} %"


def check(
    profile: profiles.Profile,
    current: Any,
    settings: Settings,
    predict: Callable[[profiles.Source, Any], Any] | None = None,
) -> dict[str, Any]:
    """Check a batch against a profile.

    `predict(source, rows)` gives the model's answers for the rows of these numbers, as in
    `profile.build`; without it the prediction and the concept are not checked. Returns `verdict`
    (action, reasons, notes), `metrics` (flat), `columns`, `pairs` and `segments`.
    """
    source = profiles.to_source(current)
    m, wrong = profiles.rows(source), faults(profile, source, settings.least_rows)
    out: dict[str, Any] = {"faults": wrong, "columns": [], "pairs": [], "segments": [], "notes": []}
    out["metrics"] = {"rows_reference": profile["rows"], "rows_current": m}
    if m < settings.least_rows:
        return conclude(out)
    at, coded, watched = profiles.draw(m), {}, dict(profile["columns"])
    for name, entry in watched.items():
        if not any(f"`{name}`" in fault for fault in wrong):
            row, coded[name] = column(name, entry, source, at, settings)
            out["columns"].append(row)
            if row["missing_current"] == 1 and row["missing_reference"] < 1:
                wrong.append(f"Column `{name}` is wholly missing.")
    label = profile.get("target", {}).get("name")
    labels = bool(label) and profiles.fields(source).get(label, "empty") != "empty"
    if labels:
        row, _ = column(label, profile["target"], source, at, settings, "target")
        labels = row["missing_current"] < 1
        out["columns"] += [row] if labels else []
    if profile.get("target") and not labels:
        out["notes"].append("Concept drift cannot be told without labels: the batch has none.")
    judge(out["columns"], settings.alpha)
    if "task" in profile and predict is not None and not wrong:
        answers = predict(source, at)
        told = profiles.outcome(profile["task"], answers)
        every = np.arange(len(at))
        row, _ = column("prediction", profile["prediction"], told, every, settings, "prediction")
        judge([row], settings.alpha)
        out["columns"].append(row)
    if not wrong:
        from esteira.drift import joint

        mine = np.stack(list(coded.values()))
        out |= {"pairs": joint.pairs(profile, mine, settings)}
        if settings.classifier:
            out["domain"] = joint.domain(profile, mine, settings)
        if "task" in profile and predict is not None and labels:
            target = profiles.pick(source, [label], at)[label]
            missed = profiles.residuals(profile["task"], target, answers)
            out["concept"] = joint.concept(profile, mine, missed, settings)
            out["segments"] = out["concept"].pop("segments")
    return conclude(out)


def column(
    name: str,
    entry: dict[str, Any],
    source: profiles.Source,
    at: Any,
    settings: Settings,
    role: str = "feature",
) -> tuple[dict[str, Any], Any]:
    """Count and compare one column; also the codes of the sampled rows."""
    found = profiles.count(entry, source, name, at)
    row = compare(entry, found, profiles.rows(source), settings.of(name))
    row |= {"column": name, "role": role, "entry": entry, "found": found}
    return row, found.pop("sample")


def conclude(out: dict[str, Any]) -> dict[str, Any]:
    """Turn the findings into the metrics, the reasons in words and the action."""
    table = out["columns"]
    for row in table:
        row["says"] = describe(row, row["entry"], row["found"])
    moved = sorted(
        (r for r in table if r["drifted"] and r["role"] != "prediction"), key=lambda r: -r["effect"]
    )
    domain, concept = out.get("domain", {}), out.get("concept", {})
    data = bool(moved or out["pairs"] or domain.get("drift"))
    broken = bool(concept.get("drift"))
    action = "unusable" if out["faults"] else "rework" if broken else "retrain" if data else "keep"
    reasons = list(out["faults"])
    if moved:
        names = ", ".join(f"`{row['column']}`" for row in moved[:5])
        more = f" and {len(moved) - 5} more" if len(moved) > 5 else ""
        reasons.append(f"{len(moved)} of {len(table)} columns drifted: {names}{more}.")
    for left, right, before, now in out["pairs"][:3]:
        reasons.append(
            f"`{left}` and `{right}` go together differently: rank correlation {before:.2f} → {now:.2f}."
        )
    if domain.get("drift"):
        reasons.append(
            f"A classifier tells the batch from the reference (AUC {domain['auc']:.2f})."
        )
    reasons += concept.get("says", [])
    features = [r for r in table if r["role"] == "feature"]
    metrics = out["metrics"] | {
        "columns_checked": len(features),
        "columns_drifted": sum(r["drifted"] for r in features),
        "share_drifted": sum(r["drifted"] for r in features) / max(1, len(features)),
        "max_ks": max([0.0, *(r.get("ks", 0.0) for r in features)]),
        "max_psi": max([0.0, *(r.get("psi", 0.0) for r in features)]),
        "missing_max_increase": max(
            [0.0, *(r["missing_current"] - r["missing_reference"] for r in features)]
        ),
        "unseen_category_max_share": max([0.0, *(r.get("unseen_share", 0.0) for r in features)]),
        "correlation_pairs_changed": len(out["pairs"]),
    }
    metrics |= {
        f"{r['role']}_psi": r["psi"] for r in table if r["role"] != "feature" and "psi" in r
    }
    metrics |= {"domain_auc": domain["auc"]} if domain else {}
    metrics |= concept.get("metrics", {})
    metrics |= {
        "schema_faults": len(out["faults"]),
        "data_drift": int(data),
        "concept_drift": int(broken),
        "concept_assessable": int(bool(concept.get("assessable"))),
        "action": ACTIONS.index(action),
    }
    if data and not out["faults"] and not broken and concept and not concept["assessable"]:
        out["notes"].append("Label the new region, retrain with it, then check again.")
    if data and broken:
        out["notes"].append("Data and concept moved together: look at the segments first.")
    return out | {
        "metrics": metrics,
        "action": action,
        "advice": ADVICE[action],
        "reasons": reasons or ["Nothing is both significant and large."],
    }


def compare_files(
    reference: str | Path,
    current: str | Path,
    target: str | None = None,
    predictions: str | None = None,
    out: str | Path = "drift",
    fast: bool = False,
) -> dict[str, Any]:
    """Check one table file, `current`, against another or against a profile (.json).

    Writes the report's files into `out` and returns the result. `fast` leaves out the domain
    classifier, the one part without labels that needs scikit-learn. Raises UserError.
    """
    source = profiles.open_table(current)
    if Path(reference).suffix == ".json":
        profile = profiles.read(reference)
    else:
        table = profiles.open_table(reference)
        for name in filter(None, (target, predictions)):
            if name not in profiles.fields(table):
                raise UserError(f"{reference} has no column `{name}`: name one that it has.")
        profile = profiles.of_table(table, target, predictions)
    if predictions and predictions not in profiles.fields(source):
        raise UserError(f"{current} has no column `{predictions}`: the reference has one.")

    def predict(source: profiles.Source, at: Any) -> Any:
        return profiles.given(source, predictions, profile["task"], at)

    settings = Settings(classifier=not fast)
    result = check(profile, source, settings, predict if predictions else None)
    write(result, out, f"{Path(current).name} against {Path(reference).name}")
    return result


def write(out: dict[str, Any], folder: str | Path, title: str = "Drift check") -> None:
    """Write metrics.json, columns.csv, histograms.csv and report.html into `folder`."""
    from esteira.drift import report

    folder = Path(folder)
    files.write_metrics(folder / "metrics.json", out["metrics"])
    files.write_text(folder / "columns.csv", report.columns_csv(out))
    files.write_text(folder / "histograms.csv", report.histograms_csv(out))
    files.write_text(folder / "report.html", report.html(out, title))
