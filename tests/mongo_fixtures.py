"""MongoDB servers for tests: the embedded one, FerretDB where Go can build it, and one that the environment names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from demo.services import embedded_mongodb, running
from orchestration.publishing.mongodb import connect
from tests.go_programs import built_program

EXTERNAL_URL = "CLICKLAKE_TEST_MONGODB_URL"


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
        ferretdb = built_program(Path(__file__).parent / "ferretdb", "FerretDB", "-tags=ferretdb_no_postgresql")
        with running([str(ferretdb), "--data-dir", str(data_dir)], "FerretDB", data_dir / "ferretdb.log") as url:
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
