"""The rooms of the code, and which of them may import which: `python -m tools.rooms` draws them into
docs/architecture.md. A test fails if the picture is stale or a room imports one that it must not."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: python -m tools.rooms -->", "<!-- end of rooms -->"

# Each room may import the rooms above it, and all rooms may import `TOP`, which imports no other code of ours. A file
# belongs to the room with the longest name that matches: `orchestration` has the files outside its packages.
TOP = ("ingest.days", "ingest.errors", "ingest.schema", "ingest.shown", "ingest.words")
ROOMS = (
    "ingest.native",
    "ingest.lake",
    "ingest.rows",
    "ingest.source",
    "ingest.access_logs",
    "ingest.events",
    "ingest.rules",
    "ingest.partition",
    "dbt_project",
    "demo",
    "orchestration.dagster_internals",
    "orchestration",
    "orchestration.raw",
    "orchestration.marts",
    "orchestration.publishing",
    "orchestration.alerts",
    "orchestration.operations",
    "orchestration.observability",
    "orchestration.definitions",
    "orchestration.cli",
)
# Pairs of rooms that must not import each other, although one is listed first.
APART = {
    ("ingest.lake", "ingest.native"),
    ("ingest.source", "ingest.native"),
    ("ingest.rows", "ingest.lake"),
    ("ingest.source", "ingest.lake"),
    ("ingest.access_logs", "ingest.lake"),
    ("ingest.events", "ingest.lake"),
    ("ingest.events", "ingest.access_logs"),
    ("dbt_project", "ingest.access_logs"),
    ("dbt_project", "ingest.events"),
}


def room_of(module: str) -> str | None:
    """The room of a module; None if it is not ours."""
    found = [room for room in (*TOP, *ROOMS) if f"{module}.".startswith(f"{room}.")]
    return max(found, key=len, default=None)


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def imports() -> dict[tuple[str, str], set[str]]:
    """(room, room that it imports) → files with such an import."""
    found: dict[tuple[str, str], set[str]] = {}
    for package in ("ingest", "dbt_project", "orchestration", "demo"):
        for path in sorted((ROOT / package).rglob("*.py")):
            own = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for other in filter(None, map(room_of, imported(path))):
                if own and own != other:
                    found.setdefault((own, other), set()).add(str(path.relative_to(ROOT)))
    return found


def goes_wrong(own: str, other: str) -> bool:
    """Whether a room must not import another."""
    if other in TOP:
        return False
    return own in TOP or (own, other) in APART or ROOMS.index(other) > ROOMS.index(own)


def picture() -> str:
    """The rooms as a Mermaid graph of imports, without those of `TOP`."""
    lines = ["```mermaid", "graph BT"]
    arrows = shortest({pair for pair in imports() if pair[1] not in TOP and pair[0] not in TOP})
    lines += [f"    {own.replace('.', '_')}[{own}] --> {other.replace('.', '_')}[{other}]" for own, other in arrows]
    return "\n".join([*lines, "```"])


def shortest(arrows: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows between rooms, sorted, without those that a path along other arrows replaces."""
    to: dict[str, set[str]] = {}
    for own, other in arrows:
        to.setdefault(own, set()).add(other)

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(other) for other in to.get(room, ())))

    return sorted(
        (own, other) for own, other in arrows if not any(other in reached(third) for third in to[own] - {other})
    )


def page(text: str) -> str:
    """The page with the current picture."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{picture()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
