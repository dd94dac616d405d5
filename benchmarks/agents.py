"""Counts the robots that are recognized, and the people that are mistaken for one, in public lists of user agents.

    python -m benchmarks.agents robots=FILE people=FILE …

A list is a file with one agent a line, or JSON: a list of texts or of objects with `userAgent`, `useragent` or
`instances`. Each agent counts once. Mail proxies are counted separately, because they are neither. `FILE` may be in an
unpacked package of a registry; docs/benchmarks.md names the files of its figures. The command also works on older
versions of the project, which only tell robots from people.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.rows.enrich import parse_user_agent


def read_agents(path: Path) -> list[str]:
    """The distinct agents of a list, in order."""
    text = path.read_text("utf-8", "replace")
    if path.suffix == ".jsonl":
        found = list(_texts([json.loads(line) for line in text.splitlines()]))
    elif path.suffix == ".json":
        found = list(_texts(json.loads(text)))
    else:
        found = text.splitlines()
    return list(dict.fromkeys(agent.strip() for agent in found if agent.strip()))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name in ("userAgent", "useragent", "instances"):
            yield from _texts(value.get(name, []))


def main(arguments: list[str]) -> None:
    print(f"{'list':8} {'agents':>8} {'robots':>8} {'mail':>6} {'share':>8} {'µs each':>8}  file")
    for argument in arguments:
        kind, _, name = argument.partition("=")
        agents = read_agents(Path(name))
        parse_user_agent("warm")
        start = time.process_time()
        found = [parse_user_agent(agent) for agent in agents]
        seconds = time.process_time() - start
        counted = Counter("mail" if each.device_category == "mail" else each.is_bot for each in found)
        whole = len(agents) - counted["mail"]
        print(
            f"{kind:8} {len(agents):8,} {counted[True]:8,} {counted['mail']:6,} {counted[True] / whole:8.2%} "
            f"{seconds / len(agents) * 1e6:8.1f}  {Path(name).name}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
