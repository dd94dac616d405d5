"""What dbt's DuckDB can do with the lake: list it, stage a file, put it in place.

Only the bridge between `ingest.lake` and SQL. Which files are read or published is decided in the macros.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from dbt.adapters.duckdb.plugins import BasePlugin
from reference_files import read_csv

from ingest.errors import SettingsError
from ingest.lake import DATA_FILE, Lake
from ingest.s3 import S3Options

PREFIX = "CLICKLAKE_"


class Plugin(BasePlugin):
    """Loaded by dbt-duckdb for the project's one in-memory database."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self._lake: Lake | None = None
        self._stage: str | None = None
        self._scratch: str | None = None
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
            self.lake_keys: (["VARCHAR"], "VARCHAR"),
            self.lake_files: (["VARCHAR"], "VARCHAR"),
            self.lake_reference: (["VARCHAR", "VARCHAR"], "VARCHAR"),
            self.lake_lock: (["VARCHAR"], "BOOLEAN"),
            self.lake_stage: ([], "VARCHAR"),
            self.lake_publish: (["VARCHAR", "VARCHAR"], "VARCHAR"),
            self.lake_put: (["VARCHAR", "VARCHAR"], "VARCHAR"),
            self.lake_put_text: (["VARCHAR", "VARCHAR"], "BIGINT"),
            self.lake_delete: (["VARCHAR"], "BOOLEAN"),
            self.lake_report: (["VARCHAR", "VARCHAR"], "BOOLEAN"),
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

    def lake_keys(self, prefixes: str) -> str:
        """Folder → keys of the Parquet files below it, as JSON, of a JSON list. Lists, and fetches nothing."""
        return json.dumps({prefix: self._keys(prefix) for prefix in json.loads(prefixes)})

    def _keys(self, prefix: str) -> list[str]:
        return [file.key for file in self.lake.files(prefix) if file.key.endswith("/" + DATA_FILE)]

    def lake_files(self, keys: str) -> str:
        """Local paths of files of the lake, which stay as they are now for all of this run; both are JSON lists.

        A file on S3 is fetched whole: a run reads it a dozen times, and DuckDB would ask S3 some five times for
        each of them, from Python and one after the other. Of raw files, which another run may replace meanwhile, a
        folder gives a second name; marts are this run's, which holds their lock.
        """
        return json.dumps([self._file(key) for key in json.loads(keys)])

    def _file(self, key: str) -> str:
        if not (self.lake.is_s3 or key.startswith("raw/")):
            return self.lake.path(key)
        local = Path(self.scratch if self.lake.is_s3 else self.lake_stage()) / "lake" / key
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

    def lake_lock(self, name: str) -> bool:
        """Holds a lock of the lake until this process ends; waits while another run holds it."""
        self._at_exit.enter_context(self.lake.lock(name))
        return True

    def lake_stage(self) -> str:
        """This run's private folder, from which `lake_publish` is one rename or one upload."""
        if self._stage is None:
            self._stage = str(self._at_exit.enter_context(self.lake.staging()))
        return self._stage

    def lake_publish(self, files: str, default_report: str) -> str:
        """Puts finished files in their places one by one, and deletes what each settles; gives {rows, bytes} of all.

        Args:
            files: [{staged, key, settles, entries}] as JSON. The entries go into the report, with rows, bytes and
                seconds, as soon as their file is in place.
        """
        sums = {"rows": 0, "bytes": 0}
        for file in json.loads(files):
            started = time.monotonic()
            figures = self._put(file["staged"], file["key"])
            self.lake.delete(file["settles"])
            for name in sums:
                sums[name] += figures[name]
            figures["seconds"] = time.monotonic() - started
            self._report([entry | figures for entry in file["entries"]], default_report)
        return json.dumps(sums)

    def lake_put(self, staged: str, key: str) -> str:
        """Puts a finished file in place of a key; gives {rows, bytes}."""
        return json.dumps(self._put(staged, key))

    def _put(self, staged: str, key: str) -> dict[str, Any]:
        rows = pq.read_metadata(staged).num_rows
        return {"rows": rows, "bytes": self.lake.put(Path(staged), key)}

    def lake_put_text(self, text: str, key: str) -> int:
        return self.lake.put_text(text, key)

    def lake_delete(self, prefix: str) -> bool:
        self.lake.delete(prefix)
        return True

    def lake_accepted(self, test: str, table: str, days: str) -> int:
        """So many failing rows of a test people have released on any of these days; -1 where nobody has."""
        from ingest.releases import accepted_failures  # costs a while, and good days need none of it

        return accepted_failures(self.lake, table, test, days.split())

    def lake_report(self, entries: str, default_path: str) -> bool:
        """Adds entries, a JSON list, to the report of the run, for whoever started it: a JSON object a line."""
        self._report(json.loads(entries), default_path)
        return True

    def _report(self, entries: list[dict[str, Any]], default_path: str) -> None:
        path = Path(_setting("PUBLISH_REPORT") or default_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a" if self._has_reported else "w", encoding="utf-8") as report:
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
