"""Measures Clicklake and its references in turns, and writes a table of results: `python -m benchmarks`.

To measure something else, add a Section to `sections`. measure.py measures a process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.against import FUNCTIONS, compare
from benchmarks.generate import DAY, default_data_dir, ensure_logs
from benchmarks.generate_events import ensure_events
from benchmarks.hostile import CASES, MAX_PEAK_MIB
from benchmarks.measure import THREADS, Measurement, measure
from benchmarks.ours import make_small_days
from benchmarks.peers import python_of, version
from benchmarks.whole_runs import make_days, make_large_day

FOLDER = Path(__file__).parent
PACKAGES = ("duckdb", "pyarrow", "numpy", "isal", "polars", "chdb")
SCRATCH = "{scratch}"  # in a case's arguments: stands for a new empty folder in each run
PREPARED = "{prepared}"  # in a case's arguments: stands for the folder that the preparation wrote to

ISAL, ZLIB, CSV, POLARS, DUCKDB, CHDB = (
    "decompression alone (isal)",
    "decompression alone (zlib)",
    "csv loop",
    "Polars",
    "DuckDB",
    "chDB",
)
OURS, PYTHON_WAY = "Clicklake", "Clicklake without its core"
ORJSON = "orjson loop"
MODEL, BARE_QUERY = "model daily_aggregates", "bare query"
# The least factor by which Clicklake must be faster than a reference. A reference without an entry has no target.
INGEST_TARGETS = {ISAL: 1 / 8, CSV: 15, POLARS: 1, DUCKDB: 1, CHDB: 1}
EVENT_TARGETS: dict[str, float] = {ORJSON: 5, POLARS: 1, DUCKDB: 1}
SESSIONS = "model sessions"
IDENTITY, UNION_FIND = "identity_map and identity_changes", "union-find loop"
HISTORY_DAYS = (1, 30, 365)
HISTORY_EVENTS, HISTORY_LINES = 100_000, 100_000
MARTS_TARGETS = {BARE_QUERY: 1 / 2}  # for both marts
REPEATS, PAIRS = 3, 7
ONE_DAY = "1 day"
OVERHEAD_TARGETS = {ONE_DAY: 1 / 3}
# The most that Clicklake may take, by the name of Line's field: {"peak_mib": 2048, "seconds": 10}.
INGEST_LIMITS: dict[str, float] = {"peak_mib": 1024}
OVERHEAD_LIMITS: dict[str, float] = {"seconds": 90}
HOSTILE_LIMITS: dict[str, float] = {"peak_mib": MAX_PEAK_MIB}
MEMORY_LIMITS: dict[str, float] = {"peak_mib": 1024}
RANGE_DAYS, YEAR_DAYS = 30, 365
YEAR = date(2025, 1, 1)
HOURLY_LINES, HOURLY_FILES = 1_000_000, 240
NEW_OBJECTS = (1, 10, 60)
WHOLE, NOTHING_NEW = "whole reading", "nothing new"
HOURLY_TARGETS: dict[str, float] = {WHOLE: 5}
PARTS = (
    "ingest",
    "marts",
    "events",
    "sessions",
    "identity",
    "history",
    "hourly",
    "overhead",
    "backfill",
    "runs",
    "memory",
    "hostile",
)


@dataclass(frozen=True)
class Case:
    name: str
    function: str  # module:function
    arguments: tuple[str, ...]
    peer: str = ""  # the environment that it runs in, see peers.py; ours by default


@dataclass(frozen=True)
class Section:
    """Cases that do the same job. The first case is Clicklake's."""

    title: str
    unit: str
    size: int  # units of the whole job; a case that does fewer is scaled up
    cases: tuple[Case, ...]
    targets: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    prepare: Case | None = None
    repeats: int | None = None


@dataclass(frozen=True)
class Line:
    """One case of the table: the medians of its runs, and their highest peak memory."""

    name: str
    seconds: float | None = None
    fastest: float | None = None
    slowest: float | None = None
    cpu_seconds: float | None = None
    per_second: float | None = None
    peak_mib: float | None = None
    ours_as_fast: float | None = None  # seconds of this case / seconds of ours
    target: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """The result of a section, and the machine that it was measured on."""

    title: str
    unit: str
    machine: dict[str, Any]
    lines: list[Line]


