"""Streams, their windows and what a hostile peer may not do with them, over a channel that only remembers."""

from struct import pack

import pytest
import trio
import trio.testing

from p2p.bounds import SLICE_BYTES, STREAMS_BURST, STREAMS_INBOUND_MAX, WINDOW_BYTES_FIRST, WINDOW_BYTES_MAX
from p2p.errors import ConnectionLost
from p2p.muxer import CLOSE, CREDIT, DATA, OPEN, RESET, Muxer, Stream


def frame(kind: int, stream: int = 1, body: bytes = b"") -> bytes:
    return pack("!BIH", kind, stream, len(body)) + body


def credit(stream: int, granted: int) -> bytes:
    return frame(CREDIT, stream, pack("!I", granted))


class FakeChannel:
    """Delivers what it is given; sends wait while the other side does not read."""

    def __init__(self, *, is_initiator: bool = False) -> None:
        self.is_initiator = is_initiator
        self.to_muxer, self.arriving = trio.open_memory_channel[bytes](10_000)
        self.sent: list[bytes] = []
        self.other_side_reads = trio.Event()
        self.other_side_reads.set()

    async def receive(self) -> list[bytes]:
        try:
            return [await self.arriving.receive()]
        except trio.EndOfChannel:
            raise ConnectionLost("the end") from None

    async def send(self, message: bytes) -> None:
        await self.other_side_reads.wait()
        self.sent.append(message)


class Bench:
    """A muxer that is carried by a task, and the other side of its channel."""

    def __init__(self, nursery: trio.Nursery, *, is_initiator: bool = False) -> None:
        self.channel = FakeChannel(is_initiator=is_initiator)
        self.muxer = Muxer(self.channel)
        self.lost: ConnectionLost | None = None
        nursery.start_soon(self._carry)

    async def _carry(self) -> None:
        try:
            await self.muxer.run()
        except ConnectionLost as lost:
            self.lost = lost

    async def arrives(self, *messages: bytes) -> None:
        for message in messages:
            self.channel.to_muxer.send_nowait(message)
        await trio.testing.wait_all_tasks_blocked()

    async def opened(self, number: int = 1, body: bytes = b"") -> Stream:
        await self.arrives(frame(OPEN, number, body))
        return await self.muxer.accept_stream()

    async def violation(self, *messages: bytes) -> str | None:
        await self.arrives(*messages)
        assert (self.lost is None) == (self.muxer.violation is None)
        return self.muxer.violation


@pytest.fixture
async def nursery_of_tasks():
    async with trio.open_nursery() as nursery:
        yield nursery
        nursery.cancel_scope.cancel()


@pytest.fixture
async def bench(nursery_of_tasks: trio.Nursery) -> Bench:
    return Bench(nursery_of_tasks)


async def test_bytes_arrive_in_order_wherever_the_messages_end(nursery_of_tasks: trio.Nursery) -> None:
    body = bytes(range(200)) * 5
    wire = frame(OPEN, 1, body[:300]) + frame(DATA, 1, body[300:]) + frame(CLOSE)
    for cut in (1, 5, 7, 8, 306, 307, len(wire)):
        bench = Bench(nursery_of_tasks)
        await bench.arrives(*(wire[start : start + cut] for start in range(0, len(wire), cut)))
        stream = await bench.muxer.accept_stream()
        assert await stream.read_exactly(1_000) == body
        assert await stream.read() == b""
        assert bench.muxer.violation is None


async def test_a_read_takes_what_is_there_up_to_its_bound(bench: Bench) -> None:
    stream = await bench.opened(1, bytes(5_000))
    await bench.arrives(frame(DATA, 1, bytes(6_000)))
    assert [len(await stream.read(n)) for n in (2_000, 100_000)] == [2_000, 9_000]


async def test_frames_of_one_byte_are_not_kept_one_by_one(bench: Bench) -> None:
    stream = await bench.opened()
    await bench.arrives(frame(DATA, 1, b"x") * 9_000)
    assert len(stream._chunks) <= 3
    assert await stream.read() == b"x" * 9_000


