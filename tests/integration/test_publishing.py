"""Publishing days to `performance_entries`, on every MongoDB server that this machine has."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import bson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient, monitoring
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from ingest.errors import PublishError, TransientError
from orchestration.publishing.entries import PUBLISHER, ensure_indexes, read_entries
from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets import campaign_entries
from orchestration.publishing.targets.performance_entries import (
    COLLECTION,
    KEY,
    KIND,
    DayReport,
    publish_day,
)
from tests.environment_fixtures import ROOT
from tests.mongo_fixtures import new_database_name

Documents = list[dict[str, Any]]
Mongo = Database[dict[str, Any]]

DAY = date(2026, 1, 12)
START = datetime(2026, 1, 12, tzinfo=UTC)
FIRST = datetime(2026, 1, 13, 4, 5, 6, 789000, tzinfo=UTC)
LATER = FIRST + timedelta(hours=1)
LAST = FIRST + timedelta(hours=2)

SCHEMA = pa.schema(
    [
        ("report_date", pa.date32()),
        ("order_id", pa.string()),
        ("campaign_id", pa.string()),
        ("publication_id", pa.int64()),
        ("publication_code", pa.string()),
        ("publication_name", pa.string()),
        ("channel", pa.string()),
        ("creative_id", pa.string()),
        ("ad_size", pa.string()),
        *(
            (prefix + name, pa.float64() if name == "ctr" else pa.int64())
            for prefix in ("", "valid_")
            for name in ("impressions", "clicks", "unique_clicks", "unique_ips", "ctr")
        ),
    ]
)


def row(**columns: Any) -> dict[str, Any]:
    """A row of the mart: the contract's example, with what the test needs otherwise."""
    measures = {"impressions": 5000, "clicks": 150, "unique_clicks": 120, "unique_ips": 3500, "ctr": 3.0}
    valid = {"impressions": 4000, "clicks": 100, "unique_clicks": 90, "unique_ips": 3000, "ctr": 2.5}
    return {
        "report_date": DAY,
        "order_id": "123",
        "campaign_id": "camp",
        "publication_id": 101,
        "publication_code": "chicago-reader",
        "publication_name": "Chicago Reader",
        "channel": "website",
        "creative_id": "456",
        "ad_size": "300x250",
        **measures,
        **{f"valid_{name}": value for name, value in valid.items()},
        **columns,
    }


def unmapped(code: str | None, **columns: Any) -> dict[str, Any]:
    return row(publication_id=None, publication_name=None, publication_code=code, **columns)


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def stored(database: Mongo, **equal: Any) -> Documents:
    """Documents with these values, soft-deleted ones too. Compared here: the embedded server cannot find a null."""
    found = [entry for entry in database[COLLECTION].find() if all(entry[name] == equal[name] for name in equal)]
    return sorted(found, key=lambda entry: str(entry["_id"]))


def live(database: Mongo) -> Documents:
    return [entry for entry in stored(database) if "deletedAt" not in entry]


def only(found: Documents) -> dict[str, Any]:
    assert len(found) == 1
    return found[0]


def change(collection: Collection[dict[str, Any]], entry: dict[str, Any], **changes: Any) -> None:
    """What a person does in another program."""
    collection.replace_one({"_id": entry["_id"]}, {**collection.find({"_id": entry["_id"]})[0], **changes})


def written(report: DayReport) -> dict[str, int]:
    names = ("inserted", "updated", "revived", "soft_deleted")
    return {name: getattr(report, name) for name in names if getattr(report, name)}


