"""Days, and those around them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from ingest.days import day_text, parse_day


class Around(NamedTuple):
    """So many days before a day, and after it."""

    before: int
    after: int


NOTHING_AROUND = Around(0, 0)


def window(start: str | None, end: str | None) -> list[date]:
    """The days from `start` to `end`, the end not included, as dbt's `--event-time-start` and `--event-time-end` give
    them; none without both. A part of a day asks for that whole day."""
    if not (start and end):
        return []
    first, behind = parse_day(start[:10]), parse_day(end[:10])
    if end[11:].replace("0", "").replace(":", ""):
        behind += timedelta(days=1)
    return [first + timedelta(days=offset) for offset in range((behind - first).days)]


def shifted(day: date, days: int) -> date:
    """The day so many days later; earlier where they are negative. The calendar's ends stand."""
    try:
        return day + timedelta(days=days)
    except OverflowError:
        return date.min if days < 0 else date.max


def around(days: Iterable[date], span: Around) -> list[date]:
    """Some days, and those around each of them, in order."""
    return sorted({shifted(day, offset) for day in days for offset in range(-span.before, span.after + 1)})


def iso(days: Iterable[date]) -> list[str]:
    return [day_text(day) for day in days]
