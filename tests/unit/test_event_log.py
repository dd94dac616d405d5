"""Dagster's events in the storage that writes them with less waiting: the same events, in the same files."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.dagster_internals import event_log, migrations
from orchestration.dagster_internals.event_log import EventLogStorage, at_once
from orchestration.home import dagster_home, dagster_instance
from orchestration.partitions import daily
from orchestration.step import partitioned_check

pytestmark = pytest.mark.slow

DAYS = dg.DailyPartitionsDefinition("2026-01-01", "2026-01-11")


@dg.asset(partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def table(context: dg.AssetExecutionContext) -> None:
    with at_once(context.instance):
        for day in context.partition_keys:
            context.log_event(dg.AssetMaterialization("other", partition=day, metadata={"rows": len(day)}))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / 'a "home"'))
    return dagster_home(tmp_path)


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as made:
        assert isinstance(made.event_log_storage, EventLogStorage)
        yield made


def _run(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    tags = {"dagster/asset_partition_range_start": "2026-01-01", "dagster/asset_partition_range_end": "2026-01-10"}
    return (
        dg.Definitions([table]).resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, tags=tags)
    )


def _days(instance: dg.DagsterInstance, name: str) -> set[str]:
    return set(instance.get_materialized_partitions(dg.AssetKey(name)))


def test_events_are_those_of_dagster_s_own_storage(instance: dg.DagsterInstance, home: Path) -> None:
    ran = _run(instance)
    with dg.DagsterInstance.ephemeral() as own:
        expected = _run(own)
        kinds = [entry.dagster_event_type for entry in own.all_logs(expected.run_id)]
    assert [entry.dagster_event_type for entry in instance.all_logs(ran.run_id)] == kinds
    assert _days(instance, "other") == _days(instance, "table") == set(DAYS.get_partition_keys())

    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as plain:  # the files are Dagster's
        assert not isinstance(plain.event_log_storage, EventLogStorage)
        assert len(plain.all_logs(ran.run_id)) == len(kinds)
        assert _days(plain, "other") == set(DAYS.get_partition_keys())


@dg.multi_asset(
    specs=[dg.AssetSpec("judged")],
    check_specs=[
        partitioned_check("of_each_day", dg.AssetKey("judged"), None, blocking=True),
        dg.AssetCheckSpec("of_the_run", asset="judged"),
    ],
    partitions_def=daily,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def judged(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
    with at_once(context.instance):
        for day in context.partition_keys:
            context.log_event(dg.AssetMaterialization("judged", partition=day, tags={"n": day}))
            context.log_event(dg.AssetObservation("judged", partition=day))
            check = {"asset_key": dg.AssetKey("judged"), "check_name": "of_each_day", "partition": day}
            context.log_event(dg.AssetCheckEvaluation(passed=day < "2026-01-05", metadata={}, **check))  # type: ignore
    yield dg.Output(None)


RECORDS = {
    "event_logs": "run_id, dagster_event_type, step_key, asset_key, partition",
    "asset_keys": "asset_key, last_run_id, json_extract(last_materialization, '$.storage_id'), "
    "last_materialization_timestamp is null",
    "asset_check_executions": "asset_key, check_name, partition, run_id, execution_status, "
    "evaluation_event_storage_id, materialization_event_storage_id, "
    "json_extract(evaluation_event, '$.dagster_event.event_type_value')",
    "asset_event_tags": "event_id, asset_key, key, value",
}


def test_the_records_are_those_of_dagster_s_own_storage(home: Path, tmp_path: Path) -> None:
    tags = {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-07"}
    run_id = "7e0f66a8-0d41-4a11-9f3a-000000000001"
    own = tmp_path / "own"
    own.mkdir()
    (own / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    found = []
    for each in (home, own):
        with dg.DagsterInstance.from_config(str(each)) as instance:
            assert isinstance(instance.event_log_storage, EventLogStorage) == (each is home)
            job = dg.Definitions([judged]).resolve_implicit_global_asset_job_def()
            job.execute_in_process(instance=instance, tags=tags, run_id=run_id, raise_on_error=False)
        rows = {}
        for shard in ("index", run_id):
            with sqlite3.connect(each / "history" / "runs" / f"{shard}.db") as database:
                for table, columns in RECORDS.items():
                    rows[shard, table] = database.execute(f"select {columns} from {table} order by id").fetchall()
        found.append(rows)
    assert found[0] == found[1]
    assert len(found[0]["index", "asset_check_executions"]) == 12


def test_what_an_error_ends_is_stored_as_far_as_it_came(instance: dg.DagsterInstance) -> None:
    def report(day: str) -> None:
        instance.report_runless_asset_event(dg.AssetMaterialization("other", partition=day))

    with pytest.raises(ValueError, match="of the work"), at_once(instance):  # noqa: PT012
        report("2026-01-01")
        assert _days(instance, "other") == {"2026-01-01"}  # seen within
        with at_once(instance):
            report("2026-01-02")
        raise ValueError("of the work")
    assert _days(instance, "other") == {"2026-01-01", "2026-01-02"}


def test_others_have_a_turn_in_a_long_transaction(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "LONGEST_TRANSACTION", -1)
    with at_once(instance), dg.DagsterInstance.from_config(str(home)) as other:
        for day in ("2026-01-01", "2026-01-02"):
            instance.report_runless_asset_event(dg.AssetMaterialization("other", partition=day))
        assert _days(other, "other") == {"2026-01-01", "2026-01-02"}
        other.report_runless_asset_event(dg.AssetMaterialization("other", partition="2026-01-03"))
        instance.report_runless_asset_event(dg.AssetMaterialization("other", partition="2026-01-04"))
    assert len(_days(instance, "other")) == 4


def test_threads_wait_for_one_another(instance: dg.DagsterInstance) -> None:
    def report(first: int) -> None:
        for day in range(first, first + 5):
            with at_once(instance):
                event = dg.AssetMaterialization("other", partition=f"2026-01-{day:02}")
                instance.report_runless_asset_event(event)

    threads = [threading.Thread(target=report, args=[first]) for first in (1, 6, 11, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_days(instance, "other")) == 20


def test_the_scripts_of_migrations_are_read_once_for_new_homes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic.script import ScriptDirectory

    read: list[str] = []
    load = ScriptDirectory._load_revisions

    def counted(self: ScriptDirectory) -> object:
        read.append(self.dir)
        return load(self)

    monkeypatch.setattr(ScriptDirectory, "_load_revisions", counted)
    monkeypatch.setattr(migrations, "_scripts", {})
    with dagster_instance() as instance:
        ran = _run(instance)
        assert instance.all_logs(ran.run_id)
    assert len(read) == 1
    for path in (home / "history" / "runs.db", home / "history" / "runs" / f"{ran.run_id}.db"):
        with sqlite3.connect(path) as database:
            (revision,) = database.execute("select version_num from alembic_version").fetchone()
        assert [script.get_current_head() for script in migrations._scripts.values()] == [revision]
