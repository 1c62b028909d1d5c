"""Attacks on the L1 follower: endpoints that fail halfway, lag, lie, or do not finalize."""

import pytest
import trio

from consensus.numbers import BlockId, Hash, Height, ValidatorIndex
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch, make_batch_certificate
from sequencer.l1.errors import L1Unreachable
from sequencer.l1.inbox import CommittedBatch, InboxHead
from sequencer.l1.shapes import L1Block
from sequencer.node import l1_follower
from sequencer.node.l1_follower import L1Follower
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from tests.committee import Committee

COMMITTEE = Committee()
CHAIN = COMMITTEE.chain
INBOX = b"\x1b" * 20


def block_hash(number, fork=0):
    return fork.to_bytes(4, "big") + (number % 2**64).to_bytes(28, "big")


class FakeL1:
    """An endpoint. `failing` holds how many more `block(number)` calls with a number succeed, or None."""

    def __init__(self):
        self.looks = 0
        self.latest = 0
        self.finalized = 0
        self.forks = {}
        self.batches = []
        self.hidden = set()
        self.fail_blocks = set()
        self.fail_logs = set()

    def _block(self, number):
        return L1Block(number, block_hash(number, self.forks.get(number, 0)), bytes(32), 0, 7)

    async def block(self, block):
        await trio.lowlevel.checkpoint()
        if block == "latest":
            self.looks += 1
            return self._block(self.latest)
        if block == "finalized":
            return self._block(self.finalized)
        if block in self.fail_blocks:
            self.fail_blocks.discard(block)
            raise L1Unreachable("away")
        return self._block(block) if block <= self.latest else None

    async def is_syncing(self):
        await trio.lowlevel.checkpoint()
        return False

    async def require_chain(self, chain):
        await trio.lowlevel.checkpoint()

    async def head(self):
        await trio.lowlevel.checkpoint()
        batches = [b for b in self.batches if b.block_number <= self.latest]
        if not batches:
            return InboxHead(1, 1, CHAIN.chain_id, 1)
        batch = batches[-1].certificate.batch
        return InboxHead(batch.index + 1, batch.last + 1, batch.hash(CHAIN.domain), batches[-1].block_number)

    async def first_block(self):
        return 1

    async def committed(self, first, last):
        await trio.lowlevel.checkpoint()
        if first in self.fail_logs:
            self.fail_logs.discard(first)
            raise L1Unreachable("away")
        return [b for b in self.batches if first <= b.block_number <= last and b.block_number not in self.hidden]

    def commit(self, number, *, honest=True, last=None):
        before = self.batches[-1].certificate.batch if self.batches else None
        batch = L1Batch(
            CHAIN.l1_chain_id,
            INBOX,
            before.index + 1 if before else 1,
            Height(before.last + 1 if before else 1),
            Height(last if last is not None else (before.last + 10 if before else 10)),
            before.hash(CHAIN.domain) if before else CHAIN.chain_id,
            DataKind.HELD,
            Hash(bytes(32)),
            BlockId(Hash(bytes(32))),
            Hash(bytes(32)),
        )
        signers = {ValidatorIndex(i): COMMITTEE.bls_keys[i].sign(batch.signing_digest(CHAIN.domain)) for i in (0, 1, 2)}
        certificate = make_batch_certificate(batch, signers, 4)
        if not honest:
            certificate = BatchCertificate(batch, (), bytes(96), 4)
        self.batches.append(CommittedBatch(certificate, b"", b"\1" * 20, b"\2" * 32, number, block_hash(number), 0))


@pytest.fixture
def l1():
    return FakeL1()


@pytest.fixture
def told():
    return []


@pytest.fixture
def follower(tmp_path, l1, told):
    with Database.open(tmp_path, CHAIN.chain_id) as database:
        yield L1Follower(
            chain=CHAIN,
            client=l1,
            inbox=l1,
            finality="finalized",
            poll_s=0.001,
            database=database,
            to_replica=told.append,
            moved=lambda: None,
            metrics=Metrics("test"),
        )


async def run_looks(follower, l1, count=4):
    """Lets the follower look so often; looks that fail count, too."""
    last = l1.looks + count
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run)
        while l1.looks <= last:  # noqa: ASYNC110 (each look changes it)
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()


async def test_an_error_between_two_pages_of_logs_does_not_wedge(follower, l1):
    l1.latest, l1.finalized = 3 * l1_follower.PAGE_BLOCKS // 2, 60
    l1.commit(50)
    l1.fail_logs.add(1 + l1_follower.PAGE_BLOCKS)  # the second page fails once
    await run_looks(follower, l1)
    assert follower.is_reachable


async def test_an_error_while_a_page_is_kept_does_not_wedge(follower, l1):
    l1.latest, l1.finalized = 3 * l1_follower.PAGE_BLOCKS // 2, l1_follower.PAGE_BLOCKS + 10
    l1.commit(50)
    l1.fail_blocks.add(l1_follower.PAGE_BLOCKS)
    await run_looks(follower, l1)
    assert follower.is_reachable


async def test_a_log_that_a_lagging_backend_did_not_have_yet_is_found_later(follower, l1):
    l1.latest = 10
    l1.commit(10)
    l1.hidden.add(10)
    await run_looks(follower, l1)
    l1.hidden.clear()
    l1.latest = 12
    l1.commit(12)
    await run_looks(follower, l1)
    assert follower.end.next_index == 3


async def test_a_hidden_log_below_a_final_block_is_found_after_all(follower, l1):
    l1.latest = l1.finalized = 10
    l1.commit(10)
    l1.hidden.add(10)
    await run_looks(follower, l1)  # the cursor is written at 10, and batch 1 is not kept
    l1.hidden.clear()
    l1.latest = l1.finalized = 12
    l1.commit(12)
    follower._known = None  # what a restart would do
    await run_looks(follower, l1)
    assert follower.end.next_index == 3


async def test_finality_that_pauses_for_long_does_not_wedge(follower, l1, monkeypatch):
    monkeypatch.setattr(l1_follower, "RECENT_BATCHES_MAX", 4)
    for number in range(1, 10):
        l1.latest = number
        l1.commit(number)
        await run_looks(follower, l1)
    l1.latest, l1.finalized = 20, 19  # finality is back
    await run_looks(follower, l1)
    assert follower.is_reachable
    assert follower.end.next_index == 10


async def test_an_endpoint_that_lags_behind_what_is_stored_is_away_and_not_refused(follower, l1):
    l1.latest, l1.finalized = 100, 90
    l1.commit(50)
    await run_looks(follower, l1)
    l1.latest = 80  # an endpoint that restarted, or another one behind the same name
    await run_looks(follower, l1)
    l1.latest = 120
    await run_looks(follower, l1)
    assert follower.refusal is None
    assert follower.is_reachable


@pytest.mark.parametrize("number", [2**64, 2**200])
async def test_a_block_number_beyond_u64_does_not_end_the_node(follower, l1, told, number):
    l1.latest = l1.finalized = number
    await run_looks(follower, l1)  # must not raise
    assert all(event.anchor.number < 2**64 for event in told)


async def test_a_batch_without_a_valid_certificate_is_not_believed(follower, l1):
    l1.latest = l1.finalized = 10
    l1.commit(5, honest=False, last=10**18)
    await run_looks(follower, l1)
    assert follower.posted_height == 0
    assert follower.settled is None


async def test_whoever_waits_for_a_look_goes_on_where_an_l1_makes_blocks_on_demand_only(follower, l1):
    l1.latest = 10
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follower.run)
        for _ in range(5):
            await follower.until_looked()
        nursery.cancel_scope.cancel()
