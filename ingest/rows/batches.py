"""Results of the readers and parsers of both datasets: facts about an object, parsed batches, rejects."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

MAX_REJECT_BYTES = 8 << 10
REJECTS_KEPT = 10_000  # rejects of an object that are stored; all are counted
_OF_A_WORD = string.ascii_letters + string.digits + "_.@:+%~-"
_OF_A_NUMBER = string.digits + " ().:+%/-"
_LONGEST_WORD = 512  # characters of a word that may be a personal address


@dataclass
class ObjectFacts:
    """Facts that reading an object finds out, for the ledger."""

    format: str = "empty"
    error: str | None = None
    fields: set[str] = field(default_factory=set)
    missing_fields: set[str] = field(default_factory=set)
    unknown_fields: set[str] = field(default_factory=set)
    headers: int = 0  # how many times the header has changed
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
    """A parsed batch. `table` has the kept rows without source_object; `object_index` holds each row's object.

    rejects: the first rejects of each object, up to the limit.
    rejected: object → reason → rows, of all rejects.
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
    """Chooses the rejects that are stored: the first `most` of each object. Batches of an object come one after
    another, so threads that read different objects do not interfere."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept = Counter[int]()

    def choose(self, object_index: np.ndarray) -> np.ndarray:
        """The positions of the rejects of a batch that are stored, in ascending order."""
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
    """The part of a rejected line that is scrubbed and stored. A long line is cut between words, because a cut address
    or number would not be recognized."""
    if len(line) <= 2 * MAX_REJECT_BYTES:
        return line
    beginning = line[: 2 * MAX_REJECT_BYTES]
    whole = beginning.rstrip(_OF_A_WORD).rstrip(_OF_A_NUMBER)
    is_short = len(beginning) - len(whole) <= _LONGEST_WORD
    return whole if is_short else beginning.rstrip(string.hexdigits + _OF_A_NUMBER)
