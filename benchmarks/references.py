"""References for the ingest of logs: each function reads a folder of *.gz logs and returns the number of lines.

All of them do less than ingest: they use no header, and have no rejects, source columns, look-ups, hashing or
deduplication. They read all 33 fields, `-` as null, with typed numbers and times, remove one layer of percent-encoding
from path, referrer and user agent, and write one Parquet file, zstd level 1. Their settings are the best of those tried
(docs/benchmarks.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.measure import THREADS, NotMeasuredError
from ingest.schema import ACCESS_LOG_FIELDS

ENCODED = ("cs-uri-stem", "cs(Referer)", "cs(User-Agent)")
INTEGERS = (
    "sc-bytes",
    "sc-status",
    "cs-bytes",
    "fle-encrypted-fields",
    "c-port",
    "sc-content-len",
    "sc-range-start",
    "sc-range-end",
)
REALS = ("time-taken", "time-to-first-byte")


def decompress_isal(source: str, lines: str) -> int:
    """Only decompression, with ISA-L and two threads. The bytes are discarded; returns the given number of lines.

    The fastest way of those tried: a file in one call, with a buffer of the size in the file's last four bytes.
    """
    try:
        from isal import isal_zlib
    except ImportError as error:
        raise NotMeasuredError("the package isal is not installed") from error

    def decompress(path: Path) -> None:
        compressed = path.read_bytes()
        size = int.from_bytes(compressed[-4:], "little")
        isal_zlib.decompress(compressed, wbits=31, bufsize=size + 1)

    _on_every_file(source, decompress)
    return int(lines)


def decompress_zlib(source: str, lines: str) -> int:
    """Only decompression, with Python's zlib and two threads, 32 KiB at a time, the fastest size up to whole files."""
    import zlib

    def decompress(path: Path) -> None:
        engine = zlib.decompressobj(wbits=31)
        with path.open("rb") as stream:
            while compressed := stream.read(1 << 15):
                engine.decompress(compressed)

    _on_every_file(source, decompress)
    return int(lines)


def _on_every_file(source: str, work: Callable[[Path], None]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, log_files(source)))


def polars_stream(source: str, target: str) -> int:
    """Polars, streaming. It has no URL decoder, so `replace_many` replaces the 128 ASCII escapes in one pass."""
    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    try:
        import polars as pl
    except ImportError as error:
        raise NotMeasuredError("the package polars is not installed") from error
    types = dict.fromkeys(INTEGERS, pl.Int64) | dict.fromkeys(REALS, pl.Float64)
    escapes = {f"%{code:02X}": chr(code) for code in range(128)}
    logs = pl.scan_csv(
        log_files(source),
        has_header=False,
        separator="\t",
        comment_prefix="#",
        quote_char=None,
        schema={name: types.get(name, pl.String) for name in ACCESS_LOG_FIELDS},
        null_values="-",
    )
    decoded = [
        pl.when(pl.col(name).str.contains("%", literal=True))
        .then(pl.col(name).str.replace_many(list(escapes), list(escapes.values())))
        .otherwise(pl.col(name))
        .alias(name)
        for name in ENCODED
    ]
    event_ts = (pl.col("date") + " " + pl.col("time")).str.to_datetime("%Y-%m-%d %H:%M:%S").alias("event_ts")
    logs.with_columns(*decoded, event_ts).drop("date", "time").sink_parquet(
        output_path(target), compression="zstd", compression_level=1, maintain_order=False, statistics=False
    )
    return _parquet_rows(target)


def duckdb_copy(source: str, target: str) -> int:
    """DuckDB: read_csv to COPY, without keeping the order; bad lines are skipped."""
    import duckdb

    types = dict.fromkeys(INTEGERS, "BIGINT") | dict.fromkeys(REALS, "DOUBLE") | {"date": "DATE", "time": "TIME"}
    columns = {name: types.get(name, "VARCHAR") for name in ACCESS_LOG_FIELDS}
    decoded = ", ".join(
        f"""case when contains("{name}", '%') then url_decode("{name}") else "{name}" end as "{name}\""""
        for name in ENCODED
    )
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}; set preserve_insertion_order = false")
        connection.execute(f"""
            copy (
                select "date" + "time" as event_ts, * exclude ("date", "time") replace ({decoded})
                from read_csv(
                    '{source}/*.gz', columns = {columns}, auto_detect = false, header = false, skip = 2,
                    delim = '\t', quote = '', escape = '', nullstr = '-', ignore_errors = true
                )
            ) to '{output_path(target)}' (format parquet, compression zstd, compression_level 1)
        """)
    return _parquet_rows(target)


