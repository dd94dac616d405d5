"""The SQL that reads events: a query for a structure of keys, made from its schema, and queries that expand batches.

Column names and JSON pointers come from our own schemas, or are checked by `shapes.py`. SQL never contains values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pyarrow as pa

from ingest.events.roles import EVENT_VALUES, NOTHING, NUMBERS, READ, Values, number_type, type_read
from ingest.events.shapes import Batch, Field, Shape, Structure, object_paths, pointer
from ingest.rows.columns import DICTIONARY
from ingest.schema import DEVICE_TRAITS, Column, Role

TRAIT = "\x1f"  # between the traits of a device
_ALWAYS = ("event_ts", "shape", "is_unreadable", "too_long")
_READS = re.compile(r"\b[vj]\[|\bj_left\b")


def _type(column: Column) -> pa.DataType:
    """Texts become dictionaries, except those that nearly always differ."""
    is_repeated = pa.types.is_string(column.type) and column.name != "event_id" and column.role is not Role.JSON
    return DICTIONARY if is_repeated else type_read(column)


# Columns of the query's result, apart from `row`, `batch_index` and `types`. A column that a query omits is all null.
COLUMN_TYPES: dict[str, pa.DataType] = {
    **{column.name: _type(column) for column in EVENT_VALUES if column.role in READ},
    "traits": DICTIONARY,
}


def columns_query(kind: Structure, patch: str | None) -> str:
    """SQL that reads `lines` (row, batch_index, origin, line, event_key), all of one structure, into columns.

    Args:
        patch: for the general way, the RFC 7396 patch that leaves only the properties; else None.

    The result also has `types`, the types of `kind.fields`, then of `kind.others` (see `types_of`); `too_long`, the
    problem of a text that is too long or too short; `event_ts`, microseconds since 1970; `is_unreadable`, whether a
    value should be a number and is not; `traits`, the known traits of the device.
    """
    readable = [each for each in kind.fields if each.column or each.min_length or each.max_length]
    left = list(kind.left_paths or ())
    as_json = [each for each in readable if each.column in JSON_COLUMNS]
    repeated = kind.shape.repeated_columns if kind.shape else frozenset()
    values = Values(readable, {each.path: number for number, each in enumerate(as_json, start=len(left) + 1)}, repeated)
    columns = {column.name: READ[column.role](values, column) for column in EVENT_VALUES if column.role in READ}
    columns |= {
        "shape": f"'{kind.shape.name if kind.shape else ''}'",
        "is_unreadable": _unreadable(values),
        "too_long": _length_problem(readable, values),
        "properties": _properties(kind.left or {}, left) if patch is None else _without_empty(kind.shape, "j_left"),
        "traits": _traits(values),
        "event_id": _event_id(values),
    }
    columns |= _page(values, columns)
    # A column without a field in this structure is omitted, because making nulls row by row takes time.
    columns = {name: text for name, text in columns.items() if name in _ALWAYS or _READS.search(text)}
    shown = ",\n    ".join(f"{text} as {name}" for name, text in columns.items())
    json_paths = [*(pointer(path) for path in left), *(pointer(each.path) for each in as_json)]
    left_over = f"json_merge_patch(line, {_text(patch)})" if patch else "null"
    return f"""
with extracted as (
    select row, batch_index, origin, line, event_key,
        json_extract_string(line, {_list(pointer(each.path) for each in readable)}) as v,
        json_extract(line, {_list(json_paths)}) as j,
        {left_over} as j_left,
        {_types((*kind.fields, *kind.others))} as types
    from lines
)
select row, batch_index, types,
    {shown}
from extracted
"""  # noqa: S608 - of our own schemas, and of keys that `shapes` found plain


JSON_COLUMNS = frozenset(column.name for column in EVENT_VALUES if column.role is Role.JSON)
PAGES = tuple(column.name for column in EVENT_VALUES if column.role is Role.PAGE)


def _unreadable(values: Values) -> str:
    unreadable = [_no_number(text, column) for column in NUMBERS for text in values.texts(column.name)]
    return " or ".join(unreadable) or "false"


def _no_number(text: str, column: Column) -> str:
    return (
        f"({text} is not null and try_cast(number_in({text}) as {number_type(column)}) is null "
        f"and not regexp_full_match({text}, '\\s*'))"
    )


def is_number(column: Column) -> str:
    """The column of `distinct_query` that says whether a text is a number of this column's type."""
    return f"is_{column.name}"


def is_no_number(column: Column) -> str:
    """The column of `distinct_query` that says whether a text should be a number of this column's type and is not."""
    return f"is_no_{column.name}"


@cache
def distinct_query(columns: tuple[Column, ...]) -> str:
    """SQL that reads each `text` of `lines` as the value of each of these columns, which are numbers, flags, ids or
    names."""
    found = []
    for column in columns:
        values = Values([Field((column.name,), frozenset(), "", column=column.name)], {}, frozenset())
        if column.role in (Role.ID, Role.NAME):
            found.append(f"known_{column.role.name.lower()}(v[1]) as {column.name}")
        else:
            found.append(f"{READ[column.role](values, column)} as {column.name}")
        if column.role is Role.NUMBER:
            found.append(f"try_cast(number_in(v[1]) as {number_type(column)}) is not null as {is_number(column)}")
            found.append(f"{_no_number('v[1]', column)} as {is_no_number(column)}")
    return f"select {', '.join(found)} from (select [text] as v from lines)"  # noqa: S608 - of our own schema


