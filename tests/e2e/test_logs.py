"""CLICKLAKE_LOG_FORMAT=json: every line that a run or a command logs is one JSON object with the run's fields."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.environment_fixtures import DAYS, ROOT, SECRET, Caller, Environment
from tests.log_lines import lines, log

# The raw asset alone, as the UI would run it: with no configuration of loggers.
RUN = f"""
import dagster as dg
from orchestration.definitions import defs
with dg.DagsterInstance.ephemeral() as instance:
    defs.resolve_job_def("daily_build").execute_in_process(
        instance=instance, partition_key="{DAYS[0]}", asset_selection=[dg.AssetKey("raw_access_logs")]
    )
"""


def test_a_run_logs_one_object_a_line(environment: Environment) -> None:
    environment.put_object(f"E1TEST.{DAYS[0]}-10.a.gz", log(lines(20)))
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        env=environment.variables(log_format="json") | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        cwd=environment.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    logged: list[dict[str, Any]] = [json.loads(line) for line in done.stderr.splitlines()]

    assert {each["job"] for each in logged} == {"daily_build"}
    assert len({each["run_id"] for each in logged}) == 1
    assert {each["partition"] for each in logged} == {DAYS[0]}
    assert all(each["time"].endswith("+00:00") and each["level"] and each["message"] for each in logged)
    [made] = [each for each in logged if each.get("event") == "ASSET_MATERIALIZATION"]
    assert (made["asset"], made["step"], made["rows"]) == ("raw_access_logs", "raw_access_logs", 20)
    [end] = [each for each in logged if "partitions_done" in each]
    assert (end["partitions_done"], end["rows"], end["days_bad"]) == (1, 20, 0)
    assert end["seconds"] > 0
    [success] = [each for each in logged if each.get("event") == "STEP_SUCCESS"]
    assert success["seconds"] > 0
    assert any(each.get("check") == "reject_share" and each["passed"] for each in logged)
    assert SECRET not in done.stderr


def test_a_command_and_its_run_log_one_object_a_line(environment: Environment) -> None:
    environment.put_object(f"E1TEST.{DAYS[0]}-10.a.gz", log([b"no log line"] * 20))
    done = environment.command("run", "--from", DAYS[0], "--no-publish", log_format="json")
    assert done.returncode == 1
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    messages = [each["message"] for each in logged if each["logger"] == "clicklake"]
    assert "1 day: 1 refused" in messages
    [failed] = [each for each in logged if each.get("event") == "STEP_FAILURE"]
    assert "raw_access_logs refused (objects_readable: " in failed["error"]
    assert "reject_share: 20 of 20" in failed["error"]


def test_an_error_of_a_command_is_one_object(call: Caller) -> None:
    done = call("run", "--from", DAYS[0], log_format="json", hash_key="short")
    assert done.returncode == 2
    told = json.loads(done.stderr)
    assert (told["level"], told["logger"]) == ("error", "clicklake")
    assert told["message"].startswith("CLICKLAKE_")
