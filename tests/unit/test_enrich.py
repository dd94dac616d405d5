"""User agents, places, and the cache of both."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ingest.rows import enrich
from ingest.rows.clients import Clients
from ingest.rows.enrich import Geo, Remembered, parse_user_agent
from ingest.rows.privacy import keyed_hash


@pytest.mark.parametrize(
    ("agent", "category", "browser", "system", "is_bot"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537",
         "desktop", "Chrome", "Windows", False),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
         "Mobile/15E148 Safari/604.1", "mobile", "Mobile Safari", "iOS", False),
        ("Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 "
         "Mobile/15E148 Safari/604.1", "tablet", "Mobile Safari", "iOS", False),
        ("Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
         "tablet", "Chrome", "Android", False),
        ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36",
         "tv", None, None, False),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot", "Googlebot", None, True),
        ("curl/8.4.0", "program", "curl", None, True),
        ("python-requests/2.31", "program", "Python Requests", None, True),
        ("", "other", None, None, False),
        ("\0\ufffd" * 5000, "other", None, None, False),
    ],
)  # fmt: skip
def test_what_a_user_agent_tells(
    agent: str, category: str, browser: str | None, system: str | None, is_bot: bool
) -> None:
    found = parse_user_agent(agent)
    assert (found.device_category, found.is_bot) == (category, is_bot)
    assert browser is None or found.browser_family == browser
    assert system is None or found.os_family == system


def test_without_a_database_there_are_no_places() -> None:
    geo = Geo(None)
    assert not geo.is_open
    assert geo.look_up("192.0.2.1") == enrich.NOWHERE


def test_a_value_is_worked_out_once_while_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrich, "CACHE_SIZE", 10)
    worked_out: list[str] = []

    def upper(text: str) -> str:
        worked_out.append(text)
        return text.upper()

    remembered = Remembered(upper)
    for start in range(0, 100, 5):
        assert remembered(["a", *map(str, range(start, start + 5))]) == ["A", *map(str, range(start, start + 5))]
    assert worked_out.count("a") == 1
    assert remembered(["0"]) == ["0"]
    assert worked_out.count("0") == 2  # it was forgotten: memory is bounded


def test_addresses_get_the_keyed_hash_of_their_normal_form_and_of_their_network() -> None:
    key = "a key for tests, long enough"
    hashed = keyed_hash(key)
    logged = pa.array(["192.0.2.1:80", "no address", "::ffff:192.0.2.1", None, "2001:db8::1"]).dictionary_encode()
    for columns in (Clients(key, Geo(None)).address_columns(logged) for _ in range(2)):
        assert columns["ip_hash"].to_pylist() == [
            hashed("192.0.2.1"), None, hashed("192.0.2.1"), None, hashed("2001:db8::1"),
        ]  # fmt: skip
        assert columns["subnet_hash"].to_pylist() == [
            hashed("192.0.2.0/24"), None, hashed("192.0.2.0/24"), None, hashed("2001:db8::/48"),
        ]  # fmt: skip
        assert len(columns["ip_hash"].dictionary.drop_null()) == 2
    nothing = pa.array([], pa.string()).dictionary_encode()
    assert Clients(key, Geo(None)).address_columns(nothing)["ip_hash"].to_pylist() == []
