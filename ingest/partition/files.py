"""Writes rows to one Parquet file for each event date, in a staging folder, in row groups that filters can skip."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.lake.layout import DATA_FILE, event_folder
from ingest.partition.joined_files import begin_with, join_footers

ROW_GROUP_ROWS = 100_000
WAITING_ROWS = 400_000  # rows in all buffers at which the fullest buffer is written

# Minima and maxima of a text column in mixed rows let a reader skip nothing, and cost 30 % of the writing time.
FILTER_COLUMNS = frozenset({"event_ts", "request_type", "status", "is_bot"})

Buffer = tuple[date, str]  # event date, kind of row


class PartitionFiles:
    """Writes `<folder>/event_date=E/data.parquet`, zstd level 1.

    Rows of one kind share row groups, so that a reader of ad requests skips all others by their
    statistics. Rows keep the order in which they are added, so that times within a group are close.

    Args:
        earlier: event date → the published file that new rows are appended to. A file that gets no rows is left as it
            is.
    """

    def __init__(self, folder: Path, plain_columns: frozenset[str], earlier: Mapping[date, Path] | None = None) -> None:
        self._folder = folder
        self._plain = plain_columns
        self._earlier = dict(earlier or {})
        self._writers: dict[date, pq.ParquetWriter] = {}
        self._buffers: dict[Buffer, list[pa.Table]] = {}
        self._waiting: dict[Buffer, int] = {}
        self.rows = {event_date: pq.read_metadata(path).num_rows for event_date, path in self._earlier.items()}

    def __enter__(self) -> PartitionFiles:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            let_go(writer)

    def add(self, event_date: date, kind: str, table: pa.Table) -> None:
        buffer = (event_date, kind)
        self._buffers.setdefault(buffer, []).append(table)
        self._waiting[buffer] = self._waiting.get(buffer, 0) + len(table)
        self.rows[event_date] = self.rows.get(event_date, 0) + len(table)
        if self._waiting[buffer] >= ROW_GROUP_ROWS:
            self._write(buffer)
        elif sum(self._waiting.values()) >= WAITING_ROWS:
            self._write(max(self._waiting, key=lambda each: self._waiting[each]))

    def _write(self, buffer: Buffer) -> None:
        table = pa.concat_tables(self._buffers.pop(buffer)).unify_dictionaries().combine_chunks()
        del self._waiting[buffer]
        self._writer(buffer[0], table.schema).write_table(table, row_group_size=len(table) or None)

    def _writer(self, event_date: date, schema: pa.Schema) -> pq.ParquetWriter:
        if event_date not in self._writers:
            path = self.path(event_date)
            path.parent.mkdir(parents=True)
            self._writers[event_date] = open_raw(path, schema, self._plain)
            if event_date in self._earlier:
                begin_with(self._writers[event_date], self._earlier[event_date])
        return self._writers[event_date]

    def path(self, event_date: date) -> Path:
        return self._folder / event_folder(event_date) / DATA_FILE

    def close(self) -> dict[date, Path]:
        """Writes the waiting rows; returns the finished files by event date."""
        for buffer in sorted(self._buffers):
            self._write(buffer)
        for event_date, writer in self._writers.items():
            writer.close()
            if event_date in self._earlier:
                join_footers(self.path(event_date), self._earlier[event_date])
        written = {event_date: self.path(event_date) for event_date in self._writers}
        return dict(sorted((self._earlier | written).items()))


def open_raw(path: Path, schema: pa.Schema, plain_columns: frozenset[str]) -> pq.ParquetWriter:
    """A writer of a raw file."""
    return open_writer(
        path,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in schema.names if name not in plain_columns],
        write_statistics=[name for name in schema.names if name in FILTER_COLUMNS],
        write_batch_size=16_384,
        store_schema=False,
    )


def open_writer(path: Path, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """A writer that closes its file if the beginning cannot be written. pyarrow would leave the file open, and an open
    file keeps its space on a full disk."""
    file = pa.OSFile(str(path), "wb")
    try:
        writer = pq.ParquetWriter(file, schema, **options)
    except OSError:
        with suppress(OSError):
            file.close()
        raise
    writer.file_handle = file  # pyarrow closes it with the writer
    return writer


def let_go(writer: pq.ParquetWriter) -> None:
    """Closes a writer after an error, whether or not its file is whole: an open file keeps its space on a full disk."""
    for close in (writer.close, writer.file_handle.close):
        with suppress(OSError, pa.ArrowException):
            close()
    writer.is_open = False
