"""Reads CSV files that people keep as typed rows; an error names the line and the column.

The caller knows which files exist and what their columns mean.

The rules: fields are separated by commas and quoted as spreadsheets do; the text is UTF-8 with or without a byte order
mark; columns are found by name, in any order; dates are written 2026-01-31, numbers with a point. An empty text is
null, and so is an empty number in a column that may be empty; elsewhere an empty date or number is an error.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from ingest.rules.problems import RulesError

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"decimal\((\d+), *(\d+)\)")


class ReferenceFileError(RulesError):
    """A reference file cannot be read; the message names the file and the line."""


@dataclass(frozen=True)
class Rows:
    """columns: column → its values, in the order of the file. lines: the line in which each row ends."""

    columns: dict[str, list[Any]]
    lines: list[int]


def read_csv(body: bytes, name: str, types: Mapping[str, str], optional: Collection[str] = ()) -> Rows:
    """The rows of a CSV file.

    Args:
        name: the file's name in error messages.
        types: column → `varchar`, `bigint`, `date` or `decimal(p,s)`.
        optional: columns whose numbers may be empty.

    Raises:
        ReferenceFileError: a line or value breaks the rules; the message names file, line and column.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body[: error.start].count(b"\n") + 1
        raise ReferenceFileError(f"{name}, line {line}: it is not UTF-8. Save the file as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: dict[str, list[Any]] = {column: [] for column in types}
    lines: list[int] = []
    try:
        for fields in reader:
            values = [field.strip() for field in fields]
            if not any(values):
                continue
            if not header:
                header = _header(values, f"{name}, line {reader.line_num}", types)
                continue
            where = f"{name}, line {reader.line_num}"
            if len(values) != len(header):
                raise ReferenceFileError(f"{where}: {len(values)} fields, and the header has {len(header)}")
            lines.append(reader.line_num)
            for column, value in zip(header, values, strict=True):
                is_null = not value and column in optional
                typed = None if is_null else _typed(value, types[column], f"{where}, column {column}")
                rows[column].append(typed)
    except csv.Error as error:
        raise ReferenceFileError(f"{name}, line {reader.line_num}: {error}") from None
    if not header:
        raise ReferenceFileError(f"{name}, line 1: there is no header. It is {','.join(types)}")
    return Rows(rows, lines)


def as_table(columns: Mapping[str, list[Any]], types: Mapping[str, str]) -> pa.Table:
    return pa.table({column: pa.array(columns[column], arrow_type(kind)) for column, kind in types.items()})


def _header(names: list[str], where: str, types: Mapping[str, str]) -> list[str]:
    if len(names) == 1 and len(types) > 1 and (separator := next((each for each in ";\t|" if each in names[0]), None)):
        shown = "tabs" if separator == "\t" else f"`{separator}`"
        raise ReferenceFileError(
            f"{where}: the columns are separated by {shown}. Save the file with commas: {','.join(types)}"
        )
    for name in names:
        if name not in types:
            raise ReferenceFileError(f"{where}: no such column: {name!r}. The columns are {','.join(types)}")
        if names.count(name) > 1:
            raise ReferenceFileError(f"{where}: column {name} is there twice")
    for name in types:
        if name not in names:
            raise ReferenceFileError(f"{where}: column {name} is missing. The columns are {','.join(types)}")
    return names


def _typed(value: str, kind: str, where: str) -> Any:
    if kind == "varchar":
        return value or None
    if kind == "date":
        return _date(value, where)
    if kind == "bigint":
        if not _WHOLE.fullmatch(value):
            raise ReferenceFileError(f"{where}: {value!r} is no whole number, such as 12")
        return int(value)
    digits, scale = _precision(kind)
    if not _NUMBER.fullmatch(value):
        raise ReferenceFileError(f"{where}: {value!r} is no number, such as 1234.5")
    if len(value.partition(".")[2].rstrip("0")) > scale:
        raise ReferenceFileError(f"{where}: {value!r} has more than {scale} decimals")
    number = Decimal(value)
    if number and number.adjusted() >= digits - scale:
        raise ReferenceFileError(f"{where}: {value!r} is too large")
    return number.quantize(Decimal(1).scaleb(-scale))  # drops surplus zeros at the end


def _date(value: str, where: str) -> date:
    try:
        if _DATE.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ReferenceFileError(f"{where}: {value!r} is no date, such as 2026-01-31")


def _precision(kind: str) -> tuple[int, int]:
    found = _DECIMAL.fullmatch(kind)
    assert found, f"no type of a reference file: {kind}"
    return int(found[1]), int(found[2])


def arrow_type(kind: str) -> pa.DataType:
    if kind == "varchar":
        return pa.string()
    if kind == "bigint":
        return pa.int64()
    return pa.date32() if kind == "date" else pa.decimal128(*_precision(kind))
