"""Keys sort as their numbers do, decode to what they were made of, and never fall into another kind's prefix."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import keyspace

u16 = st.integers(0, 2**16 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
ids = st.binary(min_size=32, max_size=32)

PREFIXES = [value for name, value in vars(keyspace).items() if name.isupper() and isinstance(value, bytes)]


def test_every_kind_of_key_has_two_bytes_of_its_own():
    assert {len(prefix) for prefix in PREFIXES} == {2}
    assert len(set(PREFIXES)) == len(PREFIXES)


def test_every_kind_of_key_stands_in_the_table():
    table = keyspace.__doc__ or ""
    assert [prefix for prefix in PREFIXES if f"\n    {prefix.decode()} " not in table] == []


@given(u64, u64)
def test_heights_sort_as_numbers(one, other):
    keys = [keyspace.height_key(keyspace.CHAIN_HEIGHT, height) for height in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)
    assert [keyspace.decode_height_key(key) for key in keys] == [one, other]


@given(st.tuples(u16, u64, ids), st.tuples(u16, u64, ids))
def test_lane_keys_sort_by_author_then_seq_and_decode(one, other):
    keys = [keyspace.lane_key(*place) for place in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)
    assert [keyspace.decode_lane_key(key) for key in keys] == [one, other]


@given(st.tuples(u64, u64), st.tuples(u64, u64))
def test_namespace_keys_sort_by_namespace_then_number_and_decode(one, other):
    keys = [keyspace.namespace_key(keyspace.NAMESPACE_BLOCK, *place) for place in (one, other)]
    assert (keys[0] < keys[1]) == (one < other)
    assert [keyspace.decode_namespace_key(key) for key in keys] == [one, other]


@given(ids, u64, u32)
def test_final_keys_decode(transaction_hash, namespace_index, position):
    prefix = keyspace.transaction_prefix(keyspace.TRANSACTION_FINAL, transaction_hash)
    key = prefix + keyspace.final_suffix(namespace_index, position)
    assert keyspace.decode_final_key(key) == (namespace_index, position)


@given(ids, u16, u64, u64, st.integers(0, 255), u32)
def test_sealed_keys_decode(transaction_hash, lane, seq, namespace, kind, index):
    prefix = keyspace.transaction_prefix(keyspace.TRANSACTION_SEALED, transaction_hash)
    key = prefix + keyspace.sealed_suffix(lane, seq, namespace, kind, index)
    assert keyspace.decode_sealed_key(key) == (lane, seq, namespace, kind, index)


@pytest.mark.parametrize("value", [b"", b"x" * 31, b"x" * 33])
def test_an_id_of_another_length_never_becomes_a_key(value):
    with pytest.raises(ValueError, match="32 bytes"):
        keyspace.id_key(keyspace.CHAIN_TIP, value)
    with pytest.raises(ValueError, match="32 bytes"):
        keyspace.lane_key(1, 1, value)


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_that_does_not_fit_never_becomes_a_key(number):
    with pytest.raises(ValueError, match="u64"):
        keyspace.height_key(keyspace.CHAIN_HEIGHT, number)
    with pytest.raises(ValueError, match="lane position"):
        keyspace.lane_position(0, number)


def test_an_author_beyond_u16_never_becomes_a_key():
    with pytest.raises(ValueError, match="lane position"):
        keyspace.lane_position(2**16, 1)


def test_keys_of_other_lengths_do_not_decode():
    for decode in (keyspace.decode_height_key, keyspace.decode_lane_key, keyspace.decode_namespace_key):
        with pytest.raises(ValueError, match="bytes"):
            decode(b"xx\x00")
