"""Broken files, hostile names and hostile SQL: what reads the lake stays whole, and reads nothing else."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from demo.services import S3Service
from ingest.lake.files import Lake
from ingest.lake.s3 import S3Options
from ingest.lake.views import create_views
from ingest.shown import shown, shown_lines
from ingest.source import FolderSource
from orchestration.settings import Settings
from tests.environment_fixtures import HASH_KEY
from tests.log_lines import LogDay, line, lines, log
from tests.partitions import days_of

DAY = "2026-01-12"
HOSTILE = "\x1b]8;;http://evil.example\x07[bold red]\u202eexe.\x9b31m\r\n[/link] \\[x]\\"
Query = Callable[..., Result]


@pytest.fixture
def day(tmp_path: Path) -> LogDay:
    """A lake with a published day of logs, and a later one that was refused."""
    day = LogDay(tmp_path)
    day.add(log([*lines(99), line(id="next", date="2026-01-13"), b"broken"]))
    assert day.ingest().published
    day.add(log([b"broken"] * 200), "late")
    assert not day.ingest().published
    return day


@pytest.fixture
def run(day: LogDay, monkeypatch: pytest.MonkeyPatch) -> Query:
    """Runs `clicklake …` in this process on the lake; gives what was written to the standard output and error."""
    monkeypatch.chdir(day.logs)
    return lambda *arguments: call(monkeypatch, day.lake.url, str(day.logs), *arguments)


def call(patch: pytest.MonkeyPatch, lake: str, logs: str, *arguments: str) -> Result:
    from orchestration.cli import cli

    for name, value in (("LAKE", lake), ("LOGS", logs), ("HASH_KEY", HASH_KEY)):
        patch.setenv(f"CLICKLAKE_{name}", value)
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture(autouse=True)
def printed(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed through rich, which holds on to the standard output of its start."""
    from orchestration.cli.console import console, notes

    buffer = io.StringIO()
    for each in (console, notes):
        monkeypatch.setattr(each, "_file", buffer)
    return buffer


# F6: SQL of somebody else's.

OUTSIDE = (
    "from read_text('/etc/passwd')",
    "from read_text('/proc/self/environ')",
    "from read_text('file:///etc/passwd')",
    "from read_csv('/dev/stdin')",
    "from '/etc/passwd'",
    "from glob('/etc/*')",
    "from sniff_csv('/etc/passwd')",
    "from read_text('{lake}/../outside.txt')",
    "from read_text('{lake}/link/outside.txt')",
    "from read_parquet('{lake}/marts/linked/data.parquet')",
    "from read_text('https://example.com/')",
    "from read_text('s3://bucket/key')",
    "select getenv('CLICKLAKE_HASH_KEY')",
    "copy (select 1) to '{lake}/raw/access_logs/x.csv'",
    "copy (select 1) to '{outside}'",
    "copy (pivot (select 1 as a, 2 as b) on a using sum(b)) to '{lake}/x.csv'",
    "explain analyze copy (select 1) to '{lake}/x.csv'",
    "/* */ explain (analyze) copy (select 1) to '{lake}/x.csv'",
    "select 1; copy (select 1) to '{lake}/x.csv'",
    "prepare p as copy (select 1) to '{lake}/x.csv'",
    "export database '{lake}/exported'",
    "import database '{lake}/exported'",
    "attach '{lake}/x.duckdb' as x",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "reset lock_configuration",
    "pragma enable_profiling",
    "create persistent secret (type http)",
    "call enable_logging(storage = 'file', storage_path = '{lake}/log')",
    "from query('copy (select 1) to ''{lake}/x.csv''')",
    "from lake",  # a variable of this program
)


@pytest.mark.parametrize("sql", OUTSIDE)
def test_f6_a_query_reads_the_lake_and_nothing_else(day: LogDay, run: Query, tmp_path: Path, sql: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("secret")
    pq.write_table(pa.table({"a": ["secret"]}), tmp_path / "secret.parquet")
    (tmp_path / "lake" / "link").symlink_to(tmp_path)
    (tmp_path / "lake" / "marts" / "linked").mkdir(parents=True)
    (tmp_path / "lake" / "marts" / "linked" / "data.parquet").symlink_to(tmp_path / "secret.parquet")
    before = contents(tmp_path)
    done = run("query", sql.format(lake=day.lake.url, outside=outside), "--format", "json")
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit), done.exception
    assert "secret" not in done.stdout
    assert contents(tmp_path) == before


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


