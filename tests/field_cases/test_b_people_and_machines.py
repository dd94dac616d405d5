"""Field cases B1, B2 and B6: agents of people that lists take for robots, robots that they do not know, devices.

`agents.csv` has agents of public bug reports, and what libraries, monitors and apps call themselves by default. Of
`people` none is a machine; of `machines` each is of the kind that it names; `devices` names each one's device.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ingest.rows.agents import KINDS, Line, kind_of, matches, read_lines
from ingest.rows.enrich import parse_user_agent


def table(name: str) -> list[tuple[str, str]]:
    """(what is expected, agent) of each row of one of the three tables."""
    with Path(__file__).with_name("agents.csv").open(encoding="utf-8", newline="") as file:
        return [(row["expected"], row["agent"]) for row in csv.DictReader(file) if row["table"] == name]


@pytest.mark.parametrize(("_", "agent"), table("people"))
def test_b1_people_are_no_robots(_: str, agent: str) -> None:
    assert kind_of(agent) is None
    assert not parse_user_agent(agent).is_bot


@pytest.mark.parametrize(("kind", "agent"), table("machines"))
def test_b2_machines_are_no_people(kind: str, agent: str) -> None:
    assert kind_of(agent) == kind
    found = parse_user_agent(agent)
    assert found.is_bot
    assert found.device_category == ("mobile" if kind == "app" else kind)


@pytest.mark.parametrize(("device", "agent"), table("devices"))
def test_b6_devices(device: str, agent: str) -> None:
    assert parse_user_agent(agent).device_category == device


@pytest.mark.parametrize("line", read_lines("kinds.csv"), ids=lambda line: line.example[:40])
def test_b2_each_line_has_an_example_on_either_side(line: Line) -> None:
    assert line.kind in KINDS
    assert line.reason
    assert line.source
    assert matches(line, line.example)
    assert kind_of(line.example) == line.kind
    assert not matches(line, line.counterexample)


@pytest.mark.parametrize("line", read_lines("exceptions.csv"), ids=lambda line: line.example[:40])
def test_b1_each_exception_has_an_example_on_either_side(line: Line) -> None:
    assert line.reason
    assert line.source
    assert kind_of(line.example) is None
    assert kind_of(line.counterexample) is not None
