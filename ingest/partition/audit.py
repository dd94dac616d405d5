"""The checks that a staged partition must pass before it is published. Each gives one verdict with its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.days import day_text
from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.datasets import ACCESS_LOGS, DATASETS, Dataset
from ingest.partition.drift import Profile, drift, profile_of
from ingest.partition.ledger import version_of
from ingest.partition.stage import Absence, ObjectCounts, StagedDay
from ingest.rows.batches import REJECTS_KEPT
from ingest.source import AS_USUAL, Terms
from ingest.words import counted, some

SAME_WEEKDAYS = 4  # weeks that the volume is compared with
# A share of rejects is unusual if it exceeds the usual share by this factor, by this share of all rows (three times a
# tiny share is still tiny), and by this many rows (shares of small days vary widely).
REJECT_FACTOR = 3.0
REJECT_FLOOR = 0.005
REJECT_ROWS = 20
DRIFT_DAYS = 7  # how many days back the last published day is looked for


@dataclass(frozen=True)
class Check:
    name: str
    description: str


CHECKS = (
    Check(
        "objects_present",
        "The source holds at least one object of the day, or the day is quiet: there are objects of earlier and later "
        "days, and none of the day is expected any more",
    ),
    Check(
        "objects_kept",
        "No object that published rows came from has vanished from the source, except where deletions correct a day",
    ),
    Check("processed", "Nothing unexpected happened while the day was read and checked"),
    Check(
        "objects_readable",
        "Every object has a known format and, unless it has only a few rows, at least one usable row; an object that "
        "is cut off at its end needs one whole row",
    ),
    Check("objects_whole", "No object is cut off in the middle (a warning: its whole lines are kept)"),
    Check("required_fields", "Every header names date, time, cs-uri-stem and sc-status"),
    Check("reject_share", "The share of rejected rows is within the limit"),
    Check(
        "rows_accounted", "For each object rows read = kept + rejected + duplicates, and the files hold what was kept"
    ),
    Check("volume", "The number of rows is near the median of the same weekday in the last four weeks"),
    Check(
        "reject_rate",
        "The share of rejected rows is not far above the median of the same weekday in the last four weeks (a warning)",
    ),
    Check("schema_drift", "Fields and their types are the same as on the last published day (a warning)"),
)
NEVER_RELEASED = {
    "processed": "it could not be taken in, so there is nothing to publish",
    "rows_accounted": "rows were lost on the way, and nobody can tell which",
}


@dataclass(frozen=True)
class Limits:
    """The limits that a partition is checked against.

    Args:
        max_reject_share: a larger share rejected / read refuses the day.
        volume_factor: a volume below median / factor or above median x factor is suspicious.
        volume_blocks: whether a suspicious volume refuses the day, or only warns.
        unreadable_rows: an object with at least this many rows, all rejected, counts as unreadable.
        rejects_kept: the file of rejects holds at most this many rejects of each object.
    """

    max_reject_share: float = 0.05
    volume_factor: float = 3.0
    volume_blocks: bool = False
    unreadable_rows: int = 20
    rejects_kept: int = REJECTS_KEPT


@dataclass(frozen=True)
class Verdict:
    """The result of a check. A blocking check that failed and was not released refuses the partition.

    advice: what may help where it failed, for people; empty if the message says enough.
    released: who accepted the failure, and why; None if nobody did.
    """

    check: str
    passed: bool
    message: str
    blocks: bool = True
    figures: dict[str, Any] = field(default_factory=dict)
    advice: str = ""
    released: str | None = None

    @property
    def said(self) -> str:
        """The message, with who accepted the failure, or else with the advice."""
        if self.released:
            return f"{self.released}. {self.message}"
        return f"{self.message}. {self.advice}" if self.advice else self.message

    @property
    def refuses(self) -> bool:
        return self.blocks and not self.passed and self.released is None


def checks_of(dataset: Dataset) -> tuple[Check, ...]:
    """The checks of a dataset. Only logs have headers, so only they have `required_fields`."""
    return tuple(check for check in CHECKS if check.name != "required_fields" or dataset is ACCESS_LOGS)


def audit(staged: StagedDay, lake: Lake, limits: Limits, terms: Terms = AS_USUAL) -> list[Verdict]:
    """All verdicts on a staged partition, in the order of `CHECKS`."""
    past = _same_weekdays(lake, staged.partition)
    verdicts = [
        _objects_present(staged),
        _objects_kept(staged, lake, terms),
        Verdict("processed", True, "nothing unexpected happened"),
        _objects_readable(staged, limits),
        _objects_whole(staged),
        _required_fields(staged),
        _reject_share(staged, limits),
        _rows_accounted(staged, limits),
        _volume(staged, past, limits),
        _reject_rate(staged, past),
        _schema_drift(staged, lake),
    ]
    names = {check.name for check in checks_of(DATASETS[staged.partition.table])}
    return [verdict for verdict in verdicts if verdict.check in names]


def not_processed(staged: StagedDay, reason: str) -> list[Verdict]:
    """The verdicts on a partition that could not be ingested. The other checks cannot be run."""
    return [_objects_present(staged), Verdict("processed", False, reason)]


def _objects_present(staged: StagedDay) -> Verdict:
    count = len(staged.objects)
    figures = {"objects": count}
    if count:
        return Verdict("objects_present", True, counted(count, "object"), figures=figures)
    absence = staged.absence or Absence(False, "the source has no object of this day")
    return Verdict("objects_present", absence.is_quiet, absence.why, figures=figures, advice=absence.advice)


def _objects_kept(staged: StagedDay, lake: Lake, terms: Terms) -> Verdict:
    """Compares the objects with the ledger by name: a new version of an object is no loss, and neither is an object
    whose rows now come from another one that was a copy."""
    day, count = staged.partition.day, len(staged.objects)
    if not lake.exists(staged.partition.ledger_file):
        if count and terms.is_past(day):
            message = (
                f"the source keeps objects for {counted(terms.kept_days or 0, 'day')}, so some of this day may be gone "
                f"already: {counted(count, 'object')} of {day} are there"
            )
            return Verdict("objects_kept", False, message)
        return Verdict("objects_kept", True, "it was not published before")
    try:
        vanished, rows, before = _vanished(staged, lake)
    except TransientLakeError:
        raise
    except LakeError:  # reading the day again is how its ledger is mended
        return Verdict("objects_kept", True, "its ledger is broken, so nobody knows which objects it was made of")
    figures = {"objects_vanished": len(vanished), "rows_vanished": rows, "rows_published": before}
    if not vanished or rows <= 0:
        message = (
            f"{counted(len(vanished), 'object')} without rows of its own vanished" if vanished else "none vanished"
        )
        return Verdict("objects_kept", True, message, figures=figures)
    told = (
        f"{counted(len(vanished), 'object')} with {rows} of {counted(before, 'published row')} vanished from the source"
    )
    if terms.deletions_correct:
        return Verdict("objects_kept", True, f"{told}, which corrects the day: {some(vanished)}", figures=figures)
    return Verdict("objects_kept", False, f"{told}: {some(vanished)}", figures=figures)


def _vanished(staged: StagedDay, lake: Lake) -> tuple[list[str], int, int]:
    """(names of the objects that rows were published from and that are not listed any more, rows lost with them,
    published rows)."""
    columns = ["source_object", "etag", "size", "rows_kept"]
    ledger = lake.read_table(staged.partition.ledger_file, columns).to_pylist()
    listed = Counter(_plain_name(counts.item.name, counts.item.etag) for counts in staged.objects)
    now = {version_of(counts.item): counts.kept for counts in staged.objects}
    vanished, lost, regained, is_replaced = [], 0, 0, False
    for row in ledger:
        name = _plain_name(row["source_object"], row["etag"])
        version = row["source_object"], row["etag"], row["size"]
        if version in now:
            regained += max(0, now[version] - row["rows_kept"])  # rows that it had as copies
        elif listed[name]:
            is_replaced = True  # what others regain may have been of this object
        elif row["rows_kept"]:
            vanished.append(row["source_object"])
            lost += row["rows_kept"]
        if listed[name]:
            listed[name] -= 1
    return vanished, lost if is_replaced else lost - regained, sum(row["rows_kept"] for row in ledger)


def _plain_name(name: str, etag: str) -> str:
    """The name of an object without its version, which the name of one with personal data in its key ends with."""
    return name.removesuffix(f"#{etag}")


def _is_cut_off(counts: ObjectCounts) -> bool:
    return (counts.facts.error or "").startswith("cut off")


_GUESSED = "it has no #Fields header, so its fields were taken for CloudFront's usual ones"


def _unreadable(counts: ObjectCounts, limits: Limits) -> str | None:
    """Why an object is not readable, or None. An object that is cut off is readable if at least one whole row came
    first."""
    if _is_cut_off(counts):
        return None if counts.kept + counts.duplicate else f"{counts.facts.error}, and not one row before it is whole"
    if counts.facts.error:
        return counts.facts.error
    if counts.read >= limits.unreadable_rows and counts.rejected == counts.read:
        is_guessed = counts.facts.format == "text" and counts.reasons and not counts.facts.has_header
        guessed = f"; {_GUESSED}" if is_guessed else ""
        return f"not one of its {counts.read} rows can be used ({_reasons(counts.reasons)}){guessed}"
    return None


def _reasons(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))


def _objects_readable(staged: StagedDay, limits: Limits) -> Verdict:
    found = {counts.item.name: _unreadable(counts, limits) for counts in staged.objects}
    errors = [f"{key}: {reason}" for key, reason in found.items() if reason]
    message = f"{len(errors)} unreadable: {some(errors)}" if errors else "all objects were read"
    return Verdict("objects_readable", not errors, message, figures={"unreadable": len(errors)})


def _objects_whole(staged: StagedDay) -> Verdict:
    errors = [f"{counts.item.name}: {counts.facts.error}" for counts in staged.objects if _is_cut_off(counts)]
    message = f"{len(errors)} cut off: {some(errors)}" if errors else "no object is cut off"
    return Verdict("objects_whole", not errors, message, blocks=False, figures={"cut_off": len(errors)})


def _required_fields(staged: StagedDay) -> Verdict:
    lacking = [
        f"{counts.item.name} lacks {', '.join(sorted(counts.facts.missing_fields))}"
        for counts in staged.objects
        if counts.facts.missing_fields
    ]
    message = some(lacking) if lacking else "every header names the required fields"
    return Verdict("required_fields", not lacking, message, figures={"objects_lacking": len(lacking)})


def _reject_share(staged: StagedDay, limits: Limits) -> Verdict:
    read, rejected = staged.total("read"), staged.total("rejected")
    share = rejected / read if read else 0.0
    by_reason = _reasons(staged.rejects_by_reason)
    message = f"{rejected} of {counted(read, 'row')} rejected ({share:.1%}, limit {limits.max_reject_share:.1%})"
    useless = [
        counts.item.name
        for counts in staged.objects
        if counts.read and counts.rejected == counts.read and not _unreadable(counts, limits)  # that check names them
    ]
    figures = {"rows_read": read, "rows_rejected": rejected, "share": round(share, 6), "limit": limits.max_reject_share}
    return Verdict(
        "reject_share",
        share <= limits.max_reject_share,
        (f"{message}: {by_reason}" if by_reason else message) + (f"; every row of {some(useless)}" if useless else ""),
        figures=figures,
    )


def _rows_accounted(staged: StagedDay, limits: Limits) -> Verdict:
    wrong = [
        counts.item.name for counts in staged.objects if counts.read != counts.kept + counts.rejected + counts.duplicate
    ]
    in_files = sum(pq.read_metadata(path).num_rows for path in staged.files.values())
    in_rejects = pq.read_metadata(staged.rejects_file).num_rows
    rejects_kept = sum(min(counts.rejected, limits.rejects_kept) for counts in staged.objects)
    passed = not wrong and in_files == staged.total("kept") and in_rejects == rejects_kept
    figures = {
        "rows_read": staged.total("read"),
        "rows_kept": staged.total("kept"),
        "rows_rejected": staged.total("rejected"),
        "rows_duplicate": staged.total("duplicate"),
        "rows_in_files": in_files,
        "rejects_in_file": in_rejects,
    }
    message = "every row is accounted for" if passed else f"rows are missing: {figures}, objects {some(wrong)}"
    return Verdict("rows_accounted", passed, message, figures=figures)


def _volume(staged: StagedDay, past: list[_PastDay], limits: Limits) -> Verdict:
    rows = staged.total("kept")
    before = [day.kept for day in past]
    if not before:
        return Verdict("volume", True, "no earlier day to compare with", limits.volume_blocks, {"rows": rows})
    usual = median(before)
    least = usual / limits.volume_factor if _is_over(staged.partition.day) else 0
    passed = least <= rows <= usual * limits.volume_factor
    message = f"{counted(rows, 'row')}; the median of {_weekdays(len(before))} is {usual:.0f}"
    figures = {"rows": rows, "median": usual, "days": len(before), "factor": limits.volume_factor}
    return Verdict("volume", passed, message, limits.volume_blocks, figures)


def _weekdays(count: int) -> str:
    return f"the last {count} same weekdays" if count > 1 else "the one earlier day of this weekday"


def _is_over(day: date) -> bool:
    return day < datetime.now(UTC).date()


def _reject_rate(staged: StagedDay, past: list[_PastDay]) -> Verdict:
    read, rejected = staged.total("read"), staged.total("rejected")
    shares = [day.rejected / day.read for day in past if day.read]
    figures: dict[str, Any] = {"rows_read": read, "rows_rejected": rejected}
    if not shares or not read:
        return Verdict("reject_rate", True, "no earlier day to compare with", False, figures)
    share, usual = rejected / read, median(shares)
    passed = share <= usual * REJECT_FACTOR or share <= usual + REJECT_FLOOR or rejected < usual * read + REJECT_ROWS
    message = f"{share:.2%} of rows rejected; the median of {_weekdays(len(shares))} is {usual:.2%}"
    figures |= {"share": round(share, 6), "median": round(usual, 6), "days": len(shares), "factor": REJECT_FACTOR}
    return Verdict("reject_rate", passed, message, False, figures)


def _schema_drift(staged: StagedDay, lake: Lake) -> Verdict:
    now = profile_of(staged.ledger())
    before = _last_profile(lake, staged.partition)
    if before is None or now is None:
        return Verdict("schema_drift", True, "no earlier day to compare with", False)
    day, earlier = before
    found = drift(earlier, now)
    parts = {"new": found.new, "missing": found.missing, "changed": found.changed}
    said = "; ".join(f"{name}: {some(fields)}" for name, fields in parts.items() if fields)
    message = f"{said} (against {day})" if found else f"the fields are those of {day}"
    return Verdict("schema_drift", not found, message, False, {"against": day_text(day), **parts})


def _last_profile(lake: Lake, partition: Partition) -> tuple[date, Profile] | None:
    """The last published day before this one with its fields; None if none of the last `DRIFT_DAYS` days has rows."""
    for days in range(1, DRIFT_DAYS + 1):
        earlier = _before(partition, timedelta(days=days))
        if lake.exists(earlier.ledger_file):
            profile = profile_of(lake.read_table(earlier.ledger_file))
            if profile is not None and any(profile.rows.values()):
                return earlier.day, profile
    return None


def _before(partition: Partition, span: timedelta) -> Partition:
    return replace(partition, day=partition.day - span)


@dataclass(frozen=True)
class _PastDay:
    """Rows of a published day, as its ledger counted them."""

    read: int
    kept: int
    rejected: int


def _same_weekdays(lake: Lake, partition: Partition) -> list[_PastDay]:
    """The published same weekdays of the last `SAME_WEEKDAYS` weeks that had objects."""
    found = []
    columns = ["rows_read", "rows_kept", "rows_rejected"]
    for week in range(1, SAME_WEEKDAYS + 1):
        earlier = _before(partition, timedelta(weeks=week))
        if lake.exists(earlier.ledger_file):
            ledger = lake.read_table(earlier.ledger_file, columns)
            if len(ledger):  # a quiet day says nothing about the usual ones
                found.append(_PastDay(*(pc.sum(ledger.column(name)).as_py() or 0 for name in columns)))
    return found
