"""`esteira status`: one screen that says how the project stands, and what to do next."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esteira import standing
from esteira.drift.verdicts import KEEP
from esteira.gate import Verdict
from esteira.page.words import ROUNDING, counted, figure
from esteira.readiness import Tone
from esteira.standing import Standing

COLOURS: dict[Tone, str] = {"good": "green", "look": "yellow", "bad": "red", "none": "dim"}
ICONS: dict[Tone, str] = {"good": "✓", "look": "!", "bad": "✗", "none": "–"}
MAY_WRAP = ("against the base", "must be")  # on a narrow screen
MOST_REASONS = 3  # shown; the checklist has all
WORDS = {"better": "green", "worse": "red"}


def find(base: str | None = None) -> Standing:
    """Find what the screen shows. Raises UserError as `standing.find` does."""
    return standing.find(base)


def show(console: Console, found: Standing) -> None:
    """Print the screen."""
    colour = COLOURS[found.tone]
    verdict = Table.grid(padding=(0, 2))
    for place, reason in enumerate(found.reasons[:MOST_REASONS] or [""]):
        headline = "" if place else f"[bold {colour}]{found.headline}[/]"
        verdict.add_row(headline, escape(plain(reason)))
    console.print(verdict)
    console.print()
    console.print(metrics(found))
    console.print()
    console.print(checklist(found))
    console.print()
    # A command that is copied with its full stop would be another.
    step = found.step.removesuffix(".") if found.step.endswith("`.") else found.step
    console.print(f"[bold]Next:[/] {escape(plain(step))}")


def plain(text: str) -> str:
    """Take the backticks off a sentence: a terminal needs none."""
    return text.replace("`", "")


def metrics(found: Standing) -> Table:
    """Return the metrics of gates.yaml beside the base's."""
    shown = Table(box=None, pad_edge=False)
    measured = "before the change" if found.stale else "now"
    for title in ("", "metric", "base", measured, "against the base", "must be"):
        numeric = title in ("base", measured)
        justify = "right" if numeric else "left"
        shown.add_column(title, justify=justify, no_wrap=title not in MAY_WRAP)
    for verdict in found.verdicts:
        now = escape(verdict.word) if verdict.word else figure(verdict.now)
        tone = "none" if found.stale else tone_of(verdict)
        shown.add_row(
            f"[{COLOURS[tone]}]{ICONS[tone]}[/]",
            verdict.metric,
            figure(verdict.base) if verdict.base is not None else "",
            f"[{COLOURS[tone]}]{now}[/]",
            moved(verdict),
            verdict.must_be,
        )
    return shown


def tone_of(verdict: Verdict) -> Tone:
    """Say how one rule stands: what the drift check finds is to be looked at, if let pass."""
    if verdict.reason:
        return "bad"
    return "good" if verdict.word in ("", KEEP.action) else "look"


def moved(verdict: Verdict) -> str:
    """Say how one metric moved, with its interval."""
    known = verdict.comparison
    if known is None or known.difference is None or known.now is None:
        return "[dim]not compared[/]" if verdict.not_compared else _without_interval(verdict)
    sign = "+" if known.difference > 0 else ""
    change = f"{sign}{figure(known.difference)} \\[{figure(known.low)}, {figure(known.high)}]"
    of_other_rows = verdict.now is not None and abs(verdict.now - known.now) >= ROUNDING
    on = f" on {counted(known.rows, 'shared row')}" if of_other_rows else ""
    return f"[{WORDS.get(known.verdict, 'dim')}]{known.verdict}[/] {change}{on}"


def _without_interval(verdict: Verdict) -> str:
    """Say of what is not of rows held out, and of the same answers, whether it moved."""
    if verdict.base is None or verdict.now is None:
        return ""
    return "[dim]unchanged[/]" if verdict.base == verdict.now else "moved"


def checklist(found: Standing) -> Table:
    """Return a line for each check."""
    shown = Table.grid(padding=(0, 1))
    for check in found.checks:
        colour = COLOURS[check.tone]
        says = escape(plain(check.says))
        shown.add_row(f"[{colour}]{ICONS[check.tone]}[/]", f"[bold]{check.name}[/]", says)
    return shown
