"""`clicklake run`: builds and publishes some days, through Dagster, in this process."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import click

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import notes
from orchestration.cli.days import DAY, span
from orchestration.settings import Settings, load_partition_settings, load_settings

MAX_SITES_NAMED = 20


@click.command("run", short_help="Build and publish the days D1 to D2.")
@click.option("--from", "first", type=DAY, required=True, metavar="D1", help="First day, YYYY-MM-DD, UTC.")
@click.option("--to", "last", type=DAY, metavar="D2", help="Last day. Default: the first day.")
@click.option("--no-publish", is_flag=True, help="Stop at the marts; nothing is written to MongoDB.")
@click.option(
    "--site", "sites", multiple=True, metavar="SITE", help="Take in only the events of this site; repeatable."
)
def command(first: dt.date, last: dt.date | None, no_publish: bool, sites: tuple[str, ...]) -> int:
    """Builds the days D1 to D2, both included: logs and events → raw → marts, and MongoDB if
    CLICKLAKE_MONGODB_URL is set.

    A day that fails a check is refused: its last good version stays, its rows go to quarantine/, and the
    other days go on. The marts of other days that late rows arrived for are built again too. Any day can be
    run any number of times.

    \b
    Examples:
      clicklake run --from 2026-01-12
      clicklake run --from 2026-01-01 --to 2026-01-31
      clicklake run --from 2026-01-12 --no-publish
      clicklake run --from 2026-01-12 --site shop.example.com
    """
    days = checked_days(first, last or first)
    settings = load_settings()
    if sites and settings.events is None:
        raise click.UsageError("--site names a site of events, and CLICKLAKE_EVENTS is not set.")
    from orchestration.cli.pipeline import check_reachable, publishes_to, run_days
    from orchestration.cli.summary import days_by_state, print_summary

    publishes = publishes_to(settings, no_publish)
    check_reachable(settings, publishes)
    chosen = sorted({site.lower() for site in sites})
    check_sites(settings, days, chosen)
    result = run_days(days, publishes, sites=chosen)
    print_summary(result)
    if result.bad:
        notes.print(days_by_state(result), style="red")
        return FAILED
    return DONE


def check_sites(settings: Settings, days: Sequence[dt.date], sites: Sequence[str]) -> None:
    """Raises UsageError if the source has no object of a site on any of these days; prints each single day without.

    A site without objects cannot be judged, and its name may be mistyped.
    """
    from orchestration.resources import sources_of

    if not sites:
        return
    delivered = {(item.day, item.site) for item in sources_of(settings)["events"].objects(days)}
    for site in sites:
        lacking = [day for day in days if (day, site) not in delivered]
        if len(lacking) == len(days):
            others = sorted({str(each) for _, each in delivered})
            there = ", ".join(others[:MAX_SITES_NAMED]) + (" …" if len(others) > MAX_SITES_NAMED else "")
            has = f"There are objects of {there}" if others else "There are no events at all"
            raise click.UsageError(f"{span(days)}: the source has no object of site {site}. {has}.")
        for day in lacking:
            notes.print(f"{day}: the source has no object of site {site}; its events stay as they are")


def checked_days(first: dt.date, last: dt.date) -> list[dt.date]:
    """The days from first to last, both included. Raises UsageError if they cannot be run."""
    from orchestration.partitions import days_between, today

    earliest = load_partition_settings().first_day
    if last < first:
        raise click.UsageError(f"--to {last} lies before --from {first}.")
    if last > today():
        raise click.UsageError(f"{last} lies in the future; the last day that can be run is today, {today()} (UTC).")
    if first < earliest:
        raise click.UsageError(f"{first} lies before the first partition, {earliest}. Set CLICKLAKE_FIRST_DAY earlier.")
    return days_between(first, last)