class Commands(monitoring.CommandListener):
    """Remembers the names of all commands, and calls `after` of one when it has succeeded, the first time."""

    def __init__(self, **after: Callable[[], None]) -> None:
        self.names: list[str] = []
        self.after = after

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.names.append(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self.after.pop(event.command_name, lambda: None)()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@contextmanager
def listened(url: str, database: Mongo, commands: Commands) -> Iterator[Mongo]:
    """The same database through a client of its own."""
    with MongoClient[dict[str, Any]](url, event_listeners=[commands]) as client:
        yield client[database.name]


@pytest.fixture
def database(mongodb_database: Mongo) -> Mongo:
    ensure_indexes(mongodb_database, KIND)
    return mongodb_database


# What is written.


def test_an_entry_looks_as_the_contract_says(database: Mongo) -> None:
    report = publish_day(database, DAY, table(row()), now=FIRST)

    entry = only(stored(database))
    assert {name: value for name, value in entry.items() if name != "_id"} == {
        "orderId": "123",
        "campaignId": "camp",
        "publicationId": 101,
        "publicationName": "Chicago Reader",
        "publicationCode": "chicago-reader",
        "itemPath": "tracking-display",
        "itemName": "Creative 456",
        "creativeId": "456",
        "channel": "website",
        "dimensions": "300x250",
        "dateStart": datetime(2026, 1, 12, tzinfo=UTC),
        "dateEnd": datetime(2026, 1, 12, 23, 59, 59, tzinfo=UTC),
        "metrics": {"impressions": 5000, "clicks": 150, "ctr": 3.0, "reach": 3500},
        "validMetrics": {"impressions": 4000, "clicks": 100, "ctr": 2.5, "reach": 3000},
        "source": "automated",
        "enteredBy": "lambda-tracking-sync",
        "enteredAt": FIRST,
        "createdAt": FIRST,
        "updatedAt": FIRST,
    }
    assert isinstance(entry["metrics"]["ctr"], float)
    assert (report.documents, report.unchanged, written(report)) == (1, 0, {"inserted": 1})
    assert (report.mart_impressions, report.mongodb_impressions) == (5000, 5000)
    assert (report.mart_clicks, report.mongodb_clicks) == (150, 150)


def test_a_second_run_writes_nothing(mongodb_url: str, database: Mongo) -> None:
    day = table(row(), row(creative_id=None, ad_size=None), unmapped("nobody"), unmapped(None), row(order_id=None))
    publish_day(database, DAY, day, now=FIRST)
    before = [bson.encode(entry) for entry in stored(database)]

    commands = Commands()
    with listened(mongodb_url, database, commands) as again:
        report = publish_day(again, DAY, day, now=LATER)

    assert [bson.encode(entry) for entry in stored(database)] == before
    assert set(commands.names) - {"getMore", "endSessions"} == {"find"}
    assert (report.documents, report.unchanged, written(report)) == (4, 4, {})


def test_changed_numbers_update_the_entry_and_keep_when_it_was_created(database: Mongo) -> None:
    publish_day(database, DAY, table(row(), row(creative_id="7")), now=FIRST)
    before = only(stored(database, creativeId="456"))
    other = only(stored(database, creativeId="7"))

    report = publish_day(database, DAY, table(row(impressions=6000, ctr=2.5), row(creative_id="7")), now=LATER)

    metrics = {"impressions": 6000, "clicks": 150, "ctr": 2.5, "reach": 3500}
    assert only(stored(database, creativeId="456")) == before | {"metrics": metrics, "updatedAt": LATER}
    assert only(stored(database, creativeId="7")) == other
    assert (report.unchanged, written(report)) == (1, {"updated": 1})


def test_a_renamed_publication_is_the_same_entry(database: Mongo) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)
    before = only(stored(database))

    publish_day(database, DAY, table(row(publication_name="The Reader")), now=LATER)

    assert only(stored(database)) == before | {"publicationName": "The Reader", "updatedAt": LATER}


def test_two_creatives_of_an_order_on_one_day_are_two_entries(database: Mongo) -> None:
    publish_day(database, DAY, table(row(), row(creative_id="789")), now=FIRST)

    assert sorted(entry["itemName"] for entry in live(database)) == ["Creative 456", "Creative 789"]


def test_days_do_not_touch_each_other(database: Mongo) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)
    before = stored(database)

    next_day = DAY + timedelta(days=1)
    report = publish_day(database, next_day, table(row(report_date=next_day)), now=LATER)

    assert written(report) == {"inserted": 1}
    assert only(stored(database, dateStart=START)) == only(before)


def test_hundreds_of_changes_at_once(database: Mongo) -> None:
    """FerretDB hangs when a single command holds as many replacements."""
    publish_day(database, DAY, table(*(row(creative_id=str(number)) for number in range(250))), now=FIRST)

    changed = table(*(row(creative_id=str(number), clicks=number) for number in range(250)))
    report = publish_day(database, DAY, changed, now=LATER)

    assert (report.documents, report.mongodb_clicks) == (250, sum(range(250)))
    assert sum(entry["metrics"]["clicks"] for entry in live(database)) == sum(range(250))


# What is deleted, and what is left alone.


