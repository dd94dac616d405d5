"""Reads the file formats of access logs: text with a `#Fields` header, JSON lines, Parquet → columns by field name.

Each row keeps its object and line. `parser.py` interprets the columns.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

from ingest.access_logs.native import line_reader
from ingest.access_logs.values import MAX_INTEGER, MAX_STATUS, TIMESTAMP_MS, read_numbers, read_times
from ingest.native.library import Core, NativeError, core
from ingest.rows.batches import ObjectFacts
from ingest.rows.blocks import (
    BYTE_ORDER_MARK,
    EXPANDS,
    MAX_LINE_BYTES,
    MAX_LINES,
    BlockReader,
    Lines,
    most_bytes,
    whole_lines,
)
from ingest.rows.privacy import FIELD_MARKER, scrub_line
from ingest.rows.strict_json import no_constant
from ingest.schema import ACCESS_LOG_FIELDS, ACCESS_LOGS, COUNTRY_FIELD, PRIVATE_FIELDS

BATCH_BYTES = 32 << 20
# The CSV reader works on this many bytes at a time. They fit a core's cache, and hold any line, even one whose bytes
# are all replaced by U+FFFD. Reading a whole batch at once took three times as long on some machines.
CSV_BLOCK_BYTES = 4 << 20
BEGINNING = 4096  # bytes that tell text from JSON
JSON_LINES = ("json",)  # takes the place of a header in JSON lines
DIRECTIVES = (b"#Version:", b"#Fields:", b"#Software:", b"#Start-Date:", b"#End-Date:", b"#Date:", b"#Remark:")

MAX_JSON_FIELDS = 200
TIME_FIELDS = ("date", "time", TIMESTAMP_MS)
COOKIE = "cs(Cookie)"
STATUS = "sc-status"
MAX_ODD_SHARE = 0.25  # of a batch's lines; with more of them, the Python way alone is quicker than both
MAX_HEADER_FIELDS = 500  # AWS documents about 60
MAX_HEADERS = 1_000  # changes of the header in one object; each part is read by itself
MAX_NAME_LENGTH = 200
MAX_PARQUET_BYTES = 256 << 20  # a file is read whole; CloudFront's are some MiB
PARQUET_ROWS = 32_768  # rows that are read at a time
MAX_ROWS_PER_BYTE = 100  # of a Parquet file, where empty rows take no space

log = logging.getLogger(__name__)

_NULLS = ["-", ""]
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
# Fields whose values nearly all differ: a dictionary would only cost time.
PLAIN_FIELDS = ("x-edge-request-id", "cs-uri-query")
_NUMBERS = {column.field: column.type for column in ACCESS_LOGS if column.field and column.type != pa.string()}
_KEPT_FIELDS = (
    {column.field for column in ACCESS_LOGS if column.field}
    | {"date", "time", "c-ip", TIMESTAMP_MS, COUNTRY_FIELD}
    | set(_NUMBERS)
)

_TYPES = {name: pa.string() if name in PLAIN_FIELDS else _DICTIONARY for name in _KEPT_FIELDS} | _NUMBERS

_SHOWN_FIELDS = _KEPT_FIELDS | set(ACCESS_LOG_FIELDS) - set(PRIVATE_FIELDS)  # shown of rejected Parquet rows


def _plain_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


_CANONICAL = {_plain_name(name): name for name in (*ACCESS_LOG_FIELDS, *sorted(_KEPT_FIELDS))}


def canonical_field(name: str) -> str:
    """The documented name of a field: `cs_user_agent` becomes `cs(User-Agent)`. An unknown name is kept, up to
    `MAX_NAME_LENGTH` characters."""
    return _canonical(name[:MAX_NAME_LENGTH])


@lru_cache(4096)
def _canonical(name: str) -> str:
    return _CANONICAL.get(_plain_name(name), name)


def header_fields(directive: bytes) -> tuple[str, ...]:
    """Field names of a `#Fields:` line, separated by spaces or tabs. Only the first of a repeated name counts."""
    names = directive.decode("utf-8", "replace").partition(":")[2].split()
    fields: dict[str, None] = {}
    for name in names:
        canonical = canonical_field(name)
        fields[canonical if canonical not in fields else f"{canonical}#{len(fields)}"] = None
    return tuple(fields)


@lru_cache(4096)
def shown_field(name: str) -> str:
    """The name of a field as it may be stored. Unknown names are scrubbed, because some senders put values there."""
    return name if name in _CANONICAL.values() else scrub_line(name)


# Private parts of a rejected line: values of private fields in JSON, broken or not, and texts that look like a cookie,
# which is one or several `name=value`, without the `&` of a query or the `/` of a user agent before the `=`.
_PRIVATE_IN_JSON = re.compile(
    r"""(?i)("[^a-z0-9"]*(?:NAMES)[^a-z0-9"]*"\s*:\s*)(?!null\b|"-?")(?:"(?:[^"\\]|\\.)*"?|[^"\s].*)""".replace(
        "NAMES", "|".join(_plain_name(name).replace("_", r'[^a-z0-9"]+') for name in PRIVATE_FIELDS)
    )
)
_COOKIE = re.compile(r"\A[^=/?&;]{1,256}=[^=&][^&]*")
_WORD = re.compile(r"[A-Za-z]{1,32}")
_COOKIES = re.compile(r"\A[^=/?&;]{1,256}=[^;&]*;(?: |%20)?[^=/?&;]{1,256}=.*")


@dataclass(frozen=True)
class Piece:
    """Whole lines of one object under one header."""

    object_index: int
    first_line: int
    fields: tuple[str, ...]
    data: bytes | memoryview
    count: int
    is_plain: bool = True  # without a carriage return
    reason: str | None = None  # why this line is rejected without being parsed


@dataclass
class RawBatch:
    """Rows as logged. Each field is a column of text, or already of numbers, with null for `-`.

    time_us: the time of each row, if it is already read; else `columns` has its parts.
    unreadable: the number of values of each row that are no numbers and are already null; None for none.
    """

    columns: dict[str, pa.Array]
    object_index: np.ndarray
    line: np.ndarray
    text_of: Callable[[np.ndarray], list[str]]  # the lines of these rows, for rejects
    reasons: dict[int, str] = field(default_factory=dict)  # rows that are rejected without being parsed
    time_us: np.ndarray | None = None
    unreadable: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.line)

    def times(self) -> np.ndarray:
        """Microseconds since 1970 of each row; `NO_TIME` if date or time is missing or invalid."""
        return read_times(self.columns, len(self)) if self.time_us is None else self.time_us


def note_header(facts: ObjectFacts, fields: Iterable[str]) -> None:
    """Adds the fields of a header to the facts of its object."""
    names = {shown_field(name) for name in fields}
    required = {"cs-uri-stem", "sc-status"}
    if TIMESTAMP_MS not in names:
        required |= {"date", "time"}
    facts.fields |= names
    facts.missing_fields |= required - names
    facts.unknown_fields |= names - set(_KEPT_FIELDS) - set(PRIVATE_FIELDS)


class HeaderError(Exception):
    """A header exceeds the limits. The rest of its object is not read."""


def read_pieces(stream: BinaryIO, object_index: int, facts: ObjectFacts) -> Iterator[Piece | RawBatch]:
    """An object's lines, cut where the header changes. A Parquet object comes as finished batches."""
    reader = BlockReader(stream)
    blocks = iter(reader)
    first = next(blocks, b"")
    try:
        if first[:4] == b"PAR1":
            facts.format = "parquet"
            yield from _read_parquet(first, blocks, object_index, facts)
        else:
            yield from _read_lines(first.removeprefix(BYTE_ORDER_MARK), blocks, reader, object_index, facts)
    except HeaderError as error:
        facts.error = str(error)
    facts.error = facts.error or reader.error


