"""A run that reads the summary of identities publishes the same bytes as one that reads the whole history."""

from __future__ import annotations

import random
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.lake.files import Lake
from tests.integration.dbt_fixtures import build_each, event, write_events

pytestmark = pytest.mark.slow

FIRST = date(2026, 1, 1)
DAYS = 54  # the shortest history of which the runs of the last days make and read a summary
RENEWED = 80  # days after which the runs of the last days make a longer one of it
MARTS = ("identity_map", "identity_changes", "dim_users", "identities", "retention")
SELECTED = ("--select", *(f"+{mart}" for mart in MARTS))
# Small limits, so that few visits reach them.
RULES = """
variables: {identity_max_visitors_per_fingerprint: 2, identity_max_neighbours: 3, household_max_identities: 3}
"""
MANIFEST = "summaries/identities/latest.json"


def day(number: int) -> str:
    return str(FIRST + timedelta(days=number))


def visits(rng: random.Random, number: int) -> list[dict[str, Any]]:
    """A few visits by old and new visitors, with ids that they share with each other now and then."""
    found = []
    for line in range(rng.randint(1, 5)):
        is_regular = rng.random() < 0.4
        visitor = f"v{rng.randrange(9)}" if is_regular else f"w{rng.randrange(number + 1)}"
        given = {
            "user_id": rng.choice([None, None, f"u{rng.randrange(12)}"]),
            "device_id": rng.choice([None, f"d{rng.randrange(15 + number)}"]),
            "device_fingerprint": rng.choice([None, f"f{rng.randrange(10 + number)}"]),
            "subnet_hash": rng.choice(["home", "work", f"net{rng.randrange(6)}"]),
            "opted_out": rng.random() < 0.05,
        }
        at = f"{day(number)}T{rng.randrange(24):02}:{rng.randrange(60):02}:00"
        found.append(event("page_view", at, line, visitor_id=visitor, **given))
    return found


def history(folder: Path, rng: random.Random, days: int = DAYS) -> Lake:
    lake = Lake(str(folder))
    lake.put_text(RULES, "rules/rules.yml")
    for number in range(days):
        write_events(lake, day(number), day(number), visits(rng, number))
    return lake


def run(lake: Lake, target: Path, first: int, last: int | None = None) -> None:
    build_each(lake, target, [(day(first), day((first if last is None else last) + 1))], *SELECTED)


def published(lake: Lake) -> dict[str, bytes]:
    return {file.key: Path(lake.path(file.key)).read_bytes() for file in lake.files("marts")}


def differing(lake: Lake, target: Path, first: int, last: int | None = None) -> list[str]:
    """Runs days, and again in a copy of the lake without a summary. Returns the marts' files that differ."""
    other = Lake(f"{lake.url}-whole")
    shutil.copytree(lake.url, other.url)
    other.delete("summaries")
    run(lake, target, first, last)
    run(other, target, first, last)
    ours, theirs = published(lake), published(other)
    shutil.rmtree(other.url)
    return [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]


def test_the_next_day_reads_the_summary_and_publishes_the_same(target: Path, tmp_path: Path) -> None:
    lake = history(tmp_path / "lake", random.Random(1))
    run(lake, target, 0, DAYS - 3)
    assert not lake.exists(MANIFEST)
    run(lake, target, DAYS - 2)
    made = lake.read_text(MANIFEST)
    assert differing(lake, target, DAYS - 1) == []
    assert lake.read_text(MANIFEST) == made
    for mart in ("identity_nodes", "identity_edges"):
        lake.put_text("not read", f"marts/{mart}/session_date={day(2)}/data.parquet")
    run(lake, target, DAYS - 1)


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.long) for seed in range(8)])
def test_a_longer_summary_made_of_a_shorter_one_gives_the_same(target: Path, tmp_path: Path, seed: int) -> None:
    lake = history(tmp_path / "lake", random.Random(100 + seed), RENEWED + 2)
    run(lake, target, 0, DAYS - 3)
    run(lake, target, DAYS - 2)
    made = lake.read_text(MANIFEST)
    run(lake, target, DAYS - 1, RENEWED - 2)
    assert differing(lake, target, RENEWED - 1) == []
    assert lake.read_text(MANIFEST) != made
    assert differing(lake, target, RENEWED) == []
    assert differing(lake, target, RENEWED + 1) == []


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.long) for seed in range(8)])
def test_random_histories_give_the_same_with_a_summary(target: Path, tmp_path: Path, seed: int) -> None:
    """Days in any order, some of them restated, erased or built again."""
    rng = random.Random(seed)
    lake = history(tmp_path / "lake", rng)
    run(lake, target, 0, DAYS - 4)
    run(lake, target, DAYS - 3)
    assert lake.exists(MANIFEST)
    for _ in range(6):
        number = rng.choice([DAYS - 1, DAYS - 2, DAYS - 3, DAYS - 4, rng.randrange(DAYS)])
        change = rng.choice(["none", "restated", "erased"])
        changed = rng.choice([number, rng.randrange(DAYS)])
        if change == "restated":
            write_events(lake, day(number), day(number), visits(rng, number))
        if change == "erased":
            for mart in ("identity_nodes", "identity_edges"):
                lake.delete(f"marts/{mart}/session_date={day(changed)}")
        assert differing(lake, target, number) == []
