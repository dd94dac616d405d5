"""What a run of dbt builds and publishes, decided without dbt, an engine or a lake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from dbt_project.planning.graph import Graph, Node, node_of
from dbt_project.planning.plan import Plan, SelectionError
from dbt_project.planning.verdicts import Reason, Result, Verdict, judge, publication, quarantine
from dbt_project.planning.window import Around, around, iso, shifted, window


def day(number: int) -> date:
    return date(2026, 1, number)


LOGS = Node("source.logs", "access_logs", "source")
EVENTS = Node("source.events", "events", "source", scope_of="sessions", scope=Around(2, 1))
STAGED = Node("model.stg", "stg", "model", ("source.logs",), "view")
DAILY = Node("model.daily", "daily", "model", ("model.stg",), "lake_table", "report_date")
SESSIONS = Node(
    "model.sessions", "sessions", "model", ("source.events",), "lake_table", "session_date", restates=Around(1, 30)
)
FACTS = Node(
    "model.facts",
    "facts",
    "model",
    ("model.sessions", "model.daily"),
    "lake_table",
    "session_date",
    restates=Around(1, 30),
    neighbour_days=2,
)
PEOPLE = Node("model.people", "people", "model", ("model.facts",), "lake_table")


def a_test(name: str, *parents: str, severity: str = "error") -> Node:
    return Node(f"test.{name}", name, "test", parents, severity=severity)


TESTS = [
    a_test("daily_unique", "model.daily"),
    a_test("daily_warns", "model.daily", severity="warn"),
    a_test("sessions_unique", "model.sessions"),
    a_test("facts_unique", "model.facts"),
    a_test("facts_add_up", "model.facts", "model.daily", "model.sessions"),
    a_test("people_unique", "model.people"),
]
NODES = [LOGS, EVENTS, STAGED, DAILY, SESSIONS, FACTS, PEOPLE, *TESTS]
ALL = [node.id for node in NODES if node.kind != "source"]


def files_of(marts: Mapping[str, Sequence[int]] = {}, raw: Mapping[str, Sequence[int]] = {}) -> list[str]:
    columns = {node.name: node.partition_by for node in NODES}
    found = [
        f"marts/{name}/{columns[name]}={day(number)}/data.parquet" for name, days in marts.items() for number in days
    ]
    found += [
        f"raw/{name}/event_date={day(number)}/source_date={day(number)}/data.parquet"
        for name, days in raw.items()
        for number in days
    ]
    return found


def planned(
    days: Sequence[int],
    keys: Sequence[str] = (),
    selected: Sequence[str] = ALL,
    command: str = "build",
    nodes: Sequence[Node] = NODES,
) -> Plan:
    def below(folders: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {folder: [key for key in keys if key.startswith(folder)] for folder in folders}

    return Plan(Graph.of(nodes, selected), command, [day(number) for number in days], below)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (None, None, []),
        ("2026-01-12", None, []),
        ("", "2026-01-12", []),
        ("2026-01-12", "2026-01-12", []),
        ("2026-01-12", "2026-01-13", [12]),
        ("2026-01-12 00:00:00", "2026-01-14 00:00:00", [12, 13]),
        ("2026-01-12T18:00:00", "2026-01-13T06:00:00", [12, 13]),
    ],
)
def test_a_window_has_whole_days_and_not_its_end(start: str | None, end: str | None, days: list[int]) -> None:
    assert window(start, end) == [day(number) for number in days]


def test_days_around_days_are_each_there_once() -> None:
    assert around([day(3), day(4), day(9)], Around(1, 2)) == [day(n) for n in (2, 3, 4, 5, 6, 8, 9, 10, 11)]
    assert around([], Around(5, 5)) == []
    assert iso(around([date(2026, 2, 28)], Around(0, 1))) == ["2026-02-28", "2026-03-01"]


def test_days_end_with_the_calendar() -> None:
    assert shifted(date.min, -1) == date.min
    assert shifted(date.max, 1) == date.max


def test_ancestors_come_nearest_first_and_once() -> None:
    graph = Graph.of(NODES, ALL)
    assert graph.ancestors("model.people") == [
        "model.facts",
        "model.sessions",
        "model.daily",
        "source.events",
        "model.stg",
        "source.logs",
    ]
    assert graph.sources_above(FACTS) == [EVENTS, LOGS]


def test_a_test_judges_the_lowest_of_the_tables_that_it_reads() -> None:
    graph = Graph.of(NODES, ALL)
    assert graph.judged_by(TESTS[4]) == [FACTS]
    assert [each.name for each in graph.blocking_tests(FACTS)] == ["facts_unique", "facts_add_up"]
    assert [each.name for each in graph.blocking_tests(DAILY)] == ["daily_unique"]
    side_by_side = replace(TESTS[4], parents=("model.daily", "model.sessions"))
    assert graph.judged_by(side_by_side) == [DAILY, SESSIONS]


def test_a_model_that_restates_builds_its_published_days_around_the_window() -> None:
    raw = {"events": range(1, 31), "access_logs": range(1, 31)}
    plan = planned([12], files_of({"sessions": [9, 11, 13, 14], "daily": [11, 12]}, raw))
    assert plan.built_days(DAILY) == [day(12)]
    assert plan.built_days(SESSIONS) == [day(11), day(12), day(13), day(14)]
    assert plan.source_days(EVENTS) == [day(n) for n in range(9, 16)]
    assert plan.source_days(LOGS) == [day(12)]


def test_a_day_without_raw_files_is_built_of_no_model_that_restates() -> None:
    plan = planned([12, 13], files_of({"sessions": [14]}, {"events": [12, 14], "access_logs": [12, 13]}))
    assert plan.built_days(SESSIONS) == [day(12), day(14)]
    plan = planned([12, 13], files_of({"sessions": [14]}, {"events": [12], "access_logs": [12, 13]}))
    assert plan.built_days(SESSIONS) == [day(12)]


def test_a_file_of_late_rows_is_not_a_days_own() -> None:
    late = ["raw/events/event_date=2026-01-12/source_date=2026-01-13/data.parquet"]
    assert planned([12], late).days_without_file(EVENTS, [day(12)]) == [day(12)]
    assert planned([12], late).source_keys(EVENTS) == []  # sessions build nothing
    of_a_site = ["raw/events/event_date=2026-01-12/source_date=2026-01-12/site=a/data.parquet"]
    assert planned([12], of_a_site).days_without_file(EVENTS, [day(12)]) == []


def test_a_day_around_the_window_is_built_of_what_stands_on_marts_that_have_it() -> None:
    raw = {"events": [12, 13, 14], "access_logs": [12, 13, 14]}
    plan = planned([12], files_of({"sessions": [13], "facts": [13, 14]}, raw))
    assert plan.built_days(SESSIONS) == [day(12), day(13)]
    assert plan.built_days(FACTS) == [day(12), day(13)]  # of the 14th no sessions are published
    alone = planned([12], files_of({"sessions": [12, 13], "facts": [13, 14]}, raw), ["model.facts"])
    assert alone.built_days(FACTS) == [day(12), day(13), day(14)]  # sessions are not built: they are as they are


def test_what_is_published_meanwhile_changes_no_plan() -> None:
    keys = files_of({"sessions": [13]}, {"events": [12, 13], "access_logs": [12]})
    plan = planned([12], keys)
    plan.look()
    keys += files_of({"sessions": [14]})
    assert plan.built_days(SESSIONS) == [day(12), day(13)]
    assert plan.published_days(SESSIONS) == [day(13)]


def test_neighbours_are_published_days_that_are_not_built() -> None:
    raw = {"events": range(1, 31), "access_logs": range(1, 31)}
    keys = files_of({"facts": [8, 10, 11, 12, 13, 14, 15], "sessions": [11, 12, 13]}, raw)
    plan = planned([12], keys)
    assert plan.built_days(FACTS) == [day(11), day(12), day(13)]
    assert plan.neighbour_keys(FACTS) == files_of({"facts": [10, 14]})
    assert plan.neighbour_keys(DAILY) == plan.neighbour_keys(PEOPLE) == []
    whole = replace(FACTS, neighbour_days="all")
    assert plan.neighbour_keys(whole) == files_of({"facts": [8, 10, 14, 15]})
    assert plan.keys_before(FACTS, 3) == files_of({"facts": [8, 10]})


def test_inputs_are_what_is_read_and_not_built() -> None:
    plan = planned([12], files_of({"sessions": [9, 12], "daily": [12, 13]}), ["model.facts", "test.facts_unique"])
    assert plan.inputs.published == [SESSIONS, DAILY]
    assert plan.inputs.sources == plan.inputs.missing == []
    assert plan.view_keys(SESSIONS) == files_of({"sessions": [12]})
    tested = planned([], files_of({"sessions": [9, 12]}), ["model.sessions", "test.sessions_unique"], "test")
    assert tested.inputs.published == [SESSIONS]
    assert tested.view_keys(SESSIONS) == files_of({"sessions": [9, 12]})  # without a window, all days


def test_views_are_of_what_is_read_and_for_unit_tests_of_all() -> None:
    raw = {"events": [12], "access_logs": [12]}
    keys = files_of({"sessions": [9, 12], "daily": [12, 13], "facts": [12]}, raw)
    of_facts = planned([12], keys, ["model.facts", "test.facts_unique"])
    assert list(of_facts.views()) == [(SESSIONS, files_of({"sessions": [12]})), (DAILY, files_of({"daily": [12]}))]
    of_daily = planned([12], keys, ["model.stg", "model.daily", "test.daily_unique"])
    assert list(of_daily.views()) == [(LOGS, files_of(raw={"access_logs": [12]}))]
    shapes = planned([], keys, ["unit_test.facts_join"], "test")
    assert list(shapes.views()) == [(node, []) for node in (LOGS, EVENTS, STAGED, DAILY, SESSIONS, FACTS, PEOPLE)]


def test_a_release_counts_where_the_day_is_the_only_one() -> None:
    adds_up = TESTS[4]
    raw = {"events": [12], "access_logs": [12]}
    assert planned([12], files_of(raw=raw)).released_days(adds_up) == [(FACTS, [day(12)])]
    assert planned([12, 13]).released_days(adds_up) == [(FACTS, [])]


def test_paths_tell_the_day_of_raw_and_of_marts() -> None:
    assert LOGS.path_columns == ["event_date", "source_date"]
    assert DAILY.path_columns == ["report_date"]
    assert PEOPLE.path_columns == []


@pytest.mark.parametrize(
    ("selected", "days", "command", "said"),
    [
        (
            ["model.daily", "test.daily_unique"],
            [12],
            "build",
            "This selection reads stg, which exist only in the memory",
        ),
        (["model.stg", "model.daily", "test.daily_unique"], [], "build", "daily is built for a window of days"),
        (["model.stg", "model.daily"], [], "run", "daily is built for a window of days"),
    ],
)
def test_a_selection_that_cannot_work_says_what_to_give(
    selected: list[str], days: list[int], command: str, said: str
) -> None:
    with pytest.raises(SelectionError, match=said):
        planned(days, selected=selected, command=command).check()


def test_a_table_that_nothing_judges_is_not_built() -> None:
    nodes = [LOGS, STAGED, DAILY, a_test("warns", "model.daily", severity="WARN".lower())]
    with pytest.raises(SelectionError, match="daily: a lake_table is published when its tests pass"):
        planned([12], nodes=nodes).check()
    planned([12], nodes=nodes, command="run").check()
    planned([12]).check()


RAW = {"events": [12, 13], "access_logs": [12, 13]}
GOOD = {node.id: Result(node.id, node.name, "pass" if node.kind == "test" else "success") for node in NODES[2:]}


def judged(changes: Mapping[str, Result], days: Sequence[int] = (12,), **options: Any) -> dict[str, Verdict]:
    results = {**GOOD, **changes}
    ran = [results[id_] for id_ in GOOD if results[id_].status != "not run"]
    return {each.node.name: each.verdict for each in judge(planned(days, files_of(raw=RAW)), ran, **options)}


def result(name: str, status: str, message: str | None = None, failures: int | None = None) -> Result:
    return Result(name, name.partition(".")[2], status, message, failures)


def test_what_passed_is_published() -> None:
    assert {verdict.status for verdict in judged({}).values()} == {"published"}
    warned = judged({"test.daily_warns": result("test.daily_warns", "warn", "Got 3", 3)})
    assert warned["daily"].status == "published"


def test_a_failed_test_refuses_its_table_and_skips_what_is_made_of_it() -> None:
    found = judged({"test.sessions_unique": result("test.sessions_unique", "fail", "Got 3 results", 3)})
    assert found["sessions"] == Verdict("refused", (Reason("sessions_unique", "sessions_unique: Got 3 results", 3),))
    assert found["daily"].status == "published"
    assert found["facts"].why == "sessions, which it is made from, is not published"
    assert found["people"].status == "skipped"


def test_a_table_that_cannot_be_built_is_refused_with_the_error() -> None:
    found = judged({"model.daily": result("model.daily", "error", "no such column")})
    assert found["daily"] == Verdict("refused", (Reason("daily", "no such column"),))


def test_a_skipped_table_names_what_failed_above() -> None:
    skipped = {f"model.{name}": result(f"model.{name}", "skipped") for name in ("facts", "people")}
    found = judged({**skipped, "test.daily_unique": result("test.daily_unique", "fail", "Got 1 result", 1)})
    assert found["people"] == Verdict("skipped", (Reason("daily_unique", "daily_unique: Got 1 result", 1),))
    assert judged(skipped)["facts"].why == "dbt did not build it"


@pytest.mark.parametrize("status", ["skipped", "not run"])
def test_a_table_whose_tests_did_not_run_is_skipped(status: str) -> None:
    found = judged({"test.facts_add_up": result("test.facts_add_up", status)})
    assert found["facts"] == Verdict("skipped", (Reason("facts_add_up", "test facts_add_up did not run"),))
    found = judged({"test.daily_unique": result("test.daily_unique", status)})
    assert found["daily"].why == "none of its tests ran. Use dbt build, which tests what it builds"


def test_nothing_is_published_of_an_empty_build() -> None:
    assert {verdict.why for verdict in judged({}, is_empty=True).values()} == {"it was built with --empty"}


def test_a_day_of_the_window_without_raw_files_is_absent() -> None:
    plan = planned([12, 14], files_of(raw=RAW))
    found = {each.node.name: each for each in judge(plan, GOOD.values())}
    assert [(each["day"], each["status"]) for each in found["daily"].entries("published", "absent")] == [
        ("2026-01-12", "published"),
        ("2026-01-14", "absent"),
    ]
    assert found["daily"].warnings == [
        "daily 2026-01-14 is not published: raw access_logs has nothing published of source date 2026-01-14"
    ]
    refused = judge(plan, {**GOOD, "test.daily_unique": result("test.daily_unique", "fail", "Got 1", 1)}.values())
    assert {verdict.status for verdict in refused[0].days.values()} == {"refused"}


def test_a_file_for_each_good_day_and_one_for_all_of_a_snapshot() -> None:
    plan = planned([12, 13], files_of(raw=RAW))
    found = {each.node.name: publication(each, "/stage") for each in judge(plan, GOOD.values())}
    assert found["daily"]["paths"] == {
        f"2026-01-{n}": f"/stage/marts/daily/report_date=2026-01-{n}/data.parquet" for n in (12, 13)
    }
    assert [(file["key"], file["settles"], len(file["entries"])) for file in found["daily"]["files"]] == [
        (f"marts/daily/report_date=2026-01-{n}/data.parquet", f"quarantine/daily/day=2026-01-{n}", 1) for n in (12, 13)
    ]
    assert found["people"]["paths"] == {"2026-01-12": "/stage/people-2026-01-12.parquet"}
    assert [(file["key"], file["settles"], len(file["entries"])) for file in found["people"]["files"]] == [
        ("marts/people/data.parquet", "quarantine/people", 2)
    ]


def test_refused_rows_are_kept_where_there_are_some() -> None:
    plan = planned([12], files_of(raw=RAW))
    failed = {**GOOD, "test.daily_unique": result("test.daily_unique", "fail", "Got 1", 1)}
    daily = judge(plan, failed.values())[0]
    assert publication(daily, "/stage") == {"paths": {}, "files": []}
    kept = quarantine(daily, "/stage")
    assert kept["paths"] == {"2026-01-12": "/stage/marts/daily/report_date=2026-01-12/data.parquet"}
    assert kept["files"][0]["folder"] == "quarantine/daily/day=2026-01-12"
    broken = judge(plan, {**GOOD, "model.daily": result("model.daily", "error", "no")}.values())[0]
    assert quarantine(broken, "/stage")["paths"] == {}
    assert quarantine(broken, "/stage")["files"][0]["staged"] is None


def test_nodes_are_read_as_dbt_describes_them() -> None:
    described = {"id": "a", "name": "a", "kind": "source", "parents": []}
    scope = {"scope_of": "m", "before": 2, "after": 1}
    assert node_of(described | {"config": {"meta": scope}}) == Node(
        "a", "a", "source", scope_of="m", scope=Around(2, 1)
    )
    model = {
        "id": "m",
        "name": "m",
        "kind": "model",
        "parents": ["a"],
        "config": {
            "materialized": "lake_table",
            "severity": None,
            "partition_by": "d",
            "restates": {"before": 1, "after": 30},
            "neighbour_days": "all",
        },
    }
    assert node_of(model) == Node("m", "m", "model", ("a",), "lake_table", "d", Around(1, 30), "all")
    test = {"id": "t", "name": "t", "kind": "test", "parents": [], "config": {"severity": "ERROR"}}
    assert node_of(test).severity == "error"


def test_a_variable_may_lengthen_what_a_model_restates() -> None:
    restates = {"before": 2, "before_too": "funnel_max_days", "after": 30}
    model = {"id": "m", "name": "m", "kind": "model", "parents": [], "config": {"restates": restates}}
    assert node_of(model, {"funnel_max_days": 7}).restates == Around(9, 30)
