"""What the trusted side believes: the numbers beside a verdict, GitHub's word, and no claim."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pull_request_report import GOOD, STATES, facts

from esteira.github.api import (
    Account,
    ChangedFile,
    Comment,
    PullRequest,
    Repository,
    Side,
    WorkflowRun,
)
from esteira.line.errors import UserError
from esteira.pull_request import by_github, judge, post
from esteira.pull_request import facts as f
from esteira.pull_request.by_github import Outside, judging_files, other_rules
from esteira.pull_request.first_sentence import first_sentence


def icon(found: f.Facts) -> str:
    return first_sentence(found, Outside()).icon


def put(content: Any, path: str, value: Any) -> bool:
    """Put a value into parsed JSON, at a path like `gates.0.now`; tell whether that exists."""
    *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    try:
        for part in above:
            content = content[part]
        content[last] = value
    except (LookupError, TypeError):
        return False
    return True


def changed(path: str, value: Any) -> f.Facts:
    """Return good facts with one value changed."""
    content = copy.deepcopy(GOOD)
    assert put(content, path, value)
    return f.Facts.model_validate_json(json.dumps(content))


LIES = {
    "below the limit": ("gates.0.now", 0.1, "contradicts its own numbers (roc_auc)"),
    "above the limit": ("gates.1.now", 0.9, "contradicts its own numbers (log_loss)"),
    "worse than allowed": ("gates.0.base", 0.9999, "contradicts its own numbers (roc_auc)"),
    "no value": ("gates.0.now", None, "contradicts its own numbers (roc_auc)"),
    "no limit": ("gates.0.limit", None, "contradicts its own numbers (roc_auc)"),
    "no direction": ("gates.0.better", "", "contradicts its own numbers (roc_auc)"),
    "a word for a number": ("gates.0.word", "good", "contradicts its own numbers (roc_auc)"),
    "another value": ("gates.0.now", 0.99, "the report has two values of roc_auc"),
    "another shared base": ("gates.0.compared.base", 0.9, "the comparison of roc_auc contradicts"),
    "a worse shared value": ("gates.0.compared.now", 0.9, "its own numbers (roc_auc)"),
    "an interval elsewhere": ("gates.0.compared.low", 0.5, "the comparison of roc_auc contradicts"),
    "no rows": ("gates.0.compared.rows", 0, "the comparison of roc_auc contradicts"),
    "base left out": ("gates.0.base", None, "roc_auc is not compared with the base, and no reason"),
    "no base": ("base", None, "compared with a base that the report does not have"),
    "not compared": ("not_compared", "why", "compared with a base that the report does not have"),
    "another action": ("gates.3.word", "retrain", "contradicts its own numbers (drift)"),
    "no action": ("gates.3.word", "", "contradicts its own numbers (drift)"),
    "drift rework": ("drift.action", "rework", "contradicts its own numbers (drift)"),
    "no drift check": ("drift", None, "contradicts its own numbers (drift)"),
    "stale and fresh": ("lock.stages", [{"stage": "train"}], "names stale stages"),
    "ran and fresh": ("run.state", "reproduced", "the line had to run, and that dvc.lock is fresh"),
    "failed and did not": ("run.stages.0.state", "failed", "names a stage that failed"),
    "pushed and not": ("pushed.paths", ["model"], "names data that is not pushed"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_report_that_contradicts_itself_is_a_no(lie: str) -> None:
    path, value, said = LIES[lie]
    found = changed(path, value)
    assert any(said in clause for clause in judge.refusals(found)), judge.refusals(found)
    assert icon(found) == "❌"


@pytest.mark.parametrize("action", ["unusable", "rework"])
def test_an_action_that_blocks_is_a_no_whatever_the_gate_says(action: str) -> None:
    found = facts(
        drift=STATES["better"].drift.model_copy(update={"action": action}),
        gates=[
            *STATES["better"].gates[:3],
            f.Gate(file="", metric="drift", better="", word=action),
        ],
        drift_blocks=["rework"],
        metrics=[],
    )
    assert icon(found) == "❌"


def test_a_base_that_is_not_that_of_the_metrics_is_a_no() -> None:
    known = STATES["nothing_changed"]
    other = known.gates[0].model_copy(update={"base": 0.99, "compared": None})
    found = known.model_copy(update={"gates": [other, *known.gates[1:]]})
    assert judge.contradictions(found) == ["the report has two values of roc_auc"]


def test_honest_reports_contradict_nothing() -> None:
    honest = set(STATES) - {"contradicts_itself", "hostile"}
    assert {name for name in honest if judge.contradictions(STATES[name])} == set()


NUMBERS = (None, 0.0, -1.0, 0.1, 0.25, 0.3, 0.8, 0.95, 0.986, 0.9861, 0.991, 1.0, 1e308)
ACTIONS = ("keep", "retrain", "rework", "unusable")
# What a report's author may put where: of the right kind, so that it is read, and of any truth.
EDITS: dict[str, tuple[Any, ...]] = {
    **{f"gates.{i}.{name}": NUMBERS for i in range(4) for name in ("base", "now", "limit")},
    **{f"gates.{i}.regression": NUMBERS for i in range(4)},
    **{f"gates.{i}.word": ("", *ACTIONS) for i in range(4)},
    **{f"gates.{i}.better": ("higher", "lower", "") for i in range(4)},
    **{f"gates.{i}.metric": ("drift", "roc_auc", "log_loss") for i in range(4)},
    **{f"gates.{i}.not_compared": ("", "why") for i in range(4)},
    **{f"gates.{i}.compared.{side}": NUMBERS[1:] for i in (0, 1) for side in ("base", "now")},
    **{f"gates.{i}.compared.{end}": NUMBERS[1:] for i in (0, 1) for end in ("low", "high")},
    **{f"gates.{i}.compared": (None,) for i in (0, 1)},
    **{f"metrics.{i}.{name}": NUMBERS for i in range(3) for name in ("base", "now")},
    "metrics": ([],),
    "gates": ([],),
    "drift": (None,),
    "drift.action": ACTIONS,
    "drift_blocks": ([], ["rework"], ["retrain", "rework"]),
    "base": (None,),
    "not_compared": ("", "why"),
    "lock.state": ("fresh", "stale", "unknown"),
    "run.state": ("not needed", "reproduced", "failed", "impossible"),
    "run.stages.3.state": ("ran", "cached", "failed", "not reached", "removed"),
    "pushed.state": ("pushed", "missing", "unchecked"),
}
EDIT = st.sampled_from(sorted(EDITS)).flatmap(
    lambda path: st.tuples(st.just(path), st.sampled_from(EDITS[path]))
)


def is_kept(gate: dict[str, Any], content: dict[str, Any]) -> bool:
    """Judge one gate of a report anew: what the gate's documentation says, in other words."""
    now, base, limit, regression = (gate[k] for k in ("now", "base", "limit", "regression"))
    if gate["metric"] == "drift" and limit is None:
        action = (content["drift"] or {}).get("action")
        stops = ["unusable", *content["drift_blocks"]]
        return gate["word"] == action and action is not None and action not in stops
    if now is None or limit is None:
        return False
    sign = {"higher": 1, "lower": -1}[gate["better"]]
    within_limit = sign * (now - limit) >= 0
    beside = gate["compared"]["now"] if gate["compared"] else now
    loss = 0 if base is None else sign * (base - beside)
    return within_limit and (regression is None or loss <= regression)


