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
    return client_of(s3_service)


def client_of(service: S3Service, **options: Any) -> Any:
    """A boto3 client of a server, straight to it."""
    return boto3.client(
        "s3",
        endpoint_url=service.endpoint_url,
        region_name=service.region,
        aws_access_key_id=service.access_key_id,
        aws_secret_access_key=service.secret_access_key,
        **options,
    )
