"""Reads the scripts of Dagster's database migrations once in a process.

Dagster keeps its records in databases, and at each opening of a new one alembic loads all scripts of migrations again,
to learn the newest. A process with a new home opens five, and each run has one of its own.

Private: that Dagster asks `ScriptDirectory.from_config` of alembic. Without it each process with a new home takes half
a second longer, and nothing else changes. Public way: none so far.
"""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

_read = ScriptDirectory.from_config
_scripts: dict[str | None, ScriptDirectory] = {}  # by their folder; they do not change while a process runs


def read_scripts_once() -> None:
    """Makes alembic keep the scripts that it has loaded."""
    ScriptDirectory.from_config = _kept  # type: ignore[method-assign]


def _kept(config: Config) -> ScriptDirectory:
    folder = config.get_main_option("script_location")
    if folder not in _scripts:
        _scripts[folder] = _read(config)
    return _scripts[folder]
