"""The verdicts on a day, each with its figures."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.partition import audit
from ingest.partition.audit import CHECKS, Verdict
from ingest.partition.day import DayResult, ingest_day
from ingest.source import FolderSource
from tests.log_lines import DAY, FIELDS, LogDay, line, lines, log, request
from tests.partitions import logs_of


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path)


def failed(result: DayResult) -> list[str]:
    return [verdict.check for verdict in result.verdicts if not verdict.passed]


def test_a_good_day_passes_every_check_in_order(day: LogDay) -> None:
    day.add(log(lines(10)))
    result = day.ingest()
    assert [verdict.check for verdict in result.verdicts] == [check.name for check in CHECKS]
    assert failed(result) == []
    assert (result.published, result.reason, result.refusals) == (True, "", [])


def test_a_day_without_objects_is_refused(day: LogDay) -> None:
    day.add(log(lines(1)), day="2026-01-11")
    result = day.ingest()
    assert failed(result) == ["objects_present"]
    assert "the source has no object of this day. Check that the logs were delivered" in result.reason


def test_a_day_of_empty_objects_is_published_empty(day: LogDay) -> None:
    day.add(b"")
    day.add(log([]), "b")
    result = day.ingest()
    assert (result.published, result.rows_kept, result.objects) == (True, 0, 2)
    assert day.rows(DAY) == []
    assert len(day.lake.files("raw")) == 1


@pytest.mark.parametrize(("bad", "published"), [(5, True), (6, False)])
def test_the_share_of_rejects_has_a_limit(day: LogDay, bad: int, published: bool) -> None:
    day.add(log(lines(100 - bad) + [b"broken", line(status="x")] + [b""] * (bad - 2)))
    result = day.ingest()
    assert result.published is published
    assert failed(result) == ([] if published else ["reject_share"])
    (verdict,) = [verdict for verdict in result.verdicts if verdict.check == "reject_share"]
    assert verdict.message.startswith(f"{bad} of 100 rows rejected ({bad}.0%, limit 5.0%)")
    assert verdict.message.endswith(f": 1 bad_status, 1 bad_timestamp, {bad - 2} empty_line")
    assert verdict.figures == {"rows_read": 100, "rows_rejected": bad, "share": bad / 100, "limit": 0.05}


def test_many_broken_objects_are_counted_and_the_first_are_named(day: LogDay) -> None:
    for number in range(8):
        day.add(log(lines(5)) + b"", f"{number}", compress=True)
        path = day.logs / f"E1TEST.{DAY}-10.{number}.gz"
        path.write_bytes(path.read_bytes() + b"garbage")
    reason = day.ingest().reason
    assert "8 unreadable" in reason
    assert reason.count("corrupt gzip") == 5
    assert "and 3 more" in reason


def earlier_weeks(day: LogDay, *rows: int) -> None:
    for week, count in enumerate(rows, 1):
        before = (date.fromisoformat(DAY) - timedelta(weeks=week)).isoformat()
        day.add(log(lines(count, date=before)), day=before)
        assert ingest_day(day.lake, FolderSource(day.logs), logs_of(before), day.options).rows_kept == count


@pytest.mark.parametrize(("rows", "passed"), [(9, False), (10, True), (90, True), (91, False)])
def test_a_volume_far_from_the_usual_is_told(day: LogDay, rows: int, passed: bool) -> None:
    earlier_weeks(day, 30, 1, 30, 900, 5)  # the last, five weeks ago, is not looked at
    day.add(log(lines(rows)))
    result = day.ingest()
    (verdict,) = [verdict for verdict in result.verdicts if verdict.check == "volume"]
    assert (verdict.passed, result.published) == (passed, True)
    assert verdict.figures == {"rows": rows, "median": 30, "days": 4, "factor": 3.0}
    day.allow(volume_blocks=True)
    assert day.ingest().published is passed


def test_a_day_that_is_not_over_may_be_small_but_not_large(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_is_over", lambda _: False)
    earlier_weeks(day, 30)
    day.add(log(lines(2)), "a")
    assert failed(day.ingest()) == []
    day.add(log(lines(900)), "b")
    assert failed(day.ingest()) == ["volume"]


def test_a_usual_day_is_compared_with_the_days_there_are(day: LogDay) -> None:
    earlier_weeks(day, 30)
    day.add(log(lines(20)))
    result = day.ingest()
    assert [verdict.figures["days"] for verdict in result.verdicts if verdict.check == "volume"] == [1]
    assert failed(result) == []


def rejecting_weeks(day: LogDay, *rejected: int, rows: int = 2_000) -> None:
    """Same weekdays before, each with so many rejects; the first is a week ago."""
    day.allow_rejects()
    for week, count in enumerate(rejected, 1):
        before = (date.fromisoformat(DAY) - timedelta(weeks=week)).isoformat()
        ledger = {"rows_read": [rows], "rows_kept": [rows - count], "rows_rejected": [count]}
        day.lake.put_table(pa.table(ledger), logs_of(before).ledger_file)


def verdict_of(result: DayResult, check: str) -> Verdict:
    (found,) = [verdict for verdict in result.verdicts if verdict.check == check]
    return found


@pytest.mark.parametrize(
    ("usual", "rejected", "passed"),
    [
        ((0, 0, 0, 0), 2, True),  # two instead of none are no anomaly
        ((0, 0, 0, 0), 10, True),  # half a percent
        ((0, 0, 0, 0), 19, True),  # 19 rows
        ((0, 0, 0, 0), 20, False),
        ((10, 10, 10, 10), 29, True),  # less than 20 more than usual
        ((10, 10, 10, 10), 30, True),  # three times as many
        ((10, 10, 10, 10), 31, False),
        ((10, 500, 10, 500, 0), 31, True),  # the median counts, of four weeks
    ],
)
def test_a_share_of_rejects_far_above_the_usual_is_told(
    day: LogDay, usual: tuple[int, ...], rejected: int, passed: bool
) -> None:
    rejecting_weeks(day, *usual)
    day.add(log([*lines(2_000 - rejected), *[b"broken"] * rejected]))
    result = day.ingest()
    verdict = verdict_of(result, "reject_rate")
    assert (verdict.passed, verdict.blocks, result.published) == (passed, False, True)
    assert verdict.figures["days"] == 4
    assert verdict.message.startswith(
        f"{rejected / 2_000:.2%} of rows rejected; the median of the last 4 same weekdays"
    )


def test_rejects_of_a_small_day_or_of_a_first_one_are_no_anomaly(day: LogDay) -> None:
    rejecting_weeks(day, 0, rows=50)
    day.add(log([*lines(30), *[b"broken"] * 19]))
    assert verdict_of(day.ingest(), "reject_rate").passed
    first = ingest_day(day.lake, FolderSource(day.logs), logs_of(DAY), day.options)
    assert verdict_of(first, "reject_rate").figures["days"] == 1
    before = (date.fromisoformat(DAY) - timedelta(days=1)).isoformat()
    day.add(log([*lines(10, date=before), *[b"broken"] * 900]), day=before)
    assert verdict_of(day.ingest(day=before), "reject_rate").message == "no earlier day to compare with"


def test_a_field_that_a_log_gains_or_loses_is_told(day: LogDay) -> None:
    before = (date.fromisoformat(DAY) - timedelta(days=3)).isoformat()
    day.add(log(lines(50, date=before)), day=before)
    first = day.ingest(day=before)
    assert verdict_of(first, "schema_drift").message == "no earlier day to compare with"
    fields = [*FIELDS[:-1], "new-one"]
    day.add(log([line(fields, id=f"{n}") for n in range(50)], fields))
    result = day.ingest()
    verdict = verdict_of(result, "schema_drift")
    assert (verdict.passed, verdict.blocks, result.published) == (False, False, True)
    assert verdict.message == f"new: new-one; missing: sc-range-end (against {before})"
    assert verdict.figures == {"against": before, "new": ["new-one"], "missing": ["sc-range-end"], "changed": []}


def test_another_format_is_told_and_an_empty_day_is_not_compared_with(day: LogDay) -> None:
    first, empty = ((date.fromisoformat(DAY) - timedelta(days=n)).isoformat() for n in (2, 1))
    day.add(log(lines(50, date=first)), day=first)
    day.add(log([]), day=empty)
    assert [day.ingest(day=each).published for each in (first, empty)] == [True, True]
    rows = [request(id=f"{n}") for n in range(50)]
    names = dict.fromkeys(FIELDS, "-")
    day.add(b"".join(json.dumps(names | row).encode() + b"\n" for row in rows))
    verdict = verdict_of(day.ingest(), "schema_drift")
    assert verdict.message == f"changed: (format) (text → json) (against {first})"


def test_a_ledger_from_before_fields_were_kept_is_no_reason_to_warn(day: LogDay) -> None:
    before = (date.fromisoformat(DAY) - timedelta(days=1)).isoformat()
    day.add(log(lines(50, date=before)), day=before)
    day.ingest(day=before)
    key = logs_of(before).ledger_file
    day.lake.put_table(day.lake.read_table(key).drop_columns(["fields"]), key)
    day.add(log(lines(50)))
    assert verdict_of(day.ingest(), "schema_drift").message == "no earlier day to compare with"


@pytest.mark.parametrize("has_header", [False, True])
def test_rows_without_a_header_say_what_their_fields_were_taken_for(day: LogDay, has_header: bool) -> None:
    fields = ["date", "time", "cs-uri-stem", "sc-status"]
    rows = [line(fields, date="-" if has_header else DAY) for _ in range(30)]
    day.add(log(rows, fields) if has_header else b"".join(row + b"\n" for row in rows))
    reason = day.ingest().reason
    assert "not one of its 30 rows can be used" in reason
    assert ("it has no #Fields header, so its fields were taken for CloudFront's" in reason) is not has_header
