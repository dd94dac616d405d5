"""Events that the native core reads are the same, to the last count, as those of the Python way."""

from __future__ import annotations

import random
import secrets
import time

import pyarrow as pa
import pytest

from ingest.events.addresses import PageAddresses
from ingest.events.engine import Engine
from ingest.events.files import EventBatch
from ingest.events.native import NativeReader, Ordinary
from ingest.events.shapes import shapes
from ingest.native import library
from ingest.native.library import NATIVE, PYTHON, core
from tests import native_events
from tests.event_lines import line, pixel
from tests.native_events import batch, difference, parser

pytestmark = pytest.mark.skipif(core() is None, reason="no native core is compiled here")
AT_ONCE = 1_000  # lines
CI_SECONDS, LONG_SECONDS = 15, 3_600


def read(lines: EventBatch) -> Ordinary:
    """What the core makes of lines."""
    loaded = library._loaded().core  # whichever way was chosen last
    assert loaded
    return NativeReader(loaded).read(lines, native_events.EVENT_KEYS, lines.object_index)


def assert_equal_both_ways(content: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    lines = batch(content)
    native, python = (parser(way, monkeypatch).parse(lines) for way in (NATIVE, PYTHON))
    assert difference(native, python) is None


ORDINARY = [
    pixel(page={"title": "Straße", "referrer": None, "hash": "#a"}, browser={"screenWidth": 1920, "x": 1.5}),
    pixel(timestamp=1_768_212_000),
    pixel(timestamp="2026-01-12 10:00:00.5+02:00", eventData={"value": "12.50", "items": [1, {"a": None}]}),
    pixel(url='https://example.com/a?"b"', theme={"dark": True}, schema_version=1),
    pixel(identity={"id": [1, 2.5, "\u0001"]}, transactionId={"no": 1}, eventId="evt_12"),
]
ODD = [
    b"{",
    line(pixel(timestamp="2026-01-12T10:00:60Z")),  # a leap second
    line(pixel(timestamp="never")),
    line(pixel(eventType="")),
    line(pixel(eventType="batch", events=[{"eventId": "1"}])),
    line(pixel(eventId="{{id}}")),
    line(pixel(schema_version=7)),
    line(pixel(theme=10**30)),
    line(pixel(theme=1e-7)),
    line(pixel(theme=float("nan"))),
    line(pixel(visitorId=["a"])),
    line(pixel(visitorId="v" * 513)),
    line([pixel()]),
    line({"hello": 1}),
    line({"eventType": "click", "timestamp": "2026-01-12T10:00:00Z"}),
    line(pixel())[:-1] + b', "siteId": "twice"}',
    line(pixel())[:-1] + b', "theme": "\\ud83d"}',
    line(pixel())[:-1] + b', "theme": "\\u0000"}',
    line(pixel())[:-1] + b', "site\\u0049d": "x"}',
    line(pixel())[:-1] + b', "theme": 01}',
    line(pixel())[:-1] + b', "theme": -0}',
    line(pixel())[:-1] + b', "theme": "\x01"}',
    line(pixel())[:-1] + b', "theme": ' + b"[" * 100 + b"]" * 100 + b"}",
    line(pixel(**{f"k{number}": 1 for number in range(100)})),
]


def test_ordinary_lines_are_read_by_the_core() -> None:
    found = read(batch([line(each) + b"\n" for each in ORDINARY]))
    assert found.odd.tolist() == []
    assert len(found) == len(ORDINARY)


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_all_other_lines_are_left_to_python(odd: int) -> None:
    found = read(batch([line(pixel()) + b"\n", ODD[odd] + b"\n", line(pixel()) + b"\n"]))
    assert found.odd.tolist() == [1]
    assert found.own["line"].to_pylist() == [0, 2]


def test_rows_keep_the_order_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = [line(each) + b"\n" for each in ORDINARY]
    content = [each for odd in ODD for each in (*usual, odd + b"\n", usual[0])]
    assert_equal_both_ways(content, monkeypatch)


def test_blanks_and_line_ends_make_no_difference_but_to_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    content = [line(each) + end for each in ORDINARY for end in (b"\n", b"\r\n", b" \t\n")]
    assert len(read(batch(content))) == len(content)
    assert_equal_both_ways(content, monkeypatch)


def test_a_batch_with_many_fields_of_its_own_is_read_the_python_way(monkeypatch: pytest.MonkeyPatch) -> None:
    content = [line(pixel(**{f"k{row}_{number}": 1 for number in range(20)})) + b"\n" for row in range(10)]
    assert len(read(batch(content))) == len(content)
    assert_equal_both_ways(content, monkeypatch)


def test_a_core_that_fails_leaves_the_lines_to_python(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    content = [line(each) + b"\n" for each in ORDINARY]
    broken = parser(NATIVE, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr("ingest.events.native.Texts", native_events.WithWrongEnd)
        failed = broken.parse(batch(content))
    assert "the native core failed, a check failed: index out of bounds" in caplog.text
    assert difference(failed, parser(PYTHON, monkeypatch).parse(batch(content))) is None


def test_a_reader_forgets_the_batch_before(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (batch([line(each) + b"\n" for each in events]) for events in (ORDINARY, ORDINARY[:1]))
    reused, fresh = parser(NATIVE, monkeypatch), parser(NATIVE, monkeypatch)
    reused.parse(one)
    assert difference(reused.parse(other), fresh.parse(other)) is None


def test_empty_objects_are_left_out_only_where_a_schema_takes_them_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    event = pixel(page={"title": "a"}, browser={}, theme={"x": 1, "page": {}}, attribution={"firstTouch": {}})
    python = parser(PYTHON, monkeypatch).parse(batch([line(event) + b"\n"]))
    expected = '{"theme":{"x":1,"page":{}},"attribution":{"firstTouch":{}}}'
    assert python.table.column("properties").to_pylist() == [expected]
    assert_equal_both_ways([line(event) + b"\n"], monkeypatch)


def test_objects_that_are_taken_apart_lie_at_the_top() -> None:
    """The general way removes no empty objects below it."""
    for shape in shapes():
        parted = [each for each in shape.root.fields if each.fields and not (each.is_free or each.is_kept)]
        assert not [below for each in parted for below in each.fields if below.fields]


def fuzz(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = secrets.randbelow(1 << 32)
    print(f"seed {seed}")
    native, python = parser(NATIVE, monkeypatch), parser(PYTHON, monkeypatch)
    end = time.monotonic() + seconds
    read_natively = 0
    while time.monotonic() < end:
        lines = batch(native_events.lines(random.Random(seed), AT_ONCE))
        read_natively += len(read(lines))
        found = difference(native.parse(lines), python.parse(lines))
        assert found is None, f"seed {seed}: {found}"
        seed += 1
    assert read_natively


@pytest.mark.slow
def test_random_lines_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(CI_SECONDS, monkeypatch)


@pytest.mark.long(part=False)
@pytest.mark.timeout(LONG_SECONDS + 600)
def test_random_lines_are_read_alike_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    fuzz(LONG_SECONDS, monkeypatch)


ADDRESSES = (
    *("https://example.com/a/b?utm_source=x&y=1#top", "http://h", "https://h?x=1", "https://h#f?x=1", "https://h/#?="),
    *("/p", "/p?x=1#y", "/", "//h/p", "https://h:80/p", "https://u@h/p", "https://H.example/p", "https://münchen.de/"),
    *("HTTPS://h/p", "ftp://h/p", "https://", "https:///p", "https://[::1]/p", " https://h/p", "p?x=1", "", "?x=1"),
    *(
        "https://h/p?",
        "https://h/p?x",
        "https://h/a=b?x",
        "https://h/?=#",
        "https://h\\p",
        "https://h\n/p",
        "https://h/\u00e9",
    ),
)


def test_addresses_are_taken_apart_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    pieces = ("https://", "http:", "//", "/", "h.example", "A", "?", "#", "=", "x=1", "&", ":", "@", "é", " ", "\n")
    made = ("".join(rng.choices(pieces, k=rng.randrange(1, 7))) for _ in range(3_000))
    texts = pa.array(dict.fromkeys((*ADDRESSES, *made, None)), pa.string())
    reader = PageAddresses(Engine().run)
    native = reader._taken_apart(texts)
    monkeypatch.setattr(library, "_chosen", PYTHON)
    assert native == reader._taken_apart(texts)
