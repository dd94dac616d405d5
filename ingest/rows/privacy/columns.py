"""Scrubs whole columns: RE2 finds the values that may hold personal data, and only those are examined one by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.columns import remapped, replaced_at, text_bytes
from ingest.rows.privacy.fields import scrub_json
from ingest.rows.privacy.normal_form import VARIANTS, variants
from ingest.rows.privacy.personal import scrub

_RE2_VARIANTS = "".join(each if each == "-" else f"\\x{{{ord(each):x}}}" for each in VARIANTS)
_ESCAPE = "%(?:25)*"  # a percent sign with any number of layers


def _escaped(*texts: bytes) -> str:
    """A regular expression of the percent-encoded texts, with common beginnings merged."""
    rest: dict[int, list[bytes]] = {}
    for text in filter(None, sorted(set(texts))):
        rest.setdefault(text[0], []).append(text[1:])
    each = (re.sub("[A-F]", _either_case, f"{first:02X}") + _escaped(*behind) for first, behind in rest.items())
    return f"{_ESCAPE}(?:{'|'.join(each)})" if rest else ""


def _either_case(letter: re.Match[str]) -> str:
    return f"[{letter[0]}{letter[0].lower()}]"


def _escaped_variants() -> str:
    """The first two bytes of the variants in percent-encoded UTF-8; three where other characters share those two."""
    encoded = (character.encode() for character in variants())
    return _escaped(*(each[:3] if each[0] == 0xE0 else each[:2] for each in encoded))


def _entity() -> str:
    """An HTML reference, its signs percent-encoded or not. A lone `&amp;` does not count: query strings are full of
    it."""
    and_sign, number_sign, end = (rf"(?:{sign}|{_escaped(sign.encode())})" for sign in "&#;")
    name = "(?:[B-Zb-z][A-Za-z]+|[Aa](?:[A-LN-Za-ln-z][A-Za-z]*|[Mm](?:[A-OQ-Za-oq-z][A-Za-z]*|[Pp][A-Za-z]+)))"
    return rf"{and_sign}(?:[Aa][Mm][Pp]{end})*(?:{number_sign}|{name}{end})"


# Latin-1's no-break space, soft hyphen and superscripts, but not after the escape of another byte: í is `%C3%AD`.
_LATIN = rf"(?:^[^%]?|[^%][^%])[0-9A-Za-z)]{_ESCAPE}(?:[Aa]0|[Aa][Dd]|[Bb][239])"
# Clients never escape letters, digits and dots; they do escape signs that stand in numbers and addresses.
_HIDDEN = (
    rf"{_ESCAPE}(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[Ee]|5[Cc]|u[0-9A-Fa-f])"
    rf"|{_escaped_variants()}|{_LATIN}"
    rf"|{_entity()}|\\[bfnrtvux]|[{_RE2_VARIANTS}]"
)
_GAP = rf"(?:[\s().+/_\x{{b7}}-]|{_ESCAPE}(?:2[0-9A-Fa-f]|0[9A-Da-d]|5[Ff])|{_escaped('·'.encode())})"
_PHONE_GAP = rf"(?:[ .+)(-]|{_ESCAPE}2[0DdEeBb89])"
_SIGN_OF_NAME = "(?i:phone|tel|mobile|cell|msisdn|fax|gsm|whatsapp)"
_INDICES = rf"(?:(?:\[|{_ESCAPE}5[Bb])[A-Za-z0-9_]{{0,12}}(?:\]|{_ESCAPE}5[Dd])){{0,2}}"
# RE2 searches whole columns for this. It matches everything that `scrub` may replace, and some more.
SUSPECT = (
    f"@|{_ESCAPE}40"
    r"|[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
    rf"|(?::|{_ESCAPE}3[Aa])[0-9A-Fa-f]{{0,4}}(?::|{_ESCAPE}3[Aa])"
    rf"|(?:\+|{_ESCAPE}2[Bb]){_GAP}*[0-9]"
    rf"|[0-9]{{3}}{_PHONE_GAP}+[0-9]{{3}}{_PHONE_GAP}+[0-9]{{4}}"
    rf"|{_SIGN_OF_NAME}(?:[A-Za-z0-9_.-]|{_ESCAPE}(?:2[DdEe]|5[Ff]))*(?:\]|{_ESCAPE}5[Dd])?{_INDICES}"
    rf"(?:[ +]|{_ESCAPE}2[0Bb])?"
    rf"(?:=|:|{_ESCAPE}3[DdAa])|{_HIDDEN}"
)

_MARKS = b"@.%:+&\\ ("  # personal data has one of these, except numbers joined by `-` or named by `=`
# Columns with so few values, such as methods and protocols, repeat them in every batch: a cache is faster than RE2.
FEW = 32
LONGEST_REMEMBERED = 256  # characters


def scrub_column(values: pa.Array, addresses: bool = True) -> pa.Array:
    """`scrub` over a text column. In a dictionary column, each distinct value is scrubbed once."""
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
    """`scrub_column` over ids that machines make. Almost all are distinct, so the bytes of all are searched first."""
    if pa.types.is_dictionary(values.type):
        return scrub_column(values)
    offsets, data = text_bytes(values)
    text = data.tobytes()
    if not text.isascii() or any(mark in text for mark in _MARKS):
        return scrub_column(values)
    signs = _behind_digits(data, "-")
    if text.count(b"=") != _closing(offsets, data, "="):
        signs = np.concatenate((signs, np.flatnonzero(data == ord("="))))
    if not len(signs):
        return values
    rows = np.unique(np.searchsorted(offsets, signs, side="right") - 1)
    few = values.take(pa.array(rows))
    scrubbed = scrub_column(few)
    return values if scrubbed is few else replaced_at(values, rows, scrubbed)


def _behind_digits(data: np.ndarray, sign: str) -> np.ndarray:
    """The positions of this sign after three digits, as in all phone numbers that it joins."""
    found = np.flatnonzero(data[3:] == ord(sign)) + 3
    for before in (1, 2, 3):
        found = found[data[found - before] - np.uint8(ord("0")) < 10]  # bytes below `0` wrap around
    return found


def _closing(offsets: np.ndarray, data: np.ndarray, sign: str) -> int:
    """How many of the last two bytes of the texts are this sign at the very end, where it names nothing."""
    lengths = np.diff(offsets)
    last = offsets[1:][lengths > 0] - 1
    closed = last[data[last] == ord(sign)]
    before = offsets[1:][lengths > 1] - 2
    twice = before[(data[before] == ord(sign)) & (data[before + 1] == ord(sign))]
    return len(closed) + len(twice)


def scrub_json_column(values: pa.Array) -> pa.Array:
    """`scrub` and `scrub_json` over JSON texts."""
    return scrub_column(_replaced(values, _JSON_SUSPECT, scrub_json))


def _replaced(values: pa.Array, suspect: str, function: Callable[[str], str]) -> pa.Array:
    """The values, with those that match `suspect` passed through `function`."""
    suspects = pc.match_substring_regex(values, suspect)
    rows = np.flatnonzero(suspects.fill_null(False).to_numpy(zero_copy_only=False))
    if not len(rows):
        return values
    scrubbed = pa.array([function(value) for value in values.take(pa.array(rows)).to_pylist()], values.type)
    return replaced_at(values, rows, scrubbed)


def _spaced(word: str) -> str:
    """A short word with any other characters between its letters: `I.P.`, `d-o-b`."""
    return r'[^a-z"]*'.join(word)


# Parts of the names of private fields (see `names.kind_of`). Anything but a quote may follow them.
_STEMS = "|".join(
    (
        'mail|phone|mobile|cell|msisdn|whatsapp|surname|birth|pass[^a-z"]*w|secret|street|addr|postal|forwarded',
        r'cookie|authorization|c(?:ard|[^a-z"]*c)[^a-z"]*n(?:o|umber)|post[^a-z"]*code',
        *map(_spaced, "tel fax gsm dob ssn pwd cvv cvc iban zip ip xff".split()),
    )
)
_KEY_ENDS = r'[^"]*"\s*:'
_JSON_SUSPECT = (
    rf'(?i)(?:{_STEMS}|[^"\\]name){_KEY_ENDS}'
    # fields about people: a plain `name` in them is a person's
    r"|(?:form|fields|values|inputs|contact|customer|user|person|people|profile|traits|billing|shipping|recipient|guest|"
    rf"passenger){_KEY_ENDS}\s*[{{\[]"
    # pairs of a name and a value
    rf'|"(?:name|id|key|field|label)\\*"\s*:\s*\\*"[^"]*(?:{_STEMS}|name)'
)
