"""What the tests of faults share: servers behind proxies, pauses without waiting, a small day and its comparison."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.config import Config

from demo.services import S3Service, embedded_s3
from ingest.lake.files import Lake
from tests.faults.proxy import S3Proxy
from tests.s3_fixtures import client_of

KEYS_ON_A_PAGE = 4  # of a listing, so that a small day has several pages
SILENCE_SECONDS = 1


@pytest.fixture(scope="session")
def faulty_s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Service]:
    """An S3 API whose listings have small pages."""
    stack = ExitStack()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(KEYS_ON_A_PAGE))
        service = stack.enter_context(embedded_s3(tmp_path_factory.mktemp("faulty-s3")))
    with stack:  # its process has read it, and nobody else must
        yield service


@pytest.fixture(scope="session")
def faulty_s3_client(faulty_s3_service: S3Service) -> Any:
    """Straight to the server."""
    return client_of(faulty_s3_service, config=Config(request_checksum_calculation="when_required"))


@pytest.fixture
def s3_proxy(faulty_s3_service: S3Service) -> Iterator[S3Proxy]:
    address = urlsplit(faulty_s3_service.endpoint_url)
    with S3Proxy(address.hostname or "", address.port or 0).running() as proxy:
        assert isinstance(proxy, S3Proxy)
        yield proxy


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between tries are short, and a silent server is taken for dead soon. The numbers of tries stay."""
    monkeypatch.setattr("orchestration.failures.SECONDS_BETWEEN_RETRIES", 0.1)
    pauses = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.01)), time=time.time)
    monkeypatch.setattr("botocore.endpoint.time", pauses)
    monkeypatch.setattr("ingest.lake.s3.SILENCE_SECONDS", SILENCE_SECONDS)


def can_mount() -> bool:
    """Whether this user can mount a small file system, which takes root."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], capture_output=True)
        return done.returncode == 0 and subprocess.run(["umount", "-l", folder]).returncode == 0


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A small file system of its own."""
    if not can_mount():
        pytest.skip("only root can mount a small file system")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def process_in(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process, and those that it starts, are in a time zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What a person reads of a run that failed."""
    said = []
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            assert data.user_failure_data is not None, data.error  # a traceback is no sentence
            said.append(str(data.user_failure_data.description))
    return " | ".join(said)


def files_of(lake: Lake, *layers: str) -> dict[str, bytes]:
    """Every file of a lake below these folders, by key."""
    found = [file for layer in layers for file in lake.files(layer)]
    return {file.key: lake.read_bytes(file.key) for file in found if not file.key.startswith(".")}


def rows_in(files: Mapping[str, bytes]) -> int:
    """Rows of raw and of marts."""
    bodies = [body for key, body in files.items() if key.startswith(("raw/", "marts/"))]
    return sum(pq.read_metadata(pa.BufferReader(body)).num_rows for body in bodies)
