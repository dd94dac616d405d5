"""The common parts of targets that are collections of MongoDB."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TypeAlias
from urllib.parse import urlsplit

import pyarrow as pa
from pymongo.database import Database

from ingest.days import day_text
from orchestration.publishing import entries
from orchestration.publishing.entries import DayReport, Entries
from orchestration.publishing.mongodb import Document, connect
from orchestration.publishing.target import Check, Comparison, Confirm, Report, Target, Verdict
from orchestration.settings import Settings

Mongo: TypeAlias = Database[Document]

NOT_PUBLISHED = "Nothing is written to MongoDB: CLICKLAKE_MONGODB_URL is not set"
RECONCILED = "reconciled"
PUBLICATIONS_MAPPED = Check(
    "publications_mapped",
    "Every publication code is in publications.csv (a warning: others are published under their code)",
    blocks=False,
)
NOTHING_LEFT_ALONE = Check(
    "nothing_left_alone",
    "Every document with the key of one of the day's entries is the publisher's own and not deleted by a person (a "
    "warning: others are left alone, and named with the reason)",
    blocks=False,
)


@dataclass(frozen=True, kw_only=True)
class CollectionTarget(Target[Mongo]):
    """A target that is a collection of the database that the settings name."""

    collection: str


def lacks(settings: Settings) -> str | None:
    return None if settings.mongodb_url else NOT_PUBLISHED


def collection_target(
    kind: Entries,
    *,
    name: str,
    description: str,
    publish_day: Callable[[Mongo, date, pa.Table, datetime | None, Confirm], DayReport],
    rows: str,
    lacks: Callable[[Settings], str | None] = lacks,
) -> CollectionTarget:
    """A target of entries.

    Args:
        publish_day: makes the day's documents in MongoDB equal to all rows of the day, and compares the two. Tests
            pass the time for createdAt, updatedAt, deletedAt as well. Raises PublishError if MongoDB
            refuses or does not hold the entries afterwards, TransientPublishError if it cannot be reached.
        rows: SQL condition for the rows of the mart that become an entry each, with its measures.
    """
    measures = tuple(kind.measures({}))
    figures = f"{', '.join(measures[:-1])} and {measures[-1]}"
    reconciled = Check(RECONCILED, f"The day's documents, {figures} in MongoDB are those of the mart", blocks=True)
    return CollectionTarget(
        name=name,
        collection=kind.collection,
        mart=kind.mart,
        description=description,
        kinds=frozenset({"mongodb", "python"}),
        key=kind.key,
        measures=measures,
        checks=(reconciled, PUBLICATIONS_MAPPED, NOTHING_LEFT_ALONE),
        count="documents",
        changes=("inserted", "updated", "revived", "soft_deleted"),
        lacks=lacks,
        place=lambda settings: (_server(settings), f"{settings.mongodb_database}.{kind.collection}"),
        open=_database,
        prepare=lambda database: entries.ensure_indexes(database, kind),
        publish=lambda database, day, table, confirm: _reported(publish_day(database, day, table, None, confirm)),
        comparison=Comparison(rows, lambda *asked: _published(kind, *asked)),
    )


def _server(settings: Settings) -> str:
    """The server's url without user and password."""
    url = urlsplit(settings.mongodb_url.get_secret_value() if settings.mongodb_url else "mongodb://")
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


@contextmanager
def _database(settings: Settings) -> Iterator[Mongo]:
    with connect(settings.mongodb()) as client:
        yield client[settings.mongodb_database]


def _reported(done: DayReport) -> Report:
    figures = asdict(done) | {"day": day_text(done.day)}
    unmapped = sorted(done.unmapped_codes)
    message = f"not in publications.csv: {', '.join(unmapped)}" if unmapped else "all codes are mapped"
    return Report(
        figures,
        {
            RECONCILED: Verdict(True, "MongoDB holds what the mart holds", figures),
            PUBLICATIONS_MAPPED.name: Verdict(not unmapped, message, {"codes": unmapped}),
            NOTHING_LEFT_ALONE.name: Verdict(
                not done.left_alone,
                _left_alone(done) if done.left_alone else "nothing is left alone",
                {"documents": done.left_alone, "because": done.left_alone_because},
            ),
        },
    )


def _left_alone(done: DayReport) -> str:
    shown = done.left_alone_because[:3]
    more = f"; and {done.left_alone - len(shown)} more" if done.left_alone > len(shown) else ""
    return f"left alone in MongoDB: {'; '.join(shown)}{more}"


def _published(kind: Entries, database: Mongo, first: date, last: date) -> dict[date, tuple[float, ...]]:
    found: dict[date, list[Document]] = defaultdict(list)
    for entry in entries.read_entries(database, kind, first, last):
        found[entry["dateStart"].date()].append(entry)
    totals = {day: entries.totals(kind, of_day) for day, of_day in found.items()}
    return {day: (total.entries, *total.sums.values()) for day, total in totals.items()}
