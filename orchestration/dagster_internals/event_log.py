"""Dagster's event log on one machine: Dagster's own SQLite files, written with fewer waits for the disk.

Dagster makes an engine for each statement, commits each event two or three times, and waits for the disk each time.
A window of 30 days has thousands of events, which then take longer than building the marts. The
dagster.yaml that `clicklake` writes names this storage. Its files are those of Dagster's own storage, so that either
can replace the other.

Private: `SqliteEventLogStorage` and the names that it uses. Without it a window of 30 days takes about three times as
long, and nothing else changes. Public way: Dagster's own SQLite storage, once it keeps an engine and a transaction, or
PostgreSQL, which a deployment uses anyway.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import groupby
from typing import Any

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData, serialize_value
from sqlalchemy import Connection, Engine, create_engine, event

BUSY_SECONDS = 60  # how long a writer waits for another
LONGEST_TRANSACTION = 10  # seconds; then other writers have a turn before they give up
SECONDS_OF_A_TURN = 0.2  # waiting writers try ten times a second
ENGINES_KEPT = 8  # each run has a file of its own

# Dagster writes the planned materializations of a range in batches of this size; without it, one by one.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")


class EventLogStorage(SqliteEventLogStorage):
    """Keeps a connection to each file, and commits without waiting for the disk. If a process dies, nothing is lost. If
    the machine dies, the last moments of Dagster's records may be lost, but nothing of the lake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._open: dict[str, Connection] | None = None
        self._until_end = ExitStack()
        self._begun = 0.0
        self._has_columns = False
        # (asset, type of its event) → the last event in this transaction, and its id
        self._of_assets: dict[tuple[dg.AssetKey | None, Any], tuple[dg.EventLogEntry, int]] = {}
        super().__init__(*args, **kwargs)
        self._db_lock: Any = threading.RLock()  # reentrant: storing an event takes it within a transaction

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> EventLogStorage:
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if self._open is not None and shard in self._open:
                yield self._open[shard]
                return
            engine = self._engine(shard)
            with ExitStack() as stack:
                connection = stack.enter_context(engine.connect())
                stack.enter_context(connection.begin())
                if self._open is not None:
                    self._open[shard] = connection
                    self._until_end.push(stack.pop_all())
                yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            while len(self._engines) >= ENGINES_KEPT:
                self._engines.pop(next(iter(self._engines))).dispose()
            engine = create_engine(
                self.conn_string_for_shard(shard), pool_size=1, max_overflow=-1, connect_args={"timeout": BUSY_SECONDS}
            )
            event.listen(engine, "connect", _do_not_wait)
            self._engines[shard] = engine
        engine = self._engines[shard]
        if shard not in self._initialized_dbs:
            self._initdb(engine)
            self._initialized_dbs.add(shard)
        return engine

    @cached_property
    def supports_asset_checks(self) -> bool:
        """Queried once, and not for each verdict."""
        return bool(self.has_table(AssetCheckExecutionsTable.name))

    def store_event(self, event: dg.EventLogEntry) -> None:
        with self._db_lock:
            super().store_event(event)
            if self._open and time.monotonic() - self._begun > LONGEST_TRANSACTION:
                self._update_assets()
                self._open = {}
                self._until_end.close()
                time.sleep(SECONDS_OF_A_TURN)
                self._begun = time.monotonic()

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        with self.one_transaction():
            for of_same_kind, found in groupby(events, lambda each: (each.run_id, _is_planned(each))):
                run_id, are_planned = of_same_kind
                if are_planned:
                    self._store_planned(run_id, list(found))
                else:
                    for each in found:
                        self.store_event(each)

    def _store_planned(self, run_id: str, events: Sequence[dg.EventLogEntry]) -> None:
        """Stores planned materializations of a run, thousands for a range of days."""
        rows = [self._event_to_row(each) for each in events]
        with self.run_connection(run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        with self.index_connection() as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
            for each in events:
                self._store_asset_event(connection, each, event_id=0)  # a plan does not record the id

    def _store_asset_check_evaluation_planned(self, event: dg.EventLogEntry, event_id: int | None) -> None:
        """Stores a planned check of each day. Dagster serializes the event, and binds each value, for each day."""
        planned = event.get_dagster_event().asset_check_planned_data
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(event),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
            "evaluation_event_storage_id": event_id,
        }
        subset = planned.partitions_subset
        days: list[str | None] = [*subset.get_partition_keys()] if subset else [None]
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), [row | {"partition": day} for day in days])

    def _store_asset_event(self, conn: Connection, event: dg.EventLogEntry, event_id: int) -> None:
        """Updates the asset of an event. In a transaction the last event of each type does so at the end."""
        if self._open is None:
            super()._store_asset_event(conn, event, event_id)
            return
        key = event.get_dagster_event().asset_key, event.dagster_event_type
        self._of_assets.pop(key, None)  # the order is that of the last events
        self._of_assets[key] = event, event_id

    def _update_assets(self) -> None:
        if self._of_assets:
            with self.index_connection() as connection:
                for event, event_id in self._of_assets.values():
                    super()._store_asset_event(connection, event, event_id)
            self._of_assets.clear()

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        """Queried until it is so, and not for each event."""
        self._has_columns = self._has_columns or super()._has_asset_key_index_cols_on_connection(conn)
        return self._has_columns

    @contextmanager
    def one_transaction(self) -> Iterator[None]:
        """Stores this thread's events in one transaction; a long one is committed every `LONGEST_TRANSACTION` s."""
        with self._db_lock:
            if self._open is not None:  # nested in another transaction
                yield
                return
            self._open, self._begun = {}, time.monotonic()
            try:
                yield
            finally:
                try:
                    self._update_assets()
                finally:
                    self._open = None
                    self._until_end.close()  # commits, also after an error


@contextmanager
def at_once(instance: dg.DagsterInstance) -> Iterator[None]:
    """Stores many events of one step in one write, if the storage can do that."""
    storage = instance.event_log_storage
    if isinstance(storage, EventLogStorage):
        with storage.one_transaction():
            yield
    else:
        yield


def _is_planned(entry: dg.EventLogEntry) -> bool:
    return entry.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED


def _do_not_wait(connection: Any, _record: Any) -> None:
    connection.execute("pragma synchronous = normal")
