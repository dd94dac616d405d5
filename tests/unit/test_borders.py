"""What is broken stays where it is: every partition without a broken object is, byte by byte, what it always is."""

from __future__ import annotations

import bz2
import gzip
import random
from pathlib import Path

import pytest

from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.partition.day import ingest_day
from ingest.source import FolderSource
from tests.event_lines import DAY, OPTIONS, pixel
from tests.event_lines import line as event_line
from tests.log_lines import lines, log
from tests.partitions import events_of, logs_of

pytestmark = pytest.mark.slow

SITES = ("a.example", "b.example", "c.example", "x" * 230)


def spoilt(data: bytes, chance: random.Random) -> bytes:
    """An object that is broken in one of the ways in which objects are."""
    return chance.choice(
        [
            gzip.compress(data)[: chance.randrange(3, 40)],
            chance.randbytes(400),
            bz2.compress(data),
            gzip.compress(data)[: -chance.randrange(9, 60)],
            b"PAR1" + chance.randbytes(200),
            b"#Fields: " + b"x " * chance.randrange(501, 900) + b"\n1\n",
            b"[" + data,
            b"\n" * chance.randrange(20, 900),
            b'{"a":' * chance.randrange(900, 9_000),
            data.replace(b'"', b"\xff"),
            b"\x28\xb5\x2f\xfd" + chance.randbytes(99),
            b"{}\n" * chance.randrange(1, 300),
        ]
    )


def objects(chance: random.Random) -> dict[str, bytes]:
    """Keys below the source, logs and events in one folder each → bytes."""
    found = {
        f"logs/E.{DAY}-{hour:02}.{hour}.gz": gzip.compress(log(lines(60, hour * 100)), 1, mtime=0)
        for hour in range(chance.randrange(1, 4))
    }
    for site in SITES:
        for hour in range(chance.randrange(1, 4)):
            body = b"".join(event_line(pixel(eventId=f"{site[:9]}-{hour}-{n}")) + b"\n" for n in range(40))
            found[f"events/domain={site}/year=2026/month=01/day=12/hour=10/events-{DAY}-{hour:02}.jsonl"] = body
    return found


def taken(folder: Path, found: dict[str, bytes]) -> dict[str, dict[str, bytes]]:
    """Partition → its files in raw, of all partitions of the day, each taken in behind the others."""
    for key, body in found.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    lake = Lake(str(folder / "lake"))
    ingest_day(lake, FolderSource(folder / "logs"), logs_of(DAY), OPTIONS)
    for site in SITES:
        ingest_day(lake, FolderSource(folder / "events"), events_of(DAY, site), OPTIONS)
    names = {"logs": logs_of(DAY).raw_file(parse_day(DAY))} | {
        site: events_of(DAY, site).raw_file(parse_day(DAY)) for site in SITES
    }
    files = {file.key for file in lake.files("raw")}
    assert files <= set(names.values())
    return {name: {key: Path(lake.path(key)).read_bytes()} if key in files else {} for name, key in names.items()}


def partition_of(key: str) -> str:
    return "logs" if key.startswith("logs/") else next(site for site in SITES if f"domain={site}/" in key)


@pytest.mark.parametrize("seed", range(4))
def test_partitions_without_a_broken_object_are_as_ever(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    good = objects(chance)
    broken = set(chance.sample(sorted(good), 3))
    bad = {key: spoilt(body, chance) if key in broken else body for key, body in good.items()}
    expected, found = taken(tmp_path / "good", good), taken(tmp_path / "bad", bad)
    untouched = set(expected) - {partition_of(key) for key in broken}
    assert all(expected.values())
    assert {name: found[name] for name in untouched} == {name: expected[name] for name in untouched}
