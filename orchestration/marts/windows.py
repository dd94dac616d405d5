"""Runs one `dbt build` for a window of days, and reads the result of each model, test and day."""

import json
import re
import signal
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ingest.days import day_text, parse_day
from ingest.errors import ClicklakeError, DamagedError, OvertakenError, TransientError, TransientLakeError
from orchestration.marts.dbt_process import Finished, run_dbt
from orchestration.partitions import next_day

DAMAGED = "as_published"  # what the check of the lake's files is called in a refusal
ABSENT = "absent"  # the day has no raw rows, so smaller windows would not help
DISK_FULL = "No space left on device"
_OUT_OF_MEMORY = "Out of Memory Error"
_NO_SPILL_SPACE = "max_temp_directory_size"  # DuckDB derives it from the free space of the disk
# A transient error of the lake in dbt's process.
_PASSING = re.compile(rf"(?:{TransientLakeError.__name__}|{OvertakenError.__name__}): ([^\n\"\\]+)")
# Files of the lake are not what was published. dbt then builds nothing of the window.
_DAMAGED = re.compile(rf"{DamagedError.__name__}: ([^\n\"\\]+)")
REPORT = "clicklake_publish.jsonl"


@dataclass
class WindowResult:
    """The results of dbt for a window, by day.

    published: (model, day) → {status, rows, bytes, seconds, reasons} of each model that is published to the lake.
        The status is published, refused, skipped or absent, or failed if dbt did not get that far.
    built: (model or seed, day) → seconds of each node that was built, in the lake or in memory.
    tests: (test's unique id, day) → {status, failures, message, seconds}.
    """

    published: dict[tuple[str, date], dict[str, Any]] = field(default_factory=dict)
    built: dict[tuple[str, date], float] = field(default_factory=dict)
    tests: dict[tuple[str, date], dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    disk_is_full: bool = False

    def add(self, other: "WindowResult") -> None:
        self.published |= other.published
        self.built |= other.built
        self.tests |= other.tests
        self.seconds += other.seconds
        self.disk_is_full |= other.disk_is_full

    def is_divisible(self) -> bool:
        """Whether a smaller window might publish days that this one did not."""
        return any(entry["status"] not in ("published", ABSENT) for entry in self.published.values())

    def only_waits(self) -> bool:
        """Whether something was published, and all else waits for another source: what is published goes on."""
        statuses = {entry["status"] for entry in self.published.values()}
        return "published" in statuses and statuses <= {"published", ABSENT}

    def refused(self, days: Collection[date]) -> dict[date, str]:
        """Day → why, for each day on which a model was not published.

        A refused day also keeps models of later days from being restated: they are skipped. Those consequences are left
        out.

        Args:
            days: the days of the run.
        """
        bad = {key: entry for key, entry in self.published.items() if entry["status"] != "published"}
        causes = {key: entry for key, entry in bad.items() if key[1] in days or entry["status"] != "skipped"}
        found: dict[date, str] = {}
        for (model, day), entry in (causes or bad).items():
            why = "; ".join(_sentence(reason["message"]) for reason in entry.get("reasons", ()))
            status = "waits" if entry["status"] == ABSENT else entry["status"]
            found.setdefault(day, f"{model} {status} ({why})")
        return found


def build(project: Path, days: Sequence[date], select: Sequence[str], environment: Mapping[str, str]) -> WindowResult:
    """Builds, tests and publishes a window of consecutive days; `select` is dbt's own `--select …`, `--exclude …`.

    dbt judges a window as a whole. If it refuses one of several days, the window is halved until the bad days stand
    alone, so that the good days are published.

    Raises:
        ClicklakeError: dbt failed before it could judge anything.
        TransientError: the lake could not be read or written for a moment; published files are whole.
    """
    result = _build_once(project, days, select, environment)
    if not result.is_divisible() or result.disk_is_full or len(days) == 1:
        return result
    halves = WindowResult(seconds=result.seconds)
    middle = len(days) // 2
    for half in (days[:middle], days[middle:]):
        halves.add(build(project, half, select, environment))
    return halves


def _build_once(
    project: Path, days: Sequence[date], select: Sequence[str], environment: Mapping[str, str]
) -> WindowResult:
    started = time.monotonic()
    arguments = ["--no-write-json", "build", "--exclude-resource-type", "unit_test"]
    arguments += ["--event-time-start", day_text(days[0]), "--event-time-end", day_text(next_day(days[-1]))]
    arguments += select
    with tempfile.TemporaryDirectory(prefix="clicklake-dbt-") as folder:
        # Files that an interrupted dbt leaves, such as fetched ones, are deleted with the folder.
        done = run_dbt(project, arguments, Path(folder), {**environment, "TMPDIR": folder})
        report = _read(Path(folder) / REPORT)
    if passing := _PASSING.search(done.output):
        raise TransientError(f"dbt on {days[0]} … {days[-1]}: {passing[1]}")
    results = [entry for entry in report if "node" in entry]
    if not results and (damaged := _DAMAGED.search(done.output)):
        reasons = [{"check": DAMAGED, "message": damaged[1]}]
        entry = {"status": "refused", "reasons": reasons}
        return WindowResult({("marts", day): entry for day in days}, seconds=time.monotonic() - started)
    if not results:
        raise ClicklakeError(f"dbt failed on {days[0]} … {days[-1]}: {_reason(done)}")
    found = _collect(days, results, time.monotonic() - started)
    found.disk_is_full = DISK_FULL in done.output
    failed = {"status": "failed", "reasons": [{"message": _reason(done)}]}
    found.published = {(result["name"], day): failed for result in results if result["is_lake_table"] for day in days}
    found.published |= {(entry["model"], parse_day(entry["day"])): entry for entry in report if "model" in entry}
    return found


def _sentence(message: str) -> str:
    """Advice for the person if the machine failed, else the message as one line."""
    if _NO_SPILL_SPACE in message:
        return (
            "DuckDB has no space left to spill to. Free some in CLICKLAKE_DUCKDB_TEMP_DIRECTORY, or run fewer days at "
            "once; the last good files stand"
        )
    if damaged := _DAMAGED.search(message):
        return damaged[1]
    if _OUT_OF_MEMORY in message:
        return (
            "DuckDB ran out of memory. Run fewer days at once, or set CLICKLAKE_DUCKDB_MEMORY_LIMIT higher; the last "
            "good files stand"
        )
    return " ".join(message.split())


def _reason(done: Finished) -> str:
    if DISK_FULL in done.output:
        return "the disk is full. Free some space and run again; the last good files stand"
    if done.status < 0:
        name = signal.Signals(-done.status).name
        return (
            f"its process was ended by {name}, as the system does where memory runs out. Run fewer days at once, or "
            "set CLICKLAKE_DUCKDB_MEMORY_LIMIT lower; the last good files stand"
        )
    return done.errors()


def _collect(days: Sequence[date], results: list[dict[str, Any]], seconds: float) -> WindowResult:
    found = WindowResult(seconds=seconds)
    for result in results:
        for day in days:
            if result["node"].startswith("test."):
                found.tests[result["node"], day] = result
            elif result["status"] == "success":
                found.built[result["name"], day] = result["seconds"]
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    """The report, one JSON object a line, as far as dbt wrote it."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
