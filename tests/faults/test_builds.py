"""Faults while dbt builds the marts of a day, of its process and of a lake on S3."""

from __future__ import annotations

import gzip
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from demo.services import S3Service
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options
from tests.environment_fixtures import Environment, dbt_processes_of, new_environment
from tests.faults.fixtures import can_mount, failure_of, files_of, mounted, process_in, rows_in
from tests.faults.proxy import AnswerLost, Cut, Refused, S3Proxy, every, nth
from tests.faults.table import BY_ITSELF, BY_SECOND_RUN, Tried
from tests.log_lines import lines, log

pytestmark = pytest.mark.slow

DAY = "2026-03-08"  # clocks in New York are put forward
LAYERS = ("raw", "rejects", "ledger", "marts")
AD = "oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=300x250"


@pytest.fixture(scope="module")
def environment(
    tmp_path_factory: pytest.TempPathFactory,
    faulty_s3_client: Any,
    faulty_s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
) -> Iterator[Environment]:
    """Logs of a day, without events: fewer models, and the same machinery."""
    folder = tmp_path_factory.mktemp("builds")
    with new_environment(folder, faulty_s3_client, faulty_s3_service, embedded_mongodb_url) as made:
        before_seven = 7 * 3600 - 100
        impressions = lines(200, before_seven, date=DAY, path="/pxl.png", query=AD)
        clicks = lines(40, before_seven + 200, date=DAY, path="/c", query=AD)
        made.put_object(f"E1TEST.{DAY}-10.a.gz", gzip.compress(log([*impressions, *clicks]), mtime=0))
        yield made


@pytest.fixture(scope="module")
def expected(environment: Environment) -> dict[str, bytes]:
    """The undisturbed lake."""
    assert build(environment).success
    return files_of(environment.lake, *LAYERS)


def build(environment: Environment) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return environment.job("daily_build", instance, [DAY])


@pytest.fixture
def s3_lake(
    environment: Environment, faulty_s3_service: S3Service, s3_proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> Lake:
    """A new lake on S3, which the pipeline reaches through the proxy."""
    service = faulty_s3_service
    options = S3Options(service.endpoint_url, service.region, service.access_key_id, service.secret_access_key)
    made = Lake(f"s3://{environment.bucket}/lake-{time.monotonic_ns()}", options)
    monkeypatch.setenv("CLICKLAKE_LAKE", made.url)
    monkeypatch.setenv("CLICKLAKE_S3_ENDPOINT_URL", s3_proxy.url)
    return made


def test_faults_of_s3(
    environment: Environment, expected: dict[str, bytes], s3_lake: Lake, s3_proxy: S3Proxy, tried: Tried
) -> None:
    """Of all kinds; and one file cannot be read for longer than a request is tried, so the step starts dbt again."""
    with ExitStack() as stack:
        faults = [
            s3_proxy.fault("/lake-", Refused("SlowDown"), every(12)),
            s3_proxy.fault("^GET .*/lake-.*parquet", Cut(100), every(3)),
            s3_proxy.fault("^(PUT|POST) .*/lake-", AnswerLost(), every(7)),
            s3_proxy.fault("^GET .*/lake-.*raw.*parquet", Refused("SlowDown"), nth(1, 2, 3, 4, 5, 6)),
        ]
        rules = [stack.enter_context(fault) for fault in faults]
        first = build(environment)
    assert first.success, failure_of(first)
    assert {event.step_key for event in first.all_events if event.is_step_restarted} == {"dbt_models"}
    assert all(rule.done > 1 for rule in rules), [(rule.matched, rule.done) for rule in rules]
    found = files_of(s3_lake, *LAYERS)
    assert found == expected
    lost = rows_in(expected) - rows_in(found)
    tried("S3 lake: faults of all kinds while dbt builds", BY_ITSELF, lost)
    tried("S3 lake: away while dbt builds", BY_ITSELF, lost)


@pytest.fixture
def lake(environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A new lake in a folder."""
    made = Lake(str(tmp_path / "lake"))
    monkeypatch.setenv("CLICKLAKE_LAKE", made.url)
    return made


def test_faults_of_the_machine(
    environment: Environment,
    expected: dict[str, bytes],
    lake: Lake,
    tmp_path: Path,
    tried: Tried,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after the other; a plain run afterwards makes up for all of them. It is made in New York, where the clock
    goes from 01:59:59 to 03:00:00 on this day, at 07:00 UTC."""
    names = ["memory: too little for DuckDB", "process: dbt is killed"]
    monkeypatch.setenv("CLICKLAKE_DELETIONS_CORRECT", "true")  # a large object comes and goes
    with monkeypatch.context() as patch:
        patch.setenv("CLICKLAKE_DUCKDB_MEMORY_LIMIT", "8MB")
        assert_fails(environment, r"DuckDB ran out of memory\. Run fewer days at once, or set CLICKLAKE_DUCKDB_MEMORY")
    assert files_of(lake, "marts") == {}
    with dbt_killed():
        assert_fails(environment, r"its process was ended by SIGKILL, .* the last good files stand$")
    assert files_of(lake, "marts") == {}
    if can_mount():
        names.append("disk: full while DuckDB spills")
        with a_large_object(environment), mounted(tmp_path / "small", "300k") as folder, monkeypatch.context() as patch:
            patch.setenv("CLICKLAKE_DUCKDB_MEMORY_LIMIT", "30MB")
            patch.setenv("CLICKLAKE_DUCKDB_TEMP_DIRECTORY", str(folder))
            assert_fails(environment, r"DuckDB has no space left to spill to\. Free some in CLICKLAKE_DUCKDB_TEMP")
            assert list(folder.iterdir()) == []
        assert files_of(lake, "marts") == {}

    with process_in("America/New_York", monkeypatch):
        plain = build(environment)
    assert plain.success, failure_of(plain)
    found = files_of(lake, *LAYERS)
    assert found == expected
    assert lake.files("quarantine") == []
    lost = rows_in(expected) - rows_in(found)
    for name in names:
        tried(name, BY_SECOND_RUN, lost)
    tried("clock: process in another time zone, on a day of a change of its clock", BY_ITSELF, lost)


@contextmanager
def a_large_object(environment: Environment) -> Iterator[None]:
    """So large that DuckDB does not build the day in 30 MB."""
    place = {"Bucket": environment.bucket, "Key": f"access-logs/E1TEST.{DAY}-10.large.gz"}
    body = gzip.compress(log(lines(20_000, 40_000, date=DAY, path="/pxl.png", query=AD)), 1)
    environment.s3.put_object(**place, Body=body)
    yield
    environment.s3.delete_object(**place)


def assert_fails(environment: Environment, says: str) -> None:
    first = build(environment)
    assert not first.success
    said = failure_of(first)
    assert re.search(says, said), said
    assert "\n" not in said


@contextmanager
def dbt_killed() -> Iterator[None]:
    """Kills the dbt command that this process starts, as the system does without memory. At once: a small build ends
    within a second."""

    def kill() -> None:
        while not (found := dbt_processes_of(os.getpid())):
            time.sleep(0.02)
        os.kill(found[0], signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()
