"""Jobs: the assets that one run builds together."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import dagster as dg

from ingest.days import day_text
from orchestration.marts.known import DAILY_AGGREGATES
from orchestration.marts.translator import model_key
from orchestration.partitions import daily
from orchestration.publishing.assets import GROUP
from orchestration.raw.assets import RAW_ASSETS

_raw = dg.AssetSelection.assets(*RAW_ASSETS.values())
_targets = dg.AssetSelection.groups(GROUP)
_marts = _raw.downstream() - _raw - _targets
# The marts, and the seeds that they read, which no raw asset feeds.
_models = _marts | _marts.upstream() - _raw
_daily_aggregates = dg.AssetSelection.assets(model_key(DAILY_AGGREGATES.name))

daily_build = dg.define_asset_job(
    "daily_build",
    _raw | _models,
    description="Builds a source day from its logs and events to the marts. A sensor publishes it afterwards.",
    partitions_def=daily,
)
ingest = dg.define_asset_job(
    "ingest",
    _raw,
    description="Ingests a source day's logs and events to raw, and no further. Backfills begin with it.",
    partitions_def=daily,
)
restate = dg.define_asset_job(
    "restate",
    _models,
    description="Builds the marts of a day again, after late rows of another source day arrived for it.",
    partitions_def=daily,
)
publish = dg.define_asset_job(
    "publish",
    _targets,
    description="Publishes a day of a mart to every target that shows it.",
    partitions_def=daily,
)
pipeline = dg.define_asset_job(
    "pipeline",
    _raw | _models | _targets,
    description="Builds and publishes a source day in one run, as `clicklake run` does.",
    partitions_def=daily,
)
restate_and_publish = dg.define_asset_job(
    "restate_and_publish",
    _models | _targets,
    description="Builds the marts of days with late rows again, and publishes them, in one run.",
    partitions_def=daily,
)
# A run's own config replaces the job's in Dagster, so code that starts the job passes this.
INCREMENTAL: dict[str, Any] = {
    "ops": {asset.to_user_string(): {"config": {"incremental": True}} for asset in RAW_ASSETS.values()}
}


def only_if_news(days: Iterable[date]) -> dict[str, Any]:
    """The config of a run that leaves the raw rows of these days as they are, unless their objects have changed."""
    config = {"only_if_news": [day_text(day) for day in days]}
    return {"ops": {asset.to_user_string(): {"config": config} for asset in RAW_ASSETS.values()}}


refresh = dg.define_asset_job(
    "refresh",
    _raw | _daily_aggregates.upstream() | (_daily_aggregates.downstream(depth=1) & _targets),
    description="Takes in new objects of a day that is not over: raw, daily_aggregates and its targets. The other "
    "marts wait for daily_build.",
    partitions_def=daily,
    config=INCREMENTAL,
)

JOBS = [daily_build, ingest, restate, publish, pipeline, restate_and_publish, refresh]
