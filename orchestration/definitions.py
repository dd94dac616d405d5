"""Dagster's definitions, put together from the other modules. `clicklake dev` starts Dagster on them."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from dagster_duckdb import DuckDBResource

from orchestration.garbage import collect_seldom
from orchestration.home import warn_of_a_passing_home
from orchestration.logs import loggers
from orchestration.marts.assets import Dbt, build_dbt_models
from orchestration.observability.lineage import LINEAGE_SENSORS
from orchestration.operations.alerts import ALERT_SENSORS
from orchestration.operations.jobs import JOBS
from orchestration.operations.schedules import SCHEDULES
from orchestration.operations.sensors import sensors
from orchestration.publishing.assets import publishing_asset
from orchestration.publishing.target import Target
from orchestration.publishing.targets import TARGETS
from orchestration.quality import data_quality
from orchestration.raw.assets import raw_access_logs, raw_events
from orchestration.resources import Lakehouse


def build_defs(targets: Sequence[Target[Any]] = TARGETS, **resources: Any) -> dg.Definitions:
    """All definitions. `resources` replaces resources by name, such as `lakehouse`."""
    return dg.Definitions(
        assets=[raw_access_logs, raw_events, build_dbt_models(), *map(publishing_asset, targets), data_quality],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[*sensors(targets), *ALERT_SENSORS, *LINEAGE_SENSORS],
        resources={"lakehouse": Lakehouse(duckdb=DuckDBResource(database=":memory:")), "dbt": Dbt()} | resources,
        loggers=loggers(),
        # Steps share one process: a process for each would cost more than a small day's work.
        executor=dg.in_process_executor,
    )


collect_seldom()
warn_of_a_passing_home()
defs = build_defs()
