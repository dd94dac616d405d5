"""The exporter: what it says of real runs, and that it goes on where a part cannot be read."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.environment_fixtures import CLICKLAKE, DAYS, ROOT, SECRET, Environment, bad, good
from tests.waiting import PATIENCE

RAW = dg.AssetKey("raw_access_logs")
ROWS = 2_000


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(scope="module")
def built(shared_environment: Environment, instance: dg.DagsterInstance) -> Environment:
    """Two days of logs, the second of them refused."""
    shared_environment.put(good(DAYS[0], ROWS), bad(DAYS[1], ROWS))
    shared_environment.job("daily_build", instance, DAYS[:2], selection=[RAW])
    return shared_environment


def registry(instance: dg.DagsterInstance, seconds_kept: float = 0) -> Any:
    from orchestration.definitions import defs
    from orchestration.observability.metrics import registry_of
    from orchestration.settings import load_lake_settings

    return registry_of(load_lake_settings().open_lake(), instance, defs, seconds_kept)


def values(text: str) -> dict[tuple[str, ...], float]:
    """(name, label values in the order of their names …) → value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_exporter_says_what_became_of_runs(built: Environment, instance: dg.DagsterInstance) -> None:
    text = generate_latest(registry(instance)).decode()
    found = values(text)

    documented = re.findall(
        r"^\| `(clicklake_\w+)`", (ROOT / "docs" / "observability.md").read_text("utf-8"), re.MULTILINE
    )
    assert {family.name for family in text_string_to_metric_families(text)} == set(documented)
    assert found["clicklake_up",] == 1
    assert found["clicklake_quarantine_partitions", "raw_access_logs"] == 1
    assert found["clicklake_quarantine_partitions", "raw_events"] == 0
    assert found["clicklake_checks_failing", "error"] >= 1
    assert found["clicklake_runs", "daily_build", "failure"] == 1
    assert found["clicklake_runs", "daily_build", "success"] == 0
    assert found["clicklake_runs_queued",] == 0
    assert found["clicklake_step_last_duration_seconds", "failure", "raw_access_logs"] > 0
    assert found["clicklake_backfills_running",] == 0
    assert found["clicklake_alerts_open", "refused"] == 0
    kept = sum(len(table) for key, table in built.rows("raw").items() if f"source_date={DAYS[0]}" in key)
    assert found["clicklake_asset_rows", "raw_access_logs"] == kept
    assert found["clicklake_asset_bytes", "raw_access_logs"] > 0
    assert found["clicklake_asset_last_success_timestamp_seconds", "raw_access_logs"] > 1.7e9
    assert 0 <= found["clicklake_newest_object_age_seconds", "access_logs"] < 3600
    assert found["clicklake_published_day_age_seconds", "raw_access_logs"] > 86400
    assert not re.search(r"\d{4}-\d{2}-\d{2}", text)  # no label grows with time
    assert SECRET not in text


def test_a_mended_day_fails_no_check_any_more(built: Environment, instance: dg.DagsterInstance) -> None:
    kept = registry(instance)
    before = values(generate_latest(kept).decode())
    built.remove(*[key.partition("/")[2] for key in keys_of(built, DAYS[1])])
    built.put(good(DAYS[1], ROWS))
    built.job("daily_build", instance, DAYS[1:2], selection=[RAW])
    after = values(generate_latest(kept).decode())

    assert before["clicklake_checks_failing", "error"] > after["clicklake_checks_failing", "error"] == 0
    assert after["clicklake_quarantine_partitions", "raw_access_logs"] == 0
    assert after["clicklake_runs", "daily_build", "success"] == 1


def keys_of(environment: Environment, day: str) -> list[str]:
    listed = environment.s3.list_objects_v2(Bucket=environment.bucket).get("Contents", ())
    return [each["Key"] for each in listed if day in each["Key"]]


def test_what_cannot_be_read_is_named_and_the_rest_is_there(built: Environment, instance: dg.DagsterInstance) -> None:
    from orchestration.alerts.outbox import STATE_KEY

    built.lake.put_text("{}", STATE_KEY)
    found = values(generate_latest(registry(instance)).decode())
    failed = {labels[0] for name, *labels in found if name == "clicklake_scrape_error" and found[name, *labels]}
    built.lake.delete(STATE_KEY)
    assert failed == {"alerts"}
    assert found["clicklake_up",] == 0
    assert found["clicklake_asset_rows", "raw_access_logs"] > 0


def test_scrapes_in_a_row_read_once(built: Environment, instance: dg.DagsterInstance) -> None:
    kept = registry(instance, seconds_kept=600)
    assert generate_latest(kept) == generate_latest(kept)


def test_the_progress_of_a_backfill(built: Environment, instance: dg.DagsterInstance) -> None:
    from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
    from dagster._core.execution.asset_backfill import AssetBackfillData
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    from orchestration.partitions import daily

    def subset(days: list[str]) -> AssetGraphSubset:
        partitions = daily.empty_subset().with_partition_keys(days)
        return AssetGraphSubset(partitions_subsets_by_asset_key={RAW: partitions})

    data = AssetBackfillData.empty(subset(DAYS), 1.0, instance)._replace(materialized_subset=subset(DAYS[:2]))
    instance.add_backfill(
        PartitionBackfill(
            "b1", BulkActionStatus.REQUESTED, False, {}, 1.0, asset_selection=[RAW], asset_backfill_data=data
        )
    )
    found = values(generate_latest(registry(instance)).decode())
    assert found["clicklake_backfills_running",] == 1
    assert found["clicklake_backfill_partitions",] == len(DAYS)
    assert found["clicklake_backfill_partitions_done",] == 2


def test_the_command_serves_on_loopback(built: Environment) -> None:
    process = subprocess.Popen(
        [CLICKLAKE, "metrics", "--port", "0"],
        env=built.variables(),
        stderr=subprocess.PIPE,
        text=True,
        cwd=built.folder,
    )
    try:
        assert process.stderr is not None
        told = process.stderr.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/metrics", told)
        assert url, told
        with urllib.request.urlopen(url[0], timeout=PATIENCE) as answer:
            assert values(answer.read().decode())["clicklake_up",] == 1
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0
