"""Day one: a squad answers the questions, and owns a repository."""

import ast
import itertools
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from helpers import ROOT, TEMPLATE, bake, parse, run, tracked

sys.path.insert(0, str(ROOT / "scripts"))

import taken

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
SAMPLES = ("sample-classification", "sample-regression")
RECORD = ".esteira.json"
UNRENDERED = re.compile(r"cookiecutter\.(?!json)[a-z_]|\{[{%][^\n]*cookiecutter")
REMOTES = ("local", "s3://squad-data/churn")
HOSTILE = {
    "project_name": "Ação \"Ünïcode\" 'q' \\n \\ {x} $HOME `id` 数据 😀 <b> #%&",
    "description": 'Diz "olá", \\back\\ {x} %y %% $(id) \'\'\' """ 😀\n\tsecond: # no comment',
    "squad": "Dados & Ações",
    "project_slug": "acao",
    "package_name": "acao",
}


def check_files_parse(project: Path) -> None:
    for name in tracked(project):
        path = project / name
        text = path.read_text(encoding="utf-8")
        assert not UNRENDERED.search(text), name
        parse(".toml" if path.name == "uv.lock" else path.suffix, text)
        assert not text or text.endswith("\n"), f"{name} has no line end at its end"


def check_lint(project: Path) -> None:
    ruff = [sys.executable, "-m", "ruff"]
    for command in (
        [*ruff, "check", "--no-cache", "."],
        [*ruff, "format", "--check", "--no-cache", "."],
    ):
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def expected_files(package: str) -> set[str]:
    """List the template's own files and the record; every answer gives them all."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."],
        cwd=TEMPLATE, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = {name for name in listed.split("\0") if name and (TEMPLATE / name).exists()}
    return {name.replace("{{cookiecutter.package_name}}", package) for name in names} | {RECORD}


@pytest.mark.parametrize(
    ("dataset", "remote_url", "license"),
    list(itertools.product(SAMPLES, REMOTES, QUESTIONS["license"])),
)
def test_every_combination_gives_the_same_files_and_all_parse(
    tmp_path: Path, dataset: str, remote_url: str, license: str
) -> None:
    project = bake(tmp_path, dataset=dataset, remote_url=remote_url, license=license)
    assert tracked(project) == expected_files("churn_radar")
    check_files_parse(project)
    check_lint(project)
    assert run(project, "git", "status", "--porcelain").stdout == ""


def test_hostile_answers_give_valid_files_that_say_them(tmp_path: Path) -> None:
    project = bake(tmp_path, **HOSTILE)
    check_files_parse(project)
    check_lint(project)
    about = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert about["description"] == " ".join(HOSTILE["description"].split())
    assert HOSTILE["project_name"] in (project / "README.md").read_text(encoding="utf-8")
    assert not list(project.rglob("*{{*")), "a file name was not rendered"


def test_the_names_that_are_taken_are_those_of_the_projects_packages() -> None:
    hook = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    again = taken.fill(hook, "DISTRIBUTIONS", taken.distributions())
    assert hook == again, "run `python scripts/taken.py`"
    words = re.search(r'^MODULES = """(.*?)"""', hook, re.DOTALL | re.MULTILINE)
    assert words
    listed = set(words[1].split())
    assert listed >= taken.modules(), "run `python scripts/taken.py`"
    assert listed >= {"pandas", "sklearn", "yaml", "dateutil", "psutil", "click", "ruamel", "attr"}


@pytest.mark.parametrize(
    ("owner", "squad", "codeowner"),
    [
        ("savanna", "herd", "@savanna/herd"),
        ("savanna", "Dados & Ações", "@savanna/dados-acoes"),
        ("ana", "@ana", "@ana"),
        ("savanna", "@plains/herd", "@plains/herd"),
    ],
)
def test_the_owner_may_be_a_user_or_an_organisation(
    tmp_path: Path, capfd: pytest.CaptureFixture, owner: str, squad: str, codeowner: str
) -> None:
    project = bake(tmp_path, owner=owner, squad=squad)
    lines = (project / ".github" / "CODEOWNERS").read_text(encoding="utf-8").splitlines()
    rules = [line.split(" ") for line in lines if not line.startswith("#")]
    assert all(owners == [codeowner] for _, *owners in rules)
    guarded = {path for path, *_ in rules}
    assert guarded >= {"/gates.yaml", "/dvc.yaml", "/vendor/", "/.github/", "/uv.lock"}
    assert f"On GitHub, {codeowner} must approve changes" in capfd.readouterr().out


def test_nothing_of_the_maintainers_is_left_in(tmp_path: Path) -> None:
    answers = {
        "project_name": "Zebra", "description": "Stripes.", "owner": "savanna", "squad": "herd",
    }  # fmt: skip
    project = bake(tmp_path, **answers)
    defaults = ("Churn Radar", "churn-radar", "churn_radar", "our-organisation", "esteira-template")
    for name in tracked(project) - {RECORD}:  # which says where the template is
        text = (project / name).read_text(encoding="utf-8")
        assert not [word for word in defaults if word in text], name


def test_the_toolbox_is_the_same_in_every_project(tmp_path: Path) -> None:
    project = bake(tmp_path, package_name="other", dataset="sample-regression")
    ours, theirs = TEMPLATE / "vendor", project / "vendor"
    names = {
        p.relative_to(ours) for p in ours.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert names == {p.relative_to(theirs) for p in theirs.rglob("*") if p.is_file()}
    assert all((ours / n).read_bytes() == (theirs / n).read_bytes() for n in names)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"project_slug": "Churn Radar"}, "project_slug 'Churn Radar' is not a folder name"),
        ({"project_slug": "con"}, "project_slug 'con' is not a folder name"),
        ({"project_slug": "a--b"}, "project_slug 'a--b' is not a folder name"),
        ({"project_slug": "ação"}, "project_slug 'ação' is not a folder name"),
        ({"package_name": "2fast"}, "package_name '2fast' is not a package name"),
        ({"package_name": "class"}, "package_name 'class' is a word of Python's own"),
        ({"package_name": "match"}, "package_name 'match' is a word of Python's own"),
        ({"package_name": "json"}, "package_name 'json' is a module of Python's own"),
        ({"package_name": "esteira"}, "package_name 'esteira' is taken"),
        ({"package_name": "pandas"}, "package_name 'pandas' is taken"),
        ({"package_name": "psutil"}, "package_name 'psutil' is taken"),
        ({"package_name": "click"}, "package_name 'click' is taken"),
        ({"project_slug": "pandas", "package_name": "a"}, "project_slug 'pandas' is a package"),
        ({"project_slug": "scikit-learn"}, "project_slug 'scikit-learn' is a package"),
        ({"project_slug": "jinja2", "package_name": "a"}, "project_slug 'jinja2' is a package"),
        ({"project_slug": "esteira-toolbox"}, "project_slug 'esteira-toolbox' is a package"),
        ({"squad": "---"}, "squad '---' is no team and no user"),
        ({"squad": "@no one"}, "squad '@no one' is no team and no user"),
        ({"description": "  "}, "description is empty"),
        ({"description": "bell \a"}, "description holds the control character '\\x07'"),
        ({"owner": "our organisation"}, "owner 'our organisation' is not a GitHub name"),
        ({"remote_url": "s3:/bucket"}, "remote_url 's3:/bucket' is neither 'local' nor s3://"),
        ({"remote_url": "s3://B/x"}, "remote_url 's3://B/x' is neither 'local' nor s3://"),
        ({"remote_url": "s3://bucket/x\nurl = y"}, "is neither 'local' nor s3://"),
        ({"dataset": "sample"}, "dataset 'sample' is no sample"),
        ({"dataset": "no/churn.csv", "target": "x"}, "dataset 'no/churn.csv' is no sample"),
        ({"dataset": __file__}, "target is empty: name the column of"),
        ({"target": "churn"}, "target 'churn' is not in sample-classification"),
    ],
)
def test_a_bad_answer_is_refused_before_a_file_is_written(
    tmp_path: Path, capfd: pytest.CaptureFixture, answers: dict[str, str], sentence: str
) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path, **answers)
    said = capfd.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_not_in_the_header_is_refused_before_anything_is_installed(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    table, out = tmp_path / "churn.csv", tmp_path / "out"
    table.write_bytes("\ufeffGröße;Churn\n1;yes\n".encode())
    out.mkdir()
    with pytest.raises(FailedHookException):
        bake(out, dataset=str(table), target="churn")
    said = capfd.readouterr().err
    assert "'churn' is not in the first line of churn.csv: did you mean 'Churn'?" in said
    assert "Traceback" not in said
    assert list(out.iterdir()) == []


def test_all_bad_answers_are_told_at_once(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path, project_slug="X", package_name="json", owner="a b", remote_url="ftp://x")
    said = capfd.readouterr().err
    assert said.count("Not generated:") == 4
    (line,) = re.findall(r"^The same answers, to correct: (.+)$", said, re.MULTILINE)
    *command, template, option = shlex.split(line)[:4]
    given = shlex.split(line)[4:]
    assert (*command, template, option) == ("uvx", "cookiecutter", str(ROOT), "--no-input")
    assert {"project_slug=X", "package_name=json", "owner=a b", "remote_url=ftp://x"} < {*given}
    assert len(given) == 10


def test_running_the_hook_again_changes_nothing(reproduced: Path, tmp_path: Path) -> None:
    project = bake(tmp_path)
    hook = tmp_path / "hook.py"
    source = (ROOT / "hooks" / "post_gen_project.py").read_text(encoding="utf-8")
    record = json.loads((project / RECORD).read_text(encoding="utf-8"))
    private = {"__codeowner": "@our-organisation/data", "_template": str(ROOT)}
    answers = json.dumps(record["answers"] | private | {"_repo_dir": str(ROOT)})
    hook.write_text(source.replace("{{ cookiecutter | tojson }}", answers), encoding="utf-8")
    shutil.copy(reproduced / "uv.lock", project)

    def state() -> dict[str, bytes]:
        files = (p for p in project.rglob("*") if p.is_file() and p.name != "index")
        return {str(p.relative_to(project)): p.read_bytes() for p in files}

    before = state()
    for _ in range(2):
        run(project, sys.executable, str(hook))
    assert state() == before


IGNORES = "vendor\n__pycache__/\n"


def test_a_global_ignore_file_that_names_vendor_leaves_nothing_out(tmp_path: Path) -> None:
    (tmp_path / "ignore").write_text(IGNORES, encoding="utf-8")
    (tmp_path / "gitconfig").write_text(
        f"[core]\n\texcludesFile = {tmp_path}/ignore\n", encoding="utf-8"
    )
    project = bake(tmp_path / "out", environment={"GIT_CONFIG_GLOBAL": f"{tmp_path}/gitconfig"})
    assert tracked(project) == expected_files("churn_radar")


@pytest.mark.parametrize("commits", [0, 1])
def test_over_a_fresh_clone_the_project_gets_its_commit(tmp_path: Path, commits: int) -> None:
    hub, clone = tmp_path / "hub.git", tmp_path / "churn-radar"
    run(tmp_path, "git", "init", "--quiet", "--bare", "--initial-branch=trunk", str(hub))
    run(tmp_path, "git", "clone", "--quiet", str(hub), str(clone))
    for _ in range(commits):
        (clone / "README.md").write_text("# churn-radar\n", encoding="utf-8")
        run(clone, "git", "add", "README.md")
        run(clone, "git", "commit", "--quiet", "-m", "Initial commit")
    project = bake(tmp_path, overwrite=True)
    assert project == clone
    assert tracked(project) == expected_files("churn_radar")
    assert run(project, "git", "status", "--porcelain").stdout == ""
    assert run(project, "git", "rev-list", "--count", "HEAD").stdout == f"{commits + 1}\n"
    assert run(project, "git", "remote").stdout == "origin\n"
    run(project, "git", "push", "--quiet", "--no-verify", "origin", "HEAD")


def test_over_a_project_that_is_committed_it_is_rendered_and_nothing_else(tmp_path: Path) -> None:
    project = bake(tmp_path)
    (project / "gates.yaml").write_text("rules: []\n", encoding="utf-8")
    run(project, "git", "commit", "--quiet", "--all", "-m", "Ours")
    bake(tmp_path, overwrite=True)
    assert run(project, "git", "status", "--porcelain").stdout == " M gates.yaml\n"
    assert run(project, "git", "log", "-1", "--format=%s").stdout == "Ours\n"


def test_in_a_repository_that_tracks_the_project_no_other_is_made(tmp_path: Path) -> None:
    project = bake(tmp_path)
    shutil.rmtree(project / ".git")
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "git", "add", "--all")
    run(tmp_path, "git", "commit", "--quiet", "-m", "All of ours")
    bake(tmp_path, overwrite=True)
    assert not (project / ".git").exists()
    assert run(tmp_path, "git", "status", "--porcelain").stdout == ""


def test_cruft_creates_a_project_and_updates_it(tmp_path: Path) -> None:
    template, out = tmp_path / "template", tmp_path / "out"
    shutil.copytree(
        ROOT,
        template,
        ignore=shutil.ignore_patterns(".git", ".venv", ".cache", "demo", "__pycache__", ".*_cache"),
    )
    out.mkdir()
    run(template, "git", "init", "--quiet")
    run(template, "git", "add", "--all")
    run(template, "git", "commit", "--quiet", "-m", "The template")
    only_git = tmp_path / "bin"  # without uv there is no lock to wait for
    only_git.mkdir()
    (only_git / "git").symlink_to(str(shutil.which("git")))
    cruft = [sys.executable, "-m", "cruft"]
    quick = {"PATH": str(only_git)}
    answers = json.dumps({"dataset": SAMPLES[0]})
    run(out, *cruft, "create", str(template), "--no-input", "--extra-context", answers, env=quick)
    project = out / "churn-radar"
    assert tracked(project) == expected_files("churn_radar")
    assert run(project, "git", "status", "--porcelain").stdout == "?? .cruft.json\n"
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "-m", "Say which template this is from")

    with (template / TEMPLATE.name / "gates.yaml").open("a", encoding="utf-8") as gates:
        gates.write("# One line more\n")
    run(template, "git", "commit", "--quiet", "--all", "-m", "One line more")
    run(project, *cruft, "update", "--skip-apply-ask", env=quick)
    assert (project / "gates.yaml").read_text(encoding="utf-8").endswith("# One line more\n")
    changed = run(project, "git", "status", "--porcelain").stdout.splitlines()
    assert sorted(line[3:] for line in changed) == [".cruft.json", RECORD, "gates.yaml"]
    record = json.loads((project / RECORD).read_text(encoding="utf-8"))
    assert record["commit"] == run(template, "git", "rev-parse", "HEAD").stdout.strip()
    assert record["template"] == str(template)
    assert run(project, "git", "rev-list", "--count", "HEAD").stdout == "2\n"


def test_a_tool_may_ask_for_the_files_alone(tmp_path: Path) -> None:
    table = {"dataset": "gone-since.csv", "target": "churn"}
    project = bake(tmp_path, environment={"ESTEIRA_RENDER_ONLY": "1"}, **table)
    rendered = {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()}
    assert rendered == expected_files("churn_radar")


def test_both_hooks_know_an_update_by_the_same_signs() -> None:
    found = []
    for hook in ("pre_gen_project.py", "post_gen_project.py"):
        tree = ast.parse((ROOT / "hooks" / hook).read_text(encoding="utf-8"))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        found += [ast.dump(node) for node in functions if node.name == "only_rendered"]
    assert len(found) == 2
    assert found[0] == found[1]


def test_the_toolbox_can_be_built_and_published(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    vendor = str(TEMPLATE / "vendor")
    run(tmp_path, "uv", "build", "--offline", "--cache-dir", cache, "--out-dir", ".", vendor)
    (wheel,) = tmp_path.glob("esteira_toolbox-*-py3-none-any.whl")
    (source,) = tmp_path.glob("esteira_toolbox-*.tar.gz")
    names = {name for name in expected_files("churn_radar") if name.startswith("vendor/esteira/")}
    files = {name.removeprefix("vendor/") for name in names}
    assert files >= {"esteira/drift/page.html", "esteira/page/style.css", "esteira/page/sort.js"}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if re.match(r"esteira/.*[^/]$", name)} == files
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert inside >= files | {"pyproject.toml", "README.md"}


def test_git_and_github_fold_the_toolbox_away(tmp_path: Path) -> None:
    project = bake(tmp_path)
    paths = ["vendor/esteira/cli.py", "vendor/README.md", "src/churn_radar/model.py", "uv.lock"]
    attributes = ["linguist-vendored", "linguist-generated"]
    told = run(project, "git", "check-attr", *attributes, "--", *paths).stdout.splitlines()
    assert [line.rpartition(": ")[2] for line in told] == [
        "set", "set",
        "set", "set",
        "unspecified", "unspecified",
        "unspecified", "set",
    ]  # fmt: skip


def test_without_uv_the_hook_says_so_and_goes_on(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    project = bake(tmp_path)
    said = capfd.readouterr()
    assert "uv.lock was not made: uv is not installed" in said.err
    assert "uv run dvc repro" in said.out
    assert run(project, "git", "log", "--format=%s").stdout == "Start from the Esteira template\n"


def test_the_lock_is_seeded_with_the_tested_versions(reproduced: Path) -> None:
    lock = tomllib.loads((reproduced / "uv.lock").read_text(encoding="utf-8"))
    locked = {(package["name"], package["version"]) for package in lock["package"]}
    pins = (reproduced / "constraints.txt").read_text(encoding="utf-8")
    tested = set(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", pins, re.MULTILINE))
    assert {name for name, _ in tested} > {"dvc", "pandas", "scikit-learn"}
    assert locked - tested == {("churn-radar", "0.1.0"), ("esteira-toolbox", "1.0.0")}
    assert "constraint" not in (reproduced / "pyproject.toml").read_text(encoding="utf-8")


def test_every_question_is_asked_in_words(tmp_path: Path) -> None:
    asked = {name for name in QUESTIONS if not name.startswith("_")}
    assert set(QUESTIONS["__prompts__"]) == asked
    choices = [value for name, value in QUESTIONS.items() if isinstance(value, list)]
    assert all(isinstance(option, str) for value in choices for option in value)


def test_no_python_or_workflow_file_is_templated() -> None:
    for path in (p for pattern in ("*.py", "*.yml") for p in TEMPLATE.rglob(pattern)):
        text = path.read_text(encoding="utf-8")
        assert not UNRENDERED.search(text), path
        assert "{%" not in text, path


CHANCE = random.Random(7)  # noqa: S311
TABLE = "customer;monthly fee;visits;gone\n" + "\n".join(
    f"C-{i:04};{20 + fee},{i % 10}0;{i % 7};{'yes' if fee + CHANCE.gauss(0, 8) > 24 else 'no'}"
    for i, fee in enumerate(CHANCE.randrange(37) for _ in range(600))
)


def test_the_path_of_a_table_ends_in_a_line_that_runs(reproduced: Path, tmp_path: Path) -> None:
    (tmp_path / "my table.csv").write_text(TABLE + "\n", encoding="latin-1")
    project = bake(tmp_path / "out", lock=True, dataset="../my table.csv", target="gone")
    assert "data/raw/my_table.csv.dvc" in tracked(project)
    said = run(project, "git", "log", "--format=%s").stdout.splitlines()
    assert said == ["Adopt my table.csv", "Start from the Esteira template"]
    assert run(project, "git", "log", "--format=%s", "template").stdout.splitlines() == said[1:]
    schema = (project / "schema.yaml").read_text(encoding="utf-8")
    assert "role: identifier" in schema
    run(project, "dvc", "repro")
    run(project, "pytest", "-q")
    assert run(project, "git", "status", "--porcelain", "data").stdout == ""


def test_a_table_that_cannot_be_adopted_leaves_nothing(
    reproduced: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "t.csv").write_text(TABLE + "\n", encoding="utf-8")
    with pytest.raises(FailedHookException):
        bake(tmp_path / "out", lock=True, dataset=str(tmp_path / "t.csv"), target="gonne")
    said = capfd.readouterr().err
    assert "gone" in said
    assert "Traceback" not in said
    assert list((tmp_path / "out").iterdir()) == []


def test_without_uv_a_table_is_left_for_later(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "t.csv").write_text(TABLE + "\n", encoding="utf-8")
    project = bake(tmp_path / "out", dataset=str(tmp_path / "t.csv"), target="gone")
    assert f"Later: uv run esteira adopt {tmp_path}/t.csv --target gone" in capfd.readouterr().err
    assert not (project / "data").exists()
