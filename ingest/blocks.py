"""Bytes of one object → blocks of plain bytes → pieces of whole lines. Knows gzip and newlines, no columns."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

BLOCK_BYTES = 32 << 20  # decompressed at a time, so that a gzip bomb costs time and little memory
READ_BYTES = 8 << 20
MAX_LINE_BYTES = 1 << 20  # a longer line is rejected; CloudFront's own are below 64 KiB
GZIP_MAGIC = b"\x1f\x8b"
_NEWLINE = ord("\n")
_GZIP_ERRORS: tuple[type[Exception], ...] = (isal_zlib.error, zlib.error)  # type: ignore[assignment]


class BlockReader:
    """The decompressed blocks of an object, however many gzip members it has, plain if it is not gzip.

    After the last block `error` says why the object could not be read to its end, None where it could.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.error: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            data = self._stream.read(READ_BYTES)
            if data[:2] == GZIP_MAGIC:
                yield from self._members(data)
            else:
                while data:
                    yield data
                    data = self._stream.read(READ_BYTES)
        except _GZIP_ERRORS as error:
            self.error = f"corrupt gzip: {error}"
        except (OSError, EOFError) as error:
            self.error = f"reading stopped: {type(error).__name__}"

    def _members(self, data: bytes) -> Iterator[bytes]:
        member = isal_zlib.decompressobj(wbits=31)
        while True:
            while not member.eof:
                block = member.decompress(data, BLOCK_BYTES)  # what it holds back comes even without more data
                data = member.unconsumed_tail
                if block:
                    yield block
                elif not data:
                    break
            if member.eof:
                data = self._behind_padding(data or member.unused_data)
                if not data:
                    return
                if data[:2] != GZIP_MAGIC[: len(data)]:
                    self.error = "corrupt gzip: other data behind it"
                    return
                member = isal_zlib.decompressobj(wbits=31)
                continue
            data = self._stream.read(READ_BYTES)
            if not data:
                self.error = "cut off: gzip ends in the middle"
                return

    def _behind_padding(self, data: bytes) -> bytes:
        """Tapes and some tools pad with zeros."""
        while not (data := data.lstrip(b"\0")):
            data = self._stream.read(READ_BYTES)
            if not data:
                break
        return data


@dataclass(frozen=True)
class Lines:
    """Whole lines, each with its newline."""

    first_line: int  # number of the first, from 1
    data: bytes
    count: int
    too_long: bool = False  # data is the beginning of one line that was longer than any may be


def whole_lines(blocks: Iterable[bytes]) -> Iterator[Lines]:
    """Cuts blocks at newlines. What follows the last newline is given as a last piece without one."""
    line, carry, in_long_line = 1, b"", False
    for block in blocks:
        if in_long_line:
            _, newline, block = block.partition(b"\n")
            in_long_line = not newline
        end = block.rfind(b"\n") + 1
        if end:
            whole = block if end == len(block) else block[:end]
            for lines in _without_long_lines(line, carry + whole if carry else whole):
                yield lines
                line += lines.count
            carry = block[end:]
        else:
            carry += block
        if len(carry) > MAX_LINE_BYTES:
            yield Lines(line, carry[:MAX_LINE_BYTES], 1, too_long=True)
            line, carry, in_long_line = line + 1, b"", True
    if carry:
        yield Lines(line, carry, 1)


def _without_long_lines(line: int, data: bytes) -> Iterator[Lines]:
    """Cuts whole lines around those that are too long. A stretch of half a line's limit without a newline tells
    that there may be one, so that most data is not looked through."""
    stretch = MAX_LINE_BYTES // 2
    starts = range(0, len(data) - stretch, stretch)
    if all(data.find(b"\n", start, start + stretch) >= 0 for start in starts):
        yield Lines(line, data, count_lines(data))
        return
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE) + 1
    begins = np.concatenate([[0], ends[:-1]])
    after = 0
    for number in np.flatnonzero(ends - begins - 1 > MAX_LINE_BYTES).tolist():
        begin, end = int(begins[number]), int(ends[number])
        if begin > after:
            before = data[after:begin]
            yield Lines(line, before, count_lines(before))
            line += count_lines(before)
        yield Lines(line, data[begin : begin + MAX_LINE_BYTES], 1, too_long=True)
        line, after = line + 1, end
    if after < len(data):
        yield Lines(line, data[after:], count_lines(data[after:]))


def count_lines(data: bytes) -> int:
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE))  # 3 times as fast as bytes.count