def _read_lines(
    first: bytes, blocks: Iterator[bytes], reader: BlockReader, object_index: int, facts: ObjectFacts
) -> Iterator[Piece]:
    def all_blocks() -> Iterator[bytes]:
        if first:
            yield first
        yield from blocks

    start = first[:BEGINNING].lstrip()
    is_json = start[:1] == b"{"
    if start:
        facts.format = "json" if is_json else "text"
    if is_json:
        facts.fields |= {shown_field(canonical_field(name)) for name in _names_of_first_line(first.lstrip() + b"\n")}
    header = JSON_LINES if is_json else tuple(ACCESS_LOG_FIELDS)
    for lines in whole_lines(all_blocks()):
        if lines.too_long:
            yield Piece(object_index, lines.first_line, header, lines.data + b"\n", 1, reason="line_too_long")
        elif not lines.data.endswith(b"\n"):
            reason = "cut_off" if reader.error else None
            header = yield from _cut_at_directives(
                Lines(lines.first_line, lines.data + b"\n", 1), header, object_index, facts, reason
            )
        else:
            header = yield from _cut_at_directives(lines, header, object_index, facts, None)


def _cut_at_directives(
    lines: Lines, header: tuple[str, ...], object_index: int, facts: ObjectFacts, reason: str | None
) -> Any:
    """Yields the pieces between lines such as `#Fields: …`. Returns the header that is in force at the end."""
    data, line, start = lines.data, lines.first_line, 0
    is_plain = b"\r" not in data
    while start < len(data):
        if _is_directive(data, start):
            end = data.index(b"\n", start) + 1
            if data.startswith(b"#Fields:", start) and reason is None:
                before, header = header, header_fields(data[start:end])
                facts.headers += header != before
                facts.has_header = True
                _check_header(header, facts)
            line += 1
        else:
            end = _next_directive(data, start)
            if header != JSON_LINES:
                note_header(facts, header)
            count = data.count(b"\n", start, end) if end < len(data) else lines.first_line + lines.count - line
            yield Piece(object_index, line, header, memoryview(data)[start:end], count, is_plain, reason)
            line += count
        start = end
    return header


