"""What holds for any input: nothing crashes, every row is accounted for, and how bytes are cut does not matter."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.access_logs import files as log_files
from ingest.access_logs.files import Piece, batches
from ingest.access_logs.parser import AccessLogParser
from ingest.days import parse_day
from ingest.partition import stage
from ingest.rows import blocks
from ingest.rows.batches import ParsedBatch
from tests.log_lines import (
    DAY,
    FEW,
    FIELDS,
    HASH_KEY,
    QUICK,
    LogDay,
    assert_accounted,
    header,
    line,
    lines,
    log,
    request,
)

pytestmark = pytest.mark.slow

TEXT = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(
    st.integers(-5, 10**20).map(str),
    st.floats().map(str),
    st.sampled_from(["-", "", "000", "0x1f", " 5", "5 ", "1e5", ".5", "5.", "+5", "99999999999999999999", "x"]),
)
QUERIES = st.lists(
    st.tuples(st.sampled_from(["oid", "cid", "pid", "ch", "cr", "s", "r", "x", ""]), st.sampled_from(["=", "", "=="]),
              TEXT | st.sampled_from(["a%20b", "a%2520b", "%", "%G1", "a+b", "ann%40x.org"])), max_size=6,
).map(lambda parts: "&".join("".join(part) for part in parts) or "-")  # fmt: skip
REQUESTS = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["/c", "/pxl.png", "/index.html", "/%63", "-"]) | TEXT,
        "query": QUERIES,
        "status": st.sampled_from(["200", "302", "000", "-"]) | NUMBERS,
        "bytes": NUMBERS,
        "taken": NUMBERS,
        "port": NUMBERS,
        "agent": TEXT | st.just("Mozilla/5.0%2520(X11)"),
        "referrer": TEXT,
        "ip": st.ip_addresses().map(str) | TEXT,
        "id": st.sampled_from(["-", "a", "b"]) | TEXT,
        "date": st.sampled_from([DAY, DAY, DAY, "2026-01-11", "2026-01-13", "2025-01-01", "2024-01-01", "20yy-01-01"]),
        "time": st.sampled_from(["00:00:00", "23:59:59", "12:34:56", "24:00:00", "-"]),
    }
)
ODD_LINES = st.sampled_from(
    [b"", b"\r", b"x", b"\t" * 32, b"\xff\xfe", line() + b"\textra", line()[:60], line(path="/a\rb"), line() + b"\r",
     b"#", b"##Fields: a", line(agent="\0"), b"{}", line(status="-")]
)  # fmt: skip
LINES = st.lists(REQUESTS.map(lambda values: line(**values)) | ODD_LINES, max_size=12)


def is_directive_free(row: bytes) -> bool:
    return not row.startswith(log_files.DIRECTIVES)


@pytest.fixture
def new_day(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return lambda: LogDay(Path(tmp_path_factory.mktemp("day"))).allow_rejects()


def contents(day: LogDay) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """(rows, rejects), apart from where they stood."""
    rows = [{name: value for name, value in row.items() if not name.startswith("source_")} for row in day.rows()]
    return Counter(map(repr, rows)), Counter((row["reason"], row["line"]) for row in day.rejects())


# Nothing crashes


def mutated(data: bytes, seed: int, count: int) -> bytes:
    chance = random.Random(seed)
    changed = bytearray(data)
    for _ in range(count):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            changed[at : at + 1] = chance.randbytes(1)
        elif kind == 1:
            changed[at:at] = chance.choice([b"\t", b"\n", b"\r", b"\0", b"%", b"#Fields:", b'"', b"\xff", b"{", b"-"])
        elif kind == 2:
            del changed[at : at + chance.randrange(30)]
        else:
            start = chance.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + chance.randrange(200)]
    return bytes(changed)


TEXT_FILE = log(
    [*lines(6), line(path="/c", query="oid=1&r=https%253A%252F%252Fx.com"), line(path="/pxl.png", query="s=1")]
)
JSON_FILE = b"".join(json.dumps(request(id=str(n), path="/c", query=f"oid={n}")).encode() + b"\n" for n in range(6))


@pytest.mark.parametrize("body", [TEXT_FILE, JSON_FILE], ids=["text", "json"])
@pytest.mark.parametrize("compressed", [False, True], ids=["content", "compressed bytes"])
@FEW
@given(seeds=st.lists(st.integers(0, 2**32), min_size=4, max_size=4), count=st.integers(1, 12))
def test_no_mutation_crashes_anything_and_every_row_is_accounted_for(
    new_day: Any, body: bytes, compressed: bool, seeds: list[int], count: int
) -> None:
    day = new_day()
    for number, seed in enumerate(seeds):
        data = mutated(gzip.compress(body), seed, count) if compressed else gzip.compress(mutated(body, seed, count))
        day.add(data, f"{number}", compress=False)
    published = day.ingest().published
    assert_accounted(day, "" if published else day.quarantine())


@FEW
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=4), st.booleans())
@example([b"PAR1\0PAR1", b"\x1f\x8b\x08", b"{\n[", b"\n"], False)
def test_no_bytes_crash_anything(new_day: Any, bodies: list[bytes], compress: bool) -> None:
    day = new_day()
    for number, body in enumerate(bodies):
        day.add(body, f"{number}", compress=compress)
    published = day.ingest().published
    assert_accounted(day, "" if published else day.quarantine())


# How bytes are cut does not matter


@FEW
@given(
    rows=LINES.map(lambda rows: [row for row in rows if is_directive_free(row)]),
    objects=st.integers(1, 4),
    members=st.integers(1, 5),
    batch=st.sampled_from([1, 300, 2000]),
    block=st.integers(3, 700),
    task=st.sampled_from([1, 400, 1 << 20]),
    ends=st.booleans(),
)
def test_any_split_of_the_same_lines_gives_the_same_rows(
    new_day: Any, rows: list[bytes], objects: int, members: int, batch: int, block: int, task: int, ends: bool
) -> None:
    whole = new_day()
    whole.add(log(rows))
    whole.publish()

    split = new_day()
    size = -(-len(rows) // objects) or 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_files, "BATCH_BYTES", batch)
        patch.setattr(blocks, "BLOCK_BYTES", block)
        patch.setattr(blocks, "READ_BYTES", block + 4)  # a first read shows at least whether it is gzip
        patch.setattr(stage, "TASK_BYTES", task)
        for number, start in enumerate(range(0, max(len(rows), 1), size)):
            body = log(rows[start : start + size])
            if not ends and rows[start : start + size] and rows[min(start + size, len(rows)) - 1]:
                body = body[:-1]
            cut = -(-len(body) // members)
            parts = [body[at : at + cut] for at in range(0, len(body), cut)]
            data = body if members == 5 else b"".join(map(gzip.compress, parts))
            split.add(data, f"{number}", compress=False)
        split.publish()
    assert contents(split) == contents(whole)
    assert_accounted(split)


# Two ways to read text


def parsed(rows: list[bytes], is_plain: bool) -> ParsedBatch:
    data = b"".join(row + b"\n" for row in rows)
    (batch,) = batches([Piece(0, 1, tuple(FIELDS), data, len(rows), is_plain)])
    return AccessLogParser(HASH_KEY, parse_day(DAY)).parse(batch)


@QUICK
@given(st.lists(REQUESTS, min_size=1, max_size=15) | REQUESTS.map(lambda values: [values]))
@example([{"status": "-1"}])
@example([{"bytes": "9" * 19}, {"taken": "nan"}])
@example([{"bytes": " 5", "port": "0x1f", "taken": ".5"}])
@example([dict.fromkeys(("path", "status", "date", "time", "agent"), "")])
def test_the_fast_way_and_the_slow_way_give_the_same(requests: list[dict[str, str]]) -> None:
    rows = [line(**values) for values in requests]
    fast, slow = parsed(rows, True), parsed(rows, False)
    assert fast.table.schema == slow.table.schema
    assert fast.table.to_pylist() == slow.table.to_pylist()
    assert fast.rejects == slow.rejects
    assert fast.unreadable_numbers == slow.unreadable_numbers
    assert fast.id_hash.tolist() == slow.id_hash.tolist()


@FEW
@given(st.lists(REQUESTS, min_size=1, max_size=10))
def test_text_and_json_lines_give_the_same(new_day: Any, requests: list[dict[str, str]]) -> None:
    text, json_day = new_day(), new_day()
    text.add(header() + b"".join(line(**values) + b"\n" for values in requests))
    json_day.add(b"".join(json.dumps(request(**values), ensure_ascii=False).encode() + b"\n" for values in requests))
    text.publish()
    json_day.publish()
    assert contents(json_day)[0] == contents(text)[0]
    assert json_day.reasons().keys() == {number - 2 for number in text.reasons()}
    assert list(json_day.reasons().values()) == list(text.reasons().values())
