"""A squad releases: versions are tags, one of them is in use, and the way back is one command."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from helpers import made_once, reproduce, run, run_here


def git(project: Path, *words: str) -> str:
    return run(project, "git", *words).stdout.strip()


def model(project: Path, *words: str) -> str:
    return " ".join(run_here(project, "esteira", "model", *words).stdout.split())


def refused(project: Path, *words: str) -> str:
    done = run_here(project, "esteira", "model", *words, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return done.stderr


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def release(project: Path, name: str) -> None:
    git(project, "tag", "--annotate", f"model@{name}", "--message", f"Release {name}")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324


@pytest.fixture(scope="session")
def two_releases(reproduced: Path, shared: Path) -> Path:
    """Return a project with v1.0.0, v1.1.0, and v2.0.0-rc.1, which its own gates refuse."""
    project = shared / "released" / reproduced.name
    with made_once(project.parent) as lacking:
        if lacking:
            shutil.copytree(reproduced.parent, project.parent, symlinks=True)
            make_two_releases(project)
    return project


def make_two_releases(project: Path) -> None:
    """Release three versions; only what differs between their models is reproduced."""
    release(project, "v1.0.0")
    params = project / "params.yaml"
    edit(params, "hyperparameters: {}", "hyperparameters: {C: 0.3}")
    reproduce(project, "train", "evaluate", "drift_check")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--no-verify", "-m", "A smoother model")
    release(project, "v1.1.0")
    edit(project / "gates.yaml", "limit: 0.95", "limit: 0.9999")
    git(project, "commit", "--quiet", "--no-verify", "--all", "-m", "Ask for more than there is")
    release(project, "v2.0.0-rc.1")
    run(project, "dvc", "push")


@pytest.fixture
def released(two_releases: Path, tmp_path: Path) -> Path:
    """Return a copy of that project, to change at will."""
    shutil.copytree(two_releases.parent, tmp_path / "squad", symlinks=True)
    return tmp_path / "squad" / two_releases.name


def test_versions_are_listed_shown_and_compared(two_releases: Path) -> None:
    listed = model(two_releases, "list")
    places = [listed.index(name) for name in ("v2.0.0-rc.1", "v1.1.0", "v1.0.0")]
    assert places == sorted(places)
    assert "0.9945" in listed
    shown = model(two_releases, "show", "1.0.0")
    assert "model@v1.0.0" in shown
    assert "no stage" in shown
    assert "roc_auc │ 0.9945 [0.98" in shown, "an interval, by the predictions of that version"
    assert git(two_releases, "rev-parse", "model@v1.0.0^{commit}") in shown
    assert "not recorded" in shown
    changed = model(two_releases, "diff", "v1.0.0", "v1.1.0")
    assert "train.hyperparameters.C │ │ 0.3" in changed
    assert "models/model.skops" in changed
    assert "log_loss │ 0.09105 [" in changed
    assert "data/train.parquet" not in changed, "both learnt the same rows"
    assert "do not differ" in model(two_releases, "diff", "v1.1.0", "v2.0.0-rc.1")


def test_gto_takes_the_last_promotion_for_the_last_whatever_the_clocks_say(released: Path) -> None:
    ahead = {"GIT_COMMITTER_DATE": "2099-01-01T00:00:00+00:00"}
    of_version = ("model@v1.0.0^{commit}", "--message", "v1.0.0 to prod")
    run(released, "git", "tag", "--annotate", "model#prod#1", *of_version, env=ahead)
    model(released, "promote", "v1.1.0")
    shown = json.loads(run(released, "gto", "show", "model#prod", "--json").stdout)
    assert [found["version"] for found in shown] == ["v1.1.0"]
    assert "2099" in git(
        released, "for-each-ref", "--format=%(creatordate)", "refs/tags/model#prod#2"
    )


def test_promoted_and_rolled_back_by_tags_that_gto_reads(released: Path) -> None:
    assert "v1.0.0 is in prod. Tell others: git push origin 'model#prod#1'" in model(
        released, "promote", "v1.0.0"
    )
    assert "v1.0.0 is in prod already" in model(released, "promote", "v1.0.0")
    said = refused(released, "rollback")
    assert "no version was in prod before v1.0.0" in said
    model(released, "promote", "v1.1.0")
    model(released, "promote", "v1.1.0", "staging")
    shown = json.loads(run(released, "gto", "show", "model#prod", "--json").stdout)
    assert [found["version"] for found in shown] == ["v1.1.0"]
    assert "│ v1.1.0 │ prod, staging │" in model(released, "list")

    before = git(released, "rev-parse", "HEAD"), git(released, "status", "--porcelain")
    assert "v1.0.0 is in prod again" in model(released, "rollback", "prod")
    assert (git(released, "rev-parse", "HEAD"), git(released, "status", "--porcelain")) == before
    shown = json.loads(run(released, "gto", "show", "model#prod", "--json").stdout)
    assert [found["version"] for found in shown] == ["v1.0.0"]
    tags = git(released, "tag", "--list", "model#*").split()
    assert "no version was in prod before v1.0.0" in refused(released, "rollback")
    assert git(released, "tag", "--list", "model#*").split() == tags, "a second one changes nothing"
    assert "no version is in canary" in refused(released, "rollback", "canary")


def test_what_its_own_gates_refuse_is_not_promoted(released: Path) -> None:
    said = refused(released, "promote", "v2.0.0-rc.1")
    assert "model@v2.0.0-rc.1 is refused by its own gates: roc_auc is 0.99" in said
    assert "below the limit of 0.9999" in said
    assert git(released, "tag", "--list", "model#*") == ""


def test_a_version_is_brought_whole_from_the_remote_or_not_at_all(released: Path) -> None:
    shutil.rmtree(released / ".dvc" / "cache")
    assert "model@v1.0.0 is in served:" in model(released, "get", "v1.0.0", "--out", "served")
    named = git(released, "show", "model@v1.0.0:dvc.lock")
    for name in ("model.skops", "reference.json"):
        assert md5(released / "served" / name) in named
    schema = git(released, "show", "model@v1.0.0:schema.yaml")
    assert (released / "served" / "schema.yaml").read_text(encoding="utf-8").strip() == schema
    assert "served is there already, and not empty" in refused(
        released, "get", "v1.1.0", "--out", "served"
    )
    shutil.rmtree(released.parent / f"{released.name}-dvc-remote")
    shutil.rmtree(released / ".dvc" / "cache")
    assert "models/model.skops of model@v1.1.0" in refused(
        released, "get", "v1.1.0", "--out", "other"
    )
    assert "models/model.skops of model@v1.1.0" in refused(released, "promote", "v1.1.0")
    assert not (released / "other").exists()
    assert not list(released.glob(".esteira-get-*"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "v1.1.1"), "there is no version v1.1.1 of the model: did you mean v1.1.0?"),
        (("diff", "v1.0.0", "7"), "there is no version 7 of the model"),
        (("promote", "v1.0.0", "no stage"), "'no stage' cannot be a stage"),
        (("promote", "model@v9.9.9"), "there is no version model@v9.9.9"),
    ],
)
def test_a_wrong_name_gets_a_sentence(two_releases: Path, words: tuple, said: str) -> None:
    assert said in refused(two_releases, *words)


def test_a_shallow_clone_says_how_to_get_the_versions(two_releases: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    source = f"file://{two_releases}"
    git(two_releases, "clone", "--quiet", "--depth=1", "--no-tags", source, str(clone))
    assert "this clone is shallow, fetch them by" in model(clone, "list")
    assert "this clone is shallow, fetch them by" in refused(clone, "show", "v1.0.0")


def test_without_a_release_it_says_how_to_make_one(project: Path) -> None:
    assert "No version is here yet: release one by `git tag -a 'model@v1.0.0'" in model(
        project, "list"
    )
    assert "nor any other: release one by" in refused(project, "promote", "v1.0.0")
    release(project, "v1.0.0")
    assert "v1.0.0" in model(project, "list")
    release(project, "v1.0.0!")
    assert "No version is here yet" in model(project, "list"), "it was taken back"
