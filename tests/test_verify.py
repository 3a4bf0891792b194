"""`esteira verify`: true of the untouched project, and each way of being wrong is named."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import made_once, reproduce, run, run_here

from esteira.verify import confine

LINE = ["ingest", "validate", "split", "train", "evaluate", "drift_check", "predict", "card"]
LINEAR = "LogisticRegression(max_iter=1000)"
STAGE = """
import sys
from pathlib import Path
{extra}
given = Path("data/given.txt").read_text()
value = given.upper()
{work}
Path("made").mkdir(exist_ok=True)
Path("made/one.txt").write_text(str(value))
"""
WORK = """
  work:
    cmd: python -m squad.work
    deps: [data/given.txt, src/squad/work.py]
    params: [work]
    outs:
    - made/one.txt
"""
PIPELINE = f"stages:{WORK}"


def verify(project: Path, *options: str, env: dict[str, str] | None = None) -> tuple[dict, str]:
    """Run `esteira verify`; return its JSON and all it printed, after checking its exit code."""
    command = ("esteira", "verify", *options, "--json", "found.json")
    return answer_of(project, run(project, *command, check=False, env=env))


def verify_here(
    project: Path, *options: str, env: dict[str, str] | None = None
) -> tuple[dict, str]:
    """Do what `verify` does, in this process; for where no stage is to be executed."""
    command = ("esteira", "verify", *options, "--json", "found.json")
    return answer_of(project, run_here(project, *command, check=False, env=env))


def answer_of(project: Path, done: subprocess.CompletedProcess[str]) -> tuple[dict, str]:
    found = project / "found.json"
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert done.returncode in (0, 1), said
    answer = json.loads(found.read_text(encoding="utf-8"))
    found.unlink()
    assert answer["ok"] == (done.returncode == 0)
    return answer, said


def faults(answer: dict) -> list[str]:
    return [f"{s['stage']} {fault}" for s in answer["stages"] for fault in s["faults"]]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def make_small(project: Path, reproduced: Path) -> None:
    """Make a DVC project of one stage that imports nothing heavy, not yet reproduced."""
    (project / "data").mkdir(parents=True)
    (project / "src" / "squad").mkdir(parents=True)
    shutil.copytree(reproduced / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache"))
    shutil.copytree(reproduced / "vendor", project / "vendor")
    for name in ("pyproject.toml", ".dvcignore"):
        shutil.copy(reproduced / name, project)
    (project / "data" / "given.txt").write_text("ana\nbia\n")
    (project / "params.yaml").write_text("work: {size: 3}\nother: {size: 4}\n")
    (project / "dvc.yaml").write_text(PIPELINE)
    (project / "src" / "squad" / "work.py").write_text(STAGE.format(extra="", work=""))
    run(project, "git", "init", "--quiet")
    run(project, "git", "commit", "--quiet", "--allow-empty", "-m", "Start")


@pytest.fixture
def small(reproduced: Path, tmp_path: Path) -> Path:
    """Return a small project, not yet reproduced."""
    make_small(tmp_path / "small", reproduced)
    return tmp_path / "small"


def test_every_output_of_the_untouched_project_is_identical(project: Path) -> None:
    run(project, "esteira", "record")
    answer, said = verify(project)
    assert answer["ok"], said
    assert [stage["stage"] for stage in answer["stages"]] == LINE
    assert answer["identical"] == answer["outputs"] >= 16
    assert answer["confined"] == (confine.version() > 0)
    assert answer["environment"] == []
    assert run(project, "git", "status", "--porcelain").stdout == "?? environment.json\n"


def test_each_sin_of_a_real_stage_is_named(project: Path) -> None:
    package = project / "src" / "churn_radar"
    (package / "helper.py").write_text("SHIFT = 0\n")
    (project / "overrides.json").write_text("{}")
    edit(
        package / "stages" / "split.py",
        "    holdout.write(found)",
        "    from contextlib import suppress\n    from pathlib import Path\n"
        "    with suppress(ImportError):\n        from ..helper import SHIFT\n"
        "    with suppress(OSError):\n        Path('overrides.json').read_text()\n"
        "    Path('data/notes.txt').write_text('note')\n"
        "    holdout.write(found)",
    )
    edit(
        package / "stages" / "train.py",
        "    save(model, ",
        "    import time\n    metrics['when'] = time.time() % 1000\n    save(model, ",
    )
    edit(package / "model.py", LINEAR, 'LogisticRegression(solver="saga", max_iter=3)')
    edit(package / "model.py", "set_params(random_state=seed)", "set_params()")
    reproduce(project, "split", "train")
    answer, said = verify(project, "split", "train")
    assert not answer["ok"]
    for sentence in (
        "split reads src/churn_radar/helper.py, which is not among its `deps`.",
        "split reads overrides.json, which is not among its `deps`.",
        "split writes data/notes.txt, which is not among its `outs`.",
        "train writes models/model.skops differently each time",
        "train writes reports/train/metrics.json differently each time",
    ):
        assert sentence in said, said
    assert "by a random number without seed" in said


SINS = {
    "an undeclared module": (
        "from squad import helper",
        "value += str(helper.SHIFT)",
        ["{stage} reads src/squad/helper.py, which is not among its `deps`."],
    ),
    "an undeclared module that it can do without": (
        "try:\n    from squad.helper import SHIFT\nexcept ImportError:\n    SHIFT = 0",
        "value += str(SHIFT)",
        [
            "{stage} reads src/squad/helper.py, which is not among its `deps`.",
            "{stage} made/{stage}.txt comes out otherwise than dvc.lock says.",
        ],
    ),
    "a time stamp": (
        "import time",
        "value += str(time.time_ns())",
        ["{stage} writes made/{stage}.txt differently each time: even under the same conditions"],
    ),
    "the date": (
        "import datetime",
        "value += str(datetime.date.today())",
        ["{stage} writes made/{stage}.txt differently each time: it changes with the time zone."],
    ),
    "the iteration of a set": (
        "",
        "value += ' '.join({str(n) for n in range(99)})",
        ["{stage} writes made/{stage}.txt differently each time: it changes with the hash seed."],
    ),
    "the number of threads": (
        "import os",
        "value += os.environ.get('OMP_NUM_THREADS', '')",
        ["writes made/{stage}.txt differently each time: it changes with the thread count."],
    ),
    "the locale": (
        "import os",
        "value += os.environ.get('LC_ALL', '')",
        ["{stage} writes made/{stage}.txt differently each time: it changes with the locale."],
    ),
    "a random number": (
        "import random",
        "value += str(random.random())",
        ["by a random number without seed"],
    ),
    "its folder": (
        "",
        "value += str(Path.cwd())",
        ["{stage} writes made/{stage}.txt differently each time"],
    ),
    "a hidden file": (
        "",
        "value += Path('data/hidden.txt').read_text()",
        [
            "{stage} reads data/hidden.txt, which is not among its `deps`.",
            "{stage} fails in a folder with only its `deps`: FileNotFoundError",
        ],
    ),
    "a hidden file, by its absolute path": (
        "",
        "value += Path('{project}/data/hidden.txt').read_text()",
        ["{stage} reads data/hidden.txt, which is not among its `deps`."],
    ),
    "a file outside of the project": (
        "",
        "value += Path('{outside}').read_text()",
        ["{stage} reads {outside}, which is not among its `deps`."],
    ),
    "a hidden file that it only looks for": (
        "",
        "value += str(Path('data/hidden.txt').exists())",
        [
            "{stage} looks for data/hidden.txt, which is not among its `deps`.",
            "{stage} made/{stage}.txt comes out otherwise than dvc.lock says",
        ],
    ),
    "a hidden file, read by a child": (
        "import subprocess",
        "value += subprocess.run([sys.executable, '-c', 'print(open(\"data/hidden.txt\").read())'],"
        "capture_output=True, text=True).stdout",
        ["{stage} reads data/hidden.txt, which is not among its `deps`."],
    ),
    "a setting of another stage": (
        "from ruamel.yaml import YAML",
        "value += str(YAML(typ='safe').load(Path('params.yaml')).get('other'))",
        ["{stage} made/{stage}.txt comes out otherwise than dvc.lock says"],
    ),
    "an undeclared output": (
        "",
        "Path('made').mkdir(exist_ok=True); Path('made/two.txt').write_text('x')",
        ["{stage} writes made/two.txt, which is not among its `outs`."],
    ),
    "an undeclared output, by its absolute path": (
        "",
        "Path('{project}/two.txt').write_text('x')",
        ["{stage} writes two.txt, which is not among its `outs`."],
    ),
    "a change of its own input": (
        "",
        "Path('data/given.txt').write_text(given)",
        ["{stage} writes data/given.txt, which is not among its `outs`."],
    ),
}


def stage_of(sin: str) -> str:
    """Return the name of the stage that commits a sin, which is its module's too."""
    return re.sub(r"\W+", "_", sin)


