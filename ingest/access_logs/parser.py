"""Access log rows: turns logged columns into the columns of `raw.access_logs`, or rejects rows with a reason.

Works on whole columns. Slow work in Python (addresses, user agents, decoding) is done once for
each distinct value of a batch, through dictionaries.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from functools import partial

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.access_logs.files import PLAIN_FIELDS, RawBatch
from ingest.access_logs.native import parameter_reader
from ingest.access_logs.values import DAY_US, NO_TIME, microseconds, read_numbers
from ingest.native.library import NativeError, core
from ingest.rows.batches import (
    MAX_REJECT_BYTES,
    REJECTS_KEPT,
    KeptRejects,
    ParsedBatch,
    Reject,
    beginning_of,
    reasons_of,
)
from ingest.rows.clients import Clients
from ingest.rows.columns import DICTIONARY, codes_of, count_of_each, is_null, map_distinct, remapped, text_bytes
from ingest.rows.encoding import NEVER_ADDED, decode_once, decode_parameter, decode_user_agent
from ingest.rows.enrich import Geo, Remembered
from ingest.rows.once import OncePerText
from ingest.rows.privacy import scrub_column, scrub_json_line, scrub_line, scrub_machine_ids
from ingest.rows.query_strings import known_value, logged_parameters
from ingest.schema import ACCESS_LOGS, COUNTRY_FIELD, arrow_schema

log = logging.getLogger(__name__)

REASONS = {
    "empty_line": "The line holds nothing.",
    "line_too_long": "The line, or all texts of a Parquet row together, is longer than 1 MiB.",
    "cut_off": "The object ends in the middle of this line.",
    "bad_json": "The line is not a JSON object.",
    "bad_timestamp": "The date or time is missing or invalid.",
    "out_of_range": "The time is more than a day after the object's day, or further before it than the limit.",
    "missing_path": "The path (cs-uri-stem) is missing.",
    "bad_status": "The status (sc-status) is missing or is not a number.",
}
REQUEST_TYPES = {"/c": "click", "/pxl.png": "impression"}
PARAMETERS = {
    "oid": "order_id",
    "cid": "campaign_id",
    "pid": "publication_code",
    "ch": "channel",
    "cr": "creative_id",
    "s": "ad_size",
    "r": "landing_url",
}
SCHEMA = arrow_schema(ACCESS_LOGS)

# Fields with a rule of their own below. All other fields become their column unchanged, but scrubbed.
_WITH_RULES = ("cs-uri-stem", "sc-status", "cs(Referer)", "cs(User-Agent)")


class AccessLogParser:
    """Turns raw batches into parsed ones. Safe to use from several threads.

    Args:
        hash_key: the secret key of the keyed hashes.
        source_day: the day that the objects' keys name.
        geo: the geo database; it may be closed.
        max_age_days: rows older than this, counted from the source day, are rejected.
        rejects_kept: the number of rejects of each object that are stored.
        later_keys: the hash keys that came after `hash_key`, in order.
    """

    def __init__(
        self,
        hash_key: str,
        source_day: date,
        geo: Geo | None = None,
        max_age_days: int = 400,
        rejects_kept: int = REJECTS_KEPT,
        later_keys: Sequence[str] = (),
    ) -> None:
        self._kept_rejects = KeptRejects(rejects_kept)
        self._clients = Clients(hash_key, geo or Geo(None), decode_user_agent, later_keys=later_keys)
        self._decode = OncePerText(decode_once, _scrubbed_texts)
        self._parameters = {name: OncePerText(partial(_parameter, name), _scrubbed_texts) for name in PARAMETERS}
        self._odd_parameters = Remembered(logged_parameters)
        self._first_us = microseconds(source_day - timedelta(days=max_age_days))
        self._end_us = microseconds(source_day + timedelta(days=2))
        self._local = threading.local()

    def parse(self, batch: RawBatch) -> ParsedBatch:
        length = len(batch)
        logged = _Logged(batch.columns, length)
        time_us = batch.times()
        path = self._decode(logged.dictionary("cs-uri-stem"))[0]
        status, _ = logged.number("sc-status", pa.int32())
        reasons = self._reasons(batch, time_us, path, status)
        rejected = np.array(sorted(reasons), dtype=np.int64)

        columns, unreadable = self._columns(batch, logged, time_us, path, status)
        columns["source_line"] = pa.array(batch.line)
        nothing = pa.nulls(length, DICTIONARY)
        names = [name for name in SCHEMA.names if name != "source_object"]
        table = pa.table([columns.get(name, nothing) for name in names], names)
        object_index = batch.object_index
        if len(rejected):
            keep = np.ones(length, dtype=bool)
            keep[rejected] = False
            table, time_us, object_index = table.filter(pa.array(keep)), time_us[keep], object_index[keep]
            unreadable *= keep
        ids = table.column("request_id")
        of_rejected = batch.object_index[rejected]
        return ParsedBatch(
            table=table,
            object_index=object_index,
            day=time_us // DAY_US,
            id_hash=self._hashes(ids),
            has_id=ids.is_valid().to_numpy(zero_copy_only=False) if ids.null_count else np.ones(len(ids), dtype=bool),
            rejects=_rejects(batch, rejected[self._kept_rejects.choose(of_rejected)], reasons),
            rejected=reasons_of(of_rejected, (reasons[row] for row in rejected.tolist())),
            rows_read=count_of_each(batch.object_index),
            unreadable_numbers=count_of_each(np.repeat(batch.object_index, unreadable)),
        )

    def _reasons(self, batch: RawBatch, time_us: np.ndarray, path: pa.Array, status: pa.Array) -> dict[int, str]:
        """Row → the first reason to reject it; rows without a reason are left out."""
        reasons: dict[int, str] = {}
        is_bad_time = time_us == NO_TIME
        for mask, reason in (
            (is_null(status), "bad_status"),
            (is_null(path), "missing_path"),
            (~is_bad_time & ((time_us < self._first_us) | (time_us >= self._end_us)), "out_of_range"),
            (is_bad_time, "bad_timestamp"),
        ):
            reasons.update(dict.fromkeys(np.flatnonzero(mask).tolist(), reason))
        return reasons | batch.reasons

    def _columns(
        self, batch: RawBatch, logged: _Logged, time_us: np.ndarray, path: pa.Array, status: pa.Array
    ) -> tuple[dict[str, pa.Array], np.ndarray]:
        unreadable = np.zeros(logged.length, dtype=np.int64)  # number of unreadable values in each row
        unreadable += 0 if batch.unreadable is None else batch.unreadable
        columns: dict[str, pa.Array] = {}
        for column in ACCESS_LOGS:
            if column.field is None or column.field in _WITH_RULES:
                continue
            if column.type == pa.string():
                columns[column.name] = _scrubbed(logged.text(column.field), column.field)
            else:
                columns[column.name], bad = logged.number(column.field, column.type)
                unreadable += bad
        columns["event_ts"] = pa.array(time_us).cast(pa.timestamp("us"))
        columns["path"], columns["status"] = path, status
        columns["request_type"] = map_distinct(path, lambda value: REQUEST_TYPES.get(value, "other"))
        columns["referrer"] = self._decode(logged.dictionary("cs(Referer)"))[0]
        columns |= self._clients.agent_columns(logged.dictionary("cs(User-Agent)"))
        countries = logged.dictionary(COUNTRY_FIELD) if COUNTRY_FIELD in logged.columns else None
        columns |= self._clients.address_columns(logged.dictionary("c-ip"), countries)
        is_ad = pc.is_in(columns["request_type"].dictionary, pa.array(list(REQUEST_TYPES.values())))
        codes = codes_of(columns["request_type"])
        is_ad_row = np.append(is_ad.to_numpy(zero_copy_only=False), False)[codes]
        columns |= self._parameter_columns(columns["query"], np.flatnonzero(is_ad_row))
        return columns, unreadable

    def _parameter_columns(self, query: pa.Array, rows: np.ndarray) -> dict[str, pa.Array]:
        """The parameters of these rows' query strings; null in all other rows.

        Each distinct value is decoded once, so a cache-buster that makes every query differ costs little. The few query
        strings that need more are read one by one by the rules of `query_strings.py`.
        """
        logged, odd = _logged_parameters(query, rows)
        read = self._odd_parameters(query.take(pa.array(odd)).to_pylist()) if len(odd) else []
        columns: dict[str, pa.Array] = {}
        for parameter, column in PARAMETERS.items():
            (values,) = self._parameters[parameter](logged[parameter])
            found = [(row, each[parameter]) for row, each in zip(odd, read, strict=True) if parameter in each]
            columns[column] = _with_values(values, found) if found else values
        return columns

    def _hashes(self, ids: pa.ChunkedArray) -> np.ndarray:
        if not hasattr(self._local, "engine"):
            self._local.engine = duckdb.connect(config={"threads": 1})
        rows = self._local.engine.from_arrow(pa.table({"id": ids})).project("hash(id) as id_hash").fetchnumpy()
        return np.asarray(rows["id_hash"], dtype=np.uint64)


class _Logged:
    """The columns of a batch by field name. A field that is not in the log is all null."""

    def __init__(self, columns: dict[str, pa.Array], length: int) -> None:
        self.columns = columns
        self.length = length

    def text(self, field: str) -> pa.Array:
        values = self.columns.get(field)
        if values is None:  # the type of a logged field, so that all batches have the same types
            return pa.nulls(self.length, pa.string() if field in PLAIN_FIELDS else DICTIONARY)
        return values

    def dictionary(self, field: str) -> pa.DictionaryArray:
        values = self.text(field)
        return values if pa.types.is_dictionary(values.type) else values.dictionary_encode()

    def number(self, field: str, kind: pa.DataType) -> tuple[pa.Array, np.ndarray]:
        """(numbers, mask of values that could not be read now and are null)."""
        nothing = np.zeros(self.length, dtype=bool)
        if field not in self.columns:
            return pa.nulls(self.length, kind), nothing
        values = self.columns[field]
        if values.type == kind:
            return values, nothing
        return read_numbers(values.cast(pa.string()), kind)


def _scrubbed(values: pa.Array, field: str) -> pa.Array:
    return scrub_machine_ids(values) if field == "x-edge-request-id" else scrub_column(values)


def _scrubbed_texts(texts: list[str]) -> list[pa.Array]:
    """The texts, scrubbed; null for an empty one."""
    return [scrub_column(pa.array([text or None for text in texts], pa.string()))]


def _with_values(values: pa.DictionaryArray, found: list[tuple[int, str]]) -> pa.DictionaryArray:
    """The values with those found in some rows, scrubbed."""
    rows = np.array([row for row, _ in found])
    new = scrub_column(pa.array([value for _, value in found], pa.string()))
    codes = codes_of(values).copy()
    codes[rows] = len(values.dictionary) + 1 + np.arange(len(rows))
    texts = pa.concat_arrays([values.dictionary, pa.nulls(1, pa.string()), new])
    return remapped(pa.DictionaryArray.from_arrays(codes, texts), texts)


def _parameter(name: str, logged: str) -> str:
    return known_value(decode_parameter(logged), name)


def _logged_parameters(query: pa.Array, rows: np.ndarray) -> tuple[dict[str, pa.DictionaryArray], np.ndarray]:
    """(parameter → its values as logged, null but in these rows; the rows whose queries need more).

    Those are query strings with a parameter twice, with a part that begins with `amp;` or has an encoded name, and
    those in which an escape tells how many layers the other escapes have.
    """
    rows = rows[~is_null(query)[rows]]
    native = core()
    if native is not None:
        try:
            return parameter_reader(native, tuple(PARAMETERS)).read(query, rows)
        except NativeError as error:
            log.warning("the native core failed, so queries are read the Python way: %s", error)
    return _split_parameters(query, rows)


def _split_parameters(query: pa.Array, rows: np.ndarray) -> tuple[dict[str, pa.DictionaryArray], np.ndarray]:
    """`_logged_parameters` in Python: the parts between `&` are selected by their first bytes."""
    texts = pc.take(query, pa.array(rows)).cast(pa.string())
    lists = pc.split_pattern(texts, "&")
    parts, parents = lists.flatten(), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    names = _first_bytes(parts)
    is_odd = _are_odd(texts, names, parents)
    names |= 0x20202020  # lower case; it also turns 0x1D into `=`, but 0x1D is odd in a name
    found = {name: np.flatnonzero(names & ((1 << 8 * len(name) + 8) - 1) == _mark(name)) for name in PARAMETERS}
    for places in found.values():
        is_odd[parents[places[1:]][parents[places[1:]] == parents[places[:-1]]]] = True
    logged = {}
    for name, places in found.items():
        places = places[~is_odd[parents[places]]]
        encoded = pc.utf8_slice_codeunits(parts.take(pa.array(places)), len(name) + 1).dictionary_encode()
        codes = np.full(len(query), -1, dtype=np.int32)
        codes[rows[parents[places]]] = encoded.indices
        logged[name] = pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), encoded.dictionary)
    return logged, rows[is_odd]


def _mark(name: str) -> int:
    """The name and its `=` as a little-endian number."""
    return int.from_bytes(f"{name}=".encode(), "little")


_STRANGE = np.array([byte <= 32 or byte >= 127 or byte in b"%+;" for byte in range(256)])  # in no parameter's name
_STRANGE[0] = False  # pads shorter names
_ODD_PART = r"(?i)&amp;|(?:^|&)[^=&]{0,3}(?:[%+\x01-\x20\x7f]|[^\x00-\x7f])"  # the longest name has three letters


def _are_odd(queries: pa.Array, names: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Which of these query strings have a part that begins with `amp;` or has an encoded name, or an escape that tells
    how many layers the other escapes have. A search for bytes leaves few query strings to match patterns on.

    Args:
        names: the first four bytes of all parts.
        parents: the index of the query string of each part.
    """
    has_strange_byte = _STRANGE[names.view(np.uint8)].view(np.uint32)
    rows = np.union1d(parents[np.flatnonzero(has_strange_byte)], _with_layers(queries))
    few = queries.take(pa.array(rows))
    tells_layers = pc.and_(pc.match_substring(few, "%25"), pc.match_substring_regex(few, NEVER_ADDED))
    is_odd = np.zeros(len(queries), dtype=bool)
    is_odd[rows] = pc.or_(pc.match_substring_regex(few, _ODD_PART), tells_layers).to_numpy(zero_copy_only=False)
    return is_odd


