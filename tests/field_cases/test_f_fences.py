"""Field cases F8 and F9: late writers, changed bytes, early lakes and other keys."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from demo.services import S3Service
from ingest.days import parse_day
from ingest.errors import DamagedError, LakeError, SettingsError, TransientError, TransientLakeError
from ingest.lake import locks
from ingest.lake.files import Lake
from ingest.lake.layout import Mart
from ingest.lake.records import UNRECORDED, FileRecord, files_of_mart, recorded
from ingest.lake.s3 import S3Options
from ingest.partition import lake_format, rekey
from ingest.partition.day import IngestOptions, ingest_day
from ingest.partition.local_files import local_files
from ingest.partition.verify import Verification
from ingest.rows.privacy import keyed_hash
from ingest.source import FolderSource
from orchestration.marts.assets import WITHOUT
from orchestration.marts.windows import WindowResult, build
from orchestration.places import DBT_DIR
from orchestration.publishing.entries import REPLACEMENTS_AT_ONCE, read_entries
from orchestration.publishing.mongodb import connect
from orchestration.publishing.targets.performance_entries import KIND, publish_day
from tests.environment_fixtures import ROOT, Caller, same_rows
from tests.event_lines import SITE, Events, pixel
from tests.faults.fixtures import faulty_s3_client, faulty_s3_service, files_of, s3_proxy
from tests.faults.marts import mart
from tests.faults.proxy import Before, MongoProxy, S3Proxy, nth
from tests.log_lines import DAY, HASH_KEY, OPTIONS, LogDay, line, lines, log
from tests.partitions import days_of, events_of, logs_of
from tests.waiting import wait_until

__all__ = ["faulty_s3_client", "faulty_s3_service", "s3_proxy"]

BEFORE, AFTER = "2026-01-11", "2026-01-13"
LAYERS = ("raw", "rejects", "ledger", "quarantine")
WRITES = r"^(PUT|POST|DELETE) /[^/]+/lake/(raw|rejects|ledger|quarantine)/"


@dataclass
class Suspension:
    """A process that stops while a request of it is on its way, and goes on when it is told to."""

    reached: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        self.reached.set()
        self.goes_on.wait()

    def wait(self) -> None:
        """Of its other requests, such as those that renew its lease: none is sent while it is stopped."""
        if self.reached.is_set():
            self.goes_on.wait()


@contextmanager
def suspended(proxy: S3Proxy, pattern: str, number: int) -> Iterator[Suspension]:
    made = Suspension()
    with (
        proxy.fault(r"^PUT .*/\.locks/", Before(made.wait)),
        proxy.fault(pattern, Before(made.stop), nth(number)),
    ):
        try:
            yield made
        finally:
            made.goes_on.set()


@dataclass(frozen=True)
class Lakes:
    """One lake on S3, as a run sees it that can be suspended, and as others see it."""

    late: Lake
    direct: Lake


@pytest.fixture
def lakes(faulty_s3_client: Any, faulty_s3_service: S3Service, s3_proxy: S3Proxy) -> Lakes:
    service, bucket = faulty_s3_service, f"fences-{uuid.uuid4().hex[:12]}"
    faulty_s3_client.create_bucket(Bucket=bucket)
    options = S3Options(service.endpoint_url, service.region, service.access_key_id, service.secret_access_key)
    url = f"s3://{bucket}/lake"
    return Lakes(Lake(url, replace(options, endpoint_url=s3_proxy.url)), Lake(url, options))


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, FolderSource]:
    """What the source held at first, when the run that is suspended listed it, and when the other run did."""
    held = {
        "first": [*lines(30), line(id="before", date=BEFORE, time="23:59:59"), b"broken"],
        "late": [*lines(40), line(id="after", date=AFTER)],
        "other": [*lines(50), line(id="before", date=BEFORE, time="23:59:58")],
    }
    days = {name: LogDay(tmp_path / name) for name in held}
    for name, rows in held.items():
        days[name].add(log(rows))
    return {name: FolderSource(day.logs) for name, day in days.items()}


def ingest(lake: Lake, source: FolderSource) -> None:
    with lake.lock(logs_of(DAY).lock):
        assert ingest_day(lake, source, logs_of(DAY), OPTIONS).published


@pytest.mark.slow
@pytest.mark.parametrize(
    ("is_first", "number"),
    [
        *((True, number) for number in (1, 4)),
        *((False, number) for number in (2, 5)),
        *(pytest.param(True, number, marks=pytest.mark.long) for number in (2, 3)),
        *(pytest.param(False, number, marks=pytest.mark.long) for number in (1, 3, 4)),
    ],
)
def test_f8_a_raw_day_is_what_its_ledger_says_whenever_an_upload_comes_late(
    lakes: Lakes,
    sources: dict[str, FolderSource],
    s3_proxy: S3Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    is_first: bool,
) -> None:
    """A run stops within each of its writes in turn. Another takes its lease over and publishes, then the first write
    arrives. Either the day is as the other run left it, or it is named, not built on, and repaired by another run."""
    monkeypatch.setattr(locks, "LEASE_SECONDS", 2.0)  # S3 tells time in whole seconds
    if not is_first:
        ingest(lakes.direct, sources["first"])
    alone = Lake(str(tmp_path / "alone"))
    ingest(alone, sources["other"])
    expected = files_of(alone, *LAYERS)

    said: list[BaseException] = []

    def late() -> None:
        try:
            ingest(lakes.late, sources["late"])
        except TransientLakeError as error:
            said.append(error)

    with suspended(s3_proxy, WRITES, number) as suspension:
        run = threading.Thread(target=late)
        run.start()
        assert wait_until(suspension.reached.is_set, is_in_vain=lambda: not run.is_alive()), said
        ingest(lakes.direct, sources["other"])
        assert files_of(lakes.direct, *LAYERS) == expected
        suspension.goes_on.set()
        run.join()
    assert said, "the late run knows that it was late"
    found = files_of(lakes.direct, *LAYERS)
    if found != expected:
        strays = found.keys() - expected.keys()
        assert strays == {logs_of(DAY).raw_file(parse_day(AFTER))}
        assert {key: body for key, body in found.items() if key in expected} == expected
        raw = [file.key for file in lakes.direct.files("raw")]
        with pytest.raises(DamagedError, match=rf"event_date={AFTER}.* is not what its ledger says .*--from {DAY}$"):
            local_files(lakes.direct, raw, tmp_path / "local")
        rest = [key for key in raw if key not in strays]
        assert len(local_files(lakes.direct, rest, tmp_path / "rest")) == len(rest)
        ingest(lakes.direct, sources["other"])
    assert files_of(lakes.direct, *LAYERS) == expected
    raw = [file.key for file in lakes.direct.files("raw")]
    assert len(local_files(lakes.direct, raw, tmp_path / "again")) == len(raw)


WRITER = """
import sys, time
from ingest.lake.files import Lake
from ingest.partition.day import ingest_day
from ingest.source import FolderSource
from tests.log_lines import DAY, OPTIONS
from tests.partitions import logs_of

