"""The files of the summary of identities in the lake (planning/settled.py). Each version has files of its own, and the
manifest, put last, names the present one. All that read or write them hold the lock of the marts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

from dbt_project.planning.settled import Settled
from ingest.errors import LakeError, TransientLakeError
from ingest.lake.files import Lake
from ingest.lake.layout import SUMMARIES, summary_file, summary_manifest
from ingest.lake.records import sha256_of

NAME = "identities"


def present(lake: Lake) -> Settled | None:
    """The present summary; None if there is none that this version can read."""
    key = summary_manifest(NAME)
    if not lake.exists(key):
        return None
    with suppress(ValueError, KeyError, TypeError):
        return Settled.of_text(lake.read_text(key))
    return None


def fetched(lake: Lake, settled: Settled, folder: Path) -> dict[str, str] | None:
    """Part → local file; None if a file is missing or is not what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for part, (key, sha256) in settled.parts.items():
        local = folder / f"{part}.parquet"
        try:
            local.unlink(missing_ok=True)
            lake.fetch(key, local)
        except TransientLakeError:
            raise
        except LakeError:
            return None
        if sha256_of(local) != sha256:
            return None
        found[part] = str(local)
    return found


def put(lake: Lake, through: date, made_of: str, files: Mapping[str, Path]) -> None:
    """Makes finished local files, by part, the present summary, and deletes the one before."""
    sums = {part: sha256_of(path) for part, path in files.items()}
    version = f"{through}-{made_of[:16]}"
    parts = {part: (summary_file(NAME, version, part), sha256) for part, sha256 in sums.items()}
    for part, (key, _) in parts.items():
        lake.put(files[part], key)
    lake.put_text(Settled(through, made_of, parts).text(), summary_manifest(NAME))
    for name in lake.folders(f"{SUMMARIES}/{NAME}"):
        if name != version:
            lake.delete(f"{SUMMARIES}/{NAME}/{name}")


def drop(lake: Lake) -> None:
    """Deletes the summary, the manifest first."""
    lake.delete(summary_manifest(NAME))
    lake.delete(f"{SUMMARIES}/{NAME}")
