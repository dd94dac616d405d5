"""Rows of many event dates, each in one file, whose row groups hold one kind of row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.partition import files as partition_files
from ingest.partition.files import PartitionFiles
from tests.partitions import days_of


def rows(kind: str, start: int, count: int) -> pa.Table:
    texts = pa.array([kind] * count).dictionary_encode()
    return pa.table({"request_type": texts, "id": pa.array([f"{kind}-{n}" for n in range(start, start + count)])})


THREE = days_of("2026-01-11", "2026-01-12", "2026-01-13")


@pytest.mark.parametrize(("group", "waiting"), [(100_000, 400_000), (10, 25), (1, 1)])
def test_every_row_is_in_the_file_of_its_date_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int, waiting: int
) -> None:
    monkeypatch.setattr(partition_files, "ROW_GROUP_ROWS", group)
    monkeypatch.setattr(partition_files, "WAITING_ROWS", waiting)
    files = PartitionFiles(tmp_path, frozenset({"id"}))
    for start in range(0, 40, 4):
        for day in THREE:
            for kind in ("click", "other"):
                files.add(day, kind, rows(kind, start, 4))
    finished = files.close()

    assert files.rows == dict.fromkeys(THREE, 80)
    assert list(finished) == sorted(files.rows)
    for path in finished.values():
        found = pq.ParquetFile(path).read().column("id").to_pylist()
        for kind in ("click", "other"):
            assert [name for name in found if name.startswith(kind)] == [f"{kind}-{n}" for n in range(40)]
        metadata = pq.read_metadata(path)
        assert sum(metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)) == 80
        for number in range(metadata.num_row_groups):
            statistics = metadata.row_group(number).column(0).statistics
            assert statistics.min == statistics.max  # so that a reader of ad requests skips all others


def test_an_empty_table_gives_an_empty_file(tmp_path: Path) -> None:
    files = PartitionFiles(tmp_path, frozenset())
    files.add(THREE[1], "other", rows("other", 0, 0))
    (path,) = files.close().values()
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).names == ["request_type", "id"]