@settings(deadline=None, max_examples=600)
@given(st.lists(EDIT, min_size=1, max_size=4))
def test_no_facts_make_a_green_sentence_that_their_numbers_would_not(
    edits: list[tuple[str, Any]],
) -> None:
    content = copy.deepcopy(GOOD)
    for path, value in edits:
        put(content, path, value)  # or not, where an edit before took the place away
    found = f.Facts.model_validate_json(json.dumps(content))
    if icon(found) != "❌":
        written = json.loads(found.model_dump_json())
        assert written["gates"]
        assert [gate["metric"] for gate in written["gates"] if not is_kept(gate, written)] == []
        assert written["lock"]["state"] == "fresh"
        assert written["run"]["state"] == "not needed"
        assert written["pushed"]["state"] != "missing"


# -- By GitHub's own list of files

JUDGING = [
    "gates.yaml", "dvc.yaml", "vendor/esteira/gate.py", "vendor", ".github/workflows/main.yml",
    ".github/CODEOWNERS", "uv.lock", "pyproject.toml", "constraints.txt", "tests/conftest.py",
    "conftest.py", "pytest.ini", ".githooks/pre-push", ".dvc/config", ".gitmodules",
]  # fmt: skip
ORDINARY = ["params.yaml", "src/churn_radar/model.py", "reports/evaluate/metrics.json", "dvc.lock",
            "docs/vendor/page.md", "src/gates.yaml.md", "tests/test_model.py"]  # fmt: skip


@pytest.mark.parametrize("path", JUDGING)
def test_what_judges_is_told(path: str) -> None:
    assert judging_files([ChangedFile(filename=path)]) == [path]
    assert judging_files([ChangedFile(filename="x.py", previous_filename=path)]) == [path]


def test_what_does_not_judge_is_not_told() -> None:
    assert judging_files([ChangedFile(filename=path) for path in ORDINARY]) == []


def test_in_a_sub_folder_the_projects_own_files_judge_and_the_repositorys_workflows() -> None:
    names = ["ml/radar/gates.yaml", "ml/radar/vendor/esteira/cli.py", ".github/workflows/x.yml"]
    files = [ChangedFile(filename=name) for name in [*names, "other/gates.yaml"]]
    assert judging_files(files, "ml/radar/") == sorted(names)


