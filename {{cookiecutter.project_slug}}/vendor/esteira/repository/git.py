"""Git, run from the project's folder, which may lie anywhere in its repository.

Paths are asked for with `-z`: without it Git quotes names that hold accents, quotes or line ends.
They are relative to the project's folder, as is `path_at`'s argument.
"""

import os
import subprocess
from pathlib import Path

from esteira.line.errors import UserError


def _run(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *words], capture_output=True, env=os.environ | (env or {}))
    except FileNotFoundError:
        raise UserError("git is not installed: install it, and run this again.") from None


def _text(printed: bytes) -> str:
    return printed.decode("utf-8", "surrogateescape")


def run(*words: str, env: dict[str, str] | None = None) -> str:
    """Run Git, with some more variables; return what it prints. Raises UserError with its words."""
    done = _run(*words, env=env)
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise UserError(f"git {_called(words)}: {said}.")
    return _text(done.stdout)


def _called(words: tuple[str, ...]) -> str:
    """Return the name of the command, which comes after Git's own options and their values."""
    place = 0
    while words[place] in ("-c", "-C"):
        place += 2
    return words[place]


def feed(text: str, *words: str) -> str:
    """Run Git with a text as its input; return what it prints, without its last line end.

    Raises UserError with Git's own words.
    """
    done = subprocess.run(["git", *words], input=text.encode(), capture_output=True)
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise UserError(f"git {words[0]}: {said}.")
    return _text(done.stdout).rstrip("\n")


def pushed(remote: str, *words: str) -> bool:
    """Push; False where the remote refuses a ref, as when another was faster.

    Raises UserError where it cannot be reached, or lets nobody in.
    """
    done = _run("push", "--porcelain", "--no-verify", remote, *words)
    if done.returncode == 0:
        return True
    if any(line.startswith("!") for line in _text(done.stdout).splitlines()):
        return False
    said = " ".join(done.stderr.decode("utf-8", "replace").split())
    raise UserError(f"git push: {said}.")


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
    """Return the last commits before `revision`, itself included, that changed a file."""
    options = ("--first-parent", f"--max-count={most}", "--format=%H")
    return run("log", *options, revision, "--", str(path)).split()


def is_shallow() -> bool:
    """Whether the clone lacks older commits, so that a merge base may not be found."""
    return ask("rev-parse", "--is-shallow-repository") == "true"


