"""Subscriptions over a real WebSocket: what comes, in which order, and what is refused."""

import pytest
import trio

from consensus.evidence.check import Offence
from consensus.numbers import Hash, Height, Seq, ValidatorIndex
from sequencer.client.evidence_views import EvidenceView
from sequencer.client.status import Status, TransactionStatus
from sequencer.rpc.options import RpcOptions
from sequencer.telemetry import table
from tests.committee import FIRST
from tests.integration.rpc.fake_service import FakeService, block_view
from tests.integration.rpc.web_sockets import GrowingChain, Subscriber, subscriber, until

HASH = Hash(bytes([7]) * 32)


@pytest.fixture
def options() -> RpcOptions:
    return RpcOptions(port=0, request_bytes_max=256 * 1024, batch_calls_max=8, subscriptions_max=4)


@pytest.fixture
def service(committee) -> FakeService:
    service = FakeService(committee)
    service.heights = (0, 0, 0, 0, 0)
    return service


@pytest.fixture
async def socket(server):
    async with subscriber(server) as found:
        yield found


@pytest.fixture
def chain(service, server) -> GrowingChain:
    return GrowingChain(service)


async def parts(socket: Subscriber, count: int) -> list[int]:
    """The indices of the next blocks; proofs between them are passed over."""
    found: list[int] = []
    while len(found) < count:
        item = await socket.item()
        if item["block"] is not None:
            found.append(item["block"]["index"])
    return found


class TestCalls:
    async def test_a_web_socket_answers_as_post_does(self, socket):
        assert (await socket.call("seq_syncStatus"))["result"]["executed_height"] == 0
        assert (await socket.call("seq_nothing"))["error"]["data"]["reason"] == "unknown_method"
        sent = await socket.call("seq_sendTransaction", 1001, "0x01")
        assert sent["result"]["receipt"]["lane"] == 0

    async def test_a_batch_and_a_notification(self, socket):
        await socket.socket.send_message('{"jsonrpc": "2.0", "method": "seq_syncStatus"}')
        await socket.socket.send_message('[{"jsonrpc": "2.0", "id": 5, "method": "seq_listPeers"}]')
        assert [answer["id"] for answer in await socket.receive()] == [5]

    async def test_what_is_not_json_is_answered(self, socket):
        await socket.socket.send_message("{")
        assert (await socket.receive())["error"]["data"]["reason"] == "unparsable"

    async def test_a_call_that_waits_does_not_stop_others(self, socket, service):
        wait = '{"jsonrpc": "2.0", "id": 99, "method": "seq_waitForTransaction", "params": ["0x%s", "final", 60000]}'
        await socket.socket.send_message(wait % HASH.hex())
        assert "result" in await socket.call("seq_syncStatus")

    async def test_subscribing_over_http_is_refused(self, call):
        for method, params in (("seq_subscribe", ["heads"]), ("seq_unsubscribe", ["0x1"])):
            assert (await call(method, params))["error"]["data"]["reason"] == "needs_web_socket"


class TestHeads:
    async def test_ordered_comes_at_once_and_final_behind_it(self, socket, service):
        identity = await socket.subscribe("heads")
        service.blocks[9] = block_view(9)
        service.listener.note_ordered([block_view(9, Status.ORDERED), block_view(10, Status.ORDERED)], (Seq(1),))
        service.listener.note_executed(Height(9))
        found = [await socket.notified() for _ in range(3)]
        assert {notified["subscription"] for notified in found} == {identity}
        told = [(notified["result"]["status"], notified["result"]["height"]) for notified in found]
        assert told == [("ordered", 9), ("ordered", 10), ("final", 9)]

    async def test_only_the_wanted_status(self, socket, service):
        await socket.subscribe("heads", statuses=["final"])
        service.blocks[9] = block_view(9)
        service.listener.note_ordered([block_view(9, Status.ORDERED)], (Seq(1),))
        service.listener.note_executed(Height(9))
        assert (await socket.item())["status"] == "final"

    async def test_no_final_height_is_missed_while_the_feed_begins(self, server, service):
        service.blocks[1], service.blocks[2] = block_view(1), block_view(2)
        with service.listener.heads() as ring:
            service.listener.note_executed(Height(1))
            service.listener.note_executed(Height(2))
            with trio.fail_after(10):
                while ring.next_position < 2:  # noqa: ASYNC110 - what is waited for happens in a thread
                    await trio.sleep(0.001)

    async def test_every_final_height_comes_however_fast(self, socket, service):
        await socket.subscribe("heads", statuses=["final"])
        for height in range(9, 60):
            service.blocks[height] = block_view(height)
            service.listener.note_executed(Height(height))
        assert [(await socket.item())["height"] for _ in range(9, 60)] == list(range(9, 60))


