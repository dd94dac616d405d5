"""SQL views of the lake: one for each table, over exactly the files that exist."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from ingest.errors import LakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import (
    DATA_FILE,
    LEDGER,
    MARTS,
    QUALITY_FOLDER,
    QUARANTINE,
    RAW,
    REJECTS,
    RELEASES,
    VERDICT_FILE,
    table_of,
)
from ingest.schema import DATA_QUALITY, DATA_QUALITY_PARTITIONS, Column

LAYERS = (RAW, REJECTS, LEDGER, MARTS)
QUALITY = "marts.data_quality"
# Tables that are kept as JSON. Their columns do not depend on the files, and exist even without any.
_REASON = 'struct("check" varchar, message varchar, failures bigint, figures json)[]'
RECORDS = {
    "quarantine.verdicts": {"table": "varchar", "day": "date", "site": "varchar", "reasons": _REASON},
    "quarantine.releases": {
        "table": "varchar",
        "day": "date",
        "site": "varchar",
        "checks": _REASON,
        "reason": "varchar",
        "released_by": "varchar",
        "released_at": "timestamp",
        "objects": "varchar",
    },
}
_RECORD_FILES = {QUALITY: f"/{DATA_FILE}", "quarantine.verdicts": f"/{VERDICT_FILE}", "quarantine.releases": ".json"}
NAMED = 3  # broken files of a table that a message names


@dataclass
class Views:
    """names: the views that were made. broken: table → which of its files cannot be read, and what to do. A broken
    table has no view, because its numbers would be wrong without the rows of the broken file."""

    names: list[str] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def holds_any(self) -> bool:
        """Whether the lake has a table besides those that always exist."""
        return bool({*self.names, *self.broken} - {QUALITY, *RECORDS})


def create_views(
    lake: Lake, connection: duckdb.DuckDBPyConnection, follows: bool = False, named_in: str | None = None
) -> Views:
    """Makes views `raw.*`, `rejects.*`, `ledger.*`, `marts.*` and `quarantine.*` in a connection that reads the lake.

    `quarantine.<table>` holds refused rows with their `day`, `quarantine.verdicts` the reasons, and
    `quarantine.releases` who released what. `marts.data_quality` holds the results of all checks. The last three always
    exist, with their columns.

    Args:
        follows: the views read patterns of files, so that they include days that are published later.
        named_in: SQL; only tables whose name occurs in it get a view, and nothing of the others is listed or opened.
    """
    views = Views()
    for table, files in sorted(tables_of(lake, named_in).items()):
        schema, name = table.split(".")
        connection.execute(f"create schema if not exists {schema}")
        try:
            connection.execute(f'create view {schema}."{name}" as {_query(lake, table, files, follows)}')
        except duckdb.Error as error:
            views.broken[table] = _what_is_broken(lake, connection, files, error)
        else:
            views.names.append(table)
    return views


def tables_of(lake: Lake, named_in: str | None = None) -> dict[str, list[LakeFile]]:
    """Table → its files. Files outside the folders of tables are left out.

    Args:
        named_in: a text; only tables whose name occurs in it are listed.
    """
    text = None if named_in is None else named_in.lower()

    def is_wanted(name: str) -> bool:
        return text is None or name.lower() in text

    found: dict[str, list[LakeFile]] = {}
    records = {QUALITY: QUALITY_FOLDER, "quarantine.verdicts": QUARANTINE, "quarantine.releases": RELEASES}
    for table, folder in records.items():
        if is_wanted(table.partition(".")[2]):
            found[table] = [file for file in lake.files(folder) if file.key.endswith(_RECORD_FILES[table])]
    for layer in (*LAYERS, QUARANTINE):
        for folder in lake.folders(layer) if text is not None else [""]:
            for file in lake.files(f"{layer}/{folder}") if is_wanted(folder) else ():
                if _is_data(file) and (layer != QUARANTINE or "/rows/" in file.key):
                    found.setdefault(f"{layer}.{table_of(file.key).replace(chr(34), '')}", []).append(file)
    return found


def _is_data(file: LakeFile) -> bool:
    return file.key.endswith(f"/{DATA_FILE}")


def _query(lake: Lake, table: str, files: list[LakeFile], follows: bool) -> str:
    """SQL that reads all rows of a table."""
    if table in RECORDS and not files:
        columns = ", ".join(f'null::{kind} as "{name}"' for name, kind in RECORDS[table].items())
        return f"select {columns} where false"
    if table in RECORDS:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in RECORDS[table].items())
        return f"from read_json({_list(lake, files, follows)}, columns = {{{columns}}})"
    if table == QUALITY and not files:
        return f"select {_nothing((*DATA_QUALITY, *DATA_QUALITY_PARTITIONS))} where false"
    # Files at different levels have different folders, which one reader would refuse as a mistake.
    by_shape: dict[str, list[LakeFile]] = {}
    for file in files:
        by_shape.setdefault(_pattern(file.key), []).append(file)
    return " union all by name ".join(
        _parquet(lake, each, shape, follows, by_name=table != QUALITY) for shape, each in sorted(by_shape.items())
    )


def _parquet(lake: Lake, files: list[LakeFile], shape: str, follows: bool, by_name: bool) -> str:
    """SQL that reads files with the same folders. Check results are not united by name: DuckDB would open each of
    thousands of small files to learn columns that are the same in all."""
    folders = [part.partition("=")[0] for part in shape.split("/") if "=" in part]
    types = ", ".join(
        f"'{name}': {'date' if name == 'day' or name.endswith('_date') else 'varchar'}" for name in folders
    )
    partitions = f", hive_types = {{{types}}}" if folders else ""
    return (
        f"select * from read_parquet({_list(lake, files, follows)}, "  # noqa: S608 - keys of the lake, quoted
        f"hive_partitioning = {str(bool(folders)).lower()}, union_by_name = {str(by_name).lower()}{partitions})"
    )


def _nothing(columns: Iterable[Column]) -> str:
    types = {pa.string(): "varchar", pa.int64(): "bigint", pa.float64(): "double", pa.date32(): "date"}
    return ", ".join(f'null::{types.get(each.type, "timestamp")} as "{each.name}"' for each in columns)


def _pattern(key: str) -> str:
    """The pattern of keys with the same folders and partition columns as this key."""
    parts = [f"{part.partition('=')[0]}=*" if "=" in part else part for part in key.split("/")]
    if parts[0] == RELEASES:
        parts[-1] = "*.json"
    return "/".join(parts)


def _list(lake: Lake, files: list[LakeFile], follows: bool) -> str:
    keys = sorted({_pattern(file.key) for file in files}) if follows else [file.key for file in files]
    return "[" + ", ".join("'" + lake.uri(key).replace("'", "''") + "'" for key in keys) + "]"


def _what_is_broken(
    lake: Lake, connection: duckdb.DuckDBPyConnection, files: list[LakeFile], error: duckdb.Error
) -> str:
    """Which files of a table cannot be read, and what to do. It opens each file, so it is called only after an
    error."""
    broken = []
    for file in files:
        try:
            if _is_data(file):
                connection.execute("select num_rows from parquet_file_metadata(?)", [lake.uri(file.key)]).fetchall()
        except duckdb.Error as found:
            broken.append((file, reason_of(found)))
    if not broken:
        return f"its files do not go together ({reason_of(error)})"
    named = "; ".join(f"{lake.uri(file.key)} cannot be read ({reason})" for file, reason in broken[:NAMED])
    more = f"; and {len(broken) - NAMED} more" if len(broken) > NAMED else ""
    return f"{named}{more}. Run its day again, or, if it is none of the lake's own, take it away"


def reason_of(error: duckdb.Error) -> str:
    """DuckDB's message without the statement that it quotes; of a Python traceback, only the last line."""
    text = str(error).split("\n\nLINE ")[0].strip()
    lines = [line for line in text.splitlines() if line.strip()]
    said = lines[-1] if "Traceback" in text else lines[0] if lines else type(error).__name__
    return re.sub(r"^[A-Z][A-Za-z ]+ Error: ", "", said.strip())


