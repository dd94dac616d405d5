"""The README's and docs' commands, queries, settings and lists are the real ones."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import click
import duckdb
import pyarrow as pa
import pytest

from ingest.access_logs.parser import REASONS
from ingest.events.parser import EVENT_REASONS
from ingest.events.shapes import shapes
from ingest.partition.audit import CHECKS, NEVER_RELEASED
from ingest.schema import (
    ACCESS_LOGS,
    DATA_QUALITY,
    DATA_QUALITY_PARTITIONS,
    EVENTS,
    LEDGER,
    REJECTS,
    Column,
    arrow_schema,
)
from orchestration.cli import DONE, FAILED, INTERRUPTED, USAGE, Group, cli
from orchestration.marts.project import manifest, prepare
from orchestration.settings import Settings
from tests.event_lines import Events
from tools.reference.events import section_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("ingest", "dbt_project", "orchestration", "demo", "benchmarks", "tools")
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.rglob("*.md"))]
REFERENCE = DOCS / "reference"
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
MAX_IMAGE_BYTES = 250_000

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a language, those in lists too."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [str(block) for block in found]


def shell_words(page: Path) -> Iterator[list[str]]:
    """The words of every command in shell blocks, and of what looks like one in running text."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    inline = [code for code in re.findall(r"`([^`]+)`", text) if re.match(r"(make|clicklake) [a-z-]", code)]
    for line in [line for block in blocks(page, "sh") for line in block.splitlines()] + inline:
        if line.lstrip().startswith(("{", "}", "]", '"')) or line in ("", "JSON"):
            continue  # the body of a request
        words = shlex.split(" ".join(line.split()), comments=True)
        words = words[: words.index(">")] if ">" in words else words  # into a file
        while words and re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words:
            yield words


@each_page
def test_every_make_target_exists(page: Path) -> None:
    for words in shell_words(page):
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", MAKEFILE, re.MULTILINE), words


def test_the_readme_names_the_two_commands() -> None:
    targets = {words[1] for words in shell_words(ROOT / "README.md") if words[0] == "make"}
    assert {"demo", "test"} <= targets


@each_page
def test_every_command_is_understood(page: Path) -> None:
    for words in shell_words(page):
        if Path(words[0]).name == "clicklake":
            assert_understood(words[1:])


def assert_understood(words: list[str]) -> None:
    if words == ["--help"]:
        return
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, words
    with suppress(click.MissingParameter):  # in running text a command is named without what it needs
        context = command.make_context(words[0], words[1:])  # raises for what it does not know
        if isinstance(command, click.Group) and len(words) > 1:
            inner = command.get_command(context, words[1])
            assert inner is not None, words
            inner.make_context(words[1], words[2:], parent=context)


@each_page
def test_no_page_starts_dagster_without_a_home_that_lasts(page: Path) -> None:
    assert [words for words in shell_words(page) if words[:2] == ["dagster", "dev"]] == []


def test_the_readme_shows_every_command() -> None:
    shown = {words[1] for words in shell_words(ROOT / "README.md") if words[0] == "clicklake" and len(words) > 1}
    assert set(Group.names) <= shown


def test_every_exit_status_is_explained() -> None:
    rows = set(re.findall(r"^\| (\d+) \| ", (DOCS / "operations.md").read_text("utf-8"), re.MULTILINE))
    assert rows == {str(status) for status in (DONE, FAILED, USAGE, INTERRUPTED)}


@each_page
def test_every_query_runs(page: Path) -> None:
    statements = [words[2] for words in shell_words(page) if words[:2] == ["clicklake", "query"] and words[2:]]
    statements += [statement for block in blocks(page, "sql") for statement in block.split(";") if statement.strip()]
    with empty_lake() as connection:
        for statement in statements:
            connection.sql(
                re.sub(r"read_parquet\('([^']+)'[^)]*\)", lambda match: view_of(match[1]), statement)
            ).fetchall()


def view_of(path: str) -> str:
    """The view that stands for a file or a pattern of files of the lake."""
    parts = path.split("/")
    name = parts[-1].removesuffix(".parquet")
    if "quarantine" in parts:
        return f"{name}.{parts[parts.index('quarantine') + 1]}"
    layer = next(index for index, part in enumerate(parts) if part in ("raw", "rejects", "ledger", "marts"))
    return f"{parts[layer]}.{parts[layer + 1]}"


def empty_lake() -> duckdb.DuckDBPyConnection:
    """The views that `clicklake query` has, all without rows."""
    connection = duckdb.connect()
    day = Column("day", pa.date32(), "")
    event, source = Column("event_date", pa.date32(), ""), Column("source_date", pa.date32(), "")
    site = Column("site", pa.string(), "")
    tables = {
        "raw.access_logs": (*ACCESS_LOGS, event, source),
        "rejects.access_logs": (*REJECTS, source),
        "ledger.access_logs": (*LEDGER, source),
        "quarantine.access_logs": (*ACCESS_LOGS, day, event),
        "raw.events": (*EVENTS, event, source, site),
        "rejects.events": (*REJECTS, source, site),
        "ledger.events": (*LEDGER, source, site),
        "quarantine.events": (*EVENTS, day, site, event),
    }
    for name, columns in tables.items():
        connection.execute(f"create schema if not exists {name.split('.')[0]}")
        connection.register("columns", arrow_schema(columns).empty_table())
        connection.execute(f"create table {name} as from columns")
    connection.execute('create table quarantine.verdicts ("table" varchar, day date, site varchar, reasons json)')
    connection.execute(
        'create table quarantine.releases ("table" varchar, day date, site varchar, checks json, reason varchar, '
        "released_by varchar, released_at timestamptz)"
    )
    connection.execute("create schema marts")
    for mart in marts():
        typed = ", ".join(f"{column['name']} {column['data_type']}" for column in mart["columns"].values())
        connection.execute(f"create table marts.{mart['name']} ({typed})")
    connection.register("columns", arrow_schema((*DATA_QUALITY, *DATA_QUALITY_PARTITIONS)).empty_table())
    connection.execute("create table marts.data_quality as from columns")
    return connection


def marts() -> list[dict[str, Any]]:
    """The models that are published to the lake, as dbt's manifest has them."""
    prepare()
    nodes = manifest()["nodes"].values()
    return [node for node in nodes if node.get("config", {}).get("materialized") == "lake_table"]


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        if path == ROOT / "benchmarks" / "RESULTS.md":
            continue  # `make bench` writes it
        assert path.exists(), link
        if anchor:
            assert anchor in anchors(path), link


def anchors(page: Path) -> set[str]:
    """The names that a forge gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_images_are_shown_and_small() -> None:
    shown = {
        Path(link).name for page in PAGES for link in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    }
    images = {path.name: path.stat().st_size for path in (DOCS / "images").iterdir()}
    assert set(images) == shown
    assert max(images.values()) < MAX_IMAGE_BYTES


def test_every_setting_is_documented_with_its_default() -> None:
    text = (REFERENCE / "settings.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(CLICKLAKE_\w+)` \| ([^|]+) \|", text, re.MULTILINE))
    assert set(rows) == {f"CLICKLAKE_{name}".upper() for name in Settings.model_fields}, "write it anew: make reference"
    for name, field in Settings.model_fields.items():
        shown = rows[f"CLICKLAKE_{name}".upper()].strip().strip("`")
        if field.is_required():
            assert shown == "required", name
        elif field.default not in (None, ()):
            assert shown == str(field.default).lower(), name
        else:
            assert shown not in ("required", ""), name


