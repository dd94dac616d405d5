"""Dagster's home: the folder that keeps its runs, events and logs."""

from __future__ import annotations

import os
from pathlib import Path

from ingest.errors import SettingsError

DAGSTER_YAML = """\
# Written by clicklake; yours to change.
telemetry:
  enabled: false
nux: # the UI asks nobody for a mail address
  enabled: false
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
            (home / "dagster.yaml").write_text(DAGSTER_YAML)
    except OSError as error:
        raise SettingsError(f"DAGSTER_HOME: {home} cannot be written ({error.strerror}). Name a folder") from error
    return home
