"""Verdicts of checks on single days of a run.

Private: the target of an evaluation, the mark of an output that reports nothing, the statuses of recorded checks, and a
logger's name. Without the target, Dagster takes a verdict on a day for an old one and hides it. Without the mark, it
adds a materialization for every partition of a range. Without the logger's level, it warns that each blocking check
"emitted no result": these checks report day by day, and a refused day is never put in place, so that nothing downstream
needs to wait for them. Public way: `AssetCheckResult` with a partition, which so far applies to whole steps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as Target,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

__all__ = ["NO_EVENTS", "Target", "last_materialization", "newer_verdicts"]

# For an output with this mark Dagster adds no materialization for every partition of the range.
NO_EVENTS = {SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}

logging.getLogger("dagster._core.execution.plan.active").setLevel(logging.ERROR)

_ENDED = {AssetCheckExecutionRecordStatus.FAILED: False, AssetCheckExecutionRecordStatus.SUCCEEDED: True}


def last_materialization(instance: dg.DagsterInstance, key: dg.AssetKey, partition_key: str) -> Target | None:
    """The last materialization of a partition, which a verdict has to name; None if there is none."""
    found = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=[partition_key]), limit=1)
    for last in found.records:
        return Target(storage_id=last.storage_id, run_id=last.run_id, timestamp=last.timestamp)
    return None


def newer_verdicts(
    instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey], after: int | None
) -> list[tuple[Any, bool | None, int]]:
    """((check, partition), whether it passed, id of its record) for partitions judged after the record `after`. Whether
    it passed is None for a check that has not ended."""
    news = instance.event_log_storage.get_asset_check_partition_info(list(checks), after_storage_id=after)
    return [
        (
            (verdict.check_key, verdict.partition_key),
            _ENDED.get(verdict.latest_execution_status),
            verdict.latest_check_event_storage_id,
        )
        for verdict in news
    ]
