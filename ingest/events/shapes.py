"""The shapes of events: their JSON Schemas, and how an event with given keys is read.

Only the schemas in `schemas/` name the fields of an event, their types, and the column of each field.
`ingest/schema.py` declares the columns and the role of their values. Events are not validated one by one: events with
the same keys are read alike, and a day has few structures of keys and few combinations of types. This module handles
each of them once.

Extensions of JSON Schema, which all begin with `x-`:
    x-shape, x-version    name and version of the shape; an event names its version in `schema_version`, else it is 1
    x-replaces            earlier versions that are gone: their events are read by this version
    x-recognised-by       keys that identify the shape: all of `all`, and one of `any` unless it is empty
    x-order               shapes with a lower number are tried first
    x-screens             the pages of the shape are screens of an app, which have no host
    x-column              the field becomes this column or part of one (`EVENTS`, `EVENT_PARTS` in `ingest/schema.py`);
                          of several fields of one column the first known one wins
    x-keep                the field is kept in `properties` although it has a column
    x-free                the sender chooses the keys of this object; it is kept whole in `properties`
    x-children            the events of a batch; the value names the field, and its text, that mark an event as a batch
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

VERSION_KEY = "schema_version"
MAX_LEFT = 100  # leftover fields of one structure; with more, or with unusual keys, it is read in the general way

Path = tuple[str, ...]

# Type in JSON Schema → types of DuckDB's json_type.
_TYPES = {
    "string": ("VARCHAR",),
    "integer": ("BIGINT", "UBIGINT", "HUGEINT"),
    "number": ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"),
    "boolean": ("BOOLEAN",),
    "object": ("OBJECT",),
    "array": ("ARRAY",),
    "null": ("NULL",),
}
_NAMES = {
    "VARCHAR": "a string",
    "BIGINT": "a number",
    "UBIGINT": "a number",
    "HUGEINT": "a number",
    "DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "OBJECT": "an object",
    "ARRAY": "an array",
    "NULL": "null",
}


@dataclass(frozen=True, eq=False)  # each exists once, and comparing by content would be slow
class Field:
    """One field of a schema."""

    path: Path
    types: frozenset[str]  # of json_type; empty for any
    wanted: str  # the types in words
    column: str | None = None
    is_required: bool = False
    is_kept: bool = False
    is_free: bool = False
    children_of: tuple[str, str] | None = None  # (field, text) that mark an event as a batch of these children
    min_length: int = 0
    max_length: int | None = None
    fields: tuple[Field, ...] = ()

    @property
    def name(self) -> str:
        return ".".join(self.path)

    def all(self) -> Iterator[Field]:
        for each in self.fields:
            yield each
            yield from each.all()


@dataclass(frozen=True)
class Batch:
    """How several events of one shape are sent in one event.

    kind: the field that marks a batch.
    name: the text of that field in a batch.
    children: the field that holds the events.
    time: the field with the time; a child whose own time is null takes that of the batch.
    own: fields that children do not inherit; they inherit all others that they lack.
    """

    kind: str
    name: str
    children: str
    time: str
    own: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Shape:
    """A shape of events in one version."""

    name: str
    version: int
    replaces: frozenset[int]
    order: int
    has_screens: bool
    recognised_by_all: frozenset[str]
    recognised_by_any: frozenset[str]
    root: Field

    @cached_property
    def batch(self) -> Batch | None:
        field = next((each for each in self.root.fields if each.children_of), None)
        if field is None or field.children_of is None:
            return None
        column_of = {each.column: each.name for each in self.root.fields if each.column}
        kind, name = field.children_of
        return Batch(kind, name, field.name, column_of["event_ts"], (kind, column_of["event_id"]))

    @cached_property
    def repeated_columns(self) -> frozenset[str]:
        """The columns that several fields of the shape become."""
        numbers = Counter(each.column for each in self.root.all() if each.column)
        return frozenset(column for column, number in numbers.items() if number > 1)

    def reads(self, version: int) -> bool:
        return version == self.version or version in self.replaces

    def has_keys(self, keys: Sequence[str]) -> bool:
        found = set(keys)
        return found >= self.recognised_by_all and (not self.recognised_by_any or bool(found & self.recognised_by_any))


@dataclass(frozen=True)
class Structure:
    """How events with certain keys are read: the fields to read, and the leftover fields for `properties`.

    left: the fields without a column, as a tree of keys; None in the general way, which does not list them.
    reason, problem: why events with these keys are rejected, as code and in words.
    others: the top-level fields that no schema knows. They do not change how an event is read.
    """

    shape: Shape | None
    fields: tuple[Field, ...] = ()
    left: Mapping[str, Any] | None = field(default=None, hash=False, compare=False)
    left_paths: tuple[Path, ...] | None = None
    reason: str | None = None
    problem: str | None = None
    others: tuple[Field, ...] = field(default=(), hash=False, compare=False)


@cache
def shapes() -> tuple[Shape, ...]:
    """All shapes, in the order in which they are tried."""
    folder = files("ingest").joinpath("events", "schemas")
    found = [_shape(json.loads(each.read_text("utf-8"))) for each in folder.iterdir() if each.name.endswith(".json")]
    return tuple(sorted(found, key=lambda shape: (shape.order, shape.version)))


def _shape(schema: Mapping[str, Any]) -> Shape:
    recognised = schema["x-recognised-by"]
    return Shape(
        name=schema["x-shape"],
        version=schema["x-version"],
        replaces=frozenset(schema.get("x-replaces", ())),
        order=schema["x-order"],
        has_screens=schema.get("x-screens", False),
        recognised_by_all=frozenset(recognised["all"]),
        recognised_by_any=frozenset(recognised["any"]),
        root=_field((), schema, is_required=True),
    )


def _field(path: Path, schema: Mapping[str, Any], is_required: bool) -> Field:
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    required = set(schema.get("required", ()))
    return Field(
        path=path,
        types=frozenset(kind for name in names for kind in _TYPES[name]),
        wanted=" or ".join(names),
        column=schema.get("x-column"),
        is_required=is_required,
        is_kept=schema.get("x-keep", False),
        is_free=schema.get("x-free", False),
        children_of=next(iter(schema.get("x-children", {}).items()), None),
        min_length=schema.get("minLength", 0),
        max_length=schema.get("maxLength"),
        fields=tuple(
            _field((*path, name), each, name in required) for name, each in schema.get("properties", {}).items()
        ),
    )


@cache
def object_paths() -> tuple[Path, ...]:
    """The objects whose keys make up the structure of an event: the event itself, and objects that schemas describe."""
    found = {each.path for shape in shapes() for each in shape.root.all() if each.fields and not each.is_free}
    return ((), *sorted(found))


def structure(keys: Mapping[Path, Sequence[str]], version: int = 1) -> Structure:
    """The structure of events with these keys. `keys` maps each of `object_paths()` that is an object to its keys."""
    top = keys.get((), ())
    named = [shape for shape in shapes() if shape.has_keys(top)]
    if not named:
        shown = ", ".join(top[:8]) or "none"
        return Structure(None, reason="unknown_shape", problem=f"fields: {shown}"[:200])
    shape = next((each for each in named if each.name == named[0].name and each.reads(version)), None)
    if shape is None:
        return Structure(None, reason="unknown_version", problem=f"{named[0].name} has no version {version}")
    missing = [each.name for each in shape.root.fields if each.is_required and each.path[0] not in top]
    if missing:
        return Structure(shape, reason="schema", problem=f"{missing[0]}: missing")
    fields = tuple(_present(shape.root, keys))
    known = {each.path[0] for each in shape.root.fields}
    others = tuple(Field((name,), frozenset(), "") for name in dict.fromkeys(top) if name not in known)
    left = _left(shape.root, keys)
    paths = tuple(_leaves(left))
    if len(paths) > MAX_LEFT or not all(_is_plain(name) for path in paths for name in path):
        return everything(shape, others)
    return Structure(shape, fields, left, paths, others=others)


def everything(shape: Shape, others: tuple[Field, ...] = ()) -> Structure:
    """The structure of the general way, for any keys: it looks for all fields of a shape."""
    return Structure(shape, _all_fields(shape), others=others)


@cache
def _all_fields(shape: Shape) -> tuple[Field, ...]:
    return tuple(shape.root.all())


def _present(parent: Field, keys: Mapping[Path, Sequence[str]]) -> Iterator[Field]:
    for each in parent.fields:
        if parent.is_free or each.path[-1] in keys.get(parent.path, ()):
            yield each
            yield from _present(each, keys)


def _left(parent: Field, keys: Mapping[Path, Sequence[str]]) -> dict[str, Any]:
    """Key → None for a field that is kept whole, or a tree of the same form for an object that is kept in part.

    The order is that of RFC 7396, as in the general way: whole fields first, then objects that are kept in part.
    """
    known = {each.path[-1]: each for each in parent.fields}
    present = dict.fromkeys(keys.get(parent.path, ()))
    left: dict[str, Any] = {}
    for name in present:
        each = known.get(name)
        if each is None or each.is_kept or each.is_free or (each.column is None and not each.fields):
            left[name] = None
    for each in parent.fields:
        is_parted = each.fields and not (each.is_kept or each.is_free)
        if is_parted and each.path[-1] in present and (inner := _left(each, keys)):
            left[each.path[-1]] = inner
    return left


def _leaves(left: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    for name, inner in left.items():
        if inner is None:
            yield (*path, name)
        else:
            yield from _leaves(inner, (*path, name))


def _is_plain(name: str) -> bool:
    return 0 < len(name) <= 100 and all(each.isalnum() or each in "_-. $:@" for each in name)


def pointer(path: Path) -> str:
    """The JSON pointer of a path (RFC 6901)."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in path)


def columns_taken(shape: Shape) -> dict[str, Any]:
    """An RFC 7396 patch that removes all fields with a column from an event, which leaves its properties."""

    def patch(parent: Field) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        for each in parent.fields:
            if each.is_kept or each.is_free:
                continue
            if each.fields:
                taken[each.path[-1]] = patch(each)
            elif each.column:
                taken[each.path[-1]] = None
        return taken

    return patch(shape.root)


def type_problem(fields: Sequence[Field], types: Sequence[str | None]) -> str | None:
    """The problem of an event whose fields have these types (of json_type, None for missing); None if they are
    valid."""
    for each, kind in zip(fields, types, strict=True):
        if kind is None:
            if each.is_required and len(each.path) == 1:
                return f"{each.name}: missing"
        elif each.types and kind not in each.types:
            return f"{each.name}: is {_NAMES.get(kind, kind.lower())}, not {each.wanted}"
    return None