class SlowLake(Lake):
    def put(self, local, key):
        size = super().put(local, key)
        print(key, flush=True)
        sys.stdin.readline()
        return size

lake = SlowLake(sys.argv[1])
with lake.lock(logs_of(DAY).lock):
    ingest_day(lake, FolderSource(sys.argv[2]), logs_of(DAY), OPTIONS)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 4, *(pytest.param(number, marks=pytest.mark.long) for number in (2, 3))])
def test_f8_in_a_folder_others_wait_for_a_writer_that_is_suspended(
    sources: dict[str, FolderSource], tmp_path: Path, number: int
) -> None:
    """It keeps its lock until it dies; then another run publishes the day as if it had been alone."""
    lake, alone = Lake(str(tmp_path / "lake")), Lake(str(tmp_path / "only"))
    ingest(lake, sources["first"])
    ingest(alone, sources["other"])
    told: list[str] = []

    def other() -> None:
        with lake.lock(logs_of(DAY).lock, on_wait=told.append):
            assert ingest_day(lake, sources["other"], logs_of(DAY), OPTIONS).published

    with subprocess.Popen(
        [sys.executable, "-c", WRITER, lake.root, str(tmp_path / "late" / "logs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as late:
        assert late.stdin is not None
        assert late.stdout is not None
        for _ in range(number - 1):
            assert late.stdout.readline()
            late.stdin.write("\n")
            late.stdin.flush()
        assert late.stdout.readline()
        late.send_signal(signal.SIGSTOP)
        run = threading.Thread(target=other)
        run.start()
        assert wait_until(lambda: told)
        late.kill()
        run.join()
    assert files_of(lake, *LAYERS) == files_of(alone, *LAYERS)


# An order has 0 … 19 as before, 20 … 79 changed; the late run would change 0 … 79 and add 80 … 99.
STORED, OTHER = mart(0, 80, clicks=1), pa.concat_tables([mart(0, 20, clicks=1), mart(20, 80, clicks=2)])
LATE = mart(0, 100, clicks=3)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 3, *(pytest.param(number, marks=pytest.mark.long) for number in (2, 4, 5))])
def test_f8_mongodb_holds_what_was_published_last_whenever_a_command_comes_late(
    lakes: Lakes,
    s3_proxy: S3Proxy,
    embedded_mongodb_url: str,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """A run stops within each of its commands that write, one after the other. What another run publishes meanwhile is
    left alone but for that command, and the late run fails and is tried again, with the mart as it is now."""
    monkeypatch.setattr(locks, "LEASE_SECONDS", 2.0)
    database = f"fences-{uuid.uuid4().hex[:12]}"
    address = urlsplit(embedded_mongodb_url)
    lock, said = f"entries/performance_entries/{DAY}", list[BaseException]()

    def publish(lake: Lake, url: str, rows: pa.Table) -> None:
        with connect(url) as client, lake.lock(lock):
            publish_day(client[database], parse_day(DAY), rows, None, lake.confirm_locks)

    def late(url: str) -> None:
        try:
            publish(lakes.late, url, LATE)
        except TransientError as error:
            said.append(error)

    def documents() -> list[dict[str, Any]]:
        with connect(embedded_mongodb_url) as client:
            found = read_entries(client[database], KIND, parse_day(DAY), parse_day(DAY))
        return [{name: each[name] for name in ("orderId", "metrics")} for each in found]

    publish(lakes.direct, embedded_mongodb_url, OTHER)
    expected = documents()
    publish(lakes.direct, embedded_mongodb_url, STORED)
    with MongoProxy(address.hostname or "", address.port or 0).running() as proxy:
        assert isinstance(proxy, MongoProxy)
        suspension = Suspension()
        with (
            s3_proxy.fault(r"^PUT .*/\.locks/", Before(suspension.wait)),
            proxy.fault("^(insert|update)", Before(suspension.stop), nth(number)),
        ):
            run = threading.Thread(target=late, args=[proxy.url])
            run.start()
            assert wait_until(suspension.reached.is_set, is_in_vain=lambda: not run.is_alive()), said
            publish(lakes.direct, embedded_mongodb_url, OTHER)
            assert documents() == expected
            suspension.goes_on.set()
            run.join()
    assert said, "the late run knows that it was late"
    wrong = [each for each in documents() if each not in expected]
    assert len(wrong) <= REPLACEMENTS_AT_ONCE  # no more than the one command that was on its way
    publish(lakes.direct, embedded_mongodb_url, OTHER)
    assert documents() == expected


BUILDER = f"""
from ingest.days import parse_day
from orchestration.marts.assets import WITHOUT
from orchestration.marts.windows import build
from orchestration.places import DBT_DIR
import os, sys
lake = {{name: os.environ[name] for name in os.environ if name.startswith("CLICKLAKE_")}}
print(build(DBT_DIR, [parse_day("{DAY}")], WITHOUT["events"], lake).refused([parse_day("{DAY}")]))
"""
MART_WRITES = r"^(PUT|POST|DELETE) /[^/]+/lake/(marts|records)/"


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, *(pytest.param(number, marks=pytest.mark.long) for number in (1, 3, 5))])
def test_f8_marts_are_those_of_the_last_build_whenever_an_upload_comes_late(
    lakes: Lakes, sources: dict[str, FolderSource], s3_proxy: S3Proxy, tmp_path: Path, manifest: None, number: int
) -> None:
    """A build stops within its first record, its first mart, and the record after it. Meanwhile raw changes, and
    another build takes the lock over and publishes. Then the late write arrives, and changes nothing."""
    (tmp_path / "sitecustomize.py").write_text("from ingest.lake import locks\nlocks.LEASE_SECONDS = 3.0\n")

    def build_on(lake: Lake) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
        options = lake.s3
        settings = {
            "CLICKLAKE_LAKE": lake.url,
            "CLICKLAKE_S3_ENDPOINT_URL": str(options.endpoint_url),
            "CLICKLAKE_S3_REGION": str(options.region),
            "CLICKLAKE_S3_ACCESS_KEY_ID": str(options.access_key_id),
            "CLICKLAKE_S3_SECRET_ACCESS_KEY": str(options.secret_access_key),
        }
        return subprocess.Popen(
            [sys.executable, "-c", BUILDER],
            env=kept | settings | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    ingest(lakes.direct, sources["first"])
    with suspended(s3_proxy, MART_WRITES, number) as suspension:
        late = build_on(lakes.late)
        assert wait_until(suspension.reached.is_set, is_in_vain=lambda: late.poll() is not None), late.communicate()
        ingest(lakes.direct, sources["other"])
        other = build_on(lakes.direct)
        said = other.communicate()
        assert said[0] == "{}\n", said
        expected = files_of(lakes.direct, "marts", "records")
        suspension.goes_on.set()
        said = late.communicate()
    assert late.returncode != 0, said
    assert "another run" in said[1] or "another may be at work" in said[1], said
    assert files_of(lakes.direct, "marts", "records") == expected
    assert Verification(lakes.direct).run(lambda *_: None).wrong == []


DAYS = [BEFORE, DAY, AFTER]
MART = "marts/daily_aggregates/report_date={}/data.parquet"


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory, manifest: None) -> LogDay:
    """Three days of ads, ingested and built."""
    made = LogDay(tmp_path_factory.mktemp("three"))
    for day in DAYS:
        made.add(log(lines(60, date=day, path="/c", query="oid=1&cid=a&pid=p&ch=web&cr=1&s=1x1")), day=day)
        assert made.ingest(day=day).published
    assert build_marts(made.lake).refused(days_of(*DAYS)) == {}
    return made


