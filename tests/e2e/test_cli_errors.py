"""What goes wrong before anything runs: one sentence that says what to do, exit status 2, no traceback, no secret."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.environment_fixtures import DAYS, SECRET, Caller, Environment

RUN = ("run", "--from", DAYS[0])
COMMANDS = ("run", "query", "status", "services", "demo")
CLOSED_PORT = "127.0.0.1:9"
QUICK = "serverSelectionTimeoutMS=300"  # seconds of waiting are not what is tested


@dataclass(frozen=True)
class Case:
    """A command with settings that differ; what it has to say. {folder} is the test's."""

    says: str
    arguments: tuple[str, ...] = RUN
    settings: dict[str, str | None] = field(default_factory=dict)


CASES = {
    "unknown setting": Case(
        r"CLICKLAKE_HASHKEY is no setting\. Did you mean CLICKLAKE_HASH_KEY\?", settings={"hashkey": SECRET}
    ),
    "setting like no other": Case(r"CLICKLAKE_QQQQQ is no setting\. See docs/settings\.md", settings={"qqqqq": "1"}),
    "short hash key": Case(
        r"CLICKLAKE_HASH_KEY: is shorter than 16 bytes, .* Make one: openssl rand", settings={"hash_key": SECRET[:9]}
    ),
    "missing settings": Case(
        r"CLICKLAKE_LAKE is not set\. .*folder\.\nNeither CLICKLAKE_LOGS nor CLICKLAKE_EVENTS is set\. .*folder\.\n"
        r"CLICKLAKE_HASH_KEY is not set\. .*openssl rand -base64 48\.$",
        settings={"lake": None, "logs": None, "hash_key": None},
    ),
    "no number": Case(r"CLICKLAKE_WORKERS: must be a whole number, such as 7", settings={"workers": "many"}),
    "no date": Case(r"CLICKLAKE_FIRST_DAY: must be a day such as 2026-01-12", settings={"first_day": "spring"}),
    "no url of S3": Case(
        r"CLICKLAKE_S3_ENDPOINT_URL: must be a URL, such as https://", settings={"s3_endpoint_url": "nowhere"}
    ),
    "no url of MongoDB": Case(
        r"CLICKLAKE_MONGODB_URL: must start with mongodb://", settings={"mongodb_url": f"http://a:{SECRET}@b"}
    ),
    "broken url of MongoDB": Case(
        r"CLICKLAKE_MONGODB_URL is no url .* Write mongodb://user:password@host",
        settings={"mongodb_url": f"mongodb://user:{SECRET}/x@{CLOSED_PORT}/"},
    ),
    "unreachable MongoDB": Case(
        rf"MongoDB at {CLOSED_PORT}, connecting: no answer\. Is it running",
        settings={"mongodb_url": f"mongodb://user:{SECRET}@{CLOSED_PORT}/?{QUICK}"},
    ),
    "unreachable S3": Case(
        rf"listing s3://.*: EndpointConnectionError\. Is http://{CLOSED_PORT} reachable\?",
        settings={"s3_endpoint_url": f"http://{CLOSED_PORT}"},
    ),
    "missing bucket": Case(
        r"listing s3://no-such-bucket/logs/: no such bucket\. Correct CLICKLAKE_LOGS, or create no-such-bucket",
        settings={"logs": "s3://no-such-bucket/logs"},
    ),
    "missing folder of logs": Case(
        r"/no/such/folder: no such folder\. Set CLICKLAKE_LOGS", settings={"logs": "/no/such/folder"}
    ),
    "logs of another kind": Case(r"CLICKLAKE_LOGS: must be a folder or s3://", settings={"logs": "gs://bucket/logs"}),
    "lake of another kind": Case(r"CLICKLAKE_LAKE: must be a folder or s3://", settings={"lake": "https://lake"}),
    "lake in a file": Case(
        r"a file is in the way of a folder\. Correct CLICKLAKE_LAKE", settings={"lake": "{folder}/file"}
    ),
    "lake in a missing bucket": Case(
        r"s3://no-such-bucket/lake: no such bucket\. Create it, or correct CLICKLAKE_LAKE",
        settings={"lake": "s3://no-such-bucket/lake"},
    ),
    "no rules": Case(
        r"CLICKLAKE_RULES is .*/none, and there is neither rules\.yml nor a table in it\. Correct the setting",
        settings={"rules": "{folder}/none"},
    ),
    "no rules to show": Case(r"there is neither rules\.yml nor a table", ("rules",), {"rules": "{folder}/none"}),
    "rules of another kind": Case(
        r"CLICKLAKE_RULES: must be a folder or s3://", ("rules",), {"rules": "https://example.com/rules"}
    ),
    "unknown fingerprint": Case(r"holds no rules of fingerprint abc", ("rules", "--diff", "abc")),
    "future day": Case(
        r"2999-01-01 lies in the future; the last day that can be run is today", ("run", "--from", "2999-01-01")
    ),
    "days in the wrong order": Case(
        rf"--to {DAYS[0]} lies before --from {DAYS[1]}", ("run", "--from", DAYS[1], "--to", DAYS[0])
    ),
    "day before the first": Case(
        r"1999-01-01 lies before the first partition, .* CLICKLAKE_FIRST_DAY", ("run", "--from", "1999-01-01")
    ),
    "no day": Case(r"'2026-02-30' does not match the format", ("run", "--from", "2026-02-30")),
    "missing day": Case(r"Missing option '--from'", ("run",)),
    "unknown command": Case(r"No such command 'runn'", ("runn",)),
    "status without its logs": Case(
        r"no such bucket\. Correct CLICKLAKE_LOGS", ("status",), {"logs": "s3://no-such-bucket/logs"}
    ),
    "query without a lake": Case(r"CLICKLAKE_LAKE is not set", ("query", "select 1"), {"lake": None}),
    "bad SQL": Case(r"Parser Error: syntax error at or near \"selec\"", ("query", "selec 1")),
    "unknown table": Case(
        r"(?s)Table with name nothing does not exist.* holds no table yet", ("query", "from marts.nothing")
    ),
    "unknown format": Case(
        r"'xml' is not one of 'table', 'csv', 'json', 'parquet'", ("query", "select 1", "--format", "xml")
    ),
    "output that cannot be written": Case(
        r"Writing /no/such/folder/x: No such file or directory\n",
        ("query", "select 1", "--format", "csv", "-o", "/no/such/folder/x"),
    ),
    "missing program": Case(
        r"no-such-program cannot be run", ("services", "--data-dir", "{folder}/data", "--", "no-such-program")
    ),
    "demo in a used folder": Case(
        r"holds something other than a demo\. Name an empty folder", ("demo", "--folder", "{folder}")
    ),
}


