"""How a day is written, and read: the one place for both. Everywhere else a day is a `datetime.date`, UTC."""

from __future__ import annotations

from datetime import date
from functools import lru_cache

MAX_KNOWN = 10_000  # texts that are read once; a listing names each day many times


@lru_cache(MAX_KNOWN)
def parse_day(text: str) -> date:
    """The day of a text `YYYY-MM-DD`.

    Raises:
        ValueError: it is none, or is written in another way.
    """
    day = date.fromisoformat(text)
    if day_text(day) != text:
        raise ValueError(f"{text!r} is no day YYYY-MM-DD")
    return day


def day_text(day: date) -> str:
    """`YYYY-MM-DD`: how a day is called in folders, partition keys, JSON and commands."""
    return day.isoformat()
