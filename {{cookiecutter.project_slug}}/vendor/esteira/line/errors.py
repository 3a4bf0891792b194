"""What a user may see: one sentence, never a traceback."""

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class UserError(Exception):
    """A user's mistake in one sentence: what is wrong, where, and what to do.

    Stages and commands print it without a traceback and exit with a non-zero status.
    """


def one_line(error: BaseException) -> str:
    """What an error says, on one line of at most 300 characters; its type if it says nothing."""
    words = " ".join(str(error).split())[:300].removesuffix(".")
    return words or type(error).__name__


def of_the_disk(error: OSError, again: str) -> str | None:
    """Say in a sentence that the disk is full, or that files are closed to this user.

    `again` says what to do then. Returns None for every other error of the system.
    """
    if error.errno in FULL:
        return f"the disk is full: make room, then {again}."
    if error.errno in REFUSED:
        what = error.filename or error
        return (
            f"{what} cannot be read or written ({error.strerror}): mend the rights of its folder."
        )
    return None
