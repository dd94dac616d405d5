"""Imports dagster-dbt without dbt-core, as users of dbt Fusion have it. Import dagster-dbt from here.

Otherwise it would load all of dbt for a few types, a third of the time that loading the definitions takes: in every
run, in the code server, in every command that builds. dbt itself runs in its own process (`dbt_process.py`).

Private: the module by which dagster-dbt looks for dbt-core, and the module of `build_dbt_asset_specs`. Without it each
process loads dbt, for about a second. Public way: an import of dagster-dbt that loads dbt when it is used.
"""

import sys

_MARK = "dbt.version"  # the module by which dagster-dbt looks for dbt-core

_loaded = sys.modules.get(_MARK)
sys.modules[_MARK] = None  # type: ignore[assignment]
try:
    from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings
    from dagster_dbt.asset_specs import build_dbt_asset_specs
finally:
    if _loaded is None:
        del sys.modules[_MARK]
    else:
        sys.modules[_MARK] = _loaded

__all__ = ["DagsterDbtTranslator", "DagsterDbtTranslatorSettings", "build_dbt_asset_specs"]
