"""The interface of a publishing target. It knows neither a concrete place nor Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Generic, TypeVar

import pyarrow as pa

from ingest.lake.layout import Mart
from orchestration.settings import Settings

Opened = TypeVar("Opened")
Confirm = Callable[[], None]  # raises a TransientError if another run may be publishing the same day


def nobody_else() -> None:
    """Confirms without asking: for callers who know that nobody else publishes."""


@dataclass(frozen=True)
class Check:
    """A check of each published day. A day that fails a blocking check is refused."""

    name: str
    description: str
    blocks: bool


@dataclass(frozen=True)
class Verdict:
    """The result of a check on a day."""

    passed: bool
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """The result of publishing a day: figures, and check name → verdict."""

    figures: Mapping[str, Any]
    verdicts: Mapping[str, Verdict]

    def on(self, check: Check) -> Verdict | None:
        """The verdict of a check. Without one, a blocking check has failed, and another check gives None."""
        return self.verdicts.get(check.name, Verdict(False, "the target gave no verdict") if check.blocks else None)


@dataclass(frozen=True)
class Comparison(Generic[Opened]):
    """How published days are compared with the mart: by number, and by the sums of the measures.

    rows: SQL condition for the rows of the mart that are published.
    published: takes a first and a last day, both included; returns day → number and sums, for days with any.
    """

    rows: str
    published: Callable[[Opened, date, date], Mapping[date, tuple[float, ...]]]


def _nothing(_: Any) -> None:
    """Does nothing: for targets that need no preparation."""


@dataclass(frozen=True)
class Target(Generic[Opened]):
    """A place that days of a mart are published to.

    name: name of the asset. mart: the mart that it publishes. kinds: the kinds that Dagster shows.
    key: the fields that identify a published row. measures: figures that are summed to compare it with the mart.
    count: the report's figure with the number published; changes: the figures whose sum is the number written.
    lacks: why nothing can be published, as one sentence, which is no error; None if days can be published.
    place: namespace and name in lineage, without any secret.
    open: gives the connection for the functions below. Raises TransientPublishError if another try may help, else
        PublishError.
    publish: makes a published day equal to the mart, from all rows of the day. Its last argument, called just before it
        writes, raises a TransientError if another run may be publishing the day. Raises as `open` does; a
        PublishError refuses the day, and the other days go on.
    prepare: called once before the days of a run, such as to create indexes.
    comparison: for `clicklake status`; None if the place cannot be queried.
    """

    name: str
    mart: Mart
    description: str
    kinds: frozenset[str]
    key: tuple[str, ...]
    measures: tuple[str, ...]
    checks: tuple[Check, ...]
    count: str
    changes: tuple[str, ...]
    lacks: Callable[[Settings], str | None]
    place: Callable[[Settings], tuple[str, str]]
    open: Callable[[Settings], AbstractContextManager[Opened]]
    publish: Callable[[Opened, date, pa.Table, Confirm], Report]
    prepare: Callable[[Opened], None] = _nothing
    comparison: Comparison[Opened] | None = None

    def refused(self, why: str) -> Report:
        """The report on a day that could not be published: it passes none of the checks that block."""
        return Report({}, {check.name: Verdict(False, why) for check in self.checks if check.blocks})


def ready(targets: Iterable[Target[Any]], settings: Settings) -> list[Target[Any]]:
    """The targets that can be published to. The list may be empty: the marts are then the result."""
    return [target for target in targets if target.lacks(settings) is None]


def why_not(targets: Iterable[Target[Any]], settings: Settings) -> str:
    """Why targets that are not ready cannot be published to, each reason once."""
    return "; ".join(dict.fromkeys(filter(None, (target.lacks(settings) for target in targets))))
