"""The rules of each role of an event's value (`ingest.schema.Role`): the SQL that reads it from the fields of an event,
and the function that then cleans whole columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.events.shapes import Field
from ingest.rows.columns import single
from ingest.rows.ids import known_ids
from ingest.rows.privacy import scrub_column, scrub_json_column
from ingest.schema import EVENT_PARTS, EVENTS, Column, Role

NOTHING = "cast(null as varchar)"
# All values that the schemas of events may name in `x-column`.
EVENT_VALUES = tuple(column for column in (*EVENTS, *EVENT_PARTS) if column.role is not None)
REPEATED = frozenset(column.name for column in EVENTS if column.is_repeated)
NUMBERS = tuple(column for column in EVENT_VALUES if column.role is Role.NUMBER)


class Values:
    """The fields of a structure in SQL: `v`, the texts of fields, and `j`, the JSON of some fields.

    Args:
        readable: the fields whose texts are read, in the order of `v`.
        json_places: for each field that is read as JSON, its index in `j`, from 1.
        repeated: the columns that have several fields in the shape.
    """

    def __init__(self, readable: Sequence[Field], json_places: Mapping[Any, int], repeated: frozenset[str]) -> None:
        self._at = {each.path: number for number, each in enumerate(readable, start=1)}
        self._readable = readable
        self._json_places = json_places
        self._repeated = repeated

    def text(self, field: Field) -> str:
        return f"v[{self._at[field.path]}]"

    def texts(self, column: str) -> list[str]:
        """The texts of all fields of this column, by priority."""
        return [self.text(each) for each in self._readable if each.column == column]

    def known(self, column: str, macro: str = "{}") -> str:
        """SQL for the first known text of a column. If its shape has several fields of it, an empty text is not
        known."""
        macro = "nullif({}, '')" if macro == "{}" and column in self._repeated else macro
        found = [macro.format(text) for text in self.texts(column)]
        return f"coalesce({', '.join(found)})" if found else NOTHING

    def json(self, column: str) -> str:
        fields = [each for each in self._readable if each.column == column]
        found = [f"nullif(j[{self._json_places[each.path]}]::varchar, 'null')" for each in fields]
        return f"coalesce({', '.join(found)})" if found else NOTHING


def _id(values: Values, column: Column) -> str:
    # The first of several fields that holds an id counts. A single field is checked later, with the whole column.
    return values.known(column.name, "known_id({})" if len(values.texts(column.name)) > 1 else "{}")


def _name(values: Values, column: Column) -> str:
    return values.known(column.name, "known_name({})" if len(values.texts(column.name)) > 1 else "{}")


def _text(values: Values, column: Column) -> str:
    return values.known(column.name)


def _time(values: Values, column: Column) -> str:
    found = ", ".join(f"microseconds({text})" for text in values.texts(column.name))
    return f"coalesce({found})" if found else "null::bigint"


def _number(values: Values, column: Column) -> str:
    kind = number_type(column)
    found = ", ".join(f"try_cast(number_in({text}) as {kind})" for text in values.texts(column.name))
    number = f"coalesce({found or 'null'})::{kind}"
    return f"try_cast({number} as bigint)" if pa.types.is_integer(column.type) else number


def number_type(column: Column) -> str:
    """The SQL type that a number is read as. A number with a fraction is accepted for an integer too."""
    if pa.types.is_decimal(column.type):
        return f"decimal({column.type.precision}, {column.type.scale})"
    return "double"


def _flag(values: Values, column: Column) -> str:
    return f"flag({values.known(column.name)})"


def _json(values: Values, column: Column) -> str:
    return values.json(column.name)


# How a column is read: (the values of a structure, the column) → SQL. Roles without an entry are parts of other
# columns.
READ: Mapping[Role | None, Callable[[Values, Column], str]] = {
    Role.TIME: _time,
    Role.ID: _id,
    Role.NAME: _name,
    Role.NUMBER: _number,
    Role.FLAG: _flag,
    Role.JSON: _json,
    **dict.fromkeys(
        (Role.TEXT, Role.WORD, Role.CODE, Role.ADDRESS, Role.PATH, Role.QUERY, Role.TAG, Role.AGENT, Role.IP), _text
    ),
}


def type_read(column: Column) -> pa.DataType:
    """The type of the SQL from `READ`: a time is microseconds."""
    return pa.int64() if column.role is Role.TIME else column.type


def by_value(values: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    encoded = single(values.dictionary_encode())
    return function(encoded.dictionary).take(encoded.indices)


def clean(values: pa.Array) -> pa.Array:
    """The values without blanks around them, scrubbed; null for empty ones."""
    values = pc.utf8_trim_whitespace(values)
    return scrub_column(pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values))


def snake(values: pa.Array) -> pa.Array:
    """Values in snake case: pageView, page-view, Page View and pageview all become page_view."""
    parted = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value) for value in clean(values).fill_null("").to_pylist()]
    names = [re.sub(r"[\s._-]+", "_", value.lower()).strip("_") for value in parted]
    return pa.array(["page_view" if name == "pageview" else name or None for name in names], pa.string())


# How texts are cleaned: (texts, keyed hash) → texts. `addresses.py` reads web addresses, tags and queries,
# `ingest/rows/clients.py` reads user agents and client addresses.
CLEANED: Mapping[Role | None, Callable[[pa.Array, Callable[[str], str]], pa.Array]] = {
    Role.ID: lambda texts, keyed_hash: known_ids(texts, keyed_hash),
    Role.NAME: lambda texts, keyed_hash: known_ids(texts, keyed_hash, of_people=False),
    Role.TEXT: lambda texts, _: by_value(texts, clean),
    Role.WORD: lambda texts, _: by_value(texts, snake),
    Role.CODE: lambda texts, _: by_value(texts, lambda values: pc.utf8_upper(clean(values))),
    Role.JSON: lambda texts, _: scrub_json_column(texts),
}
