"""Time grows with the length of a text alone, whatever the text: every pattern that sees data from outside, and every
function that is made of them, with texts that make patterns try again."""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import io
import json
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pyarrow as pa
import pytest

import ingest
import orchestration
from ingest.access_logs.files import _without_private_values
from ingest.events.addresses import campaign, host_name
from ingest.events.files import EventPiece, event_batches, read_event_pieces
from ingest.events.found import Found
from ingest.events.parser import EventParser
from ingest.native import library
from ingest.rows import agents
from ingest.rows.batches import MAX_REJECT_BYTES, ObjectFacts
from ingest.rows.encoding import decode_user_agent
from ingest.rows.ids import known_ids
from ingest.rows.privacy import scrub_json, scrub_json_column, scrub_json_line, scrub_line
from ingest.rows.query_strings import logged_parameters
from ingest.schema import ACCESS_LOG_FIELDS
from ingest.shown import shown_lines
from ingest.source import hour_of
from tests.environment_fixtures import HASH_KEY
from tests.event_lines import pixel

PARTS = [
    "a", "a.", "a b ", "A", "X", "aA", "1", "1.", "1:", "1,", "-", "_", ".", "+", "+1 ", "(", "((312) ", "312-555-",
    "@", "@.a", "a@", "a@a.", "x = ", "%", "%2", "%25", "%4", "%20", "%2B", "%EF%BC", "&#", "&#64", "&#x00040", "&amp",
    "amp;", "&amp;", "\\", "\\u", "\\u0040", '"', '\\"', '\\\\"', "'", '"a":', '"a', '"email":"', '"email":[',
    '{"name":"', 'value:"', "email:'", '"value":1,', "phone=1", "tel-", "[", "[1,", "{", "{{", "{%", "}", "} ",
    "} , {", " ", "\t", "\n", "\r", ", ", ";a=", "a=b; ", "a=1&", "é", "\uff20", "\u200b", "\u0300", "/", "/domain=",
    "/**/", "--\n", "http://", "xn--", "::", "::1 ", "2026-01-12-", "Mozilla/5.0 (", "Mozilla/5.0 (Linux; Android 1;",
    "Mobile/1 ", "Spider", "".join(map(chr, range(0x4E00, 0x8E00))) + "".join(map(chr, range(0x20000, 0x2A000))),
]  # fmt: skip
SIZES = (10_000, 20_000, 40_000, 80_000)
# Seconds for the first of these: no need to look closer. What tries again at each place takes 50 million steps.
FAST = 0.02
# Times the time that is in proportion to the text: what tries again at each place takes 4 for 40 kB, 8 for 80 kB.
MOST = 3


