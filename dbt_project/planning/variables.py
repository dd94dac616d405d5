"""Checks of variables in dbt_project.yml that have few values or depend on the models: without a check, a wrong value
would change numbers and raise no error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dbt_project.planning.graph import Graph

CHOICES = {
    "session_by": ("timeout", "client"),
    "identity_known_at": ("day", "run"),
    "attribution_grain": ("session", "event"),
}
# Look-back windows in days → the model that restates the days after a late day. A window longer than the model restates
# would leave days unchanged that a late day affects.
LOOKS_BACK = {"visitor_history_days": "sessions", "retention_days": "retention"}
# Look-back windows of a conversion or refund in days; the day of the event counts as well.
EVENT_DAYS_BACK = {"transaction_days": "sessions", "refund_days": "sessions"}
# Look-back windows of a conversion in seconds; the day of the conversion counts as well.
SECONDS_BACK = {
    "attribution_click_seconds": "attribution",
    "attribution_impression_seconds": "attribution",
    "attribution_install_seconds": "attribution",
}
# Smallest and largest value. A run that restates the 30 days after its own reads events of 38 days.
LIMITS = {"funnel_max_days": (1, 7), "attribution_max_touches": (2, None)}
NAMES = (*CHOICES, *LOOKS_BACK, *EVENT_DAYS_BACK, *SECONDS_BACK, *LIMITS)
DAY_SECONDS = 86_400


def problems(values: Mapping[str, Any], graph: Graph) -> list[str]:
    """One sentence for each wrong value among the variables in `NAMES`.

    Args:
        values: variable → value from dbt; absent variables are not checked.
    """
    return [*_of_choices(values), *_of_limits(values), *_of_looking_back(values, graph)]


def _of_choices(values: Mapping[str, Any]) -> Iterator[str]:
    for name, choices in CHOICES.items():
        if name in values and values[name] not in choices:
            yield f"{name} is {values[name]!r}. Set it to {' or '.join(choices)}"


def _of_limits(values: Mapping[str, Any]) -> Iterator[str]:
    for name, (least, most) in LIMITS.items():
        number = _number(values.get(name, least))
        if number is None or number < least or (most is not None and number > most):
            yield f"{name} is {values[name]!r}. Set it to {least} or more" + (f", {most} at most" if most else "")


def _of_looking_back(values: Mapping[str, Any], graph: Graph) -> Iterator[str]:
    for name, model in {**LOOKS_BACK, **EVENT_DAYS_BACK, **SECONDS_BACK}.items():
        node = graph.model(model)
        if name not in values or node is None or node.restates is None:
            continue
        after = node.restates.after
        most = after if name in LOOKS_BACK else (after - 1) * (DAY_SECONDS if name in SECONDS_BACK else 1)
        number = _number(values[name])
        if number is None or not 0 <= number <= most:
            yield (
                f"{name} is {values[name]!r}. Set it to {most} at most: a late day restates the {after} days after it, "
                f"and further ahead {model} would keep what it was"
            )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
