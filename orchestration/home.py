"""Dagster's home: the folder that keeps its runs, events and logs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import SettingsError
from orchestration.places import state_dir

if TYPE_CHECKING:
    import dagster as dg

CONFIG = "dagster.yaml"


def dagster_home(default: Path | None = None) -> Path:
    """The folder DAGSTER_HOME, else `default`, else .clicklake/dagster. Creates the folder, and a dagster.yaml in it if
    there is none: without one Dagster neither retries nor monitors runs, and sends telemetry.

    Raises:
        SettingsError: the folder cannot be created or written.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or default or state_dir() / "dagster").absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / CONFIG).exists():
            text = Path(__file__).with_name(CONFIG).read_text("utf-8")
            (home / CONFIG).write_text(text.replace("{home}", json.dumps(str(home))[1:-1]), "utf-8")
    except OSError as error:
        raise SettingsError(f"DAGSTER_HOME: {home} cannot be written ({error.strerror}). Name a folder") from error
    return home


def warn_of_a_passing_home() -> None:
    """Under `dagster dev`, warns if DAGSTER_HOME is not set or has no dagster.yaml."""
    from dagster import get_dagster_logger

    from orchestration.dagster_internals.dev import using_dagster_dev

    home = os.environ.get("DAGSTER_HOME")
    if using_dagster_dev() and not (home and Path(home, CONFIG).exists()):
        lost = f"{home} has no {CONFIG}" if home else "DAGSTER_HOME is not set, and runs are forgotten at the end"
        get_dagster_logger().warning(f"{lost}: runs are neither watched nor retried. Start it with `clicklake dev`")


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of DAGSTER_HOME, else of .clicklake/dagster. A UI with the same home shows its runs."""
    from dagster import DagsterInstance

    from orchestration.dagster_internals.migrations import read_scripts_once

    read_scripts_once()
    dagster_home()
    with DagsterInstance.get() as instance:
        yield instance
