"""The verdicts on a day, each with its figures."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from ingest import audit
from ingest.audit import CHECKS
from ingest.day import DayResult, ingest_day
from ingest.source import FolderSource
from tests.log_lines import DAY, LogDay, line, lines, log


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
    assert "were the logs delivered, is the prefix right?" in result.reason


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
        assert ingest_day(day.lake, FolderSource(day.logs), before, day.options).rows_kept == count


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
    assert result.verdicts[-1].figures["days"] == 1
    assert failed(result) == []
