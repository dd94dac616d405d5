"""Runs dbt's commands, in processes that never outlive the process that started them.

dagster-dbt's `DbtCliResource.cli` is not used. It runs `dbt --version` and makes an adapter before each command, which
takes as long as the command. And if a run is killed, its dbt goes on, and publishes while the next run already does.

Loading dbt is a fifth of the work of a small day. One process, the loader, loads dbt once, prepares what each command
would make again (`dbt_ahead.py`), and forks for each command:

    this process ── socket ── loader ── socket ── command

The loader has one thread, because it forks. What starts threads is loaded in the command. If asked ahead, the loader
forks before the command is known, and the fork loads that meanwhile.

A process that ends closes its sockets, even after `kill -9`. The loader then ends its command, and a command ends
itself. This process learns the command's exit status from the loader.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any, NoReturn

from orchestration.garbage import collect_seldom
from orchestration.places import PROJECT_DIR, dbt_target

PARSED = "partial_parse.msgpack"  # dbt's state of the last parsing
TEMPLATES = "clicklake_templates"  # next to it, the compiled templates of that project
# What a build of the project loads, and loads threads with it. No file of the project itself, which may be another one.
_WITH_THREADS = (
    "ingest.lake.records",
    "ingest.partition.local_files",
    "ingest.rules.rules",
    "pyarrow.parquet",
    "scipy.sparse.csgraph",
)
_PREPARE, _COMMAND = b"p", b"c"  # what the loader is told; a command's output goes with the latter
_LINES_SHOWN = 8


@dataclass(frozen=True)
class Finished:
    """The result of a dbt command.

    status: its exit status, or minus the signal's number if a signal ended it.
    output: its warnings and errors, one JSON object a line.
    """

    status: int
    output: str

    def errors(self) -> str:
        """The last errors, or the last lines if there is no error, as one line."""
        lines = [_message(line) for line in self.output.splitlines()]
        errors = [text for is_error, text in lines if is_error and text] or [text for _, text in lines if text]
        return " ".join(" ".join(text.split()) for text in errors[-_LINES_SHOWN:])


def run_dbt(
    project: Path,
    arguments: Sequence[str],
    target: Path,
    environment: Mapping[str, str] | None = None,
    keeps_templates: bool = False,
) -> Finished:
    """Runs `dbt <arguments>` and waits for its end. If the wait is interrupted, dbt is ended too.

    Args:
        target: folder for dbt's artifacts; dbt's state of the last parsing is copied there.
        environment: Clicklake's variables for dbt. This process's own are not passed on, because they hold secrets.
        keeps_templates: whether to compile the project's templates into the target folder afterwards.
    """
    parsed = dbt_target() / PARSED
    if parsed.exists() and not (target / PARSED).exists():
        shutil.copy(parsed, target)
    variables = (
        _inherited()
        | {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target), "DBT_LOG_FORMAT": "json"}
        | {"DBT_LOG_LEVEL": "warn", "DBT_LOG_LEVEL_FILE": "none", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        | dict(environment or {})
    )
    templates = str(target) if keeps_templates else None
    return run_loaded(
        {"arguments": list(arguments), "folder": str(project), "environment": variables, "templates": templates}
    )


def load_dbt() -> None:
    """Starts to load dbt, so that it is ready for the next command. Does not wait."""
    with _lock:
        _loader().prepare()


def run_loaded(command: Mapping[str, Any]) -> Finished:
    """Runs one command at a time. `command` holds dbt's `arguments`, the `folder` to run in, its `environment`, and
    `templates`: the folder for compiled templates, or None."""
    with _lock:
        loader = _loader()
        try:
            return loader.run(command)
        except BaseException:
            loader.close()
            raise


@cache
def versions() -> str:
    """The versions of dbt, jinja2 and Python's bytecode; files that other versions wrote are not used."""
    found = [f"{name} {version(name)}" for name in ("dbt-core", "dbt-common", "dbt-duckdb", "jinja2")]
    return " ".join([*found, MAGIC_NUMBER.hex()])


