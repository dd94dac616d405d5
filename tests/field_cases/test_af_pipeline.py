"""Field cases of broken sites among good ones, through the whole pipeline: one run of one day."""

from __future__ import annotations

import gzip
import os
from typing import Any

import pytest

from ingest.days import parse_day
from ingest.partition.quarantine import refused_partitions
from tests.environment_fixtures import DAYS, Environment, put_small_day
from tests.event_lines import line, pixel
from tests.field_cases.test_a_objects import zstd
from tests.partitions import days_of

pytestmark = pytest.mark.slow
DAY = DAYS[0]
GOOD = ("aaa.example", "mmm.example", "zzz.example")  # before, between and behind the broken ones
LONG = "x" * 300
BROKEN = {
    "cut.example": gzip.compress(os.urandom(3000).hex().encode())[:500],
    "nothing.example": gzip.compress(b"{}")[:11],
    "utf8.example": b'{"a":"\xff\xfe"}\n',
    "long.example": b'{"a":"' + b"y" * (1 << 20) + b'"}\n',
    "array.example": b'[{"a":1,]',
    "packed.example": b"BZh91AY&SY" + os.urandom(200),
    "bell\x07.example": line(pixel()) + b"\n",
}


def key_of(site: str) -> str:
    year, month, day = DAY.split("-")
    return f"domain={site}/year={year}/month={month}/day={day}/hour=10/events-{DAY}-10.jsonl"


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


@pytest.fixture(scope="module")
def ran(shared_environment: Environment) -> tuple[Environment, Any]:
    environment = shared_environment
    put_small_day(environment, DAY)
    for site in GOOD:
        views = [line(pixel(eventId=f"{site}-{n}", timestamp=f"{DAY}T10:00:0{n}Z")) + b"\n" for n in range(5)]
        body = b"".join(views)
        environment.put_event_object(
            key_of(site), zstd(body) if site == GOOD[1] else gzip.compress(gzip.compress(body))
        )
    for site, body in BROKEN.items():
        environment.put_event_object(key_of(site), body)
    environment.put_event_object(key_of(LONG), line(pixel()) + b"\n")
    return environment, environment.run(DAY, publishes=False)


def test_a1_the_others_are_published_and_the_summary_names_object_and_reason(ran: tuple[Environment, Any]) -> None:
    environment, result = ran
    refused = {
        each.partition.site: each.reasons for each in refused_partitions(environment.lake, days_of(DAY), "events")
    }
    assert set(refused) == {*BROKEN, LONG}
    assert "events" not in result.bad[parse_day(DAY)].partition("refused (")[0].replace("raw_events", "")
    for site in ("cut.example", "utf8.example", "long.example", "array.example", "packed.example", "nothing.example"):
        assert f"{site}: " in result.bad[parse_day(DAY)]
        assert key_of(site) in result.bad[parse_day(DAY)]
    for reason in ("1 cut_off", "1 bad_json", "1 line_too_long", "it is bzip2", "not one row before it is whole"):
        assert reason in result.bad[parse_day(DAY)]


def test_a2_sites_whose_objects_are_compressed_in_other_ways_are_in_the_marts(ran: tuple[Environment, Any]) -> None:
    environment, _ = ran
    asked = "select site_id, sum(page_views) as views from marts.sessions group by all order by all"
    answered = environment.command("query", asked, "--format", "csv").stdout.splitlines()[1:]
    assert {each for each in answered if each.split(",")[0] in GOOD} == {f"{site},5" for site in GOOD}
    assert not {each.split(",")[0] for each in answered} & {*BROKEN, LONG}


def test_f3_a_site_whose_name_is_none_is_refused_alone(ran: tuple[Environment, Any]) -> None:
    environment, result = ran
    assert "the site's name has 300 characters, and a host has 253 at most" in result.bad[parse_day(DAY)]
    assert "the site's name holds characters that cannot be shown" in result.bad[parse_day(DAY)]
    (refused,) = refused_partitions(environment.lake, site=LONG)
    assert refused.checks == ["processed"]
    assert result.materialized["raw_events", parse_day(DAY)]["refused_sites"] == sorted([*BROKEN, LONG])
