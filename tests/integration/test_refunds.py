"""Refunds and repeated purchases: made-up histories over weeks and two sites, built day by day in any order, against a
plain reference that looks at all events at once."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import pytest
import yaml

from ingest.lake.files import Lake
from ingest.lake.layout import DATA_FILE
from ingest.lake.views import create_views
from ingest.schema import EVENTS, arrow_schema
from tests.integration.dbt_fixtures import PROJECT, build, build_each, event, run_dbt, write_raw

pytestmark = pytest.mark.slow

FIRST = date(2026, 1, 1)
OFFSETS = (0, 1, 28, 29, 30, 58, 59)  # so that pairs of days lie 29 days and a day more or less apart
TIMES = ("00:00:05", "10:00:00", "10:00:00.000001", "10:00:01", "23:59:58")
SITES = ("shop.example", "other.example")
SPAN = timedelta(days=29)
SELECTED = ("--select", "+campaign_performance", "+campaign_days", "+site_daily")
MARTS = {
    "transactions": "event_date",
    "sessions": "session_date",
    "site_daily": "report_date",
    "fact_conversions": "session_date",
    "attribution_shares": "session_date",
    "attribution": "session_date",
    "campaign_performance": "report_date",
    "campaign_days": "report_date",
}
Judged: TypeAlias = dict[str, tuple[str, Decimal | None, str | None]]


@dataclass(frozen=True)
class Sent:
    """An event of a history, with what it names."""

    at: datetime
    number: int
    site: str
    visitor: str
    kind: str  # event type
    order: str | None = None
    value: Decimal | None = None
    source: str | None = None

    comes_early: bool = False  # received on the day before its own

    @property
    def day(self) -> date:
        return self.at.date()

    @property
    def event_id(self) -> str:
        return f"e{self.number:05}"

    @property
    def place(self) -> tuple[datetime, str]:
        return self.at, self.event_id

    @property
    def is_refund(self) -> bool:
        return self.kind == "refund" or (self.kind == "purchase" and self.value is not None and self.value < 0)

    @property
    def earns(self) -> bool:
        return self.kind == "purchase" and not self.is_refund

    @property
    def key(self) -> tuple[str, str | None, str]:
        return self.site, self.order, "revenue" if self.kind in ("purchase", "refund") else self.kind

    def row(self) -> dict[str, Any]:
        source = {} if self.source is None else {"utm_source": self.source, "utm_medium": "email"}
        columns = {
            "event_id": self.event_id,
            "site_id": self.site,
            "host": self.site,
            "visitor_id": self.visitor,
            "transaction_id": self.order,
            "revenue": self.value,
            "currency": None if self.value is None else "USD",
        }
        return event(self.kind, self.at.isoformat(), self.number, **columns, **source)


def made_up(rng: random.Random, days: list[date], orders: int) -> list[Sent]:
    """Visits, purchases, copies, refunds, leads and looks at products, with orders named by several events each."""
    found: list[Sent] = []

    def send(kind: str, site: str, visitor: str, order: str | None, value: Decimal | None, **more: Any) -> None:
        at = datetime.fromisoformat(f"{rng.choice(days)}T{rng.choice(TIMES)}")
        found.append(Sent(at, len(found), site, visitor, kind, order, value, **more))

    visitors = [f"visitor {number}" for number in range(orders)]
    for visitor in visitors:
        for _ in range(rng.choice((0, 1, 2))):
            source = rng.choice(("news", "search", "friend"))
            send("page_view", rng.choice(SITES), visitor, None, None, source=source)
    for number in range(orders):
        order = rng.choice((f"order {number}", f"order {number}", f"order {number // 3}", None))
        for _ in range(rng.choice((1, 2, 2, 3, 4))):
            site = rng.choice((SITES[0], SITES[0], SITES[0], SITES[1]))
            visitor = rng.choice((visitors[number], visitors[number], rng.choice(visitors)))
            value = Decimal(rng.randrange(1, 20000)) / 100
            kind = rng.choice(("purchase", "purchase", "purchase", "refund", "refund", "form_submit", "view_item"))
            if kind == "purchase":
                value = rng.choice((value, value, value, -value))
            send(kind, site, visitor, order, rng.choice((value, value, value, None)))
            if rng.random() < 0.15:
                # A visit goes on after midnight, perhaps into a day that is never there.
                day = rng.choice(days)
                send("page_view", site, visitor, None, None)
                found[-1] = replace(found[-1], at=datetime.fromisoformat(f"{day}T23:59:58"))
                send(kind, site, visitor, order, value)
                early = datetime.fromisoformat(f"{day + timedelta(days=1)}T00:00:0{rng.randrange(10)}")
                found[-1] = replace(found[-1], at=early, comes_early=True)
    return found


def seen_by(sent: Sent, everything: Iterable[Sent], days: Iterable[date]) -> list[Sent]:
    """The events that one is compared with: those of days that are there, and of its own day."""
    there = {*days, sent.day}
    return [other for other in everything if other.day in there]


# The reference.


def is_copy(sent: Sent, everything: Iterable[Sent]) -> bool:
    return sent.order is not None and any(
        other.key == sent.key and not other.is_refund and other.place < sent.place and other.at >= sent.at - SPAN
        for other in everything
    )


def taken_back(refund: Sent, everything: Iterable[Sent]) -> Sent | None:
    """The first purchase of the order within 29 days before: others within these days are copies of it."""
    return min(
        (
            other
            for other in everything
            if refund.order is not None
            and other.earns
            and (other.site, other.order) == (refund.site, refund.order)
            and refund.at - SPAN <= other.at <= refund.at
        ),
        key=lambda other: other.place,
        default=None,
    )


def revenue_of(sent: Sent, everything: list[Sent]) -> Decimal | None:
    if not sent.is_refund:
        return sent.value if sent.kind == "purchase" else None
    if sent.value is not None:
        return -abs(sent.value)
    bought = taken_back(sent, everything)
    if bought is None or bought.value is None:
        return None
    earlier = [
        other
        for other in everything
        if other.is_refund
        and (other.site, other.order) == (sent.site, sent.order)
        and other.place < sent.place
        and other.at > sent.at - SPAN
    ]
    if any(other.value is None for other in earlier):
        return Decimal(0)
    return -max(bought.value - sum((abs(other.value or 0) for other in earlier), Decimal(0)), Decimal(0))


def reference(history: list[Sent], days: list[date]) -> Judged:
    """Event id → status, revenue, and the event that a refund takes back."""
    found: Judged = {}
    for sent in history:
        everything = seen_by(sent, history, days)
        if sent.is_refund:
            bought = taken_back(sent, everything)
            found[sent.event_id] = ("refund", revenue_of(sent, everything), bought and bought.event_id)
        elif sent.kind in ("purchase", "form_submit"):
            copy = is_copy(sent, everything)
            found[sent.event_id] = (
                "copy" if copy else "conversion",
                None if copy else revenue_of(sent, everything),
                None,
            )
    return found


# The lake.


def raw_lake(folder: Path, everything: list[Sent], days: list[date]) -> Lake:
    lake = Lake(str(folder))
    received: dict[tuple[date, date, str], list[dict[str, Any]]] = {
        (day, day, site): [] for day in days for site in SITES
    }
    for sent in everything:
        source_date = sent.day - timedelta(days=sent.comes_early)
        received.setdefault((sent.day, source_date, sent.site), []).append(sent.row())
    for (event_date, source_date, site), rows in received.items():
        table = pa.Table.from_pylist(rows, schema=arrow_schema(EVENTS))
        folder_of_day = f"raw/events/event_date={event_date}/source_date={source_date}/site={site}"
        lake.put_table(table, f"{folder_of_day}/{DATA_FILE}")
    for day in days:
        write_raw(lake, str(day), str(day), [])
    return lake


def query(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with lake.connect() as connection:
        create_views(lake, connection)
        return connection.execute(sql).fetchall()


def published(lake: Lake, days: Iterable[date]) -> dict[tuple[str, date], bytes]:
    return {
        (mart, day): Path(lake.path(f"marts/{mart}/{column}={day}/data.parquet")).read_bytes()
        for mart, column in MARTS.items()
        for day in days
    }


def assert_true(lake: Lake, everything: list[Sent], days: list[date]) -> None:
    expected = reference(everything, days)
    rows = query(
        lake,
        """
        select own.event_id, own.status, own.revenue, case when own.status = 'refund' then named.event_id end
        from marts.fact_conversions as own
        left join marts.fact_conversions as named on own.names_conversion_id = named.conversion_id
        """,
    )
    assert {event_id: (status, revenue, named) for event_id, status, revenue, named in rows} == expected
    assert len(rows) == len(expected)
    _assert_sums(lake, everything, expected)
    _assert_shares(lake, expected)


def _assert_sums(lake: Lake, everything: list[Sent], expected: Judged) -> None:
    """Every mart has the same conversions and revenue."""
    site_of = {sent.event_id: sent.site for sent in everything}
    count: dict[str, int] = defaultdict(int)
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for event_id, (status, amount, _) in expected.items():
        count[site_of[event_id]] += status == "conversion"
        revenue[site_of[event_id]] += amount or 0
    by_site = [(site, count[site], revenue[site]) for site in sorted(SITES)]
    for mart in ("sessions", "site_daily", "fact_conversions"):
        sql = f"select site_id, sum(conversions), sum(revenue) from marts.{mart} group by 1 order by 1"
        assert query(lake, sql) == by_site, mart
    total = (sum(count.values()), sum(revenue.values()))
    of_models = query(lake, "select model, sum(conversions), sum(revenue) from marts.campaign_performance group by 1")
    assert {row[1:] for row in of_models} == {total}
    assert len(of_models) == 7


def _assert_shares(lake: Lake, expected: Judged) -> None:
    """A refund has no credit, and the shares of its conversion if that counts; then also the touches."""
    shares: dict[str, dict[tuple[str, str | None], Decimal]] = defaultdict(dict)
    of_refund: dict[str, tuple[str, Decimal]] = {}
    sql = """
        select fact_conversions.event_id, attribution.model, touch_id, revenue_share, credit, reason
        from marts.attribution inner join marts.fact_conversions using (session_date, conversion_id)
    """
    for event_id, model, touch, share, credit, reason in query(lake, sql):
        shares[event_id][model, touch] = share
        of_refund[event_id] = (reason, max(credit, of_refund.get(event_id, ("", Decimal(0)))[1]))
    assert set(shares) == {event_id for event_id, (status, *_) in expected.items() if status != "copy"}
    for event_id, (status, _, named) in expected.items():
        if status == "refund":
            reason, credit = of_refund[event_id]
            assert credit == 0
            counts = named is not None and expected[named][0] == "conversion"
            how = "as the conversion that it takes back" if counts else "by its own path"
            assert reason.startswith(f"refund, {how}: ")
            assert not counts or shares[event_id] == shares[named or ""]


def tried(rng: random.Random, tmp_path: Path, target: Path, number_of_days: int) -> tuple[list[date], list[Sent], Lake]:
    """A history of some days, built one by one in some order."""
    days = [FIRST + timedelta(days=each) for each in sorted(rng.sample(OFFSETS, number_of_days))]
    everything = made_up(rng, days, orders=60)
    lake = raw_lake(tmp_path / "lake", everything, days)
    order = rng.sample(days, len(days))
    build_each(lake, target, [(str(day), str(day + timedelta(days=1))) for day in order], *SELECTED)
    return days, everything, lake


def test_days_in_some_order_give_what_a_plain_reference_says(tmp_path: Path, target: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    days, everything, lake = tried(random.Random(seed), tmp_path, target, number_of_days=3)
    assert_true(lake, everything, days)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_days_gives_the_same_true_lake(tmp_path: Path, target: Path, seed: int) -> None:
    days, everything, lake = tried(random.Random(seed), tmp_path, target, number_of_days=len(OFFSETS))
    assert_true(lake, everything, days)
    statuses = {status for status, *_ in reference(everything, days).values()}
    assert statuses == {"conversion", "copy", "refund"}

    at_once = raw_lake(tmp_path / "at once", everything, days)
    done = build(at_once, target, str(days[0]), str(days[-1] + timedelta(days=1)), *SELECTED)
    assert done.returncode == 0, done.stdout
    one_by_one, in_a_range = published(lake, days), published(at_once, days)
    assert [key for key in in_a_range if one_by_one[key] != in_a_range[key]] == []


def test_one_transaction_id_for_everybody_finishes(target: Path, tmp_path: Path) -> None:
    """A shop whose page names the same order in each of 50,000 purchases and refunds: no pairs of them are made."""
    done = run_dbt(Lake(str(tmp_path)), target, "compile", "--select", "int_conversions")
    assert done.returncode == 0, done.stdout
    statement = next((target / "compiled" / "clicklake" / "models").rglob("int_conversions.sql")).read_text("utf-8")
    given = {
        "int_conversion_events": "intermediate/conversions/_conversions.yml",
        "transactions": "marts/conversions/_transactions.yml",
    }
    with duckdb.connect() as engine:
        for name, path in given.items():
            models = yaml.safe_load((PROJECT / "models" / path).read_text("utf-8"))["models"]
            columns = next(model["columns"] for model in models if model["name"] == name)
            typed = ", ".join(f"{column['name']} {column['data_type']}" for column in columns)
            engine.execute(f"create table {name} ({typed})")
        engine.execute("""
            insert into int_conversion_events by name
            select
                'conversion ' || n as conversion_id, 'event ' || n as event_id, 'shop' as site_id,
                'order' as transaction_id,
                timestamp '2026-01-01' + to_seconds(n * 20) as event_ts, cast(event_ts as date) as event_date,
                case when n % 2 = 0 then 'conversion' else 'refund' end as kind, '(revenue)' as compared_as,
                case when n % 2 = 0 then 5 when n % 4 = 1 then -1 end as amount, 'EUR' as currency
            from range(100000) as r (n)
        """)
        found = dict(engine.execute(f"select status, count(*) from ({statement}) group by status").fetchall())
    assert found == {"conversion": 1, "copy": 49_999, "refund": 50_000}
