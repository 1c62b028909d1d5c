"""Frames are cut and bounded by their headers alone."""

import pytest

from p2p.bounds import SMALL_BYTES
from p2p.errors import PeerFault
from p2p.frames import (
    EXCHANGE_HEADER_BYTES,
    AnswerStatus,
    FrameDecoder,
    decode_answer_header,
    decode_request_header,
    encode_answer,
    encode_frame,
    encode_request,
)

BOUNDS = {1: 10, 2: 1_000_000, 3: 0}


def frames_of(decoder: FrameDecoder) -> list[tuple[int, bytes]]:
    frames = []
    while (frame := decoder.next_frame()) is not None:
        frames.append(frame)
    return frames


def test_a_frame_is_length_kind_and_body() -> None:
    assert encode_frame(7, b"abc") == b"\x00\x00\x00\x03\x07abc"


def test_frames_come_out_in_order_wherever_the_reads_end() -> None:
    wire = encode_frame(1, b"one") + encode_frame(3, b"") + encode_frame(2, b"x" * 300_000)
    for step in (1_000, 4_099, len(wire)):
        decoder = FrameDecoder(BOUNDS)
        frames = []
        for start in range(0, len(wire), step):
            decoder.feed(wire[start : start + step])
            frames += frames_of(decoder)
        assert frames == [(1, b"one"), (3, b""), (2, b"x" * 300_000)]
        assert decoder.buffered_bytes == 0


def test_a_body_of_exactly_the_bound_passes_and_one_byte_more_does_not() -> None:
    decoder = FrameDecoder(BOUNDS)
    decoder.feed(encode_frame(1, b"x" * 10))
    assert decoder.next_frame() == (1, b"x" * 10)
    decoder.feed(encode_frame(1, b"x" * 11))
    with pytest.raises(PeerFault, match="oversized"):
        decoder.next_frame()


def test_a_length_of_50_megabytes_is_refused_by_its_header_alone() -> None:
    decoder = FrameDecoder(BOUNDS)
    decoder.feed((50_000_000).to_bytes(4, "big") + b"\x02")
    with pytest.raises(PeerFault) as caught:
        decoder.next_frame()
    assert caught.value.reason == "oversized"
    assert caught.value.mutes


def test_an_unknown_kind_is_refused_even_when_empty() -> None:
    decoder = FrameDecoder(BOUNDS)
    decoder.feed(encode_frame(99, b""))
    with pytest.raises(PeerFault, match="unknown_kind"):
        decoder.next_frame()


def test_after_a_refusal_everything_is_refused() -> None:
    decoder = FrameDecoder(BOUNDS)
    decoder.feed(encode_frame(99, b""))
    for _ in range(2):
        with pytest.raises(PeerFault):
            decoder.next_frame()
        decoder.feed(encode_frame(1, b"innocent"))


def test_bounds_can_change_between_two_frames_of_one_read() -> None:
    decoder = FrameDecoder({0: 5})
    decoder.feed(encode_frame(0, b"hello") + encode_frame(1, b"vote"))
    assert decoder.next_frame() == (0, b"hello")
    decoder.bounds = BOUNDS
    assert decoder.next_frame() == (1, b"vote")


def test_request_header() -> None:
    wire = encode_request(2, b"question")
    assert decode_request_header(wire[:EXCHANGE_HEADER_BYTES], BOUNDS) == (2, 8)
    assert wire[EXCHANGE_HEADER_BYTES:] == b"question"
    with pytest.raises(PeerFault, match="oversized"):
        decode_request_header(encode_request(1, b"x" * 11)[:EXCHANGE_HEADER_BYTES], BOUNDS)
    with pytest.raises(PeerFault, match="unknown_kind"):
        decode_request_header(encode_request(9, b"")[:EXCHANGE_HEADER_BYTES], BOUNDS)


def test_answer_header() -> None:
    wire = encode_answer(AnswerStatus.ANSWERED, b"answer")
    assert decode_answer_header(wire[:EXCHANGE_HEADER_BYTES], 6, 0) == (AnswerStatus.ANSWERED, 6)
    with pytest.raises(PeerFault, match="bad_answer"):
        decode_answer_header(wire[:EXCHANGE_HEADER_BYTES], 5, 100)
    refusal = encode_answer(AnswerStatus.REFUSED, b"no")
    assert decode_answer_header(refusal[:EXCHANGE_HEADER_BYTES], 0, 2) == (AnswerStatus.REFUSED, 2)
    with pytest.raises(PeerFault, match="bad_answer"):
        decode_answer_header(refusal[:EXCHANGE_HEADER_BYTES], 100, 1)
    with pytest.raises(PeerFault, match="bad_answer"):
        decode_answer_header(b"\x02\x00\x00\x00\x00", 100, 100)


def test_a_frame_that_comes_by_the_byte_costs_its_bytes() -> None:
    decoder = FrameDecoder({1: 100_000})
    for byte in encode_frame(1, bytes(100_000)):
        assert decoder.next_frame() is None
        decoder.feed(bytes([byte]))
        assert len(decoder._chunks) <= 100_000 // SMALL_BYTES + 2
    assert decoder.next_frame() == (1, bytes(100_000))
