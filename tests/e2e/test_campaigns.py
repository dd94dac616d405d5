"""Campaigns from logs and events to MongoDB: what is published, again after other days change it, and only then."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import dagster as dg
import pytest

from demo import event_files
from ingest.days import parse_day
from orchestration.publishing.targets.campaign_entries import COLLECTION
from tests.environment_fixtures import DAYS, FIRST, Environment, Maker, good
from tests.partitions import days_of

pytestmark = pytest.mark.slow

ONE, TWO = DAYS[:2]
SPEND = """spend_date,order_id,campaign_id,publication_code,creative_id,channel,spend,currency
2026-01-12,,winter-2026,,,Paid Search,100.50,usd
2026-01-12,nobody,,,,,5,EUR
2026-01-13,,winter-2026,,,Paid Search,80,USD
2026-01-20,,winter-2026,,,Paid Search,1,USD
"""


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def put(environment: Environment) -> None:
    environment.put(good(ONE), good(TWO))
    environment.put_events(*event_files.generate_days(FIRST, 2, scale=event_files.LEAST_SCALE))
    environment.lake.put_text(SPEND, "reference/campaign_spend.csv")


def expected(environment: Environment) -> list[dict[str, Any]]:
    """What the mart holds, in the words of the entries."""
    with environment.lake.connect() as connection:
        files = environment.lake.uri("marts/campaign_performance/*/data.parquet")
        rows = connection.execute(f"from read_parquet('{files}', hive_partitioning = true)").to_arrow_table()
    found: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: {"models": {}})
    for row in rows.to_pylist():
        parts = ("report_date", "order_id", "campaign_id", "publication_code", "creative_id", "channel")
        entry = found[tuple(row[name] for name in parts)]
        entry |= {"spend": None if row["spend"] is None else float(row["spend"]), "clicks": row["clicks"]}
        entry["models"][row["model"]] = float(row["conversions"])
    return [dict(zip(("day", "order", "campaign", "code", "creative", "channel"), key, strict=True)) | entry
            for key, entry in sorted(found.items(), key=str)]  # fmt: skip


def published(environment: Environment) -> list[dict[str, Any]]:
    found = [
        {
            "day": entry["dateStart"].date(),
            "order": entry["orderId"],
            "campaign": entry["campaignId"],
            "code": entry["publicationCode"],
            "creative": entry["creativeId"],
            "channel": entry["channel"],
            "spend": entry["spend"],
            "clicks": entry["clicks"],
            "models": {name: model["conversions"] for name, model in entry["models"].items()},
        }
        for entry in environment.entries(COLLECTION)
    ]
    return sorted(found, key=lambda entry: str(tuple(entry.values())[:6]))


@pytest.mark.long
def test_days_and_those_that_they_restate_are_published_in_any_order(new: Maker) -> None:
    backwards = new()
    put(backwards)
    assert backwards.run(TWO).bad == {}
    alone = published(backwards)
    assert {entry["day"].isoformat() for entry in alone} == {TWO}

    # The first day's touches are what the second day's conversions are owed to: its entries change as well.
    result = backwards.run(ONE)
    assert result.bad == {}
    assert {day for name, day in result.materialized if name == "campaign_entries"} == set(days_of(ONE, TWO))
    assert published(backwards) == expected(backwards)
    assert [entry for entry in published(backwards) if entry["day"].isoformat() == TWO] != alone

    spent = {
        (entry["day"].isoformat(), entry["order"]): entry["spend"] for entry in published(backwards) if entry["spend"]
    }
    assert {spent.get((ONE, None)), spent.get((ONE, "nobody"))} == {100.5, 5.0}

    documents = backwards.documents(COLLECTION)
    again = backwards.run(ONE, TWO)  # both at once
    assert backwards.documents(COLLECTION) == documents
    for day in (ONE, TWO):
        report = again.materialized["campaign_entries", parse_day(day)]
        assert report["unchanged"] == report["documents"] > 0
        assert report["mart_conversions"] == report["mongodb_conversions"] > 0


def test_spend_that_cannot_be_read_is_named_and_other_marts_are_published(new: Maker) -> None:
    environment = new()
    put(environment)
    environment.lake.put_text(SPEND.replace("80", "eighty"), "reference/campaign_spend.csv")

    result = environment.run(ONE)

    assert "reference/campaign_spend.csv, line 4, column spend: 'eighty' is no number" in result.bad[parse_day(ONE)]
    assert ("daily_aggregates", parse_day(ONE)) in result.materialized
    assert ("campaign_performance", parse_day(ONE)) not in result.materialized
    assert environment.documents(COLLECTION) == []


def test_without_events_a_run_publishes_no_campaigns_and_is_green(
    new: Maker, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = new()
    put(environment)
    monkeypatch.delenv("CLICKLAKE_EVENTS")

    assert environment.run(ONE).bad == {}
    assert environment.job("publish", instance, [ONE]).success

    assert environment.entries() != []
    assert environment.documents(COLLECTION) == []
