"""The simplest reference: a csv loop, row by row, to Parquet. It does the same job as references.py."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.references import ENCODED, INTEGERS, REALS, log_files, output_path
from ingest.schema import ACCESS_LOG_FIELDS

SAMPLE = 8  # it reads every 8th file, because it is slow; its time is proportional to the lines
BATCH_ROWS = 50_000

pa.array([""])  # the first call imports pandas for a second, which scaling up would count eight times


def csv_loop(source: str, target: str) -> int:
    """Reads a sample of the files row by row with csv.reader, and writes batches to Parquet. Returns the lines."""
    fields = [("event_ts", pa.timestamp("us"))] + [(name, _arrow_type(name)) for name in ACCESS_LOG_FIELDS[2:]]
    schema = pa.schema(fields)
    rows = chain.from_iterable(_typed_rows(path) for path in log_files(source)[::SAMPLE])
    done = 0
    with pq.ParquetWriter(output_path(target), schema, compression="zstd", compression_level=1) as writer:
        while batch := list(islice(rows, BATCH_ROWS)):
            writer.write_batch(_batch(batch, schema))
            done += len(batch)
    return done


def _typed_rows(path: Path) -> Iterator[list[Any]]:
    encoded = [ACCESS_LOG_FIELDS.index(name) for name in ENCODED]
    integers = [ACCESS_LOG_FIELDS.index(name) for name in INTEGERS]
    reals = [ACCESS_LOG_FIELDS.index(name) for name in REALS]
    with gzip.open(path, "rt", encoding="utf-8", errors="replace", newline="\n") as text:
        for line in csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE):
            if line[0].startswith("#"):
                continue
            row: list[Any] = [None if value == "-" else value for value in line]
            for index in encoded:
                if row[index] is not None:
                    row[index] = unquote(row[index])
            for index in integers:
                if row[index] is not None:
                    row[index] = int(row[index])
            for index in reals:
                if row[index] is not None:
                    row[index] = float(row[index])
            row[1] = datetime.fromisoformat(f"{row[0]}T{row[1]}")
            yield row[1:]


def _batch(rows: list[list[Any]], schema: Any) -> Any:
    columns = zip(*rows, strict=True)
    return pa.record_batch(
        [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema
    )


def _arrow_type(name: str) -> Any:
    return pa.int64() if name in INTEGERS else pa.float64() if name in REALS else pa.string()
