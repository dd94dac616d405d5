"""`ctr_drop` and `delivery_low`: campaigns whose click rate or impressions fell."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from statistics import median

from ingest.lake.files import Lake
from orchestration.alerts.alert import WARNING, Alert, name
from orchestration.alerts.rule import WEEK, Look, Rule, back
from orchestration.marts.known import DAILY_AGGREGATES
from orchestration.settings import Settings

CTR_DROP, DELIVERY_LOW = "ctr_drop", "delivery_low"
SAME_WEEKDAYS = 4
LEAST_SAME_WEEKDAYS = 2
LEAST_PACING_DAYS = 4  # of the week before
SIGMAS = 3.0


def fallen_figures(look: Look) -> list[Alert]:
    """Campaigns whose click rate or impressions fell, on the newest published day of the week that closed last."""
    lake, settings = look.lake, look.settings
    published = {DAILY_AGGREGATES.day_of(file.key) for file in lake.files(DAILY_AGGREGATES.folder)}
    week = [back(look.last_closed, days) for days in range(WEEK)]
    day = next((day for day in week if day in published), None)
    if day is None:
        return []
    before = [back(day, days) for days in range(1, WEEK + 1) if back(day, days) in published]
    weekdays = [back(day, WEEK * weeks) for weeks in range(1, SAME_WEEKDAYS + 1)]
    weekdays = [each for each in weekdays if each in published]
    campaigns = _campaigns(lake, sorted({day, *before, *weekdays}), settings.alert_min_impressions)
    found: list[Alert] = []
    for campaign, figures in campaigns.items():
        found += _ctr_drop(campaign, day, figures, weekdays, settings)
        found += _delivery_low(campaign, day, figures, before, settings)
    return found


Figures = Mapping[dt.date, tuple[int, int]]  # day → valid impressions, valid clicks


def _campaigns(
    lake: Lake, days: Sequence[dt.date], least: int
) -> dict[tuple[str, str], dict[dt.date, tuple[int, int]]]:
    """(order, campaign) → its figures by day, of those with enough impressions on any of the days."""
    addresses = [lake.uri(DAILY_AGGREGATES.file(day)) for day in days]
    with lake.connect() as connection:
        rows = connection.execute(
            """
            select report_date, coalesce(order_id, '-'), coalesce(campaign_id, '-'),
                cast(sum(valid_impressions) as bigint) as seen, cast(sum(valid_clicks) as bigint)
            from read_parquet($1, hive_partitioning = true)
            group by report_date, order_id, campaign_id
            qualify max(seen) over (partition by order_id, campaign_id) >= $2
            order by order_id, campaign_id
            """,
            [addresses, least],
        ).fetchall()
    found: dict[tuple[str, str], dict[dt.date, tuple[int, int]]] = {}
    for day, order, campaign, impressions, clicks in rows:
        found.setdefault((order, campaign), {})[day] = (impressions, clicks)
    return found


def _ctr_drop(
    campaign: tuple[str, str], day: dt.date, figures: Figures, weekdays: Sequence[dt.date], settings: Settings
) -> list[Alert]:
    """Below the usual share of the median of the same weekdays, and by more than chance would have it."""
    least = settings.alert_min_impressions
    impressions, clicks = figures.get(day, (0, 0))
    rates = [figures[each][1] / figures[each][0] for each in weekdays if figures.get(each, (0, 0))[0] >= least]
    if impressions < least or len(rates) < LEAST_SAME_WEEKDAYS:
        return []
    usual = median(rates)
    expected = usual * impressions
    is_low = clicks < expected * (1 - settings.alert_ctr_drop)
    if not is_low or expected - clicks <= SIGMAS * math.sqrt(expected):
        return []
    text = (
        f"CTR of {day} is {clicks / impressions:.2%} ({clicks:,} valid clicks of {impressions:,} impressions); "
        f"the median of the last {len(rates)} same weekdays is {usual:.2%}. Do the links and the landing page work?"
    )
    return [_of_campaign(CTR_DROP, campaign, day, "CTR fell", text)]


def _delivery_low(
    campaign: tuple[str, str], day: dt.date, figures: Figures, before: Sequence[dt.date], settings: Settings
) -> list[Alert]:
    """Far below the campaign's own median of the week before; a day without it counts as none."""
    if len(before) < LEAST_PACING_DAYS:
        return []
    usual = median(figures.get(each, (0, 0))[0] for each in before)
    impressions = figures.get(day, (0, 0))[0]
    if usual < settings.alert_min_impressions or impressions >= usual * settings.alert_delivery_share:
        return []
    text = (
        f"{impressions:,} valid impressions on {day}; the median of the {len(before)} days before is {usual:,.0f}. "
        "Has the campaign ended, or is a placement gone?"
    )
    return [_of_campaign(DELIVERY_LOW, campaign, day, "delivery is low", text)]


def _of_campaign(kind: str, campaign: tuple[str, str], day: dt.date, what: str, text: str) -> Alert:
    order, named = map(name, campaign)
    return Alert(
        kind=kind,
        subject=f"{order}/{named}",
        title=f"Order {order}, campaign {named}: {what}",
        text=text,
        severity=WARNING,
        command=f"clicklake query \"from marts.daily_aggregates where report_date = '{day}'\"",
    )


RULE = Rule("figures", frozenset({CTR_DROP, DELIVERY_LOW}), fallen_figures)
