"""The one exception that a user may see."""


class UserError(Exception):
    """A user's mistake in one sentence: what is wrong, where, and what to do.

    Stages and commands print it without a traceback and exit with a non-zero status.
    """


def one_line(error: BaseException) -> str:
    """What an error says, on one line of at most 300 characters; its type if it says nothing."""
    words = " ".join(str(error).split())[:300].removesuffix(".")
    return words or type(error).__name__
