"""Publishing days to `campaign_performance`, on every MongoDB server that this machine has.

How entries are written, and what becomes of those that people change, test_publishing.py shows of the other collection.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pytest
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from ingest.errors import PublishError
from ingest.lake.files import Lake
from orchestration.operations.status import OUT_OF_DATE, PUBLISHED, target_states
from orchestration.publishing.entries import PUBLISHER, ensure_indexes, read_entries
from orchestration.publishing.targets.campaign_entries import (
    COLLECTION,
    KEY,
    KIND,
    TARGET,
    DayReport,
    publish_day,
)
from tests.integration.test_publishing import Commands, listened

Mongo = Database[dict[str, Any]]

DAY = date(2026, 1, 12)
FIRST = datetime(2026, 1, 13, 4, 5, 6, 789000, tzinfo=UTC)
LATER = FIRST + timedelta(hours=1)
LAST = FIRST + timedelta(hours=2)
MODELS = ("first", "last", "last_non_direct", "linear", "position_based", "time_decay", "shapley")

SCHEMA = pa.schema(
    [
        ("report_date", pa.date32()),
        ("model", pa.string()),
        ("campaign_key", pa.string()),
        ("order_id", pa.string()),
        ("campaign_id", pa.string()),
        ("publication_id", pa.int64()),
        ("publication_code", pa.string()),
        ("publication_name", pa.string()),
        ("creative_id", pa.string()),
        ("channel", pa.string()),
        ("spend", pa.decimal128(18, 4)),
        ("spend_currency", pa.string()),
        *((name, pa.int64()) for name in ("impressions", "clicks", "valid_impressions", "valid_clicks")),
        ("installs", pa.decimal128(18, 9)),
        ("conversions", pa.decimal128(18, 9)),
        ("revenue", pa.decimal128(18, 4)),
        ("currency", pa.string()),
        *((name, pa.float64()) for name in ("cpi", "cpa", "roas")),
    ]
)
NOTHING = {
    "installs": Decimal(0),
    "conversions": Decimal(0),
    "revenue": None,
    "currency": None,
    "cpi": None,
    "cpa": None,
    "roas": None,
}
LINEAR = {
    "installs": Decimal("0.333333333"),
    "conversions": Decimal("1.333333333"),
    "revenue": Decimal("19.9900"),
    "currency": "USD",
    "cpi": 300.75,
    "cpa": 75.1875,
    "roas": 0.1994,
}


def campaign(models: dict[str, dict[str, Any]] | None = None, **columns: Any) -> list[dict[str, Any]]:
    """The rows of one campaign, one for each model."""
    shared = {
        "report_date": DAY,
        "order_id": "123",
        "campaign_id": "camp",
        "publication_id": 101,
        "publication_code": "chicago-reader",
        "publication_name": "Chicago Reader",
        "creative_id": "456",
        "channel": "website",
        "spend": Decimal("100.25"),
        "spend_currency": "USD",
        "impressions": 5000,
        "clicks": 150,
    }
    given = models or {"linear": LINEAR, "last": NOTHING | {"conversions": Decimal(2)}}
    return [shared | {"model": model} | (given.get(model) or NOTHING) | columns for model in MODELS]


def table(*campaigns: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([row for rows in campaigns for row in rows], schema=SCHEMA)


def stored(database: Mongo, **equal: Any) -> list[dict[str, Any]]:
    found = [entry for entry in database[COLLECTION].find() if all(entry[name] == equal[name] for name in equal)]
    return sorted(found, key=lambda entry: str(entry["_id"]))


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(found) == 1
    return found[0]


def live(database: Mongo) -> list[dict[str, Any]]:
    return [entry for entry in stored(database) if "deletedAt" not in entry]


def written(report: DayReport) -> dict[str, int]:
    names = ("inserted", "updated", "revived", "soft_deleted")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


@pytest.fixture
def database(mongodb_database: Mongo) -> Mongo:
    ensure_indexes(mongodb_database, KIND)
    return mongodb_database


def test_a_day_is_compared_by_its_campaigns_and_the_conversions_of_one_model(database: Mongo, tmp_path: Path) -> None:
    """Conversions are decimals in the mart, and the doubles nearest to them in MongoDB."""
    third = NOTHING | {"conversions": Decimal("0.333333333")}
    rows = table(*(campaign({"last": third}, order_id=str(number)) for number in range(3)))
    lake = Lake(str(tmp_path))
    lake.put_table(rows.drop_columns("report_date"), TARGET.mart.file(DAY))
    publish_day(database, DAY, rows, now=FIRST)

    def state() -> dict[date, str]:
        return target_states(lake, TARGET, database, [DAY])

    assert state() == {DAY: PUBLISHED}
    database[COLLECTION].delete_one({"orderId": "1"})
    assert state() == {DAY: OUT_OF_DATE}


def test_an_entry_holds_what_each_model_gives_its_campaign(database: Mongo) -> None:
    report = publish_day(database, DAY, table(campaign()), now=FIRST)

    entry = only(stored(database))
    models = entry.pop("models")
    assert {name: value for name, value in entry.items() if name != "_id"} == {
        "orderId": "123",
        "campaignId": "camp",
        "publicationId": 101,
        "publicationName": "Chicago Reader",
        "publicationCode": "chicago-reader",
        "creativeId": "456",
        "channel": "website",
        "dateStart": datetime(2026, 1, 12, tzinfo=UTC),
        "dateEnd": datetime(2026, 1, 12, 23, 59, 59, tzinfo=UTC),
        "spend": 100.25,
        "spendCurrency": "USD",
        "impressions": 5000,
        "clicks": 150,
        "source": "automated",
        "enteredBy": "lambda-tracking-sync",
        "enteredAt": FIRST,
        "createdAt": FIRST,
        "updatedAt": FIRST,
    }
    nothing = {name: None if value is None else 0.0 for name, value in NOTHING.items()}
    assert models == dict.fromkeys(MODELS, nothing) | {
        "linear": {
            "installs": 0.333333333,
            "conversions": 1.333333333,
            "revenue": 19.99,
            "currency": "USD",
            "cpi": 300.75,
            "cpa": 75.1875,
            "roas": 0.1994,
        },
        "last": nothing | {"conversions": 2.0},
    }
    assert isinstance(entry["spend"], float)
    assert isinstance(models["linear"]["revenue"], float)
    assert (report.documents, report.unchanged, written(report)) == (1, 0, {"inserted": 1})
    assert (report.mart_impressions, report.mongodb_impressions) == (5000, 5000)
    assert (report.mart_clicks, report.mongodb_clicks) == (150, 150)
    assert (report.mart_conversions, report.mongodb_conversions) == (2.0, 2.0)  # by the model `last`


def test_campaigns_without_an_order_are_published_and_empty_parts_are_null(database: Mongo) -> None:
    nobody = {"order_id": None, "campaign_id": None, "publication_id": None, "publication_code": None}
    nobody |= {"publication_name": None, "creative_id": None, "spend": None, "spend_currency": None}
    rest = campaign(**nobody, channel="(unattributed)", impressions=0, clicks=0)

    report = publish_day(database, DAY, table(rest), now=FIRST)

    entry = only(stored(database))
    assert [name for name in KEY if entry[name] is None] == ["orderId", "campaignId", "publicationCode", "creativeId"]
    assert (entry["channel"], entry["spend"], entry["publicationName"]) == ("(unattributed)", None, None)
    assert report.unmapped_codes == []


def test_a_second_run_writes_nothing(mongodb_url: str, database: Mongo) -> None:
    unmapped = {"publication_id": None, "publication_name": None, "publication_code": "there"}
    day = table(campaign(), campaign(channel=None, order_id=None), campaign(**unmapped))
    assert publish_day(database, DAY, day, now=FIRST).unmapped_codes == ["there"]
    before = [bson.encode(entry) for entry in stored(database)]
    assert only(stored(database, publicationId=None))["publicationName"] == "there"

    commands = Commands()
    with listened(mongodb_url, database, commands) as again:  # whatever the order of rows
        report = publish_day(again, DAY, day.take(list(reversed(range(day.num_rows)))), now=LATER)

    assert [bson.encode(entry) for entry in stored(database)] == before
    assert set(commands.names) - {"getMore", "endSessions"} == {"find"}
    assert (report.documents, report.unchanged, written(report)) == (3, 3, {})


@pytest.mark.parametrize(
    "changed",
    [
        {"spend": Decimal("100.2501")},
        {"models": {"linear": LINEAR | {"conversions": Decimal("1.333333334")}}},
        {"publication_id": 7, "publication_name": "Now mapped"},
    ],
)
def test_what_changed_is_updated_in_the_same_entry(database: Mongo, changed: dict[str, Any]) -> None:
    publish_day(database, DAY, table(campaign(), campaign(creative_id="7")), now=FIRST)
    before = only(stored(database, creativeId="456"))
    other = only(stored(database, creativeId="7"))

    report = publish_day(database, DAY, table(campaign(**changed), campaign(creative_id="7")), now=LATER)

    after = only(stored(database, creativeId="456"))
    assert after != before
    assert {name: after[name] for name in ("_id", "createdAt", "enteredAt")} == {
        name: before[name] for name in ("_id", "createdAt", "enteredAt")
    }
    assert after["updatedAt"] == LATER
    assert only(stored(database, creativeId="7")) == other
    assert (report.unchanged, written(report)) == (1, {"updated": 1})


def test_an_entry_that_vanishes_is_soft_deleted_and_revived_when_it_is_back(database: Mongo) -> None:
    publish_day(database, DAY, table(campaign()), now=FIRST)
    before = only(stored(database))

    gone = publish_day(database, DAY, table(), now=LATER)
    deleted = before | {"deletedAt": LATER, "deletedBy": PUBLISHER, "updatedAt": LATER}
    assert only(stored(database)) == deleted
    assert (gone.documents, written(gone)) == (0, {"soft_deleted": 1})

    back = publish_day(database, DAY, table(campaign()), now=LAST)
    assert only(stored(database)) == before | {"updatedAt": LAST}
    assert (back.documents, written(back)) == (1, {"revived": 1})


def test_what_people_entered_or_deleted_is_left_alone(database: Mongo) -> None:
    publish_day(database, DAY, table(campaign(), campaign(creative_id="7")), now=FIRST)
    collection = database[COLLECTION]
    entry = only(stored(database, creativeId="456"))
    collection.insert_one({**entry, "_id": bson.ObjectId(), "source": "manual"})
    manual = only(stored(database, source="manual"))
    deleted = only(stored(database, creativeId="7")) | {"deletedAt": LATER, "deletedBy": "kim@example.com"}
    collection.replace_one({"_id": deleted["_id"]}, deleted)

    changed = table(campaign(clicks=1), campaign(creative_id="7", clicks=2))
    report = publish_day(database, DAY, changed, now=LAST)

    assert only(stored(database, source="manual")) == manual
    assert only(stored(database, creativeId="7")) == deleted
    assert (report.documents, report.left_deleted, written(report)) == (1, 1, {"updated": 1})
    assert (report.mart_clicks, report.mongodb_clicks, report.left_deleted_clicks) == (3, 1, 2)
    assert report.mart_conversions == report.mongodb_conversions + report.left_deleted_conversions == 4.0


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (table(campaign(report_date=DAY + timedelta(days=1))), "campaign_performance holds a row of 2026-01-13"),
        (table(campaign(), campaign()), "two rows of campaign_performance of order 123 and model first contradict"),
        (table(campaign()[:1], campaign(clicks=1)[1:]), "two rows of campaign_performance of order 123 and model"),
        (table(campaign(conversions=None)), "conversions is null in a row of campaign_performance"),
        (table(campaign(model=None)), "model is null in a row of campaign_performance"),
        (table(campaign()).drop_columns(["roas", "spend"]), "campaign_performance has no column spend, roas"),
    ],
)
def test_a_mart_that_breaks_its_contract_is_not_published(database: Mongo, broken: pa.Table, says: str) -> None:
    with pytest.raises(PublishError, match=says) as caught:
        publish_day(database, DAY, broken, now=FIRST)

    assert "2026-01-12" in str(caught.value)
    assert stored(database) == []


def test_a_difference_after_writing_is_an_error_with_figures(mongodb_url: str, database: Mongo) -> None:
    def spoil() -> None:
        entry = only(stored(database))
        spoiled = entry["models"] | {"last": entry["models"]["last"] | {"conversions": 2.5}}
        database[COLLECTION].replace_one({"_id": entry["_id"]}, entry | {"models": spoiled})

    with listened(mongodb_url, database, Commands(insert=spoil)) as watched, pytest.raises(PublishError) as caught:
        publish_day(watched, DAY, table(campaign()), now=FIRST)

    message = str(caught.value)
    assert message.startswith("2026-01-12: MongoDB does not hold what was published")
    assert "By the mart: 1 entries, 5,000 impressions, 150 clicks, 2 conversions." in message
    assert "In MongoDB: 1 entries, 5,000 impressions, 150 clicks, 2.5 conversions." in message
    assert "writes to campaign_performance" in message


def test_the_indexes_are_there_made_once_and_unique_by_key(database: Mongo) -> None:
    ensure_indexes(database, KIND)

    indexes = database[COLLECTION].index_information().values()
    keys = [[name for name, _ in index["key"]] for index in indexes]
    unique = [[name for name, _ in index["key"]] for index in indexes if index.get("unique")]
    assert sorted(keys) == sorted(
        [["_id"], [*KEY], ["orderId"], ["campaignId"], ["publicationId"], ["dateStart"], ["orderId", "dateStart"]]
    )
    assert unique == [[*KEY]]
    publish_day(database, DAY, table(campaign()), now=FIRST)
    with pytest.raises(DuplicateKeyError):
        database[COLLECTION].insert_one({**only(live(database)), "_id": bson.ObjectId()})


def test_read_entries_gives_days_back_last_first(database: Mongo) -> None:
    for number in range(3):
        day = DAY + timedelta(days=number)
        publish_day(database, day, table(campaign(report_date=day)), now=FIRST)
    publish_day(database, DAY + timedelta(days=1), table(), now=LATER)

    found = read_entries(database, KIND, DAY, DAY + timedelta(days=2))

    assert [entry["dateStart"].day for entry in found] == [14, 12]
