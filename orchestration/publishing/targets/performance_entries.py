"""A report date of the mart `daily_aggregates` as documents of MongoDB's collection `performance_entries`.

This module defines what an entry looks like; `entries.py` writes it.

Decisions that the contract leaves open:

- **Two codes, one key.** Codes without a publication all have publicationId null, and two codes can stand for
  one publication. Each code is a row of the mart. Adding the rows up would be wrong for reach, which counts distinct
  addresses. So each code is an entry: `publicationCode`, the code as links name it, is stored with the entry and
  is the tenth part of the key. An entry without the field, written by an earlier publisher, counts as the entry of
  that publication's first code, and gets the field.
- A code that gets a publication later has a new key: the entry under the code is soft-deleted, and one under
  the publication inserted.
- If a row names no creative, itemName is "Creative unknown".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
from pymongo.database import Database

from orchestration.marts.known import DAILY_AGGREGATES
from orchestration.publishing import entries, mongodb_target
from orchestration.publishing.entries import SOURCE, Entries, Key
from orchestration.publishing.mongodb import Document
from orchestration.publishing.mongodb_target import collection_target
from orchestration.publishing.target import Confirm, nobody_else
from orchestration.settings import Settings

COLLECTION = "performance_entries"
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


@dataclass(frozen=True)
class DayReport(entries.DayReport):
    """The result of publishing a day. In it, mart = MongoDB + without order + left deleted."""

    rows_without_order: int
    mart_impressions: int
    mart_clicks: int
    mongodb_impressions: int
    mongodb_clicks: int
    without_order_impressions: int
    without_order_clicks: int
    left_deleted_impressions: int
    left_deleted_clicks: int


def _measures(entry: Mapping[str, Any]) -> dict[str, float]:
    metrics = entry.get("metrics") or {}
    return {name: metrics.get(name, 0) for name in ("impressions", "clicks")}


def _stored_keys(keys: Iterable[Key]) -> Callable[[Document], Key]:
    """A function that gives the key of a document, which may lack its publicationCode."""
    first_codes: dict[Key, Any] = {}
    for *key, code in sorted(keys, key=str):
        first_codes.setdefault(tuple(key), code)

    def key_of(document: Document) -> Key:
        *key, code = KIND.key_of(document)
        if "publicationCode" not in document:
            is_mapped = document.get("publicationId") is not None
            code = first_codes.get(tuple(key)) if is_mapped else document.get("publicationName")
        return *key, code

    return key_of


KIND = Entries(
    collection=COLLECTION,
    mart=DAILY_AGGREGATES,
    key=KEY,
    own={"source": SOURCE, "itemPath": ITEM_PATH},
    indexed=("orderId", "campaignId", "publicationId", "dateStart"),
    measures=_measures,
    stored_keys=_stored_keys,
)


def publish_day(
    database: Database[Document],
    day: date,
    table: pa.Table,
    now: datetime | None = None,
    confirm: Confirm = nobody_else,
) -> DayReport:
    """Publishes all rows of this day in `daily_aggregates`; `collection_target` describes it."""
    made = [_entry(row, day) for row in entries.rows_of(table, KIND, day, COLUMNS, NUMBERS)]
    wanted = KIND.by_key((entry for entry in made if entry["orderId"] is not None), day)
    done = entries.publish(database, KIND, day, wanted, now, confirm)
    mart = entries.totals(KIND, made)
    without_order = entries.totals(KIND, (entry for entry in made if entry["orderId"] is None))
    compared = {"mart": mart, "mongodb": done.found, "without_order": without_order, "left_deleted": done.left_deleted}
    figures: dict[str, Any] = {
        f"{where}_{name}": int(found.sums[name])
        for where, found in compared.items()
        for name in ("impressions", "clicks")
    }
    return DayReport(**done.outcome(day, wanted.values()), rows_without_order=without_order.entries, **figures)


def _entry(row: Mapping[str, Any], day: date) -> Document:
    """The entry for a row of the mart: all fields except `_id` and the times of writing."""
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
        "metrics": {name: row[column] for name, column in MEASURES.items()},
        "validMetrics": {name: row["valid_" + column] for name, column in MEASURES.items()},
        **entries.day_fields(day),
    }


def _lacks(settings: Settings) -> str | None:
    no_logs = "No performance is published: CLICKLAKE_LOGS is not set, and daily_aggregates is made from logs"
    return mongodb_target.lacks(settings) or (None if settings.logs else no_logs)


TARGET = collection_target(
    KIND,
    name="performance_entries",
    description="One document in MongoDB for each order, campaign, publication, channel, creative, size and day. Only "
    "changes are written; entries made by hand are never touched. Without CLICKLAKE_LOGS nothing is published.",
    publish_day=publish_day,
    lacks=_lacks,
    rows="order_id is not null",
)
