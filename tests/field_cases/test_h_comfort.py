"""What a newcomer meets first: documented commands, an installed wheel, changed models, a lake without a target."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import dagster as dg
import pytest

from ingest.days import parse_day
from ingest.errors import SettingsError
from orchestration.home import dagster_home
from orchestration.marts.project import fingerprint, parse_command
from orchestration.publishing.target import ready
from orchestration.publishing.targets import TARGETS
from orchestration.settings import load_settings
from tests.environment_fixtures import ROOT
from tests.log_lines import FIELDS, LogDay, line, log
from tests.partitions import logs_of
from tests.unit.test_docs import DOCS, MAKEFILE, PAGES, blocks, shell_words

PACKAGES = ("ingest", "orchestration", "demo", "dbt_project")
BIN = Path(sys.executable).parent
DAY = "2026-01-12"
SAID = "Nothing is written to MongoDB: CLICKLAKE_MONGODB_URL is not set"


def bare(**variables: object) -> dict[str, str]:
    """The environment of a newcomer, who has set nothing but these; commands are on the path."""
    kept = {name: value for name, value in os.environ.items() if not re.match("CLICKLAKE_|DAGSTER_|DBT_|PYTHON", name)}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "COLUMNS": "200"} | {name: str(value) for name, value in variables.items()}


def run(*command: object, cwd: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(
        words, cwd=cwd, env=bare(**variables), capture_output=True, text=True, timeout=1800, check=False
    )


# H2. The runbook's commands: tests/e2e/test_runbook.py; `clicklake dev`: tests/e2e/test_ui.py.


def test_h2_make_docs_needs_nothing() -> None:
    done = run("make", "docs", "-o", "setup", f"BIN={BIN}", cwd=ROOT)

    assert (done.returncode, done.stderr) == (0, "")
    page = (ROOT / ".clicklake" / "docs" / "static_index.html").read_text("utf-8")
    for file in (ROOT / "dbt_project" / "models" / "marts").glob("*.sql"):
        assert f'"model.clicklake.{file.stem}"' in page
    assert "Clicklake's models" in page


def test_h2_an_empty_home_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))

    assert dagster_home() == tmp_path

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
        assert not instance.is_ephemeral


def test_h2_plain_dagster_dev_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from orchestration.home import warn_of_a_passing_home

    monkeypatch.setenv("DAGSTER_IS_DEV_CLI", "1")
    monkeypatch.setattr("dagster.get_dagster_logger", lambda: __import__("logging").getLogger("seen"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    warn_of_a_passing_home()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    warn_of_a_passing_home()
    said = [record.getMessage() for record in caplog.records]
    assert [text.endswith("Start it with `clicklake dev`") for text in said] == [True, True]
    assert "runs are forgotten" in said[0]

    dagster_home()
    warn_of_a_passing_home()
    assert len(caplog.records) == 2


def test_h2_clicklake_dev_names_the_settings_that_it_lacks(tmp_path: Path) -> None:
    done = run(BIN / "clicklake", "dev", cwd=tmp_path, DAGSTER_HOME=tmp_path / "home")
    assert (done.returncode, "CLICKLAKE_LAKE is not set" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_h2_every_program_of_the_docs_comes_along_or_is_named_as_yours() -> None:
    """A newcomer has what the set-up brings, and the tools of the place that a page is about."""
    yours = {"aws", "cat", "cd", "curl", "docker", "export", "git", "jq", "kubectl", "mkdir", "python", "pip", "make"}
    for page in PAGES:
        for words in shell_words(page):
            program = words[0]
            if program in yours or (BIN / program).exists():
                continue
            folder = DOCS.parent if program.startswith("deploy/") else DOCS.parent / "deploy" / "compose"
            assert (folder / program).exists(), (page.name, words)


# H3.


@dataclass(frozen=True)
class Installed:
    """A wheel's files in a folder of their own, away from the checkout, and what is written for them."""

    folder: Path
    home: Path

    def models(self) -> set[str]:
        """What the definitions' manifest has, in a fresh process."""
        done = run(sys.executable, "-c", MODELS, cwd=self.home, **self.variables)
        assert done.returncode == 0, done.stderr
        found, names = done.stdout.splitlines()
        assert Path(found).is_relative_to(self.folder)
        return set(json.loads(names))

    @property
    def variables(self) -> dict[str, object]:
        return {"PYTHONPATH": self.folder, "PYTHONDONTWRITEBYTECODE": 1, "XDG_CACHE_HOME": self.home / "cache"}

    @property
    def passing(self) -> Path:
        """A model that nothing depends on."""
        return self.folder / "dbt_project" / "models" / "staging" / "passing.sql"

    def files(self) -> set[Path]:
        return {path for path in self.folder.rglob("*") if path.is_file()}


