"""Whole columns scrubbed: RE2 finds the values that could hold something, and those alone are looked at one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.columns import remapped
from ingest.privacy.fields import scrub_json
from ingest.privacy.normal_form import VARIANTS
from ingest.privacy.personal import scrub

_RE2_VARIANTS = "".join(each if each == "-" else f"\\x{{{ord(each):x}}}" for each in VARIANTS)
# Of letters, digits and dots no client makes escapes; of signs that stand in numbers and addresses it does.
_HIDDEN = (
    r"%(?:25)*(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[Ee]|26%(?:25)*23)"
    r"|%(?:25)*(?:[Ee][Ff]%(?:25)*[Bb][9CcDd]|[Ee]2%(?:25)*8|[Dd][9Bb]%|[Cc]2%(?:25)*[Aa][0Dd])"
    r"|&#|&(?:commat|period|plus|hyphen|dash|lpar|rpar|colon|nbsp|num);|&amp;#|\\[ux]|%u00"
    rf"|[{_RE2_VARIANTS}]"
)
_GAP = r"(?:[ .+)(-]|%(?:25)*2[0DdEeBb89])"
_SIGN_OF_NAME = "(?i:phone|tel|mobile|cell|msisdn|fax|gsm|whatsapp)"
# What RE2 looks for on whole columns.
SUSPECT = (
    "@|%(?:25)*40"
    r"|[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
    r"|(?::|%(?:25)*3[Aa])[0-9A-Fa-f]{0,4}(?::|%(?:25)*3[Aa])"
    rf"|(?:\+|%(?:25)*2[Bb]){_GAP}*[0-9]"
    rf"|[0-9]{{3}}{_GAP}+[0-9]{{3}}{_GAP}+[0-9]{{4}}"
    rf"|{_SIGN_OF_NAME}[A-Za-z0-9_.-]*(?:\]|%(?:25)*5[Dd])?[ +]?(?:=|:|%(?:25)*3[DdAa])"
    rf"|{_HIDDEN}"
)


# Without one of these bytes there is nothing personal in an id of so many characters.
_MARKS = b"@.%:+&\\ ("
# So few values, methods and protocols, are the same in batch after batch: RE2 would have to be set up for each.
FEW = 32
LONGEST_REMEMBERED = 256  # characters
MIN_MACHINE_ID = 40


def scrub_column(values: pa.Array, addresses: bool = True) -> pa.Array:
    """`scrub` over a text column; of a dictionary over its values."""
    if pa.types.is_dictionary(values.type):
        distinct = scrub_column(values.dictionary, addresses)
        return values if distinct is values.dictionary else remapped(values, distinct)
    if len(values) <= FEW:
        scrubbed = pa.array([_scrubbed(text, addresses) for text in values.to_pylist()], values.type)
        return values if scrubbed.equals(values) else scrubbed
    return _replaced(values, SUSPECT, lambda text: scrub(text, addresses))


def _scrubbed(text: str | None, addresses: bool) -> str | None:
    if text is None or len(text) > LONGEST_REMEMBERED:
        return text and scrub(text, addresses)
    return _remembered(text, addresses)


_remembered = lru_cache(4096)(scrub)


def scrub_machine_ids(values: pa.Array) -> pa.Array:
    """The same over ids that machines make, each another: a look at the bytes of all of them is enough for most."""
    lengths = pc.min_max(pc.binary_length(values)).as_py()
    if lengths["min"] is None:
        return values
    texts = values.cast(pa.large_string())
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2].slice(offsets[0], offsets[-1] - offsets[0]).to_pybytes()
    if lengths["min"] >= MIN_MACHINE_ID and data.isascii() and not any(mark in data for mark in _MARKS):
        return values
    return scrub_column(values)


def scrub_json_column(values: pa.Array) -> pa.Array:
    """`scrub` and `scrub_json` over JSON texts."""
    return scrub_column(_replaced(values, _JSON_SUSPECT, scrub_json))


def _replaced(values: pa.Array, suspect: str, function: Callable[[str], str]) -> pa.Array:
    """The values, those in which RE2 finds what is suspect passed through a function."""
    suspects = pc.match_substring_regex(values, suspect)
    rows = np.flatnonzero(suspects.fill_null(False).to_numpy(zero_copy_only=False))
    if not len(rows):
        return values
    mask = np.zeros(len(values), dtype=bool)
    mask[rows] = True
    scrubbed = pa.array([function(value) for value in values.take(pa.array(rows)).to_pylist()], values.type)
    return pc.replace_with_mask(values, pa.array(mask), scrubbed)


# A stem that a private name has, somewhere in a key, or a key of what tells of people.
_JSON_SUSPECT = (
    r"(?i)(?:mail|phone|tel|mobile|cell|msisdn|fax|gsm|whatsapp|[a-z_. -]name|surname|birth|dob|ssn|passw|pwd|"
    r"secret|number|cardno|ccno|cvv|cvc|iban|street|address|addr|postal|postcode|zip|ip|ipv[46]|forwarded|xff|cookie|"
    r'authorization)[a-z0-9_. -]*\\*"\s*:'
    r'|\\*"(?:form|fields|form.?(?:data|fields|values)|inputs|contact|customer|user|person|people|profile|traits|billing|'
    r'shipping|recipient|guest|passenger)s?\\*"\s*:\s*[{\[]'
    r'|\\*"(?:name|id|key|field|label)\\*"\s*:\s*\\*"[a-z0-9_. -]*'
    r"(?:mail|phone|tel|mobile|cell|msisdn|fax|gsm|whatsapp|name|birth|dob|ssn|passw|pwd|secret|number|cvv|cvc|iban|street|"
    r"addr|postal|postcode|zip|ip|forwarded|cookie)"
)
