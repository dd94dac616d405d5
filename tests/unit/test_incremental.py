"""A day that is taken in as its objects come holds what one reading of all of them gives, whatever happens between."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition import standing
from ingest.partition.audit import Limits
from ingest.partition.datasets import ACCESS_LOGS, EVENTS, Dataset
from ingest.partition.day import DayResult, IngestOptions, ingest_day
from ingest.partition.ledger import is_judged
from ingest.source import FolderSource, Terms
from tests import event_lines
from tests.log_lines import DAY, FEW, OPTIONS, LogDay, line, lines, log
from tests.partitions import days_of, logs_of

pytestmark = pytest.mark.slow

BEFORE, AFTER = "2026-01-11", "2026-01-13"
SITE = event_lines.SITE
Write = Callable[[Path, random.Random, int], None]


class Place:
    """A source, and two lakes: one that takes it in as it grows, and one that reads it whole."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.dataset = dataset
        self.site = SITE if dataset.by_site else None
        self.partition = Partition(dataset.name, parse_day(DAY), self.site)
        self.folder = folder / "source"
        self.folder.mkdir(parents=True)
        self.grown, self.whole = Lake(str(folder / "grown")), Lake(str(folder / "whole"))
        self.options = IngestOptions(OPTIONS.hash_key, limits=Limits(max_reject_share=1.0))

    def refresh(self, lake: Lake | None = None, incremental: bool = True) -> DayResult:
        source = FolderSource(self.folder, terms=Terms(deletions_correct=True))
        return ingest_day(lake or self.grown, source, self.partition, self.options, incremental=incremental)

    def assert_as_whole(self) -> None:
        """Rows, rejects and ledger are those of one reading of all that lies there now."""
        self.refresh(self.whole, incremental=False)
        assert contents(self.grown, self.partition) == contents(self.whole, self.partition)


def contents(lake: Lake, partition: Partition) -> dict[str, Any]:
    """Raw files as rows in any order, the rejects likewise; the ledger as it is."""
    found: dict[str, Any] = {
        file.key: Counter(map(repr, lake.read_table(file.key).to_pylist())) for file in lake.files("raw")
    }
    found["rejects"] = Counter(map(repr, lake.read_table(partition.rejects_file).to_pylist()))
    found["ledger"] = lake.read_table(partition.ledger_file).to_pylist()
    return found


# Objects as they may come: several to an hour, with rows of other hours and days, repeated ids, broken lines


def write_log(folder: Path, chance: random.Random, number: int) -> None:
    hour = chance.randrange(24)
    rows = []
    for n in range(chance.randrange(12)):
        values = {"id": chance.choice(["-", f"{number}-{n}", f"{number}-{n}"]), "time": f"{hour:02}:{n:02}:00"}
        if chance.random() < SHARE:  # a request has one time
            shared = chance.randrange(SHARED)
            values = {"id": f"shared-{shared}", "time": f"{shared:02}:00:00"}
        rows.append(
            line(
                date=chance.choice([DAY] * 6 + [BEFORE, AFTER]),
                path=chance.choice(["/c", "/pxl.png", "/index.html"]),
                status=chance.choice(["200", "302", "404"]),
                **values,
            )
        )
    rows += [b"broken"] * chance.randrange(3)
    names = chance.choice([None, None, ("date", "time", "cs-uri-stem", "sc-status", "x-new-field")])
    body = log(rows) if names is None else log([line(names) for _ in rows], names)
    (folder / f"E1.{DAY}-{hour:02}.{chance.randrange(10**6):06}-{number}").write_bytes(body)


def write_events(folder: Path, chance: random.Random, number: int) -> None:
    hour = chance.randrange(24)
    rows: list[bytes] = []
    for n in range(chance.randrange(12)):
        day, name, time = chance.choice([DAY] * 6 + [BEFORE]), f"evt_{number}-{n}", f"{hour:02}:{n:02}:00Z"
        if chance.random() < SHARE:
            shared = chance.randrange(SHARED)
            name, time = f"evt_{shared}", f"{shared:02}:00:00Z"
        event = {
            "event_id": name, "event_type": "page_view", "visitor_id": f"visitor_{chance.randrange(3)}",
            "session_id": "sess_1", "page_url": "https://example.com/", "event_data": {"n": n},
            "timestamp": f"{day}T{time}",
        }  # fmt: skip
        rows.append(event_lines.line(event))
    rows += [b"{"] * chance.randrange(3)
    year, month, day = DAY.split("-")
    below = folder / f"domain={SITE}/year={year}/month={month}/day={day}/hour={hour:02}"
    below.mkdir(parents=True, exist_ok=True)
    (below / f"events-{DAY}-{hour:02}-{number}.jsonl").write_bytes(b"\n".join(rows))


SHARED, SHARE = 8, 0.1  # ids that several objects may have, and how many rows have one
DATASETS = pytest.mark.parametrize(
    ("dataset", "write"), [(ACCESS_LOGS, write_log), (EVENTS, write_events)], ids=["logs", "events"]
)
STEPS = st.lists(st.integers(1, 4), min_size=2, max_size=4)
EXAMPLES = settings(FEW, max_examples=8)


