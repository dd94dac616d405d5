"""Parses and formats days; no other module does. Everywhere else a day is a `datetime.date` in UTC."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

MAX_KNOWN = 10_000  # parsed texts in the cache; a listing names each day many times


@lru_cache(MAX_KNOWN)
def parse_day(text: str) -> date:
    """Parse a day written as `YYYY-MM-DD`.

    Raises:
            ValueError: the text is not a day, or has another format.
    """
    day = date.fromisoformat(text)
    if day_text(day) != text:
        raise ValueError(f"{text!r} is no day YYYY-MM-DD")
    return day


def day_text(day: date) -> str:
    """`YYYY-MM-DD`: the form of a day in folders, partition keys, JSON and commands."""
    return day.isoformat()
