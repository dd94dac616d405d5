"""Dagster's home: the folder that keeps its runs, events and logs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.errors import SettingsError
from orchestration.settings import PROJECT_DIR

if TYPE_CHECKING:
    import dagster as dg

DAGSTER_YAML = """\
# Written by clicklake; yours to change.
telemetry:
  enabled: false
nux: # the UI asks nobody for a mail address
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2 # each may take much memory; marts wait for one another anyway
run_monitoring: # a run that never starts has failed; the sensor dead_runs finds those that died later
  enabled: true
  start_timeout_seconds: 90
run_retries: # of runs whose process died, not of days that were refused
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
event_log_storage: # as Dagster's own, the same files, with less waiting
  module: orchestration.event_log
  class: EventLogStorage
  config:
    base_dir: "{home}/history/runs"
retention:
  schedule:
    purge_after_days: 90
  sensor:
    purge_after_days: {{skipped: 7, failure: 30, success: 90}}
"""


def dagster_home(default: Path) -> Path:
    """DAGSTER_HOME, or the default where it is not set; made, and without telemetry, where it is new.

    Raises:
        SettingsError: there can be no such folder.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or default).absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").write_text(DAGSTER_YAML.format(home=json.dumps(str(home))[1:-1]))
    except OSError as error:
        raise SettingsError(f"DAGSTER_HOME: {home} cannot be written ({error.strerror}). Name a folder") from error
    return home


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """That of DAGSTER_HOME, else of .clicklake/dagster in the project. A UI with the same home shows its runs."""
    from dagster import DagsterInstance

    dagster_home(PROJECT_DIR / ".clicklake" / "dagster")
    with DagsterInstance.get() as instance:
        yield instance
