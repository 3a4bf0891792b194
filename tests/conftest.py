"""One environment and one reproduced project for all tests; each test changes its own copy."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import actions
import helpers
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the folder in which the processes of one run keep what is made once for all tests."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def reproduced(shared: Path) -> Path:
    """Return the default project, generated with its lock, installed, reproduced and pushed."""
    project = shared / "reproduced" / "churn-radar"
    with helpers.made_once(project.parent) as lacking:
        if lacking:
            helpers.bake(project.parent, lock=True)
            install = ("uv", "sync", "--locked", "--all-extras", "--compile-bytecode")
            helpers.run(project, *install, env={"UV_NO_SYNC": "0"})
            helpers.run(project, "uv", "run", "dvc", "repro")
            helpers.run(project, "git", "add", "--all")
            helpers.run(project, "git", "commit", "--quiet", "-m", "Reproduce the line")
            helpers.run(project, "dvc", "push")
    return project


@pytest.fixture
def project(reproduced: Path, tmp_path: Path) -> Path:
    """Return a copy of the reproduced project, and of its remote beside it, to change at will."""
    shutil.copytree(reproduced.parent, tmp_path / "squad", symlinks=True)
    return tmp_path / "squad" / reproduced.name


@pytest.fixture(scope="session")
def bucket() -> Iterator[actions.Bucket]:
    """Start an S3 server."""
    server = actions.Bucket()
    yield server
    server.close()


@pytest.fixture(scope="session")
def adopted(reproduced: Path, shared: Path) -> Path:
    """Return a reproduced project whose table is a raw file, tracked by DVC; made once."""
    project = shared / "adopted" / reproduced.name
    with helpers.made_once(project.parent) as lacking:
        if lacking:
            shutil.copytree(reproduced.parent, project.parent, symlinks=True)
            table = project.parent / "patients.csv"
            code = "import pandas as p; p.read_parquet('data/ingested.parquet').to_csv(%r, index=0)"
            helpers.run(project, "python", "-c", code % str(table))
            helpers.run(project, "esteira", "adopt", str(table), "--target", "diagnosis", "--force")
            helpers.reproduce(project)
            actions.git(project, "add", "--all")
            actions.git(project, "commit", "--quiet", "-m", "Adopt the table of patients")
    return project


@pytest.fixture(scope="session")
def trained(adopted: Path, shared: Path) -> Path:
    """Return the adopted project with a `better` and a `weaker` model, a branch each; made once.

    `actions.take_model` brings one of them to another copy without running the line again.
    """
    project = shared / "trained" / adopted.name
    with helpers.made_once(project.parent) as lacking:
        if lacking:
            shutil.copytree(adopted, project, symlinks=True)
            for branch, smoothness in {"better": "0.3", "weaker": "0.00001"}.items():
                settings = f"hyperparameters: {{C: {smoothness}}}"
                actions.git(project, "checkout", "--quiet", "-b", branch, "main")
                actions.edit(project, "params.yaml", "hyperparameters: {}", settings)
                helpers.reproduce(project, *helpers.LINE[helpers.LINE.index("train") :])
                actions.commit(project, f"C is {smoothness}")
    return project


@pytest.fixture(scope="session")
def elsewhere(reproduced: Path, shared: Path) -> Path:
    """Return a reproduced project that answers every question otherwise; made once."""
    project = shared / "elsewhere" / helpers.OFF_DEFAULT["project_slug"]
    with helpers.made_once(project.parent) as lacking:
        if lacking:
            helpers.bake(project.parent, **helpers.OFF_DEFAULT)
            helpers.run(project, "dvc", "repro")
    return project


@pytest.fixture(scope="session")
def worse_model(reproduced: Path, shared: Path) -> Path:
    """Return the project with a model that learnt too little, reproduced; made once."""
    project = shared / "worse" / reproduced.name
    with helpers.made_once(project.parent) as lacking:
        if lacking:
            shutil.copytree(reproduced.parent, project.parent, symlinks=True)
            none, little = "hyperparameters: {}", "hyperparameters: {C: 0.001}"
            actions.edit(project, "params.yaml", none, little)
            helpers.reproduce(project, *helpers.LINE[helpers.LINE.index("train") :])
    return project


@pytest.fixture
def worse(worse_model: Path, tmp_path: Path) -> Path:
    """Return a copy of the project whose working tree has a worse model than its last commit."""
    shutil.copytree(worse_model.parent, tmp_path / "squad", symlinks=True)
    return tmp_path / "squad" / worse_model.name


@pytest.fixture(scope="session")
def published(
    adopted: Path, bucket: actions.Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the adopted project with its data on the S3 server, as main."""
    project = tmp_path_factory.mktemp("published") / adopted.name
    shutil.copytree(adopted, project, symlinks=True)
    for key, value in {"url": "s3://data/radar", "endpointurl": bucket.url}.items():
        helpers.run(project, "dvc", "remote", "modify", "storage", key, value)
    actions.git(project, "commit", "--quiet", "--all", "-m", "Keep data on S3")
    helpers.run(project, "dvc", "push", env=actions.KEYS)
    return project


@pytest.fixture
def author(published: Path, tmp_path: Path) -> Path:
    """Return an author's own copy of the published project, on a branch, with all data at hand."""
    copy = tmp_path / "author" / published.name
    shutil.copytree(published, copy, symlinks=True)
    actions.git(copy, "checkout", "--quiet", "-b", "change")
    return copy


@pytest.fixture
def page() -> Iterator["Page"]:
    """Open a page of a real Chromium, without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


@pytest.fixture
def github() -> Iterator[actions.GitHub]:
    """Serve a fake of GitHub's API."""
    fake = actions.GitHub()
    yield fake
    fake.close()