def _page(values: Values, columns: Mapping[str, str]) -> dict[str, str]:
    """`url` and `path` from fields that hold either of them."""
    found = {}
    for name in PAGES:
        if values.texts(name):
            page = values.known(name)
            is_address = f"(contains({page}, '://') or starts_with({page}, '//'))"
            found["url"] = f"coalesce({columns['url']}, case when {is_address} then {page} end)"
            found["path"] = f"coalesce({columns['path']}, case when not {is_address} then {page} end)"
    return found


def _event_id(values: Values) -> str:
    """The id that was sent, else a hash of the event, so that the same event has the same id."""
    given, time = values.known("event_id", "known_id({})"), values.known("event_ts")
    return (
        f"coalesce({given}, md5(event_key || "
        f"coalesce(origin, md5(line)) || '|' || coalesce({time}, '') || '|' || coalesce(batch_index, -1)))"
    )


def _traits(values: Values) -> str:
    """The known traits of a device, each with its name."""
    named = {name: " || 'x' || ".join(map(values.known, of)) for name, of in DEVICE_TRAITS.items()}
    traits = ", ".join(f"'{name}=' || {value}" for name, value in named.items())
    return f"concat_ws('{TRAIT}', {traits})"


def _types(fields: Sequence[Field]) -> str:
    return f"json_type(line, {_list(pointer(each.path) for each in fields)})::varchar" if fields else "'[]'"


def types_of(text: str) -> list[str | None]:
    """The types that `types` lists, None for a missing field. DuckDB writes a null without quotes, and a type in
    quotes."""
    names = text[1:-1].split(", ") if len(text) > 2 else []
    return [None if name == "NULL" else name.strip("'") for name in names]


def _length_problem(readable: Sequence[Field], values: Values) -> str:
    """The first text that is longer or shorter than its schema allows."""
    cases = []
    for each in readable:
        text = values.text(each)
        if each.max_length:
            is_longer = (
                f"strlen({text}) > {each.max_length} and length({text}) > {each.max_length}"  # bytes count faster
            )
            cases.append(f"when {is_longer} then '{each.name}: longer than {each.max_length}'")
        if each.min_length:
            cases.append(f"when length({text}) < {each.min_length} then '{each.name}: shorter than {each.min_length}'")
    return f"case {' '.join(cases)} end" if cases else NOTHING


def _properties(left: Mapping[str, Any], paths: list[tuple[str, ...]]) -> str:
    """The leftover fields as JSON text, assembled from their extracted values `j`."""
    if not left:
        return NOTHING
    numbers = iter(range(1, len(paths) + 1))

    def text(tree: Mapping[str, Any]) -> str:
        parts = []
        for name, inner in tree.items():
            value = f"j[{next(numbers)}]::varchar" if inner is None else text(inner)
            parts.append(f"'\"{name}\":' || {value}")
        return "'{' || " + " || ',' || ".join(parts) + " || '}'"

    return text(left)


def _without_empty(shape: Shape | None, left: str) -> str:
    """JSON text without the empty objects that a patch leaves if an event has none of the objects it reaches into."""
    fields = shape.root.fields if shape else ()
    named = [each.path[-1] for each in fields if each.fields and not (each.is_free or each.is_kept)]
    empty = ", ".join(
        f"case when json_extract({left}, {_text(pointer((name,)))})::varchar = '{{}}' "
        f"then {_text(json.dumps(name) + ':null')} end"
        for name in named
    )
    patched = f"json_merge_patch({left}, '{{' || concat_ws(',', {empty}) || '}}')" if named else left
    return f"nullif({patched}::varchar, '{{}}')"


def _list(texts: Any) -> str:
    return "[" + ", ".join(_text(text) for text in texts) + "]::varchar[]"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# The keys of each object that is part of an event's structure.
KEYS = f"json_keys(line, {_list(pointer(path) or '$' for path in object_paths())})"


def find_batches(batch: Batch) -> str:
    """SQL that gives `is_batch` for each of `lines`: whether it is a batch."""
    kind = f"json_extract_string(line, {_text(pointer((batch.kind,)))})"
    return f"select {kind} = {_text(batch.name)} as is_batch from lines"  # noqa: S608 - of our own schemas


def children_bytes(batch: Batch) -> str:
    """SQL that gives `bytes` for each of `lines`, which are batches: the size of its children, each with all fields
    that it can inherit and 200 bytes for its columns."""
    children = _text(pointer((batch.children,)))
    return f"""
select coalesce(strlen(events) + json_array_length(events) * (200 + strlen(line) - strlen(events)), 0) as bytes
from (select json(line)::varchar as line, json_extract(line, {children})::varchar as events from lines)
"""  # noqa: S608 - of our own schemas


def children(batch: Batch) -> str:
    """SQL that gives the children of `lines`, which are batches, each with the fields it inherits. `origin` identifies
    its batch."""
    without = json.dumps(dict.fromkeys((batch.children, *batch.own)), separators=(",", ":"))
    each, time = f"json_extract(line, '$.{batch.children}[*]')", _text(pointer((batch.time,)))
    return f"""
with batches as (
    select row, position as parent, line, event_key, md5(line) as origin,
        json_merge_patch(line, {_text(without)}) as base,
        json_extract(line, {time}) as time,
        unnest({each}) as child,
        generate_subscripts({each}, 1) - 1 as batch_index
    from lines where json_type(line, {_text(pointer((batch.children,)))}) = 'ARRAY'
)
select row, parent, cast(batch_index as bigint) as batch_index, origin,
    cast(case
        when json_type(child) <> 'OBJECT' then child
        when json_type(child, {time}) = 'NULL' and time is not null
            then json_merge_patch(json_merge_patch(base, child), '{{"{batch.time}":' || time || '}}')
        else json_merge_patch(base, child)
    end as varchar) as line, event_key
from batches order by parent, batch_index
"""  # noqa: S608 - of our own schemas
