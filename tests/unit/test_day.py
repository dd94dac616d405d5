"""One day: written, audited, published or refused, any number of times, killed anywhere."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingest.days import parse_day
from ingest.errors import LakeError, ObjectChangedError, SourceError
from ingest.lake.files import STAGING, Lake
from ingest.lake.layout import value_in
from ingest.partition import stage
from ingest.partition.day import ingest_day, is_published
from ingest.source import FolderSource
from tests.log_lines import DAY, OPTIONS, LogDay, assert_accounted, line, lines, log
from tests.partitions import days_of, logs_of

BEFORE, AFTER = "2026-01-11", "2026-01-13"
RAW = f"raw/access_logs/event_date={DAY}/source_date={DAY}/data.parquet"


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path)


def neighbours(count: int = 40) -> list[bytes]:
    """Lines of the day, and some that belong to the one before and the one after."""
    return [*lines(count), line(id="before", date=BEFORE, time="23:59:59"), line(id="after", date=AFTER)]


def tables(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """What the lake holds, by key; staging is nobody's business."""
    return {
        file.key: lake.read_table(file.key).to_pylist()
        for layer in ("raw", "rejects", "ledger", "quarantine")
        for file in lake.files(layer)
        if file.key.endswith(".parquet")
    }


# Publishing


def test_a_day_is_published_as_raw_rejects_and_ledger(day: LogDay) -> None:
    key = day.add(log([*lines(100), b"broken"]))
    assert not is_published(day.lake, logs_of(DAY))
    result = day.ingest()
    assert result.published
    assert is_published(day.lake, logs_of(DAY))
    assert sorted(day.contents()) == [
        f"ledger/access_logs/source_date={DAY}/data.parquet",
        RAW,
        f"rejects/access_logs/source_date={DAY}/data.parquet",
    ]
    assert (result.objects, result.rows_read, result.rows_kept, result.rows_rejected) == (1, 101, 100, 1)
    assert result.rejects_by_reason == {"bad_timestamp": 1}
    assert result.bytes_written == (Path(day.lake.root) / RAW).stat().st_size
    (entry,) = day.ledger().values()
    (item,) = FolderSource(day.logs).objects()
    assert {name: entry[name] for name in ("source_object", "etag", "size", "format", "event_dates", "error")} == {
        "source_object": key,
        "etag": item.etag,
        "size": item.size,
        "format": "text",
        "event_dates": [DAY],
        "error": None,
    }
    assert entry["modified"] == item.modified.replace(tzinfo=None)
    assert_accounted(day)


def test_the_same_day_again_gives_the_same_bytes(day: LogDay) -> None:
    day.add(log([*neighbours(), b"broken"]))
    day.ingest()
    first = day.contents()
    assert day.ingest().published
    assert day.contents() == first


def test_rows_of_other_days_are_under_their_own_date(day: LogDay) -> None:
    key = day.add(log(neighbours()))
    result = day.ingest()
    assert result.touched_days == days_of(BEFORE, AFTER)
    assert result.rows_by_event_date == dict(zip(days_of(BEFORE, DAY, AFTER), (1, 40, 1), strict=True))
    assert [row["request_id"] for row in day.rows(BEFORE)] == ["before"]
    assert [row["request_id"] for row in day.rows(AFTER)] == ["after"]
    assert {row["event_ts"].date().isoformat() for row in day.rows(DAY)} == {DAY}
    assert day.ledger()[key]["event_dates"] == [BEFORE, DAY, AFTER]


def test_a_changed_object_takes_its_stale_rows_away(day: LogDay) -> None:
    day.add(log(neighbours()))
    day.ingest()
    day.add(log(lines(30)))
    result = day.ingest()
    assert [file.key for file in day.lake.files("raw")] == [RAW]
    assert result.rows_by_event_date == {parse_day(DAY): 30}


def test_neighbouring_source_days_do_not_touch_each_other(day: LogDay) -> None:
    day.add(log(neighbours()))
    day.add(log(lines(5, date=AFTER)), day=AFTER)
    day.ingest(day=AFTER)
    day.ingest()
    event_date = [file for file in day.lake.files("raw") if value_in(file.key, "event_date") == AFTER]
    assert [value_in(file.key, "source_date") for file in event_date] == [DAY, AFTER]
    day.add(log(lines(1)))
    day.ingest()
    assert [value_in(file.key, "source_date") for file in day.lake.files("raw")] == [DAY, AFTER]


