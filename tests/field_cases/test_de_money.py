"""Field cases D1 to D4, E1 and E6, end to end: two days of visits, purchases, copies and refunds, to the marts and to
MongoDB. Each case is a site of its own."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets.performance_entries import COLLECTION
from tests.environment_fixtures import DAYS, Environment
from tests.event_lines import line as event_line
from tests.event_lines import pixel
from tests.log_lines import line, log

pytestmark = pytest.mark.slow

ONE, TWO = DAYS[:2]
RULES = "variables:\n  session_by: client\n  attribution_include_direct: true\n"


def seen(
    site: str, day: str, time: str, kind: str = "pageview", visitor: str | None = "ann", **fields: Any
) -> tuple[str, str, Any]:
    """An event of a site: its day, and the pixel's object. `worth` and `order` are what it names."""
    data = {"value": fields.pop("worth", None), "currency": "EUR", "transaction_id": fields.pop("order", None)}
    event = pixel(
        eventType=kind,
        visitorId=visitor,
        timestamp=f"{day}T{time}.000Z",
        url=fields.pop("url", f"https://{site}/"),
        eventData={name: value for name, value in data.items() if value is not None},
        sessionId=fields.pop("session", None),
        **fields,
    )
    return site, day, event


MAIL = "utm_source=news&utm_medium=email"
SENT = [
    # D1: only the purchase earns.
    seen("d1.example", ONE, "10:00:00", "view_item", worth=50),
    seen("d1.example", ONE, "10:01:00", "add_to_cart", worth=50),
    seen("d1.example", ONE, "10:02:00", "begin_checkout", worth=50),
    seen("d1.example", ONE, "10:03:00", "purchase", worth=50),
    # D2: taken back by a negative purchase, and on the next day by refunds that name the order, in visits of their own.
    seen("d2.example", ONE, "10:00:00", url=f"https://d2.example/?{MAIL}"),
    seen("d2.example", ONE, "10:01:00", "purchase", worth=100),
    seen("d2.example", ONE, "10:02:00", "purchase", worth=-100),
    seen("d2.example", ONE, "10:03:00", "purchase", worth=50, order="T1"),
    seen("d2.example", TWO, "12:00:00", "refund", visitor=None, worth=20, order="T1"),
    seen("d2.example", TWO, "13:00:00", "refund", visitor=None, order="T1"),
    # D3: a page of thanks that is loaded again, and opened by somebody else the day after.
    seen("d3.example", ONE, "10:00:00", "purchase", worth=100, order="T1"),
    seen("d3.example", ONE, "10:01:00", "purchase", worth=100, order=" T1 "),
    seen("d3.example", TWO, "09:00:00", "purchase", visitor="bob", worth=100, order="T1"),
    seen("d3.example", TWO, "09:05:00", "purchase", visitor="bob", worth=30, order="T2"),
    # E1: a tracker without visitor ids, and a login in the middle of a visit.
    seen("e1.example", ONE, "10:00:00", visitor=None, session="S1"),
    seen("e1.example", ONE, "10:05:00", visitor=None, session="S1"),
    seen("e1.example", ONE, "11:00:00", visitor=None, session="S2"),
    seen("e1.example", ONE, "11:02:00", visitor=None, session="S2", userId="ann"),
    # E6: nothing but the purchase; a purchase after a look; a purchase that brings its source.
    seen("e6.example", ONE, "10:00:00", "purchase", visitor="alone", worth=10),
    seen("e6.example", ONE, "10:00:00", visitor="looks"),
    seen("e6.example", ONE, "10:01:00", "purchase", visitor="looks", worth=20),
    seen("e6.example", ONE, "10:00:00", "purchase", visitor="by mail", worth=30, url=f"https://e6.example/?{MAIL}"),
]


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


