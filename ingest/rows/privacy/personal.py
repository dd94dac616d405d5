"""Finds e-mail addresses, phone numbers and IP addresses in the normal form of text, and replaces them in the text.

Every pattern takes time linear in the length of the text: a run begins only where no part of it stands before, and
repetitions are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingest.rows.privacy.hashes import normal_address
from ingest.rows.privacy.names import kind_of
from ingest.rows.privacy.normal_form import normal_form

EMAIL_MARKER = "[email]"
PHONE_MARKER = "[phone]"
ADDRESS_MARKER = "[ip]"
MAX_PASSES = 4  # a replacement may join the texts on its two sides into a new match

Place = tuple[int, int, str]  # start, end, marker

_LETTER = r"\w\u0300-\u036f"  # of any script, digits, `_`, and combining marks
_LOCAL = re.compile(rf"(?<![{_LETTER}.+'~-])[{_LETTER}.+'~-]++@")
_DOMAIN = re.compile(
    rf"(?:[{_LETTER}-]{{1,63}}\.){{1,10}}(?:xn--[A-Za-z0-9-]{{2,59}}|[^\W\d_][^\W\d_\u0300-\u036f]{{1,23}})"
    r"|\[[0-9A-Fa-f:.IPv]{3,45}\]"
)
_CUT_DOMAIN = re.compile(rf"[{_LETTER}.-]*+\ufffd?\s*+\Z")  # a cut character is U+FFFD
# Not top-level domains but file names: `icon@2x.png`, `logo@large.svg`.
_FILES = frozenset(
    "png jpg jpeg gif webp avif svg ico bmp css js mjs json xml html htm php pdf woff ttf mp mov mkv".split()
)
_PIXELS = re.compile(r"\A[0-9]+(?:\.[0-9]+)?x(?:\.|\Z)")

_V4 = re.compile(
    r"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9]|\.[0-9])(?::[0-9]{1,5}(?![0-9:]))?"
)
_V4_ANYWHERE = re.compile(r"(?<![0-9])[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?::[0-9]{1,5}(?![0-9:]))?")
_PORT = re.compile(r"\](?::[0-9]{1,5}(?![0-9]))?")
_V6 = re.compile(r"(?<![0-9A-Fa-f:.])[0-9A-Fa-f:.]{3,}+")
_VERSION_BEFORE = re.compile(
    r"(?:version|release|build|firmware|sdk|(?<![a-z])v|(?<![a-z])ver|(?<![a-z])rv|(?<![a-z])rev)[\\\"' =:_-]{0,5}\Z",
    re.I,
)
_VERSION_BEHIND = re.compile(r"[A-Za-z]|-(?:alpha|beta|rc|dev|pre|snapshot|debug|release)", re.I)
_PROGRAM_BEFORE = re.compile(r"(?:\A|[^\w./%-])[A-Za-z][\w+-]*/\Z")

_GAP = r"[\s().+/_·-]"
_PLUS_PHONE = re.compile(rf"\+{_GAP}{{0,2}}[1-9](?:{_GAP}{{0,4}}[0-9]){{7,14}}(?![0-9])")
_PHONE_BEFORE = re.compile(r"(?:phone|tel|mobile|cell|fax|whatsapp|gsm)\Z", re.I)
_DATE = re.compile(r"(?:19|20)[0-9]{2}[./-]?[01][0-9][./-]?[0-3][0-9]")
_NUMBERS = re.compile(r"\s[+-][0-9]")
_DECIMAL = re.compile(r"\+[0-9]{1,3}\.[0-9]{1,8}\Z")
_GROUPED_PHONE = re.compile(
    r"(?<![0-9A-Za-z.])(?<![0-9]-)(?:1[ .+-]{1,3})?(?:\([2-9][0-9]{2}\)[ .+-]{0,3}|[2-9][0-9]{2}[ .+-]{1,3})"
    r"[2-9][0-9]{2}[ .+-]{1,3}[0-9]{4}(?![0-9A-Za-z])"
)
_INDICES = r"(?:\[[A-Za-z0-9_]{0,12}\]){0,2}"  # `phone[]=`, `phone[0]=`; `user[phone]=` is found at its second name
_NAMED = re.compile(
    r"(?<![A-Za-z0-9_.-])(?P<name>[A-Za-z][A-Za-z0-9_.-]{1,63}+)"
    rf"(?=(?P<sign>\]?{_INDICES}[ +]?[=:][ +]?)[+(0-9])"
)
_NUMBER = re.compile(rf"(?:{_GAP}{{0,3}}[0-9]){{6,15}}(?![0-9])")


def scrub(text: str, addresses: bool = True) -> str:
    """Replaces e-mail addresses, phone numbers and IP addresses by markers, in any spelling.

    Args:
        addresses: whether to replace IP addresses. A link's host and a program's version stay in any case.
    """
    return _scrubbed(text, is_line=False, addresses=addresses)


def scrub_line(line: str) -> str:
    """`scrub` for a whole rejected line: it replaces every IP address, even hosts and versions."""
    return _scrubbed(line, is_line=True, addresses=True)


def _scrubbed(text: str, is_line: bool, addresses: bool) -> str:
    for _ in range(MAX_PASSES):
        normal, places = normal_form(text)
        found = sorted(_personal(normal, is_line, addresses))
        if not found:
            return text
        text = _replaced(text, places, found)
    return text


def _replaced(text: str, places: list[int] | None, found: list[Place]) -> str:
    parts: list[str] = []
    end = 0
    for first, last, marker in found:
        start, stop = (first, last) if places is None else (places[first], _end(places, last))
        if start < end:  # overlaps with a replaced one
            end = max(end, stop)
            continue
        parts += [text[end:start], marker]
        end = stop
    return "".join(parts) + text[end:]


def _end(places: list[int], last: int) -> int:
    """Where the last character before `last` ends in the original text: one original character may give several."""
    while last < len(places) - 1 and places[last] == places[last - 1]:
        last += 1
    return places[last]


def _personal(text: str, is_line: bool, addresses: bool) -> Iterator[Place]:
    if "@" in text:
        yield from _emails(text, is_line)
    if addresses:
        for match in (_V4_ANYWHERE if is_line else _V4).finditer(text):
            if is_line or _is_address(text, match):
                yield *match.span(), ADDRESS_MARKER
        yield from _v6_addresses(text, 2 if is_line else 4)
    yield from _phones(text)


def _emails(text: str, is_line: bool) -> Iterator[Place]:
    for local in _LOCAL.finditer(text):
        domain = _DOMAIN.match(text, local.end())
        length = 0 if domain is None else _domain_length(domain[0])
        if length:
            yield local.start(), local.end() + length, EMAIL_MARKER
        elif is_line and _CUT_DOMAIN.match(text, local.end()):  # the line ends within an address
            yield local.start(), len(text), EMAIL_MARKER


def _domain_length(domain: str) -> int:
    """The length of the domain, without file names at its end; 0 if it is the size of a picture."""
    labels = domain.split(".")
    while len(labels) > 1 and labels[-1].lower() in _FILES:
        labels.pop()
    is_domain = domain.startswith("[") or (len(labels) > 1 and not _PIXELS.match(domain))
    return len(".".join(labels)) if is_domain else 0


def _is_address(text: str, match: re.Match[str]) -> bool:
    """Whether this is a client's IPv4 address, and not a version, a network or a host."""
    octets = [int(octet) for octet in match[0].partition(":")[0].split(".")]
    if max(octets) > 255 or octets[0] == 0 or octets[2:] == [0, 0]:
        return False
    before = text[max(0, match.start() - 40) : match.start()]
    if before.endswith("/"):
        return not (before.endswith("//") or _PROGRAM_BEFORE.search(before))
    return not (_VERSION_BEFORE.search(before) or _VERSION_BEHIND.match(text, match.end()))


