"""Event rows: JSON lines of four shapes become the columns of `raw.events`, or rejects with a reason.

Works on whole columns, in a private DuckDB of each thread: events with the same keys are read by one query, made from
their JSON Schema (`shapes.py`). What costs Python time is done once for each distinct value.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from itertools import islice
from urllib.parse import unquote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.events.files import MAX_DEPTH, NESTING, EventBatch
from ingest.events.shapes import (
    VERSION_KEY,
    Field,
    Structure,
    columns_taken,
    everything,
    object_paths,
    structure,
    type_problem,
)
from ingest.events.sql import (
    CAMPAIGNS,
    CHILDREN,
    CHILDREN_BYTES,
    CLICK_IDS,
    CLICK_MARKS,
    COLUMN_TYPES,
    HIDES_PARAMETERS,
    KEYS,
    MACROS,
    OWN_CLICK_IDS,
    PLACES,
    TRAIT,
    UTM,
    columns_query,
    types_of,
)
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
from ingest.rows.columns import DICTIONARY, count_of_each, is_null, single
from ingest.rows.enrich import Geo
from ingest.rows.ids import device_fingerprints, known_ids
from ingest.rows.privacy import scrub_column, scrub_json_column, scrub_json_line, scrub_line
from ingest.rows.query_strings import decode, first_of, known_parameters, known_value
from ingest.rows.strict_json import no_json
from ingest.schema import EVENTS, arrow_schema
from ingest.source import UNKNOWN_SITE

EVENT_REASONS = {
    "empty_line": "The line holds nothing.",
    "line_too_long": "The line is longer than 1 MiB.",
    "cut_off": "The object ends in the middle of this line.",
    "bad_json": "The line is no JSON, or text in it is no Unicode.",
    "too_deep": "Its objects and arrays are nested too deeply.",
    "too_many_keys": "One of its objects has more than 2,000 keys.",
    "unknown_shape": "It is no object, or its fields are those of no known shape.",
    "unknown_version": "It names a version of its schema that is not known.",
    "schema": "A field breaks the schema of its shape; `detail` says which and how.",
    "bad_timestamp": "The time is missing or is none.",
    "in_future": "The time is more than 24 hours after the hour in which it was received.",
    "too_old": "The time is further before the day it was received than the limit.",
    "empty_batch": "A batch without events.",
    "batch_too_large": "The events of a batch, each with what it inherits and 200 bytes, would be more than 4 MiB.",
}
DAY = 86_400_000_000  # microseconds
HOUR = 3_600_000_000
MAX_FUTURE = 24 * HOUR
MIN_LINES = 1_000  # of a structure in a batch, for a query of its own: planning one takes as long as reading so many
SUSPECT_LENGTH = 2_000  # bytes; a shorter line cannot be nested too deeply
SUSPECT_BRACKETS = 400
MAX_VERSION_DIGITS = 9
_VERSION_MARK = "#version "  # between the keys of an event and its version
MAX_BATCH_BYTES = 4 << 20  # of the children of a batch
MAX_BATCHES_BYTES = 16 << 20  # of all that are read at once
MAX_SIGNATURES = 10_000  # structures and combinations of types that are remembered
MAX_OTHERS = 100  # fields without a schema that are counted, of structures that are read together
MAX_SIGNATURE_BYTES = 4 << 20  # of the keys of all structures that are remembered
MAX_KEYS = 2_000  # of an object: what a child inherits is looked up key by key
TYPE_NAMES = {  # what JSON knows, of what json_type says
    "VARCHAR": "string",
    **dict.fromkeys(("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"), "number"),
}

# Text that comes out of a dictionary, because few of its values differ; the rest is plain.
_BY_VALUE = (
    "ip_hash subnet_hash country region city host path referrer_host utm_source utm_medium utm_campaign utm_term "
    "utm_content click_id click_id_kind user_agent device_category browser_family os_family source_object"
).split()
IDS = ("event_id visitor_id client_session_id user_id device_id advertising_id cookie_id device_fingerprint").split()
NAMES = ("declared_site_id", "campaign_id")
_TEXTS = ("page_title", "language", "timezone", "currency", "event_type")
_JSON = ("properties", "source_identity", "source_normalized")

_PLAIN_SCHEMA = arrow_schema(EVENTS)
SCHEMA = pa.schema([(each.name, DICTIONARY if each.name in _BY_VALUE else each.type) for each in _PLAIN_SCHEMA])


class EventParser:
    """Turns batches of lines into events of one site; safe to use from several threads.

    Args:
        hash_key: secret of the keyed hashes.
        site: whose events they are, None where the objects do not say.
        hours: `YYYY-MM-DD-HH` in which each object was received.
        geo: where addresses are; closed for none.
        max_age_days: events older than this, counted from the day they were received, are rejected.
        rejects_kept: of each object.
    """

    def __init__(
        self,
        hash_key: str,
        site: str | None,
        hours: Sequence[str],
        geo: Geo | None = None,
        max_age_days: int = 400,
        rejects_kept: int = REJECTS_KEPT,
    ) -> None:
        self._kept_rejects = KeptRejects(rejects_kept)
        self._clients = Clients(hash_key, geo or Geo(None))
        self._key = self._clients.hash(f"event ids of {site}")
        self._site = site
        host = _host((site or "").lower())
        self._site_host = host if _HOST.fullmatch(host) else None
        self._received = np.array([_microseconds(hour) for hour in hours], dtype=np.int64)
        self._max_age = max_age_days * DAY
        self._local = threading.local()
        self._structures: dict[str, Structure] = {}
        self._signature_bytes = 0
        self._problems: dict[tuple[Structure, str], str | None] = {}

    # Lines to events

    def parse(self, batch: EventBatch) -> ParsedBatch:
        """Every line → events or a reject. The rows come in the order of the lines."""
        found = _Found(batch)
        self._read(found, found.lines.filter(_without(len(batch), list(batch.reasons))))
        return self._finished(found)

    def parse_in_parts(self, batch: EventBatch) -> Iterator[ParsedBatch]:
        """The same; where the batches among these lines become too much for one time, in halves."""
        try:
            parsed = self.parse(batch)
        except _ExpandsError:
            middle = len(batch) // 2
            for part in (batch.part(0, middle), batch.part(middle, len(batch))):
                yield from self.parse_in_parts(part)
            return
        yield parsed

    def _read(self, found: _Found, lines: pa.Table, is_child: bool = False) -> None:
        """Reads these lines (row, batch_index, origin, line) into `found`."""
        lines = self._followable(found, lines)
        if not len(lines):
            return
        for kind, chosen in self._by_structure(found, lines):
            if any(each.is_children for each in kind.fields) and not is_child:
                chosen = self._expanded(found, chosen)
            if len(chosen):
                self._read_alike(found, kind, chosen, is_child)

    def _followable(self, found: _Found, lines: pa.Table) -> pa.Table:
        """The lines that are neither nested too deeply nor have too many keys; the others are rejected."""
        texts = single(lines.column("line"))
        suspects = np.flatnonzero(pc.greater(pc.binary_length(texts), SUSPECT_LENGTH).to_numpy(zero_copy_only=False))
        problems = {row: problem for row in suspects.tolist() if (problem := _excess(texts[row].as_py()))}
        for reason in sorted(set(problems.values())):
            found.reject(lines, [row for row, problem in problems.items() if problem == reason], reason)
        return lines.filter(_without(len(lines), list(problems))) if problems else lines

    def _rejected(self, found: _Found, lines: pa.Table, rows: list[int], reason: str) -> pa.Table:
        """The lines without these, which are rejected."""
        found.reject(lines, rows, reason)
        return lines.filter(_without(len(lines), rows)) if rows else lines

    def _signed(self, found: _Found, lines: pa.Table) -> tuple[pa.Table, pa.DictionaryArray]:
        """The lines that are JSON, and the keys of each as one text; with the version behind, where any names one."""
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

    def _by_structure(self, found: _Found, lines: pa.Table) -> Iterable[tuple[Structure, pa.Table]]:
        """The lines, those with the same keys together; what no event with their keys can be is rejected."""
        lines, signatures = self._signed(found, lines)
        codes = signatures.indices.to_numpy(zero_copy_only=False)
        kinds = self._kinds(signatures.dictionary, codes, lines)
        lines_of = np.bincount(codes, minlength=len(kinds))
        groups: dict[Structure | None, list[int]] = {None: []}  # None: those that cannot be used
        for code, kind in enumerate(kinds):
            if kind.reason is not None or kind.shape is None:
                groups[None].append(code)
            else:
                groups.setdefault(kind if lines_of[code] >= MIN_LINES else everything(kind.shape), []).append(code)
        for (alike, members), rows in zip(groups.items(), _rows_of(codes, list(groups.values())), strict=True):
            if alike is None:
                wrong = [kinds[code] for code in codes[rows].tolist()]
                found.reject_each(lines, rows, [str(each.reason) for each in wrong], [each.problem for each in wrong])
            else:
                others = _named_others(kinds[code] for code in members)
                yield replace(alike, others=others), lines if len(rows) == len(lines) else lines.take(pa.array(rows))

    def _kinds(self, signatures: pa.Array, codes: np.ndarray, lines: pa.Table) -> list[Structure]:
        """The structure of each signature; that of a new one is worked out from the first line that has it."""
        texts = signatures.to_pylist()
        structures = self._structures  # another thread may begin a new one meanwhile
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

    def _expanded(self, found: _Found, lines: pa.Table) -> pa.Table:
        """Reads the children of the batches among these lines; returns the lines that are none."""
        kinds = self._run("select json_extract_string(line, '/eventType') = 'batch' as is_batch from lines", lines)
        is_batch = kinds.column("is_batch").fill_null(False)
        batches = lines.filter(is_batch)
        if not len(batches):
            return lines
        batches = found.numbered(self._not_too_large(found, batches))
        children = self._run(CHILDREN, batches)
        empty = np.setdiff1d(np.arange(len(batches)), children.column("parent").to_numpy())
        found.reject(batches, empty.tolist(), "empty_batch")
        self._read(found, children.drop_columns(["parent"]), is_child=True)
        return lines.filter(pc.invert(is_batch))

    def _not_too_large(self, found: _Found, batches: pa.Table) -> pa.Table:
        """The batches without those whose children, with what they inherit, are more than `MAX_BATCH_BYTES`."""
        sizes = single(self._run(CHILDREN_BYTES, batches).column("bytes")).to_numpy(zero_copy_only=False)
        is_large = sizes > MAX_BATCH_BYTES
        if sizes[~is_large].sum() > MAX_BATCHES_BYTES:
            raise _ExpandsError
        return self._rejected(found, batches, np.flatnonzero(is_large).tolist(), "batch_too_large")

    def _read_alike(self, found: _Found, kind: Structure, lines: pa.Table, is_child: bool) -> None:
        """One query over lines of one structure; what breaks the schema is rejected, the rest is found."""
        table = self._run(columns_query(kind, _patch(kind)), lines)
        types = single(table.column("types").dictionary_encode())
        found.count_fields(kind, types, table.column("row").to_numpy())
        problems = [self._problem(kind, text) for text in types.dictionary.to_pylist()]
        lengths = single(table.column("too_long"))
        suspects = ~is_null(lengths)
        if any(problems):
            suspects |= np.array([each is not None for each in problems])[types.indices.to_numpy(zero_copy_only=False)]
        if is_child:
            suspects |= pc.equal(table.column("event_type"), "batch").fill_null(False).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(suspects)
        details: list[str | None] = [
            problems[types.indices[row].as_py()] or lengths[row].as_py() or "eventType: a batch within a batch"
            for row in rows.tolist()
        ]
        found.reject_each(lines, rows, ["schema"] * len(rows), details)
        table = table.drop_columns(["types", "too_long"])
        found.tables.append(table.filter(pa.array(~suspects)) if suspects.any() else table)

    def _problem(self, kind: Structure, types: str) -> str | None:
        key = (kind, types)
        problems = self._problems
        if key not in problems:
            if len(problems) > MAX_SIGNATURES:
                problems = self._problems = {}
            problems[key] = type_problem(kind.fields, types_of(types)[: len(kind.fields)])
        return problems[key]

    # Events to rows

    def _finished(self, found: _Found) -> ParsedBatch:
        if not found.tables:
            return _without_events(found, self._kept_rejects)
        table = found.table()
        batch = found.batch
        rows = table.column("row").to_numpy()
        object_index = batch.object_index[rows]
        time_us = table.column("event_us").fill_null(np.iinfo(np.int64).min).to_numpy()
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
            rows_read=_rows_read(object_index, rejected),
            unreadable_numbers=count_of_each(object_index[columns["is_unreadable"].to_numpy(zero_copy_only=False)]),
            fields=found.fields,
        )

    def _columns(self, table: pa.Table, time_us: np.ndarray, batch: EventBatch) -> dict[str, pa.Array]:
        columns = {name: single(table.column(name)) for name in table.column_names}
        columns["event_ts"] = pa.array(time_us).cast(pa.timestamp("us"))
        columns["source_line"] = pa.array(batch.line[columns["row"].to_numpy()])
        columns |= self._clients.agent_columns(columns.pop("user_agent").dictionary_encode())
        columns |= self._clients.address_columns(columns.pop("ip").dictionary_encode())
        columns |= self._address_parts(columns)
        for name in ("country", "region", "city"):
            columns.setdefault(name, pa.nulls(len(table), DICTIONARY))
        for name in IDS:
            columns[name] = known_ids(columns[name], self._clients.hash)
        for name in NAMES:
            columns[name] = known_ids(columns[name], self._clients.hash, of_people=False)
        traits = columns.pop("traits")
        columns["device_fingerprint"] = device_fingerprints(columns["device_fingerprint"], traits, TRAIT)
        for name in _TEXTS:
            columns[name] = _by_value(columns[name], _MEANING.get(name, _clean))
        for name in _JSON:
            columns[name] = scrub_json_column(columns[name])
        columns["site_id"] = self._site_ids(columns["declared_site_id"])
        return columns

    def _site_ids(self, declared: pa.Array) -> pa.Array:
        if self._site is not None:
            return pa.repeat(pa.scalar(self._site), len(declared))
        return declared.fill_null(UNKNOWN_SITE)

    def _address_parts(self, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
        """url, host, path, the campaign in its query string, referrer and referrer_host: once for each address."""
        page, given, referrer = (self._places(columns[name]) for name in ("url", "path", "referrer"))
        in_url = self._campaigns(pc.coalesce(page["query"], given["query"]))
        sent = self._campaigns(_by_value(columns["sent_query"], _bare_query))
        parts = {
            # A path with a query string is kept whole, so that nothing of it is lost.
            "url": pc.coalesce(page["text"], _where(given["query"].is_valid(), given["text"])),
            "path": pc.coalesce(page["path"], given["path"], _by_value(columns["path"], _clean)),
            "referrer": referrer["text"],
            "referrer_host": referrer["host"],
        }
        is_of_page = pc.or_(parts["path"].is_valid(), referrer["host"].is_valid())
        is_of_page = pc.and_(is_of_page, pc.not_equal(columns["shape"], "app"))
        parts["host"] = pc.coalesce(page["host"], _where(is_of_page, pa.scalar(self._site_host, pa.string())))
        # Campaigns are never mixed: what the tracker remembers counts where neither address names any, nor a click.
        names = [f"utm_{name}" for name in UTM]
        is_in_url = _any_known(in_url[name] for name in (*names, "click_id_kind"))
        is_sent = _any_known(sent[name] for name in (*names, "click_id_kind"))
        for name in names:
            tracked = _by_value(columns[f"sent_{name}"], _known_tag)
            parts[name] = pc.if_else(is_in_url, in_url[name], pc.if_else(is_sent, sent[name], tracked))
        is_clicked = in_url["click_id_kind"].is_valid()
        for name in ("click_id", "click_id_kind"):
            parts[name] = pc.if_else(is_clicked, in_url[name], sent[name])
        return {name: values.dictionary_encode() if name in _BY_VALUE else values for name, values in parts.items()}

    def _places(self, addresses: pa.Array) -> dict[str, pa.Array]:
        """Host, path and query string of each address, and itself as `text`; all but the query string scrubbed.

        A host stays what it is, an address too: it is the server's."""
        encoded = single(addresses.dictionary_encode())
        found = self._run(PLACES, pa.table({"text": encoded.dictionary}))
        parts = {name: single(found.column(name)) for name in found.column_names} | {"text": encoded.dictionary}
        parts["host"] = _hosts(parts["host"])
        return {
            name: (part if name == "query" else scrub_column(part, addresses=name != "host")).take(encoded.indices)
            for name, part in parts.items()
        }

    def _campaigns(self, queries: pa.Array) -> dict[str, pa.Array]:
        """utm_…, click_id and click_id_kind that query strings name, scrubbed; each distinct one is read once."""
        encoded = single(queries.dictionary_encode())
        distinct = encoded.dictionary
        found = self._run(CAMPAIGNS, pa.table({"query": distinct}))
        texts = {name: single(found.column(name)) for name in found.column_names}
        known = {name: text if name.endswith("_name") else _known_values(text) for name, text in texts.items()}
        # What is read one by one: where a name may be hidden, or a value turned out to say nothing.
        is_odd = pc.match_substring_regex(distinct, HIDES_PARAMETERS).fill_null(False)
        for name, text in texts.items():
            is_odd = pc.or_(is_odd, pc.and_(pc.not_equal(text, ""), known[name].is_null()).fill_null(False))
        columns = {f"utm_{name}": known[f"utm_{name}"] for name in UTM}
        kinds = [_where(known[f"{kind}_value"].is_valid(), known[f"{kind}_name"]) for kind in ("click", "mark", "own")]
        columns["click_id_kind"] = pc.coalesce(*kinds)
        columns["click_id"] = pc.if_else(
            kinds[0].is_valid(), known["click_value"], _where(kinds[1].is_null(), known["own_value"])
        )
        if pc.any(is_odd).as_py():
            read = [_campaign(query) for query in distinct.filter(is_odd).to_pylist()]
            for name, values in columns.items():
                again = pa.array([each.get(name) for each in read], pa.string())
                columns[name] = pc.replace_with_mask(values, is_odd, again)
        return {name: scrub_column(values).take(encoded.indices) for name, values in columns.items()}

    # DuckDB

    def _run(self, sql: str, lines: pa.Table) -> pa.Table:
        engine = self._engine()
        engine.register("lines", lines)
        try:
            return engine.sql(sql).to_arrow_table()
        finally:
            engine.unregister("lines")

    def _engine(self) -> duckdb.DuckDBPyConnection:
        if not hasattr(self._local, "engine"):
            engine = duckdb.connect(config={"threads": 1})
            engine.execute("set TimeZone = 'UTC'; set enable_progress_bar = false")
            for macro in MACROS:
                engine.execute(macro)
            engine.execute("set variable event_key = ?", [self._key])
            self._local.engine = engine
        return self._local.engine

    def _hashes(self, sites: pa.Array, ids: pa.Array) -> np.ndarray:
        rows = self._run("select hash(site, id) as id_hash from lines", pa.table({"site": sites, "id": ids}))
        return single(rows.column("id_hash")).to_numpy(zero_copy_only=False).astype(np.uint64)


