"""The SQL that reads events: one query for a structure of keys, made from its schema, and one for web addresses.

Column names and JSON pointers come from our own schemas, or are checked by `shapes.py`; values never stand in SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from ingest.events.shapes import Field, Structure, object_paths, pointer
from ingest.rows.ids import NO_ID, NO_TAG


def _quoted(text: str) -> str:
    return text.replace("'", "''")


UTM = ("source", "medium", "campaign", "term", "content")
# The click ids of ad platforms; what only their clicks have, but all clicks of an ad alike; and the id of our own
# links, which have `oid`; a `cid` alone is anybody's. The first of these three that is there counts.
CLICK_IDS = (
    "gclid gbraid wbraid dclid srsltid msclkid yclid ysclid ymclid vmcid fbclid igshid igsh ttclid twclid li_fat_id "
    "epik rdt_cid sccid qclid tblci dicbo obclid mc_eid mc_cid mkt_tok _hsenc _kx vero_id irclickid cjevent awc zanpid "
    "ransiteid sscid clickref admitad_uid"
).split()
CLICK_MARKS = ("gad_source", "gad_campaignid", "gad")
OWN_CLICK_IDS = ("oid",)

_ISO = (
    r"^\s*([0-9]{4})-?([0-9]{2})-?([0-9]{2})[Tt ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"\s*(?:[Zz]|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?\s*$"
)
# What the engine's own cast takes; it takes offsets of 99 hours and minutes too.
_ENGINES_ISO = (
    r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9:.]*"
    r"\s*(?:[A-Za-z][A-Za-z0-9_/+-]*|[+-](?:[01][0-9]|2[0-3])(?::[0-5][0-9])?)?\s*$"
)
MACROS = (
    f"create macro known_id(x) as case when not regexp_full_match(trim(x), '(?is){_quoted(NO_ID)}') then trim(x) end",
    "create macro known_name(x) as "
    f"case when not regexp_full_match(trim(x), '(?is){_quoted(NO_TAG)}') then trim(x) end",
    # What the engine's own cast does not take of ISO 8601: small letters, a decimal comma, the basic format, the end of
    # a day as 24:00, and leap seconds, which are the last microsecond of the second before.
    f"""create macro iso_parts(x) as regexp_extract(x, '{_ISO}',
        ['year', 'month', 'day', 'hour', 'minute', 'second', 'fraction', 'sign', 'away', 'away_minutes'])""",
    """create macro iso_microseconds(p) as try_cast(
        epoch_us(try_cast(p.year || '-' || p.month || '-' || p.day || ' ' || case when p.hour = '24' then '00'
            else p.hour end || ':' || p.minute || ':' || case p.second when '' then '00' when '60' then '59'
            else p.second end as timestamp))
        + case when p.second = '60' then 999999 else cast(rpad(left(p.fraction, 6), 6, '0') as bigint) end
        + case when p.hour <> '24' then 0 when p.minute || p.second || p.fraction similar to '0*' then 86400000000 end
        - case p.sign when '-' then -1 else 1 end * 60000000
            * (coalesce(try_cast(p.away as bigint), 0) * 60 + coalesce(try_cast(p.away_minutes as bigint), 0))
        as bigint)""",
    # A text that may be a number: the engine's cast takes `1_000`, `inf` and `nan` as well.
    "create macro number_in(x) as case when not regexp_matches(x, '[_a-df-zA-DF-Z]') then x end",
    # Seconds, milliseconds or microseconds since 1970, told apart by their size; else ISO 8601.
    rf"""create macro microseconds(x) as case
        when regexp_full_match(x, '\s*-?[0-9]{{1,18}}(\.[0-9]*)?([eE][+]?[0-9]{{1,2}})?\s*') then cast(round(case
            when abs(cast(x as double)) < 1e11 then cast(x as double) * 1e6
            when abs(cast(x as double)) < 1e14 then cast(x as double) * 1e3
            when abs(cast(x as double)) < 4e17 then cast(x as double) end) as bigint)
        when regexp_matches(x, '^\s*[0-9]{{4}}-?[0-9]{{2}}-?[0-9]{{2}}[Tt ][0-9]{{2}}')
            then coalesce(
                case when regexp_matches(x, '{_quoted(_ENGINES_ISO)}')
                    then try_cast(epoch_us(try_cast(x as timestamptz)) as bigint) end,
                iso_microseconds(iso_parts(x))) end""",
    """create macro flag(x) as case
        when lower(x) in ('true', '1', 'yes', 'y', 't', 'on') then true
        when lower(x) in ('false', '0', 'no', 'n', 'f', 'off') then false end""",
)

_NAMES = ("declared_site_id", "campaign_id")
_IDS = "visitor_id client_session_id user_id device_id advertising_id cookie_id".split()
_TEXTS = (
    "event_type url page_title referrer sent_query language timezone user_agent ip currency path "
    + " ".join(f"sent_utm_{name}" for name in UTM)
).split()
TRAIT = "\x1f"  # between what is known of a device


_NOTHING = "cast(null as varchar)"
_ALWAYS = ("event_us", "shape", "is_unreadable", "too_long")
_READS = re.compile(r"\b[vj]\[|\bj_left\b")
# The columns that a query finds, beside `row`, `batch_index` and `types`; one that it leaves out is null throughout.
COLUMN_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys((*_IDS, *_NAMES, *_TEXTS, "event_id", "device_fingerprint", "traits"), pa.string()),
    **dict.fromkeys(("properties", "source_identity", "source_normalized"), pa.string()),
    **dict.fromkeys(("screen_width", "screen_height"), pa.int64()),
    **dict.fromkeys(("opted_out", "gpc"), pa.bool_()),
    "revenue": pa.decimal128(18, 4),
}


def columns_query(kind: Structure, patch: str | None) -> str:
    """Reads `lines` (row, batch_index, origin, line), all of one structure, into columns.

    Args:
        patch: where what is left is not counted up: the RFC 7396 patch that leaves the properties.

    Beside the columns: `types`, those of `kind.fields`, then of `kind.others` (see `types_of`); `too_long`, what
    a text that is too long or too short breaks; `event_us`, microseconds since 1970; `is_unreadable`, whether a value
    that should be a number was none.
    """
    readable = [each for each in kind.fields if each.column]
    at = {each.path: number for number, each in enumerate(readable, start=1)}
    left = list(kind.left_paths or ())
    json_at = len(left)
    sources = [each for each in readable if each.column in ("source_identity", "source_normalized")]

    def texts(column: str) -> list[str]:
        return [f"v[{at[each.path]}]" for each in readable if each.column == column]

    def known(column: str, macro: str = "{}") -> str:
        several = texts(column)
        macro = "nullif({}, '')" if macro == "{}" and len(several) > 1 else macro  # an empty one is not known
        found = [macro.format(text) for text in several]
        return f"coalesce({', '.join(found)})" if found else _NOTHING

    def number(column: str, kind_of: str) -> str:
        found = [f"try_cast(number_in({text}) as {kind_of})" for text in texts(column)]
        return f"coalesce({', '.join(found) or 'null'})::{kind_of}"

    def source(column: str) -> str:
        found = [
            f"nullif(j[{json_at + n}]::varchar, 'null')" for n, each in enumerate(sources, 1) if each.column == column
        ]
        return f"coalesce({', '.join(found)})" if found else _NOTHING

    unreadable = [
        f"({text} is not null and try_cast(number_in({text}) as {of}) is null "
        f"and not regexp_full_match({text}, '\\s*'))"
        for column, of in (("screen_width", "double"), ("screen_height", "double"), ("revenue", "decimal(18, 4)"))
        for text in texts(column)
    ]
    page = known("page")
    columns = {
        # Of several the first that is an id counts; of one that is found out later.
        **{name: known(name, "known_id({})" if len(texts(name)) > 1 else "{}") for name in _IDS},
        **{name: known(name, "known_name({})" if len(texts(name)) > 1 else "{}") for name in _NAMES},
        **{name: known(name) for name in _TEXTS},
        "event_us": "coalesce(" + ", ".join(f"microseconds({text})" for text in texts("event_ts")) + ")"
        if texts("event_ts")
        else "null::bigint",
        "screen_width": number("screen_width", "double"),
        "screen_height": number("screen_height", "double"),
        "revenue": number("revenue", "decimal(18, 4)"),
        "opted_out": f"flag({known('opted_out')})",
        "gpc": f"flag({known('gpc')})",
        "source_identity": source("source_identity"),
        "source_normalized": source("source_normalized"),
        "shape": f"'{kind.shape.name if kind.shape else ''}'",
        "is_unreadable": " or ".join(unreadable) or "false",
        "too_long": _length_problem(readable, at),
        "properties": _properties(kind.left or {}, left) if patch is None else _without_empty(kind, "j_left::varchar"),
    }
    if texts("page"):  # either an address or a path
        is_address = f"(contains({page}, '://') or starts_with({page}, '//'))"
        columns["url"] = f"coalesce({columns['url']}, case when {is_address} then {page} end)"
        columns["path"] = f"coalesce({columns['path']}, case when not {is_address} then {page} end)"
    columns["device_fingerprint"] = known("device_fingerprint")
    columns["traits"] = _traits(known)
    time = known("event_ts")
    columns["event_id"] = (
        f"coalesce({known('event_id', 'known_id({})')}, md5(getvariable('event_key') || "
        f"coalesce(origin, md5(line)) || '|' || coalesce({time}, '') || '|' || coalesce(batch_index, -1)))"
    )
    screen = ("screen_width", "screen_height")
    # A column that no field of this structure has is left out: making nulls row by row takes time.
    columns = {name: text for name, text in columns.items() if name in _ALWAYS or _READS.search(text)}
    shown = ",\n    ".join(
        f"try_cast({text} as bigint) as {name}" if name in screen else f"{text} as {name}"
        for name, text in columns.items()
    )
    json_paths = [*(pointer(path) for path in left), *(pointer(each.path) for each in sources)]
    left_over = f"json_merge_patch(line, {_text(patch)})" if patch else "null"
    return f"""
