"""Ingests one partition: list, stage, audit, then publish or refuse."""

from __future__ import annotations

import json
import shutil
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from ingest.days import day_text
from ingest.errors import PartitionError, ReadWholeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import NO_SITE, Partition, event_date_of, raw_folder, site_folder, source_folder
from ingest.lake.records import FileRecord, LedgerRecord
from ingest.native.library import AUTO, choose
from ingest.partition.absence import absence_of
from ingest.partition.audit import Limits, Verdict, audit, not_processed
from ingest.partition.borders import border
from ingest.partition.datasets import DATASETS, parser_of
from ingest.partition.joined_files import NotJoinableError
from ingest.partition.lake_format import fingerprint
from ingest.partition.ledger import version_of, versions_taken
from ingest.partition.releases import with_releases
from ingest.partition.stage import Progress, Read, StagedDay, not_staged, stage_day
from ingest.partition.standing import StandingPartition
from ingest.partition.tenants import tenants_of
from ingest.rows.batches import ParsedBatch
from ingest.rows.enrich import Geo
from ingest.rows.privacy import scrub_line
from ingest.source import Source, SourceObject

MAX_SITE_NAME = 253  # characters of a host name in the DNS

# Called before a partition is compared with those of the days before it: waits until these are put in their places.
Turn = Callable[[], object]
AT_ONCE: Turn = bool  # without waiting

# How a partition was read: all its objects, only the new ones, or nothing because nothing was new.
Reading = Literal["whole", "new objects", "nothing"]


@dataclass(frozen=True)
class IngestOptions:
    """The options of ingest.

    Args:
        hash_key: the secret key of the keyed hashes. later_keys: the keys that came after it, in order.
        geoip_database: a MaxMind City database; without one, rows have no places.
        max_age_days: rows that are older than this before their source day are rejected.
        workers: threads that decompress and parse.
        reader: which way objects are read: `native`, `python`, or `auto`, which is native where the core is compiled.
        tenants: site → tenant, as the rules say.
    """

    hash_key: str = field(repr=False)
    later_keys: tuple[str, ...] = field(default=(), repr=False)
    geoip_database: Path | None = None
    max_age_days: int = 400
    workers: int = 2
    reader: str = AUTO
    limits: Limits = field(default_factory=Limits)
    tenants: Mapping[str, str] = field(default_factory=dict)


@dataclass
class DayResult:
    """The result of one partition.

    reading: `nothing` if the partition is published with exactly these objects. Then nothing was checked or written,
        and the figures are those of the ledger.
    traceback: the traceback of an unexpected error, for maintainers.
    objects_read: the number of objects that were read.
    why_whole: why the whole partition was read although only the new objects were asked for.
    unchanged: event dates that have rows of this source day, but no new ones.
    """

    partition: Partition
    published: bool
    verdicts: list[Verdict]
    objects: int
    rows_read: int
    rows_kept: int
    rows_rejected: int
    rows_duplicate: int
    rejects_by_reason: dict[str, int]
    rows_by_event_date: dict[date, int]
    bytes_written: int
    seconds: dict[str, float]
    reading: Reading = "whole"
    traceback: str = ""
    objects_read: int = 0
    why_whole: str = ""
    unchanged: frozenset[date] = frozenset()

    @property
    def touched_days(self) -> list[date]:
        """Event dates other than the source day whose rows of this source day are new or may have changed."""
        own = self.partition.day
        return [day for day in sorted(self.rows_by_event_date) if day != own and day not in self.unchanged]

    @property
    def refusals(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.refuses]

    @property
    def reason(self) -> str:
        return "; ".join(f"{verdict.check}: {verdict.said}" for verdict in self.refusals)


