"""Ids from senders: finds placeholders, and ids that are personal addresses and must not be stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.columns import replaced_at, single
from ingest.rows.privacy import (
    ADDRESS_MARKER,
    EMAIL_MARKER,
    PHONE_MARKER,
    SUSPECT,
    normal_address,
    normal_form,
    scrub,
)

# Words that software writes for a missing value, in ids and in tags of links. Quotes and brackets around them make no
# difference: (null), "undefined", <nil>, [none].
_NOTHING = (
    "null",
    "nil",
    "none",
    "undefined",
    "undef",
    "nan",
    "n/a",
    "unknown",
    "unset",
    "not[ _-]?(?:set|provided|available|defined|specified|applicable)",
    "object [a-z]+",  # JavaScript's [object Object]
)
# Words that mean something in a tag (utm_medium=email, a region NA), but are nobody's id.
_NO_ID = (
    "true|false|na|void|empty|blank|default|missing|invalid|error|string|object|function|test[ _-]?user",
    "id|ids|uid|uuid|guid|e-?mail|user[ _-]?name|login|user|visitor|customer|member|account",
    "(?:distinct|user|visitor|device|session|client|customer|account|member|cookie|anonymous|advertising)[ _-]?id",
    "anon|(?:anonymous|guest|unknown|new|no|null)(?:[ _-]?(?:user|visitor|customer|id))?",
    "(?:not|un|non)[ _-]?(?:authenticated|authorized|identified|logged[ _-]?in|registered)|logged[ _-]?(?:out|in)",
    "9774d56d682e549c",  # the Android id of a whole series of phones
    "lmy47d",  # an Android build
)
# A word in a template that was not filled in. Only a few digits, at its end, so that {3f2504e0…} stays an id.
_NAME = "[a-z_$@.][a-z_$ .:|@()'/-]{0,80}[0-9]{0,3}"
_PERCENT_NAME = "[a-z_][a-z_ .:|-]{0,80}[0-9]{0,3}"
# Templates that no text contains by chance …
_TEMPLATE = "|".join(
    (
        r"\{\{[^{}]*(?:\{[^{}]*\}[^{}]*)?\}{2,3}",  # {{ad.id}}, {{campaign.${name}}}
        r"[$#]\{[^{}]*\}",
        rf"\{{{_NAME}\}}",  # {campaignid}
        r"\{%[^%]*%\}",
        rf"%%{_PERCENT_NAME}%%",
        r"<%[^%]*%>",
        r"\*\|[^|]*\|\*",  # *|CAMPAIGN_UID|*
    )
)
# … and those that are templates only if nothing else stands next to them.
_BRACKETED = rf"\[{_NAME}\]|<{_NAME}>"
_LONE = rf"__[a-z][a-z0-9_]{{0,80}}__|%{_PERCENT_NAME}%|%[sd]|%\({_NAME}\)s"
_TEMPLATES = rf"(?:(?:{_TEMPLATE}|{_BRACKETED})[ _|.:;,/+&-]{{0,3}})+|{_LONE}"
LONGEST = 300  # characters; a longer text is no placeholder
_QUOTED = r"""["'(<\[{]{0,3}(?:WORDS)["')>\]}]{0,3}"""
_MARKS = r"""[][(){}<>"'._*?\s-]*"""
_OPENED = "|".join(_NOTHING)
# Python, Arrow and DuckDB use the same expressions.
NO_TAG = "|".join((_QUOTED.replace("WORDS", _OPENED), r"\(direct\)", _MARKS, _TEMPLATES))
_NO_ID_AT_ALL = "|".join(
    (
        _QUOTED.replace("WORDS", "|".join((_OPENED, *_NO_ID))),
        r"[\x00-0:-@\[-\x60{-\x7f]*",  # no letter and no digit but 0, as in an all-zero UUID
        r"0x0+|-1|\(direct\)",
        "[f-]{8,}|[x-]{8,}",
        "|".join(f"[{digit}-]{{32,36}}" for digit in "123456789abcde"),
        _TEMPLATES,
    )
)
# An id must not even contain a template: it would be the same for everybody.
NO_ID = rf"{_NO_ID_AT_ALL}|.*(?:{_TEMPLATE}).*"
_IS_NO_TAG = re.compile(rf"\A(?is:{NO_TAG})\Z")
_IS_NO_ID = re.compile(rf"\A(?is:{_NO_ID_AT_ALL})\Z")
_HAS_TEMPLATE = re.compile(f"(?i:{_TEMPLATE})")
_MARKERS = (EMAIL_MARKER, PHONE_MARKER, ADDRESS_MARKER)  # our own markers, which look like templates
# RE2 searches whole columns for this. Only ids with a match are examined one by one: placeholders, blanks at an end,
# and possible e-mail, phone or IP addresses.
_SUSPECT = rf"(?is)^\s|\s$|^(?:{_NO_ID_AT_ALL})$|[{{%*<]|(?-is:{SUSPECT})"
# A simple expression that all these ids match: RE2 takes 8 ms to set up the other one, for any column.
_UNUSUAL = (
    "[^0-9A-Za-z_-]|[0-9]{3}-+[0-9]{3}-+[0-9]{4}|^[A-Za-z_-]*$|^[0_-]*$|^__.*__$|(?i:^0x0+$|^9774d56d682e549c$|^lmy47d$)|"
    + "|".join(f"^[{digit}-]*$" for digit in "123456789")
)


def is_placeholder(text: str, of_id: bool = False) -> bool:
    """Whether a text without blanks around it is a placeholder: `undefined`, `{campaignid}`, `(not set)`, `-`.

    Args:
        of_id: the text should be somebody's id. `email`, `true` and `0` are no ids, but may be the tag of a link.
    """
    if len(text) > LONGEST or text in _MARKERS:
        return False
    found = (_IS_NO_ID if of_id else _IS_NO_TAG).match(text) or (_HAS_TEMPLATE.search(text) if of_id else None)
    if found is None and "%" in text and (plain := unquote(text).strip()) != text:
        return is_placeholder(plain, of_id)
    return found is not None


def known_ids(ids: pa.Array, keyed_hash: Callable[[str], str], of_people: bool = True) -> pa.Array:
    """The ids without blanks around them; null for placeholders.

    An id that is or contains an e-mail address, a phone number or an IP address is replaced by its keyed hash. All
    spellings of it have the same hash.

    Args:
        of_people: the ids are of people, devices or sessions; else of campaigns and sites, whose names may be any word.
    """
    encoded = single(ids.dictionary_encode())
    distinct = encoded.dictionary
    rows = np.flatnonzero(pc.match_substring_regex(distinct, _UNUSUAL))
    if len(rows):
        rows = rows[np.asarray(pc.match_substring_regex(distinct.take(pa.array(rows)), _SUSPECT), dtype=bool)]
    if not len(rows):
        return ids
    values = [_known(value, keyed_hash, of_people) for value in distinct.take(pa.array(rows)).to_pylist()]
    return replaced_at(distinct, rows, pa.array(values, pa.string())).take(encoded.indices)


def _known(value: str, keyed_hash: Callable[[str], str], of_people: bool) -> str | None:
    value = value.strip()
    if is_placeholder(value, of_people) or not value.strip("0-"):
        return None
    is_personal = scrub(value) != value or normal_address(value) is not None
    return keyed_hash(normal_form(value)[0].strip().lower()) if is_personal else value


def device_fingerprints(given: pa.Array, traits: pa.Array, separator: str, fewest: int = 3) -> pa.Array:
    """The given fingerprint, else a hash of the device's traits if there are enough of them.

    Args:
        traits: the known traits of the device, each with its name, between separators.
        fewest: the least number of traits.
    """
    encoded = traits.dictionary_encode()
    found = [
        hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() if text.count(separator) >= fewest - 1 else None
        for text in encoded.dictionary.to_pylist()
    ]
    return pc.coalesce(given, pa.array(found, pa.string()).take(encoded.indices))
