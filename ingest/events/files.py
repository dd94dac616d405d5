"""Reads the files of events: JSON lines, or one JSON array, plain or gzip → batches of lines.

`parser.py` interprets the lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.rows.batches import ObjectFacts
from ingest.rows.blocks import BYTE_ORDER_MARK, MAX_LINE_BYTES, MAX_LINES, BlockReader, Lines, count_lines, whole_lines

BATCH_BYTES = 12 << 20  # of plain text read at once: about 15,000 events
_NEWLINE = ord("\n")
_BLANKS = pa.array([b" ", b"\t", b"\r", b"\n", b""], pa.binary())
_SPACE = re.compile(r"[\s,\ufeff]*")
_NEXT_ELEMENT = re.compile(r"\}\s*(?:,|\][\s\ufeff]*\[)\s*(?=\{)")  # of this array or the next
# The tokens that show how an event is nested. A regular expression, because the engine accepts JSON that Python's
# reader does not, such as a comma at an end.
NESTING = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}\[\]:]', re.DOTALL)
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)  # Python refuses numbers with thousands of digits
MAX_DEPTH = 900  # levels of objects and arrays; Python's readers can handle them
# A broken text may be read this many times its length, because each object within it may be the next element. After
# that, the search for the next element starts where reading ended.
MOST_IN_VAIN = 8


@dataclass(frozen=True)
class EventPiece:
    """Whole lines of one object, each with its newline."""

    object_index: int
    first_line: int
    data: bytes
    count: int
    reason: str | None = None  # why this line is rejected without being parsed


@dataclass
class EventBatch:
    """Lines of events: the text, object and line of each; `reasons` of lines that are rejected without being parsed."""

    texts: pa.Array
    object_index: np.ndarray
    line: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.line)

    def part(self, start: int, end: int) -> EventBatch:
        reasons = {row - start: reason for row, reason in self.reasons.items() if start <= row < end}
        texts = self.texts.slice(start, end - start)
        return EventBatch(texts, self.object_index[start:end], self.line[start:end], reasons)


def read_event_pieces(stream: BinaryIO, object_index: int, facts: ObjectFacts) -> Iterator[EventPiece]:
    """An object's lines; for an array, each element as a line."""
    reader = BlockReader(stream)
    blocks = iter(reader)
    first, lines_before = _first_text(blocks)
    if not first:
        facts.error = reader.error
        return

    def all_blocks() -> Iterator[bytes]:
        yield first
        yield from blocks

    if first.startswith(b"PAR1"):
        facts.error = "no known format: it is Parquet, which is read of access logs alone"
        return
    facts.format = "json"
    if first.lstrip()[:1] == b"[":
        yield from _elements(all_blocks(), object_index)
    else:
        for piece in _lines(all_blocks(), reader, object_index):
            yield replace(piece, first_line=piece.first_line + lines_before) if lines_before else piece
    facts.error = facts.error or reader.error


def _first_text(blocks: Iterator[bytes]) -> tuple[bytes, int]:
    """(first block with more than blanks, without a byte order mark; number of lines before it)."""
    lines_before = 0
    for block in blocks:
        block = block.removeprefix(BYTE_ORDER_MARK)
        if block.strip():
            return block, lines_before
        lines_before += count_lines(block)
    return b"", 0


def _lines(blocks: Iterable[bytes], reader: BlockReader, object_index: int) -> Iterator[EventPiece]:
    for lines in whole_lines(blocks):
        if lines.too_long:
            yield EventPiece(object_index, lines.first_line, lines.data + b"\n", 1, "line_too_long")
        elif not lines.data.endswith(b"\n"):
            reason = "cut_off" if reader.error else None
            yield EventPiece(object_index, lines.first_line, lines.data + b"\n", 1, reason)
        else:
            yield from _cut(lines, object_index)


def _cut(lines: Lines, object_index: int) -> Iterator[EventPiece]:
    """Pieces of about `BATCH_BYTES`."""
    data, line, left = lines.data, lines.first_line, lines.count
    while len(data) > BATCH_BYTES + MAX_LINE_BYTES:
        end = data.index(b"\n", BATCH_BYTES) + 1
        piece, data = data[:end], data[end:]
        count = count_lines(piece)
        yield EventPiece(object_index, line, piece, count)
        line, left = line + count, left - count
    yield EventPiece(object_index, line, data, left)


class _Text(str):
    """Text whose lines are not counted. An error of the JSON reader counts the lines before it, which takes long for an
    array with an error in each element."""

    def count(self, *_: Any) -> int:
        return 0

    def rfind(self, *_: Any) -> int:
        return -1


