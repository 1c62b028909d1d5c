"""The order in which one writer lets things out, with streams that only remember."""

from collections.abc import Callable
from typing import cast

import pytest
import trio
import trio.testing

from p2p.bounds import SLICE_BYTES
from p2p.errors import ConnectionLost
from p2p.muxer import Stream
from p2p.outbox import Outbox
from p2p.writer import Writer

LARGE = SLICE_BYTES * 3


class FakeStream:
    """Remembers, in a log shared with others, how many bytes were written to it and when."""

    def __init__(self, name: str, log: list[str], window_bytes: int = 1 << 30) -> None:
        self.name = name
        self.log = log
        self.window_bytes = window_bytes
        self.is_broken = False
        self.written = b""
        self.when_written: Callable[[], None] = lambda: None

    async def write(self, data: bytes) -> None:
        assert len(data) <= self.window_bytes, "a write beyond the window waits inside the library"
        assert len(data) <= SLICE_BYTES
        self.log.append(self.name)
        self.written += data
        self.window_bytes -= len(data)
        self.when_written()
        await trio.lowlevel.checkpoint()


class Bench:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.log: list[str] = []
        self.outbox = Outbox(urgent_bytes_max=1 << 20, bulk_bytes_max=1 << 24)
        self.writer = Writer(self.outbox)
        self.urgent, self.bulk = self.stream("urgent"), self.stream("bulk")
        self.nursery = nursery

    def stream(self, name: str, window_bytes: int = 1 << 30) -> FakeStream:
        return FakeStream(name, self.log, window_bytes)

    def start(self) -> None:
        self.nursery.start_soon(self.writer.run, cast(Stream, self.urgent), cast(Stream, self.bulk))

    def queue(self, frame: bytes, *, urgent: bool = False) -> None:
        assert self.outbox.offer(frame, urgent=urgent)
        self.writer.wake()

    async def transmit(self, stream: FakeStream, data: bytes) -> None:
        await self.writer.transmit(cast(Stream, stream), data)


@pytest.fixture
async def bench():
    async with trio.open_nursery() as nursery:
        yield Bench(nursery)
        nursery.cancel_scope.cancel()


async def test_an_urgent_frame_waits_for_one_slice_at_most(bench: Bench) -> None:
    def vote_in_the_middle_of_a_slice() -> None:
        if len(bench.log) == 1:
            bench.queue(b"vote", urgent=True)

    bench.bulk.when_written = vote_in_the_middle_of_a_slice
    bench.queue(b"b" * LARGE)
    bench.start()
    await until_written(bench.bulk, LARGE)
    assert bench.log == ["bulk", "urgent", "bulk", "bulk"]
    assert bench.urgent.written == b"vote"


async def until_written(stream: FakeStream, length: int) -> None:
    while len(stream.written) < length:
        await trio.lowlevel.checkpoint()


async def test_bulk_and_transfers_take_turns(bench: Bench) -> None:
    first, second = bench.stream("first"), bench.stream("second")
    bench.queue(b"b" * LARGE)
    bench.nursery.start_soon(bench.transmit, first, b"1" * LARGE)
    await trio.testing.wait_all_tasks_blocked()
    bench.nursery.start_soon(bench.transmit, second, b"2" * SLICE_BYTES)
    await trio.testing.wait_all_tasks_blocked()
    bench.start()
    await until_written(bench.bulk, LARGE)
    await until_written(first, LARGE)
    assert bench.log == ["first", "bulk", "second", "bulk", "first", "bulk", "first"]
    assert first.written == b"1" * LARGE


async def test_a_receiver_that_does_not_read_bulk_still_gets_votes(bench: Bench) -> None:
    bench.bulk.window_bytes = SLICE_BYTES
    bench.queue(b"b" * LARGE)
    bench.start()
    await until_written(bench.bulk, SLICE_BYTES)
    for number in range(3):
        bench.queue(b"vote", urgent=True)
        await until_written(bench.urgent, 4 * (number + 1))
    assert len(bench.bulk.written) == SLICE_BYTES
    bench.bulk.window_bytes = LARGE
    bench.writer.wake()
    await until_written(bench.bulk, LARGE)


async def test_a_blocked_transfer_does_not_hold_back_the_next(bench: Bench) -> None:
    blocked, free = bench.stream("blocked", window_bytes=0), bench.stream("free")
    bench.start()
    bench.nursery.start_soon(bench.transmit, blocked, b"x")
    await bench.transmit(free, b"y")
    assert bench.log == ["free"]


async def test_a_broken_stream_loses_its_transfer_and_nothing_else(bench: Bench) -> None:
    broken = bench.stream("broken", window_bytes=0)
    bench.start()
    async with trio.open_nursery() as nursery:

        async def lose() -> None:
            with pytest.raises(ConnectionLost):
                await bench.transmit(broken, b"x")

        nursery.start_soon(lose)
        await trio.testing.wait_all_tasks_blocked()
        broken.is_broken = True
        bench.writer.wake()
    bench.queue(b"vote", urgent=True)
    await until_written(bench.urgent, 4)


async def test_a_link_stream_the_other_side_ended_ends_the_writer(bench: Bench) -> None:
    bench.bulk.is_broken = True
    bench.queue(b"frame")
    with pytest.raises(ConnectionLost):
        await bench.writer.run(cast(Stream, bench.urgent), cast(Stream, bench.bulk))


async def test_an_empty_transfer_is_over_at_once(bench: Bench) -> None:
    bench.start()
    await bench.transmit(bench.stream("empty"), b"")
    assert bench.log == []
