"""Runs jobs in this process, stores their events where a UI finds them, and collects the results from them."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg

from ingest.days import day_text, parse_day
from ingest.errors import ClicklakeError, SettingsError
from ingest.lake.layout import Partition
from ingest.partition import lake_format
from orchestration.cli.console import bar, notes, step
from orchestration.cli.days import span
from orchestration.home import dagster_instance
from orchestration.settings import JSON, Settings, load_partition_settings

# The daemon cannot retry the run of a command; the person who called it can.
NOT_RETRIED = {"dagster/max_retries": "0"}

NO_DAY = date(1970, 1, 1)  # a day without data, to test whether a place can be read

# The events that a result is made from.
_COLLECTED = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
}


@dataclass
class PipelineResult:
    """The result of a run, from Dagster's events.

    materialized: (asset, day) → its metadata.
    bad: day → why it was refused or failed.
    refused: day → the (table, check) pairs that stopped it.
    is_broken: whether some step ended before it had judged all its days, such as without S3.
    raw_figures: day → figures of the checks of raw_access_logs, also for refused days.
    warnings: message of a failed check that does not block → its days.
    restated: days outside the run that were built again for late rows.
    seconds: step → seconds.
    """

    days: list[date]
    materialized: dict[tuple[str, date], dict[str, Any]] = field(default_factory=dict)
    bad: dict[date, str] = field(default_factory=dict)
    refused: dict[date, set[tuple[str, str]]] = field(default_factory=dict)
    is_broken: bool = False
    raw_figures: dict[date, dict[str, Any]] = field(default_factory=dict)
    warnings: dict[str, list[date]] = field(default_factory=dict)
    restated: list[date] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: PipelineResult) -> None:
        """Adds the result of a later run of the same days or of others."""
        self.materialized |= other.materialized
        self.bad = other.bad | self.bad  # the first reason is the cause
        for day, checks in other.refused.items():
            self.refused[day] = self.refused.get(day, set()) | checks
        self.is_broken |= other.is_broken
        self.raw_figures |= other.raw_figures
        for text, days in other.warnings.items():
            self.warnings[text] = [*self.warnings.get(text, ()), *days]
        for name, seconds in other.seconds.items():
            self.seconds[name] = self.seconds.get(name, 0.0) + seconds


def publishes_to(settings: Settings, no_publish: bool) -> bool:
    """Whether a command publishes. If no target is ready, prints why, unless `no_publish` is set."""
    from orchestration.publishing.target import ready, why_not
    from orchestration.publishing.targets import TARGETS

    publishes = bool(ready(TARGETS, settings))
    if not (no_publish or publishes):
        notes.print(why_not(TARGETS, settings), highlight=False)
    return publishes and not no_publish


def check_reachable(settings: Settings, publishes: bool, changing: str | None = None) -> None:
    """Reads the rules and sends one cheap request to each place, so that a mistake costs a second and not a run.

    Args:
        changing: the command that changes all of the lake, if it is this one.

    Raises:
        SettingsError: a place cannot be used, or a rule is wrong; in one sentence.
    """
    from orchestration.publishing.target import ready
    from orchestration.publishing.targets import TARGETS
    from orchestration.resources import sources_of
    from orchestration.rules import rules_of

    places = "the sources, the lake and the targets" if publishes else "the sources and the lake"
    try:
        with step(f"Looking at {places}"):
            for source in sources_of(settings).values():
                source.objects([NO_DAY])
            lake = settings.open_lake()
            lake.check()
            rules_of(settings)
            lake_format.look(lake, settings.hash_keys(), changing)
            with lake.staging():
                lake.files(Partition("access_logs", NO_DAY).ledger_folder)
            for target in ready(TARGETS, settings) if publishes else ():
                with target.open(settings):
                    pass
    except ClicklakeError as error:
        raise SettingsError(str(error)) from error


def run_days(
    days: list[date], publishes: bool = True, sites: Sequence[str] = (), reads_raw: bool = True
) -> PipelineResult:
    """Runs consecutive days, then the marts of other days that they brought late rows for.

    Args:
        sites: ingest only the events of these sites; of all sites if empty.
        reads_raw: False begins with the marts, and uses raw as it is.
    """
    from orchestration.partitions import consecutive

    result = PipelineResult(days)
    whole = "pipeline" if publishes else "daily_build"
    with dagster_instance() as instance, _quiet():
        _run(_definitions(result), whole if reads_raw else marts_job(publishes), instance, days, result, sites)
        late = late_days(result)
        for window in consecutive(late):
            notes.print(f"Late rows for {', '.join(map(day_text, window))}: building these marts again")
            _run(_definitions(result), marts_job(publishes), instance, window, result)
        result.restated = late
    return result


def marts_job(publishes: bool) -> str:
    """The job that builds marts on raw as it is."""
    return "restate_and_publish" if publishes else "restate"


def refresh_days(days: list[date], publishes: bool = True) -> PipelineResult:
    """Takes in the new objects of consecutive days. Other days that they bring rows for wait for a whole run."""
    result = PipelineResult(days)
    with dagster_instance() as instance, _quiet():
        defs = _definitions(result)
        from orchestration.operations.jobs import INCREMENTAL
        from orchestration.publishing.targets import TARGETS

        but = () if publishes else [target.name for target in TARGETS]
        _run(defs, "refresh", instance, days, result, config=INCREMENTAL, but=but)
    return result


def run_window(job: str, days: list[date], tags: Mapping[str, str]) -> PipelineResult:
    """Runs one job over consecutive days; several processes may share the windows of a backfill. A run that has judged
    all its days, also refused ones, gets `ENDED_TAG`."""
    from orchestration.operations.backfills import ENDED_TAG

    result = PipelineResult(days)
    with dagster_instance() as instance, _quiet():
        run_id = _run(_definitions(result), job, instance, days, result, tags=tags)
        if not result.is_broken:
            instance.add_run_tags(run_id, {ENDED_TAG: "true"})
    return result


def ended_before(run_ids: Iterable[str], days: list[date]) -> PipelineResult:
    """The result of earlier runs over some of these days, perhaps in another process."""
    result = PipelineResult(days)
    with dagster_instance() as instance:
        for run_id in run_ids:
            run = PipelineResult(days)
            _collect(instance.all_logs(run_id, of_type=_COLLECTED), days, run)
            result.add(run)
    return result


_loaded: dg.Definitions | None = None


def _definitions(result: PipelineResult) -> dg.Definitions:
    """The definitions, loaded once in a process."""
    global _loaded
    if _loaded is None:
        started = time.monotonic()
        with step("Loading Dagster and dbt"):
            from orchestration.marts.project import prepare

            prepare()
            from orchestration.definitions import defs

            _loaded = defs
        result.seconds["load"] = time.monotonic() - started
    return _loaded


def _run(
    defs: dg.Definitions,
    job: str,
    instance: dg.DagsterInstance,
    days: list[date],
    result: PipelineResult,
    sites: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    but: Sequence[str] = (),
) -> str:
    """Runs a job over consecutive days without the assets in `but`, adds its events to `result`, and returns the run's
    id."""
    from orchestration import progress
    from orchestration.partitions import range_tags

    definition = defs.resolve_job_def(job)
    chosen = set(definition.asset_layer.executable_asset_keys) - {dg.AssetKey(name) for name in but} if but else None
    level = "DEBUG" if load_partition_settings().log_format == JSON else "CRITICAL"  # a person has the summary instead
    config = {**(config or {}), "loggers": {"console": {"config": {"log_level": level}}}}
    if sites:
        config["ops"] = {"raw_events": {"config": {"sites": list(sites)}}}
    drawer = progress.drawer.set(bar)
    teller = progress.teller.set(notes.print)
    try:
        with step(f"Running {job} for {span(days)}"):
            ran = definition.execute_in_process(
                instance=instance,
                asset_selection=list(chosen) if chosen else None,
                tags=range_tags(days) | NOT_RETRIED | dict(tags or {}),
                raise_on_error=False,
                run_config=config,
            )
    finally:
        progress.drawer.reset(drawer)
        progress.teller.reset(teller)
    entries = instance.all_logs(ran.run_id, of_type=_COLLECTED | {dg.DagsterEventType.RUN_CANCELED})
    if any(entry.dagster_event and _was_interrupted(entry.dagster_event) for entry in entries):
        raise KeyboardInterrupt  # Dagster has recorded it as a failed or canceled run
    _collect(entries, days, result)
    return ran.run_id


def _was_interrupted(event: dg.DagsterEvent) -> bool:
    if event.event_type == dg.DagsterEventType.STEP_FAILURE and event.step_failure_data.error:
        return event.step_failure_data.error.cls_name == dg.DagsterExecutionInterruptedError.__name__
    return event.event_type == dg.DagsterEventType.RUN_CANCELED


def _collect(entries: Iterable[dg.EventLogEntry], days: list[date], result: PipelineResult) -> None:
    started: dict[str, float] = {}
    for entry in entries:
        event = entry.dagster_event
        if event is None:
            continue
        kind = event.event_type
        if kind == dg.DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            name, day = materialization.asset_key.to_user_string(), parse_day(str(materialization.partition))
            result.materialized[name, day] = {key: value.value for key, value in materialization.metadata.items()}
        elif kind == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            _collect_check(event.event_specific_data, result)
        elif kind == dg.DagsterEventType.STEP_START:
            started[str(event.step_key)] = entry.timestamp
        elif kind in (dg.DagsterEventType.STEP_SUCCESS, dg.DagsterEventType.STEP_FAILURE):
            key = str(event.step_key)
            result.seconds[key] = result.seconds.get(key, 0.0) + entry.timestamp - started[key]
        if kind == dg.DagsterEventType.STEP_FAILURE:
            _collect_failure(event, days, result)


def _collect_check(check: Any, result: PipelineResult) -> None:
    name, day = check.asset_key.to_user_string(), parse_day(check.partition)
    if name == "raw_access_logs":
        figures = {key: value.value for key, value in check.metadata.items()}
        result.raw_figures.setdefault(day, {}).update(figures)
    if check.passed:
        return
    if not check.blocking:
        text = f"{name}: {check.check_name}: {check.description}"
        result.warnings.setdefault(text, []).append(day)
        return
    reason = f"{name} refused ({check.check_name}): {check.description}"
    result.bad[day] = f"{result.bad[day]}; {reason}" if day in result.bad else reason
    result.refused.setdefault(day, set()).add((name.removeprefix("raw_"), check.check_name))


def _collect_failure(event: Any, days: list[date], result: PipelineResult) -> None:
    data = event.step_failure_data
    failure = data.user_failure_data
    named = failure.metadata.get("days") if failure else None
    if named is not None:
        for day, reason in named.value.items():
            result.bad.setdefault(parse_day(day), reason)
        return
    result.is_broken = True
    message = failure.description if failure else (data.error.message if data.error else "failed")
    for day in days:
        result.bad.setdefault(day, f"{event.step_key}: {str(message).strip()}")


def late_days(result: PipelineResult) -> list[date]:
    """Days outside the run that its source days brought rows for, if their own source day is published."""
    from ingest.partition.day import is_published
    from orchestration.raw.assets import RAW_ASSETS
    from orchestration.settings import load_settings

    lake = load_settings().open_lake()
    late: set[date] = set()
    for name, key in RAW_ASSETS.items():
        touched = {
            parse_day(day)
            for (asset, _), metadata in result.materialized.items()
            if asset == key.to_user_string()
            for day in metadata["touched_days"]
        }
        late |= {day for day in touched - set(result.days) if is_published(lake, Partition(name, day))}
    return sorted(late)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the warnings of other libraries from the person who runs a command; the summary has what matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("dagster", "sqlalchemy.pool"):  # the pool logs a traceback at Ctrl-C
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
