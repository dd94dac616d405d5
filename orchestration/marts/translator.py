"""dbt's manifest as Dagster sees it: keys, groups, kinds and owners of models and seeds, and what their tests check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from orchestration.dagster_internals.light_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    build_dbt_asset_specs,
)
from orchestration.partitions import daily
from orchestration.raw.assets import RAW_ASSETS
from orchestration.step import partitioned_check

Manifest = Mapping[str, Any]
Properties = Mapping[str, Any]  # of a node, as the manifest has them


def model_key(name: str) -> dg.AssetKey:
    """The asset of a model or seed is called what dbt calls it."""
    return dg.AssetKey(name)


def model_name(key: dg.AssetKey) -> str:
    """The model or seed of an asset."""
    return key.path[-1]


class Translator(DagsterDbtTranslator):
    """Owners are `meta: {dagster: {owners: …}}`, as dagster-dbt has them; `meta: {kinds: …}` are kinds beside dbt and
    its engine."""

    def get_asset_key(self, dbt_resource_props: Properties) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return RAW_ASSETS[dbt_resource_props["identifier"]]
        return model_key(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Properties) -> str | None:
        """Of a model the folder that it lies in: `models/marts/sessions/…` is of `sessions`, as its staging is."""
        if dbt_resource_props["resource_type"] != "model":
            return "seeds"
        _, layer, *below = dbt_resource_props["fqn"]
        return below[0] if len(below) > 1 else layer

    def get_partitions_def(self, dbt_resource_props: Properties) -> dg.PartitionsDefinition[str]:
        return daily

    def get_asset_spec(self, manifest: Manifest, unique_id: str, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        kinds = self.get_resource_props(manifest, unique_id)["meta"].get("kinds", ())
        return spec.replace_attributes(kinds=spec.kinds.union(kinds))


def specs_of(manifest: Manifest) -> list[dg.AssetSpec]:
    """Every model and seed."""
    # Two sources may read the same raw files, each of its own days.
    translator = Translator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
    return list(build_dbt_asset_specs(manifest=manifest, dagster_dbt_translator=translator))


def checks_of(manifest: Manifest) -> dict[str, dg.AssetCheckSpec]:
    """Test's unique id → check, of every data test that is about a model or seed."""
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
    """What a test asks for: its own description, else that of the test with arguments that it is, with its columns."""
    text, columns = test["description"], []
    if not text and (generic := test.get("test_metadata")):
        ids = [id_ for id_ in test["depends_on"]["macros"] if id_.endswith(f".test_{generic['name']}")]
        text, columns = manifest["macros"][ids[0]]["description"], generic["kwargs"].get("columns", [])
    text = " ".join(text.split()).removesuffix(".")
    return (f"{text}: {', '.join(columns)}" if columns else text) or None


def _tested(manifest: Manifest, node: Properties) -> Properties | None:
    """The model that a test is about: the one it is attached to, else the lowest of those that it reads."""
    if node["resource_type"] != "test":
        return None
    if node.get("attached_node"):
        return manifest["nodes"].get(node["attached_node"])
    parents = [parent for parent in node["depends_on"]["nodes"] if parent in manifest["nodes"]]
    above = _above(manifest, parents)
    lowest = [parent for parent in parents if parent not in above]
    return manifest["nodes"][lowest[-1]] if lowest else None


def _above(manifest: Manifest, models: Iterable[str]) -> set[str]:
    """All that some models are made from."""
    above: set[str] = set()
    news = set(models)
    while news := {parent for each in news for parent in manifest["parent_map"].get(each, ())} - above:
        above |= news
    return above
