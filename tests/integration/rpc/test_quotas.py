"""Quotas through real HTTP, with the node's own front door behind it; only the lane is a stand-in, and the clock."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from consensus.clock import Now
from consensus.genesis import Genesis
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import GENESIS_EPOCH, Digest, Hash, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.batch import KIND_OPEN, Batch, Items, frame_items
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.client import SequencerClient
from sequencer.client.errors import RequestRefused
from sequencer.client.namespace_views import NamespaceView
from sequencer.client.submission import SubmitOutcome
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.seal import OwnLane
from sequencer.node.failpoints import Failpoints
from sequencer.node.submissions import KNOWN_RECEIPTS_MAX, Submissions
from sequencer.rpc.listening import Server
from sequencer.rpc.options import RpcOptions
from sequencer.rpc.server import serve
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from tests.committee import FIRST, GENESIS_MS, SECOND, Committee
from tests.integration.rpc.fake_service import FakeService

PATH = f"/v1/namespaces/{FIRST}/transactions"
BINARY = {"content-type": "application/octet-stream"}


class Lane:
    """Holds every batch at once, and has it committed."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.has_forked = False

    def own_next(self) -> tuple[Seq, Digest]:
        last = self.batches[-1].digest if self.batches else Digest(bytes(32))
        return Seq(len(self.batches) + 1), last

    def own_lane(self) -> OwnLane:
        return OwnLane(0, is_syncing=False)

    def is_forked(self, lane: ValidatorIndex) -> bool:
        return self.has_forked

    async def hold_own(self, batch: Batch, puts: Any) -> None:
        self.batches.append(batch)
        await trio.lowlevel.checkpoint()


class FrontDoor(FakeService):
    """The service with real submissions."""

    def __init__(self, committee: Committee, chain: Genesis, bounds: MempoolBounds, metrics: Metrics) -> None:
        super().__init__(committee)
        self.chain = chain
        self.lane, self._key = Lane(), committee.node_keys[0]
        self.submissions = Submissions(
            chain=chain,
            index=ValidatorIndex(0),
            key=committee.node_keys[0],
            bounds=bounds,
            lanes=self.lane,  # type: ignore[arg-type]
            first_receipts=self.first_receipts,
            metrics=metrics,
            failpoints=Failpoints(()),
        )
        self.submissions.is_accepting = True

    def first_receipts(self, hashes: Sequence[Hash]) -> dict[Hash, Receipt]:
        """A made-up receipt for each."""
        place = (self.chain.chain_id, GENESIS_EPOCH, ValidatorIndex(0), Seq(1), Digest(bytes(32)), Milliseconds(1))
        items = {tx_hash: ReceiptItem(FIRST, KIND_OPEN, tx_hash, 0) for tx_hash in hashes}
        return {tx_hash: Receipt(*place, (item,)).sign(self.chain, self._key) for tx_hash, item in items.items()}

    async def submit(self, namespace: Any, items: Items, client: str = "") -> SubmitOutcome:
        return await self.submissions.submit(namespace, items, client)

    async def namespaces(self, from_id: Any, count: int) -> list[NamespaceView]:
        views = await super().namespaces(from_id, count)
        return [replace(view, load=self.submissions.load(view)) for view in views]


class Clock:
    """The node's; it stands still until a test moves it."""

    mono_ms = 0.0

    def read_now(self) -> Now:
        return Now(Milliseconds(GENESIS_MS + int(self.mono_ms)), self.mono_ms)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("sequencer.node.submissions.read_now", found.read_now)
    return found


@asynccontextmanager
async def running(
    committee: Committee, metrics: Metrics, bounds: MempoolBounds, **terms: int
) -> AsyncIterator[tuple[FrontDoor, str]]:
    first, second = committee.chain.namespaces
    chain = replace(committee.chain, namespaces=(replace(first, terms=NamespaceTerms(**terms)), second)).check()
    door = FrontDoor(committee, chain, bounds, metrics)
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(partial(serve, door, RpcOptions(port=0), metrics))
        nursery.start_soon(door.submissions.run_sealing)
        yield door, server.url
        nursery.cancel_scope.cancel()


def items(first: int, count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(first, first + count)]


