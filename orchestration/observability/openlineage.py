"""Runs as OpenLineage events (version 2-0-2 of the specification): what a run read and wrote, and how it ended.

Events are made from Dagster's records alone, so they can be made again. The sensor in `lineage.py` sends them.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, cast

import dagster as dg

from ingest.lake.layout import Mart, raw_folder
from orchestration.alerts.alert import plain
from orchestration.alerts.receivers import post_json
from orchestration.marts.translator import model_name
from orchestration.partitions import days_of_tags, next_day
from orchestration.publishing.target import Target
from orchestration.publishing.targets import TARGETS
from orchestration.raw.assets import RAW_ACCESS_LOGS, RAW_ASSETS, RAW_EVENTS
from orchestration.settings import Settings

SPEC = "https://openlineage.io/spec"
PRODUCER = f"urn:clicklake:{version('clicklake')}"
START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"
ENDS = {
    dg.DagsterRunStatus.SUCCESS: COMPLETE,
    dg.DagsterRunStatus.FAILURE: FAIL,
    dg.DagsterRunStatus.CANCELED: ABORT,
}
_IN_LAKE = "dagster/kind/parquet"

Dataset = dict[str, Any]


def send(settings: Settings, event: Mapping[str, Any]) -> None:
    """Posts one event. Raises DeliveryError if the receiver does not take it."""
    key = settings.openlineage_api_key
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    post_json(str(settings.openlineage_url), json.dumps(event), "the OpenLineage receiver", headers)


@dataclass
class Events:
    """Makes the events of runs.

    graph: Dagster's asset graph, which knows parents and columns.
    """

    settings: Settings
    instance: dg.DagsterInstance
    graph: Any
    targets: Iterable[Target[Any]] = TARGETS

    @cached_property
    def _places(self) -> dict[dg.AssetKey, tuple[str, str]]:
        """Asset of a target → namespace and name."""
        return {dg.AssetKey(target.name): target.place(self.settings) for target in self.targets}

    def start(self, record: dg.RunRecord) -> dict[str, Any]:
        began = record.start_time or record.create_timestamp.timestamp()
        return self._event(record, START, began)

    def end(self, record: dg.RunRecord) -> dict[str, Any]:
        """The end event with inputs and outputs. For a failed run the outputs are the days that it did publish."""
        written = _written(self.instance, record.dagster_run.run_id)
        outputs = {key: figures for key, figures in written.items() if self._is_kept(key)}
        ended = record.end_time or record.update_timestamp.timestamp()
        event = self._event(record, ENDS[record.dagster_run.status], ended)
        event["inputs"] = [self._dataset(key) for key in self._inputs(outputs)]
        event["inputs"] += [self._source(key) for key in sorted({RAW_ACCESS_LOGS, RAW_EVENTS} & set(outputs))]
        event["outputs"] = [self._output(key, figures) for key, figures in sorted(outputs.items())]
        if event["eventType"] == FAIL:
            message = self.settings.redacted(plain(_failure(self.instance, record.dagster_run.run_id)))
            facet = {"message": message, "programmingLanguage": "PYTHON"}
            event["run"]["facets"]["errorMessage"] = _facet("1-0-1", "ErrorMessageRunFacet", facet)
        return event

    def _event(self, record: dg.RunRecord, kind: str, at: float) -> dict[str, Any]:
        run = record.dagster_run
        return {
            "eventType": kind,
            "eventTime": dt.datetime.fromtimestamp(at, dt.UTC).isoformat(),
            "run": {"runId": run.run_id, "facets": _nominal_time(run)},
            "job": {"namespace": self.settings.openlineage_namespace, "name": run.job_name, "facets": {}},
            "inputs": [],
            "outputs": [],
            "producer": PRODUCER,
            "schemaURL": f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        }

    def _is_kept(self, key: dg.AssetKey) -> bool:
        """Whether an asset is stored in the lake or in a target; other assets exist only during a run."""
        return self.graph.has(key) and (_IN_LAKE in self.graph.get(key).tags or key in self._places)

    def _inputs(self, outputs: Iterable[dg.AssetKey]) -> list[dg.AssetKey]:
        """The nearest stored tables upstream of the outputs, without the outputs themselves."""
        written = set(outputs)
        found: set[dg.AssetKey] = set()
        seen: set[dg.AssetKey] = set()
        above = {parent for key in written for parent in self.graph.get(key).parent_keys}
        while above:
            kept = {key for key in above if self._is_kept(key)}
            found |= kept - written
            seen |= above
            above = {parent for key in above - kept for parent in self.graph.get(key).parent_keys} - seen
        return sorted(found)

    def _output(self, key: dg.AssetKey, figures: dict[str, int]) -> Dataset:
        statistics = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", dict(figures))
        return self._dataset(key) | {"outputFacets": {"outputStatistics": statistics} if figures else {}}

    def _dataset(self, key: dg.AssetKey) -> Dataset:
        if key in self._places:
            return _named(*self._places[key], {})
        datasets = {asset: dataset for dataset, asset in RAW_ASSETS.items()}
        folder = raw_folder(datasets[key]) if key in datasets else Mart(model_name(key)).folder
        facets = _schema(self.graph.get(key).metadata) if self.graph.has(key) else {}
        return _named(*_place(self.settings.lake, folder.rstrip("/")), facets)

    def _source(self, raw: dg.AssetKey) -> Dataset:
        return _named(*_place(str(self.settings.logs if raw == RAW_ACCESS_LOGS else self.settings.events)), {})


def _named(namespace: str, name: str, facets: dict[str, Any]) -> Dataset:
    return {"namespace": namespace, "name": name, "facets": facets}


def _place(url: str, folder: str = "") -> tuple[str, str]:
    """Namespace and name, by the specification's rules for S3 objects and files."""
    if url.startswith("s3://"):
        bucket, _, prefix = url.removeprefix("s3://").strip("/").partition("/")
        return f"s3://{bucket}", "/".join(filter(None, (prefix, folder))) or "/"
    return "file", "/".join(filter(None, (url.removeprefix("file://").rstrip("/"), folder)))


