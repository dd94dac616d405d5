"""Runs that the UI lets a person start and that make no sense: they fail with a sentence that says what to do."""

from __future__ import annotations

import dagster as dg
import pytest

from orchestration.marts.project import prepare

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def failure_of(step: str, assets: list[str], day: str | None) -> str:
    """What a step of a run of these assets says; no settings are there, so that whatever is not refused fails too."""
    prepare()
    from orchestration.definitions import defs

    with dg.DagsterInstance.ephemeral() as instance:
        ran = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in assets],
            partition_key=day,
            raise_on_error=False,
            run_config=QUIET,
        )
    (failure,) = [
        event.step_failure_data for event in ran.all_events if event.is_step_failure and event.step_key == step
    ]
    return failure.user_failure_data.description if failure.user_failure_data else failure.error.message


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.delenv("CLICKLAKE_LAKE", raising=False)
    monkeypatch.chdir(str(tmp_path))


def test_a_mart_is_not_built_before_the_raw_day_that_the_same_run_builds() -> None:
    message = failure_of("dbt_models", ["raw_access_logs", "daily_aggregates"], "2026-01-12")
    assert "Select what lies between" in message


@pytest.mark.parametrize("asset", ["daily_aggregates", "publications"])
def test_what_stands_alone_goes_ahead(asset: str) -> None:
    assert "CLICKLAKE_LAKE is not set" in failure_of("dbt_models", [asset], "2026-01-12")


@pytest.mark.parametrize("step", ["raw_access_logs", "performance_entries", "campaign_entries"])
def test_a_run_without_a_day_says_that_it_has_none(step: str) -> None:
    assert "names no day" in failure_of(step, [step], None)


def test_a_run_of_models_without_a_day_says_that_it_has_none() -> None:
    assert "names no day" in failure_of("dbt_models", ["daily_aggregates"], None)
