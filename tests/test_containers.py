"""The image and the compose file: linted, and every command in them run where an image would."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import helpers
import pandas as pd
import pytest
from dockerfile_parse import DockerfileParser
from ruamel.yaml import YAML
from test_serve import Client, wait_until_ready

DEPLOY = helpers.TEMPLATE / "deploy"
TOKEN = "a token of this test"  # noqa: S105 - of this test


def instructions() -> list[dict[str, Any]]:
    with (DEPLOY / "Dockerfile").open("rb") as file:
        return DockerfileParser(fileobj=file).structure


def of(kind: str) -> list[str]:
    return [each["value"] for each in instructions() if each["instruction"] == kind]


def test_the_image_is_linted_slim_not_root_and_holds_no_credentials() -> None:
    helpers.run(DEPLOY, "hadolint", "Dockerfile")
    assert all("-slim" in base for base in of("FROM"))
    assert of("USER") == ["10001"]
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(secret|password|aws_|COPY \. )", text)
    assert of("HEALTHCHECK")


def test_the_compose_file_is_valid_and_gives_the_containers_little() -> None:
    path = DEPLOY / "compose.yaml"
    helpers.run(DEPLOY, "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path.name)
    services = YAML(typ="safe").load(path.read_text(encoding="utf-8"))["services"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in services["serve"]["ports"])
    assert services["drift"]["network_mode"] == "none"
    assert "healthcheck" in services["drift"]


def copied(project: Path, source: str) -> bool:
    """Whether .dockerignore lets a file or folder of the top level into the image."""
    allowed = False
    for line in (project / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line or line.startswith("**"):
            continue
        pattern = line.removeprefix("!")
        if fnmatch.fnmatch(source, pattern):
            allowed = line.startswith("!")
    return allowed


@pytest.fixture
def image(project: Path, tmp_path: Path) -> Path:
    """Do what the Dockerfile says, in a folder; return what would be /app."""
    helpers.run(project, "git", "tag", "-a", "model@v1.0.0", "-m", "First")
    helpers.run(project, "esteira", "model", "get", "v1.0.0", "--out", "model")
    app = tmp_path / "app"
    app.mkdir()
    env = {k: v for k, v in os.environ.items() if k not in helpers.LEFT_OUT}
    env["PATH"] = helpers.surroundings()["PATH"]
    for each in instructions():
        kind, value = each["instruction"], each["value"]
        if kind == "COPY" and not value.startswith("--from"):
            *sources, target = value.split()
            for source in sources:
                assert copied(project, source), f".dockerignore keeps {source} out"
                place = app / target / (source if target == "./" else "")
                if (project / source).is_dir():
                    shutil.copytree(project / source, app / target, dirs_exist_ok=True)
                else:
                    shutil.copy(project / source, place)
        elif kind == "RUN" and value.startswith("uv sync"):
            # Bytecode of all the packages takes most of a minute; what runs here makes its own.
            sync = {"UV_PROJECT_ENVIRONMENT": str(app / ".venv"), "UV_COMPILE_BYTECODE": "0"}
            subprocess.run(["sh", "-ec", value], cwd=app, env=env | sync, check=True)
        elif kind == "RUN" and value.startswith("pip install"):
            wanted = re.search(r"uv==(\S+)", value)
            assert wanted
            makefile = (helpers.ROOT / "Makefile").read_text(encoding="utf-8")
            assert f"UV_VERSION := {wanted[1]}" in makefile, "the uv that the tests ran with"
        elif kind == "RUN" and value.startswith("useradd"):
            (app / "logs").mkdir()
            user = value.partition(" && ")[0]
            if os.geteuid() == 0 and shutil.which("useradd"):
                root = tmp_path / "root"
                (root / "etc").mkdir(parents=True)
                for name in ("passwd", "group", "shadow", "gshadow"):
                    (root / "etc" / name).write_text("")
                words = user.split()
                subprocess.run([words[0], "--prefix", str(root), *words[1:]], check=True)
                assert "esteira:x:10001:" in (root / "etc" / "passwd").read_text()
        elif kind == "RUN":
            raise AssertionError(f"a command that no test runs: {value}")
    return app


def test_every_command_of_the_image_and_of_compose_runs(
    image: Path, reproduced: Path, tmp_path: Path
) -> None:
    env = {k: v for k, v in os.environ.items() if k not in helpers.LEFT_OUT}
    env |= {"PATH": f"{image / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "ESTEIRA_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1"}  # fmt: skip
    (command,) = map(json.loads, of("CMD"))
    here = [word.replace("0.0.0.0", "127.0.0.1") for word in command]  # noqa: S104
    check = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])
    process = subprocess.Popen(
        [*here, "--port", "0"], cwd=image, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = re.search(r"Serving on (http://\S+:(\d+))", process.stdout.readline())
    assert found
    try:
        client = Client(found[1], process)
        wait_until_ready(client)
        healthy = [word.replace(":8000", f":{found[2]}") for word in check]
        subprocess.run(healthy, cwd=image, env=env, check=True)
        rows = pd.read_parquet(reproduced / "data" / "current.parquet").drop(columns="diagnosis")
        token = {"Authorization": f"Bearer {TOKEN}"}
        status, said = client.ask("/predict", rows.to_dict("records"), token)
        assert (status, said["model"]) == (200, "model@v1.0.0")
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
    assert subprocess.run(healthy, cwd=image, env=env, capture_output=True).returncode != 0
    services = YAML(typ="safe").load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    job = subprocess.run(
        services["drift"]["command"], cwd=image, env=env, capture_output=True, text=True
    )
    assert job.returncode == 0, job.stdout + job.stderr
    assert "keep:" in job.stdout
    assert (image / "logs" / "drift" / "report.html").is_file()