def _is_directive(data: bytes, start: int) -> bool:
    """Whether a line is a directive. In a file with lone carriage returns as line ends, the first line would be
    the whole file, so a line with a carriage return inside is no directive."""
    return data.startswith(DIRECTIVES, start) and b"\r" not in data[start : data.index(b"\n", start)].rstrip(b"\r")


def _check_header(header: tuple[str, ...], facts: ObjectFacts) -> None:
    if len(header) > MAX_HEADER_FIELDS:
        raise HeaderError(f"its header names {len(header)} fields, and {MAX_HEADER_FIELDS} are read at most")
    if facts.headers > MAX_HEADERS:
        raise HeaderError(f"its header changes more than {MAX_HEADERS} times")


def _next_directive(data: bytes, start: int) -> int:
    at = data.find(b"#", start)  # one byte is found ten times as fast as two, and it is rare: CloudFront encodes it
    if at >= 0:
        at = data.find(b"\n#", max(at - 1, start))
    while at >= 0 and not data.startswith(DIRECTIVES, at + 1):
        at = data.find(b"\n#", at + 1)
    return len(data) if at < 0 else at + 1


def batches(pieces: Iterable[Piece | RawBatch]) -> Iterator[RawBatch]:
    """Joins the pieces of small objects, whatever their headers, and parses `BATCH_BYTES` at a time, so that thousands
    of small files take no longer than one large file."""
    waiting: list[Piece] = []
    size = lines = 0
    for piece in pieces:
        is_full = isinstance(piece, RawBatch) or size >= BATCH_BYTES or lines + piece.count > MAX_LINES
        if waiting and is_full:
            yield _parse(waiting)
            waiting, size, lines = [], 0, 0
        if isinstance(piece, RawBatch):
            yield piece
        else:
            waiting.append(piece)
            size += len(piece.data)
            lines += piece.count
    if waiting:
        yield _parse(waiting)


