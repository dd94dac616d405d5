"""Fixtures of the tests that run dbt."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's target folder, for all runs of a module: what the first has parsed the others need not parse again."""
    return tmp_path_factory.mktemp("target")