def _facet(spec: str, name: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{spec}/{name}.json#/$defs/{name}", **fields}


def _nominal_time(run: dg.DagsterRun) -> dict[str, Any]:
    """The facet with the days of a run; empty if the run names no day."""
    days = days_of_tags(run.tags)
    if not days:
        return {}
    fields = {"nominalStartTime": f"{days[0]}T00:00:00Z", "nominalEndTime": f"{next_day(days[-1])}T00:00:00Z"}
    return {"nominalTime": _facet("1-0-1", "NominalTimeRunFacet", fields)}


def _schema(metadata: Mapping[str, Any]) -> dict[str, Any]:
    schema = metadata.get("dagster/column_schema")
    schema = getattr(schema, "value", schema)
    if not isinstance(schema, dg.TableSchema):
        return {}
    fields = [
        {"name": column.name, "type": column.type, "description": column.description or ""} for column in schema.columns
    ]
    return {"schema": _facet("1-2-0", "SchemaDatasetFacet", {"fields": fields})}


def _written(instance: dg.DagsterInstance, run_id: str) -> dict[dg.AssetKey, dict[str, int]]:
    """Asset → rows and bytes, where known, of all partitions that the run materialized."""
    found: dict[dg.AssetKey, dict[str, int]] = {}
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
        made = entry.get_dagster_event().step_materialization_data.materialization
        figures = found.setdefault(made.asset_key, {})
        known = {"rowCount": made.metadata.get("dagster/partition_row_count"), "size": made.metadata.get("bytes")}
        for name, value in known.items():
            if value is not None:
                figures[name] = figures.get(name, 0) + int(cast(int, value.value))
    return found


def _failure(instance: dg.DagsterInstance, run_id: str) -> str:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        data = entry.get_dagster_event().step_failure_data
        if data.user_failure_data and data.user_failure_data.description:
            return data.user_failure_data.description
        if data.error:
            return (data.error.cause or data.error).message
    return "the run ended without a word of its steps"
