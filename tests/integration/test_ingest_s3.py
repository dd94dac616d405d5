"""Ingest from S3 into a lake on S3, over a real S3 API."""

from __future__ import annotations

import gzip
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pyarrow as pa
import pytest
from botocore.config import Config

from demo.services import S3Service, embedded_s3
from ingest.days import parse_day
from ingest.errors import LakeError, ObjectChangedError, SourceError, TransientError
from ingest.lake.files import Lake
from ingest.lake.layout import value_in
from ingest.lake.s3 import S3Options
from ingest.lake.views import create_views
from ingest.partition import stage
from ingest.partition.day import DayResult, ingest_day
from ingest.source import FolderSource, S3Source
from tests.log_lines import DAY, OPTIONS, line, lines, log
from tests.partitions import days_of, logs_of

NEXT = "2026-01-13"


class Bucket:
    """A bucket of its own, with what is needed to read and write it."""

    def __init__(self, service: S3Service, client: Any) -> None:
        self.name = f"test-{uuid.uuid4().hex[:12]}"
        self.client = client
        self.s3 = S3Options(service.endpoint_url, service.region, service.access_key_id, service.secret_access_key)
        client.create_bucket(Bucket=self.name)

    def put(self, key: str, body: bytes = b"") -> str:
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return key

    def source(self, prefix: str = "logs") -> S3Source:
        return S3Source(f"s3://{self.name}/{prefix}".rstrip("/"), self.client)

    def lake(self, prefix: str = "lake") -> Lake:
        return Lake(f"s3://{self.name}/{prefix}", self.s3)


@pytest.fixture
def bucket(s3_service: S3Service, s3_client: Any) -> Bucket:
    return Bucket(s3_service, s3_client)


def name(day: str = DAY, hour: str = "10", distribution: str = "E1TEST", unique: str = "a") -> str:
    return f"{distribution}.{day}-{hour}.{unique}.gz"


# Listing

LAYOUTS = {
    "flat": "{distribution}.{day}-{hour}.{unique}.gz",
    "below folders": "cdn/eu/{distribution}.{day}-{hour}.{unique}.gz",
    "below dotted folders": "www.example.com/v1.2/{distribution}.{day}-{hour}.{unique}.gz",
    "dots in the distribution": "www.{distribution}.net.{day}-{hour}.{unique}.gz",
    "without a distribution": "{day}-{hour}.{unique}.gz",
    "hive": "{distribution}/year={y}/month={m}/day={d}/hour={hour}/part-{unique}.parquet",
    "hive, dotted": "a.b/year={y}/month={m}/day={d}/hour={hour}/{distribution}.{unique}.json.gz",
    "date folders": "{distribution}/{y}/{m}/{d}/{hour}/{distribution}.{day}-{hour}.{unique}.gz",
    "date folders, names without a dot": "{y}/{m}/{d}/{hour}/{distribution}-{unique}",
    "both in one": "{distribution}.old/{distribution}.{day}-{hour}.{unique}.gz",
}


def fill(bucket: Bucket, layouts: list[str], prefix: str) -> dict[str, set[str]]:
    """Puts objects of four days by every layout; returns the keys below the prefix by day."""
    keys: dict[str, set[str]] = {}
    for day in ("2025-12-31", DAY, NEXT, "2026-01-14"):
        for hour in ("00", "23"):
            for distribution in ("E1TEST", "E2TEST"):
                for layout in layouts:
                    y, m, d = day.split("-")
                    values = {"distribution": distribution, "day": day, "hour": hour, "y": y, "m": m, "d": d}
                    key = LAYOUTS[layout].format(unique=f"{distribution}x", **values)
                    bucket.put(prefix + key)
                    keys.setdefault(day, set()).add(key)
    for other in ("readme.txt", "E1TEST.2026-01-12.gz", "inventory/", "noise", "E1TEST.2026-13-45-99.a.gz"):
        bucket.put(prefix + other)
    return keys


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_objects_of_a_day_are_found_in_every_layout(bucket: Bucket, layout: str) -> None:
    keys = fill(bucket, [layout], "logs/")
    bucket.put("logs-other/" + name())
    source = bucket.source()
    for day, expected in keys.items():
        assert {item.key for item in source.objects(days_of(day))} == expected
    assert source.objects(days_of("2026-02-01")) == []
    assert source.objects(days_of(DAY, NEXT)) == sorted([*source.objects(days_of(DAY)), *source.objects(days_of(NEXT))])
    assert {item.key for item in source.objects()} == set.union(*keys.values())


