"""Measures the refresh of a day as objects arrive: reading only the new objects, against reading the whole day.

Each run starts with the lake as it was before the new objects arrived.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from benchmarks.measure import THREADS
from benchmarks.ours import HASH_KEY
from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.day import (  # imported here, so that loading is not measured
    DayResult,
    IngestOptions,
    ingest_day,
)
from ingest.source import FolderSource

OPTIONS = IngestOptions(hash_key=HASH_KEY, workers=THREADS)


def prepare_day(source_folder: str, prepared: str, day: str, *new: str) -> int:
    """For each number n in `new`, makes a lake with the day but without its last n objects. Returns 1."""
    source = FolderSource(source_folder)
    partition = Partition("access_logs", parse_day(day))
    found = source.objects([partition.day])
    for number in map(int, new):
        lake = Lake(str(Path(prepared, Path(source_folder).name, str(number))))
        _published(ingest_day(lake, source, partition, OPTIONS, found[: len(found) - number]))
    return 1


def prepare_days(prepared: str, day: str, *source_folders: str) -> int:
    """Calls `prepare_day` for several days, each without its last object. Returns 1."""
    for folder in source_folders:
        prepare_day(folder, prepared, day, "1")
    return 1


def refresh(source_folder: str, prepared: str, scratch: str, day: str, new: str) -> int:
    """Reads the new objects and adds them to the published rows. Returns 1, the number of refreshes."""
    result = _published(_ingest(source_folder, prepared, scratch, day, new, incremental=True))
    if result.reading != "new objects":
        raise RuntimeError(f"all objects were read: {result.why_whole}")
    return 1


def read_whole(source_folder: str, prepared: str, scratch: str, day: str) -> int:
    """Reads all objects, old and new. Returns 1."""
    _published(_ingest(source_folder, prepared, scratch, day, "1", incremental=False))
    return 1


def find_nothing(source_folder: str, prepared: str, scratch: str, day: str) -> int:
    """Refreshes a day without new objects. Returns 1."""
    if _ingest(source_folder, prepared, scratch, day, "0", incremental=True).reading != "nothing":
        raise RuntimeError("there was something to do")
    return 1


def _ingest(source_folder: str, prepared: str, scratch: str, day: str, new: str, incremental: bool) -> DayResult:
    lake = Lake(str(Path(scratch, "lake")))
    # Hard links cost nothing, and files of a lake are never written to again.
    shutil.copytree(Path(prepared, Path(source_folder).name, new), lake.root, copy_function=os.link)
    partition = Partition("access_logs", parse_day(day))
    return ingest_day(lake, FolderSource(source_folder), partition, OPTIONS, incremental=incremental)


def _published(result: DayResult) -> DayResult:
    if not result.published:
        raise RuntimeError(f"ingest refused the generated day: {result.reason}")
    return result
