"""Where a user's files of rules lie: the folder of a setting, or `rules/` in the lake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ingest.lake.files import Lake
from ingest.lake.layout import REFERENCE, RULES
from ingest.rules.problems import Problems, RulesError, hint
from ingest.rules.tables import MOST_BYTES, TABLE_BY_NAME

RULES_FILE = "rules.yml"
KNOWN = (RULES_FILE, *(table.file for table in TABLE_BY_NAME.values()))


@dataclass(frozen=True)
class Files:
    """The files that are there: file name → (its store, its key, its size)."""

    found: Mapping[str, tuple[Lake, str, int]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def shown(self, name: str) -> str:
        """The name of a file in messages: its path, or its key in the lake."""
        store, key, _ = self.found[name]
        return store.uri(key)

    def body(self, name: str, problems: Problems) -> bytes | None:
        store, key, size = self.found[name]
        if size > MOST_BYTES:
            problems.add(self.shown(name), f"the file is larger than {MOST_BYTES >> 20} MiB")
            return None
        return store.read_bytes(key)


def files(folder: Lake | None, lake: Lake | None, problems: Problems) -> Files:
    """The files of rules of a folder if one is set, else of the lake's `rules/`; and the tables in the lake's
    `reference/`, in both cases.

    Raises:
        RulesError: a folder is set, and holds no rules.
        LakeError: a place cannot be read.
    """
    found: dict[str, tuple[Lake, str, int]] = {}
    places = [(folder, "")] if folder else [(lake, RULES)] if lake else []
    for store, below in [*places, *([(lake, REFERENCE)] if lake else [])]:
        for file in store.files(below, recursive=False):
            name = file.key.rpartition("/")[2]
            if name not in KNOWN or (below == REFERENCE and name == RULES_FILE):
                if below != REFERENCE and name.lower().endswith((".csv", ".yml", ".yaml")):
                    problems.add(store.uri(file.key), f"there are no rules of this name. {hint(name, KNOWN)}")
            elif name in found:
                other = found[name][0].uri(found[name][1])
                problems.add(store.uri(file.key), f"the same table is in {other} too. Keep one of the two")
            else:
                found[name] = (store, file.key, file.size)
        for key in store.no_files(below):
            name = key.rpartition("/")[2]
            if key == below.rstrip("/") or (name in KNOWN and not (below == REFERENCE and name == RULES_FILE)):
                what, instead = ("folder", "a file") if key == below.rstrip("/") else ("file", "a folder")
                problems.add(
                    store.uri(key),
                    f"this leads to no {what}: it is {instead}, or a link to nothing. Put the {what} there",
                )
        if store is folder and not found and not problems.found:
            raise RulesError(
                f"CLICKLAKE_RULES is {store.url}, and there is neither {RULES_FILE} nor a table in it. Correct the "
                f"setting, or start with: clicklake rules --template > {RULES_FILE}, and put that file there"
            )
    return Files(found)
