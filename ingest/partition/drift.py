"""The fields that a day's rows have, against those of an earlier day: which are new, missing, or of another type.

Works on what the ledger counted; nothing here reads a row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

# A field counts where one of 1,000 rows has it, and only where chance cannot explain that the other day lacks it: at
# its share of rows, so many of the other day's should have had it, and not even a tenth of them have. Were they
# independent, fewer than 1 of 2,000 such fields would be told of by mistake.
MIN_SHARE = 0.001
MIN_EXPECTED_ROWS = 10
FEW = 0.1


@dataclass(frozen=True)
class Profile:
    """The fields of a day.

    rows: group of rows (the shape of events, nothing for logs) → rows of it.
    fields: (group, field) → type → rows; the type of a log's field is nothing.
    """

    rows: Mapping[str, int]
    fields: Mapping[tuple[str, str], Mapping[str, int]]

    def rows_with(self, field: tuple[str, str], kind: str | None = None) -> int:
        """Rows that have a field, of one type or of any."""
        types = self.fields.get(field, {})
        return sum(types.values()) if kind is None else types.get(kind, 0)


@dataclass(frozen=True)
class Drift:
    """Names of fields, those of events with their shape; of `changed` the types before and after as well."""

    new: list[str]
    missing: list[str]
    changed: list[str]

    def __bool__(self) -> bool:
        return bool(self.new or self.missing or self.changed)


def profile_of(ledger: pa.Table) -> Profile | None:
    """The fields of all objects in a ledger; None where it is from before fields were counted."""
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
    # What tells a shape is in all of its events, and a header is for all rows: the commonest field has them all.
    rows: dict[str, int] = {}
    for (group, _), types in counted.items():
        rows[group] = max(rows.get(group, 0), sum(types.values()))
    return Profile(rows, {field: dict(types) for field, types in counted.items()})


def _is_typed(field: str) -> bool:
    """Whether it is `shape.name:type`; a log's header has no such names."""
    return ":" in field and "." in field.partition(":")[0]


def _count_formats(ledger: pa.Table, counted: dict[tuple[str, str], dict[str, int]]) -> None:
    """A log's format changes like the type of a field."""
    if any(group for group, _ in counted):
        return
    for row in ledger.select(["format", "rows_read"]).group_by("format").aggregate([("rows_read", "sum")]).to_pylist():
        if row["rows_read_sum"]:
            counted["", "(format)"][str(row["format"])] += row["rows_read_sum"]


def drift(before: Profile, now: Profile) -> Drift:
    """What is different now. Groups that either day has none of are left out: a shape that nobody sends is no field."""
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
    """Whether something that rows here have is as good as absent there, and not by chance."""
    if not here or here < rows_here * MIN_SHARE:
        return False
    expected = here / rows_here * rows_there
    return expected >= MIN_EXPECTED_ROWS and there < expected * FEW


def _types(*of_days: Mapping[str, int]) -> set[str]:
    """A null says that a value is not there, not that it is of another type."""
    return {kind for counted in of_days for kind in counted if kind != "null"}


def _named(types: Mapping[str, int], rows: int) -> str:
    kinds: Iterable[str] = [kind for kind, number in types.items() if number >= rows * MIN_SHARE]
    return " or ".join(sorted(kinds)) or "none"