MODELS = """
import json
from orchestration.marts import project
print(project.__file__)
print(json.dumps([node["name"] for node in project.manifest()["nodes"].values() if node["resource_type"] == "model"]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    made = Installed(tmp_path_factory.mktemp("installed"), tmp_path_factory.mktemp("home"))
    with ZipFile(wheel) as archive:
        archive.extractall(made.folder)
    made.passing.write_text("select 1 as one")
    return made


def test_h3_the_wheel_holds_what_the_checkout_holds(wheel: Path) -> None:
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES, cwd=ROOT)
    if listed.returncode:
        pytest.skip("no git checkout")
    expected = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {"orchestration/dagster.yaml", "dbt_project/profiles.yml", "ingest/events/schemas/pixel.v1.json"} <= found


def test_h3_an_installed_package_is_not_written_to(installed: Installed) -> None:
    before = installed.files()

    models = installed.models()

    assert {"daily_aggregates", "int_identity_graph"} <= models
    assert installed.files() == before
    assert list((installed.home / "cache" / "clicklake").rglob("manifest.json")) != []


def test_h3_what_the_demo_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from demo import services

    services.check_installed()
    monkeypatch.setattr(services, "PACKAGES", {"moto[server]": "no_such_moto", "nx-27017": "nx_27017"})
    with pytest.raises(SettingsError, match=re.escape("moto[server]: pip install 'clicklake[demo]' installs them")):
        services.check_installed()


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_h3_the_demo_runs_from_a_wheel_in_a_new_environment(wheel: Path, tmp_path: Path) -> None:
    """Needs a package index. Without the extra one sentence; with it the whole demo."""
    venv = tmp_path / "venv"
    clicklake = venv / "bin" / "clicklake"
    assert run(sys.executable, "-m", "venv", venv, cwd=tmp_path).returncode == 0
    assert run(venv / "bin" / "pip", "install", wheel, cwd=tmp_path).returncode == 0
    without = run(clicklake, "demo", cwd=tmp_path, XDG_CACHE_HOME=tmp_path / "cache")
    assert (without.returncode, without.stderr.count("\n")) == (2, 1)
    assert "pip install 'clicklake[demo]'" in without.stderr

    assert run(venv / "bin" / "pip", "install", f"clicklake[demo] @ file://{wheel}", cwd=tmp_path).returncode == 0
    done = run(clicklake, "demo", cwd=tmp_path, XDG_CACHE_HOME=tmp_path / "cache")
    assert done.returncode == 0, done.stderr


# H4.


def changed(file: str, text: str) -> Callable[[Path], object]:
    return lambda project: (project / file).write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda project: (project / "models" / "b.sql").unlink(),
        lambda project: (project / "models" / "b.sql").rename(project / "models" / "c.sql"),
        changed("models/a.sql", "select 2 as one"),
        changed("models/_a.yml", "models: [{name: a, description: B}]"),
        changed("models/p.py", "def model(dbt, session):\n    return 2\n"),
        changed("seeds/s.csv", "a\n2\n"),
        changed("macros/m.sql", "{% macro m() %}2{% endmacro %}"),
        changed("dbt_project.yml", "vars: {days: 2}"),
        changed("models/new.sql", "select 1"),
    ],
    ids=["deleted", "renamed", "model", "properties", "python", "seed", "macro", "variable", "new"],
)
def test_h4_whatever_a_manifest_is_made_of_is_noticed(change: Callable[[Path], object], tmp_path: Path) -> None:
    """Also where a file's time and size stay as they were."""
    files = {
        "dbt_project.yml": "vars: {days: 1}",
        "models/a.sql": "select 1 as one",
        "models/b.sql": "select 1",
        "models/_a.yml": "models: [{name: a, description: A}]",
        "models/p.py": "def model(dbt, session):\n    return 1\n",
        "seeds/s.csv": "a\n1\n",
        "macros/m.sql": "{% macro m() %}1{% endmacro %}",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = fingerprint(tmp_path)

    change(tmp_path)
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (0, 0))

    assert fingerprint(tmp_path) != before


