"""Private fields of JSON, recognized by their names: at any depth, in arrays, and in strings that contain JSON.

JSON is not parsed and written again. Private values are cut out of its text, and the rest stays unchanged, even numbers
and repeated keys. A line of broken JSON loses everything that might be private.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.rows.privacy.names import NAME_KEYS, VALUE_KEY, is_of_people, kind_of

FIELD_MARKER = "[private]"
MIN_PHONE_DIGITS = 5  # least digits of a value whose field's name says phone

Span = tuple[int, int]

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+\\?(?:"|\Z)|[{}\[\]:,]|[^\s"{}\[\]:,]++', re.DOTALL)
_SAYS_NOTHING = frozenset(("true", "false", "null", '""', "none", "undefined"))


@dataclass
class _Level:
    """An object or array that the reader is in."""

    is_object: bool = False
    of_people: bool = False
    key: str | None = None  # key of the next value
    said: str | None = None  # the last string: a key, if a colon follows
    is_named: bool = False  # one of its fields makes its `value` private
    start: int = 0
    values: list[Span] = field(default_factory=list)


def scrub_json(text: str) -> str:
    """Replaces the values of private fields by `"[private]"`. JSON stays valid."""
    found = sorted(_private(text))
    if not found:
        return text
    parts: list[str] = []
    end = 0
    for start, stop, new in found:
        if start >= end:
            parts += [text[end:start], new]
            end = stop
    return "".join(parts) + text[end:]


def _private(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, replacement) of private values, in no order; one may be within another."""
    marker = json.dumps(FIELD_MARKER)
    level, above = _Level(), list[_Level]()
    hidden: int | None = None  # depth of a container that is private as a whole
    for token in _TOKEN.finditer(text):
        said, start, end = token[0], token.start(), token.end()
        if said in "{[":
            is_private = level.key is not None and kind_of(level.key) is not None
            if is_private and hidden is None:
                hidden = len(above)
            above.append(level)
            level = _Level(said == "{", is_of_people(level.key or "", level.of_people), start=start)
            if said == "[":
                level.key = above[-1].key
        elif said in "}]":
            if not above:
                continue
            if level.is_named:
                yield from ((*span, marker) for span in level.values)
            start, level = level.start, above.pop()
            if hidden == len(above):
                hidden = None
                yield start, end, marker
            elif level.key == VALUE_KEY:
                level.values.append((start, end))
        elif said == ":":
            level.key = level.said
        elif said == ",":
            level.key = level.key if not level.is_object else None
        elif level.is_object and level.key is None:
            level.said = said.strip('"')
        elif hidden is None:
            yield from _of_value(level, said, start, end, marker)


def _of_value(level: _Level, said: str, start: int, end: int, marker: str) -> Iterator[tuple[int, int, str]]:
    key = level.key or ""
    lowered = key.lower()
    if lowered in NAME_KEYS and said[0] == '"' and (said == '"name"' or kind_of(said.strip('"'))):
        level.is_named = True
        return
    if _is_private(key, said) or (lowered == "name" and level.of_people and said[0] == '"' and len(said) > 2):
        yield start, end, marker
        return
    if lowered == VALUE_KEY:
        level.values.append((start, end))
    if '\\"' in said:
        new = _scrubbed_string(said)
        if new != said:
            yield start, end, new


def _is_private(key: str, said: str) -> bool:
    kind = kind_of(key) if key else None
    if kind is None or said.lower() in _SAYS_NOTHING:
        return False
    if kind == "phone":
        return sum(map(str.isdigit, said)) >= MIN_PHONE_DIGITS
    return said[0] == '"' or kind != "email"


def _scrubbed_string(text: str) -> str:
    """A JSON string, scrubbed if it contains JSON."""
    try:
        inner = json.loads(text)
    except ValueError:
        return text
    scrubbed = scrub_json(inner)
    return text if scrubbed == inner else json.dumps(scrubbed, ensure_ascii=False)


# Lines that are not JSON

_QUOTE = re.compile(r"(?<!\\)\\++(?=[\"'])")
_ESCAPED_ASCII = re.compile(r"(?<!\\)\\++u00([2-7][0-9A-Fa-f])")
_NAME = re.compile(r"(?<![A-Za-z0-9_.-])(?P<name>[A-Za-z][A-Za-z0-9_. -]{0,63}+)[\"']?\s*+[:=]\s*+")
_QUOTED = re.compile(r"([\"'])([^\"']{1,64})\1")
# Up to a closing quote, after which something new begins: a value may contain quotes of its own.
_TO_QUOTE = {
    quote: re.compile(rf"{quote}[^{quote}]*+(?:{quote}(?!\s*+(?:[,}}\]:]|\Z))[^{quote}]*+)*+{quote}?")
    for quote in "\"'"
}
_BARE = re.compile(r"[^,;&}\]\r\n\t\"']*+")
_BRACKET = re.compile(r"[{}\[\]]")
_BRACE = re.compile(r"[{}]")


def scrub_json_line(line: str) -> str:
    """The line without its private fields. It may be broken JSON, and need not stay JSON."""
    line = scrub_json(line) if _is_json(line) else line
    line = _QUOTE.sub("", _ESCAPED_ASCII.sub(lambda match: chr(int(match[1], 16)), line))
    named = _named_parts(line)
    parts: list[str] = []
    position = part = 0
    while match := _NAME.search(line, position):
        part += len(_BRACE.findall(line, position, match.end()))
        name, value = match["name"].strip().lower(), match.end()
        if not (kind_of(match["name"].strip()) or name == "name" or (name == VALUE_KEY and part in named)):
            parts.append(line[position:value])
            position = value
            continue
        end = _end_of_value(line, value)
        is_nothing = line[value:end].strip("\"' ").lower() in _SAYS_NOTHING or end == value
        parts += [line[position:value], line[value:end] if is_nothing else FIELD_MARKER]
        part += len(_BRACE.findall(line, value, end))
        position = end
    return "".join(parts) + line[position:]


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _named_parts(line: str) -> set[int]:
    """The numbers of the parts between braces in which a field makes the `value` private."""
    found: set[int] = set()
    part = position = 0
    for match in _NAME.finditer(line):
        part += len(_BRACE.findall(line, position, match.end()))
        position = match.end()
        said = _QUOTED.match(line, position) if match["name"].strip().lower() in NAME_KEYS else None
        if said and (said[2] == "name" or kind_of(said[2])):
            found.add(part)
    return found


def _end_of_value(line: str, start: int) -> int:
    first = line[start : start + 1]
    if first in _TO_QUOTE:
        match = _TO_QUOTE[first].match(line, start)
        return match.end() if match else start
    if first not in ("{", "["):
        match = _BARE.match(line, start)
        return match.end() if match else start
    depth = 0
    for bracket in _BRACKET.finditer(line, start):
        depth += 1 if bracket[0] in "{[" else -1
        if not depth:
            return bracket.end()
    return len(line)