@pytest.fixture(scope="session")
def judgement(reproduced: Path, shared: Path) -> tuple[dict[str, str], dict]:
    """Return two paths, and what `verify` finds in a project with a stage for each sin; run once.

    The paths are of the project, and of a file beside it.
    """
    sins = shared / "sins"
    project, outside, kept = sins / "small", sins / "elsewhere.txt", sins / "answer.json"
    paths = {"{project}": str(project), "{outside}": str(outside)}
    with made_once(sins) as lacking:
        if lacking:
            sins.mkdir()
            make_small(project, reproduced)
            outside.write_text("far")
            (project / "src" / "squad" / "helper.py").write_text("SHIFT = 1\n")
            (project / "data" / "hidden.txt").write_text("hidden")
            pipeline = "stages:"
            for sin, (extra, work, _) in SINS.items():
                name = stage_of(sin)
                code = STAGE.format(extra=extra, work=placed(work, paths))
                code = code.replace("made/one.txt", f"made/{name}.txt")
                (project / "src" / "squad" / f"{name}.py").write_text(code)
                stage = WORK.replace("made/one.txt", f"made/{name}.txt")
                stage = stage.replace("  work:", f"  {name}:")
                stage = stage.replace("squad.work", f"squad.{name}")
                pipeline += stage.replace("squad/work.py", f"squad/{name}.py")
            (project / "dvc.yaml").write_text(pipeline)
            run(project, "dvc", "repro")
            kept.write_text(json.dumps(verify(project)[0]))
    return paths, json.loads(kept.read_text())


