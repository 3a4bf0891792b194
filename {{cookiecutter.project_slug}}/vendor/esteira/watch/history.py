"""The checks so far, kept in Git on the server: refs/esteira/watch, a commit for each change.

Not in the issue, which anybody may edit and which is not there before an alarm; not in a cache or
an artifact, which expire. A ref changes as a whole or not at all, and a push that says what it
replaces fails where another run was faster: so two runs never lose a check, and a run that was
killed is run again without harm. No branch, so no workflow starts and nobody is shown it.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Field, ValidationError

from esteira.drift.verdicts import Action
from esteira.line.errors import UserError
from esteira.repository import git
from esteira.watch.facts import Checked, Md5, Part, Text
from esteira.watch.settings import Settings

REF = "refs/esteira/watch"
FILE = "watch.json"
MOST_KEPT = 20
TRIES = 3
ALARMS: tuple[Action, ...] = ("retrain", "rework")


class Entry(Part):
    """One batch, as it was checked last."""

    time: datetime
    md5: Md5
    path: Text
    action: Action
    model: Text
    profile: Md5

    def is_of_what(self, other: "Entry") -> bool:
        """Whether both are of the same batch, checked for the same model."""
        return (self.md5, self.profile) == (other.md5, other.profile)


class History(Part):
    """The last checks, the newest last; of each batch and model, one."""

    checks: Annotated[list[Entry], Field(max_length=MOST_KEPT)] = Field(default_factory=list)

    def with_check(self, checked: Checked) -> "History":
        """Add a check. A batch that is checked again for the same model is no second witness."""
        entry = Entry(
            time=checked.time,
            md5=checked.batch.md5,
            path=checked.batch.path,
            action=checked.action,
            model=checked.model,
            profile=checked.profile,
        )
        same = next((c for c in self.checks if c.is_of_what(entry)), None)
        if same is not None and same.action == entry.action:
            return self  # as it was said before: so running it again changes nothing
        others = [check for check in self.checks if check != same]
        return History(checks=[*others, entry][-MOST_KEPT:])

    def alarms(self, profile: str, settings: Settings) -> int:
        """Count the alarms among the last batches that were judged for the model of a profile.

        One that could not be used is no witness, and neither is one of another model.
        """
        judged = [c for c in self.checks if c.profile == profile and c.action != "unusable"]
        return sum(check.action in ALARMS for check in judged[-settings.window :])

    @property
    def since(self) -> Entry | None:
        """The first alarm of those that no `keep` has come after."""
        first = None
        for check in self.checks:
            if check.action == "keep":
                first = None
            elif check.action in ALARMS and first is None:
                first = check
        return first


def remember(checked: Checked, remote: str) -> History:
    """Add a check to the history on the server, and return it. Raises UserError.

    `remote` is a name or an address that Git may push to.
    """
    for _ in range(TRIES):
        before, old = _read(remote)
        after = before.with_check(checked)
        if after == before or _push(after, old, remote):
            return after
    raise UserError(f"{REF} changes again and again on the server: run this again later.")


def read(remote: str) -> History:
    """Return the history on the server. Raises UserError."""
    return _read(remote)[0]


def _read(remote: str) -> tuple[History, str]:
    """Return the history, and the commit that holds it; "" where there is none yet."""
    listed = git.run("ls-remote", remote, REF).split()
    if not listed:
        return History(), ""
    old = listed[0]
    git.run("fetch", "--quiet", "--no-tags", "--depth=1", remote, REF)
    text = git.ask("show", f"{old}:{FILE}")
    try:
        return History.model_validate_json(text or ""), old
    except ValidationError:
        raise UserError(
            f"{REF} holds no history of checks: look at it, or begin anew by"
            f" `git push origin :{REF}`."
        ) from None


def _push(history: History, old: str, remote: str) -> bool:
    """Put a history in place of the one at the commit `old`; False where another was faster."""
    content = history.model_dump_json(indent=2) + "\n"
    blob = git.feed(content, "hash-object", "-w", "--stdin")
    tree = git.feed(f"100644 blob {blob}\t{FILE}\n", "mktree")
    last = history.checks[-1]
    message = f"{last.path}: {last.action}"
    identity = ("-c", "user.name=esteira", "-c", "user.email=esteira@localhost")
    commit = git.run(*identity, "commit-tree", tree, "-m", message).strip()
    lease = f"--force-with-lease={REF}:{old}"
    return git.pushed(remote, lease, f"{commit}:{REF}")
