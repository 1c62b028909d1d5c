"""Whatever is queued comes out again, however the queue is sliced and the reads are cut."""

from hypothesis import given
from hypothesis import strategies as st

from p2p.bounds import SLICE_BYTES
from p2p.errors import PeerFault
from p2p.frames import FrameDecoder, encode_frame
from p2p.outbox import ByteQueue

KINDS = dict.fromkeys(range(1, 5), 200_000)

frame_lists = st.lists(
    st.tuples(
        st.sampled_from(sorted(KINDS)),
        st.one_of(st.binary(max_size=40), st.integers(0, 200_000).map(bytes)),
    ),
    max_size=12,
)


@given(frames=frame_lists, cut=st.integers(1, 70_000))
def test_frames_survive_slicing_and_cutting(frames: list[tuple[int, bytes]], cut: int) -> None:
    queue = ByteQueue(10_000_000)
    for kind, body in frames:
        assert queue.offer(encode_frame(kind, body))
    wire = b""
    while piece := queue.take_slice():
        assert len(piece) <= SLICE_BYTES
        assert len(piece) == SLICE_BYTES or queue.waiting_bytes == 0
        wire += piece
    decoder = FrameDecoder(KINDS)
    received = []
    for start in range(0, len(wire), cut):
        decoder.feed(wire[start : start + cut])
        while (frame := decoder.next_frame()) is not None:
            received.append(frame)
    assert received == frames


@given(wire=st.binary(max_size=300))
def test_any_bytes_are_frames_or_a_fault(wire: bytes) -> None:
    decoder = FrameDecoder({1: 16})
    decoder.feed(wire)
    returned = 0
    try:
        while (frame := decoder.next_frame()) is not None:
            assert frame[0] == 1
            returned += len(encode_frame(*frame))
    except PeerFault:
        return
    assert returned + decoder.buffered_bytes == len(wire)
    assert decoder.buffered_bytes < 5 + 16