def _parse(pieces: list[Piece]) -> RawBatch:
    """One batch, in the order of the pieces. Pieces with the same header are read together."""
    of_header: dict[tuple[str, ...], list[int]] = {}
    for at, piece in enumerate(pieces):
        of_header.setdefault(piece.fields, []).append(at)
    parts = [_parse_alike([pieces[at] for at in members]) for members in of_header.values()]
    if len(parts) == 1:
        return parts[0]
    counts = np.array([piece.count for piece in pieces])
    starts = np.cumsum(counts) - counts
    chosen = np.concatenate(list(of_header.values()))
    counts, starts = counts[chosen], starts[chosen]
    places = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    return _joined(parts, np.argsort(places))


def _joined(parts: list[RawBatch], order: np.ndarray) -> RawBatch:
    """The rows of all parts in the order of `order`, which holds positions in their concatenation."""
    sizes = np.array([len(part) for part in parts])
    starts = np.cumsum(sizes) - sizes
    row_at = np.empty(len(order), dtype=np.int64)
    row_at[order] = np.arange(len(order))

    def text_of(rows: np.ndarray) -> list[str]:
        places = order[rows]
        part_of = np.searchsorted(starts, places, "right") - 1
        texts = [""] * len(rows)
        by_part = np.argsort(part_of, kind="stable")
        for chosen in np.split(by_part, np.flatnonzero(np.diff(part_of[by_part])) + 1) if len(rows) else ():
            part = part_of[chosen[0]]
            for at, text in zip(chosen.tolist(), parts[part].text_of(places[chosen] - starts[part]), strict=True):
                texts[at] = text
        return texts

    return RawBatch(
        columns=_joined_columns(parts, pa.array(order)),
        object_index=np.concatenate([part.object_index for part in parts])[order],
        line=np.concatenate([part.line for part in parts])[order],
        text_of=text_of,
        reasons={
            int(row_at[start + row]): reason
            for part, start in zip(parts, starts, strict=True)
            for row, reason in part.reasons.items()
        },
        time_us=np.concatenate([part.times() for part in parts])[order],
        unreadable=np.concatenate([_unreadable(part) for part in parts])[order],
    )


def _unreadable(batch: RawBatch) -> np.ndarray:
    return np.zeros(len(batch), dtype=np.int64) if batch.unreadable is None else batch.unreadable


def _joined_columns(parts: list[RawBatch], order: pa.Array) -> dict[str, pa.Array]:
    """The columns of all parts, without those of times; null if a header lacks the field."""
    columns = {}
    for name in dict.fromkeys(name for part in parts for name in part.columns if name not in TIME_FIELDS):
        found = [part.columns.get(name) for part in parts]
        kinds = {values.type for values in found if values is not None}
        kind = kinds.pop() if len(kinds) == 1 else pa.string()  # numbers in one part, texts in another
        pieces = [
            pa.nulls(len(part), kind) if values is None else values.cast(kind)
            for part, values in zip(parts, found, strict=True)
        ]
        columns[name] = pa.concat_arrays(pieces).take(order)
    return columns


def _parse_alike(pieces: list[Piece]) -> RawBatch:
    fields = pieces[0].fields
    data = pieces[0].data if len(pieces) == 1 else b"".join(piece.data for piece in pieces)
    counts = np.array([piece.count for piece in pieces])
    starts = np.cumsum(counts) - counts
    row = np.arange(counts.sum(), dtype=np.int64)
    first_lines = np.array([piece.first_line for piece in pieces], dtype=np.int64)
    batch = RawBatch(
        columns={},
        object_index=np.repeat(np.array([piece.object_index for piece in pieces], dtype=np.int32), counts),
        line=row + np.repeat(first_lines - starts, counts),
        text_of=lambda rows: _lines_at(data, rows, fields),
        reasons={
            int(start) + offset: piece.reason
            for piece, start, count in zip(pieces, starts, counts, strict=True)
            if piece.reason
            for offset in range(count)
        },
    )
    if fields == JSON_LINES:
        batch.columns = _json_columns(bytes(data), batch)
    else:
        is_plain = all(piece.is_plain and piece.reason is None for piece in pieces)
        native = core()
        if native is None or not _read_natively(native, data, fields, batch):
            batch.columns = _text_columns(data, fields, batch, is_plain)
    return batch


