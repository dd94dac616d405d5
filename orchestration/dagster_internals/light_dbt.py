"""Imports what Clicklake uses of dagster-dbt, without the rest of it and without dbt-core. Import it from here.

dagster-dbt's package loads dbt, dbt Cloud's clients, gRPC and an SQL parser for a few types. That would be a third of
the time that loading the definitions takes: in every run, in the code server, in every command that builds. dbt itself
runs in its own process (`dbt_process.py`).

Private: that the modules need nothing of the package's own code, the module by which they look for dbt-core, and the
modules' names. Without it each process loads dbt and the rest, for more than a second. Public way: an import of
dagster-dbt that loads these when they are used.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_PACKAGE = "dagster_dbt"
_MARK = "dbt.version"  # the module by which dagster-dbt looks for dbt-core


@contextmanager
def _in_place(modules: Mapping[str, ModuleType | None]) -> Iterator[None]:
    """Puts modules in the place of others for a while; None makes a module look as if it were not installed."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
        sys.modules.update(before)


def _without_its_code(package: str) -> ModuleType:
    """A package whose modules can be imported, without what its own code imports."""
    found = find_spec(package)
    assert found is not None, package
    return module_from_spec(found)


with _in_place({_MARK: None, _PACKAGE: _without_its_code(_PACKAGE)}):
    from dagster_dbt.asset_specs import build_dbt_asset_specs
    from dagster_dbt.dagster_dbt_translator import DagsterDbtTranslator, DagsterDbtTranslatorSettings

__all__ = ["DagsterDbtTranslator", "DagsterDbtTranslatorSettings", "build_dbt_asset_specs"]
