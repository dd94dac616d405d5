"""Loads the native core, and calls its functions.

`choose` says which way this process reads objects: `native`, `python`, or `auto`, which is native where the core is
compiled. Both ways give the same rows.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import SettingsError
from ingest.native.build import compiled_file

AUTO, NATIVE, PYTHON = "auto", "native", "python"
READERS = (AUTO, NATIVE, PYTHON)
ERRORS = {1: "it is out of memory", 2: "a column has more than 2 GiB of text"}


class NativeError(Exception):
    """The core could not do what it was asked. What it had begun is not used; the same is read the Python way."""


class _Array(ctypes.Structure):
    """`ArrowArray` of Arrow's C data interface."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers", "n_children")),
        *((name, ctypes.c_void_p) for name in ("buffers", "children", "dictionary", "release", "private_data")),
    )


@dataclass(frozen=True)
class Way:
    """How objects are read here. core: None for the Python way. why: one line for people."""

    core: Core | None
    why: str


class Core:
    """The loaded library. Its functions release Python's lock while they run."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._library.panic_message.restype = ctypes.c_char_p
        self._library.set_seed(ctypes.c_uint64(int.from_bytes(os.urandom(8), "little")))

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """A function of the library. arguments, result: types of ctypes."""
        found = self._library[name]
        found.restype, found.argtypes = result, arguments
        return found

    def check(self, status: int) -> None:
        """Raises a NativeError for any status but 0."""
        if status:
            panic = (self._library.panic_message() or b"").decode("utf-8", "replace")
            raise NativeError(ERRORS.get(status, f"a check failed: {panic}"))

    def array(self, hand_over: Any, *arguments: Any, type: pa.DataType) -> pa.Array:
        """The column that a function of the library moves to Arrow. Arrow frees its memory.

        hand_over: takes the arguments and the address of an `ArrowArray`, returns a status.
        """
        array = _Array()
        self.check(hand_over(*arguments, ctypes.byref(array)))
        return pa.Array._import_from_c(ctypes.addressof(array), type)


class Texts:
    """The memory of a string array, which lives as long as this.

    ends: address of the offsets of its texts, with the end of the last. data, size: address and length of all bytes of
    its buffer. count: the number of texts.
    """

    def __init__(self, array: pa.Array) -> None:
        self._array = array
        _, ends, data = array.buffers()
        self.count = len(array)
        self.ends = ends.address + 4 * array.offset if self.count else _NO_TEXTS.ctypes.data
        self.data: int = data.address if data else 0
        self.size: int = data.size if data else 0


_NO_TEXTS = np.zeros(1, dtype=np.int32)


def numbers(function: Any, reader: ctypes.c_void_p, width: int = 1) -> np.ndarray:
    """A copy of the numbers that a reader of the core lists, `width` in each row.

    function: takes the reader and where to put the address of the numbers, returns the number of rows.
    """
    start = ctypes.c_void_p()
    count = function(reader, ctypes.byref(start))
    if not count:
        return np.empty((0, width), dtype=np.int64)
    return np.array((ctypes.c_int64 * (count * width)).from_address(start.value or 0)).reshape(count, width)


_chosen = AUTO


def choose(reader: str) -> None:
    """Sets the way for this process.

    Raises:
        SettingsError: it asks for a core that is not there.
    """
    global _chosen
    if reader == NATIVE and _loaded().core is None:
        raise SettingsError(f"CLICKLAKE_READER is {NATIVE}, but {_loaded().why.removeprefix('the Python way: ')}")
    _chosen = reader


def core() -> Core | None:
    """The native core, None for the Python way."""
    return way().core


def way() -> Way:
    """Which way this process reads objects."""
    return Way(None, "the Python way, as CLICKLAKE_READER says") if _chosen == PYTHON else _loaded()


@cache
def _loaded() -> Way:
    file = compiled_file()
    if not file.exists():
        return Way(None, "the Python way: no native core is compiled for this system (`make setup` does)")
    try:
        return Way(Core(ctypes.CDLL(str(file))), "the native way")
    except (OSError, AttributeError) as error:
        return Way(None, f"the Python way: the native core cannot be loaded ({error})")
