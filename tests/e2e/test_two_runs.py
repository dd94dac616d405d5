"""Two runs at the same time, of one day or of two: as if one had come after the other, and nobody need know."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.lake.layout import value_in
from tests.environment_fixtures import CLICKLAKE, DAYS, ROOT, Environment, Maker, put_small_day
from tests.log_lines import lines, log
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

ONE, TWO = DAYS[:2]
CHANGING = f"E1TEST.{ONE}-10.changing.gz"
# Does a day's raw and entries again and again, each time with the other one of its kind.
RACER = """
import sys, time
from pathlib import Path
import dagster as dg
from orchestration.definitions import defs
folder, name, day, rounds = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
job = defs.resolve_job_def("pipeline")
with dg.DagsterInstance.ephemeral() as instance:
    for number in range(rounds):
        (folder / f"{name}-ready-{number}").touch()
        while not (folder / f"go-{number}").exists():
            time.sleep(0.002)
        done = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey("raw_access_logs"), dg.AssetKey("performance_entries")],
            partition_key=day,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
        failures = [str(each.step_failure_data) for each in done.all_node_events if each.is_step_failure]
        (folder / f"{name}-done-{number}").write_text("; ".join(failures))
"""


@pytest.fixture(scope="module")
def has_events() -> bool:
    return True


def _change(environment: Environment, number: int) -> None:
    rows = lines(30 + number, start=1000, path="/c", query="oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=1x1")
    environment.put_object(CHANGING, log(rows))


def _comes(check: Callable[[], bool], processes: list[subprocess.Popen[str]]) -> None:
    def ended() -> list[subprocess.Popen[str]]:
        return [process for process in processes if process.poll() is not None]

    comes = wait_until(check, is_in_vain=lambda: bool(ended()))
    assert comes, [process.communicate()[1] for process in ended()] or "it takes too long"


@pytest.mark.parametrize("rounds", [1, pytest.param(50, marks=pytest.mark.long(part=False))])
def test_pairs_of_runs_of_one_day(environment: Environment, tmp_path: Path, rounds: int) -> None:
    """Of raw and entries, whose objects change before each pair; what marts do is below."""
    put_small_day(environment, ONE)
    _change(environment, 0)
    assert not environment.run(ONE).bad
    marts, entries = environment.contents("marts/daily_aggregates"), environment.entries()
    folder = tmp_path / "race"
    folder.mkdir()
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(folder), name, ONE, str(rounds)],
            cwd=ROOT,
            env=environment.variables(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    try:
        for number in range(rounds):
            _comes(lambda n=number: all((folder / f"{each}-ready-{n}").exists() for each in "ab"), racers)  # type: ignore[misc]
            _change(environment, number)
            (folder / f"go-{number}").touch()
            both = [folder / f"{each}-done-{number}" for each in "ab"]
            _comes(lambda both=both: all(each.exists() for each in both), racers if number < rounds - 1 else [])  # type: ignore[misc]
            assert [each.read_text() for each in both] == ["", ""]
            _assert_whole(environment, number)
    finally:
        for racer in racers:
            racer.kill()
            racer.communicate()
    assert environment.contents("marts/daily_aggregates") == marts
    assert environment.entries() == entries
    assert len(environment.documents()) == len(entries)  # nothing was written twice and deleted again


def _assert_whole(environment: Environment, number: int) -> None:
    """The ledger is of these objects, and the rows are the ledger's."""
    lake = environment.lake
    ledger = lake.read_table(f"ledger/access_logs/source_date={ONE}/data.parquet").to_pylist()
    assert {row["source_object"]: row["rows_kept"] for row in ledger}[CHANGING] == 30 + number
    files = [file for file in lake.files("raw/access_logs") if value_in(file.key, "source_date") == ONE]
    assert sum(lake.read_table(file.key, ["source_line"]).num_rows for file in files) == sum(
        row["rows_kept"] for row in ledger
    )
    assert lake.files(".locks") == []
    assert list(Path(lake.path(".staging")).iterdir()) == []


@pytest.mark.long
def test_commands_at_once_of_two_days(new: Maker) -> None:
    """Marts of the whole history hold both days, whichever run ends first."""
    reference, disturbed = new(), new()
    for environment in (reference, disturbed):
        for day in (ONE, TWO):
            put_small_day(environment, day)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in reference.settings.items():
            patch.setenv(name, value)
        assert not reference.run(ONE, TWO).bad
    _at_once(disturbed, ["run", "--from", ONE], ["run", "--from", TWO], ["run", "--from", TWO])
    assert _differences(disturbed.contents("marts"), reference.contents("marts")) == []
    assert disturbed.entries() == reference.entries()
    assert len(disturbed.documents()) == len(disturbed.entries())


def _at_once(environment: Environment, *commands: list[str]) -> None:
    started = [
        subprocess.Popen(
            [CLICKLAKE, *arguments],
            env=environment.variables(),
            cwd=environment.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for arguments in commands
    ]
    said = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0] * len(commands), "\n".join(said)
    assert "Traceback" not in "".join(said)


def _differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    keys = found.keys() | expected.keys()
    return sorted(key for key in keys if found.get(key) != expected.get(key) and "data_quality" not in key)