def _v6_addresses(text: str, longer_than: int) -> Iterator[Place]:
    if text.count(":") < 2:
        return
    for match in _V6.finditer(text):
        if match[0].count(":") < 2:
            continue
        start, end = match.span()
        if text[start] != ":" and text[start - 1 : start].isalnum():  # the end of a word, as in `ref:2001:db8::1`
            start = text.index(":", start)
        if text[start] == ":" != text[start + 1]:
            start += 1
        while text[end - 1] == "." or (text[end - 1] == ":" != text[end - 2]):
            end -= 1
        found = text[start:end]
        if (
            len(found) > longer_than
            and not text[end : end + 1].isalnum()
            and (found.count(":") >= 4 or any(map(str.isdigit, found)))  # `dead::beef` is no address
            and normal_address(found)
        ):
            bracket = _PORT.match(text, end) if text[start - 1 : start] == "[" else None
            yield (start - 1, bracket.end(), ADDRESS_MARKER) if bracket else (start, end, ADDRESS_MARKER)


def _phones(text: str) -> Iterator[Place]:
    for match in _PLUS_PHONE.finditer(text) if "+" in text else ():
        if _is_phone(text, match):
            yield *match.span(), PHONE_MARKER
    for match in _GROUPED_PHONE.finditer(text):
        yield *match.span(), PHONE_MARKER
    for name in _NAMED.finditer(text):
        if kind_of(name["name"]) == "phone" and (number := _NUMBER.match(text, name.end("sign"))):
            yield *number.span(), PHONE_MARKER


def _is_phone(text: str, match: re.Match[str]) -> bool:
    """Whether it is a phone number. Between words of a query, a plus is a blank; `+20260112` is a date."""
    start = match.start()
    if text[start - 1 : start].isalnum() and not _PHONE_BEFORE.search(text, max(0, start - 10), start):
        return False
    number = match[0]
    digits = sum(map(str.isdigit, number))
    if _DATE.match(number, 1) or _DECIMAL.match(number) or _NUMBERS.search(number):
        return False
    return digits >= 9 or len(number) > digits + 1
