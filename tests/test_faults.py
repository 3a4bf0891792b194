"""When things break: one clear sentence, one command that recovers, nothing lost."""

import contextlib
import hashlib
import http.client
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import psutil
import pytest
from helpers import LINE, run, run_here, surroundings
from moto.server import ThreadedMotoServer
from ruamel.yaml import YAML

SOAK = int(os.environ.get("ESTEIRA_SOAK", "1"))  # `make soak` kills at more moments
# DVC does the same around every stage; what differs is what the stage writes: `ingest` a file that
# DVC keeps, `evaluate` also such as Git keeps, and a folder of another library. A soak kills all.
KILLED_STAGES = LINE if SOAK > 1 else ("ingest", "evaluate")
FILES, SIZE = 80, 80_000
SLOW = """
import sys, time
from esteira.line.files import replacing
with replacing("made/one.txt") as path, path.open("w") as file:
    for n in range(100):
        file.write(f"{n}\\n"); file.flush()
        time.sleep(float(open("pace.txt").read()))
"""


@pytest.fixture(scope="session")
def many(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a DVC project with a slow stage and a folder of many files, reproduced and pushed."""
    project = tmp_path_factory.mktemp("many") / "churn-radar"
    (project / "src" / "squad").mkdir(parents=True)
    (project / "made").mkdir()
    shutil.copytree(reproduced / ".dvc", project / ".dvc", ignore=shutil.ignore_patterns("cache"))
    shutil.copytree(reproduced / "vendor", project / "vendor")
    for name in ("pyproject.toml", "uv.lock", ".dvcignore", ".gitattributes", ".gitignore"):
        shutil.copy(reproduced / name, project)
    shutil.copy(reproduced / ".esteira.json", project)
    (project / "pace.txt").write_text("0")
    (project / "src" / "squad" / "slow.py").write_text(SLOW)
    each = f"i in range({FILES}): open(f'made/many/{{i}}', 'w').write(str(i) * {SIZE})"
    (project / "many.py").write_text(f"import os; os.makedirs('made/many')\nfor {each}\n")
    (project / "dvc.yaml").write_text(
        "stages:\n  slow:\n    cmd: python -m squad.slow\n    deps: [pace.txt, src/squad/slow.py, "
        "vendor/esteira/line]\n    outs: [made/one.txt]\n"
        "  many:\n    cmd: python many.py\n    deps: [many.py]\n    outs: [made/many]\n"
    )
    with (project / ".gitignore").open("a") as file:
        file.write("/made/\n")
    run(project, "git", "init", "--quiet", "--initial-branch=main")
    run(project, "dvc", "repro")
    run(project, "dvc", "push")
    run(project, "esteira", "record")
    run(project, "git", "add", "--all")
    run(project, "git", "commit", "--quiet", "-m", "Reproduce")
    return project


@pytest.fixture
def small(many: Path, tmp_path: Path) -> Path:
    """Return a copy of the small project, and of its remote beside it, to break at will."""
    shutil.copytree(many.parent, tmp_path / "squad", symlinks=True)
    return tmp_path / "squad" / many.name


def hear_ctrl_c() -> None:
    """Let a child be stopped by Ctrl-C, also where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def started(project: Path, *command: str, log: bool = False) -> Iterator[subprocess.Popen]:
    """Run a command in the background; at the end, end it and all that came from it."""
    process = subprocess.Popen(
        command,
        cwd=project,
        env=surroundings(project),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if log else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if log else subprocess.DEVNULL,
        start_new_session=True,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    try:
        yield process
    finally:
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        psutil.wait_procs(family, timeout=10)  # a stage may outlive, by a moment, the DVC above it


def until(condition: Callable[[], bool], process: subprocess.Popen | None = None) -> bool:
    """Wait for something, for a minute at most; False if `process` ended before it came."""
    end = time.monotonic() + 60
    while not condition():
        if process is not None and process.poll() is not None:
            return condition()
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)
    return True


def stage_process(project: Path | None, stage: str) -> int | None:
    """Return the process that runs `stage` of this project, or with None in a sandbox."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            env = process.environ()
            root = env.get("DVC_ROOT", "")
            there = "esteira-verify-" in root if project is None else root == str(project)
            if env.get("DVC_STAGE") == stage and there:
                return process.pid
    return None


def is_at_work(project: Path, stage: str) -> bool:
    """Whether `stage` of this project has begun: its Python has loaded what it computes with."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            env = process.environ()
            is_ours = env.get("DVC_STAGE") == stage and env.get("DVC_ROOT") == str(project)
            if is_ours and "numpy" in Path(f"/proc/{process.pid}/maps").read_text():
                return True
    return False


def doctor(project: Path, *options: str) -> str:
    """Run `esteira doctor`; return what it says, "" if all is well.

    In this process, for speed, but where the remote is a bucket: its client remembers a listing.
    """
    has_bucket = "s3://" in (project / ".dvc" / "config").read_text()
    command = run if has_bucket else run_here
    done = command(project, "esteira", "doctor", *options, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode in (0, 1), done.stderr
    assert (done.returncode == 0) == ("All is well" in done.stdout or "--fix" in options) or options
    return "" if "All is well" in done.stdout else done.stdout


def well(project: Path) -> None:
    """Check that nothing was lost: Git is clean, and the doctor and the lock agree."""
    assert doctor(project) == ""
    unchanged(project)


def unchanged(project: Path) -> None:
    """Check that every file is the one that Git or the lock names."""
    assert run(project, "git", "status", "--porcelain").stdout == ""
    lock = YAML(typ="safe", pure=True).load((project / "dvc.lock").read_text(encoding="utf-8"))
    outs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    for out in outs:
        if not out["md5"].endswith(".dir"):
            assert md5(project / out["path"]) == out["md5"], out["path"]
        elif out["path"] == "made/many":
            assert whole(project / "made" / "many")


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324


def whole(folder: Path) -> bool:
    return all((folder / str(i)).read_text() == str(i) * SIZE for i in range(FILES))


def objects(folder: Path) -> list[Path]:
    """Return the objects of a cache or of a remote folder."""
    return [p for p in (folder / "files" / "md5").rglob("*") if p.is_file()]


def remote(project: Path) -> Path:
    return project.parent / "churn-radar-dvc-remote"


def clone(project: Path) -> Path:
    """Return a fresh clone, beside the project, that has the same remote."""
    made = project.parent / "clone"
    run(project.parent, "git", "clone", "--quiet", str(project), str(made))
    return made


@pytest.mark.parametrize("later", range(SOAK))
@pytest.mark.parametrize("stage", KILLED_STAGES)
def test_a_repro_killed_in_a_stage_leaves_a_sentence_and_runs_again(
    project: Path, stage: str, later: int
) -> None:
    with started(project, "dvc", "repro", "--force", "--single-item", stage) as repro:
        until(lambda: stage_process(project, stage) is not None, repro)
        time.sleep(0.2 * later)
        child = stage_process(project, stage)
        if child is None:
            return  # it was faster
        repro.kill()
        repro.wait()
        psutil.Process(child).suspend()  # it lives on, for as long as it likes
        said = doctor(project)
        assert f"stage '{stage}' still runs (process {child})" in said
        assert f"`kill {child}`" in said
    run(project, "dvc", "repro")
    unchanged(project)


def test_a_stage_killed_while_it_writes_leaves_no_half_file(small: Path) -> None:
    (small / "pace.txt").write_text("0.05")
    before = (small / "made" / "one.txt").read_bytes()
    with started(small, "dvc", "repro") as repro:
        until(lambda: any((small / "made").glob(".*.tmp")), repro)
        os.kill(stage_process(small, "slow"), signal.SIGKILL)
        repro.wait()
    assert not (small / "made" / "one.txt").exists(), "absent, never half"
    said = doctor(small)
    assert ".tmp is what a killed command had begun to write" in said
    doctor(small, "--fix")
    run(small, "git", "checkout", "--quiet", ".")
    run(small, "dvc", "repro")
    assert (small / "made" / "one.txt").read_bytes() == before
    well(small)


SHARES = pytest.mark.parametrize("share", [(i + 1) / (SOAK + 3) for i in range(SOAK)])


def killed_halfway(project: Path, folder: Path, share: float, *command: str) -> None:
    """Kill a DVC command after some of its objects have come into `folder`."""
    with started(project, *command) as process:
        until(lambda: len(objects(folder)) > FILES * share, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@SHARES
def test_a_commit_killed_halfway(small: Path, share: float) -> None:
    shutil.rmtree(small / ".dvc" / "cache")
    killed_halfway(small, small / ".dvc" / "cache", share, "dvc", "commit", "--force")
    run(small, "dvc", "commit", "--force")
    doctor(small, "--fix")
    well(small)


@SHARES
def test_a_push_killed_halfway(small: Path, share: float) -> None:
    shutil.rmtree(remote(small))
    killed_halfway(small, remote(small), share, "dvc", "push")
    there = {p.parent.name + p.name for p in objects(remote(small)) if p.suffix != ".tmp"}
    if len(there) < FILES:
        said = run(small, "esteira", "verify", "--pushed", check=False)
        assert said.returncode == 1
        assert "uv run dvc push" in said.stderr
    run(small, "dvc", "push")
    assert run(small, "esteira", "verify", "--pushed").returncode == 0
    again = clone(small)
    run(again, "dvc", "pull")
    assert whole(again / "made" / "many")
    well(small)


@SHARES
def test_a_pull_killed_halfway(small: Path, share: float) -> None:
    again = clone(small)
    killed_halfway(again, again / ".dvc" / "cache", share, "dvc", "pull")
    assert "`uv run dvc pull`" in doctor(again)
    run(again, "dvc", "pull")
    doctor(again, "--fix")
    well(again)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return an empty file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_during_pull_leaves_no_truncated_file(
    small: Path, tiny_disk: Path
) -> None:
    again = clone(small)
    (again / ".dvc" / "cache").symlink_to(tiny_disk)
    failed = run(again, "dvc", "pull", check=False)
    assert failed.returncode != 0
    assert "No space left on device" in failed.stdout + failed.stderr
    assert "MB are free" in doctor(again)
    subprocess.run(["mount", "-o", "remount,size=100m", str(tiny_disk)], check=True)
    run(again, "dvc", "pull")
    assert whole(again / "made" / "many")
    doctor(again, "--fix")
    (again / ".dvc" / "cache").unlink()
    shutil.copytree(tiny_disk, again / ".dvc" / "cache", symlinks=True)
    well(again)


def test_a_disk_that_fills_during_a_stage_is_told_in_a_sentence(
    project: Path, tiny_disk: Path
) -> None:
    subprocess.run(["mount", "-o", "remount,size=32k", str(tiny_disk)], check=True)
    shutil.rmtree(project / "data")
    (project / "data").symlink_to(tiny_disk)
    done = run(project, "python", "-m", "churn_radar.stages.ingest", check=False)
    assert done.stderr == ("ingest: the disk is full: make room, then `uv run dvc repro`.\n")
    assert list(tiny_disk.iterdir()) == [], "nothing half-written"


def damage(path: Path, cut: bool = False) -> None:
    """Change a byte of a file, or cut off its end, as a bad disk or copy would."""
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-7] if cut else content[:9] + bytes([content[9] ^ 1]) + content[10:])
    path.chmod(0o444)


def kept_at(store: Path, file: Path) -> Path:
    """Return where a cache or a remote folder has the content of a file."""
    digest = md5(file)
    return store / "files" / "md5" / digest[:2] / digest[2:]


def test_damaged_files_in_the_cache(small: Path) -> None:
    cache = small / ".dvc" / "cache"
    damage(kept_at(cache, small / "made" / "one.txt"))
    damage(kept_at(cache, small / "made" / "many" / "7"), cut=True)
    shutil.rmtree(small / "made")
    said = doctor(small)
    for name in ("one.txt", "many/7"):
        assert f"made/{name} is damaged in DVC's cache" in said
    assert "`uv run esteira doctor --fix` puts it aside; then `uv run dvc pull`" in said
    doctor(small, "--fix")
    run(small, "dvc", "pull")
    assert whole(small / "made" / "many")
    well(small)


def test_a_file_damaged_in_the_cache_and_checked_out_is_no_proof(small: Path) -> None:
    damage(small / ".dvc" / "cache" / "files" / "md5" / md5(small / "made" / "one.txt")[:2]
           / md5(small / "made" / "one.txt")[2:])  # fmt: skip
    (small / "made" / "one.txt").unlink()
    run(small, "dvc", "checkout", "--force", check=False)
    done = run(small, "esteira", "verify", "--lock", check=False)
    assert done.returncode == 0, "DVC believes a protected file in its cache"
    done = run(small, "esteira", "verify", "slow", check=False)
    assert done.returncode == 1
    assert "slow made/one.txt in this folder is not the file that dvc.lock names" in done.stderr


def test_a_damaged_file_on_the_remote(small: Path) -> None:
    kept = kept_at(remote(small), small / "made" / "one.txt")
    good = kept.read_bytes()
    damage(kept, cut=True)
    assert "made/one.txt is damaged on the remote" in doctor(small)
    kept.chmod(0o644)
    kept.write_bytes(good)
    damage(kept)
    again = clone(small)
    refused = run(again, "dvc", "pull", check=False)
    assert refused.returncode != 0, "verify = true"
    assert not (again / "made" / "one.txt").exists()
    assert "no good copy is here" in doctor(again)
    assert "made/one.txt is damaged on the remote" in doctor(small)
    doctor(small, "--fix")
    run(small, "dvc", "push")
    run(again, "dvc", "pull")
    well(again)
    well(small)


@pytest.mark.parametrize("spoil", [damage, Path.unlink], ids=["damaged", "missing"])
def test_a_file_of_a_folder_on_the_remote(small: Path, spoil: Callable[[Path], None]) -> None:
    """Where the remote has the list of a folder, `dvc push` takes the folder for whole."""
    for name in ("8", "9"):  # their folder's list is taken away for both
        spoil(kept_at(remote(small), small / "made" / "many" / name))
    again = clone(small)
    assert run(again, "dvc", "pull", check=False).returncode != 0
    said = doctor(small)
    assert "made/many/8" in said
    assert said.startswith("Next: `uv run esteira doctor --fix` takes")
    doctor(small, "--fix")
    run(small, "dvc", "push")
    run(again, "dvc", "pull")
    assert whole(again / "made" / "many")
    well(again)
    well(small)


def test_two_repros_at_once(small: Path) -> None:
    (small / "pace.txt").write_text("0.2")
    with started(small, "dvc", "repro") as first:
        until(lambda: any((small / "made").glob(".*.tmp")), first)
        second = run(small, "dvc", "repro", check=False)
        assert second.returncode != 0
        assert "is busy, it is being blocked by" in second.stdout + second.stderr
        assert "is at work here" in doctor(small)
        check = run(small, "esteira", "verify", "--lock", check=False)
        assert check.returncode == 2
        assert check.stderr == (
            "esteira: another DVC command is at work in this folder: wait for it, or end it, and "
            "run this again (`uv run esteira doctor` says which).\n"
        )
    run(small, "git", "checkout", "--quiet", ".")
    doctor(small, "--fix")
    run(small, "dvc", "repro")
    well(small)


def test_a_damaged_list_of_busy_files(small: Path) -> None:
    holder = '{"write": {"made/one.txt": {"pid": 1, "cmd": "dvc repro"}}}'
    (small / "pace.txt").write_text("0.0")
    for left in ('{"write": {', "[]", holder.replace("made/", f"{small}/made/")):
        (small / ".dvc" / "tmp" / "rwlock").write_text(left)
        assert run(small, "dvc", "repro", check=False).returncode != 0
        assert "`uv run esteira doctor --fix` puts it aside" in doctor(small)
        doctor(small, "--fix")
    (small / "pace.txt").write_text("0")
    run(small, "dvc", "repro")
    well(small)


FORGED = """
stages:
  score:
    cmd: python score.py
    deps: [score.py]
    params: [score]
    outs:
    - score.txt: {cache: false}
"""


@pytest.fixture(scope="session")
def branched(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project whose branches `one` and `two` leave the metric, and together change it."""
    small = tmp_path_factory.mktemp("branched") / "squad" / many.name
    shutil.copytree(many.parent, small.parent, symlinks=True)
    (small / "dvc.yaml").write_text(FORGED)
    (small / "score.py").write_text(
        "from ruamel.yaml import YAML\np = YAML(typ='safe').load(open('params.yaml'))['score']\n"
        "open('score.txt', 'w').write('high\\n' if p['a'] + p['z'] > 3 else 'low\\n')\n"
    )
    lines = {"a": 1, "m": 0, "n": 0, "o": 0, "p": 0, "q": 0, "z": 1}
    text = "score:\n" + "".join(f"  {name}: {value}\n" for name, value in lines.items())
    (small / "dvc.lock").unlink()

    def commit(message: str) -> None:
        run(small, "dvc", "repro")
        run(small, "esteira", "record")
        run(small, "git", "add", "--all")
        run(small, "git", "commit", "--quiet", "-m", message)

    (small / "params.yaml").write_text(text)
    commit("Score")
    for branch, name in (("one", "a"), ("two", "z")):
        run(small, "git", "checkout", "--quiet", "-b", branch, "main")
        (small / "params.yaml").write_text(text.replace(f"{name}: 1", f"{name}: 2"))
        commit(branch)
        assert (small / "score.txt").read_text() == "low\n"
    run(small, "git", "checkout", "--quiet", "one")
    return small


@pytest.fixture
def two_branches(branched: Path, tmp_path: Path) -> Path:
    """Return a copy of the project with two branches."""
    shutil.copytree(branched.parent, tmp_path / "squad", symlinks=True)
    return tmp_path / "squad" / branched.name


def test_a_merge_of_two_locks_is_a_conflict_that_resolve_lock_resolves(two_branches: Path) -> None:
    project = two_branches
    merged = run(project, "git", "merge", "--no-edit", "two", check=False)
    assert merged.returncode != 0
    assert next_step(project) == "`uv run esteira resolve-lock`"
    run(project, "esteira", "resolve-lock")
    assert (project / "score.txt").read_text() == "high\n"
    assert next_step(project) == "`git merge --continue`"
    assert "a merge is not finished" in doctor(project)
    run(project, "git", "merge", "--continue", env={"GIT_EDITOR": "true"})
    run(project, "esteira", "verify")
    well(project)
    again = run(project, "esteira", "resolve-lock", check=False)
    assert "dvc.lock is not in conflict" in again.stderr
    assert again.returncode == 2


def test_resolve_lock_wants_the_settings_resolved_first(two_branches: Path) -> None:
    project = two_branches
    settings = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(settings.replace("z: 1", "z: 9"))
    run(project, "dvc", "repro")
    run(project, "git", "commit", "--quiet", "--all", "-m", "Another z")
    run(project, "git", "merge", "--no-edit", "two", check=False)
    refused = run(project, "esteira", "resolve-lock", check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("esteira: first resolve params.yaml (edit, `git add`)")
    (project / "params.yaml").write_text(settings.replace("z: 1", "z: 2"))
    run(project, "git", "add", "params.yaml")
    run(project, "esteira", "resolve-lock")
    run(project, "git", "commit", "--quiet", "--no-edit")
    run(project, "esteira", "verify")
    well(project)


def test_a_lock_forged_by_a_clean_merge_is_found_by_execution_only(two_branches: Path) -> None:
    """What `dvc.lock -merge` in .gitattributes prevents."""
    project = two_branches
    for branch in ("two", "one"):
        run(project, "git", "checkout", "--quiet", branch)
        (project / ".gitattributes").write_text("")
        (project / "environment.json").unlink()
        run(project, "git", "commit", "--quiet", "--all", "-m", "Merge locks line by line")
    run(project, "git", "merge", "--no-edit", "two")
    assert run(project, "esteira", "verify", "--lock").returncode == 0, "DVC is deceived"
    found = run(project, "esteira", "verify", check=False)
    assert found.returncode == 1
    assert "score score.txt comes out otherwise than dvc.lock says" in found.stderr
    assert "put `dvc.lock -merge` into .gitattributes" in doctor(project)


def next_step(project: Path) -> str:
    """Return what `esteira doctor` says first, without the word `Next`."""
    first, *_ = doctor(project).splitlines()
    return first.removeprefix("Next: ").removesuffix(".")


@pytest.mark.parametrize("stage", ["split", "train"])
def test_a_stage_stopped_by_ctrl_c_is_no_traceback(project: Path, stage: str) -> None:
    with started(project, "dvc", "repro", "--force", "--single-item", stage, log=True) as repro:
        until(lambda: is_at_work(project, stage), repro)
        os.killpg(repro.pid, signal.SIGINT)
        repro.wait(60)
        said = repro.stdout.read()
    assert "Traceback" not in said, said
    assert repro.returncode != 0
    assert next_step(project) == "`uv run dvc repro`"
    run(project, "dvc", "repro")
    unchanged(project)


def test_a_command_stopped_by_ctrl_c_is_no_traceback(project: Path) -> None:
    with started(project, "esteira", "verify", "ingest", log=True) as verify:
        until(lambda: stage_process(None, "ingest") is not None, verify)
        os.killpg(verify.pid, signal.SIGINT)
        verify.wait(60)
        said = verify.stdout.read()
    assert "Traceback" not in said
    assert verify.returncode not in (0, 1)
    unchanged(project)


def test_on_another_branch_only_the_data_is_to_be_changed(small: Path) -> None:
    run(small, "git", "checkout", "--quiet", "-b", "new")
    (small / "many.py").write_text((small / "many.py").read_text().replace("str(i)", "str(i + 1)"))
    run(small, "dvc", "repro")
    run(small, "esteira", "record")
    run(small, "git", "commit", "--quiet", "--all", "-m", "Count from one")
    run(small, "git", "checkout", "--quiet", "main")
    assert next_step(small) == "`uv run dvc checkout`"
    assert "made/many of another commit, not of this one's dvc.lock" in doctor(small)
    run(small, "dvc", "checkout")
    well(small)
    (small / "made" / "many" / "7").unlink()
    (small / "made" / "many" / "7").write_text("mine")
    assert next_step(small) == "`uv run dvc repro`", "it is no commit's"


def test_a_lost_cache_is_seen(small: Path) -> None:
    shutil.rmtree(small / ".dvc" / "cache")
    assert "DVC's cache has lost made/one.txt, made/many" in doctor(small)
    assert next_step(small).startswith("`uv run dvc fetch`")
    run(small, "dvc", "fetch")
    well(small)


@pytest.mark.parametrize("command", ["rebase", "cherry-pick"])
def test_the_next_step_in_the_middle_of_gits_work(two_branches: Path, command: str) -> None:
    project = two_branches
    merged = run(project, "git", command, "two", check=False, env={"GIT_EDITOR": "true"})
    assert merged.returncode != 0
    assert next_step(project) == "`uv run esteira resolve-lock`"
    run(project, "esteira", "resolve-lock")
    assert next_step(project) == f"`git {command} --continue`"
    assert f"a {command} is not finished" in doctor(project)
    run(project, "git", command, "--continue", env={"GIT_EDITOR": "true"})
    assert run(project, "git", "status", "--porcelain").stdout == ""


KILLED = """
import os, signal
from pathlib import Path
from esteira.line.files import transaction
with transaction(["params.yaml", "schema.yaml"], "adopt"):
    Path("params.yaml").write_text("half: done")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(project: Path) -> bytes:
    """Kill a command that changes many files; return params.yaml as it was."""
    before = (project / "params.yaml").read_bytes()
    assert run(project, "python", "-c", KILLED, check=False).returncode == -signal.SIGKILL
    assert (project / "params.yaml").read_bytes() == b"half: done"
    return before


def test_a_command_killed_between_two_files_is_undone_by_the_next(project: Path) -> None:
    before = killed(project)
    stage = run(project, "python", "-m", "esteira.line", "ingest", check=False)
    assert stage.returncode == 1
    assert stage.stderr == (
        "ingest: `esteira adopt` was killed halfway: `uv run esteira doctor --fix` puts its files "
        "back.\n"
    )
    assert next_step(project).startswith("`uv run esteira doctor --fix`")
    assert (project / "params.yaml").read_bytes() == b"half: done", "doctor asks first"
    doctor(project, "--fix")
    assert (project / "params.yaml").read_bytes() == before
    killed(project)
    done = run(project, "esteira", "verify", "--lock")
    assert done.stderr == (
        "esteira: `adopt` was killed halfway; its files are as they were before it.\n"
    )
    assert (project / "params.yaml").read_bytes() == before
    (project / "data" / ".before-adopt.tmp").mkdir()
    assert "`esteira adopt` was killed halfway" in doctor(project)
    doctor(project, "--fix")
    assert not list((project / "data").glob(".*"))
    unchanged(project)


@pytest.fixture
def read_only(small: Path) -> Iterator[Path]:
    """Return the small project on a file system that cannot be written."""
    if subprocess.run(["mount", "--bind", small, small], capture_output=True).returncode:
        pytest.skip("this user may not mount a folder")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(small)], check=True)
    yield small
    subprocess.run(["umount", "--lazy", str(small)], check=True)


