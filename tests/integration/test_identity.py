"""Who is whom over real raw files: a login days later, shared ids, opt-outs, any order of days."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ingest.lake.files import Lake
from ingest.lake.views import create_views
from tests.integration.dbt_fixtures import build, build_each, event, report, write_events

pytestmark = pytest.mark.slow

DAYS = tuple(f"2026-01-{day}" for day in range(12, 17))
AFTER = "2026-01-17"
MODELS = {
    "fact_events": "session_date",
    "identity_nodes": "session_date",
    "identity_edges": "session_date",
    "identities": "report_date",
    "identity_map": None,
    "identity_changes": None,
    "dim_users": None,
}
SELECTED = ("--select", *(f"+{model}" for model in MODELS))


def events_of(day: str) -> list[dict[str, Any]]:
    """Ann reads without a login until the fifth day; the others are there to be mistaken for somebody."""
    rows = [
        event("page_view", f"{day}T09:00:00", 1, visitor_id="ann-phone", subnet_hash="flat"),
        event("page_view", f"{day}T09:05:00", 2, visitor_id="kiosk", user_id=f"guest-{day}", subnet_hash="hall"),
        event("page_view", f"{day}T10:00:00", 3, visitor_id="robot", is_bot=True, user_id="ann"),
        event("page_view", f"{day}T11:00:00", 4, visitor_id="shy", user_id="shy-user", opted_out=True),
        event("page_view", f"{day}T12:00:00", 5, visitor_id="bob", user_id="bob", subnet_hash="flat"),
    ]
    if day == DAYS[1]:
        rows.append(event("page_view", f"{day}T08:00:00", 6, visitor_id="ann-desk", user_id="ann", subnet_hash="work"))
    if day == DAYS[4]:
        rows.append(event("login", f"{day}T09:01:00", 7, visitor_id="ann-phone", user_id="ann", subnet_hash="flat"))
        rows.append(event("page_view", f"{day}T20:00:00", 8, visitor_id="ann-phone", user_id="carl"))
    return rows


def raw_lake(folder: Path) -> Lake:
    lake = Lake(str(folder))
    for day in DAYS:
        write_events(lake, day, day, events_of(day))
    return lake


def key(model: str, day: str) -> str:
    column = MODELS[model]
    return f"marts/{model}/" + (f"{column}={day}/" if column else "") + "data.parquet"


def published(lake: Lake) -> dict[str, bytes]:
    keys = {key(model, day) for model in MODELS for day in DAYS}
    return {each: Path(lake.path(each)).read_bytes() for each in sorted(keys)}


def query(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with lake.connect() as connection:
        create_views(lake, connection)
        return connection.execute(sql).fetchall()


SESSIONS_OF_ANN = """
    select session_date, sessions.visitor_id
    from marts.sessions
    inner join marts.identity_map on identity_map.node_key = coalesce('user:' || user_id, visitor_key)
    where identity_id = (select identity_id from marts.identity_map where node_key = 'user:ann') and not is_bot
    order by session_start
