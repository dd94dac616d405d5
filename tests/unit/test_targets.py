"""What each target states, and that nothing else names one."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestration.alerts.rules.failed_runs import _is_refused
from orchestration.catalog import documented
from orchestration.publishing.target import Check, Report, Target, Verdict, ready, why_not
from orchestration.publishing.targets import TARGETS, campaign_entries, performance_entries
from orchestration.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "orchestration" / "publishing" / "targets"
DEMO = ROOT / "orchestration" / "cli" / "demo.py"  # shows a table of its own
SHARED = FOLDER.parent / "mongodb_target.py"  # makes the checks of collections
SECRET = "marked-secret-that-must-never-be-seen"
URL = f"mongodb://user:{SECRET}@mongo.example.com:27017/"

each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, lake="/lake", logs="/logs", hash_key=SECRET, **given)


def test_each_file_of_the_folder_is_a_target_of_its_name() -> None:
    assert [target.name for target in TARGETS] == sorted(
        path.stem for path in FOLDER.glob("*.py") if path.name != "__init__.py"
    )


@each_target
def test_a_target_shows_a_mart_by_its_columns_and_can_refuse_a_day(target: Target[Any]) -> None:
    mart = documented()[f"marts.{target.mart.name}"]
    assert {target.mart.partition_by, *target.measures} <= set(mart.columns)
    assert target.key
    assert any(check.blocks for check in target.checks)
    assert all(check.description for check in target.checks)
    refused = target.refused("why")
    assert {name: (each.passed, each.message) for name, each in refused.verdicts.items()} == {
        check.name: (False, "why") for check in target.checks if check.blocks
    }


def test_a_check_that_blocks_and_has_no_verdict_did_not_pass() -> None:
    report = Report({}, {"known": Verdict(True, "fine")})
    said = [report.on(Check(name, "", blocks)) for name, blocks in (("known", True), ("other", True), ("other", False))]
    assert [each and each.passed for each in said] == [True, False, None]


@each_target
def test_a_target_is_named_in_lineage_without_a_secret(target: Target[Any]) -> None:
    assert SECRET not in str(target.place(settings(mongodb_url=URL)))
    assert all(target.place(settings()))


def test_a_target_that_is_not_ready_says_why_and_each_reason_is_said_once() -> None:
    targets = [campaign_entries.TARGET, performance_entries.TARGET]
    said = "Nothing is written to MongoDB: CLICKLAKE_MONGODB_URL is not set"
    assert (ready(targets, settings()), why_not(targets, settings())) == ([], said)
    without_events = settings(mongodb_url=URL)
    assert [target.name for target in ready(targets, without_events)] == ["performance_entries"]
    assert "CLICKLAKE_EVENTS is not set" in why_not(targets, without_events)
    complete = settings(mongodb_url=URL, events="/events")
    assert (ready(targets, complete), why_not(targets, complete)) == (targets, "")


@each_target
def test_the_docs_list_every_target(target: Target[Any]) -> None:
    text = (ROOT / "docs" / "reference" / "targets.md").read_text("utf-8")
    said = text.partition(f"\n## {target.name}\n")[2].partition("\n## ")[0]
    names = [target.mart.name, *target.key, *target.measures, *(check.name for check in target.checks)]
    if "mongodb" in target.kinds:
        names.append(target.place(settings())[1].rpartition(".")[2])
    assert [name for name in names if f"`{name}`" not in said] == []


@each_target
def test_a_day_that_a_target_refused_is_told_of_as_a_failed_run(target: Target[Any]) -> None:
    assert all(not _is_refused(f"{target.name} refused ({check.name}): why") for check in target.checks)
    assert _is_refused(f"{target.name} refused (reconciled): why; raw_events refused (reject_share): why")
    assert _is_refused(f"{target.mart.name} has no published partition of this day")


def test_the_role_of_the_publisher_holds_every_collection() -> None:
    made = runpy.run_path(str(ROOT / "deploy" / "mongodb" / "make_users.py"), run_name="deploy")
    collections = {each.place(settings())[1].rpartition(".")[2] for each in TARGETS if "mongodb" in each.kinds}
    assert collections == set(made["COLLECTIONS"])


def test_nothing_outside_the_folder_names_a_target_or_asks_for_a_check_of_one() -> None:
    names = {target.name for target in TARGETS} | {check.name for target in TARGETS for check in target.checks}
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "orchestration").rglob("*.py")
        if path.parent != FOLDER and path not in (DEMO, SHARED)
        for name in named(path)
        if name.rpartition(".")[2] in names
    }
    assert found == set()


def named(path: Path) -> Iterator[str]:
    """The texts of a file, and what it imports."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
