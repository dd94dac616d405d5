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
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine, event

BUSY_SECONDS = 60  # how long a writer waits for another
LONGEST_TRANSACTION = 10  # seconds; then other writers have a turn before they give up
SECONDS_OF_A_TURN = 0.2  # waiting writers try ten times a second
ENGINES_KEPT = 8  # each run has a file of its own

# Dagster writes the planned materializations of a range in batches of this size; without it, one by one.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")


class EventLogStorage(SqliteEventLogStorage):
    """Keeps one engine for each file, and commits without waiting for the disk. If a process dies, nothing is lost. If
    the machine dies, the last moments of Dagster's records may be lost, but nothing of the lake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._open: dict[str, Connection] | None = None
        self._until_end = ExitStack()
        self._begun = 0.0
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
                self._engines.pop(next(iter(self._engines)))
            engine = create_engine(
                self.conn_string_for_shard(shard), poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS}
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
                self._open = {}
                self._until_end.close()
                time.sleep(SECONDS_OF_A_TURN)
                self._begun = time.monotonic()

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        with self.one_transaction():
            for each in events:
                self.store_event(each)

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


def _do_not_wait(connection: Any, _record: Any) -> None:
    connection.execute("pragma synchronous = normal")