async def test_the_first_write_opens_and_ours_have_our_numbers(nursery_of_tasks: trio.Nursery) -> None:
    for is_initiator, numbers in ((True, (1, 3)), (False, (2, 4))):
        bench = Bench(nursery_of_tasks, is_initiator=is_initiator)
        first, second = bench.muxer.open_stream(), bench.muxer.open_stream()
        assert bench.channel.sent == []
        await first.write(b"a")
        await first.write(b"b")
        await second.close()
        assert bench.channel.sent == [
            frame(OPEN, numbers[0], b"a"),
            frame(DATA, numbers[0], b"b"),
            frame(OPEN, numbers[1]),
            frame(CLOSE, numbers[1]),
        ]


async def test_numbers_arrive_in_order_whichever_stream_is_written_first(bench: Bench) -> None:
    bench.channel.other_side_reads = trio.Event()
    first, second = bench.muxer.open_stream(), bench.muxer.open_stream()
    async with trio.open_nursery() as nursery:
        for stream in (second, first):
            nursery.start_soon(stream.write, b"x")
            await trio.testing.wait_all_tasks_blocked()
        bench.channel.other_side_reads.set()
    assert bench.channel.sent == [frame(OPEN, 2, b"x"), frame(OPEN, 4, b"x")]


async def test_a_stream_given_up_before_anything_was_written_is_never_heard_of(bench: Bench) -> None:
    await bench.muxer.open_stream().reset()
    assert bench.channel.sent == []


async def test_a_large_write_is_cut_into_messages_of_the_cipher(bench: Bench) -> None:
    stream = bench.muxer.open_stream()
    await stream.write(bytes(2 * SLICE_BYTES + 1))
    assert [len(message) - 7 for message in bench.channel.sent] == [SLICE_BYTES, SLICE_BYTES, 1]
    assert stream.window_bytes == WINDOW_BYTES_FIRST - 2 * SLICE_BYTES - 1


async def test_a_write_beyond_the_window_is_our_own_mistake(bench: Bench) -> None:
    stream = bench.muxer.open_stream()
    with pytest.raises(ValueError, match="window"):
        await stream.write(bytes(WINDOW_BYTES_FIRST + 1))


@pytest.mark.parametrize(
    "wire",
    [
        frame(5),
        frame(255, 1, b"body"),
        pack("!BIH", DATA, 1, SLICE_BYTES + 1),
        frame(DATA, 3),
        frame(CREDIT, 2, pack("!I", 1)),
        frame(CREDIT, 1, b"abc"),
        frame(CLOSE, 1, b"x"),
        frame(RESET, 1, b"x"),
        frame(OPEN, 1),
        frame(OPEN, 0),
        frame(RESET, 0),
        frame(OPEN, 2),
        frame(CLOSE) + frame(DATA, 1, b"after the end"),
        b"GET / HTTP/1.1\r\n",
    ],
)
async def test_what_means_nothing_ends_the_connection(bench: Bench, wire: bytes) -> None:
    await bench.opened()
    assert await bench.violation(wire) == "bad_muxing"


async def test_the_answering_side_opens_even_numbers(nursery_of_tasks: trio.Nursery) -> None:
    bench = Bench(nursery_of_tasks, is_initiator=True)
    await bench.opened(2)
    assert await bench.violation(frame(OPEN, 3)) == "bad_muxing"


async def test_data_up_to_the_window_passes_and_one_byte_more_does_not(bench: Bench) -> None:
    slices = WINDOW_BYTES_FIRST // 32_768
    await bench.opened()
    assert await bench.violation(*[frame(DATA, 1, bytes(32_768))] * slices) is None
    assert await bench.violation(frame(DATA, 1, b"x")) == "window_overflow"


async def test_reading_gives_credit_and_never_more_than_the_window(bench: Bench) -> None:
    stream = await bench.opened()
    allowed = WINDOW_BYTES_FIRST
    for _ in range(300):
        await bench.arrives(frame(DATA, 1, bytes(60_000)))
        allowed -= len(await stream.read())
        await trio.testing.wait_all_tasks_blocked()
        for message in bench.channel.sent:
            assert message[:7] == credit(1, 0)[:7]
            allowed += int.from_bytes(message[7:], "big")
        bench.channel.sent.clear()
        assert WINDOW_BYTES_FIRST // 2 <= allowed <= WINDOW_BYTES_MAX
    assert bench.muxer.violation is None


async def test_a_short_exchange_costs_no_credit(bench: Bench) -> None:
    stream = await bench.opened(1, bytes(60_000))
    await stream.read()
    await trio.testing.wait_all_tasks_blocked()
    assert bench.channel.sent == []


