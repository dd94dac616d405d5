"""The targets: one file each, with a constant `TARGET`. A new file here adds a target, as CONTRIBUTING.md explains."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from orchestration.publishing.target import Target

TARGETS: tuple[Target[Any], ...] = tuple(
    import_module(f"{__name__}.{module.name}").TARGET
    for module in sorted(iter_modules(__path__), key=lambda it: it.name)
)
