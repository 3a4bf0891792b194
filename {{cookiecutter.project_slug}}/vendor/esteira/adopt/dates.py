"""In which format the cells of a column are dates."""

import re
from dataclasses import dataclass

import pandas as pd

from esteira.adopt.cells import MOST, fits
from esteira.adopt.rules import Cells

TIME_NAME = re.compile(  # in English or Portuguese
    r"date|time|day|month|stamp|_(at|em)$|(^|[^a-z])(ts|dt|epoch|data|dia|hora|m[eê]s)([^a-z]|$)",
    re.IGNORECASE,
)
EIGHT_DIGITS = r"(19|20)\d\d(0[1-9]|1[0-2])[0-3]\d"  # 20260131
LIKELY = r"(?=.*\d)\w{1,9}[-/. ,][\w:.,+\- /]{3,32}"
NUMBER = r"[+-]?\d*[.,]\d*"
DAYS = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%d/%m/%y"),
    *("%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%d %B %Y"),
    *("%B %d, %Y", "%Y-%m", "%b %Y", "%B %Y", "%Y.%m.%d"),
)
HOURS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", " %H.%M.%S")
CLOCK = r"\d{1,2}(:\d\d){1,2}(\.\d+)?( ?[AaPp]\.?[Mm]\.?)?|\d\d\.\d\d\.\d\d|\d{1,2}h\d\d"
TIMES = (
    *("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H.%M.%S", "%Hh%M"),
    *("%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p"),
)
CLOCKS = {"s": 1, "ms": 1000}  # finer ones have more digits than a number keeps
YEARS = (788_918_400, 2_524_608_000)  # 1995 to 2050, in seconds since 1970
FORMATS = ("ISO8601", *(day + hour for day in DAYS for hour in HOURS))


@dataclass(frozen=True)
class Sorting:
    """In which share of the steps from row to row the dates go the way of most."""

    verb: str  # rise or fall
    share: float

    def says(self) -> str:
        """Say it in a few words."""
        first = ", the newest first" if self.verb == "fall" else ""
        return f"its dates {self.verb} in {self.share:.0%} of the steps from row to row{first}"


def format_of(cells: Cells, is_time: bool) -> str | None:
    """Find the format in which most cells are dates, or None.

    Eight digits are a date only in a column that is the time or is named like one. Where the month
    may come first or second, the format under which the dates sort the rows is taken.
    """
    sample = cells.counts.index[:200]
    if fits(sample, EIGHT_DIGITS).all() and (is_time or TIME_NAME.search(cells.name)):
        return "%Y%m%d"
    likely = fits(sample, LIKELY).mean()
    numbers = fits(sample, NUMBER).mean()
    if likely < MOST or numbers > 1 - MOST:
        return None
    sample_cells = sample.to_series()
    all_cells = cells.values.dropna()
    possible = [form for form in FORMATS if _share_parsed(sample_cells, form) >= MOST]
    possible = [form for form in possible if _share_parsed(all_cells, form) >= MOST]
    shares = {form: sorting(_parsed(cells.values, form)).share for form in possible}
    return max(possible, key=shares.__getitem__, default=None)


def in_several_formats(cells: Cells) -> str:
    """Say so, with a cell of each, where most cells are dates but no format is that of most."""
    examples = _examples_of_formats(cells)
    if len(examples) < 2:
        return ""
    written = " and ".join(f"`{example}`" for example in examples)
    return f"dates in {len(examples)} formats, as {written}: write them in one"


def _examples_of_formats(cells: Cells) -> list[str]:
    words = pd.Series([str(word) for word in cells.first_words], dtype="str")
    if words.empty or fits(words.tolist(), LIKELY).mean() < MOST:
        return []
    examples: list[str] = []
    while len(words) > (1 - MOST) * len(cells.first_words):
        parsed = {form: _parsed(words, form).notna() for form in FORMATS}
        form = max(parsed, key=lambda form: parsed[form].sum())
        found = words[parsed[form]]
        if found.empty:
            return []
        examples.append(found.iloc[0])
        words = words[~parsed[form]]
    return examples


def time_of_day(cells: Cells) -> str | None:
    """Find the format in which most cells are times of day, or None."""
    sample = cells.counts.index[:200]
    if fits(sample, CLOCK).mean() < MOST:
        return None
    all_cells = cells.values.dropna()
    possible = [form for form in TIMES if _share_parsed(sample.to_series(), form) >= MOST]
    return next((form for form in possible if _share_parsed(all_cells, form) >= MOST), None)


def rising(moments: pd.Series) -> float:
    """Return the share of steps, from a row to the next that differs, that are to a later moment.

    `moments` are dates or numbers; missing ones are left out.
    """
    steps = moments.dropna().diff().dropna()
    if steps.empty:
        return 0.0
    nothing = steps.iloc[0] * 0  # of the same type as a step
    steps = steps[steps != nothing]  # most rows of one moment, and a few of others, are in no order
    return 0.0 if steps.empty else float((steps > nothing).mean())


def sorting(moments: pd.Series) -> Sorting:
    """Tell how moments sort the rows: the newest may come last, or first."""
    rises, falls = rising(moments), rising(moments[::-1])
    return Sorting("rise", rises) if rises >= falls else Sorting("fall", falls)


def clock(cells: Cells) -> str | None:
    """Tell what numbers count since 1970, by pandas' names of units, in a column named like a time.

    None where they are no such numbers of these years.
    """
    if cells.column.type != "integer" or cells.column.unit or not TIME_NAME.search(cells.name):
        return None
    numbers = pd.to_numeric(cells.counts.index.to_series(), errors="coerce").dropna()
    for unit, per_second in CLOCKS.items():
        earliest, latest = (year * per_second for year in YEARS)
        if len(numbers) and numbers.between(earliest, latest).all():
            return unit
    return None


def _parsed(values: pd.Series, form: str) -> pd.Series:
    return pd.to_datetime(values, format=form, errors="coerce", utc=True)


def _share_parsed(values: pd.Series, form: str) -> float:
    return float(_parsed(values, form).notna().mean())