def made_of(part: str, size: int) -> str:
    return (part * (size // len(part) + 1))[:size]


def modules() -> Iterator[ModuleType]:
    for package in (ingest, orchestration):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(info.name)


def patterns() -> tuple[dict[str, re.Pattern[str]], set[str]]:
    """(every pattern of text in a module, and every one that is written where it is used; functions that use others)"""
    found: dict[str, re.Pattern[str]] = {}
    hidden = set()
    for module in modules():
        for value in vars(module).values():
            for each in _compiled(value):
                found.setdefault(each.pattern, each)
        for function, used in _used(ast.parse(inspect.getsource(module))):
            text = getattr(module, used.id, None) if isinstance(used, ast.Name) else None
            text = used.value if isinstance(used, ast.Constant) else text
            if isinstance(text, str):
                found.setdefault(text, re.compile(text))
            else:
                hidden.add(function)
    for line in agents.read_lines("kinds.csv"):
        found |= {text: re.compile(text) for text in (line.pattern, line.unless) if text}
    return found, hidden


def _used(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Functions, and the patterns that they give to `re`; a module's own are found by their values."""
    for function in ast.walk(tree):
        for call in ast.walk(function) if isinstance(function, ast.FunctionDef) else ():
            if isinstance(call, ast.Call) and re.fullmatch(r"re\.(?!escape|error)\w+", ast.unparse(call.func)):
                yield function.name, call.args[0]


def _compiled(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif type(value) is dict:
        for each in value.values():
            yield from _compiled(each)
    elif type(value) in (list, tuple, set, frozenset):
        for each in value:
            yield from _compiled(each)


def seconds(function: Callable[[str], object], text: str) -> float:
    """Of this process, whatever else the machine does."""
    gc.collect(0)
    gc.disable()
    try:
        start = time.process_time()
        function(text)
        return time.process_time() - start
    finally:
        gc.enable()


def too_slow(function: Callable[[str], object], first_size: int = SIZES[0]) -> dict[str, list[float]]:
    """Of the parts that cost most, the times for texts of `SIZES`, if they grow faster than the texts do."""
    first = {part: seconds(function, made_of(part, first_size)) for part in PARTS}
    dearest = sorted(first, key=lambda part: first[part])[-3:]
    closer = [part for part in dearest if part == dearest[-1] or first[part] > FAST * (first_size / SIZES[0]) ** 2]
    return {part: times for part in closer if (times := growing(function, part))}


def growing(function: Callable[[str], object], part: str, tries: int = 2) -> list[float]:
    """The times, if they grow too fast each time that they are taken."""
    times: list[float] = []
    for _ in range(tries):
        times = []
        for size in SIZES:
            times.append(seconds(function, made_of(part, size)))
            if times[-1] > MOST * (size / SIZES[0]) * max(times[0], FAST / 20):
                break
        else:
            return []
    return times


def all_matches(pattern: re.Pattern[str]) -> Callable[[str], object]:
    return lambda text: [pattern.fullmatch(text), *(None for _ in pattern.finditer(text))]


def test_f1_every_pattern_takes_time_that_grows_with_the_text_alone() -> None:
    found, hidden = patterns()
    assert len(found) > 100
    # Names of our own tables; the list of agents, which is found by itself; exceptions of agents that are not long.
    assert hidden == {"_explained", "_not_there_yet", "matches", "without_exceptions"}
    slow = {pattern: times for pattern, compiled in found.items() if (times := too_slow(all_matches(compiled), 3_000))}
    assert slow == {}


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "line": scrub_line,
    "json": scrub_json,
    "json line": scrub_json_line,
    "json column": lambda text: scrub_json_column(pa.array([text])),
    "id": lambda text: known_ids(pa.array([text]), str),
    "query string": logged_parameters,
    "campaign": campaign,
    "agent": decode_user_agent,
    "kind of agent": agents.kind_of,
    "phone": lambda text: agents.kind_of(f"Mozilla/5.0 (Linux; Android 1; bot) AppleWebKit/1 {text}"),
    "host": host_name,
    "key": hour_of,
    "line of a log": lambda text: _without_private_values(text, tuple(ACCESS_LOG_FIELDS)),
    "shown": shown_lines,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_f1_reading_takes_time_that_grows_with_the_text_alone(name: str) -> None:
    assert too_slow(FUNCTIONS[name]) == {}


def test_f1_a_pattern_that_tries_again_would_be_found() -> None:
    assert growing(all_matches(re.compile(r"a*b")), "a", tries=1)


def test_f1_an_event_of_repeated_fields_is_scrubbed_in_time_that_grows_with_it() -> None:
    def read(text: str) -> None:
        event = json.dumps(pixel())[:-1] + ',"email":"x",' + text.rstrip(",") + "}"
        [batch] = event_batches([EventPiece(0, 1, event.encode() + b"\n", 1)])
        parsed = EventParser(HASH_KEY, "a.example", ["2026-01-12-10"]).parse(batch)
        assert len(parsed.table) + len(parsed.rejects) == 1

    assert not growing(read, '"value":1,')


@pytest.mark.parametrize("part", ['{"a":"x},{', '{"a":[[[[},{', '{"a":[{},', "},{", "{'a': 1},", '"},{"'])
def test_f1_an_array_of_broken_elements_takes_time_that_grows_with_it(part: str) -> None:
    def read(text: str) -> None:
        body = b"[" + json.dumps(pixel()).encode() + b"," + text.encode() * 4
        assert len(list(read_event_pieces(io.BytesIO(body), 0, ObjectFacts()))) > 1

    assert not growing(read, part)


# Lines of which no two are alike; what the number of one makes of it.
DISTINCT: dict[str, Callable[[int], dict[str, object]]] = {
    "unknown keys": lambda n: {f"k{n}": 1},
    "versions": lambda n: pixel(schema_version=n + 2),
    "missing fields": lambda n: {"eventType": "a", "siteId": "s", f"k{n}": 1},
    "types": lambda n: pixel(url=5, **{f"k{n}": 1}),
    "known keys": lambda n: pixel(**{f"k{n}": 1}),
}


@pytest.mark.parametrize("name", DISTINCT)
def test_f1_lines_of_ever_new_keys_take_time_that_grows_with_their_number(name: str) -> None:
    def read(text: str) -> None:
        lines = [json.dumps(DISTINCT[name](n)).encode() + b"\n" for n in range(len(text) // 40)]
        [batch] = event_batches([EventPiece(0, 1, b"".join(lines), len(lines))])
        parsed = EventParser(HASH_KEY, "a.example", ["2026-01-12-10"]).parse(batch)
        assert len(parsed.table) + len(parsed.rejects) == len(lines)

    assert not growing(read, "x")


@pytest.mark.parametrize("name", DISTINCT)
def test_f1_lines_of_ever_new_keys_are_told_apart_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: what the Python way does by a pass over all lines of a batch is done as often for ten as
    for a thousand."""
    monkeypatch.setattr(library, "_chosen", library.PYTHON)

    def passes(lines: int) -> int:
        text = b"".join(json.dumps(DISTINCT[name](n)).encode() + b"\n" for n in range(lines))
        [batch] = event_batches([EventPiece(0, 1, text, lines)])
        done: list[str] = []

        def counting(name: str) -> Callable[..., None]:
            function: Callable[..., None] = getattr(Found, name)

            def call(*given: Any, **more: Any) -> None:
                done.append(name)
                function(*given, **more)

            return call

        with monkeypatch.context() as patch:
            for each in ("reject_each", "count_fields"):
                patch.setattr(Found, each, counting(each))
            EventParser(HASH_KEY, "a.example", ["2026-01-12-10"]).parse(batch)
        return len(done)

    assert passes(1_000) == passes(10) > 0


def test_f1_a_rejected_line_of_backslashes_is_shown_in_time_that_grows_with_it() -> None:
    assert 2 * MAX_REJECT_BYTES == 16_384
    assert not growing(lambda text: scrub_line(scrub_json_line(text)), "\\")


def test_f1_nesting_of_any_depth_is_scrubbed() -> None:
    deep = '{"a":' * 20_000 + '{"email":"ann"}' + "}" * 20_000
    assert '"ann"' not in scrub_json(deep)
    [scrubbed] = scrub_json_column(pa.array([deep])).to_pylist()
    assert scrubbed == deep.replace('"ann"', '"[private]"')
