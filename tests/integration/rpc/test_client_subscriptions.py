"""The client library's subscriptions: against servers that go away, come back, lie, or have none."""

from collections import Counter
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest
import trio
from wsproto.events import Event

from consensus.numbers import Hash, Height, Seq
from sequencer.client.client import SequencerClient
from sequencer.client.errors import MalformedAnswer, NodeUnreachable, NoSubscriptions, RequestRefused, UnprovedAnswer
from sequencer.client.status import Status, TransactionStatus
from sequencer.client.web_socket import WebSocket
from sequencer.rpc.listening import Server
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.server import serve
from sequencer.telemetry.metrics import Metrics
from tests.committee import FIRST
from tests.integration.rpc.conftest import running
from tests.integration.rpc.fake_service import FakeService, block_view
from tests.integration.rpc.web_sockets import GrowingChain, until

HASHES = [Hash(bytes([number]) * 32) for number in range(3)]


def text_frame(text: bytes) -> bytes:
    """As a server sends it: without a mask."""
    return b"\x81" + (bytes([len(text)]) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big")) + text


ANSWER = text_frame(b'{"jsonrpc":"2.0","id":1,"result":"0x1"}')
TOO_SLOW = text_frame(
    b'{"jsonrpc":"2.0","method":"seq_subscription","params":{"subscription":"0x1","error":'
    b'{"code":-32015,"message":"subscriber too slow","data":{"reason":"subscriber_too_slow"}}}}'
)


@pytest.fixture
def service(committee) -> FakeService:
    service = FakeService(committee)
    service.heights = (0, 0, 0, 0, 0)
    return service


@pytest.fixture
def chain(service, server) -> GrowingChain:
    return GrowingChain(service)


@pytest.fixture
async def client(server, committee):
    async with SequencerClient(server.url, genesis=committee.chain) as client:
        yield client


@asynccontextmanager
async def stoppable(service: FakeService, port: int = 0):
    """A server and what ends it at once."""
    async with trio.open_nursery() as nursery:
        inner = trio.CancelScope()

        async def run(*, task_status) -> None:
            with inner:
                await serve(service, RpcOptions(port=port), Metrics("test"), task_status=task_status)

        server: Server = await nursery.start(run)
        yield server, inner.cancel
        inner.cancel()


class TestNamespace:
    async def test_blocks_come_proved_as_soon_as_they_are(self, client, chain):
        chain.add(b"old", attested=True)
        async with aclosing(client.follow_namespace(FIRST)) as blocks:
            assert (await anext(blocks)).transactions == (b"old",)
            chain.add(b"one")
            chain.add(b"two")
            chain.add(attested=True)
            found = [await anext(blocks) for _ in range(2)]
        assert [(block.block.index, block.transactions, block.proved) for block in found] == [
            (1, (b"one",), True),
            (2, (b"two",), True),
        ]

    async def test_without_a_chain_blocks_come_once_final(self, server, chain):
        chain.add(b"old")
        async with SequencerClient(server.url) as client, aclosing(client.follow_namespace(FIRST)) as blocks:
            assert (await anext(blocks)).transactions == (b"old",)
            chain.add(b"one")
            block = await anext(blocks)
        assert (block.transactions, block.proved) == ((b"one",), False)

    @pytest.mark.parametrize("knows_chain", [True, False])
    async def test_it_goes_on_where_it_was_when_the_node_starts_again(self, service, committee, knows_chain):
        genesis = committee.chain if knows_chain else None
        found = []
        async with stoppable(service) as (server, stop):
            chain = GrowingChain(service)
            for place in range(3):
                chain.add(b"%d" % place, attested=True)
            client = SequencerClient(server.url, genesis=genesis)
            async with client, aclosing(client.follow_namespace(FIRST)) as blocks:
                found += [await anext(blocks) for _ in range(2)]
                chain.add(b"held, not proved")
                stop()
                chain.add(b"meanwhile", attested=True)
                async with trio.open_nursery() as nursery:

                    async def start_again() -> None:
                        await trio.sleep(0.2)
                        async with stoppable(service, server.port):
                            await until(lambda: len(found) == 6)

                    nursery.start_soon(start_again)
                    while len(found) < 5:
                        found.append(await anext(blocks))
                    chain.add(b"afterwards", attested=True)
                    found.append(await anext(blocks))
        assert [block.block.index for block in found] == list(range(6))

    async def test_it_goes_on_with_another_node(self, service, server, chain, committee):
        other = FakeService(committee)
        other.heights = (0, 0, 0, 0, 0)
        async with stoppable(other) as (first, stop):
            theirs = GrowingChain(other)
            for grown in (chain, theirs):
                grown.add(b"one", attested=True)
            async with (
                SequencerClient([first.url, server.url], genesis=committee.chain) as client,
                aclosing(client.follow_namespace(FIRST)) as blocks,
            ):
                assert (await anext(blocks)).block.index == 0
                stop()
                chain.add(b"two", attested=True)
                assert (await anext(blocks)).transactions == (b"two",)

    async def test_a_node_that_never_comes_back_is_an_error_at_last(self, service, monkeypatch):
        monkeypatch.setattr("sequencer.client.subscribing.REOPENING_SECONDS_MAX", 0.3)
        async with stoppable(service) as (server, stop):
            GrowingChain(service).add(b"one")
            async with SequencerClient(server.url) as client, aclosing(client.follow_namespace(FIRST)) as blocks:
                await anext(blocks)
                stop()
                with pytest.raises(NodeUnreachable):
                    await anext(blocks)

    async def test_a_node_without_web_sockets_is_asked(self, service, committee, metrics):
        async with running(service, RpcOptions(port=0, web_sockets_max=0), metrics) as server:
            chain = GrowingChain(service)
            chain.add(b"one", attested=True)
            client = SequencerClient(server.url, genesis=committee.chain)
            async with client, aclosing(client.follow_namespace(FIRST)) as blocks:
                assert (await anext(blocks)).proved
                chain.add(b"two", attested=True)
                assert (await anext(blocks)).transactions == (b"two",)
                with pytest.raises(NoSubscriptions):
                    await anext(client.follow_heads())

    async def test_a_proof_that_does_not_hold_is_noticed(self, client, chain, service):
        chain.add(b"one", attested=True)
        weak = chain.run.certificate(1, signers=(0, 1))
        good = chain.run.proof(1)
        service.proofs = [type(good)(weak, good.path, FIRST, good.index, good.hash)]
        with pytest.raises(UnprovedAnswer, match="no_quorum"):
            await anext(client.follow_namespace(FIRST))

    async def test_a_block_left_out_is_noticed(self, client, chain, service, monkeypatch):
        for place in range(3):
            chain.add(b"%d" % place, attested=True)
        page = service.namespace_blocks

        async def leave_out(namespace, from_index, *rest):
            return [part for part in await page(namespace, from_index, *rest) if part.delivered.block.index != 1]

        monkeypatch.setattr(service, "namespace_blocks", leave_out)
        with pytest.raises(MalformedAnswer, match="block 1 is expected"):
            await anext(client.follow_namespace(FIRST))

    async def test_a_refusal_is_the_caller_s(self, server):
        async with SequencerClient(server.url) as client:
            with pytest.raises(RequestRefused, match="unknown_namespace"):
                await anext(client.follow_namespace(type(FIRST)(77)))

    async def test_leaving_in_the_middle_closes_the_connection(self, client, chain, server):
        with trio.move_on_after(0.2):
            async with aclosing(client.follow_namespace(FIRST)) as blocks:
                await anext(blocks)
        await until(lambda: len(server._connections) <= 1)


class TestOthers:
    async def test_heads(self, client, service):
        async with aclosing(client.follow_heads([Status.ORDERED])) as heads, trio.open_nursery() as nursery:

            async def tell() -> None:
                await until(lambda: service.listener._heads_count)
                service.listener.note_ordered([block_view(1, Status.ORDERED)], (Seq(1),))

            nursery.start_soon(tell)
            assert await anext(heads) == block_view(1, Status.ORDERED)

    async def test_transactions_until_all_have_come_so_far(self, client, service):
        for hash, status in zip(HASHES, (Status.FINAL, Status.EXPIRED, Status.ATTESTED), strict=True):
            service.statuses[hash] = TransactionStatus(hash, status, height=Height(1))
        async with aclosing(client.follow_transactions(HASHES)) as statuses:
            found = [status async for status in statuses]
        assert {status.hash: status.status for status in found} == {
            HASHES[0]: Status.FINAL,
            HASHES[1]: Status.EXPIRED,
            HASHES[2]: Status.ATTESTED,
        }

    @pytest.mark.parametrize("answer", [b"\x81\x02hi", b"\x82\x02hi", b"\x81\x02{}", b"\xff\xff", b"\x88\x00", b""])
    async def test_whatever_a_server_sends_is_a_client_error(self, answer, monkeypatch):
        monkeypatch.setattr("sequencer.client.subscribing.REOPENING_SECONDS_MAX", 0.0)
        async with lying_node(answer) as url, SequencerClient(url) as client:
            with pytest.raises((MalformedAnswer, NodeUnreachable, NoSubscriptions)):
                await anext(client.follow_heads())

    @pytest.mark.parametrize("frame", [b"\x00\x00", b"\x8a\x00", b"\x00\x01 "])
    async def test_frames_that_bring_nothing_fill_no_turn_of_the_event_loop(self, frame, monkeypatch):
        turn = 0
        taken: Counter[int] = Counter()
        take = WebSocket._next_event

        async def count(socket: WebSocket) -> Event:
            taken[turn] += 1
            return await take(socket)

        monkeypatch.setattr(WebSocket, "_next_event", count)
        async with trio.open_nursery() as nursery:

            async def count_turns() -> None:
                nonlocal turn
                while True:
                    await trio.lowlevel.checkpoint()
                    turn += 1

            nursery.start_soon(count_turns)
            async with lying_node(b"\x01\x00" + frame * 20_000 + b"\x80\x02hi") as url, SequencerClient(url) as client:
                with pytest.raises(MalformedAnswer):
                    await anext(client.follow_heads())
            nursery.cancel_scope.cancel()
        assert sum(taken.values()) >= 20_000
        assert max(taken.values()) <= 10

    @pytest.mark.parametrize(
        "answer", [b"", ANSWER, ANSWER + TOO_SLOW], ids=["closes", "subscribes and closes", "says too slow"]
    )
    async def test_a_node_that_takes_connections_and_brings_nothing_is_left_for_another(
        self, answer, server, chain, committee
    ):
        chain.add(b"one", attested=True)
        async with (
            lying_node(answer) as url,
            SequencerClient([url, server.url], genesis=committee.chain) as client,
            aclosing(client.follow_namespace(FIRST)) as blocks,
        ):
            with trio.fail_after(5):
                assert (await anext(blocks)).transactions == (b"one",)

    async def test_a_subscriber_that_is_only_ever_told_it_is_too_slow_ends(self, monkeypatch):
        monkeypatch.setattr("sequencer.client.subscribing.REOPENING_SECONDS_MAX", 0.2)
        async with lying_node(ANSWER + TOO_SLOW) as url, SequencerClient(url) as client:
            with trio.fail_after(5), pytest.raises(RequestRefused, match="too slow"):
                await anext(client.follow_heads())


@asynccontextmanager
async def lying_node(answer: bytes):
    """What accepts a WebSocket, and sends this whatever it is asked."""

    async def talk(stream: trio.SocketStream) -> None:
        async with stream:
            request = bytes(await stream.receive_some(4_096))
            key = request.lower().partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
            place = request.lower().index(key)
            await stream.send_all(accept(request[place : place + len(key)]) + answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, talk, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def accept(key: bytes) -> bytes:
    """A server's side of the handshake (RFC 6455 §4.2.2)."""
    from wsproto.utilities import generate_accept_token

    return (
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: "
        + generate_accept_token(key)
        + b"\r\n\r\n"
    )
