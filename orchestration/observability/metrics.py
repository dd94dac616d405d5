"""Prometheus metrics, read from Dagster's records and the lake when they are scraped. docs/observability.md lists
them. No label names a day, an object, a run or anything else whose number grows with time.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version

import dagster as dg
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ingest.lake.files import Lake, LakeFile
from ingest.lake.layout import ledger_folder, partition_of, quarantine_folder, table_of
from ingest.partition.datasets import DATASETS
from ingest.partition.quarantine import verdict_files
from orchestration.alerts.outbox import read_state
from orchestration.dagster_internals.backfills import unfinished
from orchestration.dagster_internals.checks import newer_verdicts
from orchestration.operations.status import MARTS

SECONDS_KEPT = 15  # several scrapers, or a frequent one, cost no more than one
LAST_RUNS = 50  # the last run of each step is looked up among them
OTHER = "other"
STEP_EVENTS = {
    dg.DagsterEventType.STEP_START: None,
    dg.DagsterEventType.STEP_RESTARTED: None,
    dg.DagsterEventType.STEP_SUCCESS: "success",
    dg.DagsterEventType.STEP_FAILURE: "failure",
}

Families = Iterable[GaugeMetricFamily]


def registry_of(
    lake: Lake, instance: dg.DagsterInstance, definitions: dg.Definitions, seconds_kept: float = SECONDS_KEPT
) -> CollectorRegistry:
    """A registry with only Clicklake's metrics."""
    registry = CollectorRegistry()
    registry.register(ClicklakeCollector(lake, instance, definitions, seconds_kept))
    return registry


class ClicklakeCollector(Collector):
    """Reads at most once in `seconds_kept` seconds. If a part cannot be read, only its metrics are missing."""

    def __init__(
        self, lake: Lake, instance: dg.DagsterInstance, definitions: dg.Definitions, seconds_kept: float
    ) -> None:
        self._seconds_kept = seconds_kept
        self._lock = threading.Lock()
        self._kept: list[GaugeMetricFamily] = []
        self._read_at: float | None = None
        graph = definitions.resolve_asset_graph()
        jobs = {job for job in definitions.get_repository_def().job_names if not job.startswith("__")}
        checks = _Checks(instance, {key: graph.get(key).blocking for key in graph.asset_check_keys})
        steps = _Steps(instance)
        self._parts: dict[str, Callable[[], Families]] = {
            "assets": lambda: _assets(instance, graph.get_all_asset_keys()),
            "checks": checks.families,
            "runs": lambda: _runs(instance, jobs),
            "steps": steps.families,
            "backfills": lambda: _backfills(instance),
            "quarantine": lambda: _quarantine(lake),
            "freshness": lambda: _freshness(lake),
            "alerts": lambda: _alerts(lake),
        }

    def describe(self) -> list[GaugeMetricFamily]:
        return []  # else registering would read everything

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > self._seconds_kept:
                self._kept = self._read()
                self._read_at = time.monotonic()
            yield from self._kept

    def _read(self) -> list[GaugeMetricFamily]:
        started = time.monotonic()
        found: list[GaugeMetricFamily] = []
        errors = _gauge(
            "scrape_error", "1 where this part could not be read, so that its metrics are missing", ["part"]
        )
        for part, read in self._parts.items():
            try:
                found += read()
                errors.add_metric([part], 0)
            except Exception:  # the other parts are still read, and the metric shows the error
                errors.add_metric([part], 1)
        info = _gauge("build_info", "Always 1; the version is in the label", ["version"])
        info.add_metric([version("clicklake")], 1)
        took = _gauge("scrape_duration_seconds", "Seconds that reading all metrics took")
        took.add_metric([], time.monotonic() - started)
        up = _gauge("up", "1 where every part could be read")
        up.add_metric([], float(not any(sample.value for sample in errors.samples)))
        return [up, info, errors, took, *found]


def _gauge(name: str, documentation: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"clicklake_{name}", documentation, labels=list(labels))


def _assets(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> Families:
    when = _gauge("asset_last_success_timestamp_seconds", "Time of the asset's last materialization", ["asset"])
    figures = {
        "dagster/partition_row_count": _gauge("asset_rows", "Rows of the partition materialized last", ["asset"]),
        "bytes": _gauge("asset_bytes", "Bytes of the files of the partition materialized last", ["asset"]),
        "seconds": _gauge("asset_build_seconds", "Seconds that the partition materialized last took", ["asset"]),
    }
    for key, entry in sorted(instance.get_latest_materialization_events(list(keys)).items()):
        if entry is None or entry.asset_materialization is None:
            continue
        name = key.to_user_string()
        when.add_metric([name], entry.timestamp)
        for figure, gauge in figures.items():
            value = entry.asset_materialization.metadata.get(figure)
            if value is not None and isinstance(value.value, int | float):
                gauge.add_metric([name], value.value)
    return [when, *figures.values()]


class _Checks:
    """The last verdict of each check on each partition. A scrape reads only verdicts newer than the scrape before."""

    def __init__(self, instance: dg.DagsterInstance, blocking: dict[dg.AssetCheckKey, bool]) -> None:
        self._instance = instance
        self._blocking = blocking
        self._failing: set[tuple[dg.AssetCheckKey, str | None]] = set()
        self._read_to: int | None = None

    def families(self) -> Families:
        for place, passed, record in newer_verdicts(self._instance, self._blocking, self._read_to):
            if passed is False:
                self._failing.add(place)
            elif passed:
                self._failing.discard(place)
            self._read_to = max(self._read_to or 0, record)
        counts = Counter("error" if self._blocking[check] else "warning" for check, _ in self._failing)
        gauge = _gauge("checks_failing", "Pairs of check and partition whose last verdict is bad", ["severity"])
        for severity in ("error", "warning"):
            gauge.add_metric([severity], counts[severity])
        return [gauge]


def _runs(instance: dg.DagsterInstance, jobs: Iterable[str]) -> Families:
    runs = _gauge("runs", "Runs that Dagster knows, by job and status", ["job", "status"])
    for status in dg.DagsterRunStatus:
        others = instance.get_runs_count(dg.RunsFilter(statuses=[status]))
        for job in sorted(jobs):
            count = instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[status]))
            others -= count
            runs.add_metric([job, status.value.lower()], count)
        runs.add_metric([OTHER, status.value.lower()], max(others, 0))
    queued = _gauge("runs_queued", "Runs that wait in the queue")
    queued.add_metric([], instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])))
    return [runs, queued]