@pytest.fixture
def built(three_days: LogDay, tmp_path: Path) -> Lake:
    """A copy of it."""
    shutil.copytree(three_days.lake.root, tmp_path / "lake")
    return Lake(str(tmp_path / "lake"))


def build_marts(lake: Lake, *days: str) -> WindowResult:
    return build(DBT_DIR, days_of(*(days or DAYS)), WITHOUT["events"], {"CLICKLAKE_LAKE": lake.url})


def flip_a_bit(lake: Lake, key: str) -> None:
    path = Path(lake.path(key))
    body = bytearray(path.read_bytes())
    body[len(body) // 3] ^= 1
    path.unlink()  # a linked file would change in the lake that this is a copy of
    path.write_bytes(body)


@pytest.mark.slow
def test_f9_a_flipped_bit_in_raw_refuses_its_day_alone(built: Lake) -> None:
    key = logs_of(DAY).raw_file(parse_day(DAY))
    before = {day: built.read_bytes(MART.format(day)) for day in DAYS}
    flip_a_bit(built, key)
    for day in (BEFORE, AFTER):
        built.delete(MART.format(day))
    refused = build_marts(built).refused(days_of(*DAYS))
    assert list(refused) == [parse_day(DAY)]
    assert f"{key} is not what its ledger says (SHA-256). Make it again: clicklake run --from {DAY}" in str(refused)
    assert {day: built.read_bytes(MART.format(day)) for day in DAYS} == before


def test_f8_a_first_publication_that_was_interrupted_is_not_built_on(built: Lake, tmp_path: Path) -> None:
    """Its ledger is absent. In a lake that was written by hand it is of no use."""
    key = logs_of(DAY).raw_file(parse_day(DAY))
    built.delete(logs_of(DAY).ledger_file)
    assert list(local_files(built, [key], tmp_path / "by-hand")) == [key]
    lake_format.check(built, [HASH_KEY])
    with pytest.raises(DamagedError, match=rf"{key} is not what its ledger says .*--from {DAY}"):
        local_files(built, [key], tmp_path / "local")
    assert key in " ".join(Verification(built).run(lambda *_: None).wrong)
    built.put_text("no Parquet", logs_of(DAY).ledger_file)
    assert key in " ".join(Verification(built).run(lambda *_: None).wrong)
    with pytest.raises(DamagedError, match=rf"{key} is not what its ledger says"):
        local_files(built, [key], tmp_path / "broken")


def test_f9_broken_records_of_a_mart_are_written_anew(built: Lake, tmp_path: Path) -> None:
    key = MART.format(DAY)
    record = Mart("daily_aggregates", "report_date")
    built.put_text("no Parquet", record.record_file)
    assert list(local_files(built, [key], tmp_path / "local")) == [key]
    staged = tmp_path / "staged"
    shutil.copy(built.path(key), staged)
    with recorded(built, record, {key: staged}):
        assert files_of_mart(built, record) == {key: [UNRECORDED, FileRecord.of(staged)]}
    assert files_of_mart(built, record) == {key: [FileRecord.of(staged)]}


@pytest.mark.parametrize("arguments", [("verify",), ("upgrade", "--dry-run"), ("rekey", "--dry-run")])
def test_f9_a_place_without_a_lake_is_named(call: Caller, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    place = tmp_path / "no-lake"
    done = call(*arguments, lake=str(place), logs=str(tmp_path), hash_key=HASH_KEY)
    assert (done.returncode, f"There is no lake at {place}." in " ".join(done.stderr.split())) == (2, True), done
    assert not place.exists()


def test_f9_verify_names_the_tables_that_there_are(built: Lake, call: Caller) -> None:
    for unknown in ("nonsense", "raw.daily_aggregates"):
        done = call("verify", unknown, lake=built.url)
        assert done.returncode == 2
        assert f"There is no table {unknown}. One of: marts." in " ".join(done.stderr.split())
    assert call("verify", "MARTS.daily_aggregates", "sessions", lake=built.url).returncode == 0


@pytest.mark.slow
def test_f9_a_broken_record_hides_no_broken_mart(built: Lake, call: Caller) -> None:
    flip_a_bit(built, MART.format(DAY))
    built.put_text("garbage", "records/daily_aggregates/data.parquet")
    done = call("verify", lake=built.url)
    assert (done.returncode, done.stdout.splitlines()[:-1]) == (
        1,
        [
            "wrong: records/daily_aggregates/data.parquet cannot be read, and nothing else tells whether the 3 files "
            f"of daily_aggregates are what was published. Make them again: clicklake run --from {BEFORE} --to {AFTER}"
        ],
    )
    assert build_marts(built).refused(days_of(*DAYS)) == {}
    assert call("verify", lake=built.url).returncode == 0


@pytest.mark.slow
def test_f9_verify_names_a_file_of_a_mart_that_is_gone(built: Lake, call: Caller) -> None:
    key = MART.format(DAY)
    built.delete(key)
    done = call("verify", lake=built.url)
    missing = f"wrong: {key} is missing. Make it again: clicklake run --from {DAY}"
    assert (done.returncode, done.stdout.splitlines()[:-1]) == (1, [missing])
    assert call("verify", "daily_aggregates", "--from", AFTER, lake=built.url).returncode == 0
    built.delete("marts/daily_aggregates")  # all of them
    gone = call("verify", "daily_aggregates", lake=built.url).stdout.splitlines()[:-1]
    assert gone == [missing.replace(DAY, day) for day in DAYS]
    assert build_marts(built).refused(days_of(*DAYS)) == {}
    assert call("verify", lake=built.url).returncode == 0


def test_f9_a_file_of_a_mart_may_be_absent_before_its_first_publication_and_with_its_ledgers(
    built: Lake, tmp_path: Path
) -> None:
    record, new = Mart("daily_aggregates", "report_date"), MART.format("2026-01-14")
    staged = tmp_path / "staged"
    shutil.copy(built.path(MART.format(DAY)), staged)
    built.put_table(built.read_table(logs_of(DAY).ledger_file), logs_of("2026-01-14").ledger_file)
    with pytest.raises(KeyboardInterrupt), recorded(built, record, {new: staged}):
        raise KeyboardInterrupt
    assert Verification(built, ["daily_aggregates"]).run(lambda *_: None).wrong == []
    built.delete(MART.format(DAY))
    built.delete(logs_of(DAY).ledger_folder)
    assert Verification(built, ["daily_aggregates"]).run(lambda *_: None).wrong == []


@pytest.mark.slow
def test_f9_a_flipped_bit_in_a_mart_refuses_the_days_that_read_it(built: Lake) -> None:
    key = MART.format(BEFORE)
    flip_a_bit(built, key)
    refused = build_marts(built, AFTER).refused(days_of(AFTER))
    assert list(refused) == days_of(AFTER)
    assert f"{key} is not what was published (SHA-256). Make it again: clicklake run --from {BEFORE}" in str(refused)
    assert build_marts(built, BEFORE).refused(days_of(BEFORE)) == {}
    assert build_marts(built, AFTER).refused(days_of(AFTER)) == {}


@pytest.mark.slow
def test_f9_verify_names_each_file_that_is_not_what_was_published(built: Lake, call: Caller) -> None:
    done = call("verify", lake=built.url)
    assert (done.returncode, done.stdout.splitlines()[-1].split(" bytes ")[1]) == (0, "read, 0 wrong")
    raw, rejects, day = (
        logs_of(DAY).raw_file(parse_day(DAY)),
        logs_of(AFTER).rejects_file,
        MART.format(AFTER),
    )
    for key in (raw, day):
        flip_a_bit(built, key)
    built.delete(rejects)
    stray = logs_of(AFTER).raw_file(parse_day(BEFORE))
    built.put_table(built.read_table(logs_of(BEFORE).raw_file(parse_day(BEFORE))), stray)
    done = call("verify", lake=built.url)
    assert done.returncode == 1
    assert sorted(done.stdout.splitlines()[:-1]) == sorted(
        [
            f"wrong: {raw} is not what its ledger says (SHA-256). Make it again: clicklake run --from {DAY}",
            f"wrong: {rejects} is missing. Make it again: clicklake run --from {AFTER}",
            f"wrong: {stray} is not what its ledger says (SHA-256). Make it again: clicklake run --from {AFTER}",
            f"wrong: {day} is not what was published (SHA-256). Make it again: clicklake run --from {AFTER}",
        ]
    )
    assert call("verify", "daily_aggregates", "--to", DAY, lake=built.url).returncode == 0
    assert call("verify", "raw.access_logs", "--from", DAY, "--to", DAY, lake=built.url).returncode == 1


EARLY = Path(__file__).parent / "early_lake"  # made by an early version: a day, with its source
EARLY_DAY = "2026-01-12"


@pytest.fixture
def early(tmp_path: Path) -> dict[str, str]:
    shutil.copytree(EARLY, tmp_path / "early")
    folder = tmp_path / "early"
    return {"logs": f"{folder}/source", "lake": f"{folder}/lake", "hash_key": HASH_KEY}


def rows_of(url: str) -> dict[str, pa.Table]:
    """All rows; a ledger also tells when an object was stored, which a copy does not keep."""
    lake = Lake(url)
    keys = [file.key for layer in ("raw", "rejects", "ledger", "marts") for file in lake.files(layer)]
    tables = {key: lake.read_table(key) for key in keys if not key.startswith("marts/dim_")}
    return {key: each.drop_columns(["modified"]) if "ledger" in key else each for key, each in tables.items()}


@pytest.mark.slow
def test_f9_a_lake_of_an_early_version_is_upgraded_by_a_command(
    early: dict[str, str], call: Caller, tmp_path: Path, manifest: None
) -> None:
    """Its rows follow other rules: a request by HEAD counted, and a monitor was a person."""
    before = rows_of(early["lake"])
    said = (
        f"{early['lake']} was written by an early version of Clicklake, whose rows follow other rules. clicklake "
        "upgrade reads its days again; with --dry-run it only says which"
    )
    refused = call("run", "--from", EARLY_DAY, **early)
    assert (refused.returncode, said in " ".join(refused.stderr.split())) == (2, True)
    assert said in " ".join(call("status", **early).stderr.split())
    looked = call("upgrade", "--dry-run", **early)
    assert looked.returncode == 0
    assert looked.stdout.splitlines() == [
        f"1 day ({EARLY_DAY}) would be read again from the source.",
        f"The marts of 1 day ({EARLY_DAY}) would be built again.",
    ]
    assert not Lake(early["lake"]).exists("lake.json")

    done = call("upgrade", **early)
    assert done.returncode == 0, done.stdout + done.stderr
    new = early | {"lake": str(tmp_path / "new")}
    assert call("run", "--from", EARLY_DAY, **new).returncode == 0
    found, expected = rows_of(early["lake"]), rows_of(new["lake"])
    assert same_rows(found, expected)
    assert not found[MART.format(EARLY_DAY)].equals(before[MART.format(EARLY_DAY)])
    assert call("verify", **early).returncode == 0
    assert call("upgrade", **early).stdout.strip().endswith("is of this version already.")


@pytest.mark.slow
def test_f9_an_early_day_whose_objects_are_gone_stays_and_is_named(early: dict[str, str], call: Caller) -> None:
    next(Path(early["logs"]).iterdir()).unlink()
    before = rows_of(early["lake"])
    done = call("upgrade", **early)
    assert done.returncode == 0
    assert (
        f"{EARLY_DAY} stays as the early version made it: 1 object of access_logs gone from the source" in done.stderr
    )
    assert same_rows(rows_of(early["lake"]), before)


def test_f9_runs_wait_for_the_end_of_an_interrupted_upgrade(early: dict[str, str], call: Caller) -> None:
    lake = Lake(early["lake"])
    lake_format.begin_change(lake, [HASH_KEY], lake_format.UPGRADE)
    with pytest.raises(LakeError, match=r"is being changed by clicklake upgrade, which must end first\. Run it again"):
        lake_format.check(lake, [HASH_KEY])
    lake_format.check(lake, [HASH_KEY], lake_format.UPGRADE)


def test_f9_another_key_is_said_in_one_sentence(tmp_path: Path) -> None:
    lake, other = Lake(str(tmp_path)), "another key for tests, long enough"
    lake_format.check(lake, [HASH_KEY])
    told = json.loads(lake.read_bytes("lake.json"))
    assert told == {"format": 2, "key": lake_format.fingerprint([HASH_KEY]), "made_by": version("clicklake")}
    lake_format.check(lake, [HASH_KEY])
    with pytest.raises(SettingsError, match=r"was written with another hash key .* Set CLICKLAKE_HASH_KEY to the lake"):
        lake_format.check(lake, [other])
    lake.put_text(json.dumps(told | {"format": 3}), "lake.json")
    with pytest.raises(LakeError, match="has format 3, and this version of Clicklake knows 2 at most"):
        lake_format.check(lake, [HASH_KEY])
    lake.put_text("{", "lake.json")
    with pytest.raises(LakeError, match=r"cannot be read .*Put the lake's own file back .*Without a copy, delete it"):
        lake_format.check(lake, [HASH_KEY])


def test_f9_without_lake_json_the_key_of_the_ledgers_counts(hashed: tuple[Events, LogDay]) -> None:
    """Such as where the file was cut off, and was deleted as its message says."""
    events, logs = hashed
    lake, other = logs.lake, "another key for tests, long enough"
    take_in(events, logs, lake, IngestOptions(HASH_KEY))
    key = lake_format.fingerprint([HASH_KEY])
    said = f"another hash key .fingerprint {key}, as its ledgers record; its lake.json is missing"
    with pytest.raises(SettingsError, match=said):
        lake_format.check(lake, [other])
    with pytest.raises(SettingsError, match="another hash key"):
        lake_format.begin_change(lake, [other], lake_format.UPGRADE)
    assert not lake.exists("lake.json")
    with pytest.raises(LakeError, match="clicklake rekey changes its rows"):
        lake_format.check(lake, [HASH_KEY, other])
    lake_format.begin_change(lake, [HASH_KEY, other], lake_format.REKEY)
    assert json.loads(lake.read_text("lake.json"))["key"] == key
    lake.delete("lake.json")
    lake_format.check(lake, [HASH_KEY])
    assert json.loads(lake.read_text("lake.json"))["key"] == key
    lake.delete("lake.json")
    rekey.rekey(lake, logs_of(DAY).ledger_file, [NEW_KEY], key, lake_format.fingerprint([HASH_KEY, NEW_KEY]))
    for keys in ([HASH_KEY], [HASH_KEY, NEW_KEY]):
        with pytest.raises(LakeError, match=rf"ledgers are of several hash keys .*{key} in .*Put the lake's own file"):
            lake_format.check(lake, keys)


def test_f9_a_new_lake_is_made_once(lakes: Lakes, tmp_path: Path) -> None:
    """Two first runs with two keys: one makes the lake, and the other is refused."""
    for lake in (lakes.direct, Lake(str(tmp_path))):
        assert [lake.create_text(text, "lake.json") for text in ("one", "two")] == [True, False]
        assert lake.read_text("lake.json") == "one"


NEW_KEY = "the key that comes next, long enough"
HEX_ID = "0123456789abcdef0123456789abcdef"  # an id that was sent, and looks like a keyed hash


@pytest.fixture
def hashed(tmp_path: Path) -> tuple[Events, LogDay]:
    """A day of logs, and one of events with ids of all kinds, in one lake."""
    events, logs = Events(tmp_path), LogDay(tmp_path)
    agent = {"screen": "1920x1080", "userAgent": "Mozilla/5.0 (X11)", "timezone": "UTC", "language": "en"}
    events.write(
        pixel(visitorId="ann@example.org", ip="192.0.2.7", **agent),
        pixel(visitorId=HEX_ID, userId="+44 20 7946 0958", eventId=HEX_ID, timestamp=f"{DAY}T11:00:00.000Z"),
        pixel(visitorId="vis_2", campaignId="ann@example.org", timestamp=f"{AFTER}T00:00:01.000Z"),
    )
    logs.add(log([*lines(20), line(id="after", date=AFTER)]))
    return events, logs


def take_in(events: Events, logs: LogDay, lake: Lake, options: IngestOptions) -> None:
    assert ingest_day(lake, FolderSource(events.folder), events_of(DAY, SITE), options).published
    assert ingest_day(lake, FolderSource(logs.logs), logs_of(DAY), options).published


def change_keys(lake: Lake) -> list[bool]:
    before, after = (lake_format.fingerprint(keys) for keys in ((HASH_KEY,), (HASH_KEY, NEW_KEY)))
    return [rekey.rekey(lake, key, [NEW_KEY], before, after) for key in rekey.ledgers(lake)]


def hashes_in(lake: Lake) -> set[str]:
    """Every value of the lake that is, or looks like, a keyed hash."""
    tables = [lake.read_table(file.key) for file in lake.files("raw")]
    values = {str(value) for table in tables for row in table.to_pylist() for value in row.values()}
    return {value for value in values if re.fullmatch("[0-9a-f]{32}", value)}


@pytest.mark.parametrize("stops_after", [None, *range(7)])
def test_f9_rows_change_to_a_new_key_as_if_they_were_read_with_it(
    hashed: tuple[Events, LogDay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops_after: int | None
) -> None:
    """Also if the change stops after any of its puts and is begun again."""
    events, logs = hashed
    lake, fresh = logs.lake, Lake(str(tmp_path / "fresh"))
    take_in(events, logs, lake, IngestOptions(HASH_KEY))
    take_in(events, logs, fresh, IngestOptions(HASH_KEY, later_keys=(NEW_KEY,)))
    old = hashes_in(lake)
    assert len(old) >= 8
    if stops_after is not None:
        puts = count()

        class StoppingLake(Lake):
            def put(self, local: Path, key: str) -> int:
                if next(puts) == stops_after:
                    raise LakeError("stopped")
                return super().put(local, key)

        with pytest.raises(LakeError, match="stopped"):
            change_keys(StoppingLake(lake.root))
    change_keys(lake)
    assert same_rows(rows_of(lake.root), rows_of(fresh.root))
    assert not old & hashes_in(lake)
    assert len(hashes_in(lake)) == len(old)
    assert Verification(lake).run(lambda *_: None).wrong == []
    assert change_keys(lake) == [False, False]
    assert take_in(events, logs, lake, IngestOptions(HASH_KEY, later_keys=(NEW_KEY,))) is None
    assert same_rows(rows_of(lake.root), rows_of(fresh.root))


def test_f9_an_interrupted_change_of_keys_goes_on_to_no_other_key(
    hashed: tuple[Events, LogDay], call: Caller, tmp_path: Path
) -> None:
    """Neither to a third one, nor back: some rows are of the key to come already."""
    events, logs = hashed
    lake, third = logs.lake, "a third key for tests, long enough"
    lake_format.check(lake, [HASH_KEY])
    take_in(events, logs, lake, IngestOptions(HASH_KEY))
    lake_format.begin_change(lake, [HASH_KEY, NEW_KEY], lake_format.REKEY)
    before, after = (lake_format.fingerprint(keys) for keys in ((HASH_KEY,), (HASH_KEY, NEW_KEY)))
    rekey.rekey(lake, rekey.ledgers(lake)[0], [NEW_KEY], before, after)
    told, rows = lake.read_text("lake.json"), rows_of(lake.root)
    said = f"clicklake rekey of {lake.url} to the key with fingerprint {after} was interrupted. Set CLICKLAKE_HASH_KEY"
    for keys in ([HASH_KEY, third], [HASH_KEY, NEW_KEY, third], [HASH_KEY]):
        settings = {"logs": str(logs.logs), "hash_key": keys[-1], "hash_keys_before": json.dumps(keys[:-1])}
        done = call("rekey", lake=lake.url, **settings)
        assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr
        with pytest.raises(SettingsError, match="was interrupted"):
            lake_format.begin_change(lake, keys, lake_format.REKEY)
    assert (lake.read_text("lake.json"), same_rows(rows_of(lake.root), rows)) == (told, True)
    lake.put_text(json.dumps({**json.loads(told), "becomes": None}), "lake.json")
    with pytest.raises(SettingsError, match="to another key was interrupted"):
        lake_format.look(lake, [HASH_KEY], lake_format.REKEY)
    lake_format.look(lake, [HASH_KEY, NEW_KEY], lake_format.REKEY)
    lake_format.end_change(lake, [HASH_KEY, NEW_KEY])
    assert json.loads(lake.read_text("lake.json")).keys() == {"format", "key", "made_by"}


def test_f9_a_ledger_of_a_third_key_is_named_before_any_is_changed(hashed: tuple[Events, LogDay]) -> None:
    """And what is said to do about it works."""
    events, logs = hashed
    lake = logs.lake
    take_in(events, logs, lake, IngestOptions(HASH_KEY))
    key, third = logs_of(DAY).ledger_file, "a third key for tests, long enough"
    lake.delete(key)
    assert ingest_day(lake, FolderSource(logs.logs), logs_of(DAY), IngestOptions(third)).published
    before, after = (lake_format.fingerprint(keys) for keys in ((HASH_KEY,), (HASH_KEY, NEW_KEY)))
    said = (
        rf"{key} is of a hash key with fingerprint {lake_format.fingerprint([third])}: .* Delete it, and make it again"
    )
    with pytest.raises(DamagedError, match=said):
        rekey.ensure_keys(lake, rekey.ledgers(lake), before, after)
    with pytest.raises(DamagedError, match=said):
        rekey.rekey(lake, key, [NEW_KEY], before, after)
    lake.delete(key)
    assert ingest_day(lake, FolderSource(logs.logs), logs_of(DAY), IngestOptions(HASH_KEY)).published
    rekey.ensure_keys(lake, rekey.ledgers(lake), before, after)
    assert change_keys(lake) == [True, True]


def test_f9_refused_rows_change_to_a_new_key(hashed: tuple[Events, LogDay], tmp_path: Path) -> None:
    _, logs = hashed
    logs.add(log([b"broken"] * 30), "b")
    assert not logs.ingest().published
    (key, _) = rekey.refused_files(logs.lake)
    before = logs.lake.read_table(key)
    after = lake_format.fingerprint((HASH_KEY, NEW_KEY))
    assert rekey.rekey_refused(logs.lake, key, [NEW_KEY], after)
    found = logs.lake.read_table(key)
    hashed_by = keyed_hash(NEW_KEY)
    expected = [hashed_by(value) for value in before.column("ip_hash").to_pylist()]
    assert found.column("ip_hash").to_pylist() == expected
    assert found.drop_columns(["ip_hash", "subnet_hash"]).equals(before.drop_columns(["ip_hash", "subnet_hash"]))
    assert not rekey.rekey_refused(logs.lake, key, [NEW_KEY], after)


@pytest.mark.slow
def test_f9_a_lake_is_changed_to_a_new_key_by_a_command(
    early: dict[str, str], call: Caller, tmp_path: Path, manifest: None
) -> None:
    settings = early | {"lake": str(tmp_path / "lake")}
    assert call("run", "--from", EARLY_DAY, **settings).returncode == 0
    both = settings | {"hash_key": NEW_KEY, "hash_keys_before": json.dumps([HASH_KEY])}
    other = call("run", "--from", EARLY_DAY, **settings | {"hash_key": NEW_KEY})
    assert (other.returncode, "was written with another hash key" in other.stderr) == (2, True)
    waits = call("run", "--from", EARLY_DAY, **both)
    assert (waits.returncode, "clicklake rekey changes its rows" in waits.stderr) == (2, True)
    looked = call("rekey", "--dry-run", **both)
    assert looked.stdout == "1 partition and 0 refused files would be changed, and all marts built again.\n"
    done = call("rekey", **both)
    assert done.returncode == 0, done.stdout + done.stderr
    fresh = both | {"lake": str(tmp_path / "fresh")}
    assert call("run", "--from", EARLY_DAY, **fresh).returncode == 0
    assert same_rows(rows_of(settings["lake"]), rows_of(fresh["lake"]))
    assert call("run", "--from", EARLY_DAY, **both).returncode == 0
    assert call("rekey", **both).stdout.strip().endswith("is of CLICKLAKE_HASH_KEY already.")
    assert "was written with another hash key" in call("run", "--from", EARLY_DAY, **settings).stderr
    assert NEW_KEY not in done.stdout + done.stderr
