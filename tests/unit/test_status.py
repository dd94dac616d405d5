"""`clicklake status` lists the days that the source or the lake knows."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.source import FolderSource
from orchestration.operations.status import MISSING, OUT_OF_DATE, PUBLISHED, status
from orchestration.partitions import days_between
from tests.log_lines import DAY, HASH_KEY, LogDay, line, lines, log


def test_a_day_of_which_another_days_files_brought_rows_is_missing(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    day.add(log([*lines(20), line(id="before", date="2026-01-11", time="23:59:59")]))
    assert day.ingest().published
    found = status(day.lake, {"access_logs": FolderSource(day.logs)}, None, None)
    assert [(each.day, each.objects, *each.tables.values()) for each in found] == [
        (parse_day("2026-01-11"), 0, MISSING, MISSING),
        (parse_day(DAY), 1, PUBLISHED, MISSING),
    ]
    day.add(log(lines(5)), "late")
    found = status(day.lake, {"access_logs": FolderSource(day.logs)}, None, None)
    assert [each.tables["raw.access_logs"] for each in found] == [MISSING, OUT_OF_DATE]


def published(lake: Lake, first: str, count: int) -> list[date]:
    """Puts raw files of consecutive days into a lake."""
    days = days_between(parse_day(first), parse_day(first) + timedelta(days=count - 1))
    for each in days:
        lake.put_table(pa.table({"x": [1]}), Partition("access_logs", each).raw_file(each))
    return days


def test_without_a_first_day_thirty_days_are_shown(tmp_path: Path) -> None:
    lake, sources = Lake(str(tmp_path / "lake")), {"access_logs": FolderSource(tmp_path)}
    days = published(lake, "2025-11-20", 54)
    assert [each.day for each in status(lake, sources, None, None)] == days[-30:]
    assert [each.day for each in status(lake, sources, None, days[-5])] == days[-34:-4]
    assert [each.day for each in status(lake, sources, days[3], None)] == days[3:]
    assert [each.day for each in status(lake, sources, days[3], days[4])] == days[3:5]
    assert status(lake, sources, parse_day("2999-01-01"), None) == []


def test_objects_that_came_after_the_newest_day_of_the_lake_are_shown(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("2025-01-01", "2026-01-13", "2026-03-01"):
        (tmp_path / "logs" / f"E1.{name}-10.a.gz").write_bytes(b"")
    lake, sources = Lake(str(tmp_path / "lake")), {"access_logs": FolderSource(tmp_path / "logs")}
    assert [str(each.day) for each in status(lake, sources, None, None)] == ["2026-03-01"]
    published(lake, "2026-01-12", 1)
    assert [str(each.day) for each in status(lake, sources, None, None)] == ["2026-01-12", "2026-01-13", "2026-03-01"]


@pytest.mark.parametrize("listed", [0, 1000])
def test_many_days_are_listed_at_once_and_show_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: int
) -> None:
    monkeypatch.setattr("orchestration.operations.status.FOLDERS_LISTED", listed)
    day = LogDay(tmp_path)
    day.add(log([*lines(20), line(id="before", date="2026-01-11", time="23:59:59")]))
    assert day.ingest().published
    day.lake.put_table(pa.table({"x": [1]}), f"marts/daily_aggregates/report_date={DAY}/data.parquet")
    found = status(day.lake, {"access_logs": FolderSource(day.logs)}, parse_day("2026-01-10"), parse_day(DAY))
    assert [tuple(each.tables.values()) for each in found] == [(MISSING, MISSING), (PUBLISHED, PUBLISHED)]


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogDay:
    day = LogDay(tmp_path)
    settings = {"LAKE": day.lake.url, "LOGS": str(day.logs), "HASH_KEY": HASH_KEY}
    for name, value in settings.items():
        monkeypatch.setenv(f"CLICKLAKE_{name}", value)
    return day


def said(*arguments: str) -> Result:
    from orchestration.cli import cli

    return CliRunner().invoke(cli, ["status", *arguments])


def test_days_outside_a_range_are_not_said_to_be_unknown(day: LogDay) -> None:
    day.add(log(lines(3)))
    outside = said("--from", "2026-02-01", "--to", "2026-02-28")
    assert "No day from 2026-02-01 to 2026-02-28 is known" in outside.output
    turned = said("--from", "2026-02-28", "--to", "2026-02-01")
    assert (turned.exit_code, "--to 2026-02-01 lies before --from 2026-02-28." in turned.output) == (2, True)


def test_an_object_that_names_no_day_is_named_where_nothing_else_is_found(day: LogDay) -> None:
    (day.logs / "access.log").write_bytes(log(lines(3)))
    assert "access.log is there and is not looked at, since its name tells no day" in said().output
    assert "access.log is there and is not looked at" in day.ingest().reason
    day.add(log(lines(3)))
    assert "access.log" not in said().output
    assert day.ingest().published


def test_a_target_has_a_column_where_its_mart_is_there_or_could_be_published(
    day: LogDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    day.add(log(lines(3)))
    assert "_entries" not in said().output
    day.lake.put_table(pa.table({"order_id": ["a"]}), "marts/daily_aggregates/report_date=2026-01-12/data.parquet")
    shown = said().output
    assert ("performance_entries" in shown, "campaign_entries" in shown) == (True, False)
    assert "not published" in shown


def test_a_name_that_is_shown_holds_no_address(day: LogDay) -> None:
    (day.logs / "ann@example.org.log").write_bytes(log(lines(3)))
    assert "[email]" in said().output
    assert "ann@" not in said().output + day.ingest().reason
