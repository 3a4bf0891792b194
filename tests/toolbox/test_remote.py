"""`esteira remote check`: one sentence on what is wrong, quickly."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import actions
import pytest

from esteira.line.errors import UserError
from esteira.repository import remote

CONFIG = "[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n"


@pytest.fixture(scope="module")
def bucket() -> Iterator[actions.Bucket]:
    server = actions.Bucket()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty project, with the credentials of nobody else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(home / name))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(home))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(home))
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in actions.KEYS.items():
        monkeypatch.setenv(name, value)


def configure(url: str, *more: str) -> None:
    lines = "".join(f"    {line}\n" for line in more)
    Path(".dvc/config").write_text(CONFIG.format(url=url) + lines, encoding="utf-8")


def refusal() -> str:
    with pytest.raises(UserError) as refused:
        remote.check()
    said = str(refused.value)
    assert "\n" not in said
    assert remote.unusable() == said
    return said


@pytest.mark.usefixtures("signed_in")
def test_a_bucket_that_can_be_read_says_so_within_a_second_or_two(bucket: actions.Bucket) -> None:
    configure("s3://data/radar", f"endpointurl = {bucket.url}")
    started = time.process_time()
    assert remote.check() == "s3://data/radar answers, and these credentials may read it."
    assert time.process_time() - started < 2
    assert remote.unusable() == ""


@pytest.mark.usefixtures("signed_in")
def test_an_absent_bucket_is_named_with_its_server(bucket: actions.Bucket) -> None:
    configure("s3://other/radar", f"endpointurl = {bucket.url}")
    assert refusal().startswith(f"the bucket 'other' does not exist at {bucket.url}: create it")


@pytest.mark.usefixtures("signed_in")
def test_unknown_keys_are_told_from_keys_without_rights() -> None:
    # After the request that makes the bucket, moto checks who asks.
    server = actions.Bucket(INITIAL_NO_AUTH_ACTION_COUNT="1")
    try:
        configure("s3://data/radar", f"endpointurl = {server.url}")
        assert "does not know the access key AWS_ACCESS_KEY_ID" in refusal()
    finally:
        server.close()


def test_no_credentials_say_which_variables_are_missing(bucket: actions.Bucket) -> None:
    configure("s3://data/radar", f"endpointurl = {bucket.url}")
    assert "no complete credentials" in refusal()
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in refusal()


def test_half_credentials_are_no_credentials(
    bucket: actions.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("s3://data/radar", f"endpointurl = {bucket.url}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    assert "no complete credentials" in refusal()


def test_an_unknown_profile_is_named(bucket: actions.Bucket) -> None:
    configure("s3://data/radar", f"endpointurl = {bucket.url}", "profile = nobody")
    assert "nobody" in refusal()


@pytest.mark.usefixtures("signed_in")
def test_a_dead_endpoint_is_told_quickly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    configure("s3://data/radar", f"endpointurl = http://127.0.0.1:{port}")
    started = time.monotonic()
    assert f"no S3 server answers at http://127.0.0.1:{port}" in refusal()
    assert time.monotonic() - started < 10


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("endpoint", ["not-an-address", "ftp://127.0.0.1:1", ""])
def test_a_malformed_endpoint_or_bucket_is_a_sentence(endpoint: str) -> None:
    configure("s3://da ta/radar", f"endpointurl = {endpoint}")
    assert refusal()


def test_a_folder_is_checked_as_a_folder(folder: Path) -> None:
    configure(str(folder / "kept"))
    assert "which is not on this machine" in refusal()
    (folder / "kept").mkdir()
    assert "is a folder on this machine" in remote.check()


def test_no_remote_no_project_and_a_broken_file_are_sentences(folder: Path) -> None:
    Path(".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    assert refusal().startswith("no remote is set")
    Path(".dvc/config").write_text("[core]\n    remote = other\n", encoding="utf-8")
    assert "core.remote names 'other'" in refusal()
    Path(".dvc/config").write_text("not = [ini", encoding="utf-8")
    assert ".dvc/config cannot be read" in refusal()
    os.chdir(folder / ".dvc")
    assert "there is no .dvc folder here" in refusal()
