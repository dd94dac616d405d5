"""The services of deploy/compose as processes, without a container engine: their commands, checks, dagster.yaml and
workspace.yaml, on a PostgreSQL of the test's own. A day is built through the run queue."""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.environment_fixtures import FIRST, ROOT, Environment, good, mart_key
from tests.waiting import PATIENCE, free_port, wait_until

pytestmark = pytest.mark.slow

COMPOSE = ROOT / "deploy" / "compose"
SERVICES = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))["services"]
HOME_IN_IMAGE = "/opt/dagster/home"
DAY = FIRST.isoformat()
PASSWORD = "only-for-this-test"
LAUNCH = """
mutation ($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def wait_for(what: str, is_so: Callable[[], Any]) -> Any:
    found = wait_until(is_so)
    assert found, f"{what} did not come about in {PATIENCE} s"
    return found


@contextmanager
def process(command: Sequence[str | Path], log: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, by its own means first."""
    with log.open("ab") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, **options)
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL with an empty database, as the variables of dagster.yaml."""
    if importlib.util.find_spec("dagster_postgres") is None:
        pytest.skip("dagster-postgres is not installed: pip install -r requirements-deploy.lock")
    programs = [shutil.which(name) for name in ("initdb", "postgres")]
    if None in programs:
        pytest.skip("PostgreSQL is not installed: there is no initdb or postgres on the PATH")
    user = user_of_postgres()
    folder = Path(tempfile.mkdtemp(prefix="clicklake-postgres-"))  # pytest's folders are closed to other users
    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                os.chown(path, user.pw_uid, user.pw_gid)
        as_user: dict[str, Any] = (
            {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder} if user else {}
        )
        data = folder / "data"
        login = ["--username=dagster", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256"]
        subprocess.run([programs[0], "-D", data, *login, "--no-sync"], check=True, capture_output=True, **as_user)
        port = free_port()
        command = [programs[1], "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        with process(command, tmp_path / "postgres.log", **as_user):
            settings = {
                "DAGSTER_PG_HOST": "127.0.0.1",
                "DAGSTER_PG_PORT": str(port),
                "DAGSTER_PG_USERNAME": "dagster",
                "DAGSTER_PG_PASSWORD": PASSWORD,
                "DAGSTER_PG_DB": "postgres",
            }
            wait_for("PostgreSQL", lambda: rows(settings, "select 1"))
            yield settings
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def user_of_postgres() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as, since it refuses to be root; none is needed for everybody else."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("the tests run as root, and there is no user postgres to run PostgreSQL as")


def rows(settings: dict[str, str], query: str) -> list[Any]:
    import psycopg2

    try:
        connection = psycopg2.connect(
            host=settings["DAGSTER_PG_HOST"],
            port=settings["DAGSTER_PG_PORT"],
            user=settings["DAGSTER_PG_USERNAME"],
            password=settings["DAGSTER_PG_PASSWORD"],
            dbname=settings["DAGSTER_PG_DB"],
        )
    except psycopg2.OperationalError:
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())
    finally:
        connection.close()


class Deployment:
    """The services of compose.yaml as processes on loopback, each with the variables that compose gives it."""

    def __init__(self, environment: Environment, postgres: dict[str, str]) -> None:
        self.folder = environment.folder
        self.home = environment.home
        self.home.mkdir()
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(COMPOSE / name, self.home)
        self.ports = {port: str(free_port()) for port in ("3000", "4000", "9464")}
        self.values = environment.settings | postgres
        self.values |= {"DAGSTER_COMPUTE_LOGS": str(self.folder / "logs"), "TMPDIR": str(self.folder)}
        self.values |= {"DAGSTER_CODE_HOST": "127.0.0.1", "DAGSTER_CODE_PORT": self.ports["4000"]}
        self.values |= {"CLICKLAKE_LAKE": f"s3://{environment.bucket}/lake", "CLICKLAKE_FIRST_DAY": DAY}
        self.values |= {"CLICKLAKE_DUCKDB_TEMP_DIRECTORY": str(self.folder)}

    def variables(self, service: str) -> dict[str, str]:
        kept = ("PATH", "HOME", "LANG")
        mine = {name: self.values[name] for name in SERVICES[service]["environment"] if name in self.values}
        return {name: os.environ[name] for name in kept if name in os.environ} | mine | {"DAGSTER_HOME": str(self.home)}

    def words(self, command: Sequence[str]) -> list[str]:
        """A command of compose.yaml for this machine: programs of this environment, loopback, free ports."""
        found = [word.replace(HOME_IN_IMAGE, str(self.home)).replace("0.0.0.0", "127.0.0.1") for word in command]
        for inside, outside in self.ports.items():
            found = [word.replace(inside, outside) for word in found]
        return [str(Path(sys.executable).with_name(found[0])), *found[1:]]

    def start(self, service: str) -> Any:
        log = self.folder / f"{service}.log"
        return process(self.words(SERVICES[service]["command"]), log, env=self.variables(service), cwd=ROOT)

    def is_healthy(self, service: str) -> bool:
        """Whether the service's own check says so."""
        kind, *command = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(
            self.words(command),
            env=self.variables(service),
            cwd=ROOT,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode == 0

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        url = f"http://127.0.0.1:{self.ports['3000']}/graphql"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=PATIENCE) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]


def test_the_services_of_compose_build_a_day_through_the_queue(
    environment: Environment, postgres: dict[str, str]
) -> None:
    environment.put(good(DAY))
    deployment = Deployment(environment, postgres)
    with ExitStack() as stack:
        stack.enter_context(deployment.start("code-location"))
        wait_for("a healthy code location", lambda: deployment.is_healthy("code-location"))
        for service in ("webserver", "daemon", "metrics"):
            stack.enter_context(deployment.start(service))
        wait_for("a healthy webserver", lambda: deployment.is_healthy("webserver"))

        selector = {
            "jobName": "daily_build",
            "repositoryName": "__repository__",
            "repositoryLocationName": "clicklake",
        }
        tags = [{"key": "dagster/partition", "value": DAY}]
        parameters = {"selector": selector, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        launched = deployment.ask(LAUNCH, parameters=parameters)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]

        ended = wait_for("the end of the run", lambda: ended_as(deployment, run_id))
        for service in ("daemon", "metrics"):
            wait_for(f"healthy: {service}", lambda service=service: deployment.is_healthy(service))

    assert ended == "SUCCESS", (deployment.folder / "code-location.log").read_text()[-4000:]
    keys = [entry["Key"] for entry in environment.s3.list_objects_v2(Bucket=environment.bucket)["Contents"]]
    assert f"lake/{mart_key(DAY)}" in keys
    assert rows(postgres, "select run_id, status from runs") == [(run_id, "SUCCESS")]
    assert list((deployment.folder / "logs").rglob("*.err")) != []


def ended_as(deployment: Deployment, run_id: str) -> str | None:
    status = deployment.ask(STATUS, id=run_id)["runOrError"]["status"]
    return str(status) if status in ("SUCCESS", "FAILURE", "CANCELED") else None
