"""The SQL that reads events: one query for a structure of keys, made from its schema, and one for web addresses.

Column names and JSON pointers come from our own schemas, or are checked by `event_shapes`; values never stand in SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ingest.event_shapes import Field, Structure, pointer

# Ids that stand for no id. Beside these: zeros and dashes alone, as in an all-zero UUID or advertising id.
PLACEHOLDERS = (
    "null",
    "undefined",
    "none",
    "nil",
    "nan",
    "anonymous",
    "anon",
    "unknown",
    "n/a",
    "na",
    "not set",
    "(not set)",
    "(none)",
    "[object object]",
    "false",
    "guest",
    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
)
UTM = ("source", "medium", "campaign", "term", "content")
# The click ids of ad platforms, and the ids of our own links, which count where no other is there.
CLICK_IDS = (
    "gclid gbraid wbraid dclid srsltid msclkid yclid ysclid ymclid vmcid fbclid igshid igsh ttclid twclid li_fat_id "
    "epik rdt_cid sccid qclid tblci dicbo obclid mc_eid mc_cid mkt_tok _hsenc _kx vero_id irclickid cjevent awc zanpid "
    "ransiteid sscid clickref admitad_uid"
).split()
OWN_CLICK_IDS = ("cid", "oid")

_PLACEHOLDER_LIST = ", ".join(f"'{each}'" for each in PLACEHOLDERS)
MACROS = (
    "create macro unescaped(x) as url_decode(replace(x, '+', ' '))",
    f"""create macro known_id(x) as case
        when x is null or lower(trim(x)) in ({_PLACEHOLDER_LIST}) or regexp_full_match(x, '[0\\s-]*') then null
        else trim(x) end""",
    # Seconds, milliseconds or microseconds since 1970, told apart by their size; else ISO 8601.
    """create macro microseconds(x) as case
        when regexp_full_match(x, '\\s*-?[0-9]{1,18}(\\.[0-9]*)?([eE][+]?[0-9]{1,2})?\\s*') then cast(round(case
            when abs(cast(x as double)) < 1e11 then cast(x as double) * 1e6
            when abs(cast(x as double)) < 1e14 then cast(x as double) * 1e3
            when abs(cast(x as double)) < 4e17 then cast(x as double) end) as bigint)
        when regexp_matches(x, '^\\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:')
            then try_cast(epoch_us(try_cast(x as timestamptz)) as bigint) end""",
    """create macro flag(x) as case
        when lower(x) in ('true', '1', 'yes', 'y', 't', 'on') then true
        when lower(x) in ('false', '0', 'no', 'n', 'f', 'off') then false end""",
    "create macro parameter(query, name) as nullif(trim(unescaped(regexp_extract(query, '(?i)[?&;]' || name"
    " || '=([^&#;]*)', 1))), '')",
)

_IDS = ("declared_site_id visitor_id client_session_id user_id device_id advertising_id cookie_id campaign_id").split()
_TEXTS = (
    "event_type url page_title referrer sent_query language timezone user_agent ip currency path "
    + " ".join(f"sent_utm_{name}" for name in UTM)
).split()
_FINGERPRINT = (
    "screen_width screen_height viewport_width viewport_height pixel_ratio user_agent timezone language platform"
)


def columns_query(kind: Structure, patch: str | None) -> str:
    """Reads `lines` (row, batch_index, origin, line), all of one structure, into columns.

    Args:
        patch: where what is left is not counted up: the RFC 7396 patch that leaves the properties.

    Beside the columns: `types`, those of `kind.fields` (see `types_of`); `too_long`, what
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
        found = [macro.format(text) for text in texts(column)]
        return f"coalesce({', '.join(found)})" if found else "cast(null as varchar)"

    def number(column: str, kind_of: str) -> str:
        return f"coalesce({', '.join(f'try_cast({text} as {kind_of})' for text in texts(column)) or 'null'})::{kind_of}"

    def source(column: str) -> str:
        found = [
            f"nullif(j[{json_at + n}]::varchar, 'null')" for n, each in enumerate(sources, 1) if each.column == column
        ]
        return f"coalesce({', '.join(found)})" if found else "cast(null as varchar)"

    unreadable = [
        f"({text} is not null and try_cast({text} as {of}) is null and not regexp_full_match({text}, '\\s*'))"
        for column, of in (("screen_width", "double"), ("screen_height", "double"), ("revenue", "decimal(18, 4)"))
        for text in texts(column)
    ]
    page = known("page")
    columns = {
        **{name: known(name, "known_id({})") for name in _IDS},
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
    if page != "cast(null as varchar)":  # either an address or a path
        columns["url"] = f"coalesce({columns['url']}, case when contains({page}, '://') then {page} end)"
        columns["path"] = f"coalesce({columns['path']}, case when not contains({page}, '://') then {page} end)"
    columns["device_fingerprint"] = _fingerprint(known)
    time = known("event_ts")
    columns["event_id"] = (
        f"coalesce({known('event_id', 'known_id({})')}, md5(getvariable('event_key') || "
        f"coalesce(origin, md5(line)) || '|' || coalesce({time}, '') || '|' || coalesce(batch_index, -1)))"
    )
    screen = ("screen_width", "screen_height")
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
        {_types(kind.fields)} as types
    from lines
)
select row, batch_index, types,
    {shown}
