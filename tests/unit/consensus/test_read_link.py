"""Height and parent are read from an encoded tip without decoding it."""

import pytest

from consensus.errors import DecodeError
from consensus.vocabulary.tip import read_link
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis


def test_the_link_is_what_the_decoded_header_says():
    for tip in Forge(make_genesis((1, 1, 1, 1))).chain_of(3):
        assert read_link(tip.encoded) == (tip.header.height, tip.header.parent_id)


@pytest.mark.parametrize("length", [0, 17, 25, 56])
def test_what_is_too_short_for_a_link_is_refused(length):
    (tip,) = Forge(make_genesis((1, 1, 1, 1))).chain_of(1)
    with pytest.raises(DecodeError):
        read_link(tip.encoded[:length])
