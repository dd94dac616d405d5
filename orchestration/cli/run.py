"""`clicklake run`: everything for some days, through Dagster, in this process."""

from __future__ import annotations

import datetime as dt

import click

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import notes
from orchestration.settings import load_partition_settings, load_settings

DAY = click.DateTime(["%Y-%m-%d"])


@click.command("run", short_help="Build and publish the days D1 to D2.")
@click.option("--from", "first", type=DAY, required=True, metavar="D1", help="First day, YYYY-MM-DD, UTC.")
@click.option("--to", "last", type=DAY, metavar="D2", help="Last day; the first day alone without it.")
@click.option("--no-publish", is_flag=True, help="Stop at the marts; nothing is written to MongoDB.")
@click.option(
    "--site", "sites", multiple=True, metavar="SITE", help="Take in the events of this site alone; repeatable."
)
def command(first: dt.datetime, last: dt.datetime | None, no_publish: bool, sites: tuple[str, ...]) -> int:
    """Runs everything for the days D1 to D2, both included: logs and events → raw → marts, and MongoDB, where
    CLICKLAKE_MONGODB_URL is set.

    A day that fails a check is refused: its last good version stays, its rows go to quarantine/, and the
    other days go on. Days of other dates that late rows arrived for are built again too. Any day can be
    run any number of times.

    \b
    Examples:
      clicklake run --from 2026-01-12
      clicklake run --from 2026-01-01 --to 2026-01-31
      clicklake run --from 2026-01-12 --no-publish
      clicklake run --from 2026-01-12 --site shop.example.com
    """
    days = checked_days(first.date(), (last or first).date())
    settings = load_settings()
    if sites and settings.events is None:
        raise click.UsageError("--site names a site of events, and CLICKLAKE_EVENTS is not set.")
    from orchestration.cli.pipeline import check_reachable, publishes_to, run_days
    from orchestration.cli.summary import print_summary

    publishes = publishes_to(settings, no_publish)
    check_reachable(settings, publishes)
    result = run_days(days, publishes, sites=[site.lower() for site in sites])
    print_summary(result)
    if result.bad:
        notes.print(f"{len(result.bad)} of {len(days)} days refused or failed", style="red")
        return FAILED
    return DONE


def checked_days(first: dt.date, last: dt.date) -> list[str]:
    """The days between, both included; a usage error where they cannot be run."""
    from orchestration.partitions import days_between, today

    earliest = load_partition_settings().first_day
    if last < first:
        raise click.UsageError(f"--to {last} lies before --from {first}.")
    if last > today():
        raise click.UsageError(f"{last} lies in the future; the last day that can be run is today, {today()} (UTC).")
    if first < earliest:
        raise click.UsageError(f"{first} lies before the first partition, {earliest}. Set CLICKLAKE_FIRST_DAY earlier.")
    return days_between(first, last)
