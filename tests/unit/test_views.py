"""The lake as SQL."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.lake.views import create_views
from orchestration.catalog import documented
from orchestration.cli import cli
from tests.log_lines import LogDay, line, lines, log


def test_an_empty_lake_has_the_views_that_are_always_there_without_rows(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    with day.lake.connect() as connection:
        views = create_views(day.lake, connection)
        assert views.names == ["marts.data_quality", "quarantine.releases", "quarantine.verdicts"]
        assert not views.holds_any
        assert [connection.execute(f"from {name}").fetchall() for name in views.names] == [[], [], []]


def test_sql_that_begins_with_a_comment_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKLAKE_LAKE", str(tmp_path / "lake"))
    target = str(tmp_path / "rows.csv")
    for sql in ("-- What has failed, f=1.\nselect 1 as one", "--none\nselect 1 as one;\n"):
        for words in ([sql, "--format", "csv", "-o", target], ["--format=csv", "-o", target, "--", sql]):
            done = CliRunner().invoke(cli, ["query", *words])
            assert (done.exit_code, Path(target).read_text()) == (0, "one\n1\n"), done.output
    assert "No such option" in CliRunner().invoke(cli, ["query", "select 1", "--fromat=csv"]).output


def test_every_table_has_a_view_and_refused_days_stand_apart(tmp_path: Path) -> None:
    day = LogDay(tmp_path / "it's a lake")
    day.add(log([*lines(99), line(id="next", date="2026-01-13"), b"broken"]))
    assert day.ingest().published
    day.add(log([b"broken"] * 200), "late")
    assert not day.ingest().published

    with day.lake.connect() as connection:
        assert create_views(day.lake, connection).names == [
            "ledger.access_logs",
            "marts.data_quality",
            "quarantine.access_logs",
            "quarantine.releases",
            "quarantine.verdicts",
            "raw.access_logs",
            "rejects.access_logs",
        ]

        def rows(query: str) -> list[tuple[object, ...]]:
            return connection.execute(query).fetchall()

        by_day = (
            "select event_date::varchar, source_date::varchar, count(*) from raw.access_logs group by all order by all"
        )
        assert rows(by_day) == [("2026-01-12", "2026-01-12", 99), ("2026-01-13", "2026-01-12", 1)]
        assert rows("select reason, source_line from rejects.access_logs") == [("bad_timestamp", 103)]
        assert rows("select sum(rows_read) from ledger.access_logs") == [(101,)]
        assert rows("select day::varchar, count(*) from quarantine.access_logs group by all") == [("2026-01-12", 100)]
        assert rows('select "table", day::varchar, reasons[1].check from quarantine.verdicts') == [
            ("access_logs", "2026-01-12", "objects_readable")
        ]


def test_a_column_is_described_without_the_column_before_it() -> None:
    """`describe` shows one table, and tools of analysts one column."""
    leans = re.compile(
        r"(Its?|Their|Of (the same|it|them)|Likewise|Last such|Such|The (other|same)|That) |.*\blikewise\b"
    )
    found = [
        f"{table}.{column}: {description}"
        for table, about in documented().items()
        for column, (_, description) in about.columns.items()
        if leans.match(f"{description} ")
    ]
    assert found == []
