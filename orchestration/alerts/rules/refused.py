"""`refused`: partitions in quarantine.

Each partition is an alert of its own: a warning if an earlier good version stands, else an error. A published day of
which objects have vanished is refused too, unless it is older than the source keeps objects
(`CLICKLAKE_LOGS_KEPT_DAYS`, `CLICKLAKE_EVENTS_KEPT_DAYS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ingest.days import day_text
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import Mart, Partition, quarantine_folder, table_of
from ingest.partition.datasets import DATASETS
from ingest.partition.day import has_ledger
from ingest.partition.quarantine import read_verdict, verdict_files
from ingest.words import sentence
from orchestration.alerts.alert import ERROR, WARNING, Alert, name, plain
from orchestration.alerts.rule import Kind, Look, Rule
from orchestration.quality import named
from orchestration.resources import terms_of

REFUSED = "refused"
OF_OBJECTS_GONE = {"objects_kept", "objects_present"}  # checks that fail where objects were deleted


def refused(look: Look) -> list[Alert]:
    """An alert for every partition in quarantine; a warning if an earlier good version stands."""
    lake = look.lake
    verdicts = verdict_files(lake.files(quarantine_folder()))
    tables = {table_of(file.key) for file in verdicts} - set(DATASETS)
    marts = {table: lake.files(Mart(table).folder) for table in tables}
    found = ((file, *read_verdict(lake, file)) for file in verdicts)
    return [_refused(lake, *each, marts) for each in found if not _is_no_news(look, *each[1:])]


def _is_no_news(look: Look, partition: Partition, verdict: list[dict[str, Any]]) -> bool:
    """Whether objects of a published day have gone because they are old."""
    is_gone = {reason["check"] for reason in verdict} <= OF_OBJECTS_GONE
    is_past = partition.table in DATASETS and terms_of(look.settings, partition.table).is_past(partition.day)
    return is_gone and is_past and has_ledger(look.lake, partition)


def _refused(
    lake: Lake,
    file: LakeFile,
    partition: Partition,
    verdict: list[dict[str, Any]],
    marts: Mapping[str, list[LakeFile]],
) -> Alert:
    table, day = table_of(file.key), day_text(partition.day)
    if table in DATASETS:
        stands = has_ledger(lake, partition)
    else:
        whole = Mart(table).file(partition.day)  # a snapshot has one file for all days
        stands = any(f"={day}/" in each.key or each.key == whole for each in marts[table])
    shown = f"raw_{table}" if table in DATASETS else table
    subject = f"{shown}/{name(partition.site)}" if partition.site else shown
    reasons = "; ".join(f"{reason['check']}: {reason['message']}" for reason in verdict)
    what_stands = "An earlier good version still stands." if stands else "Nothing of it is published."
    return Alert(
        kind=REFUSED,
        subject=subject,
        day=day,
        title=f"{subject} {day} refused",
        text=f"{sentence(plain(reasons))} {what_stands}",
        severity=WARNING if stands else ERROR,
        command=f"clicklake quarantine show {named(partition)}",
    )


RULE = Rule(
    "quarantine",
    (
        Kind(
            REFUSED,
            "error; a warning where an earlier good version stands",
            "a partition lies in quarantine",
            "it does not any more",
        ),
    ),
    refused,
)
