"""Schedules: runs at fixed times."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from ingest.days import day_text
from ingest.errors import ClicklakeError
from orchestration.operations.jobs import INCREMENTAL, daily_build, refresh
from orchestration.operations.refresh import days_behind, days_to_look_at, news
from orchestration.operations.runs import is_running
from orchestration.resources import Lakehouse
from orchestration.rules import rules_of

BUILD_HOUR = 6  # UTC; most of a day's objects have arrived by then, the sensor takes later ones


@dg.schedule(
    cron_schedule=f"0 {BUILD_HOUR} * * *",
    job=daily_build,
    execution_timezone="UTC",
    description="Builds yesterday at 06:00 UTC.",
)
def build_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    yesterday = day_text(context.scheduled_execution_time.date() - dt.timedelta(days=1))
    return dg.RunRequest(run_key=f"schedule:{yesterday}", partition_key=yesterday)


@dg.schedule(
    cron_schedule="5 * * * *",
    job=refresh,
    execution_timezone="UTC",
    description="Takes in today's new objects five minutes past each hour, and until 02:00 UTC yesterday's too.",
)
def refresh_today(
    context: dg.ScheduleEvaluationContext, lakehouse: Lakehouse
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    now = context.scheduled_execution_time
    looked_at = days_to_look_at(now)
    running = [day for day in looked_at if is_running(context.instance, day)]
    if running:
        yield dg.SkipReason(
            f"a run over {', '.join(map(day_text, running))} waits or works: the next turn takes what it leaves"
        )
        return
    rules_of(lakehouse.settings())  # a mistake fails the tick, which names it
    try:
        lake = lakehouse.lake()
        found = news(lake, lakehouse.sources(), looked_at)
        days = {*days_behind(lake, looked_at), *(each.partition.day for each in found)}
    except ClicklakeError as error:
        yield dg.SkipReason(str(error))
        return
    if not days:
        yield dg.SkipReason(f"{', '.join(map(day_text, looked_at))}: nothing new")
    for day in sorted(days):
        yield dg.RunRequest(
            run_key=f"refresh:{day}:{now:%Y-%m-%dT%H:%M}", partition_key=day_text(day), run_config=INCREMENTAL
        )


SCHEDULES = [build_yesterday, refresh_today]