@DATASETS
@EXAMPLES
@given(st.integers(0, 2**32), STEPS)
def test_any_split_into_refreshes_ends_as_one_reading(
    tmp_path_factory: pytest.TempPathFactory, dataset: Dataset, write: Write, seed: int, steps: Sequence[int]
) -> None:
    chance = random.Random(seed)
    place = Place(tmp_path_factory.mktemp("day"), dataset)
    number = 0
    for step in steps:
        for _ in range(step):
            number += 1
            write(place.folder, chance, number)
        files = sorted(path for path in place.folder.rglob("*") if path.is_file())
        event = chance.random()
        if event < 0.1 and len(files) > 1:  # an object is taken away, or comes again with other contents
            chance.choice(files).unlink()
        elif event < 0.2:
            chance.choice(files).write_bytes(chance.choice(files).read_bytes())
        result = place.refresh()
        assert result.published, result.reason
        assert place.refresh().reading == "nothing"
    place.assert_as_whole()


# What ends a reading of the new objects alone, and what they leave as it was


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    made = LogDay(tmp_path).allow_rejects()
    made.terms = Terms(deletions_correct=True)
    return made


def refreshed(day: LogDay, lake: Lake | None = None) -> DayResult:
    return ingest_day(lake or day.lake, day.source, logs_of(DAY), day.options, incremental=True)


def assert_as_whole(day: LogDay, tmp_path: Path) -> None:
    whole = Lake(str(tmp_path / "whole"))
    assert day.ingest(whole).published
    assert contents(day.lake, logs_of(DAY)) == contents(whole, logs_of(DAY))


def raw_file(day: LogDay, event_date: str = DAY) -> Path:
    return Path(day.lake.path(logs_of(DAY).raw_file(parse_day(event_date))))


