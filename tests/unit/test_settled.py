"""When the history of identities is summed up, when a summary counts, and how its files are replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from dbt_project import summary
from dbt_project.planning.graph import Graph, Node
from dbt_project.planning.plan import Plan
from dbt_project.planning.settled import (
    LATE,
    LEAST,
    LOOK_BACK,
    MADE_OF_IT,
    PARTS,
    RENEWED,
    SUMMED_UP,
    Settled,
    are_published,
    before_all_days,
    day_to_settle,
    made_of,
)
from dbt_project.planning.verdicts import Judged, Verdict
from dbt_project.planning.window import Around
from ingest.lake.files import Lake

DAY = date(2026, 6, 1)
DAILY = [
    Node(f"model.{name}", name, "model", (), "lake_table", "session_date", Around(1, 2), "unsettled")
    for name in SUMMED_UP
]
WHOLE = [Node(f"model.{name}", name, "model", (DAILY[0].id,), "lake_table") for name in MADE_OF_IT]
OLDER = Node("model.funnels", "funnels", "model", (), "lake_table", "report_date", Around(9, 30))
NODES = [*DAILY, *WHOLE, OLDER]


def before(days: int) -> date:
    return DAY - timedelta(days=days)


def keys(name: str, days: Sequence[date], column: str = "session_date") -> list[str]:
    return [f"marts/{name}/{column}={day}/data.parquet" for day in days]


def planned(
    published: int, window: Sequence[date] = (DAY,), without: Sequence[str] = (), command: str = "build"
) -> Plan:
    """A run of DAY, after `published` days that have files."""
    days = [before(each) for each in range(published, 0, -1)]
    found = [key for name in SUMMED_UP for key in keys(name, days)] + keys("funnels", days, "report_date")

    def below(folders: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {folder: [key for key in found if key.startswith(folder)] for folder in folders}

    selected = [node.id for node in NODES if node.name not in without]
    return Plan(Graph.of(NODES, selected), command, list(window), below)


def recorded(plan: Plan) -> dict[str, str]:
    return {key: f"sum of {key}" for node in DAILY for key in plan.published_keys(node)}


def settled(through: date, fingerprint: str = "f") -> Settled:
    return Settled(through, fingerprint, {part: (f"{part}.parquet", "sum") for part in PARTS})


def test_no_model_reads_a_day_of_the_summary_day_by_day() -> None:
    assert before_all_days(planned(0)) == before(LOOK_BACK + 1)
    assert before_all_days(planned(5)) == before(5 + LOOK_BACK + 1)  # the funnels of these days are built again
    assert before_all_days(planned(60)) == before(9 + LOOK_BACK + 1)
    assert before_all_days(planned(60, without=["identity_map"])) is None
    assert before_all_days(planned(60, command="test")) is None


def test_a_long_history_is_summed_up_and_again_when_it_has_grown() -> None:
    plan = planned(60)
    limit = before_all_days(plan)
    assert limit is not None
    through = limit - timedelta(days=LATE)
    assert day_to_settle(plan, None) == through
    assert day_to_settle(plan, settled(through)) is None
    assert day_to_settle(plan, settled(limit - timedelta(days=RENEWED))) is None
    assert day_to_settle(plan, settled(limit - timedelta(days=RENEWED + 1))) == through
    enough = LEAST + 9 + LOOK_BACK + LATE
    assert day_to_settle(planned(enough - 1), None) is None
    assert day_to_settle(planned(enough), None) is not None


def test_a_summary_is_of_the_files_and_rules_that_it_was_made_of() -> None:
    plan, through = planned(60), before(30)
    sums = recorded(plan)
    told = made_of(plan, sums, "rules", through)
    assert told is not None
    assert made_of(plan, sums, "rules", through) == told
    late = keys("identity_nodes", [before(29)])[0]
    assert made_of(plan, sums | {late: "new"}, "rules", through) == told
    last = keys("identity_edges", [through])[0]
    assert made_of(plan, sums | {last: "new"}, "rules", through) != told
    assert made_of(plan, sums, "other rules", through) != told
    assert made_of(planned(59), sums, "rules", through) != told  # the first day was taken away
    assert made_of(plan, sums, "rules", before(29)) != told


def test_nothing_is_summed_up_that_the_lake_does_not_know() -> None:
    plan = planned(60)
    sums = recorded(plan)
    del sums[keys("identity_nodes", [before(40)])[0]]
    assert made_of(plan, sums, "rules", before(30)) is None
    assert made_of(plan, sums, "rules", before(41)) is not None


def test_a_run_with_a_summary_reads_only_the_days_after_it() -> None:
    plan = planned(4)
    plan.settled_through = before(3)
    assert plan.neighbour_keys(DAILY[0]) == keys("identity_nodes", [before(2)])  # the day before DAY is built again
    plan.settled_through = None
    assert plan.neighbour_keys(DAILY[0]) == keys("identity_nodes", [before(4), before(3), before(2)])


def test_only_a_run_that_published_all_makes_a_summary() -> None:
    good, bad = Verdict("published"), Verdict("refused")
    judged = {node.id: Judged(node, good, True, {DAY: good, before(1): good}) for node in (*DAILY, *WHOLE)}
    assert are_published(judged, judged.keys())
    assert not are_published(judged, judged.keys() - {WHOLE[2].id})
    assert not are_published({id_: each for id_, each in judged.items() if id_ != WHOLE[0].id}, judged.keys())
    refused = Judged(WHOLE[1], bad, True, {DAY: bad, before(1): bad})
    assert not are_published(judged | {WHOLE[1].id: refused}, judged.keys())
    half = Judged(DAILY[0], good, True, {DAY: bad, before(1): good})
    assert not are_published(judged | {DAILY[0].id: half}, judged.keys())


def made(folder: Path, text: str) -> dict[str, Path]:
    folder.mkdir()
    paths = {part: folder / part for part in PARTS}
    for part, path in paths.items():
        path.write_text(f"{text} {part}")
    return paths


def test_a_new_version_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    assert summary.present(lake) is None
    for text, through in (("old", before(50)), ("new", before(20))):
        summary.put(lake, through, f"made of {text}", made(tmp_path / text, text))
    found = summary.present(lake)
    assert found is not None
    assert (found.through, found.made_of) == (before(20), "made of new")
    local = summary.fetched(lake, found, tmp_path / "local")
    assert local is not None
    assert {part: Path(path).read_text() for part, path in local.items()} == {part: f"new {part}" for part in PARTS}
    assert len(lake.files("summaries")) == len(PARTS) + 1


def test_a_summary_with_a_damaged_or_missing_file_counts_as_none(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "lake"))
    summary.put(lake, DAY, "made of", made(tmp_path / "made", "rows"))
    found = summary.present(lake)
    assert found is not None
    first, second = (found.parts[part][0] for part in PARTS[:2])
    lake.put_text("others", first)
    assert summary.fetched(lake, found, tmp_path / "local") is None
    lake.put_text(f"rows {PARTS[0]}", first)
    assert summary.fetched(lake, found, tmp_path / "local") is not None
    lake.delete(second)
    assert summary.fetched(lake, found, tmp_path / "local") is None
    summary.drop(lake)
    assert summary.present(lake) is None
    assert lake.files("summaries") == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"through": "2026-01-01", "made_of": "x", "parts": {"map": ["k", "s"]}}']
)
def test_the_manifest_of_another_version_counts_as_none(tmp_path: Path, text: str) -> None:
    lake = Lake(str(tmp_path / "lake"))
    lake.put_text(text, "summaries/identities/latest.json")
    assert summary.present(lake) is None