# These are processes, as people start them; the others call the same `main` in this one, which saves a minute.
PROCESSES = ("unknown setting", "unreachable S3")


@pytest.fixture(scope="module")
def environment(shared_environment: Environment) -> Environment:
    """One for all: nothing may be run in it. Its folder holds a file."""
    (shared_environment.folder / "file").touch()
    return shared_environment


@pytest.fixture(scope="module")
def ended(environment: Environment) -> dict[str, subprocess.CompletedProcess[str]]:
    """The cases that are processes, run at once: most of their time is the start of Python."""

    def run(name: str) -> subprocess.CompletedProcess[str]:
        arguments, settings = _filled(CASES[name], environment)
        return environment.command(*arguments, **settings)

    with ThreadPoolExecutor(len(PROCESSES)) as pool:
        return dict(zip(PROCESSES, pool.map(run, PROCESSES), strict=True))


def _filled(case: Case, environment: Environment) -> tuple[list[str], dict[str, str | None]]:
    """Arguments and settings of a case, with the test's folder in them."""
    folder = str(environment.folder)
    settings = {name: value and value.replace("{folder}", folder) for name, value in case.settings.items()}
    return [each.replace("{folder}", folder) for each in case.arguments], settings


def _assert_is_a_sentence(case: Case, done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 2, done.stderr
    assert re.search(case.says, done.stderr), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(("clicklake: ", "Error: "))]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize("name", PROCESSES)
def test_a_mistake_ends_a_process_with_a_sentence(
    ended: dict[str, subprocess.CompletedProcess[str]], name: str
) -> None:
    _assert_is_a_sentence(CASES[name], ended[name])


@pytest.mark.parametrize("name", sorted(CASES.keys() - set(PROCESSES)))
def test_a_mistake_ends_in_a_sentence(environment: Environment, call: Caller, name: str) -> None:
    arguments, settings = _filled(CASES[name], environment)
    _assert_is_a_sentence(CASES[name], call(*arguments, **settings))


def test_nothing_was_run(environment: Environment) -> None:
    assert environment.contents() == {}
    assert environment.documents() == []
    assert not (environment.home / "history").exists()


@pytest.mark.parametrize(
    "command", [(), *((name,) for name in COMMANDS)], ids=lambda each: " ".join(each) or "clicklake"
)
def test_help_needs_no_settings(call: Caller, command: tuple[str, ...]) -> None:
    done = call(*command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: ")
    if not command:
        assert all(re.search(rf"^  {name} +\S", done.stdout, re.MULTILINE) for name in COMMANDS)
        assert all(re.search(rf"^    {status} +\S", done.stdout, re.MULTILINE) for status in (0, 1, 2, 130))
