"""`refused`: partitions in quarantine.

Each is an alert of its own, a warning where an earlier good version stands. A published day whose objects have all gone
is refused too.
"""

from __future__ import annotations

from collections.abc import Mapping

from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import DATA_FILE, mart_folder, quarantine_folder
from ingest.partition.datasets import DATASETS, Partition
from ingest.partition.day import has_ledger
from ingest.partition.quarantine import read_verdict, verdict_files
from ingest.words import sentence
from orchestration.alerts.alert import ERROR, WARNING, Alert, name, plain
from orchestration.alerts.rule import Kind, Look, Rule
from orchestration.quality import named

REFUSED = "refused"


def refused(look: Look) -> list[Alert]:
    """Every partition in quarantine; a warning where an earlier good version stands."""
    lake = look.lake
    verdicts = verdict_files(lake.files(quarantine_folder()))
    marts = {table: lake.files(mart_folder(table)) for table in {_table(file) for file in verdicts} - set(DATASETS)}
    return [_refused(lake, file, marts) for file in verdicts]


def _table(file: LakeFile) -> str:
    return file.key.split("/")[1]


def _refused(lake: Lake, file: LakeFile, marts: Mapping[str, list[LakeFile]]) -> Alert:
    verdict = read_verdict(lake, file)
    table, day, site = _table(file), file.partition("day"), verdict.get("site")
    if table in DATASETS:
        stands = day is not None and has_ledger(lake, Partition(DATASETS[table], day, site))
    else:
        whole = mart_folder(table) + DATA_FILE  # a mart of the whole history
        stands = any(f"={day}/" in each.key or each.key == whole for each in marts[table])
    shown = f"raw_{table}" if table in DATASETS else table
    subject = f"{shown}/{name(site)}" if site else shown
    reasons = "; ".join(f"{reason.get('check')}: {reason.get('message')}" for reason in verdict.get("reasons", ()))
    what_stands = "An earlier good version still stands." if stands else "Nothing of it is published."
    return Alert(
        kind=REFUSED,
        subject=subject,
        day=day,
        title=" ".join(filter(None, (subject, day, "refused"))),
        text=f"{sentence(plain(reasons))} {what_stands}",
        severity=WARNING if stands else ERROR,
        command=f"clicklake quarantine show {named(table, day, site)}" if day else "clicklake quarantine list",
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
