"""Runs that are killed: whatever stands is whole, and the next run makes lake and documents what they should be."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.environment_fixtures import CLICKLAKE, DAYS, Environment, Maker, dbt_processes_of, good, same_rows
from tests.log_lines import lines, log

pytestmark = pytest.mark.slow

ONE, TWO = DAYS[:2]
SEED = 20260112
KILLS = 3  # in a lake
CHANGED = f"E1TEST.{TWO}-10.changed.gz"
RUNNING = "Running pipeline"  # what a run says when all is loaded and its work begins

State = tuple[dict[str, Any], list[dict[str, Any]]]  # rows of the lake, entries


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "number", [pytest.param(1, marks=pytest.mark.long), pytest.param(6, marks=pytest.mark.long(part=False))]
)
def test_runs_killed_at_random_moments(new: Maker, number: int) -> None:
    """In some lakes, two at once, three kills each. After two, and after one more, a run is let through: before it the
    logs have changed, so that every file is replaced."""
    lakes = [new() for _ in range(number)]
    before, after, seconds = _undisturbed(new())
    rng = random.Random(SEED)
    kills = KILLS * number
    moments = [rng.uniform(part, part + 1) * seconds / kills for part in range(kills)]
    rng.shuffle(moments)

    def disturb(lake: Environment, moments: list[float]) -> int:
        lake.put(good(ONE), good(TWO))
        killed = 0
        for wanted, chosen in ((before, moments[:2]), (after, moments[2:])):
            _change_logs(lake, wanted is after)
            for moment in chosen:
                killed += _kill(lake, moment)
                _assert_all_is_whole(lake, before, after)
            _run_to_the_end(lake, wanted)
        return killed

    with ThreadPoolExecutor(2) as pool:
        killed = list(pool.map(disturb, lakes, (moments[n::number] for n in range(number))))
    assert sum(killed) > 0


def _run_to_the_end(environment: Environment, wanted: State) -> None:
    done = environment.command("run", "--from", ONE, "--to", TWO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert same_rows(_rows(environment), wanted[0])
    assert environment.entries() == wanted[1]
    assert list((environment.folder / "lake" / ".staging").iterdir()) == []  # what was killed left nothing behind


def _undisturbed(reference: Environment) -> tuple[State, State, float]:
    """What lake and documents hold before and after the logs change, and how long a run works on it."""
    reference.put(good(ONE), good(TWO))
    _change_logs(reference, False)
    reference.run(ONE, TWO)
    before = _rows(reference), reference.entries()
    _change_logs(reference, True)
    result = reference.run(ONE, TWO)
    after = _rows(reference), reference.entries()
    assert before[1] != after[1]
    return before, after, sum(seconds for name, seconds in result.seconds.items() if name != "load")


def _change_logs(environment: Environment, is_after: bool) -> None:
    """A late object of the first day is there or not; one of the second day has this content or that."""
    late = good(ONE).late
    if is_after:
        environment.put(good(ONE), late=True)
    else:
        environment.remove(*late)
    rows = lines(40 if is_after else 30, path="/c", query="oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=1x1")
    environment.put_object(CHANGED, log([row.replace(DAYS[0].encode(), TWO.encode(), 1) for row in rows]))


def _rows(environment: Environment) -> dict[str, Any]:
    """All rows; in the ledger without the time of storing, which changes with each put."""
    return {
        key: table.drop_columns(["modified"]) if key.startswith("ledger/") else table
        for key, table in environment.rows().items()
    }


def _kill(environment: Environment, moment: float) -> bool:
    """Starts a run and kills it so many seconds after its work began. False where it had ended by then."""
    command = [CLICKLAKE, "run", "--from", ONE, "--to", TWO]
    with subprocess.Popen(
        command, env=environment.variables(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        said = next((line for line in run.stderr if RUNNING in line), None)
        assert said is not None
        time.sleep(moment)
        was_running = run.poll() is None
        run.kill()
    return was_running


def _assert_all_is_whole(environment: Environment, before: State, after: State) -> None:
    """Each file and each entry is that of one state or of the other, and not of something between."""
    for key, table in _rows(environment).items():
        pq.ParquetFile(environment.lake.path(key)).read()
        assert any(key in rows and table.equals(rows[key]) for rows in (before[0], after[0])), key
    for entry in environment.entries():
        assert entry in before[1] or entry in after[1], entry


def test_dbt_ends_with_the_run_that_started_it(environment: Environment) -> None:
    """Were it to go on, it could publish what it read long ago over what a later run has published since."""
    environment.put(good(ONE))
    log_file = environment.folder / "log"
    with (
        log_file.open("w") as log_stream,
        subprocess.Popen(
            [CLICKLAKE, "run", "--from", ONE, "--no-publish"],
            env=environment.variables(),
            stdout=log_stream,
            stderr=subprocess.STDOUT,
        ) as run,
    ):
        child = None
        while child is None and run.poll() is None:
            child = next(iter(dbt_processes_of(run.pid)), None)
            time.sleep(0.01)
        assert child is not None, log_file.read_text()
        os.kill(run.pid, signal.SIGKILL)
    while Path(f"/proc/{child}").exists() and _state(child) != "Z":
        time.sleep(0.05)

    assert environment.contents("marts") == {}
    assert environment.contents("raw") != {}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "Z"
