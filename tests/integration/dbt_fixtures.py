"""Small raw lakes, and dbt run over them in processes of its own, for the tests of the dbt project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import DATA_FILE, Partition
from ingest.lake.records import FileRecord, ledger_record
from ingest.schema import ACCESS_LOGS, EVENTS, arrow_schema
from orchestration.marts.dbt_process import PARSED, run_loaded

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "dbt_project"
DATASET = "access_logs"


def request(kind: str, at: str, line: int, **columns: Any) -> dict[str, Any]:
    """One raw row: a `click`, `impression` or `other` at an ISO time, with whatever else the test needs."""
    row = {
        "event_ts": datetime.fromisoformat(at),
        "request_type": kind,
        "request_id": f"id-{at}-{line}",
        "ip_hash": "reader",
        "status": 302 if kind == "click" else 200,
        "is_bot": False,
        "order_id": "order",
        "campaign_id": "camp",
        "publication_code": "chicago-reader",
        "channel": "website",
        "creative_id": "456",
        "ad_size": "300x250",
        "source_object": f"logs/{at[:10]}.gz",
        "source_line": line,
    }
    return row | columns


def write_raw(lake: Lake, event_date: str, source_date: str, rows: list[dict[str, Any]]) -> None:
    """One raw file as ingest writes it; no rows give the empty file of a day without requests. If the source day has a
    ledger, it records the file."""
    table = pa.Table.from_pylist(rows, schema=arrow_schema(ACCESS_LOGS))
    partition = Partition(DATASET, parse_day(source_date))
    key, ledger = partition.raw_file(parse_day(event_date)), partition.ledger_file
    lake.put_table(table, key)
    if record := ledger_record(lake, ledger):
        files = {**record.files, key: FileRecord.of(Path(lake.path(key)))}
        lake.put_table(replace(record, files=files).on(lake.read_table(ledger)), ledger)


def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A day that must not be published: a line without request id stands in its file twice, so that it would be
    counted more often than it was logged."""
    click = next(row for row in rows if row["request_type"] == "click") | {"request_id": None, "source_line": 999}
    return [*rows, click, click]


def run_dbt(
    lake: Lake, target: Path, *arguments: str, project: Path = PROJECT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs dbt over a lake, without reports of its own. What the project's own target folder, or an earlier run in this
    one, has parsed is used."""
    parsed = project / "target" / PARSED
    if parsed.exists() and not (target / PARSED).exists():
        shutil.copy(parsed, target)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CLICKLAKE_", "DBT_"))}
    variables = {
        "CLICKLAKE_LAKE": lake.url,
        "CLICKLAKE_DUCKDB_MEMORY_LIMIT": "1GB",
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "DBT_LOG_LEVEL_FILE": "none",
    }
    command = {
        "arguments": ["--no-use-colors", "--no-write-json", *arguments],
        "folder": str(project),
        "environment": inherited | variables | environment,
    }
    done = run_loaded(command)
    return subprocess.CompletedProcess(arguments, done.status, done.output, "")


def build(lake: Lake, target: Path, first: str, after_last: str, *arguments: str, **options: Any) -> Any:
    """`dbt build` of a window as production runs it: without unit tests."""
    window = ("--event-time-start", first, "--event-time-end", after_last)
    command = ("build", *window, "--exclude-resource-type", "unit_test")
    return run_dbt(lake, target, *command, *arguments, **options)


def build_each(lake: Lake, target: Path, windows: Iterable[tuple[str, str]], *arguments: str, **options: Any) -> None:
    """A build of each window (first day, day after the last), in this order; all of them succeed."""
    for first, after_last in windows:
        done = build(lake, target, first, after_last, *arguments, **options)
        assert done.returncode == 0, done.stdout


def mart_key(model: str, day: str) -> str:
    return f"marts/{model}/report_date={day}/data.parquet"


def mart(lake: Lake, model: str, day: str) -> list[dict[str, Any]]:
    return lake.read_table(mart_key(model, day)).to_pylist()


def report(target: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What the last run in this target folder did, by model and day."""
    return {(entry["model"], entry["day"]): entry for entry in _reported(target) if "model" in entry}


def nodes(target: Path) -> list[dict[str, Any]]:
    """What became of each model and test in the last run in this target folder."""
    return [entry for entry in _reported(target) if "node" in entry]


def _reported(target: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (target / "clicklake_publish.jsonl").read_text().splitlines()]


def hive_rows(lake: Lake, model: str) -> pa.Table:
    """The published days as pyarrow reads a folder of partitions."""
    return pq.read_table(lake.path(f"marts/{model}"), filesystem=lake.filesystem)


def event(kind: str, at: str, line: int, **columns: Any) -> dict[str, Any]:
    """One raw event at an ISO time, of one visitor's browser, or a crawler's, with whatever else the test needs."""
    row = {
        "event_ts": datetime.fromisoformat(at),
        "event_id": f"evt-{at}-{line}",
        "event_type": kind,
        "site_id": "shop.example",
        "visitor_id": "visitor",
        "ip_hash": "address",
        "subnet_hash": "network",
        "country": "US",
        "host": "shop.example",
        "path": "/",
        "device_category": "bot" if columns.get("is_bot") else "desktop",
        "is_bot": False,
        "shape": "site",
        "source_object": f"events/{at[:10]}.jsonl",
        "source_line": line,
    }
    return row | columns


def write_events(lake: Lake, event_date: str, source_date: str, rows: list[dict[str, Any]]) -> None:
    """One raw file of a site's events as ingest writes it."""
    table = pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS))
    folder = f"raw/events/event_date={event_date}/source_date={source_date}"
    lake.put_table(table, f"{folder}/site=shop.example/{DATA_FILE}")
