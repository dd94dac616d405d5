"""Privacy at the door: addresses become keyed hashes, e-mail addresses and phone numbers become markers.

Nothing here is reversible without the key, and the key is never written anywhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import SettingsError

EMAIL_MARKER = "[email]"
PHONE_MARKER = "[phone]"
ADDRESS_MARKER = "[ip]"
HASH_BITS = 128  # of the 256 of SHA-256; RFC 2104, section 5 allows half
MIN_KEY_BYTES = 16

_IPV4_IN_IPV6 = b"\0" * 10 + b"\xff\xff"


def keyed_hash(key: str) -> Callable[[str], str]:
    """HMAC-SHA256 (RFC 2104) under this key: text → its first 128 bits as 32 hex digits.

    The two padded blocks are hashed once and copied for each value: 1.4 µs instead of 2.5.

    Raises:
        SettingsError: for a key that could be guessed.
    """
    secret = key.encode()
    if len(secret) < MIN_KEY_BYTES:
        raise SettingsError(
            f"the hash key is shorter than {MIN_KEY_BYTES} bytes. Set CLICKLAKE_HASH_KEY to a long random text "
            "and keep it: another key gives other hashes"
        )
    block = (hashlib.sha256(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def hash_text(text: str) -> str:
        first = inner.copy()
        first.update(text.encode())
        second = outer.copy()
        second.update(first.digest())
        return second.hexdigest()[: HASH_BITS // 4]

    return hash_text


def normal_address(logged: str) -> tuple[str, str] | None:
    """(address, network) of a logged client address in their canonical text, None where it is none.

    A port is dropped (`1.2.3.4:80`, `[::1]:80`); IPv4 mapped into IPv6 is IPv4.
    The network is /24 for IPv4, /48 for IPv6.
    """
    text = logged
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        packed = inet_pton(AF_INET6, text.partition("%")[0]) if ":" in text else inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return None
    if packed.startswith(_IPV4_IN_IPV6) and len(packed) == 16:
        packed = packed[12:]
    if len(packed) == 4:
        return inet_ntop(AF_INET, packed), inet_ntop(AF_INET, packed[:3] + b"\0") + "/24"
    return inet_ntop(AF_INET6, packed), inet_ntop(AF_INET6, packed[:6].ljust(16, b"\0")) + "/48"


# In logged text an `@` may be encoded any number of times: %40, %2540 … The escapes before an
# address (`%3Dann%40x.org`) are taken as units, so that no half of one is read as its first letter.
_AT = "(?:@|%(?:25)*40)"
_AT_SIGN = re.compile(_AT)
_DOT = r"(?:\.|%(?:25)*2[Ee])"
_LOCAL_ESCAPE = "2[BbDdEe7]|5[Ff]"  # + - . ' _
_LOCAL = f"(?:[A-Za-z0-9._+'-]|%(?:25)*(?:{_LOCAL_ESCAPE})){{1,64}}"
_EMAIL = re.compile(
    rf"(?P<email>{_LOCAL}{_AT}(?:[A-Za-z0-9-]{{1,63}}{_DOT}){{1,8}}[A-Za-z]{{2,24}})"
    rf"|%(?:25)*(?!40|{_LOCAL_ESCAPE})[0-9A-Fa-f]{{2}}"
)
# A phone number is one with a plus and 10 to 15 digits, one grouped as in 312-555-0199 or
# (312) 555-0199, or the value of a parameter that is named for it. A bare run of digits is an id.
_GAP = "(?:[ .+-]|%(?:25)*(?:20|2[DdEeBb]))"
_OPEN = r"(?:\(|%(?:25)*28)"
_CLOSE = r"(?:\)|%(?:25)*29)"
_PLUS = r"(?:\+|%(?:25)*2[Bb])"
# Where a name or a number may begin: behind an escape too, of up to three layers.
_ESCAPE = "".join(f"|(?<=%{'25' * layer}[0-9A-Fa-f]{{2}})" for layer in range(3))
_PHONE_NAMES = "(?:phone|phone_?number|telephone|tel|mobile|cell|msisdn|fax)"
_PHONE = re.compile(
    rf"(?:(?<![0-9A-Za-z]){_ESCAPE})(?P<name>(?i:{_PHONE_NAMES})(?:=|:|%(?:25)*3[DdAa]))"
    rf"(?:{_PLUS}|{_OPEN}|{_CLOSE}|{_GAP}|[0-9]){{6,40}}"
    rf"|{_PLUS}[0-9](?:(?:{_GAP}|{_OPEN}|{_CLOSE})?[0-9]){{9,14}}(?![0-9])"
    rf"|(?:(?<![0-9A-Za-z.%-]){_ESCAPE})(?:{_OPEN}[0-9]{{3}}{_CLOSE}{_GAP}?|[0-9]{{3}}{_GAP})"
    rf"[0-9]{{3}}{_GAP}[0-9]{{4}}(?![0-9A-Za-z])"
)
# An address in a link is scrubbed where its parameter is named for it; others are hosts and versions.
_COLON = "(?:[:.]|%(?:25)*3[Aa])"
_BRACKET = r"(?:[\[\]]|%(?:25)*5[BbDd])"
_IP_NAMES = "(?:[a-z]{1,12}[_-]?)?ip(?:[_-]?addr(?:ess)?)?|remote[_-]?addr(?:ess)?|(?:x[_-]?)?forwarded[_-]?for"
_NAMED_ADDRESS = re.compile(
    rf"(?:(?<![0-9A-Za-z]){_ESCAPE})(?P<name>(?i:{_IP_NAMES})(?:=|%(?:25)*3[Dd]))"
    rf"{_BRACKET}?[0-9A-Fa-f]{{0,4}}(?:{_COLON}{{1,2}}[0-9A-Fa-f]{{0,4}}){{2,8}}{_BRACKET}?(?:{_COLON}[0-9]{{1,5}})?"
)
# What RE2 looks for on whole columns; only values with a hit are looked at one by one.
_SUSPECT = (
    "@|%(?:25)*40"
    r"|(?:\+|%(?:25)*2[Bb])[0-9]"
    r"|[0-9]{3}(?:[ .+)-]|%(?:25)*2[0DdEeBb9])+[0-9]{3}(?:[ .+-]|%(?:25)*2[0DdEeBb])[0-9]{4}"
    r"|(?i:phone|number|tel|mobile|cell|msisdn|fax)(?:=|:|%(?:25)*3[DdAa])"
    r"|(?i:ip|addr|address|for)(?:=|%(?:25)*3[Dd])"
)
# Escapes are taken as units here too: `%2085.1.2.3` is a blank and 85.1.2.3.
_ADDRESS = re.compile(r"%(?:25)*(?!25)[0-9A-Fa-f]{2}|(?P<address>[0-9A-Fa-f.:]{2,})")
_IPV4 = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")


def scrub(text: str) -> str:
    """Replaces e-mail addresses, phone numbers and parameters that give an address, plain or percent-encoded."""
    if _AT_SIGN.search(text):  # rare, and looking for it costs a twentieth
        text = _EMAIL.sub(lambda match: EMAIL_MARKER if match["email"] else match[0], text)
    text = _NAMED_ADDRESS.sub(lambda match: match["name"] + ADDRESS_MARKER, text)
    return _PHONE.sub(lambda match: (match["name"] or "") + PHONE_MARKER, text)


def scrub_line(line: str) -> str:
    """The same for a whole line of a log, and its addresses too. Times such as 10:05:03 stay."""

    def replace(match: re.Match[str]) -> str:
        address = (match["address"] or "").strip(".")
        return ADDRESS_MARKER if _IPV4.match(address) or normal_address(address) else match[0]

    return scrub(_ADDRESS.sub(replace, line))


def scrub_column(values: pa.Array) -> pa.Array:
    """`scrub` over a text column; only values that could hold something are looked at one by one."""
    return _replaced(values, _SUSPECT, scrub)


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


# In JSON, a field is known by its name: what a form, a user or a request calls a name, an address, a secret.
_OWNER = (
    "(?:(?:home|work|office|mobile|cell|contact|customer|client|user|billing|shipping|delivery|your|my|primary)_?"
    "|[a-z]{1,12}[_ -])?"
)
_PRIVATE_NAMES = (
    f"{_OWNER}(?:e_?mail(?:_?address)?s?|(?:phone|tel|telephone|mobile|cell|msisdn|fax)"
    "(?:_?(?:phone|number|no))?_?[0-9]?s?|"
    "(?:first|middle|last|full|maiden|given|family)_?name|[fl]name|surname|"
    "birth_?(?:day|date)|date_?of_?birth|dob|ssn|password|passwd|pwd|secret|card_?number|cc_?number|cvv|cvc|iban|"
    "street(?:_?address)?|address(?:_?line)?_?[0-9]?|postal_?code|zip(?:_?code)?)|"
    "(?:customer|client|contact|person|recipient|card_?holder|billing|shipping|your|my)_?name|"
    "(?:(?:client|user|remote|real|source|src|visitor|customer|public|private|local|peer|sender|request|login|last|"
    "current|your|my)_?)?ip(?:v[46])?(?:_?addr(?:ess)?)?|remote_?addr(?:ess)?|(?:x_)?forwarded(?:_?for)?"
).replace("_?", "[_ -]?")
# What is filled in or tells of a person: a plain `name` in there is theirs, elsewhere it is a product's or a form's.
_PEOPLE = (
    "form|fields|form_?(?:data|fields|values)|inputs|contact|customer|user|person|profile|traits|billing|shipping"
).replace("_?", "[_ -]?")
_STRING = r'"(?:[^"\\]|\\.)*"'
_FLAT_OBJECT = rf'\{{(?:[^{{}}"]|{_STRING})*\}}'
_JSON_VALUE = rf'(?:{_STRING}?|-?[0-9][0-9.eE+-]*|{_FLAT_OBJECT}|\[(?:[^\[\]{{}}"]|{_STRING})*\])'
_JSON_PERSON = re.compile(rf'(?i)"(?:{_PEOPLE})"\s*:\s*\{{(?:[^{{}}"]|{_STRING}|{_FLAT_OBJECT})*\}}')
_LINE_VALUE = r"""(?!\\*["']?\[private)(?:\\*["'][^"'\\]*|-?[0-9][0-9.eE+-]*|\[[^\]]*|\{[^}]*)"""


def _private(quote: str, value: str, names: str = _PRIVATE_NAMES) -> list[re.Pattern[str]]:
    """Private fields by their name, and those that are written as a pair of name and value, in either order."""

    def key(of: str) -> str:
        return rf"{quote}(?:{of}){quote}\s*:\s*"

    named = rf"{key('name|id|key|field|label')}{quote}(?:{names}|name){quote}"
    return [
        re.compile(rf"(?i)({key(names)}){value}()"),
        re.compile(rf"(?i)({named}[^{{}}]*?{key('value')}){value}()"),
        re.compile(rf"(?i)({key('value')}){value}([^{{}}]*?{named})"),
    ]


_PRIVATE_IN_JSON = _private('"', _JSON_VALUE)
_PRIVATE_IN_LINE = _private(r"""\\*["']""", _LINE_VALUE)
_NAME_OF_PERSON = _private('"', _JSON_VALUE, "name")[0]
_NAME_IN_LINE = _private(r"""\\*["']""", _LINE_VALUE, "name")[0]
# An address in text stands alone: behind a slash it is a host or the version of a program.
_ALONE = r"(?:(?<![0-9A-Za-z./_:-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS_IN_TEXT = re.compile(
    rf"{_ALONE}(?:(?P<v4>(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9A-Za-z_-]|\.[0-9]))"
    r"|(?P<v6>(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3})?(?![0-9A-Za-z:])))"
)
_CUT_EMAIL = re.compile(rf"{_LOCAL}{_AT}[A-Za-z0-9.-]*$")
_ESCAPED_ASCII = re.compile(r"\\+u00([2-7][0-9A-Fa-f])")
_TEXT_ADDRESS_SUSPECT = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|:[0-9A-Fa-f]{0,4}:"
# How such names end: RE2 is fast while it has little to count.
_ENDS = (
    "(?:mail|address|phone|tel|mobile|cell|msisdn|fax|(?:phone|tel|telephone|mobile|cell|msisdn|fax|card|cc)_?(?:number|no)|"
    "address_?line)_?[0-9]?s?|"
    "(?:first|middle|last|full|maiden|given|family|customer|client|contact|person|recipient|holder|billing|shipping|"
    "your|my)_?name|[fl]name|surname|birth_?day|birth_?date|of_?birth|dob|ssn|password|passwd|pwd|secret|cvv|cvc|iban|"
    "street|postal_?code|zip|zip_?code|ip|addr|forwarded|forwarded_?for"
).replace("_?", "[_ -]?")
_JSON_SUSPECT = (
    rf'(?i)(?:{_ENDS})\\*"\s*:|"(?:{_PEOPLE})\\*"\s*:\s*[{{]|u0040|{_TEXT_ADDRESS_SUSPECT}'
    rf'|(?:name|id|key|field|label)\\*"\s*:\s*\\*"[a-z _-]*(?:{_ENDS}|name)\\*"'
)
FIELD_MARKER = "[private]"


