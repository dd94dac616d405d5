"""`clicklake upgrade`: reads the days of a lake that an early version wrote again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import click

from ingest.lake.files import Lake
from ingest.source import Source
from ingest.words import counted
from orchestration.cli import DONE
from orchestration.cli.changes import build_all, ensure_lake, published_days
from orchestration.cli.console import console, notes
from orchestration.cli.days import span
from orchestration.settings import load_settings


@click.command("upgrade", short_help="Read the days that an early version wrote again.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@click.option("--no-publish", is_flag=True, help="Stop at the marts; nothing is written to MongoDB.")
def command(dry_run: bool, no_publish: bool) -> int:
    """Makes a lake of an early version one of this version.

    Early versions read logs and events by other rules, and recorded no SHA-256 of their files. The days are
    read again from the source, then all marts are built again and published. A day of which the source no
    longer has all objects is named, and stays as it is. Until the end, no other run writes to the lake; after
    an interruption the same command goes on.

    \b
    Examples:
      clicklake upgrade --dry-run
      clicklake upgrade
    """
    settings = load_settings()
    from ingest.partition import lake_format
    from orchestration.cli.pipeline import check_reachable, publishes_to
    from orchestration.resources import sources_of

    lake, hash_keys = settings.open_lake(), settings.hash_keys()
    ensure_lake(lake)
    about = lake_format.read(lake)
    is_going_on = about is not None and about.is_changing == lake_format.UPGRADE
    early = {} if about and not is_going_on else lake_format.early_days(lake)
    if not early and not is_going_on:
        lake_format.look(lake, hash_keys)
        console.print(f"{lake.url} is of this version already.")
        return DONE
    found = _look(lake, sources_of(settings), early)
    _tell(found, dry_run)
    if dry_run:
        return DONE
    publishes = publishes_to(settings, no_publish)
    lake_format.begin_change(lake, hash_keys, lake_format.UPGRADE)
    check_reachable(settings, publishes, lake_format.UPGRADE)
    return build_all(lake, settings, lake_format.UPGRADE, publishes, found.again, found.kept)


@dataclass(frozen=True)
class Found:
    """again: days whose objects are all there, and are read again. kept: day → the dataset with objects that are gone.
    marts: days whose marts are built again."""

    again: list[dt.date]
    kept: dict[dt.date, str]
    marts: list[dt.date]


def _look(lake: Lake, sources: dict[str, Source], early: dict[dt.date, list[str]]) -> Found:
    from ingest.lake.layout import table_of

    kept: dict[dt.date, str] = {}
    names = {name: {item.name for item in source.objects(list(early))} for name, source in sources.items()}
    for day, ledgers in early.items():
        for key in ledgers:
            taken = set(lake.read_table(key, ["source_object"]).column(0).to_pylist())
            if gone := taken - names.get(table_of(key), set()):
                kept[day] = f"{counted(len(gone), 'object')} of {table_of(key)} gone"
    again = [day for day in early if day not in kept]
    return Found(again, kept, sorted(published_days(lake) - kept.keys()))


def _tell(found: Found, dry_run: bool) -> None:
    would = "would be" if dry_run else "are"
    if found.again:
        console.print(f"{_days(found.again)} {would} read again from the source.")
    for day, why in found.kept.items():
        notes.print(f"{day} stays as the early version made it: {why} from the source", style="yellow")
    if found.marts:
        console.print(f"The marts of {_days(found.marts)} {would} built again.")


def _days(days: Sequence[dt.date]) -> str:
    return f"{counted(len(days), 'day')} ({span(days)})"
