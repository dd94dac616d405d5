"""Dagster's UI as tests talk to it: GraphQL over plain HTTP, ports, and the processes that belong to it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import pytest

from orchestration.home import dagster_home
from tests.environment_fixtures import ROOT, Environment
from tests.waiting import PATIENCE, free_port, wait_until

MARK = "UI_TEST_MARK"  # in the environment of every process that the test starts, to find those left over

LAUNCH = """
mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
BACKFILL = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status numPartitions error { message } runs { id status } }
  }
}"""


@dataclass(frozen=True)
class UI:
    """A running UI, where it listens, and what it was started with."""

    port: int
    log: Path
    settings: dict[str, str]

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of an answer, over a plain HTTP client: it knows no proxies, which loopback must not go through."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            body = json.dumps({"query": query, "variables": variables})
            connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]

    def lines(self) -> list[str]:
        """What all processes said so far, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text("utf-8", "replace")).splitlines()


def answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/server_info")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def left_over(mark: str) -> list[int]:
    """Processes whose environment has the mark. Only Linux tells."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found


@contextmanager
def dagster_dev(environment: Environment, definitions: Path | None = None, **settings: str) -> Iterator[UI]:
    """`dagster dev`, with backfills in windows of two days. At the end all its processes are killed, as they are.

    definitions: a file that holds them, other than those of workspace.yaml.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(environment.home))
        dagster_home(environment.home)
    mark, port, log_file = uuid.uuid4().hex, free_port(), environment.folder / "dagster-dev.log"
    loaded = ["-f", str(definitions)] if definitions else ["-w", str(ROOT / "workspace.yaml")]
    program = [sys.executable, "-m", "dagster", "dev", *loaded, "-h", "127.0.0.1"]
    with log_file.open("ab") as output:
        process = subprocess.Popen(
            [*program, "-p", str(port)],
            cwd=environment.folder,
            env=environment.variables(backfill_window_days="2", **settings) | {MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        assert wait_until(lambda: answers(port), is_in_vain=lambda: process.poll() is not None), log_file.read_text()[
            -3000:
        ]
        yield UI(port, log_file, environment.settings)
    finally:
        while left := left_over(mark):
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            process.poll()
            time.sleep(0.2)
        process.wait()
        assert not Path(f"/proc/{process.pid}/cwd").exists()
