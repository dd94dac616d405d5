"""Makes the buckets of a lake's places, and refuses an S3 server whose conditional writes a lake cannot rely on.

A script of its own, run once before anything else. Where S3 is and its keys: the AWS tools' own variables.

    python make_buckets.py s3://lake/clicklake s3://logs/cloudfront s3://events/site-logs
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

PRECONDITION_FAILED = "PreconditionFailed"


def main(places: Sequence[str]) -> int:
    """Returns the exit status. The first place is the lake."""
    buckets = [place.removeprefix("s3://").partition("/")[0] for place in places if place.startswith("s3://")]
    if not buckets:
        print("Nothing to do: no place is in S3")
        return 0
    s3 = boto3.client("s3")
    try:
        for bucket in dict.fromkeys(buckets):
            print(f"{bucket}: {'made' if make_bucket(s3, bucket) else 'is there'}")
        problem = missing_condition(s3, buckets[0]) if places[0].startswith("s3://") else None
    except (ClientError, BotoCoreError) as error:
        problem = str(error)
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


def make_bucket(s3: Any, bucket: str) -> bool:
    """Whether it was made now."""
    if bucket in [found["Name"] for found in s3.list_buckets()["Buckets"]]:
        return False
    region = s3.meta.region_name
    abroad = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    s3.create_bucket(Bucket=bucket, **abroad)
    return True


def missing_condition(s3: Any, bucket: str) -> str | None:
    """What this S3 does not keep of conditional writes; None where it keeps all that the lake's locks need."""
    key = f".probe-{uuid.uuid4().hex}"
    try:
        etag = s3.put_object(Bucket=bucket, Key=key, Body=b"1", IfNoneMatch="*")["ETag"]
        if not refused(s3.put_object, Bucket=bucket, Key=key, Body=b"2", IfNoneMatch="*"):
            return "This S3 ignores If-None-Match: two runs could take the same lock. Use another server"
        s3.put_object(Bucket=bucket, Key=key, Body=b"3", IfMatch=etag)
        if not refused(s3.put_object, Bucket=bucket, Key=key, Body=b"4", IfMatch=etag):
            return "This S3 ignores If-Match: a run could take over a lock that is held. Use another server"
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
    return None


def refused(write: Callable[..., Any], **arguments: Any) -> bool:
    """Whether a condition that does not hold stopped the write."""
    try:
        write(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == PRECONDITION_FAILED:
            return True
        raise
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
