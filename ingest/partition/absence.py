"""Days without objects: which of them are quiet, so that they are published as days without rows."""

from __future__ import annotations

from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.datasets import ACCESS_LOGS
from ingest.partition.stage import Absence
from ingest.source import Source, not_looked_at
from ingest.words import counted

NO_OBJECT = "the source has no object of this day"


def is_quiet(source: Source, day: Partition) -> bool:
    """Whether a day without objects is one on which nothing happened: the source holds objects of earlier and of later
    days, and none of this day is expected any more. Without an earlier one, nobody knows whether the source was there,
    or has deleted what is old."""
    terms = source.terms
    is_decided = terms.is_complete(day.day) and not terms.is_past(day.day)  # costs no request
    return is_decided and _why_not(source, day) is None


def absence_of(lake: Lake, source: Source, partition: Partition, has_other_sites: bool = False) -> Absence:
    """Why a partition has no object, and what to do.

    Args:
        has_other_sites: whether the source has objects of other sites of the day.
    """
    if has_other_sites:
        return Absence(True, f"the source has no object of {partition.site} any more, and has those of other sites")
    if partition.site is None and _is_published(lake, partition):
        return Absence(True, f"{NO_OBJECT}, and had none when it was published")
    why_not = _why_not(source, partition)
    if why_not is None:
        return Absence(True, f"quiet: {NO_OBJECT}, and has objects of earlier and of later days")
    return Absence(False, f"{NO_OBJECT}. {why_not}", _advice(partition))


def _is_published(lake: Lake, day: Partition) -> bool:
    """Whether a day was published without objects."""
    files = lake.files(day.ledger_folder)
    return bool(files) and not any(len(lake.read_table(file.key, ["source_object"])) for file in files)


def _why_not(source: Source, partition: Partition) -> str | None:
    """Why a day without objects is not quiet; None if it is."""
    terms, day = source.terms, partition.day
    if undated := source.undated():
        return not_looked_at(undated)
    what = "logs" if partition.table == ACCESS_LOGS.name else "events"
    check = f"Check that the {what} were delivered and that the prefix is right"
    if terms.is_past(day):
        return f"{check}; the source keeps objects for {counted(terms.kept_days or 0, 'day')}, so they may be deleted"
    if not terms.is_complete(day):
        hours = terms.lateness.total_seconds() / 3600
        return f"{check}; they may arrive up to {hours:g} hours after the day"
    earlier, later = source.has_around(day)
    lacking = [name for name, has in (("earlier", earlier), ("later", later)) if not has]
    return f"{check}; it has no object of any {' or '.join(lacking)} day either" if lacking else None


def _advice(partition: Partition) -> str:
    """The command that publishes a day as one without rows; of a site quarantine gives it."""
    if partition.site:
        return ""
    return f"If there were none: clicklake release {partition.day} --table {partition.table} --reason '…'"
