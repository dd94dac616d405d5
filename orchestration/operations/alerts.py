"""Alerts: applies the rules of `orchestration/alerts/`, and the sensor that sends new notices."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from ingest.errors import ClicklakeError
from ingest.words import counted
from orchestration.alerts.alert import ERROR, OPENED, Alert, plain
from orchestration.alerts.outbox import LOCK, deliver, note, read_state, remembered, write_state
from orchestration.alerts.receivers import receivers_of
from orchestration.alerts.rule import Kind, Look
from orchestration.alerts.rules import RULES
from orchestration.operations.sensors import last_closed_day
from orchestration.resources import Lakehouse
from orchestration.settings import Settings

NOT_JUDGED = Kind("not_judged", ERROR, "a rule failed, such as with S3 down", "the rule works again")
KINDS = (*(kind for rule in RULES for kind in rule.kinds), NOT_JUDGED)


def open_alerts(settings: Settings, instance: dg.DagsterInstance, now: dt.datetime | None = None) -> list[Alert]:
    """The alerts that are open now; nothing is sent or stored.

    Raises:
        ClicklakeError: the state in the lake cannot be read.
    """
    now = now or dt.datetime.now(dt.UTC)
    return remembered(read_state(settings.open_lake()), *_judged(_look(settings, instance, now)), seen="")


def _look(settings: Settings, instance: dg.DagsterInstance, now: dt.datetime) -> Look:
    return Look(settings, instance, now, last_closed_day(now))


def _judged(look: Look) -> tuple[list[Alert], frozenset[str]]:
    """All alerts that the rules find, without secrets, and the kinds that could not be judged."""
    found: list[Alert] = []
    unjudged: set[str] = set()
    for rule in RULES:
        try:
            found += rule.find(look)
        except Exception as error:  # the other rules are still judged, and the error becomes an alert
            unjudged |= rule.names
            reason = plain(error if isinstance(error, ClicklakeError) else f"{type(error).__name__}: {error}")
            found.append(Alert(NOT_JUDGED.name, rule.about, f"Alerts of {rule.about} cannot be judged", reason))
    redacted = look.settings.redacted
    return [replace(each, title=redacted(each.title), text=redacted(each.text)) for each in found], frozenset(unjudged)


@dataclass
class Sent:
    """The result of sending once. failed: receiver → reason, for receivers that did not take their message."""

    open: list[Alert] = field(default_factory=list)
    news: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        said = f"{counted(len(self.open), 'alert')} open, {counted(self.news, 'notice')} new"
        return "; ".join([said, *(f"{reason}; tried again at the next tick" for reason in self.failed.values())])


def send_alerts(
    settings: Settings, instance: dg.DagsterInstance, log: logging.Logger, now: dt.datetime | None = None
) -> Sent:
    """Applies the rules, stores the state, and sends new notices to all receivers.

    Raises:
        ClicklakeError: the state in the lake cannot be read or written.
    """
    now = now or dt.datetime.now(dt.UTC)
    lake, receivers = settings.open_lake(), receivers_of(settings)
    with lake.lock(LOCK):
        state = read_state(lake)
        before = (dict(state.open), dict(state.waiting))
        seen = now.isoformat(timespec="seconds")
        alerts = remembered(state, *_judged(_look(settings, instance, now)), seen)
        news = note(state, alerts, [receiver.name for receiver in receivers])
        for notice in news:
            level = logging.WARNING if notice.event == OPENED else logging.INFO
            log.log(level, f"{notice.event}: {notice.alert.title}: {notice.alert.text}")
        if (state.open, state.waiting) != before:
            write_state(lake, state)
        return Sent(alerts, len(news), deliver(lake, state, receivers, log))


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=300,
    description="Looks for what is wrong (docs/alerts.md) and tells the receivers of the settings, of each thing once.",
)
def alerts(context: dg.SensorEvaluationContext, lakehouse: Lakehouse) -> dg.SkipReason:
    try:
        sent: Any = send_alerts(lakehouse.settings(), context.instance, context.log)
    except ClicklakeError as error:
        sent = error
    return dg.SkipReason(str(sent))


ALERT_SENSORS = [alerts]
