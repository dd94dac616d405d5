"""What `clicklake query` writes goes where the shell has it go."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shlex
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.environment_fixtures import CLICKLAKE
from tests.waiting import PATIENCE

BEFORE = "what stood there\n"


def shell(folder: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    """Runs a line of bash in which `query` is `clicklake query` on an empty lake."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CLICKLAKE_")}
    return subprocess.run(
        ["bash", "-c", f'set -o pipefail; query() {{ {shlex.quote(CLICKLAKE)} query "$@"; }}; {script}'],
        env=variables | {"CLICKLAKE_LAKE": str(folder / "lake")},
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )


def test_a5_output_is_appended_and_several_commands_share_a_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_text(BEFORE)
    done = shell(
        tmp_path,
        "query 'select 1 as a' --format csv >> f && ( query 'select 2 as b' --format json; "
        "query 'select 3 as c' --format table ) >> f && ( query 'select 4 as d' --format csv; echo end ) > g && "
        "query 'select 5 as e' --format parquet >> h && query 'select 6 as f' --format csv | cat >> f",
    )
    assert done.returncode == 0, done.stderr
    kept, header, one, two, *rest = (tmp_path / "f").read_text().splitlines()
    assert (kept + "\n", header, one, json.loads(two)) == (BEFORE, "a", "1", {"b": 2})
    assert rest[-2:] == ["f", "6"]
    assert any("3" in line for line in rest)
    assert (tmp_path / "g").read_text() == "d\n4\nend\n"
    assert pq.read_table(tmp_path / "h").to_pylist() == [{"e": 5}]


def test_a5_a_full_device_is_an_error_and_a_closed_pipe_is_none(tmp_path: Path) -> None:
    done = shell(tmp_path, "query 'select 1' --format csv > /dev/full")
    assert done.returncode == 2
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr
    done = shell(tmp_path, "query 'select uuid()::varchar from range(50000)' --format csv | head -c 4")
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 4, b"")


def test_a5_parquet_is_not_written_to_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [CLICKLAKE, "query", "select 1", "--format", "parquet"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=os.environ | {"CLICKLAKE_LAKE": str(tmp_path)},
        check=False,
        timeout=PATIENCE,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"Parquet is no text" in done.stderr


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a5_a_file_that_is_named_is_written_anew(tmp_path: Path, form: str) -> None:
    (tmp_path / "f").write_text(BEFORE)
    done = shell(tmp_path, f"query 'select 7 as a' --format {form} -o f")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "f").read_text()
    assert (list(csv.reader(io.StringIO(text))) if form == "csv" else json.loads(text)) == (
        [["a"], ["7"]] if form == "csv" else {"a": 7}
    )