class TestNamespace:
    async def test_old_blocks_and_then_new_ones_without_a_gap(self, socket, chain):
        for place in range(7):
            chain.add(b"old%d" % place)
        await socket.subscribe("namespace", namespace=1001, from_index=2)
        assert await parts(socket, 5) == [2, 3, 4, 5, 6]
        chain.add(b"new")
        chain.add()
        chain.add(b"newer")
        assert await parts(socket, 2) == [7, 8]

    async def test_without_an_index_only_what_is_new(self, socket, chain):
        chain.add(b"old")
        await socket.subscribe("namespace", namespace=1001)
        chain.add(b"new")
        assert await parts(socket, 1) == [1]

    async def test_an_index_that_is_not_reached_yet(self, socket, chain):
        await socket.subscribe("namespace", namespace=1001, from_index=3)
        for place in range(5):
            chain.add(b"%d" % place)
        assert await parts(socket, 2) == [3, 4]

    @pytest.mark.parametrize("seed", range(6))
    async def test_no_gap_and_no_repeat_while_blocks_come(self, socket, chain, service, seed, monkeypatch):
        """Subscribers at every index join while the chain grows, with small rings and small pages."""
        monkeypatch.setattr("sequencer.rpc.namespace_subscription.SUBSCRIPTION_PAGE_BLOCKS", 1 + seed % 3)
        for place in range(4):
            chain.add(b"old%d" % place, attested=place % 2 == 0)
        found = {await socket.subscribe("namespace", namespace=1001, from_index=0, proofs=True): 0}
        async with trio.open_nursery() as nursery:

            async def grow() -> None:
                for place in range(20):
                    chain.add(b"%d" % place, b"x" * (place * 1_000), attested=place % 3 == seed % 3)
                    for _ in range(seed):
                        await trio.lowlevel.checkpoint()
                    if place % 5 == 0:
                        await trio.to_thread.run_sync(lambda: None)
                chain.add(attested=True)

            nursery.start_soon(grow)
            for place in range(3):
                index = 2 + 3 * place
                identity = await socket.subscribe("namespace", namespace=1001, from_index=index, proofs=True)
                found[identity] = index
            proved = dict.fromkeys(found, -1)
            while min(proved.values()) < 23:
                notified = await socket.notified()
                identity, item = notified["subscription"], notified["result"]
                if item["block"] is not None:
                    assert item["block"]["index"] == found[identity]
                    found[identity] += 1
                else:
                    index = item["proof"]["leaf"]["index"]
                    assert proved[identity] < index < found[identity]
                    proved[identity] = index
        assert set(found.values()) == {24}

    async def test_a_proof_comes_behind_its_block_also_where_nothing_new_comes(self, socket, chain):
        chain.add(b"one")
        chain.add(b"two")
        await socket.subscribe("namespace", namespace=1001, from_index=0, proofs=True)
        assert await parts(socket, 2) == [0, 1]
        chain.add(attested=True)
        assert (await socket.item())["proof"]["leaf"]["index"] == 1
        await socket.subscribe("namespace", namespace=1001, from_index=1, proofs=True)
        assert [(await socket.item())["block"] is None for _ in range(2)] == [False, True]

    async def test_a_block_larger_than_a_page_comes_in_parts(self, socket, chain):
        lanes = [chain.run.data(lane, bytes([lane]) * 50_000, bytes([lane]) * 60_000) for lane in range(4)]
        chain.run.block(5, {lane: batches for data in lanes for lane, batches in data.items()})
        chain._ts_ms = 5
        chain.add(b"behind")
        await socket.subscribe("namespace", namespace=1001, from_index=0)
        first, second, third = [(await socket.item())["block"] for _ in range(3)]
        assert (first["index"], first["first_run"], first["run_count"]) == (0, 0, 4)
        assert (second["index"], second["first_run"]) == (0, len(first["sections"][0]["runs"]))
        assert (third["index"], third["first_run"]) == (1, 0)

    async def test_what_is_pruned_is_told(self, socket, chain, service, monkeypatch):
        from sequencer.rpc.errors import RequestRefused

        async def refuse(*_arguments):
            raise RequestRefused("pruned")

        chain.add(b"one")
        monkeypatch.setattr(service, "namespace_blocks", refuse)
        await socket.subscribe("namespace", namespace=1001, from_index=0)
        notified = await socket.notified()
        assert notified["error"]["data"] == {"reason": "pruned", "resume": {"from_index": 0}}
        assert "result" in await socket.call("seq_syncStatus")
        assert (await socket.call("seq_unsubscribe", "0x1"))["error"]["data"]["reason"] == "unknown_subscription"


