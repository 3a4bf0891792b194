"""The report of a pull request: one golden file for each designed state, and hostile facts.

After a change that is meant: `UPDATE_GOLDEN=1 make test ARGS=tests/toolbox`, then read the diff.
"""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pages
import pytest
from helpers import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from playwright.sync_api import Page

from esteira import gate as gatefile
from esteira.github import markdown
from esteira.line.errors import UserError
from esteira.pull_request import facts as f
from esteira.pull_request import judge as j
from esteira.pull_request import render as r
from esteira.pull_request.by_github import Outside
from esteira.pull_request.view import Place

sys.path.insert(0, str(ROOT / "scripts"))

from pictures import as_github_shows

GOLDEN = Path(__file__).parent.parent / "golden"
EVALUATE, VALIDATE = "reports/evaluate/metrics.json", "reports/validate/metrics.json"
TRAIN, DRIFT = "reports/train/metrics.json", "reports/drift_check/metrics.json"
STAGES = ("ingest", "validate", "split", "train", "evaluate", "drift_check")
HEAD, BASE = "c0ffee" + "1" * 34, "ba5e" + "2" * 36
PLACE = Place(run="https://github.com/squad/radar/actions/runs/7")


def gate(metric="roc_auc", better="higher", base=0.991, now=0.991, limit=0.95, **more) -> f.Gate:
    """Return a gate whose metric was compared on 142 rows, where it has values; `reach` is half of
    the interval."""
    reach = more.pop("reach", 0.0 if base == now else 0.004)
    if base is not None and now is not None:
        low, high = round(now - base - reach, 6), round(now - base + reach, 6)
        more["compared"] = f.Compared(base=base, now=now, low=low, high=high, rows=142)
    return f.Gate(
        file=EVALUATE, metric=metric, better=better, base=base, now=now, limit=limit, **more
    )


def gates(auc=0.991, loss=0.1, base=True, **more) -> list[f.Gate]:
    old = (0.991, 0.1, 0.0) if base else (None, None, None)
    return [
        gate(base=old[0], now=auc, regression=0.005, **more),
        gate("log_loss", "lower", old[1], loss, 0.25, regression=0.02),
        gate("rules_broken", "lower", old[2], 0.0, 0.0).model_copy(
            update={"file": VALIDATE, "compared": None}
        ),
        gate("drift", "", None, None, None, word="keep").model_copy(update={"file": DRIFT}),
    ]


def metrics(auc=0.991, loss=0.1, rows=569.0, base=True) -> list[f.Metric]:
    known = [
        (VALIDATE, "rows", 569.0, rows),
        (EVALUATE, "roc_auc", 0.991, auc),
        (EVALUATE, "log_loss", 0.1, loss),
    ]
    return [f.Metric(file=file, name=n, base=b if base else None, now=v) for file, n, b, v in known]


def drift(action="keep", drifted=0, says="") -> f.Drift:
    worst = [("tenure", 2.41), ("income", 1.2), ("plan", 0.4), ("age", 0.1)]
    columns = [
        f.Column(
            name=name, drifted=i < drifted, significant=i < drifted, effect=e,
            says=says if i < drifted else "",
        )
        for i, (name, e) in enumerate(worst)
    ]  # fmt: skip
    batch = "data/raw/october.csv"
    return f.Drift(action=action, checked=4, drifted=drifted, columns=columns, batch=batch)


def stages(**seconds: float | str) -> list[f.Stage]:
    """Return the line's stages, each with the seconds that it ran, or with its state."""
    made = []
    for name in STAGES:
        word = seconds.get(name, "cached")
        state, time = (word, None) if isinstance(word, str) else ("ran", word)
        made.append(f.Stage(name=name, state=state, seconds=time))
    return made


def facts(**parts) -> f.Facts:
    """Return the facts of a change that moved nothing, but for `parts`."""
    known = {
        "number": 12,
        "head": HEAD,
        "base": BASE,
        "lock": f.Lock(state="fresh"),
        "pushed": f.Pushed(state="pushed"),
        "run": f.Run(stages=stages()),
        "metrics": metrics(),
        "gates": gates(),
        "drift": drift(),
        "history": [
            f.Point(commit=f"{i}" * 40, value=v) for i, v in enumerate((0.96, 0.985, 0.991))
        ],
    }
    return f.Facts(**(known | parts))


