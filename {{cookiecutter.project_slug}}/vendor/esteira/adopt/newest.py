"""Whether the newest rows differ from those the model learns from: what the first gate meets."""

from dataclasses import dataclass
from typing import Any

from esteira.adopt.baseline import Proposal
from esteira.adopt.decisions import Decision
from esteira.drift import profile
from esteira.drift.check import check
from esteira.drift.limits import Settings
from esteira.drift.verdicts import RETRAIN, REWORK
from esteira.line.schema import Schema

MOST_COLUMNS = 200  # beyond which the check would take longer than all the rest of adopting


@dataclass(frozen=True)
class FirstCheck:
    """What the drift check will say of the newest rows."""

    decisions: list[Decision]
    accepted: str = ""  # why the gate lets `rework` pass, where the very first model meets it


def first_check(proposal: Proposal, schema: Schema) -> FirstCheck:
    """Ask the line's own drift check of the newest rows, with the model that the line starts with.

    Where it says `rework`, the gate would refuse the first model that there is, for the age of the
    table and not for a change that anyone made: it is told to accept that, and why.
    """
    measured = proposal.measured
    if measured is None or measured.current.empty or len(schema.inputs) > MOST_COLUMNS:
        return FirstCheck([])
    model = measured.best
    reference = profile.of_line(measured.parts.fit, measured.parts.held, model, schema, {})

    def predict(rows: Any) -> Any:
        return profile.ask(model, measured.current.iloc[rows][schema.inputs], schema.positive)

    found = check(reference, measured.current, Settings(), predict)
    told = found.verdict == REWORK or (found.verdict == RETRAIN and schema.time is not None)
    if not told:
        return FirstCheck([])
    older = len(measured.parts.fit) + len(measured.parts.held)
    share = len(measured.current) / (len(measured.current) + older)
    what = f"the newest {share:.0%} of the rows differ from those before"
    why = f"the drift check will say `{found.verdict.action}`: {' '.join(found.told.reasons[:2])}"
    if found.verdict == RETRAIN:
        hint = "params.yaml, split.current: 0 lets them be trained on"
        return FirstCheck([Decision(what, why, hint, warning=True)])
    where = "gates.yaml, drift: [rework] refuses it again"
    accepted = f"{what}, and did when the table was adopted. {' '.join(found.told.reasons[:2])}"
    return FirstCheck([Decision(what, f"{why} The gate accepts it", where, True)], accepted)
