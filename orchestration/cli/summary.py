"""The summary at the end of `clicklake run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Any

from ingest.days import day_text
from ingest.native.library import way
from ingest.partition.quarantine import Refused, refused_partitions
from ingest.words import counted
from orchestration.cli.console import line, notes, table
from orchestration.cli.pipeline import PipelineResult
from orchestration.marts.known import DAILY_AGGREGATES, SESSIONS
from orchestration.publishing.targets import TARGETS
from orchestration.quality import accept, look_at
from orchestration.settings import load_lake_settings

MAX_DAYS_SHOWN = 40
MAX_WARNINGS_SHOWN = 10
MAX_REFUSED_SHOWN = 3
MART = DAILY_AGGREGATES  # the summary shows its days, and their published entries
MARTS = (DAILY_AGGREGATES, SESSIONS)  # the first marts of logs and of events: a day with neither is not published


def print_summary(result: PipelineResult) -> None:
    """Prints days, rejects by reason, seconds by step, warnings, and the reasons of refused or failed days."""
    days = sorted({*result.days, *result.restated})
    has_logs = any(figure is not None for day in days for figure in _figures(result, day))
    columns = _DAY_COLUMNS if has_logs else _BUILT_COLUMNS
    if len(days) <= MAX_DAYS_SHOWN:
        table("Days", columns, [_day_row(result, day, has_logs) for day in days])
    table("In all", columns[1:-1], [_total_row(result, days, has_logs)])
    events = [_event_row(result, day) for day in days if ("raw_events", day) in result.materialized]
    if events and len(events) <= MAX_DAYS_SHOWN:
        table("Events, of the sites that were not refused", _EVENT_COLUMNS, events)
    reasons = Counter[tuple[str, str]]()
    for (asset, _), metadata in result.materialized.items():
        rejects = metadata.get("rejects_by_reason", {}) if asset.startswith("raw_") else {}
        reasons.update({(asset.removeprefix("raw_"), reason): rows for reason, rows in rejects.items()})
    if reasons:
        rows = [(*named, count) for named, count in sorted(reasons.items())]
        table("Rejected rows of what was not refused, by reason", ("dataset", "reason", "rows"), rows)
    table("Seconds", ("step", "seconds"), [(name, seconds) for name, seconds in result.seconds.items()])
    notes.print(f"Objects are read {way().why}")
    _print_warnings(result)
    for day, reason in sorted(result.bad.items()):
        line((f"{day}", "red"), f" {reason}")
    _print_advice(_in_quarantine(result))


def days_by_state(result: PipelineResult) -> str:
    """The last line of a run with bad days, such as `3 days: 2 published, 1 refused`."""
    days = {*result.days, *result.bad}  # late rows may have added days
    states = Counter(_state(result, day) for day in days)
    named = [f"{count} {state}{_MEANT.get(state, '')}" for state, count in sorted(states.items())]
    return f"{counted(len(days), 'day')}: {', '.join(named)}"


_MEANT = {"partly refused": " (the rest is published)", "partly missing": " (the rest is published)"}


def _print_warnings(result: PipelineResult) -> None:
    shown = sorted(result.warnings.items(), key=lambda each: (min(each[1]), each[0]))[:MAX_WARNINGS_SHOWN]
    for text, days in shown:
        line(("warning ", "yellow"), f"{_some_days(days)}: {text}", to=notes)
    if more := len(result.warnings) - len(shown):
        notes.print(f"… and {counted(more, 'more warning')}")


def _some_days(days: Sequence[date]) -> str:
    some = sorted(set(days))
    if len(some) > MAX_WARNINGS_SHOWN:
        return f"{some[0]} … {some[-1]}, {len(some)} days"
    return ", ".join(map(day_text, some))


def _print_advice(found: list[Refused]) -> None:
    """Prints the commands that show and release each refused partition; for many, the command that lists them."""
    if len(found) > MAX_REFUSED_SHOWN:
        line(("  look  ", "dim"), f"clicklake quarantine list ({len(found)} partitions)")
        return
    for refused in found:
        line(("  look  ", "dim"), look_at(refused))
        if command := accept(refused):
            line(("accept  ", "dim"), command)


def _in_quarantine(result: PipelineResult) -> list[Refused]:
    """Partitions that this run put into quarantine: older refusals of raw that it did not judge again are left out."""
    if not result.refused:
        return []
    found = refused_partitions(load_lake_settings().open_lake(), result.refused)
    judged = {(table, day) for day, checks in result.refused.items() for table, _ in checks}
    return [each for each in found if not each.is_raw or (each.partition.table, each.partition.day) in judged]


def print_readings(result: PipelineResult) -> None:
    """Prints how many objects of each day were read, and why all were read if that was not intended."""
    rows = [
        (day, asset, raw["objects"], raw["objects_read"], raw.get("read_whole_since", "-"))
        for (asset, day), raw in sorted(result.materialized.items())
        if "objects_read" in raw
    ]
    if rows:
        table("Read", ("day", "table", "objects", "read now", "why all of them"), rows)


_DAY_COLUMNS = (
    "day", "objects", "rows read", "kept", "rejected", "duplicates", "mart rows", "entries", "written", "state",
)  # fmt: skip

_BUILT_COLUMNS = ("day", "marts built", "mart rows", "state")  # without logs


_EVENT_COLUMNS = (
    "day", "objects", "events read", "kept", "rejected", "duplicates", "sites", "refused sites", "sessions",
)  # fmt: skip


def _event_row(result: PipelineResult, day: date) -> tuple[Any, ...]:
    raw = result.materialized["raw_events", day]
    sessions = result.materialized.get((SESSIONS.name, day), {})
    return (
        day,
        *(raw[name] for name in ("objects", "rows_read", "rows_kept", "rows_rejected", "rows_duplicate")),
        len(raw["rows_by_site"]),
        ", ".join(raw["refused_sites"]) or "-",
        sessions.get("dagster/partition_row_count"),
    )


def _day_row(result: PipelineResult, day: date, has_logs: bool) -> tuple[Any, ...]:
    return (day, *(_figures if has_logs else _built)(result, day), _state(result, day))


def _built(result: PipelineResult, day: date) -> tuple[int, int]:
    """(marts of a day that were put in place, their rows)."""
    targets = {target.name for target in TARGETS}
    rows = [
        figures["dagster/partition_row_count"]
        for (name, its_day), figures in result.materialized.items()
        if its_day == day
        and not (name.startswith("raw_") or name in targets)
        and "dagster/partition_row_count" in figures
    ]
    return len(rows), sum(rows)


def _state(result: PipelineResult, day: date) -> str:
    has_mart = any((mart.name, day) in result.materialized for mart in MARTS)
    if day not in result.bad:
        return "published" if has_mart or _published(result, day) else "missing"
    checks = {check for _, check in result.refused.get(day, ())}
    if checks == {"objects_present"}:
        return "partly missing" if has_mart else "missing"
    if checks:
        return "partly refused" if has_mart else "refused"
    return "failed"


def _figures(result: PipelineResult, day: date) -> tuple[int | None, ...]:
    raw = result.materialized.get(("raw_access_logs", day)) or result.raw_figures.get(day, {})
    mart = result.materialized.get((MART.name, day), {})
    published = _published(result, day)
    return (
        raw.get("objects"),
        raw.get("rows_read"),
        raw.get("rows_kept"),
        raw.get("rows_rejected"),
        raw.get("rows_duplicate"),
        mart.get("dagster/partition_row_count"),
        sum(entries for entries, _ in published) if published else None,
        sum(written for _, written in published) if published else None,
    )


def _published(result: PipelineResult, day: date) -> list[tuple[int, int]]:
    """(entries that are there, entries written) for each target of the mart that has the day."""
    found = [(each, result.materialized.get((each.name, day))) for each in TARGETS if each.mart == MART]
    return [
        (figures.get(target.count, 0), sum(figures.get(name, 0) for name in target.changes))
        for target, figures in found
        if figures is not None
    ]


def _total_row(result: PipelineResult, days: list[date], has_logs: bool) -> list[int]:
    rows = [(_figures if has_logs else _built)(result, day) for day in days]
    return [sum(figure or 0 for figure in column) for column in zip(*rows, strict=True)]
