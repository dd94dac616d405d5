"""A report date of the mart `campaign_performance` as documents of MongoDB's collection `campaign_performance`.

This module defines what an entry looks like; `entries.py` writes it.

The rows of a campaign, one for each attribution model, become one entry. The entry holds the fields that all rows
share, and `models.<model>` the fields of each model. All rows are published, also those without an order: campaigns
that only links name, and conversions that no campaign caused. A publication is identified by its code alone, so an
entry stays the same when its code gets a publication.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pymongo.database import Database

from ingest.errors import PublishError
from orchestration.marts.known import CAMPAIGN_PERFORMANCE
from orchestration.publishing import entries, mongodb_target
from orchestration.publishing.entries import SOURCE, Entries
from orchestration.publishing.mongodb import Document
from orchestration.publishing.mongodb_target import collection_target
from orchestration.publishing.target import Confirm, nobody_else
from orchestration.settings import Settings

COLLECTION = "campaign_performance"
KEY = ("orderId", "campaignId", "publicationCode", "creativeId", "channel", "dateStart", "source")
PARTS = ("order_id", "campaign_id", "publication_code", "creative_id", "channel")
SHARED = ("publication_id", "publication_name", "spend", "spend_currency", "impressions", "clicks")
OF_MODEL = ("installs", "conversions", "revenue", "currency", "cpi", "cpa", "roas")
COLUMNS = ("report_date", "model", *PARTS, *SHARED, *OF_MODEL)
NUMBERS = ("model", "impressions", "clicks", "installs", "conversions")


@dataclass(frozen=True)
class DayReport(entries.DayReport):
    """The result of publishing a day. In it, mart = MongoDB + left deleted. Conversions are by the model `last`."""

    mart_impressions: int
    mart_clicks: int
    mart_conversions: float
    mongodb_impressions: int
    mongodb_clicks: int
    mongodb_conversions: float
    left_deleted_impressions: int
    left_deleted_clicks: int
    left_deleted_conversions: float


def _measures(entry: Mapping[str, Any]) -> dict[str, float]:
    last = (entry.get("models") or {}).get("last") or {}
    return {
        "impressions": entry.get("impressions") or 0,
        "clicks": entry.get("clicks") or 0,
        "conversions": last.get("conversions") or 0,
    }


KIND = Entries(
    collection=COLLECTION,
    mart=CAMPAIGN_PERFORMANCE,
    key=KEY,
    own={"source": SOURCE},
    indexed=("orderId", "campaignId", "publicationId", "dateStart"),
    measures=_measures,
)


def publish_day(
    database: Database[Document],
    day: date,
    table: pa.Table,
    now: datetime | None = None,
    confirm: Confirm = nobody_else,
) -> DayReport:
    """Publishes all rows of this day in `campaign_performance`; `collection_target` describes it."""
    made = _entries(entries.rows_of(table, KIND, day, COLUMNS, NUMBERS), day)
    done = entries.publish(database, KIND, day, KIND.by_key(made, day), now, confirm)
    mart, found, left_deleted = entries.totals(KIND, made).sums, done.found.sums, done.left_deleted.sums
    return DayReport(
        **done.outcome(day, made),
        mart_impressions=int(mart["impressions"]),
        mart_clicks=int(mart["clicks"]),
        mart_conversions=mart["conversions"],
        mongodb_impressions=int(found["impressions"]),
        mongodb_clicks=int(found["clicks"]),
        mongodb_conversions=found["conversions"],
        left_deleted_impressions=int(left_deleted["impressions"]),
        left_deleted_clicks=int(left_deleted["clicks"]),
        left_deleted_conversions=left_deleted["conversions"],
    )


def _entries(rows: Iterable[Mapping[str, Any]], day: date) -> list[Document]:
    """One entry for each campaign, with its models by name.

    Raises:
        PublishError: a campaign has a model twice, or rows with different shared fields.
    """
    found: dict[tuple[Any, ...], Document] = {}
    for row in sorted(rows, key=lambda row: row["model"]):
        shared = _shared(row, day)
        entry = found.setdefault(tuple(row[name] for name in PARTS), shared | {"models": {}})
        if row["model"] in entry["models"] or shared != {name: entry[name] for name in shared}:
            raise PublishError(
                f"{day}: two rows of campaign_performance of order {row['order_id']} and model {row['model']} "
                "contradict each other. Build the day again"
            )
        entry["models"][row["model"]] = {name: _plain(row[name]) for name in OF_MODEL}
    return list(found.values())


def _shared(row: Mapping[str, Any], day: date) -> Document:
    """The fields of a campaign that all its rows share."""
    is_mapped = row["publication_id"] is not None
    return {
        "orderId": row["order_id"],
        "campaignId": row["campaign_id"],
        "publicationId": row["publication_id"],
        "publicationName": row["publication_name"] if is_mapped else row["publication_code"],
        "publicationCode": row["publication_code"],
        "creativeId": row["creative_id"],
        "channel": row["channel"],
        "spend": _plain(row["spend"]),
        "spendCurrency": row["spend_currency"],
        "impressions": row["impressions"],
        "clicks": row["clicks"],
        **entries.day_fields(day),
    }


def _plain(value: Any) -> Any:
    """A decimal as the nearest double, so that every reader can add it up."""
    return float(value) if isinstance(value, Decimal) else value


def _lacks(settings: Settings) -> str | None:
    no_events = "No campaigns are published: CLICKLAKE_EVENTS is not set, and attribution is made from events"
    return mongodb_target.lacks(settings) or (None if settings.events else no_events)


TARGET = collection_target(
    KIND,
    name="campaign_entries",
    description="One document in MongoDB for each order, campaign, publication, creative, channel and day, with the "
    "figures of each attribution model. A run that builds the mart also publishes the days around its own that it "
    "restates. Without CLICKLAKE_EVENTS nothing is published, because attribution is made from events.",
    publish_day=publish_day,
    lacks=_lacks,
    rows="model = 'last'",
)