from extracted
"""  # noqa: S608 - of our own schemas, and of keys that `event_shapes` found plain


def url_query(name: str) -> str:
    """Reads addresses, or query strings, in column `name` of `lines` into their parts, one row for each."""
    known = "|".join(CLICK_IDS)
    own = "|".join(OWN_CLICK_IDS)
    utm = ",\n    ".join(f"case when has_query then parameter(query, 'utm_{part}') end as utm_{part}" for part in UTM)
    return f"""
with split as (
    select {name} as url,
        lower(regexp_extract({name}, '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)', 1)) as host,
        regexp_extract({name}, '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*([^?#]*)', 1) as path,
        contains({name}, '=') as has_query,
        case when contains({name}, '?') then regexp_extract({name}, '[?][^#]*') else '?' || {name} end as query
    from lines
),
found as (
    select *,
        case when has_query then regexp_extract(query, '(?i)[?&;]({known})=([^&#;]+)', ['kind', 'id']) end as click,
        case when has_query then regexp_extract(query, '(?i)[?&;]({own})=([^&#;]+)', ['kind', 'id']) end as own_click
    from split
)
select url, nullif(host, '') as host,
    case when host <> '' then coalesce(nullif(path, ''), '/') end as path,
    {utm},
    coalesce(nullif(unescaped(click.id), ''), nullif(unescaped(own_click.id), '')) as click_id,
    lower(coalesce(nullif(click.kind, ''), nullif(own_click.kind, ''))) as click_id_kind
from found
"""  # noqa: S608 - names of our own


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
            cases.append(f"when length({text}) > {each.max_length} then '{each.name}: longer than {each.max_length}'")
        if each.min_length:
            cases.append(f"when length({text}) < {each.min_length} then '{each.name}: shorter than {each.min_length}'")
    return f"case {' '.join(cases)} end" if cases else "cast(null as varchar)"


def _fingerprint(known: Any) -> str:
    """Given, else a hash of what is known of seven things, where three or more of them are."""
    screen = f"{known('screen_width')} || 'x' || {known('screen_height')}"
    viewport = f"{known('viewport_width')} || 'x' || {known('viewport_height')}"
    single = [known(name) for name in ("pixel_ratio", "user_agent", "timezone", "language", "platform")]
    parts = [screen, viewport, *single]
    count = " + ".join(f"({part} is not null)::int" for part in parts)
    text = " || '|' || ".join(f"coalesce({part}, '')" for part in parts)
    given = known("device_fingerprint", "known_id({})")
    return f"coalesce({given}, case when {count} >= 3 then md5({text}) end)"


def _properties(left: Mapping[str, Any], paths: list[tuple[str, ...]]) -> str:
    """The leftover fields as JSON text, put together from their extracted values `j`."""
    if not left:
        return "cast(null as varchar)"
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
    return "'" + text.replace("'", "''") + "'"