@pytest.mark.parametrize("order", [(BEFORE, DAY, AFTER), (AFTER, DAY, BEFORE), (DAY, BEFORE, DAY, AFTER, BEFORE)])
def test_days_in_any_order_give_the_same_lake(day: LogDay, order: tuple[str, ...], tmp_path: Path) -> None:
    for source_day in (BEFORE, DAY, AFTER):
        day.add(log(neighbours()), day=source_day)
    for source_day in order:
        assert day.ingest(day=source_day).published
    usual = Lake(str(tmp_path / "usual"))
    for source_day in (BEFORE, DAY, AFTER):
        ingest_day(usual, FolderSource(day.logs), logs_of(source_day), OPTIONS)
    assert tables(day.lake) == tables(usual)


def test_progress_is_told(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "TASK_BYTES", 1)
    for number in range(4):
        day.add(log(lines(5, start=5 * number)), f"{number}")
    told: list[tuple[int, int, int]] = []
    ingest_day(day.lake, FolderSource(day.logs), logs_of(DAY), OPTIONS, progress=lambda *figures: told.append(figures))
    assert told == [(1, 4, 5), (2, 4, 10), (3, 4, 15), (4, 4, 20)]


# Duplicates


def test_one_id_is_one_request_in_one_object_and_in_two(day: LogDay) -> None:
    first = day.add(log([*lines(20), *lines(20)]), "a", hour="10")
    second = day.add(log(lines(30)), "b", hour="11")
    result = day.ingest()
    assert (result.rows_read, result.rows_kept, result.rows_duplicate) == (70, 30, 40)
    ledger = day.ledger()
    assert [ledger[first][name] for name in ("rows_read", "rows_kept", "rows_duplicate")] == [40, 20, 20]
    assert [ledger[second][name] for name in ("rows_read", "rows_kept", "rows_duplicate")] == [30, 10, 20]
    assert {row["source_object"] for row in day.rows() if int(row["request_id"][3:]) < 20} == {first}
    assert_accounted(day)


def test_rows_without_an_id_are_never_merged(day: LogDay) -> None:
    day.add(log([line()] * 5 + [line(id="")] * 5))
    day.add(log([line()] * 5), "b")
    assert len(day.publish()) == 15


def test_the_first_object_wins_however_many_work(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "TASK_BYTES", 1)
    for number in range(12):
        day.add(log(lines(50, start=10 * number)), f"{number:02}")
    found = []
    for workers in (1, 2, 5):
        lake = Lake(f"{day.lake.root}-{workers}")
        options = OPTIONS.__class__(OPTIONS.hash_key, workers=workers)
        ingest_day(lake, FolderSource(day.logs), logs_of(DAY), options)
        found.append(tables(lake))
    assert found[0] == found[1] == found[2]
    (rows,) = [rows for key, rows in found[0].items() if key == RAW]
    assert len(rows) == 160


# Refusing


def bad_rejects(day: LogDay) -> str:
    return day.add(log([b"broken"] * 50), "bad")


def bad_gzip(day: LogDay) -> str:
    return day.add(gzip.compress(log(lines(5))) + b"garbage", "bad", compress=False)


def bad_header(day: LogDay) -> str:
    return day.add(log([line(["date", "time", "sc-status"])], ["date", "time", "sc-status"]), "bad")


