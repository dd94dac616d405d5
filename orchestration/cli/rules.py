"""`clicklake rules`: the rules in force, and where each comes from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import click

from ingest.errors import LakeError
from ingest.lake.layout import RULES, rules_version
from orchestration.cli.console import line, notes, table
from orchestration.settings import load_lake_settings, load_rules_settings

if TYPE_CHECKING:
    from ingest.lake.files import Lake
    from ingest.rules.rules import Rules


@click.command("rules", short_help="Show the rules in force: variables, tables, sites, and where each comes from.")
@click.option("--check", is_flag=True, help="Only check them; the status is 2 if there is a mistake.")
@click.option("--template", is_flag=True, help="Print a rules.yml to start from, with all variables explained.")
@click.option("--diff", "other", metavar="FINGERPRINT", help="Show what differs from rules that marts were built with.")
def command(check: bool, template: bool, other: str | None) -> None:
    """Shows every variable with its value, unit and origin, the tables, and the sites. They are read from the folder
    in CLICKLAKE_RULES, or from rules/ in the lake, and the output names them; docs/rules.md explains the rules. With
    CLICKLAKE_RULES set, no lake is needed.

    \b
    Examples:
      clicklake rules
      clicklake rules --check
      clicklake rules --template > rules.yml
      clicklake rules --diff 3f9c0a7b52d1
    """
    if template:
        from ingest.rules.template import template as text

        click.echo(text(), nl=False)
        return
    from orchestration.rules import rules_of

    settings = load_rules_settings()
    rules = rules_of(settings)
    if other is not None:
        _show_difference(rules, _version(load_lake_settings().open_lake(), other), other)
        return
    for each in rules.tables.values():
        if each.error:
            raise click.ClickException(each.error)
    if rules.files:
        line(f"Read: {', '.join(rules.files)}")
    else:
        line(
            f"There are no rules of your own in {settings.open_lake().uri(RULES)}, so that the defaults hold. "
            "CLICKLAKE_RULES names another folder"
        )
    if check:
        line(f"The rules are right. Their fingerprint is {rules.fingerprint}")
        return
    _show(rules)


def _show(rules: Rules) -> None:
    from ingest.rules.template import written
    from ingest.rules.variables import VARIABLES

    table(
        "Variables",
        ("variable", "value", "unit", "from", "allowed"),
        [
            (
                each.name,
                written(rules.values[each.name]),
                each.unit or "",
                rules.origins.get(each.name, "default"),
                each.allowed,
            )
            for each in VARIABLES
        ],
        wrapped=("value", "from", "allowed"),
    )
    table(
        "Tables",
        ("table", "rows", "from"),
        [
            (name, each.rows.num_rows, _origin(each.origin, each.own_rows, each.table.adds))
            for name, each in rules.tables.items()
        ],
        wrapped=("from",),
    )
    if sites := rules.sites.by_name.values():
        table(
            "Sites",
            ("site", "hosts", "tenant", "time zone", "keys", "consent"),
            [
                (
                    each.name,
                    ", ".join(each.hosts),
                    each.tenant or "",
                    each.time_zone,
                    ", ".join(key[:15] + "…" if key.startswith("sha256:") else key for key in each.keys),
                    each.consent,
                )
                for each in sites
            ],
            wrapped=("hosts", "keys"),
        )
    line(f"Fingerprint {rules.fingerprint}. A mart's partition remembers the one that it was built with")


def _origin(origin: str | None, own_rows: int, adds: bool) -> str:
    if origin is None:
        return "default"
    return f"{origin}, {own_rows} rows added to the defaults" if adds else origin


def _version(lake: Lake, fingerprint: str) -> dict[str, Any]:
    try:
        if not re.fullmatch("[0-9a-f]+", fingerprint):
            raise LakeError("no fingerprint")
        found: dict[str, Any] = json.loads(lake.read_text(rules_version(fingerprint)))
    except LakeError:
        raise click.UsageError(
            f"{lake.url} holds no rules of fingerprint {fingerprint}. `clicklake status` names those of partitions"
        ) from None
    return found


def _show_difference(rules: Rules, before: dict[str, Any], fingerprint: str) -> None:
    now = json.loads(rules.text)
    rows = [
        (name, json.dumps(old.get(name)), json.dumps(new.get(name)))
        for old, new in ((before[section], now[section]) for section in ("variables", "tenants"))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    for name in sorted({*before["tables"], *now["tables"]}):
        old, new = (
            {json.dumps(row, ensure_ascii=False) for row in each["tables"].get(name, ())} for each in (before, now)
        )
        rows += [(name, row, "") for row in sorted(old - new)]
        rows += [(name, "", row) for row in sorted(new - old)]
    if not rows:
        notes.print(f"These are the rules in force: {fingerprint}")
        return
    table(None, ("rule", f"then ({fingerprint})", "now"), rows, wrapped=(f"then ({fingerprint})", "now"))
