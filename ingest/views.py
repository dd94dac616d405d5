"""The lake as SQL: a view for each table, over exactly the files that are there."""

from __future__ import annotations

import duckdb

from ingest.lake import DATA_FILE, Lake, LakeFile

LAYERS = ("raw", "rejects", "ledger", "marts")


def create_views(lake: Lake, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Makes `raw.*`, `rejects.*`, `ledger.*`, `marts.*` and `quarantine.*` in a connection attached to the lake.

    `quarantine.<table>` holds refused rows with their `day`, `quarantine.verdicts` why they were refused, and
    `quarantine.releases` who accepted what. `marts.data_quality` holds what every check found.
    Returns the names of the views.
    """
    names = []
    for layer in LAYERS:
        names += _views_of(lake, connection, layer, lake.files(layer))
    names += _data_quality(lake, connection)
    quarantined = lake.files("quarantine")
    names += _views_of(lake, connection, "quarantine", [file for file in quarantined if "/rows/" in file.key])
    for name, records in (("verdicts", quarantined), ("releases", lake.files("releases"))):
        texts = [lake.uri(file.key) for file in records if file.key.endswith(".json")]
        if texts:
            connection.execute("create schema if not exists quarantine")
            connection.execute(f"create view quarantine.{name} as from read_json_auto({_list(texts)})")
            names.append(f"quarantine.{name}")
    return sorted(names)


def _views_of(lake: Lake, connection: duckdb.DuckDBPyConnection, layer: str, files: list[LakeFile]) -> list[str]:
    by_table: dict[str, list[str]] = {}
    for file in files:
        if file.key.endswith(DATA_FILE):
            by_table.setdefault(file.key.split("/")[1], []).append(lake.uri(file.key))
    if by_table:
        connection.execute(f"create schema if not exists {layer}")
    for table, addresses in by_table.items():
        connection.execute(
            f'create view {layer}."{table}" as '  # noqa: S608 - keys of the lake, quoted; nobody else's text
            f"select * from read_parquet({_list(addresses)}, hive_partitioning = true, union_by_name = true)"
        )
    return [f"{layer}.{table}" for table in by_table]


def _data_quality(lake: Lake, connection: duckdb.DuckDBPyConnection) -> list[str]:
    """A small file for each step of each run, all with the same columns. Not by name, as other tables are: to know the
    columns DuckDB would open each of thousands of files, whatever was asked for."""
    files = [lake.uri(file.key) for file in lake.files("quality/data_quality")]
    if not files:
        return []
    connection.execute("create schema if not exists marts")
    types = "{'judged_date': date, 'run_id': varchar, 'step': varchar}"
    connection.execute(
        "create view marts.data_quality as "  # noqa: S608 - keys of the lake, quoted; nobody else's text
        f"select * from read_parquet({_list(files)}, hive_partitioning = true, hive_types = {types})"
    )
    return ["marts.data_quality"]


def _list(addresses: list[str]) -> str:
    return "[" + ", ".join("'" + address.replace("'", "''") + "'" for address in addresses) + "]"