def ingest_day(
    lake: Lake,
    source: Source,
    partition: Partition,
    options: IngestOptions,
    objects: Sequence[SourceObject] | None = None,
    raw_files: Sequence[LakeFile] | None = None,
    progress: Progress | None = None,
    incremental: bool = False,
    has_other_sites: bool = False,
    already_read: Read | None = None,
    turn: Turn = AT_ONCE,
) -> DayResult:
    """Ingests one source day of a dataset, or one site's part of it. Publishes the partition, or refuses it and keeps
    the last good version.

    Args:
        objects: the objects of this partition, if they are already listed.
        raw_files: the raw files of this partition, if they are already listed; others are ignored.
        incremental: read only the objects that are not in the ledger, and add them to the published rows. All objects
            are read if the result would differ from that of a whole reading. Nothing is done if there are no new
            objects.
        has_other_sites: whether the source has objects of other sites of the day; asked where this one has none.
        already_read: what the objects hold, if they are already read; for a whole reading.
        turn: waits for the days before this one, if they are ingested at the same time.

    Raises:
        SourceError, LakeError, TransientError: the partition could not be checked; the lake is unchanged.
    """
    choose(options.reader)
    started = time.monotonic()
    found = sorted(objects if objects is not None else _objects_of(source, partition))
    listed = time.monotonic()
    if incremental and versions_taken(lake, partition) == set(map(version_of, found)):
        return _nothing_new(lake, partition, listed - started)
    why_whole, trace, waited = "", "", 0.0
    with lake.staging() as folder:
        try:
            _ensure_site_name(partition.site)
            staged, why_whole = _stage(
                lake, source, found, partition, options, raw_files, progress, incremental, folder, already_read
            )
            staged_at = time.monotonic()
            turn()
            waited = time.monotonic() - staged_at
            if not staged.objects:
                staged.absence = absence_of(lake, source, partition, has_other_sites)
            read = time.monotonic()
            with border(lambda: f"{partition} while it was judged"):
                verdicts = with_releases(audit(staged, lake, options.limits, source.terms), lake, partition, found)
        except PartitionError as error:
            read = time.monotonic()
            trace = _trace(error.__cause__)
            staged = not_staged(partition, found, error, folder)
            verdicts = not_processed(staged, str(error))
        key = fingerprint((options.hash_key, *options.later_keys))
        published = not any(verdict.refuses for verdict in verdicts)
        size = _publish(lake, staged, raw_files, key) if published else _refuse(lake, staged, verdicts)
    ended = time.monotonic()
    return DayResult(
        partition=partition,
        published=published,
        verdicts=verdicts,
        objects=len(staged.objects),
        rows_read=staged.total("read"),
        rows_kept=staged.total("kept"),
        rows_rejected=staged.total("rejected"),
        rows_duplicate=staged.total("duplicate"),
        rejects_by_reason=staged.rejects_by_reason,
        rows_by_event_date=staged.rows,
        bytes_written=size,
        seconds={"list": listed - started, "read": read - listed - waited, "publish": ended - read},
        reading="new objects" if incremental and not why_whole else "whole",
        objects_read=staged.objects_read,
        why_whole=why_whole,
        traceback=trace,
        unchanged=staged.unchanged,
    )


def _trace(error: BaseException | None) -> str:
    """The traceback of an unexpected error. It may quote the data, so each line is scrubbed."""
    if error is None:
        return ""
    return "\n".join(scrub_line(line) for line in "".join(traceback.format_exception(error)).splitlines())


def _ensure_site_name(site: str | None) -> None:
    """Refuses a site whose name cannot be a host name or cannot be printed, since names are shown, compared and joined.

    Raises:
        PartitionError: the name is too long, or has characters that cannot be printed.
    """
    if site and len(site) > MAX_SITE_NAME:
        raise PartitionError(
            f"the site's name has {len(site)} characters, and a host has {MAX_SITE_NAME} at most. "
            "Rename its folder domain=…"
        )
    if site and not site.isprintable():
        raise PartitionError("the site's name holds characters that cannot be shown. Rename its folder domain=…")


def _nothing_new(lake: Lake, partition: Partition, seconds: float) -> DayResult:
    ledger = lake.read_table(partition.ledger_file)
    read, kept, rejected, duplicate = (
        sum(ledger.column(f"rows_{name}").to_pylist()) for name in ("read", "kept", "rejected", "duplicate")
    )
    return DayResult(
        partition, True, [], len(ledger), read, kept, rejected, duplicate, {}, {}, 0, {"list": seconds}, "nothing"
    )


def _stage(
    lake: Lake,
    source: Source,
    found: Sequence[SourceObject],
    partition: Partition,
    options: IngestOptions,
    raw_files: Sequence[LakeFile] | None,
    progress: Progress | None,
    incremental: bool,
    folder: Path,
    already_read: Read | None,
) -> tuple[StagedDay, str]:
    """(the staged partition, why the new objects alone were not enough). The reason is empty if they were enough, or
    if a whole reading was asked for."""

    if already_read:
        return stage_day(source, found, partition, _is_read, folder, options.workers, progress, read=already_read), ""
    tenant_of = tenants_of(partition, found, options.tenants)

    def read(objects: Sequence[SourceObject], below: Path, standing: StandingPartition | None = None) -> StagedDay:
        places = Geo(options.geoip_database)
        kept = options.limits.rejects_kept
        parse = parser_of(
            partition, objects, options.hash_key, places, options.max_age_days, kept, options.later_keys, tenant_of
        )
        return stage_day(source, objects, partition, parse, below, options.workers, progress, standing)

    why_whole = ""
    if incremental:
        aside = folder / "new"
        (aside / "standing").mkdir(parents=True)
        before = raw_files if raw_files is not None else raw_files_of(lake, partition.table, [partition.day])
        try:
            kept = options.limits.rejects_kept
            with closing(StandingPartition(lake, partition, found, before, aside / "standing", kept)) as standing:
                standing.ensure_tenants(tenant_of)
                return read(standing.news, aside, standing), ""
        except (ReadWholeError, NotJoinableError) as error:
            why_whole = str(error)
            shutil.rmtree(aside)
    return read(found, folder), why_whole


