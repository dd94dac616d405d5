"""The progress of Dagster's backfills.

Private: the filter by status, and a backfill's record of its partitions. Without it there are no metrics of backfills.
Public way: GraphQL's `partitionBackfills`, which needs a web server.
"""

from __future__ import annotations

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill

UNFINISHED = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


def unfinished(instance: dg.DagsterInstance) -> list[tuple[int, int]]:
    """(partitions to build, partitions built) of each backfill that is not finished."""
    return [_progress(instance, each) for each in instance.get_backfills(BulkActionsFilter(statuses=UNFINISHED))]


def _progress(instance: dg.DagsterInstance, backfill: PartitionBackfill) -> tuple[int, int]:
    """(partitions to build, partitions built). In a job's backfill each partition is a run."""
    data = backfill.asset_backfill_data
    if data is not None:
        built = data.materialized_subset.num_partitions_and_non_partitioned_assets
        return data.target_subset.num_partitions_and_non_partitioned_assets, built
    tags = {"dagster/backfill": backfill.backfill_id}
    ended = instance.get_runs_count(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.SUCCESS]))
    return len(backfill.partition_names or ()), ended
