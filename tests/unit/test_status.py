"""`clicklake status` lists every day that the source or the lake knows."""

from __future__ import annotations

from pathlib import Path

from ingest.source import FolderSource
from orchestration.operations.status import MISSING, OUT_OF_DATE, PUBLISHED, status
from tests.log_lines import DAY, LogDay, line, lines, log


def test_a_day_of_which_another_days_files_brought_rows_is_missing(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    day.add(log([*lines(20), line(id="before", date="2026-01-11", time="23:59:59")]))
    assert day.ingest().published
    found = status(day.lake, {"access_logs": FolderSource(day.logs)}, None, None)
    assert [(each.day, each.objects, *each.tables.values()) for each in found] == [
        ("2026-01-11", 0, MISSING, MISSING),
        (DAY, 1, PUBLISHED, MISSING),
    ]
    day.add(log(lines(5)), "late")
    found = status(day.lake, {"access_logs": FolderSource(day.logs)}, None, None)
    assert [each.tables["raw.access_logs"] for each in found] == [MISSING, OUT_OF_DATE]
