"""A Clicklake of a test's own: logs in S3, a lake, a MongoDB database, a Dagster instance, and settings of these."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from demo import event_files
from demo.environment import RULES
from demo.event_files import EventDay
from demo.services import S3Service, embedded_mongodb
from demo.traffic import Day, generate_bad_day, generate_day, to_s3, write_days
from ingest.lake.files import Lake
from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets.performance_entries import COLLECTION
from tests.event_lines import line, pixel
from tests.log_lines import lines, log
from tests.partitions import days_of
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[1]
CLICKLAKE = str(Path(sys.executable).with_name("clicklake"))
LOGS_PREFIX = "access-logs"
EVENTS_PREFIX = "site-logs"  # the keys of made-up events begin with it
# Found nowhere but in the settings, or a secret has leaked.
SECRET = "marked-secret-that-must-never-be-seen"
HASH_KEY = f"hash-key-{SECRET}"
WRITTEN_AT = ("_id", "enteredAt", "createdAt", "updatedAt", "deletedAt")
ROWS = 2_000

FIRST = date(2026, 1, 12)
DAYS = [(FIRST + timedelta(days=n)).isoformat() for n in range(5)]


def good(day: str, rows: int = ROWS) -> Day:
    return generate_day(date.fromisoformat(day), rows=rows)


def bad(day: str, rows: int = ROWS) -> Day:
    return generate_bad_day(date.fromisoformat(day), rows=rows)


@dataclass(frozen=True)
class Environment:
    """Where everything of this test is, and what it does most."""

    folder: Path
    settings: dict[str, str]
    s3: Any
    bucket: str

    @property
    def lake(self) -> Lake:
        return Lake(self.settings["CLICKLAKE_LAKE"])

    @property
    def home(self) -> Path:
        """Dagster's, of this process and of commands."""
        return self.folder / "dagster"

    def put(self, *days: Day, late: bool = False) -> None:
        """Puts the objects of days, or those that come late, where the settings say that logs are."""
        write_days(days, to_s3(self.s3, self.bucket), LOGS_PREFIX, late=late)

    def put_object(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"{LOGS_PREFIX}/{key}", Body=body)

    def put_events(self, *days: EventDay) -> None:
        """Puts the event objects of days where the settings say that events are."""
        event_files.write_days(days, to_s3(self.s3, self.bucket))

    def put_event_object(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"{EVENTS_PREFIX}/{key}", Body=body)

    def remove_events(self, *keys: str) -> None:
        """Removes objects by the keys that made-up events have."""
        for key in keys:
            self.s3.delete_object(Bucket=self.bucket, Key=key)

    def remove(self, *keys: str) -> None:
        for key in keys:
            self.s3.delete_object(Bucket=self.bucket, Key=f"{LOGS_PREFIX}/{key}")

    def run(self, *days: str, publishes: bool = True) -> Any:
        """What `clicklake run` does, in this process, which has loaded Dagster already."""
        from orchestration.cli.pipeline import run_days

        return run_days(days_of(*days), publishes)

    def job(
        self,
        name: str,
        instance: dg.DagsterInstance,
        days: Sequence[str],
        selection: Sequence[dg.AssetKey] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Runs a job, or some of its assets, over days without a gap."""
        from orchestration.definitions import defs
        from orchestration.partitions import range_tags

        return defs.resolve_job_def(name).execute_in_process(
            instance=instance,
            asset_selection=selection,
            partition_key=days[0] if len(days) == 1 else None,
            tags=dict(tags or {}) | (range_tags(days_of(*days)) if len(days) > 1 else {}),
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def command(self, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """Runs `clicklake …` as a process of its own; a setting that is None is left out."""
        return subprocess.run(
            [CLICKLAKE, *arguments],
            env=self.variables(**changes),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def variables(self, **changes: str | None) -> dict[str, str]:
        """The environment of a command."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
        given = self.settings | {f"CLICKLAKE_{name}".upper(): value for name, value in changes.items()}
        home = {"DAGSTER_HOME": str(self.home), "COLUMNS": "200"}
        return inherited | home | {name: value for name, value in given.items() if value is not None}

    def contents(self, *layers: str) -> dict[str, bytes]:
        """Every file below these folders of the lake, of all without them, by key. What is being written is none, nor
        are the results of checks, which every run adds to."""
        return {file.key: Path(self.lake.path(file.key)).read_bytes() for file in self._files(layers)}

    def rows(self, *layers: str) -> dict[str, pa.Table]:
        """The rows of every Parquet file below these folders of the lake, by key."""
        return {
            file.key: self.lake.read_table(file.key)
            for file in self._files(layers or ("raw", "rejects", "ledger", "marts"))
        }

    def _files(self, layers: Iterable[str]) -> list[Any]:
        found = [file for layer in layers for file in self.lake.files(layer)] if layers else self.lake.files("")
        return [file for file in found if not file.key.startswith((".", "quality/"))]

    def documents(self, collection: str = COLLECTION) -> list[dict[str, Any]]:
        """All documents as they are, those that are soft-deleted too."""
        with connect(self.settings["CLICKLAKE_MONGODB_URL"]) as client:
            found = client[self.settings["CLICKLAKE_MONGODB_DATABASE"]][collection].find()
            return sorted(found, key=lambda document: str(document["_id"]))

    def entries(self, collection: str = COLLECTION) -> list[dict[str, Any]]:
        """What readers see, without ids and times of writing."""
        live = [document for document in self.documents(collection) if "deletedAt" not in document]
        entries = [{name: value for name, value in each.items() if name not in WRITTEN_AT} for each in live]
        return sorted(entries, key=str)


Maker = Callable[[], Environment]
Caller = Callable[..., subprocess.CompletedProcess[str]]


def put_small_day(environment: Environment, day: str, has_events: bool = True) -> None:
    """A small day of logs, and of events, without rows of other days."""
    rows = lines(50, path="/c", query="oid=24017&cid=a&pid=chicago-reader&ch=website&cr=1&s=1x1")
    environment.put_object(
        f"E1TEST.{day}-10.a.gz", log([row.replace(DAYS[0].encode(), day.encode(), 1) for row in rows])
    )
    if not has_events:
        return
    seen = [
        pixel(visitorId=f"vis_{number % 7}", timestamp=f"{day}T{number:02}:00:00.000Z", url="https://example.com/")
        for number in range(20)
    ]
    folders = f"domain=example.com/year={day[:4]}/month={day[5:7]}/day={day[8:]}/hour=10"
    environment.put_event_object(f"{folders}/events-{day}-10.jsonl", b"\n".join(line(event) for event in seen))


def mart_key(day: str) -> str:
    return f"marts/daily_aggregates/report_date={day}/data.parquet"


def same_rows(found: Mapping[str, pa.Table], expected: Mapping[str, pa.Table]) -> bool:
    """Whether both have the same files with the same rows; says which differ where not."""
    assert sorted(found) == sorted(expected)
    different = [key for key in expected if not found[key].equals(expected[key])]
    assert different == []
    return True


@contextmanager
def new_environment(
    folder: Path, s3: Any, service: S3Service, mongodb_url: str, has_events: bool = False
) -> Iterator[Environment]:
    """Makes one and sets its variables in this process. The database is dropped at the end."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    folder.mkdir(exist_ok=True)
    s3.create_bucket(Bucket=name)
    settings = {
        "CLICKLAKE_LOGS": f"s3://{name}/{LOGS_PREFIX}",
        "CLICKLAKE_LAKE": str(folder / "lake"),
        "CLICKLAKE_RULES": str(RULES),
        "CLICKLAKE_HASH_KEY": HASH_KEY,
        "CLICKLAKE_S3_ENDPOINT_URL": service.endpoint_url,
        "CLICKLAKE_S3_REGION": service.region,
        "CLICKLAKE_S3_ACCESS_KEY_ID": service.access_key_id,
        "CLICKLAKE_S3_SECRET_ACCESS_KEY": SECRET,
        "CLICKLAKE_MONGODB_URL": mongodb_url,
        "CLICKLAKE_MONGODB_DATABASE": name,
        "CLICKLAKE_SETTLE_MINUTES": "0",
    }
    if has_events:
        settings["CLICKLAKE_EVENTS"] = f"s3://{name}/{EVENTS_PREFIX}"
    with pytest.MonkeyPatch.context() as patch:
        for variable in [variable for variable in os.environ if variable.startswith("CLICKLAKE_")]:
            patch.delenv(variable)
        for variable, value in settings.items():
            patch.setenv(variable, value)
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        yield Environment(folder, settings, s3, name)
    with connect(mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def manifest() -> None:
    """dbt's manifest, from which the definitions are made: as the project is now."""
    from orchestration.marts.project import prepare

    prepare()


@pytest.fixture(scope="session")
def embedded_mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_mongodb(tmp_path_factory.mktemp("mongodb")) as service:
        yield service.url


@pytest.fixture(scope="session")
def has_events() -> bool:
    """Whether environments have a source of events; a module with such tests says so with a fixture of its own."""
    return False


@pytest.fixture
def environment(
    tmp_path: Path,
    s3_client: Any,
    s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
    has_events: bool,
) -> Iterator[Environment]:
    with new_environment(tmp_path, s3_client, s3_service, embedded_mongodb_url, has_events) as made:
        yield made


@pytest.fixture
def new(
    tmp_path: Path,
    s3_client: Any,
    s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
    has_events: bool,
) -> Iterator[Maker]:
    """Makes environments; what runs in this process runs in the one that was made last."""
    with ExitStack() as stack:
        names = (str(number) for number in count())

        def make() -> Environment:
            return stack.enter_context(
                new_environment(tmp_path / next(names), s3_client, s3_service, embedded_mongodb_url, has_events)
            )

        yield make


@pytest.fixture(scope="module")
def shared_environment(
    tmp_path_factory: pytest.TempPathFactory,
    s3_client: Any,
    s3_service: S3Service,
    embedded_mongodb_url: str,
    manifest: None,
    has_events: bool,
) -> Iterator[Environment]:
    """One for all tests of a module, which then run in order or only read."""
    folder = tmp_path_factory.mktemp("environment")
    with new_environment(folder, s3_client, s3_service, embedded_mongodb_url, has_events) as made:
        yield made


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Caller:
    """Runs `clicklake …` as `Environment.command` does, but in this process, which spares the start of Python."""
    from orchestration.cli import main

    def run(*arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changes.items():
                variable = f"CLICKLAKE_{name}".upper()
                patch.delenv(variable) if value is None else patch.setenv(variable, value)
            patch.chdir(tmp_path)
            patch.setattr("sys.argv", ["clicklake", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        return subprocess.CompletedProcess(arguments, ended.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A Dagster instance in memory."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def dbt_processes_of(pid: int) -> list[int]:
    """The dbt commands that a process runs: children of its loader, each in its project's folder."""
    return [fork for fork in dbt_forks_of(pid) if _folder_of(fork) not in (_folder_of(pid), None)]


def dbt_forks_of(pid: int) -> list[int]:
    """Those of `dbt_processes_of`, and a process that waits for the next command."""
    return [fork for loader in _dbt_children(pid) for fork in _dbt_children(loader)]


def _folder_of(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return None  # it has just ended


def _dbt_children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_child = f"PPid:\t{pid}\n" in (folder / "status").read_text()
            if is_child and b"dbt_process" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has just ended
    return found
