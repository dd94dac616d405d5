"""Reads the values of text columns: numbers, and times from dates and clocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.columns import codes_of, is_null

TIMESTAMP_MS = "timestamp(ms)"
MAX_STATUS = 999
MAX_INTEGER = 10**18 - 1
DAY_US = 86_400_000_000  # microseconds
NO_TIME = np.iinfo(np.int64).min

_EPOCH = date(1970, 1, 1)
_INTEGER = r"^(-?0*[0-9]{1,18}|0[xX][0-9A-Fa-f]{1,16})$"
_REAL = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def read_numbers(values: pa.Array, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
    """(numbers, mask of texts that could not be read and are null). It accepts the same texts as the typed reader:
    blanks around a number and hexadecimal numbers are read, numbers that are not finite are not."""
    is_real = kind == pa.float64()
    trimmed = pc.utf8_trim(values, " \t")
    is_readable = pc.match_substring_regex(trimmed, _REAL if is_real else _INTEGER)
    numbers = pc.if_else(is_readable, trimmed, pa.scalar(None, pa.string())).cast(kind if is_real else pa.int64())
    if is_real:
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, kind))
    elif kind == pa.int32():
        in_range = pc.and_(pc.greater_equal(numbers, 0), pc.less_equal(numbers, MAX_STATUS))
        numbers = pc.if_else(in_range, numbers, pa.scalar(None, pa.int64())).cast(kind)
    else:
        in_range = pc.and_(pc.greater_equal(numbers, -MAX_INTEGER), pc.less_equal(numbers, MAX_INTEGER))
        numbers = pc.if_else(in_range, numbers, pa.scalar(None, kind))
    return numbers, is_null(numbers) & ~is_null(values)


def microseconds(day: date) -> int:
    """Microseconds from 1970 to this day."""
    return (day - _EPOCH).days * DAY_US


def read_times(columns: Mapping[str, pa.Array], length: int) -> np.ndarray:
    """Microseconds since 1970 of each row; `NO_TIME` if date or time is missing or invalid."""
    times = np.full(length, NO_TIME)
    is_open = np.ones(length, dtype=bool)  # neither date nor time is given
    if "date" in columns and "time" in columns:
        dates, clocks = _coded(columns["date"]), _coded(columns["time"])
        days, clock = _looked_up(dates, _day_us), _looked_up(clocks, _clock_us)
        times = np.where((days == NO_TIME) | (clock == NO_TIME), NO_TIME, days + clock)
        is_open = is_null(dates) & is_null(clocks)
    if TIMESTAMP_MS not in columns or not is_open.any():
        return times
    milliseconds, _ = read_numbers(columns[TIMESTAMP_MS].cast(pa.string()), pa.int64())
    found = milliseconds.fill_null(-1).to_numpy(zero_copy_only=False)
    is_good = (found >= 0) & (found < 1 << 50)
    return np.where(is_open & is_good, found * is_good // 1000 * 1_000_000, times)


def _looked_up(values: pa.DictionaryArray, function: Callable[[str], int]) -> np.ndarray:
    distinct = [function(value) for value in values.dictionary.to_pylist()]
    return np.array([*distinct, NO_TIME], dtype=np.int64)[codes_of(values)]


def _day_us(text: str) -> int:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return NO_TIME
    try:
        return microseconds(date.fromisoformat(text))
    except ValueError:
        return NO_TIME


def _clock_us(text: str) -> int:
    """Microseconds since midnight. A leap second counts as the second before it, the last one of a day here."""
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9]|60)", text)
    return (
        NO_TIME if match is None else ((int(match[1]) * 60 + int(match[2])) * 60 + min(int(match[3]), 59)) * 1_000_000
    )


def _coded(values: pa.Array) -> pa.DictionaryArray:
    return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
