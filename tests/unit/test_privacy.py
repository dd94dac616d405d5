"""Keyed hashes, networks of addresses, and what is scrubbed from text."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.errors import SettingsError
from ingest.privacy import keyed_hash, normal_address, scrub, scrub_column, scrub_line
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
     "1.2.3.4", "v=1.2.3.4", "https://203.0.113.7/x", "zip=98101", "ip=abc", "v=120.5.1234",
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
