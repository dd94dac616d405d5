"""The demo's traffic holds what it promises: checked by a plain reader of its own, then by ingest."""

from __future__ import annotations

import csv
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import boto3
import duckdb
import pytest
from moto.server import ThreadedMotoServer

from demo import traffic, visits
from demo.traffic import Day, Measures
from demo.visits import Placement
from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.day import IngestOptions, ingest_day
from ingest.source import open_source

pytestmark = pytest.mark.slow

MONDAY = date(2026, 1, 12)
ROWS = 3_000
SEED_FILE = Path(__file__).parents[2] / "demo" / "rules" / "publications.csv"
KEY = re.compile(r"E1DEMOTRAFFIC0\.(\d{4}-\d\d-\d\d)-(\d\d)\.[0-9a-f]{8}\.gz")


@pytest.fixture(scope="module")
def monday() -> Day:
    return traffic.generate_day(MONDAY, rows=ROWS)


def lines_of(body: bytes) -> list[bytes]:
    """The data lines of an object; what follows the last newline is one too."""
    text = b""
    while body:
        member = zlib.decompressobj(wbits=31)
        text += member.decompress(body)
        body = member.unused_data
    return [line for line in text.removesuffix(b"\n").split(b"\n") if not line.startswith(b"#")] if text else []


def good_rows(day: Day) -> Iterator[tuple[str, list[str]]]:
    """Key and fields of the lines that are whole, of the objects that are there on time."""
    for key, body in day.objects.items():
        for line in lines_of(body):
            fields = line.split(b"\t")
            if len(fields) == 33:
                yield key, [value.decode() for value in fields]


def test_same_seed_gives_same_bytes(monday: Day) -> None:
    again = traffic.generate_day(MONDAY, rows=ROWS)

    assert again.objects == monday.objects
    assert again.late == monday.late
    assert traffic.generate_day(MONDAY, seed=8, rows=ROWS).objects != monday.objects


def test_size_is_about_what_was_asked_for(monday: Day) -> None:
    assert ROWS * 0.8 < monday.truth.rows_read < ROWS * 1.2
    saturday = traffic.generate_day(MONDAY + timedelta(days=5), rows=ROWS)
    assert saturday.truth.rows_read < monday.truth.rows_read


def test_too_few_rows_for_all_that_goes_wrong_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 2,000"):
        traffic.generate_day(MONDAY, rows=500)


def test_objects_are_named_for_day_and_hour_of_their_requests(monday: Day) -> None:
    for key, fields in good_rows(monday):
        match = KEY.fullmatch(key)
        assert match
        if fields[0] == match[1]:
            assert fields[1][:2] == match[2] or fields[1] == "27:61:00"

    strays = Counter(fields[0] for _, fields in good_rows(monday) if fields[0] != "2026-01-12")
    assert strays == {"2026-01-13": traffic.NEXT_DAY_ROWS, "20yy-01-12": 2, "1999-12-31": 2}


def test_truth_is_what_a_plain_count_gives(monday: Day) -> None:
    truth = monday.truth
    assert truth.objects == len(monday.objects)
    assert truth.rows_read == sum(len(lines_of(body)) for body in monday.objects.values())
    assert truth.rows_read == truth.rows_kept + truth.duplicates + sum(truth.broken.values())

    rows = [
        fields for _, fields in good_rows(monday) if re.fullmatch(r"2026-01-1[23]\d\d:(?!61).*", fields[0] + fields[1])
    ]
    kept = {
        tuple(fields[14:15]) if fields[14] != "-" else (number,): fields
        for number, fields in enumerate(rows)
        if fields[8] != "-"
    }
    assert len(kept) == truth.rows_kept
    paths = Counter(fields[7] for fields in kept.values())
    assert (paths["/pxl.png"], paths["/c"]) == (truth.impressions, truth.clicks)


def test_everything_that_goes_wrong_is_there(monday: Day) -> None:
    truth = monday.truth
    expected = dict.fromkeys(traffic.BROKEN_LINES, traffic.BROKEN_OF_EACH) | {traffic.CUT_LINE: 1}
    assert truth.broken == expected
    assert truth.duplicates == traffic.DUPLICATES
    assert truth.next_day_rows == traffic.NEXT_DAY_ROWS

    bodies = list(monday.objects.values())
    assert bodies.count(b"") == 1
    assert [lines_of(body) for body in bodies if body].count([]) == 1
    members = [zlib.decompressobj(wbits=31) for _ in bodies]
    first = [member.decompress(body) for member, body in zip(members, bodies, strict=True)]
    assert all(first[n] for n, body in enumerate(bodies) if body)
    assert sum(bool(member.unused_data) for member in members) == 1  # two members in one object
    assert sum(not member.eof for member in members) == 2  # the one that is cut off, and the empty one

    rows = [fields for _, fields in good_rows(monday)]
    assert sum(fields[14] == "-" for fields in rows) == traffic.WITHOUT_ID
    assert sum(fields[3] == "many" for fields in rows) == traffic.UNREADABLE_NUMBERS
    clicks = Counter(fields[4] for fields in rows if fields[7] == "/c")
    assert clicks[traffic.FLOOD_ADDRESS] == traffic.FLOOD_CLICKS
    assert clicks[traffic.REPEAT_ADDRESS] == traffic.REPEAT_CLICKS