class _ExpandsError(Exception):
    """The batches of several lines become more than is read at once."""


class _Found:
    """What the lines of a batch turned out to be: tables of events, and rejects by (line, place in its batch)."""

    def __init__(self, batch: EventBatch) -> None:
        self.batch = batch
        self.tables: list[pa.Table] = []
        self.fields: dict[int, Counter[str]] = {}  # object → `shape.name:type` → events
        # Of lines that were rejected together: reasons, details, lines, places in their batches, texts.
        self._rejects: list[tuple[Sequence[str], Sequence[str | None], np.ndarray, np.ndarray, pa.Array]] = []
        length = len(batch)
        self.lines = pa.table(
            {
                "row": pa.array(np.arange(length, dtype=np.int32)),
                "batch_index": pa.nulls(length, pa.int64()),
                "origin": pa.nulls(length, pa.string()),
                "line": batch.texts,
            }
        )
        for reason in dict.fromkeys(batch.reasons.values()):
            self.reject(self.lines, [row for row, each in batch.reasons.items() if each == reason], reason)

    @staticmethod
    def numbered(lines: pa.Table) -> pa.Table:
        """With `position`, by which a query's rows are told apart."""
        if "position" in lines.column_names:
            lines = lines.drop_columns(["position"])
        return lines.append_column("position", pa.array(np.arange(len(lines), dtype=np.int32)))

    def reject(
        self,
        lines: pa.Table,
        positions: Sequence[int],
        reason: str,
        is_event: bool = False,
    ) -> None:
        """Rejects the lines at these positions; of what is an event already, the line that it stands in is shown."""
        self.reject_each(lines, positions, [reason] * len(positions), [None] * len(positions), is_event)

    def reject_each(
        self,
        lines: pa.Table,
        positions: Sequence[int] | np.ndarray,
        reasons: Sequence[str],
        details: Sequence[str | None],
        is_event: bool = False,
    ) -> None:
        """The same, each with its own reason and detail."""
        if not len(positions):
            return
        chosen = lines.take(pa.array(positions, pa.int64()))
        rows = chosen.column("row").to_numpy().astype(np.int64)
        places = chosen.column("batch_index").fill_null(-1).to_numpy()
        texts = self.batch.texts.take(pa.array(rows)) if is_event else single(chosen.column("line"))
        self._rejects.append((reasons, details, rows, places, texts))

    def count_fields(self, kind: Structure, types: pa.DictionaryArray, rows: np.ndarray) -> None:
        """Counts the fields at the top of these events, object by object; once for each combination of types."""
        shape = kind.shape.name if kind.shape else ""
        names = [_typed_names(shape, kind, types_of(text)) for text in types.dictionary.to_pylist()]
        codes = types.indices.to_numpy(zero_copy_only=False)
        pairs, numbers = np.unique(
            self.batch.object_index[rows].astype(np.int64) << 32 | codes.astype(np.int64), return_counts=True
        )
        for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
            of_object = self.fields.setdefault(pair >> 32, Counter())
            for name in names[pair & 0xFFFFFFFF]:
                of_object[name] += number

    def rejects(self, kept: KeptRejects) -> tuple[list[Reject], dict[int, Counter[str]]]:
        """(those that are kept; object → reason → rows, of all)."""
        if not self._rejects:
            return [], {}
        reasons, details = ([value for each in self._rejects for value in each[index]] for index in (0, 1))
        rows, places = (np.concatenate([each[index] for each in self._rejects]) for index in (2, 3))
        texts = pa.chunked_array([each[4] for each in self._rejects])
        order = np.lexsort([places, rows])
        objects = self.batch.object_index[rows[order]]
        rejected = reasons_of(objects, (reasons[at] for at in order.tolist()))
        shown = lru_cache(1_000)(scrub_line)  # a detail may name the sender's own keys
        chosen = order[kept.choose(objects)]
        found = [
            Reject(
                int(self.batch.object_index[rows[at]]),
                int(self.batch.line[rows[at]]),
                str(reasons[at]),
                _shown(text),
                (detail := details[at]) and shown(detail),
            )
            for at, text in zip(chosen.tolist(), texts.take(pa.array(chosen)), strict=True)
        ]
        return found, rejected

    def table(self) -> pa.Table:
        """All events, in the order of the lines and of their places in a batch."""
        table = pa.concat_tables(self.tables, promote_options="default")
        for name in COLUMN_TYPES.keys() - set(table.column_names):
            table = table.append_column(name, pa.nulls(len(table), COLUMN_TYPES[name]))
        if len(self.tables) > 1:
            order = np.lexsort([table.column("batch_index").fill_null(-1).to_numpy(), table.column("row").to_numpy()])
            table = table.take(pa.array(order))
        return table


