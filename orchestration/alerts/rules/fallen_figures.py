"""`ctr_drop` and `delivery_low`: campaigns whose click rate or impressions fell.

Both judge the newest day of the mart `campaign_trends` within the last 7 closed days. For each campaign of an order the
mart has valid impressions and clicks, and the usual figures by its own past. The rule decides what counts as fallen.

**`ctr_drop`.** Compares the CTR with the median of the same weekday in the four weeks before. Weekdays with fewer valid
impressions than the dbt variable `trend_min_impressions` do not count, and at least two must count. A day with fewer
than `CLICKLAKE_ALERT_MIN_IMPRESSIONS` is not judged. The alert opens if the CTR is lower by more than
`CLICKLAKE_ALERT_CTR_DROP` (half by default), and the clicks are below the expected ones by more than three standard
deviations of a Poisson count (the square root of the expected clicks): a campaign of five clicks a day halves every
other day.

**`delivery_low`.** Compares the impressions with the campaign's own median of the 7 days before, of which 4 must be
published; a day without the campaign counts as 0. The alert opens if they are fewer than the share
`CLICKLAKE_ALERT_DELIVERY_SHARE` (half by default) of a median of at least `CLICKLAKE_ALERT_MIN_IMPRESSIONS`. A campaign
that ended is reported once, and the alert closes when the median has fallen, about four days later. If weekends have
less than half of a weekday, set a smaller share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

import duckdb

from ingest.errors import ClicklakeError
from ingest.lake.files import Lake
from ingest.lake.layout import Mart
from orchestration.alerts.alert import WARNING, Alert, name
from orchestration.alerts.rule import WEEK, Kind, Look, Rule, back
from orchestration.marts.known import CAMPAIGN_TRENDS, DAILY_AGGREGATES
from orchestration.settings import Settings

CTR_DROP, DELIVERY_LOW = "ctr_drop", "delivery_low"
SIGMAS = 3.0


def fallen_figures(look: Look) -> list[Alert]:
    """Alerts for campaigns whose click rate or impressions fell, on the newest published of the last 7 closed days."""
    newest, aggregated = (_newest(look, mart) for mart in (CAMPAIGN_TRENDS, DAILY_AGGREGATES))
    if aggregated is not None and (newest is None or newest < back(aggregated, 1)):
        raise ClicklakeError(
            f"daily_aggregates has {aggregated}, but campaign_trends, which is made from it, "
            f"{'has no day of that week' if newest is None else f'ends on {newest}'}. Build the day again: "
            f"clicklake run --from {aggregated} --no-publish"
        )
    if newest is None:
        return []
    found: list[Alert] = []
    for trend in _trends(look.lake, newest, look.settings.alert_min_impressions):
        found += [_ctr_drop(trend)] if trend.has_fallen_ctr(look.settings) else []
        found += [_delivery_low(trend)] if trend.has_low_delivery(look.settings) else []
    return found


def _newest(look: Look, mart: Mart) -> date | None:
    """The newest published day of the week that closed last."""
    published = {mart.day_of(file.key) for file in look.lake.files(mart.folder)}
    week = (back(look.last_closed, days) for days in range(WEEK))
    return next((day for day in week if day in published), None)


@dataclass(frozen=True)
class _Trend:
    """A row of the mart; `-` stands for an order or campaign that no link names."""

    day: date
    order: str
    campaign: str
    impressions: int
    clicks: int
    ctr: float
    compared_weekdays: int
    usual_ctr: float | None
    expected_clicks: float | None
    compared_days: int
    usual_impressions: float | None

    def has_fallen_ctr(self, settings: Settings) -> bool:
        """Whether clicks are fewer than the set share of the expected clicks, by more than chance explains."""
        if self.expected_clicks is None or self.impressions < settings.alert_min_impressions:
            return False
        lacking = self.expected_clicks - self.clicks
        is_low = self.clicks < self.expected_clicks * (1 - settings.alert_ctr_drop)
        return is_low and lacking > SIGMAS * math.sqrt(self.expected_clicks)

    def has_low_delivery(self, settings: Settings) -> bool:
        usual = self.usual_impressions
        if usual is None or usual < settings.alert_min_impressions:
            return False
        return self.impressions < usual * settings.alert_delivery_share


def _trends(lake: Lake, day: date, least: int) -> list[_Trend]:
    """The campaigns that have, or usually have, at least `least` valid impressions."""
    trends = lake.read_table(CAMPAIGN_TRENDS.file(day))
    with duckdb.connect() as connection:
        connection.register("trends", trends)
        rows = connection.execute(
            """
            select coalesce(order_id, '-'), coalesce(campaign_id, '-'), valid_impressions, valid_clicks, valid_ctr,
                compared_weekdays, usual_ctr, expected_clicks, compared_days, usual_impressions
            from trends
            where valid_impressions >= $1 or usual_impressions >= $1
            order by order_id, campaign_id
            """,
            [least],
        ).fetchall()
    return [_Trend(day, *row) for row in rows]


def _ctr_drop(trend: _Trend) -> Alert:
    text = (
        f"CTR of {trend.day} is {trend.ctr:.2f}% ({trend.clicks:,} valid clicks of {trend.impressions:,} impressions); "
        f"the median of the last {trend.compared_weekdays} same weekdays is {trend.usual_ctr:.2f}%. "
        "Do the links and the landing page work?"
    )
    return _of_campaign(CTR_DROP, trend, "CTR fell", text)


def _delivery_low(trend: _Trend) -> Alert:
    text = (
        f"{trend.impressions:,} valid impressions on {trend.day}; "
        f"the median of the {trend.compared_days} days before is {trend.usual_impressions:,.0f}. "
        "Has the campaign ended, or is a placement gone?"
    )
    return _of_campaign(DELIVERY_LOW, trend, "delivery is low", text)


def _of_campaign(kind: str, trend: _Trend, what: str, text: str) -> Alert:
    order, campaign = name(trend.order), name(trend.campaign)
    return Alert(
        kind=kind,
        subject=f"{order}/{campaign}",
        title=f"Order {order}, campaign {campaign}: {what}",
        text=text,
        severity=WARNING,
        command=f"clicklake query \"from {CAMPAIGN_TRENDS.view} where report_date = '{trend.day}'\"",
    )


RULE = Rule(
    "figures",
    (
        Kind(CTR_DROP, WARNING, "a campaign's CTR fell", "it is back to usual, or cannot be judged any more"),
        Kind(
            DELIVERY_LOW,
            WARNING,
            "a campaign's impressions fell",
            "they are back to usual, or what is usual has become low",
        ),
    ),
    fallen_figures,
)
