"""Alerts, notices, and the text of a message with several notices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ingest.shown import shown

ERROR, WARNING = "error", "warning"
OPENED, RESOLVED = "opened", "resolved"
LONGEST_TEXT = 600
LONGEST_NAME = 80
IN_FULL = 10  # a message with more notices has one line for each
LISTED = 100


@dataclass(frozen=True)
class Alert:
    """Something that is wrong now.

    subject: what it is about; the key consists of kind, subject and, if set, day.
    day: the day of the problem, for kinds that are about one day; other kinds go on from day to day under one key.
    command: a command that helps or shows more.
    first_seen: ISO time in UTC, empty until the alert is stored.
    """

    kind: str
    subject: str
    title: str
    text: str
    severity: str = ERROR
    day: str | None = None
    command: str | None = None
    first_seen: str = ""

    @property
    def key(self) -> str:
        return ":".join(part for part in (self.kind, self.subject, self.day) if part)

    def fields(self) -> dict[str, Any]:
        return {"key": self.key, **asdict(self)}

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> Alert:
        return cls(**{name: fields.get(name) for name in cls.__dataclass_fields__})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Notice:
    """An alert that opened or was resolved."""

    event: str
    alert: Alert

    def fields(self) -> dict[str, Any]:
        return {"event": self.event, **self.alert.fields()}

    @classmethod
    def of_fields(cls, fields: dict[str, Any]) -> Notice:
        return cls(fields["event"], Alert.of_fields(fields))


def plain(text: object, longest: int = LONGEST_TEXT) -> str:
    """One line of printable text: ids and messages come from outside, and go into mails and chats."""
    line = shown(" ".join(str(text).split()))
    return line if len(line) <= longest else line[: longest - 1] + "…"


def name(text: object) -> str:
    """An id as part of a title or a key."""
    return plain(text, LONGEST_NAME)


def summary(notices: Sequence[Notice]) -> str:
    """One line: the alert's title, or how many alerts opened and were resolved."""
    if len(notices) == 1:
        return f"Clicklake: {notices[0].event}: {notices[0].alert.title}"
    counts = {event: sum(notice.event == event for notice in notices) for event in (OPENED, RESOLVED)}
    return "Clicklake: " + ", ".join(f"{count} alerts {event}" for event, count in counts.items() if count)


def message(notices: Sequence[Notice]) -> str:
    """All notices as one text: in full if they are few, else one line for each."""
    lines = [summary(notices)]
    for notice in notices[:LISTED]:
        alert = notice.alert
        lines.append(f"[{alert.severity if notice.event == OPENED else RESOLVED}] {alert.title}")
        if notice.event == OPENED and len(notices) <= IN_FULL:
            lines.append(f"  {alert.text}")
            lines += [f"  {alert.command}"] if alert.command else []
    if len(notices) > LISTED:
        lines.append(f"and {len(notices) - LISTED} more")
    if len(notices) > IN_FULL:
        lines.append("Details, and what helps: clicklake alerts")
    return "\n".join(lines)
