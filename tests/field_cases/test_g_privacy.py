"""What is personal goes however it is written, and what only looks like it stays: the case's own inputs, and others
that senders and people who redact data have reported."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from ingest.access_logs.files import Piece, batches, note_header
from ingest.access_logs.parser import AccessLogParser
from ingest.days import parse_day
from ingest.rows.batches import ObjectFacts
from ingest.rows.ids import known_ids
from ingest.rows.privacy import keyed_hash, scrub, scrub_column, scrub_json_column, scrub_json_line, scrub_line
from ingest.schema import ACCESS_LOG_FIELDS
from ingest.source import SourceObject
from tests.environment_fixtures import HASH_KEY

OWN = [
    ("oid=ann.secretperson@m%C3%BCller.de&cid=203.0.113.77", "oid=[email]&cid=[ip]"),
    ("pid=%2B44%20(0)%2020%207946%200958", "pid=[phone]"),
    ("x-forwarded-for=10.0.0.1,203.0.113.78", "x-forwarded-for=[ip],[ip]"),
    ("ip=203%2E0%2E113%2E77", "ip=[ip]"),
    ("ann@%65xample.org", "[email]"),
    ("a@m\u00fcller.example", "[email]"),
    ("ann&#64;example.org", "[email]"),
    ("call \uff0b\uff11\uff13\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff19\uff19", "call [phone]"),
    ("tel:+13125550199", "tel:[phone]"),
    ("sess_203.0.113.77_1", "sess_[ip]_1"),
    ("phoneNo=3125550199&userPhone=3125550199", "phoneNo=[phone]&userPhone=[phone]"),
]
GOES = [
    # Escapes of every kind, and kinds within kinds
    ("u=ann%2525252540x.example", "u=[email]"),
    ("u=%61%6E%6E%40x.example", "u=[email]"),
    ("u=ann&#x40;x.example", "u=[email]"),
    ("u=ann&#0064;x&#46;example", "u=[email]"),
    ("u=ann&commat;x&period;example", "u=[email]"),
    ("u=ann%26%2364%3Bx.example", "u=[email]"),
    ("u=ann&amp;#64;x.example", "u=[email]"),
    ("u=ann\\u0040x.example", "u=[email]"),
    ("u=ann\\\\u0040x.example", "u=[email]"),
    ("u=ann\\x40x.example", "u=[email]"),
    ("u=ann%u0040x.example", "u=[email]"),
    ("u=ann\\u{40}x.example", "u=[email]"),
    ("u=ann\\\\u{000040}x\\u{2e}example", "u=[email]"),
    ("u=ann%5Cu%7B40%7Dx.example", "u=[email]"),
    ("ann@\U000e0020x.example", "[email]"),
    ("ann@x.ex\U000e0101ample", "[email]"),
    ("u=ann%F3%A0%80%A0@x.example", "u=[email]"),
    ("\uff41\uff4e\uff4e\uff20\uff58\uff0e\uff4f\uff52\uff47", "[email]"),
    ("ann%EF%BC%A0x.example", "[email]"),
    ("ann\ufe6bx.example", "[email]"),
    ("ann@x\u2024example", "[email]"),
    ("ann@x\u3002example", "[email]"),
    ("an\u200bn@x\u00ad.example", "[email]"),
    # Names and domains beyond ASCII
    ("\u0430\u043d\u043d\u0430@\u043f\u0440\u0438\u043c\u0435\u0440.\u0440\u0444", "[email]"),
    ("ann@xn--mller-kva.example", "[email]"),
    ("ann@mu\u0308ller.de", "[email]"),
    ("m%FCller@x.example", "[email]"),
    ("ann.o'neil+shop_2@mail.x.museum", "[email]"),
    ("mailto:ann@x.example?subject=1", "mailto:[email]?subject=1"),
    ("https://ann:pass@x.example/", "https://ann:[email]/"),
    ("ann@[203.0.113.77]", "[email]"),
    ("ann@x.example.html", "[email].html"),
    ('{"a":"line\\nann@x.example"}', '{"a":"line\\n[email]"}'),
    # Phone numbers
    ("+44.20.7946.0958", "[phone]"),
    ("+49 (0)30 / 1234567", "[phone]"),
    ("+33\u00a01\u00a023\u00a045\u00a067\u00a089", "[phone]"),
    ("+1\u2011312\u2011555\u20110199", "[phone]"),
    ("+\u0661\u0663\u0661\u0662\u0665\u0665\u0665\u0660\u0661\u0669\u0669", "[phone]"),
    ("+1.3125550199", "[phone]"),
    ("+47 22 12 34 56", "[phone]"),
    ("1-312-555-0199", "[phone]"),
    ("id_312-555-0199", "id_[phone]"),
    ("tel-312-555-0199", "tel-[phone]"),
    ("user[phone]=0312+5550199", "user[phone]=[phone]"),
    ("customer_mobile_2=0312/5550199", "customer_mobile_2=[phone]"),
    ("whatsapp=3125550199", "whatsapp=[phone]"),
    # Addresses
    ("cid=2001%3Adb8%3A%3A77", "cid=[ip]"),
    ("ref:2001:db8::77", "ref:[ip]"),
    ("a=::ffff:203.0.113.77", "a=[ip]"),
    ("for=203.0.113.77:4711;by=10.1.2.3", "for=[ip];by=[ip]"),
    ("/u/203.0.113.77/edit", "/u/[ip]/edit"),
    ("utm_term=user-203.0.113.77-x", "utm_term=user-[ip]-x"),
    ("a.203.0.113.77", "a.[ip]"),
    ("203\u30020\u3002113\u300277", "[ip]"),
    ("\u2460\u2461 203&period;0&period;113&period;77", "\u2460\u2461 [ip]"),
]
STAYS = [
    # Signs that stand in other things
    "https://x.example/img/icon@2x.png",
    "logo@1.5x.webp",
    "sprite@large.svg",
    "https://medium.com/@ann/post-1",
    "@media (min-width: 40em)",
    "https://cdn.x.example/npm/react@18.2.0/umd/react.js",
    "npm/@scope/pkg@1.2.3",
    "https://www.google.com/maps/@41.40338,2.17403,17z",
    "ann@localhost",
    "a @ b.example",
    # Versions, networks, hosts
    "Mozilla/5.0 (X11; Linux) Chrome/130.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone) [FBAN/FBIOS;FBAV/454.0.0.174;FBDV/iPhone16,2]",
    "Mozilla/5.0 (Windows; rv:1.9.0.1) Gecko/2008",
    "Instagram 123.0.0.21.114 Android",
    "v1.2.3.4",
    "app_version=1.2.3.4",
    '{"sdkVersion":"4.12.1.7"}',
    "8.2.1.4-beta",
    "0.12.3.4",
    "1.300.2.3",
    "https://203.0.113.7/x",
    "https://ip-203-0-113-77.x.example/",
    "std::vector a::before 10:05:03 2026-01-12T10:05:03+01:00",
    "00:1B:44:11:3A:B7",
    # Numbers
    "q=shoes+4006381333931",
    "ean=4006381333931",
    "LinkedAccountId: 215805592",
    "10023456 2024 1130 0917",
    "0.250750683890174",
    "ll=+52.5200066,+13.404954",
    "date=+20260112",
    "d=a+2026-01-12+10:05",
    "price=1.299,00 +5 -3 +1500000",
    "1768219200000.123",
    "550e8400-e29b-41d4-a716-446655440000",
    "hotel=3125550199&cancel=3125550199&excellent=3125550199",
    "headphone=4006381333931&microphone_id=4006381333931",
    "phone_type=1&mobile_os=17",
    "gclid=Cj0KCQiA1-6sBhAoEiwArqlGPuk_312-QWERTY0199aAtUzEALw_wcB",
    "3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b",
    "GA1.2.1234567890.1768219200",
    "%E2%82%AC 70% %G1 %2 100%25",
    "Tom &amp; Jerry &#8364; caf\u00e9 \u201cquoted\u201d \u2026 \uff0c",
]


@pytest.mark.parametrize(("text", "scrubbed"), OWN + GOES)
def test_g_what_is_personal_goes(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed
    assert scrub_column(pa.array([text, None])).to_pylist() == [scrubbed, None]


@pytest.mark.parametrize("text", STAYS)
def test_g_what_only_looks_like_it_stays(text: str) -> None:
    assert scrub(text) == text


def test_g_both_sides_have_thirty_inputs_of_our_own() -> None:
    assert min(len(GOES), len(STAYS)) >= 30


# Fields by their names

PRIVATE_FIELDS = [
    {"emails": [{"value": "MARK", "type": "home"}]},
    {"a": {"b": {"c": {"d": [{"contact_email_2": "MARK"}]}}}},
    {"customerEmailAddress": "MARK", "userPhone": "555-MARK-12345", "phoneNo": "0312MARK5550"},
    {"orders": [[{"shipping": {"address": {"name": "MARK", "street": "MARK"}}}]]},
    {"customers": [{"name": "MARK"}], "passenger": {"details": {"name": "MARK"}}},
    {"raw": json.dumps({"x": json.dumps({"y": [{"emailAddress": "MARK"}]})})},
    {"cookie": "sid=MARK", "headers": {"Set-Cookie": "MARK", "Authorization": "MARK"}},
    {"fields": [{"id": "email", "value": {"text": "MARK"}}, {"value": "MARK", "label": "First Name"}]},
    {"clientIp": "MARK", "IPv4": "MARK", "x-forwarded-for": ["MARK", "MARK"]},
    {"e-mail": "MARK", "E-Mail Address": "MARK", "your_email_confirm": "MARK"},
]
OTHER_FIELDS = [
    {"email_campaign": "spring", "emailOptIn": True, "has_email": "yes", "mail": 3, "email": None, "phone": ""},
    {"phone_type": "home", "mobile_os": "iOS", "is_mobile": 1, "mobile": False, "headphones": "Sony 12345"},
    {"zipfile": "a", "shipping_method": "air", "trip": "1", "web_address": "x.example", "filename": "a.txt"},
    {"product": {"name": "Shoe"}, "user": {"plan": {"name": "pro"}}, "items": [{"name": "a", "value": 1, "value2": 1}]},
    {"value": 1.10, "big": 123456789012345678901234567890, "exp": 1e400 if False else 1e40},
]


@pytest.mark.parametrize("fields", PRIVATE_FIELDS, ids=lambda fields: ",".join(fields))
def test_g_private_fields_go_at_any_depth(fields: dict[str, object]) -> None:
    text = json.dumps(fields)
    [scrubbed] = scrub_json_column(pa.array([text])).to_pylist()
    assert "MARK" not in scrubbed
    assert json.loads(scrubbed).keys() == fields.keys()
    broken = text[:-1]
    assert "MARK" not in scrub_line(scrub_json_line(broken))


@pytest.mark.parametrize("fields", OTHER_FIELDS, ids=lambda fields: ",".join(fields))
def test_g_other_fields_stay_as_they_are_written(fields: dict[str, object]) -> None:
    text = json.dumps(fields)
    assert scrub_json_column(pa.array([text])).to_pylist() == [text]


def test_g_what_stays_of_a_scrubbed_event_is_as_it_was_written() -> None:
    text = '{"a":1.10,"a":2, "email":"x", "big":1e400,"n":"\\u00e9"}'
    assert scrub_json_column(pa.array([text])).to_pylist() == [text.replace('"x"', '"[private]"')]


# Ids


def test_g_an_id_is_one_however_its_address_is_written() -> None:
    ids = ["ann@x.example", "ANN%40x.example", "ann&#64;x.example ", "sess_203.0.113.77_1", "user-1", None]
    found = known_ids(pa.array(ids), keyed_hash(HASH_KEY)).to_pylist()
    assert found[0] == found[1] == found[2] == keyed_hash(HASH_KEY)("ann@x.example")
    assert found[3] == keyed_hash(HASH_KEY)("sess_203.0.113.77_1")
    assert found[4:] == ["user-1", None]


# Columns and names of logs

GOOD = {"date": "2026-01-12", "time": "10:00:00", "cs-uri-stem": "/c", "sc-status": "302", "c-ip": "203.0.113.9"}


def row(**values: str) -> list[str]:
    known = GOOD | {name.replace("_", "-"): value for name, value in values.items()}
    return [known.get(name, "-") for name in ACCESS_LOG_FIELDS]


def parsed(*lines: list[str]) -> list[dict[str, object]]:
    data = "".join("\t".join(values) + "\n" for values in lines).encode()
    piece = Piece(0, 1, ACCESS_LOG_FIELDS, data, len(lines))
    [batch] = batches([piece])
    return AccessLogParser(HASH_KEY, parse_day("2026-01-12")).parse(batch).table.to_pylist()


@pytest.mark.parametrize(
    "field",
    [
        "cs-method", "cs(Host)", "x-host-header", "x-edge-request-id", "x-edge-location", "x-edge-result-type",
        "cs-protocol", "ssl-protocol", "ssl-cipher", "fle-status", "sc-content-type", "x-edge-detailed-result-type",
        "cs(User-Agent)", "cs(Referer)", "cs-uri-query",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["ann%40x.example", "203.0.113.77", "%2B44%20(0)%2020%207946%200958"])
def test_g_every_text_column_of_a_log_is_scrubbed(field: str, value: str) -> None:
    values = row()
    values[ACCESS_LOG_FIELDS.index(field)] = value
    [found] = parsed(values)
    assert [each for each in ("x.example", "203.0", "7946") if each in json.dumps(found, default=str)] == []


@pytest.mark.parametrize("at", range(4, 13))
def test_g_a_stray_tab_moves_no_cookie_into_another_column(at: int) -> None:
    values = row(**{"cs(Cookie)": "sid=MARKED;%20uid=MARKED", "x_forwarded_for": "203.0.113.77,%20203.0.113.78"})
    more = [*values[:at], "stray", *values[at:]]
    less = [*values[:at], values[at] + values[at + 1], *values[at + 2 :]]
    text = json.dumps(parsed(row(), more, less), default=str)
    assert [each for each in ("MARKED", "203.0.113.7") if each in text] == []


def test_g_a_line_that_was_only_cut_off_keeps_its_query() -> None:
    values = row(**{"cs-uri-query": "oid=5"})[:12]
    assert [each["order_id"] for each in parsed(values)] == ["5"]


def test_g_names_of_fields_objects_and_sites_are_scrubbed() -> None:
    facts = ObjectFacts()
    note_header(facts, ["date", "time", "cs-uri-stem", "sc-status", "ann@x.example", "203.0.113.77"])
    assert facts.unknown_fields == {"[email]", "[ip]"}
    key = "domain=Ann%40x.example/year=2026/203.0.113.77/E1.2026-01-12-10.gz"
    item = SourceObject("2026-01-12-10", key, 1, "e1", None)  # type: ignore[arg-type]
    assert item.site == "[email]"
    assert item.name == "domain=[email]/year=2026/[ip]/E1.2026-01-12-10.gz#e1"
    plain = "domain=shop.example/E1.2026-01-12-10.1a2b.gz"
    assert SourceObject("2026-01-12-10", plain, 1, "e1", None).name == plain  # type: ignore[arg-type]
