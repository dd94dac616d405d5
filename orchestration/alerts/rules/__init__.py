"""The rules: one file each, with a constant `RULE`. A new file here adds a rule."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from orchestration.alerts.rule import Rule

RULES: tuple[Rule, ...] = tuple(
    import_module(f"{__name__}.{module.name}").RULE for module in sorted(iter_modules(__path__), key=lambda it: it.name)
)
