"""Makes text from outside safe to print: names, keys, details and messages must not control a terminal.

All output of commands, alerts and errors goes through `shown`. Data that is written to files stays unchanged.
"""

from __future__ import annotations

_BLANKS = "\u00a0\u202f\u3000"  # blanks in texts of other languages; they are harmless


def shown(text: object) -> str:
    """The text as one line that is safe to print. Control characters, escape sequences, line ends and bidirectional
    marks are escaped as in Python (`\\x1b`, `\\n`, `\\u202e`). Printable text stays as it is."""
    said = str(text)
    return said if said.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in said)


def shown_lines(text: object) -> str:
    """The text with each line made safe by `shown`. Only for texts that may have several lines, such as DuckDB's
    errors."""
    return "\n".join(map(shown, str(text).splitlines()))


def _escaped(character: str) -> str:
    if character in _BLANKS:
        return character
    return character.encode("unicode_escape").decode("ascii")
