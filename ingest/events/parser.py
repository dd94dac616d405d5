"""Event rows: turns JSON lines of several shapes into the columns of `raw.events`, or rejects them with a reason.

Works on whole columns, in a private DuckDB for each thread. Events with the same keys are read by one query, which is
made from their JSON Schema (`shapes.py`). Slow work in Python is done once for each distinct value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.events.addresses import HOST, PageAddresses, host_name
from ingest.events.engine import Engine
from ingest.events.files import MAX_DEPTH, NESTING, EventBatch
from ingest.events.found import MAX_OTHERS, Found, named_others, rows_of, rows_read
from ingest.events.native import NativeReaders, Ordinary
from ingest.events.roles import CLEANED, EVENT_VALUES
from ingest.events.shapes import (
    VERSION_KEY,
    Batch,
    Structure,
    columns_taken,
    everything,
    object_paths,
    structure,
    type_problem,
)
from ingest.events.sql import KEYS, TRAIT, children, children_bytes, columns_query, find_batches, types_of
from ingest.rows.batches import REJECTS_KEPT, KeptRejects, ParsedBatch
from ingest.rows.clients import Clients
from ingest.rows.columns import DICTIONARY, count_of_each, is_null, single
from ingest.rows.enrich import Geo
from ingest.rows.ids import device_fingerprints
from ingest.rows.strict_json import no_json
from ingest.schema import EVENTS, IDS_OF_EVENTS, Role
from ingest.source import UNKNOWN_SITE

EVENT_REASONS = {
    "empty_line": "The line holds nothing.",
    "line_too_long": "The line is longer than 1 MiB.",
    "cut_off": "The object ends in the middle of this line.",
    "bad_json": "The line is not JSON, or a text in it is not valid Unicode.",
    "too_deep": "Its objects and arrays are nested too deeply.",
    "too_many_keys": "One of its objects has more than 2,000 keys.",
    "unknown_shape": "The line is not an object, or its fields match no known shape.",
    "unknown_version": "The event names an unknown version of its schema.",
    "schema": "A field breaks the schema of its shape; `detail` says which and how.",
    "bad_timestamp": "The time is missing or invalid.",
    "in_future": "The time is more than 24 hours after the hour in which it was received.",
    "too_old": "The time is further before the day it was received than the limit.",
    "empty_batch": "The batch has no events.",
    "batch_too_large": "The events of the batch, each with the fields it inherits and 200 bytes, exceed 4 MiB.",
}
DAY = 86_400_000_000  # microseconds
HOUR = 3_600_000_000
MAX_FUTURE = 24 * HOUR
MIN_LINES = 1_000  # least lines of a structure for its own query: planning one takes as long as reading them
SUSPECT_LENGTH = 2_000  # bytes; a shorter line cannot be nested too deeply
SUSPECT_BRACKETS = 400
MAX_VERSION_DIGITS = 9
_VERSION_MARK = "#version "  # separates the keys of an event from its version
MAX_BATCH_BYTES = 4 << 20  # of the children of a batch
MAX_BATCHES_BYTES = 16 << 20  # of all batches that are read at once
MAX_SIGNATURES = 10_000  # structures and combinations of types in the cache
MAX_SIGNATURE_BYTES = 4 << 20  # of the keys of all structures in the cache
MAX_KEYS = 2_000  # of an object; the fields that a child inherits are looked up key by key
SCHEMA = pa.schema([(column.name, DICTIONARY if column.is_repeated else column.type) for column in EVENTS])


class EventParser:
    """Turns batches of lines into events. Safe to use from several threads.

    Args:
        hash_key: the secret key of the keyed hashes.
        site: the site of the events, or of those in each object of several partitions; None if the objects do not name
            it.
        hours: `YYYY-MM-DD-HH` in which each object was received.
        geo: the geo database; it may be closed.
        max_age_days: events older than this, counted from the day they were received, are rejected.
        rejects_kept: the number of rejects of each object that are stored.
        later_keys: the hash keys that came after `hash_key`, in order.
        tenant_of: gives the tenant of a site.
    """

    def __init__(
        self,
        hash_key: str,
        site: str | Sequence[str | None] | None,
        hours: Sequence[str],
        geo: Geo | None = None,
        max_age_days: int = 400,
        rejects_kept: int = REJECTS_KEPT,
        later_keys: Sequence[str] = (),
        tenant_of: Callable[[str], str | None] = lambda _site: None,
    ) -> None:
        self._kept_rejects = KeptRejects(rejects_kept)
        self._clients = Clients(hash_key, geo or Geo(None), later_keys=later_keys)
        self._run = Engine().run
        self._native = NativeReaders()
        self._tenant_of = tenant_of
        sites = [site] * len(hours) if site is None or isinstance(site, str) else site
        numbers = {each: number for number, each in enumerate(dict.fromkeys(sites))}
        site_of = pa.array([numbers[each] for each in sites], pa.int32())

        def of_objects(value_of: Callable[[str | None], str | None]) -> pa.DictionaryArray:
            return pa.DictionaryArray.from_arrays(site_of, pa.array(map(value_of, numbers), pa.string()))

        self._is_of_one_partition = site is None or isinstance(site, str)
        self._event_keys = of_objects(lambda each: self._clients.hash(f"event ids of {each}"))
        self._hosts = of_objects(_page_host)
        self._sites = of_objects(lambda each: each)
        self._addresses = PageAddresses(self._run)
        self._received = np.array([_microseconds(hour) for hour in hours], dtype=np.int64)
        self._max_age = max_age_days * DAY
        self._structures: dict[str, Structure] = {}
        self._signature_bytes = 0
        self._problems: dict[tuple[Structure, str], str | None] = {}

    # Lines to events

    def parse(self, batch: EventBatch) -> ParsedBatch:
        """The events and rejects of all lines. Rows keep the order of the lines."""
        key_of = self._event_keys.take(pa.array(batch.object_index))
        ordinary = self._native.read(batch, key_of.dictionary, key_of.indices.to_numpy(zero_copy_only=False))
        found = self._with_ordinary(batch, key_of, ordinary) if ordinary else None
        if found is None:
            found = Found(batch, key_of.cast(pa.string()))
            self._read(found, found.lines.filter(_without(len(batch), list(batch.reasons))))
        return self._finished(found)

    def _with_ordinary(self, batch: EventBatch, key_of: pa.DictionaryArray, ordinary: Ordinary) -> Found | None:
        """The events of all lines, of which the core has read the ordinary ones. None if the lines have more fields of
        their own than are counted: which ones are, depends on what is read together."""
        found = Found(batch, key_of.cast(pa.string()))
        found.add_ordinary(ordinary, self._run)
        try:
            self._read(found, found.lines.take(pa.array(ordinary.odd)))
        except MixedError:
            return None
        return found if len(found.others) < MAX_OTHERS else None

    def parse_in_parts(self, batch: EventBatch) -> Iterator[ParsedBatch]:
        """`parse`, in halves if the event batches in these lines expand to more than `MAX_BATCHES_BYTES`."""
        try:
            parsed = self.parse(batch)
        except _ExpandsError:
            middle = len(batch) // 2
            for part in (batch.part(0, middle), batch.part(middle, len(batch))):
                yield from self.parse_in_parts(part)
            return
        yield parsed

    def _read(self, found: Found, lines: pa.Table, parents: Batch | None = None) -> None:
        """Reads these lines (row, batch_index, origin, line) into `found`; `parents` is set for children of event
        batches."""
        lines = self._followable(found, lines)
        if not len(lines):
            return
        for kind, chosen in self._by_structure(found, lines):
            batch = kind.shape.batch if kind.shape and any(each.children_of for each in kind.fields) else None
            if batch and not parents:
                chosen = self._expanded(found, chosen, batch)
            if len(chosen):
                self._read_alike(found, kind, chosen, parents)

    def _followable(self, found: Found, lines: pa.Table) -> pa.Table:
        """The lines without too deep nesting or too many keys. The others are rejected."""
        texts = single(lines.column("line"))
        suspects = np.flatnonzero(pc.greater(pc.binary_length(texts), SUSPECT_LENGTH).to_numpy(zero_copy_only=False))
        problems = {row: problem for row in suspects.tolist() if (problem := _excess(texts[row].as_py()))}
        for reason in sorted(set(problems.values())):
            found.reject(lines, [row for row, problem in problems.items() if problem == reason], reason)
        return lines.filter(_without(len(lines), list(problems))) if problems else lines

    def _rejected(self, found: Found, lines: pa.Table, rows: list[int], reason: str) -> pa.Table:
        """The lines without these rows, which are rejected."""
        found.reject(lines, rows, reason)
        return lines.filter(_without(len(lines), rows)) if rows else lines

    def _signed(self, found: Found, lines: pa.Table) -> tuple[pa.Table, pa.DictionaryArray]:
        """(lines that are JSON, the keys of each as one text). The text ends in the version if any line names one."""
        lines = self._rejected(found, lines, no_json(single(lines.column("line"))), "bad_json")
        sql = f"select {KEYS}::varchar as text from lines"  # noqa: S608 - of our own schemas
        try:
            texts = self._run(sql, lines)
        except duckdb.InvalidInputException:
            bad = self._run("select position from lines where not json_valid(line)", found.numbered(lines))
            lines = self._rejected(found, lines, bad.column("position").to_pylist(), "bad_json")
            texts = self._run(sql, lines)
        signatures = single(single(texts.column("text")).dictionary_encode())
        if pc.any(pc.match_substring(signatures.dictionary, VERSION_KEY)).as_py():
            version = f"coalesce(json_extract_string(line, '/{VERSION_KEY}'), '1')"
            sql = f"select {KEYS}::varchar || '{_VERSION_MARK}' || {version} as text from lines"  # noqa: S608
            texts = self._run(sql, lines)
            signatures = single(single(texts.column("text")).dictionary_encode())
        return lines, signatures

    def _by_structure(self, found: Found, lines: pa.Table) -> Iterator[tuple[Structure, pa.Table]]:
        """Groups of lines with the same keys. Lines whose keys fit no event are rejected."""
        lines, signatures = self._signed(found, lines)
        codes = signatures.indices.to_numpy(zero_copy_only=False)
        kinds = self._kinds(signatures.dictionary, codes, lines)
        lines_of = np.bincount(codes, minlength=len(kinds))
        groups: dict[Structure | None, list[int]] = {None: []}  # None: lines that cannot be used
        for code, kind in enumerate(kinds):
            if kind.reason is not None or kind.shape is None:
                groups[None].append(code)
            else:
                groups.setdefault(kind if lines_of[code] >= MIN_LINES else everything(kind.shape), []).append(code)
        for (alike, members), rows in zip(groups.items(), rows_of(codes, list(groups.values())), strict=True):
            if alike is None:
                wrong = [kinds[code] for code in codes[rows].tolist()]
                found.reject_each(lines, rows, [str(each.reason) for each in wrong], [each.problem for each in wrong])
            else:
                others = named_others(kinds[code] for code in members)
                found.others.update(each.name for each in others)
                if len(others) == MAX_OTHERS and not self._is_of_one_partition:
                    raise MixedError
                yield replace(alike, others=others), lines if len(rows) == len(lines) else lines.take(pa.array(rows))

    def _kinds(self, signatures: pa.Array, codes: np.ndarray, lines: pa.Table) -> list[Structure]:
        """The structure of each signature. A new one is derived from the first line with that signature."""
        texts = signatures.to_pylist()
        structures = self._structures  # another thread may replace the cache meanwhile
        new = [code for code, text in enumerate(texts) if text not in structures]
        if new:
            self._signature_bytes += sum(len(texts[code]) for code in new)
            if len(structures) + len(new) > MAX_SIGNATURES or self._signature_bytes > MAX_SIGNATURE_BYTES:
                structures = self._structures = {}
                self._signature_bytes = sum(map(len, texts))
                new = list(range(len(texts)))
            _, first = np.unique(codes, return_index=True)
            samples = lines.take(pa.array(first[new]))
            keys = self._run(f"select {KEYS} as keys from lines", samples)  # noqa: S608
            for code, found in zip(new, keys.column("keys").to_pylist(), strict=True):
                known = {path: each for path, each in zip(object_paths(), found, strict=True) if each}
                version = texts[code].rpartition(_VERSION_MARK)[2] if VERSION_KEY in known.get((), ()) else "1"
                structures[texts[code]] = structure(known, _version(version))
        return [structures[text] for text in texts]

    def _expanded(self, found: Found, lines: pa.Table, batch: Batch) -> pa.Table:
        """Reads the children of the event batches among these lines. Returns the other lines."""
        is_one = self._run(find_batches(batch), lines).column("is_batch").fill_null(False)
        batches = lines.filter(is_one)
        if not len(batches):
            return lines
        batches = found.numbered(self._not_too_large(found, batches, batch))
        opened = self._run(children(batch), batches)
        empty = np.setdiff1d(np.arange(len(batches)), opened.column("parent").to_numpy())
        found.reject(batches, empty.tolist(), "empty_batch")
        self._read(found, opened.drop_columns(["parent"]), parents=batch)
        return lines.filter(pc.invert(is_one))

    def _not_too_large(self, found: Found, batches: pa.Table, batch: Batch) -> pa.Table:
        """The event batches whose children, with the fields they inherit, have at most `MAX_BATCH_BYTES`."""
        sizes = single(self._run(children_bytes(batch), batches).column("bytes")).to_numpy(zero_copy_only=False)
        is_large = sizes > MAX_BATCH_BYTES
        if sizes[~is_large].sum() > MAX_BATCHES_BYTES:
            raise _ExpandsError
        return self._rejected(found, batches, np.flatnonzero(is_large).tolist(), "batch_too_large")

    def _read_alike(self, found: Found, kind: Structure, lines: pa.Table, parents: Batch | None) -> None:
        """Reads lines of one structure by one query. Events that break the schema are rejected, the others are kept."""
        table = self._run(columns_query(kind, _patch(kind)), lines)
        types = single(table.column("types").dictionary_encode())
        found.count_fields(kind, types, table.column("row").to_numpy())
        problems = [self._problem(kind, text) for text in types.dictionary.to_pylist()]
        lengths = single(table.column("too_long"))
        suspects = ~is_null(lengths)
        if any(problems):
            suspects |= np.array([each is not None for each in problems])[types.indices.to_numpy(zero_copy_only=False)]
        batch = parents or (kind.shape.batch if kind.shape else None)
        is_batch = np.zeros(len(table), dtype=bool)
        if batch:
            is_batch = pc.equal(table.column("event_type"), batch.name).fill_null(False).to_numpy(zero_copy_only=False)
        if not parents:  # batches with children were opened before
            found.reject(lines, np.flatnonzero(is_batch).tolist(), "empty_batch")
        suspects = suspects | is_batch if parents else suspects & ~is_batch
        rows = np.flatnonzero(suspects)
        nested = f"{parents.kind}: a {parents.name} within a {parents.name}" if parents else None
        details: list[str | None] = [
            problems[types.indices[row].as_py()] or lengths[row].as_py() or nested for row in rows.tolist()
        ]
        found.reject_each(lines, rows, ["schema"] * len(rows), details)
        table = table.drop_columns(["types", "too_long"])
        rejected = suspects | is_batch
        found.add(table.filter(pa.array(~rejected)) if rejected.any() else table)

    def _problem(self, kind: Structure, types: str) -> str | None:
        key = (kind, types)
        problems = self._problems
        if key not in problems:
            if len(problems) > MAX_SIGNATURES:
                problems = self._problems = {}
            problems[key] = type_problem(kind.fields, types_of(types)[: len(kind.fields)])
        return problems[key]

    # Events to rows

    def _finished(self, found: Found) -> ParsedBatch:
        if found.is_empty:
            return _without_events(found, self._kept_rejects)
        table = found.table()
        batch = found.batch
        rows = table.column("row").to_numpy()
        object_index = batch.object_index[rows]
        time_us = table.column("event_ts").fill_null(np.iinfo(np.int64).min).to_numpy()
        received = self._received[object_index]
        reason = np.select(
            [
                time_us == np.iinfo(np.int64).min,
                time_us > received + HOUR + MAX_FUTURE,
                time_us < received // DAY * DAY - self._max_age,
            ],
            ["bad_timestamp", "in_future", "too_old"],
            "",
        )
        for each in np.unique(reason[reason != ""]):
            found.reject(table, np.flatnonzero(reason == each).tolist(), str(each), is_event=True)
        if (reason != "").any():
            keep = pa.array(reason == "")
            table, object_index, time_us = table.filter(keep), object_index[reason == ""], time_us[reason == ""]
        columns = self._columns(table, time_us, batch)
        names = [name for name in SCHEMA.names if name != "source_object"]
        rejects, rejected = found.rejects(self._kept_rejects)
        return ParsedBatch(
            table=pa.table([columns[name].cast(SCHEMA.field(name).type) for name in names], names),
            object_index=object_index,
            day=time_us // DAY,
            id_hash=self._hashes(columns["site_id"], columns["event_id"]),
            has_id=np.ones(len(table), dtype=bool),
            rejects=rejects,
            rejected=rejected,
            rows_read=rows_read(object_index, rejected),
            unreadable_numbers=count_of_each(object_index[columns["is_unreadable"].to_numpy(zero_copy_only=False)]),
            fields=found.fields,
        )

    def _columns(self, table: pa.Table, time_us: np.ndarray, batch: EventBatch) -> dict[str, pa.Array]:
        columns = {name: single(table.column(name)) for name in table.column_names}
        columns["event_ts"] = pa.array(time_us).cast(pa.timestamp("us"))
        columns["source_line"] = pa.array(batch.line[columns["row"].to_numpy()])
        for column in EVENT_VALUES:
            if column.role is Role.AGENT:
                columns |= self._clients.agent_columns(columns[column.name].dictionary_encode())
            elif column.role is Role.IP:
                columns |= self._clients.address_columns(columns[column.name].dictionary_encode())
            elif column.role in CLEANED:
                cleaned = CLEANED[column.role](columns[column.name], self._clients.hash)
                columns[column.name] = cleaned.cast(pa.string())
        for name in ("country", "region", "city"):
            columns.setdefault(name, pa.nulls(len(table), DICTIONARY))
        objects = pa.array(batch.object_index[columns["row"].to_numpy()])
        columns |= self._addresses.parts(columns, self._hosts.take(objects).cast(pa.string()))
        columns["device_fingerprint"] = device_fingerprints(columns["device_fingerprint"], columns["traits"], TRAIT)
        for name in IDS_OF_EVENTS:
            columns[name] = self._clients.rekeyed(columns[name])
        sites = pc.coalesce(self._sites.take(objects).cast(pa.string()), columns["declared_site_id"], UNKNOWN_SITE)
        sites = columns["site_id"] = sites.dictionary_encode()
        tenants = pa.array(map(self._tenant_of, sites.dictionary.to_pylist()), pa.string())
        columns["tenant_id"] = tenants.take(sites.indices)
        return columns

    def _hashes(self, sites: pa.Array, ids: pa.Array) -> np.ndarray:
        rows = self._run("select hash(site, id) as id_hash from lines", pa.table({"site": sites, "id": ids}))
        return single(rows.column("id_hash")).to_numpy(zero_copy_only=False).astype(np.uint64)


class MixedError(Exception):
    """The events of several sites have so many fields of their own that not all are counted when read together."""


class _ExpandsError(Exception):
    """The event batches of several lines expand to more than may be read at once."""


def _page_host(site: str | None) -> str | None:
    """The host of a site's pages that are sent without one."""
    host = host_name((site or "").lower())
    return host if HOST.fullmatch(host) else None


