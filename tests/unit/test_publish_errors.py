"""What people read when MongoDB refuses, and what of it is worth another try."""

from __future__ import annotations

import pytest
from pymongo.errors import (
    BulkWriteError,
    ExecutionTimeout,
    NetworkTimeout,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from ingest.errors import PublishError, TransientError
from orchestration.publishing.mongodb import as_publish_error, connect


def refused(code: int, text: str = "") -> OperationFailure:
    return OperationFailure(text, code, {"code": code, "errmsg": text})


def in_bulk(kind: str, code: int, text: str = "") -> BulkWriteError:
    return BulkWriteError({kind: [{"code": code, "errmsg": text}]})


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (refused(18), "login was refused. Check user, password"),
        (refused(8000, "bad auth : authentication failed"), "login was refused. Check user, password"),
        (refused(13), "may not do this. Grant it readWrite"),
        (in_bulk("writeErrors", 13), "may not do this. Grant it readWrite"),
        (refused(14031), "disk is full. Free or add space"),
        (in_bulk("writeErrors", 14031), "disk is full. Free or add space"),
        (refused(8000, "you are over your space quota"), "disk is full. Free or add space"),
        (refused(11000, "E11000 index: entry_key"), "same unique key. Remove one of them: E11000 index: entry_key"),
        (refused(121, "Document failed validation"), "OperationFailure 121: Document failed validation"),
    ],
)
def test_a_refusal_says_what_to_do_and_is_not_tried_again(error: PyMongoError, says: str) -> None:
    explained = as_publish_error(error, "MongoDB at host:1, publishing 2026-01-12")

    assert str(explained).startswith("MongoDB at host:1, publishing 2026-01-12: ")
    assert says in str(explained)
    assert not isinstance(explained, TransientError)


@pytest.mark.parametrize(
    "error",
    [
        ServerSelectionTimeoutError("no"),
        NetworkTimeout("no"),
        NotPrimaryError("no"),
        ExecutionTimeout("no", 50),
        refused(10107),
        refused(91),
        in_bulk("writeConcernErrors", 64),
        OperationFailure("no", 112, {"errorLabels": ["RetryableWriteError"]}),
    ],
)
def test_what_may_pass_by_itself_is_worth_another_try(error: PyMongoError) -> None:
    explained = as_publish_error(error, "MongoDB at host:1, connecting")

    assert isinstance(explained, PublishError)
    assert isinstance(explained, TransientError)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://host",
        "mongodb://zoe:12/34@host/",
        "mongodb://zoe:hunter/12345@host/",
        "mongodb://zoe:12@34@host/",
        "mongodb://zoe:12%zz34@host/",
        "mongodb://host:12345678/",
        "mongodb+srv://zoe:1234@no-such-host.invalid:1/",
    ],
)
def test_a_wrong_url_is_never_repeated(url: str) -> None:
    with pytest.raises(PublishError, match="CLICKLAKE_MONGODB_URL is no url") as caught:
        connect(url)

    shown = str(caught.value).partition("Write ")[0]
    assert not any(part in shown for part in ("12", "34", "hunter", "zoe"))
    assert caught.value.__cause__ is None
