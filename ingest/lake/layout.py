"""The paths of all files in the lake. Only this module builds and parses folders and partition columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, unquote

from ingest.days import day_text, parse_day

# The layers: the folders below the lake's root.
RAW, REJECTS, LEDGER, MARTS = "raw", "rejects", "ledger", "marts"
RECORDS = "records"  # SHA-256 of the files of marts
SUMMARIES = "summaries"  # of marts' history, made of their files and made again without them
QUARANTINE, RELEASES, QUALITY = "quarantine", "releases", "quality"
RULES, REFERENCE = "rules", "reference"  # kept by people: rules, and tables such as spend
QUALITY_FOLDER = f"{QUALITY}/data_quality"
LAKE_FILE = "lake.json"  # what the lake is written by
DATA_FILE = "data.parquet"
LATEST_FILE = "latest.json"  # of a summary
VERDICT_FILE = "verdict.json"  # of a refused partition
NO_SITE = "-"  # the site in the paths of a day that no site has events of; no host has this name
MAX_FOLDER_NAME = 200  # bytes; file systems allow 255


@dataclass(frozen=True)
class Partition:
    """The unit that is checked, and published or refused: a day of a table, or of one site in it.

    table: a dataset of raw, or a mart. day: the source date, for a dataset. site: for datasets whose sites are checked
        separately.
    """

    table: str
    day: date
    site: str | None = None

    def __str__(self) -> str:
        return f"{self.table} {self.day}" + (f" {self.site}" if self.site else "")

    def raw_folder(self, event_date: date) -> str:
        return f"{raw_folder(self.table, event_date)}{self._source}/"

    def raw_file(self, event_date: date) -> str:
        """The file with the rows of one event date that this source day holds."""
        return self.raw_folder(event_date) + DATA_FILE

    @property
    def rejects_file(self) -> str:
        return f"{REJECTS}/{self.table}/{self._source}/{DATA_FILE}"

    @property
    def ledger_folder(self) -> str:
        """The folder of the ledger; without a site, of the ledgers of all sites."""
        return f"{ledger_folder(self.table)}{self._source}/"

    @property
    def ledger_file(self) -> str:
        return self.ledger_folder + DATA_FILE

    @property
    def quarantine(self) -> str:
        """The folder of the refused rows, rejects, ledger and verdict of this partition."""
        return f"{quarantine_folder(self.table)}/day={day_text(self.day)}{self._below}"

    @property
    def verdict_file(self) -> str:
        return f"{self.quarantine}/{VERDICT_FILE}"

    @property
    def refused_ledger_file(self) -> str:
        return f"{self.quarantine}/ledger.parquet"

    @property
    def refused_rejects_file(self) -> str:
        return f"{self.quarantine}/rejects.parquet"

    @property
    def refused_rows(self) -> str:
        """The folder of the refused rows."""
        return f"{self.quarantine}/rows"

    def refused_rows_file(self, event_date: date | None = None) -> str:
        """A file of refused rows: one for each event date of a dataset, one in all for a mart."""
        return f"{self.refused_rows}/" + (f"{event_folder(event_date)}/" if event_date else "") + DATA_FILE

    @property
    def releases(self) -> str:
        """The folder of this partition's releases."""
        return f"{release_folder(self.table)}/day={day_text(self.day)}{self._below}"

    @property
    def lock(self) -> str:
        """The name of the lock that a run holds while it ingests this day of the dataset, with all its sites."""
        return f"{RAW}/{self.table}/{day_text(self.day)}"

    @property
    def _source(self) -> str:
        return f"{source_folder(self.day)}{self._below}"

    @property
    def _below(self) -> str:
        return f"/{site_folder(self.site)}" if self.site else ""


