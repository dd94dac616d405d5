"""Stages all objects of one source day: Parquet files, rejects and ledger. Readers cannot see staged files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.days import day_text, parse_day
from ingest.errors import PartitionError, SourceError
from ingest.lake.layout import Partition
from ingest.partition.borders import border, is_unexpected, said
from ingest.partition.datasets import DATASETS, Dataset, Parse
from ingest.partition.files import PartitionFiles, let_go, open_writer
from ingest.partition.joined_files import begin_with, join_footers
from ingest.rows.batches import ObjectFacts, ParsedBatch, Reject
from ingest.rows.dedup import SeenRequests
from ingest.rows.parallel import ordered
from ingest.schema import LEDGER, REJECTS, arrow_schema
from ingest.source import Source, SourceObject

TASK_BYTES = 3 << 20  # small objects are read in one task up to this number of compressed bytes
FETCH_WHOLE_BYTES = 8 << 20  # a larger object is streamed
FETCH_AHEAD_BYTES = 16 << 20
FETCH_THREADS = 16
REJECTS_AT_ONCE = 20_000
REJECTS_SIZE_AT_ONCE = 16 << 20  # characters
GIVE_UP_ROWS = 200_000
NAMED = 5  # objects that a message names
MAX_FIELDS = 500  # fields of an object in the ledger; an object with more has made-up names

Progress = Callable[[int, int, int], None]  # objects done, total objects, rows so far


@dataclass
class ObjectCounts:
    """The counts of one object's rows: read = kept + rejected + duplicate."""

    item: SourceObject
    facts: ObjectFacts = field(default_factory=ObjectFacts)
    read: int = 0
    kept: int = 0
    rejected: int = 0
    duplicate: int = 0
    unreadable_numbers: int = 0
    reasons: Counter[str] = field(default_factory=Counter)  # of rejects; empty if the object was not read now
    fields: Counter[str] = field(default_factory=Counter)
    days: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Absence:
    """Why a partition has no object.

    is_quiet: whether nothing happened, so that it is published without rows. advice: what to do if it is not quiet.
    """

    is_quiet: bool
    why: str
    advice: str = ""


@dataclass
class StagedDay:
    """One staged partition: files by event date, rejects, and the counts of each object.

    objects_read: the number of objects that were read for it.
    unchanged: event dates whose file is the same as in the lake.
    absence: of a partition without objects.
    """

    partition: Partition
    files: dict[date, Path]
    rows: dict[date, int]
    rejects_file: Path
    objects: list[ObjectCounts]
    rejects_by_reason: dict[str, int]
    objects_read: int
    unchanged: frozenset[date] = frozenset()
    absence: Absence | None = None

    def total(self, name: str) -> int:
        return sum(getattr(counts, name) for counts in self.objects)

    @cached_property
    def _ledger(self) -> pa.Table:
        schema = arrow_schema(LEDGER)
        plain = [column for column in schema if column.name != "fields"]
        rows = [_ledger_row(counts) for counts in self.objects]
        return pa.Table.from_pylist(rows, schema=pa.schema(plain)).append_column(
            schema.field("fields"), _fields_of(self.objects)
        )

    def ledger(self) -> pa.Table:
        return self._ledger


@dataclass
class Read:
    """What the objects of a partition hold: the facts of each, and their rows in batches."""

    facts: list[ObjectFacts]
    batches: list[ParsedBatch]


class Standing(Protocol):
    """The published part of a partition, as local files, to which newly read objects are added.

    files: event date → its file.
    counts: the counts of the objects whose rows are in these files.
    """

    files: dict[date, Path]
    rejects_file: Path
    rejects_by_reason: Counter[str]
    counts: list[ObjectCounts]

    def is_known(self, id_hash: np.ndarray, times: np.ndarray, object_index: np.ndarray) -> np.ndarray:
        """True for each row whose request or event is already published."""