def remote_default_branch(remote: str, patience: float = 10.0) -> str | None:
    """Ask a remote for the name of its default branch; None where it does not say in `patience` s.

    Never asks for a password.
    """
    command = ["git", "ls-remote", "--symref", remote, "HEAD"]
    quiet = os.environ | {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -oBatchMode=yes"}
    try:
        done = subprocess.run(command, capture_output=True, env=quiet, timeout=patience)
    except (OSError, subprocess.TimeoutExpired):
        return None
    first = _text(done.stdout).partition("\n")[0]
    reference, _, name = first.partition("\t")
    is_branch = name == "HEAD" and reference.startswith("ref: refs/heads/")
    return reference.removeprefix("ref: refs/heads/") if is_branch else None


def place_in_repository() -> str:
    """Return the project's folder as a path from the repository's root, such as "ml/"; "" at it."""
    return ask("rev-parse", "--show-prefix") or ""


def changed() -> list[str]:
    """Return the paths that differ from the last commit, new ones included."""
    entries = run("status", "--porcelain", "-z", "--no-renames", "--", ".").split("\0")
    return [entry[3:] for entry in entries if entry]


def tracked() -> list[str]:
    """Return the paths that Git tracks below the project's folder."""
    return paths("ls-files")


def known(*places: str) -> list[str]:
    """Return the files below some places that Git tracks, or would if they were added."""
    return paths("ls-files", "--cached", "--others", "--exclude-standard", "--", *places)


def in_index(pattern: str) -> dict[str, str]:
    """Return the files of the index that match a pattern, with the hash of what is to be committed.

    Links and submodules are none.
    """
    found = {}
    for entry in paths("ls-files", "--stage", "--", pattern):
        facts, _, path = entry.partition("\t")
        mode, content, _ = facts.split()
        if mode.startswith("100"):
            found[path] = content
    return found


def staged(pattern: str) -> list[str]:
    """Return the paths that match a pattern and that the next commit changes; no removed ones."""
    options = ("--cached", "--name-only", "--no-renames", "--diff-filter=d", "--relative")
    return paths("diff", *options, "--", pattern)


def content(digest: str) -> bytes:
    """Return what Git keeps under a hash. Raises UserError."""
    done = _run("cat-file", "blob", digest)
    if done.returncode:
        raise UserError(f"Git has lost {digest}: `git fsck` tells more.")
    return done.stdout


def differing_from(revision: str) -> list[str]:
    """Return the paths here that are not as in a revision, new ones included."""
    changed_since = paths("diff", "--name-only", "--no-renames", "--relative", revision, "--", ".")
    return [*changed_since, *paths("ls-files", "--others", "--exclude-standard")]


def tracked_at(revision: str) -> list[str]:
    """Return the paths that a revision holds below the project's folder."""
    return paths("ls-tree", "-r", "--name-only", revision)


def text_at(revision: str, path: str | Path) -> str | None:
    """Return a file as it stood in a revision, or None where it was not there. Raises UserError.

    The revision must be a commit here: one that cannot be read is not one without the file.
    """
    if commit(revision) is None:
        raise UserError(f"{revision!r} is no commit here: fetch it, or name another.")
    done = _run("show", f"{revision}:./{Path(path).as_posix()}")
    return None if done.returncode else _text(done.stdout)


def texts_at(revision: str, suffix: str) -> dict[str, str]:
    """Return all files of a revision whose names end so, by path; Git is asked once for all.

    Raises UserError for a revision that is no commit here.
    """
    entries = [entry.partition("\t") for entry in paths("ls-tree", "-r", revision)]
    hashes = {path: told.split()[2] for told, _, path in entries if path.endswith(suffix)}
    asked = "".join(f"{found}\n" for found in hashes.values()).encode()
    done = subprocess.run(["git", "cat-file", "--batch"], input=asked, capture_output=True)
    texts, start = {}, 0
    for path in hashes:
        content = done.stdout.index(b"\n", start) + 1  # below a line that ends with the size
        told = done.stdout[start:content].split()
        if told[-1] == b"missing":  # of a clone that lacks some of its objects
            start = content
            continue
        size = int(told[-1])
        texts[path] = _text(done.stdout[content : content + size])
        start = content + size + 1
    return texts


def unmerged() -> list[str]:
    """Return the paths that a merge left in conflict, sorted."""
    if not is_repository():
        return []
    entries = paths("ls-files", "--unmerged")
    return sorted({entry.partition("\t")[2] for entry in entries})


def ignores(path: str) -> bool:
    """Whether Git is told to leave a path out, as it is of data."""
    return succeeds("check-ignore", "--quiet", "--", path)


def check_out(revision: str, folder: str | Path) -> Path:
    """Check a commit out into a new folder; return the project's place in it. Raises UserError.

    A clone that shares this repository's objects, so a commit that no branch names is there too.
    """
    root, place = run("rev-parse", "--show-toplevel"), run("rev-parse", "--show-prefix")
    run("clone", "--quiet", "--shared", "--no-checkout", root.rstrip("\n"), str(folder))
    quiet = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
    run("-C", str(folder), *quiet, "checkout", "--quiet", "--detach", revision)
    return Path(folder) / place.rstrip("\n")


OPERATIONS = {  # by the file or folder that Git keeps while it is in the middle of one
    "rebase-merge": "rebase",
    "rebase-apply/applying": "am",
    "rebase-apply": "rebase",
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}


def operation() -> str | None:
    """Return the command that Git is in the middle of, such as `rebase`; None if there is none."""
    for mark, command in OPERATIONS.items():
        path = ask("rev-parse", "--git-path", mark)
        if path and Path(path).exists():
            return command
    return None


def prefix() -> str:
    """Return the project's folder in the repository, with a `/` after it, or "" for the top."""
    return run("rev-parse", "--show-prefix").rstrip("\n")


def hooks() -> Path:
    """Return the folder whose hooks Git runs."""
    chosen = ask("config", "--type=path", "core.hooksPath")
    if chosen is None:
        return Path(run("rev-parse", "--git-path", "hooks").rstrip("\n"))
    return Path(run("rev-parse", "--show-toplevel").rstrip("\n"), chosen)


def with_other_line_ends() -> list[str]:
    """Return the text files that have Windows line ends here, which Git stores without.

    So their content is another in every clone.
    """
    found = []
    for entry in paths("ls-files", "--eol"):
        facts, _, path = entry.partition("\t")
        _, here, attributes = facts.split(None, 2)
        stored_without = (
            "text" in attributes and "-text" not in attributes and "crlf" not in attributes
        )
        if here in ("w/crlf", "w/mixed") and stored_without:
            found.append(path)
    return found
