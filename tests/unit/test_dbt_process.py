"""dbt's commands end with whoever started them, and say how they ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.marts import dbt_process
from orchestration.marts.dbt_process import Finished, load_dbt, run_loaded
from orchestration.places import dbt_target
from tests.environment_fixtures import ROOT, dbt_forks_of, dbt_processes_of

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path)


def write_project(tmp_path: Path) -> Path:
    """One model, whose compilation takes for ever where SLOW is set."""
    (tmp_path / "models").mkdir()
    wait = "{% if env_var('SLOW', '') and execute %}{% for n in range(99999) %}{% for m in range(99999) %}"
    (tmp_path / "models" / "one.sql").write_text(wait + "{% endfor %}{% endfor %}{% endif %}select 1 as n")
    (tmp_path / "dbt_project.yml").write_text("name: small\nconfig-version: 2\nprofile: small\nversion: 1.0.0\n")
    outputs = "small: {target: t, outputs: {t: {type: duckdb, path: ':memory:', threads: 1}}}\n"
    (tmp_path / "profiles.yml").write_text(outputs)
    return tmp_path


def run(project: Path, *arguments: str, **variables: str) -> Finished:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    return run_loaded({"arguments": list(arguments), "folder": str(project), "environment": environment | variables})


@pytest.fixture
def at_work(project: Path) -> Iterator[tuple[int, list[Finished]]]:
    """A command that does not end by itself, and, once it has been ended, how."""
    ended: list[Finished] = []
    thread = threading.Thread(target=lambda: ended.append(run(project, "compile", SLOW="yes")))
    thread.start()
    while not (found := dbt_processes_of(os.getpid())):
        time.sleep(0.02)
    yield found[0], ended
    thread.join()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_commands_follow_one_another_in_one_loader(project: Path) -> None:
    first = run(project, "compile")
    loader = dbt_process._loaders[0]
    second = run(project, "compile", "--select", "no_such_model", "--no-such-option")
    assert (first.status, second.status) == (0, 2), first.output
    assert "No such option" in second.output
    assert "Compiled node" not in second.output
    assert "leaked" not in first.output + second.output
    assert dbt_process._loaders[0] is loader
    assert dbt_processes_of(os.getpid()) == []


def forked_ahead() -> int:
    """The process that waits for the next command."""
    load_dbt()
    while not (found := dbt_forks_of(os.getpid())):
        time.sleep(0.02)
    (waiting,) = found
    return waiting


def test_a_command_becomes_the_process_that_was_forked_ahead(project: Path) -> None:
    waiting = forked_ahead()
    assert forked_ahead() == waiting  # asked twice
    assert dbt_processes_of(os.getpid()) == []
    finished = run(project, "compile")
    assert finished.status == 0, finished.output
    assert not is_alive(waiting)
    assert dbt_forks_of(os.getpid()) == []


def test_a_killed_process_that_was_forked_ahead_harms_no_command(project: Path) -> None:
    waiting = forked_ahead()
    os.kill(waiting, signal.SIGKILL)
    while is_alive(waiting):
        time.sleep(0.02)
    assert run(project, "compile").status == 0


def test_a_process_that_was_forked_ahead_ends_with_its_starter() -> None:
    waiting = forked_ahead()
    dbt_process._close()
    while is_alive(waiting):
        time.sleep(0.02)


@pytest.fixture(scope="module")
def parsed_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project, and a loader that holds what dbt knows of its parsing."""
    folder = tmp_path_factory.mktemp("parsed")
    write_project(folder)
    (folder / "macros").mkdir()
    (folder / "macros" / "two.sql").write_text("{% macro two() %}2{% endmacro %}")
    columns = "{{ two() }} as two, '{{ env_var('TOWN', 'none') }}' as town"
    (folder / "models" / "one.sql").write_text("{{ config(alias=var('alias', 'one')) }}select " + columns)
    (folder / "models" / "other.sql").write_text("select * from {{ ref('one') }}")
    target = folder / "target"
    target.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt_process, "dbt_target", lambda: target)
        dbt_process._close()
        done = dbt_process.run_dbt(folder, ["parse"], target, keeps_templates=True)
        assert done.status == 0, done.output
        yield folder
    dbt_process._close()


def edit(path: str, text: str) -> Callable[[Path], object]:
    return lambda project: (project / path).write_text(text)


def compiled(project: Path, target: Path, *arguments: str, **variables: str) -> str:
    """What the model `other` is on, or else why there is nothing."""
    target.mkdir()
    command = ["--no-use-colors", "compile", "--no-populate-cache", *arguments]
    done = dbt_process.run_dbt(project, command, target, variables)
    files = [path for path in target.rglob("*.sql") if path.parent.name == "models"]
    return "\n".join([path.read_text() for path in sorted(files)] + [done.output])


