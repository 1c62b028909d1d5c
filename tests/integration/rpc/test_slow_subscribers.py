"""Subscribers that read slowly or not at all, many of them, and how a WebSocket ends."""

from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import Any

import msgspec
import pytest
import trio

from consensus.errors import BrokenInvariant
from consensus.numbers import Height, Seq
from sequencer.client.status import Status
from sequencer.rpc.listening import Server
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.server import serve
from sequencer.rpc.web_socket_stream import WebSocketStream
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from tests.committee import FIRST
from tests.integration.rpc.conftest import running
from tests.integration.rpc.fake_service import FakeService, block_view
from tests.integration.rpc.streams import read_all
from tests.integration.rpc.web_sockets import GrowingChain, Subscriber, subscriber, until

MIB = 1024 * 1024
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n%s\r\n"
)


@pytest.fixture
def options() -> RpcOptions:
    return RpcOptions(port=0, subscription_messages_max=8, subscription_bytes_max=MIB)


@pytest.fixture
def service(committee) -> FakeService:
    service = FakeService(committee)
    service.heights = (0, 0, 0, 0, 0)
    return service


async def raw(server: Server) -> trio.SocketStream:
    """A WebSocket of which nothing is read but the handshake."""
    stream = await trio.open_tcp_stream(server.host, server.port)
    await stream.send_all(HANDSHAKE % b"")
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await stream.receive_some(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
    return stream


async def answer_to(server: Server, handshake: bytes) -> bytes:
    """What comes at once of the answer to a handshake."""
    async with await trio.open_tcp_stream(server.host, server.port) as stream:
        await stream.send_all(handshake)
        return bytes(await stream.receive_some(4_096))


def text_frame(text: bytes, length: int | None = None) -> bytes:
    """A masked frame (with a mask of zeros), its length as stated."""
    length = len(text) if length is None else length
    wide = b"\xff" + length.to_bytes(8, "big") if length > 65_535 else b"\xfe" + length.to_bytes(2, "big")
    return b"\x81" + (wide if length > 125 else bytes([128 + length])) + bytes(4) + text


def subscribe_frame(kind: str, **wanted: object) -> bytes:
    call = {"jsonrpc": "2.0", "id": 1, "method": "seq_subscribe", "params": [kind, wanted]}
    return text_frame(msgspec.json.encode(call))


async def fill(chain: GrowingChain, count: int, size: int = 60_000) -> None:
    """Adds blocks, each once the feed has taken the one before."""
    feeds: Any = chain.service.listener
    for _ in range(count):
        chain.add(bytes(size))
        await until(lambda: feeds._namespaces[FIRST].next_index == len(chain.service.delivered[FIRST]))


class TestSlow:
    async def test_a_slow_reader_is_told_where_to_go_on_and_closed(self, server, service, metrics):
        chain = GrowingChain(service)
        stream = await raw(server)
        async with stream:
            await stream.send_all(subscribe_frame("namespace", namespace=1001))
            await until(lambda: service.listener._namespaces)
            await fill(chain, 120)
            answer = await read_all(stream)
        told = msgspec.json.decode(answer[answer.rindex(b'{"jsonrpc"') :].rpartition(b"}")[0] + b"}")
        error = told["params"]["error"]
        assert (error["code"], error["data"]["reason"]) == (-32015, "subscriber_too_slow")
        sent = answer.count(b'"sections"')
        assert 0 < sent < 120
        assert error["data"]["resume"] == {"from_index": sent}
        assert answer.endswith(b"\x88\x15\x03\xf0subscriber_too_slow")
        await until(lambda: not metrics.value(table.RPC_WEB_SOCKETS))
        assert metrics.value(table.RPC_SUBSCRIPTIONS_ENDED, "subscriber_too_slow") == 1
        async with subscriber(server) as again:
            await again.subscribe("namespace", namespace=1001, from_index=sent)
            assert [(await again.item())["block"]["index"] for _ in range(sent, 120)] == list(range(sent, 120))

    async def test_a_slow_reader_of_heads_is_told_too(self, server, service):
        stream = await raw(server)
        async with stream:
            await stream.send_all(subscribe_frame("heads"))
            await until(lambda: service.listener._heads_count)
            for height in range(20):
                service.listener.note_ordered([block_view(height, Status.ORDERED)], (Seq(1),))
            answer = await read_all(stream)
        assert b'"reason":"subscriber_too_slow"' in answer

    async def test_what_a_client_that_never_reads_costs_is_bounded(self, server, service, metrics, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.connection.SEND_SECONDS_MAX", 0.5)
        monkeypatch.setattr("sequencer.rpc.connection.SEND_BYTES_PER_SECOND_MIN", 64 * MIB)
        chain = GrowingChain(service)
        async with subscriber(server) as reader, await raw(server) as stream:
            await stream.send_all(subscribe_frame("namespace", namespace=1001) + subscribe_frame("heads"))
            await until(lambda: service.listener._namespaces and service.listener._heads_count)
            await reader.subscribe("namespace", namespace=1001)
            for place in range(100):
                await fill(chain, 1)
                assert service.listener._namespaces[FIRST].ring.held_bytes <= MIB
                assert (await reader.item())["block"]["index"] == place
            await until(lambda: metrics.value(table.RPC_WEB_SOCKETS) == 1)

    async def test_a_client_that_reads_old_blocks_goes_as_fast_as_it_likes(self, server, service):
        chain = GrowingChain(service)
        for _ in range(100):
            chain.add(bytes(30_000))
        async with subscriber(server) as slow:
            await slow.subscribe("namespace", namespace=1001, from_index=0)
            for index in range(100):
                assert (await slow.item())["block"]["index"] == index

    async def test_a_hundred_subscribers(self, server, service, metrics):
        chain = GrowingChain(service)
        async with AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(subscriber(server)) for _ in range(100)]
            for socket in sockets:
                await socket.subscribe("namespace", namespace=1001, from_index=0)
                await socket.subscribe("heads", statuses=["ordered"])
            reads = 0
            page = service.namespace_blocks

            async def count_reads(*arguments):
                nonlocal reads
                reads += 1
                return await page(*arguments)

            service.namespace_blocks = count_reads

            async def read(socket: Subscriber) -> None:
                found = [await socket.notified() for _ in range(10)]
                blocks = [one["result"]["block"]["index"] for one in found if "block" in one["result"]]
                assert blocks == list(range(5))

            async with trio.open_nursery() as nursery:
                for socket in sockets:
                    nursery.start_soon(read, socket)
                for height in range(1, 6):
                    service.listener.note_ordered([block_view(height, Status.ORDERED)], (Seq(height),))
                    await fill(chain, 1, 1_000)
            assert reads <= 10  # for all of them together
            assert metrics.value(table.RPC_NOTIFICATIONS, "namespace") == 500
            assert metrics.value(table.RPC_WEB_SOCKETS) == 100


class TestDoor:
    async def test_one_more_than_allowed_is_refused(self, service, metrics):
        async with running(service, RpcOptions(port=0, web_sockets_max=1), metrics) as server:
            async with subscriber(server):
                assert (await answer_to(server, HANDSHAKE % b"")).startswith(b"HTTP/1.1 503 ")
            await until(lambda: not metrics.value(table.RPC_WEB_SOCKETS))
            async with subscriber(server) as again:
                assert "result" in await again.call("seq_syncStatus")

    async def test_many_that_come_at_once_are_counted_too(self, service, metrics):
        async with running(service, RpcOptions(port=0, web_sockets_max=3), metrics) as server:
            streams = [await trio.open_tcp_stream(server.host, server.port) for _ in range(20)]
            answers: list[bytes] = []

            async def shake_hands(stream: trio.SocketStream) -> None:
                await stream.send_all(HANDSHAKE % b"")
                answers.append(bytes(await stream.receive_some(12)))

            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(shake_hands, stream)
            assert 0 < answers.count(b"HTTP/1.1 101") <= 3
            for stream in streams:
                await stream.aclose()

    async def test_one_client_leaves_places_to_others(self, service, metrics, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.web_socket.client_of", lambda scope: scope["query_string"].decode())
        handshake = HANDSHAKE.replace(b"/ws", b"/ws?%s") % (b"%s", b"")
        options = RpcOptions(port=0, web_sockets_max=8)
        async with running(service, options, metrics) as server, AsyncExitStack() as stack:

            async def open_one(client: bytes) -> bytes:
                stream = await stack.enter_async_context(await trio.open_tcp_stream(server.host, server.port))
                await stream.send_all(handshake % client)
                return bytes(await stream.receive_some(12))[-3:]

            greedy = [await open_one(b"greedy") for _ in range(10)]
            assert greedy == [b"101"] * 4 + [b"503"] * 6
            assert [await open_one(b"second") for _ in range(3)] == [b"101", b"101", b"503"]
            assert await open_one(b"third") == b"101"

    @pytest.mark.parametrize(("origins", "status"), [((), b"403"), (("https://a.example",), b"101"), (("*",), b"101")])
    async def test_a_web_page_needs_to_be_allowed(self, service, metrics, origins, status):
        async with running(service, RpcOptions(port=0, origins=origins), metrics) as server:
            answer = await answer_to(server, HANDSHAKE % b"origin: https://a.example\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status)

    async def test_no_extension_is_agreed_on(self, server):
        answer = await answer_to(server, HANDSHAKE % b"sec-websocket-extensions: permessage-deflate\r\n")
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in answer.lower()

    @pytest.mark.parametrize(
        "handshake", [HANDSHAKE.replace(b"version: 13", b"version: 12") % b"", HANDSHAKE % b"" + b"x"]
    )
    async def test_a_handshake_that_is_refused_is_also_ended(self, server, handshake):
        async with await trio.open_tcp_stream(server.host, server.port) as stream:
            await stream.send_all(handshake)
            with trio.fail_after(10):
                assert (await read_all(stream)).startswith(b"HTTP/1.1 400 ")

    async def test_a_message_that_is_too_long_is_refused_and_thrown_away(self, server, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.web_socket_stream.DRAIN_SECONDS_MAX", 0.3)
        async with await raw(server) as stream, trio.open_nursery() as nursery:

            async def send_for_ever() -> None:
                await stream.send_all(text_frame(b"", 2**40))
                try:
                    while True:
                        await stream.send_all(b"x" * 65_536)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

            nursery.start_soon(send_for_ever)
            assert b"\x88\x02\x03\xf1" in await read_all(stream)  # 1009
            nursery.cancel_scope.cancel()

    @pytest.mark.parametrize(
        ("first", "frame"),
        [
            (b"", b"\x8a\x80" + bytes(4)),  # pongs
            (b"\x01\x80" + bytes(4), b"\x00\x80" + bytes(4)),  # a message of empty fragments
            (b"\x01\x81" + bytes(4) + b"[", b"\x00\x81" + bytes(4) + b" "),  # of a byte each
            (text_frame(bytes(300_000)), b"\x81\x80" + bytes(4)),  # whole messages behind one that was refused
        ],
    )
    async def test_frames_that_bring_nothing_fill_no_turn_of_the_event_loop(self, server, monkeypatch, first, frame):
        turn = 0
        taken: Counter[int] = Counter()
        handle = WebSocketStream._handle_event

        async def count(stream, event) -> None:
            taken[turn] += 1
            await handle(stream, event)

        monkeypatch.setattr(WebSocketStream, "_handle_event", count)
        async with await raw(server) as stream, trio.open_nursery() as nursery:

            async def send() -> None:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await stream.send_all(first + frame * 20_000)

            nursery.start_soon(send)
            with trio.move_on_after(0.5):
                while True:
                    await trio.lowlevel.checkpoint()
                    turn += 1
            nursery.cancel_scope.cancel()
        assert 0 < max(taken.values()) <= 200

    async def test_a_call_behind_a_few_pongs_and_fragments_is_answered(self, server):
        call = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "seq_syncStatus", "params": []})
        pieces = b"".join(b"\x00\x81" + bytes(4) + call[place : place + 1] for place in range(1, len(call)))
        async with await raw(server) as stream:
            await stream.send_all((b"\x8a\x80" + bytes(4)) * 20 + b"\x01\x81" + bytes(4) + call[:1] + pieces)
            await stream.send_all(b"\x80\x80" + bytes(4))
            with trio.fail_after(10):
                answer = b""
                while b'"result"' not in answer:
                    answer += await stream.receive_some(4_096)

    async def test_a_silent_client_is_let_go_and_a_live_one_is_kept(self, server, metrics, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.web_socket.SILENCE_SECONDS_MAX", 0.3)
        async with await raw(server) as stream:
            await until(lambda: metrics.value(table.RPC_WEB_SOCKETS) == 1)
            await until(lambda: metrics.value(table.RPC_WEB_SOCKETS) == 0)
            await read_all(stream)

    async def test_messages_are_read_no_faster_than_allowed(self, server, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.web_socket.MESSAGES_PER_SECOND", 20.0)
        async with subscriber(server) as socket:
            began_s = trio.current_time()
            for _ in range(30):
                await socket.call("seq_syncStatus")
            assert trio.current_time() - began_s > 0.4

    @pytest.mark.parametrize("is_orderly", [True, False])
    async def test_a_server_that_stops_says_goodbye(self, service, metrics, is_orderly):
        async with trio.open_nursery() as nursery:
            server = await nursery.start(serve, service, RpcOptions(port=0), metrics)
            async with await raw(server) as stream:
                await stream.send_all(subscribe_frame("heads"))
                await until(lambda: service.listener._heads_count)
                if is_orderly:
                    nursery.start_soon(server.stop, 5)
                else:
                    for connection in server._connections:
                        connection.end()
                with trio.fail_after(4):
                    assert (await read_all(stream)).endswith(b"\x88\x0a\x03\xe9stopping")
            nursery.cancel_scope.cancel()

    @pytest.mark.parametrize("place", ["status", "block"])
    async def test_a_broken_invariant_stops_the_node(self, service, monkeypatch, place):
        """Met by a subscription, and by a feed."""

        async def fail_later(*_arguments):
            raise BrokenInvariant("a fault of the disk")

        def fail(*_):
            raise BrokenInvariant("a fault of the disk")

        monkeypatch.setattr(service, place, fail if place == "status" else fail_later)
        stopped: list[Exception] = []

        async def run(*, task_status) -> None:
            try:
                await serve(service, RpcOptions(port=0), Metrics("test"), task_status=task_status)
            except BrokenInvariant as error:
                stopped.append(error)

        async with trio.open_nursery() as nursery:
            server = await nursery.start(run)
            async with await raw(server) as stream:
                await stream.send_all(subscribe_frame("transactions", hashes=["0x" + "07" * 32]))
                await stream.send_all(subscribe_frame("heads"))
                await until(lambda: stopped or service.listener._heads_count)
                service.listener.note_executed(Height(1))
                await read_all(stream)
        assert stopped