@pytest.fixture(scope="module")
def built(shared_environment: Environment) -> Iterator[Environment]:
    rules = shared_environment.folder / "rules"
    rules.mkdir()
    (rules / "rules.yml").write_text(RULES, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLICKLAKE_RULES", str(rules))
        _run(shared_environment)
        yield shared_environment


def _run(environment: Environment) -> None:
    for day in (ONE, TWO):
        row = line(id="id", time="08:00:00", path="/pxl.png", query="oid=1&cid=a&pid=chicago-reader&ch=website&cr=1")
        environment.put_object(f"E1TEST.{day}-10.a.gz", log([row.replace(ONE.encode(), day.encode(), 1)]))
    for site, day in sorted({(site, day) for site, day, _ in SENT}):
        folder = f"domain={site}/year={day[:4]}/month={day[5:7]}/day={day[8:]}/hour=14"
        lines = [event_line(event) for of, at, event in SENT if (of, at) == (site, day)]
        environment.put_event_object(f"{folder}/events-{day}-14.jsonl", b"\n".join(lines))
    assert environment.run(TWO).bad == {}
    assert environment.run(ONE).bad == {}  # it comes late, and changes the day after


def query(environment: Environment, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query; `{mart}` stands for the published days of that mart."""
    with environment.lake.connect() as connection:
        for mart in ("sessions", "site_daily", "fact_conversions", "attribution", "campaign_performance"):
            files = environment.lake.uri(f"marts/{mart}/*/data.parquet")
            sql = sql.replace(f"{{{mart}}}", f"read_parquet('{files}', hive_partitioning = true)")
        return connection.execute(sql).fetchall()


def sums(environment: Environment, site: str) -> dict[str, tuple[int, Decimal]]:
    """Conversions and revenue of a site in each mart that has them."""
    found = {}
    for mart in ("sessions", "site_daily", "fact_conversions"):
        sql = f"select sum(conversions), sum(revenue) from {{{mart}}} where site_id = '{site}'"
        [found[mart]] = query(environment, sql)
    of_model = f"""
        select count(distinct conversion_id) filter (not is_refund), sum(revenue) from {{attribution}}
        where site_id = '{site}' and model = 'linear'
    """
    [found["attribution"]] = query(environment, of_model)
    return found


def assert_sums(environment: Environment, site: str, conversions: int, revenue: int) -> None:
    assert set(sums(environment, site).values()) == {(conversions, Decimal(revenue))}


def test_d1_only_what_the_seed_calls_revenue_earns(built: Environment) -> None:
    assert_sums(built, "d1.example", conversions=1, revenue=50)


def test_d2_a_refund_is_a_row_of_its_own_day(built: Environment) -> None:
    assert_sums(built, "d2.example", conversions=2, revenue=0)
    rows = query(
        built,
        """
        select cast(session_date as varchar), status, revenue, value_from, names_conversion_id is not null
        from {fact_conversions} where site_id = 'd2.example' order by conversion_ts
        """,
    )
    assert rows == [
        (ONE, "conversion", Decimal(100), "event", False),
        (ONE, "refund", Decimal(-100), "event", False),
        (ONE, "conversion", Decimal(50), "event", False),
        (TWO, "refund", Decimal(-20), "event", True),
        (TWO, "refund", Decimal(-30), "conversion", True),  # all that is left
    ]
    # Ann came by mail; the shop reports the refunds without naming anybody, and the campaign gives the money back.
    shared = query(
        built,
        """
        select cast(session_date as varchar), is_refund, channel, credit, revenue
        from {attribution} where site_id = 'd2.example' and model = 'last' and revenue not in (100, -100)
        order by conversion_ts
        """,
    )
    assert shared == [
        (ONE, False, "Email", Decimal(1), Decimal(50)),
        (TWO, True, "Email", Decimal(0), Decimal(-20)),
        (TWO, True, "Email", Decimal(0), Decimal(-30)),
    ]


def test_d3_one_conversion_for_a_transaction_and_the_copies_are_named(built: Environment) -> None:
    assert_sums(built, "d3.example", conversions=2, revenue=130)
    copies = query(
        built,
        """
        select cast(session_date as varchar), transaction_id, value, revenue, names_conversion_id is not null
        from {fact_conversions} where status = 'copy' order by conversion_ts
        """,
    )
    assert copies == [(day, "T1", Decimal(100), None, True) for day in (ONE, TWO)]
    assert _copies_warned_about(built) == [(ONE, 2)]  # the run that brought the first day made copies of the second


def _copies_warned_about(environment: Environment) -> list[tuple[str, int]]:
    files = environment.lake.uri("quality/data_quality/**/*.parquet")
    with environment.lake.connect() as connection:
        return connection.execute(
            f"select cast(day as varchar), failures from read_parquet('{files}') "
            "where \"check\" = 'copies_are_left_out' and status = 'warned' order by day"
        ).fetchall()


def test_d2_d3_mongodb_holds_the_same(built: Environment) -> None:
    expected = query(
        built,
        "select cast(report_date as varchar), model, sum(conversions), sum(revenue) from {campaign_performance} "
        "group by 1, 2",
    )
    found: dict[tuple[str, str], list[float]] = {}
    for entry in built.entries("campaign_performance"):
        for model, figures in entry["models"].items():
            total = found.setdefault((entry["dateStart"].date().isoformat(), model), [0.0, 0.0])
            total[0] += figures["conversions"]
            total[1] += figures["revenue"] or 0
    assert {key: (round(a, 6), round(b, 6)) for key, (a, b) in found.items()} == {
        (day, model): (float(conversions), float(revenue)) for day, model, conversions, revenue in expected
    }
    assert {float(revenue) for day, _, _, revenue in expected if day == TWO} == {30.0 - 50.0}


def test_d4_a_document_that_is_left_alone_is_named(built: Environment) -> None:
    with connect(built.settings["CLICKLAKE_MONGODB_URL"]) as client:
        collection = client[built.settings["CLICKLAKE_MONGODB_DATABASE"]][COLLECTION]
        entry = next(each for each in collection.find() if each["dateStart"].date().isoformat() == TWO)
        collection.replace_one({"_id": entry["_id"]}, entry | {"deletedAt": None})

    result = built.run(TWO)

    assert result.bad == {}
    # This run restates the first day, whose copy an earlier run has named.
    assert _copies_warned_about(built) == [(ONE, 2), (TWO, 1)]
    [told] = [text for text in result.warnings if "left alone in MongoDB" in text]
    assert "orderId 1, campaignId a" in told
    assert "its deletedAt is null, which hides it from readers" in told


def test_e1_a_session_id_stands_for_itself(built: Environment) -> None:
    rows = query(
        built,
        """
        select client_session_id, page_views, duration_seconds, is_bounce, user_id, is_new_visitor
        from {sessions} where site_id = 'e1.example' order by session_start
        """,
    )
    assert rows == [("S1", 2, 300.0, False, None, True), ("S2", 2, 120.0, False, "ann", True)]
    daily = query(
        built, "select visitors, sessions, page_views, bounces from {site_daily} where site_id = 'e1.example'"
    )
    assert daily == [(2, 2, 4, 0)]


def test_e6_a_conversion_is_no_touch_of_itself(built: Environment) -> None:
    rows = query(
        built,
        """
        select person_key, status, channel, credit from {attribution}
        where site_id = 'e6.example' and model = 'last' order by person_key
        """,
    )
    assert rows == [
        ("visitor:alone", "unattributed", None, Decimal(0)),
        ("visitor:by mail", "attributed", "Email", Decimal(1)),
        ("visitor:looks", "attributed", "Direct", Decimal(1)),
    ]
