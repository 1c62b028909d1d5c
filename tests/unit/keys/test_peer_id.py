"""The peer id as text is the network library's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.signing import NodeKey
from p2p.identity import peer_id_of
from sequencer.keys.peer_id import peer_id_text


@given(st.binary(min_size=32, max_size=32).filter(lambda secret: 0 < int.from_bytes(secret, "big") < 2**255))
def test_it_is_what_the_network_library_says(secret):
    public_key = NodeKey(secret).public_key
    assert peer_id_text(public_key) == str(peer_id_of(public_key))


@pytest.mark.parametrize("data", [b"", bytes(33), bytes(32), b"\x02" + b"\xff" * 32])
def test_what_is_no_key_has_none(data):
    with pytest.raises(ValueError, match="key"):
        peer_id_text(data)