@pytest.mark.parametrize(
    ("change", "arguments", "variables", "expected"),
    [
        (str, (), {}, "2 as two, 'none' as town"),
        (edit("models/one.sql", "select 3 as three"), (), {}, "select 3 as three"),
        (edit("macros/two.sql", "{% macro two() %}22{% endmacro %}"), (), {}, "22 as two"),
        (edit("models/new.sql", "select 4 as four"), (), {}, "select 4 as four"),
        (str, ("--vars", "{alias: renamed}"), {}, '"renamed"'),
        (str, (), {"TOWN": "Berlin"}, "'Berlin' as town"),
        (lambda project: (project / "models" / "one.sql").unlink(), (), {}, "depends on a node named 'one'"),
    ],
    ids=["nothing", "model", "macro", "new model", "variable", "environment", "deleted model"],
)
def test_what_has_changed_since_the_last_parsing_is_seen(
    change: Callable[[Path], object],
    arguments: tuple[str, ...],
    variables: dict[str, str],
    expected: str,
    parsed_once: Path,
    tmp_path: Path,
) -> None:
    project = shutil.copytree(parsed_once, tmp_path / "project")
    change(project)
    loader = dbt_process._loaders[0]
    assert expected in compiled(project, tmp_path / "target", *arguments, **variables)
    assert dbt_process._loaders[0] is loader


@pytest.mark.parametrize("name", [dbt_process.PARSED, dbt_process.TEMPLATES])
def test_what_cannot_be_read_of_the_last_parsing_is_made_anew(name: str, parsed_once: Path, tmp_path: Path) -> None:
    path = parsed_once / "target" / name
    good = path.read_bytes()
    path.write_bytes(b"broken")
    try:
        assert "2 as two" in compiled(parsed_once, tmp_path / "target")
    finally:
        path.write_bytes(good)
    assert "2 as two" in compiled(parsed_once, tmp_path / "again")


def test_what_is_made_ahead_is_used_and_starts_no_thread(manifest: None) -> None:
    code = """
import os, sys
from pathlib import Path
from orchestration.marts import dbt_ahead
target = Path(sys.argv[1])
ahead = dbt_ahead.Ahead(target)
ahead.begin()
assert len(os.listdir("/proc/self/task")) == 1
dbt_ahead._read_manifest = dbt_ahead._compile = None
parsed = (target / dbt_ahead.PARSED).read_bytes()
made = dbt_ahead.Manifest.from_msgpack(parsed)
for macro in made.macros.values():
    dbt_ahead.get_environment().compile(macro.macro_sql)
try:
    dbt_ahead.Manifest.from_msgpack(parsed)
except TypeError:
    print("once", made.metadata.project_name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, dbt_target()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout == "once clicklake\n", done.stderr


def test_a_command_that_is_killed_tells_its_signal_and_the_next_one_runs(
    project: Path, at_work: tuple[int, list[Finished]]
) -> None:
    command, ended = at_work
    os.kill(command, signal.SIGKILL)
    assert run(project, "compile").status == 0
    assert [finished.status for finished in ended] == [-signal.SIGKILL]


def test_a_command_ends_with_its_loader_and_the_next_one_runs(
    project: Path, at_work: tuple[int, list[Finished]]
) -> None:
    command, ended = at_work
    os.kill(dbt_process._loaders[0]._process.pid, signal.SIGKILL)
    assert run(project, "compile").status == 0
    assert [finished.status for finished in ended] == [-signal.SIGKILL]
    assert not is_alive(command)


def test_what_keeps_dbt_from_being_loaded_is_told(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dbt").mkdir()
    (tmp_path / "dbt" / "__init__.py").write_text("raise ImportError('a broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for loader in dbt_process._loaders:
        loader.close()
    load_dbt()
    finished = run(project, "compile")
    assert finished.status != 0
    assert "a broken installation" in finished.errors()


def test_nothing_is_left_of_a_starter_that_is_killed(project: Path) -> None:
    code = (
        "import sys, json; from orchestration.marts.dbt_process import run_loaded; run_loaded(json.loads(sys.argv[1]))"
    )
    command = {"arguments": ["compile"], "folder": str(project), "environment": dict(os.environ) | {"SLOW": "yes"}}
    with subprocess.Popen([sys.executable, "-c", code, json.dumps(command)], cwd=ROOT) as starter:
        while not (found := dbt_processes_of(starter.pid)):
            time.sleep(0.02)
        starter.kill()
    while is_alive(found[0]):
        time.sleep(0.02)