"""


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory, target: Path) -> dict[str, Lake]:
    """The lake after four days, and after the fifth, on which Ann logs in; by several runs."""
    lake = raw_lake(tmp_path_factory.mktemp("daily"))
    found = {}
    for day, after in ((DAYS[0], DAYS[2]), (DAYS[2], DAYS[3]), (DAYS[3], DAYS[4]), (DAYS[4], AFTER)):
        done = build(lake, target, day, after, *SELECTED)
        assert done.returncode == 0, done.stdout
        if day == DAYS[3]:
            before = tmp_path_factory.mktemp("before")
            shutil.copytree(lake.path(""), before, dirs_exist_ok=True)
            found["before"] = Lake(str(before))
    return found | {"after": lake}


def test_a_login_on_the_fifth_day_joins_the_sessions_of_the_first(lakes: dict[str, Lake]) -> None:
    assert [visitor for _, visitor in query(lakes["before"], SESSIONS_OF_ANN)] == ["ann-desk"]
    found = query(lakes["after"], SESSIONS_OF_ANN)
    assert [(str(day), visitor) for day, visitor in found] == [
        (DAYS[0], "ann-phone"),
        (DAYS[1], "ann-desk"),
        *((day, "ann-phone") for day in DAYS[1:]),
    ]


def test_what_was_published_before_the_login_stands(lakes: dict[str, Lake]) -> None:
    for day in DAYS[:4]:
        before, after = (Path(lakes[name].path(key("identities", day))) for name in ("before", "after"))
        assert before.read_bytes() == after.read_bytes()


def test_changes_say_when_and_why(lakes: dict[str, Lake]) -> None:
    """The telephone is the oldest id: on the fifth day it takes in Ann, who had taken in the desk on the second."""
    sql = """
        select node_key, cast(effective_at as varchar), reason, bridge_node_a, bridge_node_b, event_id
        from marts.identity_changes where node_key in ('user:ann', 'visitor:ann-desk') order by 1
    """
    login = (f"{DAYS[4]} 09:01:00", "logged in", "visitor:ann-phone", "user:ann", f"evt-{DAYS[4]}T09:01:00-7")
    at_work = (f"{DAYS[1]} 08:00:00", "logged in", "user:ann", "visitor:ann-desk", f"evt-{DAYS[1]}T08:00:00-6")
    assert query(lakes["after"], sql) == [("user:ann", *login), ("visitor:ann-desk", *at_work)]


def test_ids_that_are_nobodys_alone_join_nobody(lakes: dict[str, Lake]) -> None:
    """The kiosk stays with its first guest; whoever logs in on Ann's telephone later is somebody else; who opted out is
    not followed; a robot that claims to be Ann is no node."""
    found = dict(query(lakes["after"], "select node_key, identity_id from marts.identity_map"))
    guests = {found[f"user:guest-{day}"] for day in DAYS}
    assert len(guests) == len(DAYS)
    assert found["visitor:kiosk"] == found[f"user:guest-{DAYS[0]}"]
    assert found["user:carl"] != found["visitor:ann-phone"] == found["user:ann"]
    assert found["visitor:shy"] != found["user:shy-user"]
    assert "visitor:robot" not in found


def test_households_are_labels(lakes: dict[str, Lake]) -> None:
    sql = """
        select household_id from marts.dim_users inner join marts.identity_map using (identity_id)
        where node_key in ('user:ann', 'user:bob')
    """
    (ann,), (bob,) = query(lakes["after"], sql)
    assert ann == bob
    assert ann is not None


@pytest.mark.long
def test_a_range_equals_its_days_in_any_order(
    lakes: dict[str, Lake], tmp_path_factory: pytest.TempPathFactory, target: Path
) -> None:
    expected = published(lakes["after"])
    in_one = raw_lake(tmp_path_factory.mktemp("range"))
    done = build(in_one, target, DAYS[0], AFTER, *SELECTED)
    assert done.returncode == 0, done.stdout
    assert published(in_one) == expected
    assert {entry["status"] for entry in report(target).values()} == {"published"}
    shuffled = raw_lake(tmp_path_factory.mktemp("shuffled"))
    build_each(shuffled, target, ((DAYS[4], AFTER), (DAYS[1], DAYS[4]), (DAYS[0], DAYS[1])), *SELECTED)
    assert published(shuffled) == expected


def test_a_late_event_is_taken_in_where_it_belongs(
    lakes: dict[str, Lake], tmp_path_factory: pytest.TempPathFactory, target: Path
) -> None:
    """Ann's telephone turns out to have been hers on the third day already: that day and those after it follow."""
    lake = Lake(str(tmp_path_factory.mktemp("late")))
    shutil.copytree(lakes["after"].path(""), lake.path(""), dirs_exist_ok=True)
    late = event("login", f"{DAYS[2]}T21:00:00", 99, visitor_id="ann-phone", user_id="ann")
    write_events(lake, DAYS[2], DAYS[4], [late])
    done = build(lake, target, DAYS[2], DAYS[3], *SELECTED)
    assert done.returncode == 0, done.stdout
    sql = f"select cast(effective_at as varchar) from marts.identity_changes where event_id = '{late['event_id']}'"
    assert query(lake, sql) == [(f"{DAYS[2]} 21:00:00",)]
    daily = "select user_ids from marts.identities inner join marts.identity_map using (identity_id) where node_key = "
    assert query(lake, f"{daily}'visitor:ann-phone' order by report_date") == [(0,), (0,), (1,), (1,), (1,)]


def test_a_snapshot_is_one_file_that_any_reader_reads(lakes: dict[str, Lake]) -> None:
    file = lakes["after"].path("marts/identity_map/data.parquet")
    assert [path.name for path in Path(lakes["after"].path("marts/identity_map")).iterdir()] == ["data.parquet"]
    assert pq.read_table(file).num_rows == len(query(lakes["after"], "from marts.identity_map"))
