"""Percent-encoding: which layers come off what."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.rows.encoding import decode_once, decode_parameter, decode_user_agent
from tests.log_lines import QUICK

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    ("logged", "decoded"),
    [
        ("/a%20b", "/a b"),
        ("/a%2520b", "/a%20b"),
        ("/a+b", "/a+b"),
        ("/caf%C3%A9", "/café"),
        ("70%", "70%"),
        ("%G1", "%G1"),
        ("%", "%"),
        ("%%41", "%A"),
        ("%ff%41", "\ufffdA"),
        ("", ""),
    ],
)
def test_exactly_one_layer_comes_off_a_path_and_a_referrer(logged: str, decoded: str) -> None:
    assert decode_once(logged) == decoded


@pytest.mark.parametrize(
    ("logged", "decoded"),
    [
        ("Mozilla/5.0%2520(X11)", "Mozilla/5.0 (X11)"),
        ("Foo%20(MacBookPro8%252C1)", "Foo (MacBookPro8%2C1)"),
        ("Mozilla/5.0%20(X11)", "Mozilla/5.0 (X11)"),
        ("50%25", "50%"),
        ("50%25%2520", "50%%20"),  # behind the first `%25` are no two hex digits: it has one layer
        ("curl/8.0", "curl/8.0"),
        ("a+b", "a+b"),
    ],
)
def test_a_user_agent_loses_a_second_layer_only_where_every_escape_has_two(logged: str, decoded: str) -> None:
    assert decode_user_agent(logged) == decoded


@pytest.mark.parametrize(
    ("logged", "decoded"),
    [
        ("https%3A%2F%2Fx.com%2F%3Fa%3D1%26b%3D2", "https://x.com/?a=1&b=2"),
        ("https%253A%252F%252Fx.com%252F%253Fa%253D1%2526b%253D2", "https://x.com/?a=1&b=2"),
        ("https%3A%2F%2Fx.com%2F%3Fq%3Da%2526b%26z%3D1", "https://x.com/?q=a%26b&z=1"),
        ("50%2525+off%21", "50%25 off!"),
        ("%3Cb%3E%252F%20", "<b>/ "),  # CloudFront adds all but the second escape itself
        ("a+b", "a b"),
        ("a%2Bb", "a+b"),
        ("a%252Bb", "a+b"),
        ("a+b%2520c", "a b c"),
        ("70%", "70%"),
        ("70%25", "70%"),
        ("%G1", "%G1"),
        ("%FF", "\ufffd"),
        ("300x250", "300x250"),
    ],
)
def test_a_parameter_loses_one_layer_or_two_and_a_plus_is_a_space_in_the_last(logged: str, decoded: str) -> None:
    assert decode_parameter(logged) == decoded


@QUICK
@given(TEXT)
def test_one_layer_comes_off_whatever_was_encoded_once(text: str) -> None:
    assert decode_once(quote(text, safe="")) == text


@QUICK
@given(TEXT)
def test_two_layers_come_off_whatever_parameter_has_an_escape_in_both(text: str) -> None:
    assert decode_parameter(as_cloudfront_logs(quote_plus(text + "&"))) == text + "&"


@QUICK
@given(TEXT)
def test_one_layer_comes_off_whatever_has_an_escape_that_cloudfront_never_adds(text: str) -> None:
    assert decode_parameter(quote_plus(text + "&", safe="")) == text + "&"


def as_cloudfront_logs(query: str) -> str:
    """What CloudFront makes of a query string of ASCII, which is all that a browser sends."""
    return quote(query, safe="!$&()*+,-./:;=?@_")


@QUICK
@given(st.text(max_size=60))
def test_no_text_makes_decoding_fail(text: str) -> None:
    for decode in (decode_once, decode_user_agent, decode_parameter):
        assert isinstance(decode(text), str)
