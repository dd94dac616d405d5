"""A day that is taken in as its objects come holds what one reading of all of them gives, whatever happens between."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import standing
from ingest.audit import Limits
from ingest.datasets import ACCESS_LOGS, EVENTS, Dataset
from ingest.day import DayResult, IngestOptions, ingest_day
from ingest.lake import Lake, ledger_key, quarantine_prefix, raw_key, rejects_key
from ingest.ledger import is_judged
from ingest.source import FolderSource
from tests import event_lines
from tests.log_lines import DAY, FEW, OPTIONS, LogDay, line, lines, log

BEFORE, AFTER = "2026-01-11", "2026-01-13"
SITE = event_lines.SITE
Write = Callable[[Path, random.Random, int], None]


class Place:
    """A source, and two lakes: one that takes it in as it grows, and one that reads it whole."""

    def __init__(self, folder: Path, dataset: Dataset) -> None:
        self.dataset = dataset
        self.site = SITE if dataset.by_site else None
        self.folder = folder / "source"
        self.folder.mkdir(parents=True)
        self.grown, self.whole = Lake(str(folder / "grown")), Lake(str(folder / "whole"))
        self.options = IngestOptions(OPTIONS.hash_key, limits=Limits(max_reject_share=1.0))

    def refresh(self, lake: Lake | None = None, incremental: bool = True) -> DayResult:
        source = FolderSource(self.folder)
        return ingest_day(
            lake or self.grown, source, DAY, self.options,
            dataset=self.dataset, site=self.site, incremental=incremental,
        )  # fmt: skip

    def assert_as_whole(self) -> None:
        """Rows, rejects and ledger are those of one reading of all that lies there now."""
        self.refresh(self.whole, incremental=False)
        assert contents(self.grown, self.dataset, self.site) == contents(self.whole, self.dataset, self.site)


def contents(lake: Lake, dataset: Dataset, site: str | None) -> dict[str, Any]:
    """Raw files as rows in any order, the rejects likewise; the ledger as it is."""
    found: dict[str, Any] = {
        file.key: Counter(map(repr, lake.read_table(file.key).to_pylist())) for file in lake.files("raw")
    }
    found["rejects"] = Counter(map(repr, lake.read_table(rejects_key(dataset.name, DAY, site)).to_pylist()))
    found["ledger"] = lake.read_table(ledger_key(dataset.name, DAY, site)).to_pylist()
    return found


# Objects as they may come: several to an hour, with rows of other hours and days, repeated ids, broken lines


def write_log(folder: Path, chance: random.Random, number: int) -> None:
    hour = chance.randrange(24)
    rows = []
    for n in range(chance.randrange(12)):
        values = {"id": chance.choice(["-", f"{number}-{n}", f"{number}-{n}"]), "time": f"{hour:02}:{n:02}:00"}
        if chance.random() < SHARE:  # a request has one time
            shared = chance.randrange(SHARED)
            values = {"id": f"shared-{shared}", "time": f"{shared:02}:00:00"}
        rows.append(
            line(
                date=chance.choice([DAY] * 6 + [BEFORE, AFTER]),
                path=chance.choice(["/c", "/pxl.png", "/index.html"]),
                status=chance.choice(["200", "302", "404"]),
                **values,
            )
        )
    rows += [b"broken"] * chance.randrange(3)
    names = chance.choice([None, None, ("date", "time", "cs-uri-stem", "sc-status", "x-new-field")])
    body = log(rows) if names is None else log([line(names) for _ in rows], names)
    (folder / f"E1.{DAY}-{hour:02}.{chance.randrange(10**6):06}-{number}").write_bytes(body)


def write_events(folder: Path, chance: random.Random, number: int) -> None:
    hour = chance.randrange(24)
    rows: list[bytes] = []
    for n in range(chance.randrange(12)):
        day, name, time = chance.choice([DAY] * 6 + [BEFORE]), f"evt_{number}-{n}", f"{hour:02}:{n:02}:00Z"
        if chance.random() < SHARE:
            shared = chance.randrange(SHARED)
            name, time = f"evt_{shared}", f"{shared:02}:00:00Z"
        event = {
            "event_id": name, "event_type": "page_view", "visitor_id": f"visitor_{chance.randrange(3)}",
            "session_id": "sess_1", "page_url": "https://example.com/", "event_data": {"n": n},
            "timestamp": f"{day}T{time}",
        }  # fmt: skip
        rows.append(event_lines.line(event))
    rows += [b"{"] * chance.randrange(3)
    year, month, day = DAY.split("-")
    below = folder / f"domain={SITE}/year={year}/month={month}/day={day}/hour={hour:02}"
    below.mkdir(parents=True, exist_ok=True)
    (below / f"events-{DAY}-{hour:02}-{number}.jsonl").write_bytes(b"\n".join(rows))


SHARED, SHARE = 8, 0.1  # ids that several objects may have, and how many rows have one
DATASETS = pytest.mark.parametrize(
    ("dataset", "write"), [(ACCESS_LOGS, write_log), (EVENTS, write_events)], ids=["logs", "events"]
)
STEPS = st.lists(st.integers(1, 4), min_size=2, max_size=6)


@DATASETS
@FEW
@given(st.integers(0, 2**32), STEPS)
def test_any_split_into_refreshes_ends_as_one_reading(
    tmp_path_factory: pytest.TempPathFactory, dataset: Dataset, write: Write, seed: int, steps: Sequence[int]
) -> None:
    chance = random.Random(seed)
    place = Place(tmp_path_factory.mktemp("day"), dataset)
    number = 0
    for step in steps:
        for _ in range(step):
            number += 1
            write(place.folder, chance, number)
        files = sorted(path for path in place.folder.rglob("*") if path.is_file())
        event = chance.random()
        if event < 0.1 and len(files) > 1:  # an object is taken away, or comes again with other contents
            chance.choice(files).unlink()
        elif event < 0.2:
            chance.choice(files).write_bytes(chance.choice(files).read_bytes())
        result = place.refresh()
        assert result.published or result.reading == "nothing", result.reason
        assert place.refresh().reading == "nothing"
    place.assert_as_whole()
