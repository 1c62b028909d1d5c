"""What a validator can do with its own, valid key.

After each attack the honest peer's link must never have been lost, and a new one must still be possible.
"""

import itertools
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from struct import pack

import pytest
import trio
from libp2p.abc import ISecureConn

from p2p.bounds import KIND_HEARTBEAT, KIND_HELLO, STREAMS_INBOUND_MAX, LinkTimes
from p2p.errors import PeerFault, RequestFailed
from p2p.frames import EXCHANGE_HEADER_BYTES, encode_frame, encode_request
from p2p.libp2p_inside import Connection, opening_of
from p2p.link import BULK_PROTOCOL, URGENT_PROTOCOL, Link
from p2p.muxer import CLOSE, CREDIT, DATA, OPEN, RESET
from p2p.requests import REQUEST_PROTOCOL
from p2p.tcp import Socket
from tests.integration.p2p.attackers import (
    HONEST,
    HOSTILE,
    VICTIM,
    Arena,
    choose_muxer,
    connect,
    flood,
    for_ever,
    hostile_connection,
    hostile_link,
    ignoring_loss,
    open_arena,
    open_stream,
    shake_hands,
)
from tests.integration.p2p.nodes import BATCH, ECHO, LARGE, SECRETS, STALL, VOTE, is_linked, status, until

HURRIED = LinkTimes(handshake_ms=2_000, serve_ms=500)


def muxed(kind: int, *, stream: int = 1, body: bytes = b"", length: int | None = None) -> bytes:
    return pack("!BIH", kind, stream, len(body) if length is None else length) + body


async def speaking(arena: Arena, *writes: bytes) -> None:
    """Write to an authenticated connection what an honest multiplexer never would, until the victim hangs up."""
    socket, session = await shake_hands(arena.address, SECRETS[HOSTILE])
    await choose_muxer(session)
    for data in writes:
        await ignoring_loss(session.write, data)
    with trio.fail_after(60):
        await ignoring_loss(read_for_ever, session.read)
    socket.hard_close()


async def read_for_ever(read: Callable[[int], Awaitable[bytes]]) -> None:
    while await read(1):
        pass


@pytest.mark.parametrize("seed", range(3))
async def test_random_bytes_after_noise(seed: int) -> None:
    async with open_arena(HURRIED) as arena:
        socket, session = await shake_hands(arena.address, SECRETS[HOSTILE])
        await session.write(Random(seed).randbytes(2_000))
        await ignoring_loss(read_for_ever, session.read)
        socket.hard_close()
        await until(lambda: arena.victim.counters.connections_refused.total() == 1)


@pytest.mark.parametrize("seed", range(3))
async def test_random_bytes_after_a_multiplexer_is_chosen(seed: int) -> None:
    async with open_arena() as arena:
        await speaking(arena, Random(seed).randbytes(20_000))
        await arena.blamed("bad_muxing")


async def test_bytes_put_into_an_encrypted_connection_by_somebody_else_blame_nobody() -> None:
    async with open_arena() as arena:
        async with hostile_link(arena) as link:
            await link.connection._socket.write(b"\x00\x40" + bytes(64))
            await until(lambda: not is_linked(arena.victim, HOSTILE))
        assert arena.victim.counters.faults == {}
        async with hostile_link(arena):
            assert is_linked(arena.victim, HOSTILE), "it was not the validator's fault and it may come back"


@pytest.mark.parametrize(
    "wire",
    [
        muxed(9),
        muxed(DATA, length=0xFFFF),
        muxed(OPEN, stream=2),
        muxed(DATA, stream=77),
        muxed(CREDIT, stream=66, body=bytes(4)),
        muxed(OPEN) + muxed(CLOSE, body=b"x"),
    ],
    ids=["kind", "length", "our-number", "never-opened", "never-opened-by-us", "close-with-a-body"],
)
async def test_a_header_that_breaks_the_rules(wire: bytes) -> None:
    async with open_arena() as arena:
        await speaking(arena, wire)
        await arena.blamed("bad_muxing")


async def test_window_overflow() -> None:
    """More data than the window of a stream nobody reads: the bulk stream of a link that never said hello."""
    async with open_arena() as arena:
        chunk = muxed(DATA, body=bytes(60_000))
        await speaking(arena, muxed(OPEN, body=opening_of(BULK_PROTOCOL)), *[chunk] * 6)
        await arena.blamed("window_overflow")


