"""The policies of deploy/iam are enough, and no more: a whole run and an analyst under an S3 that enforces them.

moto judges actions and resources as AWS does, with three exceptions that `as_moto_asks` knows of.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pyarrow.dataset as ds
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from demo.event_files import generate_days
from demo.services import S3Service, embedded_s3
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options
from tests.environment_fixtures import (
    EVENTS_PREFIX,
    FIRST,
    LOGS_PREFIX,
    ROOT,
    Environment,
    good,
    mart_key,
    new_environment,
)

pytestmark = pytest.mark.slow

IAM = ROOT / "deploy" / "iam"
LAKE_PREFIX = "teams/clicklake"
DAY = FIRST.isoformat()
HIDDEN = ("raw", "rejects", "ledger", "quarantine")


@dataclass(frozen=True)
class Enforced:
    """An S3 where only users with policies may do anything, and a Clicklake in it with a day built by one of them."""

    environment: Environment
    service: S3Service
    lake_bucket: str
    keys: dict[str, tuple[str, str]]

    def s3(self, user: str) -> Any:
        return boto3.client(
            "s3", config=Config(retries={"total_max_attempts": 1}), **client_options(self.service_of(user))
        )

    def lake(self, user: str) -> Lake:
        service = self.service_of(user)
        options = S3Options(service.endpoint_url, service.region, service.access_key_id, service.secret_access_key)
        return Lake(f"s3://{self.lake_bucket}/{LAKE_PREFIX}", options)

    def service_of(self, user: str) -> S3Service:
        key, secret = self.keys[user]
        return replace(self.service, access_key_id=key, secret_access_key=secret)


def client_options(service: S3Service) -> dict[str, str]:
    return {
        "endpoint_url": service.endpoint_url,
        "region_name": service.region,
        "aws_access_key_id": service.access_key_id,
        "aws_secret_access_key": service.secret_access_key,
    }


def filled(policy: str, bucket: str, lake_bucket: str) -> dict[str, Any]:
    """A policy for these buckets, by the command that docs/deployment.md names."""
    places = [f"{bucket}/{LOGS_PREFIX}", f"{bucket}/{EVENTS_PREFIX}", f"s3://{lake_bucket}/{LAKE_PREFIX}/"]
    done = subprocess.run([IAM / "fill", policy, *places], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def as_moto_asks(policy: dict[str, Any]) -> dict[str, Any]:
    """Asking for a bucket is s3:HeadBucket to moto, deleting several objects is judged by the bucket, and it knows no
    conditions of requests."""
    text = json.dumps(policy).replace('"s3:ListBucket"', '["s3:ListBucket", "s3:HeadBucket"]')
    changed = json.loads(text)
    for statement in changed["Statement"]:
        statement.pop("Condition", None)
        if "s3:DeleteObject" in statement["Action"]:
            bucket = statement["Resource"].partition("/")[0]
            statement["Resource"] = [statement["Resource"], bucket]
    return dict(changed)


def enforce(service: S3Service, is_on: bool) -> None:
    body = b"0" if is_on else b"inf"
    url, headers = f"{service.endpoint_url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    request = urllib.request.Request(url, body, headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory, embedded_mongodb_url: str, manifest: None) -> Iterator[Enforced]:
    folder = tmp_path_factory.mktemp("iam")
    with embedded_s3(folder) as service:
        admin = boto3.client("s3", **client_options(service))
        with new_environment(folder / "clicklake", admin, service, embedded_mongodb_url, has_events=True) as made:
            made.put(good(DAY))
            made.put_events(*generate_days(FIRST, 1, scale=0.4))
            admin.put_object(Bucket=made.bucket, Key="other/secret", Body=b"1")
            lake_bucket = f"{made.bucket}-lake"
            admin.create_bucket(Bucket=lake_bucket)
            iam = boto3.client("iam", **client_options(service))
            keys = {}
            for user in ("runner", "analyst"):
                iam.create_user(UserName=user)
                policy = as_moto_asks(filled(f"{user}.json", made.bucket, lake_bucket))
                iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=json.dumps(policy))
                key = iam.create_access_key(UserName=user)["AccessKey"]
                keys[user] = key["AccessKeyId"], key["SecretAccessKey"]
            enforce(service, True)
            yield Enforced(made, service, lake_bucket, keys)
            enforce(service, False)


@pytest.fixture(scope="module")
def built(enforced: Enforced) -> Enforced:
    """With a day that the runner has built and published, the lake in S3 too."""
    with pytest.MonkeyPatch.context() as patch:
        service = enforced.service_of("runner")
        patch.setenv("CLICKLAKE_LAKE", f"s3://{enforced.lake_bucket}/{LAKE_PREFIX}")
        patch.setenv("CLICKLAKE_S3_ACCESS_KEY_ID", service.access_key_id)
        patch.setenv("CLICKLAKE_S3_SECRET_ACCESS_KEY", service.secret_access_key)
        enforced.environment.run(DAY)
    return enforced


def is_refused(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AccessDenied":
            return True
        raise
    return False


def test_the_runner_builds_and_publishes_a_day(built: Enforced) -> None:
    assert built.environment.entries() != []
    assert built.lake("runner").exists(mart_key(DAY))


def test_the_runner_takes_and_gives_back_what_is_its_own(built: Enforced) -> None:
    s3, lake = built.s3("runner"), built.lake("runner")
    lock = {"Bucket": built.lake_bucket, "Key": f"{LAKE_PREFIX}/locks/{DAY}"}
    etag = s3.put_object(**lock, Body=b"mine", IfNoneMatch="*")["ETag"]
    s3.put_object(**lock, Body=b"still mine", IfMatch=etag)
    s3.delete_object(**lock)
    lake.put_text("refused", f"quarantine/sessions/day={DAY}/verdict.json")
    lake.delete("quarantine/sessions")
    assert lake.files("quarantine/sessions") == []
    upload = s3.create_multipart_upload(Bucket=built.lake_bucket, Key=f"{LAKE_PREFIX}/broken")
    s3.abort_multipart_upload(Bucket=built.lake_bucket, Key=f"{LAKE_PREFIX}/broken", UploadId=upload["UploadId"])


def test_the_runner_leaves_alone_what_is_not_its_own(built: Enforced) -> None:
    s3, bucket = built.s3("runner"), built.environment.bucket
    log = s3.list_objects_v2(Bucket=bucket, Prefix=LOGS_PREFIX)["Contents"][0]["Key"]
    assert s3.get_object(Bucket=bucket, Key=log)["ContentLength"] > 0
    for key in (log, f"{LOGS_PREFIX}/new", f"{EVENTS_PREFIX}/new", "other/secret"):
        assert is_refused(s3.put_object, Bucket=bucket, Key=key, Body=b"")
        assert is_refused(s3.delete_object, Bucket=bucket, Key=key)
    assert is_refused(s3.get_object, Bucket=bucket, Key="other/secret")
    for key in ("teams/other/data.parquet", f"{LAKE_PREFIX}-other/data.parquet", "data.parquet"):
        assert is_refused(s3.put_object, Bucket=built.lake_bucket, Key=key, Body=b"")
    assert is_refused(s3.create_bucket, Bucket="another")
    assert is_refused(s3.delete_bucket, Bucket=built.lake_bucket)


def test_analysts_read_marts_and_nothing_else(built: Enforced) -> None:
    lake = built.lake("analyst")
    mart = ds.dataset(lake.path("marts/daily_aggregates"), filesystem=lake.filesystem, partitioning="hive")
    assert mart.count_rows() > 0

    s3 = built.s3("analyst")
    built.lake("runner").put_text("refused", f"quarantine/sessions/day={DAY}/verdict.json")
    for layer in HIDDEN:
        keys = [file.key for file in built.lake("runner").files(layer)]
        assert keys != [], layer
        assert all(is_refused(s3.get_object, Bucket=built.lake_bucket, Key=lake_key(key)) for key in keys)
    assert is_refused(s3.put_object, Bucket=built.lake_bucket, Key=lake_key(mart_key(DAY)), Body=b"")
    assert is_refused(s3.delete_object, Bucket=built.lake_bucket, Key=lake_key(mart_key(DAY)))
    assert is_refused(s3.list_objects_v2, Bucket=built.environment.bucket)


def lake_key(key: str) -> str:
    return f"{LAKE_PREFIX}/{key}"


def test_analysts_list_marts_and_nothing_else(built: Enforced) -> None:
    """By the policy's own patterns: the condition is what moto does not judge."""
    policy = filled("analyst.json", built.environment.bucket, built.lake_bucket)
    statement = next(each for each in policy["Statement"] if each["Action"] == "s3:ListBucket")
    patterns = statement["Condition"]["StringLike"]["s3:prefix"]

    log = Path(built.environment.folder.parent / "s3.log")
    before = len(log.read_text())
    lake = built.lake("analyst")
    ds.dataset(lake.path("marts/daily_aggregates"), filesystem=lake.filesystem, partitioning="hive").to_table()
    asked = [unquote(found) for found in re.findall(r"[?&]prefix=([^& ]*)", log.read_text()[before:])]

    assert asked != []
    assert [prefix for prefix in asked if not allowed(prefix, patterns)] == []
    denied = ["", LAKE_PREFIX, *map(lake_key, HIDDEN), lake_key("raw/access_logs/")]
    assert [prefix for prefix in denied if allowed(prefix, patterns)] == []


def allowed(prefix: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(prefix, pattern) for pattern in patterns)


@pytest.mark.parametrize(
    "arguments",
    [
        ["runner.json", "my-logs", "my-events/site-logs", "my-lake/clicklake"],
        ["runner.json", "-", "my-events/site-logs", "my-lake/clicklake"],
        ["runner.json", "my-logs/*", "my-events/site-logs", "my-lake/clicklake"],
        ["runner.json", "my-logs/cloudfront"],
    ],
    ids=["no-prefix", "missing-place", "wildcard", "too-few"],
)
def test_no_policy_comes_out_wider_than_its_places(arguments: list[str]) -> None:
    done = subprocess.run([IAM / "fill", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr != ""


def test_raw_is_a_policy_of_its_own() -> None:
    raw = (IAM / "analyst-raw.json").read_text("utf-8")
    marts = (IAM / "analyst.json").read_text("utf-8")
    assert raw == marts.replace("ListMarts", "ListRaw").replace("ReadMarts", "ReadRaw").replace("/marts", "/raw")
