"""Every Yamux header is judged before Yamux sees it."""

from struct import pack
from typing import Any

import pytest
import trio
import trio.testing
from libp2p.abc import ISecureConn
from libp2p.network.connection.exceptions import RawConnError

from p2p.bounds import STREAMS_BURST, STREAMS_INBOUND_MAX
from p2p.muxer_guard import WINDOW_BYTES_FIRST, MuxerGuard

DATA, WINDOW_UPDATE, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8


def header(kind: int, *, flags: int = 0, stream: int = 1, length: int = 0, version: int = 0) -> bytes:
    return pack("!BBHII", version, kind, flags, stream, length)


class FakeSession(ISecureConn):
    """A secure session that has already received `messages`."""

    is_initiator = False

    def __init__(self, *messages: bytes) -> None:
        self.messages = list(messages)

    async def read(self, n: int | None = None) -> bytes:
        assert n is None, "the guard takes whole messages"
        await trio.lowlevel.checkpoint()
        return self.messages.pop(0)

    async def write(self, data: bytes) -> None: ...
    async def close(self) -> None: ...
    def get_local_peer(self) -> Any: ...
    def get_local_private_key(self) -> Any: ...
    def get_remote_peer(self) -> Any: ...
    def get_remote_public_key(self) -> Any: ...
    def get_remote_address(self) -> Any: ...
    def get_transport_addresses(self) -> Any: ...
    def get_connection_type(self) -> Any: ...


class FakeWindows:
    def __init__(self, opened: int = 0, **windows: int) -> None:
        self.opened = opened
        self.windows = {int(name[1:]): window for name, window in windows.items()}

    def window_of(self, stream_id: int) -> int | None:
        return self.windows.get(stream_id)

    def opened_by_peer(self) -> int:
        return self.opened


def watching(windows: FakeWindows, *messages: bytes) -> MuxerGuard:
    guard = MuxerGuard(FakeSession(*messages))
    guard.watch(windows)
    return guard


async def violation(windows: FakeWindows, wire: bytes) -> str | None:
    guard = watching(windows, wire)
    with pytest.raises(RawConnError):
        await guard.read(12)
    return guard.violation


async def test_headers_and_bodies_pass_wherever_the_messages_end() -> None:
    body = bytes(range(200)) * 5
    wire = header(DATA, stream=1, length=1_000) + body + header(PING, flags=SYN, stream=0, length=7)
    for cut in (1, 5, 12, 13, 999, 1_012, len(wire)):
        guard = watching(FakeWindows(s1=1_000), *(wire[start : start + cut] for start in range(0, len(wire), cut)))
        assert await guard.read(12) == wire[:12]
        assert await guard.read(600) + await guard.read(400) == body
        assert await guard.read(12) == wire[-12:]
        assert guard.violation is None


async def test_a_body_is_never_read_beyond_what_its_header_announced() -> None:
    guard = watching(FakeWindows(s1=4), header(DATA, length=4) + b"body" + header(PING, stream=0))
    await guard.read(12)
    assert await guard.read(100) == b"body"


async def test_before_yamux_begins_bytes_pass_unread() -> None:
    guard = MuxerGuard(FakeSession(b"\x13/multistream", b"/1.0.0\n" + header(DATA, length=3) + b"abc"))
    assert await guard.read(1) == b"\x13"
    assert await guard.read(19) == b"/multistream/1.0.0\n"
    guard.watch(FakeWindows(s1=3))
    assert await guard.read(12) == header(DATA, length=3)
    assert await guard.read(3) == b"abc"


@pytest.mark.parametrize(
    "wire",
    [
        header(PING, version=1),
        header(4),
        header(255),
        header(DATA, flags=16),
        header(WINDOW_UPDATE, flags=0x8000),
        b"GET / HTTP/1",
    ],
)
async def test_what_means_nothing_ends_the_connection(wire: bytes) -> None:
    assert await violation(FakeWindows(s1=100), wire) == "bad_muxing"


async def test_data_up_to_the_window_passes_and_one_byte_more_does_not() -> None:
    assert await watching(FakeWindows(s1=50), header(DATA, length=50)).read(12)
    assert await violation(FakeWindows(s1=50), header(DATA, length=51)) == "window_overflow"
    assert await violation(FakeWindows(s1=0), header(DATA, length=1)) == "window_overflow"


async def test_data_for_a_stream_we_have_closed_is_bounded_by_a_first_window() -> None:
    assert await watching(FakeWindows(), header(DATA, length=WINDOW_BYTES_FIRST)).read(12)
    assert await violation(FakeWindows(), header(DATA, length=WINDOW_BYTES_FIRST + 1)) == "window_overflow"


@pytest.mark.parametrize("stream", [0, 2, 4])
async def test_a_stream_with_a_number_of_ours_is_refused(stream: int) -> None:
    assert await violation(FakeWindows(), header(WINDOW_UPDATE, flags=SYN, stream=stream)) == "bad_muxing"


async def test_the_answering_side_opens_even_numbers() -> None:
    session = FakeSession(header(WINDOW_UPDATE, flags=SYN, stream=2), header(DATA, flags=SYN, stream=3))
    session.is_initiator = True
    guard = MuxerGuard(session)
    guard.watch(FakeWindows())
    assert await guard.read(12)
    with pytest.raises(RawConnError):
        await guard.read(12)


async def test_too_many_open_streams_end_the_connection() -> None:
    wire = header(WINDOW_UPDATE, flags=SYN, stream=1)
    assert await watching(FakeWindows(opened=STREAMS_INBOUND_MAX - 1), wire).read(12)
    assert await violation(FakeWindows(opened=STREAMS_INBOUND_MAX), wire) == "stream_flood"


async def test_streams_opened_too_fast_end_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    wire = header(WINDOW_UPDATE, flags=SYN, stream=1)
    guard = watching(FakeWindows(), *[wire] * (STREAMS_BURST + 1))
    for _ in range(STREAMS_BURST):
        await guard.read(12)
    with pytest.raises(RawConnError):
        await guard.read(12)
    assert guard.violation == "stream_flood"


async def test_writers_are_told_once_yamux_has_acted_on_a_window_update() -> None:
    told = 0

    def tell() -> None:
        nonlocal told
        told += 1

    guard = watching(FakeWindows(s1=9), header(WINDOW_UPDATE, length=9), header(PING, stream=0), header(PING, stream=0))
    guard.concern_writers = tell
    await guard.read(12)
    assert told == 0, "Yamux has not acted on it yet"
    await guard.read(12)
    assert told == 1
    await guard.read(12)
    assert told == 1
