"""The policies of deploy/iam are enough, and no more: a whole run and an analyst under an S3 that enforces them.

moto judges actions and resources as AWS does, with three exceptions that `as_moto_asks` knows of.
"""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pyarrow.dataset as ds
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from demo.event_files import generate_days
from demo.services import S3Service, embedded_s3
from ingest.errors import LakeError
from ingest.lake import Lake, S3Options
from tests.environment_fixtures import (
    EVENTS_PREFIX,
    FIRST,
    LOGS_PREFIX,
    ROOT,
    Caller,
    Environment,
    good,
    mart_key,
    new_environment,
)

pytestmark = pytest.mark.slow

IAM = ROOT / "deploy" / "iam"
LAKE_PREFIX = "teams/clicklake"
DAY = FIRST.isoformat()
HIDDEN = ("raw", "rejects", "ledger", "quarantine", ".locks")


@dataclass(frozen=True)
class Enforced:
    """An S3 where only users with policies may do anything, and a Clicklake in it with a day built by one of them."""

    environment: Environment
    service: S3Service
    lake_bucket: str

    def s3(self, user: str) -> Any:
        return boto3.client(
            "s3", config=Config(retries={"total_max_attempts": 1}), **client_options(self.service_of(user))
        )

    def lake(self, user: str) -> Lake:
        service = self.service_of(user)
        options = S3Options(
            service.endpoint_url, service.region, service.access_key_id, service.secret_access_key
        )
        return Lake(f"s3://{self.lake_bucket}/{LAKE_PREFIX}", options)

    def service_of(self, user: str) -> S3Service:
        key, secret = KEYS[user]
        return replace(self.service, access_key_id=key, secret_access_key=secret)


KEYS: dict[str, tuple[str, str]] = {}


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
def enforced(
    tmp_path_factory: pytest.TempPathFactory, embedded_mongodb_url: str, manifest: None
) -> Iterator[Enforced]:
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
            for user in ("runner", "analyst"):
                iam.create_user(UserName=user)
                policy = as_moto_asks(filled(f"{user}.json", made.bucket, lake_bucket))
                iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=json.dumps(policy))
                key = iam.create_access_key(UserName=user)["AccessKey"]
                KEYS[user] = key["AccessKeyId"], key["SecretAccessKey"]
            enforce(service, True)
            yield Enforced(made, service, lake_bucket)
            enforce(service, False)


def refusal(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return str(refused.value.response["Error"]["Code"])


def test_the_runner_builds_and_publishes_a_day(enforced: Enforced, call: Caller) -> None:
    service = enforced.service_of("runner")
    lake = f"s3://{enforced.lake_bucket}/{LAKE_PREFIX}"

    done = call(
        *("run", "--from", DAY),
        lake=lake,
        s3_access_key_id=service.access_key_id,
        s3_secret_access_key=service.secret_access_key,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert enforced.environment.entries() != []
    assert enforced.lake("runner").exists(mart_key(DAY))
    print(Path(enforced.environment.folder.parent / "s3.log").read_text()[-3000:])
