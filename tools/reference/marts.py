"""The page of marts, from the yml files and configurations of their models. It loads neither dbt nor Dagster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml  # type: ignore[import-untyped]

from orchestration.catalog import MODELS
from tools.reference.checks import sql_tests
from tools.reference.markdown import code, one_line, table

Model = dict[str, Any]


def marts() -> str:
    models = sorted(_models(), key=lambda model: str(model["name"]))
    listed = table(
        ["mart", "partition", "key"],
        (
            [
                f"[`{each['name']}`](#{each['name']})",
                f"`{_partition(each['name'])}`" if _partition(each["name"]) else "none",
                _key(each),
            ]
            for each in models
        ),
    )
    note = "`data_quality` is not a model; it has [its own page](data-quality.md)."
    return "\n\n".join([listed, note, *map(_section, models)])


def _shown(column: str | None) -> str:
    return code(column) if column else "none"


def _models() -> Iterator[Model]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(MODELS.rglob("*.yml")):
        text = path.read_text("utf-8").partition("\nunit_tests:")[0]  # unit tests are the largest part of most files
        yield from yaml.load(text, loader).get("models") or ()  # noqa: S506 - a safe loader


def _section(model: Model) -> str:
    name = str(model["name"])
    column = _partition(name)
    facts = [
        f"- Partition: `{column}`, one file a day" if column else "- Snapshot: one file of the whole history",
        f"- Key: {_key(model)}",
        *_restates(name),
    ]
    columns = table(
        ["column", "type", "meaning"],
        ([code(each["name"]), each["data_type"], each.get("description", "")] for each in model["columns"]),
    )
    tests = table(["test", "kind", "severity", "what it requires"], [*_generic(model), *_queries(name)])
    described = one_line(model.get("description", ""))
    return "\n\n".join([f"## {name}", described, "\n".join(facts), columns, tests])


def _key(model: Model) -> str:
    unique = (test["unique_grain"] for test in model.get("data_tests", ()) if "unique_grain" in test)
    return next((code(*test["arguments"]["columns"]) for test in unique), "none")


def _generic(model: Model) -> Iterator[list[str]]:
    for test in model.get("data_tests", ()):
        ((kind, given),) = test.items() if isinstance(test, dict) else ((test, {}),)
        severity = given.get("config", {}).get("severity", given.get("severity", "error"))
        columns = given.get("arguments", {}).get("columns", ())
        yield [code(given.get("name", kind)), code(kind), severity, code(*columns)]


def _queries(mart: str) -> Iterator[list[str]]:
    for test in sql_tests():
        if mart in test.refs:
            yield [code(test.name), "query", test.severity, test.meaning]


def _config(mart: str) -> str:
    """The arguments of `config()` in a model's file."""
    (path,) = MODELS.rglob(f"{mart}.sql")
    found = re.search(r"\{\{\s*config\((.*?)\)\s*\}\}", path.read_text("utf-8"), re.DOTALL)
    return found[1] if found else ""


def _partition(mart: str) -> str | None:
    found = re.search(r"partition_by='(\w+)'", _config(mart))
    return found[1] if found else None


def _restates(mart: str) -> list[str]:
    found = re.search(r"restates=\{'before': (\d+)(?:, 'before_too': '(\w+)')?, 'after': (\d+)\}", _config(mart))
    if not found:
        return []
    before = f"{found[1]} days and `{found[2]}`" if found[2] else found[1]
    return [f"- Restates: published days up to {before} before and {found[3]} after a built day"]
