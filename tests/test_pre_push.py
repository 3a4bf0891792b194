"""The pre-push hook: what CI would refuse is told before it is pushed."""

import shutil
import subprocess
from pathlib import Path

import helpers
import pytest


@pytest.fixture
def origin(project: Path, tmp_path: Path) -> Path:
    """Return an empty repository that `project` pushes to."""
    helpers.run(tmp_path, "git", "init", "--quiet", "--bare", "origin.git")
    helpers.run(project, "git", "remote", "add", "origin", str(tmp_path / "origin.git"))
    return tmp_path / "origin.git"


def push(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return helpers.run(project, "git", "push", "--quiet", "origin", *words, check=False)


def heads(origin: Path) -> str:
    return helpers.run(origin, "git", "for-each-ref", "--format=%(refname:short)").stdout


def test_a_fresh_and_pushed_lock_passes(project: Path, origin: Path) -> None:
    done = push(project, "main")
    assert done.returncode == 0, done.stderr
    assert heads(origin) == "main\n"


def test_unpushed_data_is_refused_unless_insisted(project: Path, origin: Path) -> None:
    [remote] = project.parent.glob("*-dvc-remote")
    next(path for path in sorted(remote.rglob("*")) if path.is_file()).unlink()
    done = push(project, "main")
    assert done.returncode != 0
    assert "not on the remote" in done.stderr
    assert "uv run dvc push" in done.stderr
    assert heads(origin) == ""
    assert push(project, "--no-verify", "main").returncode == 0


def test_a_stale_lock_is_refused_but_a_branch_can_be_deleted(project: Path, origin: Path) -> None:
    assert push(project, "main:old").returncode == 0
    params = project / "params.yaml"
    text = params.read_text("utf-8").replace("hyperparameters: {}", "hyperparameters: {C: 0.5}")
    params.write_text(text, "utf-8")
    helpers.run(project, "git", "commit", "--quiet", "--all", "-m", "Change a setting")
    done = push(project, "main")
    assert done.returncode != 0
    assert "stale: train" in done.stderr
    assert "uv run dvc repro" in done.stderr
    assert heads(origin) == "old\n"
    assert push(project, "--delete", "old").returncode == 0


def push_with(project: Path, **env: str) -> subprocess.CompletedProcess[str]:
    words = ("git", "push", "--quiet", "origin", "main")
    return helpers.run(project, *words, check=False, env=env)


def test_without_uv_it_says_so(project: Path, origin: Path, tmp_path: Path) -> None:
    for program in ("git", "sh", "dirname"):
        (tmp_path / program).symlink_to(shutil.which(program))
    done = push_with(project, PATH=str(tmp_path), HOME=str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.startswith("pre-push: uv is not on this PATH, so dvc.lock was not checked")
    assert heads(origin) == ""


def test_a_clone_that_is_not_installed_says_so(project: Path, origin: Path, tmp_path: Path) -> None:
    done = push_with(project, UV_PROJECT_ENVIRONMENT=str(tmp_path / "nothing"))
    assert done.returncode != 0
    assert "pre-push: this clone is not installed yet, so dvc.lock was not checked" in done.stderr
    assert "run `uv sync`" in done.stderr
    assert heads(origin) == ""


def test_the_hooks_of_dvc_install_run_as_well(project: Path, origin: Path) -> None:
    helpers.run(project, "dvc", "install")
    helpers.run(project, "git", "branch", "same")
    (project / "data" / "current.parquet").unlink()
    helpers.run(project, "git", "checkout", "--quiet", "same")
    assert (project / "data" / "current.parquet").exists(), "post-checkout runs `dvc checkout`"
    [remote] = project.parent.glob("*-dvc-remote")
    next(path for path in sorted(remote.rglob("*")) if path.is_file()).unlink()
    done = push(project, "same")
    assert done.returncode == 0, "pre-push runs `dvc push`, and then checks"
    assert heads(origin) == "same\n"


def test_a_switch_to_another_lock_says_that_its_data_is_to_be_brought(project: Path) -> None:
    def switch(*words: str) -> str:
        done = subprocess.run(
            ["git", "switch", *words], cwd=project, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "post-checkout" not in switch("--create", "change")
    lock = project / "dvc.lock"
    lock.write_text(lock.read_text("utf-8").replace("md5: ", "md5:  ", 1), encoding="utf-8")
    helpers.run(project, "git", "commit", "--quiet", "--all", "--no-verify", "-m", "Change")
    told = switch("main")
    assert "post-checkout: dvc.lock is another one here: `uv run dvc checkout`" in told
    assert "post-checkout" not in switch("--create", "same")
