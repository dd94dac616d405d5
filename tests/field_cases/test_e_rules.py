"""Field cases of rules: what a user's own files change, and mistakes that are found before anything runs."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from tests.environment_fixtures import DAYS, Caller, Environment, put_small_day
from tests.event_lines import line, pixel

pytestmark = pytest.mark.slow
DAY = DAYS[0]
FUNNELS = "funnel,step,step_name,event_type,path_regex,within_seconds\n"
OWN = FUNNELS + "joining,1,seen,pageview,,3600\njoining,2,joined,sign up,,3600\njoining,3,paid,purchse,,3600\n"
LONG = FUNNELS + "slow,1,seen,page_view,,1209600\n"
WRONG = {
    "choice": ({"rules.yml": "variables:\n  session_by: cleint\n"}, "session_by is 'cleint', and must be timeout or"),
    "range": (
        {"rules.yml": "variables:\n  visitor_history_days: 60\n"},
        "visitor_history_days is 60, and must be 0 to",
    ),
    "funnel": ({"funnel_steps.csv": LONG}, "funnel slow lasts 14 days (within_seconds 1209600), and may last 1 day"),
}


@pytest.fixture(scope="session")
def has_events() -> bool:
    return True


def rules(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def small(shared_environment: Environment) -> Environment:
    put_small_day(shared_environment, DAY)
    steps = [
        pixel(
            eventId=name,
            visitorId="vis_new",
            timestamp=f"{DAY}T12:0{number}:00.000Z",
            eventType=name,
            url="https://e.com/",
        )
        for number, name in enumerate(("pageview", "sign up"))
    ]
    key = f"domain=example.com/year=2026/month=01/day={DAY[8:]}/hour=12/events-{DAY}-12.jsonl"
    shared_environment.put_event_object(key, b"\n".join(map(line, steps)))
    return shared_environment


@pytest.mark.parametrize("wrong", ["choice", "range"])
def test_e2_a_wrong_variable_starts_no_run(small: Environment, tmp_path: Path, call: Caller, wrong: str) -> None:
    files, says = WRONG[wrong]
    _starts_nothing(small, call, rules(tmp_path, files), says)


def test_e4_a_funnel_that_is_too_long_starts_no_run(small: Environment, tmp_path: Path, call: Caller) -> None:
    files, says = WRONG["funnel"]
    _starts_nothing(small, call, rules(tmp_path, files), says)


def _starts_nothing(environment: Environment, call: Caller, folder: str, says: str) -> None:
    before = environment.contents()
    for command in (("run", "--from", DAY), ("backfill", "--from", DAY, "--to", DAY), ("rules", "--check")):
        done = call(*command, rules=folder)
        assert done.returncode == 2
        assert says in done.stderr
        assert done.stderr.count("The rules cannot be used") == 1
    assert environment.contents() == before
    assert call("query", "select 1", rules=folder).returncode == 0  # reading goes on


def test_e2_a_wrong_variable_stops_a_job_at_its_first_step(
    small: Environment, tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    files, says = WRONG["choice"]
    before = small.contents()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLICKLAKE_RULES", rules(tmp_path, files))
        done = small.job("daily_build", instance, [DAY])
    assert not done.success
    assert any(says in str(event.event_specific_data) for event in done.all_events if event.is_step_failure)
    assert small.contents() == before


@pytest.fixture(scope="module")
def built(small: Environment, tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, str]:
    """The day, built with a funnel of its own and without publications; and what the run said."""
    folder = rules(tmp_path_factory.mktemp("rules"), {"funnel_steps.csv": OWN})
    done = small.command("run", "--from", DAY, "--no-publish", rules=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return small, done.stdout + done.stderr


def test_e3_event_types_of_rules_have_the_form_of_events(built: tuple[Environment, str]) -> None:
    environment, _ = built
    rows = environment.lake.read_table(f"marts/funnels/report_date={DAY}/data.parquet").to_pylist()
    reached = {(row["step_number"], row["reached"]) for row in rows if row["site_id"] == "example.com"}
    assert {step for step, count in reached if count} == {1, 2}


def test_e3_a_step_that_nothing_matched_is_named(built: tuple[Environment, str]) -> None:
    _, text = built
    assert "nothing matched joining 3 (paid)" in " ".join(text.split())


def test_e5_a_strangers_publication_is_nobodys(built: tuple[Environment, str]) -> None:
    environment, _ = built
    rows = environment.lake.read_table(f"marts/daily_aggregates/report_date={DAY}/data.parquet").to_pylist()
    assert {(row["publication_code"], row["publication_id"], row["publication_name"]) for row in rows} == {
        ("chicago-reader", None, None)
    }


def test_e5_the_lake_knows_the_rules_of_a_partition(
    built: tuple[Environment, str], tmp_path: Path, call: Caller
) -> None:
    environment, _ = built
    same = rules(tmp_path, {"funnel_steps.csv": OWN.replace("\n", "\r\n"), "rules.yml": "# none differ\n"})
    assert "other rules" not in call("status", rules=same).stdout

    (tmp_path / "rules.yml").write_text("variables:\n  session_timeout: 40m\n", "utf-8")
    said = " ".join(call("status", rules=same).stdout.split())
    assert f"{DAY} (1 day): marts.sessions was built with other rules" in said
    fingerprint = said.partition("clicklake rules --diff ")[2][:12]
    differs = call("rules", "--diff", fingerprint, rules=same).stdout
    assert [word for word in differs.split() if word.isdigit()] == ["1800", "2400"]
    assert environment.lake.exists(f"rules/versions/{fingerprint}.json")
