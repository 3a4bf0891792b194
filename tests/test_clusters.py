"""Clusters: files of Kubernetes and Argo, checked by published schemas, their commands run here."""

import base64
import copy
import json
import re
import shlex
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import actions
import helpers
import pytest
from actions import commit, edit, git
from dockerfile_parse import DockerfileParser
from helpers import slow
from ruamel.yaml import YAML
from test_exports import AFTER, LINE, clone_of
from test_watch import Squad, batch, squad, watching  # noqa: F401 - the last two are fixtures

IMAGE = "registry.example/churn-radar-line:1"
SECRETS = re.compile("(?i)secret_access|password|GIT_TOKEN=")
# Kubernetes' own schemas, which refuse what they do not name, and the models of Argo's.
SCHEMAS = ("kubernetes-validate==1.37.0", "hera==7.1.0")
BY_KUBERNETES = """
import json, sys
from kubernetes_validate import validate
for resource in json.load(sys.stdin):
    validate(resource, "1.37", strict=True)
"""
BY_ARGO = """
import json, sys
from hera.workflows.models import Workflow
told = json.load(sys.stdin)
read = Workflow.model_validate(told).model_dump(by_alias=True, exclude_unset=True)
assert read == told, "there is something that Argo does not know"
"""


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text("utf-8"))


