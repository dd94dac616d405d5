"""Faults of the S3 that logs and events come from. Each run either gets over it, or says why and leaves all as it was;
a plain second run then gives the undisturbed lake."""

from __future__ import annotations

import gzip
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from demo.services import S3Service
from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.datasets import DATASETS, EVENTS
from ingest.partition.day import IngestOptions, ingest_day
from orchestration.failures import RETRIES
from orchestration.raw.assets import LISTINGS
from orchestration.resources import sources_of
from orchestration.settings import load_settings
from tests import event_lines
from tests.environment_fixtures import Environment, new_environment
from tests.faults.fixtures import failure_of, files_of, rows_in
from tests.faults.proxy import (
    Before,
    Cut,
    Fault,
    Garbled,
    Hang,
    Refused,
    S3Proxy,
    Shortened,
    Throttled,
    When,
    always,
    every,
    now_and_then,
    nth,
)
from tests.faults.table import BY_ITSELF, BY_SECOND_RUN, Tried
from tests.log_lines import DAY, lines, log
from tests.partitions import days_of

pytestmark = pytest.mark.slow

SEED = 20260112
LAYERS = ("raw", "rejects", "ledger")
READ = r"^GET .*(\.gz|\.jsonl)$"
LIST = r"^GET .*list-type=2"
WITHOUT_CHECKSUM = r"(-11\.u1\.gz|-12\.jsonl)$"
SITES = ("shop.example", "news.example")
VICTIM = f"access-logs/E1TEST.{DAY}-12.u2.gz"
EVENTS_VICTIM = f"site-logs/domain={SITES[0]}/year=2026/month=01/day=12/hour=11/events-{DAY}-11.jsonl"


def objects() -> dict[str, bytes]:
    """A small day: logs of six hours, some of a day late, and events of two sites."""
    found = {
        f"access-logs/E1TEST.{DAY}-{hour}.u{number}.gz": gzip.compress(
            log([*lines(40, start=100 * number), b"broken"]), mtime=0
        )
        for number, hour in enumerate(range(10, 16))
    }
    for site in SITES:
        for hour in (10, 11, 12):
            events = [
                event_lines.line(event_lines.pixel(visitorId=f"vis_{n}", timestamp=f"{DAY}T{hour}:{n:02}:00.000Z"))
                for n in range(30)
            ]
            folder = f"site-logs/domain={site}/year=2026/month=01/day=12/hour={hour}"
            found[f"{folder}/events-{DAY}-{hour}.jsonl"] = b"\n".join(events) + b"\n"
    return found


@dataclass
class World:
    """Objects in S3, the lake that the last good run left of some of them, and the undisturbed lake."""

    environment: Environment
    before: Path
    expected: dict[str, bytes]

    def put(self, key: str, body: bytes) -> None:
        """With a checksum, which S3 gives back and the client compares; some objects without one, as old ones are."""
        kind: dict[str, Any] = {} if re.search(WITHOUT_CHECKSUM, key) else {"ChecksumAlgorithm": "CRC32"}
        self.environment.s3.put_object(Bucket=self.environment.bucket, Key=key, Body=body, **kind)

    def delete(self, key: str) -> None:
        self.environment.s3.delete_object(Bucket=self.environment.bucket, Key=key)


def build_lake(folder: Path, without: str = "") -> Lake:
    """The lake of the objects that are there, by the library alone; some are left out."""
    settings = load_settings()
    lake = Lake(str(folder))
    for name, source in sources_of(settings).items():
        found = [item for item in source.objects(days_of(DAY)) if not without or without not in item.key]
        sites: list[str | None] = sorted({item.site for item in found}) if DATASETS[name] is EVENTS else [None]
        for site in sites:
            of_site = [item for item in found if site is None or item.site == site]
            options = IngestOptions(settings.hash_key.get_secret_value())
            assert ingest_day(lake, source, Partition(name, parse_day(DAY), site), options, of_site).published
    return lake


