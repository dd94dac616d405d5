"""The dbt-duckdb plugin that gives macros the plan of a run, stages files, and puts finished files in the lake.

It only connects SQL, the lake and `planning/`, which decides what is read and published. Arguments and answers are
JSON texts, because the SQL functions take and return only texts and numbers.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from dbt.adapters.duckdb.plugins import BasePlugin

from dbt_project import summary
from dbt_project.planning.graph import Graph, node_of
from dbt_project.planning.plan import BUILDS, Plan, SelectionError
from dbt_project.planning.settled import (
    MADE_OF_IT,
    PARTS,
    SUMMED_UP,
    are_published,
    before_all_days,
    day_to_settle,
    made_of,
)
from dbt_project.planning.verdicts import Judged, Result, judge, publication, quarantine, staged_path
from dbt_project.planning.window import Around, around, iso, window
from ingest.days import day_text, parse_day
from ingest.errors import SettingsError
from ingest.lake.files import Lake
from ingest.lake.layout import DATA_FILE, MARTS, Mart
from ingest.lake.records import UNRECORDED, files_of_mart, recorded
from ingest.lake.s3 import S3Options
from ingest.partition.local_files import local_files
from ingest.rules.problems import RulesError
from ingest.rules.rules import METADATA_KEY, Rules, default_rules, keep, load_rules
from ingest.schema import RAW as RAW_COLUMNS

PREFIX = "CLICKLAKE_"
SEEDS = Path(__file__).parent / "seeds"
# Raw dataset → the setting of its source. With neither setting, such as where dbt is run by hand, both are needed.
SOURCES = {"access_logs": "LOGS", "events": "EVENTS"}


class Plugin(BasePlugin):
    """Loaded by dbt-duckdb for the project's one in-memory database."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self._lake: Lake | None = None
        self._stage: str | None = None
        self._scratch: str | None = None
        self._run = ""  # dbt's invocation_id; a process may have several
        self._plan: Plan | None = None
        self._rules: Rules | None = None
        self._table_files: dict[bool, Path] = {}  # the rules in force, or the defaults → folder with their tables
        self._judged: dict[str, Judged] = {}
        self._settled: dict[str, str] = {}  # part → local file of the summary that this run reads
        self._settles: tuple[date, str] | None = None  # last day of the summary that it makes, and what that is made of
        self._parts: dict[str, Path] = {}  # part → finished file of that summary
        self._published: set[str] = set()  # ids of lake_tables
        self._written: set[str] = set()  # staged files that were written before the verdict
        self._local: dict[str, Path] = {}  # key → what this run reads
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
            self.lake_answer: (["VARCHAR"] * 2, "VARCHAR"),
            self.lake_accepted: (["VARCHAR"] * 3, "BIGINT"),
        }
        for function, (parameters, returns) in functions.items():
            name = function.__name__
            conn.create_function(name, function, parameters, returns, side_effects=True)  # type: ignore[arg-type]
            # DuckDB complains at exit about Python functions that it still holds.
            self._at_exit.callback(_quietly, conn.remove_function, name)

    @property
    def lake(self) -> Lake:
        """The lake of this process, checked on first use because unit tests and parsing need no lake.

        Raises:
            SettingsError: CLICKLAKE_LAKE is not set, or the lake's settings changed since the engine was configured.
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
        """A private folder for large files, removed when this process ends."""
        if self._scratch is None:
            folder = tempfile.TemporaryDirectory(
                prefix="clicklake-", dir=_setting("DUCKDB_TEMP_DIRECTORY"), ignore_cleanup_errors=True
            )
            self._scratch = self._at_exit.enter_context(folder)
        return self._scratch

    def lake_answer(self, question: str, request: str) -> str:
        """Answers a macro's question with the method of that name.

        Args:
            question: plan, days_around, days_of_marts, files_before, staging, judge, publish or settling.
            request: the method's arguments, as JSON.

        Returns:
            The method's answer as JSON, or {error} if the command cannot run with its arguments.
        """
        asked_at_compiling = (self.days_around, self.days_of_marts, self.files_before)
        asked_at_building = (self.staging, self.judge, self.publish, self.settling)
        answers: tuple[Callable[..., Any], ...] = (self.plan, *asked_at_compiling, *asked_at_building)
        answer = {each.__name__: each for each in answers}[question]
        try:
            return json.dumps(answer(**json.loads(request)))
        except (SelectionError, RulesError) as error:
            return json.dumps({"error": str(error)})

    def plan(
        self,
        run: str,
        command: str,
        start: str,
        end: str,
        selected: list[str],
        nodes: list[dict[str, Any]],
        given_vars: Any,
        report: str,
        prepares: bool,
    ) -> dict[str, Any]:
        """Plans the run. With `prepares`, also checks the run, lists the files that it reads, and, if it builds marts,
        takes the lock of the marts until this process ends.

        Args:
            nodes: the nodes of the project; a unit test knows none, and takes the default rules.
            given_vars: dbt's `--vars`, which are refused.
            prepares: without it, as when dbt only compiles, nothing is checked or locked, and an existing plan of this
                run is kept.

        Returns:
            window: days of the window.
            built: model → days that the run builds, for each selected lake_table.
            neighbours: model → files of published days around the built days that its view also shows.
            views: [{id, files, partitioned_by, columns}] of each view that the run needs before it builds anything;
                `columns` holds [name, type] of each raw column, for nodes with `rows_of`.
            settled: part → file of the summary of identities that the run reads. settles_through: last day of the
                summary that it makes, or None.
            judged: test → [[table, days]] whose releases count when the test fails.
            rules: variable → value.
            tables: reference table → {file, error, is_own}: a file with its rows in force; for a file of figures that
                cannot be used, why; and whether a user gives it.
            metadata: what each file of a mart remembers: the fingerprint of the rules.
        """
        rules = self._rules_in_force(given_vars) if nodes else default_rules(SEEDS)
        if self._run != run or prepares:
            self._run = run
            graph = Graph.of((node_of(node, rules.values) for node in nodes), selected)
            self._plan = Plan(graph, command, window(start, end), self._keys_below, _unused_sources())
            self._report_path = Path(_setting("PUBLISH_REPORT") or report)
            self._written.clear()
        plan = self._planned
        if prepares:
            self._prepare(plan, rules)
        return {
            "rules": rules.values,
            "tables": self._files_of_tables(rules),
            "metadata": {METADATA_KEY: rules.fingerprint},
            "window": iso(plan.window),
            "built": {node.name: iso(plan.built_days(node)) for node in plan.inputs.lake_tables},
            "neighbours": {
                node.name: self._files(plan.neighbour_keys(node))
                for node in plan.inputs.lake_tables
                if prepares and plan.is_building
            },
            "views": [
                {
                    "id": node.id,
                    "files": self._files(keys),
                    "partitioned_by": node.path_columns,
                    "columns": [(column.name, column.sql_type) for column in RAW_COLUMNS.get(node.rows_of or "", ())],
                }
                for node, keys in (plan.views() if prepares else ())
            ],
            "settled": self._settled,
            "settles_through": day_text(self._settles[0]) if self._settles else None,
            "judged": {
                test.id: [[node.name, " ".join(iso(days))] for node, days in plan.released_days(test)]
                for test in plan.graph.tests
            },
        }

    def _rules_in_force(self, given_vars: Any) -> Rules:
        """The rules, read once: a change meanwhile counts for the next run."""
        if given_vars:
            raise SelectionError(
                "--vars sets no rule here. Write the variables into rules.yml (docs/rules.md), and run without --vars"
            )
        if self._rules is None:
            folder = _setting("RULES")
            self._rules = load_rules(Lake(folder, _s3()) if folder else None, _lake_of_environment(), SEEDS)
        return self._rules

    def _files_of_tables(self, rules: Rules) -> dict[str, dict[str, Any]]:
        in_force = rules is self._rules
        if in_force not in self._table_files:
            folder = Path(tempfile.mkdtemp(prefix="rules-", dir=self.scratch))
            for name, table in rules.tables.items():
                pq.write_table(table.rows, folder / f"{name}.parquet")
            self._table_files[in_force] = folder
        folder = self._table_files[in_force]
        return {
            name: {"file": str(folder / f"{name}.parquet"), "error": table.error, "is_own": bool(table.origin)}
            for name, table in rules.tables.items()
        }

    def _prepare(self, plan: Plan, rules: Rules) -> None:
        if plan.command in BUILDS:
            self._report([])
        plan.check()
        if plan.is_building:
            self._at_exit.enter_context(self.lake.lock(MARTS))
            keep(rules, self.lake)
        plan.look()
        self._look_at_summary(plan, rules)

    def _look_at_summary(self, plan: Plan, rules: Rules) -> None:
        """Decides whether the run reads the summary of identities, and whether it makes a longer one. A summary that is
        no longer true is deleted."""
        self._settled, self._settles = {}, None
        limit = before_all_days(plan)
        if limit is None:
            return
        records = {key: each for name in SUMMED_UP for key, each in files_of_mart(self.lake, Mart(name)).items()}
        sums = {key: each[0].sha256 for key, each in records.items() if len(each) == 1 and each != [UNRECORDED]}
        present = summary.present(self.lake)
        if present and made_of(plan, sums, rules.fingerprint, present.through) != present.made_of:
            summary.drop(self.lake)
            present = None
        through = day_to_settle(plan, present)
        if through and (new := made_of(plan, sums, rules.fingerprint, through)):
            self._settles = through, new
        if present and present.through <= limit:
            found = summary.fetched(
                self.lake, present, Path(self.scratch if self.lake.is_s3 else self._staging, "summary")
            )
            if found is None:
                summary.drop(self.lake)
            else:
                self._settled, plan.settled_through = found, present.through

    @property
    def _planned(self) -> Plan:
        assert self._plan is not None  # macros ask for the plan first
        return self._plan

    def _keys_below(self, folders: Sequence[str]) -> dict[str, list[str]]:
        return {
            folder: [file.key for file in self.lake.files(folder) if file.key.endswith("/" + DATA_FILE)]
            for folder in folders
        }

    def days_around(self, model: str, before: int, after: int) -> dict[str, Any]:
        """{days}: the days of a model that the run builds, and the days around each; None if no model has this name."""
        node = self._planned.graph.model(model)
        built = self._planned.built_days(node) if node else []
        return {"days": iso(around(built, Around(before, after))) if node else None}

    def days_of_marts(self, models: list[str]) -> dict[str, Any]:
        """{days}: the days that any of these models has published or builds in this run."""
        plan = self._planned
        return {"days": iso(plan.days_of_marts([plan.known_model(name) for name in models]))}

    def files_before(self, model: str, days: int) -> dict[str, Any]:
        """{files, partitioned_by}: a model's published days that the run does not build, from `days` days before the
        first built day to the last one."""
        node = self._planned.known_model(model)
        return {"files": self._files(self._planned.keys_before(node, days)), "partitioned_by": node.path_columns}

    def _files(self, keys: Sequence[str]) -> list[str]:
        """Local paths of files of the lake, which do not change during this run.

        A file on S3 is fetched whole: a run reads it a dozen times, and each read by DuckDB would be some five requests
        to S3, from Python and one after the other. On a folder, a raw file gets a second name, because another run may
        replace it meanwhile. Marts cannot change, because this run holds their lock.

        Raises:
            DamagedError: files are not as they were published.
        """
        wanted = [key for key in keys if key not in self._local]
        if wanted:
            own = Path(self.scratch if self.lake.is_s3 else self._staging) / "lake"
            self._local |= local_files(self.lake, wanted, own)
        return sorted(str(self._local[key]) for key in keys)

    @property
    def _staging(self) -> str:
        """This run's private folder; `publish` moves each file from it with one rename or one upload."""
        if self._stage is None:
            self._stage = str(self._at_exit.enter_context(self.lake.staging()))
        return self._stage

    def staging(self, model: str) -> dict[str, str]:
        """Day → path of each day of a lake_table, published or refused later. The caller writes them all at once."""
        node = self._planned.known_model(model)
        days = sorted({*self._planned.built_days(node), *self._planned.window})
        paths = {day_text(day): staged_path(self._staging, node, day) for day in days}
        self._written.update(paths.values())
        return self._made(paths)

    def _made(self, paths: dict[str, str]) -> dict[str, str]:
        """The paths, with their folders made."""
        for path in paths.values():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        return paths

    def judge(self, results: list[dict[str, Any]], empty: bool) -> list[dict[str, Any]]:
        """Reports dbt's results, and judges each lake_table that dbt has run.

        Args:
            results: {id, name, status, message, failures, seconds} of each node.
            empty: dbt built with `--empty`.

        Returns:
            {id, warnings, paths} of each lake_table; `paths`: day → path to which the caller must write the day's rows,
            published or refused, before it calls `publish`. Days that are written already have none.
        """
        plan = self._planned
        self._report([_reported(plan.graph, result) for result in results])
        named = [Result(*(each[name] for name in ("id", "name", "status", "message", "failures"))) for each in results]
        self._judged = {judged.node.id: judged for judged in judge(plan, named, empty)}
        return [
            {
                "id": id_,
                "warnings": judged.warnings,
                "paths": self._unwritten(judged),
            }
            for id_, judged in self._judged.items()
        ]

    def _unwritten(self, judged: Judged) -> dict[str, str]:
        paths = publication(judged, self._staging)["paths"] | quarantine(judged, self._staging)["paths"]
        return self._made({day: path for day, path in paths.items() if path not in self._written})

    def publish(self, id: str) -> dict[str, Any]:
        """Puts the finished files of a lake_table in place one by one, and refused days into quarantine. Each put is
        atomic and reported at once: if the next one fails, the report still lists all published days.

        Returns:
            {said}: one line for people; empty if nothing was published.
        """
        judged = self._judged[id]
        for file in quarantine(judged, self._staging)["files"]:
            self._put_aside(file)
        self._report(judged.entries("skipped", "absent"))
        files = publication(judged, self._staging)["files"]
        if not files:
            return {"said": ""}
        with recorded(self.lake, judged.node.mart, {file["key"]: Path(file["staged"]) for file in files}):
            figures = [self._put_in_place(file) for file in files]
        self._published.add(id)
        self._settle()
        days = [entry["day"] for file in files for entry in file["entries"]]
        span = " … ".join(dict.fromkeys((days[0], days[-1])))
        rows, size = (sum(each[name] for each in figures) for name in ("rows", "bytes"))
        return {"said": f"Published {judged.node.name} {span}: {rows} rows, {size} bytes"}

    def settling(self, built: list[str]) -> dict[str, Any]:
        """{paths}: part → path to which the caller must write it before it publishes; empty if this run makes no
        summary.

        Args:
            built: the models that the run has built.
        """
        if self._settles is None or not {*SUMMED_UP, *MADE_OF_IT} <= set(built):
            return {"paths": {}}
        self._parts = {part: Path(self._staging, f"settled-{part}.parquet") for part in PARTS}
        return {"paths": {part: str(path) for part, path in self._parts.items()}}

    def _settle(self) -> None:
        """Makes the written parts the present summary, once all that it is made of is published."""
        if self._settles and self._parts and are_published(self._judged, self._published):
            summary.put(self.lake, *self._settles, self._parts)
            self._parts = {}

    def _put_in_place(self, file: dict[str, Any]) -> dict[str, Any]:
        started = time.monotonic()
        figures = self._put(file["staged"], file["key"])
        self.lake.delete(file["settles"])
        figures["seconds"] = time.monotonic() - started
        self._report([entry | figures for entry in file["entries"]])
        return figures

    def _put_aside(self, file: dict[str, Any]) -> None:
        """Puts a refused day's rows and verdict into quarantine. Old rows are deleted first, so that a verdict never
        stands next to rows of an earlier run."""
        started, entry = time.monotonic(), file["entry"]
        self.lake.delete(file["folder"])
        if file["staged"]:
            entry |= self._put(file["staged"], file["rows"])
        verdict = {"table": entry["model"], "day": entry["day"], "reasons": entry["reasons"], "run": self._run}
        self.lake.put_text(json.dumps(verdict), file["verdict"])
        self._report([entry | {"seconds": time.monotonic() - started}])

    def _put(self, staged: str, key: str) -> dict[str, Any]:
        rows = pq.read_metadata(staged).num_rows
        return {"rows": rows, "bytes": self.lake.put(Path(staged), key)}

    def lake_accepted(self, test: str, table: str, days: str) -> int:
        """The number of failing rows of a test that a release accepts on any of these days; -1 without a release."""
        from ingest.partition.releases import accepted_failures  # slow import, needed only when a test fails

        return accepted_failures(self.lake, table, test, map(parse_day, days.split()))

    def _report(self, entries: list[dict[str, Any]]) -> None:
        """Adds entries to the report of the run, one JSON object a line. The first call replaces an older report."""
        assert self._report_path is not None
        self._report_path.parent.mkdir(parents=True, exist_ok=True)
        with self._report_path.open("a" if self._has_reported else "w", encoding="utf-8") as report:
            report.writelines(json.dumps(entry) + "\n" for entry in entries)
        self._has_reported = True


