"""A private DuckDB for each thread, with the macros that the SQL of events uses."""

from __future__ import annotations

import threading

import duckdb
import pyarrow as pa

from ingest.rows.ids import LONGEST, NO_ID, NO_TAG


def _quoted(text: str) -> str:
    return text.replace("'", "''")


_ISO = (
    r"^\s*([0-9]{4})-?([0-9]{2})-?([0-9]{2})[Tt ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?"
    r"\s*(?:[Zz]|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)?\s*$"
)
# Texts that the engine's own cast may read. Without this check it would accept offsets of 99 hours and minutes.
_ENGINES_ISO = (
    r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9:.]*"
    r"\s*(?:[A-Za-z][A-Za-z0-9_/+-]*|[+-](?:[01][0-9]|2[0-3])(?::[0-5][0-9])?)?\s*$"
)
_MACROS = (
    f"create macro known_id(x) as case when length(trim(x)) > {LONGEST} or "
    f"not regexp_full_match(trim(x), '(?is){_quoted(NO_ID)}') then trim(x) end",
    f"create macro known_name(x) as case when length(trim(x)) > {LONGEST} or "
    f"not regexp_full_match(trim(x), '(?is){_quoted(NO_TAG)}') then trim(x) end",
    # ISO 8601 that the engine's own cast does not accept: small letters, a decimal comma, the basic format, 24:00 as
    # the end of a day, and leap seconds, which become the last microsecond of the second before.
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
    # A text that may be a number. The engine's cast alone would accept `1_000`, `inf` and `nan`.
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


class Engine:
    """Runs SQL over Arrow tables; safe to use from several threads."""

    def __init__(self) -> None:
        self._local = threading.local()

    def run(self, sql: str, lines: pa.Table) -> pa.Table:
        """The result of a query over `lines`."""
        engine = self._connection()
        engine.register("lines", lines)
        try:
            return engine.sql(sql).to_arrow_table()
        finally:
            engine.unregister("lines")

    def _connection(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._local, "engine"):
            engine = duckdb.connect(config={"threads": 1})
            engine.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            for macro in _MACROS:
                engine.execute(macro)
            self._local.engine = engine
        return self._local.engine
