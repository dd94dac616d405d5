"""The native way to read events: ordinary lines become columns in the core, all others are named.

The core (`ingest/native/events.zig`) finds the texts of the fields that the schemas describe; it does not know what
they mean. The rules of each role (`roles.py`) then see each distinct text once.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.events.files import EventBatch
from ingest.events.roles import EVENT_VALUES, READ
from ingest.events.shapes import VERSION_KEY, Field, Shape, shapes
from ingest.events.sql import JSON_COLUMNS, PAGES, distinct_query, is_no_number, is_number
from ingest.native.library import Core, NativeError, Texts, core, numbers
from ingest.rows.columns import DICTIONARY, single
from ingest.schema import DEVICE_TRAITS, Column, Role

log = logging.getLogger(__name__)

MOST_ODD = 0.5  # share of a batch's lines; with more that are not ordinary, reading them twice does not pay
_NO_SLOT = 0xFFFFFFFF
_KINDS = ("VARCHAR", "BIGINT", "DOUBLE", "BOOLEAN", "OBJECT", "ARRAY", "NULL")  # of json_type, as `json.Kind` has them
_KIND_NAMES = ("string", "number", "number", "boolean", "object", "array", "null")
_OWN = {  # columns of all events, in the order of `Own` in events.zig
    "line": pa.int64(),
    "time": pa.int64(),
    "shape": pa.int64(),
    "event_id": pa.string(),
    "properties": pa.string(),
    "traits": DICTIONARY,
    "signature": DICTIONARY,
}
_MOST_VERSIONS = 31


class _Name(ctypes.Structure):
    _fields_ = (("start", ctypes.c_uint32), ("length", ctypes.c_uint32))


class _Range(ctypes.Structure):
    _fields_ = (("first", ctypes.c_uint32), ("count", ctypes.c_uint32))


class _Field(ctypes.Structure):
    _fields_ = (
        ("key", _Name),
        *((name, ctypes.c_uint32) for name in ("kinds", "slot", "flags", "least", "most", "first", "count")),
    )


class _Shape(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("first", "count", "all", "any")),
        ("batch", _Name),
        ("kind", ctypes.c_uint32),
        ("versions", ctypes.c_uint32),
    )


class _Trait(ctypes.Structure):
    _fields_ = (("name", _Name), ("slots", _Range * 2))


class _Table(ctypes.Structure):
    _fields_ = (
        *(
            each
            for name in ("names", "fields", "shapes", "marks", "traits")
            for each in ((name, ctypes.c_void_p), (f"{name}_count", ctypes.c_uint64))
        ),
        ("slots", ctypes.c_uint32),
        ("time", ctypes.c_uint32),
        ("ids", _Range),
    )


class _Lines(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("ends", ctypes.c_void_p),
        ("count", ctypes.c_uint64),
        ("rejected", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("keys_size", ctypes.c_uint64),
        ("key_ends", ctypes.c_void_p),
        ("keys_count", ctypes.c_uint64),
        ("key_of", ctypes.c_void_p),
    )


@cache
def slots() -> dict[str, range]:
    """The slots of each column: one for each field that a shape has of it, by priority."""
    most = {
        column.name: max(sum(each.column == column.name for each in shape.root.all()) for shape in shapes())
        for column in EVENT_VALUES
    }
    found, start = {}, 0
    for name, number in most.items():
        found[name] = range(start, start + number)
        start += number
    return found


class _TableMaker:
    """Writes the schemas as the core's table."""

    def __init__(self) -> None:
        self.names = b""
        self.fields: list[Any] = []
        marks = dict.fromkeys(key for shape in shapes() for key in sorted(_marks(shape)))
        self.marks = {key: 1 << bit for bit, key in enumerate(marks)}

    def name(self, text: str) -> _Name:
        data = text.encode()
        start = self.names.find(data)
        if start < 0:
            start, self.names = len(self.names), self.names + data
        return _Name(start, len(data))

    def shape(self, shape: Shape) -> _Shape:
        self._seen: dict[str, int] = {}
        slot_of = {id(each): self._slot(each) for each in shape.root.all()}
        first = self._add(shape.root.fields, slot_of, shape.repeated_columns)
        batch = shape.batch
        kind = next((slot_of[id(each)] for each in shape.root.fields if batch and each.name == batch.kind), _NO_SLOT)
        return _Shape(
            first,
            len(shape.root.fields),
            sum(self.marks[key] for key in shape.recognised_by_all),
            sum(self.marks[key] for key in shape.recognised_by_any),
            self.name(batch.name if batch else ""),
            kind,
            sum(1 << each for each in {shape.version, *shape.replaces} if each <= _MOST_VERSIONS),
        )

    def _slot(self, each: Field) -> int:
        if each.column is None:
            return _NO_SLOT
        at = self._seen[each.column] = self._seen.get(each.column, -1) + 1
        return slots()[each.column][at]

    def _add(self, fields: Sequence[Field], slot_of: dict[int, int], repeated: frozenset[str]) -> int:
        first = len(self.fields)
        self.fields += [None] * len(fields)
        for at, each in enumerate(fields, start=first):
            flags = (
                each.is_kept,
                each.is_free,
                each.is_required,
                each.children_of is not None,
                each.path == (VERSION_KEY,),
                each.column in repeated,
                each.column in JSON_COLUMNS,
            )
            self.fields[at] = _Field(
                self.name(each.path[-1]),
                sum(1 << number for number, kind in enumerate(_KINDS) if kind in each.types),
                slot_of[id(each)],
                sum(1 << bit for bit, flag in enumerate(flags) if flag),
                each.min_length,
                each.max_length or 0,
                self._add(each.fields, slot_of, repeated),
                len(each.fields),
            )
        return first


