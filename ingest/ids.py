"""Ids that senders give: those that stand for no id, and those that are a person's address and must not be stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from ingest.privacy import SUSPECT, normal_address, normal_form, scrub

# Ids that stand for no id. Beside these: zeros and dashes alone, as in an all-zero UUID or advertising id.
PLACEHOLDERS = (
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "anonymous",
    "anon",
    "unknown",
    "n/a",
    "na",
    "not set",
    "(not set)",
    "(none)",
    "[object object]",
    "false",
    "guest",
    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
)
_NONE = "|".join(re.escape(each) for each in PLACEHOLDERS)
_IS_NONE = re.compile(rf"(?i)(?:{_NONE})|[0\s-]*")
# What RE2 looks for on whole columns; only ids with a hit are looked at one by one: placeholders, blanks at an end,
# and what may be an e-mail, phone or IP address.
_SUSPECT = rf"^\s|\s$|^(?i:{_NONE})$|^[0-]*$|{SUSPECT}"


def known_ids(ids: pa.Array, keyed_hash: Callable[[str], str]) -> pa.Array:
    """The ids without blanks around them, null where they stand for none.

    One that is, or holds, an e-mail address, a phone number or an IP address is replaced by its keyed hash: however it
    is written, the same person has the same one.
    """
    suspects = pc.match_substring_regex(ids, _SUSPECT).fill_null(False)
    if not pc.any(suspects).as_py():
        return ids
    values = [_known(value, keyed_hash) for value in ids.filter(suspects).to_pylist()]
    return pc.replace_with_mask(ids, suspects, pa.array(values, pa.string()))


def _known(value: str, keyed_hash: Callable[[str], str]) -> str | None:
    value = value.strip()
    if _IS_NONE.fullmatch(value):
        return None
    is_personal = scrub(value) != value or normal_address(value) is not None
    return keyed_hash(normal_form(value)[0].strip().lower()) if is_personal else value


def device_fingerprints(given: pa.Array, traits: pa.Array, separator: str, fewest: int = 3) -> pa.Array:
    """The given fingerprint, else a hash of what is known of the device where that is enough to tell it by.

    Args:
        traits: what is known of it, each thing with its name, between separators.
        fewest: so many things must be known.
    """
    encoded = traits.dictionary_encode()
    found = [
        hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() if text.count(separator) >= fewest - 1 else None
        for text in encoded.dictionary.to_pylist()
    ]
    return pc.coalesce(given, pa.array(found, pa.string()).take(encoded.indices))
