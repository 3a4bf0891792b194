"""Give up rights by Linux's Landlock, then become another program.

`python -I -S confine.py RULES COMMAND…`: RULES is JSON with the folders and files that may be read
(`read`), and those that may be written as well (`write`). The rest of the file system and TCP are
refused to the command and to everything that it starts, whoever runs it.
https://docs.kernel.org/userspace-api/landlock.html

A program of its own, standard library only: between a fork and the command nothing else runs.
"""

import ctypes
import json
import os
import stat
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every processor but alpha
ASK_VERSION = 1  # flag of CREATE_RULESET
PATH_BENEATH = 1  # kind of a rule
NO_NEW_PRIVILEGES = 38  # of prctl: without it only root may restrict itself

# Rights on files, as the kernel's headers number them.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
CHANGE_FOLDERS = sum(1 << bit for bit in range(4, 13))  # remove and make whatever is in a folder
REFER, TRUNCATE = 1 << 13, 1 << 14
ALL_TCP = 0b11  # bind, connect
ALL_SCOPES = 0b11  # abstract sockets and signals of processes outside

READING = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE  # what a rule on a single file may carry

# The versions of Landlock that brought each.
MOVES_SINCE, TRUNCATES_SINCE, NETWORK_SINCE, SCOPES_SINCE = 2, 3, 4, 6


class Ruleset(ctypes.Structure):
    """What is refused unless a rule allows it."""

    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class PathBeneath(ctypes.Structure):
    """A rule: these rights on this file, or on everything below this folder."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


def version() -> int:
    """Return the version of the kernel's Landlock; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    try:
        return _call(CREATE_RULESET, None, 0, ASK_VERSION)
    except OSError:
        return 0


def restrict(read: list[str], write: list[str]) -> None:
    """Give up, for this process and its children, all that is not listed. Raises OSError."""
    found = version()
    files = READING | WRITE_FILE | CHANGE_FOLDERS
    files |= REFER if found >= MOVES_SINCE else 0
    files |= TRUNCATE if found >= TRUNCATES_SINCE else 0
    refused = Ruleset(
        files,
        ALL_TCP if found >= NETWORK_SINCE else 0,
        ALL_SCOPES if found >= SCOPES_SINCE else 0,
    )
    ruleset = _call(CREATE_RULESET, ctypes.byref(refused), ctypes.sizeof(refused), 0)
    for path in read:
        _allow(ruleset, path, READING)
    for path in write:
        _allow(ruleset, path, files)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        rights &= ON_FILES
    rule = PathBeneath(rights, descriptor)
    _call(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    answer = libc.syscall(ctypes.c_long(number), *words)
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return answer


def main() -> None:
    """Restrict this process as the first argument says, and become the rest."""
    rules, *command = sys.argv[1:]
    restrict(**json.loads(rules))
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