@each_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    named = set(re.findall(r"\bCLICKLAKE_[A-Z0-9_]*[A-Z0-9]\b", page.read_text("utf-8")))
    assert named <= {f"CLICKLAKE_{name}".upper() for name in Settings.model_fields} | {"CLICKLAKE_TEST"}


def test_reasons_checks_and_columns_are_documented() -> None:
    text = "".join((REFERENCE / name).read_text("utf-8") for name in ("reject-reasons.md", "checks.md"))
    for name, meaning in [*REASONS.items(), *((check.name, f"{check.description}.") for check in CHECKS)]:
        assert f"- `{name}`: {meaning}\n" in text
    text = (REFERENCE / "tables.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$", text, re.MULTILINE)
    known = [(each.name, str(each.type), each.description) for each in (*ACCESS_LOGS, *EVENTS, *REJECTS, *LEDGER)]
    assert [tuple(row) for row in listed] == known


def differences(page: Iterable[object], code: Iterable[object]) -> str:
    """What has to be added to a page and taken out of it, so that it lists what the code has."""
    listed, known = set(page), set(code)
    return f"add {sorted(known - listed, key=str)}, take out {sorted(listed - known, key=str)}"


def test_every_mart_is_listed() -> None:
    row = r"^\| \[`(\w+)`\]\([^)]+\) \| (?:`(\w+)`|one file) \|"
    rows = re.findall(row, (DOCS / "marts.md").read_text("utf-8"), re.MULTILINE)
    known = {mart["name"]: mart["config"].get("partition_by") or "" for mart in marts()}
    known |= {"data_quality": "judged_date"}
    assert dict(rows) == known, (
        f"docs/marts.md, table of marts: {differences(dict(rows).items(), known.items())}. "
        "A row begins: | [`mart`](page.md#section) | `its date column` |, or | one file | without one"
    )


def test_the_columns_of_data_quality_are_documented() -> None:
    section = (REFERENCE / "data-quality.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (.+) \|$", section, re.MULTILINE)
    known = [(each.name, str(each.type), each.description) for each in (*DATA_QUALITY, *DATA_QUALITY_PARTITIONS)]
    assert [tuple(row) for row in listed] == known


