"""Tables as a newcomer finds them, and advice that works."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from ingest.partition.day import ingest_day
from ingest.source import FolderSource
from orchestration.alerts.rule import Look
from orchestration.alerts.rules.late_sources import late_sources
from orchestration.catalog import MODELS, documented
from orchestration.cli.grid import grid
from orchestration.settings import Settings
from tests.environment_fixtures import HASH_KEY
from tests.event_lines import Events, pixel
from tests.log_lines import OPTIONS, LogDay, line, lines, log
from tests.partitions import days_of, events_of

Run = Callable[..., Result]
REVENUE = pa.table({"session_id": ["a"], "revenue": pa.array([Decimal("1.5000")], pa.decimal128(18, 4))})


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    day = LogDay(tmp_path)
    day.add(log([*lines(99), line(id="next", date="2026-01-13"), b"broken"]))
    assert day.ingest().published
    day.lake.put_table(REVENUE, "marts/sessions/session_date=2026-01-12/data.parquet")
    return day


@pytest.fixture
def run(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> Run:
    from orchestration.cli import cli

    monkeypatch.setenv("CLICKLAKE_LAKE", day.lake.url)
    return lambda *arguments: CliRunner().invoke(cli, list(arguments))


def test_h7_tables_lists_grain_days_and_rows(run: Run) -> None:
    found = {each["table"]: each for each in map(json.loads, run("tables", "--json").stdout.splitlines())}
    assert set(found) == {
        "ledger.access_logs", "marts.data_quality", "marts.sessions", "quarantine.releases", "quarantine.verdicts",
        "raw.access_logs", "rejects.access_logs",
    }  # fmt: skip
    raw = found["raw.access_logs"]
    assert (raw["rows"], raw["days"], raw["error"]) == (100, 1, None)
    assert raw["bytes"] > 0
    assert found["marts.sessions"]["grain"] == "session_id"
    assert found["quarantine.releases"]["rows"] == 0


def test_h7_describe_shows_types_and_meaning_of_what_is_there_and_of_what_will_be(run: Run) -> None:
    for name in (
        "marts.sessions",
        "sessions",
        "quarantine.verdicts",
        "data_quality",
        "raw.events",
        "quarantine.funnels",
    ):
        columns = [json.loads(each) for each in run("describe", name, "--json").stdout.splitlines()]
        assert columns, name
        assert all(each["description"] for each in columns), (name, columns)
    held = {
        each["column"]: each["type"]
        for each in map(json.loads, run("describe", "sessions", "--json").stdout.splitlines())
    }
    assert held == {"session_id": "varchar", "revenue": "decimal(18,4)", "session_date": "date"}
    done = run("describe", "sesions")
    assert done.exit_code == 2
    assert "Did you mean sessions?" in done.output
    assert "is in several layers. Name one of ledger.access_logs" in run("describe", "access_logs").output


def test_h7_every_mart_is_documented_with_its_grain() -> None:
    marts = {f"marts.{path.stem}" for path in MODELS.rglob("*.sql")}
    assert marts
    for name in marts:
        about = documented()[name]
        assert about.description, name
        assert about.grain != "-", name
        assert all(kind and text for kind, text in about.columns.values()), name


@pytest.mark.parametrize("width", [80, 120])
def test_h7_names_of_tables_are_legible(run: Run, width: int) -> None:
    rows = json.loads("[" + ",".join(run("query", "show all tables", "--format", "json").stdout.splitlines()) + "]")
    text = grid(pa.Table.from_pylist(rows), width)
    assert max(map(len, text.splitlines())) <= width
    for row in rows:
        assert f" {row['schema']} " in text
        assert f" {row['name']} " in text


def test_h7_a_table_that_will_be_there_is_no_unknown_one(run: Run, day: LogDay) -> None:
    said = run("query", "select * from marts.identities join marts.sessions using (session_date)").output
    assert f"{day.lake.url} does not hold marts.identities yet" in said
    said = run("query", "from nothing_like_that").output
    assert "Table with name nothing_like_that does not exist" in said
    assert "pg_catalog" not in said + run("query", "from sessionz").output


@pytest.mark.parametrize("name", ["releases", "verdicts"])
def test_h7_records_have_the_same_columns_before_the_first(run: Run, day: LogDay, name: str) -> None:
    sql = f"describe quarantine.{name}"
    before = run("query", sql, "--format", "csv").stdout
    reasons = [{"check": "grain", "message": "Got 2", "failures": 2}]
    record = {"table": "sessions", "day": "2026-01-12", "reasons": reasons, "checks": reasons, "unknown": 1}
    day.lake.put_text(json.dumps(record), "quarantine/sessions/day=2026-01-12/verdict.json")
    day.lake.put_text(
        json.dumps(record | {"released_at": "2026-01-13T10:00:00+00:00"}), "releases/sessions/day=2026-01-12/x.json"
    )
    assert run("query", sql, "--format", "csv").stdout == before
    found = run("query", f'select "table", day::varchar as day from quarantine.{name}', "--format", "json").stdout
    assert json.loads(found) == {"table": "sessions", "day": "2026-01-12"}


def test_h7_a_file_of_views_is_read_without_clicklake_and_sees_later_days(
    run: Run, day: LogDay, tmp_path: Path
) -> None:
    file = tmp_path / "lake.duckdb"
    assert run("views", str(file)).exit_code == 0
    day.lake.put_table(REVENUE, "marts/sessions/session_date=2026-01-13/data.parquet")
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("select count(*) from raw.access_logs").fetchall() == [(100,)]
        assert connection.execute("select session_date::varchar from marts.sessions order by 1").fetchall() == [
            ("2026-01-12",), ("2026-01-13",),
        ]  # fmt: skip
        assert connection.execute("from quarantine.releases").fetchall() == []
        # What the README says of exact decimals.
        (kind,) = connection.execute("select typeof(cast(revenue as double)) from marts.sessions").fetchall()[0]
        assert kind == "DOUBLE"
    assert run("views", str(file)).exit_code == 0  # made again
    with duckdb.connect(str(file)) as connection:
        connection.execute("create table main.mine as select 1")
    done = run("views", str(file))
    assert done.exit_code == 2
    assert "no database of views" in done.output
    other = tmp_path / "other"
    other.write_text("not a database")
    assert run("views", str(other)).exit_code == 2
    assert other.read_text() == "not a database"


NOW = dt.datetime(2026, 2, 18, 10, tzinfo=dt.UTC)


def late(day: LogDay) -> list[str]:
    settings = Settings(lake=day.lake.url, logs=str(day.logs), hash_key=HASH_KEY)  # type: ignore[arg-type]
    with dg.DagsterInstance.ephemeral() as instance:
        return sorted(alert.key for alert in late_sources(Look(settings, instance, NOW, dt.date(2026, 2, 17))))


def test_h8_old_days_that_are_taken_in_are_not_late_and_a_live_source_is(tmp_path: Path) -> None:
    """A month of last year first; then days until last week, after which nothing came."""
    day = LogDay(tmp_path)
    for each in ("2025-06-01", "2025-06-02", "2025-06-30"):
        day.add(log(lines(3, date=each)), day=each)
        assert day.ingest(day=each).published
    assert late(day) == []
    for each in ("2026-02-11", "2026-02-15"):
        day.add(log(lines(3, date=each)), day=each)
        assert day.ingest(day=each).published
    missing = [f"source_missing:access_logs:2026-02-{number}" for number in (12, 13, 14, 16, 17)]
    assert late(day) == ["source_late:access_logs", *missing]


def test_h8_a_release_is_advised_only_where_it_can_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.cli import console, summary
    from orchestration.cli.pipeline import PipelineResult
    from orchestration.quality import what_to_do

    day = LogDay(tmp_path)
    for name, value in (("LAKE", day.lake.url), ("LOGS", str(day.logs)), ("HASH_KEY", HASH_KEY)):
        monkeypatch.setenv(f"CLICKLAKE_{name}", value)
    buffer = io.StringIO()
    monkeypatch.setattr(console.console, "_file", buffer)
    events = Events(tmp_path / "events")
    events.write(pixel(), site="a\nb")
    source, site = FolderSource(events.folder), events_of("2026-01-12", "a\nb")
    assert not ingest_day(day.lake, source, site, OPTIONS).published  # it was not taken in: nothing to release
    assert "clicklake release" not in what_to_do(day.lake, days_of("2026-01-12"))
    day.add(log([b"broken"] * 200), day="2026-01-13")
    assert not day.ingest(day="2026-01-13").published
    assert "clicklake release 2026-01-13 --table access_logs" in what_to_do(day.lake, days_of("2026-01-13"))
    days = days_of("2026-01-12", "2026-01-13")
    refused = {days[0]: {("events", "processed")}, days[1]: {("access_logs", "reject_share")}}
    summary.print_summary(PipelineResult(days, bad=dict.fromkeys(days, "why"), refused=refused))
    said = [each.strip() for each in buffer.getvalue().splitlines() if each.strip().startswith(("look", "accept"))]
    assert [each.split()[0] for each in said] == ["look", "look", "accept"]
    for number in range(14, 24):  # of many, one line
        each = f"2026-01-{number}"
        day.add(log([b"broken"] * 200), day=each)
        day.ingest(day=each)
        days += days_of(each)
        refused[days[-1]] = {("access_logs", "reject_share")}
    buffer.truncate(0)
    summary.print_summary(PipelineResult(days, bad=dict.fromkeys(days, "why"), refused=refused))
    assert "clicklake quarantine list (12 partitions)" in buffer.getvalue()
    assert "quarantine show" not in buffer.getvalue()
