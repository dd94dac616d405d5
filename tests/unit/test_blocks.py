"""Bytes of an object: gzip in all its states, and whole lines out of blocks."""

from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rows import blocks
from ingest.rows.blocks import BlockReader, whole_lines
from tests.log_lines import QUICK

BODY = "".join(f"line {n} of a body that is longer than one block\n" for n in range(200)).encode()


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(blocks, "READ_BYTES", 300)
    monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 100)


def read(data: bytes) -> tuple[bytes, str | None]:
    reader = BlockReader(io.BytesIO(data))
    found = list(reader)
    assert all(0 < len(block) <= 1000 for block in found)
    return b"".join(found), reader.error


@pytest.mark.parametrize(
    "data",
    [
        BODY,
        gzip.compress(BODY),
        gzip.compress(BODY, 0),
        gzip.compress(BODY[:500]) + gzip.compress(BODY[500:]),
        gzip.compress(b"") + gzip.compress(BODY) + gzip.compress(b""),
        gzip.compress(BODY) + b"\0" * 1000,  # as tapes pad
        gzip.compress(BODY[:500]) + b"\0" * 512 + gzip.compress(BODY[500:]),
    ],
    ids=["plain", "gzip", "stored", "two members", "empty members", "zeros behind", "zeros between"],
)
def test_an_object_is_read_whole(data: bytes) -> None:
    assert read(data) == (BODY, None)


@pytest.mark.parametrize("data", [b"", gzip.compress(b"")], ids=["nothing", "gzip of nothing"])
def test_an_empty_object_is_no_error(data: bytes) -> None:
    assert read(data) == (b"", None)


@pytest.mark.parametrize("cut", [2, 9, 10, 11, 50, 200, -9, -8, -1])
def test_what_stands_before_a_cut_is_kept_and_the_cut_is_told(cut: int) -> None:
    found, error = read(gzip.compress(BODY, 6)[:cut])
    assert error is not None
    assert error.startswith("cut off")
    assert BODY.startswith(found)
    assert found == zlib.decompressobj(31).decompress(gzip.compress(BODY, 6)[:cut])


def test_a_second_member_that_is_cut_off_leaves_the_first() -> None:
    found, error = read(gzip.compress(BODY[:500]) + gzip.compress(BODY[500:])[:60])
    assert found.startswith(BODY[:500])
    assert error is not None
    assert error.startswith("cut off")


def test_a_broken_checksum_is_told() -> None:
    data = bytearray(gzip.compress(BODY))
    data[-6] ^= 0xFF
    assert "corrupt gzip" in str(read(bytes(data))[1])


def test_damage_in_the_middle_is_told() -> None:
    noise = random.Random(1).randbytes(2000).hex().encode()
    data = bytearray(gzip.compress(noise))
    data[2000:2010] = b"\xff" * 10
    assert "corrupt gzip" in str(read(bytes(data))[1])


def test_other_data_behind_a_member_is_told_and_not_taken_for_lines() -> None:
    assert read(gzip.compress(BODY) + b"garbage") == (BODY, "corrupt gzip: other data behind it")


def test_a_stream_that_fails_is_told() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(5, "Input/output error")
            return super().read(size)

    reader = BlockReader(Broken(BODY))
    assert b"".join(reader) == BODY[:300]
    assert reader.error == "reading stopped: OSError"


@QUICK
@given(st.text("ab{}\t\n\u00e9", max_size=400), st.integers(1, 64), st.integers(1, 64), st.booleans())
def test_any_text_is_read_whole_in_blocks_of_any_size(text: str, block: int, at_once: int, members: bool) -> None:
    body = text.encode()
    data = gzip.compress(body[:7]) + gzip.compress(body[7:]) if members else gzip.compress(body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block)
        patch.setattr(blocks, "READ_BYTES", max(at_once, 2))
        reader = BlockReader(io.BytesIO(data))
        assert b"".join(reader) == body
    assert reader.error is None


@QUICK
@given(st.binary(max_size=300), st.integers(0, 2**32))
def test_any_bytes_are_read_without_a_crash(body: bytes, seed: int) -> None:
    data = bytearray(gzip.compress(body))
    chance = random.Random(seed)
    for _ in range(3):
        data[chance.randrange(len(data))] = chance.randrange(256)
    reader = BlockReader(io.BytesIO(bytes(data)))
    found = b"".join(reader)
    assert reader.error or found == body or data[:2] != blocks.GZIP_MAGIC


# Lines


def by_hand(data: bytes) -> list[tuple[int, bytes, bool]]:
    """(number, line, whether it is too long) of each line, the plain way."""
    parts = data.split(b"\n")
    rows = [(number, part + b"\n") for number, part in enumerate(parts[:-1], 1)]
    if parts[-1]:
        rows.append((len(parts), parts[-1]))
    limit = blocks.MAX_LINE_BYTES
    return [
        (n, row[:limit] if len(row.rstrip(b"\n")) > limit else row, len(row.rstrip(b"\n")) > limit) for n, row in rows
    ]


def flattened(data: bytes, sizes: list[int]) -> list[tuple[int, bytes, bool]]:
    """The same, from `whole_lines` over blocks of these sizes, which are repeated."""
    cut, at = [], 0
    while at < len(data):
        size = sizes[len(cut) % len(sizes)]
        cut.append(data[at : at + size])
        at += size
    found = []
    for lines in whole_lines(cut):
        if lines.too_long:
            found.append((lines.first_line, lines.data, True))
            continue
        parts = lines.data.splitlines(keepends=True) if b"\r" not in lines.data else None
        assert parts is not None
        assert len(parts) == lines.count
        found += [(lines.first_line + offset, part, False) for offset, part in enumerate(parts)]
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 99, 100, 101, 250, 10_000])
def test_a_line_that_is_too_long_is_told_and_the_rows_around_it_are_whole(size: int) -> None:
    long = b"x" * 101
    data = b"a\nb\n" + long + b"\nc\n" + b"y" * 100 + b"\n" + long * 10 + b"\n" + long + b"\n\nd\ne"
    assert flattened(data, [size]) == by_hand(data)
    assert [number for number, _, too_long in by_hand(data) if too_long] == [3, 6, 7]


@QUICK
@given(st.lists(st.integers(0, 250), max_size=12), st.booleans(), st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_lines_do_not_depend_on_the_blocks(lengths: list[int], ends: bool, sizes: list[int]) -> None:
    data = b"\n".join(b"x" * length for length in lengths) + (b"\n" if ends else b"")
    assert flattened(data, sizes) == by_hand(data)
