"""Whole columns scrubbed: RE2 finds the values that could hold something, and those alone are looked at one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.privacy.fields import scrub_json
from ingest.privacy.normal_form import VARIANTS
from ingest.privacy.personal import scrub

_RE2_VARIANTS = "".join(each if each == "-" else f"\\x{{{ord(each):x}}}" for each in VARIANTS)
# Of letters, digits and dots no client makes escapes; of signs that stand in numbers and addresses it does.
_HIDDEN = (
    r"%(?:25)*(?:3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|2[Ee]|26%(?:25)*23|EF%(?:25)*B[9CcDd]|E2%(?:25)*8|D[9Bb]%|C2%(?:25)*A[0Dd])"
    r"|&#|&(?:commat|period|plus|hyphen|dash|lpar|rpar|colon|nbsp|num|amp);|\\[ux]|%u00"
    rf"|[{_RE2_VARIANTS}]"
)
_GAP = r"(?:[ .+)(-]|%(?:25)*2[0DdEeBb89])"
_SIGN_OF_NAME = "(?:[Pp][Hh][Oo][Nn][Ee]|[Tt][Ee][Ll]|[Mm][Oo][Bb][Ii]|[Cc][Ee][Ll][Ll]|[Mm][Ss][Ii][Ss][Dd][Nn]|[Ff][Aa][Xx]|[Gg][Ss][Mm]|[Ww][Hh][Aa][Tt][Ss])"
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


def scrub_column(values: pa.Array, addresses: bool = True) -> pa.Array:
    """`scrub` over a text column."""
    return _replaced(values, SUSPECT, lambda text: scrub(text, addresses))


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
    r"(?i)(?:mail|phone|tel|mobile|cell|msisdn|fax|gsm|whatsapp|handynummer|[a-z_. -]name|surname|birth|dob|ssn|passw|pwd|"
    r"secret|number|cardno|ccno|cvv|cvc|iban|street|address|addr|postal|postcode|zip|ip|ipv[46]|forwarded|xff|cookie|"
    r'authorization)[a-z0-9_. -]*\\*"\s*:'
    r'|\\*"(?:form|fields|form.?(?:data|fields|values)|inputs|contact|customer|user|person|people|profile|traits|billing|'
    r'shipping|recipient|guest|passenger|attendee)s?\\*"\s*:\s*[{\[]'
    r'|\\*"(?:name|id|key|field|label)\\*"\s*:\s*\\*"[a-z0-9_. -]*'
    r"(?:mail|phone|tel|mobile|cell|msisdn|fax|gsm|whatsapp|name|birth|dob|ssn|passw|pwd|secret|number|cvv|cvc|iban|street|"
    r"addr|postal|postcode|zip|ip|forwarded|cookie)"
)
