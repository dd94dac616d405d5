"""Releases: a person's decision to publish a refused day as it is. Each is one small file, never changed or deleted.

Says what a release covers; who may refuse a day, and what is then published, is decided where the day is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from ingest.days import day_text, parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition, partition_of, release_folder
from ingest.partition.audit import NEVER_RELEASED, Verdict
from ingest.partition.ledger import fingerprint, version_of
from ingest.source import SourceObject


@dataclass(frozen=True)
class Release:
    """What was accepted, by whom and why.

    checks: what did not pass, with what the person saw: {check, message, figures} of a raw day, {check, message,
        failures} of a mart's.
    released_at: UTC, ISO 8601.
    objects: fingerprint of the objects that were judged; None for a mart.
    """

    partition: Partition
    checks: list[dict[str, Any]]
    reason: str
    released_by: str
    released_at: str
    objects: str | None = None

    def __str__(self) -> str:
        return f"released by {self.released_by}: {self.reason}"

    @property
    def names(self) -> list[str]:
        return [each["check"] for each in self.checks]

    def failures(self, check: str) -> int:
        """The failing rows that were accepted of a mart's test."""
        return max((int(each.get("failures") or 0) for each in self.checks if each["check"] == check), default=-1)


def write_release(lake: Lake, release: Release, moment: datetime) -> str:
    """Puts a release in the lake, in a file of its own; returns its key."""
    name = moment.strftime("%Y-%m-%dT%H-%M-%S.%fZ")
    key = f"{release.partition.releases}/{name}.json"
    lake.put_text(json.dumps(_record(release), indent=1), key)
    return key


def _record(release: Release) -> dict[str, Any]:
    partition = release.partition
    fields = {
        "table": partition.table,
        "day": day_text(partition.day),
        "checks": release.checks,
        "reason": release.reason,
        "released_by": release.released_by,
        "released_at": release.released_at,
        "site": partition.site,
        "objects": release.objects,
    }
    return {name: value for name, value in fields.items() if value is not None}


def releases(lake: Lake, partition: Partition) -> list[Release]:
    """All releases of a partition, the oldest first."""
    folder = partition.releases
    files = [file for file in lake.files(folder) if file.key.rpartition("/")[0] == folder]
    found = (_read(lake, file.key) for file in files if file.key.endswith(".json"))
    return [release for release in found if release]


def _read(lake: Lake, key: str) -> Release | None:
    """None where the file is broken: what nobody can read releases nothing, and the day is refused as before."""
    try:
        record = json.loads(lake.read_bytes(key))
        partition = Partition(record.pop("table"), parse_day(record.pop("day")), record.pop("site", None))
        return Release(partition, **record)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def with_releases(
    verdicts: Sequence[Verdict], lake: Lake, partition: Partition, objects: Sequence[SourceObject]
) -> list[Verdict]:
    """The verdicts, those that were released marked so. Looks for releases only where a day would be refused.

    A release holds for its checks, and for the very versions of the objects that were judged: whatever comes later
    nobody has looked at.
    """
    if not any(verdict.refuses for verdict in verdicts):
        return list(verdicts)
    known = releases(lake, partition)
    now = fingerprint(map(version_of, objects))
    holding = {name: each for each in known if each.objects == now for name in each.names}
    return [_released(verdict, holding.get(verdict.check), known) for verdict in verdicts]


def _released(verdict: Verdict, release: Release | None, known: Sequence[Release]) -> Verdict:
    if not verdict.refuses or verdict.check in NEVER_RELEASED:
        return verdict
    if release is not None:
        return replace(verdict, released=str(release))
    if any(verdict.check in each.names for each in known):
        return replace(verdict, message=f"{verdict.message} (a release of other versions of the objects is there)")
    return verdict


def accepted_failures(lake: Lake, table: str, check: str, days: Iterable[date]) -> int:
    """So many failing rows of a mart's test were accepted, by the latest release of any of these days; -1 for none.

    Several days, since a run builds days around its own anew, and a released one among them fails as it did.
    """
    latest = [_latest(lake, Partition(table, day), check) for day in days]
    return max((release.failures(check) for release in latest if release), default=-1)


def release_of(lake: Lake, partition: Partition, check: str) -> Release | None:
    """The release that a mart's test was accepted by: that of the day, else the last of any day of the table."""
    found = _latest(lake, partition, check)
    if found is not None:
        return found
    known = {partition_of(file.key) for file in lake.files(release_folder(partition.table))}
    others = [_latest(lake, each, check) for each in known if each]
    return max((each for each in others if each), key=lambda each: each.released_at, default=None)


def _latest(lake: Lake, partition: Partition, check: str) -> Release | None:
    return next((each for each in reversed(releases(lake, partition)) if check in each.names), None)
