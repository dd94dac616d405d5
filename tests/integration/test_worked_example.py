"""The worked example of docs/attribution.md, from raw rows to credits: thirty events, all expectations made by hand.

Ann reads on a telephone and at a desk, and buys on Friday. Bob lives with her and buys too. Two telephones install the
app; a robot and a kiosk are there to be mistaken for somebody.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ingest.lake.files import Lake
from ingest.lake.views import create_views
from tests.integration.dbt_fixtures import build, event, request, write_events, write_raw

pytestmark = pytest.mark.slow

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (f"2026-01-{day}" for day in range(12, 17))
DAYS = (MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY)
AFTER = "2026-01-17"

PHONE = {"visitor_id": "ann-phone", "user_agent": "Phone/1", "ip_hash": "cell", "subnet_hash": "cell-net"}
DESK = {"visitor_id": "ann-desk", "user_agent": "Desktop/1", "ip_hash": "home", "subnet_hash": "home-net"}
BOB = {"visitor_id": "bob-tablet", "user_agent": "Tablet/1", "ip_hash": "home", "subnet_hash": "home-net"}
ROBOT = {"visitor_id": "robot", "user_agent": "Bot/1", "is_bot": True}
PIXEL = {
    "visitor_id": None,
    "device_id": "pixel",
    "device_fingerprint": "f7",
    "subnet_hash": "pixel-net",
    "shape": "app",
}
IPHONE = {"visitor_id": None, "device_id": "iphone", "shape": "app", "subnet_hash": "iphone-net"}
SEARCH = {"utm_source": "google", "utm_medium": "cpc", "utm_campaign": "winter"}
DISPLAY = {"utm_source": "chicago-reader", "utm_medium": "display", "referrer_host": "chicago-reader.example"}
DIGEST = {"utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "digest"}
ORDER = {"user_id": "ann", "transaction_id": "order-7"}

EVENTS: dict[str, list[dict[str, Any]]] = {
    MONDAY: [
        event("page_view", f"{MONDAY}T09:00:00", 1, **PHONE, **SEARCH),
        event("page_view", f"{MONDAY}T09:03:00", 2, **PHONE, path="/products/7"),
        event("page_view", f"{MONDAY}T20:00:00", 3, **BOB),
        event("page_view", f"{MONDAY}T20:02:00", 4, **BOB, path="/products/7"),
        event("page_view", f"{MONDAY}T03:00:00", 5, **ROBOT),
        event("page_view", f"{MONDAY}T12:00:00", 6, visitor_id="kiosk", user_id="guest-1", subnet_hash="hall"),
    ],
    TUESDAY: [
        event("page_view", f"{TUESDAY}T12:00:05", 7, **DESK, **DISPLAY),
        event("page_view", f"{TUESDAY}T12:01:00", 8, **DESK, path="/products/7"),
        event("click", f"{TUESDAY}T18:00:00", 9, **PIXEL | {"device_id": None}, campaign_id="get-the-app"),
        event("page_view", f"{TUESDAY}T20:00:00", 10, **BOB),
        event("page_view", f"{TUESDAY}T03:00:00", 11, **ROBOT),
        event("page_view", f"{TUESDAY}T12:00:00", 12, visitor_id="kiosk", user_id="guest-2", subnet_hash="hall"),
    ],
    WEDNESDAY: [
        event("page_view", f"{WEDNESDAY}T08:00:00", 13, **DESK, **DIGEST),
        event("login", f"{WEDNESDAY}T08:05:00", 14, **DESK, user_id="ann"),
        event("page_view", f"{WEDNESDAY}T08:06:00", 15, **DESK, user_id="ann", path="/account"),
        event("page_view", f"{WEDNESDAY}T20:00:00", 16, **BOB),
        event("purchase", f"{WEDNESDAY}T20:05:00", 17, **BOB, revenue=Decimal("50.00"), currency="USD"),
        event("install", f"{WEDNESDAY}T17:59:59", 18, **PIXEL),
        event("session_start", f"{WEDNESDAY}T18:00:10", 19, **PIXEL),
    ],
    THURSDAY: [
        event("page_view", f"{THURSDAY}T10:00:00", 20, **PHONE),
        event("page_view", f"{THURSDAY}T10:01:00", 21, **PHONE, path="/products/7"),
        event("install", f"{THURSDAY}T12:00:00", 22, **IPHONE),
        event("page_view", f"{THURSDAY}T21:00:00", 23, **DESK, **DIGEST, user_id="ann"),
    ],
    FRIDAY: [
        event("page_view", f"{FRIDAY}T09:00:00", 24, **PHONE),
        event("login", f"{FRIDAY}T09:01:00", 25, **PHONE, user_id="ann"),
        event("page_view", f"{FRIDAY}T09:04:00", 26, **PHONE, user_id="ann", path="/cart"),
        event("purchase", f"{FRIDAY}T09:10:00", 27, **PHONE, **ORDER, revenue=Decimal("100.00"), currency="USD"),
        event("refund", f"{FRIDAY}T09:10:00", 28, **PHONE, **ORDER, revenue=Decimal("30.00"), currency="USD"),
        event("page_view", f"{FRIDAY}T09:30:00", 29, **BOB),
        event("purchase", f"{FRIDAY}T03:00:00", 30, **ROBOT, revenue=Decimal("999.00"), currency="USD"),
    ],
}
AD = {"order_id": "24022", "campaign_id": "festival", "ip_hash": "home", "user_agent": "Desktop/1"}
ADS = [
    request("impression", f"{TUESDAY}T11:59:00", 1, **AD),
    request("click", f"{TUESDAY}T12:00:00", 2, **AD, landing_url="https://shop.example/"),
]

# Ann's path: paid search on Monday, the ad on Tuesday, the digest on Wednesday and again on Thursday. The visits of
# Thursday morning and Friday have no source. Four touches of three channels.
SEARCHED, AD_CLICKED, DIGEST_1, DIGEST_2 = range(4)
# 2^(-Δ/7 days), Δ counted from Thursday 21:00: 302,400 s, 205,195 s, 133,200 s and 0; each divided by their sum.
DECAYED = ("0.210701", "0.235532", "0.255790", "0.297977")
CREDITS: dict[str, tuple[str, ...]] = {
    "first": ("1", "0", "0", "0"),
    "last": ("0", "0", "0", "1"),
    "last_non_direct": ("0", "0", "0", "1"),
    "linear": ("0.25", "0.25", "0.25", "0.25"),
    "position_based": ("0.4", "0.1", "0.1", "0.4"),
    "time_decay": DECAYED,
    "shapley": ("0.333333333", "0.333333333", "0.166666666", "0.166666668"),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    found = Lake(str(tmp_path_factory.mktemp("lake")))
    for day in DAYS:
        write_events(found, day, day, EVENTS[day])
        write_raw(found, day, day, ADS if day == TUESDAY else [])
    done = build(
        found,
        tmp_path_factory.mktemp("target"),
        MONDAY,
        AFTER,
        "--select",
        "+attribution",
        "+identity_map",
        "+identity_changes",
    )
    assert done.returncode == 0, done.stdout
    return found


def query(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with lake.connect() as connection:
        create_views(lake, connection)
        return connection.execute(sql).fetchall()


def test_there_are_thirty_events() -> None:
    assert sum(len(events) for events in EVENTS.values()) == 30


def test_ann_is_one_person_and_nobody_else_is_her(lake: Lake) -> None:
    rows = query(lake, "select identity_id, node_key from marts.identity_map order by first_seen, node_key")
    people: dict[str, list[str]] = {}
    for identity, node in rows:
        people.setdefault(identity, []).append(node)
    assert list(people.values()) == [
        ["visitor:ann-phone", "visitor:ann-desk", "user:ann"],
        ["user:guest-1", "visitor:kiosk"],
        ["visitor:bob-tablet"],
        ["user:guest-2"],
        ["fingerprint:f7@pixel-net", "device:pixel"],
        ["device:iphone"],
    ]


def test_the_login_of_friday_is_what_made_them_one(lake: Lake) -> None:
    sql = """
        select node_key, cast(effective_at as varchar), reason from marts.identity_changes
        where node_key in ('visitor:ann-desk', 'user:ann') order by effective_at
    """
    assert query(lake, sql) == [
        ("user:ann", f"{WEDNESDAY} 08:05:00", "logged in"),
        ("visitor:ann-desk", f"{FRIDAY} 09:01:00", "logged in"),
    ]


@pytest.mark.parametrize(("revenue", "sign"), [("100.00", 1), ("-30.00", -1)])
@pytest.mark.parametrize("model", CREDITS)
def test_credits_of_what_ann_bought(lake: Lake, model: str, revenue: str, sign: int) -> None:
    """A refund in the same second has no credit, and the shares of the purchase that it takes back."""
    rows = query(lake, f"{OF_ANN} and model = '{model}' and sign(revenue_of_all) = {sign} order by touch_ts")
    expected = dict(enumerate(map(Decimal, CREDITS[model])))
    paths = [MONDAY, TUESDAY, WEDNESDAY, THURSDAY]
    shares = {paths.index(str(touch.date())): share for touch, _, _, _, share, _ in rows}
    assert {touch: share for touch, share in shares.items() if share} == {
        touch: pytest.approx(share, abs=Decimal("0.000001")) for touch, share in expected.items() if share
    }
    assert sum(shares.values()) == 1
    assert [credit for *_, credit, _, _ in rows] == [share if sign > 0 else 0 for *_, share, _ in rows]
    assert sum(part for *_, part in rows) == Decimal(revenue)


OF_ANN = """
select touch_ts, channel, campaign_id, credit, revenue_share, revenue from (
    select *, sum(revenue) over (partition by conversion_id, model) as revenue_of_all
    from marts.attribution where person_key = 'user:ann'
) where true
"""


def test_the_path_names_what_brought_her(lake: Lake) -> None:
    rows = query(lake, f"{OF_ANN} and model = 'linear' and revenue_of_all > 0 order by touch_ts")
    assert [(str(touch), channel, campaign) for touch, channel, campaign, *_ in rows] == [
        (f"{MONDAY} 09:00:00", "Paid Search", "winter"),
        (f"{TUESDAY} 12:00:05", "website", "festival"),
        (f"{WEDNESDAY} 08:00:00", "Email", "digest"),
        (f"{THURSDAY} 21:00:00", "Email", "digest"),
    ]


def test_what_nobody_brought_is_there_too(lake: Lake) -> None:
    sql = """
        select person_key, status, credit, revenue, reason from marts.attribution
        where model = 'first' and person_key <> 'user:ann' order by conversion_ts
    """
    assert [row[:4] for row in query(lake, sql)] == [
        ("fingerprint:f7@pixel-net", "attributed", Decimal(1), None),
        ("visitor:bob-tablet", "unattributed", Decimal(0), Decimal(50)),
        ("device:iphone", "organic", Decimal(0), None),
    ]
    assert all(reason for *_, reason in query(lake, sql))
