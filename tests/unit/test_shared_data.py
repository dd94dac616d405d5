"""Real cases that nobody of this project wrote, read where they lie beside the project."""

from __future__ import annotations

import gzip
import json
import logging
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.lake.files import Lake
from ingest.lake.layout import Partition
from ingest.partition.day import ingest_day
from ingest.rows.encoding import decode_once, decode_parameter
from ingest.rows.enrich import Geo
from ingest.rows.privacy import keyed_hash, scrub
from ingest.source import FolderSource
from tests.log_lines import HASH_KEY, OPTIONS, LogDay, assert_accounted, line, log

SHARED = Path(__file__).parents[3] / "shared" / "data"
HASH = keyed_hash(HASH_KEY)

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not beside the project")


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path).allow_rejects()


def json_lines(path: Path) -> list[dict[str, Any]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return [json.loads(row) for row in text.splitlines()]


# Real requests


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, Any]], list[Any]]:
    """(rows by request id, results of the days)."""
    lake = Lake(str(tmp_path_factory.mktemp("real") / "lake"))
    source = FolderSource(SHARED / "access_logs" / "real_requests")
    results = [
        ingest_day(lake, source, Partition("access_logs", day), OPTIONS)
        for day in sorted({item.day for item in source.objects()})
    ]
    rows = [row for file in lake.files("raw") for row in lake.read_table(file.key).to_pylist()]
    assert len(rows) == len({row["request_id"] for row in rows})
    return {row["request_id"]: row for row in rows}, results


def test_every_real_request_is_kept(real: tuple[dict[str, dict[str, Any]], list[Any]]) -> None:
    rows, results = real
    assert all(result.published for result in results), [result.reason for result in results]
    assert [(result.rows_rejected, result.rows_duplicate) for result in results] == [(0, 0)] * len(results)
    assert sum(result.objects for result in results) == 38
    expected = json_lines(SHARED / "access_logs" / "real_requests" / "expected.jsonl.gz")
    assert len(expected) == 4525
    assert set(rows) == {request["request_id"] for request in expected}


def test_every_real_request_is_what_the_client_sent(real: tuple[dict[str, dict[str, Any]], list[Any]]) -> None:
    rows, _ = real
    for request in json_lines(SHARED / "access_logs" / "real_requests" / "expected.jsonl.gz"):
        row = rows[request["request_id"]]
        found = {
            "request_id": row["request_id"],
            "ts": row["event_ts"].isoformat() + "+00:00",
            "ip": row["ip_hash"],
            "subnet24": row["subnet_hash"],
            "method": row["method"],
            "path": row["path"],
            "query": None if row["query"] is None else decode_once(row["query"]),
            "status": row["status"],
            "bytes": row["bytes_sent"],
            "referrer": row["referrer"],
            "user_agent": row["user_agent"],
        }
        expected = request | {"ip": HASH(request["ip"]), "subnet24": HASH(request["subnet24"])}
        for name in (
            "path",
            "query",
            "referrer",
            "user_agent",
        ):  # where a person's address or number stood, a marker stands
            expected[name] = expected[name] and scrub(expected[name])
        assert found == expected


def test_few_real_links_hold_what_must_be_scrubbed() -> None:
    """So that the comparison above compares what was sent."""
    expected = json_lines(SHARED / "access_logs" / "real_requests" / "expected.jsonl.gz")
    texts = [request[name] for request in expected for name in ("path", "query", "referrer") if request[name]]
    assert sum(scrub(text) != text for text in texts) <= 10


# Files of CloudFront


