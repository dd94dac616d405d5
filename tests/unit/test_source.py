"""Which day a key belongs to, and objects in a folder. S3 is in tests/integration/test_ingest_s3.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingest.errors import ObjectChangedError, SourceError
from ingest.source import FolderSource, hour_of, open_source


@pytest.mark.parametrize(
    ("key", "hour"),
    [
        ("E1ABC.2026-01-12-05.a1b2c3d4.gz", "2026-01-12-05"),
        ("logs/cdn/E1ABC.2026-01-12-05.a1b2c3d4.gz", "2026-01-12-05"),
        ("2026-01-12-05.gz", "2026-01-12-05"),
        ("E1ABC.2026-01-12-05", "2026-01-12-05"),
        ("E1ABC_2026-01-12-23_x.parquet", "2026-01-12-23"),
        ("year=2026/month=01/day=12/hour=05/part-0.parquet", "2026-01-12-05"),
        ("logs/E1ABC/year=2026/month=01/day=12/hour=05/x.json", "2026-01-12-05"),
        ("E1ABC/2026/01/12/05/x.gz", "2026-01-12-05"),
        ("2026/01/12/x.gz", "2026-01-12-00"),
        ("year=2026/month=01/day=12/x.gz", "2026-01-12-00"),
        ("2026/01/12/05/E1ABC.2026-01-12-04.x.gz", "2026-01-12-04"),  # the name says it best
        ("123456789012/CloudFront/2026/01/12/05/x.gz", "2026-01-12-05"),
        ("readme.txt", None),
        ("", None),
        ("E1ABC.2026-01-12.gz", None),
        ("E1ABC.2026-01-12-0501.gz", None),
        ("E1ABC.12026-01-12-05.gz", None),
        ("E1ABC.2026-13-12-05.gz", None),
        ("E1ABC.2026-02-29-05.gz", None),
        ("E1ABC.2026-01-12-24.gz", None),
        ("2026/13/12/05/x.gz", None),
        ("id-992026/01/12/05/x.gz", None),
        ("2026/01/12", None),
    ],
)
def test_the_hour_of_a_key(key: str, hour: str | None) -> None:
    assert hour_of(key) == hour


def put(folder: Path, key: str, text: str = "x") -> Path:
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_folder_lists_the_objects_of_a_day_in_order(tmp_path: Path) -> None:
    keys = ["E2.2026-01-12-05.b.gz", "E1.2026-01-12-05.a.gz", "E1.2026-01-12-04.z.gz", "E1.2026-01-13-00.a.gz",
            "sub/year=2026/month=01/day=12/hour=03/x.parquet", "readme.txt", ".E1.2026-01-12-05.part"]  # fmt: skip
    for key in keys:
        put(tmp_path, key)
    source = FolderSource(tmp_path)
    assert [item.key for item in source.objects(["2026-01-12"])] == [keys[4], keys[2], keys[1], keys[0]]
    assert [item.key for item in source.objects(["2026-01-13"])] == [keys[3]]
    assert source.objects(["2026-01-14"]) == []
    assert len(source.objects()) == 5
    assert source.objects(["2026-01-12", "2026-01-13"]) == source.objects()


def test_an_object_is_read_as_it_was_listed(tmp_path: Path) -> None:
    path = put(tmp_path, "E1.2026-01-12-05.a.gz", "content")
    source = FolderSource(tmp_path)
    (item,) = source.objects()
    with source.open(item) as stream:
        assert stream.read() == b"content"
    assert (item.size, item.day, item.modified.tzname()) == (7, "2026-01-12", "UTC")

    path.write_text("changed")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ObjectChangedError, match="has changed since it was listed"):
        source.open(item)
    path.unlink()
    with pytest.raises(ObjectChangedError, match="has gone since it was listed"):
        source.open(item)


def test_changing_an_object_changes_its_etag(tmp_path: Path) -> None:
    path = put(tmp_path, "E1.2026-01-12-05.a.gz", "one")
    (before,) = FolderSource(tmp_path).objects()
    os.utime(path, ns=(1, 1))
    (after,) = FolderSource(tmp_path).objects()
    assert before.etag != after.etag


def test_a_missing_folder_and_another_scheme_are_explained(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no such folder. Set CLICKLAKE_LOGS"):
        FolderSource(tmp_path / "none").objects(["2026-01-12"])
    with pytest.raises(SourceError, match="CLICKLAKE_LOGS"):
        open_source("gs://bucket/logs")
    assert open_source(f"file://{tmp_path}").url == str(tmp_path)
    assert open_source("s3://bucket/logs/").url == "s3://bucket/logs"
