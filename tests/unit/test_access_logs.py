"""What the values of a log become: columns, nulls, parameters, times, rejects, and nothing private."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.access_logs import files as log_files
from ingest.access_logs.parser import PARAMETERS, REASONS, _shown
from ingest.events import found as events
from ingest.rows.batches import MAX_REJECT_BYTES, beginning_of
from ingest.rows.privacy import keyed_hash
from ingest.schema import ACCESS_LOG_FIELDS, ACCESS_LOGS, LEDGER, REJECTS, arrow_schema
from tests.log_lines import DAY, FIELDS, HASH_KEY, LogDay, assert_accounted, header, line, lines, log

pytestmark = pytest.mark.usefixtures("each_reader")

HASH = keyed_hash(HASH_KEY)


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path)


@pytest.fixture
def _an_object_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an unusual line changes how the lines of its own object are read, and no others."""
    monkeypatch.setattr(log_files, "BATCH_BYTES", 1)


def row_of(day: LogDay, **values: str) -> dict[str, Any]:
    day.add(log([line(**values)]))
    (row,) = day.publish()
    return row


def test_the_documented_fields_are_the_documented_ones() -> None:
    assert list(ACCESS_LOG_FIELDS) == FIELDS


def test_every_field_reaches_its_column(day: LogDay) -> None:
    fields = [*FIELDS, *(column.field for column in ACCESS_LOGS if column.field and column.field not in FIELDS)]
    logged = {name: f"value-of-{number}" for number, name in enumerate(fields)}
    logged |= {"date": DAY, "time": "23:59:59", "c-ip": "192.0.2.10", "cs-uri-stem": "/x", "sc-status": "404"}
    logged |= {column.field: "17" for column in ACCESS_LOGS if column.field and str(column.type) in ("int64", "double")}
    day.add(log(["\t".join(logged[name] for name in fields).encode()], fields))
    (row,) = day.publish()
    for column in ACCESS_LOGS:
        if column.field and column.field != "sc-status":
            expected = logged[column.field]
            assert row[column.name] == (17 if expected == "17" else expected), column.name
    assert row["event_ts"] == datetime(2026, 1, 12, 23, 59, 59)
    assert (row["status"], row["source_object"], row["source_line"]) == (404, "E1TEST.2026-01-12-10.a.gz", 3)
    assert row["ip_hash"] == HASH("192.0.2.10")
    assert row["subnet_hash"] == HASH("192.0.2.0/24")


def test_files_have_the_registered_columns_and_types(day: LogDay) -> None:
    day.add(log([line(), b"broken"]))
    day.allow_rejects().ingest()
    root = Path(day.lake.root)
    for folder, columns in (("raw", ACCESS_LOGS), ("rejects", REJECTS), ("ledger", LEDGER)):
        (path,) = (root / folder).rglob("*.parquet")
        assert pq.read_schema(path).remove_metadata().equals(arrow_schema(columns))


def test_a_dash_is_null_in_every_field_that_may_be_missing(day: LogDay) -> None:
    logged = dict.fromkeys(FIELDS, "-") | {"date": DAY, "time": "00:00:00", "cs-uri-stem": "/", "sc-status": "200"}
    day.add(log(["\t".join(logged.values()).encode()]))
    (row,) = day.publish()
    given = {"event_ts", "request_type", "path", "status", "is_bot", "source_object", "source_line"}
    assert {name for name, value in row.items() if value is not None} == given
    assert row["is_bot"] is False


@pytest.mark.parametrize(("logged", "status"), [("000", 0), ("200", 200), ("999", 999), ("0", 0)])
def test_status(day: LogDay, logged: str, status: int) -> None:
    assert row_of(day, status=logged)["status"] == status


UNREADABLE = ["abc", "1.5", "1,5", "+5", "--1", "9" * 19, "1_0", "1e3", "٣", "%31"]


