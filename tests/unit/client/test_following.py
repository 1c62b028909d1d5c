"""Following a namespace from a node in memory, honest or not."""

from dataclasses import replace
from typing import Literal

import pytest
import trio
import trio.testing

from consensus.numbers import Height, NamespaceId, NamespaceIndex
from consensus.vocabulary.batch import parse_segment
from sequencer.client import following
from sequencer.client.errors import MalformedAnswer, UnprovedAnswer
from sequencer.client.following import FollowedBlock, NamespaceFollower
from sequencer.client.parts import NamespaceBlockPart
from sequencer.client.wire import DeliveredBlock, NamespaceProof
from tests.chain_run import ChainRun
from tests.committee import ATTEST_MS, FIRST, SECOND, Committee

COMMITTEE = Committee()


class Node:
    """Delivers what a chain run has executed, one run per page if `small_pages`."""

    def __init__(self, run: ChainRun) -> None:
        self.run = run
        self.small_pages = False
        self.keeps_history = True
        self.asked = 0
        self.tampered: dict[int, DeliveredBlock] = {}
        self.withheld: set[int] = set()

    async def namespace_blocks(
        self, namespace: NamespaceId, from_index: NamespaceIndex, count: int, first_run: int
    ) -> list[NamespaceBlockPart]:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        parts = []
        for index in range(from_index, min(from_index + count, len(self.run.executed.get(namespace, [])))):
            if index in self.withheld:
                break
            whole = self.tampered.get(index) or self.run.delivered(index, namespace)
            runs = whole.runs[first_run : first_run + 1] if self.small_pages else whole.runs[first_run:]
            parts.append(NamespaceBlockPart(replace(whole, runs=runs), first_run, len(whole.runs)))
            if self.small_pages:
                break
        return parts

    async def fetch_proof(self, namespace: NamespaceId, which: Height | Literal["attested"]) -> NamespaceProof | None:
        await trio.lowlevel.checkpoint()
        heights = sorted(self.run.attestations)
        if which != "attested":
            heights = [height for height in heights if height >= which][:1] if self.keeps_history else []
        return self.run.proof(heights[-1], namespace) if heights else None


@pytest.fixture
def run() -> ChainRun:
    """Five blocks with data for FIRST, of one to three runs; the last is not attested."""
    run = ChainRun(COMMITTEE)
    for place in range(5):
        batches = {lane: run.data(lane, b"%d.%d" % (place, lane), b"x")[lane] for lane in range(place % 3 + 1)}
        run.block((place + 1) * ATTEST_MS if place < 4 else 4 * ATTEST_MS + 1, batches)
    return run


def follower(node: Node, *, proved: bool, from_index: int = 0, prev_hash=None) -> NamespaceFollower:
    chain = COMMITTEE.chain if proved else None
    return NamespaceFollower(node, chain, FIRST, NamespaceIndex(from_index), prev_hash)


def expected(run: ChainRun, index: int) -> tuple[bytes, ...]:
    runs = run.delivered(index).runs
    return tuple(item for one in runs for item in parse_segment(one.segment, one.item_count, 64 * 1024) or ())


@pytest.mark.parametrize("small_pages", [False, True])
@pytest.mark.parametrize("keeps_history", [False, True])
async def test_attested_blocks_come_proved_and_in_order(run, small_pages, keeps_history):
    node = Node(run)
    node.small_pages, node.keeps_history = small_pages, keeps_history
    following_first = follower(node, proved=True)
    blocks: list[FollowedBlock] = []
    while len(blocks) < 4:
        blocks += await following_first.next_blocks()
    assert [block.block.index for block in blocks] == [0, 1, 2, 3]
    assert all(block.proved for block in blocks)
    assert [block.transactions for block in blocks] == [expected(run, index) for index in range(4)]


