"""Appends new objects to a published partition without reading its other objects again.

If the result would differ from a whole reading, it raises `ReadWholeError`, and the caller reads the partition whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import LakeError, ReadWholeError
from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import Partition, event_date_of
from ingest.lake.records import FileRecord, files_of_ledger
from ingest.partition.datasets import DATASETS
from ingest.partition.ledger import version_of
from ingest.partition.stage import ObjectCounts, counts_of
from ingest.partition.tenants import TenantOf
from ingest.rows.batches import REJECTS_KEPT
from ingest.rows.dedup import HOUR
from ingest.schema import LEDGER, arrow_schema
from ingest.source import SourceObject

MAX_IDS = 16_000_000  # ids in memory at once, 12 bytes each
# Each addition writes row groups of its own. Many small row groups slow readers down; a whole reading merges them.
MAX_ROW_GROUPS = 500
NOT_ITS_LEDGER = "its files are not what its ledger says: a run was interrupted"


class StandingPartition:
    """A published partition, fetched into a local folder, and the objects that are not in it.

    Args:
        found: all listed objects of the partition, sorted.
        raw_files: all files below `raw/<dataset>`.
        folder: an empty folder that exists as long as this object.
        rejects_kept: the number of rejects of each object that the file of rejects holds.

    Raises:
        ReadWholeError: there is no published partition, its objects have gone or changed, or its files do not match its
            ledger.
    """

    def __init__(
        self,
        lake: Lake,
        partition: Partition,
        found: Sequence[SourceObject],
        raw_files: Sequence[LakeFile],
        folder: Path,
        rejects_kept: int = REJECTS_KEPT,
    ) -> None:
        self._lake, self._partition = lake, partition
        self.counts = _taken(lake, partition, found)
        taken = {counts.item.name for counts in self.counts}
        self.news = [item for item in found if item.name not in taken]
        try:
            self.files, self.rejects_file = _fetched(lake, partition, raw_files, folder)
            self._engine = duckdb.connect(config={"temp_directory": str(folder / "duckdb")})
            if any(each.rejected > rejects_kept for each in self.counts):
                raise ReadWholeError("not all of its rejects are in their file, so their reasons cannot be counted")
            self._check_files()
            self.rejects_by_reason = Counter(
                pq.read_table(self.rejects_file, columns=["reason"]).column("reason").to_pylist()
            )
        except (LakeError, pa.ArrowException, duckdb.Error, OSError) as error:
            raise ReadWholeError(f"what is published cannot be read: {error}") from error
        self._ids: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        places = {item.name: place for place, item in enumerate(found)}
        self._new_places = np.array([places[item.name] for item in self.news], dtype=np.int32)
        self._engine.register(
            "places", pa.table({"name": list(places), "place": pa.array(places.values(), pa.int32())})
        )

    def close(self) -> None:
        self._engine.close()

    def _check_files(self) -> None:
        """Compares the files with the ledger. After a run that was killed while publishing, the files are newer: the
        ledger is written last."""
        if any(pq.read_metadata(path).num_row_groups > MAX_ROW_GROUPS for path in self.files.values()):
            raise ReadWholeError("its file has become one of many small pieces")
        partition = self._partition
        if recorded := files_of_ledger(self._lake, partition.ledger_file):
            local = {partition.raw_file(day): path for day, path in self.files.items()}
            local[partition.rejects_file] = self.rejects_file
            if {key: FileRecord.of(path) for key, path in local.items()} != recorded:
                raise ReadWholeError(NOT_ITS_LEDGER)
            return
        expected = [
            ([str(path) for path in self.files.values()], {each.item.name: each.kept for each in self.counts}),
            ([str(self.rejects_file)], {each.item.name: each.rejected for each in self.counts}),
        ]
        for paths, rows in expected:
            found = self._engine.execute(
                "select source_object, count(*) from read_parquet(?, hive_partitioning = false) group by all", [paths]
            ).fetchall()
            if dict(found) != {key: count for key, count in rows.items() if count}:
                raise ReadWholeError(NOT_ITS_LEDGER)

    def ensure_tenants(self, tenant_of: TenantOf) -> None:
        """Compares the tenants in the files with those of now.

        Raises:
            ReadWholeError: the rows of a site were published for another tenant.
        """
        if not DATASETS[self._partition.table].by_site:
            return
        try:
            found = self._engine.execute(
                "select distinct site_id, tenant_id from read_parquet(?, hive_partitioning = false)",
                [[str(path) for path in self.files.values()]],
            ).fetchall()
        except duckdb.Error as error:
            raise ReadWholeError("it was published by another version of Clicklake") from error
        for site, tenant in found:
            if tenant_of(site) != tenant:
                raise ReadWholeError(f"the tenant of {site} is another one than before")

    def is_known(self, id_hash: np.ndarray, times: np.ndarray, object_index: np.ndarray) -> np.ndarray:
        """True for each row of the new objects whose request or event is already published.

        Args:
            id_hash, times: as in `SeenRequests.first_seen`.
            object_index: index of each row's object in `news`.

        Raises:
            ReadWholeError: a whole reading would keep the new row and drop the published one.
        """
        is_known = np.zeros(len(id_hash), dtype=bool)
        hours = times // HOUR
        self._load(np.unique(hours).tolist())
        for hour in np.unique(hours).tolist():
            known, places = self._ids[hour]
            if not len(known):
                continue
            rows = np.flatnonzero(hours == hour)
            at = np.minimum(np.searchsorted(known, id_hash[rows]), len(known) - 1)
            is_there = known[at] == id_hash[rows]
            if (places[at[is_there]] > self._new_places[object_index[rows[is_there]]]).any():
                raise ReadWholeError("a new object comes before one that has the same request or event")
            is_known[rows] = is_there
        return is_known

    def _load(self, hours: list[int]) -> None:
        """Reads the ids of the published rows of these hours. The files' statistics limit what is read."""
        lacking = [hour for hour in hours if hour not in self._ids]
        for first, last in _runs(lacking):
            dataset = DATASETS[self._partition.table]
            rows = self._engine.execute(
                f"select {dataset.id_hash} as id_hash, epoch_us(event_ts) // {HOUR} as hour, place "  # noqa: S608
                "from read_parquet(?, hive_partitioning = false) join places on source_object = name "
                "where event_ts >= make_timestamp(?) and event_ts < make_timestamp(?) "
                f"and {dataset.id_column} is not null",
                [[str(path) for path in self.files.values()], first * HOUR, (last + 1) * HOUR],
            ).fetchnumpy()
            for hour in range(first, last + 1):
                is_here = rows["hour"] == hour
                hashes, places = rows["id_hash"][is_here], rows["place"][is_here]
                order = np.argsort(hashes)
                self._ids[hour] = hashes[order].astype(np.uint64), places[order].astype(np.int32)
        if sum(len(hashes) for hashes, _ in self._ids.values()) > MAX_IDS:
            raise ReadWholeError(f"the new objects' hours have more than {MAX_IDS:,} rows already")


