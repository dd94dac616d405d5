"""What a staged day must hold before anyone may see it. Each check gives one verdict with its figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from ingest.datasets import ACCESS_LOGS, Dataset, Partition
from ingest.lake import Lake, ledger_key
from ingest.stage import StagedDay

SAME_WEEKDAYS = 4  # weeks that the volume is compared with
SHOWN = 5  # objects that a message names


@dataclass(frozen=True)
class Check:
    name: str
    description: str


CHECKS = (
    Check("objects_present", "The source holds at least one object of the day"),
    Check("objects_readable", "Every object can be read; one that is merely cut off at its end counts as readable"),
    Check("objects_whole", "No object is cut off in the middle (a warning: its whole lines are kept)"),
    Check("required_fields", "Every header names date, time, cs-uri-stem and sc-status"),
    Check("reject_share", "The share of rejected rows is within the limit"),
    Check(
        "rows_accounted", "For each object rows read = kept + rejected + duplicates, and the files hold what was kept"
    ),
    Check("volume", "The number of rows is near the median of the same weekday in the last four weeks"),
)


@dataclass(frozen=True)
class Limits:
    """How bad a day may be.

    Args:
        max_reject_share: rejected / read above this refuses the day.
        volume_factor: rows below median / factor or above median x factor are suspicious.
        volume_blocks: whether a suspicious volume refuses the day, or only warns.
    """

    max_reject_share: float = 0.05
    volume_factor: float = 3.0
    volume_blocks: bool = False


@dataclass(frozen=True)
class Verdict:
    """A check's result for one day. One that blocks and did not pass refuses the day."""

    check: str
    passed: bool
    message: str
    blocks: bool = True
    figures: dict[str, Any] = field(default_factory=dict)


def checks_of(dataset: Dataset) -> tuple[Check, ...]:
    """The checks of a dataset; only logs have headers."""
    return tuple(check for check in CHECKS if check.name != "required_fields" or dataset is ACCESS_LOGS)


def audit(staged: StagedDay, lake: Lake, limits: Limits) -> list[Verdict]:
    """All verdicts on a staged partition, in the order of `CHECKS`."""
    verdicts = [
        _objects_present(staged),
        _objects_readable(staged),
        _objects_whole(staged),
        _required_fields(staged),
        _reject_share(staged, limits),
        _rows_accounted(staged),
        _volume(staged, lake, limits),
    ]
    names = {check.name for check in checks_of(staged.partition.dataset)}
    return [verdict for verdict in verdicts if verdict.check in names]


def _objects_present(staged: StagedDay) -> Verdict:
    count = len(staged.objects)
    message = f"{count} objects" if count else "no objects at all: were the logs delivered, is the prefix right?"
    return Verdict("objects_present", count > 0, message, figures={"objects": count})


def _errors(staged: StagedDay, is_cut_off: bool) -> list[str]:
    return [
        f"{counts.item.key}: {counts.facts.error}"
        for counts in staged.objects
        if counts.facts.error and counts.facts.error.startswith("cut off") == is_cut_off
    ]


def _objects_readable(staged: StagedDay) -> Verdict:
    errors = _errors(staged, is_cut_off=False)
    message = f"{len(errors)} unreadable: {_some(errors)}" if errors else "all objects were read"
    return Verdict("objects_readable", not errors, message, figures={"unreadable": len(errors)})


def _objects_whole(staged: StagedDay) -> Verdict:
    errors = _errors(staged, is_cut_off=True)
    message = f"{len(errors)} cut off: {_some(errors)}" if errors else "no object is cut off"
    return Verdict("objects_whole", not errors, message, blocks=False, figures={"cut_off": len(errors)})


def _required_fields(staged: StagedDay) -> Verdict:
    lacking = [
        f"{counts.item.key} lacks {', '.join(sorted(counts.facts.missing_fields))}"
        for counts in staged.objects
        if counts.facts.missing_fields
    ]
    message = _some(lacking) if lacking else "every header names the required fields"
    return Verdict("required_fields", not lacking, message, figures={"objects_lacking": len(lacking)})


def _reject_share(staged: StagedDay, limits: Limits) -> Verdict:
    read, rejected = staged.total("read"), staged.total("rejected")
    share = rejected / read if read else 0.0
    by_reason = ", ".join(f"{number} {reason}" for reason, number in sorted(staged.rejects_by_reason.items()))
    message = f"{rejected} of {read} rows rejected ({share:.1%}, limit {limits.max_reject_share:.1%})"
    figures = {"rows_read": read, "rows_rejected": rejected, "share": round(share, 6), "limit": limits.max_reject_share}
    return Verdict(
        "reject_share",
        share <= limits.max_reject_share,
        f"{message}: {by_reason}" if by_reason else message,
        figures=figures,
    )


def _rows_accounted(staged: StagedDay) -> Verdict:
    wrong = [
        counts.item.key for counts in staged.objects if counts.read != counts.kept + counts.rejected + counts.duplicate
    ]
    in_files = sum(pq.read_metadata(path).num_rows for path in staged.files.values())
    in_rejects = pq.read_metadata(staged.rejects_file).num_rows
    passed = not wrong and in_files == staged.total("kept") and in_rejects == staged.total("rejected")
    figures = {
        "rows_read": staged.total("read"),
        "rows_kept": staged.total("kept"),
        "rows_rejected": staged.total("rejected"),
        "rows_duplicate": staged.total("duplicate"),
        "rows_in_files": in_files,
    }
    message = "every row is accounted for" if passed else f"rows are missing: {figures}, objects {_some(wrong)}"
    return Verdict("rows_accounted", passed, message, figures=figures)


def _volume(staged: StagedDay, lake: Lake, limits: Limits) -> Verdict:
    rows = staged.total("kept")
    before = rows_of_same_weekday(lake, staged.partition)
    if not before:
        return Verdict("volume", True, "no earlier day to compare with", limits.volume_blocks, {"rows": rows})
    usual = median(before)
    least = usual / limits.volume_factor if _is_over(staged.partition.day) else 0
    passed = least <= rows <= usual * limits.volume_factor
    message = f"{rows} rows; the median of the last {len(before)} same weekdays is {usual:.0f}"
    figures = {"rows": rows, "median": usual, "days": len(before), "factor": limits.volume_factor}
    return Verdict("volume", passed, message, limits.volume_blocks, figures)


def _is_over(day: str) -> bool:
    return date.fromisoformat(day) < datetime.now(UTC).date()


def rows_of_same_weekday(lake: Lake, partition: Partition) -> list[int]:
    """Rows kept on the published same weekdays of the last weeks."""
    rows = []
    for week in range(1, SAME_WEEKDAYS + 1):
        day = (date.fromisoformat(partition.day) - timedelta(weeks=week)).isoformat()
        key = ledger_key(partition.dataset.name, day, partition.site)
        if lake.exists(key):
            rows.append(sum(lake.read_table(key, ["rows_kept"]).column("rows_kept").to_pylist()))
    return rows


def _some(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more
