"""The native core: it reads lines as the Python way does, whatever they hold, and its errors end no process."""

from __future__ import annotations

import ctypes
import io
import os
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pyarrow as pa
import pytest

from ingest.access_logs import files
from ingest.access_logs.files import batches, read_pieces
from ingest.access_logs.native import line_reader
from ingest.access_logs.parser import AccessLogParser
from ingest.days import parse_day
from ingest.errors import SettingsError
from ingest.native import build, library
from ingest.native.known import Known
from ingest.native.library import NATIVE, NativeError, Way, choose
from ingest.rows.batches import ObjectFacts
from tests.log_lines import DAY, FIELDS, HASH_KEY, line, lines
from tests.reader_fixtures import Use

ROOT = Path(__file__).resolve().parents[2]
DICTIONARY = pa.dictionary(pa.int32(), pa.string())
TYPES = {"a": DICTIONARY, "b": pa.int64(), "c": pa.int32(), "d": pa.float64(), "e": pa.string()}


@pytest.fixture
def core(use_reader: Use, monkeypatch: pytest.MonkeyPatch) -> library.Core:
    monkeypatch.setattr(files, "MAX_ODD_SHARE", 1)
    use_reader(NATIVE)
    found = library.core()
    assert found is not None
    return found


# What single values, lines and bytes may become. Each is likely to end in another branch of one of both readers.
VALUES = [
    *("", "-", "--", "-0", "-5", "007", "0", "000", "999", "1000", "200", "18446744073709551616", "999999999999999999"),
    *("1000000000000000000", "0x1F", " 5", "5 ", "+5", "1.5", ".5", "5.", "1e5", "nan", "inf", "0.1234567890123456"),
    *("123456789012345", "1234567890.12345", "0.000001", "1.2.3", "/c", "/pxl.png", "/C", "/%63", "/%70xl.png", "%"),
    *("oid=1&cid=2", "oid=&oid=7", "oid=7&oid=8", "OID=9", "%6Fid=1", "a&amp;oid=5", "oid=a%252520b", "o", "oid"),
    *("r=https%253A%252F%252Fx.org%252F&s=300x250", "oid=%25%41&cid=%252541", "&&&oid=1&", "oid=undefined&cid={x}"),
    *("203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9", "ann@example.org", "%2B44%20(0)20%207946%200958", "ä", "😀"),
    *("\x00", "\x1d", "\ufeff", "\u00a0", "2026-01-12", "2026-02-30", "2024-02-29", "0000-01-01", "26-01-12"),
    *("12:00:00", "23:59:60", "24:00:00", "12:60:00", "1:00:00", "#Fields: date", "x" * 300, "y" * 70_000),
]
BYTES = [b"\t", b"\n", b"\r", b"\r\n", b"%", b"%25", b'"', b"&", b"=", b"#", b"-", b"\xff", b"\xc3", b"\xed\xa0\x80"]
BYTES += [b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\x00", b"\x0b", b"\x80", b" ", b"+", b";", b"@"]


def some_log(random: random.Random) -> bytes:
    """Lines under one or several headers, most of them usual, some changed in a value or a byte."""
    parts = []
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        fields = list(FIELDS)
        if random.random() < 0.3:
            fields = random.sample(fields, random.randrange(1, len(fields)))
        if random.random() < 0.1:
            fields.append(random.choice(["timestamp(ms)", "c-country", "date", "unknown"]))
        if random.random() < 0.8:
            parts.append(f"#Fields: {' '.join(fields)}\n".encode())
        ends = random.choices([b"\n", b"\r\n"], [9, 1], k=random.randrange(12))
        parts += [some_line(random, fields) + end for end in ends]
    data = b"".join(parts)
    for _ in range(random.choice([0, 0, 0, 1, 2, 8])):
        at = random.randrange(len(data) + 1)
        data = data[:at] + random.choice(BYTES) + data[at + random.choice([0, 0, 1, 3]) :]
    return data


def some_line(random: random.Random, fields: list[str]) -> bytes:
    usual = dict(zip(FIELDS, line(id=f"{random.randrange(1 << 40):x}").decode().split("\t"), strict=True))
    values = [usual.get(name, "-") for name in fields]
    for _ in range(random.choice([0, 0, 1, 2, 5])):
        values[random.randrange(len(values))] = random.choice(VALUES)
    return "\t".join(values).encode()


def parsed(data: bytes) -> list[dict[str, Any]]:
    """All that parsing finds, as plain values."""
    facts = ObjectFacts()
    parser = AccessLogParser(HASH_KEY, parse_day(DAY))
    found: list[dict[str, Any]] = []
    for raw in batches(read_pieces(io.BytesIO(data), 0, facts)):
        result = parser.parse(raw)
        table = result.table
        for name, kind in zip(table.schema.names, table.schema.types, strict=True):
            if pa.types.is_dictionary(kind):
                index = table.schema.get_field_index(name)
                table = table.set_column(index, name, table.column(name).cast(pa.string()))
        found.append(
            {
                "table": table.to_pydict(),
                "types": [str(kind) for kind in table.schema.types],
                **{name: getattr(result, name).tolist() for name in ("object_index", "day", "id_hash", "has_id")},
                **{name: getattr(result, name) for name in ("rejects", "rejected", "rows_read", "unreadable_numbers")},
            }
        )
    return [*found, {"facts": facts}]


def check_alike(data: bytes, use: Use, said: str) -> None:
    use("python")
    expected = parsed(data)
    use("native")
    # nan, which is never read, would be unequal to itself; all else compares by value
    assert parsed(data) == expected, f"{said}: {data!r}"


def check_logs(count: int, seed: int, use: Use) -> None:
    for number in range(count):
        check_alike(some_log(random.Random(f"{seed} {number}")), use, f"log {number} of seed {seed}")


def test_both_ways_read_made_up_logs_alike(core: library.Core, use_reader: Use) -> None:
    check_logs(100, int(os.environ.get("NATIVE_SEED", secrets.randbelow(1 << 32))), use_reader)


@pytest.mark.long(part=False)
@pytest.mark.timeout(4_000)
def test_both_ways_read_an_hour_of_made_up_logs_alike(core: library.Core, use_reader: Use) -> None:
    end = time.monotonic() + 3_600
    while time.monotonic() < end:
        check_logs(1_000, secrets.randbelow(1 << 32), use_reader)


def test_columns_hold_what_the_lines_hold(core: library.Core) -> None:
    data = b"x\t1\t200\t0.5\tone\n-\t-\t-\t-\t-\nx\t-7\t000\t12\t\xc3\xa4\n\ty\t\t\t\n"

    columns, times, odd = line_reader(core).read(data, tuple(TYPES), TYPES, 4)

    for name, values in columns.items():
        values.validate(full=True)
        assert values.type == TYPES[name]
    assert {name: values.to_pylist() for name, values in columns.items()} == {
        "a": ["x", None, "x"],
        "b": [1, None, -7],
        "c": [200, None, 0],
        "d": [0.5, None, 12.0],
        "e": ["one", None, "ä"],
    }
    assert times is None
    assert [data[begin:end] for _, begin, end in odd.tolist()] == [b"\ty\t\t\t"]


def test_columns_outlive_their_reader_and_free_their_memory(core: library.Core) -> None:
    data = b"".join(each + b"\n" for each in lines(2_000, query="x" * 900))

    def read() -> list[pa.Array]:
        columns, _, _ = line_reader(core).read(data, tuple(FIELDS), {"cs-uri-query": pa.string()}, 2_000)
        return list(columns.values())

    kept = read()
    before = resident()
    for _ in range(100):  # 180 MB
        read()
    assert resident() - before < 60 << 20
    assert set(kept[0].to_pylist()) == {"x" * 900}


def resident() -> int:
    """Bytes of memory that this process has."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def test_a_failed_check_is_an_error_and_not_the_end_of_the_process(core: library.Core) -> None:
    pointer, size = ctypes.c_void_p, ctypes.c_uint64
    read = core.function("logs_read", ctypes.c_int, pointer, ctypes.c_char_p, size, pointer, size, size)
    column = core.function("logs_column", ctypes.c_int, pointer, size, pointer)
    reader = pointer()
    core.check(read(ctypes.byref(reader), b"c", 1, b"x\n", 2, 1))

    with pytest.raises(NativeError, match="a check failed: index out of bounds: index 7, len 1"):
        core.array(column, reader, 7, type=DICTIONARY)


def test_where_the_core_fails_lines_are_read_the_python_way(
    core: library.Core, use_reader: Use, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = b"".join(each + b"\n" for each in lines(3))
    use_reader("python")
    expected = parsed(data)
    use_reader(NATIVE)

    def fail(*_: Any) -> None:
        raise NativeError("it is out of memory")

    monkeypatch.setattr(line_reader(core), "read", fail)
    assert parsed(data) == expected
    assert "lines are read the Python way: it is out of memory" in caplog.text


def test_a_batch_of_odd_lines_is_read_the_python_way_alone(use_reader: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    use_reader(NATIVE)
    monkeypatch.setattr(files, "_add_odd_lines", lambda *_: pytest.fail("many lines are odd"))
    use_reader(NATIVE)
    read = parsed(b"x\n" * 1_000)
    assert read[0]["rows_read"] == {0: 1_000}


QUERY_PARTS = [
    *(
        "oid=1",
        "OID=2",
        "oid=",
        "oid",
        "=",
        "",
        "cid=%2520",
        "cid=a%2Bb",
        "pid=%41",
        "r=https%253A%252F%252Fx.org%252F",
    ),
    *(
        "s=300x250",
        "amp;ch=a",
        "%6Fid=3",
        "o+d=4",
        "cr=ann%40example.org",
        "cr=undefined",
        "oid=\x1d",
        "ä=1",
        "ch=ä",
        "x=1",
    ),
]


def test_parameters_are_read_alike(use_reader: Use) -> None:
    rng = random.Random(6)
    texts = [None, *("&".join(rng.choices(QUERY_PARTS, k=rng.randrange(6))) for _ in range(3_000))]
    queries = pa.array(texts, pa.string()).slice(1)
    rows = np.flatnonzero(np.array([rng.random() < 0.9 for _ in queries]))
    found = []
    for reader in (NATIVE, library.PYTHON):
        use_reader(reader)
        columns = AccessLogParser(HASH_KEY, parse_day(DAY))._parameter_columns(queries, rows)
        found.append({name: values.cast(pa.string()).to_pylist() for name, values in columns.items()})
    assert found[0] == found[1]
    assert len(set(found[0]["landing_url"])) > 1


def test_what_is_remembered_is_bounded_and_asked_for_once(core: library.Core) -> None:
    asked: list[str] = []

    def function(texts: list[str]) -> list[pa.Array]:
        asked.extend(texts)
        return [
            pa.array([text.upper() or None for text in texts]),
            pa.array([None if text == "b" else "x" for text in texts]),
        ]

    known = Known(core, function, width=2, most_bytes=200)
    values = pa.array(["b", "a", None, "b", ""]).dictionary_encode()

    for _ in range(2):
        first, second = known(values)
        assert first.to_pylist() == ["B", "A", None, "B", None]
        assert second.to_pylist() == [None, "x", None, None, "x"]
        assert first.dictionary.to_pylist() == ["B", "A"]
    assert asked == ["b", "a", ""]
    known(pa.array(["c" * 300]).dictionary_encode())
    known(values)
    assert asked == ["b", "a", "", "c" * 300, "b", "a", ""]


def test_a_wheel_of_a_platform_carries_the_core(tmp_path: Path) -> None:
    platform = build.here()
    if platform not in build.TARGETS or not build.compiled_file().exists():
        pytest.skip("there is no wheel of this platform")
    environment = {**os.environ, "WHEEL_PLATFORM": platform}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.iterdir()
    with ZipFile(wheel) as archive:
        assert str(build.compiled_file().relative_to(ROOT)) in archive.namelist()
    assert wheel.name.startswith("clicklake-0.1.0-py3-none-m")


def test_numbers_are_the_same_to_the_last_bit(core: library.Core) -> None:
    random_ = random.Random(5)
    texts = [f"{random_.randrange(10 ** random_.randrange(1, 8))}.{random_.randrange(10**7):07d}" for _ in range(5_000)]
    data = "".join(f"{text}\n" for text in texts).encode()
    columns, _, odd = line_reader(core).read(data, ("d",), TYPES, len(texts))
    assert not len(odd)
    assert columns["d"].to_pylist() == [float(text) for text in texts]


def test_every_day_and_second_is_known(core: library.Core) -> None:
    days = np.arange("1600-01-01", "2410-01-01", dtype="datetime64[D]")
    clocks = [f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}" for second in range(86_400)]
    chosen = [clocks[number * 7 % 86_400] for number in range(len(days))]
    data = "".join(f"{day}\t{clock}\n" for day, clock in zip(days, chosen, strict=True)).encode()

    _, times, odd = line_reader(core).read(data, ("date", "time"), {}, len(days))

    assert not len(odd)
    assert times is not None
    expected = np.array([f"{day}T{clock}" for day, clock in zip(days, chosen, strict=True)], dtype="datetime64[us]")
    assert (times == expected.astype(np.int64)).all()


def test_a_core_of_other_sources_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in [*build.HERE.glob("*.zig"), *build.HERE.glob("*.c"), build.HERE / "build.py"]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    before = build.compiled_file().name
    monkeypatch.setattr(build, "HERE", tmp_path)
    assert build.compiled_file().name == before
    (tmp_path / "numbers.zig").write_text("// other")
    assert build.compiled_file().name != before


def test_without_a_compiler_one_line_says_what_follows(tmp_path: Path) -> None:
    native = tmp_path / "ingest" / "native"
    native.mkdir(parents=True)
    for path in [*build.HERE.glob("*.zig"), *build.HERE.glob("*.c"), *build.HERE.glob("*.py")]:
        (native / path.name).write_bytes(path.read_bytes())
    (native.parent / "__init__.py").touch()

    done = subprocess.run(
        [sys._base_executable, "-m", "ingest.native.build"],  # type: ignore[attr-defined] # a Python without packages
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr == (
        "Objects are read the Python way, at half the speed: the native core was not compiled "
        "(the wheel ziglang is not installed)\n"
    )


def test_where_there_is_no_core_the_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_chosen", library.AUTO)
    monkeypatch.setattr(library, "compiled_file", lambda: Path("no/such/core.so"))
    library._loaded.cache_clear()
    try:
        assert library.way() == Way(
            None, "the Python way: no native core is compiled for this system (`make setup` does)"
        )
        with pytest.raises(SettingsError, match="CLICKLAKE_READER is native, but no native core is compiled"):
            choose("native")
    finally:
        library._loaded.cache_clear()