def _marks(shape: Shape) -> frozenset[str]:
    return shape.recognised_by_all | shape.recognised_by_any


def _range(of: range) -> _Range:
    return _Range(of.start, len(of))


def _array(items: Sequence[Any]) -> Any:
    return (type(items[0]) * len(items))(*items)


def _table() -> tuple[_Table, list[Any]]:
    """(the core's table, the arrays that it points to)."""
    maker = _TableMaker()
    of_shapes = [maker.shape(each) for each in shapes()]
    marks = [maker.name(key) for key in maker.marks]
    traits = [
        _Trait(maker.name(name), (_Range * 2)(*(_range(slots()[column]) for column in columns)))
        for name, columns in DEVICE_TRAITS.items()
    ]
    parts = [
        (ctypes.c_char * len(maker.names)).from_buffer_copy(maker.names),
        *(_array(each) for each in (maker.fields, of_shapes, marks, traits)),
    ]
    pointers = [value for part in parts for value in (ctypes.cast(part, ctypes.c_void_p), len(part))]
    last = max(of.stop for of in slots().values())
    return _Table(*pointers, last, slots()["event_ts"].start, _range(slots()["event_id"])), parts


@dataclass
class Ordinary:
    """The ordinary lines of a batch.

    texts: slot → the texts of its field; slots without any are missing.
    own: what all of them have: line, time in microseconds since 1970, shape, event_id, properties, traits, and
        signature: the shape, and the top-level keys with the kind of each.
    odd: the lines that are not ordinary, in their order.
    """

    own: dict[str, pa.Array]
    texts: dict[int, pa.DictionaryArray]
    odd: np.ndarray

    def __len__(self) -> int:
        return len(self.own["line"])


class NativeReader:
    """A reader in the core. Not safe to use from several threads. One that has failed is not used again."""

    def __init__(self, core: Core) -> None:
        pointer, size = ctypes.c_void_p, ctypes.c_uint64
        self._core = core
        self._read = core.function("events_read", ctypes.c_int, pointer, pointer)
        self._text = core.function("events_text", ctypes.c_int, pointer, size, pointer)
        self._own = core.function("events_own", ctypes.c_int, pointer, ctypes.c_uint32, pointer)
        self._is_used = core.function("events_is_used", ctypes.c_bool, pointer, size)
        self._odd = core.function("events_odd", size, pointer, pointer)
        self._free = core.function("events_free", None, pointer)
        self._reader = ctypes.c_void_p()
        table, self._parts = _table()
        self._slots = range(table.slots)
        core.check(
            core.function("events_new", ctypes.c_int, pointer, pointer)(ctypes.byref(self._reader), ctypes.byref(table))
        )

    def __del__(self) -> None:
        if getattr(self, "_reader", None):
            self._free(self._reader)

    def read(self, batch: EventBatch, keys: pa.Array, key_of: np.ndarray) -> Ordinary:
        """Reads the lines of a batch that are not rejected yet.

        Args:
            keys: texts that hash the ids of events.
            key_of: for each line which of them, int32.
        """
        rejected = np.zeros(len(batch), dtype=np.uint8)
        rejected[list(batch.reasons)] = 1
        texts, of_ids = Texts(batch.texts), Texts(keys)
        lines = _Lines(
            *(texts.data, texts.size, texts.ends, len(batch), rejected.ctypes.data),
            *(of_ids.data, of_ids.size, of_ids.ends, of_ids.count),
            np.ascontiguousarray(key_of, dtype=np.int32).ctypes.data,
        )
        status = self._read(self._reader, ctypes.byref(lines))
        if status:
            self._reader = ctypes.c_void_p()  # it is left as it is: its memory may be damaged
        self._core.check(status)
        own = {
            name: self._core.array(self._own, self._reader, number, type=kind)
            for number, (name, kind) in enumerate(_OWN.items())
        }
        found = {
            slot: self._core.array(self._text, self._reader, slot, type=DICTIONARY)
            for slot in self._slots
            if self._is_used(self._reader, slot)
        }
        return Ordinary(own, found, numbers(self._odd, self._reader).reshape(-1))


