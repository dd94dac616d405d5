"""Translates dbt's manifest for Dagster: keys, groups, kinds and owners of models and seeds, and their tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from ingest.schema import RAW, Column
from orchestration.dagster_internals.light_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    build_dbt_asset_specs,
)
from orchestration.partitions import daily
from orchestration.raw.assets import RAW_ASSETS
from orchestration.step import partitioned_check

Manifest = Mapping[str, Any]
Properties = Mapping[str, Any]  # of a node in the manifest


def model_key(name: str) -> dg.AssetKey:
    """The asset key of a model or seed: its name in dbt."""
    return dg.AssetKey(name)


def model_name(key: dg.AssetKey) -> str:
    """The name of an asset's model or seed in dbt."""
    return key.path[-1]


class Translator(DagsterDbtTranslator):
    """Reads the `meta` of models and seeds: `dagster: {owners: …}` as in dagster-dbt, `kinds: …` for kinds in addition
    to dbt and its engine, `rows_of: …` for the columns of a raw dataset."""

    def get_asset_key(self, dbt_resource_props: Properties) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return RAW_ASSETS[dbt_resource_props["identifier"]]
        return model_key(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Properties) -> str | None:
        """The model's folder below its layer, such as `sessions` for `models/marts/sessions/…` and its staging; a model
        without such a folder has its layer as group. Seeds are in `seeds`."""
        if dbt_resource_props["resource_type"] != "model":
            return "seeds"
        _, layer, *below = dbt_resource_props["fqn"]
        return below[0] if len(below) > 1 else layer

    def get_partitions_def(self, dbt_resource_props: Properties) -> dg.PartitionsDefinition[str]:
        return daily

    def get_asset_spec(self, manifest: Manifest, unique_id: str, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        properties = self.get_resource_props(manifest, unique_id)
        spec = spec.replace_attributes(kinds=spec.kinds.union(properties["meta"].get("kinds", ())))
        columns = RAW.get(properties["meta"].get("rows_of"), ())
        return spec.merge_attributes(metadata=_table_schema(columns, properties)) if columns else spec


def _table_schema(raw: Iterable[Column], properties: Properties) -> Mapping[str, Any]:
    columns = [(each.name, each.sql_type, each.description) for each in raw]
    columns += [(each["name"], each["data_type"], each["description"]) for each in properties["columns"].values()]
    schema = dg.TableSchema([dg.TableColumn(name, type_, description) for name, type_, description in columns])
    return {"dagster/column_schema": schema}


def specs_of(manifest: Manifest) -> list[dg.AssetSpec]:
    """An asset spec for each model and seed."""
    # Two dbt sources may read the same raw files, each for its own days.
    translator = Translator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
    return list(build_dbt_asset_specs(manifest=manifest, dagster_dbt_translator=translator))


def checks_of(manifest: Manifest) -> dict[str, dg.AssetCheckSpec]:
    """Test's unique id → check, for each data test of a model or seed."""
    checks = {}
    for unique_id, node in manifest["nodes"].items():
        tested = _tested(manifest, node)
        if tested is not None:
            checks[unique_id] = partitioned_check(
                node["name"],
                model_key(tested["name"]),
                _meaning(manifest, node),
                blocking=node["config"].get("severity", "error").lower() == "error",
            )
    return checks


def _meaning(manifest: Manifest, test: Properties) -> str | None:
    """What a test requires: its own description, else the description of its generic test with the columns."""
    text, columns = test["description"], []
    if not text and (generic := test.get("test_metadata")):
        ids = [id_ for id_ in test["depends_on"]["macros"] if id_.endswith(f".test_{generic['name']}")]
        text, columns = manifest["macros"][ids[0]]["description"], generic["kwargs"].get("columns", [])
    text = " ".join(text.split()).removesuffix(".")
    return (f"{text}: {', '.join(columns)}" if columns else text) or None


def _tested(manifest: Manifest, node: Properties) -> Properties | None:
    """The model that a test is about: the one it is attached to, else the lowest of the models that it reads."""
    if node["resource_type"] != "test":
        return None
    if node.get("attached_node"):
        return manifest["nodes"].get(node["attached_node"])
    parents = [parent for parent in node["depends_on"]["nodes"] if parent in manifest["nodes"]]
    above = _above(manifest, parents)
    lowest = [parent for parent in parents if parent not in above]
    return manifest["nodes"][lowest[-1]] if lowest else None


def _above(manifest: Manifest, models: Iterable[str]) -> set[str]:
    """All ancestors of some models."""
    above: set[str] = set()
    news = set(models)
    while news := {parent for each in news for parent in manifest["parent_map"].get(each, ())} - above:
        above |= news
    return above
