"""Compare a batch with the reference profile; say what happened, how sure that is, what to do."""

from typing import Any

import numpy as np
import pyarrow as pa

from esteira.drift import joint, statistics
from esteira.drift.columns import KINDS, Row, Source, compare, count, decode, fits
from esteira.drift.profile import Predict, ask, build, follow, residuals
from esteira.drift.settings import Limits, Settings

VERDICTS = {  # the metric `action` is the place in here
    "keep": ("No drift that matters", "Nothing to do."),
    "retrain": ("The data drifted", "Retrain on recent data."),
    "rework": ("The concept drifted", "Rework features, target, model; retraining is a stop-gap."),
    "unusable": ("The batch cannot be used", "Mend it where it is made, or wait for more rows."),
}
BLOCKS, BLOCK = 20, 50  # at most so many blocks of a time series, of at least so many rows


def column(name: str, role: str, entry: Row, source: Source, settings: Settings) -> Row:
    """Count and test one column: its shares of missing cells, and each test's p and effect.

    An effect is in units of its limit. p-values are adjusted to the number of the column's tests.
    """
    found, usual, limits = count(entry, source, name), entry.get("usual", {}), settings.of(name)
    row: Row = {"column": name, "role": role, "kind": entry["kind"], "entry": entry, "found": found}
    old, new = (side["missing"] / side["rows"] for side in (entry, found))
    row |= {"missing_reference": old, "missing_current": new, "missing_increase": new - old}
    tests = [x for x in compare(entry, found) if (role, x[0]) != ("target", "missing")]
    row |= {"tests": {}, "p": 1.0, "effect": 0.0}
    for kind, p, sizes in tests:
        effect = max(v / max(limits[k], usual.get(k, 0), 1e-9) for k, v in sizes.items())
        row["tests"][kind] = p * len(tests), effect
        row |= sizes | {"p": min(row["p"], p * len(tests)), "effect": max(row["effect"], effect)}
    return row


def judge(table: list[Row], alpha: float) -> None:
    """Mark the columns in which something is significant, and those where it is large as well.

    As in Rabanser, Günnemann & Lipton 2019, each column is tested alone and the tests share the
    chance of a false alarm: Bonferroni over a column's tests, Benjamini-Hochberg over columns.
    """
    cut = statistics.benjamini_hochberg(np.array([row["p"] for row in table]), alpha)
    for row in table:
        row["sure"] = {kind: effect for kind, (p, effect) in row["tests"].items() if p <= cut}
        row["significant"] = int(bool(row["sure"]))
        row["drifted"] = int(max(row["sure"].values(), default=0) >= 1)
        row["says"] = "; ".join(remarks(row, row["entry"], row["found"]))


def remarks(row: Row, entry: Row, found: Row) -> list[str]:
    """Say in words what is remarkable about one column."""
    old, new, unseen = row["missing_reference"], row["missing_current"], found["unseen"]
    names = sorted(sorted(unseen), key=unseen.get, reverse=True)[:5]
    says = {
        KINDS[entry["kind"]][2]: True,
        "constant in the reference": np.count_nonzero(entry["counts"]) == 1,
        f"{new:.0%} of the rows have no label": row["role"] == "target" and new,
        f"missing {old:.1%} → {new:.1%}": "missing" in row["sure"],
        f"{found['infinite']} infinite values, taken as missing": found["infinite"],
        f"never seen before, in {row.get('unseen', 0):.1%} of rows: {', '.join(names)}": unseen,
        movement(entry, found) if "distribution" in row["sure"] else "": True,
        "significant but small": row["significant"] and not row["drifted"],
    }
    return [text for text, when in says.items() if text and when]


def movement(entry: Row, found: Row) -> str:
    """Say in words how the distribution of one column moved."""
    if "edges" in entry:
        words = [f"{edge:.6g}" for edge in entry["edges"]]
        words = [f"below {words[1]}", *words[1:], f"above {words[-1]}"]
        uptos = (np.cumsum(side["counts"]) for side in (entry, found))
        before, now = (words[np.searchsorted(upto, upto[-1] / 2)] for upto in uptos)
        return f"median {before} → {now}" if before != now else f"the median stays {now}"
    p, q = (np.array(x["counts"]) / max(1, x["rows"] - x["missing"]) for x in (entry, found))
    most = np.abs(p - q).argmax()
    return f"{entry['cells'][most]} {p[most]:.1%} → {q[most]:.1%}"


