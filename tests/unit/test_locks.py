"""Locks of a lake, on a folder and on S3: one holder at a time, and none for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.services import S3Service
from ingest.errors import TransientError, TransientLakeError
from ingest.lake import locks
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options

NAME = "raw/access_logs/2026-01-12"
HOLDER = """
import sys, time
from ingest.lake.files import Lake
with Lake(sys.argv[1]).lock(sys.argv[2]):
    print(flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lake]:
    if request.param == "folder":
        yield Lake(str(tmp_path / "lake"))
        return
    service: S3Service = request.getfixturevalue("s3_service")
    client: Any = request.getfixturevalue("s3_client")
    bucket = f"locks-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=bucket)
    options = S3Options(service.endpoint_url, service.region, service.access_key_id, service.secret_access_key)
    yield Lake(f"s3://{bucket}/lake", options)


def test_threads_that_count_with_a_lock_lose_nothing(lake: Lake) -> None:
    """Each reads, waits and writes: without a lock they would overwrite each other's numbers."""
    counted = 0

    def count() -> None:
        nonlocal counted
        for _ in range(5):
            with lake.lock(NAME):
                seen = counted
                time.sleep(0.001)
                counted = seen + 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == 20
    assert lake.holder(NAME) is None


def test_who_waits_is_told_by_whom(lake: Lake) -> None:
    told: list[str] = []
    waited: list[bool] = []
    with lake.lock(NAME, "run 1") as first:
        assert lake.holder(NAME) == "run 1"

        def second() -> None:
            with lake.lock(NAME, "run 2", told.append) as has_waited:
                waited.append(has_waited)

        thread = threading.Thread(target=second)
        thread.start()
        while not told:
            time.sleep(0.01)
    thread.join()
    assert not first
    assert told == ["run 1"]
    assert waited == [True]


def test_other_names_are_other_locks(lake: Lake) -> None:
    with lake.lock(NAME), lake.lock("raw/access_logs/2026-01-13") as has_waited:
        assert not has_waited


def test_an_error_while_it_is_held_lets_it_go(lake: Lake) -> None:
    with pytest.raises(OSError, match=r"^of the work$"), lake.lock(NAME):
        raise OSError("of the work")
    assert lake.holder(NAME) is None


def test_nothing_of_a_lock_stays_in_the_lake(lake: Lake) -> None:
    with lake.lock(NAME):
        assert len(lake.files(locks.FOLDER)) == 1
    assert lake.files(locks.FOLDER) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path), NAME], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert lake.holder(NAME) is not None
        os.kill(process.pid, signal.SIGKILL)
    assert lake.holder(NAME) is None
    with lake.lock(NAME) as has_waited:
        assert not has_waited


@pytest.mark.parametrize("lake", ["s3"], indirect=True)
def test_a_silent_holder_s_lease_is_taken_over(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 tells time in whole seconds."""
    monkeypatch.setattr(locks, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(locks, "RENEWALS_IN_A_LEASE", 1e-6)  # it never says that it lives
    silent = lake._lock(NAME)
    assert silent.try_acquire("run 1")
    with lake.lock(NAME, "run 2") as has_waited:
        assert has_waited
        assert lake.holder(NAME) == "run 2"
        with pytest.raises(TransientError, match="Run again"):
            silent.ensure()
        silent.release()
        assert lake.holder(NAME) == "run 2"  # what is not its own it lets be


@pytest.mark.parametrize("lake", ["s3"], indirect=True)
def test_a_holder_that_renews_its_lease_keeps_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at once a renewal is later than the first lease went, however long that takes."""
    monkeypatch.setattr(locks, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(locks, "RENEWALS_IN_A_LEASE", 10)
    with lake.lock(NAME, "run 1"):
        (lock,) = lake.files(locks.FOLDER)
        while not [each for each in lake.files(locks.FOLDER) if (each.modified - lock.modified).total_seconds() > 2]:
            time.sleep(0.05)
        assert lake.holder(NAME) == "run 1"
        assert not lake._lock(NAME).try_acquire("run 2")
        lake.put_text("still ours", "text")


@pytest.mark.parametrize("lake", ["s3"], indirect=True)
def test_nothing_is_put_under_a_lock_that_was_lost(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.lock(NAME, "run 1"):
        monkeypatch.setattr(locks, "LEASE_SECONDS", -1.0)
        with pytest.raises(TransientLakeError, match="another may be at work"):
            lake.put_text("too late", "text")
    assert lake.files("text") == []
