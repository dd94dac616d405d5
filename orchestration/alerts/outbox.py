"""Each alert once: what is open is remembered in the lake, and what a receiver has not taken yet waits for it.

The state is one JSON file. It is written before anything is sent and after each message that was taken, so a crash
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
LOCK = "alerts"  # of the lake: whoever sends holds it
VERSION = 1
AT_ONCE = 500  # notices in a message: a receiver refuses one of megabytes, and would for ever, as more wait behind it


@dataclass
class State:
    """open: key → alert. waiting: receiver → what it has not taken yet, oldest first."""

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
    """The alerts that are open now, each with when it was first seen.

    Args:
        unjudged: kinds that nobody could look at; what was open of them stays so.
        seen: when those are first seen that were not open before; empty where nothing is remembered of it.
    """
    stay = {key: alert for key, alert in state.open.items() if alert.kind in unjudged}
    for alert in found:
        before = state.open.get(alert.key)
        stay[alert.key] = replace(alert, first_seen=before.first_seen if before else seen)
    return list(stay.values())


def note(state: State, alerts: Sequence[Alert], receivers: Sequence[str]) -> list[Notice]:
    """Puts the alerts that are open now into the state, and what is news before each receiver. Returns the news.

    A receiver that is new hears of all that is open; of one that is no more, what waited for it goes.
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
    """Of the same word about the same alert the last one: a receiver may be down for days."""
    last = {(notice.event, notice.alert.key): position for position, notice in enumerate(notices)}
    return [notices[position] for position in sorted(last.values())]


def deliver(lake: Lake, state: State, receivers: Sequence[Receiver], log: logging.Logger) -> dict[str, str]:
    """Sends what waits, one message a receiver, or a few of very many notices. Returns receiver → why it took none."""
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