def sections(options: argparse.Namespace) -> Iterator[Section]:
    """The sections to measure. Logs are generated, or found in the data folder, when their section's turn comes."""
    lines = options.lines
    big, small = max(1, options.files), max(1, options.small_files)
    if "ingest" in options.only:
        for files in (big, small):
            yield _ingest(ensure_logs(options.data_dir, lines, files), lines, files)
    if "marts" in options.only:
        source = ensure_logs(options.data_dir, lines, big)
        yield Section(
            f"raw → daily_aggregates, {lines:,} rows",
            "rows",
            lines,
            (
                Case(MODEL, "benchmarks.ours:run_daily_aggregates", (PREPARED, DAY)),
                Case(BARE_QUERY, "benchmarks.references:bare_daily_aggregates", (PREPARED, DAY)),
            ),
            MARTS_TARGETS,
            prepare=Case("ingest", "benchmarks.ours:prepare_marts", (str(source), PREPARED, DAY)),
        )
    if "events" in options.only:
        yield _events(ensure_events(options.data_dir, options.events), options.events)
    if "sessions" in options.only:
        source = ensure_events(options.data_dir, options.events)
        yield Section(
            f"sessions: raw events → sessions, {options.events:,} events",
            "events",
            options.events,
            (
                Case(SESSIONS, "benchmarks.ours:run_sessions", (PREPARED, DAY)),
                Case(BARE_QUERY, "benchmarks.references:bare_sessions", (PREPARED, DAY)),
            ),
            MARTS_TARGETS,
            prepare=Case("ingest", "benchmarks.ours:prepare_sessions", (str(source), PREPARED, DAY)),
        )
    if "identity" in options.only:
        edges = str(options.edges)
        yield Section(
            f"identity: {options.edges:,} edges in chains of 1,000",
            "edges",
            options.edges,
            (
                Case(IDENTITY, "benchmarks.identity:run_identity", (PREPARED, DAY, edges)),
                Case(UNION_FIND, "benchmarks.identity:union_find_loop", (PREPARED, DAY, edges)),
            ),
            prepare=Case("chains", "benchmarks.identity:make_chains", (PREPARED, DAY, edges)),
            repeats=1,
        )
    if "history" in options.only:
        events = ensure_events(options.data_dir, min(options.events, HISTORY_EVENTS))
        logs = ensure_logs(options.data_dir, min(options.lines, HISTORY_LINES), 8)
        yield Section(
            f"history: dbt build of a day of {HISTORY_EVENTS:,} events and {HISTORY_LINES:,} lines, by days behind it",
            "runs",
            1,
            tuple(
                Case(f"{days} day{'s' if days > 1 else ''}", "benchmarks.history:run_day", (PREPARED, str(days), DAY))
                for days in HISTORY_DAYS
            ),
            prepare=Case("days before", "benchmarks.history:prepare_history", (str(events), str(logs), PREPARED, DAY)),
        )
    if "hourly" in options.only:
        yield from _hourly(options)
    if "overhead" in options.only:
        small_days = str(make_small_days(options.data_dir / "small-days", date.fromisoformat(DAY), RANGE_DAYS))
        last = (date.fromisoformat(DAY) + timedelta(days=RANGE_DAYS - 1)).isoformat()
        yield Section(
            f"fixed overhead: clicklake run of days with ten small objects, the range of {RANGE_DAYS} first",
            "runs",
            1,
            (
                Case(f"{RANGE_DAYS} days", "benchmarks.ours:run_small_days", (small_days, SCRATCH, DAY, last)),
                Case(ONE_DAY, "benchmarks.ours:run_small_days", (small_days, SCRATCH, DAY, DAY)),
            ),
            OVERHEAD_TARGETS,
            limits=OVERHEAD_LIMITS,
        )
    if "backfill" in options.only:
        yield _backfill(options, RANGE_DAYS if options.quick else YEAR_DAYS)
    if "runs" in options.only:
        yield from _whole_runs(options)
    if "hostile" in options.only:
        yield Section(
            "hostile: one small object that was made to cost much",
            "objects",
            1,
            tuple(Case(name, "benchmarks.hostile:run", (name, SCRATCH)) for name in CASES),
            limits=HOSTILE_LIMITS,
            repeats=1,
        )
    if "memory" in options.only:
        for files in (big, small):
            source = ensure_logs(options.data_dir, 4 * lines, files)
            yield Section(
                f"memory: {4 * lines:,} lines in {files:,} objects",
                "lines",
                4 * lines,
                (Case(OURS, "benchmarks.ours:run_ours", (str(source), SCRATCH, DAY)),),
                limits=MEMORY_LIMITS,
                repeats=1,
            )


def _backfill(options: argparse.Namespace, days: int) -> Section:
    source = str(make_small_days(options.data_dir / f"small-days-{days}", YEAR, days))
    last = (YEAR + timedelta(days=days - 1)).isoformat()

    def windows(of: str) -> Case:
        return Case(
            f"windows of {of}", "benchmarks.ours:backfill_small_days", (source, SCRATCH, YEAR.isoformat(), last, of)
        )

    title = f"backfill: {days} days with ten small objects, by days in a window"
    return Section(title, "days", days, (windows("30"), windows("90")), repeats=1)


