"""The measured parts of Clicklake: each is a function of strings that returns the number of units it did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import THREADS

DBT_DIR = Path(__file__).resolve().parent.parent / "dbt_project"
COMPILED = "dbt-compiled"
HASH_KEY = "benchmark-" * 4


def run_ours(source_folder: str, lake_folder: str, day: str, reader: str = "auto") -> int:
    """Ingests raw logs of one day to a published raw partition: parsed, checked, hashed, deduplicated. Returns rows
    read.

    Args:
        reader: `native`, `python`, or `auto`, as CLICKLAKE_READER.
    """
    from ingest.days import parse_day
    from ingest.lake.files import Lake
    from ingest.lake.layout import Partition
    from ingest.partition.day import IngestOptions, ingest_day
    from ingest.source import open_source

    options = IngestOptions(hash_key=HASH_KEY, workers=THREADS, reader=reader)
    result = ingest_day(
        Lake(lake_folder), open_source(source_folder), Partition("access_logs", parse_day(day)), options
    )
    if not result.published:
        raise RuntimeError(f"ingest refused the generated day: {result.reason}")
    return result.rows_read


def run_our_events(source_folder: str, lake_folder: str, day: str, reader: str = "auto") -> int:
    """Ingests event files of one day to a published raw partition: validated, scrubbed, hashed. Returns rows read.
    `reader` as for `run_ours`."""
    from benchmarks.generate_events import SITE
    from ingest.days import parse_day
    from ingest.lake.files import Lake
    from ingest.lake.layout import Partition
    from ingest.partition.day import IngestOptions, ingest_day
    from ingest.source import open_source

    options = IngestOptions(hash_key=HASH_KEY, workers=THREADS, reader=reader)
    partition = Partition("events", parse_day(day), SITE)
    result = ingest_day(Lake(lake_folder), open_source(source_folder), partition, options)
    if not result.published:
        raise RuntimeError(f"ingest refused the generated day: {result.reason}")
    return result.rows_read


def prepare_marts(source_folder: str, lake_folder: str, day: str) -> int:
    """Ingests the raw partition, and compiles the models' SQL for that day with dbt."""
    rows = run_ours(source_folder, lake_folder, day)
    _compile(lake_folder, day)
    return rows


def prepare_sessions(source_folder: str, lake_folder: str, day: str) -> int:
    """Ingests the raw partition of a site's events, and compiles the models' SQL for that day with dbt."""
    from benchmarks.generate_events import SITE
    from ingest.days import parse_day
    from ingest.lake.files import Lake
    from ingest.lake.layout import Partition
    from ingest.partition.day import IngestOptions, ingest_day
    from ingest.source import open_source

    options = IngestOptions(hash_key=HASH_KEY, workers=THREADS)
    partition = Partition("events", parse_day(day), SITE)
    result = ingest_day(Lake(lake_folder), open_source(source_folder), partition, options)
    if not result.published:
        raise RuntimeError(f"ingest refused the generated day: {result.reason}")
    _compile(lake_folder, day)
    return result.rows_read


def _compile(lake_folder: str, day: str) -> None:
    """Compiles the models by a build. Their SQL depends on the lake and the day, so only a build compiles it
    correctly."""
    target = str(Path(lake_folder) / COMPILED)
    command = [str(Path(sys.executable).with_name("dbt")), *_build_of(day)]
    command += ["--target-path", target, "--log-path", target]
    environment = {**os.environ, "CLICKLAKE_LAKE": lake_folder}
    subprocess.run(command, cwd=DBT_DIR, env=environment, check=True, stdout=subprocess.DEVNULL)


def _build_of(day: str) -> list[str]:
    """dbt's arguments to build a day as a run does."""
    next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    window = ["--event-time-start", day, "--event-time-end", next_day]
    return ["build", "--exclude-resource-type", "unit_test", *window]


def build_in_process(lake_folder: str, day: str, *select: str) -> None:
    """Builds, tests and publishes a day with dbt in this process, so that its memory includes dbt's.

    Raises:
        RuntimeError: dbt failed.
    """
    from dbt.cli.main import dbtRunner

    target = str(Path(lake_folder) / "dbt")
    os.environ |= {"CLICKLAKE_LAKE": lake_folder, "DBT_TARGET_PATH": target, "DBT_LOG_PATH": target}
    os.chdir(DBT_DIR)
    done = dbtRunner().invoke(["--quiet", *_build_of(day), *select])
    if not done.success:
        raise RuntimeError(f"dbt failed: {done.exception or done.result}")