def placed(text: str, paths: dict[str, str]) -> str:
    """Return a text with the paths that its names in braces stand for."""
    for name, path in paths.items():
        text = text.replace(name, path)
    return text


@pytest.mark.parametrize("sin", SINS)
def test_a_sin_is_named_with_stage_and_file(
    judgement: tuple[dict[str, str], dict], sin: str
) -> None:
    paths, answer = judgement
    name = stage_of(sin)
    sentences = [placed(text, paths | {"{stage}": name}) for text in SINS[sin][2]]
    (stage,) = [stage for stage in answer["stages"] if stage["stage"] == name]
    assert not answer["ok"]
    found = faults({"stages": [stage]})
    for sentence in sentences:
        assert any(sentence in fault for fault in found), f"{sentence!r} is not in {found}"
    assert len(found) <= len(sentences) + 1, "one cause, one or two sentences"
    assert stage["outputs"][0]["path"] == f"made/{name}.txt"


def test_a_stage_without_sin_is_proven_and_what_it_may_do_is_no_fault(small: Path) -> None:
    work = (
        "import json, tempfile, subprocess\n"
        "with tempfile.NamedTemporaryFile() as file: file.write(b'x')\n"
        "value += str(Path('made/one.txt').exists()) * 0 + str(sorted({'a', 'b'}))\n"
        "assert Path('/etc/hosts').exists() and Path(json.__file__).read_text()"
    )
    (small / "src" / "squad" / "work.py").write_text(STAGE.format(extra="", work=work))
    run(small, "dvc", "repro")
    answer, said = verify(small)
    assert answer["ok"], said
    assert answer["identical"] == answer["outputs"] == 1