def _lines_at(data: bytes | memoryview, rows: np.ndarray, fields: tuple[str, ...]) -> list[str]:
    lines = bytes(data).split(b"\n")
    texts = (lines[row].rstrip(b"\r").decode("utf-8", "replace") for row in rows)
    if fields == JSON_LINES:
        return [_PRIVATE_IN_JSON.sub(rf'\1"{FIELD_MARKER}"', text) for text in texts]
    return [_without_private_values(text, fields) for text in texts]


def _without_private_values(line: str, fields: tuple[str, ...]) -> str:
    """The line without the values of private fields. If fields may have moved, everything that looks like a cookie
    is removed."""
    values = line.split("\t")
    is_even = len(values) == len(fields)
    private = {index for index, name in enumerate(fields) if name in PRIVATE_FIELDS} | _moved_cookies(values, fields)
    return "\t".join(
        FIELD_MARKER
        if (index in private and value not in _NULLS) or (not is_even and _COOKIE.fullmatch(value))
        else value
        for index, value in enumerate(values)
    )


def _moved_cookies(values: list[str], fields: tuple[str, ...]) -> set[int]:
    """The positions of values that may be a cookie, in a line with more or fewer fields than its header.

    Extra tabs may have moved the cookie to the right, so any value there may be one, except a word such as `Hit`. A
    short line was most often cut off at its end. In it, values left of the cookie's place are recognized by their form.
    """
    if COOKIE not in fields or len(values) == len(fields):
        return set()
    place, more = fields.index(COOKIE), len(values) - len(fields)
    if more > 0:
        return {at for at in range(place + 1, place + more + 1) if not _WORD.fullmatch(values[at])}
    places = range(max(place + more, 0), min(place, len(values)))
    queries = ("cs-uri-query", "cs(Referer)")
    return {at for at in places if (_COOKIES if fields[at] in queries else _COOKIE).fullmatch(values[at])}


# Text


def _text_columns(
    data: bytes | memoryview, fields: tuple[str, ...], batch: RawBatch, is_plain: bool
) -> dict[str, pa.Array]:
    """Reads strictly and typed first. A batch with anything unusual is made regular, then read again as text."""
    if is_plain and len(data) >= len(fields) * len(batch):  # with fewer bytes some rows must lack fields
        try:
            columns = _read_csv(data, fields, typed=True)
            may_have_empty_line = all(values.null_count for values in columns.values())
            if not may_have_empty_line and all(map(_has_usual_numbers, columns.values())):
                return columns
        except pa.ArrowInvalid:
            pass
    evened = _evened(bytes(data), fields, batch)
    return {} if len(batch.reasons) == len(batch) else _read_csv(evened, fields, typed=False)


def _read_natively(native: Core, data: bytes | memoryview, fields: tuple[str, ...], batch: RawBatch) -> bool:
    """Fills the batch with the columns that the native core reads, and those of its odd lines. False where the Python
    way reads all: many lines are odd, or the core fails."""
    types = {name: _TYPES[name] for name in fields if name in _TYPES}
    try:
        columns, times, odd = line_reader(native).read(data, fields, types, len(batch))
    except NativeError as error:
        log.warning("the native core failed, so lines are read the Python way: %s", error)
        return False
    if len(odd) > len(batch) * MAX_ODD_SHARE:
        return False
    if len(odd):
        _add_odd_lines(data, fields, odd, columns, times, batch)
    else:
        batch.columns, batch.time_us = columns, times
    return True


