"""The documentation of the lake's tables: columns, types, descriptions, grain.

It is read from the schemas in `ingest/schema.py` and from dbt's yml files, without loading Dagster or dbt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
import yaml  # type: ignore[import-untyped]

from ingest.lake.views import RECORDS
from ingest.schema import (
    ACCESS_LOGS,
    DATA_QUALITY,
    DATA_QUALITY_PARTITIONS,
    EVENTS,
    LEDGER,
    RAW_PARTITIONS,
    REJECTS,
    Column,
)
from orchestration.places import DBT_DIR

MODELS = DBT_DIR / "models" / "marts"

_DAY = Column("day", pa.date32(), "Day that was refused")
_EVENT_DATE, _SOURCE_DATE = RAW_PARTITIONS
_SITE = Column("site", pa.string(), "Site whose folder the object lies in; from the path")
_RECORDS = {
    "quarantine.verdicts": ("Why each partition that lies in quarantine was refused.", ("table", "day", "site")),
    "quarantine.releases": ("Who accepted which refused day, and why.", ("table", "day", "site", "released_at")),
}
_RECORD_COLUMNS = {
    "table": "Table, without its layer",
    "day": "Day that was refused",
    "site": "Site, where each site is judged on its own; else null",
    "reasons": "Checks that refused it: check, message, failing rows of a mart's test, figures of a raw check as JSON",
    "checks": "Checks that were accepted, with what the person saw; as in quarantine.verdicts",
    "reason": "Why, as the person said",
    "released_by": "User who released it",
    "released_at": "When, UTC",
    "objects": "Fingerprint of the objects that were judged; null for a mart",
}


@dataclass(frozen=True)
class Documented:
    """columns: name → (DuckDB type, description). grain: the columns that identify a row, or words for tables that no
    model makes."""

    description: str
    grain: str
    columns: dict[str, tuple[str, str]]


@cache
def documented() -> dict[str, Documented]:
    """Table → its documentation, for every table that the lake may hold. Refused rows have the columns of their table,
    and `day`."""
    found = dict(_raw())
    for name, (description, grain) in _RECORDS.items():
        columns = {column: (kind, _RECORD_COLUMNS[column]) for column, kind in RECORDS[name].items()}
        found[name] = Documented(description, ", ".join(grain), columns)
    found["marts.data_quality"] = _of_columns(
        "What every check found: of raw days, of marts (dbt tests), and of what was read back from MongoDB.",
        "check's verdict on a day, or on a site's, in a step of a run",
        (*DATA_QUALITY, *DATA_QUALITY_PARTITIONS),
    )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the loader in C is ten times as fast
    for path in sorted(MODELS.rglob("*.yml")):
        text = path.read_text("utf-8").partition("\nunit_tests:")[0]  # most of each file is unit tests
        for model in yaml.load(text, loader).get("models") or ():  # noqa: S506 - a safe loader
            found[f"marts.{model['name']}"] = _of_model(model)
    for name in [name for name in found if name.startswith("marts.") and name != "marts.data_quality"]:
        own = found[name]
        columns = {_DAY.name: ("date", _DAY.description)} | own.columns
        found[name.replace("marts.", "quarantine.")] = Documented(f"Refused rows of {name}.", own.grain, columns)
    return found


def _raw() -> Iterator[tuple[str, Documented]]:
    requests = "request; a request id occurs once in a source day"
    for name, rows, columns in (("access_logs", requests, ACCESS_LOGS), ("events", "site, event_id", EVENTS)):
        by_site = (_SITE,) if name == "events" else ()
        what = "Requests of the access logs" if name == "access_logs" else "Events of sites and apps"
        yield (
            f"raw.{name}",
            _of_columns(f"{what}, as they were taken in.", rows, (*columns, _EVENT_DATE, _SOURCE_DATE, *by_site)),
        )
        yield (
            f"quarantine.{name}",
            _of_columns(f"Rows of refused days of raw.{name}.", rows, (*columns, _DAY, *by_site, _EVENT_DATE)),
        )
        yield (
            f"rejects.{name}",
            _of_columns(
                f"Rows of {name} that could not be used, and why.",
                "source_object, source_line",
                (*REJECTS, _SOURCE_DATE, *by_site),
            ),
        )
        yield (
            f"ledger.{name}",
            _of_columns(f"What became of each object of {name}.", "source_object", (*LEDGER, _SOURCE_DATE, *by_site)),
        )


def _of_columns(description: str, grain: str, columns: tuple[Column, ...]) -> Documented:
    return Documented(
        description,
        grain,
        {each.name: (each.sql_type, each.description) for each in columns},
    )


def _of_model(model: dict[str, Any]) -> Documented:
    columns = {each["name"]: (each["data_type"], _one_line(each.get("description", ""))) for each in model["columns"]}
    tests = [test for test in model.get("data_tests", ()) if isinstance(test, dict)]
    grain = next((test["unique_grain"]["arguments"]["columns"] for test in tests if "unique_grain" in test), ())
    return Documented(_one_line(model.get("description", "")), ", ".join(grain) or "-", columns)


def _one_line(text: str) -> str:
    return " ".join(text.split())
