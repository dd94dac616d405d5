"""Random rules: bad ones never start a run, and good ones give the same lake in any order of days."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from ingest.lake.files import Lake
from ingest.rules.problems import RulesError
from ingest.rules.rules import load_rules
from ingest.rules.variables import VARIABLES, Variable
from orchestration.marts.dbt_process import PARSED
from tests.integration.dbt_fixtures import PROJECT, build, build_each, run_dbt
from tests.integration.test_attribution import AFTER, DAYS, raw_lake

pytestmark = pytest.mark.slow
STEPS = ("page_view", "Sign up", "purchase", "form-submit", "pageview")


def good_rules(rng: random.Random) -> dict[str, str]:
    """Files of random rules that go together: a dozen variables, funnels, conversions, categories and publications."""
    days = rng.choice((1, 2, 3))
    given = {each.name: good_value(rng, each) for each in rng.sample(VARIABLES, 12)}
    given.pop("session_client_timeout_seconds", None)  # it must not be below the timeout
    given |= {"funnel_max_days": days, "session_cap_hours": rng.choice((0, 24)), "session_client_timeout": "1d"}
    seconds = rng.randrange(60, days * 86_400)
    funnels = [f"long,{step},{event},{event},,{seconds}" for step, event in enumerate(rng.sample(STEPS[:4], 3), 1)]
    funnels += [f"short,1,{STEPS[4]},{STEPS[4]},^/,60", f"short,2,{STEPS[1]},{STEPS[1]},,60"]
    conversions = [
        f"{event},{event},{rng.choice(('earned', 'none'))},,USD" for event in rng.sample(STEPS[1:4], rng.randint(1, 3))
    ]
    return {
        "rules.yml": yaml.safe_dump({"variables": given}),
        "funnel_steps.csv": table("funnel,step,step_name,event_type,path_regex,within_seconds", funnels),
        "conversion_events.csv": table("event_type,conversion_type,revenue,default_value,currency", conversions),
        "page_categories.csv": table("priority,path_regex,category", ["1,^/$,home", "2,^/c,cart"]),
        "publications.csv": table("publication_code,publication_id,publication_name", ["reader,7,Reader"]),
    }


def good_value(rng: random.Random, variable: Variable) -> Any:
    if variable.choices:
        return rng.choice(variable.choices)
    if isinstance(variable.default, bool):
        return rng.choice((True, False))
    if isinstance(variable.default, list):
        return rng.sample(["page_view", "purchase", "website", "Email", "Display"], rng.randint(1, 3))
    if isinstance(variable.default, float):
        return round(rng.uniform(variable.least, variable.most), 3)
    least, most = int(variable.least), int(min(variable.most, 4 * max(variable.default, 1)))
    return rng.choice((least, most, rng.randint(least, most)))


def table(head: str, rows: list[str]) -> str:
    return "\n".join([head, *rows]) + "\n"


def spoilt(rng: random.Random, files: dict[str, str]) -> dict[str, str]:
    """The same with one mistake."""
    name = rng.choice(sorted(files))
    if name == "rules.yml":
        variable = rng.choice([each for each in VARIABLES if type(each.default) is int])
        given = yaml.safe_load(files[name])["variables"] | {variable.name: int(variable.most) + 1}
        return files | {name: yaml.safe_dump({"variables": given})}
    head, *rows = files[name].splitlines()
    mistake = rng.choice(("twice", "field", "header", "empty"))
    text = {
        "twice": table(head, [*rows, rows[-1]]),
        "field": table(head, [*rows, rows[0] + ",more"]),
        "header": table(head.replace(",", ";"), rows),
        "empty": "",
    }[mistake]
    return files | {name: text}


def put(lake: Lake, files: dict[str, str]) -> None:
    for name, text in files.items():
        lake.put_text(text, f"rules/{name}")


def published(lake: Lake) -> dict[str, bytes]:
    return {file.key: Path(lake.path(file.key)).read_bytes() for file in lake.files("marts")}


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))])
def test_good_rules_give_the_same_lake_in_any_order_of_days(target: Path, tmp_path: Path, seed: int) -> None:
    files = good_rules(random.Random(seed))
    at_once, one_by_one = raw_lake(tmp_path / "at_once"), raw_lake(tmp_path / "one_by_one")
    put(at_once, files)
    put(one_by_one, files)
    build_each(at_once, target, [(DAYS[0], AFTER)])
    after = dict(zip(DAYS, (*DAYS[1:], AFTER), strict=True))
    order = random.Random(seed).sample(DAYS, len(DAYS))
    build_each(one_by_one, target, [(day, after[day]) for day in order])
    last_snapshots = order[-1] == DAYS[-1]
    ours, theirs = published(one_by_one), published(at_once)
    by_day = {key for key in theirs if "=" in key}
    assert by_day
    assert {key for key in ours if "=" in key} == by_day
    assert [key for key in theirs if ours[key] != theirs[key] and (key in by_day or last_snapshots)] == []


@pytest.mark.parametrize("seed", range(30))
def test_bad_rules_are_found_before_a_run(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    lake = Lake(str(tmp_path))
    files = good_rules(rng)
    put(lake, files)
    assert load_rules(None, lake, PROJECT / "seeds").fingerprint
    put(lake, spoilt(rng, files))
    with pytest.raises(RulesError, match="The rules cannot be used"):
        load_rules(None, lake, PROJECT / "seeds")


def test_dbt_builds_nothing_with_bad_rules_and_reads_no_vars(target: Path, tmp_path: Path) -> None:
    lake = raw_lake(tmp_path)
    put(lake, {"rules.yml": "variables:\n  session_by: cleint\n"})
    done = build(lake, target, DAYS[0], AFTER)
    assert done.returncode == 2
    assert "session_by is 'cleint', and must be timeout or client" in done.stdout
    put(lake, {"rules.yml": "variables:\n  session_by: timeout\n"})
    done = build(lake, target, DAYS[0], AFTER, "--vars", json.dumps({"session_by": "client"}))
    assert "--vars sets no rule here" in done.stdout
    assert lake.files("marts") == []


def test_dbt_parses_nothing_when_rules_change(target: Path, tmp_path: Path) -> None:
    lake = Lake(str(tmp_path))
    found = {}
    for seconds in (1_800, 2_400):
        put(lake, {"rules.yml": f"variables:\n  session_timeout_seconds: {seconds}\n"})
        done = run_dbt(lake, target, "compile", "--select", "int_session_events")
        assert done.returncode == 0, done.stdout
        (compiled,) = (target / "compiled").rglob("int_session_events.sql")
        assert f"interval '{seconds}' second" in compiled.read_text("utf-8")
        found[seconds] = (target / PARSED).stat().st_mtime_ns
    assert len(set(found.values())) == 1
