"""The one exception that a user may see."""


class UserError(Exception):
    """A user's mistake in one sentence: what is wrong, where, and what to do.

    Stages and commands print it without a traceback and exit with a non-zero status.
    """