def test_late_object_belongs_to_its_old_day(monday: Day) -> None:
    (key,) = monday.late
    assert key.startswith(f"E1DEMOTRAFFIC0.2026-01-12-{traffic.LATE_HOUR}.")
    assert key not in monday.objects
    late_rows = len(lines_of(monday.late[key]))
    assert monday.truth_with_late.rows_read == monday.truth.rows_read + late_rows
    assert monday.truth_with_late.rows_kept == monday.truth.rows_kept + late_rows - traffic.LATE_DUPLICATES


def test_addresses_of_people_are_in_the_logs(monday: Day) -> None:
    """Else a search of the lake for them would prove nothing."""
    from urllib.parse import unquote

    text = "\n".join("\t".join(fields) for _, fields in good_rows(monday))
    for _ in range(3):
        text = unquote(text)
    for private in (*traffic.EMAILS, *traffic.PHONES):
        assert private in text


def test_publication_codes_are_those_of_the_seed_but_for_the_unmapped() -> None:
    with SEED_FILE.open(encoding="utf-8") as file:
        mapped = {row["publication_code"] for row in csv.DictReader(file)}
    assert set(visits.PUBLICATIONS) == mapped
    assert not mapped & set(visits.UNMAPPED_PUBLICATIONS)


def test_bad_day_is_mostly_unreadable() -> None:
    day = traffic.generate_bad_day(MONDAY, rows=ROWS)
    assert day.truth.broken[traffic.SPACE_SEPARATED] > 0.8 * day.truth.rows_read
    assert day.truth.rows_kept == sum(1 for _ in good_rows(day)) > 0


def test_aggregates_count_requests_and_distinct_addresses() -> None:
    ad = Placement("1", "c", "p", "website", "7", "300x250")
    seen = [
        traffic.AdRequest(MONDAY, ad, is_click, address)
        for is_click, address in [(False, "a"), (False, "a"), (False, "b"), (True, "b"), (True, "b")]
    ]
    tuesday = traffic.AdRequest(MONDAY + timedelta(days=1), ad, False, "a")
    truths = [traffic.Truth(ad_requests=tuple(seen[:2])), traffic.Truth(ad_requests=(*seen[2:], tuesday))]

    assert traffic.expected_aggregates(truths) == {
        (MONDAY, ad): Measures(impressions=3, clicks=2, unique_clicks=1, unique_ips=2),
        (MONDAY + timedelta(days=1), ad): Measures(impressions=1, clicks=0, unique_clicks=0, unique_ips=1),
    }


def test_s3_and_folder_get_the_same_objects(monday: Day, tmp_path: Path) -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_bucket(Bucket="logs")
        uploaded = traffic.write_days([monday], traffic.to_s3(client, "logs"), "cf/prod/")
        listed = client.list_objects_v2(Bucket="logs")["Contents"]
        stored = {item["Key"]: client.get_object(Bucket="logs", Key=item["Key"])["Body"].read() for item in listed}
    finally:
        server.stop()
    written = traffic.write_days([monday], traffic.to_folder(tmp_path), "cf/prod/")

    assert uploaded == written == [f"cf/prod/{key}" for key in monday.objects]
    assert stored == {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.gz")}


def test_ingest_finds_exactly_the_truth(tmp_path: Path) -> None:
    days = [traffic.generate_day(MONDAY + timedelta(days=n), rows=ROWS) for n in range(2)]
    put = traffic.to_folder(tmp_path / "logs")
    for late in (False, True):
        traffic.write_days(days, put, late=late)
        truths = [day.truth_with_late if late else day.truth for day in days]
        for day, truth in zip(days, truths, strict=True):
            result = ingest_day(
                Lake(str(tmp_path / "lake")),
                open_source(str(tmp_path / "logs")),
                Partition("access_logs", day.day),
                IngestOptions("k" * 32),
            )
            assert result.published, result.reason
            counts = (result.objects, result.rows_read, result.rows_kept, result.rows_duplicate)
            assert counts == (truth.objects, truth.rows_read, truth.rows_kept, truth.duplicates)
            assert result.rejects_by_reason == reasons(truth)
        assert aggregates(tmp_path / "lake") == traffic.expected_aggregates(truths)


def reasons(truth: traffic.Truth) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for kind, count in truth.broken.items():
        counted[traffic.BROKEN_LINES[kind][0] if kind in traffic.BROKEN_LINES else kind] += count
    return dict(counted)


def aggregates(lake: Path) -> dict[tuple[date, Placement], Measures]:
    query = f"""
        select
            cast(event_ts as date), order_id, campaign_id, publication_code, channel, creative_id, ad_size,
            count(*) filter (request_type = 'impression'),
            count(*) filter (request_type = 'click'),
            count(distinct ip_hash) filter (request_type = 'click'),
            count(distinct ip_hash) filter (request_type = 'impression')
        from read_parquet('{lake}/raw/access_logs/*/*/*.parquet')
        where request_type <> 'other'
        group by all
    """
    with duckdb.connect() as connection:
        rows = connection.execute(query).fetchall()
    return {(row[0], Placement(*row[1:7])): Measures(*row[7:]) for row in rows}
