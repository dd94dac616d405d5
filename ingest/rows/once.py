"""Calls functions of a text once for each distinct text of a run, and makes columns of their results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from ingest.native.known import Known
from ingest.native.library import NativeError, core
from ingest.rows.columns import remapped
from ingest.rows.enrich import CACHE_SIZE, Remembered

log = logging.getLogger(__name__)


class OncePerText:
    """Safe to use from several threads. The native core remembers the results where it is used, else `Remembered`.

    Args:
        function: what is made of a text; never None.
        columns: columns of text from a list of such results.
        width: the number of these columns.
        size: results that the Python way remembers, in each of two generations.
    """

    def __init__(
        self,
        function: Callable[[str], Any],
        columns: Callable[[list[Any]], Sequence[pa.Array]],
        width: int = 1,
        size: int = CACHE_SIZE,
    ) -> None:
        native = core()
        self._known = Known(native, lambda texts: columns(list(map(function, texts))), width) if native else None
        self._remembered = Remembered(function, size)
        self._columns = columns

    def __call__(self, values: pa.DictionaryArray) -> list[pa.DictionaryArray]:
        """The columns for each row's text; null where the text is null."""
        if self._known is not None:
            try:
                return self._known(values)
            except NativeError as error:
                log.warning("the native core failed, so texts are remembered the Python way: %s", error)
                self._known = None
        found = self._columns(self._remembered(values.dictionary.to_pylist()))
        return [remapped(values, texts) for texts in found]
