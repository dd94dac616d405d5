"""Compares every file of the lake with what was recorded when it was published: raw with its ledgers, marts with their
records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

from ingest.days import parse_day
from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import (
    DATA_FILE,
    LAKE_FILE,
    LEDGER,
    MARTS,
    RAW,
    REJECTS,
    Mart,
    ledger_of,
    partition_of,
    table_of,
)
from ingest.lake.records import UNRECORDED, FileRecord, files_of_mart
from ingest.partition.local_files import files_recorded, not_as_published, to_make_again

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
    """Files with one record: those of a ledger, or of a mart. lock: held by whoever publishes them."""

    lock: str
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
                unrecorded, wrong = _compared(found, group.recorded())
                if wrong:  # another run may have published in this moment
                    with self._lake.lock(group.lock):
                        again = {key: self._hash(key) for key in found}
                        unrecorded, wrong = _compared(again, group.recorded())
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
            file.key: {} for file in self._lake.files(LEDGER) if self._is_wanted(file)
        }
        for file in (*self._lake.files(RAW), *self._lake.files(REJECTS)):
            if self._is_wanted(file):
                by_ledger.setdefault(ledger_of(file.key), {})[file.key] = file
        for key, files in sorted(by_ledger.items()):
            partition = partition_of(key)
            if partition is not None:
                yield _Group(partition.lock, files, lambda key=key: _singly(files_recorded(self._lake, is_early, key)))  # type: ignore[misc]

    def _of_marts(self) -> Iterator[_Group]:
        by_mart: dict[str, dict[str, LakeFile]] = {}
        for file in self._lake.files(MARTS):
            if self._is_wanted(file):
                by_mart.setdefault(table_of(file.key), {})[file.key] = file
        for name, files in sorted(by_mart.items()):
            yield _Group(MARTS, files, lambda name=name: files_of_mart(self._lake, Mart(name)))  # type: ignore[misc]

    def _is_wanted(self, file: LakeFile) -> bool:
        if not file.key.endswith(f"/{DATA_FILE}") or (self._tables and table_of(file.key) not in self._tables):
            return False
        day = _day_of(file.key)
        return self._first <= day <= self._last if day else not self._has_limit


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


def _compared(
    found: Mapping[str, str | None], recorded: Mapping[str, Collection[FileRecord]] | None
) -> tuple[int, list[str]]:
    """(number of files without a record, sentences about files that are not what was recorded)."""
    if recorded is None:
        return len(found), []
    of_raw = any(key.startswith((f"{RAW}/", f"{REJECTS}/")) for key in (*recorded, *found))
    # A day of a mart without a file was taken away by its owner, such as to have it built anew.
    missing = [key for key in recorded if of_raw and key not in found]
    wrong = [f"{key} is missing. {to_make_again(key)}" for key in missing]
    unrecorded = 0
    for key, sha256 in found.items():
        records = recorded.get(key, [] if of_raw else [UNRECORDED])
        if UNRECORDED in records:
            unrecorded += 1
        elif sha256 not in {each.sha256 for each in records}:
            wrong.append(not_as_published(key))
    return unrecorded, wrong


def named(tables: Iterable[str]) -> list[str]:
    """Tables without their schema: `raw.events` and `events` are the same."""
    return [table.rpartition(".")[2] for table in tables]