@pytest.mark.parametrize("beside", [b"", b"a short row\t\n"], ids=["alone", "beside a broken row"])
@pytest.mark.usefixtures("_an_object_a_batch")
def test_a_whole_number_that_cannot_be_read_is_null_and_counted(day: LogDay, beside: bytes) -> None:
    keys = [
        day.add(log([line(bytes=text, port=text), line(bytes="5")]) + beside, f"{n}")
        for n, text in enumerate(UNREADABLE)
    ]
    rows = day.allow_rejects().publish()
    assert [row["bytes_sent"] for row in rows] == [None, 5] * len(UNREADABLE)
    assert [row["client_port"] for row in rows] == [None, 51234] * len(UNREADABLE)
    assert [day.ledger()[key]["unreadable_numbers"] for key in keys] == [2] * len(UNREADABLE)


UNREADABLE_REALS = ["abc", "nan", "NaN", "inf", "-Infinity", "1e999", "0x1p3", "1,5", "--1"]


@pytest.mark.usefixtures("_an_object_a_batch")
def test_a_real_number_that_cannot_be_read_is_null_and_counted(day: LogDay) -> None:
    keys = [day.add(log([line(taken=text), line(taken="0.25")]), f"{n}") for n, text in enumerate(UNREADABLE_REALS)]
    assert [row["time_taken"] for row in day.publish()] == [None, 0.25] * len(UNREADABLE_REALS)
    assert [day.ledger()[key]["unreadable_numbers"] for key in keys] == [1] * len(UNREADABLE_REALS)


ODD_NUMBERS = ["5", " 5", "5 ", "-5", "0x1F", "007", "1e18", "9" * 18, "9" * 19, "0" * 30 + "1", ".5", "5.", "1e5",
               "+1", "1e-5", "1E+05", "nan", "1e400", "0xFFFFFFFFFFFFFFFF", "-0", "0.1234567890123456789"]  # fmt: skip


@pytest.mark.usefixtures("_an_object_a_batch")
def test_a_number_is_read_alike_whatever_stands_beside_it(day: LogDay) -> None:
    """One unusual line makes ingest read the whole batch in another way."""
    for number, value in enumerate(ODD_NUMBERS):
        day.add(log([line(bytes=value, taken=value, status=value)]), f"alone{number}", hour=f"{number % 24:02}")
        day.add(
            log([line(bytes=value, taken=value, status=value), b"broken"]), f"beside{number}", hour=f"{number % 24:02}"
        )
    day.allow_rejects().publish()
    by_object = {row["source_object"].split(".")[2]: row for row in day.rows()}
    for number in range(len(ODD_NUMBERS)):
        pair = [by_object.get(f"{kind}{number}") for kind in ("alone", "beside")]
        values = [row and (row["bytes_sent"], row["time_taken"], row["status"]) for row in pair]
        assert values[0] == values[1], ODD_NUMBERS[number]


