"""The demo's tables about people: a path with its credits, cohorts, a funnel, campaigns."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orchestration.cli.console import table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

COHORTS_SHOWN = 14
CAMPAIGNS_SHOWN = 8

# The conversion whose path lies on most days; then the one with most channels, then the first, so that the same data
# shows the same path. Longer paths are left out: they belong to a robot or to a shared id.
PATH = """
with chosen as (
    select session_date, conversion_id
    from marts.attribution
    where model = 'linear' and status = 'attributed' and touches <= 6 and not is_refund
    group by session_date, conversion_id
    order by
        count(distinct cast(touch_ts as date)) desc, count(distinct channel) desc, min(conversion_ts), conversion_id
    limit 1
)
select
    conversion_ts, conversion_type, person_key, revenue, currency, position, touch_ts, touch_type, channel,
    campaign_id, model, credit
from marts.attribution inner join chosen using (session_date, conversion_id)
order by position, model
"""
NODES = """
select split_part(node_key, ':', 1) as kind, count(*) as nodes
from marts.identity_map
where identity_id = (select identity_id from marts.identity_map where node_key = ?)
group by kind order by min(first_seen), kind
"""
COHORTS = """
select cohort_date, cohort_size, report_date, retention_rate
from marts.retention where period = 'day' and cohort_kind = 'first_time' order by cohort_date, report_date
"""
FUNNEL = """
with steps as (
    select funnel, site_id, step_number, step_name, sum(reached) as reached, sum(entered) as entered
    from marts.funnels group by funnel, site_id, step_number, step_name
)
select funnel, site_id, step_number, step_name, reached, entered from steps
where (funnel, site_id) = (select (funnel, site_id) from steps order by entered desc, funnel, site_id limit 1)
order by step_number
"""
CAMPAIGNS = """
select
    campaign_id, channel, sum(spend) as spend, sum(impressions) as impressions, sum(clicks) as clicks,
    round(sum(conversions), 2) as conversions, round(sum(revenue), 2) as revenue,
    round(sum(spend) / nullif(sum(conversions), 0), 2) as cpa, round(sum(revenue) / nullif(sum(spend), 0), 2) as roas
from marts.campaign_performance
where model = ? and campaign_id is not null
group by campaign_id, channel
order by spend desc nulls last, conversions desc, campaign_id, channel
limit ?
"""


def show_people(connection: DuckDBPyConnection) -> None:
    """Prints tables from the lake's views; a table whose mart is empty is left out."""
    _show_path(connection)
    _show_cohorts(connection)
    _show_funnel(connection)
    _show_campaigns(connection)


def _show_path(connection: DuckDBPyConnection) -> None:
    rows = connection.execute(PATH).fetchall()
    if not rows:
        return
    at, kind, person, revenue, currency, *_ = rows[0]
    known = ", ".join(f"{count} {name}" for name, count in connection.execute(NODES, [person]).fetchall())
    worth = "" if revenue is None else f" worth {_plain(sum(row[3] for row in rows if row[10] == 'linear'))} {currency}"
    models = list(dict.fromkeys(row[10] for row in rows))
    touches: dict[tuple[Any, ...], dict[str, float]] = {}
    for *_, position, touch_at, touch, channel, campaign, model, credit in rows:
        touches.setdefault((position, touch_at, touch, channel, campaign), {})[model] = float(credit)
    title = f"What led to a {kind} of {at:%Y-%m-%d %H:%M}{worth}, by a person known by {known}; credits by model"
    columns = ("", "time", "touch", "channel", "campaign", *(model.replace("_", " ") for model in models))
    shown = [
        (position, f"{touch_at:%m-%d %H:%M}", touch, channel, campaign, *(credits[model] for model in models))
        for (position, touch_at, touch, channel, campaign), credits in touches.items()
    ]
    table(title, columns, shown)


def _show_cohorts(connection: DuckDBPyConnection) -> None:
    """A row for each day on which people were new, a column for each day after it."""
    rates: dict[tuple[dt.date, int], dict[int, float]] = {}
    for cohort, size, day, rate in connection.execute(COHORTS).fetchall():
        rates.setdefault((cohort, size), {})[(day - cohort).days] = rate
    if not rates:
        return
    days = sorted({day for found in rates.values() for day in found})[: COHORTS_SHOWN + 1]
    rows = [(cohort, size, *(found.get(day, "") for day in days)) for (cohort, size), found in rates.items()]
    columns = ("new on", "people", *(f"day {day}" for day in days))
    table("Who comes back: of the people who were new on a day, percent seen so many days later", columns, rows)


def _show_funnel(connection: DuckDBPyConnection) -> None:
    rows = connection.execute(FUNNEL).fetchall()
    if not rows:
        return
    shown = [(number, name, int(reached), _percent(reached, entered)) for _, _, number, name, reached, entered in rows]
    table(f"How far they get: funnel `{rows[0][0]}` on {rows[0][1]}", ("step", "", "people", "% of the first"), shown)


def _show_campaigns(connection: DuckDBPyConnection) -> None:
    model = "position_based"
    found = connection.execute(CAMPAIGNS, [model, CAMPAIGNS_SHOWN])
    names = [column[0].replace("_", " ") for column in found.description or ()]
    rows: Sequence[tuple[Any, ...]] = found.fetchall()
    if rows:
        shown = [tuple(float(value) if isinstance(value, Decimal) else value for value in row) for row in rows]
        table(f"Campaigns, conversions by the model {model.replace('_', ' ')}", tuple(names), shown)


def _plain(value: Any) -> Any:
    """A decimal without trailing zeros; other values unchanged."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def _percent(part: Any, whole: Any) -> float:
    return round(100 * float(part) / float(whole), 1) if whole else 0.0
