"""`clicklake dev`: Dagster's UI and daemon, in a home that keeps its runs."""

from __future__ import annotations

import os
import sys

import click

from orchestration.cli.console import notes
from orchestration.home import dagster_home
from orchestration.places import PROJECT_DIR
from orchestration.settings import load_settings


@click.command(
    "dev",
    short_help="Open Dagster: the UI, the schedule and the sensors.",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},  # -h is the host
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF DAGSTER DEV]")
def command(options: tuple[str, ...]) -> None:
    """Runs `dagster dev` on Clicklake's definitions until Ctrl-C: the UI on port 3000, and the daemon, which runs the
    schedule and the sensors that are turned on in the UI.

    Runs, events and switches are kept in DAGSTER_HOME, or in .clicklake/dagster if it is not set, as for the other
    commands. A new folder gets a dagster.yaml that turns on retries and run monitoring; plain `dagster dev` does
    neither.

    \b
    Examples:
      clicklake dev
      clicklake dev -h 0.0.0.0 -p 8080
    """
    load_settings()  # reports a missing setting once; else every sensor would do so again and again
    notes.print(f"Dagster keeps its runs in {dagster_home()}", highlight=False, soft_wrap=True)
    # Dagster's processes then find the code from any working directory.
    search_path = os.pathsep.join(filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")]))
    os.environ["PYTHONPATH"] = search_path
    program = [sys.executable, "-m", "dagster", "dev", "-m", "orchestration.definitions"]
    os.execv(program[0], [*program, *options])  # replaces this process: signals and exit status are Dagster's own
