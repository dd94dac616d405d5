"""Parts of sentences for messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """`1 day`, `2 days`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def sentence(text: str) -> str:
    """The text with a full stop, unless it already ends with a punctuation mark."""
    return text if text.endswith((".", "?", "!", "…")) else f"{text}."
