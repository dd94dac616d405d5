"""`clicklake quarantine`: the refused partitions, and what is in them."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click

from ingest.days import day_text
from ingest.lake.layout import quarantine_folder
from ingest.shown import shown
from orchestration.cli.console import console, line, table
from orchestration.cli.days import DAY
from orchestration.settings import load_lake_settings

if TYPE_CHECKING:
    from ingest.lake.files import Lake
    from ingest.partition.quarantine import Refused

SHOWN = 5  # objects and lines
ROWS_SHOWN = 3  # side by side, of 40 characters each, they fit a line of a log


@click.group("quarantine", short_help="List the refused partitions, and show what is in one.")
def command() -> None:
    """Shows refused partitions: why they were refused, and what is in them.

    \b
    Examples:
      clicklake quarantine list
      clicklake quarantine show 2026-01-13 --table access_logs
      clicklake quarantine show 2026-01-13 --table events --site shop.example.com
    """


@command.command("list", short_help="List all refused partitions, one line each.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with messages and figures.")
def list_command(as_json: bool) -> None:
    """Lists all refused partitions with day, table, site, checks, rows and time of the refusal.

    \b
    Examples:
      clicklake quarantine list
      clicklake quarantine list --json
    """
    from ingest.partition.quarantine import refused_partitions

    found = refused_partitions(load_lake_settings().open_lake())
    if as_json:
        for each in found:
            click.echo(json.dumps(_record(each)))
    elif found:
        table(None, ("day", "table", "site", "checks", "rows read", "since (UTC)"), [_row(each) for each in found])
    else:
        console.print("Nothing is in quarantine.")


@command.command("show", short_help="Show why a partition was refused, and some of its rows.")
@click.argument("day", type=DAY, metavar="DAY")
@click.option("--table", "name", required=True, metavar="TABLE", help="access_logs, events, or a mart.")
@click.option("--site", metavar="SITE", help="Site; only for events.")
def show_command(day: dt.date, name: str, site: str | None) -> None:
    """Shows the verdict with its figures, rejects by reason, the worst objects, some rejected lines and refused rows.

    \b
    Examples:
      clicklake quarantine show 2026-01-13 --table access_logs
      clicklake quarantine show 2026-01-13 --table events --site shop.example.com
      clicklake quarantine show 2026-01-13 --table daily_aggregates
    """
    from orchestration.quality import accept, why_never_released

    lake = load_lake_settings().open_lake()
    refused = find_refused(lake, day, name, site)
    line((str(refused), "bold"), f", refused {_since(refused)} UTC")
    for reason in refused.reasons:
        message = str(reason["message"]).removeprefix(f"{reason['check']}: ")
        line((reason["check"], "red"), f" {message}")
        if reason.get("figures"):
            table(None, tuple(reason["figures"]), [tuple(map(_short, reason["figures"].values()))])
    if refused.is_raw:
        _show_rejects(lake, refused)
    _show_rows(lake, refused)
    never = why_never_released(refused)
    line(f"It cannot be accepted as it is: {never}" if never else f"To accept it as it is: {accept(refused)}")


def find_refused(lake: Lake, day: dt.date, name: str, site: str | None) -> Refused:
    """The partition in quarantine that a command names.

    Args:
        name: name of the table, with or without its layer.

    Raises:
        UsageError: there is no such table, nothing of it is refused, or several sites are refused.
    """
    from ingest.partition.quarantine import refused_partitions

    name = table_named(lake, name)
    found = refused_partitions(lake, [day], name, site and site.lower())
    if not found:
        of = f" of site {site}" if site else ""
        raise click.UsageError(f"Nothing of {name} {day}{of} is in quarantine. See: clicklake quarantine list")
    if len(found) > 1:
        sites = ", ".join(shown(each.partition.site) for each in found)
        raise click.UsageError(f"{name} {day} is refused for several sites: {sites}. Name one with --site")
    return found[0]


def table_named(lake: Lake, name: str) -> str:
    """The table's name in quarantine: access_logs for raw_access_logs, raw.access_logs; sessions for marts.sessions."""
    from orchestration.catalog import documented

    known = {each.removeprefix("quarantine.") for each in documented() if each.startswith("quarantine.")}
    known -= {"verdicts", "releases"}
    wanted = name.lower()
    for layer in ("raw_", "raw.", "marts.", "quarantine."):
        wanted = wanted.removeprefix(layer)
    # A model may be deleted while its refusal is still there.
    if wanted in known or (wanted.isidentifier() and lake.files(quarantine_folder(wanted))):
        return wanted
    raise click.UsageError(f"There is no table {name}. One of: {', '.join(sorted(known))}.")


def _show_rejects(lake: Lake, refused: Refused) -> None:
    from ingest.partition.quarantine import reject_reasons, rejected_lines, worst_objects

    reasons = reject_reasons(lake, refused)
    if reasons:
        table("Rejected rows, by reason", ("reason", "detail", "rows"), reasons[: 2 * SHOWN])
    objects = worst_objects(lake, refused, SHOWN)
    if objects:
        table("Worst objects", tuple(objects[0]), [tuple(each.values()) for each in objects])
    rejected = rejected_lines(lake, refused, SHOWN)
    if rejected:
        line(("Some rejected lines", "bold"))
    for each in rejected:
        where = f"{each['source_object']}:{each['source_line']} {each['reason']}"
        line((where, "dim"))
        line(f"  {each['line']}")


def _show_rows(lake: Lake, refused: Refused) -> None:
    from ingest.partition.quarantine import refused_rows

    rows = refused_rows(lake, refused, ROWS_SHOWN)
    if rows is None:
        return
    known = [name for name in rows.column_names if rows.column(name).null_count < len(rows)]
    found = rows.to_pylist()
    numbers = [f"row {at}" for at in range(1, len(found) + 1)]
    values = [(name, *(_short(row[name]) for row in found)) for name in known]
    table("Some refused rows, column by column", ("column", *numbers), values)


def _row(refused: Refused) -> tuple[Any, ...]:
    partition = refused.partition
    checks = ", ".join(refused.checks)
    return partition.day, partition.table, partition.site, checks, refused.rows, _since(refused)


def _record(refused: Refused) -> dict[str, Any]:
    return {
        "day": day_text(refused.partition.day),
        "table": refused.partition.table,
        "site": refused.partition.site,
        "checks": refused.checks,
        "rows": refused.rows,
        "since": refused.since.isoformat(),
        "reasons": refused.reasons,
    }


def _since(refused: Refused) -> str:
    return refused.since.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M")


def _short(value: object) -> object:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return f"{value:g}"  # a share of two digits would not say whether it is above its limit
    text = shown(value)
    return text if len(text) <= 40 else text[:39] + "…"