def check(profile: Row, current: Any, settings: Settings, predict: Predict = None) -> Row:
    """Check a batch (pandas, Arrow or a `Source`) against a profile.

    `predict` gives the model's answers for the rows of these numbers, as in `profile.follow`;
    without it neither predictions nor the concept are checked. Returns `action`, `headline`,
    `advice`, `reasons`, `notes`, `metrics` (flat), `columns`, `pairs` and `segments`.
    """
    source = current if isinstance(current, Source) else Source(current)
    out: Row = {key: [] for key in ("columns", "pairs", "segments", "reasons", "notes")}
    out["metrics"] = metrics = {"rows_reference": profile["rows"], "rows_current": source.rows}
    few, least = "The {} has {} rows: for a verdict it needs at least {}.", settings.least_rows
    rows = zip(("reference", "batch"), metrics.values(), strict=True)
    out["faults"] = faults = [few.format(what, n, least) for what, n in rows if n < least]
    metrics |= {"data_drift": 0, "concept_assessable": 0, "concept_drift": 0}
    if not faults:
        usual = {k: max(v, getattr(settings, k)) for k, v in profile.get("usual", {}).items()}
        examine(out, profile, source, settings.model_copy(update=usual), predict)
    judged = [row for row in out["columns"] if row["role"] != "prediction"]
    features = [row for row in judged if row["role"] == "feature"]
    moved = sorted((row for row in judged if row["drifted"]), key=lambda row: -row["effect"])
    data, broken = bool(moved or metrics["data_drift"]), metrics["concept_drift"]
    action = "unusable" if faults else "rework" if broken else "retrain" if data else "keep"
    if data and broken:
        out["notes"].append("Data and concept moved together: see first where the model got worse.")
    n, k = len(features), sum(row["drifted"] for row in features)
    metrics |= {"columns_checked": n, "columns_drifted": k, "share_drifted": k / max(1, n)}
    largest = {"max_ks": "ks", "max_psi": "psi"}
    largest |= {"missing_max_increase": "missing_increase", "unseen_category_max_share": "unseen"}
    metrics |= {k: max([0.0, *(r.get(v, 0.0) for r in features)]) for k, v in largest.items()}
    metrics |= {"correlation_pairs_changed": len(out["pairs"]), "schema_faults": len(faults)}
    metrics |= {f"{r['role']}_psi": r["psi"] for r in out["columns"][n:] if "psi" in r}
    metrics |= {"data_drift": int(data), "action": list(VERDICTS).index(action)}
    if moved:
        names = [f"`{row['column']}`" + " (target)" * (row["role"] == "target") for row in moved]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        which = f"{len(names)} of {len(judged)} columns drifted: {', '.join(names[:5])}{more}."
        sure = min(1.0, max(1e-6, min(row["p"] for row in moved)) * len(judged))
        how = f"Without drift, the chance of a change this clear is at most {100 * sure:.2g} %."
        out["reasons"] = [which, how, *out["reasons"]]
    headline, advice = VERDICTS[action]
    if action == "keep" and not metrics["concept_assessable"]:
        advice = "Nothing to do for the data; the concept was not tested."
    out["reasons"] = faults or out["reasons"] or ["Nothing is both significant and large."]
    return out | {"action": action, "headline": headline, "advice": advice}


def summary(out: Row) -> str:
    """The verdict in a few lines of text."""
    return "\n  ".join([f"{out['action']}: {out['advice']}", *out["reasons"], *out["notes"]])


