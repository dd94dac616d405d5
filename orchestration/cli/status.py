"""`clicklake status`: the state of each day of each table."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli.console import console, line, notes, table
from orchestration.cli.days import DAY, span
from orchestration.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestration.operations.status import DayStatus
    from orchestration.publishing.target import Target


@click.command("status", short_help="Show days by table: published, refused, missing, out of date.")
@click.option("--from", "first", type=DAY, metavar="D1", help="First day. Default: 30 days up to the last.")
@click.option("--to", "last", type=DAY, metavar="D2", help="Last day. Default: no limit.")
def command(first: dt.date | None, last: dt.date | None) -> None:
    """Shows the days D1 to D2 that a source or the lake knows, by table.

    Without options it begins 30 days before the newest day of the lake, and the last line says where.

    \b
    published       the last good version is what the source and the raw layer hold now
    refused         a check stopped the day; "last good kept" where an earlier good version still stands
    partly refused  a check stopped some sites of the day; the others are published
    missing         there are objects, or raw rows, and nothing was built from them yet
    out of date     objects, or raw rows, are newer than what was built
    objects gone    objects of a published day have vanished from the source; nothing else has changed
    not published   a setting of the target, such as CLICKLAKE_MONGODB_URL, is not set; the marts are the result
    unreadable      a file of the day is broken; the lines below name it, and what to do
    unknown         MongoDB or the mart cannot be read
    """
    settings = load_settings()
    from ingest.source import not_looked_at
    from orchestration.operations.status import MISSING, days_asked, status
    from orchestration.publishing.targets import TARGETS
    from orchestration.resources import sources_of

    if first and last and last < first:
        raise click.UsageError(f"--to {last} lies before --from {first}.")
    sources = sources_of(settings)
    _tell_of_lake(settings)
    lake = settings.open_lake()
    asked = days_asked(lake, sources, first, last)
    found = status(lake, sources, asked[0], asked[-1])
    if not any(day.objects for day in found):
        for source in sources.values():
            if name := source.undated():
                line((f"{source.url}: {not_looked_at(name)}", "yellow"), to=notes)
    if not found:
        days = _days(first, last)
        console.print(f"No day{days} is known: the source holds no objects{days}, and the lake no files.")
        return
    states = _states_by_target(settings, [target for target in TARGETS if target.comparison], found)
    table(
        None,
        ("day", "objects", *found[0].tables, *states),
        [
            (day.day, day.objects, *day.tables.values(), *(each.get(day.day, MISSING) for each in states.values()))
            for day in found
        ],
    )
    for day in found:
        if day.reason:
            line((f"{day.day}", "red"), f" {day.reason}")
    _show_other_rules(settings, found)
    if first is None:
        notes.print(f"Days before {asked[0]} are not shown. --from names an earlier first day", highlight=False)


def _show_other_rules(settings: Settings, found: list[DayStatus]) -> None:
    """Names the partitions that were built with other rules than those in force."""
    from ingest.errors import LakeError, SettingsError
    from ingest.words import counted
    from orchestration.operations.rules_of_marts import built_with_others
    from orchestration.operations.status import MARTS, MISSING, REFUSED
    from orchestration.rules import rules_of

    try:
        now = rules_of(settings).fingerprint
    except (SettingsError, LakeError) as error:  # the state of the lake can be told without them
        line((str(error), "yellow"), to=notes)
        return
    lake = settings.open_lake()
    for mart in MARTS:
        days = [day.day for day in found if day.tables.get(mart.view, MISSING) not in (MISSING, REFUSED)]
        for fingerprint, those in built_with_others(lake, mart, days, now).items():
            those_days = f"{span(those)} ({counted(len(those), 'day')})"
            line(
                (f"{those_days}: {mart.view} was built with other rules ({fingerprint}). ", "yellow"),
                f"Compare: clicklake rules --diff {fingerprint}. To use the present ones, run these days again",
            )


def _tell_of_lake(settings: Settings) -> None:
    """Prints why no run may write to the lake, such as because another hash key is set."""
    from ingest.errors import LakeError, SettingsError
    from ingest.partition import lake_format

    try:
        lake_format.look(settings.open_lake(), settings.hash_keys())
    except (LakeError, SettingsError) as error:
        line((str(error), "yellow"), to=notes)


def _days(first: dt.date | None, last: dt.date | None) -> str:
    """The requested days as the end of a sentence; empty for all days."""
    start = f" from {first}" if first else ""
    return start + (f" to {last}" if last else " on" if first else "")


def _states_by_target(
    settings: Settings, targets: list[Target[Any]], found: list[DayStatus]
) -> dict[str, dict[dt.date, str]]:
    """Target → day → state, without targets that lack a setting and whose mart has none of these days, such as without
    events."""
    from orchestration.operations.status import published_days

    lake, days = settings.open_lake(), [day.day for day in found]
    published = {mart: published_days(lake, mart, days) for mart in {target.mart for target in targets}}
    return {
        target.name: _target_states(settings, target, sorted(published[target.mart]))
        for target in targets
        if published[target.mart] or not target.lacks(settings)
    }


def _target_states(settings: Settings, target: Target[Any], days: list[dt.date]) -> dict[dt.date, str]:
    """Day → state in a target, for the mart's days. If target or mart cannot be read: `unknown`, and one message."""
    from ingest.errors import LakeError, PublishError
    from orchestration.operations.status import target_states

    if target.lacks(settings):
        return dict.fromkeys(days, "not published")
    try:
        with target.open(settings) as opened:
            return target_states(settings.open_lake(), target, opened, days)
    except (LakeError, PublishError) as error:
        line((str(error), "yellow"), to=notes)
        return dict.fromkeys(days, "unknown")
