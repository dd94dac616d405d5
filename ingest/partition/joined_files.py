"""A Parquet file that begins with the row groups of an earlier one: their bytes are copied, and never decoded.

A footer tells where each row group lies, counted from the beginning of the file. What is copied to the very place
where it lay stays as it was described, so that the footers of the earlier file and of what was written behind it
need only be put together. Nothing here knows what is in the files.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq

MAGIC = b"PAR1"
_END_BYTES = 8  # behind a footer: its length, and the magic again
_COPY_BYTES = 8 << 20


class NotJoinableError(Exception):
    """The rows to come are of other columns than those of the earlier file."""


def begin_with(writer: pq.ParquetWriter, earlier: Path) -> None:
    """Copies the row groups of an earlier file into the file of a writer that has written nothing yet."""
    sink = writer.file_handle
    if sink.tell() != len(MAGIC):
        raise ValueError(f"{sink.tell()} bytes are written: the copied ones would not lie where they lay")
    with earlier.open("rb") as stream:
        left = _footer_start(stream) - len(MAGIC)
        stream.seek(len(MAGIC))
        while left and (data := stream.read(min(left, _COPY_BYTES))):
            sink.write(data)
            left -= len(data)


def join_footers(path: Path, earlier: Path) -> None:
    """Makes the row groups that `begin_with` has copied, and those behind them, one file.

    Raises:
        NotJoinableError: they have different columns.
    """
    footer, behind = pq.read_metadata(earlier), pq.read_metadata(path)
    if not footer.schema.equals(behind.schema):
        raise NotJoinableError(f"{path.name} has other columns than before")
    footer.append_row_groups(behind)
    joined = io.BytesIO()
    footer.write_metadata_file(joined)
    with path.open("r+b") as stream:
        stream.seek(_footer_start(stream))
        stream.truncate()
        stream.write(joined.getvalue()[len(MAGIC) :])


def _footer_start(stream: BinaryIO) -> int:
    end = stream.seek(-_END_BYTES, os.SEEK_END)
    return end - int.from_bytes(stream.read(4), "little")