def _add_odd_lines(
    data: bytes | memoryview,
    fields: tuple[str, ...],
    odd: np.ndarray,
    usual: dict[str, pa.Array],
    times: np.ndarray | None,
    batch: RawBatch,
) -> None:
    """Reads the odd lines the Python way, and fills the batch with all lines in their order."""
    rows = odd[:, 0]
    lines = b"".join(bytes(data[begin:end]) + b"\n" for begin, end in odd[:, 1:].tolist())
    reasons = {at: batch.reasons[row] for at, row in enumerate(rows.tolist()) if row in batch.reasons}
    part = RawBatch({}, batch.object_index[rows], batch.line[rows], batch.text_of, reasons)
    texts = _text_columns(lines, fields, part, is_plain=False)
    batch.reasons |= {int(rows[at]): reason for at, reason in part.reasons.items()}
    is_odd = np.zeros(len(batch), dtype=bool)
    is_odd[rows] = True
    order = np.empty(len(batch), dtype=np.int64)
    order[~is_odd], order[is_odd] = np.arange(len(batch) - len(rows)), np.arange(len(batch) - len(rows), len(batch))
    if times is not None:
        batch.time_us = np.concatenate([times, read_times(texts, len(rows))])[order]
    batch.unreadable = np.zeros(len(batch), dtype=np.int64)
    for name, values in usual.items():
        found = texts.get(name)
        if found is None:
            found = pa.nulls(len(rows), values.type)
        elif name in _NUMBERS:
            found, is_bad = read_numbers(found, values.type)
            batch.unreadable[rows] += is_bad & (name != STATUS)
        batch.columns[name] = pa.concat_arrays([values, found]).take(pa.array(order))


def _read_csv(data: bytes | memoryview, fields: tuple[str, ...], typed: bool) -> dict[str, pa.Array]:
    kept = [name for name in fields if name in _KEPT_FIELDS]
    types = {name: pa.string() if name in PLAIN_FIELDS else _DICTIONARY for name in kept}
    types |= {name: _NUMBERS[name] if typed else pa.string() for name in kept if name in _NUMBERS}
    if not kept:
        return {}
    table = pacsv.read_csv(
        pa.py_buffer(data),
        pacsv.ReadOptions(use_threads=False, block_size=CSV_BLOCK_BYTES, column_names=fields),
        pacsv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
        pacsv.ConvertOptions(column_types=types, include_columns=kept, null_values=_NULLS, strings_can_be_null=True),
    )
    return {name: table.column(name).combine_chunks() for name in kept}


def _has_usual_numbers(values: pa.Array) -> bool:
    """Whether the text reader accepts all these numbers as well (see `_Logged.number`)."""
    if pa.types.is_dictionary(values.type) or pa.types.is_string(values.type):
        return True
    if pa.types.is_floating(values.type):
        return bool(pc.all(pc.is_finite(values), min_count=0).as_py())
    low, high = (0, MAX_STATUS) if values.type == pa.int32() else (-MAX_INTEGER, MAX_INTEGER)
    found = pc.min_max(values).as_py()
    return found["min"] is None or low <= found["min"] <= found["max"] <= high


def _evened(data: bytes, fields: tuple[str, ...], batch: RawBatch) -> bytes:
    """The lines with exactly these fields each, in valid UTF-8: a short row gets nulls at its end, a long one is
    cut."""
    width = len(fields)
    lines = data.decode("utf-8", "replace").split("\n")[:-1]
    nothing = "\t".join(["-"] * width)
    for row, line in enumerate(lines):
        if row in batch.reasons:
            lines[row] = nothing
        elif not line.rstrip("\r"):
            batch.reasons[row] = "empty_line"
            lines[row] = nothing
        elif line.count("\t") != width - 1 or "\r" in line:
            # The reader would take a lone carriage return for an end of line. An escaped one is data.
            values = line.rstrip("\r").replace("\r", "%0D").split("\t")
            cookies = _moved_cookies(values, fields)
            values = ["-" if at in cookies else value for at, value in enumerate(values[:width])]
            lines[row] = "\t".join(values + ["-"] * (width - len(values)))
    return ("\n".join(lines) + "\n").encode()


# JSON lines