STALE = f.Lock(state="stale", stages=[f.Stale(stage="train", why="params.yaml: train modified")])
SETTING = [f.Change(name="train.hyperparameters.C", old=None, new="0.1")]
MODEL = f.Data(
    path="models/model.skops", old_hash="9139b9c5" + "0" * 24, new_hash="7b65e67c" + "0" * 24,
    old_size=7_102, new_size=7_140,
)  # fmt: skip
RAW = f.Data(
    path="data/raw/customers.csv", old_hash="a" * 32, new_hash="b" * 32, old_size=1_204_000,
    new_size=1_377_500, raw=True,
)  # fmt: skip
RERUN = f.Run(state="reproduced", stages=stages(train=3.5, evaluate=4.4, drift_check=3.0))

NO_ANSWERS = "the base has no saved predictions, so there is nothing to compare with."
STATES: dict[str, f.Facts] = {
    "nothing_changed": facts(),
    "better": facts(
        code=["src/churn_radar/model.py", "src/churn_radar/features.py", "vendor/ (3 files)"],
        changed_stages=["train", "evaluate", "drift_check"],
        params=SETTING,
        data=[MODEL],
        metrics=metrics(0.9962, 0.085),
        gates=gates(0.9962, 0.085),
    ),
    "worse_within_chance": facts(
        params=SETTING, data=[MODEL], metrics=metrics(0.989), gates=gates(0.989)
    ),
    "worse": facts(metrics=metrics(0.9862), gates=gates(0.9862)),
    "not_comparable": facts(
        gates=[
            gate(base=None, now=0.991, regression=0.005, not_compared=NO_ANSWERS),
            gate("log_loss", "lower", None, 0.1, 0.25, not_compared=NO_ANSWERS),
            *gates()[2:],
        ],
    ),
    "no_base_yet": facts(
        base=None,
        metrics=metrics(base=False),
        gates=gates(base=False),
        history=[],
    ),
    "gate_refusal": facts(
        params=SETTING,
        data=[MODEL],
        metrics=metrics(0.941, 0.3),
        gates=[
            gate(now=0.941, regression=0.005, reason="roc_auc is 0.941, below the limit of 0.95."),
            gate(
                "log_loss",
                "lower",
                0.1,
                0.3,
                0.25,
                regression=0.02,
                reason="log_loss is 0.3, above the limit of 0.25.",
            ),
            *gates()[2:],
        ],
    ),
    "stale_lock": facts(
        lock=STALE,
        run=RERUN,
        params=SETTING,
        data=[MODEL],
        metrics=metrics(0.9962),
        gates=gates(0.9962),
        pushed=f.Pushed(reason="the lock is stale, so what it names is not what will be merged"),
    ),
    "unpushed": facts(
        pushed=f.Pushed(state="missing", paths=["data/raw/customers.csv", "models/model.skops"]),
        data=[RAW, MODEL],
    ),
    "stage_failed": facts(
        lock=STALE,
        run=f.Run(
            state="failed",
            stages=stages(train="failed", evaluate="not reached", drift_check="not reached"),
            lines=[
                "Running stage 'train':",
                "> python -m churn_radar.stages.train",
                "train: section `train:` of params.yaml cannot be used: The 'C' parameter of "
                "LogisticRegression must be a float in the range (0.0, inf]. Got -1 instead.",
                "ERROR: failed to reproduce 'train': failed to run",
            ],
        ),
        params=[f.Change(name="train.hyperparameters.C", old="1.0", new="-1")],
        metrics=[m.model_copy(update={"now": None}) for m in metrics()],
        gates=[],
        drift=None,
        pushed=f.Pushed(),
    ),
    "fork_not_reproduced": facts(
        fork=True,
        lock=STALE,
        run=f.Run(
            state="impossible",
            reason="data/raw/customers.csv cannot be had: no complete credentials",
        ),
        pushed=f.Pushed(reason="no complete credentials"),
        params=SETTING,
    ),
    "fork_fresh": facts(fork=True, pushed=f.Pushed(reason="no complete credentials")),
    "not_checked": facts(
        pushed=f.Pushed(reason="the remote is the folder ../store, which is not on this machine")
    ),
    "data_and_schema": facts(
        data=[RAW, MODEL],
        metrics=metrics(0.992, rows=651.0),
        gates=gates(0.992),
        columns=[
            f.Change(name="plan", old="type: category", new="type: category, role: ignored"),
            f.Change(name="city", new="type: category"),
        ],
    ),
    "rows_that_break_rules": facts(
        violations=[
            f.Violation(column="age", rule="min 0", rows=3, examples="-1 | -7"),
            f.Violation(column="colour", rule="unknown column", rows=0),
        ],
        gates=[
            *gates()[:2],
            gates()[2].model_copy(
                update={"now": 2.0, "reason": "rules_broken is 2, above the limit of 0."}
            ),
            gates()[3],
        ],
    ),
    "drift_retrain": facts(
        drift=drift("retrain", 2, "median 12 → 31").model_copy(
            update={"error": "Model error: 0.12 on the batch, 0.1 expected of such inputs."}
        ),
        gates=[*gates()[:3], gates()[3].model_copy(update={"word": "retrain"})],
    ),
    "drift_rework_blocked": facts(
        drift_blocks=["rework"],
        drift=drift("rework", 1, "median 12 → 31"),
        gates=[
            *gates()[:3],
            gates()[3].model_copy(
                update={
                    "word": "rework",
                    "reason": "the drift check says `rework`, which gates.yaml does not let "
                    "pass; read reports/drift_check/report.html.",
                }
            ),
        ],
    ),
    "metric_not_a_number": facts(
        metrics=[
            *metrics()[:2],
            f.Metric(file=EVALUATE, name="log_loss", base=0.1, fault="is NaN, no finite number"),
        ],
        gates=[
            gates()[0],
            gate(
                "log_loss",
                "lower",
                0.1,
                None,
                0.25,
                regression=0.02,
                reason="log_loss is nan, not a number in reports/evaluate/metrics.json.",
            ),
            *gates()[2:],
        ],
    ),
    "metric_renamed": facts(
        metrics=[
            *metrics(),
            f.Metric(file=EVALUATE, name="f1", base=0.96),
            f.Metric(file=EVALUATE, name="f1_macro", now=0.96),
        ],
    ),
    "stage_deleted": facts(
        run=f.Run(stages=[*stages(), f.Stage(name="explain", state="removed")]),
        rules=[f.Change(name="f1", old="higher, limit 0.9")],
    ),
    "another_environment": facts(
        environment=[
            f.Change(name="python", old="3.11.7", new="3.12.1"),
            f.Change(name="scipy", old="1.17.0", new="1.18.0"),
            f.Change(name="joblib", new="1.6.0"),
        ]
    ),
    "another_target": facts(
        base_name="origin/trunk",
        not_compared="another target, churned (yes) where the base has diagnosis (benign)",
        metrics=metrics(0.9, 0.2, base=False),
        gates=[
            gate(base=None, now=0.9, limit=0.8, regression=0.005),
            *gates(0.9, 0.2, base=False)[1:],
        ],
        history=[],
    ),
    "new_metric": facts(
        gates=[
            *gates()[:3],
            gate(
                "f1",
                base=None,
                now=0.9,
                limit=0.8,
                not_compared=gatefile.NEW,
            ),
            gates()[3],
        ],
    ),
    "contradicts_itself": facts(gates=[gate(base=0.991, now=0.1, limit=0.8), *gates()[1:]]),
    "not_readable": f.Facts(
        number=12, head=HEAD, base=BASE, problem="dvc.yaml is not valid YAML: line 3, column 1"
    ),
}

