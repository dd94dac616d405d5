"""The page of events' fields, from the JSON Schemas in `ingest/events/schemas/`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from ingest.events.roles import EVENT_VALUES
from ingest.events.shapes import shapes
from ingest.schema import EVENT_PARTS, Role
from tools.reference.markdown import table

# Name of a part that is not a column → the columns that it becomes.
PARTS = {column.name: column.description for column in EVENT_PARTS}


def event_shapes() -> str:
    known = {(each["x-shape"], each["x-version"]): each for each in _schemas()}
    ordered = [known[shape.name, shape.version] for shape in shapes()]
    listed = table(
        ["shape", "version", "is recognised by"],
        ([f"[`{each['x-shape']}`](#{_anchor(each)})", _versions(each), recognised_by(each)] for each in ordered),
    )
    sections = [f"### {_title(each)}\n\n{section_of(each)}" for each in ordered]
    note = "The shape of an event is the first of these shapes whose keys it has."
    return "\n\n".join([note, listed, "## How values are read", _roles(), "## Fields", *sections])


def _roles() -> str:
    """A table of the roles of values, with the columns that they become."""
    columns = {role: [each for each in EVENT_VALUES if each.role is role] for role in Role}
    names = {
        role: ", ".join(dict.fromkeys(PARTS.get(each.name, f"`{each.name}`") for each in of))
        for role, of in columns.items()
    }
    return table(["becomes", "what it is"], ([names[role], role.value] for role in Role))


def _schemas() -> Iterator[dict[str, Any]]:
    for each in files("ingest").joinpath("events", "schemas").iterdir():
        if each.name.endswith(".json"):
            yield json.loads(each.read_text("utf-8"))


def _title(schema: dict[str, Any]) -> str:
    """The name of the shape, with its version if version 1 has a section of its own."""
    version = schema["x-version"]
    is_plain = version == 1 or 1 in schema.get("x-replaces", ())
    return schema["x-shape"] if is_plain else f"{schema['x-shape']} version {version}"


def _versions(schema: dict[str, Any]) -> str:
    replaced = ", ".join(map(str, schema.get("x-replaces", ())))
    return f"{schema['x-version']}; also reads {replaced}" if replaced else str(schema["x-version"])


def _anchor(schema: dict[str, Any]) -> str:
    return _title(schema).replace(" ", "-")


def recognised_by(schema: dict[str, Any]) -> str:
    keys = schema["x-recognised-by"]
    by_all = " and ".join(f"`{key}`" for key in keys["all"])
    by_any = ", ".join(f"`{key}`" for key in keys["any"])
    return by_all + (f" and one of {by_any}" if by_any else "")


def section_of(schema: dict[str, Any]) -> str:
    """A shape's description and its fields."""
    rows = ["| field | type | becomes | |", "|---|---|---|---|", *rows_of(schema, schema["required"])]
    return f"{schema['description']}\n\n" + "\n".join(rows)


def rows_of(schema: dict[str, Any], required: list[str], path: str = "", is_kept: bool = False) -> Iterator[str]:
    for name, each in schema["properties"].items():
        kept = is_kept or each.get("x-keep", False) or each.get("x-free", False)
        notes = ["**required**"] if name in required else []
        notes += [each["description"]] if "description" in each else []
        type_of, becomes = in_words(each), becomes_of(each, kept)
        yield " | ".join([f"| `{path}{name}`", type_of, becomes, ". ".join(notes)]).rstrip() + " |"
        yield from rows_of(each, [], f"{path}{name}.", kept) if "properties" in each else ()


def in_words(schema: dict[str, Any]) -> str:
    limits = [f"{schema['minLength']} to"] if schema.get("minLength") else ["at most"]
    length = f", {limits[0]} {schema['maxLength']} characters" if "maxLength" in schema else ""
    return " or ".join(schema.get("type", ["anything"])) + length


def becomes_of(schema: dict[str, Any], is_kept: bool) -> str:
    if schema.get("x-children"):
        return "an event each"
    column = schema.get("x-column")
    into = [PARTS.get(column, f"`{column}`")] if column else []
    if is_kept or (not column and "properties" not in schema):
        into.append("`properties`")
    return ", ".join(into)