class NativeReaders:
    """A reader for each thread. None is made where the core is missing."""

    def __init__(self) -> None:
        self._core = core()
        self._local = threading.local()

    def read(self, batch: EventBatch, keys: pa.Array, key_of: np.ndarray) -> Ordinary | None:
        """As `NativeReader.read`; None if the batch is to be read the Python way."""
        if self._core is None:
            return None
        try:
            if not hasattr(self._local, "reader"):
                self._local.reader = NativeReader(self._core)
            found: Ordinary = self._local.reader.read(batch, keys, key_of)
        except NativeError as error:
            log.warning("%s lines of events are read the Python way: the native core failed, %s", len(batch), error)
            self._local = threading.local()
            return None
        return found if len(found.odd) <= MOST_ODD * len(batch) else None


class PlaceReader:
    """Takes web addresses apart. Safe to use from several threads."""

    def __init__(self, core: Core) -> None:
        pointer, size = ctypes.c_void_p, ctypes.c_uint64
        self._core = core
        self._read = core.function("places_read", ctypes.c_int, pointer, pointer, size, pointer, size)
        self._part = core.function("places_part", ctypes.c_int, pointer, size, pointer)
        self._odd = core.function("places_odd", size, pointer, pointer)
        self._free = core.function("places_free", None, pointer)

    def read(self, addresses: pa.Array) -> tuple[dict[str, pa.Array], np.ndarray]:
        """(host, path and query string of each address; the rows that are to be read otherwise and are null).

        Raises:
            NativeError: it has too little memory, or the core has an error.
        """
        texts = Texts(addresses)
        reader = ctypes.c_void_p()
        self._core.check(self._read(ctypes.byref(reader), texts.ends, texts.count, texts.data, texts.size))
        try:
            names = ("host", "path", "query")
            parts = {name: self._core.array(self._part, reader, at, type=pa.string()) for at, name in enumerate(names)}
            return parts, numbers(self._odd, reader).reshape(-1)
        finally:
            self._free(reader)


@cache
def place_reader(core: Core) -> PlaceReader:
    """The reader of a loaded core."""
    return PlaceReader(core)


def table_of(found: Ordinary, run: Callable[[str, pa.Table], pa.Table]) -> pa.Table:
    """The columns of ordinary events, as `columns_query` gives them; a column that no event has is missing.

    Args:
        run: runs SQL over a table named `lines`.
    """
    own, length = found.own, len(found)
    names = pa.array([shape.name for shape in shapes()], pa.string())
    columns = {
        "row": own["line"].cast(pa.int32()),
        "batch_index": pa.nulls(length, pa.int64()),
        "event_ts": own["time"],
        "shape": names.take(own["shape"]),
        "is_unreadable": pa.array(np.zeros(length, dtype=bool)),
        **{name: own[name] for name in ("event_id", "properties", "traits")},
    }
    values = _Values(found, run)
    for column in EVENT_VALUES:
        used = values.used(column.name)
        if not used or column.name in columns:
            continue
        if column.role is Role.NUMBER:
            are_numbers = [values.of(is_number(column), slot) for slot in used]
            columns[column.name] = _first(are_numbers, [values.of(column.name, slot) for slot in used])
            for slot in used:
                is_unreadable = values.of(is_no_number(column), slot).fill_null(False)
                columns["is_unreadable"] = pc.or_(columns["is_unreadable"], is_unreadable)
        elif column.role is Role.FLAG:
            are_said = [found.texts[slot].is_valid() for slot in used]
            columns[column.name] = _first(are_said, [values.of(column.name, slot) for slot in used])
        elif column.role in (Role.ID, Role.NAME) and values.are_several(used):
            columns[column.name] = pc.coalesce(*(values.of(column.name, slot) for slot in used)).dictionary_encode()
        elif column.role is Role.JSON:
            columns[column.name] = found.texts[used[0]].cast(pa.string())
        elif column.role in READ or column.role is Role.PAGE:
            columns[column.name] = _joined([found.texts[slot] for slot in used])
    return pa.table(_with_pages(columns))


