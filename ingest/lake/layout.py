"""Where each file of the lake lies: the one place that spells folders and partition columns."""

from __future__ import annotations

import hashlib
from datetime import date
from urllib.parse import quote

# The layers: what lies directly below the lake's root.
RAW, REJECTS, LEDGER, MARTS = "raw", "rejects", "ledger", "marts"
QUARANTINE, RELEASES, QUALITY = "quarantine", "releases", "quality"
QUALITY_FOLDER = f"{QUALITY}/data_quality"
DATA_FILE = "data.parquet"
VERDICT_FILE = "verdict.json"  # of a refused partition
MAX_FOLDER_NAME = 200  # bytes; file systems take 255


def raw_key(dataset: str, event_date: str, source_date: str, site: str | None = None) -> str:
    return f"{RAW}/{dataset}/event_date={event_date}/{_source(source_date, site)}/{DATA_FILE}"


def rejects_key(dataset: str, source_date: str, site: str | None = None) -> str:
    return f"{REJECTS}/{dataset}/{_source(source_date, site)}/{DATA_FILE}"


def ledger_key(dataset: str, source_date: str, site: str | None = None) -> str:
    return f"{ledger_folder(dataset)}{_source(source_date, site)}/{DATA_FILE}"


def ledger_folder(dataset: str, source_date: str | date | None = None) -> str:
    """Of all ledgers of a dataset, or of those of a source date, of all sites."""
    return f"{LEDGER}/{dataset}/" + (f"source_date={source_date}/" if source_date else "")


def quarantine_folder(table: str | None = None) -> str:
    """Of all refused partitions, or of those of a table."""
    return f"{QUARANTINE}/{table}" if table else QUARANTINE


def release_folder(table: str, day: str | None = None, site: str | None = None) -> str:
    """Of a table's releases, or of those of a partition."""
    folder = f"{RELEASES}/{table}" + (f"/day={day}" if day else "")
    return folder + (f"/{site_folder(site)}" if site else "")


def quarantine_prefix(table: str, day: str, site: str | None = None) -> str:
    """Where the rows, rejects and verdict of a refused partition lie."""
    return f"{quarantine_folder(table)}/day={day}" + (f"/{site_folder(site)}" if site else "")


def quality_key(judged_date: str, run_id: str, step: str) -> str:
    """The verdicts of one step of a run. No two steps share a file, so that none can lose another's."""
    return f"{QUALITY_FOLDER}/judged_date={judged_date}/run_id={run_id}/step={step}/{DATA_FILE}"


def _source(source_date: str, site: str | None) -> str:
    return f"source_date={source_date}" + (f"/{site_folder(site)}" if site else "")


def site_folder(site: str) -> str:
    """A site's name comes with the objects, from outside: whatever it is, it makes one folder, of a length that every
    file system takes."""
    name = quote(site, safe="", errors="surrogateescape")
    if len(name) > MAX_FOLDER_NAME:
        name = f"{name[: MAX_FOLDER_NAME // 2]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"site={name}"


def raw_folder(dataset: str, event_date: str | date | None = None, source_date: str | date | None = None) -> str:
    """Of all raw files of a dataset; of those with events of a date, whatever day they came on; or of those of a source
    date among them."""
    folder = f"{RAW}/{dataset}/" + (f"event_date={event_date}/" if event_date else "")
    return folder + (f"source_date={source_date}/" if source_date else "")


def mart_folder(model: str, column: str | None = None, day: str | date | None = None) -> str:
    """Of all files of a mart, or of a day's."""
    return f"{MARTS}/{model}/" + (f"{column}={day}/" if column else "")


def mart_key(model: str, column: str | None, day: str | date) -> str:
    """A day's file of a mart; the one file of a snapshot, which has no column."""
    return mart_folder(model, column, day) + DATA_FILE


def partition_of(key: str, column: str) -> str:
    """The value of the `column=value` folder in a key, which has one."""
    return key.split(f"/{column}=")[1].split("/")[0]
