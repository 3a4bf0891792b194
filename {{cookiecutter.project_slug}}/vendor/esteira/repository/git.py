"""Git, run from the project's folder, which may lie anywhere in its repository.

Paths are asked for with `-z`: without it Git quotes names that hold accents, quotes or line ends.
They are relative to the project's folder, as is `path_at`'s argument.
"""

import subprocess
from pathlib import Path

from esteira.line.errors import UserError


def _run(*words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *words], capture_output=True)
    except FileNotFoundError:
        raise UserError("git is not installed: install it, and run this again.") from None


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "surrogateescape")


def run(*words: str) -> str:
    """Run Git and return what it prints. Raises UserError with Git's own words."""
    done = _run(*words)
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise UserError(f"git {words[0]}: {said}.")
    return _text(done.stdout)


def ask(*words: str) -> str | None:
    """Return what Git prints, without its last line end, or None where it fails."""
    done = _run(*words)
    return None if done.returncode else _text(done.stdout).rstrip("\n")


def succeeds(*words: str) -> bool:
    """Whether a Git command that answers by its exit status says yes."""
    return _run(*words).returncode == 0


def paths(*words: str) -> list[str]:
    """Return the paths that a Git command lists; it is given `-z`. Raises UserError."""
    command, *rest = words
    return [path for path in run(command, "-z", *rest).split("\0") if path]


def is_repository() -> bool:
    """Whether the project lies in a Git working tree."""
    return ask("rev-parse", "--is-inside-work-tree") == "true"


def commit(revision: str) -> str | None:
    """Return the full hash of the commit that a revision names, or None where it names none."""
    return ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def merge_base(one: str, other: str = "HEAD") -> str | None:
    """Return the commit where two revisions parted, or None where they share no history."""
    return ask("merge-base", one, other)


def commits_that_changed(path: str | Path, revision: str, most: int) -> list[str]:
    """Return the last commits on the first parents of `revision` that changed a file, newest first."""
    options = ("--first-parent", f"--max-count={most}", "--format=%H")
    return run("log", *options, revision, "--", str(path)).split()


def tracked() -> list[str]:
    """Return the paths that Git tracks below the project's folder."""
    return paths("ls-files")


def tracked_at(revision: str) -> list[str]:
    """Return the paths that a revision holds below the project's folder."""
    return paths("ls-tree", "-r", "--name-only", revision)


def text_at(revision: str, path: str | Path) -> str | None:
    """Return a file as it stood in a revision, or None where it was not there. Raises UserError.

    The revision must be a commit here: one that cannot be read is not one without the file.
    """
    if commit(revision) is None:
        raise UserError(f"{revision!r} is no commit here: fetch it, or name another.")
    return ask("show", f"{revision}:./{Path(path).as_posix()}")


def unmerged() -> list[str]:
    """Return the paths that a merge left in conflict, sorted."""
    if not is_repository():
        return []
    entries = paths("ls-files", "--unmerged")
    return sorted({entry.partition("\t")[2] for entry in entries})


def ignores(path: str) -> bool:
    """Whether Git is told to leave a path out, as it is of data."""
    return succeeds("check-ignore", "--quiet", "--", path)
