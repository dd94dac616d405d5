"""The commands as people start them: processes, what they print, their exit status, on real services."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ingest.days import day_text, parse_day
from ingest.lake.layout import DATA_FILE
from ingest.rules.rules import keep
from orchestration.operations.status import (
    MISSING,
    OUT_OF_DATE,
    PUBLISHED,
    REFUSED,
    REFUSED_BUT_KEPT,
    DayStatus,
    status,
    target_states,
)
from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets.performance_entries import COLLECTION, TARGET
from orchestration.rules import rules_of
from orchestration.settings import load_settings
from tests.environment_fixtures import CLICKLAKE, DAYS, SECRET, Caller, Environment, bad, dbt_processes_of, good
from tests.log_lines import lines, log
from tests.partitions import days_of

pytestmark = pytest.mark.slow

ONE, TWO, THREE = DAYS[:3]
RAW = dg.AssetKey("raw_access_logs")
RUNNING = "Running pipeline"


# One run, of a good day and a bad one, and what the other commands say of it.


@pytest.fixture(scope="module")
def ran(shared_environment: Environment) -> subprocess.CompletedProcess[str]:
    shared_environment.put(good(ONE), bad(TWO))
    return shared_environment.command("run", "--from", ONE, "--to", TWO)


def test_a_refused_day_gives_status_one_and_is_named(ran: subprocess.CompletedProcess[str]) -> None:
    assert ran.returncode == 1, ran.stderr
    assert re.search(rf"{ONE} .* published", ran.stdout)
    assert re.search(rf"{TWO} .* refused", ran.stdout)
    assert re.search(rf"^{TWO} .*raw_access_logs refused \(reject_share\): \d+ of \d+ rows", ran.stdout, re.MULTILINE)
    assert "2 days: 1 published, 1 refused" in ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr


def test_a_refused_day_is_shown_with_its_rows(ran: subprocess.CompletedProcess[str]) -> None:
    for day, state in ((good(ONE), "published"), (bad(TWO), "refused")):
        truth = day.truth
        rejected = sum(truth.broken.values())
        rows = [f"{number:,}" for number in (truth.rows_read, truth.rows_kept, rejected, truth.duplicates)]
        counted = " │ +".join([str(day.day), str(truth.objects), *rows])
        assert re.search(rf"{counted} │.* {state} ", ran.stdout), (counted, ran.stdout)


def test_no_secret_is_anywhere(ran: subprocess.CompletedProcess[str], shared_environment: Environment) -> None:
    environment = shared_environment
    assert SECRET in environment.settings["CLICKLAKE_HASH_KEY"]
    assert environment.settings["CLICKLAKE_S3_SECRET_ACCESS_KEY"] == SECRET
    assert SECRET not in ran.stdout + ran.stderr
    files = [path for path in environment.folder.rglob("*") if path.is_file()]
    assert any(path.is_relative_to(environment.home) and path.suffix == ".db" for path in files)
    assert any(path.name == DATA_FILE for path in files)
    for path in files:
        assert SECRET.encode() not in path.read_bytes(), path
        if path.suffix == ".parquet":
            assert SECRET not in str(pq.ParquetFile(path).read().to_pydict()), path
    assert SECRET not in str(environment.documents())


@pytest.fixture
def expected(ran: subprocess.CompletedProcess[str], shared_environment: Environment) -> list[tuple[Any, ...]]:
    """Order, campaign and impressions, as the mart's file holds them."""
    rows = shared_environment.lake.read_table(f"marts/daily_aggregates/report_date={ONE}/{DATA_FILE}").to_pylist()
    assert rows
    return sorted(((row["order_id"], row["campaign_id"], row["impressions"]) for row in rows), key=str)


QUERY = "select order_id, campaign_id, impressions from marts.daily_aggregates"


