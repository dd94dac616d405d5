"""The script that makes a deployment's buckets, on the embedded S3."""

from __future__ import annotations

import runpy
import uuid
from typing import Any

import boto3
import pytest

from demo.services import S3Service
from tests.environment_fixtures import ROOT

SCRIPT = runpy.run_path(str(ROOT / "deploy" / "compose" / "make_buckets.py"), run_name="deploy")


@pytest.fixture
def name(s3_service: S3Service, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket's name that is not taken; the variables of the AWS tools lead to the embedded S3."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_service.endpoint_url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3_service.region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_service.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_service.secret_access_key)
    return f"lake-{uuid.uuid4().hex[:8]}"


def test_buckets_are_made_once(name: str, s3_client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    places = [f"s3://{name}/clicklake", f"s3://{name}-logs/cloudfront", f"s3://{name}-logs/site-logs"]

    assert SCRIPT["main"](places) == 0
    assert capsys.readouterr().out == f"{name}: made\n{name}-logs: made\n"
    assert SCRIPT["main"](places) == 0
    assert capsys.readouterr().out == f"{name}: is there\n{name}-logs: is there\n"

    assert s3_client.list_objects_v2(Bucket=name)["KeyCount"] == 0


def test_folders_need_no_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    assert SCRIPT["main"](["/data/lake", "/data/logs", "/data/events"]) == 0
    assert "Nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("header", ["If-None-Match", "If-Match"])
def test_a_server_that_ignores_conditions_is_refused(
    name: str, header: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def deaf(*arguments: Any, **options: Any) -> Any:
        client = make(*arguments, **options)
        client.meta.events.register("before-sign.s3.PutObject", drop)
        return client

    def drop(request: Any, **_: Any) -> None:
        del request.headers[header]

    make = boto3.client
    monkeypatch.setattr(boto3, "client", deaf)

    assert SCRIPT["main"]([f"s3://{name}/clicklake"]) == 1
    assert f"ignores {header}:" in capsys.readouterr().err
