"""A day that is not over: its objects are taken in as they come, and the dashboard shows them."""

from __future__ import annotations

import re
from typing import Any

import dagster as dg
import pytest

from tests.environment_fixtures import DAYS, Environment, good
from tests.log_lines import lines, log

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("manifest")]

ONE, TWO = DAYS[:2]
RAW = dg.AssetKey("raw_access_logs")


def put_log(environment: Environment, day: str, hour: int, count: int = 30) -> None:
    rows = lines(count, start=hour * 3600, path="/pxl.png", query="oid=7&cid=c&pid=p")
    environment.put_object(
        f"E1TEST.{day}-{hour:02}.{hour}.gz", log([row.replace(DAYS[0].encode(), day.encode()) for row in rows])
    )


def refresh(*days: str) -> Any:
    """What `clicklake refresh` does with news, in this process, which has loaded Dagster already."""
    from orchestration.cli.pipeline import refresh_days

    return refresh_days(list(days))


def read(result: Any, day: str) -> tuple[int, int]:
    """(objects, those read now)."""
    raw = result.materialized["raw_access_logs", day]
    return raw["objects"], raw["objects_read"]


def test_new_objects_reach_the_dashboard_and_old_ones_are_not_read_again(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    objects = sorted(good(ONE).objects.items())
    half = len(objects) // 2
    for key, body in objects[:half]:
        environment.put_object(key, body)
    first = refresh(ONE)
    assert (first.bad, read(first, ONE)) == ({}, (half, half))
    early = sum(entry["metrics"]["impressions"] for entry in environment.entries())

    for key, body in objects[half:]:
        environment.put_object(key, body)
    second = environment.command("refresh", "--day", ONE)
    assert second.returncode == 0, second.stderr
    assert re.search(rf"{ONE} │ access_logs │ - .* {len(objects) - half} │ +0 ", second.stdout)
    assert re.search(rf"{ONE} │ raw_access_logs │ +{len(objects)} │ +{len(objects) - half} │ - ", second.stdout), second.stdout
    entries = environment.entries()
    assert sum(entry["metrics"]["impressions"] for entry in entries) > early
    before, documents = environment.contents(), environment.documents()

    third = environment.command("refresh", "--day", ONE)
    assert (third.returncode, third.stdout) == (0, f"{ONE}: nothing new\n")
    assert environment.contents() == before

    assert environment.job("refresh", instance, [ONE]).success  # with no config of its own: the whole day
    assert environment.documents() == documents
