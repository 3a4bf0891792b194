"""One environment and one reproduced project for all tests; each test changes its own copy."""

import shutil
from pathlib import Path

import helpers
import pytest
from filelock import FileLock


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the default project, generated with its lock, installed, reproduced and pushed."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    project, done = shared / "squad" / "churn-radar", shared / "reproduced"
    with FileLock(shared / "reproduced.lock"):
        if not done.exists():
            shutil.rmtree(project.parent, ignore_errors=True)
            helpers.bake(project.parent, lock=True)
            helpers.run(
                project,
                "uv",
                "sync",
                "--locked",
                "--all-extras",
                "--compile-bytecode",
                env={"UV_NO_SYNC": "0"},
            )
            helpers.run(project, "uv", "run", "dvc", "repro")
            helpers.run(project, "git", "add", "--all")
            helpers.run(project, "git", "commit", "--quiet", "-m", "Reproduce the line")
            helpers.run(project, "dvc", "push")
            done.touch()
    return project


@pytest.fixture
def project(reproduced: Path, tmp_path: Path) -> Path:
    """Return a copy of the reproduced project, and of its remote beside it, to change at will."""
    shutil.copytree(reproduced.parent, tmp_path / "squad", symlinks=True)
    return tmp_path / "squad" / reproduced.name