def stage_day(
    source: Source,
    objects: Sequence[SourceObject],
    partition: Partition,
    parse: Parse,
    folder: Path,
    workers: int = 2,
    progress: Progress | None = None,
    standing: Standing | None = None,
    read: Read | None = None,
) -> StagedDay:
    """Reads the objects of a partition and writes their rows, rejects and counts into `folder`.

    Args:
        objects: the objects of this partition, sorted; rows keep this order.
        read: what the objects hold, if they are already read.
        workers: threads that decompress and parse; two are enough for two cores.
        standing: the published rows that new rows are appended to; None for a whole reading.
    """
    dataset = DATASETS[partition.table]
    counts = [ObjectCounts(item) for item in objects]
    seen = SeenRequests(folder)
    with (
        PartitionFiles(folder / "rows", dataset.plain_columns, standing.files if standing else None) as files,
        _RejectsFile(folder / "rejects.parquet", dataset.name, counts, standing) as rejects,
        closing(_handed(read, counts) if read else parsed(source, dataset, counts, parse, workers)) as results,
    ):
        done = 0
        for task, batch in results:
            with border(lambda task=task: f"what {_names(objects[task.start : task.stop])} hold"):  # type: ignore[misc]
                _take(dataset, batch, counts, seen, files, standing)
                rejects.add(batch)
            if progress and task.stop != done:
                done = task.stop
                progress(done, len(objects), sum(files.rows.values()))
        if partition.day not in files.rows:  # a published day always has its own file, even where it is empty
            files.add(partition.day, "other", dataset.schema.empty_table())
        finished = files.close()
        rejects_file = rejects.close()
    staged = StagedDay(
        partition, finished, files.rows, rejects_file, counts, dict(rejects.by_reason), objects_read=len(counts)
    )
    if standing:
        staged.objects = sorted([*standing.counts, *counts], key=lambda each: each.item)
        staged.unchanged = frozenset(day for day, path in finished.items() if path == standing.files.get(day))
    return staged


def parsed(
    source: Source,
    dataset: Dataset,
    counts: Sequence[ObjectCounts],
    parse: Parse,
    workers: int,
    names_faulty: bool = True,
) -> Generator[tuple[range, ParsedBatch], None, None]:
    """(objects, batch) for each batch of their rows, in the order of objects. Facts are added to `counts`.

    Args:
        names_faulty: raise a PartitionError that names the faulty objects for an unexpected error, and not the error.
    """
    objects = [each.item for each in counts]
    with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
        fetcher = _Fetcher(source, objects, pool)

        def read(task: range) -> Iterator[ParsedBatch]:
            pieces = (piece for index in task for piece in _pieces_of(dataset, fetcher, index, counts[index].facts))
            try:
                useless = Counter[int]()
                for batch in dataset.batches(pieces):
                    for part in parse(batch):
                        yield part
                        _give_up(part, useless, counts)
            except Exception as error:
                if not (names_faulty and is_unexpected(error)):
                    raise
                raise _named(error, source, [objects[index] for index in task], dataset, parse) from error

        with closing(ordered(read, _tasks(objects), workers)) as results:
            yield from results


def _handed(read: Read, counts: Sequence[ObjectCounts]) -> Generator[tuple[range, ParsedBatch], None, None]:
    """As `parsed`, of objects that are already read."""
    for each, facts in zip(counts, read.facts, strict=True):
        each.facts = facts
    for batch in read.batches:
        yield range(len(counts)), batch


def _tasks(objects: Sequence[SourceObject]) -> list[range]:
    """Ranges of objects: neighbouring small objects share a task, up to `TASK_BYTES`."""
    tasks: list[range] = []
    start, size = 0, 0
    for index, item in enumerate(objects):
        if index > start and size + item.size > TASK_BYTES:
            tasks.append(range(start, index))
            start, size = index, 0
        size += item.size
    if len(objects) > start:
        tasks.append(range(start, len(objects)))
    return tasks


class _Fetcher:
    """Fetches small objects ahead of the parser, `FETCH_THREADS` at once; large ones are opened when they are
    needed."""

    def __init__(self, source: Source, objects: Sequence[SourceObject], pool: ThreadPoolExecutor) -> None:
        self._source, self._objects, self._pool = source, objects, pool
        self._fetched: dict[int, Future[bytes]] = {}
        self._next = 0

    def open(self, index: int) -> BinaryIO:
        waiting = 0
        for ahead in range(index, min(index + 2 * FETCH_THREADS, len(self._objects))):
            waiting += self._objects[ahead].size
            if ahead > index and waiting > FETCH_AHEAD_BYTES:
                break
            self._submit(ahead)
        fetched = self._fetched.pop(index, None)
        return self._source.open(self._objects[index]) if fetched is None else io.BytesIO(fetched.result())

    def _submit(self, index: int) -> None:
        if index not in self._fetched and self._objects[index].size <= FETCH_WHOLE_BYTES and index >= self._next:
            self._next = index + 1
            self._fetched[index] = self._pool.submit(self._read, self._objects[index])

    def _read(self, item: SourceObject) -> bytes:
        with self._source.open(item) as stream:
            return stream.read()