def _json_columns(data: bytes, batch: RawBatch) -> dict[str, pa.Array]:
    """Reads values that are all strings, as standard logging v2 writes them. Other data is read line by line."""
    names = _names_of_first_line(data)
    if (
        not batch.reasons
        and _is_object_a_line(data, len(batch))
        and len(set(map(canonical_field, names))) == len(names)
    ):
        schema = pa.schema([(name, pa.string()) for name in names])
        try:
            if not data.isascii():
                data.decode()  # the reader of JSON does not check that text is UTF-8
            table = pajson.read_json(
                pa.py_buffer(data),
                pajson.ReadOptions(use_threads=False, block_size=len(data) + 1),
                pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
            )
            if table.num_rows == len(batch):
                return _as_logged({name: table.column(name).combine_chunks() for name in names})
        except (pa.ArrowInvalid, UnicodeDecodeError):
            pass
    return _as_logged(_json_line_by_line(data, batch))


def _is_object_a_line(data: bytes, lines: int) -> bool:
    """Whether each line is one object. Two objects in a line and none in the next would give as many rows as lines, but
    in wrong places."""
    return data.endswith(b"}\n") and data.count(b"}\n{") == lines - 1


def _names_of_first_line(data: bytes) -> list[str]:
    """The field names of the first line, at most `MAX_JSON_FIELDS`; empty if it is not a JSON object."""
    try:
        first = json.loads(data[: data.index(b"\n")])
        return list(first)[:MAX_JSON_FIELDS] if isinstance(first, dict) else []
    except (ValueError, RecursionError):
        return []


def _json_line_by_line(data: bytes, batch: RawBatch) -> dict[str, pa.Array]:
    rows: list[dict[str, str]] = []
    for row, line in enumerate(data.decode("utf-8", "replace").split("\n")[:-1]):
        record: Any = {}
        if row not in batch.reasons:
            try:
                record = json.loads(line, parse_constant=no_constant) if line.strip() else None
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                batch.reasons[row] = "bad_json" if line.strip() else "empty_line"
                record = {}
        rows.append(_kept_values(record))
    names = list(dict.fromkeys(name for record in rows for name in record))
    return {name: pa.array([record.get(name) for record in rows], pa.string()) for name in names}


