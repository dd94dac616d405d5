"""What dbt's DuckDB can ask and do: which days and files a run is about, and putting what it has made in place.

Only the bridge between SQL, the lake and `planning/`, where it is decided what is read and published. Arguments
and answers are JSON texts, since SQL functions have no others.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from dbt.adapters.duckdb.plugins import BasePlugin

from dbt_project.planning.graph import Graph, node_of
from dbt_project.planning.plan import BUILDS, Plan, SelectionError, require_window
from dbt_project.planning.variables import problems
from dbt_project.planning.verdicts import Result, judge, publication, quarantine
from dbt_project.planning.window import Around, around, iso, window
from dbt_project.reference_files import read_csv
from ingest.days import parse_day
from ingest.errors import SettingsError
from ingest.lake.files import Lake
from ingest.lake.layout import DATA_FILE, MARTS, RAW
from ingest.lake.s3 import S3Options

PREFIX = "CLICKLAKE_"


class Plugin(BasePlugin):
    """Loaded by dbt-duckdb for the project's one in-memory database."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self._lake: Lake | None = None
        self._stage: str | None = None
        self._scratch: str | None = None
        self._run = ""  # dbt's invocation_id; a process may have several
        self._plan: Plan | None = None
        self._report_path: Path | None = None
        self._has_reported = False
        self._at_exit = ExitStack()
        atexit.register(self._at_exit.close)

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        config.setdefault("memory_limit", _setting("DUCKDB_MEMORY_LIMIT") or "70%")
        # A folder for each process: DuckDB gives its spill files the same names in all of them.
        config.setdefault("temp_directory", f"{self.scratch}/spill")

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        self._lake = _lake_of_environment()
        if self._lake is not None:
            self._lake.attach(conn)
        functions: dict[Callable[..., Any], tuple[list[str], str]] = {
            self.lake_plan: (["VARCHAR"], "VARCHAR"),
            self.lake_days: (["VARCHAR"], "VARCHAR"),
            self.lake_judge: (["VARCHAR"], "VARCHAR"),
            self.lake_publish: (["VARCHAR"], "VARCHAR"),
            self.lake_quarantine: (["VARCHAR"], "BOOLEAN"),
            self.lake_reference: (["VARCHAR", "VARCHAR"], "VARCHAR"),
            self.lake_accepted: (["VARCHAR", "VARCHAR", "VARCHAR"], "BIGINT"),
        }
        for function, (parameters, returns) in functions.items():
            name = function.__name__
            conn.create_function(name, function, parameters, returns, side_effects=True)  # type: ignore[arg-type]
            # DuckDB complains at exit about Python functions that it still holds.
            self._at_exit.callback(_quietly, conn.remove_function, name)

    @property
    def lake(self) -> Lake:
        """The lake of this process. Unit tests and parsing need none, so it is missed only here.

        Raises:
            SettingsError: without CLICKLAKE_LAKE, or when it is no longer what the engine was made for.
        """
        lake = _lake_of_environment()
        if lake is None:
            raise SettingsError("CLICKLAKE_LAKE is not set. Set it to the lake: a folder or s3://bucket/prefix")
        if self._lake is None or (lake.url, lake.s3) != (self._lake.url, self._lake.s3):
            raise SettingsError(
                f"CLICKLAKE_LAKE or its S3 settings changed from {self._lake!r} to {lake!r} within one process, but "
                "the engine is kept for all of it. Run dbt in a process of its own for each lake"
            )
        return self._lake

    @property
    def scratch(self) -> str:
        """A folder of this process alone for what may be large; gone with it."""
        if self._scratch is None:
            folder = tempfile.TemporaryDirectory(
                prefix="clicklake-", dir=_setting("DUCKDB_TEMP_DIRECTORY"), ignore_cleanup_errors=True
            )
            self._scratch = self._at_exit.enter_context(folder)
        return self._scratch

    def lake_plan(self, request: str) -> str:
        """Plans the run, and makes ready what it needs: holds the lock of the marts where it builds some, until this
        process ends, and lists what it reads.

        Args:
            request: {run, command, start, end, selected, nodes, variables, report, prepares}; without `prepares`
                nothing is checked or locked, and the plan of this run stays, if there is one.

        Returns:
            {window, built: {model: days}, sources: {id: paths}, published: {id: paths}, judged: {test: [[table,
            days]]}}, or {error}.
        """
        asked = json.loads(request)
        if self._run != asked["run"] or asked["prepares"]:
            self._run = asked["run"]
            graph = Graph.of(map(node_of, asked["nodes"]), asked["selected"])
            self._plan = Plan(graph, asked["command"], window(asked["start"], asked["end"]), self._keys_below)
            self._report_path = Path(_setting("PUBLISH_REPORT") or asked["report"])
        assert self._plan is not None
        if not asked["prepares"]:
            return json.dumps(self._answer(self._plan, looks=False))
        try:
            return json.dumps(self._prepared(self._plan, asked["variables"]))
        except SelectionError as error:
            return json.dumps({"error": str(error)})

    def _prepared(self, plan: Plan, variables: dict[str, Any]) -> dict[str, Any]:
        if plan.command in BUILDS:
            self._report([])
        plan.check()
        if plan.is_building and (wrong := problems(variables, plan.graph)):
            raise SelectionError("; ".join(wrong) + ". dbt_project.yml explains each, and --vars sets one")
        if plan.is_building:
            self._at_exit.enter_context(self.lake.lock(MARTS))
        plan.look()
        return self._answer(plan, looks=True)

    def _answer(self, plan: Plan, looks: bool) -> dict[str, Any]:
        inputs = plan.inputs
        of_one_day = len(plan.window) == 1
        tests = [node for node in plan.graph.nodes.values() if node.kind == "test" and node.id in plan.graph.selected]
        return {
            "window": iso(plan.window),
            "built": {node.name: iso(plan.built_days(node)) for node in inputs.lake_tables} if looks else {},
            "sources": {node.id: self._files(plan.source_keys(node)) for node in inputs.sources} if looks else {},
            "published": {node.id: self._files(plan.view_keys(node)) for node in inputs.published} if looks else {},
            # Of several days nobody could tell whether the failing rows are those that were released. Whoever runs
            # windows halves what was refused.
            "judged": {
                test.id: [
                    [node.name, " ".join(iso(plan.built_days(node))) if of_one_day else ""]
                    for node in plan.graph.judged_by(test)
                ]
                for test in tests
            },
        }

    def _keys_below(self, folders: Sequence[str]) -> dict[str, list[str]]:
        return {
            folder: [file.key for file in self.lake.files(folder) if file.key.endswith("/" + DATA_FILE)]
            for folder in folders
        }

    def lake_days(self, request: str) -> str:
        """What a model asks of the plan while it is compiled.

        Args:
            request: {ask: built, of: model, before, after}, {ask: marts, of: [model]}, {ask: before, of: model, days},
                {ask: neighbours, of: model} or {ask: window, of: whoever needs one}.

        Returns:
            {days} of the first two, {files} of the next two, {error} where there is none.
        """
        asked, plan = json.loads(request), self._plan
        assert plan is not None  # `lake_plan` comes first
        try:
            return json.dumps(self._days(plan, asked))
        except SelectionError as error:
            return json.dumps({"error": str(error)})

    def _days(self, plan: Plan, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["ask"]:
            case "window":
                require_window(plan.window, asked["of"])
                return {}
            case "built":
                node = plan.graph.model(asked["of"])
                built = plan.built_days(node) if node else []
                return {"days": iso(around(built, Around(asked["before"], asked["after"]))) if node else None}
            case "marts":
                return {"days": iso(plan.days_of_marts([plan.known_model(name) for name in asked["of"]]))}
            case "before":
                node = plan.known_model(asked["of"])
                return {"files": self._files(plan.keys_before(node, asked["days"])), "partition_by": node.partition_by}
            case "neighbours":
                return {"files": self._files(plan.neighbour_keys(plan.known_model(asked["of"])))}
        raise ValueError(asked["ask"])

    def _files(self, keys: Iterable[str]) -> list[str]:
        """Local paths of files of the lake, which stay as they are now for all of this run.

        A file on S3 is fetched whole: a run reads it a dozen times, and DuckDB would ask S3 some five times for
        each of them, from Python and one after the other. Of raw files, which another run may replace meanwhile, a
        folder gives a second name; marts are this run's, which holds their lock.
        """
        return sorted(map(self._file, keys))

    def _file(self, key: str) -> str:
        if not (self.lake.is_s3 or key.startswith(f"{RAW}/")):
            return self.lake.path(key)
        local = Path(self.scratch if self.lake.is_s3 else self._staging) / "lake" / key
        if not local.exists():
            local.parent.mkdir(parents=True, exist_ok=True)
            self.lake.fetch(key, local)
        return str(local)

    def lake_reference(self, key: str, types: str) -> str:
        """Local path of a Parquet file with the rows of a CSV file of the lake; empty where there is no such file.

        Args:
            types: column → type, as JSON.
        """
        if not self.lake.exists(key):
            return ""
        table = read_csv(self.lake.read_bytes(key), key, json.loads(types))
        local = Path(self.scratch) / f"{key}.parquet"
        local.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, local)
        return str(local)

    @property
    def _staging(self) -> str:
        """This run's private folder, from which `lake_publish` is one rename or one upload."""
        if self._stage is None:
            self._stage = str(self._at_exit.enter_context(self.lake.staging()))
        return self._stage

    def lake_judge(self, request: str) -> str:
        """Reports what dbt did, and judges each lake_table that it has run.

        Args:
            request: {results: [{id, name, status, message, failures, seconds}], empty}.

        Returns:
            [{id, warnings, others, publish, quarantine}]: `others` are entries of the report that need no file, the
            last two {paths, files} as in `planning/verdicts.py`.
        """
        asked, plan = json.loads(request), self._plan
        assert plan is not None  # `lake_plan` comes first
        self._report([self._of_node(plan, result) for result in asked["results"]])
        results = [
            Result(each["id"], each["name"], each["status"], each["message"], each["failures"])
            for each in asked["results"]
        ]
        return json.dumps(
            [
                {
                    "id": judged.node.id,
                    "warnings": judged.warnings,
                    "others": judged.entries("skipped", "absent"),
                    "publish": publication(judged, self._staging),
                    "quarantine": quarantine(judged, self._staging),
                }
                for judged in judge(plan, results, asked["empty"])
            ]
        )

    @staticmethod
    def _of_node(plan: Plan, result: dict[str, Any]) -> dict[str, Any]:
        """What became of a node, which dbt itself would write only with its whole manifest, in a second and a half."""
        node = plan.graph.nodes.get(result["id"])
        named = {name: result[name] for name in ("name", "status", "failures", "message", "seconds")}
        return {"node": result["id"], "is_lake_table": bool(node and node.is_lake_table)} | named

    def lake_publish(self, files: str) -> str:
        """Puts finished files in their places one by one, and deletes what each settles; gives {rows, bytes} of all.
        Each is one atomic put, and reported at once: if the next one cannot be written, whoever reads the report still
        learns what is published.

        Args:
            files: [{staged, key, settles, entries}]. The entries go into the report, with rows, bytes and seconds, as
                soon as their file is in place.
        """
        sums = {"rows": 0, "bytes": 0}
        for file in json.loads(files):
            started = time.monotonic()
            figures = self._put(file["staged"], file["key"])
            self.lake.delete(file["settles"])
            for name in sums:
                sums[name] += figures[name]
            figures["seconds"] = time.monotonic() - started
            self._report([entry | figures for entry in file["entries"]])
        return json.dumps(sums)

    def lake_quarantine(self, request: str) -> bool:
        """Puts the rows of refused days, and why, where people look at them. Old rows go first: the verdict never names
        others.

        Args:
            request: {run, files: [{staged, folder, rows, verdict, entry}], others}; `others` are entries that are
                reported after them.
        """
        asked = json.loads(request)
        for file in asked["files"]:
            started, entry = time.monotonic(), file["entry"]
            self.lake.delete(file["folder"])
            if file["staged"]:
                entry |= self._put(file["staged"], file["rows"])
            verdict = {"table": entry["model"], "day": entry["day"], "reasons": entry["reasons"], "run": asked["run"]}
            self.lake.put_text(json.dumps(verdict), file["verdict"])
            self._report([entry | {"seconds": time.monotonic() - started}])
        self._report(asked["others"])
        return True

    def _put(self, staged: str, key: str) -> dict[str, Any]:
        rows = pq.read_metadata(staged).num_rows
        return {"rows": rows, "bytes": self.lake.put(Path(staged), key)}

    def lake_accepted(self, test: str, table: str, days: str) -> int:
        """So many failing rows of a test people have released on any of these days; -1 where nobody has."""
        from ingest.partition.releases import accepted_failures  # costs a while, and good days need none of it

        return accepted_failures(self.lake, table, test, map(parse_day, days.split()))

    def _report(self, entries: list[dict[str, Any]]) -> None:
        """Adds entries to the report of the run, for whoever started it: a JSON object a line. The first call of a run
        begins it anew."""
        assert self._report_path is not None
        self._report_path.parent.mkdir(parents=True, exist_ok=True)
        with self._report_path.open("a" if self._has_reported else "w", encoding="utf-8") as report:
            report.writelines(json.dumps(entry) + "\n" for entry in entries)
        self._has_reported = True


def _setting(name: str) -> str | None:
    return os.environ.get(PREFIX + name) or None


def _lake_of_environment() -> Lake | None:
    url = _setting("LAKE")
    if url is None:
        return None
    return Lake(
        url,
        S3Options(
            endpoint_url=_setting("S3_ENDPOINT_URL"),
            region=_setting("S3_REGION"),
            access_key_id=_setting("S3_ACCESS_KEY_ID"),
            secret_access_key=_setting("S3_SECRET_ACCESS_KEY"),
            session_token=_setting("S3_SESSION_TOKEN"),
        ),
    )


def _quietly(remove: Callable[[str], Any], name: str) -> None:
    with suppress(duckdb.Error):
        remove(name)