HOSTILE = (
    "@all <img src=x onerror=alert(1)> [x](https://evil.example) ![y](http://e.vil) | `a` ``` "
    "www.evil.example #1 GH-1 </details> <!-- --> \u202edesrever \u200b\x1b[31m\n# heading\n"
    "```\nout"
)


def hostile(text: str) -> f.Facts:
    """Return facts with `text` wherever a text may stand."""
    text = text[:500]
    return facts(
        problem=text,
        lock=f.Lock(state="stale", stages=[f.Stale(stage=text, why=text)]),
        run=f.Run(
            state="failed",
            reason=text,
            lines=[text[:300]],
            stages=[f.Stage(name=text, state="ran")],
        ),
        metrics=[f.Metric(file=text, name=text, base=1.0, now=2.0, fault=text)],
        gates=[gate(metric=text, now=1.0, reason=text)],
        drift=drift("retrain", 1, text).model_copy(
            update={"columns": [f.Column(name=text, drifted=True, significant=True, effect=2.0)]}
        ),
        params=[f.Change(name=text, old=text, new=text)],
        columns=[f.Change(name=text, old=text, new=text)],
        rules=[f.Change(name=text, old=text, new=text)],
        environment=[f.Change(name=text, old=text, new=text)],
        data=[f.Data(path=text, old_hash=text[:8], new_hash="b", new_size=1)],
        pushed=f.Pushed(state="missing", paths=[text]),
    )