class _Steps:
    """How each step last ended. Steps are few and have fixed names. The events of a run are read once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._known: dict[str, dict[tuple[str, str], float]] = {}

    def families(self) -> Families:
        gauge = _gauge("step_last_duration_seconds", "Seconds of the last run of a step", ["step", "status"])
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
        runs = [run.run_id for run in self._instance.get_runs(dg.RunsFilter(statuses=ended), limit=LAST_RUNS)]
        self._known = {run: self._known.get(run) or self._seconds(run) for run in runs}
        last: dict[tuple[str, str], float] = {}
        for run in reversed(runs):  # oldest first
            last |= self._known[run]
        for labels, seconds in sorted(last.items()):
            gauge.add_metric(list(labels), seconds)
        return [gauge]

    def _seconds(self, run: str) -> dict[tuple[str, str], float]:
        """(step, status) → seconds of the last try."""
        started: dict[str, float] = {}
        found: dict[tuple[str, str], float] = {}
        for entry in self._instance.all_logs(run, of_type=set(STEP_EVENTS)):
            event = entry.get_dagster_event()
            step, status = str(event.step_key), STEP_EVENTS[event.event_type]
            if status is None:
                started[step] = entry.timestamp
            elif step in started:
                found[step, status] = entry.timestamp - started[step]
        return found


def _backfills(instance: dg.DagsterInstance) -> Families:
    totals = unfinished(instance)
    count = _gauge("backfills_running", "Backfills that are not finished")
    count.add_metric([], len(totals))
    targeted = _gauge("backfill_partitions", "Partitions of all assets that unfinished backfills have to build")
    targeted.add_metric([], sum(total for total, _ in totals))
    done = _gauge("backfill_partitions_done", "Partitions of unfinished backfills that are built")
    done.add_metric([], sum(built for _, built in totals))
    return [count, targeted, done]


def _quarantine(lake: Lake) -> Families:
    verdicts = verdict_files(lake.files(quarantine_folder()))
    counts = Counter(_table(file) for file in verdicts)
    gauge = _gauge("quarantine_partitions", "Refused partitions that lie in quarantine", ["table"])
    for table in sorted({*counts, *(f"raw_{name}" for name in DATASETS)}):
        gauge.add_metric([table], counts[table])
    return [gauge]


def _table(file: LakeFile) -> str:
    table = table_of(file.key)
    return f"raw_{table}" if table in DATASETS else table


def _freshness(lake: Lake) -> Families:
    """Ages in seconds: of the newest ingested object, and of the newest published day."""
    now = dt.datetime.now(dt.UTC)
    newest = _gauge("newest_object_age_seconds", "Seconds since the newest ingested object was stored", ["dataset"])
    published = _gauge("published_day_age_seconds", "Seconds since the newest published day began", ["table"])
    for dataset in DATASETS:
        ledgers = lake.files(ledger_folder(dataset))
        taken = {file.key: each.day for file in ledgers if (each := partition_of(file.key))}
        _newest(published, f"raw_{dataset}", taken.values(), now)
        for day in sorted(set(taken.values()), reverse=True):  # the last one, unless it is a quiet day
            stored = [
                moment
                for key, of_day in taken.items()
                if of_day == day
                for moment in lake.read_table(key, ["modified"]).column("modified").to_pylist()
            ]
            if stored:
                newest.add_metric([dataset], (now - max(_utc(moment) for moment in stored)).total_seconds())
                break
        for mart in (mart for mart, made_of in MARTS.items() if made_of.name == dataset):
            _newest(published, mart.name, map(mart.day_of, (file.key for file in lake.files(mart.folder))), now)
    return [newest, published]


def _newest(gauge: GaugeMetricFamily, table: str, days: Iterable[dt.date | None], now: dt.datetime) -> None:
    day = max(filter(None, days), default=None)
    if day is not None:
        begun = dt.datetime.combine(day, dt.time(), dt.UTC)
        gauge.add_metric([table], (now - begun).total_seconds())


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _alerts(lake: Lake) -> Families:
    """Alerts as the sensor, or `clicklake alerts --send`, last found them."""
    from orchestration.operations.alerts import KINDS

    state = read_state(lake)
    counts = Counter(alert.kind for alert in state.open.values())
    gauge = _gauge("alerts_open", "Alerts that are open", ["kind"])
    for kind in KINDS:
        gauge.add_metric([kind.name], counts[kind.name])
    waiting = _gauge("alert_notices_waiting", "Notices that a receiver has not taken yet", ["receiver"])
    for receiver, notices in state.waiting.items():
        waiting.add_metric([receiver], len(notices))
    return [gauge, waiting]
