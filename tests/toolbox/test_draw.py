"""Drawings as SVG: what stands beside an axis has room."""

import pytest

from esteira.page import draw


@pytest.mark.parametrize("largest", [1.0, 250.0, 40_000.0, 12_000_000.0, -3_500_000.0])
def test_the_longest_tick_ends_before_the_axis_begins(largest: float) -> None:
    within = draw.box([0.0, 1.0], [0.0, largest])
    longest = max(len(tick.label) for tick in within.up.ticks())
    assert within.left >= draw.NAME + draw.DIGIT * longest
    assert within.left < within.width / 2


def test_a_square_stays_square_however_long_its_ticks_are() -> None:
    for values in ([0.0, 1.0], [0.0, 12_000_000.0]):
        within = draw.square(values)
        assert within.across.end - within.across.start == pytest.approx(
            within.up.start - within.up.end
        )