@pytest.mark.parametrize(
    ("name", "date", "ids", "row"),
    [
        ("web-1-0.txt", "2014-05-23", ["MRVMF7KydIvxMWfJIglgwHQwZsbG2IhRJ07sn9AkKUFSHS9EXAMPLE==",
                                       "xGN7KWpVEmB9Dp7ctcVFQC4E-nrcOcEKS3QyAez--06dV7TEXAMPLE=="],
         {"event_ts": datetime(2014, 5, 23, 1, 13, 12), "edge_location": "LAX1", "bytes_sent": 2390282, "method": "GET",
          "host": "d111111abcdef8.cloudfront.net", "path": "/soundtrack/happy.mp3", "status": 304, "query": "a=b&c=d",
          "referrer": "www.unknownsingers.com", "time_taken": 0.002, "bytes_received": None, "protocol": "http",
          "protocol_version": "HTTP/1.1", "client_port": None, "edge_result_type": "Hit", "os_family": "iOS",
          "ip_hash": HASH("192.0.2.202"), "request_type": "other", "device_category": "mobile"}),
        ("web-1-0-2019-12.txt", "2019-12-04", ["SOX4xwn4XV6Q4rgb7XiVGOHms_BGlTAC4KyHmureZmBNrjGdRLiNIQ==",
                                               "k6WGMNkEzR5BEM_SaF47gjtX9zBDO2m349OY2an0QPEaUum1ZOLrow==",
                                               "f37nTMVvnKvV2ZSvEsivup_c2kZ7VXzYdjC-GUQZ5qNs-89BlWazbw=="],
         {"event_ts": datetime(2019, 12, 4, 21, 2, 31), "edge_location": "LAX1", "bytes_sent": 392, "method": "GET",
          "path": "/index.html", "status": 200, "query": None, "referrer": None, "time_taken": 0.001,
          "bytes_received": 23, "protocol": "https", "protocol_version": "HTTP/2.0", "ssl_protocol": "TLSv1.2",
          "ssl_cipher": "ECDHE-RSA-AES128-GCM-SHA256", "client_port": 11040, "time_to_first_byte": 0.001,
          "content_type": "text/html", "content_length": 78, "range_start": None, "edge_detailed_result_type": "Hit",
          "ip_hash": HASH("192.0.2.100"), "browser_family": "Chrome", "os_family": "Windows"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ends", [False, True])
def test_files_of_cloudfront(
    tmp_path: Path, name: str, date: str, ids: list[str], row: dict[str, Any], ends: bool
) -> None:
    body = (SHARED / "access_logs" / "cloudfront_fixtures" / name).read_bytes()
    day = LogDay(tmp_path, date)
    day.add(body.rstrip(b"\n") + (b"\n" if ends else b""))
    rows = day.publish()
    assert [found["request_id"] for found in rows] == ids
    assert {column: rows[-1][column] for column in row} == row
    assert rows[-1]["user_agent"].startswith("Mozilla/5.0 (")
    assert "%" not in rows[-1]["user_agent"]
    assert day.rejects() == []


# Bad lines

KEPT = "kept"
EXPECTED = {
    # Broken for a tracker, whose payload they carry; as requests they are sound.
    "BadTrackerCfLinesSpec": [KEPT, KEPT, KEPT],
    "UnsupportedPayloadCfLinesSpec": [KEPT],
    "CorruptedCfLinesSpec": ["bad_timestamp"],
    "InvalidCfLinesSpec": ["empty_line", "bad_timestamp", "missing_path"],
    "DiscardableCfLinesSpec": [],
}


@pytest.mark.parametrize("spec", EXPECTED)
def test_bad_lines_are_kept_or_rejected_with_their_reason(tmp_path: Path, spec: str) -> None:
    cases = {case["spec"]: case["lines"] for case in json_lines(SHARED / "access_logs" / "bad_lines" / "lines.jsonl")}
    assert set(cases) == set(EXPECTED)
    day = LogDay(tmp_path, "2012-05-24").allow_rejects()
    day.add("".join(text + "\n" for text in cases[spec]).encode())
    result = day.ingest()
    assert result.published
    assert result.rows_read == len(EXPECTED[spec])
    assert result.rejects_by_reason == Counter(reason for reason in EXPECTED[spec] if reason != KEPT)
    found = {row["source_line"]: KEPT for row in day.rows()} | day.reasons()
    assert [found[number] for number in sorted(found)] == EXPECTED[spec]
    assert_accounted(day)


def test_bad_lines_all_in_one_file_do_not_spoil_each_other(tmp_path: Path) -> None:
    cases = {case["spec"]: case["lines"] for case in json_lines(SHARED / "access_logs" / "bad_lines" / "lines.jsonl")}
    day = LogDay(tmp_path, "2012-05-24").allow_rejects()
    day.add("".join(text + "\n" for spec in EXPECTED for text in cases[spec]).encode())
    day.ingest()
    found = {row["source_line"]: KEPT for row in day.rows()} | day.reasons()
    assert [found[number] for number in sorted(found)] == [kind for spec in EXPECTED for kind in EXPECTED[spec]]
    assert not any(
        address in text for text in day.texts() for address in ("74.125.17.210", "213.52.50.8", "83.4.209.35")
    )


# Encoding


def encoding_cases(group: str) -> list[tuple[str, str, str]]:
    path = SHARED / "access_logs" / "bad_lines" / "encoding_cases.json"
    return json.loads(path.read_text())[group] if path.exists() else []


@pytest.mark.parametrize(("name", "logged", "one_layer_less"), encoding_cases("single_encode_pcts"))
def test_parameters_read_from_either_form_are_equal(name: str, logged: str, one_layer_less: str) -> None:
    either = [[part.partition("=") for part in form.split("&")] for form in (logged, one_layer_less)]
    for parts in zip(*either, strict=True):
        (first, _, first_value), (second, _, second_value) = parts
        assert decode_parameter(first) == decode_parameter(second)
        assert decode_parameter(first_value) == decode_parameter(second_value)


def test_columns_read_from_either_form_are_equal(day: LogDay) -> None:
    """Each value of each case as landing URL and as channel of a click."""
    expected = []
    rows = []
    for _, logged, one_layer_less in encoding_cases("single_encode_pcts"):
        for form in (logged, one_layer_less):
            values = [part.partition("=")[2] or part for part in form.split("&")]
            rows += [line(path="/c", query=f"r={value}&ch={value}&{form}") for value in values]
        expected.append((len(rows), values))
    day.add(log(rows))
    found = [(row["landing_url"], row["channel"]) for row in day.publish()]
    start = 0
    for end, values in expected:
        half = (end - start) // 2
        assert half == len(values)
        assert found[start : start + half] == found[start + half : end]
        start = end
    assert ("http://www.psychicbazaar.com/tarot-cards/48-celestial-tarot.html",) * 2 in found
    assert ("Europe/London",) * 2 in found


def test_a_trailing_percent_sign_stays(day: LogDay) -> None:
    """Others cut it off; here malformed escapes stay as they are."""
    cases = [logged for _, logged, _ in encoding_cases("clean_uri") if logged]
    day.add(log([line(path="/c", query=f"r={logged}", referrer=logged) for logged in cases]))
    assert [(row["landing_url"], row["referrer"]) for row in day.publish()] == [(logged, logged) for logged in cases]


# Places


def places(database: str) -> list[dict[str, Any]]:
    return [row for row in json_lines(SHARED / "geoip" / "expected.jsonl") if row["db"] == database]


def test_places_of_the_city_database(day: LogDay) -> None:
    cases = places("GeoLite2-City-Test")
    assert len(cases) == 60
    day.options = replace(day.options, geoip_database=SHARED / "geoip" / "GeoLite2-City-Test.mmdb")
    day.add(log([*(line(ip=case["ip"]) for case in cases), line(ip="-"), line(ip="203.0.113.1")]))
    found = [(row["country"], row["region"], row["city"]) for row in day.publish()]
    nowhere = [(None, None, None)] * 2
    assert found == [(case["country"], case["region"], case["city"]) for case in cases] + nowhere
    assert sum(country is not None for country, _, _ in found) > 30
    assert any(region and city for _, region, city in found)


def test_a_database_without_places_gives_none(day: LogDay, caplog: pytest.LogCaptureFixture) -> None:
    cases = places("GeoLite2-ASN-Test")
    day.options = replace(day.options, geoip_database=SHARED / "geoip" / "GeoLite2-ASN-Test.mmdb")
    day.add(log([line(ip=case["ip"]) for case in cases]))
    assert {(row["country"], row["region"], row["city"]) for row in day.publish()} == {(None, None, None)}
    (warning,) = caplog.records
    assert "'GeoLite2-ASN', not City or Country" in warning.getMessage()


def test_a_database_that_is_broken_in_the_middle_gives_what_it_can(
    day: LogDay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = bytearray((SHARED / "geoip" / "GeoLite2-City-Test.mmdb").read_bytes())
    data[12_000:15_000] = b"\xff" * 3_000
    (tmp_path / "broken.mmdb").write_bytes(data)
    cases = places("GeoLite2-City-Test")
    day.options = replace(day.options, geoip_database=tmp_path / "broken.mmdb")
    day.add(log([line(ip=case["ip"]) for case in cases]))
    rows = day.publish()
    known = sum(row["country"] is not None for row in rows)
    assert 0 < known < len(cases)
    assert all(row["country"] in (None, case["country"]) for row, case in zip(rows, cases, strict=True))
    (warning,) = caplog.records
    assert "broken.mmdb" in warning.getMessage()


@pytest.mark.parametrize(
    "database", [SHARED / "geoip" / "corrupt.mmdb", SHARED / "geoip" / "none.mmdb", SHARED / "README.md", SHARED]
)
def test_a_database_that_cannot_be_read_costs_one_warning(
    day: LogDay, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    day.options = replace(day.options, geoip_database=database)
    for number in range(4):
        day.add(
            log(
                [
                    line(ip=case["ip"], id=case["ip"] + case["db"])
                    for case in json_lines(SHARED / "geoip" / "expected.jsonl")
                ]
            ),
            f"{number}",
        )
    with caplog.at_level(logging.INFO):
        rows = day.publish()
    assert len(rows) == 120
    assert {(row["country"], row["region"], row["city"]) for row in rows} == {(None, None, None)}
    assert all(row["ip_hash"] for row in rows)
    (warning,) = caplog.records
    assert warning.levelname == "WARNING"
    assert str(database) in warning.getMessage()


def test_what_is_no_address_or_of_the_other_version_is_nowhere() -> None:
    assert Geo(SHARED / "geoip" / "GeoLite2-City-Test.mmdb").look_up("not an address") == (None, None, None)
    assert Geo(SHARED / "geoip" / "corrupt.mmdb").look_up("2001:280::") == (None, None, None)


# Links


def test_no_link_crashes_anything(day: LogDay) -> None:
    cases = [
        case["input"]
        for case in json.loads((SHARED / "urls" / "urltestdata.json").read_text())
        if isinstance(case, dict)
    ]
    assert len(cases) > 500
    forms = [text.encode("utf-8", "surrogatepass").replace(b"\t", b"%09").replace(b"\n", b"%0A") for text in cases]
    rows = []
    for number, form in enumerate(forms):
        usual = line(id=f"{number}", path="/c", referrer="REF", query="oid=7&r=LINK&ch=x")
        rows.append(usual.replace(b"REF", form).replace(b"LINK", form.replace(b"&", b"%26")))
    day.add(log(rows))
    result = day.ingest()
    assert (result.rows_kept, result.rows_rejected) == (len(cases), 0)
    for row in day.rows():
        text = cases[int(row["request_id"])].encode("utf-8", "replace").decode()
        assert (row["order_id"], row["channel"]) == ("7", "x")
        if "%" not in text and "\r" not in text and text and "?" not in text and text != "-":
            assert row["referrer"] == scrub(text), text
            if "+" not in text:
                assert row["landing_url"] == scrub(text), text
