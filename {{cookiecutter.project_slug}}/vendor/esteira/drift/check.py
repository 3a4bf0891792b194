"""Compare a batch with the reference profile: measure, judge, say."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from esteira.drift.judge import judge
from esteira.drift.limits import Settings
from esteira.drift.measure import Predict, measure
from esteira.drift.metrics import Metrics, metrics_of
from esteira.drift.records import Judged, Profile, Told
from esteira.drift.say import say, summary
from esteira.drift.source import Source
from esteira.drift.verdicts import Verdict


@dataclass(frozen=True)
class Checked:
    """What the check of one batch found: the judgement, the words for it, the figures."""

    judged: Judged
    told: Told
    metrics: Metrics

    @property
    def verdict(self) -> Verdict:
        """What the check concludes."""
        return self.judged.verdict

    def summary(self) -> str:
        """The verdict in a few lines of text."""
        return summary(self.judged, self.told)


def check(
    profile: Profile,
    current: Any,
    settings: Settings,
    predict: Predict = None,
    notes: Iterable[str] = (),
) -> Checked:
    """Check a batch (pandas, Arrow, a Parquet file's path or a `Source`) against a profile.

    `predict` gives the model's answers for the rows of these numbers, as in `profile.follow`;
    without it neither predictions nor the concept are checked. `notes` are told with the verdict.
    """
    source = current if isinstance(current, Source) else Source(current)
    measured = measure(profile, source, settings, predict)
    judged = judge(measured, profile, settings)
    return Checked(judged, say(judged, notes), metrics_of(judged))
