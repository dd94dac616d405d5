"""Changes the rows of raw and of quarantine from one hash key to the next, partition by partition.

A ledger says which key its rows are of. Before files are replaced, it also records those that are coming, so that an
interrupted change goes on with the files that are left, and changes none twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import DamagedError
from ingest.lake.files import Lake
from ingest.lake.layout import LEDGER, QUARANTINE, RAW, Partition, partition_of
from ingest.lake.records import FileRecord, LedgerRecord, ledger_record
from ingest.partition.datasets import DATASETS
from ingest.partition.files import let_go, open_raw
from ingest.partition.local_files import not_as_published, to_make_again
from ingest.rows.columns import single
from ingest.rows.privacy import rekeying
from ingest.schema import HASHED
from ingest.source import UNKNOWN_SITE

REKEYED = "rekeyed"  # metadata of a refused file: fingerprint of the keys of its rows


def ledgers(lake: Lake) -> list[str]:
    """Keys of all ledgers."""
    return [file.key for file in lake.files(LEDGER) if partition_of(file.key)]


def ensure_keys(lake: Lake, ledgers: Iterable[str], before: str, after: str) -> None:
    """Makes sure that all partitions are of the keys before or after, before any is changed.

    Raises:
        DamagedError: the first one that is of others; says what to do.
    """
    for ledger in ledgers:
        record = ledger_record(lake, ledger)
        if record and record.key not in (before, after):
            raise DamagedError(_of_a_third_key(ledger, record.key, before, after))


def rekey(lake: Lake, ledger: str, keys: Sequence[str], before: str, after: str) -> bool:
    """Changes a partition that is of the keys `before`. Returns whether it had to be changed.

    Args:
        ledger: key of its ledger.
        keys: the hash keys to come.
        before, after: fingerprints of the keys that its rows are of, and of those that they become.

    Raises:
        DamagedError: a file is not what its ledger says, or is of a third key. It must be made again first, with the
            key before.
    """
    partition = partition_of(ledger)
    assert partition is not None  # see `ledgers`
    with lake.lock(partition.lock), lake.staging() as folder:
        record = ledger_record(lake, ledger)
        if record is None:
            raise DamagedError(f"{ledger} records no files. Make its day again before the key is changed")
        if record.key == after:
            return False
        if record.key != before:
            raise DamagedError(_of_a_third_key(ledger, record.key, before, after))
        local, found = _fetched(lake, record, folder)
        coming = dict(record.coming)
        staged = {}
        for key, path in local.items():
            if found[key] == record.files[key]:
                staged[key] = _changed(path, partition, keys) if key.startswith(f"{RAW}/") else path
                coming[key] = FileRecord.of(staged[key])
        rows = lake.read_table(ledger)
        lake.put_table(replace(record, coming=coming).on(rows), ledger)
        for key, path in staged.items():
            if coming[key] != record.files[key]:
                lake.put(path, key)
        lake.put_table(LedgerRecord(coming, after).on(rows), ledger)
    return True


def _of_a_third_key(ledger: str, key: str, before: str, after: str) -> str:
    return (
        f"{ledger} is of a hash key with fingerprint {key}: neither of the lake's own key ({before}) nor of the key to "
        f"come ({after}). Delete it, and {to_make_again(ledger).replace('Make', 'make')} with the lake's own key"
    )


def _fetched(lake: Lake, record: LedgerRecord, folder: Path) -> tuple[dict[str, Path], Mapping[str, FileRecord]]:
    """(key → local copy, key → what it is) of all files of a partition."""
    local = {}
    for number, key in enumerate(record.files):
        local[key] = folder / f"{number}.parquet"
        lake.fetch(key, local[key])
    found = {key: FileRecord.of(path) for key, path in local.items()}
    for key, each in found.items():
        if each not in (record.files[key], record.coming.get(key)):
            raise DamagedError(not_as_published(key))
    return local, found


def _changed(path: Path, partition: Partition, keys: Sequence[str], mark: str | None = None) -> Path:
    """The file with its rows under these keys, row group by row group."""
    dataset, rekeyed = DATASETS[partition.table], rekeying(keys)
    file = pq.ParquetFile(path)
    hashed = {*HASHED[partition.table], *(("site_id",) if partition.site == UNKNOWN_SITE else ())}
    target = path.with_suffix(".rekeyed")
    with open_raw(target, file.schema_arrow, dataset.plain_columns) as writer:
        try:
            for number in range(file.num_row_groups):
                rows = file.read_row_group(number)
                for name in hashed & set(rows.column_names):
                    at = rows.column_names.index(name)
                    values: pa.Array = rekeyed(single(rows.column(name)))
                    rows = rows.set_column(at, rows.schema.field(name), values)
                writer.write_table(rows, row_group_size=len(rows) or None)
            if mark:
                writer.add_key_value_metadata({REKEYED: mark})
        except BaseException:
            let_go(writer)
            raise
    return target


def refused_files(lake: Lake) -> Iterator[str]:
    """Keys of the refused rows of datasets."""
    for file in lake.files(QUARANTINE):
        partition = partition_of(file.key)
        if partition and partition.table in DATASETS and "/rows/" in file.key:
            yield file.key


def rekey_refused(lake: Lake, key: str, keys: Sequence[str], after: str) -> bool:
    """Changes a file of refused rows, which no ledger records. It says itself that it was changed."""
    partition = partition_of(key)
    assert partition is not None  # see `refused_files`
    with lake.lock(partition.lock), lake.staging() as folder:
        local = folder / "refused.parquet"
        lake.fetch(key, local)
        if (pq.read_metadata(local).metadata or {}).get(REKEYED.encode()) == after.encode():
            return False
        lake.put(_changed(local, partition, keys, after), key)
    return True
