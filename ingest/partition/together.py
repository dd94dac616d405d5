"""Reads the objects of many small partitions at once, of sites and of days. A reading costs the same for one event as
for a thousand, so that it would take most of the time of a day with thousands of small sites, or of a month of one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from ingest.errors import PartitionError
from ingest.events.parser import EventParser
from ingest.lake.layout import Partition
from ingest.native.library import choose
from ingest.partition.borders import is_unexpected
from ingest.partition.datasets import EVENTS
from ingest.partition.day import IngestOptions
from ingest.partition.stage import ObjectCounts, Read, parsed
from ingest.partition.tenants import tenants_of
from ingest.rows.batches import ParsedBatch
from ingest.rows.enrich import Geo
from ingest.source import UNKNOWN_SITE, Source, SourceObject

SMALL_BYTES = 256 << 10  # compressed, of the objects of a partition
GROUP_BYTES = 3 << 20  # compressed, of all partitions of a group
GROUP_OBJECTS = 2_000
MAX_BYTES = 64 << 20  # of the rows of a group, in memory

Value = TypeVar("Value")
Parts = Mapping[Partition, Sequence[SourceObject]]


def groups(parts: Parts) -> Iterator[dict[Partition, Sequence[SourceObject]]]:
    """Partitions in groups that are read together. One that is not small, or not of a site, is a group of its own."""
    group: dict[Partition, Sequence[SourceObject]] = {}
    size = number = 0
    for part, objects in parts.items():
        own = sum(item.size for item in objects)
        if part.table != EVENTS.name or part.site in (None, UNKNOWN_SITE) or own > SMALL_BYTES or not objects:
            yield {part: objects}
            continue
        if group and (size + own > GROUP_BYTES or number + len(objects) > GROUP_OBJECTS):
            yield group
            group, size, number = {}, 0, 0
        group[part] = sorted(objects)
        size, number = size + own, number + len(objects)
    if group:
        yield group


def read_together(source: Source, parts: Parts, options: IngestOptions) -> dict[Partition, Read]:
    """Reads the objects of a group. Partitions that are left out are to be read alone: because they are alone, because
    their objects expand to too much, or because something unexpected happened, for which only one is to be refused.

    Raises:
        SourceError, TransientError: as if each were read alone.
    """
    if len(parts) < 2:
        return {}
    try:
        return _read(source, parts, options)
    except Exception as error:
        if not isinstance(error, PartitionError) and not is_unexpected(error):
            raise
    each, middle = list(parts.items()), len(parts) // 2
    found: dict[Partition, Read] = {}
    for half in (each[:middle], each[middle:]):
        found |= read_together(source, dict(half), options)
    return found


class _TooMuchError(Exception):
    """The rows of a group take more than `MAX_BYTES`."""


class _OtherTenantError(Exception):
    """A site belongs to several tenants in a group."""


def _read(source: Source, parts: Parts, options: IngestOptions) -> dict[Partition, Read]:
    choose(options.reader)
    objects = [item for of_part in parts.values() for item in of_part]
    counts = [ObjectCounts(item) for item in objects]
    found = {part: Read([], []) for part in parts}
    starts = [0, *accumulate(len(of_part) for of_part in parts.values())]
    size = 0
    with closing(
        parsed(source, EVENTS, counts, _parser(parts, options), options.workers, names_faulty=False)
    ) as results:
        for _, batch in results:
            size += batch.table.nbytes + sum(len(reject.text) for reject in batch.rejects)
            if size > MAX_BYTES:
                raise _TooMuchError
            for read, own in zip(found.values(), _split(batch, starts), strict=True):
                if own is not None:
                    read.batches.append(own)
    for read, (start, end) in zip(found.values(), pairwise(starts), strict=True):
        read.facts = [each.facts for each in counts[start:end]]
    return found


def _parser(parts: Parts, options: IngestOptions) -> Callable[[Any], Iterator[ParsedBatch]]:
    """A parser of the objects of all partitions, in their order.

    Raises:
        _OtherTenantError: a site belongs to one tenant on one day, and to another on another day.
    """
    tenants: dict[str | None, str | None] = {}
    for part, objects in parts.items():
        tenant = tenants_of(part, objects, options.tenants)(str(part.site))
        if tenants.setdefault(part.site, tenant) != tenant:
            raise _OtherTenantError
    parser = EventParser(
        options.hash_key,
        [part.site for part, objects in parts.items() for _ in objects],
        [item.hour for objects in parts.values() for item in objects],
        Geo(options.geoip_database),
        options.max_age_days,
        options.limits.rejects_kept,
        options.later_keys,
        tenants.get,
    )
    return parser.parse_in_parts


def _split(batch: ParsedBatch, starts: Sequence[int]) -> list[ParsedBatch | None]:
    """The batch of each partition; None for those that it has nothing of.

    Args:
        starts: the index of the first object of each partition, and the number of all objects.
    """
    number = len(starts) - 1
    rows = np.searchsorted(batch.object_index, starts)
    rejects: list[list[Any]] = [[] for _ in range(number)]
    for reject in batch.rejects:
        at = bisect_right(starts, reject.object_index) - 1
        rejects[at].append(replace(reject, object_index=reject.object_index - starts[at]))
    read, rejected = _by_partition(batch.rows_read, starts), _by_partition(batch.rejected, starts)
    numbers, fields = _by_partition(batch.unreadable_numbers, starts), _by_partition(batch.fields, starts)
    return [
        ParsedBatch(
            table=_alone(batch.table.slice(first, last - first)),
            object_index=batch.object_index[first:last] - starts[at],
            day=batch.day[first:last],
            id_hash=batch.id_hash[first:last],
            has_id=batch.has_id[first:last],
            rejects=rejects[at],
            rejected=rejected[at],
            rows_read=read[at],
            unreadable_numbers=numbers[at],
            fields=fields[at],
        )
        if read[at]
        else None
        for at, (first, last) in enumerate(pairwise(rows))
    ]


def _by_partition(values: Mapping[int, Value], starts: Sequence[int]) -> list[dict[int, Value]]:
    """Values by object, for each partition by the index of its own objects."""
    found: list[dict[int, Value]] = [{} for _ in starts[1:]]
    for index, value in values.items():
        at = bisect_right(starts, index) - 1
        found[at][index - starts[at]] = value
    return found


def _alone(rows: pa.Table) -> pa.Table:
    """Rows whose dictionaries hold nothing of other partitions, which would be written into their file."""
    columns = [
        column.cast(column.type.value_type).combine_chunks().dictionary_encode()
        if pa.types.is_dictionary(column.type)
        else column
        for column in rows.columns
    ]
    return pa.table(columns, rows.column_names)
