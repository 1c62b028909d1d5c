"""Deep nesting is refused before a parser recurses into it, whatever recursion limit the process has."""

import sys

import pytest

from sequencer.client.fields import BRACKETS_MAX, NESTING_MAX, parse_json


@pytest.fixture
def high_recursion_limit():
    """As some libraries set it when they are imported."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_what_would_overflow_the_stack_is_refused(high_recursion_limit, opening):
    with pytest.raises(ValueError, match="nested"):
        parse_json(opening * 200_000 if opening == b"[" else opening * 60_000)


def test_the_deepest_nesting_that_is_taken():
    parse_json(b"[" * NESTING_MAX + b"]" * NESTING_MAX)
    with pytest.raises(ValueError, match="nested"):
        parse_json(b"[" * (NESTING_MAX + 1) + b"]" * (NESTING_MAX + 1))


def test_brackets_in_strings_do_not_count():
    names = b'["\\u001b[31m", "\\"[[", "a\\\\"]'
    assert len(parse_json(b"[" + (names + b",") * 500 + names + b"]")) == 501
    with pytest.raises(ValueError, match="nested"):
        parse_json(b"[" + (names + b",") * 500 + names + b"]", strings_may_hold_brackets=False)


def test_too_many_brackets_are_not_even_counted():
    with pytest.raises(ValueError, match="nested"):
        parse_json(b"[" + b"[]," * (BRACKETS_MAX // 2) + b"[]]")


def test_a_wide_value_is_taken():
    assert len(parse_json(b"[" + b"[]," * 10_000 + b"[]]")) == 10_001


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"]", b"nope"])
def test_what_is_not_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the parser's
        parse_json(text)