class TestTransactions:
    async def test_a_hash_up_the_ladder(self, socket, service):
        moved = [trio.Event() for _ in range(3)]
        rungs = [Status.RECEIVED, Status.ORDERED, Status.FINAL, Status.SETTLED]

        async def wait(hash, status, timeout_ms, place):
            assert status is rungs[rungs.index(service.status(hash).status) + 1] or status is Status.ATTESTED
            await moved[rungs.index(service.status(hash).status)].wait()
            return service.status(hash)

        service.wait = wait
        service.statuses[HASH] = TransactionStatus(HASH, Status.RECEIVED)
        await socket.subscribe("transactions", hashes=["0x" + HASH.hex()])
        assert (await socket.item())["status"] == "received"
        for event, rung in zip(moved, rungs[1:], strict=True):
            service.statuses[HASH] = TransactionStatus(HASH, rung)
            event.set()
            assert (await socket.item())["status"] == rung.value
        assert "result" in await socket.call("seq_unsubscribe", "0x1")

    async def test_an_unknown_one_is_told_as_soon_as_it_is_known(self, socket, service):
        await socket.subscribe("transactions", hashes=["0x" + HASH.hex()])
        assert (await socket.item())["status"] == "unknown"
        service.statuses[HASH] = TransactionStatus(HASH, Status.EXPIRED)
        assert (await socket.item())["status"] == "expired"

    async def test_a_namespace(self, socket, chain, service):
        await socket.subscribe("transactions", namespace=1001)
        service.listener.note_ordered([block_view(9, Status.ORDERED)], (Seq(4), Seq(2)))
        item = await socket.item()
        assert item == {"namespace": 1001, "status": "ordered", "height": 9, "index": None, "ends": [4, 2]}
        service.delivered[FIRST] = [None]
        service.listener.note_executed(Height(9))
        item = await socket.item()
        assert (item["status"], item["height"], item["index"]) == ("final", 9, 0)
        service.listener.note_executed(Height(10))  # without a block of the namespace
        told = []
        service.listener.note_attested(Height(9))
        told.append(await socket.item())
        service.listener.note_attested(Height(10))  # says nothing new of the namespace
        service.listener.note_l1(Height(10), Height(0))
        told.append(await socket.item())
        service.listener.note_l1(Height(10), Height(9))
        told.append(await socket.item())
        assert [(item["status"], item["height"]) for item in told] == [("attested", 9), ("posted", 10), ("settled", 9)]


class TestEvidence:
    async def test_a_proof_that_is_kept(self, socket, service):
        await socket.subscribe("evidence")
        offence = Offence(3, ValidatorIndex(2), 17)
        service.listener.note_evidence(EvidenceView(offence, b"proof"))
        item = await socket.item()
        assert (item["rule"], item["validator"], item["place"]) == ("E3", 2, 17)