with extracted as (
    select row, batch_index, origin, line,
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


# Web addresses in column `text` of `lines` → host, path and query string without its `?`, one row for each. One
# without a scheme is an address if it begins with `//`, and a path if it begins with `/`.
PLACES = r"""
with taken_apart as (
    select regexp_extract(
            text,
            '^\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?(\[[^\]/?#]*\]|[^/?#:]+)(?::[0-9]*)?([^?#]*)',
            ['host', 'path']
        ) as place,
        nullif(regexp_extract(text, '^\s*(/[^?#]*)', 1), '') as path,
        case when contains(text, '?') and contains(text, '=') then regexp_extract(text, '[?]([^#]*)', 1) end as query
    from lines
)
select lower(nullif(place.host, '')) as host,
    case
        when place.host <> '' then coalesce(nullif(place.path, ''), '/')
        when not starts_with(path, '//') then path
    end as path,
    nullif(query, '') as query
from taken_apart
"""


def _parameter(names: str) -> str:
    """Name and value, as it stands there, of the first of these parameters that is not empty."""
    return f"regexp_extract(query, '(?i)(?:^|&)({names})=([^&]+)', ['name', 'value'])"


_UTM = ",\n    ".join(f"{_parameter(f'utm_{part}')}.value as utm_{part}" for part in UTM)
# Query strings in column `query` of `lines` → what they tell of a campaign, not decoded yet, empty for nothing.
CAMPAIGNS = f"""
with clicks as (
    select query,
        {_parameter("|".join(CLICK_IDS))} as click,
        {_parameter("|".join(CLICK_MARKS))} as mark,
        {_parameter("|".join(OWN_CLICK_IDS))} as own
    from lines
)
select {_UTM},
    click.value as click_value, lower(click.name) as click_name,
    mark.value as mark_value, lower(mark.name) as mark_name,
    own.value as own_value, lower(own.name) as own_name
from clicks
"""  # noqa: S608 - names of our own
# Query strings in which parameters may hide from that: separated by `&amp;`, or with an encoded name.
HIDES_PARAMETERS = "(?i)&amp;|(?:^|&)[^&=]*[%+\\s][^&=]*="


def _types(fields: Sequence[Field]) -> str:
    return f"json_type(line, {_list(pointer(each.path) for each in fields)})::varchar" if fields else "'[]'"


def types_of(text: str) -> list[str | None]:
    """The types that `types` lists, None for a missing field: DuckDB writes null as it is, and the type in quotes."""
    names = text[1:-1].split(", ") if len(text) > 2 else []
    return [None if name == "NULL" else name.strip("'") for name in names]


def _length_problem(readable: Sequence[Field], at: Mapping[Any, int]) -> str:
    """The first text of a limited field that is longer or shorter than its schema allows."""
    cases = []
    for each in readable:
        text = f"v[{at[each.path]}]"
        if each.max_length:
            is_longer = (
                f"strlen({text}) > {each.max_length} and length({text}) > {each.max_length}"  # bytes count faster
            )
            cases.append(f"when {is_longer} then '{each.name}: longer than {each.max_length}'")
        if each.min_length:
            cases.append(f"when length({text}) < {each.min_length} then '{each.name}: shorter than {each.min_length}'")
    return f"case {' '.join(cases)} end" if cases else _NOTHING


def _traits(known: Any) -> str:
    """What is known of a device, each thing with its name, to tell it by (see `parser.py`)."""
    named = {
        "screen": f"{known('screen_width')} || 'x' || {known('screen_height')}",
        "viewport": f"{known('viewport_width')} || 'x' || {known('viewport_height')}",
        **{name: known(name) for name in ("pixel_ratio", "user_agent", "timezone", "language", "platform")},
    }
    traits = ", ".join(f"'{name}=' || {value}" for name, value in named.items())
    return f"concat_ws('{TRAIT}', {traits})"


def _properties(left: Mapping[str, Any], paths: list[tuple[str, ...]]) -> str:
    """The leftover fields as JSON text, put together from their extracted values `j`."""
    if not left:
        return _NOTHING
    numbers = iter(range(1, len(paths) + 1))

    def text(tree: Mapping[str, Any]) -> str:
        parts = []
        for name, inner in tree.items():
            value = f"j[{next(numbers)}]::varchar" if inner is None else text(inner)
            parts.append(f"'\"{name}\":' || {value}")
        return "'{' || " + " || ',' || ".join(parts) + " || '}'"

    return text(left)


def _without_empty(kind: Structure, text: str) -> str:
    """JSON text without the empty objects that a patch leaves where an event has none of those it reaches into."""
    names = "|".join(each.path[-1] for each in kind.fields if each.fields and not (each.is_free or each.is_kept))
    if not names:
        return f"nullif({text}, '{{}}')"
    behind = f"regexp_replace({text}, ',\"(?:{names})\":[{{][}}]', '', 'g')"
    return f"nullif(regexp_replace({behind}, '^[{{]\"(?:{names})\":[{{][}}],?', '{{'), '{{}}')"


def _list(texts: Any) -> str:
    return "[" + ", ".join(_text(text) for text in texts) + "]::varchar[]"


def _text(text: str) -> str:
    return f"'{_quoted(text)}'"


# The keys of each object of an event that makes its structure.
KEYS = f"json_keys(line, {_list(pointer(path) or '$' for path in object_paths())})"

# Batches in `lines` → how many bytes their children are, each with all that it can inherit, and so much more for its
# columns; one row for each, in their order.
CHILDREN_BYTES = """
select coalesce(strlen(events) + json_array_length(events) * (200 + strlen(line) - strlen(events)), 0) as bytes
from (select json(line)::varchar as line, json_extract(line, '/events')::varchar as events from lines)
"""

# Batches in `lines` → their children, each with what it inherits; `origin` tells the batch apart from others.
CHILDREN = """
with batches as (
    select row, position as parent, line, md5(line) as origin,
        json_merge_patch(line, '{"events":null,"eventType":null,"eventId":null}') as base,
        json_extract(line, '/timestamp') as time,
        unnest(json_extract(line, '$.events[*]')) as child,
        generate_subscripts(json_extract(line, '$.events[*]'), 1) - 1 as batch_index
    from lines where json_type(line, '/events') = 'ARRAY'
)
select row, parent, cast(batch_index as bigint) as batch_index, origin,
    cast(case
        when json_type(child) <> 'OBJECT' then child
        when json_type(child, '/timestamp') = 'NULL' and time is not null
            then json_merge_patch(json_merge_patch(base, child), '{"timestamp":' || time || '}')
        else json_merge_patch(base, child)
    end as varchar) as line
from batches order by parent, batch_index
"""
