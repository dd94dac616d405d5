"""Programs of Go that tests run, built once for each state of their sources and kept in `.cache`."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.environment_fixtures import ROOT

BUILD_SECONDS = 500  # the first build of the largest takes 40 to 120 s on two cores


def built_program(folder: Path, what: str, *options: str) -> Path:
    """The program whose sources lie in a folder; skips where it cannot be built.

    Args:
        what: the program is, for the reason to skip.
    """
    go = shutil.which("go")
    if go is None:
        pytest.skip(f"{what} needs Go to build it, and there is none on the PATH")
    sources = [folder / name for name in ("main.go", "go.mod", "go.sum")]
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    cache = ROOT / ".cache" / folder.name
    program = cache / f"{folder.name}-{digest[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # several test processes build it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            unfinished = program.with_suffix(".unfinished")
            result = subprocess.run(
                [go, "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", *options, "-o", str(unfinished), "."],
                cwd=folder,
                env=os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOWORK": "off"},
                capture_output=True,
                text=True,
                timeout=BUILD_SECONDS,
            )
            if result.returncode:
                pytest.skip(f"{what} could not be built: {result.stderr.strip()[-500:]}")
            unfinished.replace(program)
    return program
