"""Percent-encoding: what CloudFront added to a value comes off, what the client sent stays.

CloudFront encodes what it logs once (space, quotes, `%`, bytes above 126 …) and has encoded some
user agents twice. Malformed escapes stay as they are; bytes that are no UTF-8 become U+FFFD.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

_ESCAPE_OF_PERCENT = re.compile("%25[0-9A-Fa-f]{2}")
_OTHER_ESCAPE = re.compile("%(?!25[0-9A-Fa-f]{2})[0-9A-Fa-f]{2}")


def decode_once(logged: str) -> str:
    """Path and referrer: exactly one layer comes off."""
    return unquote(logged, errors="replace")


def decode_user_agent(logged: str) -> str:
    """One layer, and a second where every escape in the logged value is `%25` and two hex digits.

    `Mozilla/5.0%2520(X11)` has two layers, `Foo%20(MacBookPro8%252C1)` has one.
    """
    once = decode_once(logged)
    twice = _ESCAPE_OF_PERCENT.search(logged) and not _OTHER_ESCAPE.search(logged)
    return decode_once(once) if twice else once


def decode_parameter(logged: str) -> str:
    """The value of a query parameter, as logged: two layers where it holds `%25` and two hex digits, else one.

    `+` is a space in the last layer and nowhere else.
    """
    if _ESCAPE_OF_PERCENT.search(logged):
        logged = decode_once(logged)
    return unquote_plus(logged, errors="replace")