@dataclass(frozen=True)
class Mart:
    """partition_by: the date column in the names of the day folders; None for a snapshot, which is one file."""

    name: str
    partition_by: str | None = None

    @property
    def folder(self) -> str:
        return f"{MARTS}/{self.name}/"

    @property
    def view(self) -> str:
        """The name of the mart in SQL."""
        return f"{MARTS}.{self.name}"

    def day_folder(self, day: date) -> str:
        """The folder of a day. For a snapshot it is the folder of its only file, whatever the day."""
        return self.folder + (f"{self.partition_by}={day_text(day)}/" if self.partition_by else "")

    def file(self, day: date) -> str:
        return self.day_folder(day) + DATA_FILE

    @property
    def record_file(self) -> str:
        """The file that says what the mart's files are."""
        return f"{RECORDS}/{self.name}/{DATA_FILE}"

    def day_of(self, key: str) -> date | None:
        """The day of a file of this mart; None if its folder names no day."""
        return _day_in(key, self.partition_by) if self.partition_by else None

    def quarantine(self, day: date) -> str:
        """The quarantine that a good file of this day clears: that of the day, or of all days for a snapshot."""
        return Partition(self.name, day).quarantine if self.partition_by else quarantine_folder(self.name)


def source_folder(day: date) -> str:
    return f"source_date={day_text(day)}"


def event_folder(event_date: date) -> str:
    return f"event_date={day_text(event_date)}"


def raw_folder(dataset: str, event_date: date | None = None) -> str:
    """The folder of a dataset's raw files: of all, or of those with rows of an event date, from any source day."""
    return f"{RAW}/{dataset}/" + (f"{event_folder(event_date)}/" if event_date else "")


def ledger_folder(dataset: str) -> str:
    return f"{LEDGER}/{dataset}/"


def ledger_of(key: str) -> str:
    """The ledger of the partition that a raw or rejects file belongs to."""
    parts = [part for part in key.split("/")[1:] if not part.startswith("event_date=")]
    return "/".join([LEDGER, *parts])


def quarantine_folder(table: str | None = None) -> str:
    """The folder of all refused partitions, or of those of a table."""
    return f"{QUARANTINE}/{table}" if table else QUARANTINE


def release_folder(table: str) -> str:
    return f"{RELEASES}/{table}"


def quality_key(judged_date: date, run_id: str, step: str) -> str:
    """The file of the verdicts of one step of a run. Each step has its own file, so that none overwrites another's."""
    return f"{QUALITY_FOLDER}/judged_date={day_text(judged_date)}/run_id={run_id}/step={step}/{DATA_FILE}"


def rules_version(fingerprint: str) -> str:
    """The file of the rules that marts were built with."""
    return f"{RULES}/versions/{fingerprint}.json"


def summary_file(name: str, version: str, part: str) -> str:
    """A part of a version of a summary. It never changes."""
    return f"{SUMMARIES}/{name}/{version}/{part}.parquet"


def summary_manifest(name: str) -> str:
    """The file that says which version of a summary is the present one."""
    return f"{SUMMARIES}/{name}/{LATEST_FILE}"


def site_folder(site: str) -> str:
    """The folder of a site. Its name comes from outside, so it is escaped and shortened to a length that every file
    system accepts."""
    name = quote(site, safe="", errors="surrogateescape")
    if len(name) > MAX_FOLDER_NAME:
        name = f"{name[: MAX_FOLDER_NAME // 2]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"site={name}"


def table_of(key: str) -> str:
    """The table that a file in a layer belongs to."""
    return key.split("/")[1]


def partition_of(key: str) -> Partition | None:
    """The partition of a file in raw, rejects, ledger, quarantine or releases; None if no folder names a day.

    The site is taken from the folder's name, which is shortened for a long site.
    """
    day = _day_in(key, "source_date") or _day_in(key, "day")
    site = value_in(key, "site")
    return Partition(table_of(key), day, unquote(site) if site else None) if day else None


def event_date_of(key: str) -> date | None:
    """The event date of the rows in a raw file."""
    return _day_in(key, "event_date")


def value_in(key: str, column: str) -> str | None:
    """The value of a `column=value` folder in a key; None if there is no such folder."""
    return next((part[len(column) + 1 :] for part in key.split("/") if part.startswith(f"{column}=")), None)


def day_of_folder(name: str) -> date | None:
    """The day that the name of a folder tells, such as `event_date=2026-01-12`; None if it names no day."""
    return _day_in(name, name.partition("=")[0])


def _day_in(key: str, column: str) -> date | None:
    value = value_in(key, column)
    try:
        return parse_day(value) if value else None
    except ValueError:
        return None
