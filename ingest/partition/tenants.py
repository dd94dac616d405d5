"""The tenant that a site belongs to: the rules name it, else the folder `tenant=…` that the site's objects are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ingest.errors import PartitionError
from ingest.lake.layout import Partition
from ingest.source import UNKNOWN_SITE, SourceObject

TenantOf = Callable[[str], str | None]  # site → its tenant; None if nothing names it


def tenants_of(partition: Partition, objects: Iterable[SourceObject], named: Mapping[str, str]) -> TenantOf:
    """The tenant of each site in a partition.

    Args:
        objects: all objects of the partition, not only new ones: a new one alone would not show that others lie in
            another tenant's folder.
        named: site → tenant, as the rules say.

    Raises:
        PartitionError: the objects lie in folders of several tenants, and the rules do not name the site's.
    """
    folders = {item.tenant for item in objects}
    is_named = partition.site in named and partition.site != UNKNOWN_SITE
    if len(folders) > 1 and not is_named:
        shown = ", ".join(f"tenant={folder}" if folder else "none" for folder in sorted(folders, key=str)[:5])
        raise PartitionError(
            f"its objects lie in the folders of {len(folders)} tenants ({shown}). Name the site's tenant in the rules, "
            "or move the objects into one tenant's folder"
        )
    folder = next(iter(folders), None)
    return lambda site: named.get(site, folder)