def tell(project: Path, **settings: str) -> None:
    """Say in pyproject.toml, as a squad does once, where others find the line."""
    lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
    with (project / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.writelines(["\n[tool.esteira.export]\n", *lines])
    commit(project, "Say where others find the line")


def tell_the_image(project: Path, **settings: str) -> None:
    """Say which image a cluster runs, and more."""
    tell(project, image=IMAGE, **settings)


def change_every_stage(project: Path) -> None:
    """Change settings, so that the line runs from its first stage to its last, and commit."""
    edit(project, "params.yaml", "drop_duplicates: true", "drop_duplicates: false")
    edit(project, "params.yaml", "examples: 5", "examples: 4")
    edit(project, "params.yaml", "holdout: 0.25", "holdout: 0.3")
    commit(project, "Change settings")


def in_one_folder(project: Path) -> str:
    """Return the dvc.lock that one `dvc repro` in one folder gives."""
    alone = clone_of(project, "alone")
    helpers.run(alone, "dvc", "repro", "--pull", env=actions.KEYS)
    return (alone / "dvc.lock").read_text("utf-8")


def is_valid(check: str, value: Any) -> None:
    """Fail with what a schema of a package says of a value."""
    python = helpers.environment_of("schemas", *SCHEMAS) / "bin" / "python"
    done = subprocess.run(
        [str(python), "-c", check], input=json.dumps(value), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def in_image(folder: Path, project: Path) -> dict[str, str]:
    """Return the variables of a pod of deploy/line.Dockerfile, whose packages are the tests'."""
    with (project / "deploy" / "line.Dockerfile").open("rb") as file:
        steps = DockerfileParser(fileobj=file).structure
    (said,) = [step["value"] for step in steps if step["value"].startswith("PATH=")]
    env = dict(word.split("=", 1) for word in shlex.split(said))
    programs, scratch = folder / "programs", folder / "scratch"
    for each in (programs, scratch):
        each.mkdir(exist_ok=True)
    (copied,) = [s["value"].split() for s in steps if s["value"].endswith("/in-clone")]
    program = programs / Path(copied[1]).name
    if not program.exists():
        program.symlink_to(project / copied[0])
    path = f"{programs}:{helpers.surroundings()['PATH']}"
    below = {"PATH": path, "HOME": str(scratch), "TMPDIR": str(scratch)}
    return env | actions.KEYS | below | {"DVC_SITE_CACHE_DIR": str(scratch / "dvc")}


def test_the_image_of_the_line_is_linted_and_its_script_clones_any_revision(
    project: Path, tmp_path: Path
) -> None:
    deploy = project / "deploy"
    helpers.run(deploy, "hadolint", "line.Dockerfile")
    helpers.run(deploy, "shellcheck", "in-clone.sh")
    line, service = (
        (deploy / name).read_text("utf-8").partition("\nFROM ")[2].partition("RUN uv sync")[0]
        for name in ("line.Dockerfile", "Dockerfile")
    )
    assert line == service  # the same base, uv and packages' sources
    assert "!deploy/in-clone.sh" in (project / ".dockerignore").read_text("utf-8").splitlines()
    edit(project, "params.yaml", "examples: 5", "examples: 4")
    git(project, "checkout", "--quiet", "-b", "change")
    commit(project, "Change a setting")
    git(project, "tag", "first", "change~1")

    def cloned(revision: str, *words: str) -> subprocess.CompletedProcess[str]:
        env = in_image(tmp_path, project) | {"GIT_TOKEN": "of this test"}
        command = ("in-clone", str(project), revision, *words)
        return helpers.run(tmp_path, *command, check=False, env=env)

    for revision in ("change", "first", git(project, "rev-parse", "change~1")):
        said = cloned(revision, ".", "git", "rev-parse", "HEAD").stdout
        assert said.strip() == git(project, "rev-parse", revision)
    assert cloned("change", "docs", "sh", "-c", "basename $PWD").stdout == "docs\n"
    assert cloned("change", ".", "sh", "-c", "echo ${GIT_TOKEN:-no token}").stdout == "no token\n"
    unknown = cloned("chnage", ".", "true")
    assert unknown.returncode == 2
    assert unknown.stderr.endswith("has no branch, tag or commit chnage.\n")


def test_a_repository_that_asks_for_a_password_gets_the_token(
    project: Path, tmp_path: Path
) -> None:
    asked: list[str | None] = []

    class Private(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Authorization"])
            self.send_response(404 if asked[-1] else 401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Private)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/private"
    env = in_image(tmp_path, project) | {"GIT_TOKEN": "of this test"}
    command = ("in-clone", address, "main", ".", "true")
    done = helpers.run(tmp_path, *command, check=False, env=env)
    server.shutdown()
    server.server_close()
    assert done.returncode == 128
    token = base64.b64encode(b"x-access-token:of this test").decode()
    assert asked == [None, f"Basic {token}"]
    assert "of this test" not in done.stdout + done.stderr


def test_a_users_mistake_is_told_in_one_sentence_and_writes_nothing(author: Path) -> None:
    def refused(kind: str) -> str:
        done = helpers.run_here(author, "esteira", "export", kind, check=False)
        assert done.returncode == 2
        assert git(author, "status", "--porcelain") == ""
        return done.stderr

    for kind in ("kubernetes", "argo"):
        assert "nothing says which image to run: build deploy/line.Dockerfile" in refused(kind)
    tell_the_image(author, imgae="typo")
    assert "imgae: no such name; did you mean `image`?" in refused("argo")
    edit(author, "pyproject.toml", 'imgae = "typo"', 'repository = "https://me:key@example.org/r"')
    commit(author, "Correct it")
    assert "put it into the Secret, as GIT_TOKEN" in refused("kubernetes")
    edit(author, "pyproject.toml", "me:key@", "")
    here = """[core]\n    remote = storage\n['remote "storage"']\n    url = ../storage\n"""
    (author / ".dvc" / "config").write_text(here, "utf-8")
    commit(author, "Keep data here")
    assert "which the pods of a cluster do not share: name a bucket" in refused("argo")


def test_the_files_of_kubernetes_are_valid_and_give_the_pods_little(author: Path) -> None:
    more = {"namespace": "ml", "service_account": "radar", "secret": "data", "memory": "8Gi"}
    tell_the_image(author, **more)
    said = helpers.run(author, "esteira", "export", "kubernetes").stdout
    assert said == "Wrote deploy/kubernetes/line.yaml and deploy/kubernetes/drift.yaml.\n"
    folder = author / "deploy" / "kubernetes"
    job, cron = load(folder / "line.yaml"), load(folder / "drift.yaml")
    is_valid(BY_KUBERNETES, [job, cron])
    wrong = copy.deepcopy(job)
    wrong["spec"]["template"]["spec"]["restart"] = "Never"
    with pytest.raises(AssertionError, match="restart"):
        is_valid(BY_KUBERNETES, [wrong])
    for pod in (job["spec"]["template"], cron["spec"]["jobTemplate"]["spec"]["template"]):
        assert pod["spec"]["serviceAccountName"] == "radar"
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["spec"]["containers"]
        assert container["image"] == IMAGE
        assert container["envFrom"] == [{"secretRef": {"name": "data", "optional": True}}]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["resources"]["limits"] == {"memory": "8Gi"}
    for path in folder.iterdir():
        assert not SECRETS.search(path.read_text("utf-8"))
    helpers.run(author, "esteira", "export", "kubernetes", "--check")
    own_test = ("pytest", "--noconftest", "tests/test_line.py", "-k", "files_for_other_tools")
    helpers.run(author, *own_test)
    edit(author, "dvc.yaml", "  predict:\n", "  answer:\n")
    old = helpers.run(author, "esteira", "export", "kubernetes", "--check", check=False)
    assert old.returncode == 1
    assert "line.yaml is not what dvc.yaml says now: write it again by" in old.stderr
    assert helpers.run(author, *own_test, check=False).returncode == 1


@slow
def test_the_job_reproduces_a_branch_whose_lock_is_then_had_without_a_run(
    author: Path, tmp_path: Path
) -> None:
    tell_the_image(author, repository=str(author))
    change_every_stage(author)
    expected = in_one_folder(author)
    helpers.run(author, "esteira", "export", "kubernetes")
    text = (author / "deploy" / "kubernetes" / "line.yaml").read_text("utf-8")
    (sed,) = re.findall(r"sed '(.*?)'", text)
    changed = subprocess.run(
        ["sed", sed.replace("BRANCH", "change")], input=text, capture_output=True, text=True
    ).stdout
    (container,) = YAML(typ="safe").load(changed)["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert told == {"REPOSITORY": str(author), "REVISION": "change"}
    words = [re.sub(r"\$\((\w+)\)", lambda m: told[m[1]], word) for word in container["args"]]
    env = in_image(tmp_path, author)
    done = helpers.run(tmp_path, *container["command"], *words, env=env)
    assert helpers.ran(done.stdout) == LINE
    assert "dvc.lock: no stage had to run." in done.stdout
    again = helpers.run(tmp_path, *container["command"], *words, env=env)
    assert helpers.ran(again.stdout) == []  # as when a pod is tried again
    home = helpers.run(author, "esteira", "stage", "collect", env=actions.KEYS)
    assert "dvc.lock: no stage had to run; taken over from other clones: ingest" in home.stdout
    assert (author / "dvc.lock").read_text("utf-8") == expected


def test_the_cron_job_fails_its_job_where_the_data_drifted(
    squad: Squad,  # noqa: F811 - a fixture
    tmp_path: Path,
) -> None:
    tell_the_image(squad.project, repository=str(squad.project))
    helpers.run(squad.project, "esteira", "export", "kubernetes")
    cron = load(squad.project / "deploy" / "kubernetes" / "drift.yaml")
    spec = cron["spec"]["jobTemplate"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]

    def status() -> tuple[int, str]:
        command = [*container["command"], *container["args"]]
        env = in_image(tmp_path, squad.project)
        done = helpers.run(tmp_path, *command, env=env, check=False)
        return done.returncode, done.stdout

    assert status()[0] == 0
    squad.arrive(batch(squad.table, 8, factor=1.6))
    exited, said = status()
    assert exited == 10
    assert said.startswith("retrain: Retrain on recent data. Mind that the concept was not tested")
    assert "mean texture" in said
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert exited in rule["onExitCodes"]["values"]


def test_the_workflow_of_argo_is_valid_and_has_the_order_of_dvc_yaml(author: Path) -> None:
    tell_the_image(author, namespace="ml")
    helpers.run(author, "esteira", "export", "argo")
    path = author / "deploy" / "argo.yaml"
    workflow = load(path)
    is_valid(BY_ARGO, workflow)
    line, stage, collect = workflow["spec"]["templates"]
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": each["name"]},
            "spec": {
                "containers": [each["container"] | {"name": "main"}],
                "volumes": workflow["spec"]["volumes"],
                "securityContext": workflow["spec"]["securityContext"],
            },
        }
        for each in (stage, collect)
    ]
    is_valid(BY_KUBERNETES, pods)
    tasks = {task["name"]: task for task in line["dag"]["tasks"]}
    stages = {
        key: task["arguments"]["parameters"][0]["value"]
        for key, task in tasks.items()
        if key != "collect"
    }
    after = {
        stages[key]: [stages[other] for other in tasks[key].get("dependencies", [])]
        for key in stages
    }
    assert after == AFTER
    assert tasks["collect"]["dependencies"] == list(stages)
    assert stage["container"]["args"][-4:] == [
        "esteira", "stage", "run", "{{inputs.parameters.stage}}",
    ]  # fmt: skip
    assert collect["container"]["args"][-3:] == ["esteira", "stage", "collect"]
    wrong = copy.deepcopy(workflow)
    wrong["spec"]["templates"][0]["dag"]["tasks"][0]["needs"] = ["ingest"]
    with pytest.raises(AssertionError, match="does not know"):
        is_valid(BY_ARGO, wrong)
    assert not SECRETS.search(path.read_text("utf-8"))
    helpers.run(author, "esteira", "export", "argo", "--check")
    edit(author, "dvc.yaml", "  predict:\n", "  answer:\n")
    old = helpers.run(author, "esteira", "export", "argo", "--check", check=False)
    assert "argo.yaml is not what dvc.yaml says now: write it again by" in old.stderr
