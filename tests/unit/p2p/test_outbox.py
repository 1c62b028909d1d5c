"""Queues are bounded in bytes and sliced whatever the frame borders."""

from p2p.bounds import SLICE_BYTES
from p2p.outbox import ByteQueue, Outbox


def test_small_frames_share_a_slice() -> None:
    queue = ByteQueue(1_000)
    assert all(queue.offer(frame) for frame in (b"one", b"two", b"three"))
    assert queue.slice_bytes == 11
    assert queue.take_slice() == b"onetwothree"
    assert queue.take_slice() == b""


def test_a_large_frame_spans_slices_and_the_last_is_filled_up() -> None:
    queue = ByteQueue(1_000_000)
    large = bytes(range(256)) * 400
    queue.offer(large)
    queue.offer(b"next")
    first, second = queue.take_slice(), queue.take_slice()
    assert len(first) == SLICE_BYTES
    assert first + second == large + b"next"
    assert queue.waiting_bytes == 0


def test_a_frame_beyond_the_bound_is_not_queued_at_all() -> None:
    queue = ByteQueue(10)
    assert queue.offer(b"x" * 7)
    assert not queue.offer(b"y" * 4)
    assert queue.offer(b"z" * 3)
    assert queue.take_slice() == b"x" * 7 + b"z" * 3
    assert queue.offer(b"y" * 10)


def test_bytes_taken_make_room_before_their_frame_is_through() -> None:
    queue = ByteQueue(SLICE_BYTES + 10)
    queue.offer(b"x" * (SLICE_BYTES + 10))
    queue.take_slice()
    assert queue.waiting_bytes == 10
    assert queue.offer(b"y" * SLICE_BYTES)


def test_urgent_and_bulk_have_bounds_of_their_own() -> None:
    outbox = Outbox(urgent_bytes_max=4, bulk_bytes_max=4)
    assert outbox.offer(b"bulk", urgent=False)
    assert not outbox.offer(b"b", urgent=False)
    assert outbox.offer(b"vote", urgent=True)
    assert outbox.waiting_bytes == 8
