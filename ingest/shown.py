"""How text from outside is shown: names, keys, details and messages come from anybody, and none may act on a terminal.

Every output of commands, alerts and errors goes through `shown`. Data that is written to files is left as it is.
"""

from __future__ import annotations

_BLANKS = "\u00a0\u202f\u3000"  # of other languages' texts; they do no harm


def shown(text: object) -> str:
    """One line that is safe to print: control characters, escape sequences, line ends, and marks that turn the
    direction of writing are written as in Python (`\\x1b`, `\\n`, `\\u202e`). Printable text stays as it is."""
    said = str(text)
    return said if said.isprintable() else "".join(each if each.isprintable() else _escaped(each) for each in said)


def shown_lines(text: object) -> str:
    """The same of a text that has lines of its own, such as DuckDB's messages; only these may have."""
    return "\n".join(map(shown, str(text).splitlines()))


def _escaped(character: str) -> str:
    if character in _BLANKS:
        return character
    return character.encode("unicode_escape").decode("ascii")