def examine(out: Row, given: Row, source: Source, settings: Settings, predict: Predict) -> None:
    """Compare all that can be compared with what is `given`, and put it into `out`."""
    known, faults, table, notes = given["columns"], out["faults"], out["columns"], out["notes"]
    truth = next((source.sample(x) for x in given["target"] if x in source.kinds), pa.nulls(0))
    labelled = truth.is_null(nan_is_null=True).false_count
    for name, entry in (known | (given["target"] if labelled else {})).items():
        now = source.kinds.get(name)
        if now is None:
            faults.append(f"Column `{name}` is absent.")
        elif not fits(entry, now):
            faults.append(f"Column `{name}` changed its type: {entry['kind']} before, {now} now.")
        else:
            role = "feature" if name in known else "target"
            table.append(row := column(name, role, entry, source, settings))
            if row["missing_current"] == 1 > row["missing_reference"]:
                faults.append(f"Column `{name}` is wholly missing.")
            if role == "target" and row["found"]["unseen"].total() > sum(row["found"]["counts"]):
                names = ", ".join(sorted(row["found"]["unseen"])[:5])
                faults.append(f"Most labels are classes that `{name}` never had: {names}.")
    judge(table, settings.alpha)
    features = [row["found"] for row in table if row["role"] == "feature"]
    if len(features) < len(known):
        return
    theirs, mine = decode(known.values()), decode(features)
    out["pairs"] = joint.pairs(known, theirs, mine, settings)
    says = "`{}` and `{}` no longer go together as they did: rank correlation {:.2f} → {:.2f}."
    out["reasons"] = [says.format(*pair) for pair in out["pairs"][:3]]
    if settings.classifier:
        _, area, z = joint.tell_apart(np.append(theirs, mine, axis=1), theirs.shape[1])
        out["metrics"]["domain_auc"] = area
        if area >= settings.auc and statistics.normal_upper(z) <= settings.auc_alpha:
            out["reasons"] += [f"A classifier can tell batch from reference (AUC {area:.2f})."]
    out["metrics"]["data_drift"] = int(bool(out["reasons"]))
    asked = predict if "prediction" in given else None
    if lacks := [x for x, there in (("labels", labelled), ("predictions", asked)) if not there]:
        notes.append(f"Concept drift cannot be told without {' and '.join(lacks)}.")
    if faults or not asked:  # a model need not bear such a batch
        return
    told = Source(pa.table({"prediction": pa.array(asked(source.drawn), from_pandas=True)}))
    table.append(row := column("prediction", "prediction", given["prediction"], told, settings))
    judge([row], settings.alpha)
    if row["drifted"]:
        notes.append(f"The predictions drifted: {row['says']} (a hint, no alarm).")
    if row["missing_current"] == 1:
        faults.append("The predictions are wholly missing.")
    if labelled:
        missed = residuals(given, truth, told.sample("prediction"))
        out["reasons"] += joint.concept(given, mine, missed, settings, out)


def of_line(train: Any, holdout: Any, model: Any, schema: Any) -> Row:
    """Make the profile of the line: its two pandas tables, fitted model and schema.yaml."""
    inputs, positive = holdout[schema.inputs], schema.positive
    profile = build(train, schema.target, schema.features)
    follow(profile, holdout, lambda rows: ask(model, inputs.iloc[rows], positive), positive)
    if schema.time is not None:
        calibrate(profile, train)
    return profile


def calibrate(profile: Row, train: Any) -> None:
    """Fill in, as `usual`, the sizes of change that a batch must exceed beside its limits.

    Rows of a time series are not independent, so blocks of them, in the order of `train`, differ
    without drift. Of what the check measures of each block, against all the other rows, this is the
    upper prediction limit for one more (by Student's t; Hahn & Meeker 1991), at 1 % over the number
    of columns. Fewer than four blocks tell nothing, and the limits stay as they are.
    """
    import pandas as pd
    from scipy import stats

    source, rows = Source(train), []
    known, blocks = profile["columns"] | profile["target"], min(BLOCKS, source.rows // BLOCK)
    if blocks < 4:
        return
    table = pa.table({n: pa.chunked_array([x for x, _ in source.pieces(n)]) for n in known})
    settings = Settings(alpha=1.0, correlation=0.0, correlation_alpha=1.0)
    for at in np.array_split(np.arange(source.rows), blocks):
        rest = pa.concat_tables([table.slice(0, at[0]), table.slice(at[-1] + 1)])
        found = check(build(rest, *profile["target"]), table.slice(at[0], len(at)), settings)
        rows += [*found["columns"], {"column": 0, "auc": found["metrics"].get("domain_auc")}]
        rows += [{"column": 0, "correlation": abs(x - y)} for *_, x, y in found["pairs"]]
    if "residuals" in profile:
        loss = joint.losses(profile, np.array(profile["residuals"]))
        parts = [part.mean() for part in np.array_split(loss, blocks) if len(part)]
        rows += [{"column": 0, "loss": part / (loss.mean() or 1.0) - 1} for part in parts]
    far = stats.t.isf(0.01 / len(known), blocks - 1) * np.sqrt(1 + 1 / blocks)
    sizes = [*Limits.model_fields, "correlation", "auc", "loss"]
    usual = pd.DataFrame(rows, columns=["column", *sizes]).groupby("column", sort=False)
    most = pd.Series({"ks": 1, "total_variation": 1, "unseen": 1}, sizes)  # of a whole column
    for name, found in (usual.mean() + far * usual.std()).clip(upper=most, axis=1).iterrows():
        (known | {0: profile})[name]["usual"] = found.dropna().round(6).to_dict()
