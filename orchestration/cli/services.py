"""`clicklake services`: the embedded S3 and MongoDB, in the foreground."""

from __future__ import annotations

import datetime as dt
import shlex
import signal
import subprocess
import threading
from pathlib import Path

import click

from ingest.days import day_text
from orchestration.cli.console import notes, step
from orchestration.home import dagster_home
from orchestration.places import state_dir


@click.command(
    "services",
    short_help="Run the embedded S3 and MongoDB in the foreground.",
    context_settings={"ignore_unknown_options": True},
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the data of lake and MongoDB. Default: .clicklake/services.",
)
@click.option(
    "--days", type=click.IntRange(0, 366), default=0, help="Days of made-up logs and events, up to yesterday."
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
def command(data_dir: Path | None, days: int, program: tuple[str, ...]) -> int:
    """Starts an S3 API and a MongoDB protocol server on loopback, and prints the settings to use them.

    Runs until Ctrl-C. With a program after `--`, it runs that program with these settings and ends with it.
    S3's objects are kept in memory and lost at the end; the lake and MongoDB stay in the data directory.

    \b
    Examples:
      clicklake services
      clicklake services --days 7 -- clicklake dev
    """
    from demo.environment import (
        embedded_environment,
        exported,
        load,
        load_events,
        made_up_days,
        made_up_events,
        put_rules,
    )
    from demo.services import check_installed
    from ingest.lake.files import Lake

    check_installed()
    folder = (data_dir or state_dir() / "services").absolute()
    with step("Starting the embedded services"):
        context = embedded_environment(folder)
        environment = context.__enter__()
    settings = environment.settings
    try:
        if days:
            with step(f"Making up {days} days of logs and events"):
                yesterday = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
                made_up = made_up_days(yesterday, days)
                load(environment, made_up)
                load_events(environment, made_up_events(made_up))
                put_rules(Lake(settings["CLICKLAKE_LAKE"]))
            # Else the UI's bar of partitions would cover eleven years, with these days as a hairline at its end.
            settings = settings | {"CLICKLAKE_FIRST_DAY": day_text(made_up[0].day)}
        for name, value in settings.items():
            click.echo(f"export {name}={shlex.quote(value)}")
        if not program:
            stopped = _told_to_stop()  # before the next line says that Ctrl-C stops it
            notes.print("These run until Ctrl-C.")
            while not stopped.wait(1):
                pass
            return 0
        notes.print(f"Running {shlex.join(program)}")
        with exported(settings):
            dagster_home(folder / "dagster")
            return _run(program)
    finally:
        context.__exit__(None, None, None)


def _told_to_stop() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set."""
    stopped = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: stopped.set())
    return stopped


def _run(program: tuple[str, ...]) -> int:
    """Runs the program in the foreground; the program handles Ctrl-C and SIGTERM. Returns its exit status."""
    # A script that starts this in the background makes it ignore Ctrl-C; `dagster dev` would then ignore SIGTERM too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(program)
    except OSError as error:
        raise click.UsageError(f"{program[0]} cannot be run: {error.strerror}.") from None
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            status = process.wait()
            return status if status >= 0 else 128 - status  # 128 plus the signal's number, as a shell does
        except KeyboardInterrupt:
            continue
