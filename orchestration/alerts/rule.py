"""The interface of a rule, and the data that it reads."""

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
LOOKED_AT = dt.timedelta(days=WEEK)  # problems that are older are not reported any more


@dataclass(frozen=True)
class Look:
    """The data for applying all rules once.

    last_closed: the last day whose scheduled build was due.
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
    """A kind of alerts, as the reference lists it: its severity, when an alert opens, and when it closes."""

    name: str
    severity: str
    opens: str
    closes: str


@dataclass(frozen=True)
class Rule:
    """A rule: its subject, the kinds of alerts that it finds, and the function that finds them. The function changes
    nothing; an error in it becomes an alert. The module's docstring explains the rule in docs/reference/alerts.md."""

    about: str
    kinds: tuple[Kind, ...]
    find: Callable[[Look], list[Alert]]

    @property
    def names(self) -> frozenset[str]:
        """The names of its kinds."""
        return frozenset(kind.name for kind in self.kinds)


def back(day: dt.date, days: int) -> dt.date:
    """The day that is `days` days earlier."""
    return day - dt.timedelta(days=days)
