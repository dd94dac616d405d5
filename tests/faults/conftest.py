"""Fixtures of the tests of faults."""

from __future__ import annotations

from tests.faults.fixtures import _without_pauses, faulty_s3_client, faulty_s3_service, s3_proxy

__all__ = ["_without_pauses", "faulty_s3_client", "faulty_s3_service", "s3_proxy"]
