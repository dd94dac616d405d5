"""Pages of checks on raw days (`ingest/partition/audit.py`), dbt tests, and reasons to reject a row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from ingest.access_logs.parser import REASONS
from ingest.events.parser import EVENT_REASONS
from ingest.partition.audit import CHECKS, NEVER_RELEASED, checks_of
from ingest.partition.datasets import EVENTS
from orchestration.catalog import MODELS as MARTS
from orchestration.places import DBT_DIR
from tools.reference.markdown import code, one_line, table

TESTS = DBT_DIR / "tests"


@dataclass(frozen=True)
class SqlTest:
    """A dbt test that is a query of its own. refs: the models that it reads."""

    name: str
    severity: str
    meaning: str
    refs: tuple[str, ...]


def reject_reasons() -> str:
    return f"## Access logs\n\n{_bullets(REASONS)}\n\n## Events\n\n{_bullets(EVENT_REASONS)}"


def checks() -> str:
    raw = _bullets({check.name: f"{check.description}." for check in CHECKS})
    of_logs = code(*(check.name for check in CHECKS if check not in checks_of(EVENTS)))
    kept = _bullets({name: f"{why}." for name, why in NEVER_RELEASED.items()})
    generic = _bullets(generic_tests())
    marts = {path.stem for path in MARTS.rglob("*.sql")}
    queries = table(
        ["test", "severity", "reads", "what it requires"],
        (
            [code(each.name), each.severity, code(*each.refs), each.meaning]
            for each in sql_tests()
            if not marts & set(each.refs)
        ),
    )
    note = "Tests that read a mart are in [marts](marts.md). These tests read no mart."
    return "\n\n".join(
        [
            f"## Raw days\n\n{raw}\n\nOnly for logs: {of_logs}.",
            f"## What cannot be released\n\n{kept}",
            f"## dbt tests with arguments\n\n[Marts](marts.md) lists the tests of each mart.\n\n{generic}",
            f"## dbt tests that are a query\n\n{note}\n\n{queries}",
        ]
    )


def generic_tests() -> dict[str, str]:
    """Name of a dbt test with arguments → its description."""
    described = _described(TESTS / "generic" / "_generic.yml", "macros")
    return {path.stem: described.get(f"test_{path.stem}", "") for path in sorted((TESTS / "generic").glob("*.sql"))}


def sql_tests() -> list[SqlTest]:
    """The dbt tests in `dbt_project/tests`."""
    described = _described(TESTS / "_tests.yml", "data_tests")
    return [
        _sql_test(path.stem, described.get(path.stem, ""), path.read_text("utf-8"))
        for path in sorted(TESTS.glob("*.sql"))
    ]


def _described(properties: Path, kind: str) -> dict[str, str]:
    found = yaml.safe_load(properties.read_text("utf-8"))[kind]
    return {each["name"]: one_line(each.get("description", "")) for each in found}


def _sql_test(name: str, meaning: str, text: str) -> SqlTest:
    severity = re.search(r"severity='(\w+)'", text)
    return SqlTest(
        name=name,
        severity=severity[1] if severity else "error",
        meaning=meaning,
        refs=tuple(sorted(set(re.findall(r"ref\('(\w+)'\)", text)))),
    )


def _bullets(meanings: Mapping[str, str]) -> str:
    return "\n".join(f"- `{name}`: {meaning}" for name, meaning in meanings.items())
