"""What the ledgers say: which versions of which objects a partition was made of. They are written in `ingest.day`."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.datasets import Dataset
from ingest.lake import Lake, ledger_key, quarantine_prefix
from ingest.source import SourceObject

Version = tuple[str, str, int]  # object, etag, size


def objects_by_day(listed: Iterable[SourceObject]) -> dict[str, list[SourceObject]]:
    found: dict[str, list[SourceObject]] = {}
    for item in listed:
        found.setdefault(item.day, []).append(item)
    return found


def version_of(item: SourceObject) -> Version:
    return item.key, item.etag, item.size


def versions_taken(lake: Lake, key: str) -> set[Version] | None:
    """The versions of the objects in a ledger, None where there is no such ledger."""
    if not lake.exists(key):
        return None
    table = lake.read_table(key, ["source_object", "etag", "size"])
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def versions_taken_of_day(lake: Lake, dataset: str, day: str) -> set[Version]:
    """Of all sites."""
    ledgers = lake.files(f"ledger/{dataset}/source_date={day}")
    return {version for file in ledgers for version in versions_taken(lake, file.key) or ()}


def versions_refused(lake: Lake, dataset: str, day: str, site: str | None) -> set[Version] | None:
    return versions_taken(lake, f"{quarantine_prefix(dataset, day, site)}/ledger.parquet")


def is_judged(lake: Lake, dataset: Dataset, day: str, listed: Iterable[SourceObject]) -> bool:
    """Whether the ledger, or a refusal, has judged just these objects of a day; site by site, where there are sites."""
    by_site: dict[str | None, set[Version]] = {}
    for item in listed:
        by_site.setdefault(item.site if dataset.by_site else None, set()).add(version_of(item))
    return all(
        versions
        in (versions_taken(lake, ledger_key(dataset.name, day, site)), versions_refused(lake, dataset.name, day, site))
        for site, versions in by_site.items()
    )
