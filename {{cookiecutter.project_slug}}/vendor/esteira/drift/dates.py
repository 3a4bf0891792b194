"""A column of dates: how many rows lie in each hour of the day, weekday and month.

Dates move on, so what is compared is the part of the cycle: of the rows of a batch, not more should
come at night than the reference's share lets one expect. What the time between a batch's first and
last date passes through seldom or never is expected seldom or never.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from esteira.drift import statistics
from esteira.drift.records import Calendar, Comparison, DatePart, Sizes

HOUR, DAY = 3600, 86400  # in seconds
CELLS: dict[DatePart, int] = {"hour": 24, "weekday": 7, "month": 12}
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
MONTHS = "January February March April May June July August September October November December"
NAMES: dict[DatePart, tuple[str, ...]] = {
    "hour": tuple(f"{hour:02d}" for hour in range(24)),
    "weekday": tuple(WEEKDAYS.split()),
    "month": tuple(MONTHS.split()),
}
# days that reference and batch must span: shorter ones differ by which days they hold
FEWEST_DAYS: dict[DatePart, int] = {"hour": 3, "weekday": 21, "month": 365}
MOST_YEARS = 300  # spanned by dates that are looked at one by one
LARGEST = 250_000_000_000  # seconds from 1970 on: year 9892
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def seconds(cells: pa.Array) -> np.ndarray:
    """Dates as whole seconds from 1970 on (UTC), without the missing and the absurd ones."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_date(cells.type):
        cells = cells.cast(pa.timestamp("ms"))
    whole: np.ndarray = np.from_dlpack(cells.drop_null().view(pa.int64()))
    since_1970 = whole // PER_SECOND[cells.type.unit]
    return since_1970[np.abs(since_1970) <= LARGEST]


def parts(since_1970: np.ndarray) -> dict[DatePart, np.ndarray]:
    """The cell of each date in each part, by the number of seconds since 1970."""
    months = since_1970.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
    return {
        "hour": since_1970 // HOUR % 24,
        "weekday": (since_1970 // DAY + 3) % 7,  # 1970 began on a Thursday
        "month": months % 12,
    }


def tally(since_1970: np.ndarray) -> Calendar | None:
    """Count dates by part; None where there is no date."""
    if not len(since_1970):
        return None
    rows = {
        part: tuple(np.bincount(cells, minlength=CELLS[part]).tolist())
        for part, cells in parts(since_1970).items()
    }
    return Calendar(first=int(since_1970.min()), last=int(since_1970.max()), **rows)


def merge(one: Calendar | None, other: Calendar | None) -> Calendar | None:
    """The counts of two parts of one column together."""
    if one is None or other is None:
        return one or other
    return Calendar(
        first=min(one.first, other.first),
        last=max(one.last, other.last),
        hour=add(one.hour, other.hour),
        weekday=add(one.weekday, other.weekday),
        month=add(one.month, other.month),
    )


def add(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """Sums, cell by cell."""
    return tuple(left + right for left, right in zip(one, other, strict=True))


def passed(calendar: Calendar, part: DatePart) -> np.ndarray:
    """How often the time from the first to the last date passes through each cell of a part."""
    days = np.arange(calendar.first // DAY, calendar.last // DAY + 1) * DAY
    if part == "hour":
        hours = np.arange(calendar.first // HOUR, calendar.last // HOUR + 1)
        return np.bincount(hours % 24, minlength=24)
    return np.bincount(parts(days)[part], minlength=CELLS[part])


def expected(before: Calendar, now: Calendar, part: DatePart) -> statistics.BothCounts | None:
    """The reference's counts as the batch's time lets one expect them, and the batch's.

    None where the reference or the batch does not span enough, or the reference has rows in one
    cell alone, as dates without a time of day have. Weighted counts are worth fewer rows than they
    are (Kish 1965).
    """
    for calendar in (before, now):
        days = (calendar.last - calendar.first) / DAY
        if not FEWEST_DAYS[part] <= days <= MOST_YEARS * 366:
            return None
    passed_before, passed_now = passed(before, part), passed(now, part)
    both = (passed_before > 0) & (passed_now > 0)
    rows = np.array(getattr(before, part))[both]
    if np.count_nonzero(rows) < 2:
        return None
    weighted = rows * (passed_now[both] / passed_before[both])
    worth = weighted.sum() ** 2 / (weighted**2 / np.maximum(rows, 1)).sum()
    batch = np.array(getattr(now, part))[both]
    if not batch.any():
        return None
    names = tuple(NAMES[part][cell] for cell in np.nonzero(both)[0])
    return statistics.BothCounts(weighted * (worth / weighted.sum()), batch, names)


def compare(before: Calendar, now: Calendar) -> Iterator[Comparison]:
    """Test each part that both sides cover."""
    for part in CELLS:
        counts = expected(before, now, part)
        if counts is None:
            continue
        merged = statistics.merge_rare(counts.reference, counts.batch)
        yield Comparison(
            aspect=part,
            p=statistics.chi2_p(merged.reference, merged.batch),
            sizes=Sizes(total_variation=statistics.total_variation(merged.reference, merged.batch)),
        )
