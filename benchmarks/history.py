"""Measures the build of a day with a long history: the same day after 1, 30 and 365 published days.

The day is ingested and built from generated events and logs. The days before it are copies of its files, shifted in
time. Two in five people are the same every day; the others get new names on each day. The day is built once before it
is measured, so that a long history is summed up, as by an earlier run.
"""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

from benchmarks.measure import THREADS
from benchmarks.ours import build_in_process, run_our_events, run_ours

REGULARS = 40  # percent
# Mart → (its partition column, how many days back a run reads it, SQL of the node that identifies a row's person).
WHOLE_HISTORY = 10_000
TABLES = {
    "identity_nodes": ("session_date", WHOLE_HISTORY, "node_key"),
    "identity_edges": ("session_date", WHOLE_HISTORY, "node_a"),
    "sessions": ("session_date", 40, "coalesce('user:' || user_id, visitor_key)"),
    "fact_events": ("session_date", 40, "coalesce(person_key, visitor_key)"),
    "fact_sessions": ("session_date", 40, "person_key"),
    "fact_conversions": ("session_date", 40, "person_key"),
    "touchpoints": ("touch_date", 40, "person_key"),
    "ad_touches": ("touch_date", 40, "null::varchar"),
    "daily_aggregates": ("report_date", 40, "null::varchar"),
    "retention": ("report_date", 90, "null::varchar"),
}
OF_PERSONS = ("node_key", "node_a", "node_b", "person_key", "visitor_key", "visitor_id", "user_id")
OF_ROWS = ("event_id", "first_event_id", "session_id", "touch_id", "conversion_id")


def prepare_history(events_folder: str, logs_folder: str, prepared: str, day: str) -> int:
    """Makes a lake with one day, and copies of it with histories of 30 and 365 days. Returns 1."""
    one = Path(prepared, "1")
    run_ours(logs_folder, str(one), day)
    run_our_events(events_folder, str(one), day)
    run_day(prepared, "1", day)
    for days in (30, 365):
        lake = Path(prepared, str(days))
        shutil.copytree(one, lake)
        for name in TABLES:
            _copy_back(lake, name, date.fromisoformat(day), days)
            _record(lake, name)
        run_day(prepared, str(days), day)
    return 1


def _record(folder: Path, name: str) -> None:
    """Records the files of a mart, as their publication does."""
    from ingest.lake.files import Lake
    from ingest.lake.layout import Mart
    from ingest.lake.records import recorded

    lake, mart = Lake(str(folder)), Mart(name, TABLES[name][0])
    with recorded(lake, mart, {file.key: Path(lake.path(file.key)) for file in lake.files(mart.folder)}):
        pass


def _copy_back(lake: Path, name: str, day: date, days: int) -> None:
    import duckdb

    column, reach, node = TABLES[name]
    folder = lake / "marts" / name
    template = folder / f"{column}={day}" / "data.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}; set TimeZone = 'UTC'")
        connection.execute(
            f"create table people as select node_key as node, hash(identity_id) % 100 < {REGULARS} as is_regular "
            f"from '{lake}/marts/identity_map/data.parquet'"
        )
        connection.execute(
            f"create table template as select t.*, coalesce(is_regular, false) as is_regular "
            f"from read_parquet('{template}', hive_partitioning = false) as t "
            f"left join people on {node} = people.node"
        )
        columns = connection.execute("describe template").fetchall()
        for back in range(1, min(days, reach)):
            past = day - timedelta(days=back)
            target = folder / f"{column}={past}" / "data.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            shown = ", ".join(_shifted(name, kind, back) for name, kind, *_ in columns if name != "is_regular")
            connection.execute(f"copy (select {shown} from template) to '{target}' (format parquet, compression zstd)")


def _shifted(name: str, kind: str, back: int) -> str:
    if kind.startswith("TIMESTAMP"):
        return f"{name} - interval {back} day as {name}"
    if kind == "DATE":
        return f"{name} - {back} as {name}"
    if name in OF_PERSONS:
        return f"case when is_regular then {name} else {name} || '~{back}' end as {name}"
    return f"{name} || '~{back}' as {name}" if name in OF_ROWS else name


def run_day(prepared: str, days: str, day: str) -> int:
    """Builds, tests and publishes all models of the day with dbt. Returns 1, the number of runs."""
    build_in_process(str(Path(prepared, days)), day)
    return 1
