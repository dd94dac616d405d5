"""Compares every file of the lake with what was recorded when it was published: raw with its ledgers, marts with their
records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from ingest.days import parse_day
from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import (
    DATA_FILE,
    LAKE_FILE,
    LEDGER,
    MARTS,
    RAW,
    RECORDS,
    REJECTS,
    Mart,
    ledger_of,
    partition_of,
    table_of,
)
from ingest.lake.records import UNRECORDED, FileRecord, read_records
from ingest.partition.local_files import files_recorded, not_as_published, to_make_again
from ingest.words import counted

AT_ONCE = 4  # files that are read at once
READ_BYTES = 8 << 20

Advance = Callable[[int, int, int], None]  # files read, files in all, bytes read


@dataclass
class Verified:
    """files, bytes: what was read. unrecorded: files of a version that recorded none. wrong: a sentence for each file
    that is not what was published."""

    files: int = 0
    bytes: int = 0
    unrecorded: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Group:
    """Files with one record: those of a ledger, or of a mart. lock: held by whoever publishes them. record: its key."""

    lock: str
    record: str
    files: Mapping[str, LakeFile]
    recorded: Callable[[], Mapping[str, Collection[FileRecord]] | None]


class Verification:
    """The files of a lake that are to be compared.

    Args:
        tables: names of datasets and marts; all if empty.
        first, last: source days of raw and days of marts; None sets no limit, and also takes in marts without days.
    """

    def __init__(
        self, lake: Lake, tables: Collection[str] = (), first: date | None = None, last: date | None = None
    ) -> None:
        self._lake = lake
        self._tables, self._first, self._last = set(tables), first or date.min, last or date.max
        self._has_limit = bool(first or last)
        self._groups = [*self._of_raw(), *self._of_marts()]

    @property
    def files(self) -> int:
        return sum(len(group.files) for group in self._groups)

    def run(self, advance: Advance) -> Verified:
        """Reads and compares all files.

        Raises:
            TransientLakeError: the lake cannot be read for a moment.
        """
        done = Verified()
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="verify") as pool:
            for group in self._groups:
                hashes = list(pool.map(lambda file: self._hash(file.key), group.files.values()))
                found = dict(zip(group.files, hashes, strict=True))
                done.files += len(found)
                done.bytes += sum(file.size for file in group.files.values())
                advance(done.files, self.files, done.bytes)
                unrecorded, wrong = _compared(found, group)
                if wrong:  # another run may have published in this moment
                    with self._lake.lock(group.lock):
                        again = {key: self._hash(key) for key in found}
                        unrecorded, wrong = _compared(again, group)
                done.unrecorded += unrecorded
                done.wrong += wrong
        return done

    def _hash(self, key: str) -> str | None:
        """The SHA-256 of a file; None if it is gone or cannot be read."""
        found = hashlib.sha256()
        try:
            for piece in self._lake.pieces(key, READ_BYTES):
                found.update(piece)
        except TransientLakeError:
            raise
        except LakeError:
            return None
        return found.hexdigest()

    def _of_raw(self) -> Iterator[_Group]:
        is_early = not self._lake.exists(LAKE_FILE)
        by_ledger: dict[str, dict[str, LakeFile]] = {
            file.key: {} for file in self._lake.files(LEDGER) if self._is_wanted(file.key)
        }
        for file in (*self._lake.files(RAW), *self._lake.files(REJECTS)):
            if self._is_wanted(file.key):
                by_ledger.setdefault(ledger_of(file.key), {})[file.key] = file
        for key, files in sorted(by_ledger.items()):
            partition = partition_of(key)
            if partition is not None:
                yield _Group(partition.lock, key, files, partial(self._of_ledger, key, is_early))

    def _of_ledger(self, key: str, is_early: bool) -> Mapping[str, Collection[FileRecord]] | None:
        return _singly(files_recorded(self._lake, is_early, key))

    def _of_marts(self) -> Iterator[_Group]:
        by_mart: dict[str, dict[str, LakeFile]] = {
            table_of(file.key): {} for file in self._lake.files(RECORDS) if self._is_table(file.key)
        }
        for file in self._lake.files(MARTS):
            if self._is_wanted(file.key):
                by_mart.setdefault(table_of(file.key), {})[file.key] = file
        source_days = {each.day for file in self._lake.files(LEDGER) if (each := partition_of(file.key))}
        for name, files in sorted(by_mart.items()):
            mart = Mart(name)
            yield _Group(MARTS, mart.record_file, files, partial(self._records_of, mart, files, source_days))

    def _records_of(
        self, mart: Mart, files: Collection[str], source_days: Collection[date]
    ) -> Mapping[str, Collection[FileRecord]]:
        """The records of the wanted files of a mart. Those of files that are rightly absent are left out: files whose
        first publication was interrupted, and those of days that were taken away with their ledgers."""
        return {
            key: records
            for key, records in read_records(self._lake, mart).items()
            if key in files
            or (
                self._is_wanted(key)
                and UNRECORDED not in records
                and (_day_of(key) is None or _day_of(key) in source_days)
            )
        }

    def _is_wanted(self, key: str) -> bool:
        day = _day_of(key)
        return self._is_table(key) and (self._first <= day <= self._last if day else not self._has_limit)

    def _is_table(self, key: str) -> bool:
        return key.endswith(f"/{DATA_FILE}") and (not self._tables or table_of(key) in self._tables)


def _day_of(key: str) -> date | None:
    """The source day of a file of raw, or the day of a file of a mart."""
    if partition := partition_of(key):
        return partition.day
    for part in key.split("/"):
        name, _, value = part.partition("=")
        if value and name.endswith("_date"):
            try:
                return parse_day(value)
            except ValueError:
                return None
    return None


def _singly(files: Mapping[str, FileRecord] | None) -> Mapping[str, Collection[FileRecord]] | None:
    return None if files is None else {key: [each] for key, each in files.items()}


def _compared(found: Mapping[str, str | None], group: _Group) -> tuple[int, list[str]]:
    """(number of files without a record, sentences about files that are not what was recorded)."""
    try:
        recorded = group.recorded()
    except TransientLakeError:
        raise
    except LakeError:
        return len(found), [_broken_record(group)]
    if recorded is None:
        return len(found), []
    of_raw = group.record.startswith(f"{LEDGER}/")
    wrong = [f"{key} is missing. {to_make_again(key)}" for key in recorded if key not in found]
    unrecorded = 0
    for key, sha256 in found.items():
        records = recorded.get(key, [] if of_raw else [UNRECORDED])
        if UNRECORDED in records:
            unrecorded += 1
        elif sha256 not in {each.sha256 for each in records}:
            wrong.append(not_as_published(key))
    return unrecorded, wrong


def _broken_record(group: _Group) -> str:
    """The record of a mart cannot be read. A run of some days would write it without the files of the others."""
    days = sorted(day for key in group.files if (day := _day_of(key)))
    again = f"Make them again: clicklake run --from {days[0]} --to {days[-1]}" if days else to_make_again(group.record)
    return (
        f"{group.record} cannot be read, and nothing else tells whether the {counted(len(group.files), 'file')} of "
        f"{table_of(group.record)} are what was published. {again}"
    )
