"""Attribution against a plain reference over made-up people, with crowds, and over real raw files in any order of days.

The models between `touchpoints` and `attribution` run as dbt compiles them, in a DuckDB of the test's own: many people
in one go, and none of what they would need to get there.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
import yaml

from ingest.lake.files import Lake
from tests.integration.dbt_fixtures import (
    PROJECT,
    build,
    build_each,
    event,
    report,
    request,
    run_dbt,
    write_events,
    write_raw,
)

pytestmark = pytest.mark.slow

BUILT = (
    "int_attribution_conversions",
    "int_attribution_touches",
    "int_attribution_installs",
    "int_attribution_paths",
    "attribution_shares",
    "attribution",
)
GIVEN = {
    "fact_conversions": "marts/star/_star.yml",
    "touchpoints": "marts/attribution/_attribution.yml",
    "identities": "marts/identity/_identity.yml",
    "int_identities_as_of": "intermediate/identity/_identity.yml",
}
MODELS = ("first", "last", "last_non_direct", "linear", "position_based", "time_decay", "shapley")
DAY = date(2026, 1, 20)
MICROSECOND = timedelta(microseconds=1)

Row = dict[str, Any]
World = dict[str, list[Row]]


def compiled(target: Path, **variables: Any) -> dict[str, str]:
    """The SQL of the models, by name, in the order in which they are built."""
    lake = Lake(str(target / "lake"))
    lake.put_text(yaml.safe_dump({"variables": variables}), "rules/rules.yml")
    done = run_dbt(lake, target, "compile", "--select", *BUILT)
    assert done.returncode == 0, done.stdout
    folder = target / "compiled" / "clicklake" / "models"
    return {name: next(folder.rglob(f"{name}.sql")).read_text("utf-8") for name in BUILT}


@pytest.fixture(scope="module")
def sql(target: Path) -> dict[str, str]:
    return compiled(target)


def empty_engine() -> duckdb.DuckDBPyConnection:
    """The tables that the models read, as their properties describe them, without rows."""
    engine = duckdb.connect()
    for name, path in GIVEN.items():
        models = yaml.safe_load((PROJECT / "models" / path).read_text("utf-8"))["models"]
        columns = next(model["columns"] for model in models if model["name"] == name)
        typed = ", ".join(f"{column['name']} {column['data_type']}" for column in columns)
        engine.execute(f"create table {name} ({typed})")
    return engine


def run_models(engine: duckdb.DuckDBPyConnection, sql: dict[str, str]) -> None:
    for name, statement in sql.items():
        engine.execute(f"create or replace table {name} as {statement}")


def attributed(world: World, sql: dict[str, str]) -> list[Row]:
    """What the models make of a world."""
    with empty_engine() as engine:
        for name, rows in world.items():
            if rows:
                given = pa.Table.from_pylist(rows)  # noqa: F841 - DuckDB finds it by name
                engine.execute(f"insert into {name} by name from given")
        run_models(engine, sql)
        return engine.sql("from attribution").to_arrow_table().to_pylist()


# A world: people with their ids and addresses, what touched them, and what they did.

SITES = ("shop", "blog")
CHANNELS = ("Email", "Display", "Direct", "Paid Search", None)
CAMPAIGNS = ("spring", "retarget-spring", "Remarketing", None)


def full(row: Row, names: Iterable[str]) -> Row:
    return dict.fromkeys(names) | row


def touch(number: int, at: datetime, rng: random.Random, **columns: Any) -> Row:
    names = ("person_key", "session_id", "site_id", "click_id", "click_id_kind", "device_id", "advertising_id")
    names += ("device_fingerprint", "subnet_hash", "ip_hash", "user_agent", "ad_click_id")
    row = {
        "touch_date": at.date(),
        "touch_id": f"touch {rng.randrange(10**6):06} {number}",
        "touch_ts": at,
        "channel": rng.choice(CHANNELS),
        "campaign_id": rng.choice(CAMPAIGNS),
        "is_direct": False,
    }
    return full(row | columns, names)


def moments(rng: random.Random, conversion_ts: datetime) -> datetime:
    """A moment that is at an edge of some window of a conversion, next to it, or anywhere."""
    window = rng.choice((timedelta(0), timedelta(hours=24), timedelta(hours=48), timedelta(days=7), timedelta(days=29)))
    return rng.choice(
        (
            conversion_ts - window,
            conversion_ts - window + rng.choice((-1, 1)) * MICROSECOND,
            conversion_ts - timedelta(seconds=rng.randrange(9 * 86400)),
            conversion_ts - timedelta(seconds=rng.randrange(40)),
        )
    )


def made_up_world(seed: str, people: int) -> World:
    rng = random.Random(seed)
    world: World = {name: [] for name in GIVEN}
    numbers = itertools.count()
    for person in range(people):
        identity = f"identity {person}"
        keys = [f"visitor:{person}-{key}" for key in range(rng.choice((1, 1, 2, 3)))]
        addresses = rng.sample([f"home {person}", f"flat {person // 2}", f"office {person // 20}"], 2)
        for day in (DAY, DAY + timedelta(days=1)):
            is_seen = rng.random() < 0.9
            for key in keys if is_seen else ():
                node = {"as_of_date": day, "node_key": key, "node_type": "visitor_id", "identity_id": identity}
                world["int_identities_as_of"].append(node)
            if is_seen:
                is_new = rng.random() < 0.5
                world["identities"].append({"report_date": day, "identity_id": identity, "is_new": is_new})
        moment = datetime(2026, 1, 20, 12) + timedelta(seconds=rng.randrange(20 * 3600))
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            world["fact_conversions"].append(conversion(next(numbers), moment, keys, addresses, rng))
            if rng.random() < 0.3:
                world["touchpoints"].append(own_visit(world["fact_conversions"][-1], rng))
            moment += rng.choice((timedelta(0), MICROSECOND, timedelta(seconds=rng.randrange(3600))))
        for _ in range(rng.choice((0, 1, 2, 3, 5, 8))):
            world["touchpoints"].append(made_up_touch(next(numbers), moment, keys, addresses, rng))
    bought = [row["conversion_id"] for row in world["fact_conversions"] if row["status"] == "conversion"]
    for row in world["fact_conversions"]:
        is_named = row["status"] == "refund" and rng.random() < 0.6
        row["names_conversion_id"] = rng.choice([*bought, "a copy"]) if is_named else None
    return world


def own_visit(conversion: Row, rng: random.Random) -> Row:
    """A visit that begins with a conversion, or just before it."""
    return touch(
        0,
        conversion["conversion_ts"] - rng.choice((timedelta(0), timedelta(0), MICROSECOND)),
        rng,
        touch_type="session",
        touch_id=f"session:{conversion['session_id']}",
        is_direct=rng.random() < 0.7,
        **{name: conversion[name] for name in ("person_key", "site_id", "session_id", "ip_hash", "user_agent")},
    )


def ids(rng: random.Random) -> Row:
    """Ids of a device, from a few, so that clicks and installs meet."""
    kind = rng.choice(("gclid", "GCLID", "fbclid", "oid"))
    known = {
        "device_id": f"device {rng.randrange(30)}",
        "advertising_id": f"advertising {rng.randrange(30)}",
        "device_fingerprint": f"fingerprint {rng.randrange(15)}",
        "subnet_hash": f"network {rng.randrange(2)}",
    }
    some = {name: value if rng.random() < 0.4 else None for name, value in known.items()}
    has_click = rng.random() < 0.3
    click_id = f"click {rng.randrange(15)}" if has_click else None
    return some | {"click_id": click_id, "click_id_kind": kind if has_click else None}


def conversion(number: int, at: datetime, keys: list[str], addresses: list[str], rng: random.Random) -> Row:
    kind = rng.choice(("purchase", "purchase", "purchase", "install"))
    return ids(rng) | {
        # A session that began the day before may have gone on over midnight.
        "session_date": DAY + timedelta(days=1) if at.date() > DAY and rng.random() < 0.5 else DAY,
        "conversion_id": f"conversion {number}",
        "conversion_ts": at,
        "conversion_type": kind,
        "status": "refund" if rng.random() < 0.2 else "conversion",
        "site_id": rng.choice(SITES),
        "session_id": f"session of {number}",
        "person_key": rng.choice([*keys, None]) if rng.random() < 0.1 else rng.choice(keys),
        "ip_hash": rng.choice(addresses),
        "user_agent": "agent",
        "revenue": rng.choice((None, Decimal(0), Decimal("-7.77"), Decimal(rng.randrange(10**9)) / 10**4)),
        "currency": rng.choice(("USD", "EUR", None)),
    }


def made_up_touch(number: int, moment: datetime, keys: list[str], addresses: list[str], rng: random.Random) -> Row:
    at = moments(rng, moment)
    if rng.random() < 0.3:
        at = at.replace(second=0, microsecond=0)  # so that some have the same time
    address = {"ip_hash": rng.choice(addresses), "user_agent": rng.choice(("agent", "agent", None))}
    kind = rng.choice(("session", "session", "click", "ad click", "impression"))
    if kind in ("ad click", "impression"):
        ad_type = kind.removeprefix("ad ")
        return touch(number, at, rng, touch_type=ad_type, **address)
    known = {"person_key": rng.choice(keys), "site_id": rng.choice(SITES), "session_id": f"visit {number}"}
    if kind == "click":
        return touch(number, at, rng, touch_type="click", **known, **address, **ids(rng))
    is_direct = rng.random() < 0.3
    return touch(number, at, rng, touch_type="session", is_direct=is_direct, **known, **address, **ids(rng))


# The reference: every conversion by itself, as the rules are told, with no thought of speed.


class Reference:
    def __init__(self, world: World, include_direct: bool = False, most: int = 100, priority: tuple[str, ...] = ()):
        self.world = world
        self.include_direct = include_direct
        self.most = most
        self.priority = priority
        self.identity_of = {
            (row["as_of_date"], row["node_key"]): row["identity_id"] for row in world["int_identities_as_of"]
        }
        self.is_new = {(row["report_date"], row["identity_id"]): row["is_new"] for row in world["identities"]}

    def rows(self) -> list[Row]:
        return [row for each in self.world["fact_conversions"] for row in self.rows_of(each)]

    def rows_of(self, conversion: Row) -> list[Row]:
        rows = self.shares_of(self.taken_back(conversion) or conversion, conversion)
        if conversion["status"] == "refund":
            rows = [row | {"credit": 0, "is_reattribution": False} for row in rows]
        return rows

    def taken_back(self, conversion: Row) -> Row | None:
        named = conversion["names_conversion_id"]
        return next((row for row in self.world["fact_conversions"] if row["conversion_id"] == named), None)

    def shares_of(self, shared: Row, conversion: Row) -> list[Row]:
        """The rows of a conversion that is shared as another one."""
        path, is_reattribution = self.path_of(shared)
        if not path:
            status = "organic" if shared["conversion_type"] == "install" else "unattributed"
            nothing = {
                "touch_id": None,
                "position": None,
                "touches": 0,
                "credit": 0,
                "revenue_share": 0,
                "status": status,
            }
            nothing |= {"conversion_id": conversion["conversion_id"], "status": status, "is_reattribution": False}
            return [nothing | {"model": model, "revenue": conversion["revenue"]} for model in MODELS]
        return [
            {
                "conversion_id": conversion["conversion_id"],
                "model": model,
                "touch_id": each["touch_id"],
                "position": place + 1,
                "touches": len(path),
                "credit": credit,
                "revenue_share": credit,
                "revenue": revenue,
                "status": "attributed",
                "is_reattribution": is_reattribution,
            }
            for model in MODELS
            for place, (each, credit, revenue) in enumerate(
                zip(path, *divided(shares(model, path), conversion["revenue"]), strict=True)
            )
        ]

    def owner(self, day: date, person_key: str | None, session_id: str | None) -> str | None:
        if person_key is None:
            return session_id
        return self.identity_of.get((day, person_key), person_key)

    def in_order(self, touches: Iterable[Row]) -> list[Row]:
        def place(channel: str | None) -> int:
            return self.priority.index(channel) if channel in self.priority else len(self.priority)

        return sorted(touches, key=lambda each: (each["touch_ts"], place(each["channel"]), each["touch_id"]))

    def path_of(self, conversion: Row) -> tuple[list[Row], bool]:
        day = conversion["session_date"]
        owner = self.owner(day, conversion["person_key"], conversion["session_id"])
        is_returning = not self.is_new.get((day, owner), True)
        if conversion["conversion_type"] == "install":
            click = self.click_of(conversion)
            return click, bool(click) and is_returning and brings_back(click[0])
        touches = self.touches_of(owner, day, conversion["site_id"])
        clicks = [each for each in touches if each["touch_type"] != "impression" and not self.begins(each, conversion)]
        counted = [each for each in clicks if self.include_direct or not each["is_direct"]]
        shown = within([each for each in touches if each["touch_type"] == "impression"], conversion, hours=24)
        choices = [
            (within([each for each in clicks if brings_back(each)], conversion, hours=696), True),
            (within(counted, conversion, hours=168), False),
            ([each for each in shown if brings_back(each)], True),
            (shown, False),
        ]
        for found, is_reattribution in choices:
            if found and (is_returning or not is_reattribution):
                path = self.in_order(found)
                path = path if len(path) <= self.most else [path[0], *path[1 - self.most :]]
                return path, is_reattribution
        return [], False

    def begins(self, visit: Row, conversion: Row) -> bool:
        """Whether a direct visit begins at the moment of a conversion, by it or by another one of its path."""
        return (
            visit["is_direct"]
            and visit["touch_ts"] == conversion["conversion_ts"]
            and any(
                (each["session_id"], each["conversion_ts"]) == (visit["session_id"], visit["touch_ts"])
                and each["conversion_type"] != "install"
                and self.path_key(each) == self.path_key(conversion)
                for each in self.world["fact_conversions"]
            )
        )

    def path_key(self, conversion: Row) -> tuple[Any, ...]:
        day = conversion["session_date"]
        return day, self.owner(day, conversion["person_key"], conversion["session_id"]), conversion["site_id"]

    def touches_of(self, owner: str | None, day: date, site: str) -> list[Row]:
        everybody = self.world["touchpoints"]
        known = [
            each
            for each in everybody
            if each["session_id"] and self.owner(day, each["person_key"], each["session_id"]) == owner
        ]
        addresses = {
            (each["ip_hash"], each["user_agent"])
            for each in known
            if self.is_lately(each, day) and each["ip_hash"] and each["user_agent"]
        }
        visitors = defaultdict(set)
        for each in everybody:
            if self.is_lately(each, day):
                who = self.owner(day, each["person_key"], each["session_id"])
                visitors[each["ip_hash"], each["user_agent"]].add(who)
        own = {address for address in addresses if len(visitors[address]) == 1}
        ads = [each for each in everybody if not each["session_id"] and (each["ip_hash"], each["user_agent"]) in own]
        return [each for each in known if each["site_id"] == site] + ads

    @staticmethod
    def is_lately(each: Row, day: date) -> bool:
        return each["touch_type"] == "session" and day - timedelta(days=7) <= each["touch_date"] <= day

    def click_of(self, install: Row) -> list[Row]:
        clicks = [
            each
            for each in self.world["touchpoints"]
            if each["site_id"] in (None, install["site_id"])
            and (
                each["touch_type"] == "click"
                or (each["touch_type"] == "session" and not each["is_direct"] and each["click_id"])
            )
        ]
        kinds = [(same_click, 168), (same_device, 168), (same_fingerprint, 48), (same_address, 48)]
        for is_same, hours in kinds:
            found = within([each for each in clicks if is_same(each, install)], install, hours)
            best = [each for each in found if each["touch_type"] == "click"] or found
            if best:
                return self.in_order(best)[-1:]
        return []


def brings_back(each: Row) -> bool:
    return (each["campaign_id"] or "").lower().startswith(("retarget", "remarket"))


def within(touches: Iterable[Row], conversion: Row, hours: int) -> list[Row]:
    end = conversion["conversion_ts"]
    return [each for each in touches if end - timedelta(hours=hours) <= each["touch_ts"] <= end]


def same_click(click: Row, install: Row) -> bool:
    kinds = [(each["click_id_kind"] or "").lower() for each in (click, install)]
    return kinds[0] == kinds[1] not in ("", "oid") and click["click_id"] == install["click_id"]


def same_device(click: Row, install: Row) -> bool:
    return any(click[name] is not None and click[name] == install[name] for name in ("device_id", "advertising_id"))


def same_fingerprint(click: Row, install: Row) -> bool:
    names = ("device_fingerprint", "subnet_hash")
    return all(click[name] is not None and click[name] == install[name] for name in names)


def same_address(click: Row, install: Row) -> bool:
    if click["device_fingerprint"] and install["device_fingerprint"]:
        return False
    return all(click[name] is not None and click[name] == install[name] for name in ("ip_hash", "user_agent"))


def shares(model: str, path: list[Row]) -> list[Fraction | float]:
    count = len(path)
    if model == "first":
        return [Fraction(int(place == 0)) for place in range(count)]
    if model == "last":
        return [Fraction(int(place == count - 1)) for place in range(count)]
    if model == "last_non_direct":
        last = max((place for place in range(count) if not path[place]["is_direct"]), default=count - 1)
        return [Fraction(int(place == last)) for place in range(count)]
    if model == "linear" or (model == "position_based" and count <= 2):
        return [Fraction(1, count)] * count
    if model == "position_based":
        between = Fraction(1, 5) / (count - 2)
        return [Fraction(2, 5), *[between] * (count - 2), Fraction(2, 5)]
    if model == "time_decay":
        ages = [(path[-1]["touch_ts"] - each["touch_ts"]) / timedelta(days=7) for each in path]
        weights = [2**-age for age in ages]
        return [weight / sum(weights) for weight in weights]
    channels = [each["channel"] for each in path]
    return [shapley_value(channel, set(channels)) / channels.count(channel) for channel in channels]


def shapley_value(player: str | None, players: set[str | None]) -> Fraction:
    """What a player adds, on the mean over all orders in which they could come, to a game that all of them win."""

    def is_won(team: Iterable[str | None]) -> int:
        return int(players <= set(team))

    orders = list(itertools.permutations(players))
    added = sum(is_won(order[: order.index(player) + 1]) - is_won(order[: order.index(player)]) for order in orders)
    return Fraction(added, len(orders))


def divided(parts: list[Fraction | float], revenue: Decimal | None) -> tuple[list[Decimal], list[Decimal | None]]:
    """Credits in billionths, and revenue in hundredths of a cent; what is left over goes to the last."""
    units = [floor(part * 10**9) for part in parts]
    units[-1] += 10**9 - sum(units)
    credits = [Decimal(unit) / 10**9 for unit in units]
    if revenue is None:
        return credits, [None] * len(parts)
    worth = int(abs(revenue) * 10**4)
    given = [worth * unit // 10**9 for unit in units]
    given[-1] += worth - sum(given)
    return credits, [Decimal(unit).copy_sign(revenue) / 10**4 for unit in given]


def compared(rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    names = ("touches", "position", "status", "is_reattribution", "credit", "revenue_share", "revenue")
    found = {(row["conversion_id"], row["model"], row["touch_id"]): {name: row[name] for name in names} for row in rows}
    assert len(found) == len(rows)
    return found


def assert_same(rows: list[Row], expected: list[Row]) -> None:
    ours, theirs = compared(rows), compared(expected)
    assert set(ours) == set(theirs)
    for key, row in ours.items():
        reference = theirs[key]
        if key[1] == "time_decay" and row["touches"]:
            # The reference adds up binary fractions in another order.
            for name in ("credit", "revenue_share"):
                assert abs(row.pop(name) - reference.pop(name)) <= Decimal(row["touches"] + 1) / 10**9, key
            theirs_worth, worth = reference.pop("revenue"), row.pop("revenue")
            assert (worth is None) == (theirs_worth is None)
            assert worth is None or abs(worth - theirs_worth) <= Decimal("0.001"), key
        assert row == reference, key


@pytest.mark.parametrize("seed", ["one", "two", "three"])
def test_it_is_what_a_plain_reference_says(sql: dict[str, str], seed: str) -> None:
    world = made_up_world(seed, people=300)
    rows = attributed(world, sql)
    assert_same(rows, Reference(world).rows())
    assert {row["status"] for row in rows} == {"attributed", "unattributed", "organic"}
    assert {row["touch_type"] for row in rows} == {"session", "click", "impression", None}
    assert {row["is_reattribution"] for row in rows} == {True, False}
    assert max(row["touches"] for row in rows) >= 4


def test_direct_visits_priority_and_the_cap(target: Path) -> None:
    variables = {
        "attribution_include_direct": True,
        "attribution_max_touches": 3,
        "attribution_channel_priority": ["Display", "Email"],
    }
    world = made_up_world("four", people=300)
    expected = Reference(world, include_direct=True, most=3, priority=("Display", "Email")).rows()
    assert_same(attributed(world, compiled(target, **variables)), expected)


@pytest.mark.parametrize("seed", ["one", "two"])
def test_credits_and_revenue_add_up(sql: dict[str, str], seed: str) -> None:
    world = made_up_world(seed, people=200)
    worth = {row["conversion_id"]: row["revenue"] for row in world["fact_conversions"]}
    refunds = {row["conversion_id"] for row in world["fact_conversions"] if row["status"] == "refund"}
    sums: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in attributed(world, sql):
        sums[row["conversion_id"], row["model"]].append(row)
    assert set(sums) == {(conversion_id, model) for conversion_id in worth for model in MODELS}
    for (conversion_id, _), rows in sums.items():
        assert sum(row["revenue_share"] for row in rows) == (1 if rows[0]["touches"] else 0)
        assert sum(row["credit"] for row in rows) == (1 if rows[0]["touches"] and conversion_id not in refunds else 0)
        assert min(row["credit"] for row in rows) >= 0
        if worth[conversion_id] is None:
            assert {row["revenue"] for row in rows} == {None}
        else:
            assert sum(row["revenue"] for row in rows) == worth[conversion_id]


def test_what_is_unrelated_changes_nothing(sql: dict[str, str]) -> None:
    """Other people, at other addresses, with other ids, at the same moments."""
    world = made_up_world("five", people=100)
    others = made_up_world("six", people=100)

    def renamed(row: Row) -> Row:
        names = ("person_key", "node_key", "identity_id", "conversion_id", "touch_id", "session_id", "ip_hash")
        names += ("click_id", "device_id", "advertising_id", "device_fingerprint", "names_conversion_id")
        return row | {name: f"other {row[name]}" for name in names if row.get(name) is not None}

    both = {name: rows + [renamed(row) for row in others[name]] for name, rows in world.items()}
    key = ("conversion_id", "model", "position")
    before = sorted(attributed(world, sql), key=lambda row: [str(row[name]) for name in key])
    after = [row for row in attributed(both, sql) if not row["conversion_id"].startswith("other ")]
    assert sorted(after, key=lambda row: [str(row[name]) for name in key]) == before


def test_crowds_finish(sql: dict[str, str]) -> None:
    """A person with 100,000 touches and 1,000 conversions, and an address that 5,000 share, with 50,000 ads there."""
    with empty_engine() as engine:
        engine.execute("""
            insert into touchpoints by name
            select
                date '2026-01-20' as touch_date, 'touch ' || n as touch_id, 'session' as touch_type,
                timestamp '2026-01-20 00:00:00' + to_milliseconds(n * 800) as touch_ts,
                'visitor:busy' as person_key, 'session ' || n as session_id, 'shop' as site_id, 'Email' as channel,
                'home' as ip_hash, 'agent' as user_agent, false as is_direct, 'gclid' as click_id_kind, 'x' as click_id
            from range(100000) as r (n)
            union all by name
            select
                date '2026-01-20' as touch_date, 'crowd ' || n as touch_id, 'session' as touch_type,
                timestamp '2026-01-20 00:00:00' as touch_ts,
                'visitor:' || n as person_key, 'session of ' || n as session_id, 'shop' as site_id, 'Email' as channel,
                'crowd' as ip_hash, 'agent' as user_agent, true as is_direct
            from range(5000) as r (n)
            union all by name
            select
                date '2026-01-20' as touch_date, 'ad ' || n as touch_id, 'click' as touch_type,
                timestamp '2026-01-20 00:00:00' + to_seconds(n) as touch_ts, 'website' as channel,
                case when n % 2 = 0 then 'crowd' else 'home' end as ip_hash, 'agent' as user_agent, false as is_direct
            from range(50000) as r (n)
        """)
        engine.execute("""
            insert into fact_conversions by name
            select
                date '2026-01-20' as session_date, 'busy ' || n as conversion_id, 'conversion' as status,
                'shop' as site_id,
                timestamp '2026-01-20 00:00:00' + to_seconds(n * 80) as conversion_ts,
                case when n % 2 = 0 then 'purchase' else 'install' end as conversion_type,
                'visitor:busy' as person_key, 'session ' || n as session_id, 9.99 as revenue,
                'gclid' as click_id_kind, 'x' as click_id, 'home' as ip_hash, 'agent' as user_agent
            from range(1000) as r (n)
            union all by name
            select
                date '2026-01-20' as session_date, 'crowd ' || n as conversion_id, 'conversion' as status,
                'shop' as site_id,
                timestamp '2026-01-20 23:00:00' as conversion_ts, 'purchase' as conversion_type,
                'visitor:' || n as person_key, 'session of ' || n as session_id, null as revenue
            from range(5000) as r (n)
        """)
        engine.execute("""
            insert into int_identities_as_of by name
            select distinct session_date as as_of_date, person_key as node_key, md5(person_key) as identity_id
            from fact_conversions
        """)
        run_models(engine, sql)
        rows = engine.execute("""
            select split_part(conversion_id, ' ', 1), count(*), max(touches), bool_and(credit = 1)
            from (select conversion_id, model, count(*) as touches, sum(credit) as credit from attribution group by all)
            group by 1 order by 1
        """).fetchall()
        assert rows == [("busy", 7 * 1000, 100, True), ("crowd", 7 * 5000, 1, False)]
        reasons = engine.execute("""
            select distinct reason from attribution where conversion_id = 'busy 998' and position = 100
        """).fetchall()
        # Its own visits and the ads at its own address until then.
        assert reasons == [("last of 100 touches within 7 days, the first and the latest of 124801",)]


# Real raw files.

DAYS = ("2026-01-12", "2026-01-13", "2026-01-14")
AFTER = "2026-01-15"
PUBLISHED = {
    "fact_conversions": "session_date",
    "ad_touches": "touch_date",
    "touchpoints": "touch_date",
    "attribution": "session_date",
}
SELECTED = ("--select", "+attribution")
AGENT = {"user_agent": "agent", "landing_url": "https://shop.example/sale"}


def requests_of(day: str) -> list[Row]:
    """A double click just before midnight, a click without a visit, and impressions."""
    return [
        request("impression", f"{day}T23:50:00", 1, user_agent="agent"),
        request("click", f"{day}T23:59:50", 2, **AGENT),
        request("click", f"{day}T23:59:55", 3, **AGENT),
        request("impression", f"{day}T08:00:00", 4, ip_hash="window shopper", creative_id="7", user_agent="agent"),
        request("impression", f"{day}T09:00:00", 5, ip_hash="clicker", creative_id="8", user_agent="agent"),
        request("click", f"{day}T09:00:05", 6, ip_hash="clicker", creative_id="8", user_agent="agent"),
    ]


def events_of(day: str) -> list[Row]:
    """A reader who comes after midnight by the ad and buys, one who saw an ad, one who clicked and came later."""
    reader = {"ip_hash": "reader", "user_agent": "agent", "visitor_id": "reader"}
    shopper = {"ip_hash": "window shopper", "user_agent": "agent", "visitor_id": "window shopper"}
    clicker = {"ip_hash": "clicker", "user_agent": "agent", "visitor_id": "clicker"}
    link = {"shape": "app", "user_agent": "phone", "ip_hash": "phone", "visitor_id": None}
    price = {"revenue": Decimal("10.00"), "currency": "USD"}
    return [
        event("page_view", f"{day}T00:00:10", 1, utm_source="paper", utm_medium="display", **reader),
        event("purchase", f"{day}T00:20:00", 2, **reader, **price),
        event("page_view", f"{day}T23:59:58", 3, **reader),
        event("page_view", f"{day}T10:00:00", 4, **shopper),
        event("purchase", f"{day}T10:05:00", 5, **shopper, **price),
        event("form_submit", f"{day}T11:00:00", 6, **clicker),
        event("click", f"{day}T12:00:00", 7, utm_source="social", cookie_id=f"cookie {day}", **link),
        event("install", f"{day}T13:00:00", 8, device_id=f"device {day}", **link),
        event("purchase", f"{day}T14:00:00", 9, visitor_id="robot", is_bot=True, **price),
    ]


def raw_lake(folder: Path) -> Lake:
    lake = Lake(str(folder))
    for day in DAYS:
        write_raw(lake, day, day, requests_of(day))
        write_events(lake, day, day, events_of(day))
    return lake


def published(lake: Lake) -> dict[tuple[str, str], bytes]:
    return {
        (model, day): Path(lake.path(f"marts/{model}/{column}={day}/data.parquet")).read_bytes()
        for model, column in PUBLISHED.items()
        for day in DAYS
    }


@pytest.fixture(scope="module")
def range_lake(tmp_path_factory: pytest.TempPathFactory, target: Path) -> Lake:
    """Three days published by one run."""
    lake = raw_lake(tmp_path_factory.mktemp("range"))
    done = build(lake, target, DAYS[0], AFTER, *SELECTED)
    assert done.returncode == 0, done.stdout
    assert {report(target)[model, day]["status"] for model in PUBLISHED for day in DAYS} == {"published"}
    return lake


def read(lake: Lake, model: str, day: str) -> list[Row]:
    return lake.read_table(f"marts/{model}/{PUBLISHED[model]}={day}/data.parquet").to_pylist()


def test_touches_of_a_day(range_lake: Lake) -> None:
    touches = read(range_lake, "touchpoints", DAYS[1])
    # The double click of the evening before led to the visit after midnight; this evening's led to one before it.
    by_ad = [row for row in touches if row["touch_type"] == "session" and row["ad_click_id"]]
    assert [(row["channel"], row["creative_id"], str(row["touch_ts"])) for row in by_ad] == [
        ("website", "456", f"{DAYS[1]} 23:59:58")
    ]
    clicks = [(row["channel"], row["person_key"]) for row in touches if row["touch_type"] == "click"]
    assert sorted(clicks, key=str) == [("Unassigned", f"cookie:cookie {DAYS[1]}"), ("website", None)]
    assert not [row for row in touches if row["person_key"] == "visitor:robot"]


def test_attribution_of_a_day(range_lake: Lake) -> None:
    rows = {
        (row["person_key"], row["conversion_type"]): row
        for row in read(range_lake, "attribution", DAYS[1])
        if row["model"] == "last"
    }
    shown = rows["visitor:window shopper", "purchase"]
    assert (shown["creative_id"], shown["reason"]) == ("7", "only impression within 24 hours, no click")
    assert (shown["credit"], shown["revenue"], shown["currency"]) == (1, Decimal("10.0000"), "USD")
    clicked = rows["visitor:clicker", "lead"]
    assert (clicked["creative_id"], clicked["touch_type"]) == ("8", "click")
    installed = rows[f"device:device {DAYS[1]}", "install"]
    assert (installed["source"], installed["reason"]) == ("social", "address and user agent")
    assert len(rows) == 4


@pytest.mark.long
@pytest.mark.parametrize("order", [tuple(reversed(DAYS))], ids=["reversed"])
def test_days_in_any_order_give_what_a_range_gives(
    range_lake: Lake, target: Path, tmp_path: Path, order: tuple[str, ...]
) -> None:
    lake = raw_lake(tmp_path)
    after = {DAYS[0]: DAYS[1], DAYS[1]: DAYS[2], DAYS[2]: AFTER}
    build_each(lake, target, [(day, after[day]) for day in order], *SELECTED)
    one_by_one, in_a_range = published(lake), published(range_lake)
    assert [key for key in in_a_range if one_by_one[key] != in_a_range[key]] == []
