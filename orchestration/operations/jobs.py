"""Jobs: what is run together."""

import dagster as dg

from orchestration.partitions import daily
from orchestration.publishing.assets import PUBLISHED_BY
from orchestration.raw.assets import RAW_ASSETS

_raw = dg.AssetSelection.assets(*RAW_ASSETS.values())
_entries = dg.AssetSelection.assets(*PUBLISHED_BY.values())
_marts = _raw.downstream() - _raw - _entries
# What a mart needs and no raw asset feeds: seeds.
_models = _marts | _marts.upstream() - _raw

daily_build = dg.define_asset_job(
    "daily_build",
    _raw | _models,
    description="A source day from its logs and events to the marts. Publishing follows by its own sensor.",
    partitions_def=daily,
)
ingest = dg.define_asset_job(
    "ingest",
    _raw,
    description="A source day's logs and events to raw, and no further. Backfills begin with it.",
    partitions_def=daily,
)
restate = dg.define_asset_job(
    "restate",
    _models,
    description="The marts of a day again, after late rows of another source day arrived for it.",
    partitions_def=daily,
)
publish = dg.define_asset_job(
    "publish",
    _entries,
    description="A published day of daily_aggregates and of campaign_performance to MongoDB.",
    partitions_def=daily,
)
pipeline = dg.define_asset_job(
    "pipeline",
    _raw | _models | _entries,
    description="Everything in one run, as `clicklake run` does it.",
    partitions_def=daily,
)
restate_and_publish = dg.define_asset_job(
    "restate_and_publish",
    _models | _entries,
    description="The marts of days that late rows arrived for, and their entries, in one run.",
    partitions_def=daily,
)

JOBS = [daily_build, ingest, restate, publish, pipeline, restate_and_publish]