async def test_a_block_is_withheld_until_it_is_attested(run, autojump_clock):
    node = Node(run)
    following_first = follower(node, proved=True)
    await following_first.next_blocks()
    with trio.move_on_after(60) as scope:
        await following_first.next_blocks()
    assert scope.cancelled_caught
    run.block(6 * ATTEST_MS)  # empty; it makes what is before it due
    blocks = await following_first.next_blocks()
    assert [block.block.index for block in blocks] == [4]


async def test_final_blocks_come_unproved_without_a_genesis(run):
    blocks = await follower(Node(run), proved=False).next_blocks()
    assert [block.block.index for block in blocks] == [0, 1, 2, 3, 4]
    assert not any(block.proved for block in blocks)
    assert [block.transactions for block in blocks] == [expected(run, index) for index in range(5)]


@pytest.mark.parametrize("prev_known", [False, True])
async def test_following_resumes_anywhere(run, prev_known):
    prev_hash = run.delivered(1).hash if prev_known else None
    for proved in (False, True):
        blocks = await follower(Node(run), proved=proved, from_index=2, prev_hash=prev_hash).next_blocks()
        assert blocks[0].block.index == 2
    with pytest.raises((UnprovedAnswer, MalformedAnswer)):
        await follower(Node(run), proved=False, from_index=2, prev_hash=run.delivered(0).hash).next_blocks()
    with pytest.raises(UnprovedAnswer, match="broken_chain"):
        await follower(Node(run), proved=True, from_index=2, prev_hash=run.delivered(0).hash).next_blocks()


async def test_nothing_new_is_asked_for_ever_more_slowly(autojump_clock):
    node = Node(ChainRun(COMMITTEE))
    with trio.move_on_after(60):
        await follower(node, proved=True).next_blocks()
    assert 50 < node.asked < 80  # about once a second, after a quick start


class TestLies:
    async def test_a_changed_transaction_is_noticed_and_nothing_is_handed_out(self, run):
        node = Node(run)
        whole = run.delivered(2)
        forged = replace(whole.runs[0], segment=whole.runs[0].segment[:-1] + b"y")
        node.tampered[2] = replace(whole, runs=(forged, *whole.runs[1:]))
        following_first = follower(node, proved=True)
        with pytest.raises(UnprovedAnswer, match="wrong_data"):
            await following_first.next_blocks()
        node.tampered.clear()  # the next node is honest
        assert [block.block.index for block in await following_first.next_blocks()] == [0, 1, 2, 3]

    async def test_a_left_out_block_is_noticed(self, run):
        node = Node(run)
        node.withheld.add(3)
        node.keeps_history = False
        with pytest.raises(UnprovedAnswer, match="gap"):
            await follower(node, proved=True).next_blocks()

    async def test_a_block_of_another_index_or_namespace_is_noticed(self, run):
        node = Node(run)
        node.tampered[0] = run.delivered(1)
        for proved in (False, True):
            with pytest.raises(MalformedAnswer, match="block 0 is expected"):
                await follower(node, proved=proved).next_blocks()
        run.block(7 * ATTEST_MS, run.data(0, b"second", namespace=SECOND))
        node.tampered[0] = run.delivered(0, SECOND)
        with pytest.raises(UnprovedAnswer, match="wrong_namespace"):
            await follower(node, proved=True).next_blocks()

    async def test_a_part_that_never_goes_on_is_noticed(self, run, monkeypatch):
        node = Node(run)
        whole = run.delivered(0)

        async def first_part_only(_namespace, _from_index, _count, first_run):
            return [] if first_run else [NamespaceBlockPart(whole, 0, 5)]

        monkeypatch.setattr(node, "namespace_blocks", first_part_only)
        with pytest.raises(MalformedAnswer, match="ends at run 1 of 5"):
            await follower(node, proved=True).next_blocks()

    async def test_what_is_held_without_a_proof_is_bounded(self, run, monkeypatch):
        monkeypatch.setattr(following, "HELD_BYTES_MAX", 3_000)
        with pytest.raises(UnprovedAnswer, match="too_large"):
            await follower(Node(run), proved=True).next_blocks()
