"""Rotation of the hash key: what a value of the lake becomes under each key that came after the first one.

A value that is a keyed hash, or looks like one, becomes its keyed hash under the next key, and so on. So the rows of
the lake can be changed without the addresses that the hashes were made of, and a row that is read later is the same as
one that was changed. Who has only an earlier key can test no guess any more.

An id that was sent is also changed if it is 32 hex digits, because nothing tells it from a keyed hash. It stays one id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.columns import replaced_at
from ingest.rows.privacy.hashes import HASH_BYTES, keyed_hash

_LOOKS_HASHED = f"^[0-9a-f]{{{2 * HASH_BYTES}}}$"

Rekey = Callable[[pa.Array], pa.Array]


def rekeying(keys: Sequence[str]) -> Rekey:
    """A function from texts to the same texts under later keys, in order; the texts may be a dictionary.

    Raises:
        SettingsError: a key is short enough to be guessed.
    """
    hashes = [keyed_hash(key) for key in keys]

    def hashed(value: str) -> str:
        for hash_text in hashes:
            value = hash_text(value)
        return value

    def rekeyed(values: pa.Array) -> pa.Array:
        if not hashes:
            return values
        is_dictionary = pa.types.is_dictionary(values.type)
        encoded = values if is_dictionary else values.dictionary_encode()
        distinct = encoded.dictionary.cast(pa.string())
        rows = np.flatnonzero(pc.match_substring_regex(distinct, _LOOKS_HASHED).fill_null(False))
        if not len(rows):
            return values
        found = pa.array([hashed(value) for value in distinct.take(pa.array(rows)).to_pylist()], pa.string())
        changed = replaced_at(distinct, rows, found)
        if is_dictionary:
            return pa.DictionaryArray.from_arrays(encoded.indices, changed)
        return changed.take(encoded.indices)

    return rekeyed


def chained(keys: Sequence[str]) -> Callable[[str], str]:
    """A keyed hash under all keys, the first one first."""
    first, rest = keyed_hash(keys[0]), [keyed_hash(key) for key in keys[1:]]

    def hash_text(text: str) -> str:
        value = first(text)
        for each in rest:
            value = each(value)
        return value

    return hash_text
