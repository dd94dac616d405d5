"""Remembers, in the native core, what functions in Python make of each distinct text."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from ingest.native.library import Core, Texts

MOST_BYTES = 128 << 20  # of texts and results; with more, all are forgotten

_POINTER, _SIZE, _STATUS = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


class _Texts(ctypes.Structure):
    _fields_ = (("ends", _POINTER), ("bytes", _POINTER), ("size", _SIZE), ("length", _SIZE))


class Known:
    """Safe to use from several threads.

    Args:
        function: gives some columns of texts for a list of texts, row by row.
        width: the number of these columns.
    """

    def __init__(
        self,
        core: Core,
        function: Callable[[list[str]], Sequence[pa.Array]],
        width: int,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._core = core
        self._function = function
        self._width = width
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._new = core.function("known_new", _STATUS, _POINTER)
        self._find = core.function("known_find", _STATUS, _POINTER, _POINTER, _POINTER)
        self._count = core.function("known_count", _SIZE, _POINTER)
        self._bytes = core.function("known_bytes", _SIZE, _POINTER)
        self._texts = core.function("known_texts", _STATUS, _POINTER, _SIZE, _POINTER)
        self._add = core.function("known_add", _STATUS, _POINTER, _SIZE, _POINTER, _POINTER)
        self._take = core.function("known_take", _STATUS, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER)
        self._free = core.function("known_free", None, _POINTER)
        self._held: ctypes.c_void_p | None = None

    def __call__(self, values: pa.DictionaryArray) -> list[pa.DictionaryArray]:
        """The columns of the function, for each row's text; null where the text is null.

        Raises:
            NativeError: the core failed; all is forgotten.
        """
        distinct = values.dictionary
        codes = np.empty(len(distinct), dtype=np.int32)
        with self._lock:
            held, self._held = self._held or self._made(), None  # what has failed is not used again
            before = self._count(held)
            self._core.check(self._find(held, ctypes.byref(_given(distinct)), codes.ctypes.data))
            if self._count(held) > before:
                self._learn(held, before)
            found = [
                self._core.array(self._take, held, number, codes.ctypes.data, len(codes), type=_DICTIONARY)
                for number in range(self._width)
            ]
            if self._bytes(held) > self._most_bytes:
                self._free(held)
            else:
                self._held = held
        return [pa.DictionaryArray.from_arrays(each.indices.take(values.indices), each.dictionary) for each in found]

    def _made(self) -> ctypes.c_void_p:
        made = _POINTER()
        self._core.check(self._new(ctypes.byref(made)))
        return made

    def _learn(self, held: ctypes.c_void_p, before: int) -> None:
        texts = self._core.array(self._texts, held, before, type=pa.string())
        for number, results in enumerate(self._function(texts.to_pylist())):
            is_valid = results.is_valid().cast(pa.uint8()).to_numpy()
            self._core.check(self._add(held, number, ctypes.byref(_given(results)), is_valid.ctypes.data))

    def __del__(self) -> None:
        if self._held:
            self._free(self._held)


def _given(array: pa.Array) -> _Texts:
    """The texts of an array, which must live while they are used."""
    texts = Texts(array)
    return _Texts(texts.ends, texts.data, texts.size, texts.count)
