"""`publications_unmapped`: publication codes of published days that the table `publications` lacks.

Each code is an alert of its own. Callers of the pixel choose the code, so more than 25 unknown codes at once are one
alert.
"""

from __future__ import annotations

import datetime as dt
from typing import cast

import dagster as dg

from orchestration.alerts.alert import WARNING, Alert, name
from orchestration.alerts.rule import LOOKED_AT, Kind, Look, Rule
from orchestration.publishing.mongodb_target import PUBLICATIONS_MAPPED
from orchestration.publishing.targets import TARGETS

PUBLICATIONS_UNMAPPED = "publications_unmapped"
VERDICTS_AT_MOST = 500
CODES_AT_MOST = 25  # callers of the pixel choose the code


def unmapped_publications(look: Look) -> list[Alert]:
    """Alerts for codes that the last verdict on a day did not find in the table; only verdicts of the last 7 days."""
    codes: dict[str, set[str]] = {}
    for target in (each for each in TARGETS if PUBLICATIONS_MAPPED in each.checks):
        check = dg.AssetCheckKey(dg.AssetKey(target.name), PUBLICATIONS_MAPPED.name)
        for day, unmapped in _codes_by_day(look.instance, check, look.now - LOOKED_AT).items():
            for code in unmapped:
                codes.setdefault(name(code), set()).add(day)
    if len(codes) > CODES_AT_MOST:
        shown = ", ".join(sorted(codes)[:CODES_AT_MOST])
        return [_unmapped("many", f"{len(codes)} publication codes are not mapped", f"Among them {shown}.")]
    return [
        _unmapped(code, f"Publication code {code} is not mapped", f"Seen on {', '.join(sorted(days))}.")
        for code, days in sorted(codes.items())
    ]


def _codes_by_day(instance: dg.DagsterInstance, check: dg.AssetCheckKey, since: dt.datetime) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    history = instance.event_log_storage.get_asset_check_execution_history(check, limit=VERDICTS_AT_MOST)
    for record in history:  # newest first
        evaluation = record.evaluation
        if not isinstance(evaluation, dg.AssetCheckEvaluation) or record.create_timestamp < since.timestamp():
            continue
        codes = evaluation.metadata.get("codes")
        found.setdefault(str(record.partition), cast(list[str], codes.value) if codes else [])
    return found


def _unmapped(subject: str, title: str, seen: str) -> Alert:
    return Alert(
        kind=PUBLICATIONS_UNMAPPED,
        subject=subject,
        title=title,
        text=f"{seen} Entries are published under the code. Add it to publications.csv of the "
        "rules, and run these days again.",
        severity=WARNING,
        command='clicklake query "select publication_code, sum(impressions) from marts.daily_aggregates '
        'where publication_id is null group by all"',
    )


RULE = Rule(
    "publications",
    (
        Kind(
            PUBLICATIONS_UNMAPPED,
            WARNING,
            "a day was published with a code that is not in publications.csv",
            "the last verdict on each such day no longer names it, or after 7 days",
        ),
    ),
    unmapped_publications,
)