def _elements(blocks: Iterable[bytes], object_index: int) -> Iterator[EventPiece]:
    """The elements of a JSON array, read as it arrives. The number of an element is its line. Joined files hold several
    arrays one after the other; the elements of all are read.

    Text that is not JSON becomes one reject, up to the next object.
    """
    text, number = _Text(), 1
    rest = iter(blocks)
    pending = b""
    is_open = is_between = True
    position = in_vain = passed = 0
    while True:
        position = _behind_blanks(text, position)
        sign = text[position : position + 1]
        if sign == "]" or (sign == "[" and is_between):
            position, is_between = position + 1, sign == "]"
            continue
        end, read = _element_end(text, position) if sign else (-1, position)
        if end >= 0 and (end < len(text) or not is_open):
            yield _element(object_index, number, text[position:end])
            number, position = number + 1, end
            continue
        if is_open and len(text) - position <= 4 * MAX_LINE_BYTES:
            block = next(rest, None)
            is_open = block is not None
            more, pending = _whole_characters(pending + (block or b""), is_last=not is_open)
            passed += position
            text, position = _Text(text[position:] + more), 0
            continue
        if position >= len(text):
            return
        in_vain += read - position
        is_costly = in_vain > MOST_IN_VAIN * (passed + position + MAX_LINE_BYTES)
        gap = _NEXT_ELEMENT.search(text, read if is_costly else position)
        end = gap.end() if gap else len(text)
        is_long = end - position > MAX_LINE_BYTES
        broken = text[position : min(end, position + 4 * MAX_LINE_BYTES)].rstrip().rstrip(",]")
        yield _element(object_index, number, broken, "line_too_long" if is_long else "bad_json")
        number, position = number + 1, end


def _element_end(text: str, position: int) -> tuple[int, int]:
    """(end of the element that begins here, how far it was read). The end is -1 if the element is broken or not
    whole."""
    try:
        end = _DECODER.raw_decode(text, position)[1]
    except json.JSONDecodeError as error:
        return -1, error.pos
    except RecursionError:
        return -1, _end_of_nesting(text, position)
    return end, end


def _end_of_nesting(text: str, position: int) -> int:
    """The position at which an element is known to be nested too deeply, or its end."""
    depth = 0
    for token in NESTING.finditer(text, position):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
        if depth > MAX_DEPTH or not depth:
            return token.start()
    return len(text)


def _behind_blanks(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _whole_characters(data: bytes, is_last: bool) -> tuple[str, bytes]:
    """(text, bytes of a last character that is not complete yet). Invalid UTF-8 becomes U+FFFD."""
    for back in range(1, 4):
        if not is_last and len(data) >= back and data[-back] >= 0xC0:
            return data[:-back].decode("utf-8", "replace"), data[-back:]
    return data.decode("utf-8", "replace"), b""


def _element(object_index: int, number: int, text: str, reason: str | None = None) -> EventPiece:
    data = text.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace")
    if reason is None and len(data) > MAX_LINE_BYTES:
        reason = "line_too_long"
    return EventPiece(object_index, number, data[:MAX_LINE_BYTES] + b"\n", 1, reason)


def event_batches(pieces: Iterable[EventPiece]) -> Iterator[EventBatch]:
    """Joins small pieces up to `BATCH_BYTES` and `MAX_LINES`."""
    waiting: list[EventPiece] = []
    size = lines = 0
    for piece in pieces:
        if waiting and (size + len(piece.data) > BATCH_BYTES or lines + piece.count > MAX_LINES):
            yield _batch(waiting)
            waiting, size, lines = [], 0, 0
        waiting.append(piece)
        size += len(piece.data)
        lines += piece.count
    if waiting:
        yield _batch(waiting)


def _batch(pieces: list[EventPiece]) -> EventBatch:
    data = pieces[0].data if len(pieces) == 1 else b"".join(piece.data for piece in pieces)
    counts = np.array([piece.count for piece in pieces])
    starts = np.cumsum(counts) - counts
    first_lines = np.array([piece.first_line for piece in pieces], dtype=np.int64)
    row = np.arange(counts.sum(), dtype=np.int64)
    reasons = {int(start): piece.reason for piece, start in zip(pieces, starts, strict=True) if piece.reason}
    texts = _texts(data, reasons)
    for empty in np.flatnonzero(_is_blank(texts)).tolist():
        reasons.setdefault(empty, "empty_line")
    return EventBatch(
        texts=texts,
        object_index=np.repeat(np.array([piece.object_index for piece in pieces], dtype=np.int32), counts),
        line=row + np.repeat(first_lines - starts, counts),
        reasons=reasons,
    )


def _texts(data: bytes, reasons: dict[int, str]) -> pa.Array:
    """The lines as texts, without a copy if all bytes are UTF-8. A line that is not UTF-8 is rejected."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == _NEWLINE).astype(np.int32) + 1
    offsets = np.concatenate([np.zeros(1, np.int32), ends])
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError:
        texts = []
        for number, line in enumerate(_with_breaks(data)):
            try:
                texts.append(line.decode())
            except UnicodeDecodeError:
                reasons.setdefault(number, "bad_json")
                texts.append(line.decode("utf-8", "replace"))
        return pa.array(texts, pa.string())
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(data))


def _with_breaks(data: bytes) -> list[bytes]:
    """The lines with their line breaks, which ids of events without one are hashed with."""
    return [line + b"\n" for line in data.split(b"\n")[:-1]]


def _is_blank(texts: pa.Array) -> np.ndarray:
    """Which texts hold only blanks. Only texts that begin with a blank are examined."""
    blank = np.zeros(len(texts), dtype=bool)
    rows = np.flatnonzero(
        pc.is_in(pc.binary_slice(texts.cast(pa.binary()), 0, 1), _BLANKS).to_numpy(zero_copy_only=False)
    )
    blank[rows] = [not text.strip() for text in texts.take(pa.array(rows)).to_pylist()]
    return blank
