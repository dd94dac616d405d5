"""Raw assets: they ingest the source days of a run. `ingest/` reads the logs and events."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any, TypeVar

import dagster as dg
from pydantic import Field

from ingest.days import day_text
from ingest.errors import ClicklakeError, LakeError, ObjectChangedError, SourceError, TransientLakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import Partition, partition_of, site_folder, value_in
from ingest.partition.audit import Verdict, checks_of
from ingest.partition.datasets import ACCESS_LOGS, DATASETS, EVENTS, Dataset
from ingest.partition.day import AT_ONCE, DayResult, IngestOptions, Turn, ingest_day, moot_refusals, raw_files_of
from ingest.partition.ledger import (
    is_judged,
    is_kept_as_it_is,
    not_read,
    objects_by_day,
    parts_of,
    version_of,
    versions_taken_of_day,
)
from ingest.partition.stage import Read
from ingest.partition.together import Parts, groups, read_together
from ingest.schema import ACCESS_LOGS as ACCESS_LOG_COLUMNS
from ingest.schema import EVENTS as EVENT_COLUMNS
from ingest.schema import Column
from ingest.source import Source, SourceObject
from ingest.words import counted
from orchestration import progress
from orchestration.dagster_internals.event_log import at_once
from orchestration.failures import explained
from orchestration.partitions import consecutive, daily, range_in_windows
from orchestration.quality import Judgement
from orchestration.raw.side_by_side import side_by_side, stretches
from orchestration.resources import SETTINGS, Lakehouse
from orchestration.rules import rules_of
from orchestration.step import Step, begun, partitioned_check

PARTITIONS_AT_ONCE = 4
Ahead = Mapping[Partition, tuple[Sequence[SourceObject], Read]]  # partition → its objects, and what they hold
T = TypeVar("T")

RAW_ACCESS_LOGS = dg.AssetKey("raw_access_logs")
RAW_EVENTS = dg.AssetKey("raw_events")
RAW_ASSETS = {ACCESS_LOGS.name: RAW_ACCESS_LOGS, EVENTS.name: RAW_EVENTS}
OWNERS = ["team:data-platform"]
NEVER_BLOCKS = {"objects_whole", "volume", "reject_rate", "schema_drift"}
DAYS_NAMED = 10  # in warnings of one step
LISTINGS = 3  # of a day whose objects change while they are read, before the step is retried later


class Reading(dg.Config):
    """How a day is read."""

    incremental: bool = Field(
        default=False, description="Read only new objects, and add their rows to the published ones"
    )
    only_if_news: list[str] = Field(
        default=[], description="Days to leave as they are, unless their objects are others than those last judged"
    )


class Sites(Reading):
    """The sites of a day to ingest; all if the list is empty."""

    sites: list[str] = Field(default=[])


def _definition(dataset: Dataset, description: str, columns: tuple[Column, ...]) -> dict[str, Any]:
    key = RAW_ASSETS[dataset.name]
    schema = dg.TableSchema(
        [dg.TableColumn(each.name, str(each.type), description=each.description) for each in columns]
    )
    return {
        "name": key.to_user_string(),
        "specs": [
            dg.AssetSpec(
                key,
                description=description,
                group_name="raw",
                kinds={"s3", "python", "parquet"},
                owners=OWNERS,
                metadata={"dagster/column_schema": schema},
                skippable=True,
            )
        ],
        "check_specs": [
            partitioned_check(check.name, key, check.description, blocking=check.name not in NEVER_BLOCKS)
            for check in checks_of(dataset)
        ],
        "can_subset": True,
        "partitions_def": daily,
        "backfill_policy": range_in_windows,
    }


@dg.multi_asset(
    **_definition(
        ACCESS_LOGS,
        "CloudFront access logs of one source day, typed, pseudonymised, deduplicated and checked, as Parquet "
        "by event date: raw/access_logs/event_date=E/source_date=S. A day that fails a check is put into "
        "quarantine, and its last good version stays.",
        ACCESS_LOG_COLUMNS,
    )
)
def raw_access_logs(
    context: dg.AssetExecutionContext, lakehouse: Lakehouse, config: Reading
) -> Iterator[dg.Output[None]]:
    with begun(context, lakehouse) as step:
        yield from _ingest(step, ACCESS_LOGS, config)


@dg.multi_asset(
    **_definition(
        EVENTS,
        "Events of one day of receipt, of all sites, validated against the schemas of their shapes, typed, "
        "pseudonymised, deduplicated and checked site by site, as Parquet by event date: "
        "raw/events/event_date=E/source_date=S/site=X. A site that fails a check is put into quarantine, and its last "
        "good version stays; the other sites go on.",
        EVENT_COLUMNS,
    )
)
def raw_events(context: dg.AssetExecutionContext, lakehouse: Lakehouse, config: Sites) -> Iterator[dg.Output[None]]:
    with begun(context, lakehouse) as step:
        yield from _ingest(step, EVENTS, config, config.sites)


@dataclass
class _Work:
    """The source, the lake and the options of a step, and the listings of its days."""

    options: IngestOptions
    lake: Lake
    source: Source
    dataset: Dataset
    days: Sequence[date]
    sites: Sequence[str]
    reading: Reading
    objects: dict[date, list[SourceObject]] = field(default_factory=dict)
    delivered: set[date] = field(default_factory=set)  # days that the source has any object of
    # (source day, name of the site's folder) → raw files
    raw_files: dict[tuple[date, str | None], list[LakeFile]] = field(default_factory=dict)

    def list(self) -> None:
        """Lists all days at once: a listing costs as much for one day as for many. Days that are worked on meanwhile
        see the listing before or this one, each of which is true of them while they are locked."""
        found = self.source.objects(self.days)
        raw_files: dict[tuple[date, str | None], list[LakeFile]] = {}
        for file in raw_files_of(self.lake, self.dataset.name, self.days):
            if part := partition_of(file.key):
                raw_files.setdefault((part.day, value_in(file.key, "site")), []).append(file)
        self.delivered = {item.day for item in found}
        self.objects = objects_by_day(item for item in found if not self.sites or item.site in self.sites)
        self.raw_files = raw_files

    def is_behind(self, day: Partition) -> bool:
        """Whether another run has since ingested objects of this day that the listing lacks."""
        known = set(map(version_of, self.objects_of(day)))
        taken = _unless_broken(lambda: versions_taken_of_day(self.lake, day, self.sites))
        return taken is not None and not taken <= known

    def raw_files_of(self, partition: Partition) -> Sequence[LakeFile]:
        """The raw files of a partition, and perhaps others of its day."""
        if partition.site is not None:
            return self.raw_files.get((partition.day, site_folder(partition.site).partition("=")[2]), ())
        return [file for (day, _), files in self.raw_files.items() if day == partition.day for file in files]

    def objects_of(self, partition: Partition) -> Sequence[SourceObject]:
        site = partition.site
        return [item for item in self.objects.get(partition.day, ()) if site is None or item.site == site]


@dataclass(frozen=True)
class _Beside:
    """What a day has of the days that are worked on at the same time: what its small partitions hold, if they were read
    together, and its turn to be judged."""

    read: Ahead = field(default_factory=dict)
    turn: Turn = AT_ONCE


def _ingest(step: Step, dataset: Dataset, reading: Reading, sites: Sequence[str] = ()) -> Iterator[dg.Output[None]]:
    context, lakehouse, days = step.context, step.lakehouse, step.days
    bad: dict[date, str] = {}
    has_others = False
    with explained():
        settings = lakehouse.settings()
        rules = rules_of(settings)  # a run that could not build its marts does not begin
        lake = lakehouse.lake()
        options = replace(settings.ingest_options(), tenants=rules.sites.tenants)
        sources = lakehouse.sources()
        has_others = len(sources) > 1
        source = sources.get(dataset.name)
        if source is None:
            context.log.info(f"{SETTINGS[dataset.name]} is not set: there are no {dataset.name}")
        else:
            with step.at_work(lake):
                bad = _taken_in(step, _Work(options, lake, source, dataset, days, sites, reading), has_others)
    # The marts of the other dataset do not depend on this one.
    yield from step.finish(bad, goes_on=has_others)


def _taken_in(step: Step, work: _Work, has_others: bool) -> dict[date, str]:
    """Ingests the days of a step. Returns day → reason for days that are not published as they are at the source.

    Args:
        has_others: whether there is another source, whose days go on where this one cannot be listed.
    """
    key, bad = RAW_ASSETS[work.dataset.name], {}
    asset = key.to_user_string()
    work.days = _asked_for(step.context, work)
    try:
        if work.days:
            work.list()
    except SourceError as error:
        if not has_others:
            raise
        for day in work.days:
            step.tell_check(dg.AssetCheckKey(key, "processed"), day, False, True, str(error))
            bad[day] = f"{asset} refused (processed: {error})"
        return bad
    for stretch in stretches(work.days, lambda day: work.objects.get(day, ())):
        for day, results in _ingest_days(step.context, work, stretch):
            if not results:
                step.context.log.info(f"{work.dataset.name} {day}: nothing to take in")
                continue
            _report(step, key, day, results)
            refused = [_refusal(result) for result in results if not result.published]
            if refused:
                bad[day] = f"{asset} refused ({'; '.join(refused)})"
    return bad


def _ingest_days(
    context: dg.AssetExecutionContext, work: _Work, days: Sequence[date]
) -> Iterator[tuple[date, list[DayResult]]]:
    """(day, its results) of each day of a stretch, in their order; several days are worked on at once."""
    name = work.dataset.name
    if len(days) == 1:
        yield days[0], _ingest_day(context, work, Partition(name, days[0]), _Beside())
        return
    with (
        progress.task(context, f"raw {name} {days[0]} … {days[-1]}", len(days)) as advance,
        progress.without_bars(),
    ):
        read = _read_ahead(work, days)

        def ingested(day: date, turn: Turn) -> list[DayResult]:
            return _ingest_day(context, work, Partition(name, day), _Beside(read, turn))

        rows = 0
        for number, (day, results) in enumerate(side_by_side(ingested, days), start=1):
            rows += sum(result.rows_kept for result in results)
            advance(number, len(days), rows)
            yield day, results


def _read_ahead(work: _Work, days: Sequence[date]) -> Ahead:
    """The small partitions of these days, read together. They are not yet locked: one whose objects are others by then
    is read again. After an error nothing is read, so that it is told of the day that it concerns."""
    if not work.dataset.by_site or work.reading.incremental:
        return {}
    parts: dict[Partition, list[SourceObject]] = {}
    for day in days:
        if day_text(day) not in work.reading.only_if_news:
            for item in work.objects.get(day, ()):
                parts.setdefault(Partition(work.dataset.name, day, item.site), []).append(item)
    try:
        return {
            part: (group[part], read)
            for group in groups(dict(sorted(parts.items(), key=lambda each: str(each[0]))))
            for part, read in read_together(work.source, group, work.options).items()
        }
    except ClicklakeError:
        return {}


def _asked_for(context: dg.AssetExecutionContext, work: _Work) -> list[date]:
    """The days of a step without those that are published and may have lost objects at the source since."""
    name = work.dataset.name
    kept = [day for day in work.days if is_kept_as_it_is(work.lake, work.source, Partition(name, day))]
    for stretch in consecutive(kept):
        span = " … ".join(dict.fromkeys(map(day_text, (stretch[0], stretch[-1]))))
        days = counted(work.source.terms.kept_days or 0, "day")
        progress.tell(context, f"{name} {span}: published, and not read again, for its source keeps objects for {days}")
    _tell_of_unread(context, work, kept)
    return [day for day in work.days if day not in set(kept)]


def _tell_of_unread(context: dg.AssetExecutionContext, work: _Work, kept: Sequence[date]) -> None:
    """Warns of objects that came after their day was published, where a step does not read the day again."""
    try:
        listed = objects_by_day(work.source.objects(kept)) if kept else {}
    except SourceError as error:  # these days are built from what stands, which needs no source
        context.log.warning(f"{work.dataset.name}: nobody knows whether objects came to days not read again: {error}")
        return
    said = []
    for day in kept:
        part = Partition(work.dataset.name, day)
        objects = [item for item in listed.get(day, ()) if not work.sites or item.site in work.sites]
        if text := _unless_broken(partial(not_read, work.lake, work.source, part, objects)):
            said.append(f"warning {part.table} {day_text(day)}: {text}")
    for text in said[:DAYS_NAMED]:
        progress.tell(context, text)
    if more := said[DAYS_NAMED:]:
        progress.tell(
            context, f"… and {counted(len(more), 'more day')} with such objects; `clicklake status` names them"
        )


def _ingest_day(context: dg.AssetExecutionContext, work: _Work, day: Partition, beside: _Beside) -> list[DayResult]:
    """Ingests a day under its lock, each site on its own if the dataset has sites. Empty if the run reads news only and
    finds none."""
    with work.lake.lock(
        day.lock,
        f"run {context.run_id}",
        lambda holder: progress.tell(context, f"Waiting for {holder}, which takes in {day.table} of {day.day}"),
    ):
        if work.is_behind(day):
            work.list()
        for _ in range(LISTINGS - 1):
            try:
                return _ingest_listed(context, work, day, beside)
            except ObjectChangedError as error:
                context.log.warning(f"{day.day} is listed again: {error}")
                work.list()
        return _ingest_listed(context, work, day, beside)


def _ingest_listed(context: dg.AssetExecutionContext, work: _Work, day: Partition, beside: _Beside) -> list[DayResult]:
    _forget_moot(context, work, day)
    of_day = work.objects_of(day)
    reads_news = work.reading.incremental or day_text(day.day) in work.reading.only_if_news
    if reads_news and _unless_broken(lambda: is_judged(work.lake, day, of_day)):
        return []
    parts = parts_of(work.lake, day, of_day)
    chosen = sorted((part for part in parts if not work.sites or part.site in work.sites), key=str)
    if not chosen and not work.sites:  # chosen sites without objects are not judged
        chosen = [day]
    results = []
    for group in groups({part: parts.get(part, ()) for part in chosen}):
        read = {} if work.reading.incremental else _read(work, group, beside.read)
        alone = [(part, objects) for part, objects in group.items() if part not in read]
        results += [_ingest_partition(context, work, *each, beside.turn) for each in alone]
        if read:
            results += _ingest_read(context, work, group, read, beside.turn)
    return sorted(results, key=lambda result: str(result.partition))


def _read(work: _Work, group: Parts, ahead: Ahead) -> dict[Partition, Read]:
    """The partitions of a group that are read together, now or ahead."""
    found = {
        part: ahead[part][1]
        for part, objects in group.items()
        if part in ahead and list(objects) == list(ahead[part][0])
    }
    others = {part: objects for part, objects in group.items() if part not in found}
    return found | read_together(work.source, others, work.options)


def _ingest_read(
    context: dg.AssetExecutionContext, work: _Work, group: Parts, read: Mapping[Partition, Read], turn: Turn
) -> Iterator[DayResult]:
    """Ingests small partitions whose objects are already read, several at once: they mostly wait for the disk."""
    day = next(iter(read)).day

    def ingested(part: Partition) -> DayResult:
        files = work.raw_files_of(part)
        objects = group[part]
        return ingest_day(
            work.lake, work.source, part, work.options, objects, files, already_read=read[part], turn=turn
        )

    with (
        progress.task(context, f"raw {day}, {counted(len(read), 'small site')}", len(read)) as advance,
        ThreadPoolExecutor(PARTITIONS_AT_ONCE, thread_name_prefix="partition") as pool,
    ):
        rows = 0
        for number, result in enumerate(pool.map(ingested, read), start=1):
            rows += result.rows_kept
            advance(number, len(read), rows)
            yield result


def _unless_broken(read: Callable[[], T]) -> T | None:
    """What a ledger says; None if it is broken. Its day is then read, and the ledger written anew."""
    try:
        return read()
    except TransientLakeError:
        raise
    except LakeError:
        return None


def _forget_moot(context: dg.AssetExecutionContext, work: _Work, day: Partition) -> None:
    """Empties the quarantine of sites whose objects are all gone from the source, if the step ingests all sites."""

    def moot() -> list[str]:
        return moot_refusals(work.lake, day, {item.site for item in work.objects_of(day)})

    if work.sites or not work.dataset.by_site or not moot():
        return
    work.list()  # another run may have refused a site whose objects came after the listing
    for prefix in moot():
        context.log.info(f"{prefix} is emptied: the source has no object of it any more")
        work.lake.delete(prefix)


def _ingest_partition(
    context: dg.AssetExecutionContext,
    work: _Work,
    partition: Partition,
    objects: Sequence[SourceObject],
    turn: Turn,
) -> DayResult:
    has_other_sites = partition.site is not None and not objects and partition.day in work.delivered
    name = f"raw {partition.day}" + (f" {partition.site}" if partition.site else "")
    with progress.task(context, name, len(objects)) as advance:
        return ingest_day(
            work.lake,
            work.source,
            partition,
            work.options,
            objects,
            work.raw_files_of(partition),
            advance,
            work.reading.incremental,
            has_other_sites,
            turn=turn,
        )


def _refusal(result: DayResult) -> str:
    return f"{result.partition.site}: {result.reason}" if result.partition.site else result.reason


def _report(step: Step, key: dg.AssetKey, day: date, results: Sequence[DayResult]) -> None:
    judged = [result for result in results if result.reading != "nothing"]
    with at_once(step.context.instance):
        if any(result.published for result in judged):
            step.tell_materialized(key, day, _metadata(results))
        for result in judged:
            if not result.published:
                step.context.log.error(f"{result.partition} refused, its last good version stays: {result.reason}")
            if result.traceback:
                step.context.log.error(result.traceback)
        _report_verdicts(step, key, day, judged)


def _report_verdicts(step: Step, key: dg.AssetKey, day: date, results: Sequence[DayResult]) -> None:
    """Reports one result of each check for the day. It passes if all sites pass, and names the sites that do not."""
    of_check: dict[str, list[tuple[DayResult, Verdict]]] = {}
    for result in results:  # a site that could not be ingested has only some verdicts
        for verdict in result.verdicts:
            of_check.setdefault(verdict.check, []).append((result, verdict))
    for name, named in of_check.items():
        check = dg.AssetCheckKey(key, name)
        verdicts = [verdict for _, verdict in named]
        passed = all(verdict.passed for verdict in verdicts)
        message, figures = verdicts[0].said, dict(verdicts[0].figures)
        if results[0].partition.site:
            failing = [f"{result.partition.site}: {verdict.said}" for result, verdict in named if not verdict.passed]
            message = "; ".join(failing) or f"{counted(len(named), 'site')}: all passed"
            figures = {str(result.partition.site): dg.MetadataValue.json(verdict.figures) for result, verdict in named}
        blocks = verdicts[0].blocks and (passed or any(verdict.refuses for verdict in verdicts))
        judgements = [_judgement(*each) for each in named]
        step.tell_check(check, day, passed, blocks, message, figures, judgements)


def _judgement(result: DayResult, verdict: Verdict) -> Judgement:
    return Judgement(
        verdict.passed,
        verdict.blocks,
        verdict.message,
        verdict.figures,
        site=result.partition.site,
        released=verdict.released,
    )


def _metadata(results: Sequence[DayResult]) -> dict[str, object]:
    """Figures of the published rows and, for a dataset with sites, the rows of each site.

    Reject reasons and event dates leave out sites that stayed as they are because they had nothing new.
    """
    good = [result for result in results if result.published]
    reasons, by_date = Counter[str](), Counter[str]()
    for result in good:
        reasons.update(result.rejects_by_reason)
        by_date.update({day_text(day): rows for day, rows in result.rows_by_event_date.items()})
    touched = {day for result in good for day in result.touched_days}
    kept = sum(result.rows_kept for result in good)
    metadata: dict[str, object] = {
        "dagster/partition_row_count": kept,
        "rows_read": sum(result.rows_read for result in good),
        "rows_kept": kept,
        "rows_rejected": sum(result.rows_rejected for result in good),
        "rows_duplicate": sum(result.rows_duplicate for result in good),
        "rejects_by_reason": dg.MetadataValue.json(dict(reasons)),
        "objects": sum(result.objects for result in good),
        "objects_read": sum(result.objects_read for result in results),
        "bytes": sum(result.bytes_written for result in good),
        "seconds": round(sum(sum(result.seconds.values()) for result in results), 3),
        "rows_by_event_date": dg.MetadataValue.json(dict(by_date)),
        "touched_days": dg.MetadataValue.json(list(map(day_text, sorted(touched)))),
    }
    if why_whole := "; ".join(sorted({result.why_whole for result in results if result.why_whole})):
        metadata["read_whole_since"] = why_whole
    if DATASETS[results[0].partition.table].by_site:  # a quiet day has no site
        metadata["rows_by_site"] = dg.MetadataValue.json(
            {each.partition.site: each.rows_kept for each in good if each.partition.site}
        )
        metadata["refused_sites"] = dg.MetadataValue.json(
            [each.partition.site for each in results if each.partition.site and not each.published]
        )
    return metadata