def _give_up(batch: ParsedBatch, useless: Counter[int], counts: Sequence[ObjectCounts]) -> None:
    """Stops reading an object after `GIVE_UP_ROWS` rows if not one of them is usable."""
    for index, number in batch.rows_read.items():
        rejected = batch.rejected[index].total() if index in batch.rejected else 0
        useless[index] = useless[index] + number if rejected == number and useless[index] >= 0 else -1
        if useless[index] >= GIVE_UP_ROWS:
            counts[index].facts.error = f"given up after {useless[index]} rows, not one of which can be used"


def _named(
    error: Exception, source: Source, objects: Sequence[SourceObject], dataset: Dataset, parse: Parse
) -> PartitionError:
    """The refusal for an unexpected error while objects were read together. Reads each alone to name the faulty
    ones."""
    wrong: dict[str, str] = {}
    for item in objects if len(objects) > 1 else ():
        try:
            with source.open(item) as stream:
                for batch in dataset.batches(dataset.pieces(stream, 0, ObjectFacts())):
                    for _ in parse(batch):
                        pass
        except SourceError:
            pass  # not the cause: such an object would be recorded as unreadable
        except Exception as failed:
            if not is_unexpected(failed):
                raise
            wrong[item.name] = said(failed)
    if not wrong and len(objects) == 1:
        wrong = {objects[0].name: said(error)}
    told = "; ".join(f"{key}: {reason}" for key, reason in list(wrong.items())[:NAMED])
    return PartitionError(told or f"one of {_names(objects)}: {said(error)}", wrong)


def _names(objects: Sequence[SourceObject]) -> str:
    more = f" and {len(objects) - NAMED} more" if len(objects) > NAMED else ""
    return ", ".join(item.name for item in objects[:NAMED]) + more


def _pieces_of(dataset: Dataset, fetcher: _Fetcher, index: int, facts: ObjectFacts) -> Iterator[Any]:
    try:
        with fetcher.open(index) as stream:
            for piece in dataset.pieces(stream, index, facts):
                yield piece
                if facts.error:  # past a limit, or given up: no need to read further
                    return
    except SourceError as error:
        facts.error = str(error)


def _take(
    dataset: Dataset,
    batch: ParsedBatch,
    counts: list[ObjectCounts],
    seen: SeenRequests,
    files: PartitionFiles,
    standing: Standing | None,
) -> None:
    """Counts a batch, drops its duplicates and adds its rows to the files of their event dates."""
    for index, number in batch.rows_read.items():
        counts[index].read += number
    for index, number in batch.unreadable_numbers.items():
        counts[index].unreadable_numbers += number
    for index, fields in batch.fields.items():
        counts[index].fields.update(fields)
    for index, reasons in batch.rejected.items():
        counts[index].rejected += reasons.total()
        counts[index].reasons.update(reasons)
    table, object_index, days = batch.table, batch.object_index, batch.day
    is_kept = ~batch.has_id
    with_id = np.flatnonzero(batch.has_id)
    times = table.column("event_ts").cast(pa.int64()).to_numpy()
    is_kept[with_id] = seen.first_seen(batch.id_hash[with_id], times[with_id])
    if standing:
        is_kept[with_id] &= ~standing.is_known(batch.id_hash[with_id], times[with_id], object_index[with_id])
    if not is_kept.all():
        for index, number in zip(*np.unique(object_index[~is_kept], return_counts=True), strict=True):
            counts[index].duplicate += int(number)
        table, object_index, days = table.filter(pa.array(is_kept)), object_index[is_kept], days[is_kept]
    _count_kept(object_index, days, counts)
    table = table.append_column("source_object", _object_names(object_index, counts)).select(dataset.schema.names)
    for day in np.unique(days):
        rows = table if (days == day).all() else table.filter(pa.array(days == day))
        for kind, chosen in dataset.kinds(rows).items():
            if len(chosen):
                files.add(_day(int(day)), kind, chosen)


def _count_kept(object_index: np.ndarray, days: np.ndarray, counts: list[ObjectCounts]) -> None:
    pairs, numbers = np.unique(object_index.astype(np.int64) << 32 | days, return_counts=True)
    for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
        counts[pair >> 32].kept += number
        counts[pair >> 32].days.add(pair & 0xFFFFFFFF)


def _object_names(object_index: np.ndarray, counts: list[ObjectCounts]) -> pa.DictionaryArray:
    present, codes = np.unique(object_index, return_inverse=True)
    names = pa.array([counts[index].item.name for index in present], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), names)


_EPOCH = date(1970, 1, 1)


def _day(number: int) -> date:
    return _EPOCH + timedelta(days=number)


