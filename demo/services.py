"""The embedded services: an S3 API and a MongoDB protocol server, each in a process of its own on 127.0.0.1.

A server binds a free port itself and reports it, so two servers never get the same port. It writes its log to a file
in its data directory. Its starter stops it; if the starter dies, the server ends as well.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from ingest.errors import ClicklakeError, SettingsError

ROOT = Path(__file__).parents[1]
PACKAGES = {"moto[server]": "moto", "nx-27017": "nx_27017"}  # packages of the extra `demo`, each with a module of it
START_SECONDS = 60  # a server starts in 0.5 to 1.5 s; a busy machine takes longer
STOP_SECONDS = 5
LOG_LINES_SHOWN = 3


class ServiceError(ClicklakeError):
    """An embedded service did not start."""


def check_installed() -> None:
    """Raises SettingsError if the packages of the embedded services are not installed."""
    missing = [package for package, module in PACKAGES.items() if find_spec(module) is None]
    if missing:
        raise SettingsError(
            f"The embedded services need {' and '.join(missing)}: pip install 'clicklake[demo]' installs them"
        )


@dataclass(frozen=True)
class S3Service:
    """The address of the embedded S3. It accepts any keys, so these are not secret."""

    endpoint_url: str
    access_key_id: str = "embedded"
    secret_access_key: str = field(default="embedded-s3-takes-any-key", repr=False)
    region: str = "us-east-1"


@dataclass(frozen=True)
class MongoService:
    """The address of the embedded MongoDB. It has no users."""

    url: str


@contextmanager
def embedded_s3(data_dir: Path) -> Iterator[S3Service]:
    """Runs an S3 API whose objects are in memory, and are lost when it stops. Its log is `data_dir/s3.log`.

    Raises:
        ServiceError: it did not start.
    """
    log_file = data_dir / "s3.log"
    with running([sys.executable, "-m", "demo.s3_server"], "S3", log_file) as url:
        _ask_s3(url, log_file)
        yield S3Service(url)


@contextmanager
def embedded_mongodb(data_dir: Path) -> Iterator[MongoService]:
    """Runs a MongoDB protocol server. Its databases and `mongodb.log` stay in `data_dir`.

    Raises:
        ServiceError: it did not start.
    """
    log_file = data_dir / "mongodb.log"
    with running([sys.executable, "-m", "demo.mongo_server", str(data_dir.absolute())], "MongoDB", log_file) as url:
        _ask_mongodb(url, log_file)
        yield MongoService(url)


@contextmanager
def running(command: Sequence[str], name: str, log_file: Path) -> Iterator[str]:
    """Runs a server that prints its address as its first line and ends when its standard input closes.

    Yields:
        The address.
    """
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        log = log_file.open("ab")
    except OSError as error:
        raise ServiceError(
            f"The embedded {name} cannot write {log_file}: {error.strerror}. Choose another folder"
        ) from error
    with log, _started(command, log) as process:
        yield _first_line(process, name, log_file)


@contextmanager
def _started(command: Sequence[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env=environment,
        start_new_session=True,  # Ctrl-C must only reach the starter, which may need the server to finish
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()


def _first_line(process: subprocess.Popen[bytes], name: str, log_file: Path) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], START_SECONDS)
    if not readable:
        raise _not_up(name, f"said nothing for {START_SECONDS} s", log_file)
    line = process.stdout.readline().decode().strip()
    if not line:
        raise _not_up(name, f"ended with status {process.wait(STOP_SECONDS)}", log_file)
    return line


def _ask_s3(url: str, log_file: Path) -> None:
    """Lists the buckets. The plain HTTP client uses no proxy, as loopback requires."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=START_SECONDS)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise _not_up("S3", f"does not answer at {url}", log_file) from error
    finally:
        connection.close()
    if status != 200:
        raise _not_up("S3", f"answered {status} to the first request", log_file)


def _ask_mongodb(url: str, log_file: Path) -> None:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    with MongoClient[dict[str, object]](url, serverSelectionTimeoutMS=START_SECONDS * 1000) as client:
        try:
            client.admin.command("ping")
        except PyMongoError as error:
            raise _not_up("MongoDB", f"does not answer at {url}", log_file) from error


def _not_up(name: str, what: str, log_file: Path) -> ServiceError:
    lines = log_file.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
    said = f": {' / '.join(line.strip() for line in lines)}" if lines else ""
    return ServiceError(f"The embedded {name} did not come up: it {what}{said}. Its log is {log_file}")
