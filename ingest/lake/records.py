"""What was published: the rows and the SHA-256 of each file, kept apart from the file.

Raw: the ledger of a partition records its raw and rejects files, in its Parquet metadata. It is put last, so a
partition is what its ledger says. Marts: one table for each model records its files, and is put before and after them.

A file is as it was published if its SHA-256 is recorded. A publication of marts that was interrupted leaves the records
of the old file and of the new one. A file without any record was written by a version that made none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.layout import Mart

# In the Parquet metadata of a ledger; files are JSON of key → [rows, SHA-256].
FILES, KEY, COMING = b"clicklake.files", b"clicklake.key", b"clicklake.coming"


@dataclass(frozen=True)
class FileRecord:
    rows: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """The record of a local Parquet file."""
        return cls(pq.read_metadata(path).num_rows, sha256_of(path))


UNRECORDED = FileRecord(0, "")  # of a file that a version without records put there


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_as(path: Path, records: Collection[FileRecord] | None) -> bool:
    """Whether a local file is what one of these records says; True for a file without any record."""
    if records is None or UNRECORDED in records:
        return True
    return sha256_of(path) in {each.sha256 for each in records}


@dataclass(frozen=True)
class LedgerRecord:
    """What a ledger records.

    files: key → record of each file of its partition. key: fingerprint of the hash keys of its rows. coming: the files
    that are about to take their place, while the rows are changed to another hash key.
    """

    files: Mapping[str, FileRecord]
    key: str
    coming: Mapping[str, FileRecord] = field(default_factory=dict)

    def on(self, ledger: pa.Table) -> pa.Table:
        """The ledger with this record. The same record gives the same bytes."""
        told = {FILES: _told(self.files), KEY: self.key} | ({COMING: _told(self.coming)} if self.coming else {})
        return ledger.replace_schema_metadata(told)


def _told(files: Mapping[str, FileRecord]) -> str:
    return json.dumps({key: [each.rows, each.sha256] for key, each in sorted(files.items())})


def _read(told: bytes | None) -> dict[str, FileRecord]:
    return {name: FileRecord(*each) for name, each in json.loads(told or b"{}").items()}


def ledger_record(lake: Lake, key: str) -> LedgerRecord | None:
    """What a ledger records; None if it is of a version that recorded nothing, or is absent."""
    footer = lake.read_metadata(key)
    told = (footer.metadata or {}) if footer else {}
    if FILES not in told:
        return None
    return LedgerRecord(_read(told[FILES]), told.get(KEY, b"").decode(), _read(told.get(COMING)))


def files_of_ledger(lake: Lake, key: str) -> dict[str, FileRecord] | None:
    """Key → record of each file of a partition; None if its ledger is of a version that recorded none, or is absent."""
    found = ledger_record(lake, key)
    return dict(found.files) if found else None


# Records of marts


def files_of_mart(lake: Lake, mart: Mart) -> dict[str, list[FileRecord]]:
    """As `read_records`. Records that cannot be read count as none, so that the next publication writes them anew."""
    try:
        return read_records(lake, mart)
    except TransientLakeError:
        raise
    except LakeError:
        return {}


def read_records(lake: Lake, mart: Mart) -> dict[str, list[FileRecord]]:
    """Key → the records of a file that may stand there: one, or several after a publication that was interrupted.

    Raises:
        LakeError: the records cannot be read.
    """
    if not lake.exists(mart.record_file):
        return {}
    rows = lake.read_table(mart.record_file, ["file", "rows", "sha256"]).to_pylist()
    found: dict[str, list[FileRecord]] = {}
    for row in rows:
        found.setdefault(row["file"], []).append(FileRecord(row["rows"], row["sha256"]))
    return found


@contextmanager
def recorded(lake: Lake, mart: Mart, staged: Mapping[str, Path]) -> Iterator[None]:
    """Records files of a mart while they are put in place: before, the old files and the new ones; after, the new ones.
    So a file that stands there is recorded at any moment.

    Args:
        staged: key → the local file that is put there.
    """
    known: dict[str, list[FileRecord]] = files_of_mart(lake, mart)
    new = {key: FileRecord.of(path) for key, path in staged.items()}
    changed = {key: each for key, each in new.items() if known.get(key) != [each]}
    if changed:
        _record(lake, mart, known | {key: [*known.get(key, [UNRECORDED]), each] for key, each in changed.items()})
    yield
    if changed:
        _record(lake, mart, known | {key: [each] for key, each in changed.items()})


def _record(lake: Lake, mart: Mart, files: Mapping[str, Collection[FileRecord]]) -> None:
    """Writes the records of all files of a mart."""
    rows: Iterable[tuple[str, FileRecord]] = [(key, each) for key in sorted(files) for each in files[key]]
    lake.put_table(
        pa.table(
            {
                "file": pa.array([key for key, _ in rows], pa.string()),
                "rows": pa.array([each.rows for _, each in rows], pa.int64()),
                "sha256": pa.array([each.sha256 for _, each in rows], pa.string()),
            }
        ),
        mart.record_file,
    )
