"""Which requests were seen before: the same as a plain set would say, in memory and from disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rows import dedup
from ingest.rows.dedup import HOUR, SeenRequests
from tests.log_lines import FEW

BATCHES = st.lists(
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 2**63, 2**64 - 1]), st.integers(0, 4)), max_size=20), max_size=8
)


@pytest.mark.parametrize("memory", [1 << 20, 64, 1])
@FEW
@given(batches=BATCHES)
def test_it_says_what_a_plain_set_says(
    memory: int, batches: list[list[tuple[int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("seen")
    known: set[tuple[int, int]] = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup, "MEMORY_BYTES", memory)
        seen = SeenRequests(folder)
        for batch in batches:
            expected = []
            for request in batch:
                expected.append(request not in known)
                known.add(request)
            hashes = np.array([value for value, _ in batch], dtype=np.uint64)
            times = np.array([hour * HOUR + 5 for _, hour in batch], dtype=np.int64)
            assert seen.first_seen(hashes, times).tolist() == expected


def test_it_goes_to_disk_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dedup, "MEMORY_BYTES", 8000)
    seen = SeenRequests(tmp_path)
    hashes = np.arange(1000, dtype=np.uint64)
    for hour in range(5):
        assert seen.first_seen(hashes, np.full(1000, hour * HOUR)).all()
    assert len(list(tmp_path.iterdir())) == 4
    for hour in range(5):
        assert not seen.first_seen(hashes, np.full(1000, hour * HOUR)).any()
