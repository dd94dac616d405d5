"""Reads lines of text logs with the native core: the same columns as the reader of `files.py`, at a third of its cost.

The core reads usual lines. It names all others, and `files.py` reads those.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache

import numpy as np
import pyarrow as pa

from ingest.native.library import Core

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_uint64
_KINDS = {
    pa.dictionary(pa.int32(), pa.string()): b"c",
    pa.string(): b"t",
    pa.int64(): b"i",
    pa.int32(): b"s",
    pa.float64(): b"r",
}


class LineReader:
    """Safe to use from several threads."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._read = core.function("logs_read", ctypes.c_int, _POINTER, ctypes.c_char_p, _SIZE, _POINTER, _SIZE, _SIZE)
        self._column = core.function("logs_column", ctypes.c_int, _POINTER, _SIZE, _POINTER)
        self._odd = core.function("logs_odd", _SIZE, _POINTER, _POINTER)
        self._free = core.function("logs_free", None, _POINTER)

    def read(
        self, data: bytes | memoryview, fields: tuple[str, ...], types: Mapping[str, pa.DataType], rows: int
    ) -> tuple[dict[str, pa.Array], np.ndarray | None, np.ndarray]:
        """(columns of the usual lines, their times, the other lines).

        The times are microseconds since 1970 and take the place of date and time; None if the fields have not both.
        Each of the other lines is three numbers: the line from 0, where it begins and where it ends in `data`.

        Args:
            data: whole lines, each with its newline.
            types: the type of each field that is kept.
            rows: the number of lines.

        Raises:
            NativeError: it has too little memory, or the core has an error.
        """
        content = np.frombuffer(data, dtype=np.uint8)
        clocks = {"date": b"d", "time": b"h"} if {"date", "time"} <= set(fields) else {}
        kinds = b"".join(clocks.get(name) or (_KINDS[types[name]] if name in types else b"-") for name in fields)
        reader = _POINTER()
        status = self._read(ctypes.byref(reader), kinds, len(kinds), content.ctypes.data, len(content), rows)
        self._core.check(status)  # a reader that has failed is left as it is: its memory may be damaged
        try:
            columns = {
                name: self._core.array(self._column, reader, at, type=types[name])
                for at, name in enumerate(fields)
                if name in types and name not in clocks
            }
            times = None
            if clocks:
                times = self._core.array(self._column, reader, fields.index("date"), type=pa.int64()).to_numpy()
            return columns, times, self._odd_lines(reader)
        finally:
            self._free(reader)

    def _odd_lines(self, reader: ctypes.c_void_p) -> np.ndarray:
        found = _POINTER()
        count = self._odd(reader, ctypes.byref(found))
        if not count:
            return np.empty((0, 3), dtype=np.int64)
        numbers = ctypes.cast(found, ctypes.POINTER(ctypes.c_int64))
        return np.ctypeslib.as_array(numbers, (count, 3)).copy()


@cache
def line_reader(core: Core) -> LineReader:
    """The reader of a loaded core."""
    return LineReader(core)
