"""The page of rules, from the registries in `ingest/rules/`."""

from __future__ import annotations

from itertools import groupby

from ingest.rules.sites import CONSENT
from ingest.rules.tables import TABLES, Table, default
from ingest.rules.template import written
from ingest.rules.variables import VARIABLES, Variable
from orchestration.places import DBT_DIR
from tools.reference.markdown import code, table


def rules() -> str:
    parts = ["[How rules are written](../rules.md), and where they lie."]
    parts += ["## Variables"]
    for subject, variables in groupby(VARIABLES, key=lambda each: each.subject):
        parts += [
            f"### {subject.capitalize()}",
            table(["variable", "default", "allowed", "meaning"], map(_row, variables)),
        ]
    parts += [
        "## Tables",
        "The header of a file names all columns of its table, in any order; a value may be left empty where it "
        "says so.",
    ]
    for each in TABLES:
        parts += [f"### {each.name}", _about(each), _columns(each)]
    parts += [
        "## Sites",
        table(
            ["field", "default", "meaning"],
            [
                ["`hosts`", "the site's name", "hosts of its pages; a host is of one site alone"],
                ["`tenant`", "none", "whose site it is: lower-case letters, digits, `-` and `_`"],
                ["`time_zone`", "`UTC`", "IANA name; the days of marts stay UTC"],
                ["`keys`", "none", "names of settings, or `sha256:` and 64 hex digits; never a secret"],
                ["`consent`", code(CONSENT[0]), " or ".join(map(code, CONSENT))],
            ],
        ),
    ]
    return "\n\n".join(parts)


def _row(variable: Variable) -> list[str]:
    why = f". The most because {variable.why_most}" if variable.why_most else ""
    return [code(variable.name), code(written(variable.default)), variable.allowed, variable.about + why]


def _about(each: Table) -> str:
    rows = (
        "Your rows are added to the defaults, and take the place of a default row with the same key."
        if each.adds
        else "Your file replaces the defaults."
        if default(each, DBT_DIR / "seeds").rows.num_rows
        else "Your file is the table; there are no defaults."
    )
    key = f" Key: {', '.join(map(code, each.key))}." if each.key else " Rows alike are added up."
    return rows + key


def _columns(each: Table) -> str:
    return table(
        ["column", "type", "may be empty", "allowed"],
        [
            [
                code(name),
                column.type,
                "no" if column.is_required else "yes",
                ", ".join(map(code, column.choices)) if column.choices else _form(column.is_regex, column.form),
            ]
            for name, column in each.columns.items()
        ],
    )


def _form(is_regex: bool, form: object) -> str:
    if is_regex:
        return "regular expression (RE2), in lower case"
    names = {"lower": "in lower case", "upper": "ISO 4217 code", "event_type": "in the form that events have"}
    return names.get(getattr(form, "__name__", ""), "")
