"""A pytest plugin: tests marked `long` are series that find more the longer they run. They are left out by default;
`--long=all` runs them alone, `--long=part` a random fiftieth of them, by a seed that is printed and can be given
again. Those that take many minutes each, `long(part=False)`, are in no part."""

from __future__ import annotations

import random
import secrets
from typing import Any

import pytest

PART = 0.02


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", choices=("none", "part", "all"), default="none", help="run tests marked `long` alone")
    parser.addoption("--long-seed", type=int, help="the seed by which a part of them is chosen")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--long-seed") is None:
        of_all = getattr(config, "workerinput", {})  # what pytest-xdist tells a worker: all choose the same part
        config.option.long_seed = of_all.get("long_seed", secrets.randbelow(1 << 32))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["long_seed"] = node.config.option.long_seed


def pytest_report_header(config: pytest.Config) -> str | None:
    chosen = config.getoption("--long")
    return None if chosen == "none" else f"long series: {chosen}, --long-seed={config.option.long_seed}"


def is_in_part(item: pytest.Item) -> bool:
    return all(mark.kwargs.get("part", True) for mark in item.iter_markers("long"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen = config.getoption("--long")
    is_long = [item for item in items if item.get_closest_marker("long")]
    kept = is_long if chosen != "none" else [item for item in items if not item.get_closest_marker("long")]
    if chosen == "part" and is_long:
        number = max(1, round(len(is_long) * PART))
        shorter = [item for item in is_long if is_in_part(item)]
        picked = set(random.Random(config.option.long_seed).sample(range(len(shorter)), min(number, len(shorter))))
        kept = [item for index, item in enumerate(shorter) if index in picked]
    chosen_items = set(kept)
    left_out = [item for item in items if item not in chosen_items]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
