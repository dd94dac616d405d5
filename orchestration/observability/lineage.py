"""The sensor that reports runs to an OpenLineage receiver. `openlineage.py` makes the events."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from ingest.errors import ClicklakeError
from orchestration.alerts.receivers import DeliveryError
from orchestration.observability.openlineage import ENDS, Events, send
from orchestration.resources import Lakehouse

RUNS_AT_ONCE = 50
LOOKED_BACK = dt.timedelta(days=1)  # by the first tick
# A run's record may become visible after a record that was written later.
OVERLAP = dt.timedelta(minutes=1)
MAX_REFUSALS = 5  # of one event by the receiver; then it is left out, because others wait behind it
REMEMBERED = 200
BEGUN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING, *ENDS]


@dataclass
class Cursor:
    """The events that the receiver has taken.

    seen_to: time of the last run update that was reported, ISO.
    started: runs of which only the start was reported; ended: the last runs whose end was reported.
    refusals: how often the next event was refused.
    """

    seen_to: str
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    refusals: int = 0

    @classmethod
    def of_text(cls, text: str | None) -> Cursor:
        return cls(**json.loads(text)) if text else cls((dt.datetime.now(dt.UTC) - LOOKED_BACK).isoformat())

    def to_text(self) -> str:
        return json.dumps(asdict(self))


@dg.sensor(
    name="lineage",
    minimum_interval_seconds=60,
    description="Posts the start and end of each run as OpenLineage events, where CLICKLAKE_OPENLINEAGE_URL is set.",
)
def lineage(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SkipReason:
    try:
        settings = lakehouse.settings()
    except ClicklakeError as error:
        return dg.SkipReason(str(error))
    if settings.openlineage_url is None:
        return dg.SkipReason("CLICKLAKE_OPENLINEAGE_URL is not set")
    cursor = Cursor.of_text(context.cursor)
    since = dt.datetime.fromisoformat(cursor.seen_to) - OVERLAP
    records = context.instance.get_run_records(
        dg.RunsFilter(statuses=BEGUN, updated_after=since),
        limit=RUNS_AT_ONCE + len(cursor.ended),
        order_by="update_timestamp",
        ascending=True,
    )
    assert context.repository_def is not None
    events = Events(settings, context.instance, context.repository_def.asset_graph)
    said = "told of all runs"
    try:
        for record in records:
            _tell(events, record, cursor, context.log)
            context.update_cursor(cursor.to_text())
    except DeliveryError as error:
        said = f"{error}; tried again at the next tick"
    context.update_cursor(cursor.to_text())
    return dg.SkipReason(said)


def _tell(events: Events, record: dg.RunRecord, cursor: Cursor, log: Any) -> None:
    """Sends the events of a run that the receiver lacks. Raises DeliveryError if it does not take one."""
    run = record.dagster_run
    if run.run_id not in (*cursor.started, *cursor.ended):
        _send(events, events.start(record), cursor, log)
        cursor.started.append(run.run_id)
    if run.status in ENDS and run.run_id not in cursor.ended:
        _send(events, events.end(record), cursor, log)
        cursor.started.remove(run.run_id)
        cursor.ended = _last([*cursor.ended, run.run_id])
    cursor.seen_to = max(cursor.seen_to, record.update_timestamp.replace(tzinfo=dt.UTC).isoformat())


def _send(events: Events, event: dict[str, Any], cursor: Cursor, log: Any) -> None:
    try:
        send(events.settings, event)
    except DeliveryError as error:
        cursor.refusals += error.is_refusal
        if cursor.refusals < MAX_REFUSALS:
            raise
        log.error(f"{event['eventType']} of run {event['run']['runId']} is left out: {error}, {MAX_REFUSALS} times")
    cursor.refusals = 0


def _last(runs: Iterable[str]) -> list[str]:
    return list(runs)[-REMEMBERED:]


LINEAGE_SENSORS = [lineage]
