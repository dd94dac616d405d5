"""`clicklake backfill`: many days in windows. An interrupted backfill can be continued."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING

import click

from ingest.errors import ClicklakeError
from ingest.lake.layout import partition_of, quarantine_folder
from ingest.words import counted
from orchestration.cli import DONE, FAILED
from orchestration.cli.console import notes
from orchestration.cli.days import DAY, span
from orchestration.cli.run import checked_days
from orchestration.marts.known import DAILY_AGGREGATES, SESSIONS
from orchestration.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestration.cli.pipeline import PipelineResult
    from orchestration.operations.backfills import Backfill


@click.command("backfill", short_help="Build many days in windows; the same command continues after an interruption.")
@click.option("--from", "first", type=DAY, required=True, metavar="D1", help="First day, YYYY-MM-DD, UTC.")
@click.option("--to", "last", type=DAY, required=True, metavar="D2", help="Last day.")
@click.option(
    "--window",
    type=click.IntRange(1, 366),
    metavar="DAYS",
    help="Days that one run takes. Default: CLICKLAKE_BACKFILL_WINDOW_DAYS.",
)
@click.option(
    "--parallel", type=click.IntRange(1, 16), default=1, show_default=True, help="Windows at once, each in a process."
)
@click.option("--refused", is_flag=True, help="Only days with a partition in quarantine.")
@click.option("--no-publish", is_flag=True, help="Stop at the marts; nothing is written to MongoDB.")
@click.option("--anew", is_flag=True, help="Begin anew instead of continuing the same backfill.")
def command(
    first: dt.date,
    last: dt.date,
    window: int | None,
    parallel: int,
    refused: bool,
    no_publish: bool,
    anew: bool,
) -> int:
    """Builds the days D1 to D2, both included: raw of all windows first, then their marts and entries.

    Each window is a run of its own. A day that fails a check is refused and named, and the others go on. After an
    interruption the same command goes on with the windows that had not ended. Parallel windows never write the same
    partition at once: each waits for the other's lock.

    \b
    Examples:
      clicklake backfill --from 2026-01-01 --to 2026-12-31
      clicklake backfill --from 2026-01-01 --to 2026-12-31 --window 60 --parallel 2
      clicklake backfill --from 2026-01-01 --to 2026-03-01 --refused
    """
    days = checked_days(first, last)
    settings = load_settings()
    window = window or settings.backfill_window_days
    from orchestration.cli.pipeline import check_reachable, marts_job, publishes_to
    from orchestration.cli.summary import days_by_state, print_summary
    from orchestration.home import dagster_instance
    from orchestration.operations.backfills import begin

    publishes = publishes_to(settings, no_publish)
    check_reachable(settings, publishes)
    if refused:
        days = _refused_days(settings, days)
        if not days:
            notes.print("Nothing of these days lies in quarantine.")
            return DONE
    job = marts_job(publishes)
    asked = f"{first} to {last}{', refused' if refused else ''}"
    order = f"{asked}, windows of {window}, {job}, {settings.lake}"
    with dagster_instance() as instance:
        backfill = begin(instance, order, days, window, job, anew or refused)
    if backfill.ended:
        notes.print(f"Going on with the backfill of {backfill.id}; --anew begins anew")
    result = _run(backfill, parallel)
    print_summary(result)
    if not result.bad:
        return DONE
    notes.print(days_by_state(result), style="red")
    if left := _refused_days(settings, result.bad):
        again = f"clicklake backfill --from {first} --to {last} --refused"
        notes.print(f"{counted(len(left), 'day')} in quarantine. Once mended, again: {again}")
    return FAILED


def _refused_days(settings: Settings, days: Iterable[dt.date]) -> list[dt.date]:
    files = settings.open_lake().files(quarantine_folder())
    return sorted(set(days) & {each.day for file in files if (each := partition_of(file.key))})


def _run(backfill: Backfill, parallel: int) -> PipelineResult:
    from orchestration.cli.pipeline import ended_before, late_days
    from orchestration.home import dagster_instance
    from orchestration.operations.backfills import done

    # Includes windows that ended before: their bad days are still bad, and only this run builds their late days.
    result = ended_before(backfill.ended_by, list(backfill.days))
    progress = _Progress(backfill)
    for job in backfill.jobs:
        for part in _windows(job, backfill.left(job), parallel, backfill.tags):
            progress.ended(job, part)
            result.add(part)
    result.restated = late_days(result)
    for part in _windows(backfill.marts_job, backfill.in_windows(result.restated), 1, {}):
        notes.print(f"Late rows for {span(part.days)}: their marts were built again")
        result.add(part)
    if not result.is_broken:
        with dagster_instance() as instance:
            done(instance, backfill)
    return result


def _windows(
    job: str, windows: Sequence[list[dt.date]], parallel: int, tags: Mapping[str, str]
) -> Iterator[PipelineResult]:
    """Runs a job over each window; yields the result of each window as it ends."""
    from orchestration.cli.pipeline import run_window

    if parallel == 1 or len(windows) < 2:
        for days in windows:
            yield run_window(job, days, tags)
        return
    pool = ProcessPoolExecutor(min(parallel, len(windows)), mp_context=get_context("spawn"))
    try:
        yield from (done.result() for done in as_completed([pool.submit(run_window, job, w, tags) for w in windows]))
    except BrokenProcessPool as error:
        raise ClicklakeError(
            "a process of the backfill was killed, as the system does where memory runs out. Run the same command "
            "again to go on, with fewer at once or smaller windows"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# Prefixes of the assets whose rows are counted: the first marts of logs and of events stand for all.
_COUNTED = {"raw": ("raw_",), "marts": (DAILY_AGGREGATES.name, SESSIONS.name)}


class _Progress:
    """Prints a line for each window, with the progress and the estimated time left."""

    def __init__(self, backfill: Backfill) -> None:
        self._left = {job: len(backfill.left(job)) for job in backfill.jobs}
        self._names = dict(zip(backfill.jobs, ("raw", "marts"), strict=True))
        self._all = len(backfill.windows)
        self._started = time.monotonic()
        self._seconds: dict[str, list[float]] = {job: [] for job in self._left}

    def ended(self, job: str, part: PipelineResult) -> None:

        now = time.monotonic()
        self._seconds[job].append(now - self._started)
        self._started = now
        self._left[job] -= 1
        rows = sum(
            metadata.get("dagster/partition_row_count", 0)
            for (asset, _), metadata in part.materialized.items()
            if asset.startswith(_COUNTED[self._names[job]])
        )
        bad = f", {counted(len(part.bad), 'day')} with an error or a refusal" if part.bad else ""
        notes.print(
            f"{self._names[job]} {span(part.days)}: {rows:,} rows{bad}, {self._seconds[job][-1]:.0f} s; "
            f"{self._all - self._left[job]} of {self._all} windows{self._remaining()}",
        )

    def _remaining(self) -> str:
        """The estimated time left; empty until a window of each job that is left has ended."""
        if not all(self._seconds[job] for job, left in self._left.items() if left):
            return ""
        seconds = sum(
            left * sum(self._seconds[job]) / len(self._seconds[job]) for job, left in self._left.items() if left
        )
        return f", about {seconds / 60:.0f} min left" if seconds > 90 else ""