COMMANDS = [
    ("verify", "--lock"),
    ("verify", "slow"),
    ("verify", "--lock", "--json", "found.json"),
    ("record",),
    ("doctor",),
    ("drill",),
    ("resolve-lock",),
    ("drift", "pace.txt", "pace.txt", "--out", "drift"),
]


def test_a_read_only_project_is_told_in_a_sentence(read_only: Path) -> None:
    for command in COMMANDS:
        done = run(read_only, "esteira", *command, check=False)
        assert "Traceback" not in done.stderr, f"{command}: {done.stderr}"
        assert done.returncode in (0, 1, 2), command
        assert "".join(done.stdout + done.stderr).strip()
    refused = run(read_only, "esteira", "verify", "--lock", "--json", "found.json", check=False)
    assert refused.returncode == 2
    assert "cannot be read or written (Read-only file system): mend the rights" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_full_disk_under_a_command_is_told_in_a_sentence(project: Path, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16k", str(tiny_disk)], check=True)
    current = str(project / "data" / "current.parquet")
    done = run(
        project, "esteira", "drift", "models/reference.json", current, "--out", str(tiny_disk),
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "esteira: the disk is full: make room, then run this again.\n"


class Faulty(BaseHTTPRequestHandler):
    """An S3 server that forwards to a good one, until it is told to refuse or to hang."""

    protocol_version = "HTTP/1.1"
    behind: int  # port of the good one
    allowed: int | None = None  # requests that it will still answer; None is all of them
    pause: float = 0  # seconds before each answer

    def answer(self) -> None:
        kind = type(self)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(kind.pause)
        if kind.allowed is not None:
            kind.allowed -= 1
        if kind.allowed is not None and kind.allowed < 0:
            status, headers = 403, {}
            body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        else:
            good = http.client.HTTPConnection("127.0.0.1", kind.behind)
            good.request(self.command, self.path, body, dict(self.headers))
            got = good.getresponse()
            status, headers, body = got.status, dict(got.getheaders()), got.read()
            good.close()
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        size = headers.get("Content-Length", "0") if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def s3(small: Path) -> Iterator[tuple[Path, type[Faulty], ThreadingHTTPServer]]:
    """Return the small project with an empty bucket as its remote, and the server to spoil."""
    good = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    good.start()
    kind = type("Faulty", (Faulty,), {"behind": good.get_host_and_port()[1]})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bucket = f"squad-{server.server_port}"
    connection = http.client.HTTPConnection("127.0.0.1", kind.behind)
    connection.request("PUT", f"/{bucket}")
    assert connection.getresponse().status == 200
    url = f"http://127.0.0.1:{server.server_port}"
    run(small, "dvc", "remote", "modify", "storage", "url", f"s3://{bucket}/dvc")
    run(small, "dvc", "remote", "modify", "storage", "endpointurl", url)
    run(small, "git", "commit", "--quiet", "--all", "-m", "Use a bucket")
    yield small, kind, server
    server.shutdown()
    server.server_close()
    good.stop()


KEYS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every command the keys of the bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("keys")
def test_a_remote_that_refuses_in_the_middle_of_push_and_pull(s3: tuple) -> None:
    project, server, _ = s3
    server.allowed = FILES // 2
    failed = run(project, "dvc", "push", check=False)
    assert failed.returncode != 0
    server.allowed = None
    done = run(project, "esteira", "verify", "--pushed", check=False)
    assert done.returncode == 1
    assert "not on the remote: made/many" in done.stderr
    assert "`uv run dvc push`" in doctor(project)
    run(project, "dvc", "push")
    run(project, "esteira", "verify", "--pushed")
    again = clone(project)
    server.allowed = FILES // 2
    assert run(again, "dvc", "pull", check=False).returncode != 0
    done = run(again, "esteira", "verify", "--pushed", check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "may not list" in done.stderr
    server.allowed = None
    run(again, "dvc", "pull")
    assert whole(again / "made" / "many")
    well(again)


@pytest.mark.usefixtures("keys")
def test_a_slow_remote_a_hanging_one_and_none(s3: tuple) -> None:
    project, server, listening = s3
    shutil.rmtree(project / "made" / "many")
    (project / "many.py").write_text("import os; os.makedirs('made/many')\n")
    (project / "dvc.yaml").write_text((project / "dvc.yaml").read_text().split("  many:")[0])
    run(project, "dvc", "repro")
    server.pause = 0.3
    run(project, "dvc", "push")
    run(project, "esteira", "verify", "--pushed")
    server.pause = 20
    began = time.monotonic()
    done = run(project, "esteira", "verify", "--pushed", check=False)
    assert done.returncode == 2
    assert "no S3 server answers at http://127.0.0.1" in done.stderr
    assert "no S3 server answers" in doctor(project)
    listening.shutdown()
    listening.server_close()
    done = run(project, "esteira", "verify", "--pushed", check=False)
    assert done.returncode == 2
    assert "http://127.0.0.1" in done.stderr
    assert "connect" in done.stderr
    assert time.monotonic() - began < 60, "DVC alone would have taken minutes"
    run(project, "esteira", "verify", "--lock")


@pytest.mark.usefixtures("keys")
def test_a_truncated_object_in_a_bucket(s3: tuple) -> None:
    project, server, _ = s3
    run(project, "dvc", "push")
    digest = md5(project / "made" / "one.txt")
    bucket = run(project, "dvc", "remote", "list").stdout.split()[1].split("/")[2]
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.behind}")
    key = f"dvc/files/md5/{digest[:2]}/{digest[2:]}"
    assert client.head_object(Bucket=bucket, Key=key)["ContentLength"] > 4
    client.put_object(Bucket=bucket, Key=key, Body=b"0\n1\n")
    again = clone(project)
    assert run(again, "dvc", "pull", check=False).returncode != 0
    assert not (again / "made" / "one.txt").exists()
    assert "made/one.txt is damaged on the remote" in doctor(project)
    doctor(project, "--fix")
    run(project, "dvc", "push")
    run(again, "dvc", "pull")
    well(again)
