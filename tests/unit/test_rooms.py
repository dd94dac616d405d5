"""Imports go one way, from room to room."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.lake import layout
from orchestration.marts import known
from tools.rooms import PAGE, ROOT, goes_wrong, imported, imports, page, room_of, shortest


def test_no_import_goes_the_wrong_way() -> None:
    assert {pair: files for pair, files in imports().items() if goes_wrong(*pair)} == {}


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ("ingest.rows", "ingest.partition"),
        ("ingest.lake", "ingest.rows"),
        ("ingest.rows", "ingest.lake"),
        ("ingest.events", "ingest.access_logs"),
        ("ingest.errors", "ingest.rows"),
        ("dbt_project", "orchestration"),
        ("demo", "orchestration"),
        ("orchestration", "orchestration.marts"),
        ("orchestration.marts", "orchestration.operations"),
        ("orchestration.operations", "orchestration.observability"),
        ("orchestration.definitions", "orchestration.cli"),
    ],
)
def test_an_import_the_wrong_way_is_found(own: str, other: str) -> None:
    assert goes_wrong(own, other)


def test_planning_knows_neither_dbt_nor_an_engine_and_of_the_lake_its_layout_alone() -> None:
    files = sorted((ROOT / "dbt_project" / "planning").glob("*.py"))
    found = {module for path in files for module in imported(path)}
    ours = {module for module in found if room_of(module) and not module.startswith("dbt_project.planning.")}
    assert all(module.startswith(("ingest.lake.layout.", "ingest.days.")) for module in ours)
    assert not {module.partition(".")[0] for module in found} & {"dbt", "duckdb", "pyarrow", "dagster", "os", "pathlib"}


def test_every_file_is_in_a_room() -> None:
    files = [
        path.relative_to(ROOT) for package in ("ingest", "orchestration") for path in (ROOT / package).rglob("*.py")
    ]
    rooms = {path: room_of(".".join(path.with_suffix("").parts)) for path in files if path.name != "__init__.py"}
    assert [path for path, room in rooms.items() if room is None] == []
    assert {path.parent for path, room in rooms.items() if room == "orchestration"} == {Path("orchestration")}


def test_only_the_command_line_knows_the_demo() -> None:
    assert {own for own, other in imports() if other == "demo"} == {"orchestration.cli"}


@pytest.mark.parametrize(
    ("arrows", "drawn"),
    [
        ({("c", "b"), ("b", "a"), ("c", "a")}, [("b", "a"), ("c", "b")]),
        ({("d", "c"), ("c", "b"), ("b", "a"), ("d", "a")}, [("b", "a"), ("c", "b"), ("d", "c")]),
        ({("c", "a"), ("c", "b")}, [("c", "a"), ("c", "b")]),
    ],
)
def test_an_arrow_is_drawn_where_no_others_lead(arrows: set[tuple[str, str]], drawn: list[tuple[str, str]]) -> None:
    assert shortest(arrows) == drawn


def test_the_picture_in_the_docs_is_that_of_the_code() -> None:
    text = Path(PAGE).read_text("utf-8")
    assert page(text) == text, "write it anew: python -m tools.rooms"


def test_folders_of_the_lake_are_spelled_in_one_place() -> None:
    layers = (
        layout.RAW,
        layout.REJECTS,
        layout.LEDGER,
        layout.MARTS,
        layout.QUARANTINE,
        layout.QUALITY,
        layout.RELEASES,
    )
    beginnings = tuple(f"{layer}/" for layer in layers)
    columns = ("event_date=", "source_date=", "judged_date=", "/day=", "/site=")
    found = [
        place
        for place, node in _nodes("ingest", "dbt_project", "orchestration")
        if any(text.startswith(beginnings) or text.endswith(columns) for text in _texts(node))
        and not place.startswith(("ingest/lake/layout.py", SOURCE_KEYS))
    ]
    assert found == []


SOURCE_KEYS = "ingest/source.py"  # how the folders of objects are called is not ours to say
CONTENT = (
    "ingest/access_logs/values.py",
    "ingest/rules/csv_files.py",
)  # days in lines and cells, not of partitions


def test_a_day_is_a_date_and_is_read_in_one_place() -> None:
    read = [
        place
        for place, node in _nodes("ingest", "dbt_project", "orchestration")
        if isinstance(node, ast.Attribute)
        and re.search(r"strptime$|\bdate\.fromisoformat$", ast.unparse(node))
        and not place.startswith(("ingest/days.py", *CONTENT))
    ]
    assert read == []
    names = {"day", "days", "event_date", "source_date", "source_day", "judged_date"}
    texts = [
        f"{place} {node.arg}"
        for place, node in _nodes("ingest", "orchestration")
        if isinstance(node, ast.arg) and node.arg in names and node.annotation and "str" in ast.unparse(node.annotation)
    ]
    assert texts == []


def test_the_marts_that_python_names_have_the_column_that_dbt_gives_them() -> None:
    marts = [each for each in vars(known).values() if isinstance(each, layout.Mart)]
    assert marts
    for mart in marts:
        (path,) = (ROOT / "dbt_project" / "models" / "marts").rglob(f"{mart.name}.sql")
        assert f"partition_by='{mart.partition_by}'" in path.read_text("utf-8")


def _nodes(*packages: str) -> Iterator[tuple[str, Any]]:
    """(file:line, node) of the syntax of some packages."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def _texts(node: ast.AST) -> list[str]:
    """The text of a literal."""
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []
