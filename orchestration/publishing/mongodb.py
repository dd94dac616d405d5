"""The connection to MongoDB, and its errors as sentences for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from pymongo import MongoClient
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidURI,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
)

from ingest.errors import PublishError, TransientPublishError

Document = dict[str, Any]

# Ten seconds outlast the election of a primary on a healthy network. A socket may wait two minutes, because
# an index over a large collection takes long to build. Options in the url take precedence.
OPTIONS = {
    "serverSelectionTimeoutMS": 10_000,
    "connectTimeoutMS": 10_000,
    "socketTimeoutMS": 120_000,
    "appName": "clicklake",
}

DUPLICATE_KEY = 11000
_LOGIN = {18}  # AuthenticationFailed
_NOT_ALLOWED = {13}  # Unauthorized
_DISK_FULL = {14031, 12501}  # OutOfDiskSpace, quota of a database
_NOT_PRIMARY = 10107
_ATLAS = 8000  # any refusal by MongoDB Atlas itself; only its text says which
# Network, shutdown, step-down and timeout, from MongoDB's list of retryable errors.
_PASSING = {6, 7, 50, 64, 89, 91, 134, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436}


def connect(url: str) -> MongoClient[Document]:
    """A client that has logged in; close it after use.

    Raises:
        PublishError: the url is invalid, or the login was refused.
        TransientPublishError: no server answers.
    """
    client = _client(url)
    try:
        with explained(client, "connecting"):
            client.admin.command("ping")
    except PublishError:
        client.close()
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # The driver fails on answers that MongoDB's own server never gives, such as one without a login.
        client.close()
        raise PublishError(
            f"MongoDB at {_hosts(client)}, connecting: the driver does not understand its answer "
            f"({type(error).__name__}). Is it a MongoDB, and does it know the user in CLICKLAKE_MONGODB_URL?"
        ) from error
    return client


def _client(url: str) -> MongoClient[Document]:
    authority, _, rest = url.partition("://")[2].partition("/")
    given = {name.lower() for name, _ in parse_qsl(url.partition("?")[2])}
    options: dict[str, Any] = {name: value for name, value in OPTIONS.items() if name.lower() not in given}
    if "@" in rest and "@" not in authority:  # a slash in the password: a part of it would be taken for the host
        raise _bad_url("its user or password holds a / or @")
    try:
        return MongoClient(url, tz_aware=True, **options)
    except (PyMongoError, ValueError, TypeError, LookupError, OSError) as error:
        # Without the cause: its text can repeat a part of the url.
        is_srv = url.startswith("mongodb+srv:") and not isinstance(error, InvalidURI)
        raise _bad_url("no such host, or a wrong option" if is_srv else type(error).__name__) from None


def _bad_url(why: str) -> PublishError:
    return PublishError(
        f"CLICKLAKE_MONGODB_URL is no url that MongoDB's driver can use ({why}). Write "
        "mongodb://user:password@host:27017/, with / : @ % in user and password as %2F %3A %40 %25"
    )


@contextmanager
def explained(client: MongoClient[Document], doing: str) -> Iterator[None]:
    """Turns the driver's errors into a PublishError: one sentence with the hosts, never with user or password.

    Args:
        doing: what was being done, such as "publishing 2026-01-12".
    """
    try:
        yield
    except PyMongoError as error:
        raise as_publish_error(error, f"MongoDB at {_hosts(client)}, {doing}") from error


def _hosts(client: MongoClient[Document]) -> str:
    servers = client.topology_description.server_descriptions()
    return ", ".join(str(host) if port is None else f"{host}:{port}" for host, port in servers)


def as_publish_error(error: PyMongoError, where: str) -> PublishError:
    """An error of the driver as one sentence. An error that may pass by itself becomes a TransientPublishError."""
    code, text = _code_and_text(error)
    if isinstance(error, ConnectionFailure) and not isinstance(error, NotPrimaryError):
        return TransientPublishError(
            f"{where}: no answer. Is it running, and does the network let this machine reach it?"
        )
    if isinstance(error, ExecutionTimeout) or code in _PASSING or error.has_error_label("RetryableWriteError"):
        return TransientPublishError(
            f"{where}: it is busy or changing its primary (code {code}). Try again in a moment"
        )
    if code in _LOGIN or (code == _ATLAS and "auth" in text):
        return PublishError(
            f"{where}: the login was refused. Check user, password and authSource in CLICKLAKE_MONGODB_URL"
        )
    if code in _NOT_ALLOWED:
        return PublishError(f"{where}: the user may not do this. Grant it readWrite on CLICKLAKE_MONGODB_DATABASE")
    if code in _DISK_FULL or (code == _ATLAS and "quota" in text):
        return PublishError(f"{where}: its disk is full. Free or add space there, then publish again")
    if code == DUPLICATE_KEY:
        return PublishError(f"{where}: two documents have the same unique key. Remove one of them: {text}")
    return PublishError(f"{where}: {type(error).__name__} {code if code is not None else ''}: {text}")


def _code_and_text(error: PyMongoError) -> tuple[int | None, str]:
    if isinstance(error, BulkWriteError):
        first: Mapping[str, Any] = next(
            iter([*error.details.get("writeErrors", ()), *error.details.get("writeConcernErrors", ())]), {}
        )
        return first.get("code"), str(first.get("errmsg", ""))
    if isinstance(error, OperationFailure):
        return error.code, str((error.details or {}).get("errmsg", ""))
    if isinstance(error, NotPrimaryError):
        details = error.details if isinstance(error.details, Mapping) else {}
        return details.get("code", _NOT_PRIMARY), str(error)
    return None, str(error)
