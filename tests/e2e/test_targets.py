"""A third target, a file of its own (tests/csv_target.py): published, checked, named and compared as the others are."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest.days import day_text
from orchestration.observability.openlineage import Events
from orchestration.operations.status import MISSING, OUT_OF_DATE, PUBLISHED, target_states
from orchestration.publishing.targets import TARGETS
from orchestration.settings import load_settings
from tests.csv_target import FOLDER, TARGET
from tests.environment_fixtures import DAYS, Environment, mart_key, put_small_day
from tests.log_lines import lines, log
from tests.partitions import days_of

ONE, TWO = DAYS[:2]
CSV, ENTRIES = dg.AssetKey("csv_files"), dg.AssetKey("performance_entries")
ALL = (*TARGETS, TARGET)
CLOSED = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"


@pytest.fixture(scope="module")
def defs(manifest: None) -> dg.Definitions:
    from orchestration.definitions import build_defs

    return build_defs(targets=ALL)


@pytest.fixture
def folder(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the CSV files are to be."""
    made = environment.folder / "share" / "csv"
    made.parent.mkdir()
    monkeypatch.setenv(FOLDER, str(made))
    monkeypatch.setattr("orchestration.failures.SECONDS_BETWEEN_RETRIES", 0.05)
    return made


def put_logs(environment: Environment) -> None:
    """Two days, one with a code that nobody knows."""
    for day in (ONE, TWO):
        put_small_day(environment, day, has_events=False)
    unknown = lines(5, 50, path="/c", query="oid=24017&cid=a&pid=new-paper&ch=website&cr=1&s=1x1")
    environment.put_object(f"E1TEST.{ONE}-11.b.gz", log(unknown))


@pytest.fixture(scope="module")
def built(shared_environment: Environment, defs: dg.Definitions) -> Path:
    """The lake of these days, built once and not published."""
    put_logs(shared_environment)
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(defs, instance, ONE, TWO, job="daily_build").success
    return Path(shared_environment.lake.root)


@pytest.fixture
def marts_are_there(built: Path, environment: Environment) -> None:
    """The lake of a test is a copy of what was built."""
    shutil.copytree(built, environment.lake.root)


def run(
    defs: dg.Definitions, instance: dg.DagsterInstance, *days: str, job: str = "pipeline"
) -> dg.ExecuteInProcessResult:
    from orchestration.partitions import range_tags

    return defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        tags=range_tags(days_of(*days)),
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


