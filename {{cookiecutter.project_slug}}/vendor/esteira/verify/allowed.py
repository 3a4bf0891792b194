"""What every stage may see beside its deps: folders of Python and the system, a few variables."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

# Programs, libraries, and what describes the machine.
LINUX = (
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/nix", "/etc"),
    *("/dev", "/proc", "/sys"),
)
MAC = ("/bin", "/sbin", "/usr", "/opt", "/etc", "/dev", "/var", "/Library", "/System")
WINDOWS = (os.environ.get("SYSTEMROOT", "C:\\Windows"),)
SYSTEMS = {"linux": LINUX, "win32": WINDOWS}

# By Windows, to start anything.
NEEDED = ("SYSTEMROOT", "WINDIR", "COMSPEC", "PATHEXT")
# These are set for each execution, so what the caller's say is no secret.
SET_ANEW = ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")


class Limits:
    """What the stages of the project at `root` may read.

    `passed_on` names the variables of this environment that they see.
    """

    def __init__(self, root: Path, passed_on: Iterable[str]) -> None:
        self.folders = readable_folders(root)
        self.variables = self._clean_environment(passed_on)

    def allow(self, path: str | Path) -> bool:
        """Whether a path lies in a folder that every stage may read."""
        return any(Path(path).is_relative_to(folder) for folder in self.folders)

    def hidden_variables(self) -> set[str]:
        """Return the variables that are set here and that a stage does not see."""
        return set(os.environ) - set(self.variables) - set(SET_ANEW)

    def shell(self) -> list[str]:
        """Return the words that let the shell, the one that DVC would take, run a command."""
        if os.name == "nt":
            return ["cmd", "/c"]
        chosen = os.environ.get("SHELL", "")
        return [chosen if chosen and self.allow(chosen) else "/bin/sh", "-c"]

    def _clean_environment(self, passed_on: Iterable[str]) -> dict[str, str]:
        names = [name for name in (*NEEDED, *passed_on) if name in os.environ]
        variables = {name: os.environ[name] for name in names}
        programs = [str(Path(sys.executable).parent), *self._allowed_entries("PATH")]
        variables["PATH"] = os.pathsep.join(programs)
        libraries = self._allowed_entries("LD_LIBRARY_PATH")
        if libraries:
            variables["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
        return variables

    def _allowed_entries(self, name: str) -> list[str]:
        """Return the entries of a variable of folders that a stage may read."""
        entries = os.environ.get(name, "").split(os.pathsep)
        return [entry for entry in entries if entry and self.allow(entry)]


def readable_folders(root: Path) -> list[str]:
    """Return the folders that every stage may read: Python's and the system's, `root` never."""
    folders = {Path(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    folders |= {Path(path) for path in SYSTEMS.get(sys.platform, MAC)}
    folders |= {folder.resolve() for folder in folders}
    return sorted({str(part) for folder in folders for part in _all_but(root, folder)})


def _all_but(root: Path, folder: Path) -> Iterator[Path]:
    """Yield a folder, or where `root` lies in it, all else that it holds."""
    if not root.is_relative_to(folder):
        yield folder
    elif root != folder:
        for child in folder.iterdir():
            yield from _all_but(root, child)
