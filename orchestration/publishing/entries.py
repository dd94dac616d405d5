"""Publishes the entries of one day to a collection of MongoDB: finds the differences, writes and compares.

The targets define what an entry looks like and where its figures come from.

How a day is published: its documents are read by equality, the difference to the mart's entries is computed
here, and only the difference is written, with `insert_many` and `ReplaceOne`. No operator works on the server, so the
result is the same on MongoDB, FerretDB and the embedded server, and a day without changes writes nothing.
A replacement applies only while the document is as it was read, and the unique index refuses an entry that
already exists: of two publishers at once, the second one reads again. On a server whose unique index does not see
nulls it may then still find duplicates; it soft-deletes all but one of them.

Decisions that the contract leaves open:

- This publisher changes only documents with source "automated", and of performance_entries only those with
  itemPath "tracking-display". It keeps fields that it does not know.
- An entry with a `deletedAt` is soft-deleted, as for readers, who ask for `{deletedAt: {$exists: false}}`. With a
  `deletedAt` of null, too: it is hidden from them, and whoever wrote the null is asked to remove the field. A person
  deleted it if `deletedBy` is not this publisher.
- What is left alone although the day has an entry of its key is named in the report, with the reason.
"""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from pymongo import ASCENDING, DESCENDING, IndexModel, ReadPreference, ReplaceOne
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from ingest.errors import PublishError
from ingest.lake.layout import Mart
from orchestration.publishing.mongodb import DUPLICATE_KEY, Document, explained
from orchestration.publishing.target import Confirm, nobody_else

PUBLISHER = "lambda-tracking-sync"
SOURCE = "automated"

ATTEMPTS = 6
SECONDS_BETWEEN = 0.05  # times the number of the attempt
# FerretDB 1.24 over SQLite keeps a connection for each replacement of a command and hangs at the hundredth;
# with 25, three publishers at once are safe. On MongoDB 5,000 changes are 200 commands of about a millisecond.
REPLACEMENTS_AT_ONCE = 25

NAMED = 20  # documents left alone that a report names
DELETED_BY_PERSON = "a person deleted it"
DELETED_AT_NULL = (
    "its deletedAt is null, which hides it from readers as a deleted one. Remove the field to have it published again"
)

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Entries:
    """A kind of entries.

    mart: the mart that the entries are made from.
    key: the fields that identify an entry.
    own: the field values that mark this publisher's documents.
    indexed: the fields that readers filter by.
    measures: gives the figures of an entry, which are summed to compare a day with its mart.
    stored_keys: takes the keys of a day's entries; returns the function that gives the key of a stored document, which
        may lack a part of it.
    """

    collection: str
    mart: Mart
    key: tuple[str, ...]
    own: Mapping[str, str]
    indexed: tuple[str, ...]
    measures: Callable[[Mapping[str, Any]], Mapping[str, float]]
    stored_keys: Callable[[Iterable[Key]], Callable[[Document], Key]] | None = None

    def key_of(self, entry: Mapping[str, Any]) -> Key:
        return tuple(entry.get(name) for name in self.key)

    def by_key(self, entries: Iterable[Document], day: date) -> dict[Key, Document]:
        """Key → entry.

        Raises:
            PublishError: two entries have the same key.
        """
        found: dict[Key, Document] = {}
        for entry in entries:
            key = self.key_of(entry)
            if key in found:
                raise PublishError(
                    f"{day}: {self.mart.name} holds two rows of order {entry['orderId']} with the same key {key}"
                )
            found[key] = entry
        return found


@dataclass(frozen=True)
class Totals:
    """A number of entries, and the sums of their measures."""

    entries: int
    sums: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join([f"{self.entries:,} entries", *(f"{value:,.15g} {name}" for name, value in self.sums.items())])


@dataclass(frozen=True)
class DayReport:
    """The result of publishing a day; each kind of entries adds the figures of its comparison."""

    day: date
    documents: int  # of the day in MongoDB, without soft-deleted ones
    inserted: int
    updated: int
    revived: int
    soft_deleted: int
    unchanged: int
    left_deleted: int  # soft-deleted by a person
    left_alone: int  # documents with the key of an entry that are not the publisher's, or were deleted by a person
    left_alone_because: list[str]  # the first of them, each with the reason
    unmapped_codes: list[str]