async def test_stream_flood_all_at_once() -> None:
    async with open_arena() as arena:
        await speaking(arena, *[muxed(OPEN, stream=1 + 2 * number) for number in range(STREAMS_INBOUND_MAX + 1)])
        await arena.blamed("stream_flood")


async def test_stream_flood_one_after_another() -> None:
    async with open_arena() as arena:
        socket, session = await shake_hands(arena.address, SECRETS[HOSTILE])
        await choose_muxer(session)
        numbers = itertools.count(1, 2)

        async def open_and_reset_some() -> None:
            wire = b"".join(
                muxed(OPEN, stream=number) + muxed(RESET, stream=number) for number in itertools.islice(numbers, 50)
            )
            await session.write(wire)

        with trio.fail_after(100):
            await ignoring_loss(for_ever, open_and_reset_some)
        socket.hard_close()
        await arena.blamed("stream_flood")


async def raw_link(arena: Arena) -> tuple[Socket, ISecureConn]:
    """A link made by hand, whose socket is read by nobody."""
    socket, session = await shake_hands(arena.address, SECRETS[HOSTILE])
    await choose_muxer(session)
    hello = opening_of(URGENT_PROTOCOL) + encode_frame(KIND_HELLO, b"hostile")
    await session.write(muxed(OPEN, body=hello) + muxed(OPEN, stream=3, body=opening_of(BULK_PROTOCOL)))
    record = arena.victim._records[HOSTILE]
    await until(lambda: bool(record.unopened) and record.unopened[-1]._connection._muxer._next_number == 6)
    answers = muxed(DATA, stream=2, body=opening_of(URGENT_PROTOCOL))
    await session.write(answers + muxed(DATA, stream=4, body=opening_of(BULK_PROTOCOL)))
    await until(lambda: is_linked(arena.victim, HOSTILE))
    return socket, session


def has_seen(link: Link, number: int) -> bool:
    return link._connection._muxer._their_last == number


def link_of(arena: Arena) -> Link:
    link = arena.victim._records[HOSTILE].link
    assert link is not None
    return link


async def test_streams_reset_while_nothing_can_be_written_leave_few_tasks() -> None:
    """The peer gives credit without end, reads nothing, and opens and resets streams at the pace that is allowed."""
    async with open_arena() as arena:
        socket, session = await raw_link(arena)
        link, numbers = link_of(arena), itertools.count(5, 2)
        await session.write(muxed(CREDIT, stream=4, body=pack("!I", 1 << 30)))
        for _ in range(40):
            arena.victim.send(HOSTILE, BATCH, bytes(1024 * 1024))
        await until(link._connection._muxer._writing.locked)
        for _ in range(8):
            some = list(itertools.islice(numbers, 100))
            for kind in (OPEN, RESET):
                await session.write(b"".join(muxed(kind, stream=number) for number in some))
                await until(partial(has_seen, link, some[-1]))
                await trio.sleep(0.05)
        assert link._nursery is not None
        assert len(link._nursery.child_tasks) <= STREAMS_INBOUND_MAX + 8
        socket.hard_close()


async def test_many_proposals_on_a_stream_get_few_answers() -> None:
    async with open_arena() as arena:
        socket, session = await raw_link(arena)
        link, wire = link_of(arena), b"\x13/multistream/1.0.0\n" + b"\x01\n" * 500
        before = link.bytes_out
        await session.write(b"".join(muxed(OPEN, stream=5 + 2 * number, body=wire) for number in range(50)))
        await until(lambda: link._connection._muxer._their_last == 103 and not link._choosing)
        assert link.bytes_out - before < 50 * 500
        socket.hard_close()


async def test_a_request_cut_short_leaves_no_stream() -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        muxer = link_of(arena)._connection._muxer
        before = muxer._their_count
        for _ in range(20):
            stream = await open_stream(link.connection, REQUEST_PROTOCOL)
            await stream.write(encode_request(ECHO, b"question")[:7])
            await stream.close()
        await until(lambda: muxer._their_count == before)


