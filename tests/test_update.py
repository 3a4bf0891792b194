"""A year later: the template has a newer version, and the project has become the squad's own."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import actions
import pytest
from actions import edit, git
from helpers import ROOT, TEMPLATE, bake, run, tracked
from ruamel.yaml import YAML

NEWS = "## 1.1.0\n\n- Stages sing while they work.\n\n"
OWN_STAGE = '''"""Count: how many rows there are of each class."""

import pandas as pd
from esteira.line import table
from esteira.line.params import Section, run


class Settings(Section):
    """Section `count:` of params.yaml."""

    column: str


def main(settings: Settings) -> str:
    """Write data/count.parquet."""
    rows = table.read("data/train.parquet")
    counts = rows[settings.column].value_counts().reset_index()
    table.write(pd.DataFrame(counts), "data/count.parquet")
    return f"{len(counts)} values"


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
    outs:
      - data/count.parquet

artifacts:
"""


def put(folder: Path, file: str, old: str, new: str) -> None:
    """Replace a text that is in a file of the template."""
    edit(folder / TEMPLATE.name, file, old, new)


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the template as a repository with two versions: the present one, and one to come."""
    folder = tmp_path_factory.mktemp("releases") / "esteira"
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder.parent, "init", "--quiet", str(folder))
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "-m", "1.0.0")
    git(folder, "tag", "v1.0.0")

    questions = json.loads((folder / "cookiecutter.json").read_text("utf-8"))
    assert questions["__version"] == "1.0.0"
    questions = {"region": "eu", **questions, "__version": "1.1.0"}
    (folder / "cookiecutter.json").write_text(json.dumps(questions, ensure_ascii=False, indent=2))
    news = (folder / "CHANGELOG.md").read_text("utf-8").replace("## 1.0.0", NEWS + "## 1.0.0", 1)
    (folder / "CHANGELOG.md").write_text(news, "utf-8")
    words = "One line, said in words."
    put(folder, "vendor/esteira/__init__.py", '"""', f'"""{words} ')
    (folder / TEMPLATE.name / "vendor/esteira/line/sing.py").write_text('"""Song."""\n')
    (folder / TEMPLATE.name / "vendor/esteira/drill.py").unlink()
    put(folder, "params.yaml", "  examples: 5 #", "  examples: 6 #")
    put(folder, "gates.yaml", "# limit:", "# limit, which is a number:")
    put(folder, "dvc.yaml", "# The line. Stage", "# This is the line. Stage")
    package = "src/{{cookiecutter.package_name}}"
    put(folder, f"{package}/features.py", "Feature engineering without", "Features without")
    put(folder, ".github/workflows/main.yml", "permissions: {}", "permissions: {} # none")
    put(folder, "deploy/compose.yaml", "services:", "services: # two")
    (folder / TEMPLATE.name / "deploy/prometheus.yml").unlink()
    (folder / TEMPLATE.name / "deploy/alerts.test.yml").unlink()
    (folder / TEMPLATE.name / "deploy/SINGING.md").write_text("La.\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", "1.1.0")
    git(folder, "tag", "v1.1.0")
    return folder


def grown(project: Path) -> Path:
    """Let a squad work in a project as squads do: every kind of file that is theirs is changed."""
    package = "src/churn_radar"
    edit(project, f"{package}/model.py", '"linear": Ridge(),', '"linear": Ridge(alpha=2.0),')
    edit(
        project, f"{package}/features.py", "    return table",
        '    table["fold"] = table["worst area"] / table["mean area"]\n    return table',
    )  # fmt: skip
    (project / package / "stages/count.py").write_text(OWN_STAGE, "utf-8")
    edit(project, "dvc.yaml", "\nartifacts:\n", OWN_ENTRY)
    with (project / "params.yaml").open("a", encoding="utf-8") as params:
        params.write("\ncount: # ours\n  column: diagnosis\n")
    edit(
        project,
        "schema.yaml",
        "mean radius: {type: number,",
        "mean radius: {unit: mm, type: number,",
    )
    edit(project, "gates.yaml", "better: lower, limit: 0.25", "better: lower, limit: 0.24")
    with (project / ".github/workflows/main.yml").open("a", encoding="utf-8") as workflow:
        workflow.write("      - run: echo ours\n")
    (project / "deploy/compose.yaml").unlink()
    edit(project, "deploy/prometheus.yml", "scrape_configs:", "scrape_configs: # ours")
    (project / "notes.md").write_text("Ours.\n")
    run(project, "dvc", "repro")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "A year of work")
    return project


def update(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run(project, "esteira", "update", *words, check=False)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project as it is generated, without a lock; to be copied."""
    answers = {"project_slug": "churn-radar", "package_name": "churn_radar"}
    folder = tmp_path_factory.mktemp("generated")
    return bake(folder, project_name='Ação & "radar"', **answers)


