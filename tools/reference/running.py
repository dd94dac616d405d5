"""Pages of metrics (`orchestration/observability/metrics.py`) and alerts (`orchestration/alerts/rules/`)."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module

from orchestration.alerts.rule import Rule
from orchestration.alerts.rules import RULES
from orchestration.observability import metrics as exporter
from orchestration.operations.alerts import KINDS
from tools.reference.markdown import code, table


def metrics() -> str:
    return table(["metric", "labels", "meaning"], _gauges(inspect.getsource(exporter)))


def _gauges(source: str) -> Iterator[list[str]]:
    """The arguments of each call of `_gauge`, in the order of the file."""
    calls = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_gauge"
    ]
    for call in sorted(calls, key=lambda call: call.lineno):
        name, meaning, *labels = (ast.literal_eval(given) for given in call.args)
        yield [code(f"clicklake_{name}"), code(*labels[0]) if labels else "", meaning]


def alerts() -> str:
    rows = ([code(kind.name), kind.severity, kind.opens, kind.closes] for kind in KINDS)
    kinds = table(["kind", "severity", "opens", "closes"], rows)
    return "\n\n".join([kinds, "## Rules", *map(_stated, RULES)])


def _stated(rule: Rule) -> str:
    """The description of a rule, from the docstring of its module."""
    module = import_module(rule.find.__module__)
    title, _, text = (inspect.getdoc(module) or "").partition("\n\n")
    return f"### {title.rstrip('.')}\n\nIn `{module.__name__.replace('.', '/')}.py`.\n\n{text}".rstrip()
