"""Shows which processes of a command use the processor, and when: `python -m benchmarks.timeline COMMAND…`.

Each line of the chart is a process of the command, each column a stretch of time: ` ` for less than a tenth of a core,
`1` to `9` for tenths, `#` for a whole core or more. The last line is the sum, in cores. Works where there is /proc.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

SECONDS = 0.05  # between two looks
COLUMNS = 100
NAME = 44  # characters of a process's name
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    """A process as it was seen: the CPU seconds that it had used, by the time of the look."""

    name: str
    looks: list[tuple[float, float]] = field(default_factory=list)

    def used_by(self, moment: float) -> float:
        """CPU seconds used until a moment; in a straight line between two looks."""
        before = (self.looks[0][0] - SECONDS, 0.0)
        for look in self.looks:
            if look[0] >= moment:
                share = (moment - before[0]) / (look[0] - before[0])
                return before[1] + (look[1] - before[1]) * min(max(share, 0.0), 1.0)
            before = look
        return before[1]

    @property
    def cpu_seconds(self) -> float:
        return self.looks[-1][1]


def watched(command: list[str]) -> tuple[int, float, list[Process]]:
    """(exit status, seconds, processes in the order in which they were seen) of a command."""
    started = time.monotonic()
    found: dict[tuple[int, str], Process] = {}
    with subprocess.Popen(command) as child:
        while child.poll() is None:
            for pid, start, cpu in _family(child.pid):
                process = found.setdefault((pid, start), Process(""))
                process.name = _name(pid) or process.name  # a fork has its parent's name until it becomes another
                process.looks.append((time.monotonic() - started, cpu))
            time.sleep(SECONDS)
    return child.returncode, time.monotonic() - started, list(found.values())


def _family(root: int) -> Iterator[tuple[int, str, float]]:
    """(pid, start, CPU seconds) of a process and all its descendants."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            values = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        stats[int(path.parent.name)] = values
    family = {root}
    for pid, values in sorted(stats.items(), key=lambda each: int(each[1][19])):  # parents start before children
        if int(values[1]) in family:
            family.add(pid)
    for pid in family & stats.keys():
        values = stats[pid]
        yield pid, values[19], (int(values[11]) + int(values[12])) / _TICKS


def _name(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    return " ".join(word.rpartition("/")[2] for word in words).strip()


def chart(seconds: float, processes: list[Process]) -> str:
    """The text chart of the processes that used a tenth of a second or more."""
    width = seconds / COLUMNS
    edges = [width * number for number in range(COLUMNS + 1)]
    total = [0.0] * COLUMNS
    lines = []
    for process in processes:
        used = [process.used_by(edge) for edge in edges]
        cores = [(after - before) / width for before, after in pairwise(used)]
        total = [one + other for one, other in zip(total, cores, strict=True)]
        if process.cpu_seconds >= 0.1:
            name = process.name if len(process.name) <= NAME else process.name[: NAME - 1] + "…"
            lines.append(f"{name:{NAME}} {process.cpu_seconds:6.1f} {''.join(map(_sign, cores))}")
    ruler = f"{f'{seconds:.1f} s, {width:.2f} s a column':{NAME}} {'CPU s':>6} {'-' * COLUMNS}"
    tenths = "".join(_digit(cores) for cores in total)
    return "\n".join([ruler, *lines, f"{'cores in use':{NAME}} {sum(total) * width:6.1f} {tenths}"])


def _sign(cores: float) -> str:
    return "#" if cores >= 0.95 else " " if cores < 0.1 else str(int(cores * 10))


def _digit(cores: float) -> str:
    """The whole cores in use, rounded; `.` for less than half of one."""
    return "." if cores < 0.5 else str(min(round(cores), 9))


def main(command: list[str]) -> int:
    if not command or command[0].startswith("-"):
        raise SystemExit("Name a command: python -m benchmarks.timeline clicklake run --from 2026-01-12")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    status, seconds, processes = watched(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    print(chart(seconds, processes))
    print(f"{seconds:.1f} s, {cpu:.1f} CPU s: {cpu / seconds:.2f} cores on average")
    return status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