async def test_credit_is_given_later_while_nothing_can_be_written_and_reading_goes_on(bench: Bench) -> None:
    bench.channel.other_side_reads = trio.Event()
    first, second = await bench.opened(1, bytes(60_000)), await bench.opened(3, bytes(60_000))
    for stream, number in ((first, 1), (second, 3)):
        await bench.arrives(*[frame(DATA, number, bytes(60_000))] * 3)
        await stream.read()
    await bench.arrives(frame(DATA, 3, b"still read"))
    assert await second.read() == b"still read"
    bench.channel.other_side_reads.set()
    await trio.testing.wait_all_tasks_blocked()
    granted = b"".join(bench.channel.sent)
    assert len(granted) == 22
    assert sorted(granted[start : start + 5] for start in (0, 11)) == [credit(1, 0)[:5], credit(3, 0)[:5]]


async def test_credit_and_ends_wake_the_writers(bench: Bench) -> None:
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    bench.muxer.concern_writers = tell
    stream = await bench.opened()
    assert told == 0
    await bench.arrives(credit(1, 10))
    assert (told, stream.window_bytes) == (1, WINDOW_BYTES_FIRST + 10)
    await bench.arrives(frame(RESET))
    assert told == 2
    assert stream.is_broken


async def test_a_reset_drops_what_was_not_read_and_wakes_the_reader(bench: Bench) -> None:
    stream = await bench.opened(1, b"never read")
    await bench.arrives(frame(RESET))
    with pytest.raises(ConnectionLost):
        await stream.read()
    with pytest.raises(ConnectionLost):
        await stream.write(b"x")


async def test_what_arrives_for_a_stream_we_gave_up_is_dropped(bench: Bench) -> None:
    stream = await bench.opened()
    await stream.reset()
    assert bench.channel.sent == [frame(RESET)]
    wire = frame(DATA, 1, bytes(1_000)), credit(1, 5), frame(CLOSE), frame(RESET)
    assert await bench.violation(*wire) is None
    await stream.reset()
    assert bench.channel.sent == [frame(RESET)]


async def test_a_stream_closed_by_both_is_forgotten(bench: Bench) -> None:
    stream = await bench.opened()
    await bench.arrives(frame(CLOSE))
    await stream.close()
    assert bench.muxer._streams == {}
    assert await bench.violation(*[frame(OPEN, 3 + 2 * n) for n in range(STREAMS_INBOUND_MAX)]) is None


async def test_too_many_open_streams_end_the_connection(bench: Bench) -> None:
    wire = [frame(OPEN, 1 + 2 * n) for n in range(STREAMS_INBOUND_MAX + 1)]
    assert await bench.violation(*wire[:-1]) is None
    assert await bench.violation(wire[-1]) == "stream_flood"


async def test_streams_opened_too_fast_end_the_connection(
    nursery_of_tasks: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    bench = Bench(nursery_of_tasks)
    wire = [frame(OPEN, 1 + 2 * n) + frame(RESET, 1 + 2 * n) for n in range(STREAMS_BURST + 1)]
    assert await bench.violation(*wire[:-1]) is None
    assert await bench.violation(wire[-1]) == "stream_flood"


async def test_the_end_of_the_connection_wakes_everybody(bench: Bench) -> None:
    stream = await bench.opened()
    async with trio.open_nursery() as nursery:

        async def loses(step) -> None:
            with pytest.raises(ConnectionLost):
                await step()

        nursery.start_soon(loses, stream.read)
        nursery.start_soon(loses, bench.muxer.accept_stream)
        await trio.testing.wait_all_tasks_blocked()
        bench.channel.to_muxer.close()
    assert stream.is_broken
    with pytest.raises(ConnectionLost):
        await bench.muxer.open_stream().write(b"x")


async def test_a_message_of_tiny_frames_lets_the_others_have_their_turns(bench: Bench) -> None:
    await bench.opened()
    turns, over = 0, trio.Event()

    async def count() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        bench.channel.to_muxer.send_nowait(frame(DATA, 1) * 9_000 + frame(CLOSE))
        while 1 in bench.muxer._streams and not bench.muxer._streams[1]._is_read_closed:
            await trio.lowlevel.checkpoint()
        over.set()
    assert turns >= 30