def _is_read(batch: Any) -> list[ParsedBatch]:
    raise AssertionError(f"{batch!r} is read already")


def _objects_of(source: Source, partition: Partition) -> list[SourceObject]:
    found = source.objects([partition.day])
    return [item for item in found if not DATASETS[partition.table].by_site or item.site == partition.site]


def _publish(lake: Lake, staged: StagedDay, raw_files: Sequence[LakeFile] | None, key: str) -> int:
    """Publishes raw, rejects and ledger in this order, each by one atomic put. Returns the bytes of the raw files.

    The next run repairs a run that was killed on the way. The ledger comes last, because it marks the day as
    ingested, and says what its files are. Files of earlier runs for event dates that have no rows now are found by
    listing, and deleted.
    """
    partition = _place_of(staged.partition)
    files = {partition.raw_file(event_date): FileRecord.of(path) for event_date, path in staged.files.items()}
    files[partition.rejects_file] = FileRecord.of(staged.rejects_file)
    before = raw_files if raw_files is not None else raw_files_of(lake, partition.table, [partition.day])
    size = 0
    for event_date, path in staged.files.items():
        if event_date not in staged.unchanged:
            size += lake.put(path, partition.raw_file(event_date))
    for file in before:
        stood = event_date_of(file.key)
        if stood and stood not in staged.files and file.key == partition.raw_file(stood):
            lake.delete(file.key)
    lake.put(staged.rejects_file, partition.rejects_file)
    lake.put_table(LedgerRecord(files, key).on(staged.ledger()), partition.ledger_file)
    lake.delete(staged.partition.quarantine)
    return size


def raw_files_of(lake: Lake, table: str, days: Iterable[date]) -> list[LakeFile]:
    """The raw files of source days, of any event date. On S3 all of the table's files are listed, in as few requests as
    can be; in a folder the days are looked for below each event date."""
    if lake.is_s3:
        return lake.files(raw_folder(table))
    folder, names = raw_folder(table), [source_folder(day) for day in days]
    return lake.files_below(f"{folder}{event_date}/{name}" for event_date in lake.folders(folder) for name in names)


def _place_of(partition: Partition) -> Partition:
    """Where a partition is put. A day without a site has a folder of a site too, so that readers find the same folders
    on all days."""
    is_whole_day = DATASETS[partition.table].by_site and partition.site is None
    return replace(partition, site=NO_SITE) if is_whole_day else partition


def _refuse(lake: Lake, staged: StagedDay, verdicts: list[Verdict]) -> int:
    """Puts a refused partition into quarantine. The verdict comes last, because it announces the refusal.

    A day that is refused for having no objects, and was never published, leaves nothing in quarantine. Returns the
    bytes of the row files.
    """
    partition = staged.partition
    lake.delete(partition.quarantine)
    is_missing = any(verdict.check == "objects_present" for verdict in verdicts if verdict.refuses)
    if is_missing and not has_ledger(lake, partition):
        return 0
    size = sum(lake.put(path, partition.refused_rows_file(event_date)) for event_date, path in staged.files.items())
    lake.put(staged.rejects_file, partition.refused_rejects_file)
    lake.put_table(staged.ledger(), partition.refused_ledger_file)
    lake.put_text(json.dumps(verdict_record(partition, verdicts), indent=1), partition.verdict_file)
    return size


def moot_refusals(lake: Lake, day: Partition, sites: Collection[str]) -> list[str]:
    """The folders and files in quarantine of a day that no longer matter, given the sites that the source lists for it:
    refusals of other sites that were never published, and the refusal of the day for having no objects."""
    if not sites:
        return []
    known = {site_folder(site) for site in sites} | _names_below(lake, day.ledger_folder)
    within = _names_below(lake, f"{day.quarantine}/")
    return [f"{day.quarantine}/{name}" for name in sorted(within - known)]


def _names_below(lake: Lake, folder: str) -> set[str]:
    return {file.key.removeprefix(folder).partition("/")[0] for file in lake.files(folder)}


def verdict_record(partition: Partition, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The JSON of a refusal: table, day, site, and the checks that refused the partition, with figures."""
    return {
        "table": partition.table,
        "day": day_text(partition.day),
        **({"site": partition.site} if partition.site else {}),
        "reasons": [
            {"check": verdict.check, "message": verdict.message, "figures": verdict.figures}
            for verdict in verdicts
            if verdict.refuses
        ],
    }


def has_ledger(lake: Lake, partition: Partition) -> bool:
    """Whether a partition has a published version. For a day of events without a site: whether any site has one."""
    return lake.exists(partition.ledger_file) if partition.site else bool(lake.files(partition.ledger_folder))


def is_published(lake: Lake, day: Partition) -> bool:
    """Whether a source day was ever published: its own file exists, even if empty. By site: whether any site's does."""
    if DATASETS[day.table].by_site:
        return bool(lake.files(day.raw_folder(day.day)))
    return lake.exists(day.raw_file(day.day))
