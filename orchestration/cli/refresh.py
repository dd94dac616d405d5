"""`clicklake refresh`: takes in new objects of today, through Dagster, in this process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import click

from ingest.days import day_text
from ingest.words import counted
from orchestration.cli import DONE, FAILED
from orchestration.cli.console import console, notes, step, table
from orchestration.cli.days import DAY
from orchestration.cli.run import checked_days
from orchestration.operations.refresh import NewObjects, days_behind, days_to_look_at, news
from orchestration.settings import load_settings

MAX_LINES_SHOWN = 40


@click.command("refresh", short_help="Take in the new objects of today.")
@click.option("--day", type=DAY, metavar="D", help="Another day, YYYY-MM-DD, UTC.")
@click.option("--no-publish", is_flag=True, help="Stop at the mart; nothing is written to MongoDB.")
def command(day: dt.date | None, no_publish: bool) -> int:
    """Takes in today's new objects, and until 02:00 UTC yesterday's too: raw → daily_aggregates → MongoDB.

    Objects that were taken before are not read again, so it can run as often as you like. `clicklake run`, or the
    schedule of the next morning, builds the other marts of the day.

    \b
    Examples:
      clicklake refresh
      clicklake refresh --day 2026-01-12
    """
    days = checked_days(day, day) if day else days_to_look_at(dt.datetime.now(dt.UTC))
    settings = load_settings()
    from orchestration.resources import sources_of

    with step("Looking for new objects"):
        lake, sources = settings.open_lake(), sources_of(settings)
        lake.check()
        found = news(lake, sources, days)
        behind = days_behind(lake, days)
    news_of = {each.partition.day for each in found}
    todo = sorted(news_of | set(behind))
    if not todo:
        console.print(f"{', '.join(map(day_text, days))}: nothing new")
        return DONE
    _print_news(found, [each for each in behind if each not in news_of])

    from orchestration.cli.pipeline import check_reachable, publishes_to, refresh_days
    from orchestration.cli.summary import days_by_state, print_readings, print_summary

    publishes = publishes_to(settings, no_publish)
    check_reachable(settings, publishes)
    result = refresh_days(todo, publishes)
    print_readings(result)
    print_summary(result)
    for old in (each for each in todo if each < days_to_look_at(dt.datetime.now(dt.UTC))[0]):
        # Its objects are in the ledger now, so neither a schedule nor a sensor will build it again.
        notes.print(f"{old} is over, and its other marts are as they were: clicklake run --from {old}")
    if result.bad:
        notes.print(days_by_state(result), style="red")
        return FAILED
    return DONE


def _print_news(found: Sequence[NewObjects], behind: Sequence[dt.date]) -> None:
    shown = [
        (each.partition.day, each.partition.table, each.partition.site or "-", each.new, each.changed)
        for each in found[:MAX_LINES_SHOWN]
    ]
    if shown:
        table("Since it was last read", ("day", "dataset", "site", "new objects", "changed or gone"), shown)
    if len(found) > MAX_LINES_SHOWN:
        console.print(f"… and {counted(len(found) - MAX_LINES_SHOWN, 'more site')}")
    for day in behind:
        console.print(f"{day}: no new object, but daily_aggregates is older than its raw rows")
