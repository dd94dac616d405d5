"""`clicklake demo`: runs the whole pipeline on made-up traffic and embedded services."""

from __future__ import annotations

import datetime as dt
import shlex
import shutil
import sys
from pathlib import Path

import click

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import console, notes, step, table
from orchestration.places import is_checkout, state_dir
from orchestration.settings import load_settings

FIRST_DAY = dt.date(2026, 1, 10)
DAYS = 5
BAD = 3  # position of the day whose logs are refused
BAD_SITE = ("shop.example.com", 2)  # a site, and the position of the day on which its events are refused
ENTRIES_SHOWN = 12
SPEND_KEY = "reference/campaign_spend.csv"  # the key in the lake that the marts read


@click.command("demo", short_help="Run everything on made-up traffic, and show the result.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for its lake and data; emptied first. Default: .clicklake/demo.",
)
def command(folder: Path | None) -> int:
    """Starts an S3 API and a MongoDB protocol server on loopback, makes up five days of traffic in the real
    formats, runs the pipeline over them, lets an object arrive late, and shows what MongoDB holds in the end.

    The logs of one day and the events of one site are bad, and are refused. The demo needs no account and no
    server, and takes two or three minutes.
    """
    from demo.services import check_installed

    check_installed()
    folder = (folder or state_dir() / "demo").absolute()
    if folder.exists() and any(folder.iterdir()) and not (folder / "demo").exists():
        raise click.UsageError(f"{folder} holds something other than a demo. Name an empty folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "demo").touch()
    from demo.environment import (
        embedded_environment,
        exported,
        load,
        load_events,
        made_up_days,
        made_up_events,
        put_rules,
    )
    from demo.spend import spend_file

    with step("Making up five days of traffic"):
        days = made_up_days(FIRST_DAY + dt.timedelta(days=DAYS - 1), DAYS, bad=BAD)
        events = made_up_events(days, bad=BAD_SITE)
    with embedded_environment(folder) as environment, exported(environment.settings | _dagster_home(folder)):
        with step("Putting logs and events into the embedded S3"):
            load(environment, days)
            load_events(environment, events)
        lake = load_settings().open_lake()
        put_rules(lake)
        lake.put_text(spend_file([day.day for day in days]), SPEND_KEY)
        first = _run([day.day for day in days])
        notes.print("\nA day later: an object of the first day arrives.")
        load(environment, days[:1], late=True)
        _run([days[0].day])
        _show_entries(days[0].day, days[-1].day)
        _show_marts()
        _show_next(folder, first)
    expected = {days[position].day for position in (BAD, BAD_SITE[1])}
    return DONE if set(first) == expected else FAILED


def _dagster_home(folder: Path) -> dict[str, str]:
    return {"DAGSTER_HOME": str(folder / "dagster")}


def _run(days: list[dt.date]) -> dict[dt.date, str]:
    """Runs the pipeline and prints its summary. Returns the refused days with their reasons."""
    from orchestration.cli.pipeline import run_days
    from orchestration.cli.summary import print_summary

    result = run_days(days)
    print_summary(result)
    return result.bad


def _show_entries(first: dt.date, last: dt.date) -> None:
    from orchestration.publishing.entries import read_entries
    from orchestration.publishing.targets.performance_entries import KIND, TARGET

    with TARGET.open(load_settings()) as database:
        entries = read_entries(database, KIND, first, last)
    shown = sorted(entries, key=lambda entry: -entry["metrics"]["impressions"])[:ENTRIES_SHOWN]
    rows = [
        (
            f"{entry['dateStart']:%m-%d}",
            entry["orderId"],
            entry["campaignId"],
            entry["publicationName"],
            entry["channel"],
            entry["creativeId"],
            entry["dimensions"],
            *(entry["metrics"][name] for name in ("impressions", "clicks", "ctr", "reach")),
            *(entry["validMetrics"][name] for name in ("clicks", "ctr")),
        )
        for entry in shown
    ]
    columns = (
        "day", "order", "campaign", "publication", "channel", "creative", "size",
        "impressions", "clicks", "ctr %", "reach", "valid clicks", "valid ctr %",
    )  # fmt: skip
    table(f"performance_entries, read back from MongoDB: the largest {len(rows)} of {len(entries):,}", columns, rows)


SITE_NUMBERS = """
select site_id, report_date, visitors, new_visitors, sessions, page_views, bounce_rate,
    engaged_sessions as engaged, average_duration_seconds as seconds_a_session, wau
from marts.site_daily where not is_bot order by site_id, report_date
"""
CHANNELS = """
select channel, count(*) as sessions, count(distinct visitor_key) as visitors,
    round(avg(page_views), 1) as pages_a_session, sum(conversions) as conversions
from marts.sessions where not is_bot group by channel order by sessions desc, channel
"""


def _show_marts() -> None:
    from ingest.lake.views import create_views
    from orchestration.cli.people import show_people

    lake = load_settings().open_lake()
    with lake.connect() as connection:
        create_views(lake, connection)
        for title, query in (("Sites by day", SITE_NUMBERS), ("Where sessions come from", CHANNELS)):
            found = connection.execute(query)
            names = [column[0].replace("_", " ") for column in found.description or ()]
            table(title, tuple(names), found.fetchall())
        show_people(connection)


def _show_next(folder: Path, refused: dict[dt.date, str]) -> None:
    for day in sorted(refused):
        console.print(f"What was refused on {day} is bad on purpose: nobody sees it; it lies in quarantine.")
    lake = folder / "lake"
    commands = [
        f"export CLICKLAKE_LAKE={shlex.quote(str(lake))}",
        "clicklake tables",
        "clicklake describe marts.sessions",
        'clicklake query "from marts.daily_aggregates limit 5"',
        "clicklake quarantine list",
    ]
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("clicklake") is None and activate.exists():
        commands.insert(0, f". {shlex.quote(str(activate))}")
    console.print(f"The lake stays in {lake}. Look at it, and at what was refused:", soft_wrap=True)
    for each in commands:
        console.print(f"  {each}", soft_wrap=True)
    services = "make dev or clicklake services" if is_checkout() else "clicklake services"
    console.print(
        f"clicklake release, status and alerts also read the logs and MongoDB, and the demo's have ended: {services} "
        "starts others.",
        soft_wrap=True,
    )
