"""Metrics by `orchestration/observability/metrics.py`, and alerts by `orchestration/alerts/rules/`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

from orchestration.alerts.rules import RULES
from orchestration.observability import metrics as exporter
from orchestration.operations.alerts import NOT_JUDGED
from tools.reference.markdown import code, table


def metrics() -> str:
    return table(["metric", "labels", "meaning"], _gauges(inspect.getsource(exporter)))


def _gauges(source: str) -> Iterator[list[str]]:
    """What each call of `_gauge` is given, in the order of the file."""
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_gauge"
    ]
    for call in sorted(calls, key=lambda call: call.lineno):
        name, meaning, *labels = (ast.literal_eval(given) for given in call.args)
        yield [code(f"clicklake_{name}"), code(*labels[0]) if labels else "", meaning]


def alerts() -> str:
    rows = [
        [code(kind), rule.about, code(f"{rule.find.__module__.replace('.', '/')}.py"), inspect.getdoc(rule.find) or ""]
        for rule in RULES
        for kind in sorted(rule.kinds)
    ]
    rows.append([code(NOT_JUDGED), "any", "", "A rule could not look."])
    note = "When each opens and closes is in [alerts](../alerts.md#kinds)."
    return f"{note}\n\n" + table(["kind", "about", "rule", "what it finds"], rows)
