"""Reads ledgers: the versions of the objects that a partition was made of. `day.py` writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import date

from ingest.lake.files import Lake
from ingest.lake.layout import NO_SITE, Partition, partition_of
from ingest.partition.datasets import DATASETS
from ingest.source import Source, SourceObject
from ingest.words import counted, some

Version = tuple[str, str, int]  # object, etag, size


def objects_by_day(listed: Iterable[SourceObject]) -> dict[date, list[SourceObject]]:
    found: dict[date, list[SourceObject]] = {}
    for item in listed:
        found.setdefault(item.day, []).append(item)
    return found


def version_of(item: SourceObject) -> Version:
    return item.name, item.etag, item.size


def fingerprint(versions: Iterable[Version]) -> str:
    """A SHA-256 of versions, in hex. It does not depend on their order."""
    return hashlib.sha256(json.dumps(sorted(versions)).encode()).hexdigest()


def versions_taken(lake: Lake, partition: Partition) -> set[Version] | None:
    """The versions of the objects that a published partition was made of; None if it was never published."""
    return _versions(lake, partition.ledger_file) if lake.exists(partition.ledger_file) else None


def versions_refused(lake: Lake, partition: Partition) -> set[Version] | None:
    """The versions of the objects that a partition was refused with; None if it is not in quarantine."""
    key = partition.refused_ledger_file
    return _versions(lake, key) if lake.exists(key) else None


def versions_taken_of_day(lake: Lake, day: Partition, sites: Collection[str] = ()) -> set[Version]:
    """The versions of the objects that a day was published with, of these sites or, without sites, of all."""
    wanted = {replace(day, site=site).ledger_file for site in sites}
    keys = [file.key for file in lake.files(day.ledger_folder) if not wanted or file.key in wanted]
    return {version for key in keys for version in _versions(lake, key)}


def _versions(lake: Lake, key: str) -> set[Version]:
    table = lake.read_table(key, ["source_object", "etag", "size"])
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def parts_of(lake: Lake, day: Partition, listed: Iterable[SourceObject]) -> dict[Partition, list[SourceObject]]:
    """Partition → its listed objects: the day itself, or each of its sites. Published partitions without an object any
    more are among them."""
    found: dict[Partition, list[SourceObject]] = {}
    for item in listed:
        part = replace(day, site=item.site) if DATASETS[day.table].by_site else day
        found.setdefault(part, []).append(item)
    known = {part.ledger_file for part in found}
    for file in lake.files(day.ledger_folder):
        published = partition_of(file.key)
        if published and published.site != NO_SITE and file.key not in known:
            found[published] = []
    return found


def is_kept_as_it_is(lake: Lake, source: Source, day: Partition) -> bool:
    """Whether a day is published, and so old that the source may have deleted its objects. Such a day is not compared
    with the source again."""
    return source.terms.is_past(day.day) and bool(lake.files(day.ledger_folder))


def not_read(lake: Lake, source: Source, day: Partition, listed: Iterable[SourceObject]) -> str | None:
    """The objects of a day that is kept as it is that came after it was published, as a sentence that names a few; None
    if there are none. Objects that their site was refused with are none of them: the refusal tells of those."""
    came = []
    taken = versions_taken_of_day(lake, day)
    for part, objects in parts_of(lake, day, (item for item in listed if version_of(item) not in taken)).items():
        refused = (versions_refused(lake, part) or set()) if objects else set()
        came += [item.name for item in objects if version_of(item) not in refused]
    if not came:
        return None
    return (
        f"{counted(len(came), 'object')} came after the day was published, and will not be read, because the source "
        f"keeps objects for {counted(source.terms.kept_days or 0, 'day')}: {some(sorted(came))}"
    )


def unjudged(lake: Lake, day: Partition, listed: Iterable[SourceObject]) -> dict[Partition, list[SourceObject]]:
    """Partition → its listed objects, for partitions of a day that were neither published nor refused with exactly
    these objects."""
    return {
        part: objects
        for part, objects in parts_of(lake, day, listed).items()
        if not _is_judged(lake, part, set(map(version_of, objects)))
    }


def is_judged(lake: Lake, day: Partition, listed: Iterable[SourceObject]) -> bool:
    """Whether exactly these objects of a day were published or refused; each site is compared on its own."""
    return not unjudged(lake, day, listed)


def _is_judged(lake: Lake, partition: Partition, versions: set[Version]) -> bool:
    return versions == versions_taken(lake, partition) or versions == versions_refused(lake, partition)
