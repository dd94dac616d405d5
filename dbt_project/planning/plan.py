"""The days that a run builds, inside and around its window, and the files of the lake that it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from dbt_project.planning.graph import Graph, Node
from dbt_project.planning.window import Around, around, shifted
from ingest.lake.layout import Partition, raw_folder

BUILDS = ("build", "run")  # dbt's commands that make tables
ListKeys = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]


class SelectionError(ValueError):
    """A command cannot run with its arguments; the message says how to correct them."""


@dataclass
class Inputs:
    """The selected lake_tables and the inputs of all selected nodes, in the order of node ids.

    sources, published: inputs in the lake that this run does not build.
    missing: inputs that exist only in the memory of a run that builds them.
    """

    lake_tables: list[Node] = field(default_factory=list)
    sources: list[Node] = field(default_factory=list)
    published: list[Node] = field(default_factory=list)
    missing: list[Node] = field(default_factory=list)


@dataclass
class Plan:
    """The plan of one run. Each folder is listed once, so files that the run publishes do not change the plan.

    Args:
        command: dbt's command: build, run, test, compile …
        window: days of the run; empty for commands without a window, which read all days.
        list_keys: function from folders of the lake to the keys of the data files below each folder.
        unused: raw sources that this lake is used without. They count as empty on every day.
        settled_through: last day of the summary of identities that the run reads instead of their days (settled.py).
    """

    graph: Graph
    command: str
    window: Sequence[date]
    list_keys: ListKeys
    unused: frozenset[str] = frozenset()
    settled_through: date | None = None
    _listings: dict[str, Sequence[str]] = field(default_factory=dict)
    _built: dict[str, list[date]] = field(default_factory=dict)

    @cached_property
    def inputs(self) -> Inputs:
        found = Inputs()
        read: dict[str, Node] = {}
        for id_ in sorted(self.graph.selected & self.graph.nodes.keys()):
            node = self.graph.nodes[id_]
            if node.is_lake_table:
                found.lake_tables.append(node)
            for parent in map(self.graph.nodes.get, node.parents):
                if parent and (parent.id not in self.graph.selected or parent.kind == "source"):
                    read.setdefault(parent.id, parent)
        for node in read.values():
            kind = found.sources if node.kind == "source" else found.published if node.is_lake_table else found.missing
            kind.append(node)
        if self.command == "test":
            found.published += [node for node in found.lake_tables if node.id not in read]
        return found

    def check(self) -> None:
        """
        Raises:
            SelectionError: an input is missing, a build has no window, or a selected lake_table has no blocking test.
        """
        if self.inputs.missing:
            names = ", ".join(node.name for node in self.inputs.missing)
            raise SelectionError(
                f"This selection reads {names}, which exist only in the memory of a run that builds them. Select them "
                "too: dbt build --select +<model>. To test published days alone: dbt test --select <model> "
                "--indirect-selection cautious. For unit tests: dbt test --select test_type:unit"
            )
        if self.is_building:
            require_window(self.window, self.inputs.lake_tables[0].name)
        unaudited = [node.name for node in self.inputs.lake_tables if not self.graph.blocking_tests(node)]
        if self.command == "build" and unaudited:
            raise SelectionError(
                f"{', '.join(unaudited)}: a lake_table is published when its tests pass, and this one has none. Give "
                "it at least one data test of severity error"
            )

    @property
    def is_building(self) -> bool:
        """Whether this run builds marts. Such a run needs the lock of the marts: it reads days around its window and
        the whole history, so two runs at once would each miss the files that the other publishes."""
        return self.command in BUILDS and bool(self.inputs.lake_tables)

    def look(self) -> None:
        """Lists all folders that the run needs, in few requests, before the run changes any of them."""
        self.listed([node.mart.folder for node in (*self.inputs.lake_tables, *self.inputs.published)])
        for source in self.inputs.sources:
            self.source_keys(source)
        for node in self.inputs.lake_tables:
            self.built_days(node)

    def listed(self, folders: Iterable[str]) -> list[str]:
        """Keys of the files below folders, as first listed in this run."""
        wanted = list(dict.fromkeys(folders))
        if unknown := [folder for folder in wanted if folder not in self._listings]:
            self._listings.update(self.list_keys(unknown))
        return [key for folder in wanted for key in self._listings[folder]]

    def published_days(self, node: Node) -> list[date]:
        """Days for which a model has a published file; none for a snapshot."""
        if node.partition_by is None:
            return []
        days = map(node.mart.day_of, self.listed([node.mart.folder]))
        return [day for day in days if day]

    def built_days(self, node: Node) -> list[date]:
        """The days of a lake_table that the run builds: the days of the window. A model that restates also builds its
        published days around the window. It leaves out every day whose inputs are missing, so that the other days get
        the same rows as in a run of their own."""
        if node.restates is None or not self.window:
            return list(self.window)
        if node.name not in self._built:
            days = [*self.window, *self._restated_days(node, node.restates)]
            self._built[node.name] = sorted(self.makeable_days(node, days))
        return self._built[node.name]

    def _restated_days(self, node: Node, restates: Around) -> list[date]:
        first, last = shifted(self.window[0], -restates.before), shifted(self.window[-1], restates.after)
        return [day for day in self.published_days(node) if first <= day <= last and day not in self.window]

    def makeable_days(self, node: Node, days: Sequence[date]) -> list[date]:
        """The days whose inputs exist: each source has a raw file of the day, and each selected mart above that
        restates builds the day. For a day around the window, it is enough that the mart above has published it."""
        absent: set[date] = set()
        for above in map(self.graph.nodes.get, self.graph.ancestors(node.id)):
            if above is None:
                continue
            if above.kind == "source":
                absent |= set(self.days_without_file(above, days))
            elif above.is_lake_table and above.restates and above.id in self.graph.selected:
                built, published = set(self.built_days(above)), set(self.published_days(above))
                absent |= {day for day in days if day not in built and (day in self.window or day not in published)}
        return [day for day in days if day not in absent]

    def days_without_file(self, source: Node, days: Sequence[date]) -> list[date]:
        """The days that were never ingested, or whose raw files are gone: ingest writes a file for its own source date
        even when the day has no rows. None of a source that is not used."""
        if source.name in self.unused:
            return []
        self.listed([raw_folder(source.name, day) for day in days])  # one request for all days
        own = {day: Partition(source.name, day).raw_folder(day) for day in days}
        return [
            day
            for day in days
            if not any(key.startswith(own[day]) for key in self.listed([raw_folder(source.name, day)]))
        ]

    def source_days(self, source: Node) -> list[date]:
        """The event dates of a source that the run reads: the window, or the built days of the model in `scope_of` and
        the days around them."""
        if source.scope_of is None:
            return list(self.window)
        return around(self.built_days(self.known_model(source.scope_of)), source.scope)

    def source_keys(self, source: Node) -> list[str]:
        wanted = self.source_days(source)
        self.listed([raw_folder(source.name, day) for day in (*self.window, *wanted)])
        return self.listed([raw_folder(source.name, day) for day in wanted])

    def published_keys(
        self, node: Node, first: date | None = None, last: date | None = None, without: Iterable[date] = ()
    ) -> list[str]:
        """Files of a model's published days: all, or those from `first` to `last`, both included; some left out."""
        if node.is_snapshot:
            return self.listed([node.mart.folder])
        left_out = set(without)
        return [
            node.mart.file(day)
            for day in self.published_days(node)
            if day not in left_out and (first is None or day >= first) and (last is None or day <= last)
        ]

    def view_keys(self, node: Node) -> list[str]:
        """Keys of a lake_table's files that the run reads and does not build."""
        return self.published_keys(node, *self._neighbourhood(node))

    def views(self) -> Iterator[tuple[Node, list[str]]]:
        """The nodes that need a view before the run builds anything, each with the keys of its files: the inputs that
        the run does not build. A run of unit tests also needs empty views of all other nodes, because dbt asks the
        engine for the column types of their inputs and this engine starts empty."""
        found = [(source, self.source_keys(source)) for source in self.inputs.sources]
        found += [(node, self.view_keys(node)) for node in self.inputs.published]
        yield from found
        if self.command == "test" and any(id_.startswith("unit_test.") for id_ in self.graph.selected):
            known = {node.id for node, _ in found}
            yield from (
                (node, []) for id_, node in self.graph.nodes.items() if node.kind != "test" and id_ not in known
            )

    def neighbour_keys(self, node: Node) -> list[str]:
        """Keys of the published days around the built days that a model's view also shows."""
        if node.neighbour_days == 0 or node.is_snapshot:
            return []
        return self.published_keys(node, *self._neighbourhood(node), without=self.built_days(node))

    def released_days(self, test: Node) -> list[tuple[Node, list[date]]]:
        """The lake_tables that a test judges, each with the days whose release excuses a failure. A window of several
        days has no such days, because nobody could tell whether the failing rows are the released ones. The caller
        splits a refused window in halves."""
        return [(node, self.built_days(node) if len(self.window) == 1 else []) for node in self.graph.judged_by(test)]

    def _neighbourhood(self, node: Node) -> tuple[date | None, date | None]:
        """First and last day of the window with the neighbour days around it; (None, None) means all days."""
        if node.neighbour_days == "unsettled" and self.settled_through:
            return shifted(self.settled_through, 1), None
        if isinstance(node.neighbour_days, str) or not self.window:
            return None, None
        return shifted(self.window[0], -node.neighbour_days), shifted(self.window[-1], node.neighbour_days)

    def keys_before(self, node: Node, days: int) -> list[str]:
        """Keys of a model's published days that the run does not build, from `days` days before the first built day to
        the last one; for a model that reads its own past."""
        built = self.built_days(node)
        return self.published_keys(node, shifted(built[0], -days), built[-1], built) if built else []

    def days_of_marts(self, nodes: Sequence[Node]) -> list[date]:
        """The days that any of these models has published or builds in this run, in order."""
        found = {day for node in nodes for day in self.published_days(node)}
        found |= {day for node in nodes for day in self.makeable_days(node, self.built_days(node))}
        return sorted(found)

    def known_model(self, name: str) -> Node:
        """
        Raises:
            SelectionError: no model has this name.
        """
        node = self.graph.model(name)
        if node is None:
            raise SelectionError(
                f"There is no model {name}. Correct the name in the macro or property that asks for it"
            )
        return node


def require_window(window: Sequence[date], wanted_by: str) -> None:
    """
    Raises:
        SelectionError: the window is empty.
    """
    if not window:
        raise SelectionError(
            f"{wanted_by} is built for a window of days, and none was given. Name it, the end not included: dbt build "
            "--event-time-start 2026-01-12 --event-time-end 2026-01-13"
        )