async def test_a_request_whose_protocol_is_not_agreed_on_leaves_no_stream() -> None:
    async with open_arena() as arena, hostile_link(arena, refusing=True) as link:
        muxer = link_of(arena)._connection._muxer
        before = len(muxer._streams)
        for _ in range(20):
            with pytest.raises(RequestFailed):
                await arena.victim.request(HOSTILE, ECHO, b"?", timeout_ms=60_000, response_bytes_max=10)
        await until(lambda: len(muxer._streams) <= before)
        assert is_linked(arena.victim, HOSTILE)
        link.connection.hard_close()


async def test_streams_that_choose_no_protocol_are_given_up() -> None:
    async with open_arena(HURRIED) as arena, hostile_link(arena) as link:
        opened = [link.connection.open_stream() for _ in range(50)]
        for stream in opened:
            await stream.write(opening_of(REQUEST_PROTOCOL)[:1])
        for stream in opened:
            with trio.fail_after(60):
                await ignoring_loss(read_for_ever, stream.read)
        assert is_linked(arena.victim, HOSTILE)


@pytest.mark.parametrize(
    "opening",
    [
        b"\xff" * 10,
        b"\xff" * 9 + b"\x01",
        b"\x80\xe1\xeb\x17",
        b"\x04\xff\xfe\xfd\n",
        b"\x00",
        b"\x13/multistream/1.0.0\n\x02?\n",
    ],
    ids=["endless-varint", "64-bits", "50-MB", "not-utf-8", "empty", "unknown-protocol"],
)
async def test_a_stream_that_never_agrees_on_a_protocol_is_lost_alone(opening: bytes) -> None:
    async with open_arena(HURRIED) as arena, hostile_link(arena) as link:
        stream = link.connection.open_stream()
        await stream.write(opening)
        with trio.fail_after(60):
            await ignoring_loss(read_for_ever, stream.read)
        assert is_linked(arena.victim, HOSTILE)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (encode_frame(99, b"what"), "unknown_kind"),
        (encode_frame(KIND_HELLO, b"hello again"), "unknown_kind"),
        ((50_000_000).to_bytes(4, "big") + bytes([BATCH]), "oversized"),
        ((1_001).to_bytes(4, "big") + bytes([VOTE]), "oversized"),
        (encode_frame(KIND_HEARTBEAT, bytes(7)), "bad_heartbeat"),
    ],
    ids=["unknown-kind", "hello-twice", "50-MB-length", "one-byte-over", "heartbeat"],
)
async def test_a_bad_frame(frame: bytes, reason: str) -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        await link.urgent.write(frame)
        await arena.blamed(reason)
        assert arena.victim_node.closed == [(HOSTILE, reason)]
        assert arena.victim_node.bodies(HOSTILE, VOTE) == []


async def test_a_heartbeat_on_the_bulk_stream() -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        await link.bulk.write(encode_frame(KIND_HEARTBEAT, bytes(24)))
        await arena.blamed("unknown_kind")


async def test_a_body_the_node_cannot_decode() -> None:
    async def decode(peer: int, kind: int, body: bytes) -> None:
        if body == b"\xff":
            raise PeerFault("undecodable")

    async with open_arena() as arena, hostile_link(arena) as link:
        arena.victim_node.when_frame = decode
        await link.urgent.write(encode_frame(VOTE, b"\xff"))
        await arena.blamed("undecodable")


async def test_replayed_frames_are_frames_and_the_protocols_business() -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        for _ in range(100):
            await link.urgent.write(encode_frame(VOTE, b"the same"))
        await until(lambda: arena.victim_node.bodies(HOSTILE, VOTE) == [b"the same"] * 100)
        assert is_linked(arena.victim, HOSTILE)


async def test_a_frame_before_the_hello() -> None:
    async with open_arena() as arena, hostile_connection(arena) as connection:
        urgent = await open_stream(connection, URGENT_PROTOCOL)
        await urgent.write(encode_frame(VOTE, b"early"))
        await arena.blamed("unknown_kind")
        assert arena.victim_node.frames == []


async def test_frames_on_the_bulk_stream_wait_for_the_hello() -> None:
    async with open_arena() as arena, hostile_connection(arena) as connection:
        bulk = await open_stream(connection, BULK_PROTOCOL)
        await bulk.write(encode_frame(BATCH, b"early"))
        urgent = await open_stream(connection, URGENT_PROTOCOL)
        await urgent.write(encode_frame(KIND_HELLO, b"hello"))
        await until(lambda: arena.victim_node.frames == [(HOSTILE, BATCH, b"early")])
        assert arena.victim_node.opened[-1] == (HOSTILE, b"hello")


