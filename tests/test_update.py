"""Living with it: a newer template is merged into a project that its squad has made its own."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import actions
import helpers
import pytest
from actions import act, commit, edit, git
from helpers import ROOT, TEMPLATE, bake, run, run_here, tracked

from esteira.repository import digest
from esteira.update import packages
from esteira.update.changelog import between
from esteira.update.policy import is_left, is_replaced

RECORD = ".esteira.json"
PROJECT = TEMPLATE.name
NOT_COPIED = (".git", ".venv", ".cache", "demo", "__pycache__", ".*_cache", ".hypothesis")


class Template:
    """The present template in a repository of its own, with releases that a test makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
        git(folder, "init", "--quiet", "--initial-branch=main")
        (folder / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0.0\n\n- The first.\n")
        self.release("1.0.0", "")

    @property
    def project(self) -> Path:
        """What projects are rendered from."""
        return self.folder / PROJECT

    def release(self, version: str, news: str) -> str:
        """Commit what was changed as a release; return the commit."""
        for file in ("pyproject.toml", f"{PROJECT}/vendor/pyproject.toml"):
            path = self.folder / file
            named = re.sub(
                r'^version = ".*"', f'version = "{version}"', path.read_text(), flags=re.M
            )
            path.write_text(named)
        if news:
            edit(
                self.folder,
                "CHANGELOG.md",
                "# Changelog\n",
                f"# Changelog\n\n## {version}\n\n{news}\n",
            )
        made = commit(self.folder, f"Release {version}")
        git(self.folder, "tag", f"v{version}")
        return made


@pytest.fixture
def template(tmp_path: Path) -> Template:
    return Template(tmp_path / "template")


@pytest.fixture
def project(template: Template, tmp_path: Path) -> Path:
    """Return a project of the first release, without uv.lock."""
    return bake(tmp_path / "squad", template=template.folder)


def update(
    project: Path, *options: str, check: bool = True, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `esteira update` as a squad does; fails with all it said.

    In this process, for speed, unless `env` says what another one shall find.
    """
    start = run if env else run_here
    done = start(project, "esteira", "update", *options, check=False, env=env)
    assert "Traceback" not in done.stderr, done.stderr
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def record(project: Path) -> dict[str, Any]:
    return json.loads((project / RECORD).read_text("utf-8"))


def state(project: Path) -> tuple[str, ...]:
    """Return all that an update that failed must leave as it was."""
    branches = git(project, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
    status = git(project, "status", "--porcelain", "--ignored=no")
    files = digest.of_folder(project / "vendor"), (project / "gates.yaml").read_text("utf-8")
    return branches, status, *files, git(project, "stash", "list")


def both(template: Template, project: Path, file: str, theirs: str, ours: str, old: str) -> None:
    """Let the template and the squad each replace the same text of a file."""
    edit(template.project, file, old, theirs)
    edit(project, file, old, ours)


# -- What is recorded


def test_a_project_records_its_template_its_answers_and_a_branch(
    template: Template, tmp_path: Path
) -> None:
    project = bake(tmp_path / "squad", template=template.folder, squad="Dados & Ações")
    kept = record(project)
    assert kept["template"] == str(template.folder)
    assert kept["version"] == "1.0.0"
    assert kept["commit"] == git(template.folder, "rev-parse", "HEAD")
    assert kept["answers"]["squad"] == "Dados & Ações"
    assert set(kept["answers"]) == {
        name for name in json.loads((ROOT / "cookiecutter.json").read_text()) if name[0] != "_"
    }
    assert git(project, "rev-parse", "template") == git(project, "rev-parse", "main")
    message = git(project, "log", "-1", "--format=%B")
    assert message.endswith(f"Esteira-Tree: {git(project, 'rev-parse', 'HEAD^{tree}')}")


def test_no_password_of_the_templates_address_is_recorded(
    template: Template, tmp_path: Path
) -> None:
    address = "https://ana:secret@example.org/esteira.git"
    git(template.folder, "remote", "add", "origin", address)
    kept = record(bake(tmp_path / "squad", template=template.folder))
    assert kept["template"] == "https://example.org/esteira.git"


def test_a_branch_template_of_a_clone_is_not_touched(template: Template, tmp_path: Path) -> None:
    clone = tmp_path / "squad" / "churn-radar"
    clone.mkdir(parents=True)
    (clone / "NOTES.md").write_text("Ours\n")
    git(clone, "init", "--quiet", "--initial-branch=main")
    commit(clone)
    git(clone, "branch", "template")
    before = git(clone, "rev-parse", "template")
    project = bake(clone.parent, overwrite=True, template=template.folder)
    assert git(project, "rev-parse", "template") == before
    (template.project / "watch.yaml").unlink()
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [rework, retrain]")
    template.release("1.1.0", "- Stricter.")
    update(project)
    assert git(project, "rev-parse", "template") == before, "it is the squad's own"
    assert "drift: [rework, retrain]" in (project / "gates.yaml").read_text()
    assert (project / "NOTES.md").exists(), "the template never wrote it"
    assert not (project / "watch.yaml").exists()


# -- What an update says and does


def test_it_says_first_what_comes_and_then_what_was_done(template: Template, project: Path) -> None:
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [rework, retrain]")
    edit(template.project, "vendor/esteira/gate.py", '"""', '"""Newer. ')
    template.release("1.1.0", "- Gates are stricter.")
    (template.project / "watch.yaml").unlink()
    (template.project / "NEW.md").write_text("New\n")
    (template.project / ".github/workflows/nightly.yml").write_text("name: Nightly\n")
    template.release("1.2.0", "- Nothing is watched.")
    before = git(project, "rev-parse", "HEAD")

    tried = update(project, "--dry-run").stdout
    assert "Nothing was touched." in tried
    assert git(project, "rev-parse", "HEAD") == before
    assert git(project, "rev-parse", "template") == before

    said = update(project).stdout
    coming, _, done = said.partition("Merged, as commit ")
    assert coming.startswith(f"Esteira 1.0.0 → 1.2.0, from {template.folder}\n")
    assert "- Nothing is watched." in coming
    assert "- Gates are stricter." in coming
    assert "The first" not in coming
    assert re.search(r"replaced whole:\n    vendor/ \(2 files\)\n    .esteira.json\n", done)
    assert "as the template has them now (not changed here):\n    gates.yaml\n" in done
    assert "new:\n    .github/workflows/nightly.yml\n    NEW.md\n" in done
    assert "New workflows run from the next push on; .github/SETUP.md says" in done
    assert "what they need: .github/workflows/nightly.yml\n" in done
    assert "the template is at" not in done, "it is where it was"
    assert "removed (the template has them no more):\n    watch.yaml\n" in done
    for command in ("uv run dvc repro", "uv run esteira status", "git reset --keep " + before[:10]):
        assert command in done
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "rev-parse", "HEAD^2") == git(project, "rev-parse", "template")
    assert git(project, "rev-parse", "template^") == before
    assert record(project)["version"] == "1.2.0"
    assert digest.of_folder(project / "vendor") == record(project)["vendor"]

    git(project, "reset", "--quiet", "--keep", before[:10])
    assert record(project)["version"] == "1.0.0"


def test_with_nothing_new_it_says_so(template: Template, project: Path) -> None:
    before = state(project)
    assert update(project).stdout.startswith("Nothing new: the project has all that Esteira 1.0.0")
    (template.folder / "CONTRIBUTING.md").write_text("Only the template's own\n")
    commit(template.folder)
    assert update(project).stdout.startswith("Nothing new: ")
    assert state(project) == before


def test_a_template_that_moved_is_recorded_where_it_is_now(
    template: Template, project: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [rework, retrain]")
    template.release("1.1.0", "- Stricter.")
    template.folder.rename(moved)
    said = update(project, "--template", str(moved)).stdout
    assert f"says from now on that the template is at {moved}; it was {template.folder}." in said
    assert record(project)["template"] == str(moved)


def test_another_version_is_taken_by_its_name(template: Template, project: Path) -> None:
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [rework, retrain]")
    template.release("1.1.0", "- Stricter.")
    edit(template.project, "gates.yaml", "drift: [rework, retrain]", "drift: []")
    template.release("1.2.0", "- Laxer.")
    done = update(project, "--to", "1.1", check=False)
    assert done.returncode == 2
    assert "has no version 1.1: did you mean `1.1.0`?" in done.stderr
    assert "1.0.0 → 1.1.0" in update(project, "--to", "1.1.0").stdout
    assert "1.1.0 → 1.2.0" in update(project, "--to", "v1.2.0").stdout
    assert "1.2.0 → 1.1.0" in update(project, "--to", "1.1.0").stdout
    assert "drift: [rework, retrain]" in (project / "gates.yaml").read_text()
    assert git(project, "log", "--format=%s", "--first-parent", "-1") == (
        "Update the Esteira template from 1.2.0 to 1.1.0"
    )


def test_of_an_address_the_newest_release_is_taken_and_no_older_one(
    template: Template, tmp_path: Path
) -> None:
    hub = tmp_path / "hub.git"
    git(template.folder, "clone", "--quiet", "--bare", str(template.folder), str(hub))
    git(template.folder, "remote", "add", "origin", f"file://{hub}")
    project = bake(tmp_path / "squad", template=template.folder)
    assert record(project)["template"] == f"file://{hub}"
    for version in ("1.9.0", "1.10.0"):
        edit(template.project, "gates.yaml", "# What must hold", f"# {version}\n# What must hold")
        template.release(version, f"- {version}")
    edit(template.project, "gates.yaml", "# 1.10.0", "# Not released")
    git(template.folder, "tag", "v2.0.0-rc1", commit(template.folder))
    git(template.folder, "push", "--quiet", "--tags", "origin", "main")
    assert "1.0.0 → 1.10.0" in update(project).stdout
    assert re.search(r"1.10.0 \(at \w+\) → 1.10.0 \(at ", update(project, "--to", "main").stdout)
    assert "# Not released" in (project / "gates.yaml").read_text()
    assert update(project).stdout.startswith("Nothing new"), "the newest release is behind it"


def test_a_new_question_gets_its_default_and_an_answer_can_be_changed(
    template: Template, project: Path
) -> None:
    edit(
        template.folder,
        "cookiecutter.json",
        '"owner":',
        '"region": "eu {% raw %}{{x}}{% endraw %}",\n  "owner":',
    )
    with (template.project / "watch.yaml").open("a") as file:
        file.write("\n# Region: {{ cookiecutter.region }}\n")
    template.release("1.1.0", "- Regions.")
    said = update(project).stdout
    assert "The template asks what it did not ask before." in said
    assert "region: eu {{x}}" in said
    assert (project / "watch.yaml").read_text().endswith("# Region: eu {{x}}\n")
    edit(project, RECORD, "eu {{x}}", 'us \\"{{ 1/0 }}\\" {% é😀 %}\\n\\\\')
    edit(project, RECORD, '"squad": "data"', '"squad": "herd"')
    commit(project, "Answer otherwise")
    update(project)
    assert 'Region: us "{{ 1/0 }}" {% é😀 %}' in (project / "watch.yaml").read_text("utf-8")
    assert "@our-organisation/herd" in (project / ".github/CODEOWNERS").read_text()
    assert update(project).stdout.startswith("Nothing new")


def test_an_answer_that_the_template_refuses_is_told_in_its_words(
    template: Template, project: Path
) -> None:
    edit(project, RECORD, '"owner": "our-organisation"', '"owner": "no name"')
    commit(project)
    before = state(project)
    done = update(project, check=False)
    assert done.returncode == 2
    assert "the template refuses: owner 'no name' is not a GitHub name" in done.stderr
    assert done.stderr.count("\n") == 1
    assert state(project) == before


# -- Conflicts


def test_stages_that_both_sides_added_are_no_conflict(template: Template, project: Path) -> None:
    theirs, ours = "  audit:\n    cmd: echo audit\n", "  sign:\n    cmd: echo sign\n"
    train = "\n  train:\n"
    both(template, project, "dvc.yaml", f"\n{theirs}{train}", f"\n{ours}{train}", train)
    commit(project, "A stage of ours")
    template.release("1.1.0", "- A stage that audits.")
    assert "dvc.yaml" in update(project).stdout.partition("merged (changed here")[2]
    merged = (project / "dvc.yaml").read_text("utf-8")
    assert theirs in merged
    assert ours in merged
    assert "<<<<" not in merged
    assert set(run(project, "dvc", "stage", "list", "--name-only").stdout.split()) >= {
        "audit", "sign", "train",
    }  # fmt: skip


def test_a_conflict_is_told_by_file_and_line_and_is_a_merge_like_any_other(
    template: Template, project: Path
) -> None:
    both(template, project, "gates.yaml", "drift: [retrain]", "drift: []", "drift: [rework]")
    both(
        template,
        project,
        "card.yaml",
        "# Theirs\n",
        "# Ours\n",
        (project / "card.yaml").read_text().splitlines(True)[0],
    )
    edit(template.project, "watch.yaml", "window: 3", "window: 4")
    (template.project / "OWN.md").write_text("Theirs\n")
    (project / "OWN.md").write_text("Ours\n")
    template.release("1.1.0", "- Conflicts.")
    before = commit(project, "Ours")

    tried = update(project, "--dry-run").stdout
    assert "3 of the files would need you" in tried
    assert git(project, "status", "--porcelain") == ""

    done = update(project, check=False)
    assert done.returncode == 1
    assert "Merged, but for 3 files whose same lines you and the template changed." in done.stdout
    (line,) = [n for n, text in enumerate((project / "gates.yaml").read_text().splitlines(), 1)
               if text.startswith("<<<<<<< yours")]  # fmt: skip
    assert f"  gates.yaml, line {line}: keep what is right" in done.stdout
    assert ">>>>>>> the template's\n" in (project / "gates.yaml").read_text()
    assert "  card.yaml, line 1: keep what is right" in done.stdout
    assert "uv lock" not in done.stdout, "pyproject.toml is not among them"
    assert "git add OWN.md card.yaml gates.yaml" in done.stdout
    assert "Back to before: git merge --abort" in done.stdout
    status = git(project, "status", "--porcelain").splitlines()
    assert {"AA OWN.md", "UU card.yaml", "UU gates.yaml"} <= set(status)
    assert "window: 4" in (project / "watch.yaml").read_text(), "the rest is merged"
    refused = update(project, check=False)
    assert refused.returncode == 2
    assert "a merge is not finished" in refused.stderr

    git(project, "merge", "--abort")
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "rev-parse", "HEAD") == before
    assert "drift: []" in (project / "gates.yaml").read_text()

    assert update(project, check=False).returncode == 1, "after an abort it can be done again"
    told = run(project, "esteira", "status", check=False)
    assert told.returncode == 2
    assert "3 files are in conflict (`OWN.md`, `card.yaml`, `gates.yaml`): take" in told.stderr
    git(project, "add", "--all")
    left_in = run(project, "git", "commit", "--no-edit", check=False)
    assert left_in.returncode == 1
    assert "the marks of a conflict are still in OWN.md" in left_in.stderr
    for file in ("OWN.md", "card.yaml", "gates.yaml"):
        git(project, "checkout", "--quiet", before, file)
        git(project, "add", file)
    git(project, "commit", "--quiet", "--no-edit")
    assert git(project, "log", "-1", "--format=%s").startswith("Update the Esteira template from")
    assert git(project, "rev-parse", "HEAD^2") == git(project, "rev-parse", "template")
    assert "drift: []" in (project / "gates.yaml").read_text()
    assert update(project).stdout.startswith("Nothing new")


def test_what_the_squad_removed_stays_removed_and_what_it_changed_stays(
    template: Template, project: Path
) -> None:
    git(project, "rm", "-rq", "deploy", "constraints.txt", "vendor/README.md")
    edit(project, "watch.yaml", "window: 3", "window: 5")
    git(project, "mv", "card.yaml", "about.yaml")
    commit(project, "Ours")
    for file in ("deploy/compose.yaml", "constraints.txt", "card.yaml"):
        path = template.project / file
        path.write_text("# Changed\n" + path.read_text())
    (template.project / "watch.yaml").unlink()
    edit(template.project, "vendor/README.md", "# The toolbox", "# Our toolbox")
    template.release("1.1.0", "- Changes.")
    said = update(project).stdout
    assert re.search(
        r"stay removed, as you have it \(the template changed them\):\n    deploy/comp", said
    )
    assert "stay, since you changed them (the template has them no more):\n    watch.yaml\n" in said
    here = tracked(project)
    assert not [path for path in here if path.startswith("deploy/")]
    assert "constraints.txt" not in here
    assert "card.yaml" not in here
    assert (project / "about.yaml").read_text().startswith("# Changed\n"), "it was only moved"
    assert "window: 5" in (project / "watch.yaml").read_text()
    assert (project / "vendor/README.md").exists(), "vendor/ is the template's whole"


# -- The toolbox


def test_an_edit_of_the_toolbox_is_told_first_and_by_doctor_and_then_replaced(
    template: Template, project: Path
) -> None:
    def findings() -> str:
        told = run(project, "esteira", "doctor", check=False).stdout
        return "".join(line for line in told.splitlines(True) if line.startswith("- vendor/"))

    assert findings() == ""
    edit(project, "vendor/esteira/gate.py", '"""', '"""Ours. ')
    (project / "vendor/esteira/own.py").write_text("OURS = 1\n")
    told = findings()
    assert told.count("vendor/ is not as") == 1
    base = git(project, "rev-parse", "template")[:10]
    assert (
        "vendor/ is not as Esteira 1.0.0 has it (vendor/esteira/gate.py, vendor/esteira/own.py)"
        in told
    )
    assert (
        f"`git diff {base} -- vendor` shows it: offer it to the template ({template.folder})"
        in told
    )
    assert "move it into src/" in told
    before = commit(project, "Edit the toolbox")
    edit(template.project, "vendor/esteira/gate.py", '"""', '"""Newer. ')
    template.release("1.1.0", "- Newer.")
    said = update(project).stdout
    coming = said.partition("Merged, as commit")[0]
    assert "vendor/ was edited here, and is replaced whole:\n\n  vendor/esteira/gate.py\n" in coming
    (shown,) = re.findall(r"git diff \w+ \w+ -- vendor", coming)
    assert before[:10] in shown
    assert "+OURS = 1" in git(project, *shown.split()[1:])
    assert "Ours." not in (project / "vendor/esteira/gate.py").read_text()
    assert not (project / "vendor/esteira/own.py").exists()
    assert findings() == ""
    git(project, "checkout", "--quiet", before)
    assert "vendor/ is not as Esteira 1.0.0" in findings()
    (project / RECORD).unlink()
    told = run(project, "esteira", "doctor", check=False).stdout
    assert ".esteira.json is missing, so whether vendor/ was edited is not known" in told


def test_line_ends_are_no_edit_and_bytecode_is_none(project: Path) -> None:
    path = project / "vendor" / "esteira" / "gate.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    cache = project / "vendor" / "esteira" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "x.pyc").write_bytes(b"x")
    assert digest.of_folder(project / "vendor") == record(project)["vendor"]


def test_a_squad_that_has_the_toolbox_from_its_own_index_keeps_it_so(
    template: Template, project: Path
) -> None:
    git(project, "rm", "-rq", "vendor/esteira")
    commit(project, "Have the toolbox from our index")
    shutil.rmtree(project / "vendor" / "esteira", ignore_errors=True)
    edit(template.project, "vendor/esteira/gate.py", '"""', '"""Newer. ')
    (template.project / "vendor/esteira/more.py").write_text('"""More."""\n')
    edit(template.project, "watch.yaml", "window: 3", "window: 4")
    template.release("1.1.0", "- Newer.")
    elsewhere = {"PYTHONPATH": f"{project}/src{os.pathsep}{TEMPLATE}/vendor"}
    update(project, env=elsewhere)
    assert not [path for path in tracked(project) if path.startswith("vendor/esteira")]
    assert "window: 4" in (project / "watch.yaml").read_text()


# -- Nothing is touched


def test_work_that_is_not_committed_is_not_touched(template: Template, project: Path) -> None:
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: []")
    template.release("1.1.0", "- Laxer.")
    edit(project, "params.yaml", "examples: 5", "examples: 7")
    before = state(project)
    done = update(project, check=False)
    assert done.returncode == 2
    assert "params.yaml changed since the last commit: commit or `git stash` first" in done.stderr
    assert done.stderr.count("\n") == 1
    assert state(project) == before
    assert "It would do this" in update(project, "--dry-run").stdout
    assert state(project) == before


def test_a_file_that_git_does_not_know_is_not_overwritten(
    template: Template, project: Path
) -> None:
    (template.project / "NEW.md").write_text("Theirs\n")
    template.release("1.1.0", "- A file.")
    (project / "NEW.md").write_text("Ours, not yet committed\n")
    before = state(project)
    for options in ([], ["--dry-run"]):
        done = update(project, *options, check=False)
        assert done.returncode == 2
        assert "NEW.md would be overwritten: commit, move or remove what is there." in done.stderr
    assert state(project) == before
    assert (project / "NEW.md").read_text() == "Ours, not yet committed\n"

    both(template, project, "gates.yaml", "drift: [retrain]", "drift: []", "drift: [rework]")
    template.release("1.2.0", "- A conflict too.")
    git(project, "commit", "--quiet", "--all", "-m", "Ours")
    before = state(project)
    done = update(project, check=False)
    assert done.returncode == 2
    assert "NEW.md" in done.stderr
    assert state(project) == before
    assert "merge" not in git(project, "status").lower()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p, t: git(p, "switch", "--quiet", "template"), "switch to a branch of yours"),
        (lambda p, t: (p / RECORD).write_text("{"), f"{RECORD} is not valid JSON"),
        (lambda p, t: (p / RECORD).write_text("{}"), f"{RECORD}: template: field required"),
        (lambda p, t: git(p, "rm", "-q", RECORD), f"there is no {RECORD}"),
        (lambda p, t: t.rename(t.with_name("moved")), "the template cannot be had from"),
        (lambda p, t: (t / "cookiecutter.json").write_text("{"), "the template cannot be rendered"),
        (lambda p, t: shutil.rmtree(t / PROJECT), "is no Esteira template"),
        (lambda p, t: shutil.rmtree(p / ".git"), "must be in a Git repository"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_all_as_it_was(
    template: Template, project: Path, change: Callable[[Path, Path], object], sentence: str
) -> None:
    change(project, template.folder)
    if (project / ".git").exists() and git(project, "status", "--porcelain"):
        commit(project, "Change")
    before = state(project) if (project / ".git").exists() else ()
    done = update(project, check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not before or state(project) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_while_it_renders_it_leaves_all_as_it_was_and_can_be_run_again(
    template: Template, project: Path, number: signal.Signals
) -> None:
    """The template's hook says that it has begun, and then waits for what never comes."""
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: []")
    began, never = project.parent / "began", project.parent / "never"
    os.mkfifo(began)
    os.mkfifo(never)
    hook = template.folder / "hooks" / "post_gen_project.py"
    whole = hook.read_text()
    wait = f"open({str(began)!r}, 'w').write('x')\nopen({str(never)!r}).read()\n"
    hook.write_text(whole.replace("def main() -> None:", f"{wait}\n\ndef main() -> None:"))
    template.release("1.1.0", "- Waits.")
    before = state(project)
    waiting = os.open(began, os.O_RDONLY | os.O_NONBLOCK)
    process = subprocess.Popen(
        ["esteira", "update"],
        cwd=project,
        env=helpers.surroundings(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watched = select.poll()
    watched.register(waiting, select.POLLIN)
    assert watched.poll(120_000), "the hook was not reached"
    os.close(waiting)
    os.killpg(process.pid, number)
    said = process.communicate()
    assert process.returncode in (-9, 130), said
    assert "Traceback" not in said[1]
    assert state(project) == before
    os.close(os.open(never, os.O_RDWR))  # a hook that was not killed ends
    hook.write_text(whole)
    template.release("1.2.0", "- Does not wait.")
    assert "Merged" in update(project).stdout


def test_killed_when_it_begins_to_change_files_it_has_changed_none(
    template: Template, project: Path, tmp_path: Path
) -> None:
    both(template, project, "gates.yaml", "drift: []", "drift: [retrain]", "drift: [rework]")
    template.release("1.1.0", "- A conflict.")
    commit(project, "Ours")
    before = state(project)
    wrapper = tmp_path / "wrapped" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        '#!/bin/sh\nfor word; do if [ "$word" = read-tree ]; then kill -9 $PPID; exit 1; fi; done\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}{os.pathsep}{helpers.surroundings(project)['PATH']}"
    assert update(project, check=False, env={"PATH": path}).returncode == -9
    assert state(project) == before
    assert update(project, check=False).returncode == 1, "it is begun anew"
    assert len(git(project, "worktree", "list").splitlines()) == 1, "nothing is left over"
    assert "UU gates.yaml" in git(project, "status", "--porcelain")


# -- Where the history is another


def test_in_a_clone_without_the_branch_the_history_will_do(
    template: Template, project: Path, tmp_path: Path
) -> None:
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: []")
    template.release("1.1.0", "- Laxer.")
    clone = tmp_path / "clone"
    git(project, "clone", "--quiet", "--single-branch", "--branch=main", str(project), str(clone))
    edit(clone, "params.yaml", "examples: 5", "examples: 7")
    commit(clone)
    update(clone)
    assert "drift: []" in (clone / "gates.yaml").read_text()
    assert "examples: 7" in (clone / "params.yaml").read_text()
    assert git(clone, "log", "-1", "--format=%s", "template") == "Esteira 1.1.0"


@pytest.mark.parametrize("is_pushed", [True, False])
def test_after_a_squashed_update_the_next_has_no_false_conflict(
    template: Template, project: Path, tmp_path: Path, is_pushed: bool
) -> None:
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [retrain]")
    template.release("1.1.0", "- Second.")
    git(project, "switch", "--quiet", "--create", "update")
    update(project)
    git(project, "switch", "--quiet", "main")
    git(project, "merge", "--quiet", "--squash", "update")
    message = git(project, "log", "--format=%B", "-1", "template")  # as GitHub puts it together
    git(project, "commit", "--quiet", "-m", f"Update\n\n{message}")
    git(project, "branch", "--quiet", "-D", "update")
    edit(project, "gates.yaml", "- {metric: rules_broken", "# Ours\n  - {metric: rules_broken")
    commit(project, "Ours")
    edit(template.project, "gates.yaml", "drift: [retrain]", "drift: [rework, retrain]")
    template.release("1.2.0", "- Third.")
    clone = tmp_path / "clone"
    branches = [] if is_pushed else ["--single-branch", "--branch=main"]
    git(project, "clone", "--quiet", *branches, str(project), str(clone))
    update(clone)
    text = (clone / "gates.yaml").read_text()
    assert "# Ours" in text
    assert "drift: [rework, retrain]" in text


def test_where_no_one_has_the_old_version_it_says_how_to_get_it(
    template: Template, project: Path, tmp_path: Path
) -> None:
    edit(project, "gates.yaml", "# What", "# Ours\n# What")
    commit(project)
    clone = tmp_path / "clone"
    git(project, "clone", "--quiet", "--depth=1", f"file://{project}", str(clone))
    old = f'"commit": "{record(project)["commit"]}"'
    edit(clone, RECORD, old, '"commit": null')
    commit(clone)
    before = state(clone)
    done = update(clone, check=False)
    assert done.returncode == 2
    assert "what the template wrote as version 1.0.0 is not here" in done.stderr
    assert "git fetch --unshallow" in done.stderr
    assert state(clone) == before


def test_a_project_below_the_top_of_its_repository_is_updated_in_its_folder(
    template: Template, project: Path, tmp_path: Path
) -> None:
    shutil.rmtree(project / ".git")
    house = tmp_path / "house"
    (house / "ml").mkdir(parents=True)
    shutil.copytree(project, house / "ml" / "radar")
    (house / "README.md").write_text("A house of many\n")
    git(house, "init", "--quiet", "--initial-branch=main")
    commit(house, "All of ours")
    radar = house / "ml" / "radar"
    edit(radar, "params.yaml", "examples: 5", "examples: 7")
    git(house, "mv", "ml/radar/.github", ".github")
    commit(house, "Ours")
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: []")
    edit(template.project, ".github/workflows/main.yml", "name: main", "# Newer\nname: main")
    template.release("1.1.0", "- Laxer.")
    update(radar)
    assert "drift: []" in (radar / "gates.yaml").read_text()
    assert "examples: 7" in (radar / "params.yaml").read_text()
    assert (house / "README.md").read_text() == "A house of many\n"
    assert "# Newer" in (house / ".github/workflows/main.yml").read_text(), "it was moved"
    assert not (radar / ".github").exists()
    assert git(house, "status", "--porcelain") == ""


def forget(project: Path) -> None:
    """Make of a project one as from before 1.0.0: its first commit, and no record of answers."""
    git(project, "rm", "-q", RECORD)
    git(project, "commit", "--quiet", "--amend", "-m", "Start from the Esteira template")
    git(project, "branch", "-D", "template")


def test_a_project_without_a_record_gets_one_from_its_answers(
    template: Template, project: Path, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"cookiecutter": record(project)["answers"] | {"_x": 1}}))
    forget(project)
    edit(project, "params.yaml", "examples: 5", "examples: 7")
    commit(project, "Ours")
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: []")
    template.release("1.1.0", "- Laxer.")
    refused = update(project, check=False)
    assert f"there is no {RECORD}" in refused.stderr
    assert "--answers .esteira.json of it" in refused.stderr
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[1]")
    done = update(project, "--answers", str(wrong), "--template", str(template.folder), check=False)
    assert "holds no answers" in done.stderr
    update(project, "--answers", str(answers), "--template", str(template.folder))
    assert record(project)["version"] == "1.1.0"
    assert "drift: []" in (project / "gates.yaml").read_text()
    assert "examples: 7" in (project / "params.yaml").read_text()
    assert update(project).stdout.startswith("Nothing new")
    done = update(project, "--answers", str(answers), check=False)
    assert "has the answers: correct them there" in done.stderr


@pytest.fixture
def unrecorded(project: Path) -> Path:
    """Return a project as one from before 1.0.0 is: its first commit, and no record of answers."""
    forget(project)
    return project


def test_a_project_that_never_had_the_toolbox_gets_it(
    template: Template, unrecorded: Path, tmp_path: Path
) -> None:
    git(unrecorded, "rm", "-rq", "vendor")
    git(unrecorded, "commit", "--quiet", "--amend", "--no-edit", "--no-verify")
    shutil.rmtree(unrecorded / "vendor", ignore_errors=True)
    fresh = bake(tmp_path / "fresh", template=template.folder)
    other = {"PYTHONPATH": f"{fresh}/vendor"}  # as `uv run --project` has it
    update(unrecorded, "--answers", str(fresh / RECORD), env=other)
    assert digest.of_folder(unrecorded / "vendor") == digest.of_folder(fresh / "vendor")


def test_answers_of_another_project_are_refused(
    template: Template, unrecorded: Path, tmp_path: Path
) -> None:
    before = state(unrecorded)
    moved = {
        "package_name": (
            "other_radar",
            "its package_name is 'other_radar', and here src/ holds churn",
        ),
        "remote_url": ("s3://ours/dvc", "this project was generated with 'local'"),
    }
    for name, (answer, sentence) in moved.items():
        fresh = bake(tmp_path / name, template=template.folder, **{name: answer})
        done = update(unrecorded, "--answers", str(fresh / RECORD), check=False)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert state(unrecorded) == before


def adopted_by_hand(folder: Path, template: Template, own: dict[str, str]) -> Path:
    """Generate a project and adopt its table, as the hook does where uv is at hand."""
    project = bake(folder, template=template.folder, **own)
    run(project, "esteira", "adopt", own["dataset"], "--target", own["target"])
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--no-verify", "--amend", "--no-edit")
    return project


def test_an_unrecorded_project_on_a_table_of_its_own_is_merged_as_it_was_adopted(
    template: Template, tmp_path: Path
) -> None:
    table = tmp_path / "visits.csv"
    rows = (f"{n},{n % 7},{'yes' if n % 3 else 'no'}" for n in range(300))
    table.write_text("number,place,stays\n" + "\n".join(rows) + "\n")
    own = {"dataset": str(table), "target": "stays"}
    project = adopted_by_hand(tmp_path / "squad", template, own)
    forget(project)
    edit(project, "params.yaml", "examples: 5", "examples: 7")
    commit(project, "Ours")
    edit(template.project, "dvc.yaml", "stages:\n", "# Newer\nstages:\n")
    edit(template.project, "params.yaml", "candidates: 0", "candidates: 3")
    template.release("1.1.0", "- Newer.")
    fresh = adopted_by_hand(tmp_path / "fresh", template, own)
    update(project, "--answers", str(fresh / RECORD))
    params = (project / "params.yaml").read_text("utf-8")
    for text in ("source: data/raw/visits.csv", "examples: 7", "candidates: 3"):
        assert text in params
    line = (project / "dvc.yaml").read_text("utf-8")
    assert "# Newer" in line
    assert "- data/raw/visits.csv" in line
    assert update(project).stdout.startswith("Nothing new")
    edit(template.project, "params.yaml", "candidates: 3", "candidates: 4")
    template.release("1.2.0", "- Newest.")
    update(project)
    assert "candidates: 4" in (project / "params.yaml").read_text("utf-8")
    assert "source: data/raw/visits.csv" in (project / "params.yaml").read_text("utf-8")


def test_what_a_new_lock_moved_added_and_removed_is_told() -> None:
    then = {"a": "1", "b": "1", "gone": "1", "esteira-toolbox": "1.0.0"}
    now = {"a": "2", "b": "1", "came": "3", "esteira-toolbox": "1.1.0"}
    assert packages._moved(then, now) == "moved: a 2; added: came 3; removed: gone"
    assert packages._moved(then, then | {"esteira-toolbox": "1.1.0"}) == "no package moved"


def test_cruft_updates_and_esteira_updates_go_on_from_each_other(
    template: Template, tmp_path: Path
) -> None:
    only_git = tmp_path / "bin"  # without uv there is no lock to wait for
    only_git.mkdir()
    (only_git / "git").symlink_to(str(shutil.which("git")))
    out, quick = tmp_path / "out", {"PATH": str(only_git)}
    out.mkdir()
    cruft = [sys.executable, "-m", "cruft"]
    run(out, *cruft, "create", str(template.folder), "--no-input", env=quick)
    project = out / "churn-radar"
    commit(project, "Say which template this is from")
    first = record(project)
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [retrain]")
    second = template.release("1.1.0", "- Second.")
    run(project, *cruft, "update", "--skip-apply-ask", env=quick)
    commit(project, "cruft update")
    assert first["commit"] != record(project)["commit"] == second
    assert record(project)["version"] == "1.1.0"
    assert record(project)["template"] == first["template"] == str(template.folder)
    edit(project, "gates.yaml", "# What", "# Ours\n# What")
    commit(project, "Ours")
    edit(template.project, "gates.yaml", "drift: [retrain]", "drift: [rework, retrain]")
    template.release("1.2.0", "- Third.")
    assert "1.1.0 → 1.2.0" in update(project).stdout
    text = (project / "gates.yaml").read_text()
    assert "# Ours" in text
    assert "drift: [rework, retrain]" in text


# -- Packages


def test_packages_that_the_squad_did_not_move_go_to_the_tested_versions() -> None:
    lock = "\n".join(
        f'[[package]]\nname = "{name}"\nversion = "{version}"'
        for name, version in {"a": "1", "b": "9", "own": "5", "c": "3"}.items()
    )
    before = "# pins\na==1\nb==2\nc==3\nd==4 ; python_version < '3.12'\nd==5\n"
    after = "a==2\nb==3\nc==3\nd==6 ; python_version < '3.12'\nd==7\nnew==1\n"
    assert packages.to_move(before, after, lock) == {"a": "2"}


def test_the_changelog_between_two_versions(tmp_path: Path) -> None:
    log = tmp_path / "CHANGELOG.md"
    log.write_text(
        "# C\n\n## Unreleased\n\n- u\n\n## 1.10.0 - 2027\n\n- c\n\n"
        "## [1.2.0]\n\n- b\n\n## 1.1.0\n\n- a\n"
    )
    assert "- u" not in between(log, "1.1.0", "1.10.0", with_unreleased=False)
    assert between(log, "1.1.0", "1.2.0", with_unreleased=False) == ["[1.2.0]", "", "- b"]
    assert [x for x in between(log, "1.1.0", "1.10.0", with_unreleased=True) if x[:1] == "-"] == [
        "- u", "- c", "- b",
    ]  # fmt: skip
    assert between(log, "1.10.0", "1.10.0", with_unreleased=False) == []
    assert between(tmp_path / "none.md", "1.0.0", "1.1.0", with_unreleased=True) == []


# -- Every file


def table(manual: str) -> dict[str, str]:
    """Return what the manual's table says of each place: its first word."""
    rows = re.findall(r"^\| (.*) \| (replaced|locked|left|merged)\b.*\|$", manual, re.MULTILINE)
    return {place: what for places, what in rows for place in re.findall(r"`([^`]+)`", places)}


def said(path: str, places: dict[str, str]) -> str:
    """Return what the table says of a file."""
    (found,) = [what for place, what in places.items()
                if path == place or (place.endswith("/") and path.startswith(place))]  # fmt: skip
    return found


def test_the_table_says_of_every_file_what_an_update_does(reproduced: Path) -> None:
    manual = (TEMPLATE / "README.md").read_text("utf-8").partition("\n## Updates\n")[2]
    places = table(manual.partition("\n## ")[0])
    for path in tracked(reproduced):
        what = said(path, places)
        assert is_replaced(path) == (what == "replaced"), path
        assert is_left(path) == (what in ("left", "locked")), path
    files = tracked(reproduced)
    unused = {p for p in places if not any(f == p or f.startswith(p) for f in files)}
    assert unused <= {"data/", "models/", "environment.json"}, "DVC or `record` makes them"


def test_an_update_does_with_every_file_what_the_table_says(
    template: Template, tmp_path: Path
) -> None:
    """The squad adds a last line to each file, the template a first one: both or one stay."""
    project = bake(tmp_path / "squad", template=template.folder)
    manual = (project / "README.md").read_text("utf-8").partition("\n## Updates\n")[2]
    places = table(manual.partition("\n## ")[0])
    files = sorted(tracked(project) - {RECORD})
    long = [f for f in files if (project / f).read_text("utf-8").count("\n") > 4]
    assert len(long) > 0.9 * len(files)
    for made in ("dvc.lock", "environment.json", "uv.lock", "reports/train/metrics.json"):
        (project / made).parent.mkdir(parents=True, exist_ok=True)
        (project / made).write_text("# Ours\n")
    for file in long:
        with (project / file).open("a", encoding="utf-8") as open_file:
            open_file.write("# The squad's\n")
    commit(project, "Ours")
    for path in template.project.rglob("*"):
        name = path.relative_to(template.project).as_posix()
        name = name.replace("{{cookiecutter.package_name}}", "churn_radar")
        if path.is_file() and name in files:
            path.write_text("# The template's\n" + path.read_text("utf-8"), encoding="utf-8")
    template.release("1.1.0", "- All.")
    update(project)
    for file in long:
        text = (project / file).read_text("utf-8")
        assert text.startswith("# The template's"), file
        assert text.endswith("# The squad's\n") == (said(file, places) == "merged"), file
    for made in ("dvc.lock", "environment.json", "uv.lock", "reports/train/metrics.json"):
        assert (project / made).read_text() == "# Ours\n", made


# -- A squad's whole project


def older(template: Template) -> None:
    """Take some things of the template back, as an earlier release might have had them."""
    edit(template.project, "dvc.yaml", "# The line. Stage", "# The pipeline. Stage")
    edit(template.project, "params.yaml", "examples: 5 # shown for each broken rule", "examples: 4")
    edit(template.project, "README.md", "## Quickstart", "## How to begin")
    edit(template.project, "watch.yaml", "window: 3", "window: 4")
    edit(template.project, "vendor/esteira/gate.py", '"""', '"""Older. ')
    edit(template.project, "vendor/esteira/line/params.py", '"""', '"""Older. ')
    edit(template.project, "schema.yaml", "# What each column of the table must hold", "# Columns")
    stages = template.project / "src" / "{{cookiecutter.package_name}}" / "stages"
    edit(stages, "card.py", '"""Card: ', '"""The card: ')
    edit(
        template.project,
        ".github/workflows/pull-request.yml",
        "      - name: Draw",
        "      - name: Paint",
    )
    (template.project / "vendor/esteira/drill.py").rename(
        template.project / "vendor/esteira/rehearse.py"
    )
    pins = template.project / "constraints.txt"
    pins.write_text(re.sub(r"^idna==.*$", "idna==3.10", pins.read_text(), flags=re.MULTILINE))
    git(template.folder, "tag", "-d", "v1.0.0")
    template.release("0.9.0", "")


OWN_STAGE = '''"""Count: how many rows are learnt."""

import json
from pathlib import Path

import pandas as pd
from esteira.line.params import Section, run


class Settings(Section):
    """Section `count:` of params.yaml."""

    unit: int


def main(settings: Settings) -> str:
    """Write reports/count.json."""
    rows = len(pd.read_parquet("data/train.parquet")) // settings.unit
    Path("reports/count.json").write_text(json.dumps({"rows": rows}) + "\\n")
    return f"{rows} rows"


if __name__ == "__main__":
    run("count", main, Settings)
'''
OWN_ENTRY = """
  count:
    cmd: python -m esteira.line count
    deps:
      - data/train.parquet
      - src/churn_radar/stages/count.py
      - vendor/esteira/line
    params:
      - count
    metrics:
      - reports/count.json:
          cache: false
"""


def make_it_ones_own(project: Path) -> dict[str, tuple[str, ...]]:
    """Edit a project as a squad does; return what must stay in which file."""
    package = "src/churn_radar"
    edit(project, f"{package}/model.py", '        "forest": RandomForestClassifier',
         '        "lasso": LogisticRegression(l1_ratio=1, solver="saga", max_iter=5000),\n'
         '        "forest": RandomForestClassifier')  # fmt: skip
    edit(project, f"{package}/features.py", "    return table\n",
         '    table["ratio"] = table["worst radius"] / table["mean radius"]\n'
         "    return table\n")  # fmt: skip
    edit(project, "params.yaml", "algorithm: linear", "algorithm: lasso")
    with (project / "params.yaml").open("a") as file:
        file.write("\ncount:\n  unit: 1\n")
    (project / package / "stages" / "count.py").write_text(OWN_STAGE)
    edit(project, "dvc.yaml", "\n  train:\n", OWN_ENTRY + "\n  train:\n")
    edit(project, "schema.yaml", "  mean area: {type: number, min: 0}",
         "  mean area: {type: number, min: 0, max: 9000, description: In pixels}")  # fmt: skip
    edit(
        project,
        "gates.yaml",
        "rules:\n",
        "rules:\n  - {metric: rows, better: higher, limit: 100, file: reports/count.json}\n",
    )
    edit(project, ".github/workflows/pull-request.yml", "      - name: Test\n",
         "      - name: Say hello\n        run: echo hello\n      - name: Test\n")  # fmt: skip
    edit(
        project,
        "pyproject.toml",
        '    "esteira-toolbox",\n',
        '    "esteira-toolbox",\n    "python-slugify",\n',
    )
    edit(project, "README.md", "## The map", "## Our own section\n\nOurs.\n\n## The map")
    git(project, "rm", "-q", "deploy/alerts.test.yml")
    return {
        f"{package}/model.py": ('"lasso"',),
        f"{package}/features.py": ('table["ratio"]',),
        f"{package}/stages/count.py": ("class Settings",),
        "params.yaml": ("algorithm: lasso", "count:"),
        "dvc.yaml": ("  count:\n", "stages/count.py"),
        "schema.yaml": ("max: 9000", "In pixels"),
        "gates.yaml": ("metric: rows",),
        ".github/workflows/pull-request.yml": ("Say hello",),
        "pyproject.toml": ("python-slugify",),
        "README.md": ("## Our own section",),
        "uv.lock": ('name = "python-slugify"',),
    }


def test_a_project_that_was_made_ones_own_is_updated_and_runs(
    reproduced: Path, template: Template, tmp_path: Path
) -> None:
    older(template)
    project = bake(tmp_path / "squad", lock=True, template=template.folder)
    kept = make_it_ones_own(project)
    run(project, "uv", "lock", "--quiet")
    assert 'name = "idna"\nversion = "3.10"' in (project / "uv.lock").read_text()
    run(project, "dvc", "repro", "count")  # what is to be left by the update, and found stale
    run(project, "esteira", "record")
    commit(project, "Make it our own")
    results = {name: (project / name).read_bytes() for name in ("dvc.lock", "environment.json")}

    for name in (*git(ROOT, "ls-files").split("\n"),):
        if name.startswith(PROJECT) or name in ("cookiecutter.json", "CHANGELOG.md"):
            (template.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, template.folder / name)
    (template.project / "vendor/esteira/rehearse.py").unlink()
    git(template.folder, "add", "--all")
    template.release("1.0.0", "")
    said = run(project, "esteira", "update").stdout  # of the old toolbox, which the project has
    assert "Esteira 0.9.0 → 1.0.0" in said
    assert "moved: idna " in said
    assert 'name = "idna"\nversion = "3.10"' not in (project / "uv.lock").read_text()
    run(project, "uv", "lock", "--check", "--quiet")
    for file, texts in kept.items():
        text = (project / file).read_text("utf-8")
        for each in texts:
            assert each in text, f"{file} lost {each!r}"
    assert not (project / "deploy/alerts.test.yml").exists()
    assert (project / "dvc.yaml").read_text().startswith("# The line. Stage")
    assert "examples: 5 #" in (project / "params.yaml").read_text()
    assert "## Quickstart" in (project / "README.md").read_text("utf-8")
    assert "window: 3" in (project / "watch.yaml").read_text()
    assert "      - name: Draw" in (project / ".github/workflows/pull-request.yml").read_text()
    assert not (project / "vendor/esteira/rehearse.py").exists()
    assert digest.of_folder(project / "vendor") == digest.of_folder(TEMPLATE / "vendor")
    for name, content in results.items():
        assert (project / name).read_bytes() == content, "what the line made is left"
    assert git(project, "status", "--porcelain") == ""

    ran = helpers.ran(run(project, "dvc", "repro").stdout)
    assert {"ingest", "validate", "split", "count"} <= set(ran), "the toolbox has changed"
    assert "train" in ran
    run(project, "esteira", "record")
    commit(project, "Reproduce with the new toolbox")
    run(project, "esteira", "gate")
    not_the_templates_own_models = "not (linear or forest or boosting)"
    run(project, "pytest", "-q", "-k", not_the_templates_own_models)
    # Its own stage, and the one that stands on its own model and features.
    verified = run(project, "esteira", "verify", "count", "train", check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


# -- The workflow


class Server:
    """A project on a server, and what GitHub knows of it."""

    def __init__(self, project: Path, github: actions.GitHub) -> None:
        self.project, self.github, self.runs = project, github, 0
        git(project, "config", "receive.denyCurrentBranch", "updateInstead")
        git(project, "config", "core.hooksPath", str(project / ".git" / "hooks"))  # of the server
        git(project, "branch", "--quiet", "-D", "template")  # as nobody pushed it

    def clone(self) -> Path:
        """Return what a workflow checks out: a fresh clone."""
        self.runs += 1
        return actions.checked_out(self.project, self.runs)

    def run(self, **env: str) -> str:
        """Run the commands of both jobs; return what the last one said."""
        clone = self.clone()
        surroundings = actions.of_workflow(clone, self.github) | env
        packed = update(clone, "--out", ".report/update", env=surroundings)
        if "new=true" not in (clone.parent / "output").read_text():
            return packed.stdout
        offered = ("esteira", "propose-update", ".report/update")
        done = run(clone, *offered, env=surroundings, check=False)
        assert "Traceback" not in done.stderr
        assert done.returncode == (2 if done.stderr else 0)
        return done.stderr or done.stdout

    def at(self, branch: str) -> str:
        return git(self.project, "rev-parse", branch)


@pytest.fixture
def server(template: Template, tmp_path: Path, github: actions.GitHub) -> Server:
    """Return a project on a server, whose template is found at an address."""
    project = bake(tmp_path / "server", template=template.folder)
    edit(project, RECORD, f'"{template.folder}"', f'"file://{template.folder}"')
    commit(project, "Say where others find the template")
    return Server(project, github)


def test_the_workflow_offers_an_update_as_a_pull_request(
    reproduced: Path, template: Template, tmp_path: Path, github: actions.GitHub
) -> None:
    project = bake(tmp_path / "server", lock=True, template=template.folder)
    edit(project, RECORD, f'"{template.folder}"', f'"file://{template.folder}"')
    edit(project, "params.yaml", "examples: 5", "examples: 7")
    commit(project, "Ours")
    server = Server(project, github)

    def workflow() -> str:
        done = act(
            server.clone(),
            "update",
            {
                "repository": {"full_name": actions.REPOSITORY, "default_branch": "main"},
                "ref": "refs/heads/main",
                "inputs": {"to": ""},
            },
            env={"GITHUB_API_URL": github.url},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    first = workflow()
    assert "Nothing new: the project has all that Esteira 1.0.0 writes" in first, first
    assert not github.pulls
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: [rework, retrain]")
    edit(template.project, "vendor/esteira/gate.py", '"""', '"""Newer. ')
    template.release("1.1.0", "- Gates are stricter for @everyone.")
    before = git(project, "rev-parse", "main")
    assert "Opened pull request #30." in workflow()
    (pull,) = github.pulls
    assert pull["title"] == "Update the Esteira template to 1.1.0"
    assert pull["head"]["ref"] == "esteira/update"
    assert "This brings Esteira 1.0.0 → 1.1.0" in pull["body"]
    assert "- replaced whole: `vendor/ (2 files)`, `.esteira.json`" in pull["body"]
    assert "```text\n1.1.0\n\n- Gates are stricter for @everyone.\n```" in pull["body"]
    assert "close and open this pull request" in pull["body"]
    assert git(project, "rev-parse", "esteira/update^1") == before
    assert git(project, "rev-parse", "esteira/update^2") == server.at("template")
    assert git(project, "rev-parse", "main") == before
    git(project, "merge", "--quiet", "--ff-only", "esteira/update")
    assert "examples: 7" in (project / "params.yaml").read_text()
    assert "drift: [rework, retrain]" in (project / "gates.yaml").read_text()
    run(project, "uv", "lock", "--check", "--quiet")


def test_the_pull_request_is_one_and_what_somebody_did_to_it_stays(
    template: Template, server: Server
) -> None:
    github = server.github
    assert "Nothing new" in server.run()
    edit(template.project, "gates.yaml", "drift: [rework]", "drift: []")
    template.release("1.1.0", "- Laxer.")
    github.broken = f"POST /repos/{actions.REPOSITORY}/pulls"
    assert "GitHub answers 500" in server.run()
    github.broken = ""
    first = server.at("esteira/update")
    assert "Opened pull request #30." in server.run()
    assert server.at("esteira/update") == first, "the same is not pushed again"
    assert "Updated pull request #30." in server.run()
    edit(template.project, "gates.yaml", "drift: []", "drift: [retrain]")
    template.release("1.2.0", "- Otherwise.")
    assert "Updated pull request #30." in server.run()
    assert github.pulls[0]["title"] == "Update the Esteira template to 1.2.0"
    second = server.at("esteira/update")
    assert second != first
    assert git(server.project, "log", "--format=%s", "template").splitlines()[:2] == [
        "Esteira 1.2.0",
        "Esteira 1.1.0",
    ]

    github.pulls[0] |= {"state": "closed"}
    github.pulls[0]["head"]["sha"] = second
    assert "#30 was closed: delete esteira/update to have it offered again." in server.run()
    assert server.at("esteira/update") == second
    git(server.project, "branch", "-D", "esteira/update")
    assert "Opened pull request #31." in server.run()

    clone = server.clone()
    git(clone, "switch", "--quiet", "esteira/update")
    worked = commit(clone, "Reproduce the line")
    git(clone, "push", "--quiet", "--no-verify", "origin", "HEAD")
    assert "Somebody has committed to esteira/update" in server.run()
    assert server.at("esteira/update") == worked


def test_a_pull_request_whose_files_conflict_cannot_be_merged_by_mistake(
    template: Template, server: Server
) -> None:
    both(template, server.project, "gates.yaml", "drift: []", "drift: [retrain]", "drift: [rework]")
    commit(server.project, "Ours")
    edit(server.project, "vendor/esteira/gate.py", '"""', '"""Ours. ')
    commit(server.project, "Edit the toolbox")
    template.release("1.1.0", "- Laxer.")
    assert "Opened pull request #30." in server.run()
    (pull,) = server.github.pulls
    assert "### 1 file needs you" in pull["body"]
    assert "- `gates.yaml`" in pull["body"]
    assert "vendor/ was edited here, and is replaced whole" in pull["body"]
    assert "- `vendor/esteira/gate.py`" in pull["body"]
    assert server.at("esteira/update") == server.at("template"), "GitHub sees the conflict itself"
    tried = run(server.project, "git", "merge", "--no-commit", "esteira/update", check=False)
    assert tried.returncode == 1
    git(server.project, "merge", "--abort")
    assert "Updated pull request #30." in server.run()


def test_workflows_are_changed_only_with_a_token_that_may(
    template: Template, server: Server
) -> None:
    edit(template.project, ".github/workflows/main.yml", "name: main", "# Newer\nname: main")
    template.release("1.1.0", "- A workflow.")
    said = server.run()
    assert "1.1.0 changes .github/workflows/main.yml, and GitHub lets no workflow push that" in said
    assert "ESTEIRA_PUSH_TOKEN" in said
    assert not server.github.pulls
    assert "Opened pull request #30." in server.run(ESTEIRA_OWN_TOKEN="true")  # noqa: S106
    assert "close and open" not in server.github.pulls[0]["body"]


def test_what_is_no_update_is_not_offered(server: Server) -> None:
    clone = server.clone()
    folder = clone / "update"
    folder.mkdir()
    offer = ("esteira", "propose-update", "update")
    assert "update.json cannot be read" in run(clone, *offer, check=False).stderr
    for content in ("{}", "[", '{"old": "' + "x" * 2_000_000 + '"}'):
        (folder / "update.json").write_text(content)
        done = run(clone, *offer, check=False)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "update.json is " in done.stderr


# -- Releases of the template


def test_a_release_has_the_changelogs_section_and_the_version_of_every_file() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "release_notes.py")]
    versions = [
        re.search(r'^version = "(.*)"$', (ROOT / name).read_text("utf-8"), re.MULTILINE)
        for name in ("pyproject.toml", f"{PROJECT}/vendor/pyproject.toml")
    ]
    (version,) = {found[1] for found in versions if found}
    notes = run(ROOT, *script, f"v{version}").stdout
    assert "- `esteira update` merges" in notes
    assert "\n## " not in notes
    done = run(ROOT, *script, "v0.0.7", check=False)
    assert done.returncode == 1
    assert done.stderr == f"v0.0.7 is not released: pyproject.toml says {version}.\n"


def test_a_release_without_a_section_is_refused(template: Template) -> None:
    shutil.copy(ROOT / "scripts" / "release_notes.py", template.folder / "scripts")
    template.release("1.1.0", "")
    script = template.folder / "scripts" / "release_notes.py"
    done = run(template.folder, sys.executable, str(script), "v1.1.0", check=False)
    assert done.returncode == 1
    assert "CHANGELOG.md has nothing below `## 1.1.0`" in done.stderr


# -- Real commits of this repository

EARLIER = {
    "8dc27eb": "the toolbox in vendor/",
    "2ca44e1": "Git and DVC one module each",
    "7213584": "more tables are read",
    "6a8bd44": "batches are watched",
    "f70b7b0": "a page says how the project stands",
}


@pytest.mark.parametrize("earlier", EARLIER)
def test_a_project_of_an_earlier_commit_is_updated_to_this_one(
    earlier: str, tmp_path: Path
) -> None:
    if subprocess.run(
        ["git", "-C", str(ROOT), "cat-file", "-e", earlier], capture_output=True
    ).returncode:
        pytest.skip(f"this clone lacks {earlier}: it is shallow, or holds no history")
    old = tmp_path / "old"
    old.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", earlier], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x"], input=archive.stdout, cwd=old, check=True)
    project = bake(tmp_path / "squad", template=old)
    fresh = bake(tmp_path / "fresh")
    edit(project, "params.yaml", "algorithm: linear", "algorithm: forest")
    copied = "    table = table.copy()\n    return table\n"
    edit(project, "src/churn_radar/features.py", "    return table\n", copied)
    (project / "NOTES.md").write_text("Ours\n")
    before = commit(project, "Ours")
    other = {"PYTHONPATH": f"{fresh}/vendor"}  # as `uv run --project` has it
    answers = ("--answers", str(fresh / RECORD), "--template", str(ROOT))
    done = update(project, *answers, check=False, env=other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "algorithm: forest" in (project / "params.yaml").read_text()
    assert "table = table.copy()" in (project / "src/churn_radar/features.py").read_text()
    assert (project / "NOTES.md").read_text() == "Ours\n"
    assert git(project, "rev-parse", "HEAD^1") == before
    changed = {"params.yaml", "src/churn_radar/features.py", "NOTES.md", RECORD}
    for path in tracked(fresh) - changed:
        assert (project / path).read_bytes() == (fresh / path).read_bytes(), path
    assert tracked(project) == tracked(fresh) | {"NOTES.md"}
