"""Fixtures of all tests: servers, and a Clicklake of each test's own."""

from __future__ import annotations

pytest_plugins = (
    "tests.s3_fixtures",
    "tests.mongo_fixtures",
    "tests.environment_fixtures",
    "tests.long_series",
    "tests.reader_fixtures",
    "tests.faults.table",
    "tests.field_cases.table",
)