def _whole_runs(options: argparse.Namespace) -> Iterator[Section]:
    """`clicklake run` without publishing, from cold start: a small day, a month, a large day; and the demo."""
    first = date.fromisoformat(DAY)
    month = (first + timedelta(days=RANGE_DAYS - 1)).isoformat()
    logs, both = (
        str(make_days(options.data_dir / f"month-of-{name}", first, RANGE_DAYS, name == "both"))
        for name in ("logs", "both")
    )

    def section(
        title: str, unit: str, size: int, source: str, last: str, limits: dict[str, float], runs: int
    ) -> Section:
        case = Case(OURS, "benchmarks.whole_runs:run_days", (source, SCRATCH, DAY, last))
        return Section(title, unit, size, (case,), limits=limits, repeats=runs)

    yield section("run: a small day of logs and events", "days", 1, both, DAY, {"seconds": 5}, REPEATS)
    yield section(f"run: {RANGE_DAYS} small days of logs", "days", RANGE_DAYS, logs, month, {"seconds": 12}, 1)
    yield section(
        f"run: {RANGE_DAYS} small days of logs and events", "days", RANGE_DAYS, both, month, {"seconds": 20}, 1
    )
    lines, events = options.lines, options.events
    large = make_large_day(options.data_dir / f"day-{lines}-{events}", options.data_dir, lines, options.files, events)
    title = f"run: a day of {lines:,} lines and {events:,} events"
    yield section(title, "days", 1, str(large), DAY, {"seconds": 40, "cpu_seconds": 65, "peak_mib": 3072}, 1)
    demo = Case(OURS, "benchmarks.whole_runs:run_demo", (SCRATCH,))
    yield Section("demo, after set-up", "runs", 1, (demo,), limits={"seconds": 40}, repeats=1)


def _ingest(source: Path, lines: int, files: int) -> Section:
    references = "benchmarks.references"
    logs = str(source)
    return Section(
        f"ingest: {lines:,} lines in {files:,} objects",
        "lines",
        lines,
        (
            Case(OURS, "benchmarks.ours:run_ours", (logs, SCRATCH, DAY)),
            Case(PYTHON_WAY, "benchmarks.ours:run_ours", (logs, SCRATCH, DAY, "python")),
            Case(ISAL, f"{references}:decompress_isal", (logs, str(lines))),
            Case(ZLIB, f"{references}:decompress_zlib", (logs, str(lines))),
            Case(CSV, "benchmarks.csv_loop:csv_loop", (logs, SCRATCH)),
            Case(POLARS, f"{references}:polars_stream", (logs, SCRATCH), "polars"),
            Case(DUCKDB, f"{references}:duckdb_copy", (logs, SCRATCH)),
            Case(CHDB, f"{references}:chdb_insert", (logs, SCRATCH), "chdb"),
        ),
        INGEST_TARGETS,
        INGEST_LIMITS,
    )


def _events(source: Path, events: int) -> Section:
    references = "benchmarks.event_references"
    files = str(source)
    return Section(
        f"ingest: {events:,} events in 24 objects",
        "events",
        events,
        (
            Case(OURS, "benchmarks.ours:run_our_events", (files, SCRATCH, DAY)),
            Case(PYTHON_WAY, "benchmarks.ours:run_our_events", (files, SCRATCH, DAY, "python")),
            Case(ORJSON, f"{references}:orjson_loop", (files, SCRATCH)),
            Case(POLARS, f"{references}:polars_events", (files, SCRATCH), "polars"),
            Case(DUCKDB, f"{references}:duckdb_events", (files, SCRATCH)),
        ),
        EVENT_TARGETS,
        INGEST_LIMITS,
    )


