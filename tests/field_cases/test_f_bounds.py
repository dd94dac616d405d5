"""Field cases of bounds: what objects may cost, and that no site and no object ends the others'."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hostile import CASES, MAX_PEAK_MIB
from ingest.access_logs.parser import AccessLogParser
from ingest.events import parser as events
from ingest.lake.layout import site_folder
from ingest.partition import stage
from ingest.partition.day import ingest_day
from ingest.partition.quarantine import refused_partitions
from ingest.rows import blocks
from ingest.source import AS_USUAL, FolderSource
from tests.event_lines import DAY, OPTIONS, Events, lenient, pixel, reasons
from tests.event_lines import line as line_of_event
from tests.log_lines import LogDay, line, lines, log
from tests.partitions import days_of, events_of

ROOT = Path(__file__).parents[2]
TELL = "import sys; from benchmarks.hostile import tell; tell(*sys.argv[1:])"
# The three of the field case, and what is quick of their neighbours; all others are in the long series.
QUICK = (
    "log: 30 MiB of newlines",
    "log: a header of 100,000 fields",
    "Parquet: one value of 50 MB, 30 times",
    "events: a batch of 200 kB with 4,000 children",
)
# Nothing is wrong with these but what they cost. A field that is repeated more than 2,000 times is rejected.
PUBLISHED = {
    "log: a million empty gzip members",
    "log: 1,000 headers of 500 names",
    "events: 20 hosts of 10,000 different letters",
    "events: 100 agents of 10,000 letters",
}


@pytest.fixture
def events_day(tmp_path: Path) -> Events:
    return Events(tmp_path)


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path / "access")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.long) for n in CASES])
def test_f2_memory_is_bounded_for_any_object(name: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", TELL, name, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    told = json.loads(ran.stdout)
    assert told["peak"] < MAX_PEAK_MIB
    assert told["published"] == (name in PUBLISHED)


def test_f2_of_many_rejects_the_first_are_kept_and_all_are_counted(
    events_day: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MAX_LINES", 7)  # several batches
    options = lenient()
    object.__setattr__(options.limits, "rejects_kept", 10)
    object.__setattr__(options.limits, "unreadable_rows", 1_000)
    first = events_day.write(pixel(), *([b"no json"] * 30))
    second = events_day.write(pixel(eventId="x"), *([b"{}"] * 3), hour=11)
    result = events_day.ingest(options=options)
    assert result.published, result.reason
    assert result.rejects_by_reason == {"bad_json": 30, "unknown_shape": 3}
    kept = [(each["source_object"], each["source_line"]) for each in events_day.rejects()]
    assert kept == [*((first, n) for n in range(2, 12)), *((second, n) for n in range(2, 5))]
    later = events_day.write(pixel(eventId="y"), hour=12)
    again = ingest_day(
        events_day.lake,
        FolderSource(events_day.folder),
        events_of(DAY, "example.com"),
        options,
        incremental=True,
    )
    assert again.published
    assert again.why_whole.startswith("not all of its rejects are in their file")
    assert again.rejects_by_reason == {"bad_json": 30, "unknown_shape": 3}
    assert later in {row["source_object"] for row in events_day.rows()}


def test_f2_batches_that_expand_too_much_are_rejected_and_their_neighbours_are_read(
    events_day: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_BATCH_BYTES", 10_000)
    monkeypatch.setattr(events, "MAX_BATCHES_BYTES", 10_000)
    large = pixel(eventType="batch", eventData={"x": "y" * 500}, events=[{"eventType": "click"}] * 20)
    small = [pixel(eventType="batch", eventId=f"b-{n}", events=[{"eventType": "click"}] * 15) for n in range(9)]
    rows = events_day.take(pixel(), large, *small, b"no json", pixel(eventId="z"))
    assert len(rows) == 2 + 9 * 15
    assert reasons(events_day.rejects()) == [(2, "batch_too_large"), (12, "bad_json")]


def test_f2_an_object_without_one_row_that_can_be_used_is_given_up(
    day: LogDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MAX_LINES", 100)
    monkeypatch.setattr("ingest.access_logs.files.MAX_LINES", 100)
    monkeypatch.setattr(stage, "GIVE_UP_ROWS", 1_000)
    key = day.add(log([b"x"] * 5_000))
    reason = day.ingest().reason
    assert f"{key}: given up after " in reason
    day.add(log([b"x"] * 500 + lines(9_000) + [b"x"] * 4_500))
    result = day.allow_rejects().ingest()
    assert (result.published, result.rows_kept, result.rows_rejected) == (True, 9_000, 5_000)


LONG = "x" * 300
NAMES = {
    LONG: "the site's name has 300 characters, and a host has 253 at most",
    "a\nb": "characters that cannot be shown",
    "a\x1b[31mb": "characters that cannot be shown",
}


@pytest.mark.parametrize("name", NAMES)
def test_f3_a_site_whose_name_is_none_is_refused_and_can_be_looked_at(events_day: Events, name: str) -> None:
    objects = [_object(name)]
    result = ingest_day(events_day.lake, _Held(pixel()), events_of(DAY, name), OPTIONS, objects)
    assert not result.published
    assert result.reason.startswith("processed: ")
    assert NAMES[name] in result.reason
    (refused,) = refused_partitions(events_day.lake, site=name)
    assert (refused.partition.site, refused.checks) == (name, ["processed"])
    again = ingest_day(events_day.lake, _Held(pixel()), events_of(DAY, name), OPTIONS, objects)
    assert again.reason == result.reason


@pytest.mark.parametrize("name", ["..", ".", "a%2fb", "a=b", "ä.example", "x" * 250, "é" * 250, "a b", "'; drop"])
def test_f3_any_other_name_of_a_site_is_taken(events_day: Events, name: str) -> None:
    assert len(site_folder(name).encode()) <= 255
    result = ingest_day(events_day.lake, _Held(pixel()), events_of(DAY, name), OPTIONS, [_object(name)])
    assert result.published, result.reason
    (key,) = [file.key for file in events_day.lake.files("raw")]
    assert site_folder(name) in key
    assert [row["site_id"] for row in events_day.lake.read_table(key).to_pylist()] == [name]


def test_f3_names_that_are_no_utf_8_links_to_nothing_and_folders(events_day: Events) -> None:
    events_day.write(pixel())
    folder = events_day.folder / "domain=example.com/year=2026/month=01/day=12"
    odd = os.fsencode(folder) + b"/events-2026-01-12-11-\xff.jsonl"
    Path(os.fsdecode(odd)).write_bytes(json.dumps(pixel(eventId="odd")).encode())
    (folder / "events-2026-01-12-10.gz").mkdir()
    assert events_day.ingest().published
    assert {row["source_object"].rpartition("/")[2] for row in events_day.rows()} == {
        "events-2026-01-12-10.jsonl",
        "events-2026-01-12-11-\\xff.jsonl",
    }
    (folder / "events-2026-01-12-13.jsonl").symlink_to("nowhere")
    assert "events-2026-01-12-13.jsonl: it is a link to nothing" in events_day.ingest().reason


def test_f3_odd_links_refuse_their_day_alone_and_are_named(day: LogDay) -> None:
    day.add(log(lines(5)))
    folder = day.logs
    os.mkfifo(folder / "pipe")
    odd = {"l": f"E.{DAY}-11.l.gz", "p": str(folder / "pipe"), "z": "/dev/zero", "f": "/etc/passwd/x"}
    for name, target in odd.items():
        (folder / f"E.{DAY}-11.{name}.gz").symlink_to(target)
    reason = day.ingest().reason
    assert all(f"E.{DAY}-11.{name}.gz: " in reason for name in odd)
    assert [len(FolderSource(folder).objects(days_of(each))) for each in (DAY, "2026-01-13")] == [5, 0]


def test_f3_an_error_that_nobody_foresaw_is_told_with_its_object(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = day.add(log(lines(50)), "a"), day.add(log([line(path="/dreadful ann@example.com")]), "b")
    parse = AccessLogParser.parse

    def failing(self: AccessLogParser, batch: Any) -> Any:
        if "/dreadful ann@example.com" in batch.columns["cs-uri-stem"].to_pylist():
            raise KeyError("dreadful ann@example.com")
        return parse(self, batch)

    monkeypatch.setattr(AccessLogParser, "parse", failing)
    result = day.ingest()
    assert result.reason == f"processed: {bad}: KeyError: 'dreadful [email]'"
    assert "failing" in result.traceback
    ledger = {
        row["source_object"]: row["error"]
        for row in day.lake.read_table(f"{day.quarantine()}/ledger.parquet").to_pylist()
    }
    assert ledger == {good: None, bad: "KeyError: 'dreadful [email]'"}


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't start new thread"), OSError(28, "No space left")])
def test_f3_an_error_of_the_machine_is_no_verdict(
    day: LogDay, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    day.add(log(lines(5)))

    def failing(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(AccessLogParser, "parse", failing)
    with pytest.raises(Exception, match=r"full|new thread|^$"):
        day.ingest()
    assert day.contents() == {}


def _object(site: str) -> Any:
    from datetime import UTC, datetime

    from ingest.source import SourceObject

    return SourceObject(f"{DAY}-10", f"domain={site}/{DAY}-10.jsonl", 1, "e", datetime(2026, 1, 13, tzinfo=UTC))


class _Held:
    """A source of one object, as S3 would have it under names that no file system takes."""

    url = "s3://held"
    terms = AS_USUAL

    def __init__(self, event: dict[str, Any]) -> None:
        self._body = json.dumps(event).encode()

    def objects(self, days: object = None) -> list[Any]:
        raise NotImplementedError

    def has_around(self, day: object) -> tuple[bool, bool]:
        raise NotImplementedError

    def undated(self) -> str | None:
        raise NotImplementedError

    def open(self, item: object) -> Any:
        import io

        return io.BytesIO(self._body)


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        ({f"k{n}": n for n in range(events.MAX_KEYS + 1)}, "too_many_keys"),
        ({f"k{n}": {"a": 1, "b": 2} for n in range(events.MAX_KEYS)}, None),
        ({"x": [{"a": ":" * 20}] * 10_000}, None),
    ],
    ids="keys inner-keys array".split(),
)
def test_f2_an_object_of_too_many_keys_is_rejected(events_day: Events, inner: Any, reason: str | None) -> None:
    events_day.write(pixel(eventData=inner), pixel(eventType="batch", events=[pixel(eventData=inner)]), pixel())
    result = events_day.ingest(options=lenient())
    assert result.rejects_by_reason == ({reason: 2} if reason else {})
    assert len(events_day.rows()) == (1 if reason else 3)


@pytest.mark.parametrize("before", ["[1,]", "1" * 5_000], ids=["comma", "digits"])
@pytest.mark.parametrize("deep", [b"[" * 5_000 + b"]" * 5_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000], ids="[{")
def test_f2_deep_nesting_is_found_behind_what_only_the_engine_reads(
    events_day: Events, before: str, deep: bytes
) -> None:
    events_day.write(line_of_event(pixel())[:-1] + b',"a":' + before.encode() + b',"b":' + deep + b"}", pixel())
    assert events_day.ingest(options=lenient()).rejects_by_reason == {"too_deep": 1}


def test_f2_lines_of_ever_new_keys_are_forgotten(events_day: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_SIGNATURE_BYTES", 10_000)
    monkeypatch.setattr(blocks, "MAX_LINES", 7)  # several batches, several threads
    assert len(events_day.take(*(pixel(**{f"k{n}": n, f"l{n}": n}) for n in range(200)))) == 200
