"""Environments of the references that are packages of their own: `python -m benchmarks.peers` makes them.

A package in our environment may change what ours and DuckDB cost: chDB brings pandas, whose import takes a second. So
each has an environment with nothing but what it needs, of the versions in requirements-bench.lock.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".clicklake" / "bench"
LOCK = ROOT / "requirements-bench.lock"
PEERS = ("polars", "chdb")
SHARED = ("pyarrow", "numpy", "isal")  # what benchmarks and the schema of logs import


def python_of(peer: str) -> Path:
    return FOLDER / peer / "bin" / "python"


def version(package: str) -> str | None:
    """The version that is measured: that of its own environment, if it has one."""
    places = [str(place) for place in (FOLDER / package).glob("lib/python*/site-packages")]
    if package not in PEERS:
        places = sys.path
    found = importlib.metadata.distributions(name=package, path=places)
    return next((each.version for each in found), None)


def make(peer: str) -> None:
    """Makes or updates the environment of a reference."""
    if not python_of(peer).exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", FOLDER / peer], check=True)
    uv = shutil.which("uv")
    pip = [uv, "pip"] if uv else [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    if uv:
        install = [*pip, "install", "--python", str(python_of(peer))]
    else:
        install = [*pip, "--python", str(python_of(peer)), "install"]
    subprocess.run([*install, "--quiet", "--constraint", str(LOCK), peer, *SHARED], check=True)


if __name__ == "__main__":
    for each in PEERS:
        make(each)