@pytest.mark.parametrize("prefix", ["", "logs/", "a.b/2025/01/01/copy.of/"])
def test_all_layouts_beside_each_other_are_listed_by_day_as_they_are_all_at_once(bucket: Bucket, prefix: str) -> None:
    keys = fill(bucket, list(LAYOUTS), prefix)
    source = bucket.source(prefix)
    everything = source.objects()
    assert {item.key for item in everything} == set.union(*keys.values())
    for day, expected in keys.items():
        found = source.objects(days_of(day))
        assert {item.key for item in found} == expected
        assert found == [item for item in everything if item.day == parse_day(day)]


def test_the_sites_of_tenants_are_listed_with_those_of_none(bucket: Bucket) -> None:
    below = "year=2026/month=01/day={day}/hour=10/events-2026-01-{day}-10.jsonl"
    for day in ("12", "13"):
        for folder in ("tenant=a/domain=x.example", "tenant=b/domain=y.example", "domain=z.example"):
            bucket.put(f"events/{folder}/{below.format(day=day)}")
    found = bucket.source("events").objects(days_of(DAY))
    assert [(item.tenant, item.site, item.day) for item in found] == [
        (None, "z.example", parse_day(DAY)),
        ("a", "x.example", parse_day(DAY)),
        ("b", "y.example", parse_day(DAY)),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_days_around_a_day_are_found_in_every_layout(bucket: Bucket, layout: str) -> None:
    fill(bucket, [layout], "logs/")
    bucket.put("logs-other/" + name(day="2026-02-02"))
    source = bucket.source()
    days = sorted({item.day for item in source.objects()})
    for day in [*days, *days_of("2025-12-31", "2026-02-01")]:
        assert source.has_around(day) == (any(each < day for each in days), any(each > day for each in days)), day


def test_a_listing_of_many_pages_is_whole(bucket: Bucket) -> None:
    """A server gives at most 1,000 keys at once; here three, so that pages are many."""
    for number in range(20):
        bucket.put("logs/" + name(hour=f"{number:02}", unique=f"u{number}"))
        bucket.put("logs/" + name(day=NEXT, hour=f"{number:02}"))
        bucket.put(f"logs/{number}.d/" + name())

    def small_pages(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 3

    source = bucket.source()
    source.client = boto3.client("s3", **client_options(bucket.s3))
    source.client.meta.events.register("provide-client-params.s3.ListObjectsV2", small_pages)
    assert len(source.objects(days_of(DAY))) == 40
    assert len(source.objects(days_of(NEXT))) == 20
    assert len(source.objects()) == 60


def test_an_object_that_names_no_day_is_found(bucket: Bucket) -> None:
    bucket.put(f"logs/E1.{DAY}-10.a.gz")
    assert bucket.source().undated() is None
    bucket.put("logs/folder/")
    bucket.put("logs/old/ann@example.org/access")
    assert bucket.source().undated() == "old/[email]/access"


def test_an_object_is_described_as_s3_does(bucket: Bucket) -> None:
    bucket.put("logs/" + name(), b"12345")
    (item,) = bucket.source().objects(days_of(DAY))
    head = bucket.client.head_object(Bucket=bucket.name, Key="logs/" + name())
    assert (item.key, item.size, item.etag) == (name(), 5, head["ETag"].strip('"'))
    assert item.modified == head["LastModified"]
    assert item.hour == f"{DAY}-10"


def client_options(s3: S3Options) -> dict[str, Any]:
    return {
        "endpoint_url": s3.endpoint_url,
        "region_name": s3.region,
        "aws_access_key_id": s3.access_key_id,
        "aws_secret_access_key": s3.secret_access_key,
        "config": Config(retries={"total_max_attempts": 1}),
    }


# Reading


def ingest(bucket: Bucket, lake: Lake | None = None, day: str = DAY, **arguments: Any) -> DayResult:
    return ingest_day(lake or bucket.lake(), bucket.source(), logs_of(day), OPTIONS, **arguments)


def test_new_objects_are_added_to_what_lies_on_s3(bucket: Bucket) -> None:
    for number in range(3):
        bucket.put("logs/" + name(hour=f"1{number}"), gzip.compress(log(lines(10, start=10 * number))))
        result = ingest(bucket, incremental=True)
    assert (result.reading, result.objects, result.objects_read) == ("new objects", 3, 1)
    whole = bucket.lake("whole")
    ingest(bucket, whole)
    for file in whole.files(""):
        assert bucket.lake().read_table(file.key).equals(whole.read_table(file.key)), file.key


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_an_object_that_goes_or_changes_between_listing_and_reading_is_no_verdict_on_the_day(
    bucket: Bucket, how: str
) -> None:
    for number in range(4):
        bucket.put("logs/" + name(unique=f"u{number}"), gzip.compress(log(lines(10, start=10 * number))))
    listed = bucket.source().objects(days_of(DAY))
    if how == "gone":
        bucket.client.delete_object(Bucket=bucket.name, Key="logs/" + name(unique="u1"))
    else:
        bucket.put("logs/" + name(unique="u1"), gzip.compress(log(lines(99))))
    with pytest.raises(ObjectChangedError, match=rf"u1.gz: the object has {how} since it was listed. Run the day"):
        ingest(bucket, objects=listed)
    assert bucket.lake().files("") == []
    assert ingest(bucket).published


def test_a_missing_bucket_is_explained(bucket: Bucket) -> None:
    missing = S3Source("s3://no-such-bucket-of-ours/logs", bucket.client)
    with pytest.raises(SourceError, match=r"no such bucket. Correct CLICKLAKE_LOGS"):
        ingest_day(bucket.lake(), missing, logs_of(DAY), OPTIONS)
    assert bucket.lake().files("raw") == []
    bucket.put("logs/" + name(), gzip.compress(log(lines(5))))
    with pytest.raises(LakeError, match=r"no such bucket. Create it, or correct CLICKLAKE_LAKE"):
        ingest(bucket, Lake("s3://no-such-lake-of-ours/lake", bucket.s3))


def test_a_server_that_is_down_is_worth_another_try(bucket: Bucket) -> None:
    options = client_options(replace(bucket.s3, endpoint_url="http://127.0.0.1:1"))
    source = S3Source(f"s3://{bucket.name}/logs", boto3.client("s3", **options))
    with pytest.raises(TransientError, match=r"Is http://127.0.0.1:1 reachable\?") as raised:
        source.objects(days_of(DAY))
    assert str(bucket.s3.secret_access_key) not in str(raised.value)


def test_wrong_keys_are_explained_and_never_shown(tmp_path: Path) -> None:
    with embedded_s3(tmp_path) as service:
        good = boto3.client("s3", **client_options(S3Options(*_keys(service))))
        good.create_bucket(Bucket="guarded")
        good.put_object(Bucket="guarded", Key="logs/" + name(), Body=gzip.compress(log(lines(5))))
        guard = urllib.request.Request(
            f"{service.endpoint_url}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}, method="POST"
        )
        urllib.request.urlopen(guard).close()
        wrong = S3Options(service.endpoint_url, service.region, "AKIDWRONG", "a-wrong-secret")
        source = S3Source("s3://guarded/logs", boto3.client("s3", **client_options(wrong)))
        with pytest.raises(SourceError, match=r"S3 refused these credentials \(\w+\). Check the keys") as of_source:
            source.objects(days_of(DAY))
        with pytest.raises(LakeError, match=r"S3 refused these credentials. Check the keys") as of_lake:
            Lake("s3://guarded/lake", wrong).put_text("x", "a/b")
    for message in (str(of_source.value), str(of_lake.value)):
        assert "AKIDWRONG" not in message
        assert "a-wrong-secret" not in message


def test_no_keys_at_all_are_explained(bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    client = boto3.Session().client("s3", endpoint_url=bucket.s3.endpoint_url, region_name="us-east-1")
    with pytest.raises(SourceError, match="no AWS credentials"):
        S3Source(f"s3://{bucket.name}/logs", client).objects(days_of(DAY))


def _keys(service: S3Service) -> tuple[str, str, str, str]:
    return service.endpoint_url, service.region, service.access_key_id, service.secret_access_key


@contextmanager
def cutting_proxy(endpoint: str, after: int) -> Iterator[str]:
    """Hands requests on to an S3 API; the body of an object is cut off after some bytes."""
    target = urlsplit(endpoint)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = HTTPConnection(target.hostname or "", target.port)
            connection.request("GET", self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
            self.send_response(answer.status)
            for header, value in answer.getheaders():
                if header.lower() not in ("connection", "transfer-encoding", "content-length", "server", "date"):
                    self.send_header(header, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:after] if ".gz" in self.path else body)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("whole", [True, False], ids=["fetched whole", "streamed"])
def test_a_connection_that_breaks_while_reading_is_worth_another_try(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    """Not a day that is refused: the object itself is sound."""
    if not whole:
        monkeypatch.setattr(stage, "FETCH_WHOLE_BYTES", 10)
    bucket.put("logs/" + name(), gzip.compress(log(lines(5000))))
    with cutting_proxy(str(bucket.s3.endpoint_url), 1000) as url:
        client = boto3.client("s3", **client_options(replace(bucket.s3, endpoint_url=url)))
        source = S3Source(f"s3://{bucket.name}/logs", client)
        with pytest.raises(TransientError, match=r"reading s3://.*: the connection broke"):
            ingest_day(bucket.lake(), source, logs_of(DAY), OPTIONS)
    assert bucket.lake().files("") == []
    assert ingest(bucket).rows_kept == 5000


# The lake


def test_a_file_is_put_listed_read_and_deleted(bucket: Bucket) -> None:
    lake = bucket.lake()
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    size = lake.put_table(table, "raw/t/day=1/data.parquet")
    lake.put_text("hello é", "raw/t/day=2/note.txt")
    assert lake.read_table("raw/t/day=1/data.parquet").equals(table)
    assert lake.read_text("raw/t/day=2/note.txt") == "hello é"
    first, second = lake.files("raw")
    assert (first.key, first.size, second.key) == ("raw/t/day=1/data.parquet", size, "raw/t/day=2/note.txt")
    assert lake.exists(first.key)
    assert not lake.exists("raw/t/day=1")
    assert not lake.exists("raw/t/none")
    with lake.connect() as connection:
        query = (
            f"select a, b, day from read_parquet('{lake.uri('raw/t/day=1/data.parquet')}', hive_partitioning = true)"
        )
        assert connection.execute(query).fetchall() == [(1, "x", 1), (2, None, 1)]
    lake.delete(first.key)
    lake.delete(first.key)
    assert [file.key for file in lake.files("raw")] == [second.key]
    lake.delete("raw")
    assert lake.files("raw") == lake.files("nowhere") == []
    with pytest.raises(LakeError, match=r"reading s3://.*missing.parquet"):
        lake.read_table("missing.parquet")


def test_deleting_a_folder_leaves_its_namesakes(bucket: Bucket) -> None:
    lake = bucket.lake()
    for key in ("q/day=1/a", "q/day=10/a", "q/day=1-old/a"):
        lake.put_text("x", key)
    lake.delete("q/day=1")
    assert [file.key for file in lake.files("q")] == ["q/day=1-old/a", "q/day=10/a"]


def published(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """Raw rows and rejects by key; ledgers differ by the times of the objects."""
    layers = ("raw", "rejects")
    return {file.key: lake.read_table(file.key).to_pylist() for layer in layers for file in lake.files(layer)}


def test_s3_to_s3_is_the_same_as_folder_to_folder(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    bodies = {
        name(unique="a"): gzip.compress(log([*lines(300), line(id="next", date=NEXT), b"broken"])),
        name(unique="b", hour="11"): log(lines(300, start=200, path="/c", query="oid=1")),
        name(unique="c", hour="09", distribution="E2TEST"): gzip.compress(log(lines(50, start=900)))[:-9],
    }
    for key, body in bodies.items():
        bucket.put("logs/" + key, body)
        (tmp_path / "logs" / key).write_bytes(body)
    bucket.put("logs/" + name(day=NEXT), gzip.compress(log(lines(9, date=NEXT))))
    result = ingest(bucket)
    assert (result.published, result.rows_read, result.rows_kept) == (True, 652, 551)
    local = Lake(str(tmp_path / "lake"))
    ingest_day(local, FolderSource(tmp_path / "logs"), logs_of(DAY), OPTIONS)
    assert published(bucket.lake()) == published(local)

    assert ingest(bucket).published
    assert published(bucket.lake()) == published(local)
    with bucket.lake().connect() as connection:
        views = create_views(bucket.lake(), connection)
        assert {"ledger.access_logs", "raw.access_logs", "rejects.access_logs"} <= set(views.names)
        assert views.broken == {}
        query = "select event_date::varchar, count(*) from raw.access_logs group by all order by all"
        assert connection.execute(query).fetchall() == [(DAY, 550), (NEXT, 1)]


def test_a_refused_day_leaves_the_last_good_one_and_a_good_one_clears_the_refusal(bucket: Bucket) -> None:
    lake = bucket.lake()
    bucket.put("logs/" + name(), gzip.compress(log([*lines(20), line(id="next", date=NEXT)])))
    assert ingest(bucket).published
    good = published(lake)
    bucket.put("logs/" + name(unique="bad"), gzip.compress(log([b"broken"] * 50)))
    assert not ingest(bucket).published
    assert published(lake) == good
    refused = {file.key.removeprefix(logs_of(DAY).quarantine) for file in lake.files("quarantine")}
    assert refused == {"/verdict.json", "/rejects.parquet", "/ledger.parquet"} | {
        f"/rows/event_date={date}/data.parquet" for date in (DAY, NEXT)
    }
    bucket.put("logs/" + name(), gzip.compress(log(lines(30))))
    bucket.client.delete_object(Bucket=bucket.name, Key="logs/" + name(unique="bad"))
    assert ingest(bucket).published
    assert lake.files("quarantine") == []
    assert [value_in(file.key, "event_date") for file in lake.files("raw")] == [DAY]


def test_many_small_objects_are_read_in_their_order(bucket: Bucket) -> None:
    for number in range(60):
        bucket.put(
            "logs/" + name(hour=f"{number % 24:02}", unique=f"u{number:02}"),
            gzip.compress(log(lines(3, start=3 * number))),
        )
    assert ingest(bucket).rows_kept == 180
    (file,) = bucket.lake().files("raw")
    found = bucket.lake().read_table(file.key).column("source_object").to_pylist()
    assert found == sorted(found, key=lambda key: key.split(".")[1:])
