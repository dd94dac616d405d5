"""`clicklake alerts`: shows open alerts, and with --send, such as from cron, sends them to the receivers."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from orchestration.cli import DONE, FAILED
from orchestration.cli.console import console, line, notes, table
from orchestration.home import dagster_instance
from orchestration.settings import load_settings

if TYPE_CHECKING:
    from orchestration.alerts.alert import Alert


NO_RECEIVER = (
    "Nothing was sent: no receiver is set. Set CLICKLAKE_ALERT_WEBHOOK_URL or CLICKLAKE_ALERT_EMAIL_TO; "
    "a new receiver hears of all that is open"
)


@click.command("alerts", short_help="Show what is wrong now; --send tells the receivers.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with all fields of each alert.")
@click.option("--send", is_flag=True, help="Also send new notices, as the sensor does; for cron.")
def command(as_json: bool, send: bool) -> int:
    """Shows the alerts that are open now: failed runs, refused partitions, late sources, unmapped publications,
    campaigns whose figures fell. docs/alerts.md explains the kinds.

    With --send the receivers in the settings get each alert once when it opens and once when it is resolved. The
    status is 1 if a receiver could not be reached. The sensor `alerts` and this command share what was sent.
    """
    settings = load_settings()
    from orchestration.alerts.receivers import receivers_of
    from orchestration.operations.alerts import open_alerts, send_alerts

    failed: dict[str, str] = {}
    with dagster_instance() as instance:
        if send:
            sent = send_alerts(settings, instance, _to_standard_error())
            found, failed = sent.open, sent.failed
            if not receivers_of(settings):
                notes.print(NO_RECEIVER)
        else:
            found = open_alerts(settings, instance)
    if as_json:
        for alert in found:
            click.echo(json.dumps(alert.fields()))
    else:
        _show(found)
    return FAILED if failed else DONE


def _show(found: Sequence[Alert]) -> None:
    if not found:
        console.print("No alert is open.")
        return
    rows = [(alert.severity, alert.kind, alert.title, alert.first_seen or None) for alert in found]
    table(None, ("severity", "kind", "what", "first seen"), rows)
    for alert in found:
        line(f"{alert.title}: {alert.text}")
        if alert.command:
            line(f"  {alert.command}")


def _to_standard_error() -> logging.Logger:
    log = logging.getLogger("clicklake.alerts")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.handlers = [logging.StreamHandler(sys.stderr)]
    return log
