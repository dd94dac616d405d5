"""Pages of the columns of tables that ingest writes, from `ingest/schema.py`."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.schema import ACCESS_LOGS, DATA_QUALITY, DATA_QUALITY_PARTITIONS, EVENTS, LEDGER, REJECTS, Column
from tools.reference.markdown import code, table

_TABLES = (
    ("raw.access_logs", "A file's folders add `event_date` and `source_date`.", ACCESS_LOGS),
    ("raw.events", "A file's folders add `event_date`, `source_date` and `site`.", EVENTS),
    ("rejects.access_logs", "`rejects.events` has the same columns.", REJECTS),
    (
        "ledger.access_logs",
        "`ledger.events` has the same columns. An event is a row: a batch counts as its events.",
        LEDGER,
    ),
)


def raw_tables() -> str:
    return "\n\n".join(f"## {name}\n\n{note}\n\n{_columns(columns)}" for name, note, columns in _TABLES)


def data_quality() -> str:
    partitions = code(*(each.name for each in DATA_QUALITY_PARTITIONS))
    return f"The folders of a file give {partitions}.\n\n{_columns((*DATA_QUALITY, *DATA_QUALITY_PARTITIONS))}"


def _columns(columns: Iterable[Column]) -> str:
    return table(
        ["column", "type", "meaning"], ([code(each.name), str(each.type), each.description] for each in columns)
    )
