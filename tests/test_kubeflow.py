"""A squad has Kubeflow: the pipeline, loaded, compiled again and run by KFP itself."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import actions
import helpers
from actions import edit
from helpers import slow
from ruamel.yaml import YAML
from test_clusters import (
    IMAGE,
    SECRETS,
    change_every_stage,
    in_image,
    in_one_folder,
    tell,
    tell_the_image,
)
from test_exports import AFTER, LINE

KFP = ("kfp==2.17.3", "kfp-kubernetes==2.17.3")
COMPILE = """
import sys
from kfp import compiler, components
pipeline = components.load_component_from_file(sys.argv[1])
compiler.Compiler().compile(pipeline, sys.argv[2])
"""
# Its local runner of processes refuses containers, for want of their image. Here `in-clone` and the
# packages of the image are on PATH, so it is let run them, as KFP's own tests let it.
RUN = """
import sys
from kfp import components, local
from kfp.local.subprocess_task_handler import SubprocessTaskHandler
for refusal in ("validate_image", "validate_not_container_component"):
    setattr(SubprocessTaskHandler, refusal, lambda self, _: None)
pipeline = components.load_component_from_file(sys.argv[1])
local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
pipeline(revision=sys.argv[3])
"""


def python() -> str:
    return str(helpers.environment_of("kfp", *KFP) / "bin" / "python")


def documents(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path.read_text("utf-8")))


def test_the_pipeline_is_what_kfp_compiles_and_has_the_order_of_dvc_yaml(
    author: Path, tmp_path: Path
) -> None:
    tell_the_image(author, secret="data", memory="8Gi")  # noqa: S106 - the name of one
    said = helpers.run(author, "esteira", "export", "kubeflow").stdout
    assert said == "Wrote deploy/kubeflow.yaml.\n"
    path, again = author / "deploy" / "kubeflow.yaml", tmp_path / "again.yaml"
    subprocess.run([python(), "-c", COMPILE, str(path), str(again)], check=True)
    assert documents(again) == documents(path)
    pipeline, platform = documents(path)
    tasks = pipeline["root"]["dag"]["tasks"]
    stages = {
        key: task["inputs"]["parameters"]["stage"]["runtimeValue"]["constant"]
        for key, task in tasks.items()
        if key != "collect"
    }
    after = {
        stages[key]: [stages[other] for other in tasks[key].get("dependentTasks", [])]
        for key in stages
    }
    assert after == AFTER
    assert tasks["collect"]["dependentTasks"] == list(stages)
    for name, executor in pipeline["deploymentSpec"]["executors"].items():
        assert executor["container"]["image"] == IMAGE
        assert executor["container"]["resources"]["resourceMemoryLimit"] == "8Gi"
        (secret,) = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][name][
            "secretAsEnv"
        ]
        assert secret["secretName"] == "data"
        assert secret["optional"] is True
    assert "AWS_SECRET_ACCESS_KEY" in [key["envVar"] for key in secret["keyToEnv"]]
    assert not SECRETS.search(str(pipeline))
    helpers.run(author, "esteira", "export", "kubeflow", "--check")
    edit(author, "dvc.yaml", "  predict:\n", "  answer:\n")
    old = helpers.run(author, "esteira", "export", "kubeflow", "--check", check=False)
    assert old.returncode == 1
    assert "kubeflow.yaml is not what dvc.yaml says now: write it again by" in old.stderr


def test_without_an_image_there_is_no_pipeline(author: Path) -> None:
    tell(author, secret="data")  # noqa: S106 - the name of one
    done = helpers.run(author, "esteira", "export", "kubeflow", check=False)
    assert done.returncode == 2
    assert "nothing says which image to run: build deploy/line.Dockerfile" in done.stderr
    assert not (author / "deploy" / "kubeflow.yaml").exists()


@slow
def test_kfp_runs_each_stage_once_and_the_lock_is_that_of_one_folder(
    author: Path, tmp_path: Path
) -> None:
    tell_the_image(author, repository=str(author))
    helpers.run(author, "esteira", "export", "kubeflow")
    change_every_stage(author)
    expected = in_one_folder(author)
    path = author / "deploy" / "kubeflow.yaml"
    # KFP starts `python3` and what is on PATH: the program is named, and PATH is the image's.
    words = (python(), "-c", RUN, str(path), str(tmp_path / "root"), "change")
    done = helpers.run(tmp_path, *words, env=in_image(tmp_path, author))
    said = done.stdout + done.stderr
    assert Counter(re.findall(r"Running stage '(\w+)'", said)) == Counter(LINE), said
    assert "dvc.lock: no stage had to run; taken over from other clones: ingest" in said
    home = helpers.run(author, "esteira", "stage", "collect", env=actions.KEYS)
    assert "dvc.lock: no stage had to run; taken over from other clones: ingest" in home.stdout
    assert (author / "dvc.lock").read_text("utf-8") == expected
