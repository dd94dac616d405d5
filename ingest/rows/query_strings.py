"""Query strings: the rules for reading links in access logs and addresses in events, one value at a time.

`access_logs/parser.py` and `events/addresses.py` read plain values of whole columns at once, and use this module for
the other values. Tests compare their results with this module's.

- Parts are separated by `&`, or by `&amp;`, which links taken from HTML contain. `;` does not separate, as in browsers.
  The first `=` of a part separates name and value; a part without `=` is ignored.
- Names and values are decoded after that, and blanks around them are removed. Capitals in names make no difference.
- A value that is empty or a placeholder (`undefined`, `{campaignid}`; see `ids.py`) counts as absent, so the first
  known value counts. An address (`r`) is kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import unquote_plus

from ingest.rows.encoding import decode_parameter, proves_one_layer
from ingest.rows.ids import is_placeholder

_ENTITY = re.compile("(?:amp;)+", re.IGNORECASE)  # after its `&`


_ADDRESS = "r"


def known_value(text: str, name: str = "") -> str:
    """A decoded value without blanks around it; empty for a placeholder."""
    if name == _ADDRESS:
        return text
    text = text.strip()
    return "" if is_placeholder(text) else text


def decode(text: str) -> str:
    """Decodes one layer as browsers do: `+` is a space."""
    return unquote_plus(text, errors="replace")


def known_parameters(query: str, decode: Callable[[str], str] = decode) -> list[tuple[str, str]]:
    """(name in lower case, value) of the known parameters of a query string without its `?`, in their order."""
    found = []
    for place, part in enumerate(query.split("&")):
        entity = _ENTITY.match(part) if place else None
        name, sign, value = part[entity.end() if entity else 0 :].partition("=")
        name = decode(name).strip().lower()
        known = known_value(decode(value), name) if sign else ""
        if known:
            found.append((name, known))
    return found


def logged_parameters(query: str) -> dict[str, str]:
    """Name → first known value, of a query string as CloudFront logs it."""
    has_one_layer = proves_one_layer(query)
    found: dict[str, str] = {}
    for name, value in known_parameters(query, lambda text: decode_parameter(text, has_one_layer)):
        found.setdefault(name, value)
    return found


def first_of(parameters: list[tuple[str, str]], names: Collection[str]) -> tuple[str, str]:
    """(name, value) of the first parameter with one of these names; empty texts if there is none."""
    return next((each for each in parameters if each[0] in names), ("", ""))