def scrub_text_addresses(text: str) -> str:
    """Replaces IP addresses that stand alone in text; hosts of links and versions of programs stay."""

    def replace(match: re.Match[str]) -> str:
        is_address = match["v4"] or (len(match["v6"]) > 4 and normal_address(match["v6"]))
        return ADDRESS_MARKER if is_address else match[0]

    return _ADDRESS_IN_TEXT.sub(replace, text)


def scrub_json(text: str) -> str:
    """Replaces private fields, addresses, and both in JSON that is text of JSON. It stays JSON."""
    if '\\"' in text:
        text = re.sub(_STRING, lambda match: _scrubbed_string(match[0]) if '\\"' in match[0] else match[0], text)
    for pattern in _PRIVATE_IN_JSON:
        text = pattern.sub(rf'\1"{FIELD_MARKER}"\2', text)
    text = _JSON_PERSON.sub(lambda match: _NAME_OF_PERSON.sub(rf'\1"{FIELD_MARKER}"\2', match[0]), text)
    return scrub_text_addresses(text)


def _scrubbed_string(text: str) -> str:
    """A JSON string which may itself hold JSON."""
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    scrubbed = scrub_json(inner)
    return text if scrubbed == inner else json.dumps(scrubbed, ensure_ascii=False)


def scrub_json_column(values: pa.Array) -> pa.Array:
    """`scrub` and `scrub_json` over JSON texts; only values that could hold something are looked at one by one."""
    return scrub_column(_replaced(values, _JSON_SUSPECT, scrub_json))


def scrub_text_column(values: pa.Array) -> pa.Array:
    """`scrub` over a column of prose, and its addresses too."""
    return scrub_column(_replaced(values, _TEXT_ADDRESS_SUSPECT, scrub_text_addresses))


def scrub_json_line(line: str) -> str:
    """The private fields of one line, broken JSON or not: it need not stay JSON."""
    line = _ESCAPED_ASCII.sub(lambda match: chr(int(match[1], 16)), line)
    line = _CUT_EMAIL.sub(EMAIL_MARKER, line)
    for pattern in (*_PRIVATE_IN_JSON, _NAME_OF_PERSON):
        line = pattern.sub(rf'\1"{FIELD_MARKER}"\2', line)
    for pattern in (*_PRIVATE_IN_LINE, _NAME_IN_LINE):
        line = pattern.sub(rf"\1{FIELD_MARKER}\2", line)
    return line
