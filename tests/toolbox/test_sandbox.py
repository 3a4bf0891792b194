"""A stage sees only what it declares, and what it does beside that is told."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from esteira.repository.dvc import Entry, Stage
from esteira.verify import allowed, compare, confine, explain
from esteira.verify.sandbox import Sandbox

needs_landlock = pytest.mark.skipif(not confine.version(), reason="the kernel has no Landlock")
STAGE = """
import ctypes, os, socket, subprocess, sys
from contextlib import suppress
from pathlib import Path
value = Path("data/given.txt").read_text().upper()
{work}
Path("made").mkdir(exist_ok=True)
Path("made/one.txt").write_text(str(value))
"""
COMMAND = f"{sys.executable} -m squad.work"
OTHERWISE = "made/one.txt comes out otherwise than dvc.lock says"


class Project:
    """A project of one stage, which stands beside a folder and a home that it does not declare."""

    def __init__(self, folder: Path) -> None:
        self.root, self.outside, self.home = (folder / n for n in ("squad", "outside", "home"))
        for path in (self.root / "data", self.root / "src" / "squad", self.outside, self.home):
            path.mkdir(parents=True)
        (folder / "scratch").mkdir()
        (self.root / "data" / "given.txt").write_text("ana\n")
        (self.root / "data" / "more.txt").write_text("more")
        (self.outside / "far.txt").write_text("far")
        (self.home / ".config").mkdir()
        (self.home / ".config" / "squad.ini").write_text("shift = 1")

    def fill(self, text: str) -> str:
        return text.replace("OUTSIDE", str(self.outside)).replace("ROOT", str(self.root))

    def check(
        self, work: str, command: str = COMMAND, passed_on: tuple = (), landlock: int | None = None
    ) -> list[str]:
        """Return the faults of a stage whose lock was made where it could do everything."""
        code = STAGE.format(work=self.fill(work))
        (self.root / "src" / "squad" / "work.py").write_text(code)
        command = self.fill(command)
        here = os.environ | {"PYTHONPATH": "src"}
        subprocess.run(["/bin/sh", "-c", command], cwd=self.root, env=here, check=True)
        for made in self.outside.glob("new*"):
            made.rmdir() if made.is_dir() else made.unlink()
        scratch = self.root.parent / "scratch"
        sandbox = Sandbox(self.root, scratch, lambda _: True, passed_on, landlock)

        def entry(path: str) -> Entry:
            return Entry(path, sandbox.content(self.root, path).hash, cached=False)

        stage = Stage(
            name="work",
            commands=[command],
            folder=".",
            deps=[entry("data/given.txt"), entry("src/squad/work.py")],
            outs=[entry("made/one.txt")],
            settings={},
        )
        result = compare.check(sandbox, stage, elsewhere=False)
        self.verdicts = [output.verdict for output in result.outputs]
        return explain.faults(result)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    monkeypatch.setenv("HOME", str(project.home))
    monkeypatch.setenv("SHIFT", "one")
    return project


def test_a_stage_without_sin_is_proven(project: Project) -> None:
    work = """
