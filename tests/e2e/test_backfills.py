"""Backfills: in windows, with bad days among good ones, killed and gone on with; the lake is as if all went well."""

from __future__ import annotations

import re
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.lake.layout import value_in
from tests.environment_fixtures import CLICKLAKE, EVENTS_PREFIX, Environment, Maker, put_small_day
from tests.log_lines import log
from tests.ui_fixtures import BACKFILL, LAUNCH, dagster_dev
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

FIRST = date(2026, 1, 1)
SIXTY = [(FIRST + timedelta(days=n)).isoformat() for n in range(60)]
SPAN = ("--from", SIXTY[0], "--to", SIXTY[3])
NOTICE_SOON = Path(__file__).with_name("definitions_that_notice_soon.py")
START_TIMEOUT = "start_timeout_seconds: 90"
ASSETS = "{ assetNodes { assetKey { path } isExecutable } }"


@pytest.mark.parametrize(
    "number", [pytest.param(12, marks=pytest.mark.long), pytest.param(60, marks=pytest.mark.long(part=False))]
)
def test_many_days_with_three_bad_ones(environment: Environment, number: int) -> None:
    """The others are published, three are named with figures, and one command takes them again once they are mended."""
    days, bad = SIXTY[:number], SIXTY[5:8]
    span = ("--from", days[0], "--to", days[-1], "--window", "60")
    for day in days:
        put_small_day(environment, day, has_events=False)
    broken = {day: f"E1TEST.{day}-11.broken.gz" for day in bad}
    for key in broken.values():
        environment.put_object(key, log([b"no\tlog\tline"] * 40))

    done = environment.command("backfill", *span)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"3 days in quarantine. Once mended, again: clicklake backfill --from {days[0]}" in done.stderr
    assert _published(environment) == [day for day in days if day not in bad]
    assert {entry["dateStart"].date().isoformat() for entry in environment.entries()} == set(_published(environment))
    for day in bad:
        assert re.search(rf"{day} .*raw_access_logs refused \(reject_share\): 40 of 90 rows rejected \(44", done.stdout)
    assert f"{number} days: {number - 3} published, 3 refused" in done.stderr

    environment.remove(*broken.values())
    again = environment.command("backfill", *span, "--refused")
    assert again.returncode == 0, again.stdout + again.stderr
    assert _published(environment) == days
    assert environment.lake.files("quarantine") == []
    nothing = environment.command("backfill", *span, "--refused")
    assert (nothing.returncode, "Nothing of these days lies in quarantine" in nothing.stderr) == (0, True)


def _published(environment: Environment) -> list[str]:
    return sorted(value_in(file.key, "report_date") or "" for file in environment.lake.files("marts/daily_aggregates"))


@pytest.fixture(scope="module")
def has_events() -> bool:
    return False


@pytest.mark.long
def test_a_killed_backfill_goes_on_where_it_was(new: Maker) -> None:
    """By the command line: two windows of two days; killed when the marts of the first are there."""
    reference, disturbed = new(), new()
    for environment in (reference, disturbed):
        for day in SIXTY[:4]:
            put_small_day(environment, day, has_events=False)
    assert not _run(reference).bad
    command = [CLICKLAKE, "backfill", *SPAN, "--window", "2"]
    with subprocess.Popen(
        command, env=disturbed.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stderr is not None
        said = next((line for line in killed.stderr if line.startswith(f"marts {SIXTY[0]}")), None)
        assert said is not None
        killed.kill()

    done = disturbed.command("backfill", *SPAN, "--window", "2", "--parallel", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Going on with the backfill of" in done.stderr
    assert f"raw {SIXTY[0]}" not in done.stderr
    assert f"marts {SIXTY[0]}" not in done.stderr
    assert f"marts {SIXTY[2]}" in done.stderr
    assert "missing" not in done.stdout  # it tells of all days, also of those that were done before
    assert disturbed.contents("marts", "raw", "rejects") == reference.contents("marts", "raw", "rejects")
    assert disturbed.entries() == reference.entries()


def _run(reference: Environment) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in reference.settings.items():
            patch.setenv(name, value)
        return reference.run(*SIXTY[:4])


@pytest.mark.timeout(1800)
@pytest.mark.long(part=False)
def test_a_backfill_whose_daemon_and_run_are_killed_ends_as_if_nothing_had_been(new: Maker) -> None:
    """By the UI: `kill -9` of the daemon, the code server, the UI and a run at work. Started again, they finish it."""
    reference, disturbed = new(), new()
    for environment in (reference, disturbed):
        environment.settings["CLICKLAKE_EVENTS"] = f"s3://{environment.bucket}/{EVENTS_PREFIX}"
        for day in SIXTY[:4]:
            put_small_day(environment, day)
    assert not _run(reference).bad
    with dagster_dev(disturbed, NOTICE_SOON, first_day=SIXTY[0]) as ui:
        nodes = [node for node in ui.ask(ASSETS)["assetNodes"] if node["isExecutable"]]
        selection = [{"path": node["assetKey"]["path"]} for node in nodes]
        launched = ui.ask(LAUNCH, parameters={"assetSelection": selection, "partitionNames": SIXTY[:4]})
        identity = launched["launchPartitionBackfill"]["backfillId"]
        is_at_work = lambda: bool(disturbed.lake.files("raw")) and len(disturbed.lake.files(".locks")) > 0  # noqa: E731
        assert wait_until(is_at_work), ui.lines()[-20:]
    assert _backfill_of(disturbed, identity) != "COMPLETED_SUCCESS"
    _watch_starts_closely(disturbed)

    with dagster_dev(disturbed, NOTICE_SOON, first_day=SIXTY[0]) as ui:

        def has_ended() -> bool:
            return bool(ui.ask(BACKFILL, id=identity)["partitionBackfillOrError"]["status"] != "REQUESTED")

        assert wait_until(has_ended, 3 * PATIENCE), ui.lines()[-20:]
        ended = ui.ask(BACKFILL, id=identity)["partitionBackfillOrError"]
    assert ended["status"] == "COMPLETED_SUCCESS", ended
    assert "FAILURE" in [run["status"] for run in ended["runs"]]
    assert disturbed.contents("marts", "raw", "rejects") == reference.contents("marts", "raw", "rejects")
    assert disturbed.entries() == reference.entries()
    assert len(disturbed.documents()) == len(disturbed.entries())


def _watch_starts_closely(environment: Environment) -> None:
    """Has Dagster look every few seconds, and not every two minutes, whether a run has not started in its time."""
    config = environment.home / "dagster.yaml"
    text = config.read_text("utf-8")
    assert START_TIMEOUT in text
    config.write_text(text.replace(START_TIMEOUT, f"poll_interval_seconds: 5\n  {START_TIMEOUT}"), "utf-8")


def _backfill_of(environment: Environment, identity: str) -> str:
    import dagster as dg

    with dg.DagsterInstance.from_config(str(environment.home)) as instance:
        found = instance.get_backfill(identity)
        return found.status.value if found else "none"