@pytest.mark.parametrize(
    ("spoil", "check"),
    [(bad_rejects, "reject_share"), (bad_gzip, "objects_readable"), (bad_header, "required_fields")],
)
def test_a_refused_day_leaves_the_last_good_one_as_it_was(day: LogDay, spoil: Any, check: str) -> None:
    day.add(log(neighbours()))
    day.ingest()
    good = day.contents()
    bad = spoil(day)
    result = day.ingest()
    assert not result.published
    assert result.reason.startswith(f"{check}:") or f"; {check}:" in result.reason
    if check != "reject_share":
        assert bad in result.reason

    contents = day.contents()
    prefix = day.quarantine()
    assert {key: content for key, content in contents.items() if not key.startswith("quarantine/")} == good
    refused = {key.removeprefix(prefix + "/") for key in contents if key.startswith(prefix)}
    assert refused == {"verdict.json", "rejects.parquet", "ledger.parquet"} | {
        f"rows/event_date={date}/data.parquet" for date in (BEFORE, DAY, AFTER)
    }
    verdict = json.loads(contents[f"{prefix}/verdict.json"])
    assert (verdict["table"], verdict["day"]) == ("access_logs", DAY)
    assert check in [reason["check"] for reason in verdict["reasons"]]
    assert_accounted(day, prefix)

    (day.logs / bad).unlink()
    day.add(log(lines(10, start=40)), "more")
    assert day.ingest().published
    assert not day.lake.files("quarantine")
    assert len(day.rows(DAY)) == 50


def test_a_day_without_objects_is_refused_and_leaves_the_last_good_one(day: LogDay) -> None:
    key = day.add(log(neighbours()))
    day.ingest()
    good = day.contents()
    (day.logs / key).unlink()
    result = day.ingest()
    assert (result.published, result.objects) == (False, 0)
    assert {name: content for name, content in day.contents().items() if "quarantine" not in name} == good
    assert day.lake.files(f"{day.quarantine()}/rows")


def test_a_day_without_objects_that_was_never_published_is_refused_and_leaves_nothing(day: LogDay) -> None:
    """Nor does a refusal stand for ever whose objects have been taken away."""
    key = day.add(log([b"broken", *neighbours(2)]))
    assert not day.ingest().published
    assert day.lake.files("quarantine")
    (day.logs / key).unlink()
    result = day.ingest()
    assert (result.published, [verdict.check for verdict in result.refusals]) == (False, ["objects_present"])
    assert day.contents() == {}


def test_a_second_refusal_replaces_the_first(day: LogDay) -> None:
    day.add(log([b"broken", *neighbours(2)]))
    day.ingest()
    day.add(log([b"broken", *lines(2)]))
    day.ingest()
    assert len(day.lake.files(f"{day.quarantine()}/rows")) == 1


def test_a_prefix_of_a_day_is_another_day(day: LogDay) -> None:
    day.lake.put_text("{}", f"{logs_of(DAY).quarantine}-other/verdict.json")
    day.add(log(lines(5)))
    day.ingest()
    assert day.lake.files("quarantine")


# Trouble on the way


class KilledError(Exception):
    """Stands for the process being killed."""


class KilledLake(Lake):
    """Dies at one of its writes or deletions, before or after it happened."""

    def __init__(self, url: str, at: int, after: bool) -> None:
        super().__init__(url)
        self.at, self.after, self.steps = at, after, 0

    def _step(self, act: Any) -> Any:
        self.steps += 1
        if self.steps == self.at and not self.after:
            raise KilledError
        result = act()
        if self.steps == self.at:
            raise KilledError
        return result

    def put(self, local: Path, key: str) -> int:
        return int(self._step(lambda: super(KilledLake, self).put(local, key)))

    def delete(self, prefix: str) -> None:
        self._step(lambda: super(KilledLake, self).delete(prefix))