def run_daily_aggregates(lake_folder: str, day: str) -> int:
    """Runs the SQL of daily_aggregates and of all models above it on the raw partition. Returns the raw rows read."""
    return _run_model("daily_aggregates", "access_logs", lake_folder, day)


def run_sessions(lake_folder: str, day: str) -> int:
    """Runs the SQL of sessions and of all models above it on the raw partition. Returns the raw rows read."""
    return _run_model("sessions", "events", lake_folder, day)


def _run_model(model: str, dataset: str, lake_folder: str, day: str) -> int:
    import duckdb

    manifest = json.loads((Path(lake_folder) / COMPILED / "manifest.json").read_text())
    nodes = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] in ("model", "seed")}
    raw = f"raw.{dataset}"
    rows = f"read_parquet('{lake_folder}/raw/{dataset}/event_date={day}/**/*.parquet', hive_partitioning = true)"
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}; set TimeZone = 'UTC'")
        connection.execute(f"create schema raw; create view {raw} as from {rows}")
        for node in _in_order(_with_all_above(nodes, f"model.clicklake.{model}")):
            connection.execute(_statement(node))
        (count,) = connection.execute(f"select count(*) from {raw}").fetchone() or (0,)
    return int(count)


def _with_all_above(nodes: dict[str, Any], name: str) -> dict[str, Any]:
    """A node and all nodes that it depends on."""
    found = [name]
    for below in found:
        found += [above for above in nodes[below]["depends_on"].get("nodes", ()) if above in nodes.keys() - found]
    return {each: nodes[each] for each in found}


def _in_order(nodes: dict[str, Any]) -> list[Any]:
    """The nodes, each after those that it reads."""
    done: dict[str, Any] = {}
    while len(done) < len(nodes):
        for name, node in nodes.items():
            if all(above in done or above not in nodes for above in node["depends_on"].get("nodes", ())):
                done.setdefault(name, node)
    return list(done.values())


def _statement(node: Any) -> str:
    if node["resource_type"] == "seed":
        path = DBT_DIR / node["original_file_path"]
        types = {name: column["data_type"] for name, column in node["columns"].items()}  # not to be told from no rows
        return f"create table {node['relation_name']} as from read_csv('{path}', header = true, types = {types})"
    kind = "view" if node["config"]["materialized"] == "view" else "table"
    return f"create {kind} {node['relation_name']} as {node['compiled_code']}"


def run_small_days(source_folder: str, lake_folder: str, first: str, last: str) -> int:
    """Runs small days with the clicklake command, from cold start to published documents. Returns 1, the runs."""
    _command(source_folder, lake_folder, "run", "--from", first, "--to", last)
    return 1


def backfill_small_days(source_folder: str, lake_folder: str, first: str, last: str, window: str) -> int:
    """Runs small days with `clicklake backfill`, in windows. Returns the days."""
    _command(source_folder, lake_folder, "backfill", "--from", first, "--to", last, "--window", window)
    return (date.fromisoformat(last) - date.fromisoformat(first)).days + 1


def _command(source_folder: str, lake_folder: str, *arguments: str) -> None:
    from demo.services import embedded_mongodb

    with embedded_mongodb(Path(lake_folder) / "mongodb") as mongodb:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")},
            "CLICKLAKE_LOGS": source_folder,
            "CLICKLAKE_LAKE": str(Path(lake_folder) / "lake"),
            "CLICKLAKE_HASH_KEY": HASH_KEY,
            "CLICKLAKE_MONGODB_URL": mongodb.url,
            "DAGSTER_HOME": str(Path(lake_folder) / "dagster"),
        }
        command = [str(Path(sys.executable).with_name("clicklake")), *arguments]
        subprocess.run(command, env=environment, check=True)


def make_small_days(folder: Path, first: date, count: int) -> Path:
    """Writes days with ten small objects each into a folder, and returns it."""
    from demo.traffic import LEAST_ROWS, generate_day, to_folder

    for position in range(count):
        day = first + timedelta(days=position)
        objects = list(generate_day(day, rows=LEAST_ROWS).objects.items())
        put = to_folder(folder)
        for key, body in objects[:: max(1, len(objects) // 10)][:10]:
            put(key, body)
    return folder