def _kept_values(record: dict[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in record.items():
        canonical = canonical_field(name)
        if canonical in _KEPT_FIELDS and value is not None:
            values.setdefault(canonical, _json_text(value))
    return values


def _json_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is not valid in UTF-8


# Parquet


def _read_parquet(first: bytes, blocks: Iterator[bytes], object_index: int, facts: ObjectFacts) -> Iterator[RawBatch]:
    """Reads the known columns only. Texts stay dictionaries, so that a long value of many rows is held once, as in the
    file."""
    try:
        file, names, size = _open_parquet(first, blocks)
        note_header(facts, map(canonical_field, file.schema_arrow.names))
        row = expanded = 0
        for part in file.iter_batches(batch_size=PARQUET_ROWS, columns=names, use_threads=False):
            expanded += int(np.minimum(_row_bytes(part), MAX_LINE_BYTES).sum())
            if expanded > most_bytes(size):
                raise ValueError(EXPANDS)
            for rows in _of_usual_size(part):
                yield _parquet_batch(rows, object_index, row)
                row += len(rows)
    except (pa.ArrowException, OSError, ValueError) as error:
        facts.error = f"corrupt Parquet: {scrub_line((str(error) or type(error).__name__).splitlines()[0])}"


def _open_parquet(first: bytes, blocks: Iterator[bytes]) -> tuple[pq.ParquetFile, list[str], int]:
    """(file, names of its known columns, its bytes). The file is read whole, because its footer is at the end."""
    parts, size = [first], len(first)
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size > MAX_PARQUET_BYTES:
            raise ValueError(f"it has more than {MAX_PARQUET_BYTES >> 20} MiB")
    data = pa.py_buffer(b"".join(parts))
    schema = pq.read_schema(pa.BufferReader(data))
    known = [each for each in schema if canonical_field(each.name) in _SHOWN_FIELDS]
    for each in known:
        if pa.types.is_nested(each.type):
            raise ValueError(f"its column {each.name} is {each.type}, not a text or a number")
    texts = [each.name for each in known if _is_bytes(each.type)]
    file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    if file.metadata.num_rows > MAX_ROWS_PER_BYTE * size + PARQUET_ROWS:
        raise ValueError(f"{file.metadata.num_rows} rows in {size} bytes are none of a log")
    return file, [each.name for each in known], size


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_string(kind))


def _of_usual_size(part: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in batches of at most `BATCH_BYTES` of text. A row that is too long counts as `MAX_LINE_BYTES`."""
    ends = np.cumsum(np.minimum(_row_bytes(part), MAX_LINE_BYTES))
    start = 0
    while start < len(part):
        limit = BATCH_BYTES + (ends[start - 1] if start else 0)
        end = max(int(np.searchsorted(ends, limit, "right")), start + 1)
        yield part.slice(start, end - start)
        start = end


def _row_bytes(part: pa.RecordBatch) -> np.ndarray:
    """The bytes of the texts in each row."""
    size = np.zeros(len(part), dtype=np.int64)
    for values in part.columns:
        if pa.types.is_dictionary(values.type):
            lengths = pc.binary_length(values.dictionary).fill_null(0).to_numpy(zero_copy_only=False)
            size += np.append(lengths, 0)[values.indices.fill_null(len(lengths)).to_numpy(zero_copy_only=False)]
    return size


def _parquet_batch(part: pa.RecordBatch, object_index: int, row: int) -> RawBatch:
    """A batch of Parquet rows. A row that is too long is rejected, and its values are dropped before they are
    copied."""
    lines = np.arange(row, row + len(part), dtype=np.int64) + 1
    is_long = _row_bytes(part) > MAX_LINE_BYTES
    if is_long.any():
        nothing = pa.scalar(None, pa.int32())
        columns = [
            pa.DictionaryArray.from_arrays(
                pc.if_else(pa.array(is_long), nothing, values.indices.cast(pa.int32())), values.dictionary
            )
            if pa.types.is_dictionary(values.type)
            else values
            for values in part.columns
        ]
        part = pa.RecordBatch.from_arrays(columns, names=part.schema.names)
    logged: dict[str, pa.Array] = {}
    for name, values in zip(part.schema.names, part.columns, strict=True):
        if canonical_field(name) in _KEPT_FIELDS:
            logged.setdefault(name, _as_text(values))
    return RawBatch(
        _as_logged(logged),
        np.full(len(part), object_index, np.int32),
        lines,
        _record_text(part),
        dict.fromkeys(np.flatnonzero(is_long).tolist(), "line_too_long"),
    )


def _as_text(values: pa.Array) -> pa.Array:
    """The values as texts. In a dictionary, only the used values are converted, once each."""
    if pa.types.is_dictionary(values.type):
        used, codes = np.unique(
            values.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), return_inverse=True
        )
        distinct = _as_text(values.dictionary.take(pa.array(used, mask=used < 0)))
        return distinct.take(pa.array(codes))
    try:
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = values.cast(pa.large_binary())  # the texts are not checked for UTF-8 yet
        return values.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array([None if value is None else _text_of(value) for value in values.to_pylist()], pa.string())


def _text_of(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _record_text(part: pa.RecordBatch) -> Callable[[np.ndarray], list[str]]:
    def text_of(rows: np.ndarray) -> list[str]:
        chosen = part.take(pa.array(rows))
        shown = [index for index, name in enumerate(part.schema.names) if canonical_field(name) not in PRIVATE_FIELDS]
        names = [part.schema.names[index] for index in shown]
        texts = [_as_text(chosen.column(index)).to_pylist() for index in shown]
        return [
            json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False) for values in zip(*texts, strict=True)
        ]

    return text_of


def _as_logged(columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
    """Columns with documented names, null for `-` and empty texts, and dictionaries for repeated values."""
    found: dict[str, pa.Array] = {}
    for name, values in columns.items():
        canonical = canonical_field(name)
        if canonical not in _KEPT_FIELDS or canonical in found:
            continue
        is_null = pc.is_in(values, pa.array(_NULLS))
        values = pc.if_else(is_null, pa.scalar(None, pa.string()), values)
        is_plain = canonical in PLAIN_FIELDS or canonical in _NUMBERS
        found[canonical] = values if is_plain else values.dictionary_encode()
    return found