def test_an_entry_that_vanishes_is_soft_deleted_and_revived_when_it_is_back(database: Mongo) -> None:
    publish_day(database, DAY, table(row(), row(creative_id="7")), now=FIRST)
    before = only(stored(database, creativeId="456"))

    gone = publish_day(database, DAY, table(row(creative_id="7")), now=LATER)
    deleted = before | {"deletedAt": LATER, "deletedBy": PUBLISHER, "updatedAt": LATER}
    assert only(stored(database, creativeId="456")) == deleted
    assert (gone.documents, written(gone)) == (1, {"soft_deleted": 1})

    still_gone = publish_day(database, DAY, table(row(creative_id="7")), now=LAST)
    assert written(still_gone) == {}

    back = publish_day(database, DAY, table(row(), row(creative_id="7")), now=LAST)
    assert only(stored(database, creativeId="456")) == before | {"updatedAt": LAST}
    assert (back.documents, written(back)) == (2, {"revived": 1})


def test_a_day_without_rows_deletes_its_entries(database: Mongo) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)

    report = publish_day(database, DAY, table(), now=LATER)

    assert live(database) == []
    assert (report.documents, report.mart_impressions, written(report)) == (0, 0, {"soft_deleted": 1})


@pytest.mark.parametrize("foreign", [{"source": "manual"}, {"itemPath": "tracking-email"}])
def test_entries_of_others_are_not_touched(database: Mongo, foreign: dict[str, str]) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)
    entry = only(stored(database))
    database[COLLECTION].insert_one({**entry, "_id": bson.ObjectId(), **foreign})
    before = only(stored(database, **foreign))

    publish_day(database, DAY, table(row(clicks=1)), now=LATER)
    report = publish_day(database, DAY, table(), now=LAST)

    assert only(stored(database, **foreign)) == before
    assert (report.documents, written(report)) == (0, {"soft_deleted": 1})


def test_what_a_person_deleted_stays_deleted(database: Mongo) -> None:
    publish_day(database, DAY, table(row(), row(creative_id="7", impressions=7, clicks=2)), now=FIRST)
    collection = database[COLLECTION]
    change(collection, only(stored(database, creativeId="7")), deletedAt=LATER, deletedBy="kim@example.com")
    before = only(stored(database, creativeId="7"))

    report = publish_day(database, DAY, table(row(), row(creative_id="7", impressions=9, clicks=3)), now=LAST)

    assert only(stored(database, creativeId="7")) == before
    assert (report.documents, report.left_deleted, written(report)) == (1, 1, {})
    assert report.mart_impressions == report.mongodb_impressions + report.left_deleted_impressions == 5009
    assert report.mart_clicks == report.mongodb_clicks + report.left_deleted_clicks == 153


def test_d4_what_is_left_alone_is_named_with_the_reason(database: Mongo) -> None:
    rows = [row(creative_id=str(number)) for number in range(1, 6)]
    publish_day(database, DAY, table(*rows), now=FIRST)
    collection = database[COLLECTION]
    change(collection, only(stored(database, creativeId="1")), deletedAt=None)
    change(collection, only(stored(database, creativeId="2")), deletedAt=LATER, deletedBy="kim@example.com")
    for creative, foreign in (("3", {"source": "manual"}), ("4", {"itemPath": "tracking-email"})):
        collection.insert_one({**only(stored(database, creativeId=creative)), "_id": bson.ObjectId(), **foreign})
    # Neither of these is in the way of an entry: another key, and one that is deleted itself.
    another = only(stored(database, creativeId="5")) | {"source": "manual"}
    collection.insert_one(another | {"_id": bson.ObjectId(), "creativeId": "another"})
    collection.insert_one(another | {"_id": bson.ObjectId(), "deletedAt": LATER})
    before = stored(database)

    report = publish_day(database, DAY, table(*(each | {"clicks": 1} for each in rows)), now=LAST)

    assert (report.left_alone, report.left_deleted, report.documents, written(report)) == (4, 2, 3, {"updated": 3})
    because = [text.rpartition(": ")[2] for text in report.left_alone_because]
    assert because == [
        "its deletedAt is null, which hides it from readers as a deleted one. Remove the field to have it published "
        "again",
        "a person deleted it",
        "its source is 'manual', not 'automated'",
        "its itemPath is 'tracking-email', not 'tracking-display'",
    ]
    assert all(f"creativeId {number}," in text for number, text in enumerate(report.left_alone_because, start=1))
    assert "kim@example.com" not in str(report)
    after = stored(database)
    alone = [entry for entry in before if entry not in after]
    assert {entry["creativeId"] for entry in alone} == {"3", "4", "5"}

    # Without a row of the day, what is hidden by a null is still named: nothing else would tell.
    gone = publish_day(database, DAY, table(), now=LAST)
    assert (gone.left_alone, gone.left_alone_because[0].rpartition(": ")[2][:21]) == (1, "its deletedAt is null")


