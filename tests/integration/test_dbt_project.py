"""The dbt project over real raw files: what is published, what is refused, and what stays as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from demo.environment import put_rules
from ingest.days import parse_day
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.lake.s3 import S3Options
from ingest.partition.releases import Release, write_release
from tests.integration.dbt_fixtures import (
    PROJECT,
    build,
    build_each,
    hive_rows,
    mart,
    mart_key,
    nodes,
    report,
    request,
    run_dbt,
    spoil,
    write_raw,
)

DAYS = ("2026-01-12", "2026-01-13", "2026-01-14")
AFTER = "2026-01-15"
# Ads by day, and what is made of them here; other marts have tests of their own.
SELECTED = ("--select", "+daily_aggregates", "order_totals")
# A second lake_table below daily_aggregates: it must never be published from refused rows.
ORDER_TOTALS = """
{{ config(partition_by='report_date', sort_by=['order_id'], contract={'enforced': false}) }}
select report_date, order_id, sum(impressions)::bigint as impressions, sum(clicks)::bigint as clicks
from {{ ref('daily_aggregates') }} where {{ in_window('report_date') }} group by all
"""
ORDER_TOTALS_PROPERTIES = """
version: 2
models:
  - name: order_totals
    columns: [{name: report_date, data_type: date}, {name: order_id, data_type: varchar}]
    data_tests: [{unique_grain: {arguments: {columns: [report_date, order_id], date_column: report_date}}}]
"""
# A large mart with a row of another day.
STRAYS = """
{{ config(partition_by='report_date', is_large=true) }}
select report_date + 1 as report_date, clicks from {{ ref('daily_aggregates') }} where {{ in_window('report_date') }}
"""
STRAYS_PROPERTIES = """
version: 2
models:
  - name: strays
    columns: [{name: report_date, data_type: date}, {name: clicks, data_type: bigint}]
    data_tests: [{never_null: {arguments: {columns: [clicks]}}}]
"""


def first_day() -> list[dict[str, Any]]:
    day = DAYS[0]
    return [
        request("impression", f"{day}T10:00:00", 1),
        request("impression", f"{day}T10:00:01", 2, ip_hash="other"),
        request("impression", f"{day}T10:00:02", 3, ip_hash=None),
        request("impression", f"{day}T10:00:03", 4, status=503),
        request("click", f"{day}T10:00:05", 5),
        request("click", f"{day}T10:00:15", 6),  # a repeat: 10 s later
        request("click", f"{day}T10:00:26", 7),  # none: 11 s later
        request("click", f"{day}T10:00:30", 8, ip_hash="stranger"),  # saw no impression
        request("click", f"{day}T10:00:40", 9, is_bot=True),
        request("impression", f"{day}T11:00:00", 10, request_id=None, order_id=None),
        request("impression", f"{day}T11:00:00", 11, request_id=None, order_id=None),
        request("impression", f"{day}T12:00:00", 12, publication_code="unmapped"),
        request("other", f"{day}T12:00:01", 13),
        request("impression", f"{day}T10:00:00", 14, request_id=f"id-{day}T10:00:00-1"),  # line 1 once more
        request("click", f"{day}T23:59:58", 15),
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with more marts. The days of daily_aggregates are written to files at once, as those of large marts
    are, and those of order_totals stay in memory until they are published."""
    copy = tmp_path_factory.mktemp("project") / "dbt_project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs", "__pycache__", ".*"))
    (copy / "models/marts/order_totals.sql").write_text(ORDER_TOTALS)
    aggregates = copy / "models/marts/ads/daily_aggregates.sql"
    aggregates.write_text("{{ config(is_large=true, rows_in_memory=0) }}\n" + aggregates.read_text())
    (copy / "models/marts/_order_totals.yml").write_text(ORDER_TOTALS_PROPERTIES)
    (copy / "models/marts/strays.sql").write_text(STRAYS)
    (copy / "models/marts/_strays.yml").write_text(STRAYS_PROPERTIES)
    return copy


