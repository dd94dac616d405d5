"""One dbt command as a process of its own that never outlives its starter. What it builds is not known here.

Not dagster-dbt's `DbtCliResource.cli`: it asks for `dbt --version` and makes an adapter before each command, which
takes as long as the command; and were a run killed, dbt would go on, and publish while the next run already does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestration.places import PROJECT_DIR, dbt_target

PARSED = "partial_parse.msgpack"  # what dbt knows of earlier parsing
_LINES_SHOWN = 8


@dataclass(frozen=True)
class Finished:
    """How dbt ended, and what it said: a JSON object a line."""

    status: int
    output: str

    def errors(self) -> str:
        """Its errors, else its last lines, as one line."""
        lines = [_message(line) for line in self.output.splitlines()]
        errors = [text for is_error, text in lines if is_error and text] or [text for _, text in lines if text]
        return " ".join(" ".join(text.split()) for text in errors[-_LINES_SHOWN:])


def run_dbt(
    project: Path, arguments: Sequence[str], target: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Runs `dbt <arguments>` and waits for its end; whatever interrupts the waiting ends dbt too.

    Args:
        target: where dbt writes its artifacts; what it knows of the last parsing of the project is used.
        environment: Clicklake's variables for dbt; of this process's own, which hold secrets, it gets none.
    """
    parsed = dbt_target() / PARSED
    if parsed.exists() and not (target / PARSED).exists():
        shutil.copy(parsed, target)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    search_path = os.pathsep.join(filter(None, [str(PROJECT_DIR), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, *arguments],
        cwd=project,
        env=inherited
        | {"PYTHONPATH": search_path, "DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target)}
        | {"DBT_LOG_FORMAT": "json", "DBT_LOG_LEVEL_FILE": "none", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        | dict(environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # Ctrl-C is for the starter, which then ends this
    ) as process:
        assert process.stdout is not None
        try:
            output = process.stdout.read()  # not communicate(), which would close the standard input at once
            return Finished(process.wait(), output)
        except BaseException:
            process.kill()
            raise


def _message(line: str) -> tuple[bool, str]:
    try:
        info = json.loads(line)["info"]
        return info["level"] == "error", str(info["msg"])
    except (ValueError, TypeError, KeyError):
        return False, line


def _end_with_starter() -> None:
    """The starter holds the other end of standard input: however it ends, `kill -9` included, the system closes it."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, name="starter", daemon=True).start()
    from dbt.cli.main import cli

    cli()
