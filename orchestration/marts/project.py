"""The manifest of the dbt project, from which Dagster's assets are made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ingest.errors import ClicklakeError
from orchestration.marts.dbt_process import PARSED, TEMPLATES, run_dbt, versions
from orchestration.places import DBT_DIR, dbt_target

_MANIFEST = "manifest.json"
_MADE_OF = "clicklake_made_of"  # next to the manifest: the fingerprint of its inputs
_NOT_READ = {"target", "logs", "__pycache__"}


def manifest() -> dict[str, Any]:
    """The manifest of the current project files. Raises as `prepare` does."""
    prepare()
    path = dbt_target() / _MANIFEST
    return _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, _modified: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def prepare() -> bool:
    """Writes the manifest if there is none, or if the project's files or dbt's version have changed. Returns whether it
    was written.

    Raises:
        ClicklakeError: dbt cannot read the project, or the manifest cannot be written.
    """
    target, made_of = dbt_target(), fingerprint()
    if (target / _MANIFEST).exists() and _text_of(target / _MADE_OF) == made_of:
        return False
    try:
        target.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="parse-", dir=target) as folder:
            done = run_dbt(
                DBT_DIR, parse_command(_text_of(target / _MADE_OF), made_of), Path(folder), keeps_templates=True
            )
            if done.status:
                raise ClicklakeError(f"dbt cannot read {DBT_DIR}: {done.errors()}")
            (Path(folder) / _MADE_OF).write_text(made_of, "utf-8")
            for name in (PARSED, TEMPLATES, _MANIFEST, _MADE_OF):  # atomic, because other processes may read meanwhile
                os.replace(Path(folder) / name, target / name)
    except OSError as error:
        raise ClicklakeError(
            f"{target}, where dbt's manifest is kept, cannot be written ({error.strerror}). Run "
            "`python -m orchestration.marts.project` as a user who may, or set XDG_CACHE_HOME to another folder where "
            "Clicklake is an installed package"
        ) from error
    return True


def fingerprint(project: Path = DBT_DIR) -> str:
    """Two hashes of a manifest's inputs: of the names of the project's files, and of names, contents and versions.
    Contents count instead of times, which may stay the same after a deletion, a checkout or a copy of an image."""
    names, made_of = hashlib.sha256(), hashlib.sha256(versions().encode())
    for path in _files(project):
        name, content = path.relative_to(project).as_posix(), path.read_bytes()
        names.update(f"\n{name}".encode())
        made_of.update(f"\n{name} {len(content)}\n".encode())
        made_of.update(content)
    return f"{names.hexdigest()} {made_of.hexdigest()}"


def parse_command(before: str | None, now: str) -> list[str]:
    """dbt's parse command, by the earlier and the current fingerprint of the project. Partial parsing has missed new
    files, so if files came or went, the whole project is parsed again."""
    has_same_files = before is not None and before.split(" ")[0] == now.split(" ")[0]
    return ["parse"] if has_same_files else ["parse", "--no-partial-parse"]


def _files(project: Path) -> Iterator[Path]:
    """The project's files in a fixed order, without files that dbt, Python and editors leave."""
    for folder, folders, names in os.walk(project):
        folders[:] = sorted(name for name in folders if name not in _NOT_READ and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _text_of(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    prepare()
