"""Finds requests that were seen before. Exact within a day except for hash collisions, in little memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

MEMORY_BYTES = 64 << 20
HOUR = 3_600_000_000


class SeenRequests:
    """Remembers a 64-bit hash of each request id, in one sorted array for each hour of request times.

    All copies of a request have the same time, so they are in the same hour. The oldest hours are moved to disk.
    Among a million requests of one hour, the probability that two different ones collide is 3e-8.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hours: dict[int, np.ndarray] = {}
        self._on_disk: set[int] = set()

    def first_seen(self, hashes: np.ndarray, times: np.ndarray) -> np.ndarray:
        """True for each row whose request was not seen before, in this batch or an earlier one.

        Args:
            hashes: uint64, one for each row.
            times: microseconds since 1970, one for each row.
        """
        is_first = np.zeros(len(hashes), dtype=bool)
        hours = times // HOUR
        for hour in np.unique(hours):
            rows = np.flatnonzero(hours == hour)
            distinct, first = np.unique(hashes[rows], return_index=True)
            known = self._load(int(hour))
            at = np.searchsorted(known, distinct)
            at[at == len(known)] = 0
            is_new = known[at] != distinct if len(known) else np.ones(len(distinct), dtype=bool)
            is_first[rows[first[is_new]]] = True
            self._hours[int(hour)] = np.sort(np.concatenate([known, distinct[is_new]]))
        self._spill()
        return is_first

    def _load(self, hour: int) -> np.ndarray:
        if hour in self._on_disk:
            self._on_disk.remove(hour)
            self._hours[hour] = np.load(self._path(hour))
        return self._hours.get(hour, np.empty(0, dtype=np.uint64))

    def _spill(self) -> None:
        while sum(array.nbytes for array in self._hours.values()) > MEMORY_BYTES and len(self._hours) > 1:
            oldest = next(iter(self._hours))
            np.save(self._path(oldest), self._hours.pop(oldest))
            self._on_disk.add(oldest)

    def _path(self, hour: int) -> Path:
        return self._folder / f"seen-{hour}.npy"
