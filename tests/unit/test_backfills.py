"""Which windows of a backfill that is gone on with are left, by the runs in Dagster's records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest

from orchestration.operations.backfills import BACKFILL_TAG, ENDED_TAG, INGEST, ORDER_TAG, Backfill, begin, done
from orchestration.partitions import range_tags
from tests.partitions import days_of

MARTS = "restate"
DAYS = days_of("2026-01-01", "2026-01-02", "2026-01-03")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def _begin(instance: dg.DagsterInstance) -> Backfill:
    return begin(instance, "three days", DAYS, 1, MARTS, anew=False)


def _ran(instance: dg.DagsterInstance, backfill: Backfill, job: str, *days: date, ended: bool = True) -> list[str]:
    """Runs of a job over these days; gives their ids."""
    ids = []
    for day in days:
        tags = backfill.tags | range_tags([day])
        definition = dg.GraphDefinition(job).to_job()
        run = instance.create_run_for_job(definition, tags=tags | ({ENDED_TAG: "true"} if ended else {}))
        ids.append(run.run_id)
    return ids


def _left(backfill: Backfill) -> tuple[list[list[date]], list[list[date]]]:
    return backfill.left(INGEST), backfill.left(MARTS)


def test_what_has_ended_is_not_run_again(instance: dg.DagsterInstance) -> None:
    first = _begin(instance)
    ids = _ran(instance, first, INGEST, *DAYS)
    ids += _ran(instance, first, MARTS, DAYS[1])
    again = _begin(instance)
    assert again.tags == {BACKFILL_TAG: first.id, ORDER_TAG: "three days"}
    assert _left(again) == ([], [[DAYS[0]], [DAYS[2]]])
    assert again.ended_by == ids

    _ran(instance, again, MARTS, DAYS[0], DAYS[2])
    last = _begin(instance)  # killed before it came to the days that late rows were for
    assert last.id == first.id
    assert _left(last) == ([], [])

    done(instance, last)
    assert _begin(instance).id != first.id


def test_marts_are_built_after_the_last_of_raw(instance: dg.DagsterInstance) -> None:
    """A window of raw broke, as without S3, while the marts were built of what there was, and named its days as bad."""
    first = _begin(instance)
    ids = _ran(instance, first, INGEST, DAYS[0], DAYS[2])
    _ran(instance, first, INGEST, DAYS[1], ended=False)
    _ran(instance, first, MARTS, *DAYS)
    second = _begin(instance)
    assert second.id == first.id
    assert _left(second) == ([[DAYS[1]]], [[day] for day in DAYS])
    assert second.ended_by == ids

    ids += _ran(instance, second, INGEST, DAYS[1])
    third = _begin(instance)  # killed before it came to the marts
    assert _left(third) == ([], [[day] for day in DAYS])
    assert third.ended_by == ids
    ids += _ran(instance, third, MARTS, DAYS[0])
    fourth = _begin(instance)
    assert _left(fourth) == ([], [[DAYS[1]], [DAYS[2]]])
    assert fourth.ended_by == ids
