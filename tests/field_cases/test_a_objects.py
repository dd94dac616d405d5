"""Field cases of objects: compressed in other ways, cut off, of no known format; and of the times in them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.partition.audit import Verdict
from ingest.partition.day import DayResult
from ingest.rows.blocks import ZSTD_MAGIC
from tests.event_lines import DAY, Events, lenient, pixel
from tests.event_lines import line as event_line
from tests.log_lines import LogDay, line, lines, log


@pytest.fixture
def events(tmp_path: Path) -> Events:
    return Events(tmp_path)


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path / "access")


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


def some(count: int) -> bytes:
    return b"".join(event_line(pixel(eventId=f"e-{n}")) + b"\n" for n in range(count))


def refusal(result: DayResult, check: str) -> Verdict:
    assert not result.published
    (verdict,) = [each for each in result.refusals if each.check == check]
    return verdict


SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
LONG_LINE = b'{"eventType":"x","data":"' + b"y" * (1 << 20) + b'"}\n'


@pytest.mark.parametrize(
    ("body", "check", "said"),
    [
        (gzip.compress(os.urandom(3000).hex().encode())[:500], "reject_share", "1 cut_off"),
        (gzip.compress(some(1))[:12], "objects_readable", "cut off: gzip ends in the middle"),
        (zstd(os.urandom(30_000).hex().encode())[:9], "objects_readable", "cut off: zstd ends in the middle"),
        (ZSTD_MAGIC + b"\xff" * 100, "objects_readable", "corrupt zstd"),
        (b'{"a":"\xff\xfe"}\n', "reject_share", "1 bad_json"),
        (LONG_LINE, "reject_share", "1 line_too_long"),
        (b'[{"a":1,]', "reject_share", "1 bad_json"),
        (b"[", "reject_share", ""),
        (b"{", "reject_share", "1 bad_json"),
        (b"\x1f\x8b", "objects_readable", "cut off"),
    ],
    ids="gzip-text gzip-nothing zstd-cut zstd-bad utf-8 long array bracket brace magic".split(),
)
def test_a1_the_only_object_of_a_sites_day(events: Events, body: bytes, check: str, said: str) -> None:
    key = events.write_bytes(body)
    result = events.ingest()
    if body == b"[":
        assert result.published  # an array without elements: there is nothing in it that could be lost
        return
    assert said in refusal(result, check).message
    assert key in result.reason


@pytest.mark.parametrize("reason", ["cut_off", "bad_json"])
def test_a1_a_batch_of_rejects_alone_is_read_as_any_other(events: Events, reason: str) -> None:
    events.write_bytes(gzip.compress(os.urandom(900).hex().encode())[:300] if reason == "cut_off" else b"\xff\n")
    assert events.ingest(options=lenient()).rejects_by_reason == {reason: 1}


def test_a1_a_log_cut_before_its_first_row_is_no_empty_day(day: LogDay) -> None:
    key = day.add(gzip.compress(log(lines(200)))[:60], compress=False)
    verdict = refusal(day.ingest(), "objects_readable")
    assert (
        verdict.message == f"1 unreadable: {key}: cut off: gzip ends in the middle, and not one row before it is whole"
    )


WAYS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd,
    "two frames": lambda data: zstd(data[:1000]) + zstd(data[1000:]),
    "skippable frames": lambda data: SKIPPED + zstd(data) + SKIPPED,
    "gzip twice": lambda data: gzip.compress(gzip.compress(data)),
    "gzip of zstd": lambda data: gzip.compress(zstd(data)),
    "zstd of gzip of gzip": lambda data: zstd(gzip.compress(gzip.compress(data))),
    "two members, each twice": lambda data: gzip.compress(gzip.compress(data[:999]) + gzip.compress(data[999:])),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a2_objects_are_decompressed_as_often_as_they_were_compressed(
    events: Events, day: LogDay, way: Callable[[bytes], bytes]
) -> None:
    events.write_bytes(some(200), hour=9)
    events.write_bytes(way(b"".join(event_line(pixel(eventId=f"f-{n}")) + b"\n" for n in range(500))))
    result = events.ingest()
    assert (result.published, result.rows_kept, result.rows_rejected) == (True, 700, 0)
    day.add(way(log(lines(300))), compress=False)
    assert len(day.publish()) == 300


@pytest.mark.parametrize("share", [0.3, 0.9, -3])
def test_a2_of_zstd_that_is_cut_off_the_whole_lines_are_kept(day: LogDay, share: float) -> None:
    data = zstd(log(line(id=os.urandom(40).hex()) for _ in range(9_000)))
    day.add(data[: int(len(data) * share) if share > 0 else int(share)], compress=False)
    result = day.ingest()
    assert result.published
    assert 0 < result.rows_kept < 9_000
    (verdict,) = [each for each in result.verdicts if each.check == "objects_whole"]
    assert "cut off: zstd ends in the middle" in verdict.message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bz2.compress(some(500)), "it is bzip2. Store it as plain text, gzip or zstd"),
        (gzip.compress(bz2.compress(some(500))), "it is bzip2"),
        (lzma.compress(some(500)), "it is xz"),
        (b"PK\x03\x04" + os.urandom(500), "it is a zip archive"),
        (b"\x04\x22\x4d\x18" + os.urandom(500), "it is lz4"),
        (bytes(range(256)) * 20, "it is no text"),
        (gzip.compress(bytes(range(256)) * 20), "it is no text"),
        (some(50).decode().encode("utf-16"), "it is UTF-16"),
        (b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", "it is encrypted by PGP"),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(some(3))))), "compressed more than 3 times"),
    ],
    ids="bzip2 bzip2-in-gzip xz zip lz4 binary binary-in-gzip utf-16 pgp four-times".split(),
)
def test_a2_an_object_of_no_known_format_is_named_and_refuses_its_site_alone(
    events: Events, data: bytes, said: str
) -> None:
    events.write_bytes(some(200), hour=9)
    key = events.write_bytes(data)
    events.write_bytes(some(30), site="other.example")
    verdict = refusal(events.ingest(), "objects_readable")
    assert key in verdict.message
    assert said in verdict.message
    assert events.ingest(site="other.example").published


def test_a2_parquet_is_no_format_of_events_and_says_so(events: Events) -> None:
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(pa.table({"a": [1]}), sink)
    events.write_bytes(bytes(sink.getvalue()))
    assert "it is Parquet, which is read of access logs alone" in refusal(events.ingest(), "objects_readable").message


@pytest.mark.parametrize(("count", "is_readable"), [(19, True), (20, False), (500, False)])
def test_a2_an_object_without_one_row_that_can_be_used(events: Events, count: int, is_readable: bool) -> None:
    events.write_bytes(some(10_000), hour=9)
    key = events.write_bytes(b"certainly no json\n" * count)
    result = events.ingest()
    assert result.published == is_readable
    (share,) = [each for each in result.verdicts if each.check == "reject_share"]
    named = f"; every row of {key}" if is_readable else ""  # what is unreadable is named by its own check
    assert share.message.endswith(f"{count} bad_json{named}")
    if not is_readable:
        told = f"1 unreadable: {key}: not one of its {count} rows can be used ({count} bad_json)"
        assert refusal(result, "objects_readable").message == told


def test_a2_empty_objects_headers_alone_and_copies_are_good(events: Events, day: LogDay) -> None:
    events.write_bytes(some(100), hour=9)
    for name, body in {"a": b"", "b": b"\n \n", "c": b"[]", "d": gzip.compress(b""), "e": some(100)}.items():
        events.write_bytes(body, name=name)
    assert events.ingest().rows_duplicate == 100
    day.add(log(lines(100)))
    for name, body in {"b": b"", "c": log([]), "d": log(lines(100)), "e": b"#Version: 1.0\n"}.items():
        day.add(body, name)
    assert len(day.publish()) == 100


def test_a2_text_with_some_odd_bytes_is_text(day: LogDay) -> None:
    day.add(log([line(agent="caf\xe9"), b"\xff\xfe\0\0", *lines(98)]))
    assert len(day.publish()) == 99
    day.add(log([line(agent="h\0", id=f"n-{n}") for n in range(50)]), "b")
    assert len(day.publish()) == 149


def test_a2_a_bomb_of_several_layers_ends(events: Events, monkeypatch: pytest.MonkeyPatch) -> None:
    from ingest.rows import blocks

    monkeypatch.setattr(blocks, "FREE_BYTES", 1 << 20)
    layers = gzip.compress(gzip.compress(b"\n" * (64 << 20)))
    events.write_bytes(layers)
    assert "expands to more than 1000 times" in refusal(events.ingest(), "objects_readable").message


TIMES = {
    "2026-01-12T10:00:60Z": "10:00:59.999999",
    "2026-01-12T10:00:60.25Z": "10:00:59.999999",
    "2026-01-12t10:00:00z": "10:00:00",
    "2026-01-12 10:00:00z": "10:00:00",
    "2026-01-12T10:00:00,500Z": "10:00:00.500000",
    "2026-01-12T10:00:00.123456789Z": "10:00:00.123456",
    "20260112T100000Z": "10:00:00",
    "20260112T100000": "10:00:00",
    "20260112T1000Z": "10:00:00",
    "20260112T110000.25+0100": "10:00:00.250000",
    "2026-01-12T11:00:00+01": "10:00:00",
    "2026-01-12T08:30:00-01:30": "10:00:00",
    "2026-01-12T10:00": "10:00:00",
    "2026-01-12T10:00:00 +00:00": "10:00:00",
    "2026-01-11T24:00:00Z": "00:00:00",
}
NO_TIMES = """2026-01-12T10:00:61Z 2026-02-30T10:00:00Z 2026-02-30t10:00:00z 2026-01-12T24:00:01Z 2026-01-12
2026-W03-1T10:00:00Z 2026-012T10:00:00Z 2026-01-12T10 2026-01-12T10:60:00Z 2026-01-12T25:00:00Z""".splitlines()


def test_a6_times_of_iso_8601_are_read(events: Events) -> None:
    rows = events.take(*(pixel(timestamp=text, eventId=f"e-{n}") for n, text in enumerate(TIMES)))
    assert [f"{row['event_ts']}" for row in rows] == [f"{DAY} {time}" for time in TIMES.values()]


def test_a6_what_is_no_time_is_rejected(events: Events) -> None:
    texts = [*" ".join(NO_TIMES).split(), "Mon, 12 Jan 2026 10:00:00 GMT", "10:00:00Z", ""]
    assert events.take(pixel(), *(pixel(timestamp=text) for text in texts))
    assert [each["reason"] for each in events.rejects()] == ["bad_timestamp"] * len(texts)


def test_a6_a_leap_second_of_a_log_is_the_second_before_it(day: LogDay) -> None:
    day.add(log([line(time="23:59:60"), line(time="23:59:59")]))
    assert {f"{row['event_ts']}" for row in day.publish()} == {f"{DAY} 23:59:59"}


def test_a6_each_time_has_its_numbers_too(events: Events) -> None:
    body = "\n".join(json.dumps(pixel(timestamp=1768212000 * 10**n, eventId=f"{n}")) for n in (0, 3, 6))
    assert [f"{row['event_ts']}" for row in events.take(body.encode())] == [f"{DAY} 10:00:00"] * 3