def test_what_cannot_be_released_is_documented() -> None:
    text = (DOCS / "quality.md").read_text("utf-8")
    assert [name for name, why in NEVER_RELEASED.items() if f"- `{name}`: {why}." not in text] == []


def test_every_reason_to_reject_an_event_is_documented() -> None:
    section = (REFERENCE / "reject-reasons.md").read_text("utf-8").split("\n## Events\n")[1]
    listed = re.findall(r"^- `(\w+)`: (.+)$", section, re.MULTILINE)
    assert dict(listed) == EVENT_REASONS


def test_the_shapes_of_events_and_how_they_are_recognised_are_documented() -> None:
    text = (DOCS / "events.md").read_text("utf-8")
    first = text.index("\n## Shapes\n")
    listed = re.findall(r"^\| `(\w+)` \| (.+) \| .+ \|$", text[first : text.index("\n## Batches\n")], re.MULTILINE)
    known = []
    for shape in shapes():
        keys = BY_SHAPE[shape.name]["x-recognised-by"]
        by_all = " and ".join(f"`{key}`" for key in keys["all"])
        by_any = ", ".join(f"`{key}`" for key in keys["any"])
        known.append((shape.name, by_all + (f" and one of {by_any}" if by_any else "")))
    assert listed == known


@pytest.mark.parametrize("shape", [shape.name for shape in shapes()])
def test_the_fields_of_events_are_those_of_their_schemas(shape: str) -> None:
    text = (REFERENCE / "event-shapes.md").read_text("utf-8")
    section = text.split(f"\n### {shape}\n")[1].split("\n### ")[0]
    assert section.strip() == section_of(BY_SHAPE[shape])


BY_SHAPE = {
    schema["x-shape"]: schema
    for schema in (
        json.loads(each.read_text("utf-8")) for each in files("ingest").joinpath("events", "schemas").iterdir()
    )
}


def test_the_example_events_are_published(tmp_path: Path) -> None:
    text = (DOCS / "events.md").read_text("utf-8")
    examples = [json.loads(block) for block in blocks(DOCS / "events.md", "json")]
    events = Events(tmp_path)
    rows = events.take(*examples)
    assert events.rejects() == []
    assert [row["shape"] for row in rows[:3]] == ["pixel", "pixel", "pixel"]  # one, and a batch of two
    assert list(dict.fromkeys(row["shape"] for row in rows[3:])) == [shape.name for shape in shapes()][1:]
    bought, refunded = (row for row in rows if row["transaction_id"])
    assert [bought["event_type"], refunded["event_type"]] == ["purchase", "refund"]
    assert bought["transaction_id"] == refunded["transaction_id"]
    shown = text.split("\nIt becomes a row with\n")[1].split("\nA batch")[0]
    values = dict(re.findall(r"^\| `(\w+)` \| `(.+)` \|$", shown, re.MULTILINE))
    assert len(values) > 10
    assert {name: str(rows[0][name]) for name in values} == values


def test_no_sentence_begins_with_of() -> None:
    """`Of several fields the first counts` must be read twice."""
    inverted = re.compile(r'(?:"""|^\s*[#*-] |\. |: |-- |\{# )Of [a-z]')
    code = [
        path for folder in PACKAGES for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".sql", ".yml")
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in (*PAGES, *code)
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if inverted.search(line) and "target" not in path.parts
    ]
    assert found == []


def test_every_json_block_is_json() -> None:
    policies = [json.loads(block) for page in PAGES for block in blocks(page, "json")]
    assert policies


def test_the_backfill_by_graphql_is_understood() -> None:
    from dagster_graphql.schema import create_schema
    from graphql import parse, validate

    bodies = re.findall(r"<<'JSON'\n(.*?)\nJSON\n", (DOCS / "operations.md").read_text("utf-8"), re.DOTALL)
    asked, launched = map(json.loads, bodies)

    schema = create_schema().graphql_schema
    assert [validate(schema, parse(request["query"])) for request in (asked, launched)] == [[], []]


def test_the_runbook_names_every_sensor_schedule_and_warning() -> None:
    prepare()
    from orchestration.operations.schedules import SCHEDULES
    from orchestration.operations.sensors import SENSORS
    from orchestration.publishing.targets import TARGETS
    from orchestration.raw.assets import NEVER_BLOCKS

    text = (DOCS / "operations.md").read_text("utf-8")
    names = [each.name for each in (*SENSORS, *SCHEDULES)]
    assert [name for name in (*names, *NEVER_BLOCKS) if f"`{name}`" not in text] == []
    warnings = [check.name for target in TARGETS for check in target.checks if not check.blocks]
    assert warnings
    assert "(reference/targets.md)" in text
    targets = (REFERENCE / "targets.md").read_text("utf-8")
    assert [name for name in warnings if f"| `{name}` | warns |" not in targets] == []
