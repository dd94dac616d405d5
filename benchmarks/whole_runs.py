"""Whole runs of `clicklake`, measured from the outside: small days, months and a large day, of logs and of events.

A source is a folder with `logs/` and, if there are any, `events/`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

from benchmarks.generate import ensure_logs
from benchmarks.generate_events import ensure_events
from benchmarks.ours import HASH_KEY, make_small_days

EVENTS_SCALE = 0.4  # of the demo's days: some 1,300 events of three sites


def make_days(folder: Path, first: date, count: int, has_events: bool) -> Path:
    """Small days of ten objects of logs each and, if asked for, of some sixty objects of events."""
    from demo.event_files import generate_days, write_days
    from demo.traffic import to_folder

    if not (folder / "logs").exists():
        make_small_days(folder / "logs", first, count)
    if has_events and not (folder / "events").exists():
        write_days(generate_days(first, count, scale=EVENTS_SCALE), to_folder(folder / "events"))
    return folder


def make_large_day(folder: Path, data: Path, lines: int, files: int, events: int) -> Path:
    """A large day, from the generated logs and events of `data`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in (("logs", ensure_logs(data, lines, files)), ("events", ensure_events(data, events))):
        if not (folder / name).exists():
            (folder / name).symlink_to(made.absolute(), target_is_directory=True)
    return folder


def run_days(source: str, lake: str, first: str, last: str) -> int:
    """`clicklake run` of the days from first to last, from cold start to published marts. Returns the days."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    settings = {
        "CLICKLAKE_LOGS": f"{source}/logs",
        "CLICKLAKE_LAKE": f"{lake}/lake",
        "CLICKLAKE_HASH_KEY": HASH_KEY,
        "DAGSTER_HOME": f"{lake}/dagster",
    }
    if Path(source, "events").exists():
        settings["CLICKLAKE_EVENTS"] = f"{source}/events"
    program = str(Path(sys.executable).with_name("clicklake"))
    command = [program, "run", "--from", first, "--to", last, "--no-publish"]
    subprocess.run(command, env=others | settings, check=True, stdout=subprocess.DEVNULL)
    return (date.fromisoformat(last) - date.fromisoformat(first)) // timedelta(days=1) + 1


def run_demo(folder: str) -> int:
    """`clicklake demo`, which `make demo` runs after set-up. Returns 1."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    program = str(Path(sys.executable).with_name("clicklake"))
    subprocess.run([program, "demo", "--folder", f"{folder}/demo"], env=others, check=True, stdout=subprocess.DEVNULL)
    return 1
