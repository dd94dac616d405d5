"""One normal form of text, in which personal data is found however it was hidden or encoded for transport.

It removes any number of layers of percent-encoding, HTML entities, JSON and JavaScript escapes, and characters without
a width. Full-width and other variants of letters, digits and signs (Unicode's NFKC) and digits of other scripts become
plain. The original position of each character is kept, so that only personal data is replaced in the original text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from html.entities import html5

MAX_ROUNDS = 8  # each removes all layers of one kind; no software nests kinds deeper by accident

# Non-ASCII characters whose normal form matters or may matter: soft hyphen, superscripts, digits of
# Arabic, Persian, Devanagari, Bengali and Thai, punctuation and signs without a width, letter-like signs, minus, digits
# in circles, CJK full stop, small and full-width forms, mathematical letters and digits, squared letters,
# tags and further selectors of variants.
VARIANTS = (
    "\u00a0\u00ad\u00b2\u00b3\u00b9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\u09e6-\u09ef\u0e50-\u0e59\u180e"
    "\u2000-\u209f\u2100-\u214f\u2212\u2460-\u24ff\u3000-\u3002\ufe00-\ufe0f\ufe50-\ufe6f\ufeff\uff00-\uffef"
    "\U0001d400-\U0001d7ff\U0001f100-\U0001f1ff\U000e0000-\U000e01ef"
)


def variants() -> Iterator[str]:
    """Each character of `VARIANTS`."""
    for first, _, last in re.findall(r"(.)(-(.))?", VARIANTS):
        yield from map(chr, range(ord(first), ord(last or first) + 1))


# A run is not tried again at each of its positions: a run of backslashes begins only where none stands before.
_TOKEN = re.compile(
    r"(?P<percent>(?:%(?:25)*[0-9A-Fa-f]{2})+)"
    r"|(?P<code>(?:(?<!\\)\\++(?:u(?P<u>[0-9A-Fa-f]{4})|u\{(?P<ub>[0-9A-Fa-f]{1,12})\}|x(?P<x>[0-9A-Fa-f]{2}))|%u(?P<pu>[0-9A-Fa-f]{4})))"
    r"|(?P<escape>(?<!\\)\\++(?P<of>[bfnrtv\"'/]))"
    r"|(?P<entity>&(?:#(?P<decimal>[0-9]{1,12});?|#[xX](?P<hex>[0-9A-Fa-f]{1,12});|(?P<name>[A-Za-z]{2,31};)))"
    rf"|(?P<variant>[{VARIANTS}])"
)
# Every token begins with one of these. This search takes a twentieth of the time that trying the alternatives takes.
_FIRST_OF_TOKEN = re.compile(rf"[%\\&{VARIANTS}]")
_ESCAPE = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")
# Most tokens by far: one escape of an ASCII character, in any spelling.
_OF_ASCII = {f"%{high}{low}": chr(int(high + low, 16)) for high in "01234567" for low in "0123456789abcdefABCDEF"}
_DOTS = "\u3002\uff61"  # IDNA takes these for dots as well; NFKC does not
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_MAX_CODE = 0x10FFFF


def normal_form(text: str) -> tuple[str, list[int] | None]:
    """(normal text, positions in `text` where its characters begin, with the length of `text` at the end).

    The positions are None if the text is already normal. Time is linear in the length.
    """
    places: list[int] | None = None
    for _ in range(MAX_ROUNDS):
        found = _decoded(text)
        if found is None:
            break
        text, begun = found
        places = begun if places is None else [places[place] for place in begun]
    return text, places


def _decoded(text: str) -> tuple[str, list[int]] | None:
    """One round of `normal_form`; None if nothing changes."""
    parts: list[str] = []
    places: list[int] = []
    end = 0
    for token in _tokens(text):
        start = token.start()
        if token["percent"] is None and _character(token) == token[0]:  # such as the name of no entity
            continue
        parts.append(text[end:start])
        places.extend(range(end, start))
        for piece, place in _pieces(token):
            parts.append(piece)
            places.extend([place] * len(piece))
        end = token.end()
    if not end:
        return None
    parts.append(text[end:])
    places.extend(range(end, len(text) + 1))
    return "".join(parts), places


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """All tokens of a text, from left to right."""
    position = 0
    while first := _FIRST_OF_TOKEN.search(text, position):
        token = _TOKEN.match(text, first.start())
        if token:
            yield token
        position = token.end() if token else first.end()


def _pieces(token: re.Match[str]) -> Iterable[tuple[str, int]]:
    """What a token stands for, in pieces, each with its place in the text."""
    if (one := _OF_ASCII.get(token[0])) is not None:
        return ((one, token.start()),)
    if token["percent"] is None:
        return ((_character(token), token.start()),)
    escapes = [(int(each[1], 16), token.start() + each.start()) for each in _ESCAPE.finditer(token["percent"])]
    data = bytes(byte for byte, _ in escapes)
    places = [place for _, place in escapes]
    return zip(data.decode(), places, strict=True) if data.isascii() else _characters(data, places)


def _characters(data: bytes, places: list[int]) -> Iterator[tuple[str, int]]:
    position = 0
    while position < len(data):
        first = data[position]
        width = 1 if first < 0xC2 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        try:
            piece = data[position : position + width].decode()
        except UnicodeDecodeError:
            piece, width = chr(first), 1  # older senders write Latin-1
        yield piece, places[position]
        position += width


def _character(token: re.Match[str]) -> str:
    code = token["u"] or token["ub"] or token["x"] or token["pu"] or token["hex"]
    if code or token["decimal"]:
        number = int(code, 16) if code else int(token["decimal"])
        return chr(number) if number <= _MAX_CODE else " "
    if token["of"]:
        return token["of"] if token["of"] in "\"'/" else " "
    if token["name"]:
        return html5.get(token["name"], token[0])
    return _plain(token[0])


@lru_cache(8192)
def _plain(character: str) -> str:
    if character in _DOTS:
        return "."
    if character in _DASHES:
        return "-"
    is_selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    if unicodedata.category(character) == "Cf" or is_selector:
        return ""
    digit = unicodedata.decimal(character, None)
    return unicodedata.normalize("NFKC", character) if digit is None else str(digit)
