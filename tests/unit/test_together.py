"""Small sites whose objects are read together are as if each had been read alone."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.days import parse_day
from ingest.events.files import EventBatch
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition import together
from ingest.partition.day import DayResult, ingest_day
from ingest.partition.ledger import objects_by_day, parts_of
from ingest.partition.stage import Read
from ingest.partition.together import groups, read_together
from ingest.source import FolderSource, SourceObject
from tests.event_lines import DAY, OPTIONS, event_key, line, pixel

OWN = [f"field_{number}" for number in range(60)]
SITES: dict[str, Sequence[bytes]] = {
    "a.example": [line(pixel(visitorId="only_of_a", path="/shoes")), line(pixel(visitorId="only_of_a", path="/hats"))],
    "b.example": [line(pixel(visitorId="only_of_b", path="/shoes")), b"no json", b"\xff\xfe", b""],
    "c.example": [line(pixel(timestamp="yesterday")), line(pixel(url="https://other.example/?utm_source=news"))],
    "d.example": [line(pixel(**dict.fromkeys(OWN, 1)))],
    "e.example": [line(pixel(**dict.fromkeys((f"e_{name}" for name in OWN), "x")))],
    "f.example": [line({"unknown": 1})],
    "unknown": [line(pixel(siteId="declared"))],
    "z.example": [line(pixel(visitorId="only_of_z")), line(pixel(visitorId="only_of_z"))],
}


@pytest.fixture
def source(tmp_path: Path) -> FolderSource:
    for site, rows in SITES.items():
        put(tmp_path, site, b"\n".join(rows))
    put(tmp_path, "g.example", gzip.compress(line(pixel()) * 3)[:-20], "a.gz")
    put(tmp_path, "z.example", line(pixel(visitorId="later")), "b")
    return FolderSource(tmp_path / "events")


def put(folder: Path, site: str, body: bytes, name: str = "a") -> None:
    path = folder / "events" / event_key(site, DAY, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)


def parts_in(source: FolderSource, lake: Lake) -> dict[Partition, list[SourceObject]]:
    day = Partition("events", parse_day(DAY))
    return parts_of(lake, day, objects_by_day(source.objects([day.day]))[day.day])


def ingested(
    source: FolderSource, lake: Lake, read: dict[Partition, Read], part: Partition, objects: Sequence[SourceObject]
) -> DayResult:
    return ingest_day(lake, source, part, OPTIONS, objects, already_read=read.get(part))


def all_of(lake: Lake) -> dict[str, object]:
    """Rows, rejects, ledgers and verdicts; ledgers without the hashes of files."""
    found: dict[str, object] = {}
    for file in lake.files(""):
        if file.key.endswith(".parquet"):
            table = lake.read_table(file.key)
            found[file.key] = table.drop_columns(
                [name for name in ("files",) if name in table.column_names]
            ).to_pylist()
        elif file.key.endswith(".json"):
            found[file.key] = lake.read_text(file.key)
    return found


def test_together_and_alone_give_the_same(source: FolderSource, tmp_path: Path) -> None:
    alone, joined = Lake(str(tmp_path / "alone")), Lake(str(tmp_path / "joined"))
    for part, listed in parts_in(source, alone).items():
        ingested(source, alone, {}, part, listed)
    read: dict[Partition, Read] = {}
    for group in groups(parts_in(source, joined)):
        read |= read_together(source, group, OPTIONS)
        for part, objects in group.items():
            ingested(source, joined, read, part, objects)
    assert {part.site for part in read} == {*SITES, "g.example"} - {"unknown"}
    assert all_of(joined) == all_of(alone)


def test_days_of_a_site_together_and_alone_give_the_same(tmp_path: Path) -> None:
    """Also where each day has many fields of its own, or the site belongs to another tenant from a day on."""
    days = [f"2026-01-1{number}" for number in range(2, 10)]
    for number, day in enumerate(days):
        own = {f"of_{number}_{each}": each for each in range(70 if number == 0 else 40)}
        rows = [line(pixel(visitorId=f"v{number}", timestamp=f"{day}T10:00:00Z", **own))]
        folder = tmp_path / "events" / ("tenant=t" if number == 7 else "")
        path = folder / event_key("s.example", day, "a")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(rows))
    source = FolderSource(tmp_path / "events")
    listed = objects_by_day(source.objects())
    parts: dict[Partition, list[SourceObject]] = {}
    for day in sorted(listed):
        parts |= parts_of(Lake(str(tmp_path / "none")), Partition("events", day), listed[day])
    alone, joined = Lake(str(tmp_path / "alone")), Lake(str(tmp_path / "joined"))
    for part, objects in parts.items():
        ingested(source, alone, {}, part, objects)
    (group,) = groups(parts)
    read = read_together(source, group, OPTIONS)
    for part, objects in group.items():
        ingested(source, joined, read, part, objects)
    assert len(read) == 4
    assert all_of(joined) == all_of(alone)
    tables = [joined.read_table(file.key) for file in joined.files("raw")]
    tenants = {tenant for table in tables for tenant in table.column("tenant_id").to_pylist()}
    assert tenants == {None, "t"}


def test_the_file_of_a_site_holds_nothing_of_another(source: FolderSource, tmp_path: Path) -> None:
    """A dictionary of a column could hold values of rows that are elsewhere."""
    lake = Lake(str(tmp_path / "lake"))
    for group in groups(parts_in(source, lake)):
        read = read_together(source, group, OPTIONS)
        for part, objects in group.items():
            ingested(source, lake, read, part, objects)
    for site in ("a.example", "z.example"):
        (file,) = (each for each in lake.files("raw") if f"site={site}/" in each.key)
        values = [value for row in lake.read_table(file.key).to_pylist() for value in row.values()]
        assert not {f"only_of_{other}" for other in "az" if not site.startswith(other)} & {*map(str, values)}
        columns = lake.read_table(file.key).column("shape")
        dictionaries = [chunk.dictionary for chunk in columns.chunks if hasattr(chunk, "dictionary")]
        assert all(len(each) <= 2 for each in dictionaries)


def test_an_object_that_cannot_be_read_refuses_its_site_alone(
    source: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.events import parser

    known = parser.EventParser.parse

    def fails(self: parser.EventParser, batch: EventBatch) -> object:
        if any("only_of_b" in text for text in batch.texts.to_pylist()):
            raise ZeroDivisionError("nobody thought of this")
        return known(self, batch)

    monkeypatch.setattr(parser.EventParser, "parse", fails)
    lake = Lake(str(tmp_path / "lake"))
    refused = {}
    for group in groups(parts_in(source, lake)):
        read = read_together(source, group, OPTIONS)
        for part, objects in group.items():
            result = ingested(source, lake, read, part, objects)
            if not result.published:
                refused[part.site] = [verdict.check for verdict in result.refusals]
    assert refused["b.example"] == ["processed"]
    assert "z.example" not in refused


def test_groups_are_bounded_and_what_expands_is_read_alone(
    source: FolderSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake(str(tmp_path / "lake"))
    parts = parts_in(source, lake)
    monkeypatch.setattr(together, "GROUP_OBJECTS", 3)
    assert max(sum(map(len, group.values())) for group in groups(parts)) == 3
    assert {part for group in groups(parts) for part in group} == set(parts)
    monkeypatch.setattr(together, "SMALL_BYTES", 0)
    assert all(len(group) == 1 for group in groups(parts))
    monkeypatch.undo()
    monkeypatch.setattr(together, "MAX_BYTES", 0)
    assert all(read_together(source, group, OPTIONS) == {} for group in groups(parts))