def test_d4_many_documents_left_alone_are_counted(database: Mongo) -> None:
    rows = [row(creative_id=f"{number:02}") for number in range(30)]
    publish_day(database, DAY, table(*rows), now=FIRST)
    database[COLLECTION].insert_many(
        [entry | {"_id": bson.ObjectId(), "source": "manual"} for entry in stored(database)]
    )

    report = publish_day(database, DAY, table(*rows), now=LATER)

    assert (report.left_alone, len(report.left_alone_because), written(report)) == (30, 20, {})


def test_what_a_person_undeleted_is_published_again(database: Mongo) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)
    entry = only(stored(database))
    change(database[COLLECTION], entry, deletedAt=LATER, deletedBy="kim")
    publish_day(database, DAY, table(row(clicks=1)), now=LATER)
    database[COLLECTION].replace_one({"_id": entry["_id"]}, entry)

    report = publish_day(database, DAY, table(row(clicks=1)), now=LAST)

    assert only(live(database))["metrics"]["clicks"] == 1
    assert written(report) == {"updated": 1}


def test_fields_of_others_in_an_entry_are_kept(database: Mongo) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)
    change(database[COLLECTION], only(stored(database)), note="checked")

    publish_day(database, DAY, table(row(clicks=1)), now=LATER)
    publish_day(database, DAY, table(), now=LATER)
    publish_day(database, DAY, table(row(clicks=1)), now=LAST)

    entry = only(live(database))
    assert (entry["note"], entry["metrics"]["clicks"]) == ("checked", 1)


def test_a_person_who_deletes_while_a_day_is_published_is_heeded(mongodb_url: str, database: Mongo) -> None:
    publish_day(database, DAY, table(row()), now=FIRST)
    entry = only(stored(database))

    def delete() -> None:
        change(database[COLLECTION], entry, deletedAt=LATER, deletedBy="kim")

    with listened(mongodb_url, database, Commands(find=delete)) as watched:
        report = publish_day(watched, DAY, table(row(clicks=1)), now=LAST)

    assert only(stored(database)) == entry | {"deletedAt": LATER, "deletedBy": "kim"}
    assert (report.left_deleted, written(report)) == (1, {})


def test_an_entry_that_changes_after_it_was_read_is_read_again(mongodb_url: str, database: Mongo) -> None:
    publish_day(database, DAY, table(row(clicks=1)), now=FIRST)

    def publish_other_numbers() -> None:
        publish_day(database, DAY, table(row(clicks=2)), now=LATER)

    with listened(mongodb_url, database, Commands(find=publish_other_numbers)) as watched:
        report = publish_day(watched, DAY, table(row(clicks=3)), now=LAST)

    assert only(live(database))["metrics"]["clicks"] == 3
    assert written(report) == {"updated": 1}


# Keys.


def test_missing_parts_of_the_key_are_null(database: Mongo) -> None:
    empty = unmapped(None, campaign_id=None, channel=None, creative_id=None, ad_size=None)

    publish_day(database, DAY, table(empty), now=FIRST)

    entry = only(stored(database))
    for name in (*KEY, "publicationName"):
        assert name in entry
    assert [name for name in (*KEY, "publicationName") if entry[name] is None] == [
        "campaignId",
        "publicationId",
        "channel",
        "creativeId",
        "dimensions",
        "publicationCode",
        "publicationName",
    ]
    assert entry["itemName"] == "Creative unknown"


def test_unmapped_codes_are_entries_of_their_own(database: Mongo) -> None:
    day = table(row(), unmapped("here", impressions=1), unmapped("there", impressions=2), unmapped(None, impressions=4))

    report = publish_day(database, DAY, day, now=FIRST)

    found = {entry["publicationName"]: entry for entry in stored(database, publicationId=None)}
    assert {name: entry["metrics"]["impressions"] for name, entry in found.items()} == {"here": 1, "there": 2, None: 4}
    assert report.unmapped_codes == ["here", "there"]
    assert report.documents == 4


