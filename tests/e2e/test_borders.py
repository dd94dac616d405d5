"""Objects broken in random ways: what is built from partitions without one is as in a run without any."""

from __future__ import annotations

import gzip
import json
import random
from datetime import date, timedelta

import pyarrow as pa
import pytest

from ingest.days import day_text
from tests.environment_fixtures import DAYS, ROOT, Environment, Maker
from tests.event_lines import event_key, line, pixel
from tests.log_lines import lines, log
from tests.unit.test_borders import spoilt

pytestmark = [pytest.mark.slow, pytest.mark.long]
BUILT = DAYS[:3]
SITES = ("a.example", "b.example", "c.example", "d.example")
LOGS = {"source.clicklake.raw.access_logs", "source.clicklake.raw_around.access_logs"}


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def objects(chance: random.Random) -> dict[tuple[str, str, str], bytes]:
    """(site, or "" for logs; day; key) → the object. Each site has visitors of its own, who come every day."""
    found = {}
    for day in BUILT:
        rows = lines(50, path="/c", query="oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=1x1")
        for n in range(2):
            mine = [row.replace(DAYS[0].encode(), day.encode(), 1) for row in rows[n * 25 : n * 25 + 25]]
            found["", day, f"E1TEST.{day}-10.{n}.gz"] = gzip.compress(log(mine), 1, mtime=0)
        for site in SITES:
            for n in range(chance.randrange(1, 3)):
                seen = [
                    pixel(
                        eventId=f"{site}-{day}-{n}-{number}",
                        visitorId=f"vis_{site[0]}{number % 5}",
                        timestamp=f"{day}T{number:02}:{chance.randrange(60):02}:00.000Z",
                        url=f"https://{site}/?utm_source=google&utm_medium=cpc&utm_campaign=c{n}",
                        eventType="purchase" if number % 6 == 5 else "pageview",
                    )
                    for number in range(24)
                ]
                body = b"".join(line(event) + b"\n" for event in seen)
                found[site, day, event_key(site, day, str(n))] = body
    return found


def run_over(environment: Environment, found: dict[tuple[str, str, str], bytes]) -> dict[str, str]:
    for (site, _, key), body in found.items():
        (environment.put_event_object if site else environment.put_object)(key, body)
    return {day_text(day): why for day, why in environment.run(*BUILT, publishes=False).bad.items()}


def made_of_logs() -> set[str]:
    """The models into which logs go, near or far."""
    parents = json.loads((ROOT / "dbt_project" / "target" / "manifest.json").read_text("utf-8"))["parent_map"]

    def is_made_of_logs(node: str) -> bool:
        return node in LOGS or any(is_made_of_logs(parent) for parent in parents.get(node, ()))

    return {node.rpartition(".")[2] for node in parents if node.startswith("model.") and is_made_of_logs(node)}


def of_sites(tables: dict[str, pa.Table], sites: set[str]) -> dict[str, list[dict[str, object]]]:
    """The rows of these sites, of each file whose rows are of sites; a file without one is left out."""
    found = {}
    for key, table in tables.items():
        if "site_id" in table.column_names:
            rows = [row for row in table.to_pylist() if row["site_id"] in sites]
            if rows:
                found[key] = sorted(rows, key=str)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_marts_of_partitions_without_a_broken_object_are_as_ever(seed: int, new: Maker) -> None:
    chance = random.Random(seed)
    good = objects(chance)
    broken = set(chance.sample(sorted(key for key in good if key[0]), 2))
    if seed % 2:
        broken.add(chance.choice(sorted(key for key in good if not key[0])))
    undisturbed = new()
    assert run_over(undisturbed, good) == {}
    expected = undisturbed.rows("marts")
    disturbed = new()
    refused = run_over(disturbed, {key: spoilt(body, chance) if key in broken else body for key, body in good.items()})
    assert set(refused) <= {day for _, day, _ in broken}  # some are rows that are rejected, and no more
    found = disturbed.rows("marts")

    untouched = set(SITES) - {site for site, _, _ in broken}
    bad_logs = [date.fromisoformat(day) for site, day, _ in broken if not site]
    left_out = made_of_logs() if bad_logs else set()
    kept = {key: table for key, table in expected.items() if key.split("/")[1] not in left_out}
    assert of_sites(kept, untouched)
    assert of_sites({key: found[key] for key in kept if key in found}, untouched) == of_sites(kept, untouched)
    # A request is judged by those of the day before, too.
    near = {(day + timedelta(days=n)).isoformat() for day in bad_logs for n in (-1, 0, 1)}
    for day in set(BUILT) - near:
        key = f"marts/daily_aggregates/report_date={day}/data.parquet"
        assert found[key].equals(expected[key])
