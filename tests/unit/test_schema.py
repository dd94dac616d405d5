"""The registry of columns against the engine that reads them."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from ingest.schema import DATA_QUALITY, LEDGER, RAW, REJECTS, Column, arrow_schema


@pytest.mark.parametrize("columns", [*RAW.values(), REJECTS, LEDGER, DATA_QUALITY])
def test_the_type_in_sql_is_the_one_that_duckdb_gives_the_file(columns: tuple[Column, ...], tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pq.write_table(arrow_schema(columns).empty_table(), path)
    described = duckdb.sql(f"describe from '{path}'").fetchall()
    assert [(name, kind.lower()) for name, kind, *_ in described] == [(each.name, each.sql_type) for each in columns]
