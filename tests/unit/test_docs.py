"""The README's and docs' commands, settings and lists are the real ones."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ingest.access_logs import REASONS
from ingest.schema import ACCESS_LOGS, LEDGER, REJECTS
from orchestration.cli import cli
from orchestration.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAKEFILE = (ROOT / "Makefile").read_text()


def code_of(page: Path) -> str:
    text = page.read_text()
    return "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text))


def test_the_readme_names_the_two_commands() -> None:
    assert {"demo", "test"} <= set(re.findall(r"make (\w+)", code_of(ROOT / "README.md")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    for target in re.findall(r"\bmake (\w+)", code_of(page)):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path) -> None:
    for line in re.findall(r"(?:^|[ /])clicklake ([a-z]+[^\n]*)", code_of(page), re.MULTILINE):
        name, _, rest = line.partition(" ")
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, f"clicklake {name}"
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--[a-z-]+", f" {rest.split('#')[0].split(' -- ')[0]}")) <= known | {"--help"}, (
            line
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(CLICKLAKE_\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert set(rows) == {f"CLICKLAKE_{name}".upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        shown = rows[f"CLICKLAKE_{name}".upper()].strip().strip("`")
        if field.is_required():
            assert shown == "required"
        elif field.default is not None:
            assert shown == str(field.default).lower()


def test_reasons_and_columns_are_documented() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for reason, meaning in REASONS.items():
        assert f"- `{reason}`: {meaning}" in text
    for column in (*ACCESS_LOGS, *REJECTS, *LEDGER):
        assert f"| `{column.name}` | {column.type} | {column.description} |" in text
