"""Where the dbt project is, and its manifest, which Dagster's assets are made from."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

from dagster._utils.env import using_dagster_dev

from ingest.errors import ClicklakeError, SettingsError
from orchestration.marts.dbt_process import run_dbt
from orchestration.marts.light_dagster_dbt import DbtCliResource, DbtProject
from orchestration.settings import PROJECT_DIR

DBT_DIR = PROJECT_DIR / "dbt_project"
_SOURCES = ("*.sql", "*.yml", "*.csv")


@cache
def dbt_project() -> DbtProject:
    return DbtProject(project_dir=DBT_DIR)


def dbt_resource() -> DbtCliResource:
    # The interpreter's own dbt, also where its folder is not on the PATH.
    return DbtCliResource(project_dir=dbt_project(), dbt_executable=str(Path(sys.executable).with_name("dbt")))


def manifest() -> dict[str, Any]:
    """The manifest as it was last written; under `dagster dev` it is written anew where it is out of date.

    Raises:
        SettingsError: when there is none yet.
    """
    if using_dagster_dev():
        prepare()
    path = dbt_project().manifest_path
    if not path.exists():
        raise SettingsError(f"{path} is missing. Run `make setup`, or any clicklake command, once")
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, _modified: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def prepare() -> bool:
    """Writes the manifest where it is missing or older than the project's files. True where it was written."""
    path = dbt_project().manifest_path
    if path.exists() and path.stat().st_mtime > _last_change():
        return False
    path.parent.mkdir(exist_ok=True)
    done = run_dbt(DBT_DIR, ["parse"], path.parent)
    if done.status:
        raise ClicklakeError(f"dbt cannot read {DBT_DIR}: {done.errors()}")
    return True


def _last_change() -> float:
    files = (
        file
        for pattern in _SOURCES
        for file in DBT_DIR.rglob(pattern)
        if "target" not in file.relative_to(DBT_DIR).parts
    )
    return max(file.stat().st_mtime for file in files)


if __name__ == "__main__":
    prepare()
