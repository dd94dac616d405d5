"""`clicklake release`: accepts refused days as they are; the decision of the person is kept in the lake."""

from __future__ import annotations

import datetime as dt
import getpass
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import line, notes
from orchestration.cli.days import DAY
from orchestration.settings import Settings, load_settings

if TYPE_CHECKING:
    from ingest.lake.files import Lake
    from ingest.partition.quarantine import Refused


@click.command("release", short_help="Accept refused days as they are, and publish them.")
@click.argument("days", type=DAY, nargs=-1, required=True, metavar="DAY...")
@click.option("--table", "name", required=True, metavar="TABLE", help="access_logs, events, or a mart.")
@click.option("--site", metavar="SITE", help="Site; only for events.")
@click.option("--reason", required=True, metavar="TEXT", help="Reason; it is kept with the release.")
@click.option("--no-publish", is_flag=True, help="Stop at the marts; nothing is written to MongoDB.")
def command(days: tuple[dt.date, ...], name: str, site: str | None, reason: str, no_publish: bool) -> int:
    """Accepts refused days of a table as they are, then runs them as `clicklake run` does.

    A release accepts only the checks that refused the day. For logs and events it holds as long as the objects are
    those that were judged, for a mart as long as its tests find no more failing rows. It is kept in the lake, under
    releases/, with the figures, the reason and your name, and holds when the day is run again.

    \b
    Examples:
      clicklake release 2026-01-13 --table access_logs --reason "a load test, agreed with the ad server's team"
      clicklake release 2026-01-13 2026-01-14 --table events --site shop.example.com --reason "known tracker fault"
    """
    settings = load_settings()
    lake = settings.open_lake()
    refused = [_found(settings, lake, day, name, site) for day in sorted(set(days))]
    if not any(map(str.isalnum, reason)):
        raise click.UsageError("--reason says nothing. Whoever asks about this day later will read it.")
    for each in refused:
        _check_releasable(settings, lake, each)
    from orchestration.cli.pipeline import check_reachable, publishes_to
    from orchestration.cli.run import check_sites

    publishes = publishes_to(settings, no_publish)
    check_reachable(settings, publishes)
    for each in refused:
        if (
            each.is_raw and each.partition.site and each.rows
        ):  # of a site whose objects are gone there is nothing to read
            check_sites(settings, [each.partition.day], [each.partition.site])
    for each in refused:
        key = _write(lake, each, reason.strip())
        line(f"Released {each}: {', '.join(each.checks)}. Kept as {key}", to=notes)
    return _run(refused, publishes)


def _found(settings: Settings, lake: Lake, day: dt.date, name: str, site: str | None) -> Refused:
    """The refused partition that the command names: from quarantine, or a day that the source has no object of, which
    leaves nothing there. Raises UsageError if there is none."""
    from orchestration.cli.quarantine import find_refused

    try:
        return find_refused(lake, day, name, site)
    except click.UsageError:
        missing = None if site else _missing_day(settings, lake, day, name)
        if missing is None:
            raise
        return missing


def _missing_day(settings: Settings, lake: Lake, day: dt.date, name: str) -> Refused | None:
    """A day of logs or events that is over, was never published, and has no object in the source; None if it is not
    such a day."""
    from ingest.lake.layout import Partition
    from ingest.partition.absence import NO_OBJECT
    from ingest.partition.quarantine import Refused
    from orchestration.cli.quarantine import table_named
    from orchestration.partitions import today
    from orchestration.resources import sources_of

    partition = Partition(table_named(lake, name), day)
    source = sources_of(settings).get(partition.table)
    if source is None or day >= today() or lake.files(partition.ledger_folder) or source.objects([day]):
        return None
    reason = {"check": "objects_present", "message": NO_OBJECT, "figures": {"objects": 0}}
    return Refused(partition, [reason], 0, dt.datetime.now(dt.UTC))


def _check_releasable(settings: Settings, lake: Lake, refused: Refused) -> None:
    """Raises UsageError if the partition cannot be released."""
    from ingest.partition.ledger import is_kept_as_it_is
    from orchestration.quality import why_never_released
    from orchestration.resources import SETTINGS, sources_of

    partition = refused.partition
    source = sources_of(settings).get(partition.table)
    if source and is_kept_as_it_is(lake, source, replace(partition, site=None)):
        raise click.UsageError(
            f"{refused}: the day is published, and so old that its source may have deleted objects of it, so it is not "
            f"read again and its last good version stays. See {SETTINGS[partition.table]}_KEPT_DAYS."
        )
    if never := why_never_released(refused):
        raise click.UsageError(f"{refused}: {never}.")


def _write(lake: Lake, refused: Refused, reason: str) -> str:
    from ingest.partition.ledger import fingerprint
    from ingest.partition.quarantine import objects_judged
    from ingest.partition.releases import Release, write_release

    now = dt.datetime.now(dt.UTC)
    release = Release(
        refused.partition,
        checks=refused.reasons,
        reason=reason,
        released_by=_user(),
        released_at=now.isoformat(),
        objects=fingerprint(objects_judged(lake, refused)) if refused.is_raw else None,
    )
    return write_release(lake, release, now)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _run(refused: Sequence[Refused], publishes: bool) -> int:
    """Runs the released days. For a mart, raw is not read again, because the day could differ from the released one."""
    from orchestration.cli.pipeline import run_days
    from orchestration.cli.summary import days_by_state, print_summary
    from orchestration.partitions import consecutive

    partitions = [each.partition for each in refused]
    sites = sorted({each.site for each in partitions if each.site})  # for each day the one that is refused
    code = DONE
    for window in consecutive(each.day for each in partitions):
        result = run_days(window, publishes, sites, reads_raw=refused[0].is_raw)
        print_summary(result)
        if result.bad:
            notes.print(days_by_state(result), style="red")
            code = FAILED
    return code
