"""Two hosts in one process, on real sockets, behaving well."""

from random import Random

import pytest
import trio

from p2p.bounds import READ_BYTES, WINDOW_BYTES_MAX, LinkBounds, LinkTimes
from p2p.errors import PortInUse, RequestFailed
from p2p.host import ValidatorHost
from p2p.peers import Peer
from tests.integration.p2p.nodes import (
    BATCH,
    BOUNDS,
    ECHO,
    EMPTY,
    LARGE,
    NOWHERE,
    PUBLIC_KEYS,
    REFUSE,
    SECRETS,
    STALL,
    VOTE,
    Address,
    Pair,
    RecordingNode,
    is_linked,
    make_host,
    start,
    start_pair,
    status,
    until,
)


@pytest.fixture
async def pair():
    async with trio.open_nursery() as nursery:
        yield await start_pair(nursery)
        nursery.cancel_scope.cancel()


async def ask(
    host: ValidatorHost, kind: int, body: bytes = b"", *, timeout_ms: int = 60_000, largest: int = 10
) -> bytes:
    return await host.request(1, kind, body, timeout_ms=timeout_ms, response_bytes_max=largest)


async def test_a_link_opens_once_and_each_side_gets_the_others_hello(pair: Pair) -> None:
    assert pair.low_node.opened == [(1, b"from high")]
    assert pair.high_node.opened == [(0, b"from low")]
    assert pair.low.counters.dials == 1
    assert pair.high.counters.dials == 0, "the lower index dials"
    assert pair.low.counters.links_opened == pair.high.counters.links_opened == 1


async def test_frames_arrive_in_order_both_ways(pair: Pair) -> None:
    bodies = [b"%d" % number for number in range(2_000)]
    for body in bodies:
        assert pair.low.send(1, VOTE, body, urgent=True)
        assert pair.high.send(0, BATCH, body)
    await until(lambda: len(pair.high_node.frames) == len(pair.low_node.frames) == len(bodies))
    assert pair.high_node.bodies(0, VOTE) == bodies
    assert pair.low_node.bodies(1, BATCH) == bodies
    assert pair.high.counters.frames_in[VOTE] == len(bodies)
    assert pair.high.counters.frame_bytes_in[VOTE] == sum(map(len, bodies))


async def test_frames_of_every_size_arrive_whole(pair: Pair) -> None:
    randomness = Random(7)
    bodies = [randomness.randbytes(size) for size in (0, 1, 65_501, 65_502, 65_503, 131_072, 1_048_576, 2_097_152)]
    for body in bodies:
        assert pair.low.send(1, BATCH, body)
    assert pair.low.send(1, EMPTY, b"")
    await until(lambda: len(pair.high_node.frames) == len(bodies) + 1)
    assert pair.high_node.bodies(0, BATCH) == bodies
    assert pair.high_node.bodies(0, EMPTY) == [b""]


async def test_an_urgent_frame_overtakes_batches(pair: Pair) -> None:
    for _ in range(20):
        assert pair.low.send(1, BATCH, bytes(2 * 1024 * 1024))
    assert pair.low.send(1, VOTE, b"vote", urgent=True)
    await until(lambda: pair.high_node.bodies(0, VOTE) == [b"vote"])
    assert len(pair.high_node.bodies(0, BATCH)) < 20


async def test_a_node_that_is_busy_with_a_batch_still_gets_votes(pair: Pair) -> None:
    disk = trio.Event()

    async def stall(peer: int, kind: int, body: bytes) -> None:
        if kind == BATCH:
            await disk.wait()

    pair.high_node.when_frame = stall
    assert pair.low.send(1, BATCH, b"batch")
    for number in range(50):
        assert pair.low.send(1, VOTE, b"%d" % number, urgent=True)
    await until(lambda: len(pair.high_node.frames) == 50)
    assert not pair.high_node.bodies(0, BATCH)
    disk.set()
    await until(lambda: pair.high_node.bodies(0, BATCH) == [b"batch"])


async def test_a_reader_is_waited_for_and_send_says_when_a_peer_is_behind() -> None:
    bounds = LinkBounds(frames=BOUNDS.frames, requests=BOUNDS.requests, bulk_queue_bytes_max=4 * 1024 * 1024)
    disk = trio.Event()

    async def stall(peer: int, kind: int, body: bytes) -> None:
        await disk.wait()

    async with trio.open_nursery() as nursery:
        pair = await start_pair(nursery, bounds=bounds)
        pair.high_node.when_frame = stall
        queued = 0
        behind = False
        while not behind:
            behind = not pair.low.send(1, BATCH, bytes(1024 * 1024))
            queued += not behind
            await trio.sleep(0.01)
        assert pair.low.counters.frames_not_queued[BATCH] == 1
        assert 0 < status(pair.low, 1).queue_bytes <= 4 * 1024 * 1024
        disk.set()
        await until(lambda: len(pair.high_node.frames) == queued)
        assert pair.low_node.closed == []
        nursery.cancel_scope.cancel()