INSIDE = (
    "from raw.access_logs limit 1",
    "with a as (select 1 as b) from a",
    "pivot (select 1 as a, 2 as b) on a using sum(b)",
    "explain select 1",
    "explain analyze select 1",
    "describe raw.access_logs",
    "summarize raw.access_logs",
    "show all tables",
    "use raw; from access_logs limit 1",
    "set variable a = 1; select getvariable('a')",
    "create macro twice(x) as 2 * x; select twice(4)",
    "create temp table a as from range(3); select sum(range) from a",
    "select 1 -- copy to '/x'",
    "from read_parquet('{lake}/raw/access_logs/*/*/data.parquet') limit 1",
)


@pytest.mark.parametrize("sql", INSIDE)
def test_f6_what_reads_is_answered(day: LogDay, run: Query, sql: str) -> None:
    done = run("query", sql.format(lake=day.lake.url), "--format", "json")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()


def test_f6_a_lake_in_s3_is_read_below_its_prefix_alone(tmp_path: Path, s3_client: Any, s3_service: S3Service) -> None:
    local = LogDay(tmp_path)
    local.add(log(lines(3)))
    local.ingest()
    s3_bucket = "read-only-test"
    s3_client.create_bucket(Bucket=s3_bucket)
    options = S3Options(
        s3_service.endpoint_url, s3_service.region, s3_service.access_key_id, s3_service.secret_access_key
    )
    lake = Lake(f"s3://{s3_bucket}/lake", options)
    for file in local.lake.files("raw"):
        s3_client.put_object(Bucket=s3_bucket, Key=f"lake/{file.key}", Body=local.lake.read_bytes(file.key))
    for key in ("outside.txt", "lake2/outside.txt"):
        s3_client.put_object(Bucket=s3_bucket, Key=key, Body=b"secret")
    with lake.connect_for_reading() as connection:
        assert create_views(lake, connection).names[-1] == "raw.access_logs"
        assert connection.execute("select count(*) from raw.access_logs").fetchall() == [(3,)]
        for sql in (
            f"from read_text('s3://{s3_bucket}/outside.txt')",
            f"from read_text('s3://{s3_bucket}/lake2/outside.txt')",
            f"from read_text('s3://{s3_bucket}/lake/../outside.txt')",
            f"from read_text('s3://{s3_bucket}/lake/x/../../outside.txt')",
            f"from glob('s3://{s3_bucket}/*')",
            f"copy (select 1) to 's3://{s3_bucket}/lake/x.csv'",
            "from read_text('/etc/passwd')",
        ):
            with pytest.raises((duckdb.Error, PermissionError)):
                connection.execute(sql)
    stored = s3_client.list_objects_v2(Bucket=s3_bucket)["Contents"]
    assert not [each for each in stored if each["Key"].endswith(".csv")]


FORMULAS = ("=cmd|'/c calc'!A1", "+SUM(1)", "-1+cmd()", "@SUM(1)", "\t=1", "\r=1", "＝1+1", "+44 20 7946")
HARMLESS = ("plain", "-12.5", "+3", "1e5", "a=b", "", "'quoted", "https://x.example/?a=b")


def test_f6_text_that_a_spreadsheet_takes_for_a_formula_is_neutralised(run: Query) -> None:
    values = ", ".join("(" + "'" + each.replace("'", "''") + "', -1)" for each in (*FORMULAS, *HARMLESS))
    sql = f'select t as "=header", n from (values {values}) v(t, n)'
    header, *rows = csv.reader(io.StringIO(run("query", sql, "--format", "csv").stdout, newline=""))
    assert header == ["'=header", "n"]
    assert [row[0] for row in rows] == [*(f"'{each}" for each in FORMULAS), *HARMLESS]
    assert {row[1] for row in rows} == {"-1"}
    _, *rows = csv.reader(io.StringIO(run("query", sql, "--format", "csv", "--raw").stdout, newline=""))
    assert [row[0] for row in rows] == [*FORMULAS, *HARMLESS]


# F5: names from outside.


