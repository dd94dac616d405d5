"""The dashboard, the alert rules and the scrape configuration name what the exporter has. Neither Grafana nor
Prometheus runs here: their files are read as data, and expressions by a small grammar of what these use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ROOT / "deploy" / "observability"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text("utf-8"))
RULES = [
    rule for group in yaml.safe_load((FILES / "rules.yml").read_text("utf-8"))["groups"] for rule in group["rules"]
]
DOCS = (ROOT / "docs" / "observability.md").read_text("utf-8")
EXPORTER = (ROOT / "orchestration" / "observability" / "metrics.py").read_text("utf-8")

FUNCTIONS = {"sum", "topk", "time", "delta", "clamp_min", "absent", "min_over_time", "by", "and"}
TOKEN = re.compile(
    r"""\s*(?: (?P<name>[a-z_]\w*) | (?P<number>\d+(?:\.\d+)?) | (?P<range>\[\d+[smhd]\])
    | (?P<labels>\{\w+=~?"[^"]*"(?:,\s*\w+=~?"[^"]*")*\}) | (?P<sign>==|[<>/*+(),-]) )""",
    re.VERBOSE,
)


def metrics() -> dict[str, list[str]]:
    """Every metric of the exporter with its labels, from the one place that makes them."""
    made = re.findall(r'_gauge\(\s*"(\w+)",\s*"[^"]+"(?:,\s*\[([^\]]*)\])?,?\s*\)', EXPORTER)
    assert EXPORTER.count("_gauge(") == len(made) + 1  # and the function itself
    return {f"clicklake_{name}": re.findall(r'"(\w+)"', labels) for name, labels in made}


def expressions() -> Iterator[str]:
    for panel in DASHBOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in RULES)


def tokens(expression: str) -> list[tuple[str, str]]:
    """Raises where something is neither a name, a number, a range, labels nor a sign, or brackets do not match."""
    found, position, depth = [], 0, 0
    while expression[position:].strip():
        match = TOKEN.match(expression, position)
        assert match, expression[position:]
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        depth += {"(": 1, ")": -1}.get(match[kind], 0)
        assert depth >= 0, expression
        position = match.end()
    assert depth == 0, expression
    return found


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_every_expression_names_metrics_and_labels_of_the_exporter(expression: str) -> None:
    known = metrics()
    labels = {label for each in known.values() for label in each}
    names = [value for kind, value in tokens(expression) if kind == "name"]
    assert any(name in known for name in names)
    assert set(names) <= set(known) | FUNCTIONS | labels
    for metric, selected in re.findall(r"(clicklake_\w+)\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)=", selected)) <= set(known[metric])


def test_the_grammar_knows_what_is_wrong() -> None:
    for wrong in ("sum(clicklake_up", "clicklake_up)", "clicklake_up{severity=error}", "clicklake_up ~ 1"):
        with pytest.raises(AssertionError):
            tokens(wrong)


def test_rules_say_what_is_wrong_and_what_to_do() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names) >= 8
    known = {label for labels in metrics().values() for label in labels}
    for rule in RULES:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= known
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_the_dashboard_has_what_grafana_reads() -> None:
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= set(DASHBOARD)
    [variable] = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == ("datasource", "datasource", "prometheus")
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["type"] in ("stat", "timeseries", "bargauge")
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"]
            references = re.findall(r"\{\{(\w+)\}\}", str([target["legendFormat"] for target in panel["targets"]]))
            assert set(references) <= {label for labels in metrics().values() for label in labels} | {"instance"}
    shown = " ".join(expressions())
    assert [metric for metric in metrics() if metric not in shown and metric != "clicklake_build_info"] == []


def test_the_scrape_configuration_finds_exporter_and_rules() -> None:
    from orchestration.cli.metrics import PORT

    found = yaml.safe_load((FILES / "prometheus.yml").read_text("utf-8"))
    assert [str(path) for path in found["rule_files"] if (FILES / path).exists()] == ["rules.yml"]
    assert found["scrape_configs"][0]["static_configs"] == [{"targets": [f"127.0.0.1:{PORT}"]}]


def test_every_metric_is_documented_with_its_labels() -> None:
    rows = re.findall(r"^\| `(clicklake_\w+)` \|([^|]*)\| .+ \|$", DOCS, re.MULTILINE)
    assert {name: re.findall(r"`(\w+)`", labels) for name, labels in rows} == metrics()
