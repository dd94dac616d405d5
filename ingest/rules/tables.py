"""The reference tables of rules: their columns, what is allowed in them, and how a user's rows and the defaults go
together. The only place where they are defined; dbt's seeds are these tables.

A table is a CSV file `<table>.csv`. A user's file replaces the defaults, or, for lists of well-known names, adds to
them: a row with a key of the defaults takes that row's place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingest.rules.csv_files import ReferenceFileError, Rows, as_table, read_csv
from ingest.rules.problems import Problems
from ingest.rules.values import event_type, in_words
from ingest.words import counted

MOST_BYTES = 64 << 20
MOST_ROWS = 200_000
MOST_RULES = 500  # rows that become a part of a query each
_ESCAPED = re.compile(r"\\.|\(\?P?<\w{1,40}>", re.DOTALL)


@dataclass(frozen=True)
class Column:
    """form: the normal form of a text. choices: of a text. is_regex: a regular expression, for texts in lower case."""

    type: str = "varchar"
    is_required: bool = False
    form: Callable[[str], str] | None = None
    choices: tuple[str, ...] = ()
    is_regex: bool = False


@dataclass(frozen=True, eq=False)
class Table:
    """key: the columns that no two rows have alike; empty for rows that are added up.

    adds: whether a user's rows are added to the defaults, instead of replacing them.
    becomes_sql: whether each row becomes a part of a query.
    is_data: whether its rows are figures of days. They are no rule: marts do not remember them, and a broken file stops
        what is made from it alone.
    """

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    adds: bool = False
    becomes_sql: bool = False
    is_data: bool = False

    @property
    def types(self) -> dict[str, str]:
        return {name: column.type for name, column in self.columns.items()}

    @property
    def file(self) -> str:
        return f"{self.name}.csv"

    @property
    def most_rows(self) -> int:
        return MOST_RULES if self.becomes_sql else MOST_BYTES if self.is_data else MOST_ROWS


_TEXT = Column()
_NAME = Column(is_required=True)
_LOWER = Column(is_required=True, form=str.lower)
_REGEX = Column(is_regex=True)
_CURRENCY = Column(form=str.upper)
_PRIORITY = Column("bigint", is_required=True)
_CATEGORIES = ("search", "social", "video", "shopping", "email", "ai", "other")

TABLES = (
    Table(
        "publications",
        {"publication_code": _NAME, "publication_id": Column("bigint"), "publication_name": _TEXT},
        key=("publication_code",),
    ),
    Table("click_ids", {"click_id_kind": _LOWER, "source": _NAME, "medium": _NAME}, key=("click_id_kind",), adds=True),
    Table(
        "traffic_sources",
        {"site": _LOWER, "source": _NAME, "medium": _NAME, "category": Column(is_required=True, choices=_CATEGORIES)},
        key=("site",),
        adds=True,
    ),
    Table("passages", {"site": _LOWER, "kind": _TEXT}, key=("site",), adds=True),
    Table(
        "channel_rules",
        {
            "priority": _PRIORITY,
            "channel": _NAME,
            "source_category": Column(choices=_CATEGORIES),
            "source_regex": _REGEX,
            "medium_regex": _REGEX,
            "campaign_regex": _REGEX,
        },
        key=("priority",),
        becomes_sql=True,
    ),
    Table(
        "page_categories",
        {"priority": _PRIORITY, "path_regex": Column(is_required=True, is_regex=True), "category": _NAME},
        key=("priority",),
        becomes_sql=True,
    ),
    Table(
        "campaign_spend",
        {
            "spend_date": Column("date", is_required=True),
            "order_id": _TEXT,
            "campaign_id": _TEXT,
            "publication_code": _TEXT,
            "creative_id": _TEXT,
            "channel": _TEXT,
            "spend": Column("decimal(18,4)", is_required=True),
            "currency": _CURRENCY,
        },
        key=(),
        is_data=True,
    ),
    Table(
        "funnel_steps",
        {
            "funnel": _NAME,
            "step": Column("bigint", is_required=True),
            "step_name": _NAME,
            "event_type": Column(is_required=True, form=event_type),
            "path_regex": _REGEX,
            "within_seconds": Column("bigint", is_required=True),
        },
        key=("funnel", "step"),
        becomes_sql=True,
    ),
    Table(
        "conversion_events",
        {
            "event_type": Column(is_required=True, form=event_type),
            "conversion_type": _NAME,
            "revenue": Column(is_required=True, choices=("earned", "none", "refunded")),
            "default_value": Column("decimal(18,4)"),
            "currency": _CURRENCY,
        },
        key=("event_type",),
        becomes_sql=True,
    ),
    Table(
        "retargeting_campaigns",
        {"campaign_regex": Column(is_required=True, is_regex=True)},
        key=("campaign_regex",),
        becomes_sql=True,
    ),
)
TABLE_BY_NAME = {each.name: each for each in TABLES}


@dataclass(frozen=True)
class InForce:
    """A table as it is in force.

    origin: where the user's file lies; None if there is none. own_rows: its rows.
    error: why a file of figures cannot be used; what is made from it is not built.
    """

    table: Table
    rows: pa.Table
    origin: str | None = None
    own_rows: int = 0
    error: str | None = None
    lines: list[int] = field(default_factory=list)  # of the user's rows

    def values(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.rows.to_pylist()
        return found


@cache
def default(table: Table, seeds: Path) -> InForce:
    """A table's default rows, from the file that the project brings."""
    found = read_csv((seeds / table.file).read_bytes(), table.file, table.types, _optional(table))
    return InForce(table, as_table(found.columns, table.types))


