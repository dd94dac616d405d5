"""Single values of rules: numbers with units, and the normal form of event types."""

from __future__ import annotations

import re

import pyarrow as pa

from ingest.events.roles import snake

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
UNITS = {"seconds": 1, "hours": 3_600, "days": 86_400, "weeks": 604_800}  # the ends of names → seconds
SHOWN = {"seconds": "1800s or 30m", "hours": "24h or 1d", "days": "30d or 4w", "weeks": "12w"}
_DURATION = re.compile(r"([0-9]{1,12}) ?([smhdw])", re.ASCII)
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]{1,15}([.][0-9]{1,15})?|[.][0-9]{1,15})", re.ASCII)


def whole(text: str) -> int:
    """
    Raises:
        ValueError: the text is no whole number.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError("must be a whole number, such as 7")
    return int(text)


def number(text: str) -> float:
    """
    Raises:
        ValueError: the text is no number.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError("must be a number, such as 0.95")
    return float(text)


def boolean(text: str) -> bool:
    """
    Raises:
        ValueError: the text is neither true nor false. Yes and no are not taken: where they are names, such as the
            country Norway, they would be mistaken.
    """
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def duration(text: str, unit: str) -> int:
    """A text with its own unit, such as `30m`, as a whole number of another unit: seconds, hours, days or weeks.

    Raises:
        ValueError: the text has no unit, or is no whole number of the other unit.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"must be a number with its unit, such as {SHOWN[unit]}")
    seconds = int(found[1]) * SECONDS[found[2]]
    if seconds % UNITS[unit]:
        raise ValueError(f"must be a whole number of {unit}, such as {SHOWN[unit]}")
    return seconds // UNITS[unit]


def in_unit(text: str, unit: str) -> int:
    """A whole number of a unit, or a text with a unit of its own. Raises ValueError as the two do."""
    return duration(text, unit) if text[-1:].isalpha() else whole(text)


def event_type(text: str) -> str:
    """An event type in the form in which events have it: `Sign up` is `sign_up`, `pageview` is `page_view`."""
    found = snake(pa.array([text], pa.string()))[0].as_py()
    return str(found or "")


def in_words(seconds: int) -> str:
    """`7 days`, `48 hours`, `90 seconds`."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit if seconds > size else unit[:-1]}"
    return f"{seconds} seconds"
