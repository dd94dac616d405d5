"""Bytes of one object → blocks of plain bytes → pieces of whole lines. Knows gzip and newlines, no columns."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

BLOCK_BYTES = 32 << 20  # decompressed at a time, so that a gzip bomb costs time and little memory
READ_BYTES = 8 << 20
MAX_LINE_BYTES = 1 << 20  # a longer line is rejected; CloudFront's own are below 64 KiB
GZIP_MAGIC = b"\x1f\x8b"
_NEWLINE = ord("\n")


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
        except (isal_zlib.error, zlib.error) as error:
            self.error = f"corrupt gzip: {error}"
        except (OSError, EOFError) as error:
            self.error = f"reading stopped: {type(error).__name__}"
        except Exception as error:  # urllib3 and botocore raise kinds of their own on a cut connection
            if type(error).__module__.partition(".")[0] not in ("urllib3", "botocore", "http"):
                raise
            self.error = f"reading stopped: {type(error).__name__}"

    def _members(self, data: bytes) -> Iterator[bytes]:
        member = isal_zlib.decompressobj(wbits=31)
        while True:
            while data and not member.eof:
                block = member.decompress(data, BLOCK_BYTES)
                data = member.unconsumed_tail
                if block:
                    yield block
                elif not member.eof and not data:
                    break
            if member.eof:
                data = (data or member.unused_data).lstrip(b"\0")  # tapes and some tools pad with zeros
                data = data or self._stream.read(READ_BYTES).lstrip(b"\0")
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


@dataclass(frozen=True)
class Lines:
    """Whole lines, each with its newline."""

    first_line: int  # number of the first, from 1
    data: bytes
    count: int
    too_long: bool = False  # data is the beginning of one line that was longer than any may be


def whole_lines(blocks: Iterator[bytes]) -> Iterator[Lines]:
    """Cuts blocks at newlines. What follows the last newline is given as a last piece without one."""
    line, carry = 1, b""
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if not end:
            carry += block
            if len(carry) > MAX_LINE_BYTES:
                carry = yield from _skip_line(blocks, line, carry)
                line += 1
            continue
        whole = block if end == len(block) else block[:end]
        data = carry + whole if carry else whole
        carry = block[end:]
        count = int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE))  # 3 times as fast as bytes.count
        yield Lines(line, data, count)
        line += count
    if carry:
        yield Lines(line, carry, 1)


def _skip_line(blocks: Iterator[bytes], line: int, start: bytes) -> Generator[Lines, None, bytes]:
    """Gives the beginning of an endless line and passes over the rest; returns what follows its newline."""
    yield Lines(line, start[:MAX_LINE_BYTES], 1, too_long=True)
    for block in blocks:
        _, newline, rest = block.partition(b"\n")
        if newline:
            return rest
    return b""