def in_force(table: Table, body: bytes, name: str, seeds: Path, problems: Problems) -> InForce:
    """A table with a user's rows. If the file has a mistake, `problems` has it, or, for figures, its `error`."""
    own = problems if not table.is_data else Problems()
    found = _read(table, body, name, own)
    if table.is_data and own.found:
        return InForce(table, default(table, seeds).rows, name, error="; ".join(own.found))
    if found is None:
        return default(table, seeds)
    rows = as_table(found.columns, table.types)
    count = rows.num_rows
    if table.adds:
        rows = _added(table, default(table, seeds).rows, rows)
    return InForce(table, rows, name, count, lines=found.lines)


def _read(table: Table, body: bytes, name: str, problems: Problems) -> Rows | None:
    if len(body) > MOST_BYTES:
        problems.add(name, f"the file is larger than {MOST_BYTES >> 20} MiB")
        return None
    try:
        found = read_csv(body, name, table.types, _optional(table))
    except ReferenceFileError as error:
        problems.found.append(str(error))
        return None
    if len(found.lines) > table.most_rows:
        problems.add(name, f"it has {len(found.lines)} rows, and {table.name} may have {table.most_rows}")
        return None
    before = len(problems.found)
    with duckdb.connect() as engine:
        for column, rule in table.columns.items():
            found.columns[column] = [_formed(rule, value) for value in found.columns[column]]
            for line, value in zip(found.lines, found.columns[column], strict=True):
                if wrong := _wrong(rule, value, engine):
                    problems.add(f"{name}, line {line}, column {column}", wrong)
    if table.key and len(problems.found) == before:
        _look_for_twins(table, found, name, problems)
    return found


def _optional(table: Table) -> set[str]:
    return {name for name, column in table.columns.items() if not column.is_required}


def _formed(column: Column, value: Any) -> Any:
    return (column.form(value) or None) if column.form and value is not None else value


def _wrong(column: Column, value: Any, engine: duckdb.DuckDBPyConnection) -> str | None:
    """What is wrong with a value; None if nothing is. engine: what will read regular expressions."""
    if value is None:
        return "it is empty" if column.is_required else None
    if column.choices and value not in column.choices:
        return f"{value!r} is not allowed. There are {', '.join(column.choices)}"
    if column.form is str.upper and not re.fullmatch("[A-Z]{3}", value):
        return f"{value!r} is no currency, such as USD"
    return _wrong_regex(value, engine) if column.is_regex else None


def _wrong_regex(regex: str, engine: duckdb.DuckDBPyConnection) -> str | None:
    try:
        engine.execute("select regexp_matches('', ?)", [regex])
    except duckdb.Error as error:
        said = " ".join(str(error).splitlines()[0].split()).partition(": ")[2]
        return f"{regex!r} is no regular expression ({said})"
    if re.search("[A-Z]", _ESCAPED.sub("", regex)) and "(?i" not in regex:
        return f"{regex!r} has a capital letter, and is searched for in lower-case texts. Write it in lower case"
    return None


def _look_for_twins(table: Table, found: Rows, name: str, problems: Problems) -> None:
    seen: dict[tuple[Any, ...], int] = {}
    for line, key in zip(found.lines, zip(*(found.columns[column] for column in table.key), strict=True), strict=True):
        if key in seen:
            shown = " and ".join(f"{column} {value}" for column, value in zip(table.key, key, strict=True))
            problems.add(f"{name}, line {line}", f"{shown} is there already, in line {seen[key]}")
        seen.setdefault(key, line)


def _added(table: Table, defaults: pa.Table, own: pa.Table) -> pa.Table:
    rows = {tuple(row[each] for each in table.key): row for row in (*defaults.to_pylist(), *own.to_pylist())}
    return pa.Table.from_pylist(list(rows.values()), schema=defaults.schema)


def check_funnels(steps: InForce, most_days: int, problems: Problems) -> None:
    """Finds funnels that nobody could walk, or that last longer than `funnel_max_days` allows."""
    if steps.origin is None:  # the default funnels are short enough for any value
        return
    for funnel, rows in _funnels(steps):
        numbers = [row["step"] for row, _ in rows]
        windows = {row["within_seconds"] for row, _ in rows}
        where = f"{steps.origin}, line {rows[0][1]}"
        longest = max(windows)
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            shown = ", ".join(map(str, sorted(numbers)))
            problems.add(where, f"funnel {funnel} has the steps {shown}. Number them from 1, without a gap")
        elif len(windows) > 1:
            shown = " and ".join(map(str, sorted(windows)))
            problems.add(where, f"funnel {funnel} has within_seconds {shown}. Give each of its steps the same")
        elif not 0 <= longest <= most_days * 86_400:
            could = ", or set funnel_max_days higher" if 0 <= longest <= 7 * 86_400 else ""
            problems.add(
                where,
                f"funnel {funnel} lasts {in_words(longest)} (within_seconds {longest}), and may last "
                f"{counted(most_days, 'day')} (funnel_max_days). Shorten it{could}",
            )


def check_conversions(events: InForce, problems: Problems) -> None:
    """Finds conversions that would lose by default."""
    if events.origin is None:
        return
    for row, line in zip(events.values(), events.lines, strict=True):
        if row["revenue"] == "earned" and row["default_value"] is not None and row["default_value"] < 0:
            problems.add(
                f"{events.origin}, line {line}, column default_value",
                f"{row['default_value'].normalize():f} is negative, and {row['event_type']} earns. Give 0 or more, or "
                "nothing; what is paid back has revenue refunded",
            )


def _funnels(steps: InForce) -> Iterator[tuple[str, list[tuple[dict[str, Any], int]]]]:
    found: dict[str, list[tuple[dict[str, Any], int]]] = {}
    for row, line in zip(steps.values(), steps.lines, strict=True):
        found.setdefault(row["funnel"], []).append((row, line))
    yield from found.items()
