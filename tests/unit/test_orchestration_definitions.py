"""The definitions as a whole: loading them touches nothing outside, and everything in them is described."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ingest.schema import RAW
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
MARTS = {"daily_aggregates", "campaign_performance"}
ENTRIES = {"performance_entries", "campaign_entries"}
SECRET = "marked-secret-that-must-never-be-seen"
# Refuses every connection, even to this machine, and every look at an address; then says what was loaded.
LOAD = """
import socket, sys

def refuse(*arguments, **options):
    raise AssertionError(f"a connection was tried: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from orchestration.definitions import defs
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster import serialize_value
print(serialize_value(RepositorySnap.from_def(defs.get_repository_def())))
"""


LOADS = {
    "no settings": {},
    "secrets": {
        "CLICKLAKE_HASH_KEY": SECRET,
        "CLICKLAKE_MONGODB_URL": f"mongodb://user:{SECRET}@127.0.0.1:9/",
        "CLICKLAKE_S3_SECRET_ACCESS_KEY": SECRET,
        "CLICKLAKE_S3_SESSION_TOKEN": SECRET,
    },
    "unknown setting": {"CLICKLAKE_FIRSTDAY": "2026-01-01"},
}


@dataclass(frozen=True)
class Loaded:
    """How a load ended, and the folder that it was started in."""

    done: subprocess.CompletedProcess[str]
    folder: Path


@pytest.fixture(scope="module")
def loaded(manifest: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Loaded]:
    """Loads the definitions in fresh processes, elsewhere, with no settings but these."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("CLICKLAKE_", "DAGSTER_", "AWS_"))
    }

    def load(settings: dict[str, str], folder: Path) -> Loaded:
        done = subprocess.run(
            [sys.executable, "-c", LOAD],
            cwd=folder,
            env=inherited | {"PYTHONPATH": str(ROOT)} | settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Loaded(done, folder)

    folders = [tmp_path_factory.mktemp("elsewhere") for _ in LOADS]
    with ThreadPoolExecutor(len(LOADS)) as pool:
        return dict(zip(LOADS, pool.map(load, LOADS.values(), folders), strict=True))


@pytest.fixture(scope="module")
def defs(manifest: None) -> dg.Definitions:
    from orchestration.definitions import build_defs

    return build_defs()


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> list[dg.AssetSpec]:
    return [spec for spec in defs.resolve_all_asset_specs() if spec.partitions_def is not None]


@pytest.mark.parametrize("settings", ["no settings", "secrets"])
@pytest.mark.slow
def test_loading_needs_no_settings_and_opens_no_connection(loaded: dict[str, Loaded], settings: str) -> None:
    done, folder = loaded[settings].done, loaded[settings].folder
    assert done.returncode == 0, done.stderr
    assert "raw_access_logs" in str(json.loads(done.stdout))
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_no_secret_is_in_the_definitions(loaded: dict[str, Loaded]) -> None:
    assert SECRET in str(LOADS["secrets"])
    assert SECRET not in loaded["secrets"].done.stdout + loaded["secrets"].done.stderr


@pytest.mark.slow
def test_an_unknown_setting_is_an_error_at_load(loaded: dict[str, Loaded]) -> None:
    done = loaded["unknown setting"].done
    assert done.returncode != 0
    assert "CLICKLAKE_FIRSTDAY is no setting. Did you mean CLICKLAKE_FIRST_DAY?" in done.stderr


# Of models the folders that they lie in.
GROUPS = {
    *("raw", "seeds", "publishing", "quality"),
    *(folder.name for folder in (ROOT / "dbt_project" / "models").glob("*/*/")),
}


def test_every_asset_says_what_it_is_and_whose(specs: list[dg.AssetSpec]) -> None:
    names = {spec.key.to_user_string() for spec in specs}
    assert {"raw_access_logs", "daily_aggregates", "performance_entries", "campaign_entries", "publications"} <= names
    for spec in specs:
        assert spec.description, spec.key
        assert len(spec.description) > 20, spec.key
        assert spec.group_name in GROUPS, f"{spec.key}: {spec.group_name}"
        assert spec.kinds, spec.key
        assert spec.owners == ["team:data-platform"], spec.key


def test_every_asset_has_the_one_partitioning(specs: list[dg.AssetSpec]) -> None:
    from orchestration.partitions import daily

    assert {spec.partitions_def for spec in specs} == {daily}
    assert daily.get_first_partition_key() == "2015-01-01"


def test_every_asset_function_has_a_return_annotation(defs: dg.Definitions) -> None:
    """Without one, a run over a range fails on its output."""
    from orchestration.publishing.targets import TARGETS

    found = [each for each in defs.assets or () if isinstance(each, dg.AssetsDefinition) and each.is_executable]
    assert len(found) == 3 + len(TARGETS)
    for each in found:
        function: Any = each.op.compute_fn.decorated_fn
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty, function
        assert each.backfill_policy == dg.BackfillPolicy.multi_run(30), function


def test_checks_have_a_result_for_each_day_and_are_described(defs: dg.Definitions) -> None:
    from ingest.partition.audit import checks_of
    from ingest.partition.datasets import DATASETS

    checks = list(defs.resolve_asset_graph().asset_check_keys)
    for name, dataset in DATASETS.items():
        of_raw = {key.name for key in checks if key.asset_key == dg.AssetKey(f"raw_{name}")}
        assert of_raw == {check.name for check in checks_of(dataset)}
    for asset in ("daily_aggregates", "performance_entries", "campaign_entries"):
        assert any(key.asset_key == dg.AssetKey(asset) for key in checks), asset
    for each in defs.assets or ():
        for spec in each.check_specs if isinstance(each, dg.AssetsDefinition) else ():
            assert spec.partitions_def is not None, spec.name
            assert spec.description, spec.name


def test_a_check_of_a_dbt_test_says_what_the_test_asks_for(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()

    def said(asset: str, check: str) -> str | None:
        return graph.get_check_spec(dg.AssetCheckKey(dg.AssetKey(asset), check)).description

    assert said("campaign_days", "campaign_days_unique") == (
        "The columns identify a row; null is a value of its own: report_date, campaign_key"
    )
    assert said("dim_dates", "dates_are_known") == (
        "Every day of a fact is in dim_dates. Gives those of the built days that are not"
    )


def test_a_mart_says_that_it_lies_in_the_lake(specs: list[dg.AssetSpec]) -> None:
    kinds = {spec.key.to_user_string(): spec.kinds for spec in specs}
    assert kinds["sessions"] == {"dbt", "duckdb", "parquet"}
    assert kinds["stg_events"] == kinds["publications"] == {"dbt", "duckdb"}


def test_without_logs_the_marts_of_logs_alone_are_left_out(manifest: None) -> None:
    from orchestration.marts.assets import WITHOUT
    from orchestration.marts.project import manifest as found

    parents = found()["parent_map"]

    def above(node: str) -> set[str]:
        return {node}.union(*map(above, parents.get(node, ())))

    models = {
        node["name"]: {each.rpartition(".")[2] for each in above(id_) if each.startswith("source.")}
        for id_, node in found()["nodes"].items()
        if node["resource_type"] == "model" and node["config"]["materialized"] == "lake_table"
    }
    assert set(WITHOUT["access_logs"][1:]) == {name for name, made_of in models.items() if made_of == {"access_logs"}}


def test_what_can_run(defs: dg.Definitions) -> None:
    repository = defs.get_repository_def()
    jobs = {name for name in repository.job_names if not name.startswith("__")}
    assert jobs == {"daily_build", "ingest", "restate", "publish", "pipeline", "restate_and_publish", "refresh"}
    assert {each.name for each in repository.sensor_defs} == {
        "new_objects",
        "late_rows",
        "published_marts",
        "dead_runs",
        "alerts",
        "lineage",
    }
    assert {each.name for each in repository.schedule_defs} == {"build_yesterday", "refresh_today"}
    for each in (*repository.sensor_defs, *repository.schedule_defs, *map(repository.get_job, jobs)):
        assert each.description, each.name


@pytest.mark.parametrize(
    ("job", "holds", "lacks"),
    [
        ("daily_build", {"raw_access_logs", "publications", *MARTS}, ENTRIES),
        ("restate", {"publications", *MARTS}, {"raw_access_logs", *ENTRIES}),
        ("publish", ENTRIES, {"raw_access_logs", *MARTS}),
        ("pipeline", {"raw_access_logs", "publications", *MARTS, *ENTRIES}, set()),
        ("restate_and_publish", {*MARTS, *ENTRIES}, {"raw_access_logs"}),
        (
            "refresh",
            {"raw_access_logs", "raw_events", "publications", "daily_aggregates", "performance_entries"},
            {"sessions", "campaign_performance", "campaign_entries"},
        ),
    ],
)
def test_what_each_job_builds(defs: dg.Definitions, job: str, holds: set[str], lacks: set[str]) -> None:
    layer = defs.resolve_job_def(job).asset_layer
    built = {key.to_user_string() for key in layer.executable_asset_keys}
    assert holds <= built
    assert not lacks & built


def test_the_lineage_leads_from_the_logs_to_mongodb(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    above = {key.to_user_string() for key in graph.get_ancestor_asset_keys(dg.AssetKey("performance_entries"))}
    assert {"raw_access_logs", "stg_access_logs__requests", "daily_aggregates", "publications"} <= above
    above = {key.to_user_string() for key in graph.get_ancestor_asset_keys(dg.AssetKey("campaign_entries"))}
    assert {"raw_access_logs", "raw_events", *MARTS, "campaign_spend"} <= above


def test_a_resource_can_be_replaced(manifest: None) -> None:
    from dagster_duckdb import DuckDBResource

    from orchestration.definitions import build_defs
    from orchestration.resources import Lakehouse

    other = Lakehouse(duckdb=DuckDBResource(database=":memory:", connection_config={"threads": 1}))
    assert build_defs(lakehouse=other).resources["lakehouse"] is other
    assert build_defs().resources["lakehouse"] is not other


@pytest.mark.parametrize(
    ("name", "dataset", "own"),
    [("stg_access_logs__requests", "access_logs", []), ("stg_events", "events", ["visitor_key"])],
)
def test_staging_shows_the_columns_of_raw(defs: dg.Definitions, name: str, dataset: str, own: list[str]) -> None:
    spec = defs.resolve_asset_graph().get(dg.AssetKey(name))
    schema = spec.metadata["dagster/column_schema"]
    assert [column.name for column in schema.columns] == [*(each.name for each in RAW[dataset]), *own]
    assert all(column.description for column in schema.columns)
