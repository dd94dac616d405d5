"""The embedded services: they come up, answer on loopback alone, and never outlive who started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from demo.services import ROOT, S3Service, ServiceError, embedded_mongodb, embedded_s3, running
from orchestration.publishing.mongodb import connect
from tests.s3_fixtures import client_of
from tests.waiting import PATIENCE, wait_until


def is_answering(url: str) -> bool:
    address = urlsplit(url)
    assert address.hostname == "127.0.0.1"
    assert address.port
    try:
        socket.create_connection((address.hostname, address.port), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


def test_s3_takes_and_gives_objects(s3_service: S3Service) -> None:
    client = client_of(s3_service)
    client.create_bucket(Bucket="things")
    client.put_object(Bucket="things", Key="a/b", Body=b"content")

    assert client.get_object(Bucket="things", Key="a/b")["Body"].read() == b"content"


def test_mongodb_keeps_its_data_from_start_to_start(tmp_path: Path) -> None:
    for expected in (0, 1):
        with embedded_mongodb(tmp_path) as service, connect(service.url) as client:
            assert len(list(client["things"]["entries"].find())) == expected
            client["things"]["entries"].insert_one({"value": 1})


@pytest.mark.parametrize("start", [embedded_s3, embedded_mongodb])
def test_two_at_once_do_not_meet_and_end_with_the_block(
    start: Callable[[Path], AbstractContextManager[Any]], tmp_path: Path
) -> None:
    with start(tmp_path / "a") as first, start(tmp_path / "b") as second:
        urls = [getattr(service, "endpoint_url", None) or service.url for service in (first, second)]
        assert len(set(urls)) == 2
        assert all(is_answering(url) for url in urls)

    assert not any(is_answering(url) for url in urls)


@pytest.mark.parametrize(("name", "address"), [("embedded_s3", "endpoint_url"), ("embedded_mongodb", "url")])
def test_a_service_ends_when_its_starter_is_killed(name: str, address: str, tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from demo.services import {name}
with {name}(Path(sys.argv[1])) as service:
    print(service.{address}, flush=True)
    time.sleep(600)
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url = starter.stdout.readline().strip()
        assert is_answering(url)
        os.kill(starter.pid, signal.SIGKILL)

    assert wait_until(lambda: not is_answering(url))


def test_a_service_that_fails_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no port today')"]

    why = r"did not come up: it ended with status 1: no port today\. Its log is"
    with pytest.raises(ServiceError, match=why), running(command, "S3", tmp_path / "s3.log"):
        pass


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ServiceError, match="cannot write"), embedded_s3(tmp_path / "file"):
        pass
