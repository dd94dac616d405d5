"""Releases: decisions of a person to publish a refused day as it is. Each is a small file, never changed or deleted.

This module says what a release covers. The code that checks a day decides what may be refused and what is published.
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
    """What was released, by whom and why.

    checks: the failed checks as the person saw them: {check, message, figures} for a raw day, {check, message,
        failures} for a day of a mart.
    released_at: UTC, ISO 8601.
    objects: fingerprint of the objects that were checked; None for a mart.
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
        """The number of failing rows of a mart's test that were accepted; -1 if the test was not released."""
        return max((int(each.get("failures") or 0) for each in self.checks if each["check"] == check), default=-1)


def write_release(lake: Lake, release: Release, moment: datetime) -> str:
    """Writes a release to a file of its own in the lake; returns its key."""
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
    """A release; None if the file is broken. A broken file releases nothing, so the day stays refused."""
    try:
        record = json.loads(lake.read_bytes(key))
        partition = Partition(record.pop("table"), parse_day(record.pop("day")), record.pop("site", None))
        return Release(partition, **record)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def with_releases(
    verdicts: Sequence[Verdict], lake: Lake, partition: Partition, objects: Sequence[SourceObject]
) -> list[Verdict]:
    """The verdicts, with released ones marked. Looks for releases only if the day would be refused.

    A release holds only for its checks and for the versions of the objects that were checked: nobody has looked at
    later ones.
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
    """The number of failing rows of a mart's test accepted by the latest release of any of these days; -1 for none.

    Several days, because a run also rebuilds days around its own, and a released day among them fails again.
    """
    latest = [_latest(lake, Partition(table, day), check) for day in days]
    return max((release.failures(check) for release in latest if release), default=-1)


def release_of(lake: Lake, partition: Partition, check: str) -> Release | None:
    """The release that accepted a mart's test: the latest of the day, else the latest of any day of the table."""
    found = _latest(lake, partition, check)
    if found is not None:
        return found
    known = {partition_of(file.key) for file in lake.files(release_folder(partition.table))}
    others = [_latest(lake, each, check) for each in known if each]
    return max((each for each in others if each), key=lambda each: each.released_at, default=None)


def _latest(lake: Lake, partition: Partition, check: str) -> Release | None:
    return next((each for each in reversed(releases(lake, partition)) if check in each.names), None)
