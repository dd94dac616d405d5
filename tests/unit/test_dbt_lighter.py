"""What dbt does with less work in its loader has the results of dbt's own functions."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestration.marts.dbt_process import PARSED
from orchestration.places import dbt_target
from tests.environment_fixtures import ROOT

pytestmark = pytest.mark.slow

# dbt's functions are replaced in this script's own process. It prints what differs.
SCRIPT = '''
import sys
from pathlib import Path
from types import SimpleNamespace

import parsedatetime
import dbt.adapters.duckdb
import dbt.cli.main
from dbt.context.macros import MacroNamespaceBuilder
from dbt.contracts.graph.manifest import Manifest
from dbt.events.types import JinjaLogInfo, LogModelResult
from dbt.parser.manifest import extended_mashumuro_decoder

from orchestration.marts import dbt_lighter

manifest = Manifest.from_msgpack(Path(sys.argv[1]).read_bytes(), decoder=extended_mashumuro_decoder)
macros = manifest.get_macros_by_package()


def items(namespace):
    found = {}
    for name, macro in namespace.items():
        each = macro if isinstance(macro, dict) else {name: macro}
        found |= {(name, key): (one.macro.unique_id, one.context, one.node, one.stack) for key, one in each.items()}
    return found


def namespaces():
    """Of a model of the project, of one of a package, and of a macro that belongs to dbt."""
    return [
        MacroNamespaceBuilder("clicklake", package, "stack", ["duckdb", "dbt"], SimpleNamespace(name=package))
        .build_namespace(macros, {"of": package})
        for package in ("clicklake", "another", "dbt")
    ]


def events():
    event = JinjaLogInfo(msg=7)
    event.msg = "later"
    made = [event, LogModelResult(description="one", status="success", index=1, total=2, execution_time=0.5)]
    return [(each.to_json(), each.message(), each.level_tag()) for each in made]


before, events_before = [items(each) for each in namespaces()], events()
months = parsedatetime.Constants("en_US").Months
dbt_lighter.lighten()
after = namespaces()
assert len(before[0]) > 500
for expected, found in zip(before, after, strict=True):
    assert items(found) == expected
    merged = dbt_lighter.merged(found)
    assert merged.keys() == set(found)
    assert all(merged[name] is found[name] or merged[name] == found[name] for name in merged)
assert events() == events_before, events()
assert parsedatetime.Constants("en_US").Months == months
assert parsedatetime.Constants("en_US") is parsedatetime.Constants("en_US")
print("the same")
'''


def test_macros_events_and_dates_are_those_of_dbt() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(dbt_target() / PARSED)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "the same\n", done.stderr