class _RejectsFile:
    """Writes rejects to one Parquet file as they come."""

    def __init__(self, path: Path, dataset: str, counts: list[ObjectCounts], standing: Standing | None) -> None:
        self._path, self._dataset, self._counts = path, dataset, counts
        self._waiting: list[Reject] = []
        self._waiting_size = 0  # characters
        self._schema = arrow_schema(REJECTS)
        self._writer = open_writer(path, self._schema, compression="zstd", compression_level=1)
        self.by_reason = Counter(standing.rejects_by_reason if standing else ())
        self._earlier = standing.rejects_file if standing else None
        if self._earlier:
            begin_with(self._writer, self._earlier)

    def __enter__(self) -> _RejectsFile:
        return self

    def __exit__(self, *_: object) -> None:
        let_go(self._writer)

    def add(self, batch: ParsedBatch) -> None:
        for reasons in batch.rejected.values():
            self.by_reason.update(reasons)
        self._waiting += batch.rejects
        self._waiting_size += sum(len(reject.text) for reject in batch.rejects)
        if len(self._waiting) >= REJECTS_AT_ONCE or self._waiting_size >= REJECTS_SIZE_AT_ONCE:
            self._write()

    def _write(self) -> None:
        rows = [
            (self._dataset, self._counts[each.object_index].item.name, each.line, each.reason, each.detail, each.text)
            for each in self._waiting
        ]
        columns = zip(*rows, strict=True) if rows else [[] for _ in self._schema.names]
        self._writer.write_table(
            pa.table([pa.array(v, t) for v, t in zip(columns, self._schema.types, strict=True)], schema=self._schema)
        )
        self._waiting, self._waiting_size = [], 0

    def close(self) -> Path:
        if self._waiting or not self._earlier:
            self._write()
        self._writer.close()
        if self._earlier:
            join_footers(self._path, self._earlier)
        return self._path


def not_staged(partition: Partition, objects: Sequence[SourceObject], error: PartitionError, folder: Path) -> StagedDay:
    """A partition that could not be ingested: its objects, without rows."""
    counts = [ObjectCounts(item, ObjectFacts(error=error.objects.get(item.name))) for item in objects]
    rejects = folder / "rejects.parquet"
    pq.write_table(arrow_schema(REJECTS).empty_table(), rejects)
    return StagedDay(partition, {}, {}, rejects, counts, {}, objects_read=len(counts))


def _ledger_row(counts: ObjectCounts) -> dict[str, Any]:
    item, facts = counts.item, counts.facts
    return {
        "source_object": item.name,
        "etag": item.etag,
        "size": item.size,
        "modified": item.modified.astimezone(UTC).replace(tzinfo=None),
        "format": facts.format,
        "rows_read": counts.read,
        "rows_kept": counts.kept,
        "rows_rejected": counts.rejected,
        "rows_duplicate": counts.duplicate,
        "unreadable_numbers": counts.unreadable_numbers,
        "error": facts.error,
        "missing_fields": sorted(facts.missing_fields),
        "unknown_fields": sorted(facts.unknown_fields)[:MAX_FIELDS],
        "event_dates": [day_text(_day(number)) for number in sorted(counts.days)],
    }


def counts_of(row: dict[str, Any], item: SourceObject) -> ObjectCounts:
    """The counts of an object from its row in the ledger: the reverse of `_ledger_row`."""
    unknown, missing = set(row["unknown_fields"]), set(row["missing_fields"])
    facts = ObjectFacts(
        row["format"], row["error"], fields=unknown, missing_fields=missing, unknown_fields=set(unknown)
    )
    return ObjectCounts(
        item,
        facts,
        read=row["rows_read"],
        kept=row["rows_kept"],
        rejected=row["rows_rejected"],
        duplicate=row["rows_duplicate"],
        unreadable_numbers=row["unreadable_numbers"],
        fields=Counter(dict(row["fields"] or ())),
        days={(parse_day(day) - _EPOCH).days for day in row["event_dates"]},
    )


def _fields_of(objects: Sequence[ObjectCounts]) -> pa.MapArray:
    """For each object a map field → rows: the counted fields, else those of the header, which hold for all its rows.

    Built from flat lists, because lists of pairs for ten thousand objects would take half a second.
    """
    names: list[str] = []
    rows: list[int] = []
    offsets = [0]
    for counts in objects:
        if counts.fields:
            known = sorted(counts.fields)[:MAX_FIELDS]
            rows += [counts.fields[name] for name in known]
        else:
            known = sorted(counts.facts.fields)[:MAX_FIELDS]
            rows += [counts.read] * len(known)
        names += known
        offsets.append(len(names))
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(names, pa.string()), pa.array(rows, pa.int64())
    )
