"""Drawings as SVG: from values to places. What is drawn is in drawings.html."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from esteira.page.words import figure

LEFT = 56  # room beside the y axis, unless its ticks are long
NAME, DIGIT = 24, 7  # room for the name of the axis, and for one character of a tick
STEPS = (1, 2, 2.5, 5, 10)  # between ticks, times a power of ten


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the drawing's units, and what stands beside it."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high`, on an axis from `start` to `end` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, about: int = 4) -> list[Tick]:
        """Return round values within the scale, about so many."""
        step = round_step((self.high - self.low) / max(about, 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        values = [number * step for number in range(first, last + 1)]
        return [Tick(self.at(value), figure(value)) for value in values]


def round_step(step: float) -> float:
    """Return the next round number that is not smaller: 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in STEPS if factor * power >= step * (1 - 1e-9))


def scale(values: Sequence[float], start: float, end: float, zero: bool = False) -> Scale:
    """Make a scale that all values have a place on, and 0 as well if `zero`."""
    known = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Scale(low, high, start, end)


def path(xs: Sequence[float], ys: Sequence[float], across: Scale, up: Scale) -> str:
    """Return a line through points, as SVG writes it."""
    points = (f"{across.at(x)},{up.at(y)}" for x, y in zip(xs, ys, strict=True))
    return "M" + " L".join(points)


@dataclass(frozen=True)
class Box:
    """A drawing of x and y: its size, the inner edges, and both scales."""

    width: int
    height: int
    across: Scale
    up: Scale

    @property
    def left(self) -> float:
        """Where the y axis stands."""
        return self.across.start

    @property
    def bottom(self) -> float:
        """Where the x axis stands."""
        return self.up.start


def box(
    xs: Sequence[float],
    ys: Sequence[float],
    width: int = 360,
    height: int = 240,
    zero: bool = False,
    named: bool = True,
) -> Box:
    """Make room for points, with margins for ticks and, if `named`, for names of the axes.

    y goes from 0 on if `zero`.
    """
    up = scale(ys, height - (40 if named else 24), 12, zero=zero)
    across = scale(xs, beside(up) if named else 44, width - 12)
    return Box(width, height, across, up)


def square(values: Sequence[float], size: int = 300) -> Box:
    """Make room for points whose x and y are alike, so that the diagonal says that they are."""
    up = scale(values, size - 40, 12)
    left = beside(up)
    right = left + up.start - up.end
    return Box(int(right) + 12, size, Scale(up.low, up.high, left, right), up)


def beside(up: Scale) -> float:
    """Return the room left of the y axis that its name and its longest tick need."""
    longest = max((len(tick.label) for tick in up.ticks()), default=0)
    return max(LEFT, NAME + DIGIT * longest)


def line(within: Box, points: Sequence[tuple[float, float]]) -> str:
    """Return the line through points, as SVG writes it."""
    return path([x for x, _ in points], [y for _, y in points], within.across, within.up)


def ends(measured: Sequence[tuple[float, float, float]]) -> list[float]:
    """Return the lower and upper ends of x, value and spread."""
    return [value + sign * spread for _, value, spread in measured for sign in (-1, 1)]


# ---- a graph of boxes, in columns from left to right


class Boxlike(Protocol):
    """A box with a name, in column `across` and place `down` of it, both from 0."""

    @property
    def name(self) -> str:
        """What stands in it."""
        ...

    @property
    def across(self) -> int:
        """Its column."""
        ...

    @property
    def down(self) -> int:
        """Its place in the column."""
        ...


def arrows(
    boxes: Sequence[Boxlike],
    pairs: Sequence[tuple[str, str]],
    width: int,
    height: int,
    step: int,
    rise: int,
) -> list[str]:
    """Return a curve from each box to one further right, as SVG writes it.

    `step` and `rise` are from one column, and place, to the next.
    """
    named = {box.name: box for box in boxes}
    curves = []
    for one, other in pairs:
        start, end = named[one], named[other]
        x1, y1 = start.across * step + width, start.down * rise + 4 + height / 2
        x2, y2 = end.across * step, end.down * rise + 4 + height / 2
        bend = 0.0 if end.across - start.across == 1 else rise * 0.45  # round the boxes between
        middle = (x1 + x2) / 2
        curves.append(
            f"M{x1},{y1:g} C{middle:g},{y1 + bend:g} {middle:g},{y2 + bend:g} {x2},{y2:g}"
        )
    return curves


# ---- bars of a histogram, each as wide as 1


class Barlike(Protocol):
    """A bar with a name, and its share of the rows on both sides, 0 to 1."""

    @property
    def label(self) -> str:
        """What stands below it."""
        ...

    @property
    def reference(self) -> float:
        """Its share of the reference."""
        ...

    @property
    def batch(self) -> float:
        """Its share of the batch."""
        ...


def ticks_of_bars(
    within: Box,
    bars: Sequence[Barlike],
    bounds: Sequence[float],
    first: int,
    most: int = 4,
) -> list[Tick]:
    """Return ticks below bars: round values between `bounds`, else some of the bars' names.

    `bounds` are the ends of the bars, evenly apart, from that of the bar number `first` on.
    """
    if bounds:
        start, end = within.across.at(first), within.across.at(first + len(bounds) - 1)
        return Scale(bounds[0], bounds[-1], start, end).ticks(most)
    named = [place for place, bar in enumerate(bars) if _is_value(bar.label)]
    every = max(1, math.ceil(len(named) / most))
    return [Tick(within.across.at(place + 0.5), bars[place].label) for place in named[::every]]


def _is_value(label: str) -> bool:
    return not label.startswith(("below ", "above "))


def outline(within: Box, bars: Sequence[Barlike]) -> str:
    """Return the line around the batch's bars, as SVG writes it."""
    steps = [f"M{within.across.at(0)},{within.bottom}"]
    for place, bar in enumerate(bars):
        steps.append(f"V{within.up.at(100 * bar.batch)} H{within.across.at(place + 1)}")
    return " ".join([*steps, f"V{within.bottom}"])
