"""Watch a stage from inside its own processes. `sandbox` installs this file as `sitecustomize`.

Notes what a stage reads, looks for, writes, imports or asks for although it was not given it, one
JSON line each. Sees what Python does; where the kernel confines the stage, what others do (a
library in C++, a child without Python) is refused all the same.
"""

# It observes pathlib too.
# ruff: noqa: PTH100, PTH118, PTH120, SIM114

import json
import os
import sys
from typing import Any

GIVEN = json.loads(os.environ["ESTEIRA_OBSERVE"])
PROJECT, FOLDER, NOTES = GIVEN["project"], GIVEN["folder"], GIVEN["notes"]
HOME, TRUE_HOME = GIVEN["home"], GIVEN["true_home"]
READABLE = tuple(GIVEN["readable"])  # Python's own and the system's
VARIABLES = frozenset(GIVEN["variables"]) - frozenset(os.environ)  # set, and not passed on
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
noted = set()


def under(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or inside it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def note(kind: str, what: str) -> None:
    """Write one observation, once."""
    if (kind, what) in noted:
        return
    noted.add((kind, what))
    line = json.dumps([kind, what]) + "\n"
    descriptor = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def note_path(kind: str, path: str) -> None:
    """Write one observation of a path, as it is written everywhere."""
    note(kind, path.replace(os.sep, "/"))


def observe(kind: str, path: Any) -> None:
    """Note `path` unless the stage was given it, or it belongs to Python or to the system."""
    if isinstance(path, int) or path is None:
        return
    path = os.path.abspath(os.fsdecode(path))
    if path == NOTES or path.endswith(".pyc"):
        return
    if under(path, FOLDER):
        inside = os.path.relpath(path, FOLDER)
        if kind != "write" and missing(path) and isfile(os.path.join(PROJECT, inside)):
            note_path(kind, inside)
    elif under(path, HOME):
        inside = os.path.relpath(path, HOME)
        if kind != "write" and missing(path) and isfile(os.path.join(TRUE_HOME, inside)):
            note_path("look", f"~/{inside}")
    elif any(under(path, folder) for folder in READABLE):
        if kind == "write" and not path.startswith(("/dev/", "/proc/")):
            note_path(kind, path)
    elif under(path, PROJECT):
        note_path(kind, os.path.relpath(path, PROJECT))
    elif kind == "write" or (isfile(path) if kind == "look" else not missing(path)):
        note_path(kind, path)


def hook(event: str, args: tuple) -> None:
    """Python's audit hook (PEP 578): called before a file is opened, a folder listed, and so on."""
    if event == "open":
        path, mode, flags = args
        wrote = isinstance(mode, str) and any(c in mode for c in "wax+")
        observe("write" if wrote or (flags or 0) & WRITING else "read", path)
    elif event in ("os.listdir", "os.scandir", "sqlite3.connect"):
        observe("read", args[0])
    elif event in ("os.remove", "os.rmdir", "os.truncate"):
        observe("write", args[0])
    elif event == "os.mkdir" and missing(args[0]):  # or it is only made sure of
        observe("write", args[0])
    elif event == "os.rename":
        observe("write", args[0])
        observe("write", args[1])
    elif event == "socket.getaddrinfo" and args[0]:
        note("network", address(args[0], args[1]))
    elif event in ("socket.connect", "socket.sendto") and isinstance(args[1], tuple):
        note("network", address(*args[1][:2]))
    elif event == "socket.gethostbyname":
        note("network", address(args[0], None))


def address(host: Any, port: Any) -> str:
    """Return a host, and its port where there is one, as text."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
    return f"{name}:{port}" if port else name


class Finder:
    """Notes imports of modules that the stage was not given; finds none itself."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Look whether only the project, or only a folder outside, has module `name`."""
        start = name.replace(".", os.sep)
        files = (f"{start}.py", os.path.join(start, "__init__.py"))
        places = [os.path.join(source, file) for source in sources for file in files]
        if any(isfile(os.path.join(FOLDER, place)) for place in places):
            return
        there = [place for place in places if isfile(os.path.join(PROJECT, place))]
        far = [os.path.join(folder, file) for folder in elsewhere for file in files]
        for place in there or [place for place in far if isfile(place)]:
            note_path("import", place)


def move_imports() -> tuple[list[str], list[str]]:
    """Make sys.path name the stage's folder where it named the project's, and nothing else outside.

    Returns the folders of the project, relative to it, and those that were taken away.
    """
    moved, away, kept = [], [], []
    for entry in sys.path:
        path = os.path.abspath(entry or os.curdir)
        if path == os.path.dirname(__file__):
            continue
        if any(under(path, folder) for folder in (*READABLE, FOLDER)):
            kept.append(path)
        elif under(path, PROJECT):
            inside = os.path.relpath(path, PROJECT)
            moved.append(inside)
            kept.append(os.path.normpath(os.path.join(FOLDER, inside)))
        else:
            away.append(path)
    sys.path[:] = dict.fromkeys(kept)
    return moved, away


def watch_stat() -> None:
    """Note also the files that are only looked for, such as by `Path.exists`."""
    original = os.stat

    def stat(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if "dir_fd" not in options:
            observe("look", path)
        return original(path, *args, **options)

    for known in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if original in known:
            known.add(stat)
    os.stat = stat


def watch_variables() -> None:
    """Note the environment variables that are asked for, and were not passed on."""
    kind: Any = type(os.environ)
    original = kind.__getitem__

    def getitem(self: Any, name: Any) -> str:
        if name in VARIABLES:
            note("variable", name)
        return original(self, name)

    kind.__getitem__ = getitem


def isfile(path: str, stat: Any = os.stat) -> bool:
    """`os.path.isfile`, unobserved."""
    try:
        return (stat(path).st_mode & 0o170000) == 0o100000
    except OSError:
        return False


def missing(path: str, lstat: Any = os.lstat) -> bool:
    """Whether nothing stands at a path; unobserved."""
    try:
        lstat(path)
    except OSError:
        return True
    return False


sources, elsewhere = move_imports()
sources = list(dict.fromkeys([*sources, "src", "vendor", "."]))
sys.meta_path.insert(0, Finder)
watch_stat()
watch_variables()
sys.addaudithook(hook)