class _Values:
    """What the texts of numbers, flags and ids mean. Each distinct text of a batch is read once."""

    def __init__(self, found: Ordinary, run: Callable[[str, pa.Table], pa.Table]) -> None:
        self._found = found
        self._read: dict[tuple[str, int], pa.Array] = {}
        self._query([column for column in EVENT_VALUES if column.role in (Role.NUMBER, Role.FLAG)], run)
        for column in EVENT_VALUES:
            if column.role in (Role.ID, Role.NAME) and self.are_several(self.used(column.name)):
                self._query([column], run)

    def _query(self, columns: Sequence[Column], run: Callable[[str, pa.Table], pa.Table]) -> None:
        """Reads the texts of these columns by one query."""
        used = tuple(column for column in columns if self.used(column.name))
        slots = [slot for column in used for slot in self.used(column.name)]
        if not slots:
            return
        distinct = [self._found.texts[slot].dictionary for slot in slots]
        read = run(distinct_query(used), pa.table({"text": pa.chunked_array(distinct)}))
        starts = accumulate(map(len, distinct), initial=0)
        for slot, texts, start in zip(slots, distinct, starts, strict=False):
            for name in read.column_names:
                self._read[name, slot] = single(read.column(name).slice(start, len(texts)))

    def are_several(self, slots: Sequence[int]) -> bool:
        """Whether an event has texts of several of these slots."""
        if len(slots) < 2:
            return False
        known = [self._found.texts[slot].is_valid().to_numpy(zero_copy_only=False) for slot in slots]
        return bool((np.sum(known, axis=0) > 1).any())

    def used(self, column: str) -> list[int]:
        """The slots of a column that have texts, by priority."""
        return [slot for slot in slots()[column] if slot in self._found.texts]

    def of(self, name: str, slot: int) -> pa.Array:
        """What the texts of a slot mean; `name` is a column of `distinct_query`."""
        texts = self._found.texts[slot]
        return self._read[name, slot].take(texts.indices)


def _first(is_known: Sequence[pa.Array], values: Sequence[pa.Array]) -> pa.Array:
    """For each row the value of the first that is known."""
    found = values[-1]
    for known, value in zip(reversed(is_known[:-1]), reversed(values[:-1]), strict=True):
        found = pc.if_else(known.fill_null(False), value, found)
    return found


def _joined(texts: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    """For each row the first known text. The new dictionary may hold a text twice."""
    if len(texts) == 1:
        return texts[0]
    starts = accumulate((len(each.dictionary) for each in texts), initial=0)
    indices = [pc.add(each.indices, pa.scalar(start, pa.int32())) for each, start in zip(texts, starts, strict=False)]
    return pa.DictionaryArray.from_arrays(pc.coalesce(*indices), pa.concat_arrays([each.dictionary for each in texts]))


def _with_pages(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """`url` and `path` from a field that holds either of them."""
    for name in PAGES:
        pages = columns.pop(name, None)
        if pages is None:
            continue
        is_address = pc.match_substring_regex(pages.dictionary, "://|^//").take(pages.indices)
        for column, is_it in (("url", is_address), ("path", pc.invert(is_address))):
            given = pc.if_else(is_it, pages.cast(pa.string()), pa.scalar(None, pa.string()))
            before = columns.get(column)
            given = given if before is None else pc.coalesce(before.cast(pa.string()), given)
            columns[column] = given.dictionary_encode()
    return columns


def typed_keys(signature: str) -> tuple[Shape, dict[str, str]]:
    """(shape, top-level key → type in JSON) of a signature."""
    kinds = {part[1:]: _KIND_NAMES[ord(part[0]) - ord("a")] for part in signature[1:].split("\n")[:-1]}
    return shapes()[ord(signature[0]) - ord("A")], kinds
