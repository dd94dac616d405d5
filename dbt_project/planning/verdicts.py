"""The verdict on each lake_table of a run and on each of its days: which days are published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

from dbt_project.planning.graph import Graph, Node
from dbt_project.planning.plan import Plan
from ingest.days import day_text
from ingest.lake.layout import Partition

# published: built, every blocking test passed, and every lake_table that it reads is published.
# refused: the build failed, or a blocking test failed.
# skipped: not judged, because a node above it failed or a test did not run.
# absent: raw has no file of the day in a source above; the day waits for it.
Status = Literal["published", "refused", "skipped", "absent"]


@dataclass(frozen=True)
class Result:
    """dbt's result for a node that it has run. The status of a model is success, error or skipped; the status of a test
    is pass, warn, fail, error or skipped."""

    id: str
    name: str
    status: str
    message: str | None = None
    failures: int | None = None


@dataclass(frozen=True)
class Reason:
    check: str
    message: str
    failures: int | None = None


@dataclass(frozen=True)
class Verdict:
    status: Status
    reasons: tuple[Reason, ...] = ()

    @property
    def why(self) -> str:
        return "; ".join(reason.message for reason in self.reasons)


@dataclass
class Judged:
    """A lake_table, its verdict, and the verdict on each of its days in order; `is_built` if its rows exist."""

    node: Node
    verdict: Verdict
    is_built: bool
    days: dict[date, Verdict] = field(default_factory=dict)

    @property
    def warnings(self) -> list[str]:
        if self.verdict.status != "published":
            return [f"{self.node.name} is not published: {self.verdict.why}"]
        absent = [(day, verdict) for day, verdict in self.days.items() if verdict.status == "absent"]
        return [f"{self.node.name} {day} is not published: {verdict.why}" for day, verdict in absent]

    def days_with(self, *statuses: Status) -> list[date]:
        return [day for day, verdict in self.days.items() if verdict.status in statuses]

    def entries(self, *statuses: Status) -> list[dict[str, Any]]:
        """The report's entries for the days with one of these statuses."""
        return [self.entry(day) for day in self.days_with(*statuses)]

    def entry(self, day: date) -> dict[str, Any]:
        """The report's entry for a day; rows, bytes and seconds are filled in when its file is written."""
        verdict = self.days[day]
        return {
            "model": self.node.name,
            "day": day_text(day),
            "status": verdict.status,
            "rows": None,
            "bytes": None,
            "seconds": 0,
            "reasons": [asdict(reason) for reason in verdict.reasons],
        }


def publication(judged: Judged, folder: str) -> dict[str, Any]:
    """The files to write for a lake_table's published days.

    Returns:
        `paths`: day → path of its staged file in `folder`. `files`: {staged, key, settles, entries} of each file to put
        in place, with its report entries. A snapshot has one file for all days of the window.
    """
    node, mart = judged.node, judged.node.mart
    paths: dict[str, str] = {}
    files: list[dict[str, Any]] = []
    for day in judged.days_with("published"):
        if not (node.is_snapshot and files):
            staged = paths[day_text(day)] = staged_path(folder, node, day)
            files.append({"staged": staged, "key": mart.file(day), "settles": mart.quarantine(day), "entries": []})
        files[-1]["entries"].append(judged.entry(day))
    return {"paths": paths, "files": files}


def quarantine(judged: Judged, folder: str) -> dict[str, Any]:
    """The files to write for a lake_table's refused days: `paths` as in `publication`, and {staged, folder, rows,
    verdict, entry} of each day in quarantine. `staged` is None if the lake_table was not built."""
    refused = [Partition(judged.node.name, day) for day in judged.days_with("refused")]
    paths = {day_text(each.day): staged_path(folder, judged.node, each.day) for each in refused if judged.is_built}
    files = [
        {
            "staged": paths.get(day_text(each.day)),
            "folder": each.quarantine,
            "rows": each.refused_rows_file(),
            "verdict": each.verdict_file,
            "entry": judged.entry(each.day),
        }
        for each in refused
    ]
    return {"paths": paths, "files": files}