@pytest.fixture
def young(generated: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to change at will."""
    return Path(shutil.copytree(generated, tmp_path / generated.name, symlinks=True))


def state(project: Path) -> tuple[str, ...]:
    """Return what an update that is refused must leave as it was."""
    words = ("rev-parse HEAD template", "status --porcelain", "stash list", "worktree list")
    return tuple(git(project, *word.split()) for word in words)


def test_an_edited_project_is_updated_and_no_edit_is_lost(project: Path, releases: Path) -> None:
    grown(project)
    before = git(project, "rev-parse", "HEAD")
    done = update(project, "--template", str(releases))
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert said.startswith("Esteira 1.0.0 → 1.1.0")
    assert "Stages sing while they work." in said
    assert "## 1.0.0" not in said, "what the project has already is no news"
    assert "region = eu" in said
    assert re.search(r"Updated: [34] files of vendor/ replaced, \d+ others merged", said)
    assert "deploy/compose.yaml stays removed, as you removed it" in said
    assert "deploy/prometheus.yml stays, as you changed it" in said

    read = {name: (project / name).read_text("utf-8") for name in tracked(project)}
    package = "src/churn_radar"
    for file, ours in {
        f"{package}/model.py": "Ridge(alpha=2.0)",
        f"{package}/features.py": 'table["fold"]',
        f"{package}/stages/count.py": "Count: how many",
        "dvc.yaml": "data/count.parquet",
        "params.yaml": "column: diagnosis",
        "schema.yaml": "unit: mm",
        "gates.yaml": "limit: 0.24",
        ".github/workflows/main.yml": "echo ours",
        "deploy/prometheus.yml": "# ours",
        "notes.md": "Ours.",
    }.items():
        assert ours in read[file], file
    for file, theirs in {
        f"{package}/features.py": "Features without memory",
        "dvc.yaml": "# This is the line.",
        "params.yaml": "examples: 6",
        "gates.yaml": "which is a number",
        ".github/workflows/main.yml": "permissions: {} # none",
        "deploy/SINGING.md": "La.",
        "vendor/esteira/line/sing.py": "Song.",
        ".esteira.yaml": "version: 1.1.0",
    }.items():
        assert theirs in read[file], file
    assert not {"vendor/esteira/drill.py", "deploy/alerts.test.yml", "deploy/compose.yaml"} & set(
        read
    )
    assert git(project, "status", "--porcelain") == ""
    assert git(project, "rev-list", "--parents", "-1", "HEAD").split()[1] == before
    assert git(project, "rev-parse", "template") == git(project, "rev-parse", "HEAD^2")

    run(project, "dvc", "repro")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "Reproduce")
    assert "identical" in run(project, "esteira", "verify", "split", "count").stdout
    again = update(project, "--template", str(releases))
    assert again.returncode == 0
    assert "Nothing is new" in again.stdout


def test_the_same_lines_changed_on_both_sides_wait_for_the_squad(
    young: Path, releases: Path
) -> None:
    edit(young, "params.yaml", "examples: 5", "examples: 9")
    edit(young, "deploy/compose.yaml", "services:", "services: # ours")
    actions.commit(young)
    before = state(young)
    done = update(young, "--template", str(releases))
    assert done.returncode == 1
    assert "Not finished: 2 files were changed here and by the template" in done.stdout
    assert re.search(r"params\.yaml +edit it between the marks", done.stdout)
    assert "git merge --abort" in done.stdout
    text = (young / "params.yaml").read_text("utf-8")
    assert "examples: 9" in text
    assert "examples: 6" in text
    assert (young / "vendor/esteira/line/sing.py").is_file()
    assert "a merge is not finished" in update(young, "--template", str(releases)).stderr

    git(young, "merge", "--abort")
    assert state(young)[1:] == before[1:]
    assert git(young, "rev-parse", "HEAD") == before[0].split()[0]

    assert update(young, "--template", str(releases)).returncode == 1
    for file in ("params.yaml", "deploy/compose.yaml"):
        git(young, "checkout", "--ours", "--", file)
        git(young, "add", "--", file)
    git(young, "commit", "--quiet", "--no-edit")
    again = update(young, "--template", str(releases))
    assert (again.returncode, again.stdout.strip()[:14]) == (0, "Nothing is new")
    assert "examples: 9" in (young / "params.yaml").read_text("utf-8")


def not_committed(project: Path) -> list[str]:
    (project / "notes.md").write_text("Ours.\n")
    return []


def no_record(project: Path) -> list[str]:
    (project / ".esteira.yaml").unlink()
    actions.commit(project)
    return []


def strange_record(project: Path) -> list[str]:
    edit(project, ".esteira.yaml", "version: 1.0.0", "version: new")
    actions.commit(project)
    return []


def refused_answer(project: Path) -> list[str]:
    edit(project, ".esteira.yaml", '"churn_radar"', '"pandas"')
    actions.commit(project)
    return []


def newer_already(project: Path) -> list[str]:
    edit(project, ".esteira.yaml", "version: 1.0.0", "version: 2.0.0")
    actions.commit(project)
    return []


def no_such_version(project: Path) -> list[str]:
    return ["--to", "9.9.9"]


def no_version(project: Path) -> list[str]:
    return ["--to", "newest"]


def no_address(project: Path) -> list[str]:
    return ["--template", ""]


def nothing_there(project: Path) -> list[str]:
    return ["--template", "https://127.0.0.1:9/esteira.git"]


def another_template(project: Path) -> list[str]:
    other = project.parent / "other"
    other.mkdir()
    (other / "cookiecutter.json").write_text("{}")
    return ["--template", str(other)]


REFUSED = [
    (not_committed, "notes.md is not committed: commit or stash it first"),
    (no_record, ".esteira.yaml is not here.*`uv run esteira update --begin` writes it"),
    (strange_record, "'new' is no version: it would be like 1.2.0"),
    (refused_answer, "package_name 'pandas' is taken by what the project uses"),
    (newer_already, "an update does not go back"),
    (no_such_version, "has no version 9.9.9; the newest are: 1.0.0, 1.1.0"),
    (no_version, "has no version newest"),
    (no_address, "does not say where the template is.*--template"),
    (nothing_there, "git clone: "),
    (another_template, "is no template of Esteira's"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSED, ids=lambda x: getattr(x, "__name__", ""))
def test_what_cannot_be_updated_is_told_in_a_sentence_and_left_as_it_was(
    make: Callable[[Path], list[str]], sentence: str, young: Path, releases: Path
) -> None:
    words = make(young)
    before = state(young)
    done = update(young, *(["--template", str(releases)] if "--template" not in words else []),
                  *words)  # fmt: skip
    assert done.returncode == 2
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert state(young) == before


def test_an_edit_of_the_toolbox_is_told_by_doctor_and_before_an_update(
    young: Path, releases: Path
) -> None:
    clean = run(young, "esteira", "doctor", check=False)
    assert "as the template made it" not in clean.stdout
    edit(young, "vendor/esteira/status.py", '"""', '"""Ours. ')
    (young / "vendor/esteira/ours.py").write_text("")
    found = run(young, "esteira", "doctor", check=False).stdout.replace("\n", " ")
    told = "vendor/esteira/ours.py, vendor/esteira/status.py is not as the template made it"
    assert told in re.sub(" +", " ", found)
    assert "move it into src/, or offer it to the template" in re.sub(" +", " ", found)
    actions.commit(young)
    done = update(young, "--template", str(releases))
    assert done.returncode == 0
    assert "2 files of vendor/ were changed here, and are replaced all the same" in done.stdout
    shown = re.search(r"What was changed: git (.*)", done.stdout)
    assert shown
    assert not (young / "vendor/esteira/ours.py").exists()
    assert "Ours." not in (young / "vendor/esteira/status.py").read_text("utf-8")
    assert "as the template made it" not in run(young, "esteira", "doctor", check=False).stdout


def test_a_clone_without_the_branch_updates_as_well(young: Path, releases: Path) -> None:
    clone = young.parent / "clone"
    git(
        young.parent, "clone", "--quiet", "--single-branch", "--branch", "main", str(young), "clone"
    )
    done = update(clone, "--template", str(releases))
    assert done.returncode == 0, done.stderr
    assert git(clone, "rev-parse", "template") == git(clone, "rev-parse", "HEAD^2")
    git(clone, "branch", "-D", "template")
    assert "Nothing is new" in update(clone, "--template", str(releases)).stdout


def test_a_version_is_chosen(young: Path, releases: Path) -> None:
    done = update(young, "--template", str(releases), "--to", "v1.0.0")
    assert done.returncode == 0
    assert "Nothing is new" in done.stdout
    address = releases.as_uri()
    done = update(young, "--template", address, "--to", "1.1.0")
    assert done.returncode == 0
    record = YAML(typ="safe").load((young / ".esteira.yaml").read_text("utf-8"))
    assert (record["version"], record["template"]) == ("1.1.0", address)
    assert record["answers"]["project_name"] == 'Ação & "radar"'
    assert record["answers"]["region"] == "eu"
    assert "Nothing is new" in update(young).stdout, "the address is recorded"


def test_a_project_from_before_the_record_begins_one(young: Path, releases: Path) -> None:
    asked = YAML(typ="safe").load((young / ".esteira.yaml").read_text("utf-8"))["answers"]
    (young / ".esteira.yaml").unlink()
    git(young, "branch", "-D", "template")
    git(young, "commit", "--quiet", "--all", "--amend", "--no-edit")
    said = run(young, "esteira", "update", "--begin").stdout
    assert "Look at its answers" in said
    found = YAML(typ="safe").load((young / ".esteira.yaml").read_text("utf-8"))
    assert found["answers"] == asked
    refused = run(young, "esteira", "update", "--begin", check=False)
    assert ".esteira.yaml is here already" in refused.stderr
    actions.commit(young)
    done = update(young, "--template", str(releases))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "version: 1.1.0" in (young / ".esteira.yaml").read_text("utf-8")


def test_the_first_commit_is_the_templates_alone(tmp_path: Path) -> None:
    project = bake(tmp_path, environment={"GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"})
    assert git(project, "rev-parse", "template") == git(project, "rev-parse", "HEAD")
    answers = YAML(typ="safe").load((project / ".esteira.yaml").read_text("utf-8"))
    assert answers["template"] == "", "a folder of somebody's machine is no address"
    questions = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    assert list(answers["answers"]) == [name for name in questions if name[0] != "_"]


def rows_of_the_table() -> dict[str, list[str]]:
    """Return the paths that the manual's table names, by what an update does with them."""
    manual = (TEMPLATE / "README.md").read_text("utf-8")
    table = manual.split("| file | what an update does with it |")[1].split("\n\n")[0]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| `")]
    return {does.split()[0].rstrip(":"): re.findall("`([^`]+)`", files) for files, does in rows}


def covers(named: str, path: str) -> bool:
    return path.startswith(named) if named.endswith("/") else path == named


def test_the_manual_says_of_every_file_what_an_update_does_with_it(reproduced: Path) -> None:
    rows = rows_of_the_table()
    assert list(rows) == ["replaced", "merged", "locked", "left"]
    of_template = set(git(reproduced, "ls-tree", "-r", "--name-only", "template").splitlines())
    for path in tracked(reproduced):
        done = [row for row, names in rows.items() if any(covers(name, path) for name in names)]
        assert len(done) == 1, f"{path}: {done}"
        assert (path in of_template) == (done[0] != "left"), path
    named = [name for names in rows.values() for name in names]
    unused = [name for name in named if not any(covers(name, p) for p in tracked(reproduced))]
    assert set(unused) <= {"data/", "models/"}, "DVC keeps what is in these"


def test_a_release_of_the_template_says_what_is_new_and_refuses_another_tag(tmp_path: Path) -> None:
    version = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["__version"]
    program = ("python", str(ROOT / "scripts/news.py"))
    told = run(tmp_path, *program, f"v{version}").stdout
    assert "`esteira update` merges a newer version" in told
    assert "\n## " not in told
    refused = run(tmp_path, *program, "v0.0.1", check=False)
    assert refused.returncode == 1
    assert f"the tag v0.0.1 is not the version {version}" in refused.stderr


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    version = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["__version"]
    for file in (ROOT / "pyproject.toml", TEMPLATE / "vendor/pyproject.toml"):
        assert f'version = "{version}"' in file.read_text("utf-8"), file
    news = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$", news, re.MULTILINE)


def test_a_squashed_update_is_not_taken_for_the_templates_own(young: Path, releases: Path) -> None:
    (young / "notes.md").write_text("Ours.\n")
    start = actions.commit(young)
    assert update(young, "--template", str(releases)).returncode == 0
    message = git(young, "log", "-1", "--format=%B", "template")
    tree = git(young, "rev-parse", "HEAD^{tree}")
    squashed = git(young, "commit-tree", tree, "-p", start, "-m", f"Update (#7)\n\n{message}")
    git(young, "reset", "--quiet", "--hard", squashed)
    git(young, "branch", "-D", "template")
    done = update(young, "--template", str(releases))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (young / "notes.md").is_file()
    assert git(young, "diff", "--stat", squashed, "HEAD") == ""
