"""Events of four shapes: what becomes of each field, and of everything that is not as it should be."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.events.addresses import CLICK_IDS, CLICK_MARKS, OWN_CLICK_IDS
from ingest.events.parser import EVENT_REASONS
from ingest.native import library
from tests.event_lines import DAY, SITE, Events, lenient, line, pixel, reasons
from tests.partitions import days_of

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"


@pytest.fixture(params=["a query for each structure", "the general way", "the native core"])
def events(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Events:
    """Structures of many lines are read by a query of their own, others together, and ordinary lines by the core: all
    must read alike."""
    monkeypatch.setattr(library, "_chosen", library.AUTO)
    is_native = request.param == "the native core"
    if is_native and library.core() is None:
        pytest.skip("no native core is compiled here")
    monkeypatch.setattr("ingest.events.native.MOST_ODD", 1)
    monkeypatch.setattr("ingest.events.parser.MIN_LINES", 1 if request.param.startswith("a query") else 1_000_000)
    return Events(tmp_path, library.NATIVE if is_native else library.PYTHON)


def test_a_pixel_event_becomes_a_row(events: Events) -> None:
    (row,) = events.take(
        {
            "eventType": "pageview",
            "timestamp": f"{DAY}T17:34:14.123Z",
            "sessionId": "sess_abc",
            "visitorId": "vis_xyz",
            "siteId": "example-com",
            "url": "https://WWW.Example.com/products/widget?x=1#top",
            "path": "/elsewhere",
            "page": {
                "title": "Amazing Widget",
                "referrer": "https://Google.com/search?q=w",
                "queryParams": "?utm_source=google&utm_medium=cpc",
                "hash": "#reviews",
            },
            "attribution": {
                "firstTouch": {"source": "bing", "campaign": "spring", "utmParams": {"utm_campaign": "sale"}}
            },
            "browser": {
                "userAgent": CHROME,
                "language": "en-US",
                "screenWidth": 1920,
                "screenHeight": "1080",
                "viewportWidth": 1440,
                "timezone": "America/Los_Angeles",
            },
            "ip": "203.0.113.9",
            "gpc": True,
            "eventData": {"value": "12.50", "currency": "usd"},
            "theme": {"dark": True},
        }
    )
    assert row["event_ts"] == dt.datetime(2026, 1, 12, 17, 34, 14, 123000)
    assert (row["event_type"], row["shape"], row["site_id"], row["declared_site_id"]) == (
        "page_view",
        "pixel",
        SITE,
        "example-com",
    )
    assert (row["visitor_id"], row["client_session_id"]) == ("vis_xyz", "sess_abc")
    assert (row["host"], row["path"], row["page_title"]) == ("www.example.com", "/products/widget", "Amazing Widget")
    assert (row["referrer"], row["referrer_host"]) == ("https://Google.com/search?q=w", "google.com")
    assert (row["utm_source"], row["utm_medium"], row["utm_campaign"]) == ("google", "cpc", None)
    assert (row["language"], row["timezone"]) == ("en-US", "America/Los_Angeles")
    assert (row["screen_width"], row["screen_height"]) == (1920, 1080)
    assert (row["device_category"], row["browser_family"], row["os_family"], row["is_bot"]) == (
        "desktop",
        "Chrome",
        "Windows",
        False,
    )
    assert (row["revenue"], row["currency"], row["gpc"], row["opted_out"]) == (Decimal("12.5"), "USD", True, None)
    assert len(row["ip_hash"]) == len(row["subnet_hash"]) == len(row["event_id"]) == 32
    assert row["device_fingerprint"]
    assert json.loads(row["properties"]) == {
        "page": {"hash": "#reviews"},
        "attribution": {"firstTouch": {"source": "bing", "campaign": "spring", "utmParams": {"utm_campaign": "sale"}}},
        "browser": {"viewportWidth": 1440},
        "eventData": {"value": "12.50", "currency": "usd"},
        "theme": {"dark": True},
    }


TOUCH = {"firstTouch": {"source": "news", "medium": "email", "utmParams": {"utm_campaign": "weekly"}}}


@pytest.mark.parametrize(
    ("url", "query", "expected"),
    [
        ("https://e.example/", None, ("news", "email", "weekly", None)),
        ("https://e.example/", "?utm_source=sent", ("sent", None, None, None)),
        ("https://e.example/?utm_medium=url", "?utm_source=sent", (None, "url", None, None)),
        ("https://e.example/?gclid=G", "?utm_source=sent", (None, None, None, "G")),
        ("https://e.example/?x=1", "?gclid=S", (None, None, None, "S")),
    ],
)
def test_campaigns_are_never_mixed(
    events: Events, url: str, query: str | None, expected: tuple[str | None, ...]
) -> None:
    (row,) = events.take(pixel(url=url, page={"queryParams": query}, attribution=TOUCH))
    assert (row["utm_source"], row["utm_medium"], row["utm_campaign"], row["click_id"]) == expected


def test_of_several_fields_an_empty_one_does_not_count(events: Events) -> None:
    (row,) = events.take(pixel(page={"title": ""}, eventData={"title": "A title"}))
    assert row["page_title"] == "A title"


def test_the_other_shapes(events: Events) -> None:
    rows = events.take(
        {
            "event_id": "evt_1",
            "customer_id": 42,
            "session_id": "sess_1",
            "visitor_id": "visitor_1",
            "event_type": "page_view",
            "page_url": "https://example.com/page?gclid=abc",
            "event_data": {"title": "Page", "referrer": "https://google.com"},
            "timestamp": f"{DAY}T12:00:00+02:00",
        },
        {
            "event_type": "purchase",
            "device_id": "d1",
            "custom_user_id": "u1",
            "gaid": "00000000-0000-0000-0000-000000000000",
            "idfa": "A-1",
            "bundle_id": "com.example.app",
            "version": "1.2.3",
            "locale": "en-US",
            "campaign_id": 7,
            "value": 19.9,
            "currency": "USD",
            "timestamp": 1768212000000,
        },
        {"user_id": "u1", "created_at": f"{DAY} 10:00:01", "event": "Page View", "page": "/", "properties": {"a": [1]}},
        {
            "user_id": None,
            "created_at": "1768212002",
            "event": "x",
            "page": "https://example.com/y?utm_source=News+Letter",
        },
    )
    site, app, path, address = rows
    assert (site["event_id"], site["user_id"], site["client_session_id"], site["visitor_id"], site["page_title"]) == (
        "evt_1",
        None,
        "sess_1",
        "visitor_1",
        "Page",
    )
    assert (site["declared_tenant_id"], site["tenant_id"]) == ("42", None)
    assert site["event_ts"] == dt.datetime(2026, 1, 12, 10)
    assert (site["click_id"], site["click_id_kind"], site["referrer_host"]) == ("abc", "gclid", "google.com")
    assert (app["device_id"], app["user_id"], app["advertising_id"], app["campaign_id"]) == ("d1", "u1", "A-1", "7")
    assert (app["revenue"], app["declared_site_id"], app["event_ts"]) == (
        Decimal("19.9"),
        "com.example.app",
        dt.datetime(2026, 1, 12, 10),
    )
    assert json.loads(app["properties"]) == {"version": "1.2.3"}
    assert (path["path"], path["host"], path["event_type"]) == ("/", SITE, "page_view")
    assert json.loads(path["properties"]) == {"properties": {"a": [1]}}
    assert (address["path"], address["host"], address["utm_source"], address["user_id"]) == (
        "/y",
        "example.com",
        "News Letter",
        None,
    )
    assert [row["shape"] for row in rows] == ["site", "app", "clickstream", "clickstream"]


def test_a_batch_becomes_its_events_which_inherit_what_they_lack(events: Events) -> None:
    batch = pixel(
        eventType="batch",
        eventId="same for all",
        page={"title": "Parent"},
        events=[
            {"eventType": "click", "eventData": {"x": 1}},
            {"eventType": "scroll", "timestamp": f"{DAY}T10:00:05Z", "page": {"title": "Child"}},
            {"eventType": "click", "timestamp": None},
            {"timestamp": f"{DAY}T10:00:05Z"},
            "no object",
            {"eventType": "batch", "events": []},
            {"eventType": 5},
        ],
    )
    rows = events.take(batch, pixel(eventType="batch", events=[]))
    assert [(row["batch_index"], row["event_type"], row["page_title"], row["event_ts"].second) for row in rows] == [
        (0, "click", "Parent", 0),
        (1, "scroll", "Child", 5),
        (2, "click", "Parent", 0),
    ]
    assert len({row["event_id"] for row in rows}) == 3
    assert {row["visitor_id"] for row in rows} == {"vis_1"}
    assert reasons(events.rejects()) == [(1, reason) for reason in ("unknown_shape",) * 2 + ("schema",) * 2] + [
        (2, "empty_batch")
    ]


def test_a_batch_of_ten_thousand(events: Events) -> None:
    children = [{"eventType": "click", "eventData": {"n": n}} for n in range(10_000)]
    rows = events.take(pixel(eventType="batch", events=children))
    assert [json.loads(row["properties"])["eventData"]["n"] for row in rows] == list(range(10_000))
    assert len({row["event_id"] for row in rows}) == 10_000


def test_every_line_that_cannot_be_used_is_a_reject_with_its_reason(events: Events) -> None:
    good = pixel()
    bad = [
        (b"not json", "bad_json"),
        (b'{"eventType":"click","siteId":"s"', "bad_json"),
        (b'{"eventType":"\xff","siteId":"s","timestamp":1}', "bad_json"),
        (b'{"eventType":"a\\ud800","siteId":"s","timestamp":1768212000}', "bad_json"),
        (b"", "empty_line"),
        (b"  ", "empty_line"),
        (b"17", "unknown_shape"),
        (b"[1, 2]", "unknown_shape"),
        (b"{}", "unknown_shape"),
        (line({"event_type": "click", "timestamp": 1}), "unknown_shape"),
        (line(pixel(schema_version=9)), "unknown_version"),
        (line(pixel(eventType=1)), "schema"),
        (line(pixel(eventType=None)), "schema"),
        (line(pixel(eventType="")), "schema"),
        (line(pixel(page="a title")), "schema"),
        (line(pixel(visitorId=["v"])), "schema"),
        (line(pixel(visitorId="v" * 600)), "schema"),
        (line({"eventType": "click", "siteId": "s"}), "schema"),
        (line(pixel(timestamp="yesterday")), "bad_timestamp"),
        (line(pixel(timestamp=f"{DAY}")), "bad_timestamp"),
        (line(pixel(timestamp="2026-02-30T10:00:00Z")), "bad_timestamp"),
        (line(pixel(timestamp="infinity")), "bad_timestamp"),
        (line(pixel(timestamp=f"{DAY}T10:00:00+99:99")), "bad_timestamp"),
        (line(pixel(timestamp=f"{DAY} 10:00:00 -24")), "bad_timestamp"),
        (line(pixel(timestamp=f"{DAY}T10:00:00+01:60")), "bad_timestamp"),
        (line(pixel(timestamp=f"{DAY}T10:00:00Z".replace("2026", "2030"))), "in_future"),
        (line(pixel(timestamp="2020-01-12T10:00:00Z")), "too_old"),
        (b'{"eventType":"c","siteId":"s","timestamp":1768212000,"a":' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep"),
        (line(pixel(eventData={"text": "x" * (2 << 20)})), "line_too_long"),
        (b"{" * 10_000_000, "line_too_long"),
    ]
    rows = events.take(good, *(text for text, _ in bad), good | {"eventId": "last"})
    assert [row["source_line"] for row in rows] == [1, len(bad) + 2]
    assert reasons(events.rejects()) == [(number, reason) for number, (_, reason) in enumerate(bad, start=2)]
    assert {reason for _, reason in bad} <= set(EVENT_REASONS)
    details = {each["source_line"]: each["detail"] for each in events.rejects() if each["reason"] == "schema"}
    assert list(details.values()) == [
        "eventType: is a number, not string",
        "eventType: is null, not string",
        "eventType: shorter than 1",
        "page: is a string, not object or null",
        "visitorId: is an array, not string or integer or null",
        "visitorId: longer than 512",
        "timestamp: missing",
    ]
    assert all(len(each["line"].encode()) <= 8 << 10 for each in events.rejects())


@pytest.mark.parametrize("hour", [0, 10, 23])
def test_the_future_begins_24_hours_after_the_hour_of_receipt(events: Events, hour: int) -> None:
    received_until = dt.datetime(2026, 1, 12, hour) + dt.timedelta(hours=1)
    last = received_until + dt.timedelta(hours=24)
    times = [last, last + dt.timedelta(milliseconds=1)]
    events.write(*(pixel(timestamp=f"{time.isoformat(timespec='milliseconds')}Z") for time in times), hour=hour)
    events.ingest(options=lenient())
    assert reasons(events.rejects()) == [(2, "in_future")]
    assert [row["event_ts"] for row in events.rows()] == [last]


def test_late_and_early_events_lie_under_their_own_day(events: Events) -> None:
    events.write(pixel(timestamp="2026-01-09T23:59:59.999Z"), pixel(), pixel(timestamp="2026-01-13T00:00:00Z"))
    result = events.ingest()
    assert result.rows_by_event_date == dict.fromkeys(days_of("2026-01-09", "2026-01-12", "2026-01-13"), 1)
    assert result.touched_days == days_of("2026-01-09", "2026-01-13")


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-12T10:00:00Z",
        "2026-01-12T10:00:00",
        "2026-01-12 10:00:00+00",
        "2026-01-12T05:00:00-05:00",
        1768212000,
        1768212000.0,
        "1768212000",
        1768212000000,
        "1768212000000",
        1768212000000000,
    ],
)
def test_times_are_read_in_every_usual_way(events: Events, time: Any) -> None:
    (row,) = events.take(pixel(timestamp=time))
    assert row["event_ts"] == dt.datetime(2026, 1, 12, 10)


@pytest.mark.parametrize(
    "placeholder", ["null", "undefined", " NaN ", "0", "000-000", "anonymous", "None", "", "  ", None, "-", 0]
)
def test_an_id_that_stands_for_none_is_null(events: Events, placeholder: Any) -> None:
    (row,) = events.take(pixel(visitorId=placeholder, sessionId=placeholder, eventId=placeholder))
    assert (row["visitor_id"], row["client_session_id"]) == (None, None)
    assert len(row["event_id"]) == 32


@pytest.mark.slow
def test_files_as_they_really_come(events: Events) -> None:
    """Without a last newline, with another end of line, a byte order mark, several gzip members, blank lines before
    an array, one event a line in it or all in one."""
    three = [pixel(eventId=f"e{n}") for n in range(3)]
    bodies = {
        "open": b"\n".join(map(line, three)),
        "windows": b"\r\n".join(map(line, three)) + b"\r\n",
        "each marked": b"".join(b"\xef\xbb\xbf" + line(event) + b"\n" for event in three),
        "marked": b"\xef\xbb\xbf" + b"\n".join(map(line, three)),
        "members": b"".join(gzip.compress(line(each) + b"\n") for each in three),
        "array": line(three),
        "array of lines": b"\n\n[\n" + b",\n".join(map(line, three)) + b"\n]\n",
        "pretty": json.dumps(three, indent=2).encode(),
        "arrays": line(three[:1]) + b"\n[]" + line(three[1:]),
        "arrays, marked": b"\n".join(b"\xef\xbb\xbf" + line(each) for each in (three[:2], three[2:])),
        "members of an array each": b"".join(gzip.compress(line([each])) for each in three),
        "an array a line": b"\n".join(line([each]) for each in three),
        "an array, then lines": line(three[:1]) + b"\n" + b"\n".join(map(line, three[1:])),
    }
    for number, (name, body) in enumerate(bodies.items()):
        site = f"site{number}"
        events.write_bytes(body, site=site)
        assert events.ingest(site).published, name
        assert [row["event_id"] for row in events.rows(site)] == ["e0", "e1", "e2"], name
        assert [row["source_line"] for row in events.rows(site)] == [1, 2, 3], name


def test_a_broken_array_loses_only_what_is_broken(events: Events) -> None:
    body = b'[{"a": 1, "b": }, ' + line(pixel(eventId="e2")) + b", 5, " + line(pixel(eventId="e4")) + b', {"c": "cut'
    events.write_bytes(body)
    result = events.ingest(options=lenient())
    assert [row["event_id"] for row in events.rows()] == ["e2", "e4"]
    assert reasons(events.rejects()) == [(1, "bad_json"), (3, "unknown_shape"), (5, "bad_json")]
    assert (result.rows_read, result.rows_kept, result.rows_rejected) == (5, 2, 3)


def test_a_broken_end_of_an_array_loses_nothing_of_the_next(events: Events) -> None:
    events.write_bytes(b'[{"a": 1, "b": }]\n' + line([pixel(eventId="e1"), pixel(eventId="e2")]) + b'[{"c": "cut')
    events.ingest(options=lenient())
    assert [row["event_id"] for row in events.rows()] == ["e1", "e2"]
    assert reasons(events.rejects()) == [(1, "bad_json"), (4, "bad_json")]


def test_an_array_within_an_array_is_one_element(events: Events) -> None:
    events.write_bytes(b"[" + line([pixel()]) + b"," + line(pixel(eventId="e2")) + b",[],[[]]]")
    events.ingest(options=lenient())
    assert [row["event_id"] for row in events.rows()] == ["e2"]
    assert reasons(events.rejects()) == [(number, "unknown_shape") for number in (1, 3, 4)]


@pytest.mark.slow
def test_what_is_nested_without_end_in_an_array_is_few_rejects(events: Events) -> None:
    """However often the next element seems to begin in it; and what stands behind it is not lost."""
    deep, broken = b'{"a":[{},' * 20_000, (b'{"a":[{},' * 500 + b"x") * 40
    ends = b"x}, ", b"}, "
    for number, body in enumerate((deep, broken)):
        site = f"{number}.example"
        good = [line(pixel(eventId=f"e{n}")) for n in range(2)]
        events.write_bytes(b"[" + good[0] + b"," + body + ends[number] + good[1] + b"]", site=site)
        result = events.ingest(site, lenient())
        assert [row["event_id"] for row in events.rows(site)] == ["e0", "e1"]
        assert result.rows_read == 2 + result.rows_rejected
    assert len(reasons(events.rejects("0.example"))) < 5_000


def test_a_number_of_thousands_of_digits_is_one_in_an_array_too(events: Events) -> None:
    text = line(pixel(eventId="e1"))[:-1] + b',"n":' + b"1" * 5_000 + b"}"
    events.write_bytes(b"[" + text + b"]")
    assert events.ingest().published
    assert [row["event_id"] for row in events.rows()] == ["e1"]


@pytest.mark.parametrize("version", [b"1" * 5_000, b'"' + b"1" * 5_000 + b'"', b"1" * 400, b"-1", b"1e3", b"[1]"])
def test_whatever_an_event_names_as_its_version_it_is_rejected_alone(events: Events, version: bytes) -> None:
    rows = events.take(pixel(eventId="e1"), line(pixel())[:-1] + b',"schema_version":' + version + b"}")
    assert [row["event_id"] for row in rows] == ["e1"]
    assert len(events.rejects()) == 1


def test_a_file_that_is_cut_off_keeps_its_whole_lines(events: Events) -> None:
    whole = gzip.compress(b"\n".join(line(pixel(eventId=f"e{n}", n=n)) for n in range(1000)), compresslevel=1)
    events.write_bytes(whole[: len(whole) // 2])
    result = events.ingest()
    assert result.published
    assert [verdict.check for verdict in result.verdicts if not verdict.passed] == ["objects_whole"]
    assert [each["reason"] for each in events.rejects()] == ["cut_off"]
    assert 100 < result.rows_kept < 999


def test_duplicate_keys_nul_and_strange_keys(events: Events) -> None:
    text = line(pixel())[:-1]
    rows = events.take(
        text + b',"visitorId":"second"}',
        text + b',"nul":"a\\u0000b"}',
        text + b',"a/b~c":1,"":2,"x\\"y":{"d":3},"\xc3\xa9":4}',
    )
    assert [row["visitor_id"] for row in rows] == ["vis_1"] * 3
    assert json.loads(rows[1]["properties"]) == {"nul": "a\0b"}
    assert json.loads(rows[2]["properties"]) == {"a/b~c": 1, "": 2, 'x"y': {"d": 3}, "é": 4}


@pytest.mark.slow
def test_thousands_of_structures_take_the_general_way_and_lose_nothing(events: Events) -> None:
    rows = events.take(*(pixel(**{f"k{n}": n, "page": {"title": f"t{n}", f"p{n}": n}}) for n in range(500)))
    for n, row in enumerate(rows):
        assert row["page_title"] == f"t{n}"
        assert json.loads(row["properties"]) == {f"k{n}": n, "page": {f"p{n}": n}}


def test_structures_that_cannot_be_used_are_each_told_by_their_line(events: Events) -> None:
    events.take(
        {"b": 1},
        pixel(eventId="1"),
        pixel(schema_version=9),
        {"eventType": "a", "siteId": "s"},
        pixel(eventId="2", url=5),
        {"ann@example.com": 1},
        pixel(eventId="3"),
        pixel(eventType="batch", events=[{"eventType": "a"}, 5, {"eventType": "a", "schema_version": 7}]),
    )
    assert [(row["source_line"], row["batch_index"]) for row in events.rows()] == [(2, None), (7, None), (8, 0)]
    assert [(row["source_line"], row["reason"], row["detail"]) for row in events.rejects()] == [
        (1, "unknown_shape", "fields: b"),
        (3, "unknown_version", "pixel has no version 9"),
        (4, "schema", "timestamp: missing"),
        (5, "schema", "url: is a number, not string or null"),
        (6, "unknown_shape", "fields: [email]"),
        (8, "unknown_shape", "fields: none"),
        (8, "unknown_version", "pixel has no version 7"),
    ]


def test_both_ways_give_the_same_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for way in (1, 1_000_000):
        monkeypatch.setattr("ingest.events.parser.MIN_LINES", way)
        events = Events(tmp_path / str(way))
        extra = {"b": 1.50, "a": "é\u0001", "page": {"z": 1, "title": "t", "y": {"x": None}}, "consent": {}, "n": None}
        found.append(events.take(pixel(**extra), pixel(**extra, browser={"timezone": "UTC"}, eventData={"k": [1, 2]})))
    assert found[0] == found[1]


def test_the_same_event_twice_is_one(events: Events) -> None:
    events.write(pixel(eventId="a"), pixel(eventId="a"), pixel(n=1), pixel(n=1), pixel(n=2))
    events.write(pixel(n=2), hour=11)
    result = events.ingest()
    assert (result.rows_read, result.rows_kept, result.rows_duplicate) == (6, 3, 3)


def test_an_event_id_does_not_depend_on_the_object_that_it_comes_in(events: Events) -> None:
    (alone,) = events.take(pixel(n=1))
    rows = events.take(pixel(n=0), pixel(n=1), pixel(n=2))
    assert rows[1]["event_id"] == alone["event_id"]
    assert len({row["event_id"] for row in rows}) == 3


def test_events_that_lie_in_no_folder_of_a_site_are_those_of_the_site_that_they_name(events: Events) -> None:
    folder = events.folder / "2026" / "01" / "12" / "10"
    folder.mkdir(parents=True)
    sent = [
        pixel(eventId="1"),
        pixel(eventId="1", siteId="other"),
        {"user_id": 1, "created_at": 1768212000, "event": "x"},
    ]
    (folder / "events.jsonl").write_bytes(b"\n".join(map(line, sent)))
    assert events.ingest("unknown").published
    assert [(row["site_id"], row["declared_site_id"]) for row in events.rows("unknown")] == [
        ("s", "s"),
        ("other", "other"),
        ("unknown", None),
    ]


def test_events_of_what_is_no_batch_are_kept(events: Events) -> None:
    (row,) = events.take(pixel(eventType="order", events=[{"sku": 1}]))
    assert json.loads(row["properties"]) == {"events": [{"sku": 1}]}


def test_a_batch_that_lacks_its_events_is_empty(events: Events) -> None:
    events.take(pixel(eventType="batch"), pixel(eventType="batch", events=None), pixel())
    assert reasons(events.rejects()) == [(1, "empty_batch"), (2, "empty_batch")]


def test_a_click_id_is_not_combined_with_the_campaign_of_another_place(events: Events) -> None:
    (row,) = events.take(pixel(url="https://e.example/?utm_source=a", page={"queryParams": "?utm_source=b&gclid=3"}))
    assert (row["utm_source"], row["click_id"], row["click_id_kind"]) == ("a", None, None)


def test_a_fingerprint_needs_three_things(events: Events) -> None:
    two = {"language": "en", "timezone": "UTC"}
    three = two | {"userAgent": "x"}
    rows = events.take(
        pixel(browser=two), pixel(browser=three), pixel(browser=three | {"language": "de"}), pixel(browser=three, n=1)
    )
    given = events.take(pixel(browser=two, deviceFingerprint="fp"))
    prints = [row["device_fingerprint"] for row in rows]
    assert prints[0] is None
    assert prints[1] == prints[3] != prints[2]
    assert given[0]["device_fingerprint"] == "fp"


def test_a_placeholder_does_not_hide_the_other_fingerprint(events: Events) -> None:
    (row,) = events.take(pixel(deviceFingerprint="undefined", device_fingerprint="fp"))
    assert row["device_fingerprint"] == "fp"


def test_identity_and_normalized_are_kept_beside(events: Events) -> None:
    (row,) = events.take(pixel(identity={"person": "p1"}, normalized={"country": "US", "n": None}))
    assert json.loads(row["source_identity"]) == {"person": "p1"}
    assert json.loads(row["source_normalized"]) == {"country": "US", "n": None}
    assert row["properties"] is None


def test_numbers_as_text_and_numbers_that_are_none(events: Events) -> None:
    events.write(pixel(eventData={"value": "12,50"}), pixel(eventData={"value": "-3"}, browser={"screenWidth": "wide"}))
    events.ingest()
    assert [(row["revenue"], row["screen_width"]) for row in events.rows()] == [(None, None), (Decimal(-3), None)]
    ledger = events.lake.read_table(events.lake.files("ledger/events")[0].key).to_pylist()
    assert ledger[0]["unreadable_numbers"] == 2


@pytest.mark.parametrize("text", ["1_000", "1_0.5", "inf", "-Infinity", "nan", "0x10", "1 000", "１２"])
def test_a_text_that_only_the_engine_takes_for_a_number_is_none(events: Events, text: str) -> None:
    events.write(pixel(eventData={"value": text}, browser={"screenWidth": text, "screenHeight": " 7 "}))
    events.ingest()
    assert [(row["revenue"], row["screen_width"], row["screen_height"]) for row in events.rows()] == [(None, None, 7)]
    ledger = events.lake.read_table(events.lake.files("ledger/events")[0].key).to_pylist()
    assert ledger[0]["unreadable_numbers"] == 1


@pytest.mark.parametrize("text", ["5", "5.0", "+5", " 5 ", "5.", "0.5e1", "50E-1"])
def test_a_number_may_be_written_as_text(events: Events, text: str) -> None:
    (row,) = events.take(pixel(eventData={"value": text}))
    assert row["revenue"] == 5


NO_JSON = [
    b'"v":NaN',
    b'"v":nan',
    b'"v": -Infinity',
    b'"v":inf',
    b'"v":[1,2,]',
    b'"v":{"a":1,}',
    b'"v":1 , ',
    b'"v":[NaN]',
]


def test_what_only_the_engine_takes_for_json_is_rejected(events: Events) -> None:
    good = [
        b'"v":"NaN, inf, [1,]"',
        b'"v":"a,}"',
        b'"v":1e400',
        b'"v":' + b"9" * 5_000 + b',"w":"x,]"',
        b'"v":", nan, "',
    ]
    lines = [line(pixel())[:-1] + b"," + each + b"}" for each in (*NO_JSON, *good)]
    rows = events.take(b"NaN", *lines)
    assert [row["source_line"] for row in rows] == [*range(len(NO_JSON) + 2, len(NO_JSON) + len(good) + 2)]
    assert reasons(events.rejects()) == [(n, "bad_json") for n in range(1, len(NO_JSON) + 2)]


CLICKS = {
    "?gclid=A": ("A", "gclid"),
    "?x=1&FBCLID=B": ("B", "fbclid"),
    "?oid=1&cid=2": ("1", "oid"),
    "?oid=1&msclkid=C": ("C", "msclkid"),
    "?gclid=": (None, None),
    "?notgclid=A": (None, None),
    "?a=gclid=A": (None, None),
    "#gclid=A": (None, None),
}


@pytest.mark.parametrize("query", CLICKS)
def test_click_ids(events: Events, query: str) -> None:
    (row,) = events.take(pixel(url=f"https://example.com/{query}"))
    assert (row["click_id"], row["click_id_kind"]) == CLICKS[query]


def test_every_kind_of_click_id_has_its_source_in_the_seed() -> None:
    seed = Path(__file__).parents[2] / "dbt_project" / "seeds" / "click_ids.csv"
    kinds = [row["click_id_kind"] for row in csv.DictReader(seed.read_text("utf-8").splitlines())]
    assert sorted(kinds) == sorted([*CLICK_IDS, *CLICK_MARKS, *OWN_CLICK_IDS])


def test_no_web_address_breaks_the_reader(events: Events) -> None:
    path = Path(__file__).parents[2] / ".." / "shared" / "data" / "urls" / "urltestdata.json"
    if not path.exists():
        pytest.skip("the URL test cases are not here: ../shared/data/urls")
    cases = [case for case in json.loads(path.read_text("utf-8", "surrogatepass")) if isinstance(case, dict)]
    inputs = [case["input"].encode("utf-8", "replace").decode() for case in cases]
    rows = events.take(*(pixel(n=n, url=text, page={"referrer": text}) for n, text in enumerate(inputs)))
    assert len(rows) == len(inputs) > 500
    by_input = {case["input"]: case for case in cases if case.get("base") is None and case.get("protocol") == "http:"}
    plain = [(row, by_input[row["url"]]) for row in rows if row["url"] in by_input]
    assert len(plain) > 20
    same = [row["host"] == case["hostname"] for row, case in plain if row["url"].startswith("http://")]
    assert sum(same) > len(same) * 0.6  # the rest are hosts that a browser would rewrite


def test_an_address_hides_neither_in_a_user_agent_nor_in_a_title_nor_in_the_keys_that_a_reject_names(
    events: Events,
) -> None:
    mail = "ann.marked@example.org"
    agent, title = f"Mozilla/5.0 (+{mail})", f"{mail} at 203.0.113.77"
    (row,) = events.take(pixel(browser={"userAgent": agent}, page={"title": title}), {mail: 1})
    assert (row["user_agent"], row["page_title"]) == ("Mozilla/5.0 ([email])", "[email] at [ip]")
    (reject,) = events.rejects()
    assert (reject["reason"], reject["detail"]) == ("unknown_shape", "fields: [email]")


def test_sites_are_judged_on_their_own(events: Events) -> None:
    events.write(*(pixel(n=n) for n in range(50)), site="good.example")
    events.write(*(pixel(n=n) for n in range(50)), *[b"broken"] * 10, site="bad.example")
    good, bad = events.ingest("good.example"), events.ingest("bad.example")
    assert (good.published, bad.published) == (True, False)
    assert [verdict.check for verdict in bad.refusals] == ["reject_share"]
    assert len(events.rows("good.example")) == 50
    assert events.rows("bad.example") == []
    refused = [file.key for file in events.lake.files("quarantine/events")]
    assert refused
    assert all(f"/day={DAY}/site=bad.example/" in key for key in refused)
    assert bad.reason.startswith("reject_share: 10 of 60 rows rejected")


def test_a_second_run_changes_nothing_and_a_mended_day_leaves_quarantine(events: Events) -> None:
    key = events.write(pixel(), *[b"broken"] * 10)
    assert not events.ingest().published
    (events.folder / key).write_bytes(line(pixel()))
    assert events.ingest().published
    assert events.lake.files("quarantine") == []
    before = [(file.key, events.lake.read_table(file.key)) for file in events.lake.files("raw")]
    assert events.ingest().published
    assert [(file.key, events.lake.read_table(file.key)) for file in events.lake.files("raw")] == before


@pytest.mark.parametrize("site", ["a b", "é", "x=y", "%2e%2e", "a'b"])
def test_a_site_of_any_name_stays_in_its_folder(events: Events, site: str) -> None:
    events.write(pixel(), site=site)
    assert events.ingest(site.lower()).published
    (file,) = events.lake.files("raw")
    assert file.key.count("/") == 5
    assert events.lake.read_table(file.key).column("site_id").to_pylist() == [site.lower()]


def test_a_transaction_id_is_read_wherever_senders_put_it(events: Events) -> None:
    at = f"{DAY}T10:00:00Z"
    site = {"event_type": "purchase", "timestamp": at, "page_url": "https://example.com/"}
    app = {"event_type": "refund", "timestamp": at, "device_id": "d"}
    clickstream = {"event": "purchase", "created_at": at, "user_id": "u"}
    bought = {"transaction_id": "", "order_id": 1001}
    google = {"ecommerce": {"transaction_id": " T1 ", "value": "9.50", "currency": "eur"}}
    cases: list[tuple[dict[str, Any], str | None]] = [
        (pixel(eventType="purchase", eventData={"transactionId": "T-1"}), "T-1"),
        (pixel(eventType="purchase", eventData={"orderId": "O-1"}), "O-1"),
        (pixel(eventType="purchase", transactionId="T-2", eventData=None), "T-2"),
        (site | {"event_data": bought}, "1001"),
        (site | {"transaction_id": "T-3", "event_data": {"order_id": "undefined"}}, "T-3"),
        (app | {"order_id": "#1002"}, "#1002"),
        (clickstream | {"properties": google}, "T1"),
        # What stands for no order, or is none, is as if absent; nothing of it rejects an event.
        (site | {"event_data": {"transaction_id": "{{transaction_id}}"}}, None),
        (site | {"event_data": {"transaction_id": "(not set)", "ecommerce": "none"}}, None),
        (site | {"event_data": {"transaction_id": None, "order_id": "0", "ecommerce": None}}, None),
        (site | {"event_data": {"value": 5}}, None),
    ]
    rows = events.take(*(event for event, _ in cases))
    assert [row["transaction_id"] for row in rows] == [expected for _, expected in cases]
    assert (rows[6]["revenue"], rows[6]["currency"]) == (Decimal("9.5"), "EUR")
    assert json.loads(rows[6]["properties"]) == {"properties": google}


@pytest.mark.parametrize("shape", ["pixel", "site", "app", "clickstream"])
def test_ecommerce_of_a_data_layer_is_read_beside_the_data_too(shape: str, events: Events) -> None:
    at = f"{DAY}T10:00:00Z"
    site = {"event_type": "purchase", "timestamp": at, "page_url": "https://example.com/"}
    event, data, beside = {
        "pixel": (pixel(eventType="purchase"), "eventData", "transactionId"),
        "site": (site, "event_data", "transaction_id"),
        "app": ({"event_type": "purchase", "timestamp": at, "device_id": "d"}, "event_data", "transaction_id"),
        "clickstream": ({"event": "purchase", "created_at": at, "user_id": "u"}, "properties", "transaction_id"),
    }[shape]
    google = {"transaction_id": "EC2", "value": 8, "currency": "eur", "items": [{"item_id": "i"}]}
    own = {"transaction_id": "T1", "value": 5, "currency": "USD"}
    sent: list[tuple[dict[str, Any], tuple[Any, ...]]] = [
        ({"ecommerce": google}, ("EC2", 8, "EUR")),
        ({"ecommerce": google, data: {"ecommerce": own}}, ("T1", 5, "USD")),
        ({"ecommerce": google, data: own}, ("T1", 5, "USD")),
        ({"ecommerce": google, beside: "T1"}, ("T1", 8, "EUR")),
        ({"ecommerce": {"value": "9.50", "transaction_id": 17}}, ("17", Decimal("9.5"), None)),
        # Whatever stands there, it rejects no event.
        ({"ecommerce": {"value": {"of": 1}, "transaction_id": ["a"], "currency": 3}}, (..., None, ...)),
        *(({"ecommerce": other}, (None, None, None)) for other in (None, "none", 7, [google], {}, {"value": "much"})),
    ]
    rows = events.take(*(event | each for each, _ in sent))
    found = [(row["transaction_id"], row["revenue"], row["currency"]) for row in rows]
    expected = [wanted for _, wanted in sent]
    assert [
        tuple(... if one is ... else value for one, value in zip(wanted, values, strict=True))
        for wanted, values in zip(expected, found, strict=True)
    ] == expected
    assert json.loads(rows[0]["properties"])["ecommerce"] == google


def test_a_transaction_id_that_looks_like_a_telephone_number_stays_one_of_its_own(events: Events) -> None:
    """A marker for all of them would make one order of all orders."""
    ids = ["+1 312 555 0199", "+1 312 555 0198", "ann@example.org", "+1 312 555 0199"]
    sent = (
        pixel(eventType="purchase", timestamp=f"{DAY}T10:00:0{second}Z", eventData={"transaction_id": each})
        for second, each in enumerate(ids)
    )
    first, second, third, again = (row["transaction_id"] for row in events.take(*sent))
    assert len({first, second, third}) == 3
    assert again == first
    assert not {first, second, third} & set(ids)


def test_a_template_with_a_digit_is_nobody(events: Events) -> None:
    (row,) = events.take(pixel(visitorId="__visitor1__"))
    assert row["visitor_id"] is None
