"""Prepares in the loader what dbt would make again for each command: two fifths of the work of a small day.

Nothing prepared here can be stale. dbt still decides whether its state of the last parsing is valid for this command,
its variables and the current project files. The code of a template is looked up by the template's whole text.

dbt has no interface for this: its runner accepts a manifest, but does not check it. So two of dbt's functions are
replaced by functions with the same results, here and in `dbt_lighter.py` only.
"""

from __future__ import annotations

import gc
import inspect
import marshal
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partialmethod
from pathlib import Path
from types import CodeType
from typing import Any

import jinja2
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.project import Configuration, Project, ProjectFlags
from dbt.parser.manifest import extended_mashumuro_decoder
from dbt_common.clients.jinja import MacroFuzzEnvironment, get_environment

from orchestration.marts.dbt_lighter import lighten
from orchestration.marts.dbt_process import PARSED, TEMPLATES, versions

with suppress(ValueError):
    Manifest.from_msgpack(b"")  # the first call replaces this function by a generated one
_read_manifest: Callable[..., Manifest] = Manifest.from_msgpack
_compile: Callable[..., Any] = MacroFuzzEnvironment.compile


class Ahead:
    """The contents of dbt's target folder, loaded for commands. One for a process, used by its only thread."""

    def __init__(self, target: Path) -> None:
        self._files = [target / PARSED, target / TEMPLATES]
        self._seen: list[tuple[int, int, int]] | None = None  # inode, time and size of the files when they were read
        self._parsed = b""
        self._manifest: Manifest | None = None
        self._codes: dict[str, CodeType] = {}

    def begin(self) -> None:
        """Makes dbt use the loaded files, and fills caches that are the same for all commands."""
        lighten()
        Manifest.from_msgpack = self._from_msgpack  # type: ignore
        MacroFuzzEnvironment.compile = partialmethod(_compiled, self._codes)  # type: ignore
        for checked in (Configuration, Project, ProjectFlags, DuckDBCredentials):
            checked.json_schema()  # dbt caches it
        inspect.stack()  # its first call scans all modules; making an adapter calls it
        self.refresh()

    def refresh(self) -> None:
        """Reads the files again if they have changed."""
        seen = [(file.st_ino, file.st_mtime_ns, file.st_size) for path in self._files for file in _status(path)]
        if seen == self._seen:
            return
        self._seen, self._parsed, self._manifest = seen, b"", None
        self._codes.clear()
        with suppress(Exception):  # dbt itself reports a broken file, and parses the project again
            parsed = self._files[0].read_bytes()
            manifest = _read_manifest(parsed, decoder=extended_mashumuro_decoder)
            manifest.build_flat_graph()  # type: ignore[no-untyped-call] # generates its code at the first call
            self._parsed, self._manifest = parsed, manifest
        with suppress(OSError):
            self._codes.update(_codes_of(self._files[1]))
        gc.collect()
        gc.freeze()  # shared with every command

    def _from_msgpack(self, parsed: bytes, *rest: Any, **options: Any) -> Manifest:
        """The loaded manifest if it was made from the same bytes. It is used once, because a command changes it."""
        found, self._manifest = self._manifest, None
        return found if found is not None and parsed == self._parsed else _read_manifest(parsed, *rest, **options)


def _compiled(
    environment: jinja2.Environment, codes: Mapping[str, CodeType], source: Any, *rest: Any, **options: Any
) -> Any:
    is_plain = isinstance(source, str) and environment.undefined is jinja2.Undefined and not rest and not options
    found = codes.get(source) if is_plain else None
    return _compile(environment, source, *rest, **options) if found is None else found


def write_templates(target: Path) -> None:
    """Compiles the templates of the project that was parsed into a target folder, and writes them there."""
    manifest = _read_manifest((target / PARSED).read_bytes(), decoder=extended_mashumuro_decoder)
    sources = {macro.macro_sql for macro in manifest.macros.values()}
    sources |= {node.raw_code for node in manifest.nodes.values() if getattr(node, "language", "") == "sql"}
    environment = get_environment()
    codes = {source: environment.compile(source) for source in sorted(sources)}
    (target / TEMPLATES).write_bytes(versions().encode() + b"\n" + marshal.dumps(codes))


def _codes_of(path: Path) -> dict[str, CodeType]:
    """Template text → compiled code; empty if other versions wrote the file."""
    made_by, _, codes = path.read_bytes().partition(b"\n")
    return marshal.loads(codes) if made_by == versions().encode() else {}  # noqa: S302 # as Python's own .pyc


def _status(path: Path) -> list[os.stat_result]:
    with suppress(OSError):
        return [path.stat()]
    return []
