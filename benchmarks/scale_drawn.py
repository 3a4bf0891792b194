"""Lines on log-log paper, as one SVG: points that were measured, and the curve through them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 300  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 44  # margins in it
ACROSS = 2  # panels beside each other
COLORS = (
    *("#1b6ca8", "#d1495b", "#3a7d44", "#8e5ea2", "#b8790c"),
    *("#2a9d8f", "#6c757d", "#111111", "#e377c2"),
)
STEPS = (1, 2, 5)  # ticks within a decade, where there are few decades
STYLE = (
    "text{font:12px sans-serif;fill:#222}.t{font-weight:bold;font-size:13px}"
    ".g{stroke:#e3e3e3}.e{text-anchor:end}.m{text-anchor:middle}.l{fill:none;stroke-width:1.5}"
)


@dataclass(frozen=True)
class Line:
    """Values by size: as measured, and as a curve has them."""

    name: str
    points: Sequence[tuple[float, float]]
    curve: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Some lines over one size."""

    title: str
    across: str  # what the size counts
    lines: Sequence[Line]


@dataclass(frozen=True)
class Axis:
    """Powers of ten on `start` to `end` of the drawing."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return powers of ten within the axis; of a short axis their doubles and fives as well."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1,) if self.high / self.low > 50 else STEPS
        values = [step * 10.0**decade for decade in decades for step in steps]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


def axis(values: Sequence[float], start: float, end: float) -> Axis:
    """Make an axis with a little room around the values."""
    room = 1.15
    low, high = min(values) / room, max(values) * room
    while high / low < 4:  # a flat line is to look flat
        low, high = low / room, high * room
    return Axis(low, high, start, end)


def picture(panels: Sequence[Panel]) -> str:
    """Return panels in rows, each with its own legend below the title."""
    rows = -(-len(panels) // ACROSS)
    width, height = ACROSS * WIDTH, rows * HEIGHT
    drawn = "".join(
        f'<g transform="translate({place % ACROSS * WIDTH},{place // ACROSS * HEIGHT})">'
        f"{''.join(_panel(panel))}</g>\n"
        for place, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
        f'<style>{STYLE}</style><rect width="{width}" height="{height}" fill="#fff"/>\n'
        f"{drawn}</svg>\n"
    )


def _panel(panel: Panel) -> Iterator[str]:
    sizes = [size for line in panel.lines for size, _ in line.points]
    values = [value for line in panel.lines for _, value in line.points]
    legend = 160
    across = axis(sizes, LEFT, WIDTH - RIGHT - legend)
    up = axis(values, HEIGHT - BOTTOM, TOP)
    yield f'<text class="t" x="{LEFT}" y="20">{escape(panel.title)}</text>'
    for tick in across.ticks():
        x = across.at(tick)
        yield f'<path class="g" d="M{x},{up.start}V{up.end}"/>'
        yield f'<text class="m" x="{x}" y="{up.start + 16}">{_said(tick)}</text>'
    for tick in up.ticks():
        y = up.at(tick)
        yield f'<path class="g" d="M{across.start},{y}H{across.end}"/>'
        yield f'<text class="e" x="{across.start - 6}" y="{y + 4}">{_said(tick)}</text>'
    middle = (across.start + across.end) / 2
    yield f'<text class="m" x="{middle}" y="{HEIGHT - 8}">{escape(panel.across)}</text>'
    ends = sorted(panel.lines, key=lambda line: -line.points[-1][1])
    for place, line in enumerate(ends):
        color = COLORS[panel.lines.index(line) % len(COLORS)]
        yield f'<path class="l" stroke="{color}" d="{_path(line, across, up)}"/>'
        for size, value in line.points:
            yield f'<circle cx="{across.at(size)}" cy="{up.at(value)}" r="2.5" fill="{color}"/>'
        x, y = across.end + 12, TOP + 10 + 17 * place
        yield f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{color}"/>'
        yield f'<text x="{x + 8}" y="{y}">{escape(line.name)}</text>'


def _path(line: Line, across: Axis, up: Axis) -> str:
    places = (f"{across.at(size)},{up.at(value)}" for size, value in line.curve or line.points)
    return "M" + " L".join(places)


def _said(value: float) -> str:
    """Say a tick: 0.1, 20, 1,000, 10⁶."""
    if value < 10_000:
        return f"{value:,g}"
    power = round(math.log10(value))
    return "10" + str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
