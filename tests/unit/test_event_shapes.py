"""The JSON Schemas of events, and that ingest's verdict on an event is theirs: made-up events against `jsonschema`."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from ingest.events.roles import CLEANED, EVENT_VALUES, READ
from ingest.events.shapes import shapes
from ingest.schema import Role
from tests.event_lines import DAY, Events

pytestmark = pytest.mark.slow

Schema = dict[str, Any]

SCHEMAS: dict[str, Schema] = {
    each.name: json.loads(each.read_text("utf-8")) for each in files("ingest").joinpath("events", "schemas").iterdir()
}
BY_SHAPE = {schema["x-shape"]: schema for schema in SCHEMAS.values()}
EVENTS_OF_A_SHAPE = 400
TIMES = (f"{DAY}T10:00:00Z", f"{DAY} 10:00:00.5+02:00", "1768212000", 1768212000, 1768212000000, 1768212000.25)
WORDS = ("a", "Grüße", "日本 😀", 'quote " and \\', "x" * 300, " ", "17", "2026-01-12", "null", "a\tb\nc")
OF_TYPE: dict[str, tuple[Any, ...]] = {
    "string": WORDS,
    "integer": (0, 1, -1, 7, 2**53, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1),
    "number": (0, 3, 1.5, -0.25, 1e300),
    "boolean": (True, False),
    "object": ({}, {"k": [1, {"n": None}]}),
    "array": ([], [{"k": 1}]),
    "null": (None,),
}


def _is_integer(_: object, value: object) -> bool:
    """As docs/events.md has it: no fraction, and 64 bits. To JSON Schema 42.0 and 10**30 are integers too."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**64


Validator = extend(
    Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer)
)
VALIDATORS = {name: Validator(schema) for name, schema in BY_SHAPE.items()}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_file_is_a_valid_schema(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)
    assert name == f"{schema['x-shape']}.v{schema['x-version']}.json"
    assert schema["$id"] == f"clicklake:{schema['x-shape']}:{schema['x-version']}"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_says_nothing_that_ingest_does_not_look_at(name: str) -> None:
    """Another word of JSON Schema would be law to those who read the schema, and nothing to ingest."""
    understood = {"type", "properties", "required", "minLength", "maxLength", "items", "title", "description"}
    top = {"$schema", "$id", "x-shape", "x-version", "x-recognised-by", "x-replaces", "x-order", "x-screens"}
    assert set(SCHEMAS[name]) <= understood | top
    nested = [schema for _, schema in fields_of(SCHEMAS[name])]
    for schema in nested:
        assert set(schema) <= understood | {"x-column", "x-keep", "x-free", "x-children"}
        assert "required" not in schema
        assert "items" not in schema or (schema["x-children"] and schema["items"] == {"type": "object"})


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_names_columns_of_the_registry(name: str) -> None:
    named = {schema["x-column"] for _, schema in fields_of(SCHEMAS[name]) if "x-column" in schema}
    assert named <= {column.name for column in EVENT_VALUES}


def test_every_role_has_a_rule() -> None:
    """Those without one of their own are read as a part of other columns, or by `addresses.py` and `clients.py`."""
    parts = {Role.PAGE, Role.TRAIT}
    elsewhere = {Role.ADDRESS, Role.PATH, Role.QUERY, Role.TAG, Role.AGENT, Role.IP}
    as_read = {Role.TIME, Role.NUMBER, Role.FLAG}
    assert set(READ) == set(Role) - parts
    assert set(CLEANED) == set(READ) - elsewhere - as_read


def test_every_schema_is_read() -> None:
    assert {(shape.name, shape.version) for shape in shapes()} == {
        (schema["x-shape"], schema["x-version"]) for schema in SCHEMAS.values()
    }


