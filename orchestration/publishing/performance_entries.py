"""One report date of the mart `daily_aggregates` as documents of MongoDB's `performance_entries`.

Here is what an entry looks like, which entries differ, how they are written and compared; not where the
mart's rows come from, nor who asks.

How a day is published: its documents are read by equality, the difference to the mart's rows is computed
here, and only that is written, with `insert_many` and `ReplaceOne`. No operator works on the server, so the
result is the same on MongoDB, FerretDB and the embedded server, and a day without changes writes nothing.
A replacement holds only while the document is as it was read, and the unique index refuses an entry that is
already there: of two publishers at once, the one that comes second reads again. What it then still finds twice,
on a server whose unique index does not see nulls, it soft-deletes but for one.

What the contract leaves open:

- **Two codes, one key.** Codes without a publication all have publicationId null, and two codes can stand for
  one publication. Each is a row of the mart; adding them up is wrong for reach, which counts distinct
  addresses. So each is an entry: `publicationCode`, the code as links name it, is stored with the entry and
  is the tenth part of the key. An entry that lacks the field, written by whatever published before, is the
  entry of that publication's first code, and gets the field.
- A code that gets a publication later has a new key: the entry under the code is soft-deleted, and one under
  the publication inserted.
- Where a row names no creative, itemName is "Creative unknown".
- Only documents with source "automated" and itemPath "tracking-display" are this publisher's to change. Fields
  that it does not know are kept.
- An entry is soft-deleted where it has a `deletedAt`, as readers see it; by a person, where `deletedBy` is
  anything but this publisher.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from ingest.errors import PublishError
from orchestration.publishing.mongodb import DUPLICATE_KEY, Document, connect, explained

__all__ = ["COLLECTION", "KEY", "PUBLISHER", "DayReport", "connect", "ensure_indexes", "publish_day", "read_entries"]

COLLECTION = "performance_entries"
PUBLISHER = "lambda-tracking-sync"
SOURCE = "automated"
ITEM_PATH = "tracking-display"
KEY = (
    "orderId",
    "campaignId",
    "publicationId",
    "itemPath",
    "channel",
    "creativeId",
    "dimensions",
    "dateStart",
    "source",
    "publicationCode",
)
MEASURES = {"impressions": "impressions", "clicks": "clicks", "ctr": "ctr", "reach": "unique_ips"}
TEXTS = ("order_id", "campaign_id", "publication_code", "publication_name", "channel", "creative_id", "ad_size")
NUMBERS = tuple(prefix + column for prefix in ("", "valid_") for column in MEASURES.values())
COLUMNS = ("report_date", "publication_id", *TEXTS, *NUMBERS)

ATTEMPTS = 6
SECONDS_BETWEEN = 0.05  # times the number of the attempt
# FerretDB 1.24 over SQLite keeps a connection for each replacement of a command and hangs at the hundredth;
# with 25, three publishers at once are safe. On MongoDB 5,000 changes are 200 commands of about a millisecond.
REPLACEMENTS_AT_ONCE = 25

Key = tuple[Any, ...]


@dataclass(frozen=True)
class DayReport:
    """What publishing a day did, and the comparison: mart = MongoDB + without order + left deleted."""

    day: str
    documents: int  # of the day in MongoDB, without soft-deleted ones
    inserted: int
    updated: int
    revived: int
    soft_deleted: int
    unchanged: int
    left_deleted: int  # soft-deleted by a person
    rows_without_order: int
    unmapped_codes: list[str]
    mart_impressions: int
    mart_clicks: int
    mongodb_impressions: int
    mongodb_clicks: int
    without_order_impressions: int
    without_order_clicks: int
    left_deleted_impressions: int
    left_deleted_clicks: int


def ensure_indexes(database: Database[Document]) -> None:
    """Creates the indexes that are missing: the unique key, the fields that readers filter by, an order's days.

    The same on every server; the embedded one takes 5,000 new entries in 2 s with them, in 1 s without. Its
    unique index does not see keys with a null in them.

    Raises:
        PublishError: such as when the collection already holds an entry twice.
    """
    single = ("orderId", "campaignId", "publicationId", "dateStart")
    indexes = [
        IndexModel([(name, ASCENDING) for name in KEY], name="entry_key", unique=True),
        *(IndexModel([(name, ASCENDING)]) for name in single),
        IndexModel([("orderId", ASCENDING), ("dateStart", DESCENDING)]),
    ]
    with explained(database.client, f"creating the indexes of {COLLECTION}"):
        for index in indexes:  # FerretDB 1.24 fails on a command that names several indexes that exist
            _collection(database).create_indexes([index])


def publish_day(
    database: Database[Document], day: date | str, table: pa.Table, now: datetime | None = None
) -> DayReport:
    """Makes the day's entries in MongoDB those of the mart, and compares the two.

    Args:
        table: all rows of this day in `daily_aggregates`.
        now: what is written as createdAt, updatedAt, deletedAt; MongoDB keeps milliseconds.

    Raises:
        PublishError: MongoDB refuses, or does not hold afterwards what was to be published.
        TransientPublishError: MongoDB cannot be reached.
    """
    day = date.fromisoformat(day) if isinstance(day, str) else day
    now = now or datetime.now(UTC)
    rows = _rows(table, day)
    entries = _entries(rows, day)
    collection = _collection(database)
    written: Counter[str] = Counter()
    with explained(database.client, f"publishing {day}"):
        stored = _stored(collection, day)
        for attempt in range(1, ATTEMPTS + 1):
            conflict = _write(collection, _difference(entries, stored, now), written)
            stored = _stored(collection, day)
            difference = _difference(entries, stored, now)
            if conflict is None and not difference.duplicates:
                return _reconciled(day, rows, entries, stored, difference, written)
            time.sleep(SECONDS_BETWEEN * attempt)
    raise PublishError(
        f"{day}: others keep changing the entries of this day, or another unique index of {COLLECTION} keeps some out. "
        f"Publish the day again when nobody else does. MongoDB says: {conflict or 'duplicates'}"
    )


def read_entries(database: Database[Document], first: date, last: date) -> list[Document]:
    """What is published for these days, both included, without soft-deleted ones: the last day first, then by key."""
    days = {"$gte": _midnight(first), "$lte": _midnight(last)}
    with explained(database.client, f"reading {first} to {last}"):
        found = list(_collection(database).find({"dateStart": days, "source": SOURCE, "itemPath": ITEM_PATH}))
    found = [entry for entry in found if _is_live(entry)]
    found.sort(key=lambda entry: [str(part) for part in _key(entry)])
    return sorted(found, key=lambda entry: entry["dateStart"], reverse=True)


# The mart's side: rows become entries.


def _rows(table: pa.Table, day: date) -> list[dict[str, Any]]:
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise PublishError(f"{day}: daily_aggregates has no column {', '.join(missing)}. Build the mart again")
    rows: list[dict[str, Any]] = table.select(COLUMNS).to_pylist()
    for row in rows:
        if row["report_date"] != day:
            raise PublishError(
                f"{day}: the partition of daily_aggregates holds a row of {row['report_date']}. Build it again"
            )
        for name in NUMBERS:
            if row[name] is None:
                raise PublishError(f"{day}: {name} is null in a row of daily_aggregates. Build the day again")
    return rows


def _entries(rows: Iterable[Mapping[str, Any]], day: date) -> dict[Key, Document]:
    """Key → entry of every row that has an order."""
    entries: dict[Key, Document] = {}
    for row in rows:
        if row["order_id"] is None:
            continue
        entry = _entry(row, _midnight(day))
        key = _key(entry)
        if key in entries:
            raise PublishError(
                f"{day}: daily_aggregates holds two rows of order {row['order_id']} with the same key {key}"
            )
        entries[key] = entry
    return entries


def _entry(row: Mapping[str, Any], start: datetime) -> Document:
    """What the mart says of an entry: all its fields but `_id` and the times of writing."""
    is_mapped = row["publication_id"] is not None
    creative = row["creative_id"]
    return {
        "orderId": row["order_id"],
        "campaignId": row["campaign_id"],
        "publicationId": row["publication_id"],
        "publicationName": row["publication_name"] if is_mapped else row["publication_code"],
        "publicationCode": row["publication_code"],
        "itemPath": ITEM_PATH,
        "itemName": f"Creative {'unknown' if creative is None else creative}",
        "creativeId": creative,
        "channel": row["channel"],
        "dimensions": row["ad_size"],
        "dateStart": start,
        "dateEnd": start + timedelta(days=1, seconds=-1),
        "metrics": {name: row[column] for name, column in MEASURES.items()},
        "validMetrics": {name: row["valid_" + column] for name, column in MEASURES.items()},
        "source": SOURCE,
        "enteredBy": PUBLISHER,
    }


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _key(entry: Mapping[str, Any]) -> Key:
    return tuple(entry.get(name) for name in KEY)


# The difference between the mart's entries and the stored ones.


@dataclass
class _Difference:
    inserts: list[Document] = field(default_factory=list)
    # updated, revived, soft_deleted → pairs of the document as read and as it should be
    replacements: dict[str, list[tuple[Document, Document]]] = field(default_factory=lambda: defaultdict(list))
    left_deleted: list[Key] = field(default_factory=list)
    duplicates: int = 0

    def __len__(self) -> int:
        return len(self.inserts) + sum(map(len, self.replacements.values()))


def _difference(entries: Mapping[Key, Document], stored: Iterable[Document], now: datetime) -> _Difference:
    difference = _Difference()
    found = _by_key(stored, entries)
    for key, entry in entries.items():
        documents = found.pop(key, [])
        if documents:
            _compare(difference, key, entry, documents[0], now)
            found[key] = [document for document in documents[1:] if _is_live(document)]
            difference.duplicates += len(found[key])
        else:
            difference.inserts.append(entry | dict.fromkeys(("enteredAt", "createdAt", "updatedAt"), now))
    for document in (document for documents in found.values() for document in documents if _is_live(document)):
        deleted = document | {"deletedAt": now, "deletedBy": PUBLISHER, "updatedAt": now}
        difference.replacements["soft_deleted"].append((document, deleted))
    return difference


def _compare(difference: _Difference, key: Key, entry: Document, document: Document, now: datetime) -> None:
    """Adds what has to happen to the document that is stored for an entry; nothing where it is the same."""
    if _is_deleted_by_person(document):
        difference.left_deleted.append(key)
    elif not _is_live(document):
        kept = {name: value for name, value in document.items() if name not in ("deletedAt", "deletedBy")}
        difference.replacements["revived"].append((document, kept | entry | {"updatedAt": now}))
    elif any(name not in document or document[name] != value for name, value in entry.items()):
        difference.replacements["updated"].append((document, document | entry | {"updatedAt": now}))


def _by_key(stored: Iterable[Document], entries: Iterable[Key]) -> dict[Key, list[Document]]:
    """Key → its documents, the one to keep first; more than one only where no unique index was in force."""
    first_codes: dict[Key, Any] = {}
    for *key, code in sorted(entries, key=str):
        first_codes.setdefault(tuple(key), code)
    found: dict[Key, list[Document]] = defaultdict(list)
    for document in sorted(stored, key=_precedence):
        *key, code = _key(document)
        if "publicationCode" not in document:
            is_mapped = document.get("publicationId") is not None
            code = first_codes.get(tuple(key)) if is_mapped else document.get("publicationName")
        found[*key, code].append(document)
    return found


def _precedence(document: Document) -> tuple[bool, bool, bool, str]:
    """First what a person deleted; then what has its whole key, then what readers see; and always the same one."""
    return (
        not _is_deleted_by_person(document),
        "publicationCode" not in document,
        not _is_live(document),
        str(document["_id"]),
    )


def _is_live(document: Mapping[str, Any]) -> bool:
    return "deletedAt" not in document


def _is_deleted_by_person(document: Mapping[str, Any]) -> bool:
    return not _is_live(document) and document.get("deletedBy") != PUBLISHER


# MongoDB's side: reading, writing, comparing.


def _collection(database: Database[Document]) -> Collection[Document]:
    """Reads come from the primary, whatever the url prefers: a secondary may not yet hold what was written."""
    options = database.codec_options.with_options(tz_aware=True, tzinfo=UTC)
    return database.get_collection(COLLECTION, codec_options=options, read_preference=ReadPreference.PRIMARY)


def _stored(collection: Collection[Document], day: date) -> list[Document]:
    return list(collection.find({"dateStart": _midnight(day), "source": SOURCE, "itemPath": ITEM_PATH}))


def _write(collection: Collection[Document], difference: _Difference, written: Counter[str]) -> str | None:
    """Writes the difference and counts what was written.

    Returns:
        None, or how someone else came in between; then the day has to be read again.
    """
    conflict = _insert(collection, difference.inserts, written) if difference.inserts else None
    for kind, pairs in difference.replacements.items():
        for start in range(0, len(pairs), REPLACEMENTS_AT_ONCE):
            chunk = pairs[start : start + REPLACEMENTS_AT_ONCE]
            replacements = [ReplaceOne(_as_read(document), wanted) for document, wanted in chunk]
            result = collection.bulk_write(replacements, ordered=False)
            written[kind] += result.matched_count
            if result.matched_count < len(chunk):
                conflict = "documents changed after they were read"
    return conflict


def _insert(collection: Collection[Document], documents: list[Document], written: Counter[str]) -> str | None:
    try:
        written["inserted"] += len(collection.insert_many(documents, ordered=False).inserted_ids)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if not failures or any(failure["code"] != DUPLICATE_KEY for failure in failures):
            raise
        written["inserted"] += error.details["nInserted"]
        return str(failures[0]["errmsg"])
    return None


def _as_read(document: Document) -> Document:
    """Finds the document only while nobody has published or soft-deleted it since. Null finds what is missing."""
    return {name: document.get(name) for name in ("_id", "updatedAt", "deletedAt")}


@dataclass(frozen=True)
class _Totals:
    entries: int
    impressions: int
    clicks: int

    def __str__(self) -> str:
        return f"{self.entries:,} entries, {self.impressions:,} impressions, {self.clicks:,} clicks"


def _totals(measures: Iterable[Mapping[str, Any]]) -> _Totals:
    """Of mart rows, or of the metrics of entries."""
    pairs = [(each.get("impressions", 0), each.get("clicks", 0)) for each in measures]
    return _Totals(len(pairs), sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs))


def _reconciled(
    day: date,
    rows: Sequence[Mapping[str, Any]],
    entries: Mapping[Key, Document],
    stored: Iterable[Document],
    difference: _Difference,
    written: Counter[str],
) -> DayReport:
    """The report, if the documents read back are what the mart says.

    Raises:
        PublishError: they are not; with the figures of both.
    """
    deleted_keys = set(difference.left_deleted)
    expected = _totals(entry["metrics"] for key, entry in entries.items() if key not in deleted_keys)
    found = _totals(document.get("metrics") or {} for document in stored if _is_live(document))
    if len(difference) or found != expected:
        raise PublishError(
            f"{day}: MongoDB does not hold what was published. By the mart: {expected}. In MongoDB: {found}. "
            f"{len(difference):,} entries differ. Publish the day again; if it stays so, something else writes to "
            f"{COLLECTION}"
        )
    mart = _totals(rows)
    without_order = _totals(row for row in rows if row["order_id"] is None)
    left_deleted = _totals(entries[key]["metrics"] for key in deleted_keys)
    unmapped = {entry["publicationCode"] for entry in entries.values() if entry["publicationId"] is None}
    return DayReport(
        day=day.isoformat(),
        documents=found.entries,
        inserted=written["inserted"],
        updated=written["updated"],
        revived=written["revived"],
        soft_deleted=written["soft_deleted"],
        unchanged=found.entries - written["inserted"] - written["updated"] - written["revived"],
        left_deleted=left_deleted.entries,
        rows_without_order=without_order.entries,
        unmapped_codes=sorted(unmapped - {None}),
        mart_impressions=mart.impressions,
        mart_clicks=mart.clicks,
        mongodb_impressions=found.impressions,
        mongodb_clicks=found.clicks,
        without_order_impressions=without_order.impressions,
        without_order_clicks=without_order.clicks,
        left_deleted_impressions=left_deleted.impressions,
        left_deleted_clicks=left_deleted.clicks,
    )