def test_query_writes_json(shared_environment: Environment, expected: list[tuple[Any, ...]]) -> None:
    done = shared_environment.command("query", QUERY, "--format", "json")
    assert sorted((tuple(json.loads(line).values()) for line in done.stdout.splitlines()), key=str) == expected


def test_query_writes_csv_to_a_file_from_standard_input(
    shared_environment: Environment, expected: list[tuple[Any, ...]]
) -> None:
    target = shared_environment.folder / "it's.csv"
    done = subprocess.run(
        [CLICKLAKE, "query", "-", "--format", "csv", "-o", str(target)],
        input=QUERY,
        env=shared_environment.variables(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    header, *rows = csv.reader(io.StringIO(target.read_text()))
    assert header == ["order_id", "campaign_id", "impressions"]
    assert sorted(rows) == sorted([["" if value is None else str(value) for value in row] for row in expected])


def test_query_writes_parquet(shared_environment: Environment, expected: list[tuple[Any, ...]]) -> None:
    done = subprocess.run(
        [CLICKLAKE, "query", QUERY, "--format", "parquet"],
        env=shared_environment.variables(),
        capture_output=True,
        check=True,
    )
    rows = pq.read_table(io.BytesIO(done.stdout)).to_pylist()
    assert sorted((tuple(row.values()) for row in rows), key=str) == expected


def test_query_shows_a_table(ran: subprocess.CompletedProcess[str], shared_environment: Environment) -> None:
    done = shared_environment.command("query", "select 'a day' as what, count(*) as rows from raw.access_logs")
    assert done.returncode == 0
    assert re.search(r"│ +what +│ +rows +│", done.stdout)
    assert re.search(rf"│ +a day +│ +{good(ONE).truth.rows_kept} +│", done.stdout)


@pytest.mark.parametrize("form", ["csv", "json", "table", "parquet"])
def test_a_reader_that_has_seen_enough_is_no_error(
    ran: subprocess.CompletedProcess[str], shared_environment: Environment, form: str
) -> None:
    sql = f"select {', '.join(['uuid()::varchar'] * 8)} from range(20000)"  # more than a pipe holds, in every format
    command = f"set -o pipefail; {shlex.join([CLICKLAKE, 'query', sql, '--format', form])} | head -c 4"
    done = subprocess.run(["bash", "-c", command], env=shared_environment.variables(), capture_output=True, check=False)
    assert len(done.stdout) == 4
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"" or (form == "table" and done.stderr.startswith(b"1,000 of 20,000 rows"))


# Status, in a lake in which every state occurs.


def _states(environment: Environment) -> dict[str, DayStatus]:
    from orchestration.resources import sources_of
    from orchestration.settings import load_settings

    return {day_text(day.day): day for day in status(environment.lake, sources_of(load_settings()), None, None)}


def _state(found: dict[str, DayStatus], day: str) -> tuple[str, str]:
    """Of raw and mart."""
    return found[day].tables["raw.access_logs"], found[day].tables["marts.daily_aggregates"]


def _ingest(environment: Environment, day: str) -> None:
    """Raw alone, without its marts."""
    with dg.DagsterInstance.ephemeral() as instance:
        environment.job("daily_build", instance, [day], selection=[RAW])


def test_status_tells_each_state(ran: subprocess.CompletedProcess[str], shared_environment: Environment) -> None:
    environment = shared_environment
    three = f"E1TEST.{THREE}-10.a.gz"
    environment.put_object(three, log(row.replace(DAYS[0].encode(), THREE.encode()) for row in lines(40)))
    found = _states(environment)
    assert [_state(found, day) for day in (ONE, TWO, THREE)] == [
        (PUBLISHED, PUBLISHED),
        (REFUSED, MISSING),
        (MISSING, MISSING),
    ]
    assert "reject_share" in str(found[TWO].reason)
    assert found[ONE].reason is None

    _ingest(environment, THREE)
    environment.put(good(ONE), late=True)
    found = _states(environment)
    assert _state(found, THREE) == (PUBLISHED, MISSING)
    assert _state(found, ONE) == (OUT_OF_DATE, PUBLISHED)

    _ingest(environment, ONE)
    assert _state(_states(environment), ONE) == (PUBLISHED, OUT_OF_DATE)

    environment.put(bad(ONE))
    _ingest(environment, ONE)
    assert _state(_states(environment), ONE)[0] == REFUSED_BUT_KEPT

    shown = environment.command("status", "--from", ONE, "--to", TWO)
    assert shown.returncode == 0, shown.stderr
    assert re.search(rf"{ONE} .* refused, last good kept .* out of date .* published", shown.stdout)
    assert re.search(rf"{TWO} .* refused .* missing .* missing", shown.stdout)
    assert re.search(rf"^{TWO} access_logs: .*reject_share: ", shown.stdout, re.MULTILINE)
    assert THREE not in shown.stdout


def test_status_compares_the_entries(ran: subprocess.CompletedProcess[str], shared_environment: Environment) -> None:
    environment = shared_environment
    with connect(environment.settings["CLICKLAKE_MONGODB_URL"]) as client:
        database = client[environment.settings["CLICKLAKE_MONGODB_DATABASE"]]
        assert target_states(environment.lake, TARGET, database, days_of(ONE)) == {parse_day(ONE): PUBLISHED}
        first, *others = database[COLLECTION].find()
        database[COLLECTION].delete_one({"_id": first["_id"]})
        assert target_states(environment.lake, TARGET, database, days_of(ONE)) == {parse_day(ONE): OUT_OF_DATE}
        for document in others:
            database[COLLECTION].delete_one({"_id": document["_id"]})
        assert target_states(environment.lake, TARGET, database, days_of(ONE)) == {parse_day(ONE): MISSING}


# Runs that fail or are cut short.


def test_a_day_that_failed_is_not_called_refused_and_can_be_run_again(environment: Environment, call: Caller) -> None:
    environment.put(good(ONE))
    in_the_way = environment.folder / "lake" / "rejects"
    in_the_way.parent.mkdir()
    in_the_way.touch()
    done = call("run", "--from", ONE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"│ {ONE} │.* failed ", done.stdout), done.stdout
    assert re.search(rf"^{ONE} raw_access_logs: .*a file is in the way of a folder", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr

    in_the_way.unlink()
    done = call("run", "--from", ONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"│ {ONE} │.* published ", done.stdout), done.stdout
    assert len(environment.entries()) > 0


def _takes_ctrl_c() -> None:
    """A command that a script starts in the background ignores it, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(environment: Environment, moment: str) -> tuple[subprocess.CompletedProcess[str], list[int]]:
    """A run that Ctrl-C has ended, and the dbt processes that it had at that moment."""
    environment.put(good(ONE))
    command = [CLICKLAKE, "run", "--from", ONE]
    with subprocess.Popen(
        command,
        env=environment.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_takes_ctrl_c,
    ) as run:
        assert run.stderr is not None
        assert any(RUNNING in line for line in run.stderr)
        while moment == "while dbt works" and not dbt_processes_of(run.pid) and run.poll() is None:
            time.sleep(0.02)
        dbt = dbt_processes_of(run.pid)
        run.send_signal(signal.SIGINT)
        output, errors = run.communicate()
    return subprocess.CompletedProcess(command, run.returncode, output, errors), dbt


@pytest.mark.parametrize("moment", ["as it begins", "while dbt works"])
def test_ctrl_c_ends_with_a_sentence(environment: Environment, moment: str) -> None:
    run, dbt = interrupted(environment, moment)
    assert run.returncode == 130, run.stdout + run.stderr

    output, errors = run.stdout, run.stderr
    assert "clicklake: interrupted. What was published is whole; run the same command again to go on." in errors
    assert "Traceback" not in output + errors
    assert bool(dbt) == (moment == "while dbt works")
    assert not any(Path(f"/proc/{pid}").exists() for pid in dbt)
    assert environment.contents("marts") == {}
    assert environment.documents() == []
    owners = {int(folder.name.partition("-")[0]) for folder in (environment.folder / "lake" / ".staging").iterdir()}
    assert owners <= set(dbt)  # which was killed; the next run takes this away


@pytest.fixture
def small_disk(environment: Environment) -> Iterator[Path]:
    """The lake's folder as a disk of its own, of a few megabytes."""
    folder = environment.folder / "lake"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_the_lake_stays_as_it_was(
    environment: Environment, small_disk: Path, call: Caller
) -> None:
    environment.put(good(ONE))
    _ingest(environment, ONE)
    keep(rules_of(load_settings()), environment.lake)  # so that it is a mart that dbt cannot write
    before = environment.contents("raw", "rejects", "ledger", "marts")
    assert before
    free = os.statvfs(small_disk)
    (small_disk / ".ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - (8 << 10)))
    environment.put(good(ONE), late=True)

    done = call("run", "--from", ONE)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(rf"│ {ONE} │.* failed ", done.stdout), done.stdout
    said = "the disk is full. Free some space and run again"
    assert re.search(rf"^{ONE} raw_access_logs: .*{said}", done.stdout, re.MULTILINE), done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert environment.contents("raw", "rejects", "ledger", "marts") == before

    (small_disk / ".more").write_bytes(bytes(8 << 10))
    with dg.DagsterInstance.ephemeral() as instance:  # and where it is dbt that finds the disk full
        failed = environment.job("restate", instance, [ONE])
        materialized = instance.get_materialized_partitions(dg.AssetKey("daily_aggregates"))
    assert not failed.success
    [failure] = [event.step_failure_data for event in failed.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    assert re.search(rf"{ONE}: daily_aggregates failed \({said}", str(failure.user_failure_data.description))
    assert materialized == set()
    assert environment.contents("raw", "rejects", "ledger", "marts") == before


# The embedded services.


def test_services_run_a_program_with_their_settings(environment: Environment) -> None:
    report = "import os, json; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('CLICKLAKE_')}))"
    data = environment.folder / "data"
    done = environment.command(
        "services", "--data-dir", str(data), "--", sys.executable, "-c", f"{report}; raise SystemExit(7)"
    )
    assert done.returncode == 7, done.stderr
    settings = json.loads(done.stdout.splitlines()[-1])
    exports = [line for line in done.stdout.splitlines() if line.startswith("export ")]
    assert sorted(exports) == sorted(f"export {name}={shlex.quote(value)}" for name, value in settings.items())
    assert settings["CLICKLAKE_LAKE"] == str(data / "lake")
    assert not _answers(settings["CLICKLAKE_S3_ENDPOINT_URL"])  # they end with the program


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_services_run_until_they_are_stopped(environment: Environment, how: signal.Signals) -> None:
    with subprocess.Popen(
        [CLICKLAKE, "services", "--data-dir", str(environment.folder / "data")],
        env=environment.variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as services:
        assert services.stderr is not None
        assert services.stdout is not None
        assert any("until Ctrl-C" in line for line in services.stderr)
        printed = dict(re.findall(r"^export (\w+)=(.*)$", _available(services), re.MULTILINE))
        assert _answers(printed["CLICKLAKE_S3_ENDPOINT_URL"])
        services.send_signal(how)
        _, errors = services.communicate()

    assert services.returncode == 0, errors
    assert "Traceback" not in errors
    assert not _answers(printed["CLICKLAKE_S3_ENDPOINT_URL"])


def _available(process: subprocess.Popen[str]) -> str:
    """What a process has printed so far; it prints all of it before it says that it runs."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    text = process.stdout.read()
    os.set_blocking(process.stdout.fileno(), True)
    return text


def _answers(url: str) -> bool:
    try:
        build_opener(ProxyHandler({})).open(url).close()
    except OSError:
        return False
    return True
