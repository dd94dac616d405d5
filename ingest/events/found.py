"""The result of reading a batch of lines: tables of events, rejects, and counts of fields."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
import pyarrow as pa

from ingest.events.files import EventBatch
from ingest.events.native import Ordinary, table_of, typed_keys
from ingest.events.shapes import Field, Structure
from ingest.events.sql import COLUMN_TYPES, types_of
from ingest.rows.batches import MAX_REJECT_BYTES, KeptRejects, Reject, beginning_of, reasons_of
from ingest.rows.columns import DICTIONARY, count_of_each, single
from ingest.rows.privacy import scrub_json_line, scrub_line

MAX_OTHERS = 100  # counted fields without a schema, in structures that are read together
NAMES_KEPT = 10_000  # checked names in the cache
TYPE_NAMES = {  # DuckDB's json_type → type in JSON
    "VARCHAR": "string",
    **dict.fromkeys(("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"), "number"),
}


class Found:
    """The events and rejects of a batch of lines, sorted by (line, index in its event batch).

    Args:
        event_keys: for each line the key that hashes the ids of its events, where they have none.
    """

    def __init__(self, batch: EventBatch, event_keys: pa.Array) -> None:
        self.batch = batch
        self._tables: list[pa.Table] = []
        self.others: set[str] = set()  # counted fields that no schema knows
        self.fields: dict[int, Counter[str]] = {}  # object → `shape.name:type` → events
        # For lines that were rejected together: reasons, details, lines, indices in their event batches, texts.
        self._rejects: list[tuple[Sequence[str], Sequence[str | None], np.ndarray, np.ndarray, pa.Array]] = []
        length = len(batch)
        self.lines = pa.table(
            {
                "row": pa.array(np.arange(length, dtype=np.int32)),
                "batch_index": pa.nulls(length, pa.int64()),
                "origin": pa.nulls(length, pa.string()),
                "line": batch.texts,
                "event_key": event_keys,
            }
        )
        for reason in dict.fromkeys(batch.reasons.values()):
            self.reject(self.lines, [row for row, each in batch.reasons.items() if each == reason], reason)

    @staticmethod
    def numbered(lines: pa.Table) -> pa.Table:
        """The lines with a column `position`, which numbers them."""
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
        """Rejects the lines at these positions. An event (`is_event`) is shown as the line that it came from."""
        self.reject_each(lines, positions, [reason] * len(positions), [None] * len(positions), is_event)

    def reject_each(
        self,
        lines: pa.Table,
        positions: Sequence[int] | np.ndarray,
        reasons: Sequence[str],
        details: Sequence[str | None],
        is_event: bool = False,
    ) -> None:
        """Rejects the lines at these positions, each with its own reason and detail."""
        if not len(positions):
            return
        chosen = lines.take(pa.array(positions, pa.int64()))
        rows = chosen.column("row").to_numpy().astype(np.int64)
        places = chosen.column("batch_index").fill_null(-1).to_numpy()
        texts = self.batch.texts.take(pa.array(rows)) if is_event else single(chosen.column("line"))
        self._rejects.append((reasons, details, rows, places, texts))

    def add(self, events: pa.Table) -> None:
        """Adds events (row, batch_index, and columns of `COLUMN_TYPES`). Texts may be dictionaries already."""
        for number, name in enumerate(events.column_names):
            if COLUMN_TYPES.get(name) == DICTIONARY and not pa.types.is_dictionary(events.column(name).type):
                events = events.set_column(number, name, events.column(name).dictionary_encode())
        self._tables.append(events)

    def add_ordinary(self, ordinary: Ordinary, run: Callable[[str, pa.Table], pa.Table]) -> None:
        """Adds events that the core has read, and counts their fields.

        Args:
            run: runs SQL over a table named `lines`.
        """
        self.add(table_of(ordinary, run))
        names = []
        for signature in ordinary.own["signature"].dictionary.to_pylist():
            shape, types = typed_keys(signature)
            known = {each.name for each in shape.root.fields}
            others = {key for key in types if key not in known}
            named = {key for key in others if _is_name(key)}
            self.others |= named
            names.append([f"{shape.name}.{key}:{of}" for key, of in types.items() if key in named or key not in others])
        self._count(names, ordinary.own["signature"].indices, ordinary.own["line"].to_numpy())

    def count_fields(self, kind: Structure, types: pa.DictionaryArray, rows: np.ndarray) -> None:
        """Counts the top-level fields of these events by object. Each combination of types is looked at once."""
        shape = kind.shape.name if kind.shape else ""
        names = [_typed_names(shape, kind, types_of(text)) for text in types.dictionary.to_pylist()]
        self._count(names, types.indices, rows)

    def _count(self, names: Sequence[Sequence[str]], codes: pa.Array, rows: np.ndarray) -> None:
        """Counts by object the names of each event's code."""
        codes = codes.to_numpy(zero_copy_only=False)
        pairs, numbers = np.unique(
            self.batch.object_index[rows].astype(np.int64) << 32 | codes.astype(np.int64), return_counts=True
        )
        for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
            of_object = self.fields.setdefault(pair >> 32, Counter())
            for name in names[pair & 0xFFFFFFFF]:
                of_object[name] += number

    def rejects(self, kept: KeptRejects) -> tuple[list[Reject], dict[int, Counter[str]]]:
        """(the rejects that are stored; object → reason → number of all its rejected rows)."""
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

    @property
    def is_empty(self) -> bool:
        return not self._tables

    def table(self) -> pa.Table:
        """All events, in the order of lines and of indices in an event batch."""
        table = pa.concat_tables(self._tables, promote_options="default")
        for name in COLUMN_TYPES.keys() - set(table.column_names):
            table = table.append_column(name, pa.nulls(len(table), COLUMN_TYPES[name]))
        if len(self._tables) > 1:
            order = np.lexsort([table.column("batch_index").fill_null(-1).to_numpy(), table.column("row").to_numpy()])
            table = table.take(pa.array(order))
        return table


