"""Generates the reference from the code: `python -m tools.reference` writes docs/reference/, one page for each subject.
A test fails if a page is stale."""

from __future__ import annotations

from pathlib import Path

from tools.reference.checks import checks, reject_reasons
from tools.reference.events import event_shapes
from tools.reference.marts import marts
from tools.reference.rules import rules
from tools.reference.running import alerts, metrics
from tools.reference.settings import settings
from tools.reference.tables import data_quality, raw_tables
from tools.reference.targets import targets

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
NOTE = "<!-- Generated from the code: make reference. Do not edit. -->"

# File → (title, subject, function that makes its text).
PAGES = {
    "tables.md": ("Raw tables", "Columns of raw access logs, raw events, rejects and ledgers", raw_tables),
    "event-shapes.md": (
        "Event shapes",
        "Fields of the events that are accepted, and the columns they become",
        event_shapes,
    ),
    "reject-reasons.md": ("Reject reasons", "Why a line or an event is rejected", reject_reasons),
    "checks.md": ("Checks", "Checks on raw days, and dbt tests", checks),
    "marts.md": ("Marts", "Partition, key, columns and tests of each mart", marts),
    "data-quality.md": ("data_quality", "Columns of the table that holds every check's result", data_quality),
    "settings.md": ("Settings", "Environment variables, their defaults and limits", settings),
    "rules.md": ("Rules", "Variables, reference tables and sites, with their defaults and limits", rules),
    "targets.md": ("Targets", "Where days of marts are published to: mart, key and checks of each target", targets),
    "metrics.md": ("Metrics", "What `clicklake metrics` exports, with labels", metrics),
    "alerts.md": ("Alerts", "Kinds of alerts, when each opens and closes, and the rules that find them", alerts),
}


def pages() -> dict[str, str]:
    """File name → text, for all files of the reference."""
    found = {name: f"{NOTE}\n# {title}\n\n{about}.\n\n{text()}\n" for name, (title, about, text) in PAGES.items()}
    return {"README.md": _index(), **found}


def _index() -> str:
    lines = [f"- [{title}]({name}): {about}." for name, (title, about, _) in PAGES.items()]
    return f"{NOTE}\n# Reference\n\nEach page is made from the code by `make reference`.\n\n" + "\n".join(lines) + "\n"


def write() -> None:
    """Writes the pages, and removes pages that no longer exist in the code."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in set(FOLDER.glob("*.md")) - {FOLDER / name for name in pages()}:
        path.unlink()
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
