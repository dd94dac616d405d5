"""Measures one function in a process of its own: `python -m benchmarks.measure module:function …`.

It knows nothing of the function. The last line that it prints is a Measurement as JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

THREADS = 2  # every case gets the same two cores on any machine
ROOT = Path(__file__).resolve().parent.parent


class NotMeasuredError(Exception):
    """The case cannot be measured here: a package is missing, or the part is not built."""


@dataclass(frozen=True)
class Measurement:
    done: int = 0  # units of work: lines, rows, runs
    seconds: float = 0.0  # wall clock from call to return, with imports in the function
    cpu_seconds: float = 0.0  # user + system in the same time, with child processes
    peak_mib: float = 0.0  # peak resident memory of the largest process
    skipped: str | None = None


def measure(
    function: str,
    arguments: tuple[str, ...],
    timeout: float = 1800,
    root: Path = ROOT,
    python: Path | str = sys.executable,
) -> Measurement:
    """Measures a function of the checkout in `root` that takes strings and returns the number of units it did.

    Args:
        python: the interpreter of the environment that it runs in.

    Raises:
        RuntimeError: the function failed; the message ends with the last lines it printed.
    """
    command = [python, "-m", "benchmarks.measure", function, *arguments]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=timeout, check=False)
    if run.returncode:
        raise RuntimeError(f"{function} failed with code {run.returncode}:\n{run.stderr[-2000:]}")
    return Measurement(**json.loads(run.stdout.splitlines()[-1]))


def _run_here(function: str, arguments: list[str]) -> Measurement:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:THREADS]))
    module, _, name = function.partition(":")
    measured = getattr(importlib.import_module(module), name)
    start, cpu_start = time.perf_counter(), _cpu_seconds()
    try:
        done = measured(*arguments)
    except NotImplementedError as error:
        return Measurement(skipped=str(error) or "not built")
    except NotMeasuredError as error:
        return Measurement(skipped=str(error))
    seconds = time.perf_counter() - start
    peak_mib = max(_own_peak_mib(), _mib_of_maxrss(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
    return Measurement(done, seconds, _cpu_seconds() - cpu_start, peak_mib)


def _cpu_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def _own_peak_mib() -> float:
    """The peak memory of this process. `ru_maxrss` starts at the parent's memory before exec; VmHWM does not."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return _mib_of_maxrss(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _mib_of_maxrss(value: int) -> float:
    return value / 2**20 if sys.platform == "darwin" else value / 2**10


if __name__ == "__main__":
    print(json.dumps(asdict(_run_here(sys.argv[1], sys.argv[2:]))))
