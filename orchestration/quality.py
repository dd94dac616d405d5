"""Check results, kept as the table `marts.data_quality`.

It is no `lake_table` of dbt: the results of dbt's tests are known only after the run that would have to write them.
And it is a log: a day that is judged twice has two results, while a lake_table has one file for a day.
"""

import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pyarrow as pa

from ingest.days import day_text
from ingest.errors import ClicklakeError
from ingest.lake.files import Lake
from ingest.lake.layout import Partition, quality_key
from ingest.partition.audit import NEVER_RELEASED
from ingest.partition.quarantine import VERDICT_READABLE, Refused, refused_partitions
from ingest.schema import DATA_QUALITY, DATA_QUALITY_PARTITIONS, arrow_schema
from orchestration.resources import Lakehouse

PASSED, FAILED, WARNED, RELEASED, NOT_RUN = "passed", "failed", "warned", "released", "not_run"
LAYERS = ("raw", "publishing")  # groups of assets; all others are marts

data_quality = dg.AssetSpec(
    "data_quality",
    description="The results of all checks over time, with figures: raw checks, dbt tests, comparisons with MongoDB. "
    "Each step of a run adds one file, and no file is ever changed: quality/data_quality/judged_date=D.",
    group_name="quality",
    kinds={"python", "parquet"},
    owners=["team:data-platform"],
    metadata={
        "dagster/column_schema": dg.TableSchema(
            [
                dg.TableColumn(each.name, str(each.type), description=each.description)
                for each in (*DATA_QUALITY, *DATA_QUALITY_PARTITIONS)
            ]
        )
    },
)


@dataclass(frozen=True)
class Judgement:
    """One check's result on one day, or on one site of it.

    released: who accepted a failed check, and why.
    failures: number of failing rows, if the check counts them.
    """

    passed: bool
    blocks: bool
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    site: str | None = None
    released: str | None = None
    failures: int | None = None
    seconds: float | None = None
    has_run: bool = True

    @property
    def status(self) -> str:
        if not self.has_run:
            return NOT_RUN
        if self.passed:
            return PASSED
        if self.released:
            return RELEASED
        return FAILED if self.blocks else WARNED


StepName = tuple[str, str]  # run, step


def result_row(group: str, check: dg.AssetCheckKey, day: date, judgement: Judgement) -> dict[str, Any]:
    """A row of `data_quality`.

    Args:
        group: the group of the asset.
    """
    return {
        "judged_at": datetime.now(UTC).replace(tzinfo=None),
        "layer": group if group in LAYERS else "marts",
        "table": check.asset_key.path[-1].removeprefix("raw_"),
        "day": day,
        "site": judgement.site,
        "check": check.name,
        "severity": "error" if judgement.blocks else "warn",
        "status": judgement.status,
        "failures": judgement.failures,
        "message": f"{judgement.released}. {judgement.message}" if judgement.released else judgement.message,
        "figures": json.dumps(judgement.figures, default=str, ensure_ascii=False),
        "seconds": judgement.seconds,
    }


def keep(context: dg.AssetExecutionContext, lakehouse: Lakehouse, step: StepName, rows: list[dict[str, Any]]) -> None:
    """Writes check results and reports the file to Dagster. An error is only logged: published data stands anyway."""
    try:
        key = write(lakehouse.lake(), step, rows)
    except ClicklakeError as error:
        context.log.error(f"The results of {len(rows)} checks are not in data_quality: {error}")
        return
    bad = sum(row["status"] == FAILED for row in rows)
    metadata = {"file": key, "results": len(rows), FAILED: bad}
    context.log_event(dg.AssetObservation(data_quality.key, metadata=metadata))


def write(lake: Lake, step: StepName, rows: list[dict[str, Any]]) -> str:
    """Writes one file with the results of a step of a run; returns its key."""
    judged_date = min(row["judged_at"] for row in rows).date()
    key = quality_key(judged_date, *step)
    lake.put_table(pa.Table.from_pylist(rows, schema=arrow_schema(DATA_QUALITY)), key)
    return key


def why_never_released(refused: Refused) -> str | None:
    """Why a refused partition cannot be released as it is; None if it can."""
    for reason in refused.reasons:
        check = reason["check"]
        if check == VERDICT_READABLE:
            return f"nobody knows why it was refused: {reason['message']}"
        if refused.is_raw and check in NEVER_RELEASED:
            return f"{check} cannot be released: {NEVER_RELEASED[check]}"
        if not refused.is_raw and reason.get("failures") is None:
            return f"{check} cannot be released: it gave no result. {reason['message']}"
    return None


def look_at(refused: Refused) -> str:
    """The command that shows a refused partition."""
    return f"clicklake quarantine show {named(refused.partition)}"


def accept(refused: Refused) -> str | None:
    """The command that releases a refused partition as it is; None if it cannot be released."""
    if why_never_released(refused):
        return None
    return f"clicklake release {named(refused.partition)} --reason '…'"


def named(refused: Partition) -> str:
    """A refused partition, as arguments of `clicklake quarantine show` and `clicklake release`."""
    site = f" --site {shlex.quote(refused.site)}" if refused.site else ""
    return f"{day_text(refused.day)} --table {refused.table}{site}"


def what_to_do(lake: Lake, days: Collection[date]) -> str:
    """Advice for the end of a run: the commands that show and, if possible, release the first refused partition of
    these days, and how many more there are. Empty if none is refused."""
    try:
        refused = refused_partitions(lake, days)
    except ClicklakeError:  # the run already fails for another reason
        return ""
    if not refused:
        return ""
    accepts = accept(refused[0])
    release = f". To accept it as it is: {accepts}" if accepts else ""
    more = f"; {len(refused) - 1} more: clicklake quarantine list" if len(refused) > 1 else ""
    return f"To look at {refused[0]}: {look_at(refused[0])}{release}{more}"
