"""Reading a connection goes on while nothing can be written to it."""

from struct import pack
from typing import cast

import pytest
import trio
import trio.testing
from libp2p.abc import ISecureConn
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.peer.id import ID

from p2p.libp2p_inside import OWED_FRAMES_MAX, _Muxer

DATA, WINDOW_UPDATE, PING = range(3)
SYN = 1


def header(kind: int, *, flags: int = 0, stream: int = 0, length: int = 0) -> bytes:
    return pack("!BBHII", 0, kind, flags, stream, length)


class StuckSession:
    """Delivers what it is given; writes wait until the other side reads."""

    is_initiator = False

    def __init__(self) -> None:
        self.arriving = b""
        self.written: list[bytes] = []
        self.other_side_reads = trio.Event()
        self.drained = trio.Event()
        self.closed = trio.Event()

    async def read(self, n: int) -> bytes:
        if not self.arriving:
            self.drained.set()
            await self.closed.wait()
            raise ConnectionClosedError("closed")
        await trio.lowlevel.checkpoint()
        data, self.arriving = self.arriving[:n], self.arriving[n:]
        return data

    async def write(self, data: bytes) -> None:
        await self.other_side_reads.wait()
        self.written.append(data)

    async def close(self) -> None:
        self.closed.set()


@pytest.fixture
async def session():
    session = StuckSession()
    async with trio.open_nursery() as nursery:
        yield session
        session.closed.set()
        session.other_side_reads.set()
        nursery.cancel_scope.cancel()


def muxer_over(session: StuckSession) -> _Muxer:
    return _Muxer(cast(ISecureConn, session), ID(b"peer"))


async def test_pings_and_new_streams_are_answered_later_and_in_order(session: StuckSession, nursery) -> None:
    muxer = muxer_over(session)
    session.arriving = (
        header(PING, flags=SYN, length=7)
        + header(WINDOW_UPDATE, flags=SYN, stream=1)
        + header(DATA, stream=1, length=5)
        + b"bytes"
    )
    nursery.start_soon(muxer.start)
    await session.drained.wait()
    assert bytes(muxer.stream_buffers[1]) == b"bytes"
    assert session.written == []
    session.other_side_reads.set()
    await trio.testing.wait_all_tasks_blocked()
    assert [frame[1] for frame in session.written] == [PING, WINDOW_UPDATE]
    session.closed.set()


async def test_who_causes_answers_without_reading_them_is_cut_off(session: StuckSession, nursery) -> None:
    muxer = muxer_over(session)
    session.arriving = header(PING, flags=SYN, length=7) * (OWED_FRAMES_MAX + 10)
    nursery.start_soon(muxer.start)
    with trio.fail_after(60):
        await session.closed.wait()
    assert len(session.arriving) > 0