async def test_an_oversized_hello() -> None:
    async with open_arena() as arena, hostile_connection(arena) as connection:
        urgent = await open_stream(connection, URGENT_PROTOCOL)
        await urgent.write((64 * 1024 + 1).to_bytes(4, "big") + bytes([KIND_HELLO]))
        await arena.blamed("oversized")


@pytest.mark.parametrize("mutes", [True, False])
async def test_a_refused_hello(mutes: bool) -> None:
    async def refuse(peer: int, hello: bytes) -> None:
        if hello == b"other genesis":
            raise PeerFault("other_genesis", mutes=mutes)

    async with open_arena() as arena:
        arena.victim_node.when_opened = refuse
        async with hostile_connection(arena) as connection:
            urgent = await open_stream(connection, URGENT_PROTOCOL)
            await urgent.write(encode_frame(KIND_HELLO, b"other genesis"))
            if mutes:
                await arena.blamed("other_genesis")
            await until(lambda: arena.victim.counters.faults["other_genesis"] == 1)
            await until(lambda: arena.victim.counters.links_closed["other_genesis"] == 1)
        assert [peer for peer, _ in arena.victim_node.opened] == [HONEST]
        assert arena.victim_node.closed == [], "what did not open does not close"
        if not mutes:
            async with hostile_link(arena, hello=b"right genesis"):
                assert status(arena.victim, HOSTILE).faults == 1


async def test_no_hello_at_all() -> None:
    async with open_arena(HURRIED) as arena, hostile_connection(arena):
        await until(lambda: arena.victim.counters.links_closed["no_hello"] == 1)


@pytest.mark.parametrize("protocol", [URGENT_PROTOCOL, BULK_PROTOCOL])
async def test_a_second_stream_of_a_link(protocol: str) -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        await ignoring_loss(open_stream, link.connection, protocol)
        await arena.blamed("stream_twice")


async def test_a_newer_link_ends_the_older_and_the_node_sees_them_in_turn() -> None:
    async with open_arena() as arena, hostile_link(arena, b"first") as first, hostile_connection(arena) as connection:
        urgent = await open_stream(connection, URGENT_PROTOCOL)
        await urgent.write(encode_frame(KIND_HELLO, b"second"))
        await until(lambda: arena.victim_node.opened[-1] == (HOSTILE, b"second"))
        assert arena.victim_node.closed == [(HOSTILE, "replaced")]
        await flood(lambda: first.urgent.write(encode_frame(VOTE, b"x")))
        await urgent.write(encode_frame(VOTE, b"alive"))
        await until(lambda: arena.victim_node.bodies(HOSTILE, VOTE)[-1:] == [b"alive"])


async def test_connections_that_never_become_links_replace_each_other() -> None:
    async with open_arena() as arena, trio.open_nursery() as nursery:
        connections = [await connect(arena.address) for _ in range(5)]
        for connection in connections:
            nursery.start_soon(ignoring_loss, connection.run)
        await until(lambda: arena.victim.counters.links_closed["replaced"] == 3)
        for connection in connections:
            connection.hard_close()


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (encode_request(77, b""), "unknown_kind"),
        (bytes([ECHO]) + (50_000_000).to_bytes(4, "big"), "oversized"),
        (encode_request(ECHO, b"question") + b"and more", "bad_request"),
    ],
    ids=["unknown-kind", "50-MB-length", "trailing-bytes"],
)
async def test_a_bad_request(wire: bytes, reason: str) -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        stream = await open_stream(link.connection, REQUEST_PROTOCOL)
        await stream.write(wire)
        await stream.close()
        await arena.blamed(reason)
        assert arena.victim_node.requests == []


async def test_request_flood_is_dropped_beyond_the_slots() -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        for _ in range(60):
            stream = link.connection.open_stream()
            await stream.write(opening_of(REQUEST_PROTOCOL) + encode_request(STALL, b""))
            await stream.close()
        await until(lambda: len(arena.victim_node.requests) == 32)
        await until(lambda: arena.victim.counters.requests_dropped == 28)
        arena.victim_node.may_answer.set()
        assert is_linked(arena.victim, HOSTILE)