def _inherited() -> dict[str, str]:
    search_path = os.pathsep.join(filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")]))
    mine = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    return mine | {"PYTHONPATH": search_path}


def _message(line: str) -> tuple[bool, str]:
    try:
        info = json.loads(line)["info"]
        return info["level"] == "error", str(info["msg"])
    except (ValueError, TypeError, KeyError):
        return False, line


# ---- in the process that starts commands ----


class _Loader:
    """The loader, as the process that started it sees it."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(dbt_target())],
                env=_inherited(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the starter, which then ends this
            )
        self._answers = self._socket.makefile("rb")
        self._of = os.getpid()

    def is_usable(self) -> bool:
        return self._of == os.getpid() and self._process.poll() is None

    def prepare(self) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # dbt could not be loaded; the command will tell
            self._socket.sendall(_PREPARE)

    def run(self, command: Mapping[str, Any]) -> Finished:
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8", errors="replace") as output:
            try:
                with suppress(BrokenPipeError, ConnectionResetError):  # dbt could not be loaded; see below
                    socket.send_fds(self._socket, [_COMMAND], [writing])
                    self._socket.sendall(json.dumps(command).encode() + b"\n")
            finally:
                os.close(writing)
            said = output.read()
        with suppress(ConnectionResetError):
            if status := self._answers.readline():
                return Finished(int(status), said)
        assert self._process.stderr is not None
        said += self._process.stderr.read().decode("utf-8", "replace")
        return Finished(self._process.wait() or 1, said)

    def close(self) -> None:
        """Ends the loader and its command."""
        if self._of != os.getpid():
            return
        self._answers.close()
        self._socket.close()
        self._process.terminate()  # works while it loads dbt; later the closed socket ends its command, then it
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()


_lock = threading.Lock()
_loaders: list[_Loader] = []


def _loader() -> _Loader:
    if not (_loaders and _loaders[0].is_usable()):
        _close()
        _loaders[:] = [_Loader()]
    return _loaders[0]


@atexit.register
def _close() -> None:
    for loader in _loaders:
        loader.close()


# ---- in the loader, and in a command ----


def _serve(starter: socket.socket, refresh: Callable[[], None]) -> dict[str, Any]:
    """Forks for each command that the starter sends, or ahead of it. Returns only in the forked process, with the
    command."""
    asked = starter.makefile("rb")
    child, mine = 0, starter  # 0: none is waiting for its command
    while True:
        told, outputs, _, _ = socket.recv_fds(starter, 1, 1)
        if not told:
            os._exit(0)
        if child and os.waitpid(child, os.WNOHANG)[0]:
            child = 0
        if not child:
            refresh()
            mine, its = socket.socketpair()
            child = os.fork()
            if not child:
                for each in (mine, asked, starter):
                    each.close()
                for output in outputs:
                    os.close(output)
                return _become_what_comes(its, told == _PREPARE, refresh)
            its.close()
        if told == _COMMAND:
            _hand_over(asked.readline(), outputs[0], mine)
            ready, _, _ = select.select([starter, mine], [], [])
            if starter in ready:  # the starter sends nothing while a command runs, so it has ended
                os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            mine.close()
            child = 0
            starter.sendall(b"%d\n" % status)


def _hand_over(command: bytes, output: int, to: socket.socket) -> None:
    """Sends a command and what it writes to. If the receiver has ended, its exit status tells."""
    with suppress(BrokenPipeError, ConnectionResetError):
        socket.send_fds(to, [_COMMAND], [output])
        to.sendall(command)
    os.close(output)


def _become_what_comes(loader: socket.socket, is_ahead: bool, refresh: Callable[[], None]) -> dict[str, Any]:
    """Turns the process that was just forked into the command that the loader sends; returns the command."""
    for name in _WITH_THREADS if is_ahead else ():
        with suppress(ImportError):  # the command itself tells
            importlib.import_module(name)
    told, outputs, _, _ = socket.recv_fds(loader, 1, 1)
    if not told:
        os._exit(1)
    command: dict[str, Any] = json.loads(loader.makefile("rb").readline())
    refresh()  # the files may have changed since the fork
    for stream in (sys.stdout, sys.stderr):
        os.dup2(outputs[0], stream.fileno())
    os.close(outputs[0])
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tempfile.tempdir = None  # it was chosen by the loader's environment
    threading.Thread(target=_end_with, args=(loader,), name="loader", daemon=True).start()
    return command


def _end_with(loader: socket.socket) -> None:
    loader.recv(1)
    os._exit(1)


def _status_of(run: Callable[[], object]) -> int:
    """Runs a function; returns the exit status that Python would give."""
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end(status: int) -> NoReturn:
    """Ends as Python does, but drops the memory as a whole: freeing dbt's objects takes time, and DuckDB complains
    about memory that it shares with the loader."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main() -> NoReturn:
    collect_seldom()
    importlib.import_module("dbt.adapters.duckdb")
    from dbt.cli.main import cli

    from orchestration.marts.dbt_ahead import Ahead, write_templates

    ahead = Ahead(Path(sys.argv[2]))
    ahead.begin()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # from here on it ends when the starter's socket closes
    command = _serve(socket.socket(fileno=int(sys.argv[1])), ahead.refresh)
    status = _status_of(lambda: cli(command["arguments"]))
    if command.get("templates") and not status:
        status = _status_of(lambda: write_templates(Path(command["templates"])))
    _end(status)


if __name__ == "__main__":
    main()
