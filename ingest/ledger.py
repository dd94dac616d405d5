"""What the ledgers say: which versions of which objects are taken, or were refused. day.py writes them."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.datasets import Dataset, Partition
from ingest.lake import Lake, ledger_key, quarantine_prefix
from ingest.source import SourceObject

Version = tuple[str, str, int]  # object, etag, size


def version_of(item: SourceObject) -> Version:
    return item.key, item.etag, item.size


def versions_taken(lake: Lake, partition: Partition) -> set[Version] | None:
    """The versions of the objects that a partition was published from, None where it never was."""
    return _versions(lake, ledger_key(partition.dataset.name, partition.day, partition.site))


def versions_refused(lake: Lake, partition: Partition) -> set[Version] | None:
    """The versions of the objects that were refused, None where none are."""
    return _versions(lake, f"{quarantine_prefix(partition.dataset.name, partition.day, partition.site)}/ledger.parquet")


def _versions(lake: Lake, key: str) -> set[Version] | None:
    if not lake.exists(key):
        return None
    table = lake.read_table(key, ["source_object", "etag", "size"])
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def is_judged(lake: Lake, dataset: Dataset, day: str, listed: Iterable[SourceObject]) -> bool:
    """Whether the ledger, or a refusal, has judged just these objects of a day; site by site, where there are sites."""
    by_site: dict[str | None, set[Version]] = {}
    for item in listed:
        by_site.setdefault(item.site if dataset.by_site else None, set()).add(version_of(item))
    return all(_is_judged(lake, Partition(dataset, day, site), versions) for site, versions in by_site.items())


def _is_judged(lake: Lake, partition: Partition, versions: set[Version]) -> bool:
    return versions in (versions_taken(lake, partition), versions_refused(lake, partition))