def _shown(text: pa.StringScalar) -> str:
    """A rejected line as it may be kept."""
    shown = scrub_line(scrub_json_line(beginning_of(text.as_py())))
    return shown.strip("\r\n").encode("utf-8", "replace")[:MAX_REJECT_BYTES].decode("utf-8", "ignore")


def _rows_read(kept: np.ndarray, rejected: dict[int, Counter[str]]) -> dict[int, int]:
    """Object → rows, of the rows that are kept and of the rejected ones."""
    return dict(Counter(count_of_each(kept)) + Counter({index: each.total() for index, each in rejected.items()}))


def _typed_names(shape: str, kind: Structure, types: Sequence[str | None]) -> list[str]:
    return [
        f"{shape}.{each.name}:{TYPE_NAMES.get(of, of.lower())}"
        for each, of in zip((*kind.fields, *kind.others), types, strict=False)
        if of is not None and len(each.path) == 1
    ]


def _rows_of(codes: np.ndarray, groups: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The rows of each group of codes, in their order; all groups in one pass."""
    sizes = [len(members) for members in groups]
    group_of = np.zeros(sum(sizes), dtype=np.int64)
    group_of[[code for members in groups for code in members]] = np.repeat(np.arange(len(groups)), sizes)
    group = group_of[codes]
    ends = np.cumsum(np.bincount(group, minlength=len(groups)))
    return np.split(np.argsort(group, kind="stable"), ends[:-1])


def _named_others(kinds: Iterable[Structure]) -> tuple[Field, ...]:
    """Fields that no schema knows, of several structures: those whose names may stand in the lake."""
    found = {each.path[0]: each for kind in kinds for each in kind.others}
    return tuple(islice((found[name] for name in sorted(found) if _is_name(name)), MAX_OTHERS))


@lru_cache(MAX_SIGNATURES)
def _is_name(key: str) -> bool:
    """Keys come from outside: some senders make them of ids and addresses."""
    return re.fullmatch(r"[A-Za-z_$][\w.$-]{0,63}", key, re.ASCII) is not None and scrub_line(key) == key


def _without_events(found: _Found, kept: KeptRejects) -> ParsedBatch:
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
        rows_read=_rows_read(nothing, rejected),
        unreadable_numbers={},
        fields=found.fields,
    )


def _version(text: str) -> int:
    """0, which no schema has, for what is no number, and for one that nobody counts up to."""
    return int(text) if text.isdecimal() and len(text) <= MAX_VERSION_DIGITS else 0


def _patch(kind: Structure) -> str | None:
    """For the general way: what takes the columns out of an event."""
    if kind.left_paths is not None or kind.shape is None:
        return None
    return json.dumps(columns_taken(kind.shape))


def _excess(text: str) -> str | None:
    """Why this line may not be read: `too_deep`, or `too_many_keys` in one object."""
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


def _by_value(values: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    encoded = single(values.dictionary_encode())
    return function(encoded.dictionary).take(encoded.indices)


def _clean(values: pa.Array) -> pa.Array:
    """Without blanks around it, and scrubbed; null where nothing is left."""
    values = pc.utf8_trim_whitespace(values)
    return scrub_column(pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values))


def _known_tag(values: pa.Array) -> pa.Array:
    """The same of a tag: null where it is a placeholder."""
    known = [value and (known_value(value) or None) for value in values.to_pylist()]
    return scrub_column(pa.array(known, pa.string()))


def _known_values(values: pa.Array) -> pa.Array:
    """Values of query strings, decoded; null where they say nothing."""
    return pa.array(
        [known_value(decode(value)) or None if value else None for value in values.to_pylist()], pa.string()
    )


def _campaign(query: str) -> dict[str, str]:
    """What `CAMPAIGNS` finds in a query string, by the rules of `query_strings.py`."""
    parameters = known_parameters(query)
    found = {f"utm_{name}": first_of(parameters, (f"utm_{name}",))[1] for name in UTM}
    click, mark, own = (first_of(parameters, names) for names in (CLICK_IDS, CLICK_MARKS, OWN_CLICK_IDS))
    found["click_id_kind"] = click[0] or mark[0] or own[0]
    found["click_id"] = click[1] or ("" if mark[0] else own[1])
    return {name: value for name, value in found.items() if value}


def _bare_query(values: pa.Array) -> pa.Array:
    """Query strings as trackers send them, without what stands before and behind."""
    return pc.replace_substring_regex(values, r"^\s*\?|#.*$", "")


_HOST = re.compile(r"\A[^\s/?#@:]+[.][^\s/?#@:.]+")
_MAX_LABEL = 63  # characters (RFC 1035); and Python's punycode takes hours for long texts of many letters


def _hosts(hosts: pa.Array) -> pa.Array:
    """Hosts in lower case as browsers name them: without a dot at their end, in ASCII."""
    is_unusual = pc.match_substring_regex(hosts, r"[^a-z0-9.-]|[.]$").fill_null(False)
    if not pc.any(is_unusual).as_py():
        return hosts
    named = [_host(host) or None for host in hosts.filter(is_unusual).to_pylist()]
    return pc.replace_with_mask(hosts, is_unusual, pa.array(named, pa.string()))


def _host(host: str) -> str:
    """RFC 3492 for labels with letters beyond ASCII; no mapping but to small letters of one form (NFKC). What is longer
    than a label can be is no host's and stays."""
    host = unicodedata.normalize("NFKC", unquote(host)).lower().replace("\u3002", ".").rstrip(".")
    return ".".join(map(_label, host.split(".")))


def _label(label: str) -> str:
    if label.isascii() or len(label) > _MAX_LABEL:
        return label
    return f"xn--{label.encode('punycode').decode()}"


def _where(condition: pa.Array, values: pa.Array | pa.Scalar) -> pa.Array:
    """The values where the condition holds, else null."""
    return pc.if_else(condition, values, pa.scalar(None, pa.string()))


def _snake(values: pa.Array) -> pa.Array:
    """pageView, page-view, Page View and pageview are one: page_view."""
    parted = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", value) for value in _clean(values).fill_null("").to_pylist()]
    names = [re.sub(r"[\s._-]+", "_", value.lower()).strip("_") for value in parted]
    return pa.array(["page_view" if name == "pageview" else name or None for name in names], pa.string())


_MEANING = {
    "event_type": _snake,
    "currency": lambda values: pc.utf8_upper(_clean(values)),
}


def _any_known(columns: Iterable[pa.Array]) -> pa.Array:
    return pa.array(~np.logical_and.reduce([is_null(column) for column in columns]))


def _microseconds(hour: str) -> int:
    return int(datetime.fromisoformat(f"{hour[:10]}T{hour[11:13]}:00:00+00:00").timestamp()) * 1_000_000
