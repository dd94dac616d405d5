"""A rules file to start from: every variable with its default, what is allowed, and what it means, commented out."""

from __future__ import annotations

import textwrap
from itertools import groupby

import yaml  # type: ignore[import-untyped]

from ingest.rules.variables import VARIABLES, Value, Variable

HEAD = """\
# The rules of this lake; only what differs from the defaults. docs/rules.md explains them.
# A number has the unit that the name ends in. A text brings its own: session_timeout: 30m (s, m, h, d, w).
# Tables, such as publications.csv, lie next to this file.

variables:
"""
SITES = """
sites:
  # shop.example.com:                     # as in the folder domain=shop.example.com/ of its events
  #   hosts: [shop.example.com, www.shop.example.com]
  #   tenant: acme
  #   time_zone: America/Chicago
  #   keys: [SHOP_WRITE_KEY]          # names of settings, or sha256:…; never a secret
  #   consent: required                   # or not_required
"""


def template() -> str:
    parts = [HEAD]
    for subject, variables in groupby(VARIABLES, key=lambda each: each.subject):
        parts.append(f"  # ---- {subject} ----\n")
        parts += map(_explained, variables)
    return "".join([*parts, SITES])


def written(value: Value) -> str:
    """A value as a rules file has it."""
    if isinstance(value, list):
        return str(yaml.safe_dump(value, default_flow_style=True, width=1_000)).strip()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _explained(variable: Variable) -> str:
    text = f"{variable.about.replace('`', '')}. Allowed: {variable.allowed}"
    lines = textwrap.wrap(text, 112, initial_indent="  # ", subsequent_indent="  # ")
    return "\n".join([*lines, f"  # {variable.name}: {written(variable.default)}"]) + "\n\n"
