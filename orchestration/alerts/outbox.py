"""Sends each alert once. The lake keeps the open alerts, and the notices that each receiver has not taken yet.

The state is one JSON file. It is written before anything is sent and after each message that was taken. A crash
between the two sends that message again, and loses none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ingest.errors import LakeError
from ingest.lake.files import Lake
from ingest.words import counted
from orchestration.alerts.alert import OPENED, RESOLVED, Alert, Notice
from orchestration.alerts.receivers import DeliveryError, Receiver

STATE_KEY = "alerts/state.json"
LOCK = "alerts"  # of the lake, held while alerts are sent
VERSION = 1
AT_ONCE = 500  # notices in a message; a receiver would refuse a message of megabytes again and again


@dataclass
class State:
    """open: key → alert. waiting: receiver → notices that it has not taken yet, oldest first."""

    open: dict[str, Alert] = field(default_factory=dict)
    waiting: dict[str, list[Notice]] = field(default_factory=dict)


def read_state(lake: Lake) -> State:
    if not lake.exists(STATE_KEY):
        return State()
    text = lake.read_text(STATE_KEY)
    try:
        found = json.loads(text)
        return State(
            {alert.key: alert for alert in map(Alert.of_fields, found["open"])},
            {name: list(map(Notice.of_fields, notices)) for name, notices in found["waiting"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{lake.uri(STATE_KEY)} is not what was written there. Delete it: what is open is then sent again"
        raise LakeError(message) from error


def write_state(lake: Lake, state: State) -> None:
    fields = {
        "version": VERSION,
        "open": [alert.fields() for alert in state.open.values()],
        "waiting": {name: [notice.fields() for notice in notices] for name, notices in state.waiting.items()},
    }
    lake.put_text(json.dumps(fields, indent=1), STATE_KEY)


def remembered(state: State, found: Iterable[Alert], unjudged: frozenset[str], seen: str) -> list[Alert]:
    """The alerts that are open now, each with the time when it was first seen.

    Args:
        unjudged: kinds that could not be judged; their open alerts stay open.
        seen: the time for alerts that were not open before; empty if the state is not stored.
    """
    stay = {key: alert for key, alert in state.open.items() if alert.kind in unjudged}
    for alert in found:
        before = state.open.get(alert.key)
        stay[alert.key] = replace(alert, first_seen=before.first_seen if before else seen)
    return list(stay.values())


def note(state: State, alerts: Sequence[Alert], receivers: Sequence[str]) -> list[Notice]:
    """Puts the open alerts into the state, and new notices into each receiver's queue. Returns the new notices.

    A new receiver gets all open alerts. The notices that waited for a removed receiver are dropped.
    """
    now = {alert.key: alert for alert in alerts}
    news = [Notice(OPENED, alert) for key, alert in now.items() if key not in state.open]
    news += [Notice(RESOLVED, alert) for key, alert in state.open.items() if key not in now]
    everything = [Notice(OPENED, alert) for alert in now.values()]
    state.waiting = {
        name: _without_repeats([*state.waiting[name], *news]) if name in state.waiting else everything
        for name in receivers
    }
    state.open = now
    return news


def _without_repeats(notices: Sequence[Notice]) -> list[Notice]:
    """The notices, without earlier ones of the same event and alert: a receiver may be down for days."""
    last = {(notice.event, notice.alert.key): position for position, notice in enumerate(notices)}
    return [notices[position] for position in sorted(last.values())]


def deliver(lake: Lake, state: State, receivers: Sequence[Receiver], log: logging.Logger) -> dict[str, str]:
    """Sends waiting notices, at most `AT_ONCE` in a message. Returns receiver → reason if it took no message."""
    failed = {}
    for receiver in receivers:
        while waiting := state.waiting.get(receiver.name):
            try:
                receiver.send(waiting[:AT_ONCE])
            except DeliveryError as error:
                failed[receiver.name] = str(error)
                wait = "waits" if len(waiting) == 1 else "wait"
                log.warning(f"{error}; {counted(len(waiting), 'notice')} {wait} for the next try")
                break
            state.waiting[receiver.name] = waiting[AT_ONCE:]
            write_state(lake, state)
    return failed
