"""What is wrong with a user's rules. All mistakes of all files are collected, so that one look mends them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ingest.errors import SettingsError

MOST_NAMED = 10


class RulesError(SettingsError):
    """Some rule is wrong, and nothing was started; the message names each mistake with file and line."""


class Problems:
    """The mistakes found so far, each a sentence that begins with its place."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")

    def raise_any(self) -> None:
        """
        Raises:
            RulesError: there is a mistake.
        """
        if not self.found:
            return
        more = len(self.found) - MOST_NAMED
        named = "; ".join(each.rstrip(".") for each in self.found[:MOST_NAMED])
        raise RulesError(f"The rules cannot be used. {named}" + (f"; and {more} more" if more > 0 else ""))


def hint(name: str, known: Iterable[str]) -> str:
    """`Did you mean …?` for a mistyped name, else the list of names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    return f"Did you mean {close[0]}?" if close else f"There are {', '.join(names)}"
