"""Compares the fields of a day's rows with those of an earlier day: which are new, missing, or of another type.

Works only on the counts in the ledger; it reads no rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

# A field counts as new or missing only if at least 1 of 1,000 rows has it, and chance cannot explain that the other day
# lacks it: at the same share, at least 10 rows of the other day should have it, and fewer than a tenth of those do. If
# rows were independent, fewer than 1 of 2,000 such fields would be reported by mistake.
MIN_SHARE = 0.001
MIN_EXPECTED_ROWS = 10
FEW = 0.1


@dataclass(frozen=True)
class Profile:
    """The fields of a day.

    rows: group of rows (the shape of events, an empty text for logs) → number of rows.
    fields: (group, field) → type → number of rows; the type of a log's field is an empty text.
    """

    rows: Mapping[str, int]
    fields: Mapping[tuple[str, str], Mapping[str, int]]

    def rows_with(self, field: tuple[str, str], kind: str | None = None) -> int:
        """The number of rows that have a field, of one type or of any type."""
        types = self.fields.get(field, {})
        return sum(types.values()) if kind is None else types.get(kind, 0)


@dataclass(frozen=True)
class Drift:
    """Names of fields, those of events with their shape. Names in `changed` also have the types before and after."""

    new: list[str]
    missing: list[str]
    changed: list[str]

    def __bool__(self) -> bool:
        return bool(self.new or self.missing or self.changed)


def profile_of(ledger: pa.Table) -> Profile | None:
    """The fields of all objects in a ledger; None for a ledger that was written before fields were counted."""
    if "fields" not in ledger.column_names:
        return None
    counted: dict[tuple[str, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for chunk in ledger.column("fields").chunks:
        entries = pa.table({"field": chunk.keys, "rows": chunk.items})
        for row in entries.group_by("field").aggregate([("rows", "sum")]).to_pylist():
            name, _, kind = row["field"].rpartition(":") if _is_typed(row["field"]) else (row["field"], "", "")
            group, _, field = name.partition(".") if kind else ("", "", name)
            counted[group, field][kind] += row["rows_sum"]
    _count_formats(ledger, counted)
    # The field that identifies a shape is in all its events, and a header holds for all rows: the commonest field has
    # the count of all rows.
    rows: dict[str, int] = {}
    for (group, _), types in counted.items():
        rows[group] = max(rows.get(group, 0), sum(types.values()))
    return Profile(rows, {field: dict(types) for field, types in counted.items()})


def _is_typed(field: str) -> bool:
    """Whether the name has the form `shape.name:type`. Names of a log's header do not."""
    return ":" in field and "." in field.partition(":")[0]


def _count_formats(ledger: pa.Table, counted: dict[tuple[str, str], dict[str, int]]) -> None:
    """Counts a log's format like the type of a field, so that a change of format is drift."""
    if any(group for group, _ in counted):
        return
    for row in ledger.select(["format", "rows_read"]).group_by("format").aggregate([("rows_read", "sum")]).to_pylist():
        if row["rows_read_sum"]:
            counted["", "(format)"][str(row["format"])] += row["rows_read_sum"]


def drift(before: Profile, now: Profile) -> Drift:
    """The differences between two days. Groups without rows on one of the days are left out: a shape that nobody sends
    is no drift."""
    new, missing, changed = [], [], []
    for field in sorted({*before.fields, *now.fields}):
        group, name = field
        rows_before, rows_now = before.rows.get(group, 0), now.rows.get(group, 0)
        shown = f"{group}.{name}" if group else name
        with_before, with_now = before.rows_with(field), now.rows_with(field)
        if _is_sudden(with_now, rows_now, with_before, rows_before):
            new.append(shown)
        elif _is_sudden(with_before, rows_before, with_now, rows_now):
            missing.append(shown)
        elif any(
            _is_sudden(now.rows_with(field, kind), rows_now, before.rows_with(field, kind), rows_before)
            or _is_sudden(before.rows_with(field, kind), rows_before, now.rows_with(field, kind), rows_now)
            for kind in _types(before.fields.get(field, {}), now.fields.get(field, {}))
        ):
            was, is_now = (_named(day.fields.get(field, {}), day.rows[group]) for day in (before, now))
            changed.append(f"{shown} ({was} → {is_now})")
    return Drift(new, missing, changed)


def _is_sudden(here: int, rows_here: int, there: int, rows_there: int) -> bool:
    """Whether something that rows here have is almost absent there, and chance does not explain it."""
    if not here or here < rows_here * MIN_SHARE:
        return False
    expected = here / rows_here * rows_there
    return expected >= MIN_EXPECTED_ROWS and there < expected * FEW


def _types(*of_days: Mapping[str, int]) -> set[str]:
    """All types except null: a null means that a value is missing, not that it has another type."""
    return {kind for counted in of_days for kind in counted if kind != "null"}


def _named(types: Mapping[str, int], rows: int) -> str:
    kinds: Iterable[str] = [kind for kind, number in types.items() if number >= rows * MIN_SHARE]
    return " or ".join(sorted(kinds)) or "none"