def raw_lake(folder: Path) -> Lake:
    """Three days, the last without a request, with rows of the first in the second's source date."""
    lake = Lake(str(folder))
    late = [
        request("impression", f"{DAYS[0]}T10:00:00", 1, source_object="logs/late.gz"),  # line 1 of the first day
        request("impression", f"{DAYS[0]}T20:00:00", 2, source_object="logs/late.gz", ip_hash="late"),
    ]
    write_raw(lake, DAYS[0], DAYS[0], first_day())
    write_raw(lake, DAYS[0], DAYS[1], late)
    write_raw(lake, DAYS[1], DAYS[1], [request("click", f"{DAYS[1]}T00:00:02", 1)])
    write_raw(lake, DAYS[2], DAYS[2], [])
    put_rules(lake)
    return lake


@pytest.fixture(scope="module")
def range_lake(tmp_path_factory: pytest.TempPathFactory, project: Path, target: Path) -> Lake:
    """Three days published by one run."""
    lake = raw_lake(tmp_path_factory.mktemp("range"))
    done = build(lake, target, DAYS[0], AFTER, *SELECTED, project=project)
    assert done.returncode == 0, done.stdout
    assert {entry["status"] for entry in report(target).values()} == {"published"}
    assert len(report(target)) == 6
    return lake


def release(lake: Lake, day: str, failures: int) -> None:
    """A person has accepted so many failing rows of the test that a spoilt day fails."""
    checks = [{"check": "daily_aggregates_count_every_ad_request", "message": "", "failures": failures}]
    moment = datetime.now(UTC)
    partition = Partition("daily_aggregates", parse_day(day))
    write_release(lake, Release(partition, checks, "known", "ann", moment.isoformat()), moment)


def test_a_released_day_is_published_with_all_that_is_made_of_it(
    project: Path, target: Path, range_lake: Lake, tmp_path: Path
) -> None:
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    good = {model: lake.read_table(mart_key(model, DAYS[0])) for model in ("daily_aggregates", "order_totals")}
    write_raw(lake, DAYS[0], DAYS[0], spoil(first_day()))
    release(lake, DAYS[0], failures=1)

    done = build(lake, target, DAYS[0], DAYS[1], *SELECTED, project=project)

    assert done.returncode == 0, done.stdout
    assert {entry["status"] for entry in report(target).values()} == {"published"}
    told = [(each["name"], each["failures"]) for each in nodes(target) if each["status"] == "warn"]
    assert told == [("daily_aggregates_count_every_ad_request", 1)]
    for model, table in good.items():
        assert not lake.read_table(mart_key(model, DAYS[0])).equals(table)


def test_a_release_covers_no_other_day_of_the_window(
    project: Path, target: Path, range_lake: Lake, tmp_path: Path
) -> None:
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    write_raw(lake, DAYS[0], DAYS[0], spoil(first_day()))
    release(lake, DAYS[1], failures=1)
    before = lake.read_table(mart_key("daily_aggregates", DAYS[0]))

    build(lake, target, DAYS[0], DAYS[2], *SELECTED, project=project)

    assert {entry["status"] for entry in report(target).values()} == {"refused", "skipped"}
    assert lake.read_table(mart_key("daily_aggregates", DAYS[0])).equals(before)


def test_daily_aggregates_of_a_day(range_lake: Lake) -> None:
    rows = {(row["order_id"], row["publication_code"]): row for row in mart(range_lake, "daily_aggregates", DAYS[0])}
    assert set(rows) == {("order", "chicago-reader"), (None, "chicago-reader"), ("order", "unmapped")}
    ad = rows["order", "chicago-reader"]
    assert ad == {
        "order_id": "order",
        "campaign_id": "camp",
        "publication_id": 101,
        "publication_code": "chicago-reader",
        "publication_name": "Chicago Reader",
        "channel": "website",
        "creative_id": "456",
        "ad_size": "300x250",
        "impressions": 5,  # lines 1 to 4 and the late one; line 1 came three times
        "clicks": 6,
        "unique_clicks": 2,
        "unique_ips": 3,
        "ctr": 120.0,
        "valid_impressions": 4,
        "valid_clicks": 3,
        "valid_unique_clicks": 1,
        "valid_unique_ips": 3,
        "valid_ctr": 75.0,
        "invalid_impressions": 1,
        "invalid_clicks": 3,
        "invalid_status": 1,
        "invalid_method": 0,
        "invalid_bot": 1,
        "invalid_repeat_click": 1,
        "invalid_click_flood": 0,
        "invalid_click_without_impression": 1,
    }
    assert rows[None, "chicago-reader"]["impressions"] == 2
    assert rows["order", "unmapped"]["publication_id"] is None
    assert rows["order", "unmapped"]["publication_name"] is None


