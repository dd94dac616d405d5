"""The datasets of ingest, access logs and events: how the files of each are read, and what its rows are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from ingest.access_logs import parser as access_logs
from ingest.access_logs.files import batches, read_pieces
from ingest.access_logs.parser import REQUEST_TYPES, AccessLogParser
from ingest.events import parser as events
from ingest.events.files import event_batches, read_event_pieces
from ingest.events.parser import EventParser
from ingest.lake.layout import Partition
from ingest.partition.tenants import TenantOf
from ingest.rows.batches import REJECTS_KEPT, ObjectFacts, ParsedBatch
from ingest.rows.enrich import Geo
from ingest.source import UNKNOWN_SITE, SourceObject


@dataclass(frozen=True)
class Dataset:
    """One kind of input.

    by_site: a partition is one site's objects of a day.
    plain_columns: columns that are written without a Parquet dictionary, because nearly every value differs, or because
        zstd makes more of them without one.
    kinds: splits rows by kind. Each row group has rows of one kind only, so that a reader of one kind skips the others.
    id_column, id_hash: the column of the id by which rows are deduplicated, and the DuckDB expression that gives the
        same hash as the parser.
    """

    name: str
    schema: pa.Schema
    reasons: dict[str, str]
    by_site: bool
    plain_columns: frozenset[str]
    pieces: Callable[[BinaryIO, int, ObjectFacts], Iterator[Any]]
    batches: Callable[[Iterable[Any]], Iterator[Any]]
    kinds: Callable[[pa.Table], dict[str, pa.Table]]
    id_column: str
    id_hash: str


Parse = Callable[[Any], Iterable[ParsedBatch]]


def _ad_or_other(rows: pa.Table) -> dict[str, pa.Table]:
    is_ad = pc.is_in(rows.column("request_type").cast(pa.string()), pa.array(list(REQUEST_TYPES.values())))
    return {"ad": rows.filter(is_ad), "other": rows.filter(pc.invert(is_ad))}


def _all_alike(rows: pa.Table) -> dict[str, pa.Table]:
    return {"event": rows}


ACCESS_LOGS = Dataset(
    name="access_logs",
    schema=access_logs.SCHEMA,
    reasons=access_logs.REASONS,
    by_site=False,
    plain_columns=frozenset({"event_ts", "request_id", "query", "bytes_sent", "source_line", "client_port"}),
    pieces=read_pieces,
    batches=batches,
    kinds=_ad_or_other,
    id_column="request_id",
    id_hash="hash(request_id)",
)
EVENTS = Dataset(
    name="events",
    schema=events.SCHEMA,
    reasons=events.EVENT_REASONS,
    by_site=True,
    plain_columns=frozenset({"event_ts", "event_id", "properties", "source_line"}),
    pieces=read_event_pieces,
    batches=event_batches,
    kinds=_all_alike,
    id_column="event_id",
    id_hash="hash(site_id, event_id)",
)
DATASETS = {each.name: each for each in (ACCESS_LOGS, EVENTS)}


def parser_of(
    partition: Partition,
    objects: Sequence[SourceObject],
    hash_key: str,
    geo: Geo,
    max_age_days: int,
    rejects_kept: int = REJECTS_KEPT,
    later_keys: Sequence[str] = (),
    tenant_of: TenantOf = lambda _site: None,
) -> Parse:
    """A function that parses the batches of this partition's objects into rows."""
    if partition.table == EVENTS.name:
        hours = [item.hour for item in objects]
        site = None if partition.site == UNKNOWN_SITE else partition.site
        return EventParser(hash_key, site, hours, geo, max_age_days, rejects_kept, later_keys, tenant_of).parse_in_parts
    parser = AccessLogParser(hash_key, partition.day, geo, max_age_days, rejects_kept, later_keys)
    return lambda batch: [parser.parse(batch)]