def test_folders_as_inputs_and_outputs_and_several_commands(small: Path) -> None:
    (small / "data" / "many").mkdir()
    for name in ("a.txt", "é.txt", "b c.txt"):
        (small / "data" / "many" / name).write_text(name)
    (small / "dvc.yaml").write_text(
        "stages:\n  copy:\n    cmd:\n    - mkdir -p made/many/deep\n"
        "    - cp data/many/* made/many/deep\n    deps: [data/many]\n    outs: [made/many]\n"
        "  count:\n    cmd: ls made/many/deep | wc -l > made/count.txt\n    deps: [made/many]\n"
        "    outs:\n    - made/count.txt: {cache: false}\n"
    )
    run(small, "dvc", "repro")
    answer, said = verify(small)
    assert answer["ok"], said
    assert answer["identical"] == 2
    shutil.rmtree(small / "made" / "many")  # the line makes it again from its sources
    answer, said = verify(small)
    assert answer["ok"], said
    shutil.rmtree(small / "data" / "many")
    answer, said = verify(small)
    assert not answer["ok"]


def test_a_forged_lock_is_found_though_dvc_says_it_is_fresh(small: Path) -> None:
    edit(small / "dvc.yaml", "    - made/one.txt", "    - made/one.txt: {cache: false}")
    run(small, "dvc", "repro")
    good = (small / "made" / "one.txt").read_text()
    (small / "made" / "one.txt").write_text("0.999")
    run(small, "dvc", "commit", "--force")
    assert verify(small, "--lock")[0]["ok"]
    answer, _ = verify(small)
    assert faults(answer) == [
        "work made/one.txt comes out otherwise than dvc.lock says: the lock is false, or the stage "
        "depends on something that it does not declare, or the environment is another."
    ]
    (small / "made" / "one.txt").write_text(good)


def test_elsewhere_other_bytes_pass_only_if_what_git_holds_is_the_same(small: Path) -> None:
    """A model may have other last digits on another processor; a metric may not."""
    (small / "dvc.yaml").write_text(
        "stages:\n  fit:\n    cmd: python -m squad.fit\n    deps: [data/given.txt]\n"
        "    outs: [model.txt]\n  score:\n    cmd: cut -c 1-3 model.txt > score.txt\n"
        "    deps: [model.txt]\n    outs:\n    - score.txt: {cache: false}\n"
    )
    fit = "import os\nopen('model.txt', 'w').write(os.environ['DIGITS'])\n"
    (small / "src" / "squad" / "fit.py").write_text(fit)
    edit(small / "pyproject.toml", "[tool.esteira]", '[tool.esteira]\nenvironment = ["DIGITS"]')
    edit(small / "dvc.yaml", "[data/given.txt]", "[data/given.txt, src/squad/fit.py]")
    run(small, "dvc", "repro", env={"DIGITS": "0.123456"})
    assert not verify(small, env={"DIGITS": "0.123457"})[0]["ok"]
    run(small, "esteira", "record")
    assert not verify(small, env={"DIGITS": "0.123457"})[0]["ok"], "the environment is the same"
    record = json.loads((small / "environment.json").read_text())
    (small / "environment.json").write_text(json.dumps(record | {"blas": "another"}))
    answer, said = verify(small, env={"DIGITS": "0.123457"})
    assert answer["ok"], said
    assert [o["verdict"] for s in answer["stages"] for o in s["outputs"]] == [
        "other bytes",
        "identical",
    ]
    assert any(change.startswith("blas: another when") for change in answer["environment"])
    assert "environment variables that the stages may read: DIGITS" in said
    answer, said = verify(small, env={"DIGITS": "0.923456"})
    assert not answer["ok"]
    assert "score score.txt comes out otherwise" in said


def test_the_record_belongs_to_one_lock(small: Path) -> None:
    run(small, "dvc", "repro")
    assert "environment.json is not here yet: `uv run esteira record` writes it" in verify(small)[1]
    assert "describes" in run(small, "esteira", "record").stdout
    before = (small / "environment.json").read_bytes()
    assert "already" in run(small, "esteira", "record").stdout
    assert (small / "environment.json").read_bytes() == before
    edit(small / "data" / "given.txt", "ana", "eva")
    run(small, "dvc", "repro")
    answer, said = verify(small)
    assert not answer["environment_known"]
    assert "environment.json is of another dvc.lock" in said


