"""Field cases C, end to end: one day of a shop, from its logs and events to sessions, touches and attribution."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.environment_fixtures import DAYS, Environment
from tests.event_lines import line, pixel
from tests.log_lines import line as log_line
from tests.log_lines import log

pytestmark = pytest.mark.slow

DAY = DAYS[0]
SHOP = "shop.example.com"
OWN = f"https://{SHOP}"


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def view(visitor: str, at: str, url: str, referrer: str | None = None, **fields: Any) -> dict[str, Any]:
    page = {"referrer": referrer} if referrer else {}
    return pixel(
        visitorId=visitor, timestamp=f"{DAY}T{at}:00.000Z", url=url, page=page, eventId=f"{visitor} {at}", **fields
    )


def purchase(visitor: str, at: str, referrer: str) -> dict[str, Any]:
    url = f"{OWN}/thanks?oid=99812"
    return view(visitor, at, url, referrer, eventType="purchase", eventData={"value": 100, "currency": "EUR"})


MAIL = "utm_source=news&utm_medium=email&utm_campaign=weekly"
EVENTS = [
    view("bare cid", "10:00", f"{OWN}/women/?cid=4172", "https://duckduckgo.com/"),
    view("own link", "10:00", f"{OWN}/women/?oid=24&cid=4172", "https://duckduckgo.com/"),
    view("banner", "10:00", f"{OWN}/?{MAIL}"),
    view("banner", "10:01", f"{OWN}/?cid=7&oid=8&utm_source=banner&gclid=old", f"{OWN}/"),
    purchase("banner", "10:02", f"{OWN}/cart"),
    {
        "user_id": "path",
        "created_at": f"{DAY}T10:00:00Z",
        "event": "page_view",
        "page": "/shoes",
        "referrer": f"{OWN}/",
    },
    view("path", "10:00", "/shoes", f"https://www.{SHOP}/"),
    view("paypal", "10:00", f"{OWN}/?{MAIL}"),
    purchase("paypal", "10:45", "https://www.paypal.com/checkoutnow"),
    view("stripe", "10:00", f"{OWN}/?{MAIL}"),
    purchase("stripe", "10:10", "https://checkout.stripe.com/"),
    view("evening", "10:00", f"{OWN}/?{MAIL}"),
    purchase("evening", "18:00", "https://login.microsoftonline.com/"),
    view("own sso", "10:00", f"{OWN}/account", "https://login.sso.example.net/"),
    view(
        "unfilled",
        "10:00",
        f"{OWN}/?utm_source=undefined&utm_medium=undefined&utm_campaign=null",
        "https://www.bing.com/",
    ),
    view("unfilled ad", "10:00", f"{OWN}/?utm_source=%7Bsource%7D&utm_campaign={{{{ad.id}}}}&gclid=G"),
    view("gad", "10:00", f"{OWN}/?gad_source=1&gad_campaignid=22", "https://www.google.com/"),
    view("campaign", "10:00", f"{OWN}/?utm_campaign=cross-network"),
    view("dotted", "10:00", "https://dotted.example./", "https://dotted.example/"),
    view("web mail", "10:00", f"{OWN}/", "https://3c.web.de/"),
    view("bio", "10:00", f"{OWN}/", "https://lnk.bio/"),
]
LOG_FIELDS = [
    "date",
    "time",
    "c-ip",
    "cs-method",
    "cs-uri-stem",
    "sc-status",
    "cs-uri-query",
    "x-edge-request-id",
    "c-country",
]
CLICK = "oid=QP&amp;cid=c&amp;cr=7%20"


@pytest.fixture(scope="module")
def built(shared_environment: Environment) -> Environment:
    row = log_line(LOG_FIELDS, path="/c", query=CLICK, id="q").rsplit(b"\t", 1)[0] + b"\tde"
    shared_environment.put_object(f"E1TEST.{DAY}-10.a.gz", log([row], LOG_FIELDS))
    folder = f"domain={SHOP}/year={DAY[:4]}/month={DAY[5:7]}/day={DAY[8:]}/hour=18"
    shared_environment.put_event_object(f"{folder}/events-{DAY}-18.jsonl", b"\n".join(map(line, EVENTS)))
    shared_environment.lake.put_text("site,kind\nsso.example.net,login\n", "reference/passages.csv")
    done = shared_environment.command("run", "--from", DAY)
    assert done.returncode == 0, done.stdout + done.stderr
    return shared_environment


@pytest.fixture(scope="module")
def sessions(built: Environment) -> dict[str, list[tuple[str, str, str, int]]]:
    """By visitor: source, medium, channel and events of each session."""
    found: dict[str, list[tuple[str, str, str, int]]] = {}
    for row in query(
        built,
        "select coalesce(visitor_id, 'user ' || user_id) as visitor, source, medium, channel, events "
        "from marts.sessions order by session_start",
    ):
        found.setdefault(row["visitor"], []).append((row["source"], row["medium"], row["channel"], row["events"]))
    return found


@pytest.fixture(scope="module")
def last_touches(built: Environment) -> dict[str, tuple[Any, ...]]:
    """By visitor: channel, order and campaign of the last touch before the purchase, and how many share it."""
    rows = query(
        built,
        "select person_key, channel, order_id, campaign_id, touches from marts.attribution where model = 'last'",
    )
    return {
        row["person_key"].removeprefix("visitor:"): tuple(
            row[name] for name in ("channel", "order_id", "campaign_id", "touches")
        )
        for row in rows
    }


def query(environment: Environment, sql: str) -> list[dict[str, Any]]:
    done = environment.command("query", sql, "--format", "json")
    assert done.returncode == 0, done.stderr
    return [json.loads(row) for row in done.stdout.splitlines()]


DIRECT = ("(direct)", "(none)", "Direct")
NEWS = ("news", "email", "Email")


def test_c1_a_bare_cid_is_anybodys(sessions: dict[str, Any]) -> None:
    assert sessions["bare cid"] == [("duckduckgo", "organic", "Organic Search", 1)]
    assert sessions["own link"] == [("clicklake", "display", "Display", 1)]


def test_c1_navigation_within_a_site_makes_no_source(sessions: dict[str, Any], last_touches: dict[str, Any]) -> None:
    assert sessions["banner"] == [(*NEWS, 3)]
    assert last_touches["banner"] == ("Email", None, "weekly", 1)


def test_c2_a_path_is_on_its_site(sessions: dict[str, Any]) -> None:
    assert sessions["path"] == sessions["user path"] == [(*DIRECT, 1)]


def test_c3_who_comes_back_from_paying_is_in_the_same_visit(
    sessions: dict[str, Any], last_touches: dict[str, Any]
) -> None:
    assert sessions["paypal"] == sessions["stripe"] == [(*NEWS, 2)]
    assert last_touches["paypal"] == last_touches["stripe"] == ("Email", None, "weekly", 1)


def test_c3_later_the_last_touch_is_still_the_one_before(
    sessions: dict[str, Any], last_touches: dict[str, Any]
) -> None:
    assert sessions["evening"] == [(*NEWS, 1), (*DIRECT, 1)]
    assert last_touches["evening"] == ("Email", None, "weekly", 1)


def test_c3_the_lake_has_a_list_of_its_own(sessions: dict[str, Any]) -> None:
    assert sessions["own sso"] == [(*DIRECT, 1)]


def test_c4_placeholders_are_as_if_absent(sessions: dict[str, Any]) -> None:
    assert sessions["unfilled"] == [("bing", "organic", "Organic Search", 1)]
    assert sessions["unfilled ad"] == [("google", "cpc", "Paid Search", 1)]


def test_c6_gad_source_is_paid(sessions: dict[str, Any]) -> None:
    assert sessions["gad"] == [("google", "cpc", "Paid Search", 1)]


def test_c7_a_campaign_alone_decides_the_channel(sessions: dict[str, Any]) -> None:
    assert sessions["campaign"] == [("(not set)", "(not set)", "Cross-network", 1)]


def test_c8_a_trailing_dot_is_the_same_host(sessions: dict[str, Any]) -> None:
    assert sessions["dotted"] == [(*DIRECT, 1)]


def test_c9_web_mail_and_link_pages(sessions: dict[str, Any]) -> None:
    assert sessions["web mail"] == [("web.de mail", "email", "Email", 1)]
    assert sessions["bio"] == [("lnk.bio", "social", "Organic Social", 1)]


def test_c10_parameters_of_a_link_from_html(built: Environment) -> None:
    assert query(built, "select order_id, campaign_id, creative_id, clicks from marts.daily_aggregates") == [
        {"order_id": "QP", "campaign_id": "c", "creative_id": "7", "clicks": 1}
    ]


def test_c12_the_country_of_the_log_is_kept(built: Environment) -> None:
    assert query(built, "select country from raw.access_logs") == [{"country": "DE"}]
