"""A month of a quiet site, with days without events and days without logs, against plain references."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from tests.environment_fixtures import Environment, Maker
from tests.event_lines import event_key, line, pixel
from tests.integration.test_attribution import Reference, assert_same, full, touch
from tests.integration.test_retention_funnels import expected_funnels, expected_retention, seen_events
from tests.log_lines import line as log_line
from tests.log_lines import log

pytestmark = pytest.mark.slow

FIRST = date(2026, 3, 1)
DAYS = [str(FIRST + timedelta(days=number)) for number in range(30)]
WITHOUT_EVENTS = ("2026-03-05", "2026-03-17", "2026-03-18")
WITHOUT_LOGS = ("2026-03-11", "2026-03-17")
# Two orders: at once, and in windows of which the last comes first.
ORDERS = ([DAYS], [DAYS[20:], DAYS[:10], DAYS[10:20]])

SITE = "shop.example"
AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
WALK = ("/", "/products/1", "/cart", "/checkout")
SOURCES = (
    ("utm_source=news&utm_medium=email&utm_campaign=digest", "Email", "digest"),
    ("utm_source=google&utm_medium=cpc&utm_campaign=spring", "Paid Search", "spring"),
    ("", "Direct", None),
    ("", "Direct", None),
)


@dataclass(frozen=True)
class Visit:
    """visitor: a number. pages: of `WALK`, a minute apart; a purchase follows a minute after the last."""

    visitor: int
    at: datetime
    source: tuple[str, str, str | None]
    pages: int
    revenue: Decimal | None

    @property
    def ends(self) -> datetime:
        return self.at + timedelta(minutes=self.pages)


@dataclass(frozen=True)
class Ad:
    kind: str
    visitor: int
    at: datetime
    campaign: str


def address(visitor: int) -> str:
    return f"203.0.113.{visitor + 1}"


def made_up() -> tuple[list[Visit], list[Ad]]:
    """A handful of people, each of whom comes now and then, and sees an ad now and then."""
    rng = random.Random("a quiet month")
    visits, ads = [], []
    for day in DAYS:
        midnight = datetime.fromisoformat(day)
        for visitor in range(8):
            at = midnight + timedelta(hours=8, milliseconds=rng.randrange(36_000_000))
            pages = rng.randrange(1, 5)
            worth = Decimal(rng.randrange(100, 99_999)) / 100
            if day not in WITHOUT_EVENTS and (visitor == 0 or rng.random() < 0.3):
                bought = worth if pages == len(WALK) else None
                visits.append(Visit(visitor, at, rng.choice(SOURCES), pages, bought))
            if day not in WITHOUT_LOGS and (visitor == 1 or rng.random() < 0.4):
                seen = midnight + timedelta(seconds=rng.randrange(86_400))
                ads.append(Ad(rng.choice(("impression", "impression", "click")), visitor, seen, rng.choice("ab")))
    return visits, ads


def events_of(visit: Visit) -> list[tuple[str, str, str | None, datetime]]:
    """(kind as it is sent, as it is kept, path, time) of each event of a visit."""
    found: list[tuple[str, str, str | None, datetime]] = [
        ("pageview", "page_view", path, visit.at + timedelta(minutes=number))
        for number, path in enumerate(WALK[: visit.pages])
    ]
    return found + ([("purchase", "purchase", "/done", visit.ends)] if visit.revenue else [])


def put(environment: Environment, visits: list[Visit], ads: list[Ad]) -> None:
    sent: dict[str, list[bytes]] = defaultdict(list)
    for visit in visits:
        for kind, _, path, at in events_of(visit):
            query = visit.source[0] if at == visit.at else ""
            event = pixel(
                eventType=kind,
                eventId=f"{visit.visitor} {at.isoformat()}",
                visitorId=f"v{visit.visitor}",
                timestamp=f"{at.isoformat(timespec='milliseconds')}Z",
                url=f"https://{SITE}{path}" + (f"?{query}" if query else ""),
                ip=address(visit.visitor),
                browser={"userAgent": AGENT},
            )
            if kind == "purchase":
                event["eventData"] = {"value": str(visit.revenue), "currency": "EUR"}
            sent[str(at.date())].append(line(event))
    for day, lines in sent.items():
        environment.put_event_object(event_key(SITE, day, "a"), b"\n".join(lines))
    logged: dict[str, list[bytes]] = defaultdict(list)
    for number, ad in enumerate(ads):
        row = log_line(
            id=f"id-{number}",
            date=str(ad.at.date()),
            time=f"{ad.at:%H:%M:%S}",
            ip=address(ad.visitor),
            path="/c" if ad.kind == "click" else "/pxl.png",
            query=f"oid=24017&cid={ad.campaign}&pid=chicago-reader&ch=newsletter&cr=1&s=1x1",
            agent=quote(AGENT, safe="/.(),"),
        )
        logged[str(ad.at.date())].append(row)
    for day, lines in logged.items():
        environment.put_object(f"E1TEST.{day}-10.a.gz", log(lines))


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def mart(environment: Environment, name: str, column: str, day: str) -> list[dict[str, Any]]:
    return environment.lake.read_table(f"marts/{name}/{column}={day}/data.parquet").to_pylist()


@pytest.mark.parametrize(
    "order",
    [pytest.param(ORDERS[0], id="at once"), pytest.param(ORDERS[1], id="last first", marks=pytest.mark.long)],
)
def test_show_6_a_quiet_month_is_as_plain_references_have_it(new: Maker, order: list[list[str]]) -> None:
    visits, ads = made_up()
    environment = new()
    put(environment, visits, ads)
    for window in order:
        assert environment.run(*window).bad == {}
    _assert_retention_and_funnels(environment, visits)
    _assert_attribution(environment, visits, ads)
    _assert_entries(environment, ads)


def _assert_retention_and_funnels(environment: Environment, visits: list[Visit]) -> None:
    rows = [
        {
            "event_ts": at, "event_id": f"{visit.visitor} {at.isoformat()}", "event_type": kind, "path": path,
            "site_id": SITE, "visitor_id": f"v{visit.visitor}", "user_id": None, "device_id": None, "is_bot": False,
        }
        for visit in visits
        for _, kind, path, at in events_of(visit)
    ]  # fmt: skip
    seen = seen_events(rows, DAYS)
    retention = {
        (date.fromisoformat(day), row["period"], row["cohort_kind"], row["cohort_date"]): (
            row["cohort_size"],
            row["retained"],
            row["retention_rate"],
        )
        for day in DAYS
        for row in mart(environment, "retention", "report_date", day)
    }
    expected = expected_retention(seen, DAYS)
    assert {key: row for key, row in retention.items() if row[0]} == {
        key: row for key, row in expected.items() if row[0]
    }
    assert {row for row in retention.values() if not row[0]} <= {(0, 0, 0.0)}
    for quiet in WITHOUT_EVENTS:  # who was there before is not retained on a day without events
        of_day = [row for key, row in retention.items() if key[:2] == (date.fromisoformat(quiet), "day")]
        assert any(size for size, _, _ in of_day)
        assert {retained for _, retained, _ in of_day} == {0}
    funnels = {
        (date.fromisoformat(day), row["funnel"], row["site_id"], row["step_number"]): row
        for day in DAYS
        for row in mart(environment, "funnels", "report_date", day)
    }
    walked = expected_funnels(seen, DAYS, [SITE])
    assert sorted(funnels) == sorted(walked)
    for key, (entered, reached, rate, *_) in walked.items():
        row = funnels[key]
        assert (row["entered"], row["reached"], row["conversion_rate"]) == (entered, reached, rate), key


def _assert_attribution(environment: Environment, visits: list[Visit], ads: list[Ad]) -> None:
    rng = random.Random("not used where all columns are given")
    touches = [
        touch(
            0, visit.at, rng, touch_id=f"session {visit.at}", touch_type="session", channel=visit.source[1],
            campaign_id=visit.source[2], is_direct=not visit.source[0], person_key=f"visitor:v{visit.visitor}",
            session_id=f"{visit.at}", site_id=SITE, ip_hash=str(visit.visitor), user_agent=AGENT,
        )
        for visit in visits
    ] + [
        touch(
            0, ad.at, rng, touch_id=f"{ad.kind} {ad.at}", touch_type=ad.kind, channel="newsletter",
            campaign_id=ad.campaign, ip_hash=str(ad.visitor), user_agent=AGENT,
        )
        for ad in ads
    ]  # fmt: skip
    ids = ("click_id", "click_id_kind", "device_id", "advertising_id", "device_fingerprint", "subnet_hash")
    conversions = [
        full(
            {
                "session_date": visit.at.date(), "conversion_id": f"visitor:v{visit.visitor} {visit.ends}",
                "conversion_ts": visit.ends, "conversion_type": "purchase", "site_id": SITE,
                "status": "conversion", "names_conversion_id": None,
                "session_id": f"{visit.at}", "person_key": f"visitor:v{visit.visitor}",
                "ip_hash": str(visit.visitor), "user_agent": AGENT, "revenue": visit.revenue, "currency": "EUR",
            },
            ids,
        )
        for visit in visits
        if visit.revenue
    ]  # fmt: skip
    world = {"fact_conversions": conversions, "touchpoints": touches, "identities": [], "int_identities_as_of": []}
    found = [
        row
        | {
            "conversion_id": f"{row['person_key']} {row['conversion_ts']}",
            "touch_id": row["touch_id"] and f"{row['touch_type']} {row['touch_ts']}",
        }
        for day in DAYS
        for row in mart(environment, "attribution", "session_date", day)
    ]
    assert_same(found, Reference(world).rows())
    assert {row["touch_type"] for row in found} >= {"session", "impression", "click"}


def _assert_entries(environment: Environment, ads: list[Ad]) -> None:
    expected = Counter((str(ad.at.date()), ad.campaign, ad.kind) for ad in ads)
    found: Counter[tuple[str, str, str]] = Counter()
    for entry in environment.entries():
        day = entry["dateStart"].date().isoformat()
        for kind in ("impression", "click"):
            found[day, entry["campaignId"], kind] += entry["metrics"][f"{kind}s"]
    assert +found == expected
    assert not {day for day, _, _ in expected} & set(WITHOUT_LOGS)
