"""What follows from a check: the history is kept, and the issue says what stands.

`keep` closes the issue. `retrain` and `rework` open it once enough of the last batches say so, so
that one odd batch wakes nobody. `unusable` opens it at once: nothing is known until it is mended.
"""

from dataclasses import dataclass
from pathlib import Path

from esteira.drift.verdicts import KEEP, RETRAIN, UNUSABLE
from esteira.github.api import Issue, api, home, output, push_address
from esteira.watch import facts, history, issue, propose, settings
from esteira.watch.facts import Checked
from esteira.watch.history import History
from esteira.watch.settings import Settings


@dataclass(frozen=True)
class Decision:
    """What is to be done about a check."""

    stands: bool  # whether the issue is to be open
    retrain: bool  # whether a pull request is to be made
    why: str  # one sentence


def decide(checked: Checked, known: History, rule: Settings) -> Decision:
    """Decide by the last checks, this one among them."""
    if checked.action == KEEP.action:
        return Decision(False, False, "The batch looks like the training data.")
    if checked.action == UNUSABLE.action:
        return Decision(True, False, "The batch cannot be used.")
    alarms = known.alarms(checked.profile, rule)
    counted = f"{alarms} of the last {rule.window} batches say so, {rule.needed} are needed"
    stands = alarms >= rule.needed
    verdict = f"The check says `{checked.action}`: {counted}."
    return Decision(stands, stands and checked.action == RETRAIN.action, verdict)


def tell(path: str | Path) -> str:
    """Keep a check in the history and in the issue; return what was done, in a sentence or two.

    Tells the workflow, by GITHUB_OUTPUT, whether to retrain. Raises UserError outside of one.
    """
    checked, rule = facts.read(path), settings.load()
    server = api(home())
    known = history.remember(checked, push_address())
    decision = decide(checked, known, rule)
    if decision.stands:
        done = issue.show(server, checked, known, rule, "open")
    elif checked.action == KEEP.action and _is_open(issue.find(server)):
        done = issue.show(server, checked, known, rule, "closed")
    else:
        done = "Nothing is opened."
    retrain = decision.retrain and not propose.is_offered(server, checked)
    output("retrain", str(retrain).lower())
    return f"{decision.why} {done}"


def _is_open(there: Issue | None) -> bool:
    return there is not None and there.state == "open"