_READS = frozenset({"SELECT", "CREATE", "SET"})  # views and settings end with the connection
_COMMENT = r"--[^\n]*+\n|/\*(?:[^*]|\*(?!/))*+\*/"
_FIRST_WORD = re.compile(rf"\A(?:\s|\(|{_COMMENT})*+(\w*)")
_EXPLAIN = re.compile(rf"\A(?:\s|{_COMMENT})*+explain\b\s*+(?:analyze\b\s*+)?(?:\([^()]*+\))?", re.I)
_PIVOTS = frozenset({"pivot", "pivot_wider", "from", "select", "with", "create"})


def only_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    """Whether statements write no file and open no other database, according to DuckDB's own parser.

    Raises:
        duckdb.Error: the text is not SQL.
    """
    return all(_only_reads(connection, each) for each in connection.extract_statements(sql))


def _only_reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    explained = _EXPLAIN.match(statement.query)
    if explained:  # EXPLAIN ANALYZE runs the statement
        return only_reads(connection, statement.query[explained.end() :])
    if statement.type.name == "MULTI":  # PIVOT anywhere in the statement
        first = _FIRST_WORD.match(statement.query)
        return first is not None and first[1].lower() in _PIVOTS
    return statement.type.name in _READS


@contextmanager
def opened(lake: Lake, named_in: str | None = None) -> Iterator[tuple[duckdb.DuckDBPyConnection, Views]]:
    """The lake's views in a DuckDB connection that can read only the lake.

    Args:
        named_in: SQL; see `create_views`.
    """
    with lake.connect_for_reading() as connection:
        yield connection, create_views(lake, connection, named_in=named_in)


def require(views: Views, table: str) -> None:
    """Raises LakeError if a table exists but cannot be read."""
    if table in views.broken:
        raise LakeError(f"{table}: {views.broken[table]}")


def write_database(lake: Lake, target: Path) -> Views:
    """Writes a DuckDB file with views over the lake's files, for any client. It holds no rows."""
    with lake.connect() as connection:
        address = str(target).replace("'", "''")
        connection.execute(f"attach '{address}' as made (storage_version 'v1.0.0')")
        connection.execute("use made")
        return create_views(lake, connection, follows=True)
