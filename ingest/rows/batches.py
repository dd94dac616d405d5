"""What readers and parsers of both datasets hand on: facts of an object, parsed batches, rejects."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

MAX_REJECT_BYTES = 8 << 10
REJECTS_KEPT = 10_000  # of an object, for people to look at; all are counted
_OF_A_WORD = string.ascii_letters + string.digits + "_.@:+%~-"
_OF_A_NUMBER = string.digits + " ().:+%/-"
_LONGEST_WORD = 512  # that may be somebody's address


@dataclass
class ObjectFacts:
    """What reading an object found out about it, for the ledger."""

    format: str = "empty"
    error: str | None = None
    fields: set[str] = field(default_factory=set)
    missing_fields: set[str] = field(default_factory=set)
    unknown_fields: set[str] = field(default_factory=set)
    headers: int = 0  # how often it has changed
    has_header: bool = False


@dataclass(frozen=True)
class Reject:
    object_index: int
    line: int
    reason: str
    text: str
    detail: str | None = None


@dataclass
class ParsedBatch:
    """The kept rows of a batch as a table, without source_object; that stands in `object_index`.

    rejects: the first of each object, as many as are kept.
    rejected: object → reason → rows, of all that are rejected.
    """

    table: pa.Table
    object_index: np.ndarray
    day: np.ndarray  # days since 1970 of each kept row
    id_hash: np.ndarray  # uint64 of each kept row's request id
    has_id: np.ndarray
    rejects: list[Reject]
    rejected: dict[int, Counter[str]]
    rows_read: dict[int, int]
    unreadable_numbers: dict[int, int]
    fields: dict[int, Counter[str]] = field(default_factory=dict)  # of objects without a header


class KeptRejects:
    """Chooses the rejects that are kept: the first `most` of each object. An object's batches come one after another,
    so that threads that read different ones do not meet here."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = Counter[int]()

    def choose(self, object_index: np.ndarray) -> np.ndarray:
        """The places, in their order, of those rejects of a batch that are kept."""
        chosen = [np.empty(0, dtype=np.int64)]
        for index in np.unique(object_index).tolist():
            chosen.append(np.flatnonzero(object_index == index)[: self._most - self._kept[index]])
            self._kept[index] += len(chosen[-1])
        return np.sort(np.concatenate(chosen))


def reasons_of(object_index: np.ndarray, reasons: Iterable[str]) -> dict[int, Counter[str]]:
    """Object → reason → rows."""
    found: dict[int, Counter[str]] = {}
    for (index, reason), number in Counter(zip(object_index.tolist(), reasons, strict=True)).items():
        found.setdefault(index, Counter())[reason] = number
    return found


def beginning_of(line: str) -> str:
    """What of a rejected line is looked at. A long one is cut between words, for what the cut parts, such as an address
    or a number, would not be known for what it is."""
    if len(line) <= 2 * MAX_REJECT_BYTES:
        return line
    beginning = line[: 2 * MAX_REJECT_BYTES]
    whole = beginning.rstrip(_OF_A_WORD).rstrip(_OF_A_NUMBER)
    is_short = len(beginning) - len(whole) <= _LONGEST_WORD
    return whole if is_short else beginning.rstrip(string.hexdigits + _OF_A_NUMBER)