def test_f5_shown_text_is_one_line_without_any_control_character() -> None:
    for text in (HOSTILE, "\x00\x07\x08\x7f\x85\u2028\u2029\ufeff\ud800", "a\tb\vc"):
        assert shown(text).isprintable(), text
    assert shown("Straße 日本 👍 a\u00a0b [x] \\") == "Straße 日本 👍 a\u00a0b [x] \\"
    assert shown_lines("a\x1b[2J\nb\u202e") == "a\\x1b[2J\nb\\u202e"


def test_f5_names_are_shown_escaped_by_every_command(
    day: LogDay, run: Query, printed: io.StringIO, tmp_path: Path
) -> None:
    site, table = f"shop{HOSTILE}", f"events{HOSTILE}"
    reasons = [{"check": HOSTILE, "message": HOSTILE, "figures": {HOSTILE: HOSTILE}}]
    folder = "quarantine/sessions/day=2026-01-13"
    record = {"table": table, "day": "2026-01-13", "site": site, "reasons": reasons}
    day.lake.put_text(json.dumps(record), f"{folder}/verdict.json")
    day.lake.put_table(pa.table({HOSTILE: [HOSTILE]}), f"{folder}/rows/data.parquet")
    day.add(log([b"broken" + HOSTILE.encode()] * 300), HOSTILE.replace("/", "").replace("\n", "").replace("\r", ""))
    day.ingest()
    texts = []
    for arguments in (
        ("quarantine", "list"),
        ("quarantine", "list", "--json"),
        ("quarantine", "show", "2026-01-13", "--table", "sessions"),
        ("quarantine", "show", DAY, "--table", "access_logs"),
        ("status",),
        ("tables",),
        ("query", "from quarantine.verdicts"),
        ("query", "from quarantine.sessions"),
        ("describe", "quarantine.sessions"),
        ("query", f"select '{HOSTILE}' as \"{HOSTILE}\""),
        ("query", f'from "{HOSTILE}"'),
    ):
        done = run(*arguments)
        assert done.exit_code == 0 or "x1b" in done.output, (arguments, done.output)
        texts.append(done.output)
    everything = "".join(texts) + printed.getvalue()
    assert [each for each in everything if not each.isprintable() and each != "\n"] == []
    assert "\\x1b]8;;http://evil.example\\x07[bold red]\\u202eexe." in everything  # as it is, not taken for markup


def test_f5_only_the_console_prints() -> None:
    """What goes around it would go around the escaping."""
    folder = Path(__file__).parents[2] / "orchestration" / "cli"
    for path in folder.glob("*.py"):
        text = path.read_text("utf-8")
        assert "markup=True" not in text, path
        assert path.name == "console.py" or " print(" not in text, path


# F4: broken files.

BROKEN = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda _: b"",
    "foreign": lambda _: b"%PDF-1.7 this is no Parquet file, whatever its name says",
    "without its footer": lambda content: content[:-8] + b"\x00" * 8,
}


@pytest.mark.parametrize("how", BROKEN)
def test_f4_a_broken_file_costs_its_table_alone(day: LogDay, run: Query, printed: io.StringIO, how: str) -> None:
    key = f"raw/access_logs/event_date=2026-01-13/source_date={DAY}/data.parquet"
    path = Path(day.lake.path(key))
    path.write_bytes(BROKEN[how](path.read_bytes()))

    done = run("query", "select sum(rows_read) from ledger.access_logs", "--format", "csv")
    assert done.stdout.splitlines()[-1] == "101"
    done = run("query", "select count(*) from raw.access_logs where event_date = '2026-01-12'")
    assert done.exit_code != 0
    assert "raw.access_logs: " in done.output
    assert str(path) in done.output
    assert "Run its day again" in done.output
    assert "Traceback" not in done.output
    run("tables")
    assert "unreadable" in printed.getvalue()
    assert str(path) in printed.getvalue()
    assert run("describe", "ledger.access_logs").exit_code == 0
    assert run("status").exit_code == 0
    assert run("quarantine", "list").exit_code == 0


