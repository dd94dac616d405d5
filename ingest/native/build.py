"""Compiles the native core with the Zig compiler of the wheel `ziglang`: `python -m ingest.native.build`.

The result lies beside the sources, in `compiled/`, and its name holds a hash of them: it is compiled once, and never
used with other sources.
"""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
COMPILED = HERE / "compiled"
SOURCES = ("core.zig", "guard.c")
# The oldest systems that a compiled core runs on: those of the wheels that it is built with.
TARGETS = {
    "linux-x86_64": "x86_64-linux-gnu.2.17",
    "linux-aarch64": "aarch64-linux-gnu.2.17",
    "macosx-x86_64": "x86_64-macos.11.0",
    "macosx-arm64": "aarch64-macos.11.0",
}


class BuildError(Exception):
    """The core cannot be compiled here. The text says why."""


def here() -> str:
    """The platform of this Python, such as `linux-x86_64`; a musl system is `linux_musl-…`."""
    system = sysconfig.get_platform().split("-")[0]
    is_musl = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
    return f"{system}{'_musl' if is_musl else ''}-{platform.machine()}"


def compiled_file(of_platform: str | None = None) -> Path:
    """Where the compiled core of these sources lies, whether or not it is there."""
    content = hashlib.sha256()
    for path in sorted([*HERE.glob("*.zig"), *HERE.glob("*.c"), HERE / "build.py"]):
        content.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return COMPILED / f"core-{of_platform or here()}-{content.hexdigest()[:16]}.so"


def build(of_platform: str | None = None) -> Path:
    """Compiles the core, unless that is done; returns its file. Older ones of the platform are removed.

    Raises:
        BuildError: there is no compiler, or it fails.
    """
    wanted = of_platform or here()
    file = compiled_file(wanted)
    if file.exists():
        return file
    COMPILED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=COMPILED) as folder:
        made = Path(folder) / "core.so"
        _compile(made, TARGETS.get(wanted) if of_platform or wanted in TARGETS else "native")
        for old in COMPILED.glob(f"core-{wanted}-*.so"):
            old.unlink(missing_ok=True)
        made.replace(file)
    return file


def _compile(file: Path, target: str | None) -> None:
    if target is None:
        raise BuildError(f"no target of this name; there are {', '.join(TARGETS)}")
    command = [sys.executable, "-m", "ziglang", "build-lib", "-dynamic", "-fPIC", "-lc", "-O", "ReleaseSafe", "-fstrip"]
    command += ["-target", target, "--name", "core", f"-femit-bin={file}", "--cache-dir", f"{file.parent}/cache"]
    try:
        done = subprocess.run([*command, *SOURCES], cwd=HERE, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"the compiler cannot be started: {error}") from error
    if done.returncode or not file.exists():
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise BuildError("the wheel ziglang is not installed" if "No module named ziglang" in lines[-1] else lines[0])


if __name__ == "__main__":
    if sys.argv[1:] == ["platform"]:
        sys.exit(print(here()))
    try:
        build(*sys.argv[1:])
    except (BuildError, OSError) as failed:
        sys.exit(f"Objects are read the Python way, at half the speed: the native core was not compiled ({failed})")
