"""Figures in words: as many digits as a reader needs, and no more."""

import math
import re

from markupsafe import Markup, escape

DIGITS = 3  # of a figure
ROUNDING = 1e-9  # a smaller difference of two metrics is none


def figure(value: float | None) -> str:
    """Write a number with three significant digits, `1,230` or `0.0123`; `–` for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (DIGITS - 1):
        whole = round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
        return f"{whole:,.0f}" if abs(value) < 1e12 else f"{value:.{DIGITS}g}"
    return f"{value:.{DIGITS}g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def apart(one: float, other: float) -> tuple[str, str]:
    """Write two numbers with three significant digits, or as many more as tell them apart."""
    texts = figure(one), figure(other)
    for digits in range(DIGITS + 1, 16):
        if texts[0] != texts[1] or one == other:
            break
        texts = f"{one:.{digits}g}", f"{other:.{digits}g}"
    return texts


def exact(value: float) -> str:
    """Write a number of the data itself: with up to six digits, as the squad knows it."""
    return f"{value:,.0f}" if value == round(value) and 1e4 <= abs(value) < 1e12 else f"{value:.6g}"


def counted(count: int, name: str, many: str = "") -> str:
    """Write a count with its noun: `1 file`, `2 files`."""
    return f"{count:,} {name if count == 1 else many or f'{name}s'}"


def of_data(value: float) -> str:
    """Write a number of the data: a whole one as it is, which may be a year; else three digits."""
    return exact(value) if value == round(value) else figure(value)


def of_error(value: float) -> str:
    """Write an error with four significant digits, a large one as a whole number: `15,480`."""
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def percent(share: float) -> str:
    """Write a share as a percentage: `12 %`, `3.4 %`, `0.05 %`."""
    hundredths = 100 * share
    if hundredths == 0 or abs(hundredths) >= 10:
        return f"{hundredths:.0f} %"
    return f"{hundredths:.1f} %" if abs(hundredths) >= 0.1 else f"{hundredths:.1g} %"


def marked(text: str) -> Markup:
    """Escape a sentence for a page, and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def command(step: str) -> Markup:
    """Set a step as code, unless it is a sentence that has its commands between backticks."""
    return marked(step if "`" in step or step[:1].isupper() else f"`{step}`")
