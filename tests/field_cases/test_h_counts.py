"""What sensors ask for after a gap, counted: runs that they start, and what they list and read."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from benchmarks.many_days import copy_days
from ingest.days import parse_day
from ingest.lake.files import Lake, LakeFile
from ingest.lake.views import opened
from ingest.source import FolderSource
from orchestration.marts.known import DAILY_AGGREGATES
from orchestration.operations.status import status
from orchestration.partitions import days_between
from tests.environment_fixtures import DAYS, Environment, mart_key, put_small_day
from tests.log_lines import DAY, HASH_KEY, LogDay, lines, log

LAST = parse_day(DAY)
SENSORS = {"new_objects": "daily_build", "late_rows": "restate", "published_marts": "publish"}


@pytest.fixture(scope="module")
def has_events() -> bool:
    return True


def recent(days_back: int) -> str:
    from orchestration.operations.sensors import last_closed_day

    return (last_closed_day(dt.datetime.now(dt.UTC)) - dt.timedelta(days=days_back)).isoformat()


@dataclass
class Daemon:
    """Ticks the sensors and does what they ask for, as Dagster's daemon does."""

    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    said: dict[str, str | None] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)

    def tick(self, name: str) -> Sequence[dg.RunRequest]:
        from orchestration.definitions import defs

        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(name),
            definitions=defs,
            resources={"lakehouse": (defs.resources or {})["lakehouse"]},
        ) as context:
            ticked = defs.resolve_sensor_def(name).evaluate_tick(context)
        self.cursors[name], self.said[name] = ticked.cursor, ticked.skip_message
        new = [request for request in ticked.run_requests or () if request.run_key not in self.keys]
        self.keys |= {str(request.run_key) for request in new}
        return new

    def run(self, name: str, request: dg.RunRequest) -> bool:
        from orchestration.definitions import defs

        return (
            defs.resolve_job_def(SENSORS[name])
            .execute_in_process(
                instance=self.instance,
                partition_key=request.partition_key,
                asset_selection=request.asset_selection,
                tags=request.tags,
                raise_on_error=False,
                run_config={**request.run_config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            .success
        )

    def until_quiet(self, *order: str) -> Counter[str]:
        """Job → how many runs were asked for until no sensor asks for any more."""
        runs: Counter[str] = Counter()
        while True:
            asked = [(name, request) for name in order for request in self._followed(name)]
            if not asked:
                return runs
            runs.update(SENSORS[name] for name, _ in asked)

    def _followed(self, name: str) -> Iterator[dg.RunRequest]:
        for request in self.tick(name):
            self.run(name, request)
            yield request


def put_day(environment: Environment, day: str, *others: str) -> None:
    """A small day, with rows of other days too."""
    put_small_day(environment, day)
    for other in others:
        rows = lines(5, start=900, path="/c", query="oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=1x1")
        body = log([row.replace(DAYS[0].encode(), other.encode(), 1) for row in rows])
        environment.put_object(f"E1TEST.{day}-11.{other}.gz", body)


def built(environment: Environment) -> list[str]:
    folder = "marts/daily_aggregates/"
    return [name.partition("=")[2] for name in environment.lake.folders(folder)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "order",
    [
        pytest.param(tuple(SENSORS), id="as listed"),
        pytest.param(tuple(reversed(SENSORS)), id="the other way round", marks=pytest.mark.long),
    ],
)
def test_h1_a_weeks_gap_is_one_build_one_restate_and_one_publish(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CLICKLAKE_SENSOR_LOOKBACK_DAYS", "14")
    before, after, gap = recent(9), recent(1), [recent(number) for number in range(8, 1, -1)]
    for day in (before, after):
        put_day(environment, day)
        assert environment.job("pipeline", instance, [day]).success
    for day in gap[1:-1]:
        put_day(environment, day)
    put_day(environment, gap[0], before)
    put_day(environment, gap[-1], after)
    daemon = Daemon(instance)

    assert daemon.until_quiet(*order) == {"daily_build": 1, "restate": 1, "publish": 1}

    assert built(environment) == [before, *gap, after]
    assert {entry["dateStart"].date().isoformat() for entry in environment.entries()} == {before, *gap, after}
    figures = environment.lake.read_table
    rows = {day: figures(mart_key(day), ["clicks"]).column(0).to_pylist() for day in (before, gap[1], after)}
    assert sum(rows[before]) == sum(rows[after]) == sum(rows[gap[1]]) + 5


@pytest.mark.slow
def test_h1_a_refused_day_and_a_short_window_lose_no_day(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of three days; the second of five missing days is refused, and is built once it is mended."""
    monkeypatch.setenv("CLICKLAKE_BACKFILL_WINDOW_DAYS", "3")
    gap = [recent(number) for number in range(5, 0, -1)]
    for day in gap:
        put_day(environment, day)
    environment.put_object(f"E1TEST.{gap[1]}-11.broken.gz", log([b"no\tlog\tline"] * 40))
    daemon = Daemon(instance)

    assert daemon.until_quiet(*SENSORS) == {"daily_build": 2, "publish": 2}  # one for each window
    assert built(environment) == [day for day in gap if day != gap[1]]

    environment.remove(f"E1TEST.{gap[1]}-11.broken.gz")
    # The campaigns of all five days are stated again, which two windows hold.
    assert daemon.until_quiet(*SENSORS) == {"daily_build": 1, "publish": 2}
    assert built(environment) == gap


def test_h1_one_run_takes_what_came_while_others_waited(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Raw alone is run, without dbt. Nothing is asked for while a build waits, and nothing is lost by that."""
    from orchestration.definitions import defs
    from orchestration.operations import sensors

    first, second, third = (recent(number) for number in (3, 2, 1))
    raw = [dg.AssetKey("raw_access_logs"), dg.AssetKey("raw_events")]
    put_day(environment, first)
    put_day(environment, second, first)
    put_day(environment, third, second)
    daemon = Daemon(instance)
    waiting = instance.create_run_for_job(defs.resolve_job_def("daily_build"), tags={"dagster/partition": recent(0)})
    for day in (first, second):
        assert environment.job("daily_build", instance, [day], selection=raw).success
    assert daemon.tick("late_rows") == []
    assert "1 run may add days" in str(daemon.said["late_rows"])
    assert environment.job("daily_build", instance, [third], selection=raw).success
    assert daemon.tick("late_rows") == []
    instance.report_run_failed(waiting)

    (request,) = daemon.tick("late_rows")
    assert (request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]) == (
        first,
        second,
    )
    assert daemon.tick("late_rows") == []

    instance.create_run_for_job(defs.resolve_job_def("daily_build"), tags={"dagster/partition": recent(0)})
    assert environment.job("daily_build", instance, [third], selection=raw).success
    assert daemon.tick("late_rows") == []
    monkeypatch.setattr(sensors, "LONGEST_HOLD", -1)  # a queue that never empties
    (request,) = daemon.tick("late_rows")
    assert request.partition_key == second


def test_h1_days_between_are_covered_if_they_are_settled(
    environment: Environment, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run over a range does not read again what lies between, and does not cover what cannot be built."""
    monkeypatch.setenv("CLICKLAKE_QUIET_AFTER_HOURS", "9999")
    days = [recent(number) for number in range(5, 0, -1)]
    raw = [dg.AssetKey("raw_access_logs"), dg.AssetKey("raw_events")]
    for day in (days[0], days[1], days[2], days[4]):
        put_day(environment, day)
    assert environment.job("daily_build", instance, [days[1]], selection=raw).success
    daemon = Daemon(instance)

    first, second = daemon.tick("new_objects")
    assert first.tags["dagster/asset_partition_range_end"] == days[2]
    assert first.run_config["ops"]["raw_events"]["config"] == {"only_if_news": [days[1]]}
    assert second.partition_key == days[4]

    before = environment.contents("raw", "ledger")
    done = defs_job(instance, first, raw)
    materialized = {event.partition for event in done.get_asset_materialization_events()}
    assert materialized == {days[0], days[2]}
    after = environment.contents("raw", "ledger")
    assert {key: after[key] for key in before} == before


def defs_job(
    instance: dg.DagsterInstance, request: dg.RunRequest, selection: Sequence[dg.AssetKey]
) -> dg.ExecuteInProcessResult:
    """Runs a part of what `new_objects` asked for."""
    from orchestration.definitions import defs

    return defs.resolve_job_def("daily_build").execute_in_process(
        instance=instance, asset_selection=list(selection), tags=request.tags, run_config=request.run_config
    )


def test_h1_a_day_that_two_runs_died_on_is_built_alone(environment: Environment, instance: dg.DagsterInstance) -> None:
    from orchestration.definitions import defs

    days = [recent(number) for number in (3, 2, 1)]
    for day in days:
        put_day(environment, day)
    daemon, asked = Daemon(instance), []
    for _ in range(4):
        requests = daemon.tick("new_objects")
        asked.append(len(requests))
        for request in requests:
            tags = {**request.tags} | ({"dagster/partition": request.partition_key} if request.partition_key else {})
            instance.report_run_failed(instance.create_run_for_job(defs.resolve_job_def("daily_build"), tags=tags))
    assert asked == [1, 1, 3, 0]
    assert "3 runs have died on these objects" in str(daemon.said["new_objects"])


def test_h1_a_day_whose_ledger_is_broken_is_built_again(environment: Environment, instance: dg.DagsterInstance) -> None:
    day = recent(1)
    raw = [dg.AssetKey("raw_access_logs"), dg.AssetKey("raw_events")]
    put_day(environment, day)
    assert environment.job("daily_build", instance, [day], selection=raw).success
    ledger = environment.lake.path(f"ledger/access_logs/source_date={day}/data.parquet")
    Path(ledger).write_bytes(b"PAR1")

    (request,) = Daemon(instance).tick("new_objects")
    assert request.partition_key == day
    assert environment.job("daily_build", instance, [day], selection=raw).success
    assert Daemon(instance).tick("new_objects") == []


# H9. Times are measured by `python -m benchmarks.many_days`; here what is listed and read is counted.


@pytest.fixture
def years(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogDay:
    """A lake of 40 days, and the settings of commands for it."""
    day = LogDay(tmp_path)
    day.add(log(lines(20)))
    assert day.ingest().published
    day.lake.put_table(pa.table({"clicks": [1]}), DAILY_AGGREGATES.file(LAST))
    copy_days(day.logs, Path(day.lake.root), LAST, 40)
    for name, value in {"LAKE": day.lake.url, "LOGS": str(day.logs), "HASH_KEY": HASH_KEY}.items():
        monkeypatch.setenv(f"CLICKLAKE_{name}", value)
    return day


def test_h9_status_reads_and_lists_only_the_days_that_are_asked_for(
    years: LogDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    listed: list[str] = []
    read_table, files = Lake.read_table, Lake.files

    def counts_reads(lake: Lake, key: str, columns: list[str] | None = None) -> pa.Table:
        read.append(key)
        return read_table(lake, key, columns)

    def counts_files(lake: Lake, prefix: str) -> list[LakeFile]:
        found = files(lake, prefix)
        listed.extend(file.key for file in found)
        return found

    monkeypatch.setattr(Lake, "read_table", counts_reads)
    monkeypatch.setattr(Lake, "files", counts_files)
    asked = days_between(LAST - dt.timedelta(days=5), LAST)
    found = status(years.lake, {"access_logs": FolderSource(years.logs)}, asked[0], asked[-1])
    assert [(day.day, day.objects, *day.tables.values()) for day in found] == [
        (day, 1, "published", "published") for day in asked
    ]
    assert len(read) == len(asked)  # a ledger each
    days = {parse_day(text) for key in [*read, *listed] for text in re.findall(r"=(\d{4}-\d\d-\d\d)", key)}
    assert days == set(asked)


def test_h9_a_query_lists_and_opens_only_the_tables_that_it_names(years: LogDay) -> None:
    with opened(years.lake, "select count(*) from marts.daily_aggregates") as (connection, views):
        names = views.names
        assert connection.sql("select count(*) from marts.daily_aggregates").fetchall() == [(40,)]
    assert names == ["marts.daily_aggregates"]
    with opened(years.lake) as (_, views):
        assert {"raw.access_logs", "ledger.access_logs", *names} <= set(views.names)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("select count(*) n from MARTS.Daily_Aggregates where report_date = '2026-01-05'", "1"),
        ("select count(*) n from (show all tables) where schema = 'raw'", "1"),
        ("select count(*) n from duckdb_views() where schema_name = 'ledger'", "1"),
        ("select sum(rows_kept) n from ledger.access_logs join raw.access_logs using (source_object)", "16000"),
    ],
)
def test_h9_a_query_finds_each_table_that_it_needs(years: LogDay, sql: str, said: str) -> None:
    from orchestration.cli import cli

    done = CliRunner().invoke(cli, ["query", sql, "--format", "csv"])
    assert done.output.split() == ["n", said]


def test_h9_a_query_of_an_unknown_table_names_the_known_ones(years: LogDay) -> None:
    from orchestration.cli import cli

    done = CliRunner().invoke(cli, ["query", "from marts.nothing"])
    assert done.exit_code == 1
    assert "marts.daily_aggregates" in done.output
    assert "raw.access_logs" in done.output
