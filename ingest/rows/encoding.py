"""Percent-encoding: removes what CloudFront added to a value, and keeps what the client sent.

CloudFront encodes values once when it logs them (space, quotes, `%`, bytes above 126 …), and has encoded some
user agents twice. Malformed escapes stay as they are; bytes that are not UTF-8 become U+FFFD.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

_ESCAPE_OF_PERCENT = re.compile("%25[0-9A-Fa-f]{2}")
# Escapes of letters, digits and of - . _ : ; / ? = & + , @ ! $ ( ) *: CloudFront never encodes these characters.
NEVER_ADDED = "%(?:2[14689A-Fa-f]|3[0-9ABDFabdf]|4[0-9A-Fa-f]|5[0-9AaFf]|6[1-9A-Fa-f]|7[0-9Aa])"
_NEVER_ADDED = re.compile(NEVER_ADDED)
_OTHER_ESCAPE = re.compile("%(?!25[0-9A-Fa-f]{2})[0-9A-Fa-f]{2}")


def decode_once(logged: str) -> str:
    """Removes exactly one layer, from a path or referrer."""
    return unquote(logged, errors="replace")


def decode_user_agent(logged: str) -> str:
    """Removes one layer, and a second one if every escape in the logged value is `%25` and two hex digits.

    `Mozilla/5.0%2520(X11)` has two layers, `Foo%20(MacBookPro8%252C1)` has one.
    """
    once = decode_once(logged)
    twice = _ESCAPE_OF_PERCENT.search(logged) and not _OTHER_ESCAPE.search(logged)
    return decode_once(once) if twice else once


def decode_parameter(logged: str, has_one_layer: bool = False) -> str:
    """The value of a logged query parameter: removes one layer, or both the client's and CloudFront's.

    If CloudFront has encoded a value, each of the client's escapes has become `%25` and two hex digits. So a value with
    such an escape has two layers, unless it also has an escape that CloudFront never adds: that one is the client's,
    and its `%` was not encoded, so there is only one layer. `+` is a space in the last layer only.

    Args:
        has_one_layer: the rest of the query string proves that there is only one layer.
    """
    if not has_one_layer and _ESCAPE_OF_PERCENT.search(logged) and not _NEVER_ADDED.search(logged):
        logged = decode_once(logged)
    return unquote_plus(logged, errors="replace")


def proves_one_layer(query: str) -> bool:
    """Whether a logged query string has an escape that CloudFront never adds. If so, CloudFront has not encoded it."""
    return _NEVER_ADDED.search(query) is not None