@pytest.mark.parametrize(("way", "least"), [("the general way", 1_000_000), ("a query for each structure", 1)])
def test_the_verdict_of_ingest_is_that_of_the_schema(
    way: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.events.parser.MIN_LINES", least)
    rng = random.Random(f"events, {way}")
    count = EVENTS_OF_A_SHAPE if least > 1 else EVENTS_OF_A_SHAPE // 4  # each of these costs a query
    sent = [mutated(rng, made_up(rng, schema), schema) for schema in BY_SHAPE.values() for _ in range(count)]
    events = Events(tmp_path)
    verdicts = dict.fromkeys(range(1, len(sent) + 1), "lost")
    verdicts |= {row["source_line"]: row["shape"] for row in events.take(*sent)}
    verdicts |= {each["source_line"]: each["reason"] for each in events.rejects()}
    wrong = [
        (expected(event), verdict, event)
        for event, verdict in zip(sent, verdicts.values(), strict=True)
        if verdict != expected(event)
    ]
    assert wrong == []
    seen = Counter(verdicts.values())
    assert min(seen[verdict] for verdict in (*BY_SHAPE, "schema", "unknown_shape")) > count / 15, seen


def expected(event: dict[str, Any]) -> str:
    """The shape of an event that its schema allows, else the reason that it is rejected for."""
    shape = recognised(event)
    if shape is None:
        return "unknown_shape"
    return shape if VALIDATORS[shape].is_valid(event) else "schema"


def recognised(event: dict[str, Any]) -> str | None:
    for shape in sorted(BY_SHAPE, key=lambda name: int(BY_SHAPE[name]["x-order"])):
        keys = BY_SHAPE[shape]["x-recognised-by"]
        if event.keys() >= set(keys["all"]) and (not keys["any"] or event.keys() & set(keys["any"])):
            return shape
    return None


# ---- made-up events ----


def fields_of(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    for name, each in schema.get("properties", {}).items():
        yield (*path, name), each
        yield from fields_of(each, (*path, name))


def made_up(rng: random.Random, schema: Schema) -> dict[str, Any]:
    """An event that the schema allows, with some of its fields and now and then one of the sender's own."""
    by_all, by_any = schema.get("x-recognised-by", {"all": (), "any": ()}).values()
    wanted = {*schema.get("required", ()), *by_all, *rng.sample(by_any, min(1, len(by_any)))}
    event = {
        name: value_of(rng, each)
        for name, each in schema["properties"].items()
        if name in wanted or rng.random() < rng.choice((0.1, 0.6))
    }
    if rng.random() < 0.2:
        event[rng.choice(("own", "x y", "a/b", "é"))] = any_value(rng)
    return event


def value_of(rng: random.Random, schema: Schema) -> Any:
    """A value that the schema of a field allows."""
    column = schema.get("x-column")
    if column == "event_ts":
        return rng.choice([time for time in TIMES if isinstance(time, str) or "number" in schema["type"]])
    if column == "event_id":  # or repetitions would be taken out
        return f"{rng.getrandbits(64):x}"
    if "type" not in schema:
        return any_value(rng)
    if "integer" in schema["type"] and not column:
        return rng.choice((1, None))  # schema_version: another one is another reason
    if "properties" in schema and rng.random() < 0.8:
        return made_up(rng, schema)
    kind = rng.choice(schema["type"])
    if kind == "string" and schema.get("maxLength") and rng.random() < 0.2:
        return rng.choice("aß😀") * schema["maxLength"]
    return rng.choice(OF_TYPE[kind])


def any_value(rng: random.Random) -> Any:
    return rng.choice(OF_TYPE[rng.choice(list(OF_TYPE))])


def mutated(rng: random.Random, event: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The event, in most cases with something wrong, or at least different, in one place."""
    places = [(path, each) for path, each in fields_of(schema) if "schema_version" not in path and has(event, path)]
    nested = [(path, each) for path, each in places if len(path) > 1]
    path, each = rng.choice(nested if nested and rng.random() < 0.5 else places)
    if rng.random() < 0.2:
        keys = schema["x-recognised-by"]
        path = (rng.choice([*schema["required"], *keys["all"], *(key for key in keys["any"] if key in event)]),)
        each = schema["properties"][path[0]]
    parent = event
    for name in path[:-1]:
        parent = parent[name]
    rng.choice(MUTATIONS)(rng, parent, path[-1], each)
    return event


def has(event: Any, path: tuple[str, ...]) -> bool:
    return not path or (isinstance(event, dict) and path[0] in event and has(event[path[0]], path[1:]))


def _left_alone(rng: random.Random, parent: dict[str, Any], name: str, schema: Schema) -> None:
    pass


def _missing(rng: random.Random, parent: dict[str, Any], name: str, schema: Schema) -> None:
    parent.pop(name, None)


def _of_any_type(rng: random.Random, parent: dict[str, Any], name: str, schema: Schema) -> None:
    is_time = schema.get("x-column") == "event_ts"  # a text or a number would be judged as a time
    kinds = [kind for kind in OF_TYPE if not (is_time and kind in ("string", "integer", "number"))]
    parent[name] = rng.choice(OF_TYPE[rng.choice(kinds)])


def _null(rng: random.Random, parent: dict[str, Any], name: str, schema: Schema) -> None:
    parent[name] = None


def _too_long(rng: random.Random, parent: dict[str, Any], name: str, schema: Schema) -> None:
    if schema.get("x-column") != "event_ts":
        parent[name] = rng.choice("aß😀") * (schema.get("maxLength", 3000) + 1)


def _empty(rng: random.Random, parent: dict[str, Any], name: str, schema: Schema) -> None:
    if schema.get("x-column") != "event_ts":
        parent[name] = ""


MUTATIONS: tuple[Callable[..., None], ...] = (
    _left_alone,
    _missing,
    _of_any_type,
    _of_any_type,
    _null,
    _too_long,
    _empty,
)
