"""Dagster's home: the folder that keeps its runs, events and logs."""

from __future__ import annotations

import os
from pathlib import Path

DAGSTER_YAML = """\
# Written by clicklake; yours to change.
telemetry:
  enabled: false
nux: # the UI asks nobody for a mail address
  enabled: false
"""


def dagster_home(default: Path) -> Path:
    """DAGSTER_HOME, or the default where it is not set; made, and without telemetry, where it is new."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(default)))
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").write_text(DAGSTER_YAML)
    return home