def staged_path(folder: str, node: Node, day: date) -> str:
    """Where a run writes a lake_table's day, laid out as a mart is, so that the day is a column of what is read."""
    return f"{folder}/{node.mart.file(day)}" if node.partition_by else f"{folder}/{node.name}-{day_text(day)}.parquet"


def judge(plan: Plan, results: Iterable[Result], is_empty: bool = False) -> list[Judged]:
    """The verdicts on all lake_tables that dbt has run, in dbt's order: a model comes after its parents.

    Args:
        is_empty: dbt built with `--empty`.
    """
    by_id = {result.id: result for result in results}
    verdicts: dict[str, Verdict] = {}
    found = []
    for id_, result in by_id.items():
        node = plan.graph.nodes.get(id_)
        if node is None or not node.is_lake_table:
            continue
        verdict = verdicts[id_] = verdict_on(plan.graph, node, by_id, verdicts, is_empty)
        absent = absent_days(plan, node) if verdict.status == "published" else {}
        days = sorted({*plan.built_days(node), *plan.window})
        found.append(Judged(node, verdict, result.status == "success", {day: absent.get(day, verdict) for day in days}))
    return found


def verdict_on(
    graph: Graph, node: Node, results: Mapping[str, Result], verdicts: Mapping[str, Verdict], is_empty: bool = False
) -> Verdict:
    """The verdict on a lake_table as a whole.

    Args:
        verdicts: node id → verdict on each lake_table that was judged earlier in this run.
    """
    result = results[node.id]
    if result.status == "error":
        return Verdict("refused", (Reason(node.name, str(result.message)),))
    if result.status != "success":
        return Verdict("skipped", tuple(failures_above(graph, node, results.values())))
    tests = graph.blocking_tests(node)
    failed, missing = _of_tests(tests, results)
    if failed:
        return Verdict("refused", tuple(failed))
    if missing and len(missing) == len(tests):
        return _skipped(node, "none of its tests ran. Use dbt build, which tests what it builds")
    if missing:
        return Verdict("skipped", tuple(missing))
    if is_empty:
        return _skipped(node, "it was built with --empty")
    for id_ in graph.ancestors(node.id):
        if id_ in verdicts and verdicts[id_].status != "published":
            name = graph.nodes[id_].name
            return Verdict("skipped", (Reason(name, f"{name}, which it is made from, is not published"),))
    return Verdict("published")


def _skipped(node: Node, message: str) -> Verdict:
    return Verdict("skipped", (Reason(node.name, message),))


def _of_tests(tests: Sequence[Node], results: Mapping[str, Result]) -> tuple[list[Reason], list[Reason]]:
    """Reasons for the tests that failed, and for the tests that did not run."""
    failed, missing = [], []
    for test in tests:
        result = results.get(test.id)
        if result is None or result.status == "skipped":
            missing.append(Reason(test.name, f"test {test.name} did not run"))
        elif result.status in ("fail", "error"):
            failed.append(Reason(test.name, f"{test.name}: {result.message}", result.failures))
    return failed, missing


def failures_above(graph: Graph, node: Node, results: Iterable[Result]) -> list[Reason]:
    """The failed nodes above a skipped model, and the failed tests of nodes above it, as reasons."""
    above = set(graph.ancestors(node.id))
    found = []
    for result in results:
        if result.status not in ("fail", "error"):
            continue
        failed = graph.nodes.get(result.id)
        tested = failed.parents if failed and failed.kind == "test" else ()
        if result.id in above or above & set(tested):
            found.append(Reason(result.name, f"{result.name}: {result.message}", result.failures))
    return found or [Reason(node.name, "dbt did not build it")]


def absent_days(plan: Plan, node: Node) -> dict[date, Verdict]:
    """The days of the window without a raw file in a source above. Such a day would have no rows, and must not replace
    a published day."""
    read = {source.id for source in plan.inputs.sources}
    found = {}
    for source in plan.graph.sources_above(node):
        for day in plan.days_without_file(source, plan.window) if source.id in read else ():
            message = f"raw {source.name} has nothing published of source date {day}"
            found[day] = Verdict("absent", (Reason(source.name, message),))
    return found
