"""The formats of access logs: headers, odd lines, JSON lines, Parquet, and objects in any state."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.access_logs import files as log_files
from ingest.access_logs.files import canonical_field
from ingest.access_logs.parser import AccessLogParser
from ingest.days import parse_day
from ingest.rows import blocks
from tests.environment_fixtures import HASH_KEY
from tests.log_lines import DAY, FIELDS, LogDay, assert_accounted, header, line, lines, log, request

pytestmark = pytest.mark.usefixtures("each_reader")

V2_NAMES = [name.replace("(", "_").replace(")", "").replace("-", "_").lower() for name in FIELDS]


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    return LogDay(tmp_path).allow_rejects()


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in (*names, "source_object", "source_line")}


def usual_row(day: LogDay, **values: str) -> dict[str, Any]:
    """The row of the usual line in a usual file, ingested beside."""
    beside = LogDay(day.logs.parent / "beside")
    beside.add(log([line(**values)]))
    (row,) = beside.publish()
    return row


# Headers


def test_columns_are_found_by_the_header_whatever_their_order(day: LogDay) -> None:
    for number in range(5):
        shuffled = random.Random(number).sample(FIELDS, len(FIELDS))
        day.add(log([line(shuffled, id="x", query="a=1")], shuffled), f"{number}", hour=f"{number:02}")
    rows = day.publish()
    expected = without(usual_row(day, id="x", query="a=1"))
    assert len(rows) == 1  # one id is one request
    assert without(rows[0]) == expected


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_the_names_in_a_header_may_be_parted_by_spaces_or_tabs(day: LogDay, separator: str) -> None:
    day.add(header(separator=separator) + line() + b"\n")
    assert without(day.publish()[0]) == without(usual_row(day))


def test_without_a_header_the_documented_order_holds(day: LogDay) -> None:
    day.add(line() + b"\n")
    (row,) = day.publish()
    assert without(row) == without(usual_row(day))
    assert row["source_line"] == 1


@pytest.mark.parametrize("order", [V2_NAMES, V2_NAMES[::-1]])
def test_names_of_standard_logging_v2_are_the_same_fields(day: LogDay, order: list[str]) -> None:
    assert [canonical_field(name) for name in V2_NAMES] == FIELDS
    row = dict(zip(V2_NAMES, line().decode().split("\t"), strict=True))
    day.add(log(["\t".join(row[name] for name in order).encode()], order))
    assert without(day.publish()[0]) == without(usual_row(day))


def test_a_timestamp_in_milliseconds_stands_for_date_and_time(day: LogDay) -> None:
    fields = ["timestamp(ms)", "cs-uri-stem", "sc-status"]
    values = ["1768212000999", "-", "abc", "0", "99999999999999999999", "-5", "1768212000999.5"]
    day.add(log([line(fields, **{"timestamp(ms)": value}) for value in values], fields))
    (row,) = day.publish()
    assert row["event_ts"].isoformat() == "2026-01-12T10:00:00"  # seconds, as version 1 has
    assert day.reasons() == dict.fromkeys((4, 5, 7, 8, 9), "bad_timestamp") | {6: "out_of_range"}


def test_a_header_in_the_middle_changes_the_columns_from_there_on(day: LogDay) -> None:
    short = ["sc-status", "time", "date", "cs-uri-stem"]
    body = log([line(id="1")]) + b"#Remark: half way\n" + log([line(short, path="/2")], short) + log([line(id="3")])
    key = day.add(body)
    rows = day.publish()
    assert [row["request_id"] for row in rows] == ["1", None, "3"]
    assert [row["path"] for row in rows] == ["/index.html", "/2", "/index.html"]
    assert [row["source_line"] for row in rows] == [3, 7, 10]
    assert day.ledger()[key]["rows_read"] == 3


def test_objects_with_different_headers_make_one_day(day: LogDay) -> None:
    for number, width in enumerate((33, 12, 24, 19, 33)):
        fields = FIELDS[:width]
        day.add(log([line(fields), line(fields, path="/c", query="oid=5", time="11:00:00")], fields), f"{number}")
    rows = day.publish()
    assert [row["order_id"] for row in rows] == [None, "5"] * 5
    assert [row["client_port"] for row in rows] == [51234, 51234, None, None, None, None, None, None, 51234, 51234]
    assert_accounted(day)


def test_a_line_with_a_hash_is_data_unless_it_is_a_directive(day: LogDay) -> None:
    body = (
        header()
        + b"##Fields: a b\n#\n#FIELDS: date\n"
        + line(path="/#x", id="1")
        + b"\n"
        + line(agent="#Fields:")
        + b"\n"
    )
    day.add(body + b"#Fieldsets\tx\n#" + line(id="2")[1:] + b"\n")
    rows = day.publish()
    assert [row["source_line"] for row in rows] == [6, 7]
    assert_accounted(day)


def test_a_repeated_name_counts_once_at_first(day: LogDay) -> None:
    fields = ["date", "time", "cs-uri-stem", "cs_uri_stem", "sc-status"]
    day.add(header(fields) + b"2026-01-12\t10:00:00\t/first\t/second\t200\n")
    assert day.publish()[0]["path"] == "/first"


def test_unknown_fields_are_told_and_missing_ones_refuse_the_day(day: LogDay) -> None:
    fields = [*FIELDS, "new-field", "another"]
    key = day.add(log([line(fields)], fields))
    day.publish()
    assert day.ledger()[key]["unknown_fields"] == ["another", "new-field"]
    day.add(log([line(["date", "time", "cs-uri-stem"])], ["date", "time", "cs-uri-stem"]), "b")
    result = day.ingest()
    assert not result.published
    assert "required_fields: E1TEST.2026-01-12-10.b.gz lacks sc-status" in result.reason


@pytest.mark.parametrize("text", ["#Fields:", "#Fields: ", "#Fields: x"])
def test_a_header_that_names_nothing_useful_rejects_its_rows(day: LogDay, text: str) -> None:
    day.add(text.encode() + b"\n" + line() + b"\n\n")
    assert not day.ingest().published
    assert_accounted(day, day.quarantine())


# Rows


def test_a_short_row_has_nulls_at_its_end_and_a_long_one_loses_what_is_too_much(day: LogDay) -> None:
    whole = line(id="1", agent="x")
    short = b"\t".join(whole.split(b"\t")[:9])
    rows = [whole, whole.replace(b"\t1\t", b"\t2\t") + b"\textra\tmore", short, short + b"\t"]
    day.add(log(rows))
    found = day.publish()
    assert without(found[1], "request_id") == without(found[0], "request_id")
    assert without(found[2]) == without(found[3])
    assert (found[2]["status"], found[2]["user_agent"], found[2]["request_id"]) == (200, None, None)
    assert day.rejects() == []


def test_a_row_too_short_for_a_status_is_rejected(day: LogDay) -> None:
    day.add(log([b"\t".join(line().split(b"\t")[:8])]))
    assert day.publish() == []
    assert day.reasons() == {3: "bad_status"}


def test_quotes_and_commas_are_data(day: LogDay) -> None:
    rows = [line(path='/"a', agent='"Mozilla', query='x="1"&y="'), line(path="/'b',", agent='a""b')]
    day.add(log(rows))
    first, second = day.publish()
    assert (first["path"], first["user_agent"], first["query"]) == ('/"a', '"Mozilla', 'x="1"&y="')
    assert (second["path"], second["user_agent"]) == ("/'b',", 'a""b')


def test_windows_line_ends_are_no_data(day: LogDay) -> None:
    day.add(log(lines(3)).replace(b"\n", b"\r\n"))
    unix = LogDay(day.logs.parent / "unix")
    unix.add(log(lines(3)))
    assert [without(row) for row in day.publish()] == [without(row) for row in unix.publish()]


def test_a_lone_carriage_return_ends_no_line(day: LogDay) -> None:
    day.add(log([line(id="1", path="/a\rb", agent="x\ry"), line(id="2")]))
    first, second = day.publish()
    assert (first["path"], first["user_agent"], second["request_id"]) == ("/a\rb", "x\ry", "2")


def test_nul_bytes_and_other_control_characters_are_data(day: LogDay) -> None:
    day.add(log([line(id="1", path="/a\0b\x0b\x0c\x1c\x85\u2028c", agent="\0"), line(id="2")]))
    first, second = day.publish()
    assert (first["path"], first["user_agent"], second["request_id"]) == ("/a\0b\x0b\x0c\x1c\x85\u2028c", "\0", "2")


@pytest.mark.parametrize("bad", [b"\xff", b"\xe2\x82", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88"])
def test_bytes_that_are_no_utf8_become_the_replacement_character(day: LogDay, bad: bytes) -> None:
    day.add(log([line(id="1", path="/aXb", agent="X").replace(b"X", bad), line(id="2", agent="X").replace(b"X", bad)]))
    first, second = day.publish()
    replaced = bad.decode("utf-8", "replace")
    assert (first["path"], first["user_agent"]) == (f"/a{replaced}b", replaced)
    assert second["user_agent"] == replaced


def test_real_utf8_stays(day: LogDay) -> None:
    day.add(log([line(path="/café/\U0001f600", query="q=é")]))
    (row,) = day.publish()
    assert (row["path"], row["query"]) == ("/café/\U0001f600", "q=é")


def test_empty_lines_are_rejected_and_leave_the_others_alone(day: LogDay) -> None:
    day.add(header() + b"\n" + line(id="1") + b"\n\n\r\n" + line(id="2") + b"\n\n")
    assert [row["source_line"] for row in day.publish()] == [4, 7]
    assert day.reasons() == dict.fromkeys((3, 5, 6, 8), "empty_line")
    assert_accounted(day)


def test_a_byte_order_mark_is_no_data(day: LogDay) -> None:
    day.add(b"\xef\xbb\xbf" + log([line()]))
    assert without(day.publish()[0]) == without(usual_row(day))


@pytest.mark.parametrize("is_joined_compressed", [False, True])
def test_files_that_are_joined_may_each_begin_with_a_byte_order_mark(day: LogDay, is_joined_compressed: bool) -> None:
    """Else the second header would be no header, and its lines would be read by the first."""
    swapped = ["cs-uri-stem", "date", "time", "sc-status", "cs(Referer)", "x-edge-request-id"]
    bodies = [
        b"\xef\xbb\xbf" + log([line(fields, id=id_, path=f"/{id_}", referrer="https://a.example/")], fields)[14:]
        for id_, fields in (("1", FIELDS), ("2", swapped))
    ]
    data = b"".join(map(gzip.compress, bodies)) if is_joined_compressed else b"".join(bodies)
    day.add(data, compress=not is_joined_compressed)
    rows = [(row["request_id"], row["path"], row["referrer"]) for row in day.publish()]
    assert rows == [("1", "/1", "https://a.example/"), ("2", "/2", "https://a.example/")]
    assert_accounted(day)


def test_joined_lines_of_json_may_each_begin_with_a_byte_order_mark(day: LogDay) -> None:
    day.add(b"".join(b"\xef\xbb\xbf" + json.dumps(request(id=id_)).encode() + b"\n" for id_ in "12"))
    assert [row["request_id"] for row in day.publish()] == ["1", "2"]


@pytest.mark.parametrize("before", [b"", log([line(id="1")])])
def test_lines_that_end_in_carriage_returns_alone_are_not_lost_in_a_header(day: LogDay, before: bytes) -> None:
    day.allow_rejects().add(before + log([line(id="2"), line(id="3")]).replace(b"\n", b"\r"))
    result = day.ingest()
    assert (result.rows_kept, result.rejects_by_reason) == (len(before) and 1, {"bad_timestamp": 1})


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("ends", [True, False])
def test_a_line_of_ten_megabytes_is_rejected_and_the_rows_behind_it_are_whole(
    day: LogDay, compress: bool, ends: bool
) -> None:
    before, after = lines(50), lines(3000, start=50)
    long = line(id="long", query="q" * 10_000_000)
    body = log([*before, long, *after, long])
    key = day.add(body if ends else body[:-1], compress=compress)
    rows = day.publish()
    assert [row["request_id"] for row in rows] == [f"id-{n}" for n in range(3050)]
    assert [row["source_line"] for row in rows] == [*range(3, 53), *range(54, 3054)]
    assert day.reasons() == {53: "line_too_long", 3054: "line_too_long"}
    assert day.ledger()[key]["rows_read"] == 3052


def test_a_line_just_short_of_the_limit_is_kept(day: LogDay) -> None:
    size = blocks.MAX_LINE_BYTES - len(line(query=""))
    day.add(log([line(query="q" * size), line(query="q" * (size + 1))]))
    (row,) = day.publish()
    assert len(row["query"]) == size
    assert day.reasons() == {4: "line_too_long"}


# Objects


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (header(), "text"),
        (header()[:-1], "text"),
        (b"#Version: 1.0", "text"),
    ],
)
@pytest.mark.parametrize("compress", [True, False])
def test_an_object_without_rows_is_no_error(day: LogDay, body: bytes, kind: str, compress: bool) -> None:
    key = day.add(body, compress=compress)
    assert day.publish() == []
    entry = day.ledger()[key]
    assert (entry["format"], entry["rows_read"], entry["error"]) == (kind, 0, None)


def test_the_last_line_may_lack_its_newline(day: LogDay) -> None:
    day.add(log(lines(3))[:-1])
    assert [row["request_id"] for row in day.publish()] == ["id-0", "id-1", "id-2"]


def test_several_gzip_members_are_one_object_and_a_line_may_span_them(day: LogDay) -> None:
    body = log(lines(100))
    key = day.add(b"".join(gzip.compress(body[at : at + 333]) for at in range(0, len(body), 333)), compress=False)
    assert len(day.publish()) == 100
    assert day.ledger()[key]["rows_read"] == 100


@pytest.mark.parametrize("cut", [900, -10, -8, -1])
def test_of_an_object_that_is_cut_off_the_whole_lines_are_kept_and_the_cut_is_recorded(day: LogDay, cut: int) -> None:
    body = log(lines(500))
    data = gzip.compress(body)[:cut]
    key = day.add(data, compress=False)
    result = day.ingest()
    assert result.published
    whole = day.rows()
    assert [row["request_id"] for row in whole] == [f"id-{n}" for n in range(len(whole))]
    assert len(day.rejects()) <= 1
    assert set(day.reasons().values()) <= {"cut_off"}
    assert day.ledger()[key]["error"] == "cut off: gzip ends in the middle"
    (verdict,) = [verdict for verdict in result.verdicts if verdict.check == "objects_whole"]
    assert not verdict.passed
    assert key in verdict.message
    if cut == -8:
        assert len(whole) == 500
    assert_accounted(day)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:2000] + b"\xff" * 20 + data[2020:],
        lambda data: data[:-6] + b"\0\0" + data[-4:],
        lambda data: data + b"garbage",
    ],
    ids=["in the middle", "checksum", "garbage behind"],
)
def test_a_damaged_object_refuses_the_day_and_is_named(day: LogDay, spoil: Any) -> None:
    key = day.add(
        spoil(gzip.compress(log([line(id=random.Random(n).randbytes(20).hex()) for n in range(300)]))), compress=False
    )
    result = day.ingest()
    assert not result.published
    assert f"objects_readable: 1 unreadable: {key}: corrupt gzip" in result.reason
    assert_accounted(day, day.quarantine())


@pytest.mark.parametrize(
    "data", [random.Random(3).randbytes(20_000), b"PAR1", b"PAR1" + b"\0" * 100, b"\x1f\x8b", b"{", b"\0\n" * 50]
)
def test_bytes_that_are_no_log_refuse_the_day_and_crash_nothing(day: LogDay, data: bytes) -> None:
    day.add(data, compress=False)
    day.allow(max_reject_share=0.05)
    day.ingest()
    assert day.rows() == []


# JSON lines


def json_day(day: LogDay, *texts: str | dict[str, Any], name: str = "a") -> list[dict[str, Any]]:
    day.add("".join((text if isinstance(text, str) else json.dumps(text)) + "\n" for text in texts).encode(), name)
    return day.publish()


@pytest.mark.parametrize("names", [FIELDS, V2_NAMES])
def test_json_lines_are_read_as_text_is(day: LogDay, names: list[str]) -> None:
    logged = request(id="1", path="/c", query="oid=5&r=https%3A%2F%2Fx.com", referrer="https://x.com/%20")
    record = {name: logged.get(field, "-") for name, field in zip(names, FIELDS, strict=True)}
    (row,) = json_day(day, record)
    text = usual_row(day, id="1", path="/c", query="oid=5&r=https%3A%2F%2Fx.com", referrer="https://x.com/%20")
    assert without(row) == without(text)
    assert next(iter(day.ledger().values()))["format"] == "json"


def test_nulls_numbers_and_missing_names_in_json(day: LogDay) -> None:
    usual = request(id="1")
    odd = usual | {"sc-status": 404, "sc-bytes": 17, "time-taken": 0.25, "cs(Referer)": None, "x-edge-request-id": "2"}
    fewer = {name: usual[name] for name in ("date", "time", "cs-uri-stem", "sc-status")}
    first, second, third = json_day(day, usual, odd, fewer)
    assert (first["status"], first["bytes_sent"]) == (200, 1045)
    assert (second["status"], second["bytes_sent"], second["time_taken"], second["referrer"]) == (404, 17, 0.25, None)
    assert (third["status"], third["bytes_sent"], third["user_agent"]) == (200, None, None)


def test_values_of_other_kinds_in_json(day: LogDay) -> None:
    rows = json_day(
        day, *(request() | {"sc-bytes": value, "cs-method": value} for value in (True, [1], {"a": 1}, 1e3, ""))
    )
    assert [row["bytes_sent"] for row in rows] == [None] * 5
    assert [row["method"] for row in rows] == ["true", "[1]", '{"a": 1}', "1000.0", None]


def test_what_only_pythons_reader_takes_for_json_is_none(day: LogDay) -> None:
    json_day(day, request(id="1"), *(f'{{"a":{each}}}' for each in ("NaN", "Infinity", "-Infinity")))
    assert list(day.reasons().values()) == ["bad_json"] * 3


BROKEN_JSON = ["{", "}", "[]", "1", "null", '"text"', "{'a': 1}", '{"a":1}{"b":2}', "[" * 100_000, '{"a":' * 100_000,
               '{"a":' + "9" * 10_000 + "}", "{}x", "\0", '{"date":"x"', '{"a":\n']  # fmt: skip


@pytest.mark.parametrize("first", [True, False], ids=["good line first", "bad lines first"])
def test_a_broken_line_of_json_is_rejected_alone(day: LogDay, first: bool) -> None:
    good = [request(id="1"), request(id="2")]
    texts = [good[0], *BROKEN_JSON, good[1]] if first else ["{}", *BROKEN_JSON, *good]
    rows = json_day(day, *texts)
    assert [row["request_id"] for row in rows] == ["1", "2"]
    assert set(day.reasons().values()) <= {"bad_json", "bad_timestamp", "empty_line"}
    assert_accounted(day)


@pytest.mark.parametrize(
    "bomb", ["[" * 400_000, '{"x":' * 100_000, '{"date":' + "[" * 400_000, '{"new":' + "[" * 400_000]
)
def test_deep_nesting_is_one_rejected_line(day: LogDay, bomb: str) -> None:
    assert len(json_day(day, request(id="1"), bomb, request(id="2"))) == 2
    assert list(day.reasons().values()) == ["bad_json"]


def test_two_objects_in_one_line_do_not_shift_the_others(day: LogDay) -> None:
    good = json.dumps(request(id="1"))
    rows = json_day(day, good, good + good, "", json.dumps(request(id="2")))
    assert [(row["request_id"], row["source_line"]) for row in rows] == [("1", 1), ("2", 4)]
    assert day.reasons() == {2: "bad_json", 3: "empty_line"}


def test_a_repeated_key_of_json_counts_at_last_and_a_repeated_field_at_first(day: LogDay) -> None:
    text = json.dumps(request(id="1"))
    rows = json_day(day, text[:-1] + ',"sc-status":"404"}', text[:-1].replace('"1"', '"2"') + ',"sc_status":"404"}')
    assert [row["status"] for row in rows] == [404, 200]


def test_surrogates_and_bytes_that_are_no_utf8_in_json(day: LogDay) -> None:
    text = json.dumps(request(id="1", path="/PATH"))
    body = [text.replace("PATH", r"\ud83d\ude00"), text.replace("PATH", r"\ud800").replace('"1"', '"2"')]
    day.add("\n".join(body).encode() + b"\n")
    day.add(text.replace('"1"', '"3"').encode().replace(b"PATH", b"\xff\xe2\x82") + b"\n", "b")
    first, second, third = day.publish()
    assert first["path"] == "/\U0001f600"
    assert second["path"] in ("/?", "/\ufffd")
    assert third["path"] == "/\ufffd\ufffd"


def test_json_objects_of_one_day_may_have_other_fields(day: LogDay) -> None:
    stamped = {"timestamp(ms)": "1768212000000", "cs-uri-stem": "/ms", "sc-status": "200"}
    day.add(json.dumps(stamped).encode(), "a")
    day.add(json.dumps(request(id="1")).encode(), "b")
    day.add(json.dumps(request(id="2", date="20yy-01-12") | stamped).encode(), "c")
    rows = day.publish()
    assert [row["path"] for row in rows] == ["/ms", "/index.html"]
    assert day.reasons() == {1: "bad_timestamp"}  # a date that is there is not passed over


def test_names_without_end_cost_nothing(day: LogDay) -> None:
    records = [request(id=str(n)) | {f"name-{n}-{m}": "x" for m in range(20)} for n in range(2000)]
    assert len(json_day(day, *records)) == 2000
    assert (
        len(json_day(day, request(id="a") | {f"name-{m}": "x" for m in range(20_000)}, request(id="b"), name="b"))
        == 2002
    )


def test_nothing_private_is_left_of_a_rejected_line_of_json(day: LogDay) -> None:
    record = {"c-ip": "203.0.113.77", "cs(Cookie)": 'a="topsecret"; b=c', "x-forwarded-for": "unknown-secret"}
    for number, names in enumerate(
        (record, {canonical.replace("-", "_"): value for canonical, value in record.items()})
    ):
        text = json.dumps({"date": "x", **names, "zz": None})
        day.add(f"{text}\n{text[:-14]}\n{text}x\n".encode(), f"{number}")
    assert day.publish() == []
    assert len(day.rejects()) == 6
    for row in day.rejects():
        assert not any(secret in row["line"] for secret in ("203.0.113.77", "topsecret", "unknown-secret"))
        assert "[private]" in row["line"]


# Parquet


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def parquet_columns(names: list[str], rows: list[dict[str, str]]) -> dict[str, pa.Array]:
    return {
        name: pa.array([row.get(field) for row in rows], pa.string()) for name, field in zip(names, FIELDS, strict=True)
    }


@pytest.mark.parametrize("names", [FIELDS, V2_NAMES])
@pytest.mark.parametrize("compress", [True, False])
def test_parquet_is_read_as_text_is(day: LogDay, names: list[str], compress: bool) -> None:
    columns = parquet_columns(
        names, [request(id="1"), request(id="2") | {"sc-status": "x", "cs(Cookie)": "a=topsecret"}]
    )
    key = day.add(parquet(columns), compress=compress)
    (row,) = day.publish()
    assert without(row) == without(usual_row(day, id="1"))
    assert (day.ledger()[key]["format"], day.reasons()) == ("parquet", {2: "bad_status"})
    (reject,) = day.rejects()
    assert '"2"' in reject["line"]
    assert "topsecret" not in reject["line"]
    assert "198.51.100.23" not in reject["line"]


def test_parquet_of_other_types_and_with_odd_columns(day: LogDay) -> None:
    arrays = {
        "date": pa.array(["2026-01-12"] * 3).dictionary_encode(),
        "time": pa.array(["10:00:00"] * 3, pa.large_string()),
        "cs-uri-stem": pa.array([b"/a", b"/\xff", b"/c"], pa.binary()),
        "sc-status": pa.array([200, 404, None], pa.int32()),
        "sc-bytes": pa.array([1, None, 3], pa.int64()),
        "time-taken": pa.array([0.25, None, float("nan")]),
        "cs(User-Agent)": pa.Array.from_buffers(pa.string(), 3, pa.array([b"\xff", b"x", b"y"]).buffers()),
        "nested": pa.array([{"a": [1]}, None, {"a": []}]),
    }
    day.add(parquet(arrays))
    first, second = day.publish()
    assert (first["path"], first["bytes_sent"], first["time_taken"], first["user_agent"]) == ("/a", 1, 0.25, "\ufffd")
    assert (second["path"], second["bytes_sent"], second["time_taken"], second["status"]) == (
        "/\ufffd",
        None,
        None,
        404,
    )
    assert day.reasons() == {3: "bad_status"}
    assert next(iter(day.ledger().values()))["unknown_fields"] == ["nested"]


def test_parquet_with_a_column_twice_counts_the_first(day: LogDay) -> None:
    columns = parquet_columns(FIELDS, [request()])
    table = pa.Table.from_arrays([*columns.values(), pa.array(["404"])], names=[*columns, "sc-status"])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    day.add(sink.getvalue())
    assert day.publish()[0]["status"] == 200


def test_parquet_without_rows_or_without_its_end(day: LogDay) -> None:
    whole = parquet(parquet_columns(FIELDS, [request(id=str(n)) for n in range(1000)]))
    day.add(parquet(parquet_columns(FIELDS, [])))
    assert day.publish() == []
    key = day.add(whole[: len(whole) // 2], "b")
    result = day.ingest()
    assert not result.published
    assert f"{key}: corrupt Parquet" in result.reason


def test_large_parquet_comes_in_parts(day: LogDay) -> None:
    count = 40_000
    columns = {name: pa.array([value] * count) for name, value in request().items()}
    columns["x-edge-request-id"] = pa.array([str(n) for n in range(count)])
    day.add(parquet(columns, row_group_size=9_999))
    assert day.ingest().rows_kept == count
    (file,) = day.lake.files("raw")
    found = day.lake.read_table(file.key, ["source_line", "request_id"]).to_pydict()
    assert found["source_line"] == list(range(1, count + 1))
    assert found["request_id"] == [str(n) for n in range(count)]


def test_all_formats_make_one_day(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "BATCH_BYTES", 2000)
    for number in range(6):
        rows = [request(id=f"{number}-{n}") for n in range(7)]
        day.add(log([line(id=f"t{number}-{n}") for n in range(7)]), f"text{number}")
        day.add("\n".join(map(json.dumps, rows)).encode(), f"json{number}")
        day.add(
            parquet(
                parquet_columns(FIELDS, [row | {"x-edge-request-id": f"p{row['x-edge-request-id']}"} for row in rows])
            ),
            f"pq{number}",
        )
    assert len({row["request_id"] for row in day.publish()}) == 126
    assert_accounted(day)


HEADERS: dict[str, tuple[str, ...]] = {
    "usual": tuple(FIELDS),
    "other order": tuple(reversed(FIELDS)),
    "without a date": tuple(name for name in FIELDS if name != "date"),
    "without a time": tuple(name for name in FIELDS if name != "time"),
    "milliseconds": (*FIELDS, "timestamp(ms)"),
    "time and milliseconds": (*(name for name in FIELDS if name != "date"), "timestamp(ms)"),
    "few": ("sc-status", "cs-uri-stem"),
    "unknown names": ("a", "b"),
    "JSON": log_files.JSON_LINES,
}


def _pieces(chosen: random.Random) -> Iterator[log_files.Piece]:
    """Lines under ever changing headers, some of which are none, and some of which come twice."""
    for number in range(300):
        name = chosen.choice(list(HEADERS))
        fields = HEADERS[name]
        values = {"sc-bytes": chosen.choice(["7", "x", "0x1f"]), "timestamp(ms)": "1768212000123"}
        rows = [line(fields, id=f"id-{chosen.randrange(50)}", **values) for _ in range(chosen.randrange(1, 4))]
        if name == "JSON":
            rows = [json.dumps(request(id=f"id-{chosen.randrange(50)}")).encode(), b"{"]
        if chosen.random() < 0.2:
            rows[0] = chosen.choice([b"", b"x", b"a\tb\r", b"sid=4711; x=1\t" * 40])
        data = b"".join(row + b"\n" for row in rows)
        reason = "line_too_long" if chosen.random() < 0.1 else None
        yield log_files.Piece(number // 30, number % 30 * 10, fields, data, len(rows), b"\r" not in data, reason)


def _parsed(batches: Iterable[log_files.RawBatch]) -> list[Any]:
    parser = AccessLogParser(HASH_KEY, parse_day(DAY))
    parts = [parser.parse(batch) for batch in batches]
    counts = [
        sum((Counter({index: each}) for part in parts for index, each in getattr(part, name).items()), Counter())
        for name in ("rows_read", "unreadable_numbers")
    ]
    reasons = sum(
        (Counter({(i, r): n}) for p in parts for i, of in p.rejected.items() for r, n in of.items()), Counter()
    )
    rows = [row for part in parts for row in part.table.to_pylist()]
    ids = [each for part in parts for each in zip(part.object_index, part.day, part.id_hash, part.has_id, strict=True)]
    return [rows, ids, [reject for part in parts for reject in part.rejects], counts, reasons]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.slow
def test_lines_under_many_headers_are_read_together_as_they_are_one_by_one(seed: int) -> None:
    pieces = list(_pieces(random.Random(seed)))
    together = list(log_files.batches(pieces))
    assert len(together) == 1
    alone = [batch for piece in pieces for batch in log_files.batches([piece])]
    assert len(alone) == len(pieces)
    assert _parsed(together) == _parsed(alone)


def test_a_header_that_changes_at_each_line_is_read_once_for_all_its_lines(
    day: LogDay, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (*FIELDS, "x")
    day.add(b"".join(log([line(id=f"a{n}")]) + log([line(other, id=f"b{n}")], other) for n in range(50)))
    read: list[str] = []
    monkeypatch.setattr(AccessLogParser, "parse", _told(AccessLogParser.parse, read))
    monkeypatch.setattr(log_files, "_parse_alike", _told(log_files._parse_alike, read))
    assert [row["source_line"] for row in day.publish()] == [3 * n for n in range(1, 101)]
    assert read == ["_parse_alike", "_parse_alike", "parse"]


def _told(function: Callable[..., Any], called: list[str]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        called.append(function.__name__)
        return function(*given)

    return call
