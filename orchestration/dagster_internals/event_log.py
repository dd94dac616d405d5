"""Where Dagster keeps its events on one machine: its own SQLite files, written with less waiting.

Dagster makes an engine for each statement, commits each event two or three times, and waits for the disk each time.
A window of 30 days has thousands of events, which then take longer than building the marts. Named in the dagster.yaml
that `clicklake` writes; the files are those of Dagster's own storage, so that either can follow the other.

Private: `SqliteEventLogStorage` and the names that it takes. Without it a window of 30 days takes about three times as
long, and nothing is wrong. Public way: Dagster's own SQLite storage, once it keeps an engine and a transaction, or
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

BUSY_SECONDS = 60  # that a writer waits for another
LONGEST_TRANSACTION = 10  # seconds; then others have a turn, who would give up
SECONDS_OF_A_TURN = 0.2  # SQLite has them look ten times a second
ENGINES_KEPT = 8  # each run has a file of its own

# Dagster writes what it plans for the partitions of a range in batches of this size, and else one by one.
os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")


class EventLogStorage(SqliteEventLogStorage):
    """One engine for each file; commits that do not wait for the disk, which loses nothing when a process dies, and at
    most the last moments of Dagster's records, never of the lake, when the machine does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._open: dict[str, Connection] | None = None
        self._until_end = ExitStack()
        self._begun = 0.0
        super().__init__(*args, **kwargs)
        self._db_lock: Any = threading.RLock()  # a transaction holds it, and what is stored meanwhile asks for it

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
        """Asked once, and not for each verdict."""
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
        """All that is stored meanwhile, by this thread, is stored at once; of much, every few seconds what there is."""
        with self._db_lock:
            if self._open is not None:  # within another
                yield
                return
            self._open, self._begun = {}, time.monotonic()
            try:
                yield
            finally:
                self._open = None
                self._until_end.close()  # stores what there is, whatever ended it


@contextmanager
def at_once(instance: dg.DagsterInstance) -> Iterator[None]:
    """Many events of one step as one write, where the storage knows how."""
    storage = instance.event_log_storage
    if isinstance(storage, EventLogStorage):
        with storage.one_transaction():
            yield
    else:
        yield


def _do_not_wait(connection: Any, _record: Any) -> None:
    connection.execute("pragma synchronous = normal")
