"""Works on the distinct values of Arrow columns: compute once for each value, then map the result to the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def is_null(values: pa.Array) -> np.ndarray:
    if not values.null_count:
        return np.zeros(len(values), dtype=bool)
    return values.is_null().to_numpy(zero_copy_only=False)


def codes_of(values: pa.DictionaryArray) -> np.ndarray:
    """Indices into the dictionary. Null becomes the index after its end, for lookups in an array that ends in a
    default."""
    indices = values.indices
    if indices.null_count:
        indices = indices.fill_null(len(values.dictionary))
    return indices.to_numpy(zero_copy_only=False)


def text_bytes(values: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets of the texts of a string array with the end of the last, all their bytes), without a copy."""
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2]
    content = np.frombuffer(b"" if data is None else data, dtype=np.uint8)
    return offsets - offsets[0], content[offsets[0] : offsets[-1]]


def hex_texts(values: np.ndarray) -> pa.Array:
    """The rows of a matrix of bytes as texts of hex digits; null for a row of zeros."""
    digits = np.frombuffer(values.tobytes().hex().encode(), dtype=np.uint8)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * (2 * values.shape[1])
    texts = pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(digits))
    is_known = values.any(axis=1)
    return texts if is_known.all() else pc.if_else(pa.array(is_known), texts, pa.scalar(None, pa.string()))


def remapped(values: pa.DictionaryArray, mapped: pa.Array) -> pa.DictionaryArray:
    """The same rows with each distinct value replaced. Equal results share one entry of the new dictionary."""
    encoded = mapped.dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(values.indices), encoded.dictionary)


def replaced_at(values: pa.Array, rows: np.ndarray, new: pa.Array) -> pa.Array:
    """The values, with those at `rows`, which are ascending, replaced by `new`."""
    mask = np.zeros(len(values), dtype=bool)
    mask[rows] = True
    return pc.replace_with_mask(values, pa.array(mask), new)


def map_distinct(values: pa.DictionaryArray, function: Callable[[str], str]) -> pa.DictionaryArray:
    return remapped(values, pa.array([function(value) for value in values.dictionary.to_pylist()], pa.string()))


def count_of_each(values: np.ndarray) -> dict[int, int]:
    """Number → how often it occurs."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def single(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """One array, from one or several chunks."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
