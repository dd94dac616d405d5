"""Any partition, any number of times, in any order, gives the same lake and the same documents: the true ones."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from demo.traffic import Measures, expected_aggregates
from demo.visits import Placement
from ingest.days import parse_day
from tests.environment_fixtures import DAYS, Environment, Maker, good, mart_key, same_rows
from tests.partitions import days_of

ONE, TWO = DAYS[:2]
MAIN_LAYERS = ("raw", "rejects", "ledger", "marts")
pytestmark = pytest.mark.slow


def test_the_numbers_are_true_and_a_second_run_changes_nothing(environment: Environment) -> None:
    one, two = good(ONE), good(TWO)
    environment.put(one, two)
    environment.put(one, late=True)
    assert environment.run(ONE, TWO).bad == {}
    truth = expected_aggregates([one.truth_with_late, two.truth])
    assert _mart(environment) == {key: measures for key, measures in truth.items() if key[0].isoformat() in (ONE, TWO)}
    _assert_second_run_changes_nothing(environment)


@pytest.mark.long
def test_the_order_of_days_does_not_matter(new: Maker) -> None:
    one, two = good(ONE), good(TWO)

    at_once = new()
    at_once.put(one, two)
    at_once.put(one, late=True)
    assert at_once.run(ONE, TWO).bad == {}

    backwards = new()
    _same_objects(at_once, backwards)
    backwards.run(TWO)
    assert backwards.run(ONE).restated == days_of(TWO)  # ONE has rows of TWO

    as_it_comes = new()
    as_it_comes.put(one, two)
    as_it_comes.run(ONE)
    assert as_it_comes.entries() != []
    _same_objects(at_once, as_it_comes)  # ONE's late object among them
    as_it_comes.run(ONE)
    as_it_comes.run(TWO)

    for other in (backwards, as_it_comes):
        assert same_rows(_comparable(other), _comparable(at_once))
        assert other.entries() == at_once.entries()


def _assert_second_run_changes_nothing(environment: Environment) -> None:
    files, documents = environment.contents(), environment.documents()
    assert documents

    again = environment.run(ONE, TWO)

    assert again.bad == {}
    assert environment.contents() == files
    assert environment.documents() == documents
    for day in (ONE, TWO):
        report = again.materialized["performance_entries", parse_day(day)]
        assert report["unchanged"] == report["documents"] > 0


def _same_objects(first: Environment, second: Environment) -> None:
    """Copies the logs of one environment into another."""
    for page in first.s3.get_paginator("list_objects_v2").paginate(Bucket=first.bucket):
        for entry in page["Contents"]:
            body = first.s3.get_object(Bucket=first.bucket, Key=entry["Key"])["Body"].read()
            second.s3.put_object(Bucket=second.bucket, Key=entry["Key"], Body=body)


def _comparable(environment: Environment) -> dict[str, Any]:
    """All rows; in the ledger without the time at which an object was stored, which differs between buckets."""
    return {
        key: table.drop_columns(["modified"]) if key.startswith("ledger/") else table
        for key, table in environment.rows(*MAIN_LAYERS).items()
    }


def _mart(environment: Environment) -> dict[tuple[date, Placement], Measures]:
    found = {}
    for day in (ONE, TWO):
        for row in environment.lake.read_table(mart_key(day)).to_pylist():
            placement = Placement(*(row[name] for name in Placement._fields))
            found[date.fromisoformat(day), placement] = Measures(*(row[name] for name in Measures._fields))
    return found
