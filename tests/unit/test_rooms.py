"""Imports go one way, from room to room."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ingest.lake import layout
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
    assert all(module.startswith("ingest.lake.layout.") for module in ours)
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
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in ("ingest", "dbt_project", "orchestration")
        for path in (ROOT / package).rglob("*.py")
        if path != Path(layout.__file__)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(beginnings)
    ]
    assert found == []
