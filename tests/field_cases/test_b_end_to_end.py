"""Field cases B1 to B5, end to end: logs and events of one day of people and machines, to the marts and to MongoDB."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.environment_fixtures import DAYS, Environment
from tests.event_lines import line as event_line
from tests.event_lines import pixel
from tests.log_lines import line, log

pytestmark = pytest.mark.slow

DAY = DAYS[0]
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
PHONE = (
    "Mozilla/5.0 (Linux; Android 15; CPH2655 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/130.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/480.0.0.0;]"
)
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
PYTHON = "python-requests/2.32.3"
SCREEN = {"screenWidth": 1920, "screenHeight": 1080, "timezone": "Europe/Berlin", "language": "de"}

# Order (one for each case), path, method, agent.
REQUESTS = [
    ("b1", "/pxl.png", "GET", PHONE),
    ("b1", "/c", "GET", PHONE),
    ("b2", "/pxl.png", "GET", "ELB-HealthChecker/2.0"),
    ("b2", "/c", "GET", "Datadog/Synthetics"),
    ("b2", "/c", "GET", PYTHON),
    ("b3", "/pxl.png", "GET", GMAIL),
    ("b3", "/pxl.png", "GET", "Mozilla/5.0"),
    ("b3", "/c", "GET", GMAIL),
    ("b4", "/c", "HEAD", CHROME),
    ("b4", "/c", "OPTIONS", CHROME),
    ("b4", "/pxl.png", "HEAD", CHROME),
    ("b4", "/c", "GET", CHROME),
]


def seen(
    visitor: str, minute: int, agent: str, kind: str = "pageview", worth: float | None = None, **fields: Any
) -> Any:
    return pixel(
        eventType=kind,
        visitorId=visitor,
        timestamp=f"{DAY}T10:{minute:02}:00.000Z",
        url="https://shop.example.com/",
        browser={"userAgent": agent} | SCREEN,
        eventData=None if worth is None else {"value": worth, "currency": "EUR"},
        **fields,
    )


EVENTS = [
    seen("buyer", 0, CHROME, ip="198.51.100.7"),
    seen("buyer", 5, CHROME, ip="198.51.100.7"),
    seen("buyer", 10, PYTHON, "purchase", ip="203.0.113.9", worth=80),
    seen("reported", 0, PYTHON, "purchase", ip="203.0.113.9", worth=20),
    seen("crawler", 0, GOOGLEBOT, ip="192.0.2.4"),
    seen("crawler", 1, GOOGLEBOT, "purchase", ip="192.0.2.4", worth=1),
    seen("", 20, PYTHON, "purchase", ip="203.0.113.9", userId="one", worth=5),
    seen("", 20, PYTHON, "purchase", ip="203.0.113.9", userId="two", worth=5),
]


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


@pytest.fixture(scope="module")
def built(shared_environment: Environment) -> Environment:
    rows = [
        line(
            id=f"id-{number}",
            time=f"{8 + number:02}:00:00",
            ip=f"198.51.{number}.1",
            path=path,
            method=method,
            agent=quote(agent, safe="/;(),:+"),
            query=f"oid={order}&cid=a&pid=chicago-reader&ch=newsletter&cr=1&s=1x1",
        )
        for number, (order, path, method, agent) in enumerate(REQUESTS)
    ]
    shared_environment.put_object(f"E1TEST.{DAY}-10.a.gz", log(rows))
    folders = f"domain=shop.example.com/year={DAY[:4]}/month={DAY[5:7]}/day={DAY[8:]}/hour=10"
    shared_environment.put_event_object(
        f"{folders}/events-{DAY}-10.jsonl", b"\n".join(event_line(event) for event in EVENTS)
    )
    assert shared_environment.run(DAY).bad == {}
    return shared_environment


def query(environment: Environment, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query; `marts/…` stands for the file of the mart's day."""
    with environment.lake.connect() as connection:
        return connection.execute(sql.replace("{lake}", environment.lake.uri("marts"))).fetchall()


