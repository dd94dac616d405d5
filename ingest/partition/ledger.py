"""What the ledgers say: which versions of which objects a partition was made of. `day.py` writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable

from ingest.lake.files import Lake
from ingest.lake.layout import ledger_folder, ledger_key, quarantine_prefix, site_folder
from ingest.partition.datasets import Dataset
from ingest.source import SourceObject

Version = tuple[str, str, int]  # object, etag, size


def objects_by_day(listed: Iterable[SourceObject]) -> dict[str, list[SourceObject]]:
    found: dict[str, list[SourceObject]] = {}
    for item in listed:
        found.setdefault(item.day, []).append(item)
    return found


def version_of(item: SourceObject) -> Version:
    return item.name, item.etag, item.size


def fingerprint(versions: Iterable[Version]) -> str:
    """The same for the same versions of the same objects, in any order."""
    return hashlib.sha256(json.dumps(sorted(versions)).encode()).hexdigest()


def versions_taken(lake: Lake, key: str) -> set[Version] | None:
    """The versions of the objects in a ledger, None where there is no such ledger."""
    return _versions(lake, key) if lake.exists(key) else None


def versions_taken_of_day(lake: Lake, dataset: str, day: str, sites: Collection[str] = ()) -> set[Version]:
    """Of some sites; of all without any."""
    folders = [site_folder(site) for site in sites]
    ledgers = [
        file for file in lake.files(ledger_folder(dataset, day)) if not folders or file.key.split("/")[-2] in folders
    ]
    return {version for file in ledgers for version in _versions(lake, file.key)}


def _versions(lake: Lake, key: str) -> set[Version]:
    table = lake.read_table(key, ["source_object", "etag", "size"])
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


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
