"""OpenLineage: what a receiver is told of real runs, whatever becomes of it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from tests.alert_fixtures import HttpReceiver, http_receiver
from tests.environment_fixtures import DAYS, SECRET, Environment
from tests.log_lines import lines, log

RAW = dg.AssetKey("raw_access_logs")


@pytest.fixture
def receiver(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    with http_receiver() as made:
        monkeypatch.setenv("CLICKLAKE_OPENLINEAGE_URL", f"{made.url}/api/v1/lineage")
        monkeypatch.setenv("CLICKLAKE_OPENLINEAGE_API_KEY", SECRET)
        yield made


class Sensor:
    """Ticks with the cursor of the tick before, as the daemon does."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.cursor = instance, None

    def tick(self) -> str:
        from orchestration.definitions import defs

        resources = {"lakehouse": defs.resources["lakehouse"]}
        context: Any = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, definitions=defs, resources=resources
        )
        with context:
            ticked = defs.resolve_sensor_def("lineage").evaluate_tick(context)
            self.cursor = ticked.cursor
            return str(ticked.skip_message)


@pytest.fixture
def sensor(instance: dg.DagsterInstance) -> Sensor:
    return Sensor(instance)


def ingest(environment: Environment, instance: dg.DagsterInstance, *rows: bytes) -> str:
    environment.put_object(f"E1TEST.{DAYS[0]}-10.a.gz", log(list(rows)))
    return environment.job("daily_build", instance, [DAYS[0]], selection=[RAW]).run_id


def wrote(instance: dg.DagsterInstance, *keys: dg.AssetKey) -> None:
    """A run that put a partition of each of these in place."""

    @dg.op
    def write(context) -> None:  # type: ignore[no-untyped-def]
        for key in keys:
            metadata = {"dagster/partition_row_count": 3, "bytes": 100}
            context.log_event(dg.AssetMaterialization(key, partition=DAYS[0], metadata=metadata))

    @dg.job
    def restate() -> None:
        write()

    assert restate.execute_in_process(instance=instance).success


def told(receiver: HttpReceiver) -> list[tuple[str, str]]:
    return [(event["eventType"], event["run"]["runId"]) for event in receiver.taken]


def test_the_start_and_end_of_runs_are_told_once(
    environment: Environment, instance: dg.DagsterInstance, receiver: HttpReceiver, sensor: Sensor
) -> None:
    good = ingest(environment, instance, *lines(20))
    assert sensor.tick() == "told of all runs"
    bad = ingest(environment, instance, *[b"no log line"] * 20)
    for _ in range(3):
        sensor.tick()
    assert told(receiver) == [("START", good), ("COMPLETE", good), ("START", bad), ("FAIL", bad)]

    start, complete, _, fail = receiver.taken
    for event in receiver.taken:
        assert set(event) == {
            "eventType", "eventTime", "run", "job", "inputs", "outputs", "producer", "schemaURL",
        }  # fmt: skip
        assert event["job"] == {"namespace": "clicklake", "name": "daily_build", "facets": {}}
        assert event["run"]["facets"]["nominalTime"]["nominalStartTime"] == f"{DAYS[0]}T00:00:00Z"
    assert start["eventTime"] < complete["eventTime"]
    [source], [output] = complete["inputs"], complete["outputs"]
    assert (source["namespace"], source["name"]) == (f"s3://{environment.bucket}", "access-logs")
    assert (output["namespace"], output["name"]) == ("file", f"{environment.folder}/lake/raw/access_logs")
    statistics = output["outputFacets"]["outputStatistics"]
    assert statistics["rowCount"] == 20
    assert statistics["size"] > 0
    assert {"request_id", "ip_hash"} <= {column["name"] for column in output["facets"]["schema"]["fields"]}
    assert fail["outputs"] == []
    assert "raw_access_logs refused (objects_readable" in fail["run"]["facets"]["errorMessage"]["message"]
    assert {header["Authorization"] for header in receiver.headers} == {f"Bearer {SECRET}"}
    assert SECRET not in str(receiver.bodies)


def test_a_receiver_that_was_down_is_told_of_everything(
    environment: Environment, instance: dg.DagsterInstance, receiver: HttpReceiver, sensor: Sensor
) -> None:
    receiver.status = 503
    runs = [ingest(environment, instance, *lines(20)), ingest(environment, instance, *lines(30))]
    for _ in range(7):
        assert sensor.tick() == "the OpenLineage receiver answered 503; tried again at the next tick"
    receiver.status = 200
    sensor.tick()
    assert told(receiver) == [(kind, run) for run in runs for kind in ("START", "COMPLETE")]


def test_an_event_that_is_refused_again_and_again_is_left_out(
    environment: Environment, instance: dg.DagsterInstance, receiver: HttpReceiver, sensor: Sensor
) -> None:
    run = ingest(environment, instance, *lines(20))
    receiver.status = 422
    for _ in range(5):
        assert "answered 422" in sensor.tick()
    receiver.status = 200
    sensor.tick()
    assert told(receiver) == [("COMPLETE", run)]


def test_inputs_are_the_nearest_tables_of_the_lake(
    environment: Environment,
    instance: dg.DagsterInstance,
    receiver: HttpReceiver,
    sensor: Sensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLICKLAKE_MONGODB_URL", f"mongodb://user:{SECRET}@mongo.example.com:27017/")
    wrote(instance, dg.AssetKey("daily_aggregates"), dg.AssetKey("int_ad_requests__validity"))
    wrote(instance, dg.AssetKey("performance_entries"))
    sensor.tick()
    lake = f"{environment.folder}/lake"
    ends = [event for event in receiver.taken if event["eventType"] == "COMPLETE"]
    places = [
        [[(each["namespace"], each["name"]) for each in event[side]] for side in ("inputs", "outputs")]
        for event in ends
    ]
    mart = ("file", f"{lake}/marts/daily_aggregates")
    database = environment.settings["CLICKLAKE_MONGODB_DATABASE"]
    assert places == [
        [[("file", f"{lake}/raw/access_logs")], [mart]],
        [[mart], [("mongodb://mongo.example.com:27017", f"{database}.performance_entries")]],
    ]
    assert SECRET not in str(receiver.bodies)


def test_without_a_receiver_nothing_is_told(
    environment: Environment, instance: dg.DagsterInstance, sensor: Sensor
) -> None:
    assert sensor.tick() == "CLICKLAKE_OPENLINEAGE_URL is not set"
    assert sensor.cursor is None
