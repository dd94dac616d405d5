"""A day that is not over: its objects are taken in as they come, and the dashboard shows them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest.days import parse_day
from orchestration.step import refusals
from tests.environment_fixtures import DAYS, Environment, good, mart_key
from tests.event_lines import line as event_line
from tests.event_lines import pixel
from tests.log_lines import lines, log
from tests.partitions import days_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("manifest")]

ONE, TWO = DAYS[:2]
RAW, RAW_EVENTS = dg.AssetKey("raw_access_logs"), dg.AssetKey("raw_events")


def put_log(environment: Environment, day: str, hour: int, count: int = 30) -> None:
    rows = lines(count, start=hour * 3600, path="/pxl.png", query="oid=7&cid=c&pid=p")
    environment.put_object(
        f"E1TEST.{day}-{hour:02}.{hour}.gz", log([row.replace(DAYS[0].encode(), day.encode()) for row in rows])
    )


def refresh(*days: str) -> Any:
    """What `clicklake refresh` does with news, in this process, which has loaded Dagster already."""
    from orchestration.cli.pipeline import refresh_days

    return refresh_days(days_of(*days))


def read(result: Any, day: str) -> tuple[int, int]:
    """(objects, those read now)."""
    raw = result.materialized["raw_access_logs", parse_day(day)]
    return raw["objects"], raw["objects_read"]


def impressions(environment: Environment) -> int:
    """What the dashboard shows."""
    return sum(entry["metrics"]["impressions"] for entry in environment.entries())


def mart_impressions(environment: Environment) -> int:
    return sum(environment.lake.read_table(mart_key(ONE)).column("impressions").to_pylist())


def test_new_objects_reach_the_dashboard_and_old_ones_are_not_read_again(
    environment: Environment,
) -> None:
    day = good(ONE)
    objects = sorted(day.objects.items())
    half = len(objects) // 2
    for key, body in objects[:half]:
        environment.put_object(key, body)
    first = refresh(ONE)
    assert (first.bad, read(first, ONE)) == ({}, (half, half))
    early = impressions(environment)

    for key, body in objects[half:]:
        environment.put_object(key, body)
    second = environment.command("refresh", "--day", ONE)
    assert second.returncode == 0, second.stderr
    assert f"clicklake run --from {ONE}" in second.stderr  # of a day that is over
    assert re.search(rf"{ONE} │ access_logs │ - .* {len(objects) - half} │ +0 ", second.stdout)
    assert re.search(rf"{ONE} │ raw_access_logs │ +{len(objects)} │ +{len(objects) - half} │ - ", second.stdout)
    assert 0 < early < impressions(environment)
    of_day = [request for request in day.truth.ad_requests if request.event_date == day.day]
    assert mart_impressions(environment) == sum(not request.is_click for request in of_day)
    before = environment.contents()

    third = environment.command("refresh", "--day", ONE)
    assert (third.returncode, third.stdout) == (0, f"{ONE}: nothing new\n")
    assert environment.contents() == before


# The job, its schedule, and what follows a refresh


def ingest(environment: Environment, instance: dg.DagsterInstance, *days: str) -> dg.ExecuteInProcessResult:
    """The raw assets of the job, as the schedule starts it."""
    from orchestration.definitions import defs
    from orchestration.operations.jobs import INCREMENTAL
    from orchestration.partitions import range_tags

    return defs.resolve_job_def("refresh").execute_in_process(
        instance=instance,
        asset_selection=[RAW, RAW_EVENTS],
        raise_on_error=False,
        tags=range_tags(days_of(*days)),
        run_config=INCREMENTAL | {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def materialized(instance: dg.DagsterInstance, run_id: str) -> list[dg.AssetMaterialization]:
    """What a run has put in place, a failed one too."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [entry.get_dagster_event().step_materialization_data.materialization for entry in entries]


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on disk: a schedule knows no other."""
    folder = tmp_path / "instance"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield instance


def tick(instance: dg.DagsterInstance, at: str) -> Any:
    from orchestration.definitions import defs

    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC),
        repository_def=defs.get_repository_def(),
        resources={"lakehouse": defs.resources["lakehouse"]},
    ) as context:
        return defs.resolve_schedule_def("refresh_today").evaluate_tick(context)


def days(ticked: Any) -> list[str]:
    return [request.tags["dagster/partition"] for request in ticked.run_requests]


def test_the_schedule_asks_each_hour_for_what_is_new(environment: Environment, stored: dg.DagsterInstance) -> None:
    assert tick(stored, f"{ONE}T10:05").skip_message == f"{ONE}: nothing new"
    put_log(environment, ONE, 9)
    ticked = tick(stored, f"{ONE}T10:05")
    assert days(ticked) == [ONE]
    (request,) = ticked.run_requests
    assert request.run_config["ops"]["raw_access_logs"]["config"] == {"incremental": True}
    assert tick(stored, f"{ONE}T11:05").run_requests[0].run_key != request.run_key

    ingest(environment, stored, ONE)
    assert days(tick(stored, f"{ONE}T11:05")) == [ONE]  # the run has died before the mart
    environment.lake.put_table(environment.lake.read_table(f"ledger/access_logs/source_date={ONE}"), mart_key(ONE))
    assert tick(stored, f"{ONE}T11:05").skip_message == f"{ONE}: nothing new"

    put_log(environment, ONE, 23)
    put_log(environment, TWO, 0)
    assert days(tick(stored, f"{TWO}T01:05")) == [ONE, TWO]
    assert days(tick(stored, f"{TWO}T02:05")) == [TWO]


def test_the_schedule_waits_for_a_run_and_says_so(environment: Environment, stored: dg.DagsterInstance) -> None:
    from orchestration.definitions import defs
    from orchestration.partitions import range_tags

    put_log(environment, ONE, 9)
    job = defs.resolve_job_def("daily_build")
    stored.create_run_for_job(job, tags=range_tags(days_of(ONE)), status=dg.DagsterRunStatus.STARTED)
    ticked = tick(stored, f"{ONE}T10:05")
    assert days(ticked) == []
    assert ONE in ticked.skip_message


def test_a_refresh_asks_for_no_other_day(environment: Environment, instance: dg.DagsterInstance) -> None:
    """A source day may bring rows of many: they would all be built again every hour."""
    from orchestration.definitions import defs

    put_log(environment, ONE, 9)
    ingest(environment, instance, ONE)
    environment.put_object(f"E1TEST.{TWO}-00.a.gz", log(lines(5)))  # of the first day
    (raw,) = materialized(instance, ingest(environment, instance, TWO).run_id)
    assert raw.metadata["touched_days"].value == [ONE]
    resources = {"lakehouse": defs.resources["lakehouse"]}
    with dg.build_sensor_context(instance=instance, definitions=defs, resources=resources) as context:
        assert defs.resolve_sensor_def("late_rows").evaluate_tick(context).run_requests == []


def test_without_news_a_run_reports_nothing(environment: Environment, instance: dg.DagsterInstance) -> None:
    put_log(environment, ONE, 9)
    assert len(materialized(instance, ingest(environment, instance, ONE).run_id)) == 1
    done = ingest(environment, instance, ONE)
    assert done.success
    assert materialized(instance, done.run_id) == []
    assert done.get_asset_check_evaluations() == []


class TestSites:
    """Sites are read each on its own, and the day's figures are of all of them."""

    @pytest.fixture
    def has_events(self) -> bool:
        return True

    def put(self, environment: Environment, site: str, name: str, *rows: bytes) -> None:
        environment.put_event_object(
            f"domain={site}/year={ONE[:4]}/month={ONE[5:7]}/day={ONE[8:]}/hour=10/events-{ONE}-10-{name}.jsonl",
            b"\n".join(rows),
        )

    def test_sites_without_news_are_left_alone(self, environment: Environment, instance: dg.DagsterInstance) -> None:
        for site in ("one.example", "two.example"):
            self.put(environment, site, "a", event_line(pixel(visitorId=site)))
        self.put(environment, "bad.example", "a", b"{")
        ingest(environment, instance, ONE)
        before = environment.contents("raw/events")

        self.put(environment, "two.example", "b", *(event_line(pixel(visitorId=f"v{n}")) for n in range(3)))
        done = ingest(environment, instance, ONE)

        (raw,) = materialized(instance, done.run_id)
        assert raw.metadata["rows_by_site"].value == {"one.example": 1, "two.example": 4}
        assert raw.metadata["refused_sites"].value == ["bad.example"]
        assert (raw.metadata["objects"].value, raw.metadata["objects_read"].value) == (3, 2)
        assert list(refusals(instance, done.run_id)) == days_of(ONE)
        after = environment.contents("raw/events")
        assert {key for key in after if after[key] != before.get(key)} == {
            f"raw/events/event_date={ONE}/source_date={ONE}/site=two.example/data.parquet"
        }
