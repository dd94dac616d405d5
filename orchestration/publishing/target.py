"""What a publishing target states. No place is known here, nor is Dagster."""

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


@dataclass(frozen=True)
class Check:
    """What is asked of each published day. A day that fails a check that blocks is refused."""

    name: str
    description: str
    blocks: bool


@dataclass(frozen=True)
class Verdict:
    """What a check says of a day."""

    passed: bool
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What publishing a day did: figures, and a verdict by the name of each check."""

    figures: Mapping[str, Any]
    verdicts: Mapping[str, Verdict]

    def on(self, check: Check) -> Verdict | None:
        """The verdict of a check. One that blocks and has none did not pass."""
        return self.verdicts.get(check.name, Verdict(False, "the target gave no verdict") if check.blocks else None)


@dataclass(frozen=True)
class Comparison(Generic[Opened]):
    """How what is published is compared with the mart: by number, and by the sums of the measures.

    rows: SQL; which rows of the mart are published.
    published: gives for a first and a last day, both included: day → its number and sums, of days with any.
    """

    rows: str
    published: Callable[[Opened, date, date], Mapping[date, tuple[float, ...]]]


def _nothing(_: Any) -> None:
    """What a target does that needs no preparation."""


@dataclass(frozen=True)
class Target(Generic[Opened]):
    """A place that days of a mart are published to.

    name: of the asset. mart: what it shows. kinds: as Dagster shows them.
    key: the fields that tell what is published apart. measures: what is added up to compare it with the mart.
    count: the report's figure that counts what is published; changes: those that add up to what was written.
    lacks: why nothing can be published, as one sentence; None where it can. That is a fine state.
    place: what it is called in lineage, namespace and name, without any secret.
    open: gives what the functions below work on. Raises TransientPublishError where another try may help, else
        PublishError.
    publish: makes what is published of a day that of the mart, from all rows of the day. Raises as `open` does; a
        PublishError refuses the day, and the others go on.
    prepare: called once before the days of a run, such as to create indexes.
    comparison: for `clicklake status`; None where the place cannot be asked.
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
    publish: Callable[[Opened, date, pa.Table], Report]
    prepare: Callable[[Opened], None] = _nothing
    comparison: Comparison[Opened] | None = None

    def refused(self, why: str) -> Report:
        """The report on a day that could not be published: it passes none of the checks that block."""
        return Report({}, {check.name: Verdict(False, why) for check in self.checks if check.blocks})


def ready(targets: Iterable[Target[Any]], settings: Settings) -> list[Target[Any]]:
    """Those that can be published to. None is a fine state: the marts are the result."""
    return [target for target in targets if target.lacks(settings) is None]


def why_not(targets: Iterable[Target[Any]], settings: Settings) -> str:
    """Why targets that are not ready cannot be published to, each reason once."""
    return "; ".join(dict.fromkeys(filter(None, (target.lacks(settings) for target in targets))))