def chdb_insert(source: str, target: str) -> int:
    """chDB (ClickHouse in this process): TSVRaw to Parquet."""
    try:
        import chdb
    except ImportError as error:
        raise NotMeasuredError("the package chdb is not installed") from error
    types = dict.fromkeys(INTEGERS, "Int64") | dict.fromkeys(REALS, "Float64")
    columns = ", ".join(f"`{name}` Nullable({types.get(name, 'String')})" for name in ACCESS_LOG_FIELDS)
    decoded = ", ".join(f"decodeURLComponent(`{name}`) AS `{name}`" for name in ENCODED)
    query: Callable[[str], Any] = chdb.query
    query(f"""
        INSERT INTO FUNCTION file('{output_path(target)}', Parquet)
        SELECT toDateTime(concat(date, ' ', time), 'UTC') AS event_ts, * EXCEPT (date, time) REPLACE ({decoded})
        FROM file('{source}/*.gz', 'TSVRaw', '{columns}')
        SETTINGS max_threads = {THREADS}, input_format_tsv_skip_first_lines = 2, format_tsv_null_representation = '-',
            output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1
    """)
    return _parquet_rows(target)


def bare_daily_aggregates(lake_folder: str, day: str) -> int:
    """The gross measures of daily_aggregates in one query on the raw files. Returns the raw rows read."""
    import duckdb

    rows = f"read_parquet('{lake_folder}/raw/access_logs/event_date={day}/*/*.parquet')"
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}")
        connection.execute(f"""
            create table daily_aggregates as
            select
                cast(event_ts as date) as report_date,
                order_id, campaign_id, publication_code, channel, creative_id, ad_size,
                count(*) filter (request_type = 'impression') as impressions,
                count(*) filter (request_type = 'click') as clicks,
                count(distinct ip_hash) filter (request_type = 'click') as unique_clicks,
                count(distinct ip_hash) filter (request_type = 'impression') as unique_ips,
                round(if(impressions = 0, 0, clicks / impressions * 100), 2) as ctr
            from {rows}
            where request_type in ('impression', 'click')
            group by all
        """)
        (count,) = connection.execute(f"select count(*) from {rows}").fetchone() or (0,)
    return int(count)


def bare_sessions(lake_folder: str, day: str) -> int:
    """Sessions by a gap of half an hour, in one query on the raw files: without deduplication, ids other than the
    visitor id, session numbers or sources. Returns the raw rows read."""
    import duckdb

    rows = f"read_parquet('{lake_folder}/raw/events/event_date={day}/**/*.parquet')"
    with duckdb.connect() as connection:
        connection.execute(f"set threads = {THREADS}")
        connection.execute(f"""
            create table sessions as
            with with_previous as (
                select
                    site_id, coalesce(visitor_id, event_id) as visitor_key, event_ts, event_id, path, referrer,
                    utm_source, lag(event_ts) over in_order as previous_ts
                from {rows}
                window in_order as (partition by site_id, visitor_key order by event_ts, event_id)
            ),
            numbered as (
                select *, sum(if(event_ts <= previous_ts + interval 30 minute, 0, 1)) over in_order as session_number
                from with_previous
                window in_order as (partition by site_id, visitor_key order by event_ts, event_id)
            )
            select
                site_id, visitor_key, session_number,
                count(*) as events, min(event_ts) as session_start, max(event_ts) as session_end,
                min_by(path, event_ts) as entry_page, max_by(path, event_ts) as exit_page,
                min_by(referrer, event_ts) as referrer, min_by(utm_source, event_ts) as utm_source
            from numbered
            group by all
        """)
        (count,) = connection.execute(f"select count(*) from {rows}").fetchone() or (0,)
    return int(count)


def log_files(source: str) -> list[Path]:
    return sorted(Path(source).glob("*.gz"))


def output_path(target: str) -> str:
    return str(Path(target) / "reference.parquet")


def _parquet_rows(target: str) -> int:
    return int(pq.read_metadata(output_path(target)).num_rows)
