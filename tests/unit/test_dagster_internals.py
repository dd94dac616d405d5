"""What is not Dagster's public interface lies in one folder, and each file there says why."""

from __future__ import annotations

import re
from pathlib import Path

from tools.rooms import ROOT, imported

PACKAGES = ("ingest", "orchestration", "demo", "dbt_project")
FOLDER = ROOT / "orchestration" / "dagster_internals"
# A module of Dagster whose name begins with an underscore, or one within a library of it.
PRIVATE = re.compile(r"^dagster(?:\.\w+)*\._|^dagster_(?:dbt|aws|duckdb)\.[a-z_]+\.")


def test_private_imports_are_in_one_folder() -> None:
    files = [
        path for folder in ("ingest", "orchestration", "demo", "dbt_project") for path in (ROOT / folder).rglob("*.py")
    ]
    outside = {
        str(path.relative_to(ROOT)): sorted(filter(PRIVATE.search, imported(path)))
        for path in files
        if FOLDER not in path.parents
    }
    assert {path: found for path, found in outside.items() if found} == {}
    assert any(PRIVATE.search(module) for path in files if FOLDER in path.parents for module in imported(path))


def test_each_file_says_why_what_breaks_and_what_would_be_public() -> None:
    for path in FOLDER.glob("[!_]*.py"):
        text = " ".join(path.read_text("utf-8").split('"""')[1].split())
        assert all(word in text for word in ("Private: ", "Without it", "Public way: ")) or "Without the" in text, path


def test_no_private_attribute_of_dagster_is_touched_elsewhere() -> None:
    touched = re.compile(r"\b(?:dg|dagster|context|instance|colored_console_logger)\._[a-z]")
    found = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "orchestration").rglob("*.py")
        if FOLDER not in path.parents and touched.search(path.read_text("utf-8"))
    ]
    assert found == []


def test_homes_of_earlier_versions_find_their_storage() -> None:
    from orchestration import event_log
    from orchestration.dagster_internals.event_log import EventLogStorage

    assert event_log.EventLogStorage is EventLogStorage
    assert (
        "module: orchestration.dagster_internals.event_log" in Path(ROOT, "orchestration", "dagster.yaml").read_text()
    )
