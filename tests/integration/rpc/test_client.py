"""The client library against real servers, honest, dead and lying."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial

import pytest
import trio

from consensus.numbers import GENESIS_EPOCH, Hash, Height, Milliseconds, NamespaceId
from consensus.vocabulary.batch import KIND_OPEN, transaction_id
from sequencer.client.client import SequencerClient
from sequencer.client.errors import (
    MalformedAnswer,
    NodeUnreachable,
    OutcomeUnknown,
    RequestRefused,
    StatusNotReached,
    UnprovedAnswer,
)
from sequencer.client.status import LanePlace, Status, TransactionStatus
from sequencer.client.submission import encode_outcome
from sequencer.rpc.listening import Server, serve_application
from sequencer.rpc.options import RpcOptions
from sequencer.telemetry.metrics import Metrics
from tests.chain_run import ChainRun
from tests.committee import ATTEST_MS, FIRST
from tests.integration.rpc.conftest import running
from tests.integration.rpc.fake_service import FakeService, block_view

DEAD = "http://127.0.0.1:1"  # nobody listens on it without privileges


@pytest.fixture
async def client(server, committee) -> AsyncIterator[SequencerClient]:
    async with SequencerClient(server.url, genesis=committee.chain) as client:
        yield client


@asynccontextmanager
async def answering(status: int, body: bytes, content_type: bytes = b"application/json") -> AsyncIterator[Server]:
    """A server that answers the same to everything."""

    async def answer(_scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async with trio.open_nursery() as nursery:
        yield await nursery.start(partial(serve_application, answer, "127.0.0.1", 0))
        nursery.cancel_scope.cancel()


class TestMethods:
    async def test_one_transaction(self, client, service):
        receipt = await client.send(FIRST, b"one")
        assert receipt.items[0].hash == transaction_id(FIRST, KIND_OPEN, b"one")
        assert service.submitted == [(FIRST, b"one")]

    async def test_many_transactions_through_either_door(self, client, service):
        service.room = 3
        through_json = await client.send_transactions(FIRST, [b"a", b"", b"b"])
        through_fast_door = await client.send_many(FIRST, [b"c", b"", b"d", b"a"])
        assert [entry.reason for entry in through_json.refused] == ["empty"]
        assert [entry.reason for entry in through_fast_door.refused] == ["empty", "full", "known"]
        assert through_fast_door.refused[2].first_receipt == through_json.receipts[0]
        assert through_fast_door.hashes[0] == through_fast_door.receipts[0].items[0].hash

    async def test_a_namespace_above_the_numbers_of_json(self, client):
        for send in (client.send_many(NamespaceId(2**63), [b"a"]), client.send(NamespaceId(2**63), b"a")):
            with pytest.raises(RequestRefused, match="unknown_namespace"):
                await send

    async def test_refusals_are_typed(self, client, service):
        service.room = 0
        with pytest.raises(RequestRefused) as refused:
            await client.send(FIRST, b"one")
        assert (refused.value.code, refused.value.reason, refused.value.retry_after_ms) == (-32011, "full", 1_500)
        service.full = "quota"
        with pytest.raises(RequestRefused) as refused:
            await client.send_many(FIRST, [b"one"])
        assert (refused.value.code, refused.value.reason, refused.value.retry_after_ms) == (-32011, "quota", 1_500)
        with pytest.raises(RequestRefused, match="unknown_method"):
            await client.call("seq_nothing")

    async def test_a_known_transaction_comes_with_its_first_receipt(self, client):
        receipt = await client.send(FIRST, b"one")
        with pytest.raises(RequestRefused) as refused:
            await client.send(FIRST, b"one")
        assert refused.value.first_receipt == receipt

    async def test_a_receipt_is_shown_to_a_node_that_does_not_know_the_hash(self, client, service, monkeypatch):
        receipt = await client.send(FIRST, b"one")
        shown = []

        def status(hash: Hash, place: LanePlace | None) -> TransactionStatus:
            shown.append(place)
            return TransactionStatus(hash, Status.RECEIVED, author_away_since_ms=Milliseconds(7))

        monkeypatch.setattr(service, "status", status)
        found = await client.status(receipt.items[0].hash, receipt)
        assert found.author_away_since_ms == 7
        assert (await client.wait(receipt.items[0].hash, Status.RECEIVED, receipt=receipt)).status is Status.RECEIVED
        assert set(shown) == {LanePlace(receipt.lane, receipt.seq, receipt.batch)}

    async def test_copies_need_a_node_each(self, client):
        with pytest.raises(ValueError, match="as many nodes"):
            await client.send_copies(FIRST, b"one", 2)
        (receipt,) = (await client.send_copies(FIRST, b"one", 1)).receipts
        assert (await client.send_copies(FIRST, b"one", 1)).receipts == (receipt,)  # known: the first one again
        with pytest.raises(RequestRefused, match="empty"):
            await client.send_copies(FIRST, b"", 1)

    async def test_status_and_waiting(self, client, service):
        receipt = await client.send(FIRST, b"one")
        hash = receipt.items[0].hash
        assert (await client.status(hash)).receipt == receipt
        assert (await client.wait(hash, Status.RECEIVED)).status is Status.RECEIVED
        with pytest.raises(StatusNotReached, match="received, not final"):
            await client.wait(hash, Status.FINAL, timeout_s=0.01)
        service.statuses[hash] = TransactionStatus(hash, Status.REFUSED, reason="lane_closed")
        with pytest.raises(StatusNotReached, match="refused, not attested, reason lane_closed"):
            await client.wait(hash, Status.ATTESTED)

    async def test_a_wait_may_be_longer_than_one_request(self, client, service, monkeypatch):
        monkeypatch.setattr("sequencer.client.client._WAIT_ROUND_S", 0.01)
        rounds = []

        async def wait(hash: Hash, _status: Status, _timeout_ms: int, _place: object) -> TransactionStatus:
            rounds.append(hash)
            return TransactionStatus(hash, Status.FINAL if len(rounds) == 3 else Status.UNKNOWN)

        monkeypatch.setattr(service, "wait", wait)
        assert (await client.wait(Hash(bytes(32)))).status is Status.FINAL
        assert len(rounds) == 3

    async def test_blocks_namespaces_validators_peers_and_progress(self, client, service, committee):
        service.blocks = {"final": block_view(8), 8: block_view(8)}
        assert await client.block("final") == await client.block(Height(8)) == block_view(8)
        assert await client.block("attested") is None
        assert [entry.id for entry in await client.namespaces()] == [1001, 1002]
        assert await client.validators() == committee.chain.validators
        assert await client.validators(type(GENESIS_EPOCH)(1)) is None
        assert await client.peers() == list(service.peers())
        assert await client.sync_status() == service.sync_status()
        service.not_ready = ["no_quorum"]
        assert await client.readiness() == ["no_quorum"]


class TestChain:
    async def test_a_chain_id_is_enough_to_verify(self, server, committee):
        async with SequencerClient(server.url, chain_id=committee.chain.chain_id) as client:
            assert client.verifies
            assert await client.chain() == committee.chain

    async def test_a_node_of_another_chain_is_noticed(self, server):
        async with SequencerClient(server.url, chain_id=bytes(32)) as client:
            with pytest.raises(UnprovedAnswer, match="wrong_chain"):
                await client.send(FIRST, b"one")

    async def test_a_client_that_was_told_nothing_verifies_nothing(self, server, committee):
        async with SequencerClient(server.url) as client:
            assert not client.verifies
            assert await client.chain() == committee.chain


class TestSeveralNodes:
    @pytest.mark.parametrize("way", ["send", "send_many", "status"])
    async def test_a_dead_node_is_passed_over(self, server, service, way):
        async with SequencerClient([DEAD, server.url]) as client:
            match way:
                case "send":
                    await client.send(FIRST, b"one")
                case "send_many":
                    await client.send_many(FIRST, [b"one"])
                case _:
                    await client.status(Hash(bytes(32)))
            assert client.transport._urls[0] == server.url  # asked first from now on

    @pytest.mark.parametrize("attribute", ["accepting", "is_validator"])
    async def test_a_node_that_takes_nothing_is_passed_over(self, server, service, committee, attribute):
        setattr(service, attribute, False)
        other = FakeService(committee)
        async with (
            running(other, RpcOptions(port=0), Metrics("test")) as second,
            SequencerClient([server.url, second.url]) as client,
        ):
            await client.send(FIRST, b"one")
            await client.send_many(FIRST, [b"two"])
            setattr(other, attribute, False)
            with pytest.raises(RequestRefused, match="not_"):
                await client.send(FIRST, b"three")
        assert [item for _, item in other.submitted] == [b"one", b"two"]

    async def test_no_node_at_all(self):
        async with SequencerClient([DEAD, DEAD + "/"]) as client:
            with pytest.raises(NodeUnreachable, match="127"):
                await client.sync_status()
            with pytest.raises(NodeUnreachable):
                await client.send(FIRST, b"one")
        with pytest.raises(ValueError, match="address"):
            SequencerClient([])

    async def test_a_submission_without_an_answer_is_not_sent_again(self, server, service):
        """The first node takes the connection and the request, and then dies."""
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        first = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"

        async def die(stream: trio.SocketStream) -> None:
            await stream.receive_some()
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, die, [listener])
            async with SequencerClient([first, server.url]) as client:
                with pytest.raises(OutcomeUnknown):
                    await client.send(FIRST, b"one")
                with pytest.raises(OutcomeUnknown):
                    await client.send_many(FIRST, [b"one"])
                assert service.submitted == []
                assert (await client.status(Hash(bytes(32)))).status is Status.UNKNOWN  # a question may be repeated
            nursery.cancel_scope.cancel()

    async def test_a_node_that_does_not_answer_in_time(self, service, server):
        service.sealed = trio.Event()
        async with SequencerClient(server.url, timeout_s=0.05) as client:
            with pytest.raises(OutcomeUnknown):
                await client.send(FIRST, b"one")


class TestLies:
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (200, b""),
            (200, b"<html>"),
            (200, b"\xff"),
            (200, b"[" * 100_000),
            (200, b"[]"),
            (200, b"{}"),
            (200, b'{"jsonrpc":"2.0","id":1}'),
            (200, b'{"jsonrpc":"2.0","id":2,"result":{}}'),
            (200, b'{"jsonrpc":"2.0","id":true,"result":{}}'),
            (200, b'{"jsonrpc":"2.0","id":1,"result":{}}'),
            (200, b'{"jsonrpc":"2.0","id":1,"result":null}'),
            (200, b'{"jsonrpc":"2.0","id":1,"error":null}'),
            (200, b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":""}}'),
            (500, b"oops"),
            (302, b""),
        ],
    )
    async def test_an_answer_of_another_form_is_malformed(self, status, body):
        async with answering(status, body) as liar:
            for ask in ("sync_status", "chain", "namespaces", "peers"):
                async with SequencerClient(liar.url) as client:
                    with pytest.raises(MalformedAnswer):
                        await getattr(client, ask)()
            async with SequencerClient(liar.url) as client:
                with pytest.raises(MalformedAnswer):
                    await client.send(FIRST, b"one")
                with pytest.raises(MalformedAnswer):
                    await client.send_many(FIRST, [b"one"])

    async def test_an_answer_without_end_is_refused(self, monkeypatch):
        monkeypatch.setattr("sequencer.client.transport.ANSWER_BYTES_MAX", 1_000)
        async with answering(200, bytes(1_001)) as liar, SequencerClient(liar.url) as client:
            with pytest.raises(MalformedAnswer, match="1000 bytes"):
                await client.sync_status()

    async def test_an_outcome_that_leaves_a_transaction_out_is_malformed(self, service):
        receipt = (await service.submit(FIRST, [b"one"])).receipts[0]
        body = encode_outcome([receipt], [])
        async with answering(200, body, b"application/octet-stream") as liar, SequencerClient(liar.url) as client:
            assert (await client.send_many(FIRST, [b"one"])).receipts == (receipt,)
            for items in ([b"one", b"two"], [b"two"], []):
                with pytest.raises(MalformedAnswer, match="account"):
                    await client.send_many(FIRST, items)

    async def test_a_forged_receipt_is_noticed(self, service, committee):
        receipt = (await service.submit(FIRST, [b"one"])).receipts[0]
        forged = receipt.encode()[:-2] + bytes(2)
        body = b"\x01\0\0\0\x01" + forged + b"\0\0\0\0"
        async with (
            answering(200, body, b"application/octet-stream") as liar,
            SequencerClient(liar.url, genesis=committee.chain) as client,
        ):
            with pytest.raises(UnprovedAnswer, match="bad_signature"):
                await client.send_many(FIRST, [b"one"])


class TestFollowing:
    @pytest.fixture
    def run(self, committee) -> ChainRun:
        run = ChainRun(committee)
        for place in range(3):
            run.block((place + 1) * ATTEST_MS, run.data(0, b"transaction %d" % place, bytes(60_000)))
        return run

    @pytest.fixture
    def service(self, committee, run) -> FakeService:
        service = FakeService(committee)
        deliver(service, run)
        return service

    async def test_proofs_and_attestations_are_verified(self, client, run):
        proof = await client.namespace_proof(FIRST)
        assert proof == run.proof(3)
        assert await client.namespace_proof(FIRST, Height(1)) == run.proof(1)
        assert await client.attestation(Height(2)) == run.certificate(2)
        assert await client.attestation() == run.certificate(3)

    async def test_a_proof_that_does_not_hold_is_noticed(self, client, service, run, committee):
        weak = run.certificate(3, signers=(0, 1))
        service.proofs = [type(run.proof(3))(weak, run.proof(3).path, FIRST, run.proof(3).index, run.proof(3).hash)]
        for ask in (client.namespace_proof(FIRST), client.attestation()):
            with pytest.raises(UnprovedAnswer, match="no_quorum"):
                await ask

    async def test_a_proof_of_something_else_is_noticed(self, client, service, run, monkeypatch):
        async def first(*_arguments):
            return run.proof(1)

        monkeypatch.setattr(service, "namespace_proof", first)
        monkeypatch.setattr(service, "attestation", lambda _: run.certificate(1))
        assert await client.namespace_proof(FIRST, Height(1)) == run.proof(1)
        with pytest.raises(UnprovedAnswer, match="wrong_namespace"):
            await client.namespace_proof(NamespaceId(FIRST + 1))
        for ask in (client.namespace_proof(FIRST, Height(2)), client.attestation(Height(2))):
            with pytest.raises(UnprovedAnswer, match="not_covered"):
                await ask

    @pytest.mark.parametrize("page_bytes", [1024 * 1024, 70_000, 1])
    @pytest.mark.parametrize("is_pushed", [True, False])
    async def test_blocks_are_followed_with_proof_page_by_page(
        self, client, service, run, monkeypatch, page_bytes, is_pushed
    ):
        if is_pushed:
            for place in ("namespace_feed", "namespace_subscription"):
                monkeypatch.setattr(f"sequencer.rpc.{place}.SUBSCRIPTION_PAGE_BYTES", page_bytes)
        else:
            monkeypatch.setattr("sequencer.rpc.methods.namespaces.PAGE_BYTES_MAX", page_bytes)
            monkeypatch.setattr("sequencer.client.web_socket.PATH", "/nowhere")
        transactions = []
        async with aclosing(client.follow_namespace(FIRST)) as blocks:
            async for block in blocks:
                assert block.proved
                transactions.append(block.transactions[0])
                if block.block.index == 2:  # a block larger than any page so far
                    batches = {
                        lane: run.data(lane, b"lane %d" % lane, bytes([lane]) * 60_000)[lane] for lane in range(4)
                    }
                    run.block(4 * ATTEST_MS, batches)
                    deliver(service, run)
                if block.block.index == 3:
                    assert len(block.transactions) == 8
                    break
        assert transactions[:3] == [b"transaction 0", b"transaction 1", b"transaction 2"]

    async def test_a_lying_node_is_left_for_the_next_one(self, server, service, run, committee):
        liar = FakeService(committee)
        deliver(liar, run)
        liar.delivered[FIRST] = [run.delivered(1), run.delivered(1), run.delivered(2)]
        async with running(liar, RpcOptions(port=0), Metrics("test")) as first:
            async with SequencerClient([first.url, server.url], genesis=committee.chain) as client:
                async with aclosing(client.follow_namespace(FIRST)) as blocks:
                    assert (await anext(blocks)).block.index == 0
                assert client.transport._urls[0] == server.url
            async with SequencerClient(first.url, genesis=committee.chain) as client:
                with pytest.raises(MalformedAnswer):
                    await anext(client.follow_namespace(FIRST))


def deliver(service: FakeService, run: ChainRun) -> None:
    service.delivered = {FIRST: [run.delivered(index) for index in range(len(run.executed[FIRST]))]}
    service.proofs = [run.proof(height) for height in sorted(run.attestations)]
    height, attested = run.state.height, Height(max(run.attestations, default=0))
    service.heights = (height, height, height, attested, height)
    if service.listener is not None:
        service.listener.note_executed(height)
        service.listener.note_attested(attested)