def told(instance: dg.DagsterInstance, ran: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> list[Any]:
    return [entry.get_dagster_event() for entry in instance.all_logs(ran.run_id, of_type=kind)]


def published(
    instance: dg.DagsterInstance, ran: dg.ExecuteInProcessResult, key: dg.AssetKey
) -> dict[str, dict[str, Any]]:
    """Day → figures, of the days of an asset that a run has put in place."""
    events = told(instance, ran, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {
        str(each.partition): {name: value.value for name, value in each.metadata.items()}
        for each in (event.step_materialization_data.materialization for event in events)
        if each.asset_key == key
    }


def verdicts(instance: dg.DagsterInstance, ran: dg.ExecuteInProcessResult) -> dict[tuple[str, str], tuple[bool, str]]:
    """(day, check) → whether it passed, and what it says, of the CSV files."""
    events = told(instance, ran, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return {
        (str(each.partition), each.check_name): (each.passed, str(each.description))
        for each in (event.event_specific_data for event in events)
        if each.asset_key == CSV
    }


def failures(ran: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step → what it says, of the steps that failed."""
    failed = [event for event in ran.all_events if event.event_type == dg.DagsterEventType.STEP_FAILURE]
    return {str(event.step_key): str(event.step_failure_data.user_failure_data.description) for event in failed}


def days_in_mongodb(environment: Environment) -> set[str]:
    return {entry["dateStart"].date().isoformat() for entry in environment.entries()}


@pytest.mark.slow
def test_a_target_of_one_file_is_published_checked_and_written_once(
    environment: Environment, defs: dg.Definitions, instance: dg.DagsterInstance, folder: Path
) -> None:
    put_logs(environment)
    first = run(defs, instance, ONE, TWO)
    assert first.success
    assert sorted(path.name for path in folder.iterdir()) == [f"{ONE}.csv", f"{TWO}.csv"]
    rows = {day: environment.lake.read_table(mart_key(day)).num_rows for day in (ONE, TWO)}
    assert rows == {ONE: 2, TWO: 1}
    assert (folder / f"{ONE}.csv").read_text("utf-8").count("\n") == 1 + rows[ONE]
    done = published(instance, first, CSV)
    assert {day: (each["lines"], each["written"]) for day, each in done.items()} == {ONE: (2, 2), TWO: (1, 1)}
    assert verdicts(instance, first) == {
        (ONE, "read_back"): (True, "the file holds what the mart holds"),
        (ONE, "publications_named"): (False, "without a name: new-paper"),
        (TWO, "read_back"): (True, "the file holds what the mart holds"),
        (TWO, "publications_named"): (True, "without a name: none"),
    }
    assert days_in_mongodb(environment) == {ONE, TWO}
    sql = "select distinct layer, severity from marts.data_quality where \"table\" = 'csv_files' order by all"
    judged = environment.command("query", sql, "--format", "csv")
    assert judged.stdout.splitlines()[1:] == ["publishing,error", "publishing,warn"]

    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    again = run(defs, instance, ONE, TWO, job="publish")
    assert again.success
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()} == before
    assert {day: each["written"] for day, each in published(instance, again, CSV).items()} == {ONE: 0, TWO: 0}


@pytest.mark.slow
def test_a_day_that_one_target_refuses_is_named_and_published_to_the_others(
    environment: Environment, defs: dg.Definitions, instance: dg.DagsterInstance, folder: Path
) -> None:
    (folder / f"{TWO}.csv").mkdir(parents=True)
    put_logs(environment)
    ran = run(defs, instance, ONE, TWO)

    why = f"{TWO}.csv is a folder. Remove it, then publish the day again"
    assert failures(ran) == {"csv_files": f"1 day not published. {TWO}: csv_files refused (read_back): {why}"}
    assert set(published(instance, ran, CSV)) == {ONE}
    assert verdicts(instance, ran)[TWO, "read_back"] == (False, why)
    assert (TWO, "publications_named") not in verdicts(instance, ran)
    assert set(published(instance, ran, ENTRIES)) == days_in_mongodb(environment) == {ONE, TWO}

    (folder / f"{TWO}.csv").rmdir()
    assert run(defs, instance, TWO, job="publish").success
    assert (folder / f"{TWO}.csv").is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("marts_are_there")
def test_a_target_that_cannot_be_reached_leaves_the_others_published(
    environment: Environment,
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder.parent.rmdir()
    ran = run(defs, instance, ONE, TWO, job="publish")
    assert failures(ran) == {"csv_files": f"{folder.parent} is not there. Is it mounted? (tried 4 times)"}
    assert set(published(instance, ran, ENTRIES)) == days_in_mongodb(environment) == {ONE, TWO}

    folder.parent.mkdir()
    monkeypatch.setenv("CLICKLAKE_MONGODB_URL", CLOSED)
    ran = run(defs, instance, ONE, TWO, job="publish")
    ((step, said),) = failures(ran).items()
    assert (step, "127.0.0.1:9, connecting: no answer" in said) == ("performance_entries", True)
    assert set(published(instance, ran, CSV)) == {ONE, TWO}
    assert len(list(folder.iterdir())) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("marts_are_there")
def test_a_target_that_lacks_a_setting_says_so_and_the_others_are_published(
    environment: Environment,
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CLICKLAKE_MONGODB_URL")
    ran = run(defs, instance, ONE, job="publish")
    assert ran.success
    said = [
        entry.message for entry in instance.all_logs(ran.run_id) if "CLICKLAKE_MONGODB_URL is not set" in entry.message
    ]
    assert len(said) == 1  # there is no day of campaigns that could be published
    assert set(published(instance, ran, CSV)) == {ONE}
    assert published(instance, ran, ENTRIES) == {}


@pytest.mark.slow
@pytest.mark.usefixtures("marts_are_there")
def test_what_a_target_holds_is_compared_and_named_in_lineage(
    environment: Environment, defs: dg.Definitions, instance: dg.DagsterInstance, folder: Path
) -> None:
    ran = run(defs, instance, ONE, TWO, job="publish")

    def states() -> dict[str, str]:
        with TARGET.open(load_settings()) as opened:
            found = target_states(environment.lake, TARGET, opened, days_of(ONE, TWO))
            return {day_text(day): state for day, state in found.items()}

    assert states() == {ONE: PUBLISHED, TWO: PUBLISHED}
    shutil.copy(folder / f"{ONE}.csv", folder / f"{TWO}.csv")
    assert states() == {ONE: PUBLISHED, TWO: OUT_OF_DATE}
    (folder / f"{TWO}.csv").unlink()
    assert states() == {ONE: PUBLISHED, TWO: MISSING}

    (record,) = instance.get_run_records(dg.RunsFilter(run_ids=[ran.run_id]))
    event = Events(load_settings(), instance, defs.resolve_asset_graph(), ALL).end(record)
    assert ("file", str(folder)) in {(each["namespace"], each["name"]) for each in event["outputs"]}


def tick(
    defs: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[Any, list[tuple[str, Sequence[dg.AssetKey]]]]:
    """A tick of the sensor, and what it asks for: days and assets."""
    resources = {"lakehouse": (defs.resources or {})["lakehouse"]}
    with dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs, resources=resources) as context:
        ticked = defs.resolve_sensor_def("published_marts").evaluate_tick(context)
    return ticked, [(str(each.partition_key), each.asset_selection or ()) for each in ticked.run_requests or ()]


def test_the_sensor_asks_for_all_targets_of_a_mart_while_any_is_ready(
    environment: Environment, defs: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(dg.AssetKey("daily_aggregates"), partition=ONE))
    monkeypatch.setenv(FOLDER, str(environment.folder))
    ticked, asked = tick(defs, instance)
    assert [(day, set(keys)) for day, keys in asked] == [(ONE, {CSV, ENTRIES})]
    assert tick(defs, instance, ticked.cursor)[1] == []

    monkeypatch.delenv("CLICKLAKE_MONGODB_URL")
    assert tick(defs, instance)[1] == asked  # a file is published, and the other says what it lacks
    monkeypatch.delenv(FOLDER)
    ticked, asked = tick(defs, instance)
    assert (asked, ticked.cursor) == ([], None)
    assert "CLICKLAKE_MONGODB_URL is not set; No CSV files are written" in ticked.skip_message


@pytest.mark.parametrize(
    ("job", "is_in"),
    [
        ("daily_build", False),
        ("ingest", False),
        ("restate", False),
        ("publish", True),
        ("pipeline", True),
        ("restate_and_publish", True),
        ("refresh", True),
    ],
)
def test_a_target_is_in_the_jobs_that_publish_its_mart(defs: dg.Definitions, job: str, is_in: bool) -> None:
    assert (CSV in defs.resolve_job_def(job).asset_layer.executable_asset_keys) == is_in
