"""Paths of this installation: its code, its dbt project, and what it writes outside a lake."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent  # a checkout, or site-packages
DBT_DIR = PROJECT_DIR / "dbt_project"


def is_checkout() -> bool:
    return (PROJECT_DIR / "pyproject.toml").exists()


def state_dir() -> Path:
    """The default folder for files that commands write: .clicklake in the checkout or, for an installed package, in
    the working directory, where `.env` is read too."""
    return (PROJECT_DIR if is_checkout() else Path.cwd()) / ".clicklake"


def dbt_target() -> Path:
    """The folder for dbt's manifest: in a checkout `dbt_project/target`, else in the user's cache, because an installed
    package may be read-only. Each installation has its own folder."""
    if is_checkout():
        return DBT_DIR / "target"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache / "clicklake" / f"dbt-{hashlib.sha256(str(DBT_DIR).encode()).hexdigest()[:12]}"
