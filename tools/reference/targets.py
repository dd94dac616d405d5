"""The page of targets, from `orchestration/publishing/targets/`."""

from __future__ import annotations

from typing import Any

from orchestration.publishing.mongodb_target import CollectionTarget
from orchestration.publishing.target import Target
from orchestration.publishing.targets import TARGETS
from tools.reference.markdown import code, table


def targets() -> str:
    return "\n\n".join(map(_section, TARGETS))


def _section(target: Target[Any]) -> str:
    facts = [
        f"- Mart: `{target.mart.name}`, by its `{target.mart.partition_by}`",
        *([f"- Collection of MongoDB: `{target.collection}`"] if isinstance(target, CollectionTarget) else []),
        f"- Key: {code(*target.key)}",
        f"- A day is compared with the mart by: {code(target.count, *target.measures)}",
    ]
    effect = {True: "refuses the day", False: "warns"}
    checks = table(
        ["check", "if it fails, it", "what it requires"],
        ([code(check.name), effect[check.blocks], check.description] for check in target.checks),
    )
    return "\n\n".join([f"## {target.name}", target.description, "\n".join(facts), checks])
