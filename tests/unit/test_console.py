"""Tables of the command line on terminals of any width."""

from __future__ import annotations

from io import StringIO

import pytest

from orchestration.cli import console as module
from orchestration.cli.console import SafeConsole, table

COLUMNS = ("day", "table", "site", "checks", "rows read", "since (UTC)")
ROWS = [
    ("2026-01-12", "events", "shop.example.com", "reject_share", 1472, "2026-01-13 06:00"),
    ("2026-01-13", "access_logs", None, "objects_readable, reject_share", 25_779, "2026-01-14 06:00"),
]


def shown(width: int, monkeypatch: pytest.MonkeyPatch, wrapped: tuple[str, ...] = ()) -> str:
    buffer = StringIO()
    monkeypatch.setattr(module, "console", SafeConsole(file=buffer, width=width, force_terminal=True, no_color=True))
    table("Refused", COLUMNS, ROWS, wrapped)
    return buffer.getvalue()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 105, 110, 200])
def test_no_value_is_cut_off_however_narrow_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(width, monkeypatch)
    assert "…" not in text
    for value in ("2026-01-12", "shop.example.com", "objects_readable, reject_share", "25,779", "2026-01-14 06:00"):
        assert value in text


def test_a_table_that_just_fits_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only headers are too wide they take several lines; where values are, each row is a block."""
    whole, narrower, narrow = (shown(width, monkeypatch) for width in (111, 109, 100))
    assert [("rows read" in text, "┃" in text) for text in (whole, narrower, narrow)] == [
        (True, True),
        (False, True),
        (True, False),
    ]


def test_a_table_without_rows_has_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = StringIO()
    monkeypatch.setattr(module, "console", SafeConsole(file=buffer, width=200, force_terminal=True, no_color=True))
    table(None, COLUMNS, [])
    assert "since (UTC)" in buffer.getvalue()


def test_a_column_that_is_wrapped_makes_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(100, monkeypatch, wrapped=("checks",))
    assert "┃" in text
    assert "2026-01-14 06:00" in text
