"""Faults while dbt builds the marts of a day, of its process and of a lake on S3."""

from __future__ import annotations

import gzip
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import dagster as dg
import pytest

from demo.services import S3Service
from ingest.lake import Lake, S3Options
from tests.environment_fixtures import Environment, dbt_processes_of, new_environment
from tests.faults.fixtures import failure_of, files_of, rows_in
from tests.faults.proxy import AnswerLost, Cut, Refused, S3Proxy, now_and_then, nth
from tests.faults.table import BY_ITSELF, BY_SECOND_RUN, Tried
from tests.log_lines import DAY, lines, log

pytestmark = pytest.mark.slow

SEED = 20260112
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
        impressions, clicks = lines(200, path="/pxl.png", query=AD), lines(40, 300, path="/c", query=AD)
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


def test_faults_of_all_kinds(
    environment: Environment, expected: dict[str, bytes], s3_lake: Lake, s3_proxy: S3Proxy, tried: Tried
) -> None:
    with ExitStack() as stack:
        faults = [
            s3_proxy.fault("/lake-", Refused("SlowDown"), now_and_then(0.03, SEED)),
            s3_proxy.fault("^GET .*/lake-.*parquet", Cut(100), now_and_then(0.05, SEED)),
            s3_proxy.fault("^(PUT|POST) .*/lake-", AnswerLost(), now_and_then(0.05, SEED)),
        ]
        rules = [stack.enter_context(fault) for fault in faults]
        first = build(environment)
    assert all(rule.done > 1 for rule in rules)
    assert first.success, failure_of(first)
    found = files_of(s3_lake, *LAYERS)
    assert found == expected
    tried("S3 lake: faults of all kinds while dbt builds", BY_ITSELF, rows_in(expected) - rows_in(found))


def test_the_lake_is_away(
    environment: Environment, expected: dict[str, bytes], s3_lake: Lake, s3_proxy: S3Proxy, tried: Tried
) -> None:
    """For longer than a request is tried: dbt fails, and the step starts it again."""
    with s3_proxy.fault("^GET .*/lake-.*raw.*parquet", Refused("SlowDown"), lambda number: number <= 8) as rule:
        first = build(environment)
    assert rule.done == 8
    assert first.success, failure_of(first)
    found = files_of(s3_lake, *LAYERS)
    assert found == expected
    tried("S3 lake: away while dbt builds", BY_ITSELF, rows_in(expected) - rows_in(found))
