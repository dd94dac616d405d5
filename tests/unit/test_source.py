"""Which day a key belongs to, and objects in a folder. S3 is in tests/integration/test_ingest_s3.py."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import ObjectChangedError, SourceError
from ingest.source import FolderSource, _Whole, hour_of, open_source
from tests.partitions import days_of


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
    assert [item.key for item in source.objects(days_of("2026-01-12"))] == [keys[4], keys[2], keys[1], keys[0]]
    assert [item.key for item in source.objects(days_of("2026-01-13"))] == [keys[3]]
    assert source.objects(days_of("2026-01-14")) == []
    assert len(source.objects()) == 5
    assert source.objects(days_of("2026-01-12", "2026-01-13")) == source.objects()


def test_an_object_is_read_as_it_was_listed(tmp_path: Path) -> None:
    path = put(tmp_path, "E1.2026-01-12-05.a.gz", "content")
    source = FolderSource(tmp_path)
    (item,) = source.objects()
    with source.open(item) as stream:
        assert stream.read() == b"content"
    assert (item.size, item.day, item.modified.tzname()) == (7, date(2026, 1, 12), "UTC")

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
        FolderSource(tmp_path / "none").objects(days_of("2026-01-12"))
    (tmp_path / "access.log").touch()
    with pytest.raises(SourceError, match=r"access\.log: is no folder\. Set CLICKLAKE_LOGS"):
        FolderSource(tmp_path / "access.log").objects()
    with pytest.raises(SourceError, match="CLICKLAKE_LOGS"):
        open_source("gs://bucket/logs")
    assert open_source(f"file://{tmp_path}").url == str(tmp_path)
    assert open_source("s3://bucket/logs/").url == "s3://bucket/logs"


def _pipe(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


def _socket(place: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place / "socket"))
    return place / "socket"


NO_FILES: dict[str, tuple[Callable[[Path], Path | str], str]] = {
    "nothing": (lambda place: place / "none", "it is a link to nothing"),
    "itself": (lambda _: "E1.2026-01-12-05.odd.gz", "Too many levels of symbolic links"),
    "behind a file": (lambda place: put(place, "file") / "x", "Not a directory"),
    "a pipe": (_pipe, "it is no ordinary file"),
    "a socket": (_socket, "it is no ordinary file"),
    "a device without an end": (lambda _: "/dev/zero", "it is no ordinary file"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_a_link_to_no_ordinary_file_is_an_object_that_cannot_be_read(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    target, reason = NO_FILES[name]
    put(tmp_path, "E1.2026-01-12-05.good.gz")
    (tmp_path / "E1.2026-01-12-05.odd.gz").symlink_to(target(tmp_path_factory.mktemp("p")))
    source = FolderSource(tmp_path)
    good, odd = source.objects(days_of("2026-01-12"))
    assert source.open(good).read() == b"x"
    with pytest.raises(SourceError, match=rf"E1.2026-01-12-05.odd.gz: {reason}"):
        source.open(odd)


def test_a_pipe_of_its_own_is_passed_over_and_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "E1.2026-01-12-05.pipe.gz")
    (tmp_path / "E1.2026-01-12-05.link.gz").symlink_to(put(tmp_path, "elsewhere"))
    source = FolderSource(tmp_path)
    (link,) = source.objects()
    assert (link.key, link.size, source.open(link).read()) == ("E1.2026-01-12-05.link.gz", 1, b"x")


def test_what_cannot_be_looked_at_is_an_object_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "E1.2026-01-12-05.a.gz")
    put(tmp_path, "E1.2026-01-12-05.b.gz")
    lstat = Path.lstat

    def broken(path: Path) -> os.stat_result:
        if path.name.endswith(".a.gz"):
            raise OSError(5, "Input/output error")
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", broken)
    source = FolderSource(tmp_path)
    assert [(item.key, item.size) for item in source.objects()] == [
        ("E1.2026-01-12-05.a.gz", 0),
        ("E1.2026-01-12-05.b.gz", 1),
    ]


def test_a_folder_that_cannot_be_listed_stands_for_its_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hour = "domain=a/year=2026/month=01/day=12/hour=05"
    put(tmp_path, f"{hour}/x.gz")
    put(tmp_path, "domain=b/year=2026/month=01/day=12/hour=05/x.gz")
    closed = {str(tmp_path / hour)}
    scandir: Callable[..., Any] = os.scandir

    def refused(path: Any) -> Any:
        if str(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    source = FolderSource(tmp_path)
    folder, other = source.objects(days_of("2026-01-12"))
    assert (folder.key, folder.site, other.site) == (hour, "a", "b")
    with pytest.raises(SourceError, match=rf"{hour}: Permission denied"):
        source.open(folder)
    assert source.objects(days_of("2026-01-13")) == []
    closed.add(str(tmp_path / "domain=b"))
    with pytest.raises(SourceError, match=r"listing .*domain=b: Permission denied. Let this user read it"):
        source.objects(days_of("2026-01-13"))


@pytest.mark.parametrize("size", [0, 3, 9])
def test_what_holds_other_than_its_size_says_is_no_ordinary_file(tmp_path: Path, size: int) -> None:
    """As in /proc: it has not changed, so that another listing would help nothing."""
    put(tmp_path, "E1.2026-01-12-05.a.gz", "content")
    source = FolderSource(tmp_path)
    (item,) = source.objects()
    with (
        source.open(replace(item, size=size)) as stream,
        pytest.raises(SourceError, match="no ordinary file: it holds"),
    ):
        stream.read()


def test_no_more_is_read_than_an_object_may_hold() -> None:
    asked = []

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            asked.append(size)
            return super().read(size)

    with pytest.raises(SourceError, match="more"):
        _Whole(Endless(b"x" * 100), 7, lambda: SourceError("more")).read()
    assert asked == [8]