def test_two_codes_of_one_publication_are_two_entries(database: Mongo) -> None:
    day = table(row(unique_ips=10), row(publication_code="reader", unique_ips=20))

    publish_day(database, DAY, day, now=FIRST)
    report = publish_day(database, DAY, day, now=LATER)

    assert sorted(entry["metrics"]["reach"] for entry in stored(database, publicationId=101)) == [10, 20]
    assert written(report) == {}


def test_a_code_that_gets_a_publication_moves_there(database: Mongo) -> None:
    publish_day(database, DAY, table(unmapped("chicago-reader")), now=FIRST)

    report = publish_day(database, DAY, table(row()), now=LATER)

    assert only(live(database))["publicationId"] == 101
    assert only(stored(database, publicationId=None))["deletedBy"] == PUBLISHER
    assert written(report) == {"inserted": 1, "soft_deleted": 1}


@pytest.mark.parametrize("first", [row(), unmapped("there"), unmapped(None)])
def test_an_entry_without_a_code_is_the_same_entry(database: Mongo, first: dict[str, Any]) -> None:
    """Whoever published before knew no publicationCode."""
    publish_day(database, DAY, table(first), now=FIRST)
    entry = only(stored(database))
    older = {name: value for name, value in entry.items() if name != "publicationCode"}
    database[COLLECTION].replace_one({"_id": entry["_id"]}, older)

    report = publish_day(database, DAY, table(first), now=LATER)

    assert only(stored(database)) == entry | {"updatedAt": LATER}
    assert written(report) == {"updated": 1}

    deleted = older | {"deletedAt": LATER, "deletedBy": "kim"}
    database[COLLECTION].replace_one({"_id": entry["_id"]}, deleted)
    report = publish_day(database, DAY, table(first), now=LAST)

    assert only(stored(database)) == deleted
    assert (report.left_deleted, written(report)) == (1, {})


def test_rows_without_an_order_are_counted_and_not_published(database: Mongo) -> None:
    day = table(
        row(), row(order_id=None, impressions=70, clicks=3), unmapped("x", order_id=None, impressions=7, clicks=0)
    )

    report = publish_day(database, DAY, day, now=FIRST)

    assert only(stored(database))["orderId"] == "123"
    assert (report.documents, report.rows_without_order) == (1, 2)
    assert report.mart_impressions == report.mongodb_impressions + report.without_order_impressions == 5077
    assert report.mart_clicks == report.mongodb_clicks + report.without_order_clicks == 153
    assert report.unmapped_codes == []


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (table(row(report_date=DAY + timedelta(days=1))), "holds a row of 2026-01-13"),
        (table(row(), row(clicks=1)), "two rows of order 123"),
        (table(row(valid_ctr=None)), "valid_ctr is null"),
        (table(row()).drop_columns(["unique_ips", "channel"]), "no column channel, unique_ips"),
    ],
)
def test_a_mart_that_breaks_its_contract_is_not_published(database: Mongo, broken: pa.Table, says: str) -> None:
    with pytest.raises(PublishError, match=says) as caught:
        publish_day(database, DAY, broken, now=FIRST)

    assert "2026-01-12" in str(caught.value)
    assert stored(database) == []


# Others at the same time, and what MongoDB does not hold.


def test_a_difference_after_writing_is_an_error_with_figures(mongodb_url: str, database: Mongo) -> None:
    def spoil() -> None:
        entry = only(stored(database, creativeId="456"))
        change(database[COLLECTION], entry, metrics=entry["metrics"] | {"impressions": 1})

    with listened(mongodb_url, database, Commands(insert=spoil)) as watched, pytest.raises(PublishError) as caught:
        publish_day(watched, DAY, table(row(), row(creative_id="7")), now=FIRST)

    message = str(caught.value)
    assert message.startswith("2026-01-12: MongoDB does not hold what was published")
    assert "By the mart: 2 entries, 10,000 impressions, 300 clicks" in message
    assert "In MongoDB: 2 entries, 5,001 impressions, 300 clicks" in message


def test_a_difference_that_leaves_the_totals_alone_is_an_error(mongodb_url: str, database: Mongo) -> None:
    def spoil() -> None:
        change(database[COLLECTION], only(stored(database)), publicationName="Another")

    with (
        listened(mongodb_url, database, Commands(insert=spoil)) as watched,
        pytest.raises(PublishError, match="1 entries differ"),
    ):
        publish_day(watched, DAY, table(row()), now=FIRST)


