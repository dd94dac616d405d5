"""Runs that are killed: whatever stands is whole, and the next run makes lake and documents what they should be."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demo.services import S3Service
from tests.environment_fixtures import CLICKLAKE, DAYS, ROOT, Environment, good, new_environment, same_rows
from tests.log_lines import lines, log

pytestmark = pytest.mark.slow

ONE, TWO = DAYS[:2]
SEED = 20260112
KILLS = 10
CHANGED = f"E1TEST.{TWO}-10.changed.gz"
RUNNING = "Running pipeline"  # what a run says when all is loaded and its work begins

State = tuple[dict[str, Any], list[dict[str, Any]]]  # rows of the lake, entries


@pytest.fixture
def reference(
    tmp_path_factory: pytest.TempPathFactory,
    s3_client: Any,
    s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
) -> Iterator[Environment]:
    """A lake whose runs nobody disturbs."""
    folder = tmp_path_factory.mktemp("reference")
    with new_environment(folder, s3_client, s3_service, embedded_mongodb_url) as made:
        yield made


def test_ten_runs_killed_at_random_moments(reference: Environment, tmp_path: Path) -> None:
    """Two kills, then a run to the end, five times over; each time the logs have changed since the last whole run."""
    before, after, seconds = _undisturbed(reference)
    environment = Environment(
        tmp_path,
        reference.settings
        | {"CLICKLAKE_LAKE": str(tmp_path / "lake"), "CLICKLAKE_MONGODB_DATABASE": f"{reference.bucket}-killed"},
        reference.s3,
        reference.bucket,
    )
    rng = random.Random(SEED)
    moments = [rng.uniform(tenth, tenth + 1) * seconds / KILLS for tenth in range(KILLS)]
    rng.shuffle(moments)
    killed = 0
    for round_, (first, second) in enumerate(zip(moments[::2], moments[1::2], strict=True)):
        wanted = (before, after)[round_ % 2]
        _change_logs(reference, round_ % 2 == 1)
        for moment in (first, second):
            killed += _kill(environment, moment)
            _assert_all_is_whole(environment, before, after)
        done = environment.command("run", "--from", ONE, "--to", TWO)
        assert done.returncode == 0, done.stdout + done.stderr
        assert same_rows(_rows(environment), wanted[0])
        assert environment.entries() == wanted[1]
    assert killed > 0
    assert list((tmp_path / "lake" / ".staging").iterdir()) == []


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
    _wait_for_children()
    return was_running


def _wait_for_children() -> None:
    """Until no dbt of a killed run is left: one that is would go on writing, and this would wait in vain."""
    while any(b"orchestration.marts.dbt_process" in words for words in _command_lines()):
        time.sleep(0.05)


def _command_lines() -> Iterator[bytes]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            yield (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended


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
            cwd=ROOT,
        ) as run,
    ):
        child = None
        while child is None and run.poll() is None:
            child = next(iter(_children(run.pid)), None)
            time.sleep(0.01)
        assert child is not None, log_file.read_text()
        os.kill(run.pid, signal.SIGKILL)
    while Path(f"/proc/{child}").exists() and _state(child) != "Z":
        time.sleep(0.05)

    assert environment.contents("marts") == {}
    assert environment.contents("raw") != {}


def _children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"PPid:\t{pid}\n" in (folder / "status").read_text()
            if is_child and b"dbt_process" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "Z"