def test_a_day_without_requests_has_an_empty_file_of_the_same_columns(range_lake: Lake) -> None:
    empty = range_lake.read_table(mart_key("daily_aggregates", DAYS[2]))
    assert empty.num_rows == 0
    assert empty.schema.equals(range_lake.read_table(mart_key("daily_aggregates", DAYS[0])).schema)


def test_partitions_read_as_a_folder(range_lake: Lake) -> None:
    """The day stands in the path: pyarrow and DuckDB add it as a column."""
    assert {str(day) for day in hive_rows(range_lake, "daily_aggregates")["report_date"].to_pylist()} == set(DAYS[:2])
    with range_lake.connect() as connection:
        files = range_lake.uri("marts/daily_aggregates/*/*.parquet")
        days = connection.execute(f"select typeof(report_date), sum(clicks) from '{files}' group by all").fetchall()
        assert days == [("DATE", 7)]


@pytest.mark.long
def test_days_one_by_one_in_any_order_give_what_a_range_gives(
    range_lake: Lake, project: Path, target: Path, tmp_path: Path
) -> None:
    lake = raw_lake(tmp_path)
    windows = ((DAYS[1], DAYS[2]), (DAYS[2], AFTER), (DAYS[0], DAYS[1]), (DAYS[0], DAYS[1]))
    build_each(lake, target, windows, *SELECTED, project=project)
    for model in ("daily_aggregates", "order_totals"):
        for day in DAYS:
            one_by_one, in_a_range = (each.read_table(mart_key(model, day)) for each in (lake, range_lake))
            assert one_by_one.equals(in_a_range), (model, day)
    assert not (tmp_path / "quarantine").exists()
    assert list((tmp_path / ".staging").iterdir()) == []


def test_a_refused_day_leaves_the_last_good_one(range_lake: Lake, project: Path, target: Path, tmp_path: Path) -> None:
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    good = {model: lake.read_table(mart_key(model, DAYS[0])) for model in ("daily_aggregates", "order_totals")}
    write_raw(lake, DAYS[0], DAYS[0], spoil(first_day()))
    release(lake, DAYS[0], failures=0)  # fewer than there are
    release(lake, DAYS[1], failures=1)  # another day

    done = build(lake, target, DAYS[0], DAYS[1], *SELECTED, project=project)

    assert done.returncode != 0
    assert "daily_aggregates is not published" in done.stdout
    for model, table in good.items():
        assert lake.read_table(mart_key(model, DAYS[0])).equals(table)
    entries = report(target)
    assert entries["daily_aggregates", DAYS[0]]["status"] == "refused"
    assert entries["order_totals", DAYS[0]]["status"] == "skipped"
    folder = f"quarantine/daily_aggregates/day={DAYS[0]}"
    verdict = json.loads(lake.read_text(f"{folder}/verdict.json"))
    assert (verdict["table"], verdict["day"]) == ("daily_aggregates", DAYS[0])
    assert [reason["check"] for reason in verdict["reasons"]] == ["daily_aggregates_count_every_ad_request"]
    assert verdict["reasons"][0]["failures"] == 1
    assert verdict["run"]
    refused = lake.read_table(f"{folder}/rows/data.parquet")
    assert refused.num_rows == good["daily_aggregates"].num_rows
    assert refused.schema.equals(good["daily_aggregates"].schema)
    assert not lake.exists("quarantine/order_totals")

    # Repaired, but the second model cannot be written: the first is published, and the report says so.
    write_raw(lake, DAYS[0], DAYS[0], [*first_day(), request("click", f"{DAYS[0]}T13:00:00", 16)])
    (tmp_path / "lake/marts/order_totals").rename(tmp_path / "aside")
    (tmp_path / "lake/marts/order_totals").write_text("a file where a folder has to be")
    done = build(lake, target, DAYS[0], DAYS[1], *SELECTED, project=project)
    assert done.returncode != 0
    assert set(report(target)) == {("daily_aggregates", DAYS[0])}
    assert lake.files(folder) == []

    (tmp_path / "lake/marts/order_totals").unlink()
    (tmp_path / "aside").rename(tmp_path / "lake/marts/order_totals")
    # What is published already can be read without building it again.
    done = build(lake, target, DAYS[0], DAYS[1], "--select", "order_totals", project=project)
    assert done.returncode == 0, done.stdout
    assert set(report(target)) == {("order_totals", DAYS[0])}
    assert {row["order_id"]: row["clicks"] for row in mart(lake, "order_totals", DAYS[0])} == {"order": 7, None: 0}


