"""Which partitions were built with other rules than those in force."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.lake.files import Lake
from ingest.rules.rules import METADATA_KEY
from orchestration.marts.known import SESSIONS
from orchestration.operations import rules_of_marts
from orchestration.operations.rules_of_marts import built_with_others

FIRST = date(2026, 1, 12)


def put(lake: Lake, day: int, fingerprint: str | None) -> date:
    path = Path(lake.path(SESSIONS.file(FIRST + timedelta(days=day))))
    path.parent.mkdir(parents=True)
    table = pa.table({"events": [day]})
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: fingerprint} if fingerprint else None), path)
    return FIRST + timedelta(days=day)


def test_days_are_told_by_the_rules_that_built_them(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    days = [put(lake, number, name) for number, name in enumerate(("old", "now", None, "old", "older"))]
    broken = put(lake, 9, "old")
    Path(lake.path(SESSIONS.file(broken))).write_bytes(b"PAR1")
    asked = [*days, broken, FIRST + timedelta(days=20)]  # the last has no file
    assert built_with_others(lake, SESSIONS, asked, "now") == {"old": [days[0], days[3]], "older": [days[4]]}
    assert built_with_others(lake, SESSIONS, [days[1]], "now") == {}


def test_no_more_days_than_a_limit_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_of_marts, "MOST_DAYS", 2)
    lake = Lake(str(tmp_path))
    days = [put(lake, number, "old") for number in range(3)]
    assert built_with_others(lake, SESSIONS, days, "now") == {"old": days[1:]}
