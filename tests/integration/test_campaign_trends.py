"""campaign_trends by dbt over published days of daily_aggregates, and the alerts that are read from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from ingest.lake.files import Lake
from orchestration.alerts.alert import Alert
from orchestration.alerts.rule import Look
from orchestration.alerts.rules.fallen_figures import fallen_figures
from orchestration.settings import Settings
from tests.integration.dbt_fixtures import build, mart_key, write_raw

CLOSED = dt.date(2026, 2, 17)  # a Tuesday
NOW = dt.datetime(2026, 2, 18, 9, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


def day_before(days: int) -> str:
    return (CLOSED - dt.timedelta(days=days)).isoformat()


def publish(lake: Lake, day: str, campaigns: Mapping[str, tuple[int, int]]) -> None:
    """daily_aggregates of a day: campaign → valid impressions and clicks; two rows a campaign, to be summed."""
    rows = [
        row
        for name, (seen, clicks) in campaigns.items()
        for row in (
            {"order_id": "o1", "campaign_id": name, "valid_impressions": seen - seen // 2, "valid_clicks": clicks},
            {"order_id": "o1", "campaign_id": name, "valid_impressions": seen // 2, "valid_clicks": 0},
        )
    ]
    columns = {"order_id": pa.string(), "campaign_id": pa.string()}
    columns |= {"valid_impressions": pa.int64(), "valid_clicks": pa.int64()}
    lake.put_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), mart_key("daily_aggregates", day))
    write_raw(lake, day, day, [])  # a day without is not built


def build_trends(lake: Lake, target: Path, first: str, last: str | None = None) -> None:
    after = dt.date.fromisoformat(last or first) + dt.timedelta(days=1)
    done = build(lake, target, first, after.isoformat(), "--select", "campaign_trends")
    assert done.returncode == 0, done.stdout


def alerts(lake: Lake, instance: dg.DagsterInstance) -> list[Alert]:
    settings = Settings(_env_file=None, lake=lake.url, logs=lake.url, hash_key="a key that is long enough")
    return fallen_figures(Look(settings, instance, NOW, CLOSED))


def keys(lake: Lake, instance: dg.DagsterInstance) -> list[str]:
    return [alert.key for alert in alerts(lake, instance)]


def test_a_fallen_ctr_is_told_beyond_chance_and_with_enough_impressions(
    lake: Lake, target: Path, instance: dg.DagsterInstance
) -> None:
    usual = {"fell": (20_000, 200), "steady": (20_000, 200), "rare": (5_000, 5), "small": (500, 50)}
    for weeks in (1, 2, 3):
        publish(lake, (CLOSED - dt.timedelta(weeks=weeks)).isoformat(), usual)
    today = {"fell": (20_000, 90), "steady": (20_000, 150), "rare": (5_000, 1), "small": (500, 0)}
    publish(lake, CLOSED.isoformat(), today)
    build_trends(lake, target, CLOSED.isoformat())

    [found] = alerts(lake, instance)

    assert found.key == "ctr_drop:o1/fell"
    assert found.text.startswith(
        "CTR of 2026-02-17 is 0.45% (90 valid clicks of 20,000 impressions); "
        "the median of the last 3 same weekdays is 1.00%."
    )


def test_one_earlier_week_is_no_usual_ctr(lake: Lake, target: Path, instance: dg.DagsterInstance) -> None:
    publish(lake, day_before(7), {"a": (20_000, 200)})
    publish(lake, CLOSED.isoformat(), {"a": (20_000, 0)})
    build_trends(lake, target, CLOSED.isoformat())
    assert keys(lake, instance) == []


def test_delivery_far_below_the_campaigns_own_week_is_told(
    lake: Lake, target: Path, instance: dg.DagsterInstance
) -> None:
    for days in range(1, 8):
        new = {"new": (9_000, 0)} if days < 3 else {}
        publish(lake, day_before(days), {"low": (10_000, 0), "gone": (10_000, 0), "fine": (10_000, 0)} | new)
    publish(lake, CLOSED.isoformat(), {"low": (4_999, 0), "fine": (5_000, 0)})
    build_trends(lake, target, CLOSED.isoformat())

    found = alerts(lake, instance)

    assert [alert.key for alert in found] == ["delivery_low:o1/gone", "delivery_low:o1/low"]
    assert "0 valid impressions on 2026-02-17; the median of the 7 days before is 10,000" in found[0].text


def test_figures_are_those_of_the_newest_published_day(lake: Lake, target: Path, instance: dg.DagsterInstance) -> None:
    """A day that is not published yet neither opens an alert nor closes one."""
    for days in range(2, 9):
        publish(lake, day_before(days), {"a": (10_000, 0)})
    publish(lake, day_before(1), {"a": (0, 0)})
    build_trends(lake, target, day_before(1))
    assert keys(lake, instance) == ["delivery_low:o1/a"]

    publish(lake, CLOSED.isoformat(), {"a": (10_000, 0)})
    build_trends(lake, target, CLOSED.isoformat())
    assert keys(lake, instance) == []


def test_a_published_day_without_any_request_is_one_without_delivery(
    lake: Lake, target: Path, instance: dg.DagsterInstance
) -> None:
    """Such as where the pixel is gone from all pages: the day has an empty file, and the campaigns their rows."""
    for days in range(1, 8):
        publish(lake, day_before(days), {"a": (10_000, 0)})
    publish(lake, CLOSED.isoformat(), {})
    build_trends(lake, target, CLOSED.isoformat())
    assert keys(lake, instance) == ["delivery_low:o1/a"]


def test_a_day_that_changes_restates_the_days_that_are_compared_with_it(target: Path, tmp_path: Path) -> None:
    """A day in a range that is changed later, and the same range built at once: the same files."""
    days = [day_before(back) for back in (31, 30, 24, 23, 17, 16, 3, 2, 1)]
    usual = {"a": (10_000, 100), "b": (3_000, 7)}
    late, at_once = Lake(str(tmp_path / "late")), Lake(str(tmp_path / "at-once"))
    for lake in (late, at_once):
        for day in days:
            publish(lake, day, usual)
    build_trends(late, target, days[0], days[-1])
    before = {day: late.read_bytes(mart_key("campaign_trends", day)) for day in days}

    for lake in (late, at_once):
        publish(lake, days[1], {"a": (50_000, 1), "c": (1, 0)})
    build_trends(late, target, days[1])
    build_trends(at_once, target, days[0], days[-1])

    after = {day: late.read_bytes(mart_key("campaign_trends", day)) for day in days}
    assert after == {day: at_once.read_bytes(mart_key("campaign_trends", day)) for day in days}
    changed = [day for day in days if after[day] != before[day]]
    assert changed == [day_before(back) for back in (30, 24, 23, 16, 2)]