@dataclass(frozen=True)
class Published:
    """The result of publishing a day.

    found: totals of the documents in MongoDB.
    left_deleted: totals of the entries that a person deleted there.
    left_alone: documents that are left alone, in words, each with the reason.
    """

    found: Totals
    left_deleted: Totals
    left_alone: Sequence[str]
    inserted: int
    updated: int
    revived: int
    soft_deleted: int

    @property
    def unchanged(self) -> int:
        return self.found.entries - self.inserted - self.updated - self.revived

    def outcome(self, day: date, entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The fields of a DayReport, for the entries that were to be published."""
        unmapped = {entry["publicationCode"] for entry in entries if entry["publicationId"] is None}
        return {
            "day": day,
            "documents": self.found.entries,
            "inserted": self.inserted,
            "updated": self.updated,
            "revived": self.revived,
            "soft_deleted": self.soft_deleted,
            "unchanged": self.unchanged,
            "left_deleted": self.left_deleted.entries,
            "left_alone": len(self.left_alone),
            "left_alone_because": list(self.left_alone[:NAMED]),
            "unmapped_codes": sorted(unmapped - {None}),
        }


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def day_fields(day: date) -> Document:
    """The fields of an entry that name its day, source and author."""
    start = midnight(day)
    return {
        "dateStart": start,
        "dateEnd": start + timedelta(days=1, seconds=-1),
        "source": SOURCE,
        "enteredBy": PUBLISHER,
    }


def rows_of(
    table: pa.Table, kind: Entries, day: date, columns: Sequence[str], numbers: Sequence[str]
) -> list[Document]:
    """The rows of a day's partition of a mart.

    Raises:
        PublishError: a column is missing, a number is null, or a row is of another day.
    """
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise PublishError(f"{day}: {kind.mart.name} has no column {', '.join(missing)}. Build the mart again")
    rows: list[Document] = table.select(columns).to_pylist()
    for row in rows:
        if row["report_date"] != day:
            raise PublishError(
                f"{day}: the partition of {kind.mart.name} holds a row of {row['report_date']}. Build it again"
            )
        for name in numbers:
            if row[name] is None:
                raise PublishError(f"{day}: {name} is null in a row of {kind.mart.name}. Build the day again")
    return rows


def totals(kind: Entries, documents: Iterable[Mapping[str, Any]]) -> Totals:
    """The number of documents and the sums of their measures. Sums are exact until rounded: order does not matter."""
    found = [kind.measures(document) for document in documents]
    return Totals(len(found), {name: math.fsum(each[name] for each in found) for name in kind.measures({})})


def ensure_indexes(database: Database[Document], kind: Entries) -> None:
    """Creates the indexes that are missing: the unique key, the fields that readers filter by, an order's days.

    The indexes are the same on every server. The embedded server takes 5,000 new entries in 2 s with them, in 1 s
    without; its unique index does not see keys that contain a null.

    Raises:
        PublishError: an index cannot be created, such as when the collection already holds an entry twice.
    """
    indexes = [
        IndexModel([(name, ASCENDING) for name in kind.key], name="entry_key", unique=True),
        *(IndexModel([(name, ASCENDING)]) for name in kind.indexed),
        IndexModel([("orderId", ASCENDING), ("dateStart", DESCENDING)]),
    ]
    with explained(database.client, f"creating the indexes of {kind.collection}"):
        for index in indexes:  # FerretDB 1.24 fails on a command that names several indexes that exist
            _collection(database, kind).create_indexes([index])


def publish(
    database: Database[Document],
    kind: Entries,
    day: date,
    entries: Mapping[Key, Document],
    now: datetime | None,
    confirm: Confirm = nobody_else,
) -> Published:
    """Makes the day's documents in MongoDB equal to the mart's entries, and compares the two.

    Args:
        entries: all fields except `_id` and the times of writing.
        now: the time for createdAt, updatedAt, deletedAt; None for the current time. MongoDB keeps milliseconds.
        confirm: raises a TransientError if another run may be publishing the day. It is called after the documents are
            read and before each command that writes, so that nobody else's newer documents are among those that are
            replaced, and once all is written.

    Raises:
        PublishError: MongoDB refuses, or does not hold the mart's entries afterwards.
        TransientPublishError: MongoDB cannot be reached.
    """
    now = now or datetime.now(UTC)
    collection = _collection(database, kind)
    written: Counter[str] = Counter()
    with explained(database.client, f"publishing {day}"):
        stored, others = _stored(collection, kind, day)
        for attempt in range(1, ATTEMPTS + 1):
            conflict = _write(collection, _difference(kind, entries, stored, now), written, confirm)
            stored, others = _stored(collection, kind, day)
            difference = _difference(kind, entries, stored, now)
            if conflict is None and not difference.duplicates:
                if written:
                    confirm()
                left_alone = _left_alone(kind, entries, stored, others)
                return _compared(kind, day, entries, stored, difference, written, left_alone)
            time.sleep(SECONDS_BETWEEN * attempt)
    raise PublishError(
        f"{day}: others keep changing the entries of this day, or another unique index of {kind.collection} keeps some "
        f"out. Publish the day again when nobody else does. MongoDB says: {conflict or 'duplicates'}"
    )


def read_entries(database: Database[Document], kind: Entries, first: date, last: date) -> list[Document]:
    """The entries of the days first to last, both included, without soft-deleted ones: last day first, then by key."""
    days = {"$gte": midnight(first), "$lte": midnight(last)}
    with explained(database.client, f"reading {first} to {last}"):
        found = list(_collection(database, kind).find({"dateStart": days} | dict(kind.own)))
    found = [entry for entry in found if _is_live(entry)]
    found.sort(key=lambda entry: [str(part) for part in kind.key_of(entry)])
    return sorted(found, key=lambda entry: entry["dateStart"], reverse=True)


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


def _difference(
    kind: Entries, entries: Mapping[Key, Document], stored: Iterable[Document], now: datetime
) -> _Difference:
    difference = _Difference()
    found = _by_key(kind, stored, entries)
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
    """Adds the change that the stored document of an entry needs; nothing if they are equal."""
    if _is_deleted_by_person(document):
        difference.left_deleted.append(key)
    elif not _is_live(document):
        kept = {name: value for name, value in document.items() if name not in ("deletedAt", "deletedBy")}
        difference.replacements["revived"].append((document, kept | entry | {"updatedAt": now}))
    elif any(name not in document or document[name] != value for name, value in entry.items()):
        difference.replacements["updated"].append((document, document | entry | {"updatedAt": now}))


def _by_key(kind: Entries, stored: Iterable[Document], entries: Iterable[Key]) -> dict[Key, list[Document]]:
    """Key → its documents, the one to keep first; several only if no unique index was in force."""
    key_of = kind.stored_keys(entries) if kind.stored_keys else kind.key_of
    found: dict[Key, list[Document]] = defaultdict(list)
    for document in sorted(stored, key=lambda document: _precedence(kind, document)):
        found[key_of(document)].append(document)
    return found


def _precedence(kind: Entries, document: Document) -> tuple[bool, bool, bool, str]:
    """Sort key: first what a person deleted, then documents with the whole key, then live ones; `_id` decides."""
    return (
        not _is_deleted_by_person(document),
        any(name not in document for name in kind.key),
        not _is_live(document),
        str(document["_id"]),
    )


def _is_live(document: Mapping[str, Any]) -> bool:
    return "deletedAt" not in document


def _is_deleted_by_person(document: Mapping[str, Any]) -> bool:
    return not _is_live(document) and document.get("deletedBy") != PUBLISHER


def _left_alone(
    kind: Entries, entries: Iterable[Key], stored: Iterable[Document], others: Iterable[Document]
) -> list[str]:
    """The documents that are not changed although the day has an entry of their key, or whose deletedAt is null; in
    words, each with the reason."""
    wanted = set(entries)
    key_of = kind.stored_keys(wanted) if kind.stored_keys else kind.key_of
    found = []
    for document in filter(_is_deleted_by_person, stored):
        is_null = document["deletedAt"] is None
        if is_null or key_of(document) in wanted:
            found.append(f"{_named(kind, document)}: {DELETED_AT_NULL if is_null else DELETED_BY_PERSON}")
    for document in filter(_is_live, others):
        if key_of(document | dict(kind.own)) in wanted:
            name = _foreign(kind, document)[0]
            found.append(f"{_named(kind, document)}: its {name} is {document.get(name)!r}, not {kind.own[name]!r}")
    return sorted(found)


def _named(kind: Entries, document: Document) -> str:
    parts = [name for name in kind.key if name not in kind.own and name != "dateStart"]
    return ", ".join(f"{name} {document.get(name)}" for name in parts if document.get(name) is not None)


# MongoDB's side: reading, writing, comparing.


def _collection(database: Database[Document], kind: Entries) -> Collection[Document]:
    """The collection. It is read from the primary whatever the url prefers: a secondary may lack what was written."""
    options = database.codec_options.with_options(tz_aware=True, tzinfo=UTC)
    return database.get_collection(kind.collection, codec_options=options, read_preference=ReadPreference.PRIMARY)


def _stored(collection: Collection[Document], kind: Entries, day: date) -> tuple[list[Document], list[Document]]:
    """The day's documents: this publisher's, and those of others."""
    found = list(collection.find({"dateStart": midnight(day)}))
    own = [document for document in found if not _foreign(kind, document)]
    return own, [document for document in found if _foreign(kind, document)]


def _foreign(kind: Entries, document: Document) -> list[str]:
    """The fields by which a document is not this publisher's."""
    return [name for name, value in kind.own.items() if document.get(name) != value]


def _write(
    collection: Collection[Document], difference: _Difference, written: Counter[str], confirm: Confirm
) -> str | None:
    """Writes the difference and counts what was written. Calls `confirm` before each command.

    Returns:
        None, or the conflict with another writer; then the day has to be read again.
    """
    conflict = None
    if difference.inserts:
        confirm()
        conflict = _insert(collection, difference.inserts, written)
    for change, pairs in difference.replacements.items():
        for start in range(0, len(pairs), REPLACEMENTS_AT_ONCE):
            chunk = pairs[start : start + REPLACEMENTS_AT_ONCE]
            replacements = [ReplaceOne(_as_read(document), wanted) for document, wanted in chunk]
            confirm()
            result = collection.bulk_write(replacements, ordered=False)
            written[change] += result.matched_count
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
    """A filter for the document while nobody has published or soft-deleted it since. Null matches a missing field."""
    return {name: document.get(name) for name in ("_id", "updatedAt", "deletedAt")}


def _compared(
    kind: Entries,
    day: date,
    entries: Mapping[Key, Document],
    stored: Iterable[Document],
    difference: _Difference,
    written: Counter[str],
    left_alone: Sequence[str],
) -> Published:
    """The result, if the documents read back equal the mart's entries.

    Raises:
        PublishError: they differ; the message has the figures of both.
    """
    deleted_keys = set(difference.left_deleted)
    expected = totals(kind, (entry for key, entry in entries.items() if key not in deleted_keys))
    found = totals(kind, (document for document in stored if _is_live(document)))
    if len(difference) or found != expected:
        raise PublishError(
            f"{day}: MongoDB does not hold what was published. By the mart: {expected}. In MongoDB: {found}. "
            f"{len(difference):,} entries differ. Publish the day again; if it stays so, something else writes to "
            f"{kind.collection}"
        )
    return Published(
        found=found,
        left_deleted=totals(kind, (entries[key] for key in deleted_keys)),
        left_alone=left_alone,
        inserted=written["inserted"],
        updated=written["updated"],
        revived=written["revived"],
        soft_deleted=written["soft_deleted"],
    )
