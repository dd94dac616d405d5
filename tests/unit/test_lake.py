"""A lake in a folder: files whole or not at all. S3 is in tests/integration/test_ingest_s3.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.days import day_text, parse_day
from ingest.errors import LakeError
from ingest.lake.files import HOST, STAGING, Lake
from ingest.lake.layout import Partition, event_date_of, partition_of, value_in
from ingest.lake.s3 import S3Options
from ingest.lake.views import opened
from tests.partitions import events_of, logs_of

TABLE = pa.table({"a": [1, 2], "b": ["x", None]})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """With the rights of a user that owns nothing here."""
    own = os.geteuid()
    if own != 0:
        pytest.skip("only root can become another user")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_who_only_reads_is_not_told_to_ask_for_write_access(lake: Lake) -> None:
    lake.put_text("a", "quarantine/t/day=1/verdict.json")
    Path(lake.root).chmod(0o700)
    with as_somebody_else():
        with pytest.raises(LakeError, match=r"no permission\. Let this user read the lake$"):
            lake.files("quarantine")
        with pytest.raises(LakeError, match=r"no permission\. Give this user write access to the lake and run again$"):
            lake.put_text("b", "quarantine/t/day=1/verdict.json")


def test_a_name_that_is_no_utf8_is_none_of_the_lake(lake: Lake) -> None:
    lake.put_table(TABLE, "raw/t/day=1/data.parquet")
    (Path(os.fsdecode(os.fsencode(lake.root) + b"/raw/t/caf\xe9.parquet"))).touch()
    assert [file.key for file in lake.files("raw")] == ["raw/t/day=1/data.parquet"]
    with opened(lake) as (connection, views):
        assert "raw.t" in views.names
        assert connection.execute("select count(*) from raw.t").fetchall() == [(2,)]


def test_a_file_is_put_listed_read_and_deleted(lake: Lake, tmp_path: Path) -> None:
    size = lake.put_table(TABLE, "raw/t/day=1/data.parquet")
    lake.put_text("hello é", "raw/t/day=2/note.txt")
    assert lake.read_table("raw/t/day=1/data.parquet").equals(TABLE)
    assert lake.read_table("raw/t/day=1/data.parquet", ["b"]).column_names == ["b"]
    assert lake.read_text("raw/t/day=2/note.txt") == "hello é"
    first, second = lake.files("raw")
    assert (first.key, first.size, value_in(first.key, "day"), value_in(first.key, "x")) == (
        "raw/t/day=1/data.parquet",
        size,
        "1",
        None,
    )
    assert second.key == "raw/t/day=2/note.txt"
    assert lake.exists(first.key)
    assert not lake.exists("raw/t/day=1")
    lake.delete(first.key)
    assert [file.key for file in lake.files("raw")] == [second.key]
    lake.delete("raw")
    lake.delete("raw")
    assert lake.files("raw") == lake.files("nowhere") == []


def test_putting_replaces_and_takes_the_local_file_away(lake: Lake) -> None:
    for text in ("one", "two"):
        with lake.staging() as folder:
            local = folder / "x"
            local.write_text(text)
            assert lake.put(local, "x/y") == 3
            assert not local.exists()
    assert lake.read_text("x/y") == "two"


def test_staging_is_gone_afterwards_even_after_an_error(lake: Lake) -> None:
    def fail() -> None:
        with lake.staging() as folder:
            (folder / "x").write_text("x")
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert list((Path(lake.root) / STAGING).iterdir()) == []


def test_what_a_killed_process_left_behind_is_taken_away(lake: Lake) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = Path(lake.root) / STAGING / f"{process.pid}-{HOST}-abcd" / "rows"
    left.mkdir(parents=True)
    with lake.staging() as ours, lake.staging() as also_ours:
        assert ours.exists()
        assert also_ours.exists()
        assert not left.exists()


def test_a_lake_is_made_without_touching_anything(tmp_path: Path) -> None:
    Lake(str(tmp_path / "none"))
    Lake("s3://no-such-bucket/prefix", S3Options(endpoint_url="http://127.0.0.1:1"))
    assert not (tmp_path / "none").exists()


def test_addresses(tmp_path: Path) -> None:
    assert Lake(f"file://{tmp_path}").uri("a/b") == f"{tmp_path}/a/b"
    assert Lake("s3://bucket/some/prefix/").uri("a/b") == "s3://bucket/some/prefix/a/b"
    assert Lake("s3://bucket").path("a/b") == "bucket/a/b"
    with pytest.raises(LakeError, match="only a folder or s3://"):
        Lake("gs://bucket/x")


def test_no_secret_is_shown() -> None:
    options = S3Options("http://127.0.0.1:1", "us-east-1", "AKIDEXAMPLE", "the secret", "the token")
    for text in (repr(options), repr(Lake("s3://b", options)), str(options)):
        assert "secret" not in text.replace("secret_access_key", "")
        assert "token" not in text


def test_a_file_that_cannot_be_read_is_explained(lake: Lake) -> None:
    lake.put_text("no parquet", "text.parquet")
    with pytest.raises(LakeError, match=r"reading .*missing.parquet"):
        lake.read_table("missing.parquet")
    with pytest.raises(LakeError, match=r"reading .*missing.txt"):
        lake.read_text("missing.txt")
    with pytest.raises(LakeError, match=r"reading .*text.parquet: no whole Parquet file"):
        lake.read_table("text.parquet")


def test_a_lake_that_is_a_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("x")
    with pytest.raises(LakeError, match="making"):
        Lake(str(tmp_path / "lake")).put_text("x", "a/b")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_explained_and_leaves_the_file_as_it_was(tiny_disk: Path) -> None:
    lake = Lake(str(tiny_disk / "lake"))
    lake.put_text("before", "x")
    for write in (
        lambda: lake.put_text("y" * 1_000_000, "x"),
        lambda: lake.put_table(pa.table({"a": range(1_000_000)}), "x"),
    ):
        with pytest.raises(LakeError, match=r"the disk is full. Free some space and run again"):
            write()
    assert lake.read_text("x") == "before"
    assert [path.name for path in (tiny_disk / "lake").rglob("*") if path.is_file()] == ["x"]


def test_duckdb_reads_the_lake_in_utc(lake: Lake) -> None:
    lake.put_table(TABLE, "raw/t/data.parquet")
    with lake.connect() as connection:
        rows = connection.execute(f"select * from read_parquet('{lake.uri('raw/t/data.parquet')}')").fetchall()
        assert rows == [(1, "x"), (2, None)]
        assert connection.execute("select current_setting('TimeZone')").fetchone() == ("UTC",)


def test_a_key_without_a_partition_has_none() -> None:
    key = "raw/t/event_date=2026-01-12/x=/data.parquet"
    assert [value_in(key, name) for name in ("event_date", "x", "date")] == ["2026-01-12", "", None]


@pytest.mark.parametrize("partition", [events_of("2026-01-12", "a b/c.example"), logs_of("2026-01-12")])
def test_whose_a_file_is_is_read_from_its_key(partition: Partition) -> None:
    day = partition.day
    files = (partition.rejects_file, partition.ledger_file, partition.verdict_file, partition.refused_rows_file(day))
    assert {partition_of(key) for key in (*files, partition.raw_file(day), partition.releases)} == {partition}
    assert event_date_of(partition.raw_file(day)) == day


@pytest.mark.parametrize("key", ["quarantine/t/verdict.json", "ledger/t/source_date=20260112/data.parquet"])
def test_a_file_that_lies_elsewhere_is_nobodys(key: str) -> None:
    assert partition_of(key) is None


@pytest.mark.parametrize("text", ["20260112", "2026-W03-1", "2026-1-12", "2026-02-30", "", " 2026-01-12"])
def test_a_day_is_written_in_one_way(text: str) -> None:
    assert day_text(parse_day("2026-01-12")) == "2026-01-12"
    with pytest.raises(ValueError, match=r"."):
        parse_day(text)


@pytest.mark.parametrize("site", ["..", "../..", "a/b", "a\\b", "s3://x", "a=b/c"])
def test_a_site_of_any_name_makes_one_folder(site: str) -> None:
    """No folder of a disk can have such a name, but a key in S3 can."""
    key = events_of("2026-01-12", site).raw_file(parse_day("2026-01-12"))
    assert key.startswith("raw/events/event_date=2026-01-12/source_date=2026-01-12/site=")
    assert len(key.split("/")) == 6
    assert ".." not in key.split("/")
