"""Compares the cost of ingest with another commit: `python -m benchmarks --only ingest events --against <commit>`.

Both commits read the same generated input in turns, so that a slow minute of the machine affects both. The measure is
CPU time, user and system, of the process and its children. The figure is the ratio of two consecutive runs.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.generate import DAY
from benchmarks.measure import ROOT, measure

FUNCTIONS = {"ingest": "benchmarks.ours:run_ours", "events": "benchmarks.ours:run_our_events"}


def compare(part: str, source: Path, commit: str, repeats: int) -> str:
    """A Markdown table for one part: CPU seconds of each commit, and their ratio."""
    with _checked_out(commit) as before:
        _cpu_seconds(part, source, before)  # a warm-up run, which fills the caches of the system
        pairs = [(_cpu_seconds(part, source, before), _cpu_seconds(part, source, ROOT)) for _ in range(repeats)]
    ratios = [after / was for was, after in pairs]
    rows = [
        (f"CPU s at {commit}", [was for was, _ in pairs]),
        ("CPU s here", [after for _, after in pairs]),
        ("here / there", ratios),
    ]
    lines = [f"| {part}, {repeats} pairs of runs | median | least | most |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {statistics.median(values):.3f} | {min(values):.3f} | {max(values):.3f} |" for name, values in rows
    ]
    return "\n".join(lines)


def _cpu_seconds(part: str, source: Path, root: Path) -> float:
    with tempfile.TemporaryDirectory(prefix="clicklake-bench-") as scratch:
        return measure(FUNCTIONS[part], (str(source), scratch, DAY), root=root).cpu_seconds


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """A folder with a check-out of another commit of this repository."""
    with tempfile.TemporaryDirectory(prefix="clicklake-against-") as folder:
        root = Path(folder) / "checkout"
        _git("worktree", "add", "--detach", str(root), commit)
        try:
            yield root
        finally:
            _git("worktree", "remove", "--force", str(root))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
