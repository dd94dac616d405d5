"""The end of commands that change all of a lake: its marts are built again, and other runs may write once more."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from ingest.errors import SettingsError
from ingest.lake.files import Lake
from ingest.lake.layout import LAKE_FILE, LEDGER, MARTS, RAW, partition_of
from orchestration.cli import DONE, FAILED
from orchestration.cli.console import notes
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.cli.pipeline import PipelineResult


def ensure_lake(lake: Lake) -> None:
    """
    Raises:
        SettingsError: there is no lake at this place.
    """
    if not lake.exists(LAKE_FILE) and not any(lake.folders(layer) for layer in (LEDGER, RAW, MARTS)):
        raise SettingsError(
            f"There is no lake at {lake.url}. The first run makes one; to use another, set CLICKLAKE_LAKE"
        )


def published_days(lake: Lake) -> set[dt.date]:
    """The source days of which anything was published."""
    return {each.day for file in lake.files(LEDGER) if (each := partition_of(file.key))}


def build_all(
    lake: Lake,
    settings: Settings,
    command: str,
    publishes: bool,
    first_read: Sequence[dt.date],
    without: Collection[dt.date] = (),
) -> int:
    """Reads some days from their source, builds the marts of all published days, and ends the change of the lake unless
    a run broke off. Returns the exit status.

    Args:
        without: days whose marts stay as they are.
    """
    from ingest.partition import lake_format
    from orchestration.cli.pipeline import marts_job
    from orchestration.cli.summary import days_by_state, print_summary

    results = list(_runs("ingest", first_read, settings, command))
    results += _runs(marts_job(publishes), sorted(published_days(lake) - set(without)), settings, command)
    if not any(each.is_broken for each in results):
        lake_format.end_change(lake, settings.hash_keys())
    else:
        notes.print(f"It has not ended. Call {command} again to go on", style="red")
    if not results:
        return DONE
    result = results[0]
    for each in results[1:]:
        result.days = sorted({*result.days, *each.days})
        result.add(each)
    print_summary(result)
    if result.bad:
        notes.print(days_by_state(result), style="red")
        return FAILED
    return DONE


def _runs(job: str, days: Sequence[dt.date], settings: Settings, command: str) -> list[PipelineResult]:
    from orchestration.cli.pipeline import run_window
    from orchestration.partitions import consecutive
    from orchestration.step import CHANGE_TAG

    size = settings.backfill_window_days
    windows = [run[start : start + size] for run in consecutive(days) for start in range(0, len(run), size)]
    return [run_window(job, window, {CHANGE_TAG: command}) for window in windows]
