"""The rules in force: a user's files over the defaults, checked as a whole before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ingest.lake.files import Lake
from ingest.lake.layout import rules_version
from ingest.rules import place, sites, tables, variables, yaml_file
from ingest.rules.place import RULES_FILE
from ingest.rules.problems import Problems, hint
from ingest.rules.sites import Sites
from ingest.rules.tables import TABLES, InForce
from ingest.rules.variables import DEFAULTS, Value

SECTIONS = ("variables", "sites")
FINGERPRINT_LENGTH = 12
# Key of the fingerprint in the metadata of a mart's Parquet file.
METADATA_KEY = "clicklake_rules"


@dataclass(frozen=True)
class Rules:
    """values: variable → value. origins: variable → `rules.yml, line 3`, for the given ones. tables: name → table.
    files: the files that they were read from."""

    values: Mapping[str, Value]
    tables: Mapping[str, InForce]
    origins: Mapping[str, str] = field(default_factory=dict)
    sites: Sites = field(default_factory=Sites)
    files: tuple[str, ...] = ()

    @cached_property
    def described(self) -> dict[str, Any]:
        """All that marts are built with, in an order that does not depend on how files are written. Sites are in it
        with their tenants, since marts know nothing else of them; figures of days, such as spend, are not."""
        return {
            "variables": dict(sorted(self.values.items())),
            "tenants": dict(sorted(self.sites.tenants.items())),
            "tables": {
                name: sorted(table.values(), key=lambda row: [str(value) for value in row.values()])
                for name, table in sorted(self.tables.items())
                if not table.table.is_data
            },
        }

    @cached_property
    def text(self) -> str:
        """The rules as JSON, one value or row a line."""
        return json.dumps(self.described, indent=1, default=str, ensure_ascii=False)

    @cached_property
    def fingerprint(self) -> str:
        """Stands for these rules: the same rules have the same, however they are written, and others another."""
        compact = json.dumps(self.described, default=str, separators=(",", ":"))
        return hashlib.sha256(compact.encode()).hexdigest()[:FINGERPRINT_LENGTH]


def default_rules(seeds: Path) -> Rules:
    """The rules that a user begins with. seeds: the folder of the default tables."""
    return Rules(DEFAULTS, {table.name: tables.default(table, seeds) for table in TABLES})


def load_rules(folder: Lake | None, lake: Lake | None, seeds: Path) -> Rules:
    """The rules in force.

    Args:
        folder: the place that CLICKLAKE_RULES names; without it the lake's own.
        lake: None if there is no lake yet.
        seeds: the folder of the default tables.

    Raises:
        RulesError: some rule is wrong; the message names each mistake with its file and line.
        LakeError: a place cannot be read.
    """
    problems = Problems()
    files = place.files(folder, lake, problems)
    sections: Mapping[str, yaml_file.Given] = {}
    if RULES_FILE in files and (body := files.body(RULES_FILE, problems)) is not None:
        sections = yaml_file.parse(body, files.shown(RULES_FILE), problems)
    named = {name: _section(sections, name, problems) for name in SECTIONS}
    for name in set(sections) - set(SECTIONS):
        is_variable = name in variables.BY_NAME
        advice = "Put it below `variables:`" if is_variable else hint(name, SECTIONS)
        problems.add(sections[name].where, f"{name} is no section. {advice}")
    values, origins = variables.read(named["variables"], problems)
    found = {}
    for table in TABLES:
        body = files.body(table.file, problems) if table.file in files else None
        found[table.name] = (
            tables.default(table, seeds)
            if body is None
            else tables.in_force(table, body, files.shown(table.file), seeds, problems)
        )
    most_days = values["funnel_max_days"]
    assert isinstance(most_days, int)
    tables.check_funnels(found["funnel_steps"], most_days, problems)
    tables.check_conversions(found["conversion_events"], problems)
    given_sites = sites.read(named["sites"], problems)
    problems.raise_any()
    return Rules(values, found, origins, given_sites, tuple(map(files.shown, files.found)))


def _section(sections: Mapping[str, yaml_file.Given], name: str, problems: Problems) -> Mapping[str, yaml_file.Given]:
    given = sections.get(name)
    if given is None or given.value is None:
        return {}
    if not isinstance(given.value, dict):
        problems.add(given.where, f"{name} must hold names with values, one a line")
        return {}
    return given.value


def keep(rules: Rules, lake: Lake) -> None:
    """Keeps the rules in the lake under their fingerprint, so that a person sees what a partition was built with."""
    key = rules_version(rules.fingerprint)
    if not lake.exists(key):
        lake.put_text(rules.text, key)
