"""Reads lines of text logs, and parameters of query strings, with the native core.

The core reads what is usual. It names all other lines and queries, and the Python way reads those.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pyarrow as pa

from ingest.native.library import Core, Texts, numbers
from ingest.rows.columns import DICTIONARY
from ingest.rows.encoding import NEVER_ADDED

_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_uint64
_KINDS = {
    DICTIONARY: b"c",
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
        self._core.check(status)
        try:
            columns = {
                name: self._core.array(self._column, reader, at, type=types[name])
                for at, name in enumerate(fields)
                if name in types and name not in clocks
            }
            times = None
            if clocks:
                times = self._core.array(self._column, reader, fields.index("date"), type=pa.int64()).to_numpy()
            return columns, times, numbers(self._odd, reader, 3)
        finally:
            self._free(reader)


class _Queries(ctypes.Structure):
    _fields_ = (
        ("ends", _POINTER),
        ("length", _SIZE),
        ("bytes", _POINTER),
        ("size", _SIZE),
        ("rows", _POINTER),
        ("count", _SIZE),
    )


class ParameterReader:
    """Safe to use from several threads.

    Args:
        names: the parameters that are read, in small letters, each of three letters at most.
    """

    def __init__(self, core: Core, names: Sequence[str]) -> None:
        self._core = core
        self._names = names
        self._of_client = bytes(re.fullmatch(NEVER_ADDED, f"%{byte:02X}") is not None for byte in range(256))
        self._read = core.function(
            "parameters_read", ctypes.c_int, _POINTER, ctypes.c_char_p, _SIZE, ctypes.c_char_p, _POINTER
        )
        self._column = core.function("parameters_column", ctypes.c_int, _POINTER, _SIZE, _POINTER)
        self._odd = core.function("parameters_odd", _SIZE, _POINTER, _POINTER)
        self._free = core.function("parameters_free", None, _POINTER)

    def read(self, queries: pa.Array, rows: np.ndarray) -> tuple[dict[str, pa.DictionaryArray], np.ndarray]:
        """(name → values as logged, the rows that must be read otherwise and are null).

        Args:
            queries: texts.
            rows: those that are read, ascending; all others are null.

        Raises:
            NativeError: as of `LineReader.read`.
        """
        texts = Texts(queries)
        rows = np.ascontiguousarray(rows, dtype=np.int64)
        given = _Queries(texts.ends, texts.count, texts.data, texts.size, rows.ctypes.data, len(rows))
        names = " ".join(self._names).encode()
        reader = _POINTER()
        self._core.check(self._read(ctypes.byref(reader), names, len(names), self._of_client, ctypes.byref(given)))
        try:
            columns = {
                name: self._core.array(self._column, reader, at, type=DICTIONARY) for at, name in enumerate(self._names)
            }
            return columns, numbers(self._odd, reader).reshape(-1)
        finally:
            self._free(reader)


@cache
def line_reader(core: Core) -> LineReader:
    """The reader of a loaded core."""
    return LineReader(core)


@cache
def parameter_reader(core: Core, names: tuple[str, ...]) -> ParameterReader:
    """The reader of a loaded core."""
    return ParameterReader(core, names)
