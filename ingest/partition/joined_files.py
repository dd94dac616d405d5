"""Writes a Parquet file that begins with the row groups of an earlier file. Their bytes are copied, not decoded.

A footer gives the offset of each row group from the beginning of the file. Row groups that are copied to the same
offset keep their description, so the footers of the earlier file and of the rows behind it only need to be merged.
This module knows nothing of the rows.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

import pyarrow.parquet as pq

MAGIC = b"PAR1"
_END_BYTES = 8  # after a footer: its length, and the magic bytes
_COPY_BYTES = 8 << 20


class NotJoinableError(Exception):
    """The new rows have other columns than the earlier file."""


def begin_with(writer: pq.ParquetWriter, earlier: Path) -> None:
    """Copies the row groups of an earlier file into the file of a writer that has not written anything yet."""
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
    """Merges the row groups that `begin_with` has copied and those written after them into one file.

    Raises:
        NotJoinableError: the row groups have different columns.
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