def test_publishers_at_the_same_time_leave_every_entry_once(mongodb_url: str, database: Mongo) -> None:
    keys = [{"creative_id": str(number)} for number in range(60)] + [{"creative_id": None}]
    old = table(*(row(**key, clicks=1) for key in keys[:20]))
    new = table(*(row(**key) for key in keys), unmapped("a"), unmapped("b"), unmapped(None))
    publish_day(database, DAY, old, now=FIRST)
    start = threading.Barrier(3)

    def publish(_: int) -> DayReport:
        with connect(mongodb_url) as client:
            start.wait()
            return publish_day(client[database.name], DAY, new)

    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(publish, range(3)))

    entries = live(database)
    assert len({tuple(entry[name] for name in KEY) for entry in entries}) == len(entries) == 64
    assert all(entry["metrics"]["clicks"] == 150 for entry in entries)
    assert {(report.documents, report.mongodb_clicks) for report in reports} == {(64, 64 * 150)}
    assert written(publish_day(database, DAY, new)) == {}


def test_duplicates_from_before_the_unique_key_are_soft_deleted_but_for_one(mongodb_database: Mongo) -> None:
    publish_day(mongodb_database, DAY, table(row()), now=FIRST)
    entry = only(stored(mongodb_database))
    mongodb_database[COLLECTION].insert_many([{**entry, "_id": bson.ObjectId()} for _ in range(2)])

    report = publish_day(mongodb_database, DAY, table(row()), now=LATER)

    assert only(live(mongodb_database)) == entry
    assert written(report) == {"soft_deleted": 2}
    assert report.mongodb_impressions == 5000


def test_a_unique_index_of_others_that_keeps_entries_out_is_named(mongodb_database: Mongo) -> None:
    mongodb_database[COLLECTION].create_index([("orderId", 1), ("source", 1)], unique=True)

    with pytest.raises(PublishError, match="another unique index of performance_entries keeps some out") as caught:
        publish_day(mongodb_database, DAY, table(row(), row(creative_id="7")), now=FIRST)

    assert str(caught.value).startswith("2026-01-12: ")
    assert len(live(mongodb_database)) == 1


# The connection.


def test_a_server_that_is_not_there_is_a_passing_error_without_the_password() -> None:
    with pytest.raises(PublishError) as caught:
        connect("mongodb://user:s3cret@127.0.0.1:1/?serverSelectionTimeoutMS=200")

    assert isinstance(caught.value, TransientError)
    assert "127.0.0.1:1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_wrong_password_is_an_error_without_the_password(mongodb_server: str, mongodb_url: str) -> None:
    host = mongodb_url.partition("://")[2].rpartition("@")[2].partition("/")[0]
    knows_no_users = mongodb_server == "embedded"  # its answer to a login is none that the driver expects
    says = "does it know the user in CLICKLAKE_MONGODB_URL" if knows_no_users else "the login was refused"

    with pytest.raises(PublishError, match=says) as caught:
        connect(f"mongodb://user:s3cret@{host}/")

    assert not isinstance(caught.value, TransientError)
    assert host in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_stops_is_a_passing_error(mongodb_server: str, tmp_path: Any) -> None:
    if mongodb_server != "embedded":
        pytest.skip("one server to stop is enough")
    from demo.services import embedded_mongodb

    with embedded_mongodb(tmp_path) as service:
        client = connect(f"{service.url}?serverSelectionTimeoutMS=200")
        publish_day(client["test"], DAY, table(row()))
    with client, pytest.raises(PublishError, match="publishing 2026-01-12: no answer") as caught:
        publish_day(client["test"], DAY, table(row()))

    assert isinstance(caught.value, TransientError)


# Indexes and readers.


def test_the_indexes_are_there_and_made_once(database: Mongo) -> None:
    ensure_indexes(database, KIND)

    indexes = database[COLLECTION].index_information().values()
    keys = [[name for name, _ in index["key"]] for index in indexes]
    unique = [[name for name, _ in index["key"]] for index in indexes if index.get("unique")]
    assert sorted(keys) == sorted(
        [["_id"], [*KEY], ["orderId"], ["campaignId"], ["publicationId"], ["dateStart"], ["orderId", "dateStart"]]
    )
    assert unique == [[*KEY]]


