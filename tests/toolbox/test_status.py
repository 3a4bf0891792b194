"""Status: one screen, the verdict first, the next step last, and nothing unknown shown as good."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import reproduce, run

from esteira import gate, standing
from esteira.line.errors import UserError
from esteira.standing import Check, Standing, Tone


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture(scope="module")
def recorded(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the reproduced project, all of it committed and pushed."""
    project = tmp_path_factory.mktemp("recorded") / "squad" / reproduced.name
    shutil.copytree(reproduced.parent, project.parent, symlinks=True)
    run(project, "esteira", "record")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "--no-verify", "-m", "Record what made the lock")
    return project


@pytest.fixture
def squad(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a copy of that project."""
    shutil.copytree(recorded.parent, tmp_path / "squad", symlinks=True)
    project = tmp_path / "squad" / recorded.name
    monkeypatch.chdir(project)
    return project


def check(found: Standing, name: str) -> Check:
    return next(each for each in found.checks if each.name == name)


def checklist(screen: str) -> dict[str, str]:
    """Return the icon of each check, by its name."""
    lines = re.findall(r"^(\S) ([A-Z]\w+) ", screen, re.MULTILINE)
    return {name: icon for icon, name in lines}


def test_all_is_well(squad: Path) -> None:
    screen = run(squad, "esteira", "status").stdout
    lines = screen.strip().splitlines()
    assert lines[0].startswith("Ready  roc_auc is 0.994")
    assert lines[-1] == "Next: Nothing is left to do."
    assert re.search(
        r"^✓ +log_loss +0\.091 +0\.091 .* ≤ 0\.25 and ≤ base \+ 0\.05$", screen, re.MULTILINE
    ), screen
    assert set(checklist(screen).values()) == {"✓"}
    assert len(checklist(screen)) == 7
    assert "`" not in screen
    assert len(lines) < 24, "one screen"


def test_on_a_narrow_screen_marks_and_numbers_stay(worse: Path) -> None:
    run(worse, "git", "switch", "--quiet", "--create", "try")
    screen = run(worse, "esteira", "status", env={"COLUMNS": "80"}).stdout
    assert re.search(r"^[✓✗!] +roc_auc +0\.9\d+ +0\.9\d+ +", screen, re.MULTILINE), screen
    assert max(map(len, screen.splitlines())) <= 80


def strict(squad: Path) -> None:
    edit(squad / "gates.yaml", "limit: 0.25", "limit: 0.0901")


def other_setting(squad: Path) -> None:
    edit(squad / "params.yaml", "hyperparameters: {}", "hyperparameters: {C: 0.5}")


def another_lock(squad: Path) -> None:
    edit(squad / "environment.json", '"lock": "', '"lock": "0')


def lost_remote(squad: Path) -> None:
    shutil.rmtree(squad.parent / f"{squad.name}-remote", ignore_errors=True)
    config = (squad / ".dvc" / "config").read_text("utf-8")
    remote = re.search(r"url = (.*)", config)
    assert remote
    shutil.rmtree((squad / ".dvc" / remote[1]).resolve())


def new_file(squad: Path) -> None:
    (squad / "notes.txt").write_text("mine", encoding="utf-8")


def failed_run(squad: Path) -> None:
    edit(squad / "params.yaml", "hyperparameters: {}", "hyperparameters: {alfa: 3}")
    assert run(squad, "dvc", "repro", "train", check=False).returncode


def data_of_another_commit(squad: Path) -> None:
    other_setting(squad)
    reproduce(squad, "train")
    run(squad, "git", "stash", "--quiet")


def own_hook(squad: Path) -> None:
    run(squad, "git", "switch", "--quiet", "--create", "hook")
    with (squad / "dvc.yaml").open("a", encoding="utf-8") as file:
        file.write("# ours\n")


SPOILT = [
    (strict, "Not ready", "Gates", "✗", "1 of 4 fail: log_loss", "Mend what a gate refuses"),
    (other_setting, "Not ready", "Lock", "✗", "stale: train changed", "uv run dvc repro"),
    (failed_run, "Not ready", "Lock", "✗", "its last run did not end well", "uv run dvc repro"),
    (data_of_another_commit, "Not ready", "Lock", "✗", "another commit's", "uv run dvc checkout"),
    (another_lock, "Ready", "Environment", "!", "does not say", "uv run esteira record"),
    (lost_remote, "Not ready", "Data", "✗", "of DVC's files are not pushed", "uv run dvc push"),
    (new_file, "Good so far", "Commit", "!", "1 file is not committed", "git add --all"),
    (own_hook, "Look first", "Judges", "!", "changed against", "Open a pull request"),
]


@pytest.mark.parametrize(("spoil", "headline", "name", "icon", "says", "step"), SPOILT)
def test_what_is_wrong_is_told_with_the_next_step(
    squad: Path,
    spoil: Callable[[Path], None],
    headline: str,
    name: str,
    icon: str,
    says: str,
    step: str,
) -> None:
    spoil(squad)
    if spoil not in (new_file, other_setting, strict):
        run(squad, "git", "commit", "--quiet", "--all", "--no-verify", "--allow-empty", "-m", "So")
    screen = run(squad, "esteira", "status").stdout
    assert screen.startswith(f"{headline}  ")
    assert checklist(screen)[name] == icon
    assert says in screen
    assert screen.strip().splitlines()[-1].startswith(f"Next: {step}")
    if spoil is strict:
        run(squad, "git", "commit", "--quiet", "--all", "--no-verify", "-m", "So")
        run(squad, "esteira", "pull-request", "collect", "--base", "main")
        comment = run(squad, "esteira", "pull-request", "render").stdout
        assert f"### ❌ {headline}: " in comment, "the comment says the same"


def test_what_cannot_be_checked_never_reads_as_a_pass(squad: Path) -> None:
    run(squad, "git", "branch", "--move", "elsewhere")
    run(squad, "dvc", "remote", "remove", "storage")
    found = standing.find()
    for name in ("Comparison", "Data"):
        told = check(found, name)
        assert told.tone == "none"
        assert told.says.startswith(("not checked: ", "not compared: "))
    screen = run(squad, "esteira", "status").stdout
    assert len(re.findall(r"^– ", screen, re.MULTILINE)) == 2


@pytest.mark.parametrize(
    ("word", "tone", "step"),
    [("keep", "good", ""), ("retrain", "look", "absorb"), ("rework", "bad", "report.html"),
     ("unusable", "bad", "report.html"), ("", "none", "")],
)  # fmt: skip
def test_the_drift_checks_word_is_taken_as_it_is_meant(word: str, tone: str, step: str) -> None:
    judged = gate.Verdict(
        file=gate.DRIFT_FILE, metric="drift", better="", base=None, now=None, limit=None,
        regression=None, reason="", word=word,
    )  # fmt: skip
    told = standing._drift((judged,))
    assert told.tone == tone
    assert step in told.step


def checks_of(drift: Check) -> tuple[Check, ...]:
    names = ("Lock", "Gates", "Comparison", "Environment", "Commit", "Data")
    return (*(Check(name, "good", "well") for name in names), drift)


@pytest.mark.parametrize("tone", ["look", "bad", "none"])
def test_a_drift_that_gates_let_pass_is_never_called_none(tone: Tone) -> None:
    judged = gate.Verdict(
        file=gate.EVALUATION, metric="roc_auc", better="higher", base=None, now=0.9, limit=0.8,
        regression=None, reason="",
    )  # fmt: skip
    look = "The newest batch says `rework`."
    drift = Check("Drift", tone, "the newest batch says `rework`", look=look)
    verdict = standing._verdict(checks_of(drift), (judged,))
    assert (verdict.tone, verdict.headline, verdict.reasons) == ("look", "Look first", (look,))
    calm = standing._verdict(checks_of(Check("Drift", "good", "none")), (judged,))
    assert (calm.tone, calm.headline) == ("good", "Ready")


def test_what_is_to_be_committed_comes_before_what_a_pull_request_is_to_say() -> None:
    worse = Check("Comparison", "look", "worse", "Say why")
    uncommitted = Check("Commit", "look", "1 file", "git commit")
    assert sorted([worse, uncommitted], key=standing._turn) == [uncommitted, worse]


def test_before_the_first_reproduction_it_says_so(squad: Path) -> None:
    Path("dvc.lock").unlink()
    with pytest.raises(UserError, match="uv run dvc repro"):
        standing.find()