def _shown(text: pa.StringScalar) -> str:
    """A rejected line as it may be stored."""
    shown = scrub_line(scrub_json_line(beginning_of(text.as_py())))
    return shown.strip("\r\n").encode("utf-8", "replace")[:MAX_REJECT_BYTES].decode("utf-8", "ignore")


def rows_read(kept: np.ndarray, rejected: dict[int, Counter[str]]) -> dict[int, int]:
    """Object → number of its rows, kept and rejected."""
    return dict(Counter(count_of_each(kept)) + Counter({index: each.total() for index, each in rejected.items()}))


def _typed_names(shape: str, kind: Structure, types: Sequence[str | None]) -> list[str]:
    return [
        f"{shape}.{each.name}:{TYPE_NAMES.get(of, of.lower())}"
        for each, of in zip((*kind.fields, *kind.others), types, strict=False)
        if of is not None and len(each.path) == 1
    ]


def rows_of(codes: np.ndarray, groups: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The rows of each group of codes, in their order. One pass finds all groups."""
    sizes = [len(members) for members in groups]
    group_of = np.zeros(sum(sizes), dtype=np.int64)
    group_of[[code for members in groups for code in members]] = np.repeat(np.arange(len(groups)), sizes)
    group = group_of[codes]
    ends = np.cumsum(np.bincount(group, minlength=len(groups)))
    return np.split(np.argsort(group, kind="stable"), ends[:-1])


def named_others(kinds: Iterable[Structure]) -> tuple[Field, ...]:
    """The fields of several structures that no schema knows. Only names that may be stored, at most `MAX_OTHERS`."""
    found = {each.path[0]: each for kind in kinds for each in kind.others}
    return tuple(islice((found[name] for name in sorted(found) if _is_name(name)), MAX_OTHERS))


@lru_cache(NAMES_KEPT)
def _is_name(key: str) -> bool:
    """Whether a key is a plain name that may be stored. Some senders put ids and addresses into keys."""
    return re.fullmatch(r"[A-Za-z_$][\w.$-]{0,63}", key, re.ASCII) is not None and scrub_line(key) == key