class TestBounds:
    @pytest.mark.parametrize(
        ("kind", "wanted", "reason"),
        [
            ("headz", {}, "malformed"),
            ("heads", {"statuses": []}, "malformed"),
            ("heads", {"statuses": ["attested"]}, "malformed"),
            ("heads", {"statuses": ["final", "final"]}, "malformed"),
            ("heads", {"statuses": {"final": 1}}, "malformed"),
            ("heads", {"status": "final"}, "malformed"),
            ("heads", [], "malformed"),
            ("evidence", {"after": "0x"}, "malformed"),
            ("namespace", {}, "malformed"),
            ("namespace", {"namespace": 77}, "unknown_namespace"),
            ("namespace", {"namespace": 1001, "from_index": -1}, "malformed"),
            ("namespace", {"namespace": 1001, "proofs": 1}, "malformed"),
            ("transactions", {}, "malformed"),
            ("transactions", {"hashes": []}, "malformed"),
            ("transactions", {"hashes": ["0x00"]}, "malformed"),
            ("transactions", {"hashes": ["0x" + "00" * 32] * 257}, "oversized"),
            ("transactions", {"hashes": ["0x" + "00" * 32], "namespace": 1001}, "malformed"),
        ],
    )
    async def test_a_bad_filter_is_refused_as_any_call(self, socket, kind, wanted, reason):
        error = (await socket.call("seq_subscribe", kind, wanted))["error"]
        assert error["data"]["reason"] == reason
        assert set(error) == {"code", "message", "data"}

    async def test_no_more_subscriptions_than_allowed(self, socket, metrics):
        last = [await socket.subscribe("heads") for _ in range(4)][-1]
        refused = await socket.call("seq_subscribe", "heads")
        assert refused["error"]["data"]["reason"] == "too_many_subscriptions"
        assert metrics.value(table.RPC_SUBSCRIPTIONS, "heads") == 4
        assert (await socket.call("seq_unsubscribe", last))["result"] is True
        await socket.subscribe("heads")

    async def test_hashes_are_bounded_over_all_clients(self, server, service, monkeypatch):
        monkeypatch.setattr("sequencer.rpc.context.HASHES_FOLLOWED_MAX", 600)  # one client may have half
        many = ["0x" + place.to_bytes(32, "big").hex() for place in range(200)]
        # The bound is read when the server starts: one of its own.
        from sequencer.telemetry.metrics import Metrics
        from tests.integration.rpc.conftest import running

        async with running(service, RpcOptions(port=0), Metrics("test")) as other, subscriber(other) as first:
            one = await first.subscribe("transactions", hashes=many)
            async with subscriber(other) as second:
                refused = await second.call("seq_subscribe", "transactions", {"hashes": many})
                assert refused["error"]["data"]["reason"] == "overloaded"
                await first.call("seq_unsubscribe", one)
                await second.subscribe("transactions", hashes=many)

    async def test_nothing_comes_after_unsubscribing(self, socket, service):
        identity = await socket.subscribe("heads")
        other = await socket.subscribe("heads")
        assert identity != other
        assert (await socket.call("seq_unsubscribe", identity))["result"] is True
        service.listener.note_ordered([block_view(9, Status.ORDERED)], (Seq(1),))
        assert (await socket.notified())["subscription"] == other
        again = await socket.call("seq_unsubscribe", identity)
        assert again["error"]["data"]["reason"] == "unknown_subscription"

    async def test_another_s_subscription_cannot_be_ended(self, server, socket):
        identity = await socket.subscribe("heads")
        async with subscriber(server) as other:
            refused = await other.call("seq_unsubscribe", identity)
            assert refused["error"]["data"]["reason"] == "unknown_subscription"

    async def test_what_a_client_leaves_behind_is_forgotten(self, server, service, metrics):
        async with subscriber(server) as one:
            await one.subscribe("namespace", namespace=1001)
            await one.subscribe("heads")
            assert metrics.value(table.RPC_WEB_SOCKETS) == 1
        await until(lambda: not metrics.value(table.RPC_WEB_SOCKETS))
        assert metrics.value(table.RPC_SUBSCRIPTIONS, "heads") == 0
        assert service.listener._namespaces == {}
        assert service.listener._heads_count == 0

    async def test_an_unexpected_fault_ends_one_subscription(self, socket, service, monkeypatch):
        def fail(*_):
            raise RuntimeError("a fault")

        monkeypatch.setattr(service, "status", fail)
        await socket.subscribe("transactions", hashes=["0x" + HASH.hex()])
        assert (await socket.notified())["error"]["data"]["reason"] == "internal"
        assert "result" in await socket.call("seq_syncStatus")
