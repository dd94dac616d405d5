"""Parts of sentences for messages."""

from __future__ import annotations

SHOWN = 5  # objects that a message names


def counted(count: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(text: str) -> str:
    """The text with a full stop, unless it already ends with a punctuation mark."""
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."


def some(items: list[str]) -> str:
    """The first `SHOWN` items, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return "; ".join(items[:SHOWN]) + more