async def test_request_flood_beyond_the_pace_ends_the_link() -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        await flood(lambda: open_and_reset(link.connection))
        await arena.blamed("stream_flood")


async def open_and_reset(connection: Connection) -> None:
    stream = connection.open_stream()
    await stream.write(opening_of(REQUEST_PROTOCOL))
    await stream.reset()


async def test_a_request_that_is_never_finished_is_given_up() -> None:
    async with open_arena(HURRIED) as arena, hostile_link(arena) as link:
        stream = await open_stream(link.connection, REQUEST_PROTOCOL)
        await stream.write(encode_request(ECHO, b"question")[:EXCHANGE_HEADER_BYTES])
        with trio.fail_after(60):
            await ignoring_loss(read_for_ever, stream.read)
        assert is_linked(arena.victim, HOSTILE)
        assert arena.victim_node.requests == []


async def test_large_answers_that_are_never_read_hold_back_nobody() -> None:
    async with open_arena() as arena, hostile_link(arena) as link:
        for _ in range(20):
            stream = await open_stream(link.connection, REQUEST_PROTOCOL)
            await stream.write(encode_request(LARGE, b""))
            await stream.close()
        await until(lambda: len(arena.victim_node.requests) == 20)
        assert arena.victim.send(HOSTILE, VOTE, b"vote", urgent=True)
        await until(lambda: status(arena.victim, HOSTILE).queue_bytes == 0)


@pytest.mark.parametrize(
    ("answer", "failure", "reason"),
    [
        (b"\x00\x00\x00\x00\x0b" + bytes(11), "bad_answer", "bad_answer"),
        (b"\x07\x00\x00\x00\x00", "bad_answer", "bad_answer"),
        (b"\x00\x00\x00\x00\x02ok!", "bad_answer", "bad_answer"),
        (b"\x00\x00", "reset", None),
        (b"\x01\x00\x00\x00\x03\xff\xfe\xfd", "refused", None),
    ],
    ids=["oversized", "unknown-status", "trailing-bytes", "cut-short", "refused-in-no-language"],
)
async def test_a_bad_answer(answer: bytes, failure: str, reason: str | None) -> None:
    async with open_arena() as arena, hostile_link(arena, answer=answer):
        with pytest.raises(RequestFailed) as caught:
            await arena.victim.request(HOSTILE, ECHO, b"?", timeout_ms=60_000, response_bytes_max=10)
        assert caught.value.reason == failure
        if reason is not None:
            await arena.blamed(reason)
        else:
            assert is_linked(arena.victim, HOSTILE)


async def test_requests_that_are_never_answered_cost_the_asker_its_patience_alone() -> None:
    async with open_arena() as arena, hostile_link(arena):
        for _ in range(40):
            with pytest.raises(RequestFailed, match="timeout"):
                await arena.victim.request(HOSTILE, ECHO, b"?", timeout_ms=30, response_bytes_max=10)
        assert is_linked(arena.victim, HOSTILE)


async def test_a_peer_that_reads_nothing_is_said_to_be_behind_and_kept() -> None:
    async with open_arena() as arena, hostile_link(arena):
        queued = 0
        while arena.victim.send(HOSTILE, BATCH, bytes(1024 * 1024)):
            queued += 1
            await trio.lowlevel.checkpoint()
        assert queued >= 63
        assert arena.victim.send(HONEST, BATCH, b"the others are not behind")
        await until(lambda: arena.honest_node.bodies(VICTIM, BATCH) == [b"the others are not behind"])


async def test_a_mute_ends() -> None:
    async with open_arena(LinkTimes(handshake_ms=120_000, mute_ms=300)) as arena:
        async with hostile_link(arena) as link:
            await link.urgent.write(encode_frame(99, b""))
            await until(lambda: arena.victim.counters.faults["unknown_kind"] == 1)
        await until(lambda: not is_linked(arena.victim, HOSTILE))
        while not is_linked(arena.victim, HOSTILE):
            try:
                async with hostile_link(arena):
                    assert is_linked(arena.victim, HOSTILE)
                    break
            except Exception:  # noqa: BLE001 - still muted
                await trio.sleep(0.05)
