"""References for the ingest of events: each function reads a folder of *.jsonl.gz and returns the number of events.

All of them do less than ingest: no validation, rejects, batches, scrubbing, hashing, look-ups, deduplication, parsing
of web addresses, event ids or source objects. They read the fields that ingest has columns for, and the rest as one
JSON text, and write one Parquet file, zstd level 1.
"""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import THREADS, NotMeasuredError
from benchmarks.references import output_path

TOP = (
    "eventType timestamp sessionId visitorId siteId url path ip event_id user_id session_id visitor_id event_type "
    "page_url user_agent"
).split()
PAGE = "title referrer queryParams hash".split()
BROWSER_TEXTS = "userAgent language timezone".split()
BROWSER_NUMBERS = "screenWidth screenHeight viewportWidth viewportHeight devicePixelRatio".split()
JSON_FIELDS = "attribution eventData event_data".split()
SAMPLE = 8  # the loop reads every 8th file; its time is proportional to the events


def event_files(source: str) -> list[Path]:
    return sorted(Path(source).rglob("*.jsonl.gz"))


def duckdb_events(source: str, target: str) -> int:
    """DuckDB's read_json with given columns, two threads, without keeping the order."""
    import duckdb

    fields = dict.fromkeys(TOP, "VARCHAR") | dict.fromkeys(JSON_FIELDS, "JSON")
    browser = [f"{name} VARCHAR" for name in BROWSER_TEXTS] + [f"{name} DOUBLE" for name in BROWSER_NUMBERS]
    fields |= {
        "page": f"STRUCT({', '.join(f'{name} VARCHAR' for name in PAGE)})",
        "browser": f"STRUCT({', '.join(browser)})",
    }
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in fields.items())
    with duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute("set preserve_insertion_order = false")
        connection.execute(
            "copy (select * exclude (page, browser), unnest(page), unnest(browser) from read_json("
            f"'{source}/**/*.jsonl.gz', format = 'newline_delimited', columns = {{{columns}}})) "
            f"to '{output_path(target)}' (format parquet, compression zstd, compression_level 1)"
        )
    return pq.read_metadata(output_path(target)).num_rows


def polars_events(source: str, target: str) -> int:
    """Polars' scan_ndjson with a given schema, streaming. Free-form fields are written as JSON text again."""
    try:
        import polars as pl
    except ImportError as error:
        raise NotMeasuredError("the package polars is not installed") from error

    browser = [pl.Field(name, pl.String) for name in BROWSER_TEXTS]
    browser += [pl.Field(name, pl.Float64) for name in BROWSER_NUMBERS]
    utm = pl.Struct([pl.Field(f"utm_{name}", pl.String) for name in ("source", "medium", "campaign")])
    touch = pl.Struct(
        [
            *(pl.Field(name, pl.String) for name in ("source", "medium", "campaign", "category")),
            pl.Field("utmParams", utm),
        ]
    )
    schema = dict.fromkeys(TOP, pl.String) | {
        "page": pl.Struct([pl.Field(name, pl.String) for name in PAGE]),
        "browser": pl.Struct(browser),
        "attribution": pl.Struct([pl.Field("firstTouch", touch)]),
        "eventData": pl.Struct([pl.Field("depth", pl.Int64)]),
        "event_data": pl.Struct(
            [pl.Field("title", pl.String), pl.Field("referrer", pl.String), pl.Field("number", pl.Int64)]
        ),
    }
    found = (
        pl.scan_ndjson(event_files(source), schema=schema, low_memory=True)
        .with_columns(pl.col(name).struct.json_encode() for name in JSON_FIELDS)
        .rename({"path": "given_path"})
        .unnest("page", "browser")
    )
    found.sink_parquet(output_path(target), compression="zstd", compression_level=1, statistics=False)
    return pq.read_metadata(output_path(target)).num_rows


def orjson_loop(source: str, target: str) -> int:
    """Reads a sample of the files event by event with orjson, and writes batches to Parquet."""
    try:
        import orjson
    except ImportError as error:
        raise NotMeasuredError("the package orjson is not installed") from error

    names = [*TOP, *PAGE, *BROWSER_TEXTS, *BROWSER_NUMBERS, *JSON_FIELDS]
    types = [pa.float64() if name in BROWSER_NUMBERS else pa.string() for name in names]
    schema = pa.schema(list(zip(names, types, strict=True)))
    nothing: dict[str, Any] = {}

    def row(line: bytes) -> list[Any]:
        event = orjson.loads(line)
        page, browser = event.get("page") or nothing, event.get("browser") or nothing
        return [
            *(event.get(name) for name in TOP),
            *(page.get(name) for name in PAGE),
            *(browser.get(name) for name in (*BROWSER_TEXTS, *BROWSER_NUMBERS)),
            *(orjson.dumps(event[name]).decode() if name in event else None for name in JSON_FIELDS),
        ]

    done = 0
    with pq.ParquetWriter(output_path(target), schema, compression="zstd", compression_level=1) as writer:
        for path in event_files(source)[::SAMPLE]:
            with gzip.open(path, "rb") as lines:
                while batch := [row(line) for line in islice(lines, 50_000)]:
                    columns = zip(*batch, strict=True)
                    arrays = [pa.array(values, kind) for values, kind in zip(columns, types, strict=True)]
                    writer.write_table(pa.table(arrays, schema=schema))
                    done += len(batch)
    return done