def _reported(graph: Graph, result: dict[str, Any]) -> dict[str, Any]:
    """The report's entry for a node's result. dbt would write results only together with its manifest, which takes a
    second and a half."""
    node = graph.nodes.get(result["id"])
    named = {name: result[name] for name in ("name", "status", "failures", "message", "seconds")}
    return {"node": result["id"], "is_lake_table": bool(node and node.is_lake_table)} | named


def _setting(name: str) -> str | None:
    return os.environ.get(PREFIX + name) or None


def _unused_sources() -> frozenset[str]:
    """The raw datasets that this lake is used without."""
    unset = {dataset for dataset, setting in SOURCES.items() if _setting(setting) is None}
    return frozenset() if len(unset) == len(SOURCES) else frozenset(unset)


def _lake_of_environment() -> Lake | None:
    url = _setting("LAKE")
    if url is None:
        return None
    return Lake(url, _s3())


def _s3() -> S3Options:
    return S3Options(
        endpoint_url=_setting("S3_ENDPOINT_URL"),
        region=_setting("S3_REGION"),
        access_key_id=_setting("S3_ACCESS_KEY_ID"),
        secret_access_key=_setting("S3_SECRET_ACCESS_KEY"),
        session_token=_setting("S3_SESSION_TOKEN"),
    )


def _quietly(remove: Callable[[str], Any], name: str) -> None:
    with suppress(duckdb.Error):
        remove(name)
