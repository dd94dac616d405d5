"""The rules of each role that a value of an event may have (`ingest.schema.Role`): how SQL reads it from the fields of
an event, and what becomes of it then, over whole columns.
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
# All that the schemas of events may name in `x-column`.
EVENT_VALUES = tuple(column for column in (*EVENTS, *EVENT_PARTS) if column.role is not None)
REPEATED = frozenset(column.name for column in EVENTS if column.is_repeated)
NUMBERS = tuple(column for column in EVENT_VALUES if column.role is Role.NUMBER)


class Values:
    """The fields of a structure as SQL: `v`, the texts of those with a column, and `j`, the JSON of some.

    Args:
        readable: the fields with a column, in the order of `v`.
        json_places: the place in `j` of each that is read as JSON, the first being 1.
    """

    def __init__(self, readable: Sequence[Field], json_places: Mapping[Any, int]) -> None:
        self._at = {each.path: number for number, each in enumerate(readable, start=1)}
        self._readable = readable
        self._json_places = json_places

    def text(self, field: Field) -> str:
        return f"v[{self._at[field.path]}]"

    def texts(self, column: str) -> list[str]:
        """The texts of all fields that become this column, in the order in which they count."""
        return [self.text(each) for each in self._readable if each.column == column]

    def known(self, column: str, macro: str = "{}") -> str:
        """The first text that is known; of several an empty one is not."""
        several = self.texts(column)
        macro = "nullif({}, '')" if macro == "{}" and len(several) > 1 else macro
        found = [macro.format(text) for text in several]
        return f"coalesce({', '.join(found)})" if found else NOTHING

    def json(self, column: str) -> str:
        fields = [each for each in self._readable if each.column == column]
        found = [f"nullif(j[{self._json_places[each.path]}]::varchar, 'null')" for each in fields]
        return f"coalesce({', '.join(found)})" if found else NOTHING


def _id(values: Values, column: Column) -> str:
    # The first of several fields that is an id counts. A single field is checked later, with the whole column.
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
    """The type that a number is read as: one with a fraction is taken for an integer too."""
    if pa.types.is_decimal(column.type):
        return f"decimal({column.type.precision}, {column.type.scale})"
    return "double"


def _flag(values: Values, column: Column) -> str:
    return f"flag({values.known(column.name)})"


def _json(values: Values, column: Column) -> str:
    return values.json(column.name)


# How a column is read: (the values of a structure, the column) → SQL. A page and a trait are part of other columns.
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
    """The type that `READ` gives: a time is microseconds."""
    return pa.int64() if column.role is Role.TIME else column.type


def by_value(values: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    encoded = single(values.dictionary_encode())
    return function(encoded.dictionary).take(encoded.indices)


def clean(values: pa.Array) -> pa.Array:
    """Without blanks around it, and scrubbed; null where nothing is left."""
    values = pc.utf8_trim_whitespace(values)
    return scrub_column(pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values))


def _snake(values: pa.Array) -> pa.Array:
    """pageView, page-view, Page View and pageview are one: page_view."""
    parted = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value) for value in clean(values).fill_null("").to_pylist()]
    names = [re.sub(r"[\s._-]+", "_", value.lower()).strip("_") for value in parted]
    return pa.array(["page_view" if name == "pageview" else name or None for name in names], pa.string())


# What becomes of the texts that were read: (texts, keyed hash) → texts. Web addresses and what goes with them are read
# in `addresses.py`, agents and the addresses of clients in `ingest/rows/clients.py`.
CLEANED: Mapping[Role | None, Callable[[pa.Array, Callable[[str], str]], pa.Array]] = {
    Role.ID: lambda texts, keyed_hash: known_ids(texts, keyed_hash),
    Role.NAME: lambda texts, keyed_hash: known_ids(texts, keyed_hash, of_people=False),
    Role.TEXT: lambda texts, _: by_value(texts, clean),
    Role.WORD: lambda texts, _: by_value(texts, _snake),
    Role.CODE: lambda texts, _: by_value(texts, lambda values: pc.utf8_upper(clean(values))),
    Role.JSON: lambda texts, _: scrub_json_column(texts),
}
