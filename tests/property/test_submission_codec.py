"""The fast door's layouts under arbitrary input."""

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from consensus.vocabulary.batch import Items, frame_items
from sequencer.client.errors import MalformedAnswer
from sequencer.client.submission import Refused, decode_outcome, encode_outcome

refused_items = st.builds(
    Refused,
    item=st.integers(0, 2**32 - 1),
    code=st.integers(-(2**31), 2**31 - 1),
    reason=st.text("abcdefghijklmnopqrstuvwxyz_", max_size=64),
    retry_after_ms=st.none() | st.integers(0, 2**64 - 1),
)


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_what_was_framed_is_split_the_same(items):
    parsed = Items.parse(frame_items(items), 20)
    assert parsed == Items.of(items)
    assert list(parsed) == items


@given(st.binary(max_size=200))
def test_any_body_is_split_into_exactly_its_bytes_or_refused(body):
    items = Items.parse(body, 1_000)
    assert items is None or frame_items(list(items)) == body


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=20), st.data())
def test_a_part_is_the_same_items(items, data):
    first = data.draw(st.integers(0, len(items) - 1))
    end = data.draw(st.integers(first + 1, len(items)))
    assert Items.of(items).part(first, end) == Items.of(items[first:end])


@given(st.lists(refused_items, max_size=5))
def test_refusals_survive_the_binary_answer(refused):
    assert decode_outcome(encode_outcome((), refused), ()).refused == tuple(refused)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_answer_with_one_encoding_or_malformed(data):
    with suppress(MalformedAnswer):
        outcome = decode_outcome(data, ())
        assert encode_outcome(outcome.receipts, outcome.refused) == data
