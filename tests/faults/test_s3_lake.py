"""Faults of the S3 that the lake lies on, while a day is ingested into it. What dbt makes of them: test_builds.py."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from demo.services import S3Service
from ingest.errors import TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options
from ingest.partition.day import ingest_day
from ingest.source import S3Source
from tests.environment_fixtures import Environment, mart_key, new_environment
from tests.faults.fixtures import failure_of, files_of, rows_in
from tests.faults.marts import AFTER as MART
from tests.faults.proxy import (
    AnswerLost,
    Before,
    Cut,
    CutRequest,
    Fault,
    Refused,
    S3Proxy,
    When,
    always,
    every,
    nth,
)
from tests.faults.table import BY_ITSELF, BY_SECOND_RUN, Tried
from tests.log_lines import DAY, line, lines, log
from tests.partitions import days_of, logs_of

pytestmark = pytest.mark.slow

A_WEEK_BEFORE = "2026-01-05"
LEASE_SECONDS = 3  # of a lock that its holder could not let go
LAYERS = ("raw", "rejects", "ledger")
LARGE = bytes(range(256)) * 50_000  # more than one part of an upload


@dataclass(frozen=True)
class S3Lake:
    """A lake on S3 as the last good run left it, and what it is to become."""

    environment: Environment
    direct: Lake
    faulty: Lake
    expected: dict[str, bytes]

    def run(self) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.ephemeral() as instance:
            return self.environment.job("daily_build", instance, [DAY], [dg.AssetKey("raw_access_logs")])


@pytest.fixture(scope="module")
def source(
    tmp_path_factory: pytest.TempPathFactory,
    faulty_s3_client: Any,
    faulty_s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
) -> Iterator[Environment]:
    """Logs of a day, some of the next, and of a week before, with which the day's volume is compared."""
    folder = tmp_path_factory.mktemp("lake-faults")
    with new_environment(folder, faulty_s3_client, faulty_s3_service, embedded_mongodb_url) as made:
        made.put_object(f"E1TEST.{A_WEEK_BEFORE}-10.a.gz", gzip.compress(log(lines(90, date=A_WEEK_BEFORE)), mtime=0))
        made.put_object(f"E1TEST.{DAY}-10.a.gz", gzip.compress(log([*lines(80), b"broken"]), mtime=0))
        late = line(id="next", date="2026-01-13")
        made.put_object(f"E1TEST.{DAY}-23.b.gz", gzip.compress(log([*lines(20, start=80), late]), mtime=0))
        yield made