def test_what_cannot_be_checked_is_no_success(small: Path) -> None:
    run(small, "dvc", "repro")
    (small / "data" / "given.txt").unlink()
    answer, said = verify(small)
    assert not answer["ok"]
    assert "work data/given.txt is not here" in said
    assert "could not be checked: work" in said
    assert "identical" not in said


def test_a_stale_lock_is_told_stage_by_stage_from_a_clone_without_data(project: Path) -> None:
    clone = project.parent / "clone"
    run(project.parent, "git", "clone", "--quiet", str(project), str(clone))
    secrets = {"AWS_ACCESS_KEY_ID": "", "HOME": str(clone.parent)}
    answer, said = verify(clone, "--lock", env=secrets)
    assert answer == {"ok": True, "stale": {}}, said

    def stale(path: str, old: str, new: str) -> dict[str, list[str]]:
        edit(clone / path, old, new)
        answer, _ = verify_here(clone, "--lock", env=secrets)
        run(clone, "git", "checkout", "--quiet", ".")
        assert not answer["ok"]
        return answer["stale"]

    found = stale("src/churn_radar/model.py", "max_iter=1000", "max_iter=2000")
    modified = ["src/churn_radar/model.py modified (deps)"]
    assert found == dict.fromkeys(("train", "evaluate", "drift_check", "predict"), modified)
    assert list(stale("params.yaml", "holdout: 0.25", "holdout: 0.3")) == ["split"]
    assert stale("dvc.yaml", "esteira.line split", "esteira.line  split") == {
        "split": ["changed command"]
    }
    found = stale("reports/evaluate/metrics.json", "accuracy", "Accuracy")
    assert found == {
        "evaluate": ["reports/evaluate/metrics.json modified (outs)"],
        "card": ["reports/evaluate/metrics.json modified (deps)"],
    }
    found = stale("dvc.yaml", "      - data/holdout.parquet", "      - data/other.parquet")
    assert found == {"split": ["dvc.lock does not name data/other.parquet"]}
    assert "frozen" in stale("dvc.yaml", "  split:", "  split:\n    frozen: true")["split"][0]
    (clone / "dvc.lock").unlink()
    assert list(verify_here(clone, "--lock", env=secrets)[0]["stale"]) == LINE


def test_a_lock_that_names_a_file_in_two_states_is_stale_though_its_data_is_not_here(
    project: Path,
) -> None:
    """A merge takes one stage's entry from here and another's from there."""
    clone = project.parent / "clone"
    run(project.parent, "git", "clone", "--quiet", str(project), str(clone))
    lock = (clone / "dvc.lock").read_text(encoding="utf-8")
    split = lock.index("\n  split:")
    read = lock.index("md5: ", lock.index("path: data/validated.parquet", split))
    (clone / "dvc.lock").write_text(f"{lock[:read]}md5: {'ab' * 16}{lock[read + 37 :]}")
    tried = run(clone, "dvc", "repro", "--dry", "--allow-missing", check=False)
    assert "failed to reproduce 'split'" in tried.stderr
    answer, _ = verify_here(clone, "--lock")
    two_states = "dvc.lock names data/validated.parquet otherwise where it is written"
    assert answer == {"ok": False, "stale": {"split": [two_states]}}


def test_what_was_not_pushed_is_named(project: Path) -> None:
    assert verify(project, "--pushed")[0] == {"ok": True, "unkept": {}, "unpushed": []}
    answer, said = verify(project, "--lock", "--pushed")
    assert answer == {"ok": True, "stale": {}, "unkept": {}, "unpushed": []}, said
    remote = project.parent.parent / "churn-radar-dvc-remote"
    remote = remote if remote.is_dir() else project.parent / "churn-radar-dvc-remote"
    shutil.rmtree(remote)
    answer, said = verify(project, "--pushed")
    assert "models/model.skops" in answer["unpushed"]
    assert "`uv run dvc push`" in said
    run(project, "dvc", "push")
    assert verify(project, "--pushed")[0]["ok"]