def test_a_report_that_was_judged_by_other_rules_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    terms = "{metric: roc_auc, better: higher, limit: 0.95, regression: 0.005}"
    Path("gates.yaml").write_text(f"rules:\n  - {terms}\ndrift: []\n")
    assert other_rules(STATES["better"]) == []
    Path("gates.yaml").write_text(f"rules:\n  - {terms.replace('0.95', '0.96')}\ndrift: [rework]\n")
    [said] = other_rules(STATES["better"])
    assert "not judged by the rules of the default branch (roc_auc, drift)" in said
    Path("gates.yaml").write_text("rules: [}")
    [said] = other_rules(STATES["better"])
    assert "on the default branch gates.yaml is not valid YAML" in said


# -- Posting: what GitHub says against what the report says

HOME = Repository(id=1, full_name="squad/radar", owner=Account(login="squad"))
HEAD = GOOD["head"]


class Fake:
    """An API of one pull request; comments are kept by number."""

    def __init__(self, *, head: str = HEAD, files: list[str] | UserError | None = None) -> None:
        """Start with a green comment of an earlier run."""
        side = Side(sha=head, ref="change", repo=HOME)
        self.pull = PullRequest(number=12, head=side, base=Side(sha="b" * 40, repo=HOME))
        self.files = files or []
        self.body = "<!-- esteira:pull-request -->\n\n### ✅ as it was"

    def open_pulls(self, owner: str, branch: str) -> list[PullRequest]:
        assert (owner, branch) == ("squad", "change")
        return [self.pull]

    def changed_files(self, number: int) -> list[ChangedFile]:
        assert number == 12
        if isinstance(self.files, UserError):
            raise self.files
        return [ChangedFile(filename=name) for name in self.files]

    def comments(self, number: int) -> list[Comment]:
        return [Comment(id=5, body=self.body, user=Account(login=post.AUTHOR))]

    def update_comment(self, comment: int, body: str) -> None:
        assert comment == 5
        self.body = body


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of a report, in a project with rules."""
    monkeypatch.chdir(tmp_path)
    Path("gates.yaml").write_text("rules:\n  - {metric: f1, better: higher, limit: 0.5}\n")
    return tmp_path / "report.json"


def posted(report: Path, content: dict[str, Any], api: Fake) -> str:
    report.write_text(json.dumps(content))
    run = WorkflowRun(
        event="pull_request",
        conclusion="success",
        head_sha=HEAD,
        head_branch="change",
        head_repository=HOME,
        html_url="https://github.com/squad/radar/actions/runs/7",
    )
    return post.post(report, api, run)


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"number": 1}, "claims pull request \\#​1, which is not an open one"),
        ({"head": "0" * 40}, f"The report is of commit {'0' * 40}, the run was of {HEAD}."),
    ],
)
def test_a_claim_that_github_denies_replaces_the_green_comment(
    report: Path, lie: dict[str, Any], said: str
) -> None:
    api = Fake()
    with pytest.raises(UserError, match="refused: the report"):
        posted(report, GOOD | lie, api)
    assert "### ❌ Not ready: the check's report does not fit this pull request" in api.body
    assert said in api.body
    assert "✅" not in api.body


def test_a_report_of_a_commit_that_was_replaced_is_denied_on_the_pull_request(report: Path) -> None:
    api = Fake(head="d" * 40)
    with pytest.raises(UserError, match="the run was of"):
        posted(report, GOOD | {"head": "0" * 40}, api)
    assert "does not fit this pull request" in api.body


def test_what_a_pull_request_changes_of_its_judges_comes_from_github(report: Path) -> None:
    api = Fake(files=["src/radar/model.py", "gates.yaml"])
    posted(report, GOOD, api)
    assert "### ⚠️" in api.body
    assert "it changes the checks themselves" in api.body
    assert "decided by these files: `gates.yaml`." in api.body


def test_files_that_github_does_not_tell_are_no_green(report: Path) -> None:
    api = Fake(files=UserError("GitHub answers 500 to GET"))
    posted(report, GOOD, api)
    assert "### ⚠️" in api.body
    assert "it is not known which files it changes" in api.body


def test_rules_that_were_left_out_of_the_report_are_no_green(report: Path) -> None:
    api = Fake(files=["src/radar/model.py"])
    posted(report, GOOD, api)
    assert "### ⚠️" in api.body
    assert "not judged by the rules of the default branch \\(f1\\)" in api.body
    Path("gates.yaml").write_text(
        "rules:\n  - {metric: log_loss, better: lower, limit: 0.25, regression: 0.02}\n"
    )
    posted(report, GOOD, api)
    assert "### ✅" in api.body


def test_the_list_of_files_is_asked_for_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def call(self: Any, method: str, path: str, body: Any = None) -> list[dict[str, str]]:
        asked.append(path)
        first = "page=1" in path.split("&")
        return (
            [{"filename": "a.py"}, {"filename": "b.py", "previous_filename": "uv.lock"}]
            if first
            else []
        )

    monkeypatch.setattr(by_github.Api, "call", call)
    files = by_github.Api("", "", "squad/radar").changed_files(12)
    assert judging_files(files) == ["uv.lock"]
    assert asked == [f"/pulls/12/files?per_page=100&page={page}" for page in (1, 2)]