@pytest.fixture
def lake(
    source: Environment,
    s3_proxy: S3Proxy,
    faulty_s3_service: S3Service,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> S3Lake:
    """The last good version has the first object alone."""
    service = faulty_s3_service
    options = S3Options(service.endpoint_url, service.region, service.access_key_id, service.secret_access_key)
    name = re.sub(r"\W+", "-", request.node.name)
    direct = Lake(f"s3://{source.bucket}/{name}", options)
    undisturbed = Lake(str(source.folder / name))
    logs = S3Source(source.settings["CLICKLAKE_LOGS"], source.s3)
    ingest = from_settings()
    for day in (A_WEEK_BEFORE, DAY):
        ingest_day(undisturbed, logs, logs_of(day), ingest)
        ingest_day(
            direct, logs, logs_of(day), ingest, [item for item in logs.objects(days_of(day)) if ".a." in item.key]
        )
    monkeypatch.setenv("CLICKLAKE_LAKE", direct.url)
    monkeypatch.setenv("CLICKLAKE_S3_ENDPOINT_URL", s3_proxy.url)
    monkeypatch.setattr("ingest.lake.locks.LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr("ingest.lake.s3.ATTEMPTS", 2)  # its pauses cannot be shortened
    faulty = Lake(direct.url, replace(options, endpoint_url=s3_proxy.url))
    return S3Lake(source, direct, faulty, files_of(undisturbed, *LAYERS))


def from_settings() -> Any:
    from orchestration.settings import load_settings

    return load_settings().ingest_options()


@dataclass(frozen=True)
class Case:
    """A fault of answers to requests about the lake, and who gets over it."""

    fault: Fault
    when: When
    requests: str
    outcome: str = BY_ITSELF
    least: int = 1


PUT = r"^(PUT|POST) /[^/]+/test[^/]*/(raw|rejects|ledger)/"
PUT_OR_LOCK = r"^(PUT|POST) /[^/]+/test"
CASES = {
    "S3 lake: 503 SlowDown now and then": Case(Refused("SlowDown"), every(9), "/test", least=3),
    "S3 lake: refuses every upload": Case(Refused("SlowDown"), always, PUT, BY_SECOND_RUN, 4),
    "S3 lake: an upload is cut": Case(CutRequest(100), nth(1, 4), PUT, least=2),
    "S3 lake: an upload is done and its answer lost": Case(AnswerLost(), every(3), PUT_OR_LOCK, least=3),
    "S3 lake: a lock is put and its answer lost": Case(AnswerLost(), nth(1), r"^PUT .*/\.locks/raw"),
    "S3 lake: a read is cut": Case(Cut(300), nth(1, 2), r"^GET /[^/]+/test.*ledger", least=2),
    "S3 lake: a listing is cut": Case(Cut(100), nth(1), r"^GET .*prefix=test"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fault_of_answers(lake: S3Lake, s3_proxy: S3Proxy, tried: Tried, name: str) -> None:
    case = CASES[name]

    @contextmanager
    def disturbed() -> Iterator[None]:
        with s3_proxy.fault(case.requests, case.fault, case.when) as rule:
            yield
        assert rule.done >= case.least, s3_proxy.names

    outcome, lost, said = get_over(lake, disturbed())
    assert outcome == case.outcome, said
    assert not said or re.search(r"writing s3://.*: S3 is busy or broke off\. Run again in a moment", said)
    tried(name, outcome, lost)


def get_over(lake: S3Lake, disturbed: Any) -> tuple[str, int, str]:
    """Runs under a fault and, where that failed, once more without it. Returns how, rows lost, and what was said."""
    before = files_of(lake.direct, *LAYERS)
    with disturbed:
        first = lake.run()
    found, said = files_of(lake.direct, *LAYERS), ""
    if not first.success:
        said = failure_of(first)
        assert said
        assert "\n" not in said
        assert all(body in (before.get(key), lake.expected.get(key)) for key, body in found.items())
        taken = logs_of(DAY).ledger_file
        assert found[taken] == before[taken]  # the ledger comes last: it never says more than raw holds
        second = lake.run()
        assert second.success, failure_of(second)
        found = files_of(lake.direct, *LAYERS)
    assert found == lake.expected
    return BY_ITSELF if first.success else BY_SECOND_RUN, rows_in(lake.expected) - rows_in(found), said


def test_the_lake_is_away(lake: S3Lake, s3_proxy: S3Proxy, tried: Tried) -> None:
    """From the first upload on."""

    @contextmanager
    def disturbed() -> Iterator[None]:
        with s3_proxy.fault(PUT, Before(s3_proxy.go_down)) as rule:
            yield
        assert rule.done == 1
        s3_proxy.come_back()

    outcome, lost, said = get_over(lake, disturbed())
    assert outcome == BY_SECOND_RUN
    assert re.search(r"Is http://.* reachable\?|S3 does not answer.*\. Check CLICKLAKE_S3_ENDPOINT_URL", said)
    tried("S3 lake: away", outcome, lost)


def test_a_mart_cannot_be_read_to_be_published(lake: S3Lake, s3_proxy: S3Proxy, tried: Tried) -> None:
    """For longer than a request is tried: the step starts again."""
    lake.direct.put_table(MART.drop_columns(["report_date"]), mart_key(DAY))
    with (
        s3_proxy.fault("^GET .*daily_aggregates", Refused("SlowDown"), lambda number: number <= 3) as rule,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        first = lake.environment.job("publish", instance, [DAY], [dg.AssetKey("performance_entries")])
    assert rule.done == 3
    assert first.success, failure_of(first)
    assert [event.step_key for event in first.all_events if event.is_step_restarted] == ["performance_entries"]
    lost = len(MART) - len(lake.environment.entries())
    assert lost == 0
    tried("S3 lake: away while a day is published", BY_ITSELF, lost)


@pytest.mark.parametrize("requests", [r"\?uploads", "partNumber=1", "partNumber=2", r"^POST .*uploadId"])
def test_a_part_of_a_large_upload_is_refused(
    lake: S3Lake, s3_proxy: S3Proxy, tried: Tried, tmp_path: Path, requests: str
) -> None:
    """Then the file is the old one: never a beginning of the new one, and never a success that is none."""
    key, local = "marts/large", tmp_path / "large"
    lake.direct.put_text("old", key)
    local.write_bytes(LARGE)
    with (
        s3_proxy.fault(requests, Refused("SlowDown")),
        pytest.raises(TransientLakeError, match=r"writing s3://.*: S3 is busy"),
    ):
        lake.faulty.put(local, key)
    assert lake.direct.read_text(key) == "old"
    assert local.exists()
    lake.faulty.put(local, key)
    assert lake.direct.read_bytes(key) == LARGE
    tried("S3 lake: a part of a large upload is refused", BY_SECOND_RUN, 0)
