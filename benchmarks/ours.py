"""The parts of Clicklake that are measured, each as one function of strings that returns how many units it did."""

from __future__ import annotations

from benchmarks.measure import THREADS


def run_ours(source_folder: str, lake_folder: str, day: str) -> int:
    """Raw logs of one day to a published raw partition: parsed, checked, hashed, deduplicated. Returns rows read."""
    from ingest.day import IngestOptions, ingest_day
    from ingest.lake import Lake
    from ingest.source import open_source

    options = IngestOptions(hash_key="benchmark-" * 4, workers=THREADS)
    result = ingest_day(Lake(lake_folder), open_source(source_folder), day, options)
    if not result.published:
        raise RuntimeError(f"ingest refused the generated day: {result.reason}")
    return result.rows_read


def run_daily_aggregates(lake_folder: str, day: str) -> int:
    """The SQL of the model daily_aggregates over the raw partition that run_ours wrote. Returns the raw rows read."""
    raise NotImplementedError("ours: not built")


def run_small_day(source_folder: str, lake_folder: str, day: str) -> int:
    """A day of a thousand lines through the clicklake command, as its user calls it. Returns 1, the runs."""
    raise NotImplementedError("ours: not built")