STATES["hostile"] = hostile(HOSTILE)
PLACES = {"head_moved": replace(PLACE, moved="d00d" + "3" * 36)}
PLACES["tests_failed"] = replace(PLACE, red=True)
SIZES = {"truncated": 5_000}
JUDGING = ("gates.yaml", "uv.lock", *(f"vendor/esteira/room_{i}.py" for i in range(15)))
PLACES["judges_changed"] = replace(
    PLACE,
    outside=Outside(
        JUDGING, ("it changes more files than GitHub lists (3,000), so some are not named",)
    ),
)
STATES["judges_changed"] = STATES["better"]
STATES["head_moved"] = STATES["better"]
STATES["tests_failed"] = STATES["better"]
STATES["truncated"] = facts(
    metrics=[
        *metrics(),
        *(f.Metric(file=TRAIN, name=f"fold_{i}", base=1.0, now=2.0) for i in range(400)),
    ]
)


@pytest.mark.parametrize("state", STATES)
def test_each_state_reads_as_designed(state: str) -> None:
    text = r.render(STATES[state], PLACES.get(state, PLACE), SIZES.get(state, r.COMMENT_BYTES))
    golden = GOLDEN / f"{state}.md"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")


def test_what_drifted_beside_the_features_is_told_apart() -> None:
    found = drift("retrain", 1).model_copy(update={"target": True, "prediction": True})
    text = r.render(facts(drift=found))
    assert "1 of 4 features drifted, and the target did, and the predictions did. " in text
    assert "1 of 4 features drifted. " in r.render(facts(drift=drift("retrain", 1)))


def test_every_golden_report_has_its_state() -> None:
    assert {path.stem for path in GOLDEN.glob("*.md")} == set(STATES) | {
        "no_report",
        "not_believed",
    }


def test_a_run_without_a_report_says_so() -> None:
    text = r.no_report("the report is malformed at gates.0.now: input should be a number.", PLACE)
    golden = GOLDEN / "no_report.md"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")


def test_a_report_that_github_denies_is_not_shown() -> None:
    text = r.not_believed("the report is of commit c0ffee, the run was of 0ff1ce.", PLACE)
    golden = GOLDEN / "not_believed.md"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8", newline="\n")
    assert text == golden.read_text(encoding="utf-8")


GREEN = {"nothing_changed", "better", "worse_within_chance", "no_base_yet",
         "data_and_schema",
         "truncated", "another_environment", "new_metric"}  # fmt: skip
LOOK = {
    "worse",
    "fork_fresh",
    "not_checked",
    "drift_retrain",
    "metric_renamed",
    "stage_deleted",
    "another_target",
    "judges_changed",
    "not_comparable",
    "head_moved",
}


@pytest.mark.parametrize("state", STATES)
def test_the_first_line_and_the_exit_status_agree(state: str) -> None:
    icon = "✅" if state in GREEN else "⚠️" if state in LOOK else "❌"
    assert f"### {icon}" in r.render(STATES[state], PLACES.get(state))
    assert bool(j.refusals(STATES[state])) == (icon == "❌" and state != "tests_failed")


@pytest.mark.parametrize("state", STATES)
def test_one_next_step_stands_right_below_the_verdict(state: str) -> None:
    lines = r.render(STATES[state], PLACES.get(state)).splitlines()
    (at,) = [place for place, line in enumerate(lines) if line.startswith("**Next:** ")]
    assert lines[at - 2].startswith("### ")
    merge = "**Next:** review the code, and merge it."
    assert (lines[at] == merge) == (state in GREEN)


def test_facts_without_gates_or_lock_are_never_a_yes() -> None:
    assert j.refusals(facts(gates=[]))
    assert j.refusals(facts(lock=f.Lock()))
    assert j.refusals(f.Facts(number=1, head=HEAD))


# -- Hostile texts: what GitHub would make of them

MARKDOWN = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def links(markdown: str) -> list[str]:
    """Return what GitHub's Markdown makes of a report beyond text: links, images, raw HTML."""
    found = []
    for token in MARKDOWN.parse(markdown):
        inner = [token, *(token.children or [])]
        found += [t.attrs.get("href", t.content) for t in inner if t.type == "link_open"]
        found += [t.content for t in inner if t.type in ("image", "html_inline", "html_block")]
    return found