def _taken(lake: Lake, partition: Partition, found: Sequence[SourceObject]) -> list[ObjectCounts]:
    """The counts of the objects in the ledger, if all are listed unchanged.

    Raises:
        ReadWholeError: there is no ledger, or it is from another version, or an object has gone or changed.
    """
    if not lake.exists(partition.ledger_file):
        raise ReadWholeError("it was not published before")
    ledger = lake.read_table(partition.ledger_file)
    if ledger.schema.names != arrow_schema(LEDGER).names:
        raise ReadWholeError("it was published by another version of Clicklake")
    listed = {item.name: item for item in found}
    rows = {row["source_object"]: row for row in ledger.to_pylist()}
    for name, row in rows.items():
        if name not in listed:
            raise ReadWholeError(f"{name} has gone")
        if version_of(listed[name]) != (name, row["etag"], row["size"]):
            raise ReadWholeError(f"{name} has changed")
    return [counts_of(rows[item.name], item) for item in found if item.name in rows]


def _fetched(
    lake: Lake, partition: Partition, raw_files: Sequence[LakeFile], folder: Path
) -> tuple[dict[date, Path], Path]:
    """(event date → its file, file of rejects), as local copies that do not change."""
    files: dict[date, Path] = {}
    for file in raw_files:
        event_date = event_date_of(file.key)
        if event_date and file.key == partition.raw_file(event_date):
            files[event_date] = folder / f"{event_date}.parquet"
            lake.fetch(file.key, files[event_date])
    if partition.day not in files:
        raise ReadWholeError("its own file is missing")
    rejects_file = folder / "rejects.parquet"
    lake.fetch(partition.rejects_file, rejects_file)
    return files, rejects_file


def _runs(hours: Sequence[int]) -> list[tuple[int, int]]:
    """Sorted hours as ranges (first, last) without gaps."""
    runs: list[tuple[int, int]] = []
    for hour in hours:
        if runs and runs[-1][1] + 1 == hour:
            runs[-1] = runs[-1][0], hour
        else:
            runs.append((hour, hour))
    return runs