@pytest.mark.parametrize(
    ("logged", "address", "network"),
    [
        ("192.0.2.10", "192.0.2.10", "192.0.2.0/24"),
        ("192.0.2.10:443", "192.0.2.10", "192.0.2.0/24"),
        ("::ffff:192.0.2.10", "192.0.2.10", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("[2001:db8:1:2::3]:443", "2001:db8:1:2::3", "2001:db8:1::/48"),
    ],
)
def test_an_address_is_hashed_in_its_one_form(day: LogDay, logged: str, address: str, network: str) -> None:
    row = row_of(day, ip=logged)
    assert (row["ip_hash"], row["subnet_hash"]) == (HASH(address), HASH(network))


def test_an_address_that_is_none_has_no_hash(day: LogDay) -> None:
    row = row_of(day, ip="unknown")
    assert (row["ip_hash"], row["subnet_hash"]) == (None, None)


def test_another_key_gives_other_hashes(day: LogDay, tmp_path: Path) -> None:
    other = LogDay(tmp_path / "other")
    other.options = replace(other.options, hash_key="another key, long enough too")
    assert row_of(day)["ip_hash"] != row_of(other)["ip_hash"]


# Parameters


@pytest.mark.parametrize(("path", "kind"), [("/c", "click"), ("/pxl.png", "impression"), ("/%63", "click")])
def test_the_parameters_of_a_tracking_request(day: LogDay, path: str, kind: str) -> None:
    row = row_of(
        day,
        path=path,
        query="oid=1&cid=camp&pid=chicago&ch=website&cr=456&s=300x250&r=https%3A%2F%2Fx.com%2F%3Fa%3D1%26b%3D2",
    )
    assert row["request_type"] == kind
    assert {column: row[column] for column in PARAMETERS.values()} == {
        "order_id": "1", "campaign_id": "camp", "publication_code": "chicago", "channel": "website",
        "creative_id": "456", "ad_size": "300x250", "landing_url": "https://x.com/?a=1&b=2",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/C", "/c/", "/c.png", "/x/c", "/pxl.PNG", "/index.html"])
def test_other_requests_have_no_parameters(day: LogDay, path: str) -> None:
    row = row_of(day, path=path, query="oid=1&r=https%3A%2F%2Fx.com")
    assert row["request_type"] == "other"
    assert row["query"] == "oid=1&r=https%3A%2F%2Fx.com"
    assert all(row[column] is None for column in PARAMETERS.values())


SPLITTING = [  # query, order_id, channel
    ("oid=a%26ch%3Dx&ch=y", "a&ch=x", "y"),
    ("oid=a%2526ch%253Dx", "a&ch=x", None),
    ("oid=a=b&ch==", "a=b", "="),
    ("oid=a+b&ch=a%2Bb", "a b", "a+b"),
    ("oid=a%252Bb", "a+b", None),
    ("oid=first&oid=second&ch=x&ch=", "first", "x"),
    ("oid=&oid=second", "second", None),
    ("oid={orderid}&oid=second&ch=undefined", "second", None),
    ("oid&oid=second", "second", None),
    ("oid=&ch=", None, None),
    ("xoid=1&oidx=2&OID=3&ch2=4", "3", None),
    ("%6Fid=1&ch%3D2", "1", None),
    ("&&oid=1&&", "1", None),
    ("oid=70%&ch=%G1", "70%", "%G1"),
    ("oid=%FF&ch=%E2%82", "\ufffd", "\ufffd"),
    ("amp;oid=1&oid=2", "2", None),
    ("oid=%20&ch=%2520", None, None),
    ("oid=QP%20&ch=+w+", "QP", "w"),
    ("oid=QP&amp;ch=w", "QP", "w"),
    ("a=1&AMP;amp;oid=QP&amp;ch=w;x", "QP", "w;x"),
    ("-", None, None),
]


@pytest.mark.parametrize("path", ["/c", "/pxl.png"])
def test_parameters_are_split_before_anything_is_decoded(day: LogDay, path: str) -> None:
    day.add(log([line(path=path, query=query) for query, _, _ in SPLITTING]))
    found = [(row["query"] or "-", row["order_id"], row["channel"]) for row in day.publish()]
    assert found == SPLITTING


def test_requests_of_one_batch_keep_their_own_parameters(day: LogDay) -> None:
    rows = [
        line(id=f"{n}", path=["/c", "/x", "/pxl.png"][n % 3], query=f"cb={n}&oid={n % 7}&s=&cr={n}" if n % 4 else "-")
        for n in range(300)
    ]
    day.add(log(rows))
    for row in day.publish():
        n = int(row["request_id"])
        has = n % 3 != 1 and n % 4
        assert (row["order_id"], row["creative_id"]) == ((str(n % 7), str(n)) if has else (None, None))
        assert row["ad_size"] is None


# Times


BAD_TIMES = [
    ("2026-02-30", "10:00:00", "bad_timestamp"),
    ("2026-1-12", "10:00:00", "bad_timestamp"),
    ("20yy-05-24", "10:00:00", "bad_timestamp"),
    ("-", "10:00:00", "bad_timestamp"),
    (DAY, "24:00:00", "bad_timestamp"),
    (DAY, "10:00", "bad_timestamp"),
    (DAY, "10:00:61", "bad_timestamp"),
    (DAY, "-", "bad_timestamp"),
    ("2026-01-14", "00:00:00", "out_of_range"),
    ("2024-12-07", "23:59:59", "out_of_range"),
    ("9999-12-31", "23:59:59", "out_of_range"),
    ("0001-01-01", "00:00:00", "out_of_range"),
]


def test_a_time_that_is_none_or_far_off_is_rejected(day: LogDay) -> None:
    day.add(log([line(), *(line(date=date, time=time) for date, time, _ in BAD_TIMES)]))
    assert len(day.allow_rejects().publish()) == 1
    assert list(day.reasons().values()) == [reason for _, _, reason in BAD_TIMES]


@pytest.mark.parametrize(("date", "time"), [("2026-01-13", "23:59:59"), ("2024-12-08", "00:00:00")])
def test_times_within_the_limits_are_kept(day: LogDay, date: str, time: str) -> None:
    assert row_of(day, date=date, time=time)["event_ts"] == datetime.fromisoformat(f"{date}T{time}")


LACKING = [
    ({"path": "-"}, "missing_path"),
    ({"path": ""}, "missing_path"),
    ({"status": "-"}, "bad_status"),
    ({"status": "2xx"}, "bad_status"),
    ({"status": "1000"}, "bad_status"),
    ({"status": "-1"}, "bad_status"),
    ({"status": "99999999999"}, "bad_status"),
    ({"date": "x", "path": "-", "status": "x"}, "bad_timestamp"),
]


@pytest.mark.parametrize("beside", [b"", b"\n"], ids=["alone", "beside an empty line"])
@pytest.mark.usefixtures("_an_object_a_batch")
def test_a_row_that_lacks_what_is_needed_is_rejected(day: LogDay, beside: bytes) -> None:
    for number, (values, _) in enumerate(LACKING):
        day.add(log([line(**values)]) + beside, f"{number}")
    assert day.allow_rejects().publish() == []
    expected = [(3, reason) for _, reason in LACKING] + [(4, "empty_line")] * (len(LACKING) if beside else 0)
    assert sorted((row["source_line"], row["reason"]) for row in day.rejects()) == sorted(expected)
    assert_accounted(day)


def test_reasons_are_a_closed_list_and_lines_are_cut(day: LogDay) -> None:
    day.add(log([line(date="x", query="q" * 20_000), b"", b"\xff\xfe", line(status="é" * 9000)]))
    day.allow_rejects().publish()
    rejects = day.rejects()
    assert {row["reason"] for row in rejects} <= set(REASONS)
    assert [len(row["line"].encode()) for row in rejects] == [8192, 0, 6, 8191]  # no half of an é
    assert rejects[2]["line"] == "\ufffd\ufffd"
    assert {row["dataset"] for row in rejects} == {"access_logs"}


# User agents and links


def test_a_path_loses_one_layer_and_a_user_agent_with_two_loses_both(day: LogDay) -> None:
    row = row_of(
        day,
        path="/a%2520b%20c",
        referrer="https://x.com/?q=%2520",
        agent="Mozilla/5.0%2520(iPhone;%2520CPU%2520iPhone%2520OS%252010_2_1%2520like%2520Mac%2520OS%2520X)",
    )
    assert row["path"] == "/a%20b c"
    assert row["referrer"] == "https://x.com/?q=%20"
    assert row["user_agent"] == "Mozilla/5.0 (iPhone; CPU iPhone OS 10_2_1 like Mac OS X)"
    assert (row["device_category"], row["os_family"], row["is_bot"]) == ("mobile", "iOS", False)


# Privacy

SECRETS = ["203.0.113.77", "203.0.113.78", "85.214.132.9", "2001:db8:77::99", "topsecretcookie", "ann.brown",
           "ann%2Ebrown", "3125550199", "555-0199", "555%200199"]  # fmt: skip


def private_lines() -> list[bytes]:
    secrets = {
        "ip": "203.0.113.77",
        "forwarded": "203.0.113.78,%2085.214.132.9,%202001:db8:77::99",
        "cookie": "session=topsecretcookie;%20theme=dark",
    }
    links = ["mail=ann.brown@example.org", "mail=ann.brown%40example.org", "mail=ann%2Ebrown%2540example.org",
             "tel=3125550199", "t=%2B13125550199", "t=312-555-0199", "t=(312)%20555%200199",
             "r=https%253A%252F%252Fx.com%252F%253Fm%253Dann.brown%252540example.org",
             "r=https%3A%2F%2Fx.com%2F%3Ftel%3D3125550199%26ip%3D203.0.113.77", "ip=203.0.113.78"]  # fmt: skip
    good = [
        line(path=path, query=link, referrer=f"https://x.com/?{link}", **secrets)
        for link in links
        for path in ("/c", f"/u/{link}")
    ]
    bad = [row.replace(DAY.encode(), b"20yy-01-12") for row in good]
    shifted = [row.replace(b"\tFRA56-P1", b"").replace(b"\t200\t", b"\tno status\t") for row in good]
    longer = [row.replace(b"\tGET\t", b"\tGET\textra\textra\t").replace(DAY.encode(), b"-") for row in good]
    cut = [row[: row.index(b"theme")] for row in bad]
    return good + bad + shifted + longer + cut


def check_nothing_private(day: LogDay, rows: int, rejects: int) -> None:
    result = day.allow_rejects().ingest()
    assert (result.rows_kept, result.rows_rejected) == (rows, rejects)
    texts = list(day.texts())
    assert len(texts) > 100
    found = {secret for secret in SECRETS for text in texts if secret in text}
    assert not found, [text for text in texts if any(secret in text for secret in found)][:3]


@pytest.mark.parametrize("published", [True, False])
def test_nothing_private_is_in_any_file_of_the_lake(day: LogDay, published: bool) -> None:
    day.add(log(private_lines()))
    check_nothing_private(day, 20, 80)
    if not published:
        day.allow(max_reject_share=0.0)
        assert not day.ingest().published
        assert any("quarantine" in key for key in day.contents())
        assert not any(secret in text for secret in SECRETS for text in day.texts())


def test_nothing_private_is_left_of_a_line_that_is_rejected_unread(day: LogDay) -> None:
    tail = line(query="q" * 2_000_000, ip="203.0.113.77", cookie="a=topsecretcookie", forwarded="85.214.132.9")
    cut = line(ip="203.0.113.77", cookie="a=topsecretcookie;%20b=c", forwarded="85.214.132.9")
    day.add(log([*lines(200, agent="x"), tail]) + cut)
    key = day.add(log([*lines(100, agent="y"), cut]), "b")
    data = (day.logs / key).read_bytes()
    (day.logs / key).write_bytes(data[:-20])
    day.allow_rejects().ingest()
    assert not any(secret in text for secret in SECRETS for text in day.texts())
    assert set(day.reasons().values()) == {"line_too_long", "cut_off"}


def test_the_hash_key_is_nowhere(day: LogDay) -> None:
    day.add(header() + b"broken\n")
    result = day.ingest()
    assert not result.published
    assert HASH_KEY not in repr(day.options) + repr(result)
    assert all(HASH_KEY.encode() not in content for content in day.contents().values())


ADDRESS = "203.0.113.94"


@pytest.mark.parametrize("personal", [ADDRESS, "ann@example.com", "(312) 555-0147", "2001:db8::7334"])
def test_what_the_cut_of_a_long_line_parts_is_not_shown(personal: str) -> None:
    """Scrubbing makes the line shorter, so that what stands at the first cut would be shown."""
    filled = "x ann.of.a.long.name@mail.example.com " * 1_000
    for cut in range(1, len(personal) + 1):
        text = f"{filled[: 2 * MAX_REJECT_BYTES - cut - 3]} x {personal} and more"
        assert beginning_of(text).endswith("x")
        for shown in (_shown(text), events._shown(pa.scalar(text))):
            assert shown.endswith("x")
            assert len(shown) < MAX_REJECT_BYTES


def test_a_line_that_is_not_cut_is_shown_whole() -> None:
    assert beginning_of(f"{ADDRESS} 12") == f"{ADDRESS} 12"
    assert beginning_of("x" * 3 * MAX_REJECT_BYTES) == "x" * 2 * MAX_REJECT_BYTES
