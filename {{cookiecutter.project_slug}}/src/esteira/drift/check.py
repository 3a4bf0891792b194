"""Compare a batch with the reference profile; say what happened, how sure that is, what to do."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift import joint
from esteira.drift import statistics as st
from esteira.drift.columns import NEVER, Entry, bars, compare, count, fits
from esteira.drift.profile import Predict, Profile, build, entries, residuals
from esteira.drift.settings import Limits, Settings
from esteira.drift.tables import Source

VERDICTS = {  # the metric `action` is the place in here
    "keep": ("No drift that matters", "Nothing to do."),
    "retrain": ("The data drifted", "Retrain on recent data."),
    "rework": ("The concept drifted", "Rework features, target, model; retraining is a stop-gap."),
    "unusable": ("The batch cannot be used", "Mend it where it is made, or wait for more rows."),
}
BLOCKS, BLOCK = 20, 50  # at most so many blocks of a time series, of at least so many rows
NOT_TESTED = {
    "date": "dates move on: only missing ones are tested",
    "text": "free text: only missing ones are tested",
    "empty": "not compared: the reference has no values",
    "other": "not compared: neither numbers, words nor dates",
}
Row = dict[str, Any]


def column(name: str, role: str, entry: Entry, source: Source, limits: Limits) -> Row:
    """Count and test one column: its shares of missing cells, and each test's p and effect.

    An effect is in units of its limit. p-values are adjusted to the number of the column's tests.
    """
    found, usual = count(entry, source, name), entry.get("usual", {})
    row: Row = {"column": name, "role": role, "kind": entry["kind"], "entry": entry, "found": found}
    row["missing_reference"] = entry["missing"] / entry["rows"]
    row["missing_current"] = found["missing"] / source.rows
    row["missing_increase"] = row["missing_current"] - row["missing_reference"]
    row["tests"] = {}
    tests = [x for x in compare(entry, found, source.rows) if (role, x[0]) != ("target", "missing")]
    for kind, p, sizes in tests:
        effect = max(v / max(getattr(limits, k), usual.get(k, 0), 1e-9) for k, v in sizes.items())
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
    if entry["kind"] in NOT_TESTED:
        yield NOT_TESTED[entry["kind"]]
    elif np.count_nonzero(entry["counts"]) == 1:
        yield "constant in the reference"
    if row["role"] == "target" and found["missing"]:
        yield f"{row['missing_current']:.0%} of the rows have no label"
    if "missing" in row["sure"]:
        yield f"missing {row['missing_reference']:.1%} → {row['missing_current']:.1%}"
    if found["infinite"]:
        yield f"{found['infinite']} infinite values, taken as missing"
    if found["unseen"] and "unseen" in row:
        names = sorted(found["unseen"], key=lambda c: (-found["unseen"][c], c))
        yield f"{NEVER}, in {row['unseen']:.1%} of rows: {', '.join(names[:5])}"
    if "distribution" in row["sure"] and "edges" in entry:
        before, now = (median(entry["edges"], side["counts"]) for side in (entry, found))
        yield f"median {before} → {now}" if before != now else f"the median stays {now}"
    elif "distribution" in row["sure"]:
        known = [bar for bar in bars(entry, found) if bar[0] != NEVER]
        name, before, now = max(known, key=lambda bar: abs(bar[1] - bar[2]))
        yield f"{name} {before:.1%} → {now:.1%}"
    if row["significant"] and not row["drifted"]:
        yield "significant but small"


def median(edges: list[float], counts: Any) -> str:
    """Median of a numeric column, to the nearest edge, in words."""
    upto = np.cumsum(counts)
    cell = int(np.searchsorted(upto, upto[-1] / 2))
    if cell in (0, len(edges)):
        return f"below {edges[1]:.6g}" if cell == 0 else f"above {edges[-1]:.6g}"
    return f"{edges[cell]:.6g}"


def check(
    profile: Profile, current: Any, settings: Settings, predict: Predict | None = None
) -> Row:
    """Check a batch (pandas, Arrow or a `Source`) against a profile.

    `predict` gives the model's answers for the rows of these numbers, as in `profile.build`;
    without it neither predictions nor the concept are checked. Returns `action`, `headline`,
    `advice`, `reasons`, `notes`, `metrics` (flat), `columns`, `pairs` and `segments`.
    """
    source = current if isinstance(current, Source) else Source(current)
    rows, least = {"reference": profile["rows"], "batch": source.rows}, settings.least_rows
    few = f"The {{}} has {{}} rows: for a verdict it needs at least {least}."
    faults = [few.format(what, n) for what, n in rows.items() if n < least]
    out: Row = {"rows": list(rows.values()), "faults": faults, "columns": [], "notes": []}
    out |= {"pairs": [], "domain": {}, "concept": {}}
    if not faults:
        examine(out, profile, source, settings, predict)
    return conclude(out)


def examine(
    out: Row, profile: Profile, source: Source, settings: Settings, predict: Predict | None
) -> None:
    """Compare all that can be compared, and put it into `out`."""
    known, label = entries(profile), profile.get("target", {}).get("name")
    faults, table, notes = out["faults"], out["columns"], out["notes"]
    truth = source.sample(label) if label in source.kinds else pa.nulls(0)
    labelled = truth.is_null(nan_is_null=True).false_count
    if not labelled:
        known.pop(label, None)
    for name, entry in known.items():
        now = source.kinds.get(name)
        if now is None:
            faults.append(f"Column `{name}` is absent.")
        elif not fits(entry, now):
            faults.append(f"Column `{name}` changed its type: {entry['kind']} before, {now} now.")
        else:
            role = "target" if name == label else "feature"
            row = column(name, role, entry, source, settings.of(name))
            table.append(row)
            if row["missing_current"] == 1 > row["missing_reference"]:
                faults.append(f"Column `{name}` is wholly missing.")
            if role == "target" and row["found"]["unseen"].total() > sum(row["found"]["counts"]):
                names = ", ".join(sorted(row["found"]["unseen"])[:5])
                faults.append(f"Most labels are classes that `{name}` never had: {names}.")
    judge(table, settings.alpha)
    if left := [f"`{row['column']}`" for row in table if row["kind"] == "other"]:
        notes.append(f"Columns of types that cannot be compared: {', '.join(left)}.")
    codes = [row["found"]["sample"] for row in table if row["role"] == "feature"]
    if len(codes) < len(profile["columns"]):
        return
    mine = np.stack(codes)
    out["pairs"] = joint.pairs(profile, mine, settings)
    if settings.classifier:
        out["domain"] = joint.domain(profile, mine, settings)
    asked = predict if "prediction" in profile else None
    lacks = [what for what, there in (("labels", labelled), ("predictions", asked)) if not there]
    if lacks:
        notes.append(f"Concept drift cannot be told without {' and '.join(lacks)}.")
    if faults or not asked:  # a model need not bear such a batch
        return
    answers = pa.array(asked(source.drawn), from_pandas=True)
    told, limits = Source(pa.table({"prediction": answers})), settings.of("prediction")
    row = column("prediction", "prediction", profile["prediction"], told, limits)
    table.append(row)
    judge([row], settings.alpha)
    if row["drifted"]:
        notes.append(f"The predictions drifted: {row['says']} (a hint, no alarm).")
    if row["missing_current"] == 1:
        faults.append("The predictions are wholly missing.")
    if labelled:
        missed = residuals(profile["target"], profile["positive"], truth, answers)
        out["concept"] = joint.concept(profile, mine, missed, settings)


def conclude(out: Row) -> Row:
    """Turn the findings into the metrics, the reasons in words and the action."""
    concept, features = out["concept"], [r for r in out["columns"] if r["role"] == "feature"]
    moved = [row for row in out["columns"] if row["drifted"] and row["role"] != "prediction"]
    moved.sort(key=lambda row: -row["effect"])
    data = bool(moved or out["pairs"] or out["domain"].get("drift"))
    broken, assessable = bool(concept.get("drift")), bool(concept.get("assessable"))
    action = "unusable" if out["faults"] else "rework" if broken else "retrain" if data else "keep"
    if data and broken:
        out["notes"].append("Data and concept moved together: see first where the model got worse.")
    largest = {"max_ks": "ks", "max_psi": "psi"}
    largest |= {"missing_max_increase": "missing_increase", "unseen_category_max_share": "unseen"}
    drifted = sum(row["drifted"] for row in features)
    metrics = {"rows_reference": out["rows"][0], "rows_current": out["rows"][1]}
    metrics |= {"columns_checked": len(features), "columns_drifted": drifted}
    metrics |= {"share_drifted": drifted / max(1, len(features))}
    metrics |= {k: max([0.0, *(r.get(v, 0.0) for r in features)]) for k, v in largest.items()}
    metrics |= {"correlation_pairs_changed": len(out["pairs"]), "schema_faults": len(out["faults"])}
    others = [row for row in out["columns"] if row["role"] != "feature" and "psi" in row]
    metrics |= {f"{row['role']}_psi": row["psi"] for row in others}
    metrics |= {"domain_auc": out["domain"]["auc"]} if out["domain"] else {}
    metrics |= concept.get("metrics", {}) | {"data_drift": int(data), "concept_drift": int(broken)}
    metrics |= {"concept_assessable": int(assessable), "action": list(VERDICTS).index(action)}
    reasons = out["faults"] or [*findings(out, moved)]
    out |= {"metrics": metrics, "action": action, "segments": concept.get("segments", [])}
    out["headline"], out["advice"] = VERDICTS[action]
    if action == "keep" and not assessable:
        out["advice"] = "Nothing to do for the data; the concept was not tested."
    return out | {"reasons": reasons or ["Nothing is both significant and large."]}


def summary(out: Row) -> str:
    """The verdict in a few lines of text."""
    return "\n  ".join([f"{out['action']}: {out['advice']}", *out["reasons"], *out["notes"]])


def findings(out: Row, moved: list[Row]) -> Iterator[str]:
    """Say in sentences what drifted, and how sure that is."""
    names = [f"`{row['column']}`" for row in moved if row["role"] == "feature"]
    checked = sum(row["role"] == "feature" for row in out["columns"])
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        yield f"{len(names)} of {checked} columns drifted: {', '.join(names[:5])}{more}."
    yield from (f"The target `{r['column']}` drifted." for r in moved if r["role"] == "target")
    if moved:
        sure = min(1.0, max(1e-6, min(row["p"] for row in moved)) * (checked + 1))
        yield f"Without drift, the chance of a change this clear is at most {100 * sure:.2g} %."
    for left, right, before, now in out["pairs"][:3]:
        how = f"rank correlation {before:.2f} → {now:.2f}"
        yield f"`{left}` and `{right}` no longer go together as they did: {how}."
    if out["domain"].get("drift"):
        auc = f"AUC {out['domain']['auc']:.2f}"
        yield f"A classifier can tell rows of the batch from rows of the reference ({auc})."
    yield from out["concept"].get("says", [])


def calibrate(profile: Profile, source: Source) -> None:
    """Fill in, as `usual`, the sizes of change that a batch must exceed beside its limits.

    Rows of a time series are not independent, so blocks of them differ without drift. Of what the
    check measures of each block, against all the other rows, this is the upper prediction limit for
    one more (by Student's t; Hahn & Meeker 1991), at 1 % over the number of columns. Fewer than
    four blocks tell nothing, and the limits stay as they are.
    """
    import pandas as pd
    from scipy import stats

    blocks = min(BLOCKS, source.rows // BLOCK)
    if blocks < 4:
        return
    known, rows, features = entries(profile), [], list(profile["columns"])
    target = next((name for name in known if name not in features), None)
    table = pa.table({n: pa.chunked_array([x for x, _ in source.pieces(n)]) for n in known})
    settings = Settings(alpha=1.0, correlation=0.0, correlation_alpha=1.0, least_rows=1)
    for at in np.array_split(np.arange(source.rows), blocks):
        rest = pa.concat_tables([table.slice(0, at[0]), table.slice(at[-1] + 1)])
        reference = build(rest, features=features, target=target)
        found = check(reference, table.slice(at[0], len(at)), settings)
        rows += [*found["columns"], {"column": 0, "auc": found["domain"].get("auc")}]
        rows += [{"column": 0, "correlation": abs(x - y)} for *_, x, y in found["pairs"]]
    if "residuals" in profile:
        loss = joint.losses(profile, np.array(profile["residuals"]))
        parts = [part.mean() for part in np.array_split(loss, blocks) if len(part)]
        rows += [{"column": 0, "loss": part / (loss.mean() or 1.0) - 1} for part in parts]
    far = stats.t.isf(0.01 / len(known), blocks - 1) * np.sqrt(1 + 1 / blocks)
    sizes = [*Limits.model_fields, "correlation", "auc", "loss"]
    usual = pd.DataFrame(rows).reindex(columns=["column", *sizes]).groupby("column", sort=False)
    most = pd.Series({"ks": 1, "total_variation": 1, "unseen": 1}, sizes)  # of a whole column
    for name, found in (usual.mean() + far * usual.std()).clip(upper=most, axis=1).iterrows():
        (known[name] if name != 0 else profile)["usual"] = found.dropna().round(6).to_dict()
