"""The rules that partitions of marts were built with: each file remembers their fingerprint."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.lake.files import Lake
from ingest.lake.layout import Mart
from ingest.rules.rules import METADATA_KEY

MOST_DAYS = 400  # each costs one small read
AT_ONCE = 16


def built_with_others(lake: Lake, mart: Mart, days: Collection[dt.date], now: str) -> dict[str, list[dt.date]]:
    """Fingerprint → the days of a mart that were built with these rules, for rules other than those in force. Days
    before the newest 400 are not looked at; nor are files that remember none, and files that cannot be read.

    Args:
        days: days for which the mart has a partition.
        now: the fingerprint of the rules in force.
    """
    newest = sorted(days)[-MOST_DAYS:]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        fingerprints = list(pool.map(lambda day: built_with(lake, mart, day), newest))
    found: dict[str, list[dt.date]] = {}
    for day, fingerprint in zip(newest, fingerprints, strict=True):
        if fingerprint and fingerprint != now:
            found.setdefault(fingerprint, []).append(day)
    return found


def built_with(lake: Lake, mart: Mart, day: dt.date) -> str | None:
    """The fingerprint of the rules that a partition was built with; None if it remembers none, or cannot be read."""
    try:
        kept = pq.read_metadata(lake.path(mart.file(day)), filesystem=lake.filesystem).metadata or {}
    except (OSError, pa.ArrowException):  # `status` itself names files that are broken
        return None
    fingerprint = kept.get(METADATA_KEY.encode())
    return fingerprint.decode() if fingerprint else None