def test_an_entry_cannot_be_inserted_twice(mongodb_server: str, database: Mongo) -> None:
    rows = [row()] if mongodb_server == "embedded" else [row(), unmapped(None)]  # its unique index sees no nulls
    for published in rows:
        publish_day(database, DAY, table(published), now=FIRST)
        entry = only(live(database))
        with pytest.raises(DuplicateKeyError):
            database[COLLECTION].insert_one({**entry, "_id": bson.ObjectId()})


def test_the_readers_query_finds_an_orders_live_entries_by_day(database: Mongo) -> None:
    for number in range(3):
        day = DAY + timedelta(days=number)
        publish_day(database, day, table(row(report_date=day), row(report_date=day, order_id="9")), now=FIRST)
    publish_day(database, DAY + timedelta(days=1), table(), now=LATER)

    found = database[COLLECTION].find({"orderId": "123", "deletedAt": {"$exists": False}}).sort("dateStart", -1)

    assert [entry["dateStart"] for entry in found] == [START + timedelta(days=2), START]


def test_read_entries_gives_days_back_last_first(database: Mongo) -> None:
    for number in range(4):
        day = DAY + timedelta(days=number)
        publish_day(database, day, table(row(report_date=day), unmapped(None, report_date=day)), now=FIRST)
    publish_day(database, DAY + timedelta(days=1), table(row(report_date=DAY + timedelta(days=1))), now=LATER)

    found = read_entries(database, KIND, DAY, DAY + timedelta(days=2))

    assert [(entry["dateStart"].day, entry["publicationCode"]) for entry in found] == [
        (14, "chicago-reader"),
        (14, None),
        (13, "chicago-reader"),
        (12, "chicago-reader"),
        (12, None),
    ]


# Whatever happened before, the last table is what is published.

_KEYS = [
    {"order_id": order, "creative_id": creative, **publication}
    for order in ("1", None)
    for creative in ("a", None)
    for publication in (
        {},
        {"publication_code": "reader"},
        {"publication_id": None, "publication_name": None, "publication_code": "x"},
        {"publication_id": None, "publication_name": None, "publication_code": None},
    )
]
_TABLES = st.dictionaries(st.integers(0, len(_KEYS) - 1), st.integers(0, 2), max_size=6)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(days=st.lists(_TABLES, min_size=1, max_size=4))
def test_any_sequence_of_tables_ends_with_the_last(mongodb_url: str, days: list[dict[int, int]]) -> None:
    with connect(mongodb_url) as client:
        database = client[new_database_name()]
        ensure_indexes(database, KIND)
        for position, day in enumerate(days):
            rows = [row(**_KEYS[key], clicks=clicks) for key, clicks in day.items()]
            report = publish_day(database, DAY, table(*rows), now=FIRST + timedelta(seconds=position))
        entries = live(database)
        client.drop_database(database.name)

    expected = [published for published in rows if published["order_id"] is not None]
    names = {"order_id": "orderId", "creative_id": "creativeId", "publication_code": "publicationCode"}
    assert sorted(
        (*(str(entry[name]) for name in names.values()), entry["publicationId"] or 0, entry["metrics"]["clicks"])
        for entry in entries
    ) == sorted(
        (*(str(published[name]) for name in names), published["publication_id"] or 0, published["clicks"])
        for published in expected
    )
    assert report.documents == len(expected)


# What it may do.


def test_the_role_of_the_publisher_is_what_publishing_needs(mongodb_url: str, mongodb_database: Mongo) -> None:
    made = runpy.run_path(str(ROOT / "deploy" / "mongodb" / "make_users.py"), run_name="deploy")
    actions = {"createIndexes": "createIndex"} | {name: name for name in ("find", "insert", "update")}
    of_nobody = {"ping", "hello", "endSessions"}  # every user may

    commands = Commands()
    with listened(mongodb_url, mongodb_database, commands) as watched:
        ensure_indexes(watched, KIND)
        ensure_indexes(watched, campaign_entries.KIND)
        for day in ([row()], [row(clicks=1)], [], [row()]):
            publish_day(watched, DAY, table(*day))
        read_entries(watched, KIND, DAY, DAY)

    used = {actions.get(name, f"nothing that allows {name}") for name in {*commands.names} - of_nobody}
    assert used == set(made["ACTIONS"]["publisher"])
    assert set(made["COLLECTIONS"]) == {COLLECTION, campaign_entries.COLLECTION}
