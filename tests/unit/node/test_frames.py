"""The table of kinds and the hello."""

import pytest

from consensus.errors import DecodeError
from consensus.numbers import GENESIS_EPOCH, BlockId, Hash, Seq, ValidatorIndex
from sequencer.node.frames import (
    FrameKind,
    Hello,
    RequestKind,
    decode_tips,
    decode_tips_request,
    encode_tips,
    encode_tips_request,
    link_bounds,
    message_decoders,
)
from tests.simulation.keys import make_genesis


def test_every_frame_and_request_kind_has_a_bound():
    bounds = link_bounds(make_genesis((1, 1, 1, 1)))
    assert set(bounds.frames) == set(FrameKind)
    assert set(bounds.requests) == set(RequestKind)


def test_the_bounds_of_the_largest_committee_stay_below_the_ceiling_of_links():
    link_bounds(make_genesis((1,) * 100))


def test_a_hello_comes_back():
    hello = Hello(Hash(b"c" * 32), GENESIS_EPOCH, ValidatorIndex(2), (Seq(1), Seq(0), Seq(7)))
    assert Hello.decode(hello.encode()) == hello


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_short_hello_is_refused(cut):
    hello = Hello(Hash(b"c" * 32), GENESIS_EPOCH, ValidatorIndex(2), (Seq(1),)).encode()
    with pytest.raises(DecodeError):
        Hello.decode(hello[: min(cut, len(hello) - 1)])


def test_a_tips_request_comes_back():
    assert decode_tips_request(encode_tips_request(BlockId(b"b" * 32), 9)) == (b"b" * 32, 9)


def test_an_empty_page_of_tips_comes_back():
    assert decode_tips(encode_tips([]), 4, 100) == ()


def test_a_tip_beyond_its_bound_is_refused():
    with pytest.raises(DecodeError):
        decode_tips(encode_tips([b"x" * 101]), 4, 100)


def test_every_consensus_kind_has_a_decoder():
    others = {
        FrameKind.BATCH,
        FrameKind.ATTESTATION_SHARE,
        FrameKind.ATTESTATION_CERTIFICATE,
        FrameKind.LANE_GAP,
        FrameKind.EVIDENCE,
    }
    assert set(message_decoders(4)) == set(FrameKind) - others
