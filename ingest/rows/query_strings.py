"""Query strings: the rules by which links in access logs and addresses in events are read, one value after the other.

What reads whole columns (`access_logs/parser.py`, `events/addresses.py`) takes the plain ones at once, leaves the
others to this, and is tested against it.

- Parts are separated by `&`, and by `&amp;`, as links have it that were taken from HTML. `;` is a letter like others,
  as it is to browsers. What separates names and values is the first `=` of a part; a part without one says nothing.
- Names and values are decoded after that, and lose blanks around them. Capitals of names make no difference.
- A value that is empty or a placeholder (`undefined`, `{campaignid}`; see `ids.py`) is as if it were absent, and so the
  first that is known counts. An address (`r`) is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import unquote_plus

from ingest.rows.encoding import decode_parameter, proves_one_layer
from ingest.rows.ids import is_placeholder

_ENTITY = re.compile("(?:amp;)+", re.IGNORECASE)  # behind its `&`


_ADDRESS = "r"


def known_value(text: str, name: str = "") -> str:
    """A decoded value without blanks around it, empty where it says nothing."""
    if name == _ADDRESS:
        return text
    text = text.strip()
    return "" if is_placeholder(text) else text


def decode(text: str) -> str:
    """One layer of an address as browsers have it: `+` is a space."""
    return unquote_plus(text, errors="replace")


def known_parameters(query: str, decode: Callable[[str], str] = decode) -> list[tuple[str, str]]:
    """Names in lower case and values of a query string, without its `?`, in their order; only those that are known."""
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
    """The same of a query string as CloudFront logs it, the first of each name."""
    has_one_layer = proves_one_layer(query)
    found: dict[str, str] = {}
    for name, value in known_parameters(query, lambda text: decode_parameter(text, has_one_layer)):
        found.setdefault(name, value)
    return found


def first_of(parameters: list[tuple[str, str]], names: Collection[str]) -> tuple[str, str]:
    """Name and value of the first parameter that has one of these names, empty for none."""
    return next((each for each in parameters if each[0] in names), ("", ""))