OURS = (
    r"<!-- esteira:pull-request -->\s*|</?sub>|</details>\s*|https://github\.com/squad/radar\S*"
    r"|<details><summary>(Metrics in the files that differ from the base's"
    r"|Metrics in the files that equal the base's"
    r"|Hashes and sizes of the data) \(\d+\)</summary>\s*"
    r"|<details><summary>Reproduce it</summary>\s*"
)


def outside_code(markdown: str) -> str:
    """Return the words of a report that are in no code span and no code block."""
    words = []
    for token in MARKDOWN.parse(markdown):
        words += [t.content for t in token.children or [] if t.type == "text"]
    return "\n".join(words)


MARKUP = [*"@#<>[]()!`|*_~:/\\\n\t &;-=.$", "a", "0", "http://", "www.", "GH-", "é", "b.c"]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(MARKUP), min_size=1, max_size=60).map("".join)
    | st.text(min_size=1, max_size=60)
)
def test_no_text_becomes_a_link_a_mention_an_image_or_html(text: str) -> None:
    report = r.render(hostile(text), PLACE)
    assert [link for link in links(report) if not re.fullmatch(OURS, link)] == []
    words = outside_code(report)
    assert not re.search(r"@\w|https?://\w|www\.\w|GH-\d", words)
    assert not re.search(r"#\d", words.replace("pull/12", ""))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", report)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_a_hostile_text_adds_no_line_to_a_table(text: str) -> None:
    plain = facts(params=[f.Change(name="a", old="b", new="c")])
    worse = facts(params=[f.Change(name=text, old=text, new=text)])
    assert r.render(plain).count("\n") == r.render(worse).count("\n")
    cells = [
        len([t for t in MARKDOWN.parse(r.render(each)) if t.type == "td_open"])
        for each in (plain, worse)
    ]
    assert cells[0] == cells[1]


