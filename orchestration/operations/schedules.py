"""Schedules: what runs by the clock."""

import datetime as dt

import dagster as dg

from orchestration.operations.jobs import daily_build

BUILD_HOUR = 6  # UTC; most of a day's objects have arrived by then, later ones are the sensor's


@dg.schedule(
    cron_schedule=f"0 {BUILD_HOUR} * * *",
    job=daily_build,
    execution_timezone="UTC",
    description="Builds yesterday at 06:00 UTC.",
)
def build_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    yesterday = (context.scheduled_execution_time.date() - dt.timedelta(days=1)).isoformat()
    return dg.RunRequest(run_key=f"schedule:{yesterday}", partition_key=yesterday)


SCHEDULES = [build_yesterday]