@contextmanager
def new_world(folder: Path, client: Any, service: S3Service, mongodb_url: str) -> Iterator[World]:
    with new_environment(folder, client, service, mongodb_url, True) as environment:
        made = World(environment, folder / "before", {})
        for key, body in objects().items():
            made.put(key, body)
        build_lake(made.before, without="-12.")  # of an hour less
        made.expected = files_of(build_lake(folder / "undisturbed"), *LAYERS)
        yield made


@pytest.fixture(scope="module")
def shared_world(
    tmp_path_factory: pytest.TempPathFactory,
    faulty_s3_client: Any,
    faulty_s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
) -> Iterator[World]:
    """Its objects stay as they are."""
    folder = tmp_path_factory.mktemp("world")
    with new_world(folder, faulty_s3_client, faulty_s3_service, embedded_mongodb_url) as made:
        yield made


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The shared one, or one of a test's own where it is marked so."""
    if "own_world" not in request.keywords:
        yield request.getfixturevalue("shared_world")
        return
    values = [request.getfixturevalue(name) for name in ("faulty_s3_client", "faulty_s3_service")]
    request.getfixturevalue("manifest")
    with new_world(tmp_path / "world", *values, request.getfixturevalue("embedded_mongodb_url")) as made:
        yield made


@pytest.fixture
def lake(world: World, tmp_path: Path, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """What the last good run left, and a way to S3 through the proxy."""
    shutil.copytree(world.before, tmp_path / "lake")
    monkeypatch.setenv("CLICKLAKE_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("CLICKLAKE_S3_ENDPOINT_URL", s3_proxy.url)
    return Lake(str(tmp_path / "lake"))


def run(world: World) -> dg.ExecuteInProcessResult:
    """Ingests the day as a run does, without marts."""
    raw = [dg.AssetKey("raw_access_logs"), dg.AssetKey("raw_events")]
    with dg.DagsterInstance.ephemeral() as instance:
        return world.environment.job("daily_build", instance, [DAY], raw)


@dataclass(frozen=True)
class GotOver:
    outcome: str
    lost: int
    said: str


def get_over(world: World, lake: Lake, disturbed: Callable[[], AbstractContextManager[Any]]) -> GotOver:
    """Runs under a fault and, where that failed, once more without it."""
    before = files_of(lake, *LAYERS)
    with disturbed():
        first = run(world)
    found, said = files_of(lake, *LAYERS), ""
    assert not lake.files("quarantine"), "a fault of the network is no verdict on a day"
    if not first.success:
        said = failure_of(first)
        assert said
        assert "\n" not in said
        assert all(body in (before.get(key), world.expected.get(key)) for key, body in found.items())
        assert run(world).success
        found = files_of(lake, *LAYERS)
    assert found == world.expected
    return GotOver(BY_ITSELF if first.success else BY_SECOND_RUN, rows_in(world.expected) - rows_in(found), said)


@dataclass(frozen=True)
class Case:
    """A fault of answers to some requests; who gets over it."""

    fault: Fault
    when: When
    requests: str = READ
    outcome: str = BY_ITSELF
    least: int = 1  # requests that it has to have hit


CASES = {
    "S3 source: 503 SlowDown now and then": Case(Refused("SlowDown"), now_and_then(0.3, SEED), "^GET", least=3),
    "S3 source: 500 InternalError now and then": Case(Refused("InternalError", 500), every(3), "^GET", least=3),
    "S3 source: 429 now and then": Case(Refused("TooManyRequests", 429), every(5), "^GET", least=3),
    "S3 source: throttled for longer than one request is tried": Case(
        Refused("SlowDown"), lambda number: number <= 40, least=40
    ),
    "S3 source: slow": Case(Throttled(20_000), always),
    "S3 source: connection cut in the middle of an object": Case(Cut(50), nth(2, 15), least=2),
    "S3 source: an object ends early without an error": Case(Shortened(90), nth(1, 3), WITHOUT_CHECKSUM, least=2),
    "S3 source: a wrong byte": Case(Garbled(60), nth(2, 12), rf"{READ}(?<!u1.gz)(?<!12.jsonl)", least=2),
    "S3 source: accepts and says nothing": Case(Hang(), nth(3)),
    "S3 source: listing cut between pages": Case(Cut(200), nth(2, 5, 6), LIST, least=3),
    "S3 source: a listing's page ends early": Case(Shortened(300), nth(3), LIST),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_of_answers(world: World, lake: Lake, s3_proxy: S3Proxy, tried: Tried, name: str) -> None:
    case = CASES[name]

    @contextmanager
    def disturbed() -> Iterator[None]:
        with s3_proxy.fault(case.requests, case.fault, case.when) as rule:
            yield
        assert rule.done >= case.least

    done = get_over(world, lake, disturbed)
    assert done.outcome == case.outcome
    tried(name, done.outcome, done.lost)


def test_s3_refuses_connections(world: World, lake: Lake, s3_proxy: S3Proxy, tried: Tried) -> None:
    @contextmanager
    def disturbed() -> Iterator[None]:
        s3_proxy.go_down()
        yield
        s3_proxy.come_back()

    done = get_over(world, lake, disturbed)
    assert re.search(r"listing s3://.*EndpointConnectionError\. Is http://127\.0\.0\.1:\d+ reachable\?", done.said)
    assert done.outcome == BY_SECOND_RUN
    tried("S3 source: refuses connections", done.outcome, done.lost)


def test_s3_is_away_for_a_moment(world: World, lake: Lake, s3_proxy: S3Proxy, tried: Tried) -> None:
    """In the middle of the objects of a day, until the step is tried again."""

    @contextmanager
    def disturbed() -> Iterator[None]:
        back = threading.Timer(0.4, s3_proxy.come_back)
        with s3_proxy.fault(READ, Before(lambda: (s3_proxy.go_down(), back.start())), nth(4)):
            yield
        back.join()

    done = get_over(world, lake, disturbed)
    assert done.outcome == BY_ITSELF
    tried("S3 source: away for a moment", done.outcome, done.lost)


@pytest.mark.own_world
@pytest.mark.parametrize("key", [VICTIM, EVENTS_VICTIM], ids=["logs", "events"])
@pytest.mark.parametrize(
    "name",
    [
        "S3 source: an object goes between listing and reading",
        "S3 source: an object is replaced between listing and reading",
    ],
)
def test_an_object_changes_between_listing_and_reading(
    world: World,
    lake: Lake,
    s3_proxy: S3Proxy,
    tried: Tried,
    key: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The day is listed again, and is what its objects now say, where deletions correct a day."""
    monkeypatch.setenv("CLICKLAKE_DELETIONS_CORRECT", "true")
    changing = threading.Lock()
    changes = iter([b"" if "replaced" in name else None])

    def change() -> None:
        """Once. A client that has waited too long for its answer asks again, and its second request waits here too."""
        with changing:
            for body in changes:
                world.delete(key) if body is None else world.put(key, body)

    @contextmanager
    def disturbed() -> Iterator[None]:
        with s3_proxy.fault(f"^GET .*{key}$", Before(change)) as rule:
            yield
        assert rule.done
        world.expected = files_of(build_lake(Path(lake.root).parent / "changed"), *LAYERS)

    done = get_over(world, lake, disturbed)
    assert done.outcome == BY_ITSELF
    tried(name, done.outcome, done.lost)


@pytest.mark.own_world
def test_an_object_is_replaced_again_and_again(world: World, lake: Lake, s3_proxy: S3Proxy, tried: Tried) -> None:
    numbers = count()

    def change() -> None:
        world.put(VICTIM, log(lines(next(numbers) % 7)))

    @contextmanager
    def disturbed() -> Iterator[None]:
        with s3_proxy.fault(f"^GET .*{VICTIM}$", Before(change)) as rule:
            yield
        assert rule.done == LISTINGS * (RETRIES + 1)
        world.expected = files_of(build_lake(Path(lake.root).parent / "changed"), *LAYERS)

    done = get_over(world, lake, disturbed)
    assert re.search(
        rf"{VICTIM}: the object has changed since it was listed\. Run the day again \(tried 4 times\)$", done.said
    )
    assert done.outcome == BY_SECOND_RUN
    tried("S3 source: an object is replaced again and again", done.outcome, done.lost)
