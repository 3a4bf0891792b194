"""The verdicts of the drift check: the one place of their words, codes and exit statuses."""

from dataclasses import dataclass
from typing import Literal

Action = Literal["keep", "retrain", "rework", "unusable"]


@dataclass(frozen=True)
class Verdict:
    """What the drift check concludes, and what to do about it."""

    action: Action
    code: int  # of the metric `action`
    status: int  # exit status of `esteira drift`
    headline: str
    advice: str  # one sentence


KEEP = Verdict("keep", 0, 0, "No drift that matters", "Nothing to do.")
RETRAIN = Verdict("retrain", 1, 10, "The data drifted", "Retrain on recent data.")
REWORK = Verdict(
    "rework",
    2,
    11,
    "The concept drifted",
    "Rework features, target, model; retraining is a stop-gap.",
)
UNUSABLE = Verdict("unusable", 3, 2, "The batch cannot be used", "Mend it where it is made.")

VERDICTS = (KEEP, RETRAIN, REWORK, UNUSABLE)
BY_CODE: dict[float, Verdict] = {verdict.code: verdict for verdict in VERDICTS}
BY_ACTION = {verdict.action: verdict for verdict in VERDICTS}
