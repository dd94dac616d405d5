"""MongoDB servers for tests: the embedded one, FerretDB where Go can build it, and one that the environment names."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from demo.services import embedded_mongodb, running
from orchestration.publishing.mongodb import connect

EXTERNAL_URL = "CLICKLAKE_TEST_MONGODB_URL"
FERRETDB = Path(__file__).parent / "ferretdb"
CACHE = Path(__file__).parents[1] / ".cache" / "ferretdb"
BUILD_SECONDS = 500  # the first build takes 40 to 120 s on two cores, most of it SQLite


@pytest.fixture(scope="session", params=["embedded", "ferretdb", "external"])
def mongodb_server(request: pytest.FixtureRequest) -> str:
    """The name of the server that `mongodb_url` leads to."""
    return str(request.param)


@pytest.fixture(scope="session")
def mongodb_url(mongodb_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of each server in turn; one that this machine cannot run is skipped with the reason."""
    data_dir = tmp_path_factory.mktemp(f"mongodb-{mongodb_server}")
    if mongodb_server == "embedded":
        with embedded_mongodb(data_dir) as service:
            yield service.url
    elif mongodb_server == "ferretdb":
        with running(
            [str(built_ferretdb()), "--data-dir", str(data_dir)], "FerretDB", data_dir / "ferretdb.log"
        ) as url:
            yield url
    elif EXTERNAL_URL in os.environ:
        yield os.environ[EXTERNAL_URL]
    else:
        pytest.skip(f"{EXTERNAL_URL} is not set")


@pytest.fixture
def mongodb_database(mongodb_url: str) -> Iterator[Database[dict[str, Any]]]:
    """An empty database of the test's own, dropped after it."""
    with connect(mongodb_url) as client:
        name = new_database_name()
        yield client[name]
        client.drop_database(name)


def new_database_name() -> str:
    return f"test_{uuid.uuid4().hex}"


def built_ferretdb() -> Path:
    """The program of `tests/ferretdb`, built once for each state of its sources and kept in `.cache`."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("FerretDB needs Go to build it, and there is none on the PATH")
    sources = [FERRETDB / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    program = CACHE / f"ferretdb-{digest[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # several test processes build it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(go, program)
    return program


def _build(go: str, program: Path) -> None:
    unfinished = program.with_suffix(".unfinished")
    options = ["-mod=readonly", "-trimpath", "-tags=ferretdb_no_postgresql", "-ldflags=-s -w"]
    result = subprocess.run(
        [go, "build", *options, "-o", str(unfinished), "."],
        cwd=FERRETDB,
        env=os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if result.returncode:
        pytest.skip(f"FerretDB could not be built: {result.stderr.strip()[-500:]}")
    unfinished.replace(program)