def test_f4_quarantined_days_of_different_levels_are_one_table(day: LogDay, run: Query) -> None:
    rows = pa.table({"event_id": ["a"], "new": [1]})
    for folder in (
        "day=2026-01-12/rows",
        "day=2026-01-13/site=7/rows/event_date=2026-01-13",
        "day=2026-01-14/site=b/rows",
    ):
        day.lake.put_table(rows, f"quarantine/events/{folder}/data.parquet")
    sql = "select day::varchar, site, event_date::varchar, typeof(site) from quarantine.events order by day"
    done = run("query", sql, "--format", "csv")
    assert done.exit_code == 0, done.output
    assert list(csv.reader(io.StringIO(done.stdout)))[1:] == [
        ["2026-01-12", "", "", "VARCHAR"],
        ["2026-01-13", "7", "2026-01-13", "VARCHAR"],
        ["2026-01-14", "b", "", "VARCHAR"],
    ]


def test_f4_a_broken_ledger_is_shown_beside_the_other_days_and_its_day_is_news(
    day: LogDay, run: Query, printed: io.StringIO
) -> None:
    from orchestration.operations.lateness import days_with_news

    day.add(log(lines(3, date="2026-01-13")), day="2026-01-13")
    day.ingest(day="2026-01-13")
    source = {"access_logs": FolderSource(day.logs)}
    assert list(days_with_news(day.lake, source, days_of("2026-01-13"))) == []
    ledger = Path(day.lake.path("ledger/access_logs/source_date=2026-01-13/data.parquet"))
    ledger.write_bytes(ledger.read_bytes()[:100])
    assert run("status").exit_code == 0
    text = printed.getvalue()
    row = next(each for each in text.splitlines() if each.startswith("│ 2026-01-13"))
    assert "unreadable" in row
    assert f"2026-01-13 access_logs: reading {ledger}: no whole Parquet file" in text
    assert "refused" in next(each for each in text.splitlines() if each.startswith(f"│ {DAY}"))
    assert list(days_with_news(day.lake, source, days_of(DAY, "2026-01-13"))) == days_of("2026-01-13")
    assert day.ingest(day="2026-01-13").published  # what is advised helps
    assert list(days_with_news(day.lake, source, days_of(DAY, "2026-01-13"))) == []


@pytest.mark.parametrize("broken", [b"", b"{", b"[1]", b"null", b'{"table": "events"}', b"\xff\xfe", b'{"reasons": 1}'])
def test_f4_a_broken_verdict_hides_no_other(day: LogDay, run: Query, printed: io.StringIO, broken: bytes) -> None:
    from orchestration.alerts.rule import Look
    from orchestration.alerts.rules.refused import refused

    path = Path(day.lake.path("quarantine/events/day=2026-01-14/site=shop.example/verdict.json"))
    path.parent.mkdir(parents=True)
    path.write_bytes(broken)
    assert run("quarantine", "list").exit_code == 0
    text = printed.getvalue()
    assert "verdict_readable" in next(each for each in text.splitlines() if each.startswith("│ 2026-01-14"))
    assert "reject_share" in next(each for each in text.splitlines() if each.startswith(f"│ {DAY}"))
    settings = Settings(lake=day.lake.url, logs=str(day.logs), hash_key=HASH_KEY)  # type: ignore[arg-type]
    with dg.DagsterInstance.ephemeral() as instance:
        found = refused(Look(settings, instance, dt.datetime.now(dt.UTC), dt.date(2026, 1, 15)))
    alerts = {alert.subject: alert.text for alert in found}
    assert set(alerts) == {"raw_access_logs", "raw_events/shop.example"}
    assert f"{path} cannot be read" in alerts["raw_events/shop.example"]
    done = run("release", "2026-01-14", "--table", "events", "--site", "shop.example", "--reason", "why")
    assert "nobody knows why it was refused" in done.output
    assert str(path) in done.output
    done = run("query", "from quarantine.verdicts")
    assert done.exit_code == 0 or str(path) in done.output
    done = run("tables")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "ledger.access_logs" in printed.getvalue()
    assert "Traceback" not in done.output


def test_f4_a_broken_release_releases_nothing(day: LogDay, run: Query) -> None:
    path = Path(day.lake.path(f"releases/access_logs/day={DAY}/2026.json"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"{ broken")
    assert not day.ingest().published
    assert str(path) in run("query", "from quarantine.releases").output
    assert run("query", "from quarantine.verdicts").exit_code == 0