def _with_layers(queries: pa.Array) -> np.ndarray:
    """The indices of query strings that contain `%25`, and now and then of one too many."""
    offsets, data = text_bytes(queries)
    begins = np.flatnonzero(data[:-2] == ord("%"))
    begins = begins[(data[begins + 1] == ord("2")) & (data[begins + 2] == ord("5"))]
    return np.searchsorted(offsets, begins, side="right") - 1


def _first_bytes(values: pa.Array) -> np.ndarray:
    """The first four bytes of each text as a little-endian number, padded with zeros."""
    offsets, data = text_bytes(values)
    content = np.zeros(len(data) + 4, dtype=np.uint8)
    content[:-4] = data
    words = np.ndarray((len(content) - 3,), dtype="<u4", buffer=content, strides=(1,))  # one at every byte
    masks = np.array([0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF], dtype=np.uint32)
    return words[offsets[:-1]] & masks[np.minimum(np.diff(offsets), 4)]


def _rejects(batch: RawBatch, rows: np.ndarray, reasons: dict[int, str]) -> list[Reject]:
    if not len(rows):
        return []
    return [
        Reject(int(batch.object_index[row]), int(batch.line[row]), reasons[int(row)], _shown(text))
        for row, text in zip(rows, batch.text_of(rows), strict=True)
    ]


def _shown(text: str) -> str:
    """A rejected line as it may be stored: scrubbed, and cut to `MAX_REJECT_BYTES`."""
    text = beginning_of(text)
    if text.lstrip().startswith("{"):
        text = scrub_json_line(text)
    return scrub_line(text).encode("utf-8", "replace")[:MAX_REJECT_BYTES].decode("utf-8", "ignore")