def test_rows_outside_the_built_days_are_not_lost_without_notice(
    range_lake: Lake, project: Path, target: Path, tmp_path: Path
) -> None:
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    for first, after_last, rows in ((DAYS[0], DAYS[1], "Rows"), (DAYS[0], DAYS[2], "1 rows")):
        done = build(lake, target, first, after_last, "--select", "+strays", project=project)
        assert done.returncode != 0
        assert f"{rows} of strays have a report_date outside the days to be built" in done.stdout
        assert not lake.exists("marts/strays")


def test_what_was_not_tested_is_not_published(target: Path, tmp_path: Path) -> None:
    lake = raw_lake(tmp_path)
    done = build(lake, target, DAYS[0], DAYS[1], "--exclude-resource-type", "test")
    assert "daily_aggregates is not published: none of its tests ran" in done.stdout
    assert report(target)["daily_aggregates", DAYS[0]]["status"] == "skipped"
    done = run_dbt(lake, target, "run", "--event-time-start", DAYS[0], "--event-time-end", DAYS[1])
    assert done.returncode != 0
    assert "exist only in the memory of a run that builds them" in done.stdout
    assert lake.files("marts") == []
    assert lake.files("quarantine") == []


def test_a_day_that_was_not_ingested_keeps_its_file(range_lake: Lake, target: Path, tmp_path: Path) -> None:
    """Raw files may be gone after their time: running such a day again must not empty its mart."""
    shutil.copytree(range_lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"))
    before = lake.read_table(mart_key("daily_aggregates", DAYS[0]))
    lake.delete(f"raw/access_logs/event_date={DAYS[0]}/source_date={DAYS[0]}")
    done = build(lake, target, DAYS[0], DAYS[2], *SELECTED)
    assert done.returncode == 0, done.stdout
    assert {day: entry["status"] for (_, day), entry in report(target).items()} == {
        DAYS[0]: "absent",
        DAYS[1]: "published",
    }
    assert lake.read_table(mart_key("daily_aggregates", DAYS[0])).equals(before)


def test_without_a_window_the_error_says_what_to_pass(target: Path, tmp_path: Path) -> None:
    done = run_dbt(raw_lake(tmp_path), target, "build")
    assert done.returncode != 0
    assert "dbt build --event-time-start 2026-01-12 --event-time-end 2026-01-13" in done.stdout


def test_unit_tests_pass_without_a_lake(target: Path, tmp_path: Path) -> None:
    done = run_dbt(Lake(str(tmp_path)), target, "test", "--select", "test_type:unit", CLICKLAKE_LAKE="")
    assert done.returncode == 0, done.stdout
    assert "ERROR=0" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def s3() -> Iterator[S3Options]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = S3Options(f"http://{host}:{port}", "us-east-1", "key", "secret")
        client = boto3.client(
            "s3",
            endpoint_url=options.endpoint_url,
            region_name=options.region,
            aws_access_key_id=options.access_key_id,
            aws_secret_access_key=options.secret_access_key,
        )
        client.create_bucket(Bucket="lake")
        yield options
    finally:
        server.stop()


def test_a_lake_on_s3(s3: S3Options, target: Path, tmp_path: Path) -> None:
    lake = Lake("s3://lake/prefix", s3)
    write_raw(lake, DAYS[0], DAYS[0], first_day())
    done = build(
        lake,
        target,
        DAYS[0],
        DAYS[1],
        *SELECTED,
        CLICKLAKE_S3_ENDPOINT_URL=str(s3.endpoint_url),
        CLICKLAKE_S3_REGION=str(s3.region),
        CLICKLAKE_S3_ACCESS_KEY_ID=str(s3.access_key_id),
        CLICKLAKE_S3_SECRET_ACCESS_KEY=str(s3.secret_access_key),
        CLICKLAKE_PUBLISH_REPORT=str(tmp_path / "report" / "publish.jsonl"),
    )
    assert done.returncode == 0, done.stdout
    lines = (tmp_path / "report" / "publish.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["status"] == "published"
    assert sum(row["impressions"] for row in mart(lake, "daily_aggregates", DAYS[0])) == 7
    assert "secret" not in done.stdout + done.stderr