import json, tempfile, multiprocessing.synchronize
with tempfile.NamedTemporaryFile() as file: file.write(b"x")
multiprocessing.Lock()
Path.home().joinpath(".cache").mkdir(); Path.home().joinpath(".cache/fonts").write_text("x")
subprocess.run(["ls", "/usr"], check=True, stdout=subprocess.DEVNULL)
assert Path("/etc/passwd").read_text() and Path(json.__file__).read_text()
"""
    assert project.check(work) == []
    assert project.verdicts == ["identical"]


# What it does beside its deps, however: what must be told.
SINS = {
    "reads by an absolute path": (
        "value += Path('OUTSIDE/far.txt').read_text()",
        ["reads OUTSIDE/far.txt, which is not among its `deps`."],
    ),
    "reads what it was given, but by the project's own path": (
        "value += Path('ROOT/data/given.txt').read_text()",
        ["reads ROOT/data/given.txt, which is not among its `deps`."],
    ),
    "reads a file of the project by its path": (
        "value += Path('ROOT/data/more.txt').read_text()",
        ["reads data/more.txt, which is not among its `deps`."],
    ),
    "reads, and does without": (
        "with suppress(OSError): value += Path('OUTSIDE/far.txt').read_text()",
        ["reads OUTSIDE/far.txt, which is not among its `deps`."],
    ),
    "lists a folder": (
        "value += str(sorted(os.listdir('OUTSIDE')))",
        ["reads OUTSIDE, which is not among its `deps`."],
    ),
    "looks for a file": (
        "value += str(Path('OUTSIDE/far.txt').exists())",
        ["looks for OUTSIDE/far.txt, which is not among its `deps`."],
    ),
    "reads a setting in the home": (
        "value += Path('~/.config/squad.ini').expanduser().read_text()",
        ["looks for ~/.config/squad.ini, which is not among its `deps`."],
    ),
    "reads a setting in the home, and does without": (
        "with suppress(OSError): value += Path('~/.config/squad.ini').expanduser().read_text()",
        ["looks for ~/.config/squad.ini, which is not among its `deps`.", OTHERWISE],
    ),
    "reads a variable": (
        "value += os.environ['SHIFT']",
        ["reads the environment variable SHIFT, which pyproject.toml does not pass on"],
    ),
    "reads a variable, and does without": (
        "value += os.environ.get('SHIFT', '')",
        ["reads the environment variable SHIFT, which pyproject.toml does not pass on"],
    ),
    "imports from a folder on its path": (
        "sys.path.insert(0, 'OUTSIDE')\nwith suppress(ImportError):\n    import helper",
        ["reads OUTSIDE"],
    ),
    "writes into a folder that all share": (
        "with suppress(OSError): Path('OUTSIDE/note.txt').write_text('x')",
        ["writes OUTSIDE/note.txt, which is not among its `outs`."],
    ),
    "makes a folder elsewhere": (
        "with suppress(OSError): Path('OUTSIDE/new').mkdir()",
        ["writes OUTSIDE/new, which is not among its `outs`."],
    ),
    "writes into its home": (
        "Path.home().joinpath('note.txt').write_text('x')",
        ["writes ~/note.txt, which is not among its `outs`."],
    ),
    "asks the network": (
        "with suppress(OSError): socket.create_connection(('127.0.0.1', PORT))",
        ["asks the network for 127.0.0.1:PORT: no stage may."],
    ),
}


@pytest.mark.parametrize("landlock", [0, confine.version()], ids=["observed", "confined"])
@pytest.mark.parametrize("sin", SINS)
def test_a_sin_is_told_whether_confined_or_observed(
    project: Project, sin: str, landlock: int
) -> None:
    work, sentences = SINS[sin]
    (project.outside / "helper.py").write_text("SHIFT = 1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        found = project.check(work.replace("PORT", port), landlock=landlock)
    assert len(found) <= len(sentences) + 1, "one cause, one or two sentences"
    for sentence in sentences:
        expected = project.fill(sentence).replace("PORT", port)
        assert any(expected in fault for fault in found), f"{expected!r} is not in {found}"


# What no observer in Python sees.
UNSEEN = {
    "a library in C++": (
        "import pyarrow\nvalue += pyarrow.OSFile('OUTSIDE/far.txt').read().decode()",
        "OUTSIDE/far.txt",
    ),
    "a library in C": (
        "libc = ctypes.CDLL(None); libc.fopen.restype = ctypes.c_void_p\n"
        "value += str(bool(libc.fopen(b'OUTSIDE/far.txt', b'r')))",
        "names OUTSIDE/far.txt, which is not among its `deps`.",
    ),
    "a program": (
        "value += str(subprocess.run(['cat', 'OUTSIDE/far.txt'], capture_output=True).stdout)",
        "names OUTSIDE/far.txt, which is not among its `deps`.",
    ),
    "a child with an empty environment": (
        "value += subprocess.run([sys.executable, '-c', 'print(open(\"OUTSIDE/far.txt\").read())'],"
        " env={}, capture_output=True, text=True).stdout",
        "names OUTSIDE/far.txt, which is not among its `deps`.",
    ),
    "a child that writes": (
        "value += str(subprocess.run(['touch', 'OUTSIDE/new.txt'], env={}).returncode)",
        OTHERWISE,
    ),
    "a child that asks the network": (
        "value += str(subprocess.run([sys.executable, '-c', 'import socket; "
        'socket.create_connection(("127.0.0.1", PORT))\'], env={}).returncode)',
        OTHERWISE,
    ),
}


@needs_landlock
@pytest.mark.parametrize("sin", UNSEEN)
def test_what_python_does_not_see_the_kernel_refuses(project: Project, sin: str) -> None:
    work, sentence = UNSEEN[sin]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        found = project.check(work.replace("PORT", port))
    expected = project.fill(sentence)
    assert any(expected in fault for fault in found), f"{expected!r} is not in {found}"
    assert project.verdicts == ["differs"]


@needs_landlock
@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (f"cat OUTSIDE/far.txt && {COMMAND}", "cat: OUTSIDE/far.txt: Permission denied"),
        (
            f"{COMMAND} && (cat OUTSIDE/far.txt >> made/one.txt || true)",
            "names OUTSIDE/far.txt, which is not among its `deps`.",
        ),
        (
            f"{COMMAND} && (cat ~/.config/squad.ini >> made/one.txt || true)",
            "names ~/.config/squad.ini, which is not among its `deps`.",
        ),
        (f"{COMMAND} && echo $SHIFT >> made/one.txt", "reads the environment variable SHIFT"),
    ],
)
def test_a_command_of_the_shell(project: Project, command: str, sentence: str) -> None:
    found = project.check("", command=command)
    assert any(project.fill(sentence) in fault for fault in found), found


def test_a_variable_that_does_not_matter_is_not_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLOUR", "blue")
    found = project.check("os.environ.get('COLOUR'); value += os.environ['SHIFT']")
    assert any("environment variable SHIFT" in fault for fault in found)
    assert not any("COLOUR" in fault for fault in found)


def test_a_variable_that_is_passed_on_may_be_read(project: Project) -> None:
    assert project.check("value += os.environ['SHIFT']", passed_on=("SHIFT", "ABSENT")) == []


def test_a_project_among_the_systems_folders_is_hidden_all_the_same(tmp_path: Path) -> None:
    for name in ("apps/squad", "apps/other", "lib"):
        (tmp_path / name).mkdir(parents=True)
    root = tmp_path / "apps" / "squad"
    assert not any(root.is_relative_to(folder) for folder in allowed.readable_folders(root))
    shown = {str(path) for path in allowed._all_but(root, tmp_path)}
    assert shown == {str(tmp_path / "apps" / "other"), str(tmp_path / "lib")}
