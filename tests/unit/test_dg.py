"""Dagster's `dg` knows the project: `[tool.dg]` in pyproject.toml leads to the definitions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.marts.project import prepare

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DG = Path(sys.executable).with_name("dg")


def dg(home: Path, *words: str) -> str:
    """What `dg` prints, with a home of its own in which telemetry is off."""
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CLICKLAKE_", "DAGSTER_"))}
    done = subprocess.run(
        [DG, *words],
        cwd=ROOT,
        env=inherited | {"HOME": str(home), "DAGSTER_HOME": str(home), "VIRTUAL_ENV": sys.prefix},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dg_loads_the_definitions(tmp_path: Path) -> None:
    prepare()
    dg(tmp_path, "check", "defs")


def test_dg_lists_the_assets(tmp_path: Path) -> None:
    prepare()
    listed = json.loads(dg(tmp_path, "list", "defs", "--json"))
    names = {asset["asset_key"] for asset in listed["assets"]}
    assert {"raw_access_logs", "raw_events", "daily_aggregates", "performance_entries"} <= names
