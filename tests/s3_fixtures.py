"""The embedded S3 API, for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from demo.services import S3Service, embedded_s3


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Service]:
    """One S3 API for the session; each test makes buckets of its own."""
    with embedded_s3(tmp_path_factory.mktemp("s3")) as service:
        yield service


@pytest.fixture(scope="session")
def s3_client(s3_service: S3Service) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=s3_service.endpoint_url,
        region_name=s3_service.region,
        aws_access_key_id=s3_service.access_key_id,
        aws_secret_access_key=s3_service.secret_access_key,
    )