def _hourly(options: argparse.Namespace) -> Iterator[Section]:
    """Sections by number of new objects and by size of the day. All objects have the same size."""
    lines = min(options.lines, HOURLY_LINES)
    per_file = HOURLY_LINES // HOURLY_FILES

    def made(count: int) -> str:
        return str(ensure_logs(options.data_dir, count, max(count // per_file, 1)))

    def refresh(name: str, source: str, new: int) -> Case:
        return Case(name, "benchmarks.hourly:refresh", (source, PREPARED, SCRATCH, DAY, str(new)))

    source = made(lines)
    files = lines // per_file
    news = [new for new in NEW_OBJECTS if new < files]
    day = (source, PREPARED, SCRATCH, DAY)
    yield Section(
        f"hourly: refresh of a day of {lines:,} lines in {files} objects, by new objects",
        "refreshes",
        1,
        (
            *(refresh(f"{new} new object{'s' if new > 1 else ''}", source, new) for new in news),
            Case(NOTHING_NEW, "benchmarks.hourly:find_nothing", day),
            Case(WHOLE, "benchmarks.hourly:read_whole", day),
        ),
        HOURLY_TARGETS,
        prepare=Case("before", "benchmarks.hourly:prepare_day", (source, PREPARED, DAY, "0", *map(str, news))),
    )
    sources = {count: made(count) for count in (lines // 4, lines, 4 * lines)}
    yield Section(
        f"hourly: refresh with one new object of {per_file:,} lines, by lines of the day",
        "refreshes",
        1,
        tuple(refresh(f"{count:,} lines", folder, 1) for count, folder in sources.items()),
        prepare=Case("before", "benchmarks.hourly:prepare_days", (PREPARED, DAY, *sources.values())),
    )


def run_section(section: Section, repeats: int) -> list[Line]:
    """Runs the cases in turns, so that a slow minute of the machine affects all of them."""
    runs: dict[str, list[Measurement]] = {case.name: [] for case in section.cases}
    with tempfile.TemporaryDirectory(prefix="clicklake-bench-") as prepared:
        if section.prepare:
            preparation = measure(section.prepare.function, _filled(section.prepare, prepared, ""))
            if preparation.skipped:
                return [Line(case.name, note=preparation.skipped) for case in section.cases]
        for _ in range(repeats):
            for case in section.cases:
                if runs[case.name] and runs[case.name][0].skipped:
                    continue
                with tempfile.TemporaryDirectory(prefix="clicklake-bench-") as scratch:
                    runs[case.name].append(_measured(case, _filled(case, prepared, scratch)))
    ours = _scaled_seconds(section, runs[section.cases[0].name])
    return [_line(section, name, measured, ours) for name, measured in runs.items()]


def _measured(case: Case, arguments: tuple[str, ...]) -> Measurement:
    if not case.peer:
        return measure(case.function, arguments)
    if not python_of(case.peer).exists():
        return Measurement(skipped=f"the environment of {case.peer} is missing: python -m benchmarks.peers")
    return measure(case.function, arguments, python=python_of(case.peer))


def _filled(case: Case, prepared: str, scratch: str) -> tuple[str, ...]:
    return tuple({PREPARED: prepared, SCRATCH: scratch}.get(value, value) for value in case.arguments)


def _scaled_seconds(section: Section, runs: list[Measurement]) -> list[float]:
    return [run.seconds * section.size / run.done for run in runs if not run.skipped]


def _line(section: Section, name: str, runs: list[Measurement], ours: list[float]) -> Line:
    seconds = _scaled_seconds(section, runs)
    if not seconds:
        return Line(name, target=section.targets.get(name), note=runs[0].skipped or "")
    share = runs[0].done / section.size
    median = statistics.median(seconds)
    is_ours = name == section.cases[0].name
    line = Line(
        name,
        seconds=median,
        fastest=min(seconds),
        slowest=max(seconds),
        cpu_seconds=statistics.median(run.cpu_seconds for run in runs) / share,
        per_second=section.size / median,
        peak_mib=max(run.peak_mib for run in runs),
        ours_as_fast=median / statistics.median(ours) if ours and not is_ours else None,
        target=section.targets.get(name),
        note="" if share > 0.99 else f"scaled up from {share:.1%} of the {section.unit}",
    )
    return replace(line, note=_held_against(section.limits, line)) if is_ours else line


def _held_against(limits: dict[str, float], line: Line) -> str:
    verdicts = {name: "met" if getattr(line, name) <= most else "MISSED" for name, most in limits.items()}
    return ", ".join(f"{name} ≤ {most:g} {verdicts[name]}" for name, most in limits.items())


def table(result: Result) -> str:
    """One section as a Markdown table that is also readable in a terminal."""
    header = (
        result.title,
        f"{result.unit}/s",
        "seconds (range)",
        "CPU s",
        "peak MiB",
        "ours: times as fast",
        "target",
        "",
    )
    rows = [header] + [_cells(line) for line in result.lines]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    padded = [
        [
            value.ljust(width) if column in (0, 7) else value.rjust(width)
            for column, (value, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    ruler = ["-" * width if column in (0, 7) else "-" * max(1, width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [padded[0], ruler, *padded[1:]])


def _cells(line: Line) -> tuple[str, ...]:
    def shown(value: float | None, pattern: str) -> str:
        return "" if value is None else pattern.format(value)

    seconds = "" if line.seconds is None else f"{line.seconds:.2f} ({line.fastest:.2f} to {line.slowest:.2f})"
    verdict = ""
    if line.target is not None and line.ours_as_fast is not None:
        verdict = " met" if line.ours_as_fast >= line.target else " MISSED"
    return (
        line.name,
        shown(line.per_second, "{:,.2f}" if (line.per_second or 0) < 10 else "{:,.0f}"),
        seconds,
        shown(line.cpu_seconds, "{:.1f}"),
        shown(line.peak_mib, "{:,.0f}"),
        shown(line.ours_as_fast, "{:.2f}"),
        shown(line.target, "≥ {:.2f}") + verdict,
        line.note,
    )


def machine() -> dict[str, Any]:
    """The machine and versions of a measurement, without anything that identifies the machine."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_used": THREADS,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
    }


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "unknown"
    )


def read_results(folder: Path) -> list[Result]:
    """The results of earlier measurements; empty if there are none."""
    path = folder / "results.json"
    if not path.exists():
        return []
    return [
        Result(each["title"], each["unit"], each["machine"], [Line(**case) for case in each["cases"]])
        for each in json.loads(path.read_text(encoding="utf-8"))["sections"]
    ]


def with_result(results: list[Result], new: Result) -> list[Result]:
    """The results with a new one in place of the old one with its title, or else at the end."""
    if any(each.title == new.title for each in results):
        return [new if each.title == new.title else each for each in results]
    return [*results, new]


def write_results(folder: Path, results: list[Result]) -> None:
    """Writes results.json for programs and RESULTS.md for people."""
    sections = [
        {
            "title": each.title,
            "unit": each.unit,
            "machine": each.machine,
            "cases": [asdict(line) for line in each.lines],
        }
        for each in results
    ]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"sections": sections}, indent=2, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    paragraphs = [
        "# Benchmark results",
        "Written by `make bench`; [docs/benchmarks.md](../docs/benchmarks.md) explains how it measures.",
    ]
    for machine, taken in groupby(results, key=lambda each: each.machine):
        about = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items() if value is not None)
        paragraphs += [f"Taken on: {about}.", *(table(each) for each in taken)]
    (folder / "RESULTS.md").write_text("\n\n".join(paragraphs) + "\n", encoding="utf-8")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=3_200_000, help="log lines of the day (default 3,200,000)")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the day (default 1,000,000)")
    parser.add_argument("--edges", type=int, default=9_990_000, help="edges of identity (default 9,990,000)")
    parser.add_argument("--files", type=int, default=64, help="objects of the first layout")
    parser.add_argument("--small-files", type=int, default=3_000, help="objects of the second layout")
    parser.add_argument(
        "--repeats", type=int, help=f"runs of each case (default {REPEATS}); the table shows the median"
    )
    parser.add_argument(
        "--data-dir", type=Path, default=default_data_dir(), help="folder for generated logs and events"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for results.json and RESULTS.md")
    parser.add_argument("--quick", action="store_true", help="a trial of 200,000 lines, once, without writing results")
    parser.add_argument("--memory", action="store_true", help="also ingest four times the lines, to measure the memory")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, help="measure these parts only; other results in --out are kept"
    )
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="compare the CPU time of ingest and events with another commit's, seven pairs of runs; nothing is written",
    )
    options = parser.parse_args(arguments)
    options.is_part = bool(options.only)
    options.only = options.only or [part for part in PARTS if part != "memory" or options.memory]
    if options.quick:
        options.lines, options.files, options.small_files = 200_000, 8, 200
        options.repeats = options.repeats or 1
        options.events = 100_000
        options.edges = 99_900
    return options


def _compare(options: argparse.Namespace) -> None:
    sources = {
        "ingest": lambda: ensure_logs(options.data_dir, options.lines, max(1, options.files)),
        "events": lambda: ensure_events(options.data_dir, options.events),
    }
    for part in FUNCTIONS:
        if part in options.only:
            repeats = options.repeats or PAIRS
            print(compare(part, sources[part](), options.against, repeats), end="\n\n", flush=True)


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    if options.against:
        _compare(options)
        return
    facts = machine()
    results = read_results(options.out) if options.is_part else []
    for section in sections(options):
        runs = section.repeats or options.repeats or REPEATS
        taken = facts | {"runs_of_each_case": runs}
        result = Result(section.title, section.unit, taken, run_section(section, runs))
        print(table(result), end="\n\n", flush=True)
        results = with_result(results, result)
        if not options.quick:
            write_results(options.out, results)  # after each section, so that an interruption loses little