def _without_events(found: Found, kept: KeptRejects) -> ParsedBatch:
    rejects, rejected = found.rejects(kept)
    nothing = np.empty(0, dtype=np.int64)
    return ParsedBatch(
        table=SCHEMA.remove(SCHEMA.get_field_index("source_object")).empty_table(),
        object_index=nothing,
        day=nothing,
        id_hash=nothing.astype(np.uint64),
        has_id=nothing.astype(bool),
        rejects=rejects,
        rejected=rejected,
        rows_read=rows_read(nothing, rejected),
        unreadable_numbers={},
        fields=found.fields,
    )


def _version(text: str) -> int:
    """The version as a number. Anything else, or too many digits, gives 0, which no schema has."""
    return int(text) if text.isdecimal() and len(text) <= MAX_VERSION_DIGITS else 0


def _patch(kind: Structure) -> str | None:
    """The patch that removes the columns from an event, for a structure that is read in the general way; else None."""
    if kind.left_paths is not None or kind.shape is None:
        return None
    return json.dumps(columns_taken(kind.shape))


def _excess(text: str) -> str | None:
    """The reason to reject this line unread: `too_deep`, or `too_many_keys` in one object; else None."""
    if text.count("[") + text.count("{") < SUSPECT_BRACKETS and text.count(":") <= MAX_KEYS:
        return None
    above: list[int] = []
    keys = 0
    for token in NESTING.finditer(text):
        sign = token[0]
        if sign == ":":
            keys += 1
            if keys > MAX_KEYS:
                return "too_many_keys"
        elif sign in "{[":
            above.append(keys)
            keys = 0
            if len(above) > MAX_DEPTH:
                return "too_deep"
        elif sign in "}]" and above:
            keys = above.pop()
    return None


def _without(length: int, rows: Sequence[int]) -> pa.Array:
    mask = np.ones(length, dtype=bool)
    mask[np.array(rows, dtype=np.int64)] = False
    return pa.array(mask)


def _microseconds(hour: str) -> int:
    return int(datetime.fromisoformat(f"{hour[:10]}T{hour[11:13]}:00:00+00:00").timestamp()) * 1_000_000
