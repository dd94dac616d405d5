"""What a rule is, and what it may look at."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from ingest.lake.files import Lake
from orchestration.alerts.alert import Alert
from orchestration.settings import Settings

WEEK = 7
LOOKED_AT = dt.timedelta(days=WEEK)  # what nobody has mended for so long, nobody waits to hear of again


@dataclass(frozen=True)
class Look:
    """One look at everything.

    last_closed: the last day that the schedule has had its turn with.
    """

    settings: Settings
    instance: dg.DagsterInstance
    now: dt.datetime
    last_closed: dt.date

    @cached_property
    def lake(self) -> Lake:
        return self.settings.open_lake()


@dataclass(frozen=True)
class Kind:
    """A kind of alerts, as the reference lists it: how severe they are, when one opens, and when it closes."""

    name: str
    severity: str
    opens: str
    closes: str


@dataclass(frozen=True)
class Rule:
    """What it is about, the kinds of alerts that it finds, and how. It changes nothing; what it raises is told as an
    alert of its own. The docstring of its module states the rule to users: it is a part of docs/reference/alerts.md."""

    about: str
    kinds: tuple[Kind, ...]
    find: Callable[[Look], list[Alert]]

    @property
    def names(self) -> frozenset[str]:
        """Of its kinds."""
        return frozenset(kind.name for kind in self.kinds)


def back(day: dt.date, days: int) -> dt.date:
    """The day so many days before."""
    return day - dt.timedelta(days=days)