def test_a_batch_that_neither_git_nor_dvc_keeps_is_named_with_its_command(project: Path) -> None:
    batch = project / "data" / "raw" / "novo.csv"
    batch.parent.mkdir(exist_ok=True)
    shutil.copy(project / "data" / "current.parquet", batch)
    edit(project / "params.yaml", "data/current.parquet", "data/raw/novo.csv")
    answer, said = verify_here(project, "--pushed")
    assert answer["unkept"] == {"data/raw/novo.csv": "uv run dvc add data/raw/novo.csv"}
    assert "novo.csv is kept by neither Git nor DVC: `uv run dvc add data/raw/novo.csv`" in said
    assert "holds everything" not in said
    told = run(project, "esteira", "doctor", check=False)
    assert told.returncode == 1
    assert "by neither Git nor DVC: `uv run dvc add data/raw/novo.csv`" in told.stdout
    run(project, "dvc", "add", "data/raw/novo.csv")
    assert verify_here(project, "--pushed")[0]["unkept"] == {}
    package = project / "src" / "churn_radar"
    (package / "more.py").write_text("")
    edit(project / "dvc.yaml", "src/churn_radar/model.py", "src/churn_radar/more.py")
    found = verify_here(project, "--pushed")[0]["unkept"]
    assert found == {"src/churn_radar/more.py": "git add src/churn_radar/more.py"}


def test_a_broken_project_gets_one_sentence(small: Path, tmp_path: Path) -> None:
    run(small, "dvc", "repro")
    breaks: dict[str, Callable[[Path], object]] = {
        "dvc.yaml": lambda p: (p / "dvc.yaml").write_text("stages: ["),
        "dvc.lock": lambda p: (p / "dvc.lock").write_text("<<<<<<< ours\n"),
        "dvc": lambda p: shutil.rmtree(p / ".dvc"),
        "config": lambda p: (p / ".dvc" / "config").write_text("[core\n"),
    }
    for sentence, spoil in breaks.items():
        broken = tmp_path / "broken" / sentence
        shutil.copytree(small, broken, symlinks=True)
        spoil(broken)
        for option in ("--lock", "--pushed"):
            done = run_here(broken, "esteira", "verify", option, check=False)
            assert done.returncode == 2
            assert sentence in done.stderr.lower()
            assert done.stderr.count("\n") == 1
        nowhere = run_here(broken, "esteira", "verify", "nowhere", check=False)
        assert nowhere.returncode == 2


def test_what_is_passed_on_must_be_a_list(small: Path) -> None:
    run(small, "dvc", "repro")
    edit(small / "pyproject.toml", "[tool.esteira]", "[tool.esteira]\nenvironment = 3")
    done = run(small, "esteira", "verify", check=False)
    assert done.returncode == 2
    assert "pyproject.toml, section `tool.esteira`: environment: " in done.stderr
    assert done.stderr.count("\n") == 1


def test_windows_line_ends_are_told_before_the_push(small: Path) -> None:
    (small / ".gitattributes").write_text("* text=auto eol=lf\n")
    code = small / "src" / "squad" / "work.py"
    text = code.read_text()
    code.write_text(text, newline="\r\n")
    run(small, "dvc", "repro")
    run(small, "git", "add", "--all")
    run(small, "git", "commit", "--quiet", "-m", "Edited on Windows")
    answer, said = verify_here(small, "--lock")
    reason = (
        "src/squad/work.py has Windows line ends here, and other bytes in every clone: "
        "`uv run esteira doctor --fix`"
    )
    assert answer["stale"] == {"work": [reason]}, said
    told = run(small, "esteira", "doctor", "--fix", check=False).stdout
    assert "src/squad/work.py has Windows line ends here, which Git does not store" in told
    assert code.read_bytes() == text.encode()
    assert list(verify_here(small, "--lock")[0]["stale"]) == ["work"], "its hash is another now"
    run(small, "dvc", "repro")
    assert verify_here(small, "--lock")[0]["ok"]