async def test_requests_are_answered_refused_and_bounded(pair: Pair) -> None:
    body = bytes(range(256)) * 300
    assert await ask(pair.low, ECHO, body, largest=len(body)) == body
    assert await ask(pair.low, ECHO, b"") == b""
    assert len(await ask(pair.low, LARGE, largest=BOUNDS.answer_bytes_max)) == BOUNDS.answer_bytes_max
    with pytest.raises(RequestFailed) as caught:
        await ask(pair.low, REFUSE)
    assert (caught.value.reason, caught.value.detail) == ("refused", "not today")
    assert await pair.high.request(0, ECHO, b"up", timeout_ms=60_000, response_bytes_max=2) == b"up"
    assert pair.low_node.closed == []


async def test_more_requests_than_slots_are_all_answered(pair: Pair) -> None:
    answers: dict[int, bytes] = {}

    async def one(number: int) -> None:
        answers[number] = await ask(pair.low, ECHO, b"%d" % number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(one, number)
    assert answers == {number: b"%d" % number for number in range(100)}
    assert pair.high.counters.requests_dropped == 0


async def test_a_request_that_is_not_answered_times_out_and_leaves_its_slot(pair: Pair) -> None:
    slots = BOUNDS.requests_in_flight_max
    for _ in range(slots - 1):
        with pytest.raises(RequestFailed, match="timeout"):
            await ask(pair.low, STALL, timeout_ms=20)
    assert await ask(pair.low, ECHO, b"still here") == b"still here"
    pair.high_node.may_answer.set()
    for _ in range(slots):
        assert await ask(pair.low, ECHO, b"again") == b"again"
    assert pair.low.counters.requests_failed == {"timeout": slots - 1}
    assert pair.low_node.closed == []


async def test_a_node_busy_with_all_its_slots_drops_more_and_recovers(pair: Pair) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(BOUNDS.requests_in_flight_max):
            nursery.start_soon(ask, pair.low, STALL)
        await until(lambda: len(pair.high_node.requests) == BOUNDS.requests_in_flight_max)
        nursery.cancel_scope.cancel()
    with pytest.raises(RequestFailed, match="reset"):
        await ask(pair.low, ECHO, b"too many")
    assert pair.high.counters.requests_dropped == 1
    pair.high_node.may_answer.set()
    while pair.low_node.closed == []:
        try:
            assert await ask(pair.low, ECHO, b"again") == b"again"
            break
        except RequestFailed:
            await trio.sleep(0.01)
    assert pair.low_node.closed == []


async def test_a_cancelled_request_does_not_hurt_the_link(pair: Pair) -> None:
    with trio.move_on_after(0.05):
        await ask(pair.low, STALL)
    pair.high_node.may_answer.set()
    assert await ask(pair.low, ECHO, b"again") == b"again"
    assert pair.low_node.closed == []


async def test_requests_end_with_their_link(pair: Pair) -> None:
    async with trio.open_nursery() as nursery:

        async def asking() -> None:
            with pytest.raises(RequestFailed, match="link_closed"):
                await ask(pair.low, STALL)

        nursery.start_soon(asking)
        await until(lambda: bool(pair.high_node.requests))
        pair.low.close_link(1, "test")


async def test_heartbeats_measure_the_round_trip_and_keep_an_idle_link() -> None:
    times = LinkTimes(heartbeat_ms=50, tick_ms=20)
    async with trio.open_nursery() as nursery:
        pair = await start_pair(nursery, times=times)
        await until(lambda: status(pair.low, 1).round_trip_ms is not None)
        await until(lambda: status(pair.high, 0).round_trip_ms is not None)
        entry = status(pair.low, 1)
        assert entry.round_trip_ms is not None
        assert 0 <= entry.round_trip_ms < 10_000
        assert entry.bytes_in > 0
        assert entry.bytes_out > 0
        nursery.cancel_scope.cancel()


async def test_closing_a_link_brings_a_new_one(pair: Pair) -> None:
    pair.high.close_link(0, "asked_for")
    await until(lambda: len(pair.low_node.opened) == len(pair.high_node.opened) == 2)
    assert pair.high_node.closed == [(0, "asked_for")]
    assert len(pair.low_node.closed) == 1
    assert status(pair.high, 0).last_reason == "asked_for"
    assert pair.low.send(1, VOTE, b"after", urgent=True)
    await until(lambda: pair.high_node.bodies(0, VOTE) == [b"after"])


async def test_broadcast_reaches_every_linked_peer_and_frames_once() -> None:
    async with trio.open_nursery() as nursery:
        nodes = [RecordingNode() for _ in range(4)]
        addresses: dict[int, Address] = {}
        for index in (3, 2, 1):
            others = {other: addresses.get(other, NOWHERE) for other in range(4) if other != index}
            addresses[index] = await start(nursery, make_host(index, others, nodes[index]))
        host = make_host(0, addresses, nodes[0])
        await start(nursery, host)
        await until(lambda: all(entry.connected for entry in host.peers()))
        host.broadcast(BATCH, b"to all")
        await until(lambda: all(node.frames == [(0, BATCH, b"to all")] for node in nodes[1:]))
        assert host.counters.frames_out[BATCH] == 3
        nursery.cancel_scope.cancel()


async def test_a_peer_that_starts_late_is_found_without_a_ban(unused_address) -> None:
    async with trio.open_nursery() as nursery:
        low_node, high_node = RecordingNode(), RecordingNode()
        low = make_host(0, {1: unused_address}, low_node)
        await start(nursery, low)
        await until(lambda: low.counters.dials_failed["unreachable"] >= 3)
        assert not is_linked(low, 1)
        assert not low.send(1, VOTE, b"nobody")
        with pytest.raises(RequestFailed, match="not_connected"):
            await ask(low, ECHO)
        await start(nursery, make_host(1, {0: NOWHERE}, high_node, port=unused_address[1]))
        await until(lambda: is_linked(low, 1))
        nursery.cancel_scope.cancel()


@pytest.fixture
async def unused_address():
    """An address nobody listens on, until the test does."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()
    await listener.aclose()
    return address


async def test_a_peer_that_restarts_is_linked_again() -> None:
    async with trio.open_nursery() as nursery:
        low_node, high_node = RecordingNode(), RecordingNode()
        async with trio.open_nursery() as first_life:
            address = await start(first_life, make_host(1, {0: NOWHERE}, high_node))
            low = make_host(0, {1: address}, low_node)
            await start(nursery, low)
            await until(lambda: is_linked(low, 1))
            first_life.cancel_scope.cancel()
        await until(lambda: len(low_node.closed) == 1)
        await start(nursery, make_host(1, {0: NOWHERE}, high_node, port=address[1]))
        await until(lambda: len(low_node.opened) == 2)
        assert high_node.closed[0] == (0, "host_ended")
        nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_said_plainly() -> None:
    async with trio.open_nursery() as nursery:
        _, port = await start(nursery, make_host(0, {}, RecordingNode()))
        with pytest.raises(PortInUse, match=str(port)):
            await make_host(1, {}, RecordingNode(), port=port).run()
        nursery.cancel_scope.cancel()


async def test_a_single_validator_listens_and_talks_to_nobody() -> None:
    async with trio.open_nursery() as nursery:
        host = make_host(0, {}, RecordingNode())
        assert (await start(nursery, host))[1] > 0
        host.broadcast(VOTE, b"to nobody")
        assert host.peers() == []
        nursery.cancel_scope.cancel()


async def test_a_name_is_dialled_as_well_as_an_address() -> None:
    async with trio.open_nursery() as nursery:
        _, port = await start(nursery, make_host(1, {0: NOWHERE}, RecordingNode()))
        low = make_host(0, {1: ("localhost", port)}, RecordingNode())
        await start(nursery, low)
        await until(lambda: is_linked(low, 1))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 80 + ".invalid", "..", ""])
async def test_a_name_that_leads_nowhere_is_tried_again(name: str) -> None:
    async with trio.open_nursery() as nursery:
        low = make_host(0, {1: (name, 9)}, RecordingNode())
        await start(nursery, low)
        await until(lambda: low.counters.dials_failed["unreachable"] >= 2)
        nursery.cancel_scope.cancel()


async def test_a_peer_is_never_more_than_a_window_ahead(pair: Pair) -> None:
    """What lies in front of a vote is bounded, however much is sent."""
    link = pair.low._records[1].link
    assert link is not None
    stalled = trio.Event()

    async def stall(peer: int, kind: int, body: bytes) -> None:
        await stalled.wait()

    pair.high_node.when_frame = stall
    for _ in range(20):
        assert pair.low.send(1, BATCH, bytes(1024 * 1024))
    await trio.sleep(0.5)  # far longer than a window takes
    written = 20 * 1024 * 1024 - link.queue_bytes
    assert written <= WINDOW_BYTES_MAX + 1024 * 1024 + READ_BYTES, "a window more than the frame that stalls"
    stalled.set()
    await until(lambda: len(pair.high_node.frames) == 20)


async def test_two_peers_that_flood_each_other_both_get_through(pair: Pair) -> None:
    async def flood(host: ValidatorHost, peer: int) -> None:
        for _ in range(15):
            await until(lambda: host.send(peer, BATCH, bytes(1024 * 1024)))
            body = bytes(50_000)
            assert await host.request(peer, ECHO, body, timeout_ms=60_000, response_bytes_max=50_000) == body

    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood, pair.low, 1)
        nursery.start_soon(flood, pair.high, 0)
    await until(lambda: len(pair.low_node.frames) == len(pair.high_node.frames) == 15)
    assert pair.low_node.closed == pair.high_node.closed == []


async def test_the_node_may_send_from_within_link_opened() -> None:
    async with trio.open_nursery() as nursery:
        pair = await start_pair(nursery, linked=False)

        async def greet(peer: int, hello: bytes) -> None:
            assert pair.high.send(peer, VOTE, b"welcome", urgent=True)

        pair.high_node.when_opened = greet
        await until(lambda: pair.low_node.bodies(1, VOTE) == [b"welcome"])
        nursery.cancel_scope.cancel()


async def test_a_callback_finishes_although_its_link_has_ended(pair: Pair) -> None:
    entered, may_finish = trio.Event(), trio.Event()

    async def slow(peer: int, kind: int, body: bytes) -> None:
        entered.set()
        await may_finish.wait()

    pair.high_node.when_frame = slow
    pair.low.send(1, VOTE, b"kept")
    await entered.wait()
    pair.high.close_link(0, "test")
    await until(lambda: len(pair.low_node.closed) == 1)
    assert pair.high_node.closed == [], "the link is not over while the node is at work"
    may_finish.set()
    await until(lambda: pair.high_node.closed == [(0, "test")])
    assert pair.high_node.bodies(0, VOTE) == [b"kept"]
    await until(lambda: len(pair.high_node.opened) == 2)


class DiskFailed(Exception):
    """Stands for what a node must not survive."""


async def test_an_error_called_fatal_ends_the_host() -> None:
    async def fail(peer: int, kind: int, body: bytes) -> None:
        raise DiskFailed("the disk lies")

    async with trio.open_nursery() as nursery:
        high_node = RecordingNode()
        high_node.when_frame = fail
        high = make_host(1, {0: NOWHERE}, high_node, fatal=(DiskFailed,))
        ended = trio.Event()

        async def run_until_it_fails(task_status) -> None:
            with pytest.raises(DiskFailed, match="the disk lies"):
                await high.run(task_status=task_status)
            ended.set()

        address = await nursery.start(run_until_it_fails)
        low = make_host(0, {1: address}, RecordingNode())
        await start(nursery, low)
        await until(lambda: is_linked(low, 1))
        low.send(1, VOTE, b"poison")
        await ended.wait()
        nursery.cancel_scope.cancel()


async def test_another_error_of_the_node_ends_the_link_alone(pair: Pair) -> None:
    async def fail(peer: int, kind: int, body: bytes) -> None:
        if body == b"poison":
            raise KeyError("a mistake of ours")

    pair.high_node.when_frame = fail
    pair.low.send(1, VOTE, b"poison")
    await until(lambda: pair.high_node.closed == [(0, "internal_error")])
    await until(lambda: len(pair.low_node.opened) == 2)
    pair.low.send(1, VOTE, b"medicine")
    await until(lambda: pair.high_node.bodies(0, VOTE) == [b"medicine"])
    assert pair.high.counters.faults == {}, "the peer is not to blame"


async def test_what_is_over_its_own_bound_is_not_sent(pair: Pair) -> None:
    with pytest.raises(ValueError, match="bound"):
        pair.low.send(1, VOTE, bytes(1_001))
    with pytest.raises(ValueError, match="bound"):
        pair.low.broadcast(EMPTY, b"x")
    with pytest.raises(ValueError, match="bound"):
        await ask(pair.low, STALL, bytes(11))


@pytest.mark.parametrize(
    "peers",
    [
        [Peer(0, PUBLIC_KEYS[1], "a", 1)],
        [Peer(1, PUBLIC_KEYS[0], "a", 1)],
        [Peer(1, PUBLIC_KEYS[1], "a", 1), Peer(2, PUBLIC_KEYS[1], "a", 1)],
        [Peer(1, PUBLIC_KEYS[1], "a", 1), Peer(1, PUBLIC_KEYS[2], "a", 1)],
    ],
)
def test_peers_that_are_not_the_others_are_refused(peers: list[Peer]) -> None:
    with pytest.raises(ValueError, match="peers"):
        ValidatorHost(
            secret=SECRETS[0],
            index=0,
            peers=peers,
            listen_host="127.0.0.1",
            listen_port=0,
            events=RecordingNode(),
            bounds=BOUNDS,
            jitter=Random(0),
        )
