"""Watch a stage from inside its own processes. `sandbox` installs this file as `sitecustomize`.

Notes every file that a stage reads, looks for, writes or imports although it was not given it, one
JSON line each. Sees what Python opens; a library that opens files in C++ by an absolute path is
not seen (by a relative one, it finds nothing).
"""

# It observes pathlib too.
# ruff: noqa: PTH100, PTH111, PTH118, PTH120

import json
import os
import sys
from typing import Any

PROJECT, FOLDER, NOTES, TEMPORARY = os.environ["ESTEIRA_OBSERVE"].split(os.pathsep)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
SYSTEM = (
    *("/bin", "/dev", "/etc", "/lib", "/lib64", "/nix", "/opt", "/proc", "/run", "/sbin", "/snap"),
    *("/sys", "/usr", "/var", "/Library", "/System", os.environ.get("SYSTEMROOT", "/usr")),
)
noted = set()


def under(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or inside it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def note(kind: str, path: str) -> None:
    """Write one observation, once."""
    if (kind, path) in noted:
        return
    noted.add((kind, path))
    line = json.dumps([kind, path.replace(os.sep, "/")]) + "\n"
    descriptor = os.open(NOTES, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def observe(kind: str, path: Any) -> None:
    """Note `path` unless the stage was given it, or it belongs to Python or to the system."""
    if isinstance(path, int) or path is None:
        return
    path = os.path.abspath(os.fsdecode(path))
    if path == NOTES or path.endswith(".pyc") or any(under(path, folder) for folder in PYTHON):
        return
    if under(path, FOLDER):
        inside = os.path.relpath(path, FOLDER)
        only_there = not os.path.lexists(path) and isfile(os.path.join(PROJECT, inside))
        if kind != "write" and only_there:
            note(kind, inside)
    elif under(path, PROJECT):
        note(kind, os.path.relpath(path, PROJECT))
    elif kind == "read" and not path.startswith(OUTSIDE) and isfile(path):
        note(kind, path)


def hook(event: str, args: tuple) -> None:
    """Python's audit hook (PEP 578): called before a file is opened or a folder listed."""
    if event == "open":
        path, mode, flags = args
        wrote = isinstance(mode, str) and any(c in mode for c in "wax+")
        observe("write" if wrote or (flags or 0) & WRITING else "read", path)
    elif event in ("os.listdir", "os.scandir", "sqlite3.connect"):
        observe("read", args[0])


class Finder:
    """Notes imports of the project's modules that the stage was not given; finds none itself."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Look whether only the project has module `name`."""
        for source in sources:
            for end in (".py", "/__init__.py"):
                file = os.path.join(source, *name.split(".")) + end
                given = isfile(os.path.join(FOLDER, file))
                if not given and isfile(os.path.join(PROJECT, file)):
                    note("import", file)


def move_imports() -> list[str]:
    """Make sys.path name the stage's folder where it named the project's; return what was moved."""
    moved = []
    for i, entry in enumerate(sys.path):
        path = os.path.abspath(entry or os.curdir)
        if under(path, PROJECT) and not any(under(path, folder) for folder in PYTHON):
            inside = os.path.relpath(path, PROJECT)
            sys.path[i] = os.path.normpath(os.path.join(FOLDER, inside))
            moved.append(inside)
    sys.path[:] = [p for p in dict.fromkeys(sys.path) if p != os.path.dirname(__file__)]
    return moved


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


def isfile(path: str, stat: Any = os.stat) -> bool:
    """`os.path.isfile`, unobserved."""
    try:
        return (stat(path).st_mode & 0o170000) == 0o100000
    except OSError:
        return False


PYTHON = {os.path.abspath(p) for p in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
PYTHON |= {os.path.realpath(p) for p in PYTHON}
sources = [*dict.fromkeys(move_imports()), "."]
FOREIGN = {*SYSTEM, TEMPORARY, *(os.path.abspath(p) for p in sys.path if p)}
OUTSIDE = (*(folder + os.sep for folder in FOREIGN), os.path.expanduser("~") + os.sep + ".")
sys.meta_path.insert(0, Finder)
watch_stat()
sys.addaudithook(hook)