@settings(deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_a_field_that_is_added_without_a_thought_is_escaped(text: str) -> None:
    template = (
        "{{ added }}\n\n{{ 'a ' ~ added }}\n\n{% set kept %}{{ added }}{% endset %}{{ kept }}\n"
    )
    report = (
        markdown.templates(Path(markdown.__file__).parent).from_string(template).render(added=text)
    )
    assert links(report) == []
    assert not re.search(r"@\w|https?://\w|www\.\w|GH-\d|#\d", outside_code(report))
    assert (
        markdown.templates(Path(markdown.__file__).parent)
        .filters.keys()
        .isdisjoint({"safe", "join", "replace", "format"})
    )


def test_a_text_appears_unescaped_only_where_it_says_that_it_is_markdown() -> None:
    template = markdown.templates(Path(markdown.__file__).parent).from_string("{{ added }}")
    assert template.render(added="[x](y) @all") == r"\[x\]\(y\) @" + "\u200ball"
    assert template.render(added=markdown.Markdown("[x](y)")) == "[x](y)"
    assert template.render(added=markdown.Markdown("[x]") + "(y)") == r"\[x\]\(y\)"


def test_the_report_keeps_within_githubs_limit_whatever_it_holds() -> None:
    wide = "\U0001f600" * 500
    crowd = [f.Metric(file=wide, name=f"{i}{wide[:400]}", base=1.0, now=2.0) for i in range(500)]
    huge = hostile(wide).model_copy(
        update={
            "metrics": crowd,
            "gates": [gate(metric=wide, reason=wide)] * 500,
            "params": [f.Change(name=wide, old=wide, new=wide)] * 500,
            "run": f.Run(state="failed", lines=[wide] * 40, stages=STATES["better"].run.stages),
        }
    )
    text = r.render(huge, PLACE)
    assert len(text.encode()) <= r.COMMENT_BYTES < 65_536
    assert "_Shortened to fit:" in text
    assert f"git checkout --detach {HEAD}" in text


# -- Charts: Mermaid's grammar, strictly

CHART = re.compile(
    r"""xychart-beta
  title "[\w .:+-]+"
  x-axis \["[\w .:+-]+"(, "[\w .:+-]+")*\]
  y-axis "[\w .:+-]+" (-?[\d.]+(e[+-]\d+)?) --> (-?[\d.]+(e[+-]\d+)?)
(  (line|bar) \[-?[\d.]+(e[+-]\d+)?(, -?[\d.]+(e[+-]\d+)?)*\]\n?)+""",
    re.ASCII,
)


@pytest.mark.parametrize("state", STATES)
def test_charts_are_few_and_of_mermaids_grammar(state: str) -> None:
    text = r.render(STATES[state], PLACE)
    drawn = re.findall(r"```mermaid\n(.*?)\n```", text, re.S)
    assert len(drawn) <= 1
    for chart in drawn:
        assert CHART.fullmatch(chart), chart
        assert len(set(map(len, re.findall(r"\[(.*?)\]", chart)))) >= 1


# -- As GitHub shows it


def test_in_a_browser_every_state_fits_and_no_command_is_cut_off(
    tmp_path: Path, page: Page
) -> None:
    shown = [r.render(facts, PLACES.get(state, PLACE)) for state, facts in STATES.items()
             if state != "hostile"]  # fmt: skip
    (tmp_path / "comments.html").write_text(as_github_shows(shown), encoding="utf-8")
    pages.look(page, tmp_path / "comments.html")
    assert page.locator("h3").count() == len(shown)
    page.set_viewport_size({"width": 1012, "height": 900})
    wide = page.evaluate(
        """() => [...document.querySelectorAll("pre, table")]
        .filter((element) => element.scrollWidth > element.clientWidth + 1)
        .filter((element) => !element.textContent.includes("xychart"))
        .filter((element) => !element.textContent.includes("must be a float"))
        .map((element) => element.textContent.slice(0, 80))"""
    )
    assert not wide, wide


def test_the_reason_comes_first_and_every_check_that_fails_has_its_command() -> None:
    refused = r.render(STATES["gate_refusal"])
    first = refused.split("### ")[1].splitlines()[0]
    assert first.startswith("❌ Not ready: roc_auc is 0.941, below the limit of 0.95")
    assert "lock" not in first
    for state, facts_ in STATES.items():
        for line in re.findall(r"^- ❌ .*", r.render(facts_), re.MULTILINE):
            known_by_its_sentence = "**Drift:**" in line or facts_.run.state == "failed"
            known_by_its_sentence |= state == "contradicts_itself"  # its Next: do not merge it
            assert "→ `" in line or known_by_its_sentence, f"{state}: {line}"
    unknown = r.render(STATES["fork_fresh"])
    assert re.search(r"^- ➖ \*\*Data:\*\* not checked: ", unknown, re.MULTILINE)


def test_charts_are_drawn_where_something_moved() -> None:
    better = STATES["better"]
    assert "```mermaid" in r.render(better)
    assert "```mermaid" not in r.render(STATES["nothing_changed"])
    of_two_points = better.model_copy(update={"history": better.history[:1]})
    assert "```mermaid" not in r.render(of_two_points)
    long = [f.Point(commit=f"{i:040}", value=0.9) for i in range(20)]
    names = re.findall(r"x-axis \[(.*)\]", r.render(better.model_copy(update={"history": long})))
    assert names[0].count(",") == 7, "more labels would overlap"


# -- Hostile files


def write(folder: Path, content: bytes) -> Path:
    path = folder / "report.json"
    path.write_bytes(content)
    return path


GOOD = json.loads(facts().model_dump_json())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe\x00",
        b"[]",
        b"null",
        b'{"a": ' * 100_000,
        b" " * (f.MOST_BYTES + 1),
        json.dumps(GOOD | {"number": "12"}).encode(),
        json.dumps(GOOD | {"number": -1}).encode(),
        json.dumps(GOOD | {"number": True}).encode(),
        json.dumps(GOOD | {"head": "../../etc/passwd"}).encode(),
        json.dumps(GOOD | {"head": "HEAD; rm -rf /"}).encode(),
        json.dumps(GOOD | {"surprise": 1}).encode(),
        json.dumps(GOOD | {"format": 2}).encode(),
        json.dumps(GOOD | {"metrics": [{"file": "a", "name": "b", "now": float("nan")}]}).encode(),
        json.dumps(GOOD | {"history": [{"commit": HEAD, "value": float("inf")}]}).encode(),
        json.dumps(GOOD | {"problem": "x" * 501}).encode(),
        json.dumps(GOOD | {"params": [{"name": "a"}] * 501}).encode(),
        json.dumps(GOOD | {"gates": [{"metric": "a"}]}).encode(),
    ],
    ids=range(19),
)
def test_a_malformed_file_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UserError, match=r"^the report is (malformed at|larger than)") as refused:
        f.read(write(tmp_path, content))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_file_that_is_a_link_or_absent_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path, json.dumps(GOOD).encode())
    assert f.read(good) == facts()
    (tmp_path / "link.json").symlink_to(good)
    for name in ("link.json", "absent.json", "."):
        with pytest.raises(UserError, match="there is no report"):
            f.read(tmp_path / name)