def version(path: Path) -> tuple[int, int]:
    """Changes when a file is replaced, and not when it is read."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def test_what_was_read_is_neither_read_nor_decoded_again(day: LogDay, tmp_path: Path) -> None:
    day.add(log([*lines(100), line(id="before", date=BEFORE), b"broken"]), "a", "10")
    day.ingest()
    old, neighbour = raw_file(day).read_bytes(), version(raw_file(day, BEFORE))
    taken = day.add(log([*lines(50, start=200), *lines(3), line(id="after", date=AFTER)]), "b", "11")
    opened: list[str] = []

    class Watched(FolderSource):
        def open(self, item: Any) -> Any:
            opened.append(item.key)
            return super().open(item)

    result = ingest_day(day.lake, Watched(day.logs), logs_of(DAY), day.options, incremental=True)

    assert (result.reading, result.objects, result.objects_read, opened) == ("new objects", 2, 1, [taken])
    assert (result.rows_read, result.rows_kept, result.rows_rejected, result.rows_duplicate) == (156, 152, 1, 3)
    assert result.rejects_by_reason == {"bad_timestamp": 1}
    assert result.rows_by_event_date == dict(zip(days_of(BEFORE, DAY, AFTER), (1, 150, 1), strict=True))
    assert result.touched_days == days_of(AFTER)  # the day before got nothing new
    footer = int.from_bytes(old[-8:-4], "little") + 8
    assert raw_file(day).read_bytes()[:-footer].startswith(old[:-footer])
    assert version(raw_file(day, BEFORE)) == neighbour
    assert [row["request_id"] for row in day.lake.read_table(logs_of(DAY).raw_file(parse_day(DAY))).to_pylist()] == [
        f"id-{n}" for n in [*range(100), *range(200, 250)]
    ]
    assert_as_whole(day, tmp_path)


def test_objects_without_rows_leave_raw_as_it_is(day: LogDay, tmp_path: Path) -> None:
    day.add(log(lines(10)), "a", "10")
    day.ingest()
    before = version(raw_file(day))
    day.add(b"", "b", "11")
    day.add(log([b"broken"]), "c", "11")
    assert (refreshed(day).reading, version(raw_file(day))) == ("new objects", before)
    assert_as_whole(day, tmp_path)


def changed(day: LogDay) -> None:
    day.add(log(lines(11)), "a", "10")


def gone(day: LogDay) -> None:
    (day.logs / f"E1TEST.{DAY}-11.b.gz").unlink()


def before_its_copy(day: LogDay) -> None:
    day.add(log(lines(3, start=5)), "0", "09")


def of_many_pieces(day: LogDay) -> None:
    pass


def without_rejects(day: LogDay) -> None:
    day.lake.delete(logs_of(DAY).rejects_file)


def broken(day: LogDay) -> None:
    raw_file(day).write_bytes(b"PAR1 no Parquet PAR1")


def of_another_version(day: LogDay) -> None:
    key = logs_of(DAY).ledger_file
    day.lake.put_table(day.lake.read_table(key).drop_columns(["unknown_fields"]), key)


def of_other_columns(day: LogDay) -> None:
    """As an earlier version would have left it, whose ledgers recorded no files."""
    key = logs_of(DAY).ledger_file
    day.lake.put_table(day.lake.read_table(key).replace_schema_metadata(None), key)
    table = pq.ParquetFile(raw_file(day)).read()
    pq.write_table(table.append_column("more", table.column("city")), raw_file(day))


def with_a_wrong_byte(day: LogDay) -> None:
    """In the text of a row, where no reader notices it."""
    body = bytearray(raw_file(day).read_bytes())
    body[len(body) // 3] ^= 1
    raw_file(day).write_bytes(body)


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (with_a_wrong_byte, "not what its ledger says"),
        (changed, "E1TEST.2026-01-12-10.a.gz has changed"),
        (gone, "E1TEST.2026-01-12-11.b.gz has gone"),
        (before_its_copy, "a new object comes before one that has the same request"),
        (of_many_pieces, "many small pieces"),
        (without_rejects, "cannot be read"),
        (broken, "cannot be read"),
        (of_another_version, "another version of Clicklake"),
        (of_other_columns, "other columns"),
    ],
)
def test_what_cannot_be_added_to_is_read_whole(
    day: LogDay, tmp_path: Path, happens: Callable[[LogDay], None], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    day.add(log(lines(10)), "a", "10")
    day.add(log(lines(10, start=10)), "b", "11")
    day.ingest()
    day.add(log(lines(10, start=100)), "c", "12")
    happens(day)
    if happens is of_many_pieces:
        monkeypatch.setattr(standing, "MAX_ROW_GROUPS", 0)
    result = refreshed(day)
    assert (result.published, result.reading, result.objects_read) == (True, "whole", result.objects)
    assert why in result.why_whole
    assert_as_whole(day, tmp_path)


def test_hours_of_too_many_rows_are_read_whole(day: LogDay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "MAX_IDS", 9)
    day.add(log(lines(10)), "a", "00")
    day.ingest()
    day.add(log(lines(10, start=3600)), "b", "01")
    assert refreshed(day).reading == "new objects"  # of an hour that has no rows yet
    day.add(log(lines(10, start=10)), "c", "00")
    assert "rows already" in refreshed(day).why_whole
    assert_as_whole(day, tmp_path)


@pytest.mark.parametrize("after", range(1, 5))
@pytest.mark.parametrize("rows", [lines(10, start=100), [b"broken"]], ids=["rows", "rejects"])
def test_a_refresh_that_was_killed_while_it_published_is_repaired(
    day: LogDay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, rows: list[bytes]
) -> None:
    day.add(log([*lines(10), line(id="before", date=BEFORE)]), "a", "10")
    day.ingest()
    day.add(log([*rows, line(id="before 2", date=BEFORE)]), "b", "11")
    puts = 0
    put = Lake.put

    def put_and_die(lake: Lake, local: Path, key: str) -> int:
        nonlocal puts
        puts += 1
        if puts > after:
            raise KeyboardInterrupt
        return put(lake, local, key)

    monkeypatch.setattr(Lake, "put", put_and_die)
    is_killed = True
    try:
        refreshed(day)
        is_killed = False
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()

    day.add(log(lines(10, start=200)), "c", "12")
    result = refreshed(day)
    assert result.published
    assert result.reading == ("whole" if is_killed else "new objects")
    assert ("interrupted" in result.why_whole) == is_killed
    assert_as_whole(day, tmp_path)


def test_a_refused_refresh_leaves_the_last_good_day_and_is_not_tried_again(day: LogDay, tmp_path: Path) -> None:
    day.allow(max_reject_share=0.3)
    day.add(log(lines(10)), "a", "10")
    day.ingest()
    good = day.contents()
    day.add(log([b"broken"] * 10), "b", "11")

    result = refreshed(day)
    assert (result.published, result.reading) == (False, "new objects")
    assert result.reason.startswith("reject_share: 10 of 20 rows rejected")
    quarantine = {key: body for key, body in day.contents().items() if key.startswith(day.quarantine())}
    assert {**good, **quarantine} == day.contents()
    rows = day.lake.read_table(f"{day.quarantine()}/rows/event_date={DAY}/data.parquet")
    assert (len(rows), len(day.lake.read_table(f"{day.quarantine()}/rejects.parquet"))) == (10, 10)
    assert is_judged(day.lake, logs_of(DAY), FolderSource(day.logs).objects(days_of(DAY)))

    day.add(log(lines(20, start=100)), "c", "12")  # now a quarter is bad
    result = refreshed(day)
    assert (result.published, result.reading, result.objects_read) == (True, "new objects", 2)
    assert day.lake.files(day.quarantine()) == []
    assert_as_whole(day, tmp_path)


def test_a_day_without_news_is_left_alone(day: LogDay) -> None:
    day.add(log(lines(10)), "a", "10")
    day.ingest()
    before = {path: version(path) for path in Path(day.lake.root).rglob("*.parquet")}
    result = refreshed(day)
    assert (result.reading, result.verdicts, result.rows_kept, result.objects_read) == ("nothing", [], 10, 0)
    assert {path: version(path) for path in Path(day.lake.root).rglob("*.parquet")} == before
