"""Splits the bytes of an object into pieces of whole lines. Handles gzip, zstd and newlines, but no columns."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from isal import isal_zlib

# Decompressed at a time. Blocks that stay in the cache and whose memory is used again halve the time of decompression
# and of cutting lines; 32 MiB took fresh pages of the system each time.
BLOCK_BYTES = 2 << 20
READ_BYTES = 1 << 20
FED_BYTES = 96 << 10  # of gzip at a time, a part of a block: what a full block leaves over is copied
WINDOW_BYTES = 16 << 10  # fed to a new gzip member first, so that small members leave little over
MAX_LAYERS = 3  # layers of compression: a shipper and an uploader may both compress a file by accident
# The size limit of an expanded object: this factor of the stored size, which one layer of a real log never reaches,
# and some bytes more.
MAX_EXPANSION = 1_000
FREE_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 20  # a longer line is rejected; CloudFront's lines are below 64 KiB
MAX_LINES = 100_000  # at a time: each line has a fixed cost, which must not add up
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = tuple(bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60))
_ZSTD_READ = 4 << 10  # small, because an error loses all that the same call has read
_NEWLINE = ord("\n")
_GZIP_ERRORS: tuple[type[Exception], ...] = (isal_zlib.error, zlib.error)  # type: ignore[assignment]

# Magic bytes of files that are neither text nor readable here, from the documents of their formats.
_OTHER_FORMATS = (
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x5d\0\0", "lzma"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"Salted__", "encrypted by openssl"),
    (b"age-encryption.org/", "encrypted by age"),
    (b"-----BEGIN PGP", "encrypted by PGP"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_LONGEST_MAGIC = max(len(magic) for magic, _ in _OTHER_FORMATS)
_LOOKED_AT = 4096  # bytes that are examined to tell text from other data
_LEAST_BYTES = 64  # too few bytes tell nothing
_CONTROL_SHARE = 0.05  # texts have fewer control characters; random bytes have 11 %
_NO_CONTROL = bytes(sorted({*b"\t\n\v\f\r\x1b", *range(0x20, 0x7F), *range(0x80, 0x100)}))
EXPANDS = f"it expands to more than {MAX_EXPANSION} times of what is stored, as no log does"
PLAIN_FORMATS = "Store it as plain text, gzip or zstd"


def most_bytes(stored: int) -> int:
    """The most bytes that an object of this stored size may expand to."""
    return MAX_EXPANSION * stored + FREE_BYTES


class BlockReader:
    """Iterates over the decompressed blocks of an object. Handles several layers of compression, gzip members and zstd
    frames.

    After the last block `error` says why the object could not be read to its end, or is None. If it begins with
    `cut off`, the blocks are correct up to their last whole line.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._stored = 0
        self.error: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._plain(self._read(), MAX_LAYERS)
        except _GZIP_ERRORS as error:
            self.error = f"corrupt gzip: {error}"
        except (OSError, EOFError) as error:
            self.error = f"reading stopped: {type(error).__name__}"

    def _read(self) -> Iterator[bytes]:
        while data := self._stream.read(READ_BYTES):
            self._stored += len(data)
            yield data

    def _plain(self, blocks: Iterator[bytes], layers: int) -> Iterator[bytes]:
        """Removes one layer of compression after the other, recognized by its first bytes."""
        first = next(blocks, b"")
        while len(first) < _LONGEST_MAGIC and (more := next(blocks, b"")):
            first += more
        blocks = chain([first] if first else [], blocks)
        if first.startswith(GZIP_MAGIC):
            inner = self._gunzipped(blocks)
        elif first.startswith((ZSTD_MAGIC, *_ZSTD_SKIPPABLE)):
            inner = self._unzstd(blocks)
        else:
            unknown = no_known_format(first)
            self._fail(unknown)
            if not unknown:
                yield from blocks
            return
        if layers:
            yield from self._plain(self._bounded(inner), layers - 1)
        else:
            self._fail(f"no known format: compressed more than {MAX_LAYERS} times")

    def _fail(self, error: str | None) -> None:
        self.error = self.error or error

    def _bounded(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for block in blocks:
            size += len(block)
            if size > most_bytes(self._stored):
                self._fail(EXPANDS)
                return
            yield block

    def _gunzipped(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        chunk, at = memoryview(b""), 0  # position of the next byte that no member has consumed
        fed: bytes | memoryview = b""
        member, window = isal_zlib.decompressobj(wbits=31), FED_BYTES  # nearly always there is one member
        while True:
            block = member.decompress(fed, BLOCK_BYTES)  # held-back output comes even without more data
            fed = member.unconsumed_tail
            if block:
                yield block
            if member.eof:
                chunk, at = _behind_zeros(chunk, at - len(fed or member.unused_data), chunks)
                if not chunk:
                    return
                if bytes(chunk[at : at + 2]) != GZIP_MAGIC[: len(chunk) - at]:
                    self._fail("corrupt gzip: other data behind it")
                    return
                member, window, fed = isal_zlib.decompressobj(wbits=31), WINDOW_BYTES, b""
            elif not block and not fed:
                if at == len(chunk):
                    chunk, at = memoryview(next(chunks, b"")), 0
                if not chunk:
                    self._fail("cut off: gzip ends in the middle")
                    return
                fed = chunk[at : at + window]
                at, window = at + len(fed), min(2 * window, FED_BYTES)

    def _unzstd(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Reads zstd with Arrow, which handles several frames and refuses one that needs more than 128 MiB of
        memory."""
        stored = _Chunks(chunks)
        with pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), "zstd") as stream:
            error: OSError | None = None
            while error is None:
                parts: list[bytes] = []
                size = 0
                try:
                    while size < READ_BYTES and (part := stream.read(_ZSTD_READ)):
                        parts.append(part)
                        size += len(part)
                except OSError as failed:
                    error = failed
                if parts:
                    yield b"".join(parts)
                elif error is None:
                    return
        if stored.error is not None:
            raise stored.error
        is_cut = "Truncated" in str(error)
        self._fail("cut off: zstd ends in the middle" if is_cut else f"corrupt zstd: {str(error).splitlines()[0]}")


def _behind_zeros(chunk: memoryview, at: int, chunks: Iterator[bytes]) -> tuple[memoryview, int]:
    """The chunk and position of the next byte that is not zero; an empty chunk at the end. Tapes and some tools pad
    with zeros."""
    while chunk:
        part = bytes(chunk[at : at + WINDOW_BYTES])
        found = part.lstrip(b"\0")
        at += len(part) - len(found)
        if found:
            return chunk, at
        if at == len(chunk):
            chunk, at = memoryview(next(chunks, b"")), 0
    return chunk, 0


class _Chunks:
    """A file object over chunks for Arrow. `error` tells a failed read apart from invalid data."""

    closed = False

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")
        self.error: OSError | None = None

    def read(self, size: int) -> bytes:
        try:
            self._left = self._left or memoryview(next(self._chunks, b""))
        except OSError as error:
            self.error = error
            raise
        data, self._left = bytes(self._left[:size]), self._left[size:]
        return data

    def close(self) -> None:
        pass


def no_known_format(first: bytes) -> str | None:
    """Why these first bytes of an object are in no known format; None if they may be text or Parquet."""
    for magic, name in _OTHER_FORMATS:
        if first.startswith(magic):
            return f"no known format: it is {name}. {PLAIN_FORMATS}"
    sample = first[:_LOOKED_AT]
    controls = len(sample.translate(None, _NO_CONTROL))
    if len(sample) >= _LEAST_BYTES and controls > _CONTROL_SHARE * len(sample) and not sample.startswith(b"PAR1"):
        return f"no known format: it is no text. {PLAIN_FORMATS}"
    return None


@dataclass(frozen=True)
class Lines:
    """Whole lines, each with its newline."""

    first_line: int  # number of the first line, from 1
    data: bytes
    count: int
    too_long: bool = False  # data is the beginning of one line that exceeds the limit


def whole_lines(blocks: Iterable[bytes]) -> Iterator[Lines]:
    """Cuts blocks at newlines. The text after the last newline is the last piece, without a newline.

    Byte order marks at the beginning of lines are removed: joined files may each have one.
    """
    line, carry, in_long_line = 1, b"", False
    for block in blocks:
        if in_long_line:
            _, newline, block = block.partition(b"\n")
            in_long_line = not newline
        end = block.rfind(b"\n") + 1
        if end:
            whole = block if end == len(block) else block[:end]
            for part, count in _parted(_without_marks(carry + whole if carry else whole)):
                for lines in _without_long_lines(line, part, count):
                    yield lines
                    line += lines.count
            carry = block[end:]
        else:
            carry += block
        if len(carry) > MAX_LINE_BYTES:
            yield Lines(line, carry[:MAX_LINE_BYTES], 1, too_long=True)
            line, carry, in_long_line = line + 1, b"", True
    if carry := _without_marks(carry):
        yield Lines(line, carry, 1)


def _without_marks(lines: bytes) -> bytes:
    if BYTE_ORDER_MARK[:1] not in lines:  # searching for one byte is 15 times as fast
        return lines
    return lines.removeprefix(BYTE_ORDER_MARK).replace(b"\n" + BYTE_ORDER_MARK, b"\n")


def _parted(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Parts of at most `MAX_LINES` whole lines, each with its number of lines; usually one part."""
    count = count_lines(data)
    if count <= MAX_LINES:
        yield data, count
        return
    middle = len(data) // 2
    end = data.rfind(b"\n", 0, middle) + 1 or data.index(b"\n", middle) + 1
    yield from _parted(data[:end])
    yield from _parted(data[end:])


def _without_long_lines(line: int, data: bytes, count: int) -> Iterator[Lines]:
    """Splits lines into pieces around the lines that are too long. Only a stretch of half the limit without a newline
    can be part of such a line, so most data needs no closer look."""
    stretch = MAX_LINE_BYTES // 2
    starts = range(0, len(data) - stretch, stretch)
    if all(data.find(b"\n", start, start + stretch) >= 0 for start in starts):
        yield Lines(line, data, count)
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
