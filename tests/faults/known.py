"""Every fault that is tried, by name, and where. The tests, the table at their end and docs/faults.md name these."""

from __future__ import annotations

# Name → where it is tried, where that is not in this folder.
S3_SOURCE = {
    "S3 source: 503 SlowDown now and then": "",
    "S3 source: 500 InternalError now and then": "",
    "S3 source: 429 now and then": "",
    "S3 source: throttled for longer than one request is tried": "",
    "S3 source: slow": "",
    "S3 source: connection cut in the middle of an object": "",
    "S3 source: an object ends early without an error": "",
    "S3 source: a wrong byte": "",
    "S3 source: refuses connections": "",
    "S3 source: away for a moment": "",
    "S3 source: accepts and says nothing": "",
    "S3 source: an object goes between listing and reading": "",
    "S3 source: an object is replaced between listing and reading": "",
    "S3 source: an object is replaced again and again": "",
    "S3 source: listing cut between pages": "",
    "S3 source: a listing's page ends early": "",
}
S3_LAKE = {
    "S3 lake: 503 SlowDown now and then": "",
    "S3 lake: refuses every upload": "",
    "S3 lake: a part of a large upload is refused": "",
    "S3 lake: an upload is cut": "",
    "S3 lake: an upload is done and its answer lost": "",
    "S3 lake: a lock is put and its answer lost": "",
    "S3 lake: a read is cut": "",
    "S3 lake: a listing is cut": "",
    "S3 lake: away": "",
    "S3 lake: away while a day is published": "",
    "S3 lake: faults of all kinds while dbt builds": "",
    "S3 lake: away while dbt builds": "",
}
MONGODB = {
    "MongoDB: down at the start": "",
    "MongoDB: goes down in the middle of a day, after each command": "",
    "MongoDB: away for a moment": "",
    "MongoDB: slow": "",
    "MongoDB: accepts and says nothing": "",
    "MongoDB: a command takes effect and its answer is lost": "",
    "MongoDB: no longer primary": "",
    "MongoDB: steps down": "",
    "MongoDB: out of disk space": "",
}
MACHINE = {
    "disk: full while ingesting": "",
    "disk: full while dbt writes": "tests/e2e/test_cli.py",
    "disk: full while DuckDB spills": "",
    "disk: lake is read-only": "",
    "memory: too little for ingest": "",
    "memory: too little for DuckDB": "",
    "process: dbt is killed": "",
    "process: a run is killed at any moment": "tests/e2e/test_killed_runs.py",
    "process: two runs of one day at once": "tests/e2e/test_two_runs.py",
    "clock: process in another time zone, on a day of a change of its clock": "",
    "clock: set back between two runs": "",
}
FAULTS = S3_SOURCE | S3_LAKE | MONGODB | MACHINE