@pytest.mark.parametrize("refused", [False, True], ids=["published", "refused"])
@pytest.mark.parametrize("after", [False, True], ids=["before the write", "after it"])
@pytest.mark.slow
def test_a_day_that_was_killed_anywhere_is_made_whole_by_the_next_run(
    day: LogDay, tmp_path: Path, after: bool, refused: bool
) -> None:
    """The lake holds an older version of the day, with a stale file and a refusal."""
    old = tmp_path / "old"
    day.add(log([*lines(10), line(id="stale", date="2026-01-05"), line(id="before", date=BEFORE)]))
    assert day.ingest(Lake(str(old))).published
    day.add(log([b"broken"] * 9))
    assert not day.ingest(Lake(str(old))).published
    day.add(log([*neighbours(), *([b"broken"] * 30 if refused else [])]))

    def copy(name: str) -> str:
        return str(shutil.copytree(old, tmp_path / name))

    undisturbed = Lake(copy("undisturbed"))
    assert day.ingest(undisturbed).published is not refused
    expected = tables(undisturbed)

    kills = 0
    for at in range(1, 30):
        lake = KilledLake(copy(f"killed-{at}"), at, after)
        try:
            day.ingest(lake)
        except KilledError:
            kills += 1
        else:
            break
        for file in lake.files("raw"):
            lake.read_table(file.key)  # every file is whole
        next_run = Lake(lake.url)
        day.ingest(next_run)
        assert tables(next_run) == expected
        assert not list((Path(lake.url) / STAGING).iterdir())
    assert kills >= 7


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_leaves_the_lake_as_it_was(day: LogDay, tiny_disk: Path) -> None:
    lake = Lake(str(tiny_disk / "lake"))
    day.add(log(lines(100)))
    assert day.ingest(lake).published
    before = tables(lake)
    day.add(log([line(id=f"{n:064x}", query=f"q={hash(str(n))}{n * n}", path=f"/{n}") for n in range(60_000)]), "big")
    with pytest.raises(LakeError, match=r"the disk is full. Free some space and run again") as raised:
        day.ingest(lake)
    assert "\n" not in str(raised.value)
    assert tables(lake) == before
    assert not list((tiny_disk / "lake" / STAGING).iterdir())
    (day.logs / f"E1TEST.{DAY}-10.big.gz").unlink()
    assert day.ingest(lake).published


def test_a_missing_folder_leaves_no_trace(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    with pytest.raises(SourceError, match="no such folder"):
        ingest_day(lake, FolderSource(tmp_path / "none"), logs_of(DAY), OPTIONS)
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_an_object_that_goes_or_changes_between_listing_and_reading_is_no_verdict_on_the_day(
    day: LogDay, how: str
) -> None:
    keys = [day.add(log(lines(20, start=20 * number)), f"{number}") for number in range(3)]
    source = FolderSource(day.logs)
    listed = source.objects(days_of(DAY))
    if how == "gone":
        (day.logs / keys[1]).unlink()
    else:
        day.add(log(lines(99)), "1")
    with pytest.raises(ObjectChangedError, match=rf"{keys[1]}: the object has {how} since it was listed"):
        ingest_day(day.lake, source, logs_of(DAY), OPTIONS, objects=listed)
    assert day.contents() == {}
    assert day.ingest().published


def test_an_object_that_changes_while_it_is_read_is_no_verdict_on_the_day(
    day: LogDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = day.add(log(lines(20)), compress=False)
    source = FolderSource(day.logs)
    opened = source.open

    def grown(item: Any) -> Any:
        stream = opened(item)
        with (day.logs / key).open("ab") as more:
            more.write(line() + b"\n")
        return stream

    monkeypatch.setattr(source, "open", grown)
    with pytest.raises(ObjectChangedError, match="has changed since it was listed"):
        ingest_day(day.lake, source, logs_of(DAY), OPTIONS)
    assert day.contents() == {}


def test_an_unexpected_error_of_a_worker_refuses_the_day_and_leaves_no_threads(day: LogDay) -> None:
    import threading

    class Failing(FolderSource):
        def open(self, item: Any) -> Any:
            raise RuntimeError("a fault of the program")

    key = day.add(log(lines(5)))
    result = ingest_day(day.lake, Failing(day.logs), logs_of(DAY), OPTIONS)
    assert result.reason == f"processed: {key}: RuntimeError: a fault of the program"
    assert "a fault of the program" in result.traceback
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("ingest-", "fetch"))]
    assert set(day.contents()) == {
        f"{day.quarantine()}/{name}" for name in ("ledger.parquet", "rejects.parquet", "verdict.json")
    }


def test_a_ledger_that_is_damaged_is_explained(day: LogDay) -> None:
    day.lake.put_text("no parquet", "ledger/access_logs/source_date=2026-01-05/data.parquet")
    day.add(log(lines(5)))
    with pytest.raises(LakeError, match="source_date=2026-01-05"):
        day.ingest()


def test_files_are_small_and_read_by_column(day: LogDay) -> None:
    day.add(log(lines(50, path="/c", query="oid=1")))
    day.publish()
    table = day.lake.read_table(RAW, ["request_type", "order_id"])
    assert table.equals(pa.table({"request_type": ["click"] * 50, "order_id": ["1"] * 50}))
