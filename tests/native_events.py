"""Random lines of events, most of them ordinary and some mutated, and what both ways of reading make of them."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingest.events.files import EventBatch, EventPiece, event_batches
from ingest.events.parser import EventParser
from ingest.events.shapes import Field, shapes
from ingest.native import library
from ingest.native.library import Texts
from ingest.rows.batches import ParsedBatch
from tests.event_lines import DAY, HASH_KEY

HOURS = (f"{DAY}-10", f"{DAY}-11")
EVENT_KEYS = pa.array(["key one", "key two"])
SITE = "example.com"
_STRINGS = (
    *("", " ", "a", "page_view", "pageView", "vis_1f", "c12", "-1", "0", "true", "null", "undefined", "{{id}}", "12.5"),
    *("1e3", "1_000", " 7 ", "usd", "ann@example.org", "85.1.2.3", "+1 415 555 0100", "not set", "lmy47d", "__x1__"),
    *(
        "https://example.com/a?utm_source=x&gclid=Cj1",
        "//h.example/p",
        "/p/1?x=1",
        "?utm_medium=cpc",
        "Grüße",
        "日本",
        "😀",
    ),
    *('a "quoted" \\ text', "line\nbreak", "tab\t", "bell\b\f\r\x01", "</script>", "\u2028", "\x7f", "batch", "1" * 40),
)
_NUMBERS = (0, 1, -1, 1920, 0.5, 2.25, -3.75, 1.0, 0.001, 10**15, 10**18, 10**19, 10**30, 1e-7, 1e21, 123456.789, -0.0)
_TIMES = (
    *(
        f"{DAY}T10:00:00Z",
        f"{DAY}T10:00:00.5Z",
        f"{DAY} 10:00:00.123456",
        f"{DAY}T10:00:00.1234567Z",
        f"{DAY}T24:00:00Z",
    ),
    *(f"{DAY}T10:00:00+02:00", f"{DAY}T10:00:00-14:59", f"{DAY}T10:00:60Z", f"{DAY}T10:00", "2026-02-30T10:00:00Z"),
    *(f"{DAY}t10:00:00z", "20260112T100000Z", "1768212000", "1768212000123", "1768212000123456", "1", "never", ""),
    *(1768212000, 1768212000123, 1768212000.5, 1768212000123456, -5, 0, 10**12, 9 * 10**9, None),
)
_MUTATIONS = (
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "0",
    "-",
    ".",
    "e",
    " ",
    "\t",
    "\\u00e9",
    "\\ud83d",
    "\\u0000",
    "null",
    "é",
)


def lines(rng: random.Random, count: int) -> list[bytes]:
    """Lines of events, each with its newline."""
    return [_line(rng) + b"\n" for _ in range(count)]


def _line(rng: random.Random) -> bytes:
    shape = rng.choice(shapes())
    is_ordinary = rng.random() < 0.75
    marks = dict.fromkeys(sorted(shape.recognised_by_any)[: int(is_ordinary)], "v1")
    event = marks | _object(rng, shape.root.fields, is_ordinary)
    separators = rng.choice([(",", ":"), (",", ":"), (", ", ": "), (" ,\t", " : ")])
    text = json.dumps(event, ensure_ascii=rng.random() < 0.3, separators=separators)
    while not is_ordinary and rng.random() < 0.5:
        text = _mutated(rng, text)
    return text.replace("\n", " ").encode("utf-8", "replace")


def _object(rng: random.Random, fields: tuple[Field, ...], is_ordinary: bool) -> dict[str, Any]:
    chance = rng.random()
    chosen = [each for each in fields if each.is_required or rng.random() < chance]
    found = {each.path[-1]: _value(rng, each, is_ordinary) for each in chosen if not (each.children_of and is_ordinary)}
    while rng.random() < 0.3:
        found[rng.choice(["theme", "depth", "käse", "a b", "email", "x/y", "name", "value", "n1", "n2"])] = _anything(
            rng, is_ordinary
        )
    keys = list(found)
    if rng.random() < 0.3:
        rng.shuffle(keys)
    return {key: found[key] for key in keys}


def _value(rng: random.Random, field: Field, is_ordinary: bool) -> Any:
    if field.column == "event_ts":
        return rng.choice(_TIMES[:3] if is_ordinary else _TIMES)
    if field.path == ("schema_version",):
        return rng.choice([shapes()[0].version, None] if is_ordinary else [1, 2, 7, "1"])
    if is_ordinary and field.column == "event_id":
        return rng.choice(["evt_1a", "00000000-0000-4000-8000-00000000000b", None, "", 12])
    if field.fields and rng.random() < 0.9:
        return _object(rng, field.fields, is_ordinary)
    if not is_ordinary and rng.random() < 0.05:
        return _anything(rng, is_ordinary)
    if not field.types:
        return _anything(rng, is_ordinary)
    kind = rng.choice(sorted(field.types))
    if kind in ("VARCHAR", "NULL"):
        needs_text = field.min_length and (is_ordinary or rng.random() < 0.9)
        return None if kind == "NULL" else rng.choice(["pageView", "s1", "é x9"] if needs_text else _STRINGS)
    if kind == "BOOLEAN":
        return rng.random() < 0.5
    if kind in ("OBJECT", "ARRAY"):
        return {} if kind == "OBJECT" else [{"eventType": "click"}]
    return rng.choice([each for each in _numbers(is_ordinary) if kind == "DOUBLE" or isinstance(each, int)])


def _numbers(is_ordinary: bool) -> tuple[float, ...]:
    return _NUMBERS[:9] if is_ordinary else _NUMBERS


def _anything(rng: random.Random, is_ordinary: bool, depth: int = 0) -> Any:
    kind = rng.randrange(6 if depth < 3 else 4)
    if kind == 4:
        return [_anything(rng, is_ordinary, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 5:
        return {rng.choice(_STRINGS): _anything(rng, is_ordinary, depth + 1) for _ in range(rng.randrange(3))}
    return rng.choice([rng.choice(_STRINGS), rng.choice(_numbers(is_ordinary)), None, True, False])


def _mutated(rng: random.Random, text: str) -> str:
    at, end = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    match rng.randrange(5):
        case 0:
            return text[:at] + rng.choice(_MUTATIONS) + text[at:]
        case 1:
            return text[:at] + text[at + 1 :]
        case 2:
            return text[:at]
        case 3:  # a key twice, if it hits one
            return text[:at] + text[at : min(end, at + 40)] + text[at:]
        case _:
            return text[: at - 1] + rng.choice(_MUTATIONS) + text[at:] if at else text


def batch(content: list[bytes]) -> EventBatch:
    """The lines as two objects, which are read together."""
    middle = len(content) // 2
    parts = [content[:middle], content[middle:]]
    pieces = [EventPiece(index, 1, b"".join(part), len(part)) for index, part in enumerate(parts) if part]
    (found,) = event_batches(pieces)
    return found


def parser(way: str, monkeypatch: pytest.MonkeyPatch) -> EventParser:
    monkeypatch.setattr(library, "_chosen", way)
    return EventParser(HASH_KEY, SITE, HOURS)


def difference(one: ParsedBatch, other: ParsedBatch) -> str | None:
    """The first difference between two results, in words."""
    for name in one.table.column_names:
        column, same = one.table.column(name), other.table.column(name)
        if column.type != same.type:
            return f"{name}: {column.type}, {same.type}"
        if pa.types.is_dictionary(column.type):
            column, same = column.cast(pa.string()), same.cast(pa.string())
        if not column.equals(same):
            pairs = zip(column.to_pylist(), same.to_pylist(), strict=False)
            at, pair = next(((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1]), (-1, ()))
            row = one.table.slice(max(at, 0), 1).to_pylist()
            return f"{name} of row {at} ({len(column)}, {len(same)} rows): {pair} in {row}"
    for name in ("object_index", "day", "id_hash", "has_id"):
        if not np.array_equal(getattr(one, name), getattr(other, name)):
            return name
    for name in ("rejects", "rejected", "rows_read", "unreadable_numbers", "fields"):
        if getattr(one, name) != getattr(other, name):
            return f"{name}: {getattr(one, name)!r:.2000}, {getattr(other, name)!r:.2000}"
    return None


class WithWrongEnd(Texts):
    """Texts of which the last ends behind the memory."""

    def __init__(self, array: pa.Array) -> None:
        super().__init__(array)
        offsets = array.buffers()[1]
        self._wrong = np.frombuffer(offsets, dtype=np.int32)[array.offset : array.offset + len(array) + 1].copy()
        self._wrong[-1] += 1 << 20
        self.ends = self._wrong.ctypes.data
