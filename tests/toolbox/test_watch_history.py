"""The watch's decisions, and how it talks to GitHub."""

from datetime import UTC, datetime

import actions
import pytest

from esteira.drift.verdicts import Action
from esteira.github.api import Api
from esteira.line.errors import UserError
from esteira.watch.facts import Batch, Checked
from esteira.watch.history import MOST_KEPT, History
from esteira.watch.settings import Settings
from esteira.watch.tell import decide

ONE, OTHER = "1" * 32, "2" * 32  # profiles of two models


def checked(batch: int, action: Action, profile: str = ONE) -> Checked:
    return Checked(
        action=action,
        batch=Batch(path="new.csv", md5=f"{batch:032x}", rows=100, labelled=False),
        model="model@v1.0.0",
        commit="a" * 40,
        profile=profile,
        time=datetime(2026, 11, 26, tzinfo=UTC),
        advice="",
        reasons=[],
        error="",
        notes=[],
        columns=[],
    )


def stands(*checks: Checked, rule: Settings | None = None) -> tuple[bool, bool]:
    known = History()
    for check in checks:
        known = known.with_check(check)
    decision = decide(checks[-1], known, rule or Settings())
    return decision.stands, decision.retrain


def test_two_of_the_last_three_batches_make_an_alarm() -> None:
    alarm, calm = checked(1, "retrain"), checked(2, "keep")
    assert stands(alarm) == (False, False)
    assert stands(alarm, alarm) == (False, False), "the same batch is no second witness"
    assert stands(alarm, calm, checked(3, "retrain")) == (True, True)
    assert stands(alarm, calm, checked(3, "keep"), checked(4, "retrain")) == (False, False)
    assert stands(alarm, checked(3, "rework")) == (True, False)
    assert stands(alarm, rule=Settings(needed=1, window=1)) == (True, True)
    assert stands(alarm, checked(3, "retrain"), calm) == (False, False)


def test_what_cannot_be_used_stands_at_once_and_is_no_witness() -> None:
    assert stands(checked(1, "unusable")) == (True, False)
    broken = checked(2, "unusable")
    assert stands(checked(1, "retrain"), broken, checked(3, "retrain")) == (True, True)
    assert stands(checked(1, "retrain"), broken) == (True, False)


def test_checks_for_another_model_are_no_witnesses_whenever_they_were() -> None:
    """Also after a rollback, when the former model's batch is checked again."""
    first, second = checked(1, "retrain"), checked(2, "retrain")
    other = checked(3, "keep", OTHER)
    assert stands(first, other, checked(4, "retrain", OTHER)) == (False, False)
    assert stands(first, second, other, second) == (True, True)


def test_the_history_is_as_long_as_it_may_be() -> None:
    known = History()
    for number in range(MOST_KEPT + 5):
        known = known.with_check(checked(number, "keep"))
    assert len(known.checks) == MOST_KEPT
    assert known.checks[-1].md5 == f"{MOST_KEPT + 4:032x}"


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_told(
    github: actions.GitHub,
) -> None:
    api = Api(github.url, "fake", actions.REPOSITORY)
    github.busy = 2
    assert api.issues("esteira-drift") == []
    assert len(github.requests) == 3
    github.busy = 3
    with pytest.raises(UserError, match="GitHub answers 503 to GET /issues"):
        api.issues("esteira-drift")
    github.busy = 1
    with pytest.raises(UserError, match="GitHub answers 503 to POST /issues"):
        api.create_issue("Drift", "Text", "esteira-drift")
    assert not github.issues, "what may have been done is not done again"