async def test_a_used_up_quota_is_429_with_the_time_after_which_it_is_open_again(committee, metrics, clock) -> None:
    async with (
        running(committee, metrics, MempoolBounds(batch_delay_min_ms=0), tx_per_s=100) as (_, url),
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
    ):
        assert (await http.post(PATH, content=frame_items(items(0, 200)), headers=BINARY)).status_code == 200
        refused = await http.post(PATH, content=frame_items(items(200, 1_024)), headers=BINARY)
        assert refused.status_code == 429
        data = refused.json()["error"]["data"]
        assert data == {"reason": "quota", "retry_after_ms": 1_361}  # 200 taken, 64 at once, a hundred a second
        assert refused.headers["retry-after"] == "2"
        other = await http.post(f"/v1/namespaces/{SECOND}/transactions", content=frame_items([b"a"]), headers=BINARY)
        assert other.status_code == 200
        clock.mono_ms += data["retry_after_ms"] - 1
        assert (await http.post(PATH, content=frame_items([b"b"]), headers=BINARY)).status_code == 429
        clock.mono_ms += 1
        assert (await http.post(PATH, content=frame_items([b"b"]), headers=BINARY)).status_code == 200
    assert metrics.value(table.MEMPOOL_REFUSED, str(FIRST), "quota") == 1_025
    assert metrics.value(table.RPC_REQUESTS, "fast_door", "quota") == 2


async def test_json_rpc_and_the_client_library_say_the_same(committee, metrics, clock) -> None:
    async with (
        running(committee, metrics, MempoolBounds(client_tx_per_s=10, batch_delay_min_ms=0)) as (_, url),
        SequencerClient(url) as client,
    ):
        await client.send_many(FIRST, items(0, 100))
        for send in (
            client.send(FIRST, b"a"),
            client.send_many(SECOND, [b"a"]),
            client.send_transactions(FIRST, [b"a"]),
        ):
            with pytest.raises(RequestRefused) as refused:
                await send
            assert (refused.value.code, refused.value.reason) == (-32011, "client_quota")
            assert refused.value.retry_after_ms == 3_601
        clock.mono_ms += 3_601
        await client.send(FIRST, b"a")


async def test_the_list_of_namespaces_tells_what_happened(committee, metrics, clock) -> None:
    async with (
        running(committee, metrics, MempoolBounds(batch_delay_min_ms=0), tx_per_s=100, share_permille=250) as (_, url),
        SequencerClient(url) as client,
    ):
        await client.send_many(FIRST, items(0, 150))
        with pytest.raises(RequestRefused):
            await client.send_many(FIRST, items(150, 7))
        first, second = await client.namespaces()
    assert first.terms == NamespaceTerms(tx_per_s=100, share_permille=250)
    assert first.load is not None
    assert (first.load.queued_tx, first.load.oldest_waiting_ms, first.load.refused) == (0, 0, {"quota": 7})
    assert (first.load.admitted_tx_per_s, first.load.sealed_tx_per_s) == (75, 75)
    assert (first.load.quota_used_permille, first.load.sealed_share_permille) == (750, 1_000)
    assert second.load is not None
    assert (second.load.sealed_share_permille, second.load.refused) == (0, {})


async def test_a_request_that_repeats_one_transaction_is_not_answered_with_a_receipt_for_each(
    committee, metrics, clock
) -> None:
    async with (
        running(committee, metrics, MempoolBounds(batch_delay_min_ms=0)) as (door, url),
        SequencerClient(url) as client,
    ):
        outcome = await client.send_many(FIRST, [b"the same"] * (2 * KNOWN_RECEIPTS_MAX))
        assert len(door.lane.batches) == 1
        assert {entry.reason for entry in outcome.refused} == {"known"}
        assert len(outcome.refused) == 2 * KNOWN_RECEIPTS_MAX - 1
        assert sum(entry.first_receipt is not None for entry in outcome.refused) == KNOWN_RECEIPTS_MAX


async def test_a_validator_whose_lane_is_forked_takes_nothing(committee, metrics) -> None:
    """Nobody would list what it seals: a receipt would be a promise that cannot hold."""
    async with running(committee, metrics, MempoolBounds()) as (door, url), SequencerClient(url) as client:
        door.lane.has_forked = True
        with pytest.raises(RequestRefused) as refused:
            await client.send_many(FIRST, items(0, 2))
    assert refused.value.reason == "lane_forked"
    assert door.lane.batches == []
