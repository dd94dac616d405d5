"""Time grows with the length of a text alone, whatever the text: every pattern that sees data from outside, and every
function that is made of them, with texts that make patterns try again."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import ingest
import orchestration
from ingest.access_logs import MAX_REJECT_BYTES
from ingest.event_files import EventPiece, event_batches
from ingest.events import EventParser
from ingest.privacy import scrub, scrub_json, scrub_json_column, scrub_json_line, scrub_line
from tests.environment_fixtures import HASH_KEY
from tests.event_lines import pixel

PARTS = [
    "a", "a.", "a b ", "A", "1", "1.", "1:", "-", "+1 ", "(", "((312) ", "312-555-", "@", "@.a", "a@", "a@a.", "x = ",
    "%", "%2", "%25", "%4", "%EF%BC", "&#", "&#64", "&amp", "\\", "\\u", "\\u0040", '"', '\\"', "'", '"a":', '"a',
    '"email":"', '"email":[', '{"name":"', 'value:"', "email:'", '"value":1,', "phone=1", "tel-", "[", "{", "}",
    "} ", "} , {", " ", "\t", ", ", ";a=", "a=b; ", "é", "\uff20", "\u200b", "/", "/domain=", "2026-01-12-",
]  # fmt: skip
SIZES = (10_000, 20_000, 40_000, 80_000)
# Seconds for the second of these: no need to look closer. What tries again at each place takes 200 million steps.
FAST = 0.03
# Four times the time for four times the text, and a wide margin; what tries again at each place takes sixteen times.
MOST = 9
MAX_SECONDS = 20


def made_of(part: str, size: int) -> str:
    return (part * (size // len(part) + 1))[:size]


def patterns() -> dict[str, re.Pattern[str]]:
    """Every pattern of text in a module, and every one that is written where it is used."""
    found: dict[str, re.Pattern[str]] = {}
    for package in (ingest, orchestration):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for value in vars(module).values():
                for each in _compiled(value):
                    found.setdefault(each.pattern, each)
            for call in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
                if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("re.") and call.args:
                    text = call.args[0]
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found.setdefault(text.value, re.compile(text.value))
    return found


def _compiled(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif type(value) is dict:
        for each in value.values():
            yield from _compiled(each)
    elif type(value) in (list, tuple, set, frozenset):
        for each in value:
            yield from _compiled(each)


def seconds(function: Callable[[str], object], text: str, tries: int = 1) -> float:
    found = []
    for _ in range(tries):
        start = time.process_time()
        function(text)
        found.append(time.process_time() - start)
    return min(found)


def grows_too_fast(function: Callable[[str], object], part: str) -> list[float]:
    """The times for texts of `SIZES`, if they grow faster than the texts do."""
    if seconds(function, made_of(part, SIZES[1])) < FAST:
        return []
    times: list[float] = []
    for size in SIZES:
        times.append(seconds(function, made_of(part, size), tries=3))
        if times[-1] > MAX_SECONDS:  # what takes so long for so little is too slow in any case
            return times
    return times if times[-1] > MOST * times[1] else []


def all_matches(pattern: re.Pattern[str]) -> Callable[[str], object]:
    return lambda text: [pattern.fullmatch(text), *(None for _ in pattern.finditer(text))]


def test_f1_every_pattern_takes_time_that_grows_with_the_text_alone() -> None:
    found = patterns()
    assert len(found) > 30
    slow = {
        (pattern, part): times
        for pattern, compiled in found.items()
        for part in PARTS
        if (times := grows_too_fast(all_matches(compiled), part))
    }
    assert slow == {}


@pytest.mark.parametrize("function", [scrub, scrub_line, scrub_json, scrub_json_line], ids=lambda each: each.__name__)
def test_f1_scrubbing_takes_time_that_grows_with_the_text_alone(function: Callable[[str], str]) -> None:
    assert {part: times for part in PARTS if (times := grows_too_fast(function, part))} == {}


def test_f1_a_pattern_that_tries_again_would_be_found() -> None:
    assert grows_too_fast(all_matches(re.compile(r"a*b")), "a")
    assert grows_too_fast(all_matches(re.compile(r'"(?:[^"\\]|\\.)*"[^{}]*?x')), '"a":')


def test_f1_an_event_of_repeated_fields_is_scrubbed_in_time_that_grows_with_it() -> None:
    def read(text: str) -> None:
        event = json.dumps(pixel())[:-1] + ',"email":"x",' + text.rstrip(",") + "}"
        data = event.encode() + b"\n"
        [batch] = event_batches([EventPiece(0, 1, data, 1)])
        parsed = EventParser(HASH_KEY, "a.example", ["2026-01-12-10"]).parse(batch)
        assert len(parsed.table) + len(parsed.rejects) == 1

    times = {size: seconds(read, '"value":1,' * (size // 10), tries=2) for size in (25_000, 100_000)}
    assert times[100_000] < MOST * times[25_000]


def test_f1_a_rejected_line_of_backslashes_is_shown_in_time_that_grows_with_it() -> None:
    def shown(text: str) -> None:
        scrub_line(scrub_json_line(text))

    assert 2 * MAX_REJECT_BYTES == 16_384
    times = {size: seconds(shown, "\\" * size, tries=3) for size in (16_384, 4 * 16_384)}
    assert times[4 * 16_384] < MOST * max(times[16_384], 0.001)


def test_f1_nesting_of_any_depth_is_scrubbed() -> None:
    deep = '{"a":' * 20_000 + '{"email":"ann"}' + "}" * 20_000
    assert '"ann"' not in scrub_json(deep)
    [scrubbed] = scrub_json_column(pa.array([deep])).to_pylist()
    assert scrubbed == deep.replace('"ann"', '"[private]"')