def test_h4_what_dbt_and_python_leave_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: x")
    before = fingerprint(tmp_path)

    for name in ("target/manifest.json", "logs/dbt.log", "models/__pycache__/p.pyc", ".user.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    assert fingerprint(tmp_path) == before


def test_h4_a_deleted_model_is_gone_at_the_next_load(installed: Installed) -> None:
    models = installed.models()
    assert "passing" in models

    installed.passing.unlink()

    assert installed.models() == models - {"passing"}


def test_h4_a_file_that_comes_or_goes_has_the_whole_project_parsed_again(tmp_path: Path) -> None:
    """Partial parsing has kept the manifest as it was before such a change."""
    model = tmp_path / "model.sql"
    model.write_text("select 1")
    before = fingerprint(tmp_path)
    model.write_text("select 2")
    changed = fingerprint(tmp_path)
    (tmp_path / "_model.yml").write_text("version: 2")
    added = fingerprint(tmp_path)

    assert parse_command(before, changed) == ["parse"]
    assert parse_command(changed, added) == parse_command(added, changed) == ["parse", "--no-partial-parse"]
    assert parse_command(None, before) == ["parse", "--no-partial-parse"]


def test_h4_types_are_checked_against_the_python_that_runs() -> None:
    """Packages of a newer Python have stubs that an older one's grammar cannot read."""
    section = (ROOT / "pyproject.toml").read_text("utf-8").split("[tool.mypy]")[1].split("\n[")[0]
    assert "python_version" not in section


# H5 and H6: the page's own try, on folders and without MongoDB.


@dataclass(frozen=True)
class Tried:
    """The page's commands, run as they stand in a folder of a newcomer's own."""

    folder: Path
    stdout: str
    stderr: str

    def call(self, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        return run(BIN / "clicklake", *arguments, cwd=self.folder, **self.settings, **variables)

    @property
    def settings(self) -> dict[str, object]:
        (line,) = re.findall(r"^export (CLICKLAKE_LOGS=.*)$", TRY, re.MULTILINE)
        given = dict(word.split("=", 1) for word in line.split())
        return given | {"DAGSTER_HOME": self.folder / "dagster"}


PAGE = DOCS / "access-logs.md"
(TRY,) = (block for block in blocks(PAGE, "sh") if "clicklake run" in block)


@pytest.fixture(scope="module")
def tried(manifest: None, tmp_path_factory: pytest.TempPathFactory) -> Tried:
    folder = tmp_path_factory.mktemp("newcomer")
    done = run("bash", "-e", "-c", TRY, cwd=folder, DAGSTER_HOME=folder / "dagster")
    assert done.returncode == 0, done.stdout + done.stderr
    return Tried(folder, done.stdout, done.stderr)


@pytest.fixture
def settings(tried: Tried, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same settings in this process."""
    for name in [name for name in os.environ if name.startswith("CLICKLAKE_")]:
        monkeypatch.delenv(name)
    for name, value in tried.settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(tried.folder)


def test_h6_the_page_shows_what_its_commands_say(tried: Tried) -> None:
    (shown,) = re.findall(r"The two queries say:\n\n```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert tried.stdout.endswith(shown)


def test_h6_the_page_says_what_a_log_without_user_agents_becomes(tmp_path: Path) -> None:
    day = LogDay(tmp_path)
    fields = [name for name in FIELDS if name != "cs(User-Agent)"]
    day.add(log([line(fields, path="/pxl.png", id="a")], fields))
    assert day.ingest().published
    (is_robot,) = day.lake.read_table(logs_of(DAY).raw_file(parse_day(DAY)))["is_bot"].to_pylist()
    (shown,) = re.findall(r"^\| `cs\(User-Agent\)` \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    said = {True: "every request is taken for a robot's", False: "no robot can be told: its requests count as valid"}
    assert shown == said[is_robot]


def test_h6_the_redirect_leads_to_listed_hosts_alone() -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("no node to run the page's JavaScript")
    (function,) = blocks(PAGE, "js")
    given = {
        "https%3A%2F%2Fshop.example.com%2Fa%3Fb%3D1%26c%3Da%2526b": "https://shop.example.com/a?b=1&c=a%26b",
        "https%3A%2F%2Fshop.example.com": "https://shop.example.com",
        "https%3A%2F%2Fshop.example.com%3Ax%40evil.example%2F": None,
        "https%3A%2F%2Fshop.example.com%5C%40evil.example": None,
        "https%3A%2F%2Fshop.example.com.evil.example%2F": None,
        "https%3A%2F%2Fevil.example%2F%3Fshop.example.com": None,
        "https%3A%2F%2Fshop.example.com%2F%0d%0aset-cookie%3Ax": None,
        "http%3A%2F%2Fshop.example.com%2F": None,
        "%2F%2Fevil.example": None,
        "%E0%A4%A": None,
        "": None,
    }
    ask = "r => { const a = handler({request: {querystring: {r: {value: r}}}}); return [a.statusCode, a.headers] }"
    done = run(node, "-e", f"{function}\nconsole.log(JSON.stringify({json.dumps(list(given))}.map({ask})))", cwd=ROOT)
    answers = json.loads(done.stdout)
    assert len(answers) == len(given)
    for target, (status, headers) in zip(given.values(), answers, strict=True):
        assert status == (302 if target else 404)
        assert headers.get("location", {}).get("value") == target
        assert headers["cache-control"]["value"] == "no-store"


def test_h5_run_builds_marts_and_says_once_that_nothing_is_published(tried: Tried) -> None:
    assert tried.stderr.count(SAID) == 1
    assert re.search(rf"{DAY}.* published", tried.stdout)
    assert "failed" not in tried.stdout + tried.stderr


# A target that is set but wrong fails as ever: tests/e2e/test_cli_errors.py.
def test_h5_no_publish_is_said_in_advance(settings: None, capsys: pytest.CaptureFixture[str]) -> None:
    from orchestration.cli.pipeline import publishes_to

    assert [words for words in shell_words(ROOT / "README.md") if "--no-publish" in words] != []
    assert (publishes_to(load_settings(), no_publish=True), capsys.readouterr().err) == (False, "")
    assert (publishes_to(load_settings(), no_publish=False), SAID in capsys.readouterr().err) == (False, True)


def test_h5_status_says_not_published(tried: Tried) -> None:
    done = tried.call("status")
    assert done.returncode == 0, done.stderr
    assert "not published" in done.stdout
    assert "unknown" not in done.stdout


def test_h5_an_empty_url_is_none(settings: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKLAKE_MONGODB_URL", "")
    assert not ready(TARGETS, load_settings())


def test_h5_the_ui_shows_a_run_that_published_nothing(settings: None) -> None:
    from orchestration.definitions import defs

    with dg.DagsterInstance.ephemeral() as instance:
        ran = defs.resolve_job_def("publish").execute_in_process(
            instance=instance,
            partition_key=DAY,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
        assert ran.success
        said = [entry.message for entry in instance.all_logs(ran.run_id) if SAID in entry.message]
        assert len(said) == 1  # of campaigns only where there are events
        assert ran.get_asset_materialization_events() == []


def test_h5_the_sensor_asks_for_nothing_and_keeps_its_place(settings: None) -> None:
    from orchestration.definitions import defs
    from orchestration.marts.known import DAILY_AGGREGATES

    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(DAILY_AGGREGATES.name, partition=DAY))
        with dg.build_sensor_context(
            instance=instance, definitions=defs, resources={"lakehouse": defs.resources["lakehouse"]}
        ) as context:
            ticked = defs.resolve_sensor_def("published_marts").evaluate_tick(context)
    assert ticked.run_requests == []
    assert ticked.skip_message == SAID
    assert ticked.cursor is None


def test_h5_folders_in_settings_may_be_relative(tried: Tried) -> None:
    """dbt is started elsewhere; the lake is where the command was called."""
    assert (tried.folder / "try" / "lake" / "marts" / "daily_aggregates" / f"report_date={DAY}").is_dir()
    assert not (ROOT / "dbt_project" / "try").exists()


def test_h2_the_commands_of_make_are_explained() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()
    assert sorted(targets) == sorted(phony)
