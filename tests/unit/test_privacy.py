"""Keyed hashes, networks of addresses, and what is scrubbed from text."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import random
from collections.abc import Callable
from itertools import product
from urllib.parse import quote

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.errors import SettingsError
from ingest.rows.privacy import (
    keyed_hash,
    normal_address,
    scrub,
    scrub_column,
    scrub_json_column,
    scrub_json_line,
    scrub_line,
    scrub_machine_ids,
)
from ingest.rows.privacy.columns import FEW
from ingest.rows.privacy.fields import scrub_json
from ingest.rows.privacy.names import kind_of
from tests.log_lines import QUICK

# What e-mail addresses, phone numbers and escapes are made of: such text meets the expressions far more often.
PIECES = st.sampled_from(
    "@ %40 %2540 ann x.org . %2E %252E + %2B %252B - ( ) %28 %29 %20 312 555 0199 13125550199 tel= phone: mobile%3D "
    "fax%253d %26 %2526 %3F ip= addr%3D for%253D 203.0.113.7 2001:db8::1 %3A & = % %25 é".split()
)
TEXT = st.lists(PIECES | st.text(max_size=3), max_size=12).map("".join)


@QUICK
@given(st.text(min_size=16, max_size=200), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_hash_is_hmac_sha256_cut_to_128_bits(key: str, text: str) -> None:
    key = key.encode("utf-8", "replace").decode()
    expected = hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()[:32]
    assert keyed_hash(key)(text) == expected


def test_a_key_that_could_be_guessed_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError, match="CLICKLAKE_HASH_KEY") as raised:
        keyed_hash("tooshort")
    assert "tooshort" not in str(raised.value)


@pytest.mark.parametrize(
    ("logged", "address", "network"),
    [
        ("192.0.2.10", "192.0.2.10", "192.0.2.0/24"),
        ("192.0.2.10:443", "192.0.2.10", "192.0.2.0/24"),
        ("::ffff:192.0.2.10", "192.0.2.10", "192.0.2.0/24"),
        ("[::ffff:192.0.2.10]:443", "192.0.2.10", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("2001:0DB8:0001:0002:0000:0000:0000:0003", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("[2001:db8:1:2::3]:8080", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("[2001:db8:1:2::3]", "2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::1", "fe80::/48"),
        ("::1", "::1", "::/48"),
    ],
)
def test_addresses_have_one_form_and_a_network(logged: str, address: str, network: str) -> None:
    assert normal_address(logged) == (address, network)


@pytest.mark.parametrize(
    "logged",
    ["", "-", "unknown", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4:80:90", "[", "[]", ":", "\0", "é", "1.2.3.4\0"],
)
def test_what_is_no_address_is_none(logged: str) -> None:
    assert normal_address(logged) is None


@QUICK
@given(st.ip_addresses(v=4))
def test_the_network_of_any_ipv4_address_is_its_24(address: ipaddress.IPv4Address) -> None:
    network = ipaddress.ip_network(f"{address}/24", strict=False)
    assert normal_address(str(address)) == (str(address), str(network))


@QUICK
@given(st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None))
def test_the_network_of_any_ipv6_address_is_its_48(address: ipaddress.IPv6Address) -> None:
    found = normal_address(address.exploded)
    assert found is not None
    assert ipaddress.ip_address(found[0]) == address
    assert ipaddress.ip_network(found[1]) == ipaddress.ip_network(f"{address}/48", strict=False)


@QUICK
@given(st.text(max_size=50))
def test_no_text_makes_an_address_fail(text: str) -> None:
    normal_address(text)


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("mail=ann@example.org&x=1", "mail=[email]&x=1"),
        ("mail=ann%40example.org&x=1", "mail=[email]&x=1"),
        ("mail=ann%2540example%252Eorg&x=1", "mail=[email]&x=1"),
        ("mail=ann.o'brown+tag@mail.example.co.uk", "mail=[email]"),
        ("mail=ann%2Ebrown%2Btag%40example.org", "mail=[email]"),
        ("u%3Dann%40example.org%26v%3D1", "u%3D[email]%26v%3D1"),
        ("https://x.com/u/ann@example.org/edit", "https://x.com/u/[email]/edit"),
        ("a@b.org,c@d.org", "[email],[email]"),
        ("+13125550199", "[phone]"),
        ("call=%2B1%20312%20555%200199&x=1", "call=[phone]&x=1"),
        ("call=%252B13125550199", "call=[phone]"),
        ("312-555-0199", "[phone]"),
        ("(312) 555-0199", "[phone]"),
        ("%28312%29%20555-0199", "[phone]"),
        ("phone=3125550199&x=1", "phone=[phone]&x=1"),
        ("msisdn%3D3125550199", "msisdn%3D[phone]"),
        ("phone[0]=3125550199", "phone[0]=[phone]"),
        ("phone[]=3125550199&x[]=1", "phone[]=[phone]&x[]=1"),
        ("mobile%5B%5D=3125550199", "mobile%5B%5D=[phone]"),
        ("tel%255B0%255D=3125550199", "tel%255B0%255D=[phone]"),
        ("user[phone]=3125550199", "user[phone]=[phone]"),
        ("user[phone][0]=3125550199", "user[phone][0]=[phone]"),
        ("phones[home][0]=3125550199", "phones[home][0]=[phone]"),
        ("Tel:312 555 0199", "Tel:[phone]"),
        (
            "r=https%3A%2F%2Fx.com%3Fphone%3D3125550199%26tel%3D3125550199",
            "r=https%3A%2F%2Fx.com%3Fphone%3D[phone]%26tel%3D[phone]",
        ),
        ("r=x%253Fphone%253D3125550199", "r=x%253Fphone%253D[phone]"),
        ("q=call%20312-555-0199", "q=call%20[phone]"),
        ("q%253D312%2D555%2D0199", "q%253D[phone]"),
        ("ip=203.0.113.77&x=1", "ip=[ip]&x=1"),
        ("r=x%3Fip%3D2001%3Adb8%3A%3A1%26b", "r=x%3Fip%3D[ip]%26b"),
        ("client_ip=[2001:db8::1]:80&x-forwarded-for=203.0.113.77", "client_ip=[ip]&x-forwarded-for=[ip]"),
        ("remote_addr%253D203.0.113.77", "remote_addr%253D[ip]"),
    ],
)
def test_email_addresses_phone_numbers_and_named_addresses_become_markers(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    "text",
    ["", "oid=3125550199", "2026-01-12", "300x250", "id=123456789012", "a@b", "@", "x@y.",
     "v=1.2.3.4", "https://203.0.113.7/x", "zip=98101", "ip=abc", "v=120.5.1234",
     "c=550e8400-e29b-41d4-a716-446655440000", "t=1768219200000", "%E2%82%AC"],
)  # fmt: skip
def test_ids_dates_and_sizes_stay(text: str) -> None:
    assert scrub(text) == text


@QUICK
@given(TEXT)
@example("%2540a@b.org")
@example("++1111111111")
@example("tel=+1 312 555 0199 +13125550199")
def test_what_is_scrubbed_is_clean(text: str) -> None:
    assert scrub(scrub(text)) == scrub(text)


@QUICK
@given(st.text(st.characters(exclude_characters="@%0123456789", exclude_categories=["Cs"])))
def test_text_without_digits_and_at_signs_is_left_as_it_is(text: str) -> None:
    assert scrub(text) == text


@QUICK
@given(st.lists(TEXT.map(lambda text: text.encode("utf-8", "replace").decode()) | st.none(), max_size=8))
def test_a_column_is_scrubbed_as_its_values_are(values: list[str | None]) -> None:
    expected = [None if value is None else scrub(value) for value in values]
    assert scrub_column(pa.array(values, pa.string())).to_pylist() == expected
    others = ["something else"] * FEW  # so many that patterns are searched for
    assert scrub_column(pa.array(values + others, pa.string())).to_pylist() == expected + others


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("10:05:03\t192.0.2.10\tGET", "10:05:03\t[ip]\tGET"),
        ("192.0.2.10:443", "[ip]"),
        ("2001:db8::1", "[ip]"),
        ("198.51.100.7,%2085.1.2.3,%252085.1.2.3", "[ip],%20[ip],%2520[ip]"),
        ('{"c-ip":"2001:db8::1","time":"10:05:03"}', '{"c-ip":"[ip]","time":"10:05:03"}'),
        ("085.001.002.003", "[ip]"),
        ("2026-01-12\t10:05:03\t300\t0.005", "2026-01-12\t10:05:03\t300\t0.005"),
        ("x ann@example.org", "x [email]"),
    ],
)
def test_a_rejected_line_loses_its_addresses_too(text: str, scrubbed: str) -> None:
    assert scrub_line(text) == scrubbed


@QUICK
@given(
    st.ip_addresses(),
    st.sampled_from(["", "\t", "%20", "%2520", ", ", "ip=", "[", '"']),
    st.sampled_from(["", "\t", ",", "]:80", '"', "."]),
)
def test_no_address_survives_in_a_rejected_line(address: object, before: str, after: str) -> None:
    text = str(address)
    scrubbed = scrub_line(before + text + after)
    assert text not in scrubbed or len(text) <= 2  # `::` is in any line


PERSONAL = ("203.0.113.77", "2001:db8:77::77", "ann.marked", "555-7788", "5557788", "Annabel")
PRIVATE_FIELDS = [
    {"message": "login from 203.0.113.77 failed, then from 2001:db8:77::77"},
    {"headers": {"X-Forwarded-For": "203.0.113.77, 10.0.0.1", "X-Real-IP": "203.0.113.77, 203.0.113.77"}},
    {"headers": {"Forwarded": 'for="[2001:db8:77::77]:4711";by=203.0.113.77'}},
    {"headers": "Host: x\r\nX-Client-IP: 203.0.113.77\r\n"},
    {"ips": ["203.0.113.77", "2001:db8:77::77"]},
    {"email": {"value": "ann.marked@example.org"}},
    {"phone": 3125557788, "phones": ["3125557788"], "mobilePhone": "3125557788", "phone1": "3125557788"},
    {"phone": {"number": "3125557788"}, "contact_phone": "3125557788", "cell": "3125557788", "Tel": "3125557788"},
    {"billing": {"telephone_number": "3125557788", "name": "Annabel"}},
    {"customer_name": "Annabel", "your-name": "Annabel", "lname": "Annabel", "form": {"name": "Annabel"}},
    {"fields": [{"name": "phone", "value": "3125557788"}, {"name": "firstName", "type": "text", "value": "Annabel"}]},
    {"payload": json.dumps({"first_name": "Annabel", "inner": json.dumps({"phone": "3125557788"})})},
]
KNOWN_BY_WHAT_FOLLOWS = [
    {"ann.marked@example.org": 1},
    {"fields": [{"value": "Annabel", "name": "last_name"}]},
]


@pytest.mark.parametrize("fields", [*PRIVATE_FIELDS, *KNOWN_BY_WHAT_FOLLOWS], ids=lambda fields: ",".join(fields))
def test_private_fields_of_json_go_and_it_stays_json(fields: dict[str, object]) -> None:
    text = json.dumps(fields)
    assert any(value in text for value in PERSONAL)
    [scrubbed] = scrub_json_column(pa.array([text], pa.string())).to_pylist()
    assert json.loads(scrubbed).keys() == {scrub(key) for key in fields}
    assert [value for value in PERSONAL if value in scrubbed] == []


@pytest.mark.parametrize("fields", PRIVATE_FIELDS, ids=lambda fields: ",".join(fields))
@pytest.mark.parametrize("written", [json.dumps, repr, lambda fields: json.dumps(json.dumps(fields))])
def test_private_fields_go_from_a_line_that_is_broken_at_any_place(written: object, fields: dict[str, object]) -> None:
    text = written(fields)  # type: ignore[operator]
    for end in range(len(text) + 1):
        scrubbed = scrub_line(scrub_json_line(text[:end]))
        assert [value for value in PERSONAL if value in scrubbed] == []


def test_a_line_that_ends_within_an_email_address_does_not_show_its_beginning() -> None:
    assert scrub_line(scrub_json_line('{"a": "ann.marked@exa')) == '{"a": "[email]'


def test_an_escaped_at_sign_hides_no_address_in_a_line() -> None:
    assert scrub_line(scrub_json_line('{"a": "ann.marked\\u0040example.org')) == '{"a": "[email]'


@pytest.mark.parametrize(
    "fields",
    [
        {"agent": "Chrome/120.0.0.0", "link": "https://203.0.113.7/x", "time": "10:05:03", "sdk": "v1.2.3.4"},
        {"hotel": "Hilton", "product": {"name": "Shoe", "id": "7"}, "category": "phones", "value": "12.50"},
        {"formId": "newsletter", "step": {"name": "checkout"}, "is_mobile": True, "mobile": False, "count": 3125557788},
    ],
)
def test_other_fields_of_json_stay(fields: dict[str, object]) -> None:
    text = json.dumps(fields)
    assert scrub_json_column(pa.array([text], pa.string())).to_pylist() == [text]


def test_addresses_go_from_prose() -> None:
    values = ["Your IP is 203.0.113.77.", "Chrome/120.0.0.0", None, "from 2001:db8::77 at 10:05:03"]
    expected = ["Your IP is [ip].", "Chrome/120.0.0.0", None, "from [ip] at 10:05:03"]
    assert scrub_column(pa.array(values, pa.string())).to_pylist() == expected


def _of_signs(write: Callable[[str], str]) -> Callable[[str], str]:
    """Writes each character that is neither letter nor digit."""
    return lambda text: "".join(each if each.isalnum() else write(each) for each in text)


_ENTITIES = {
    "@": "commat",
    ".": "period",
    "+": "plus",
    "-": "hyphen",
    " ": "nbsp",
    ":": "colon",
    "(": "lpar",
    "&": "amp",
}
_OTHER_ENTITIES = _ENTITIES | {"-": "ndash", " ": "ensp"}
ENCODINGS: dict[str, Callable[[str], str]] = {
    "percent": lambda text: quote(text, safe=""),
    "percent, all": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "entities": lambda text: "".join(f"&{_ENTITIES[each]};" if each in _ENTITIES else each for each in text),
    "other entities": lambda text: "".join(
        f"&{_OTHER_ENTITIES[each]};" if each in _OTHER_ENTITIES else each for each in text
    ),
    "decimal entities": _of_signs(lambda each: f"&#{ord(each)};"),
    "hexadecimal entities": lambda text: "".join(f"&#x{ord(each):x};" for each in text),
    "json": _of_signs(lambda each: f"\\u{ord(each):04x}"),
    "json, all": lambda text: "".join(f"\\u{ord(each):04x}" for each in text),
    "javascript": _of_signs(lambda each: f"\\x{ord(each):02x}" if ord(each) < 256 else each),
    "full width": lambda text: "".join(chr(ord(each) + 0xFEE0) if 33 <= ord(each) < 127 else each for each in text),
    "soft hyphens": lambda text: "&shy;".join(text),
    "Latin-1 soft hyphens": lambda text: "%AD".join(text),
    "and sign": lambda text: text.replace("&", "&amp;"),
    "AND SIGN": lambda text: text.replace("&", "&AMP;"),
    "JavaScript's escape()": _of_signs(lambda each: f"%u{ord(each):04X}"),
}
WRITTEN = (
    "ann.lee@example.org",
    "203.0.113.77",
    "2001:db8:85a3::8a2e:370:7334",
    "+13125550199",
    "+1 312 555 0199",
    "+1_312/555·0199",
    "312-555-0199",
    "(312) 555-0199",
    "phone=3125550199",
    "user[phone_number] = 3125550199",
    '{"phone":"+13125550199"}',
)


@pytest.mark.parametrize("value", WRITTEN)
def test_no_way_of_writing_passes_the_filter_of_whole_columns(value: str) -> None:
    """What `scrub` finds in one text is found in a column of them: RE2 only chooses what is looked at."""
    some = random.Random(value)
    chains = [*product(ENCODINGS, repeat=1), *product(ENCODINGS, repeat=2)]
    chains += [tuple(some.choices(list(ENCODINGS), k=3)) for _ in range(400)]
    texts = []
    for chain in chains:
        text = value
        for name in chain:
            text = ENCODINGS[name](text)
        texts.append(f"a={text}"[:20_000])
    expected = [scrub(text) for text in texts]
    assert sum(text != was for text, was in zip(expected, texts, strict=True)) > len(texts) / 4
    assert scrub_column(pa.array(texts)).to_pylist() == expected


_PRIVATE_NAMES = [
    *"first_name user[first_name] user[password] card_no card-no cc_no cardNumber email e-mail mail[0] phone I.P. "
    "d.o.b S-S-N cvv iban zip_code postCode post-code address[street] customer[birthday] telefono faxNo "
    "X-Forwarded-For xff clientIp Set-Cookie pass-word passwd pwd secret surname whatsapp msisdn gsm mobile".split(),
    "First name *",
    "card no",
    "first\u00a0name",
    "First name (required)",
]


@pytest.mark.parametrize("name", _PRIVATE_NAMES)
@pytest.mark.parametrize("behind", ["", "[]", "*", ":", "?", " !", "_2", "[0]"])
def test_no_private_name_passes_the_filter_of_json_columns(name: str, behind: str) -> None:
    key, value = name + behind, "7" * 16
    assert kind_of(key), "the name must be private for the test to say something"
    events: list[dict[str, object]] = [
        {key: value},
        {"a": {key.upper(): value}},
        {"fields": [{"name": key, "value": value}]},
        {"fields": [{"label": key.title(), "type": "text", "value": value}]},
    ]
    texts = [json.dumps(event, ensure_ascii=False) for event in events]
    texts += [json.dumps({"inner": text}, ensure_ascii=False) for text in texts]
    assert len(texts) < FEW < len(texts) * 8
    texts *= 8
    assert scrub_json_column(pa.array(texts)).to_pylist() == [scrub(scrub_json(text)) for text in texts]
    assert not any(value in text for text in map(scrub_json, texts[:3]))


def test_a_request_id_is_scrubbed_whatever_stands_beside_it() -> None:
    numbers = ["A" * 20 + "_312-555-0177_" + "B" * 20, "tel=3125550177" + "C" * 30]
    others = [f"{number:056d}" for number in range(100)]
    for beside in ([], others, ["short"], ["a@b"]):
        found = scrub_machine_ids(pa.array([*numbers, *beside])).to_pylist()
        assert "5550177" not in "".join(found[:2])
        assert found[2:] == beside


_PIECES = ["tel", "fax", "Phone", "=", "==", "-", "--", "_", "312", "555", "0177", "3125550177", "a", "Zz", "7"]


@example(["312-555-0177=", "=", None, "", "tel=3125550177=="])
@example(["a" * 20 + "==", "3125550177", *["b--312--555-0177"] * 40])
@given(st.lists(st.none() | st.lists(st.sampled_from(_PIECES), max_size=12).map("".join), max_size=40))
def test_ids_are_scrubbed_as_any_text(ids: list[str | None]) -> None:
    assert scrub_machine_ids(pa.array(ids, pa.string())).to_pylist() == [each and scrub(each) for each in ids]


@pytest.mark.parametrize(
    "field", ["customer", "billing_details", "customerInfo", "user[0]", "form_data", "Shipping data"]
)
def test_a_plain_name_is_private_in_what_tells_of_people(field: str) -> None:
    assert "Ann" not in scrub_json(json.dumps({field: {"name": "Ann", "n": 1}}))


@pytest.mark.parametrize("field", ["product_details", "campaign", "item", "page_info", "metadata", "formation"])
def test_a_plain_name_of_a_thing_stays(field: str) -> None:
    assert "Ann" in scrub_json(json.dumps({field: {"name": "Ann", "n": 1}}))


@pytest.mark.parametrize("name", ["phone[0]", "phone[]", "mobile%5B%5D", "tel%255B0%255D", "user[phone][0]", "a[tel]"])
def test_columns_find_numbers_with_an_index(name: str) -> None:
    texts = [f"{name}=3125550199&n={number}" for number in range(FEW + 1)]
    assert scrub_column(pa.array(texts)).to_pylist() == [scrub(text) for text in texts]
    assert "3125550199" not in scrub(texts[0])


@pytest.mark.parametrize("text", ["item[12]=3125550199", "order[phone_case]=3125550199", "phone[model]x=3125550199"])
def test_numbers_of_other_things_with_an_index_stay(text: str) -> None:
    assert scrub(text) == text