def counts(environment: Environment, order: str) -> dict[str, int]:
    """What is above 0 of the counts of an order in daily_aggregates."""
    columns = [
        *("impressions", "clicks", "valid_impressions", "valid_clicks", "invalid_bot", "invalid_method"),
        *("invalid_status", "invalid_repeat_click", "invalid_click_flood", "invalid_click_without_impression"),
    ]
    [row] = query(
        environment,
        f"select {', '.join(columns)} from read_parquet('{{lake}}/daily_aggregates/*/data.parquet') "
        f"where order_id = '{order}'",
    )
    return {name: value for name, value in zip(columns, row, strict=True) if value}


def test_b1_a_phone_is_a_person(built: Environment) -> None:
    assert counts(built, "b1") == {"impressions": 1, "clicks": 1, "valid_impressions": 1, "valid_clicks": 1}


def test_b2_monitors_and_libraries_are_robots(built: Environment) -> None:
    assert counts(built, "b2") == {"impressions": 1, "clicks": 2, "invalid_bot": 3}


def test_b3_a_mail_proxy_shows_pictures_and_follows_no_link(built: Environment) -> None:
    assert counts(built, "b3") == {"impressions": 2, "clicks": 1, "valid_impressions": 2, "invalid_bot": 1}


def test_b4_other_methods_count_gross_only(built: Environment) -> None:
    found = counts(built, "b4")
    assert found == {"impressions": 1, "clicks": 3, "valid_clicks": 1, "invalid_method": 3}
    # What is published has the same valid numbers.
    entries = {entry["orderId"]: entry for entry in built.entries()}
    assert {
        order: (entry["validMetrics"]["impressions"], entry["validMetrics"]["clicks"])
        for order, entry in entries.items()
    } == {"b1": (1, 1), "b2": (0, 0), "b3": (2, 0), "b4": (0, 1)}
    assert (entries["b4"]["metrics"]["impressions"], entries["b4"]["metrics"]["clicks"]) == (1, 3)


def test_b5_what_a_server_reports_is_of_its_visitor(built: Environment) -> None:
    sessions = query(
        built,
        "select visitor_key, is_bot, events, conversions, device_category, ip_hash is not null "
        "from read_parquet('{lake}/sessions/*/data.parquet') order by visitor_key",
    )
    assert sessions == [
        ("user:one", False, 1, 1, "program", False),
        ("user:two", False, 1, 1, "program", False),
        ("visitor:buyer", False, 3, 1, "desktop", True),
        ("visitor:crawler", True, 2, 1, "bot", True),
        ("visitor:reported", False, 1, 1, "program", False),
    ]
    conversions = query(
        built,
        "select person_key, revenue, ip_hash from read_parquet('{lake}/fact_conversions/*/data.parquet') order by all",
    )
    assert [(person, float(revenue), address) for person, revenue, address in conversions] == [
        ("user:one", 5, None),
        ("user:two", 5, None),
        ("visitor:buyer", 80, None),
        ("visitor:reported", 20, None),
    ]
    # One server, one make and network: its visitors are no one person.
    [identities] = query(
        built, "select count(distinct identity_id) from read_parquet('{lake}/identity_map/data.parquet')"
    )
    assert identities == (4,)


def test_b5_conversions_of_robots_are_named(built: Environment) -> None:
    robots = query(
        built,
        "select site_id, conversions, revenue from read_parquet('{lake}/site_daily/*/data.parquet') where is_bot",
    )
    assert [(site, count, float(revenue)) for site, count, revenue in robots] == [("shop.example.com", 1, 1.0)]
    with built.lake.connect() as connection:
        files = built.lake.uri("quality/data_quality/**/*.parquet")
        warned = connection.execute(
            f"select status, failures from read_parquet('{files}') where \"check\" = 'robots_convert_nothing'"
        ).fetchall()
    assert warned == [("warned", 1)]
