"""One validator's whole L1 side on a strict L1 in memory: it packs, certifies, writes down, sends and follows."""

import pytest
import trio

from consensus.numbers import Height, ValidatorIndex
from consensus.vocabulary.l1_batch import DataKind, L1Batch
from consensus.vocabulary.payload import decode_payload
from sequencer.node.errors import OtherL1
from sequencer.settlement.poster import Gate
from sequencer.settlement.records import BatchState
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word
from sequencer.settlement.turn import turn_order
from sequencer.telemetry import table
from storage.settlement import SettlementStore
from tests.committed_chain import certify
from tests.memory_l1 import ETHER_WEI, MemoryL1
from tests.settling_node import RecordingFailpoints, SettlingNode, rich, settling_committee
from tests.stored_chain import stored_chain


def newest(node):
    """The newest batch on the L1, which has to be there."""
    record = node.follower.newest
    assert record is not None
    return record.batch


def kind_of(node, index):
    record = node.follower.batch(index)
    assert record is not None
    return record.batch.data_kind


def fates(node):
    return [(attempt.index, attempt.state) for attempt in node.intents.attempts]


async def test_blocks_with_data_reach_the_l1_and_become_final(node, l1, autojump_clock):
    node.execute(10, b"one")
    node.execute(20)
    node.execute(30, b"two")
    node.execute(40)
    await node.run_for(4)
    assert l1.head.next_height == 4  # up to the last block with data
    assert node.follower.posted_height == 3
    assert node.follower.settled_height == 0
    await node.run_for(10)
    assert node.follower.settled_height == 3
    assert fates(node) == [(1, BatchState.FINALIZED)]
    assert node.poster.gate is Gate.NOTHING_DUE


async def test_what_is_on_the_l1_is_what_the_validators_have(node, l1, autojump_clock):
    node.execute(10, b"one", b"two")
    await node.run_for(4)
    batch = newest(node)
    (committed,) = await node.inbox.committed(0, l1.newest.number)
    assert batch.data_kind is DataKind.CALLDATA
    packed = node.reader.pack(Height(1), Height(1))
    assert decode_payload(committed.data).holds_same(decode_payload(packed.held_payload()))
    assert (batch.block_id, batch.namespaces_root) == (packed.block_id, packed.namespaces_root)
    committed.certificate.check(node.chain)


async def test_a_long_backlog_is_held(stored, committee, l1, first_index, autojump_clock):
    node = SettlingNode(stored, committee, l1, index=first_index, backlog_s=0)
    node.execute(10, b"one")
    await node.run_for(4)
    assert newest(node).data_kind is DataKind.HELD
    assert newest(node).data_hash == node.reader.pack(Height(1), Height(1)).held_hash


async def test_held_only_never_puts_data_on_the_l1(tmp_path, autojump_clock):
    committee = settling_committee(l1_data=2)
    l1 = rich(MemoryL1(committee))
    with stored_chain(committee, tmp_path) as stored:
        first = turn_order(committee.chain.validator_set, committee.chain.chain_id, 1)[0]
        node = SettlingNode(stored, committee, l1, index=first)
        node.execute(10, b"one")
        await node.run_for(4)
        assert newest(node).data_kind is DataKind.HELD


async def test_require_holds_only_a_block_that_cannot_fit(tmp_path, autojump_clock):
    committee = settling_committee(l1_data=1, commit_bytes_max=1_024)
    l1 = rich(MemoryL1(committee))
    with stored_chain(committee, tmp_path) as stored:
        first = turn_order(committee.chain.validator_set, committee.chain.chain_id, 1)[0]
        node = SettlingNode(stored, committee, l1, index=first, backlog_s=0)
        noise = bytes((7 * place * place + place // 3) % 251 for place in range(20_000))
        node.execute(10, b"small")
        node.execute(20, noise)
        await node.run_for(60)
        kinds = [kind_of(node, index) for index in range(1, node.follower.end.next_index)]
        assert kinds[:1] == [DataKind.CALLDATA]
        assert node.follower.posted_height == 2


async def test_the_intent_is_on_disk_before_anything_is_sent(stored, committee, l1, first_index, autojump_clock):
    points = RecordingFailpoints()
    sent_at = []
    points.at_passage = lambda name: sent_at.append((name, len(l1.sent)))
    node = SettlingNode(stored, committee, l1, index=first_index, failpoints=points)
    node.execute(10, b"one")
    await node.run_for(3)
    assert sent_at[:3] == [("post_before_save", 0), ("post_after_save", 0), ("post_after_send", 1)]
    assert SettlementStore(node.database).list_attempts(10)


async def test_after_a_restart_the_same_bytes_are_sent_and_nothing_is_signed_anew(
    stored, committee, l1, first_index, autojump_clock
):
    node = SettlingNode(stored, committee, l1, index=first_index, failpoints=RecordingFailpoints("post_after_save"))
    node.execute(10, b"one")
    with pytest.raises(BaseExceptionGroup):
        await node.run_for(3)
    assert l1.sent == []
    (saved,) = SettlementStore(node.database).list_attempts(10)
    again = SettlingNode(stored, committee, l1, index=first_index)
    await again.run_for(14)
    assert len(set(l1.sent)) == 1
    assert l1.sent[0] in saved.record
    assert fates(again) == [(1, BatchState.FINALIZED)]


async def test_a_lost_race_costs_one_revert_and_the_next_batch_goes_on(node, l1, first_index, autojump_clock):
    node.execute(10, b"one")
    l1.mine(l1.unfinalized)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        while not l1.pool:  # noqa: ASYNC110 (the poster puts it there)
            await trio.sleep(0.1)
        ours = next(iter(l1.pool.values()))
        l1.hand_in(certified_by_others(node), sender=bytes(20))
        l1.mine()
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert (1, BatchState.LOST_RACE) in fates(node)
    assert l1.head.next_index == 2
    assert ours.nonce == 0


def certified_by_others(node):
    """What another poster would have: the same range, certified by all."""
    packed = node.reader.pack(Height(1), Height(1))
    end = node.follower.end
    batch = L1Batch(
        node.chain.l1_chain_id,
        node.inbox.address,
        end.next_index,
        end.next_height,
        packed.last,
        end.previous,
        DataKind.HELD,
        packed.held_hash,
        packed.block_id,
        packed.namespaces_root,
    )
    return certify(node.committee, batch)


async def test_an_l1_that_is_away_stops_nothing_and_posting_resumes(node, l1, autojump_clock):
    node.execute(10, b"one")
    l1.is_away = True
    await node.run_for(5)
    assert not node.follower.is_reachable
    node.execute(20, b"two")
    assert node.unposted.backlog.byte_count > 0
    l1.is_away = False
    await node.run_for(5)
    assert node.follower.posted_height == 2


async def test_a_reorganisation_takes_a_batch_back_and_it_is_sent_again(node, l1, autojump_clock):
    node.execute(10, b"one")
    await node.run_for(3)
    assert node.follower.posted_height == 1
    l1.reorganise(3, takes_pool=False)
    for transaction in [item.hash for item in l1.pool.values()]:
        l1.drop(transaction)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await trio.sleep(1.2)
        assert node.follower.posted_height == 0
        for _ in range(14):
            l1.mine()
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert node.follower.settled_height == 1
    assert fates(node) == [(1, BatchState.FINALIZED)]


async def test_without_money_nothing_is_signed(node, l1, autojump_clock):
    l1.give(node.address, ETHER_WEI // 10**6)
    node.execute(10, b"one")
    await node.run_for(4)
    assert node.poster.gate is Gate.NO_MONEY
    assert l1.sent == []
    l1.give(node.address, 100 * ETHER_WEI)
    await node.run_for(4)
    assert node.follower.posted_height == 1


async def test_another_takes_over_when_the_first_is_away(stored, committee, l1, first_index, autojump_clock):
    order = turn_order(committee.chain.validator_set, committee.chain.chain_id, 1)
    node = SettlingNode(stored, committee, l1, index=order[1])
    node.execute(10, b"one")
    await node.run_for(8)
    assert node.poster.gate is Gate.NOT_MY_TURN
    await node.run_for(6)
    assert node.follower.posted_height == 1


class TestSharing:
    """What a validator answers to a poster."""

    async def request(self, node, **changes):
        end = node.follower.end
        fields = {"index": end.next_index, "first": end.next_height, "last": 1, "previous": end.previous}
        return ShareRequest(**{**fields, "payload": b"", **changes})

    async def ask(self, node, **changes):
        request = await self.request(node, **changes)
        return (await node.sharing.answer(request)).word

    async def test_it_signs_only_what_follows_the_l1_and_is_executed(self, node, l1):
        node.execute(10, b"one")
        assert await self.ask(node) is Word.BEHIND  # no look at the L1 yet
        await node.look()
        assert await self.ask(node) is Word.SHARES
        assert await self.ask(node, last=2) is Word.BEHIND
        assert await self.ask(node, index=2) is Word.BEHIND
        assert await self.ask(node, index=0) is Word.COMMITTED
        assert await self.ask(node, previous=bytes(32)) is Word.MISMATCH
        assert await self.ask(node, payload=b"junk") is Word.MISMATCH

    async def test_a_range_that_ends_without_data_is_refused(self, node, l1):
        node.execute(10, b"one")
        node.execute(20)
        await node.look()
        assert await self.ask(node, last=2) is Word.MISMATCH

    async def test_a_share_is_on_disk_before_it_is_answered(self, node, l1):
        node.execute(10, b"one")
        await node.look()
        assert SettlementStore(node.database).list_shares(1, 10) == []
        assert await self.ask(node) is Word.SHARES
        assert len(SettlementStore(node.database).list_shares(1, 10)) == 1

    async def test_a_poster_that_lies_is_told_and_counted(self, node, l1, committee):
        node.execute(10, b"one")
        await node.look()
        first = turn_order(committee.chain.validator_set, committee.chain.chain_id, 1)[0]
        peer = ValidatorIndex(first)
        body = (await self.request(node, payload=b"not what was ordered")).encode()
        answer = ShareAnswer.decode(await node.sharing.serve(peer, body))
        assert answer == ShareAnswer(Word.MISMATCH)
        assert node.metrics.value(table.SETTLEMENT_SHARES, "mismatch") == 1

    async def test_a_peer_that_asks_without_pause_is_told_to_come_back(self, node, l1, committee, autojump_clock):
        node.execute(10, b"one")
        await node.look()
        peer = turn_order(committee.chain.validator_set, committee.chain.chain_id, 1)[0]
        body = (await self.request(node)).encode()
        words = [ShareAnswer.decode(await node.sharing.serve(peer, body)).word for _ in range(2)]
        assert words == [Word.SHARES, Word.BUSY]
        await trio.sleep(1)
        assert ShareAnswer.decode(await node.sharing.serve(peer, body)).word is Word.SHARES

    async def test_out_of_turn_nobody_signs(self, node, l1, committee, autojump_clock):
        node.execute(10, b"one")
        await node.run_for(3)
        node.execute(20, b"two")
        await node.look()
        end = node.follower.end
        order = turn_order(committee.chain.validator_set, end.previous, end.next_index)
        body = (await self.request(node, last=2)).encode()
        assert ShareAnswer.decode(await node.sharing.serve(order[1], body)).word is Word.BUSY
        assert ShareAnswer.decode(await node.sharing.serve(order[0], body)).word is Word.SHARES
        l1.mine(10)
        await node.look()
        await trio.sleep(1)
        assert ShareAnswer.decode(await node.sharing.serve(order[1], body)).word is Word.SHARES


async def test_anchors_are_final_and_multiples_of_the_step(node, l1, committee):
    step = committee.chain.parameters.anchor_step
    l1.mine(3 * step)
    await node.look()
    l1.mine(2 * step)
    await node.look()
    numbers = [anchor.number for anchor in node.anchors]
    assert numbers
    assert all(number % step == 0 and number <= l1.newest.number - l1.unfinalized for number in numbers)
    assert numbers == sorted(set(numbers))
    assert all(anchor.hash == l1.blocks[anchor.number].hash for anchor in node.anchors)


async def test_a_number_for_finality_counts_back_from_the_newest(stored, committee, l1, first_index):
    node = SettlingNode(stored, committee, l1, index=first_index, finality="2")
    l1.mine(9)
    await node.look()
    assert node.follower.view is not None
    assert node.follower.view.finalized_number == l1.newest.number - 2


async def test_a_restarted_node_reads_on_from_its_cursor(stored, committee, l1, first_index, autojump_clock):
    node = SettlingNode(stored, committee, l1, index=first_index)
    node.execute(10, b"one")
    await node.run_for(14)
    assert node.follower.settled_height == 1
    again = SettlingNode(stored, committee, l1, index=first_index)
    assert again.follower.settled_height == 1
    assert again.follower.batch(1) == node.follower.batch(1)
    assert again.follower.covering(Height(1)) == node.follower.batch(1)
    assert again.follower.covering(Height(2)) is None
    await again.look()
    assert again.follower.end == node.follower.end


async def test_an_l1_that_lost_what_was_final_is_refused(stored, committee, l1, first_index, autojump_clock):
    node = SettlingNode(stored, committee, l1, index=first_index)
    node.execute(10, b"one")
    await node.run_for(14)
    other = rich(MemoryL1(committee))
    other.mine(1)
    other.reorganise(1)  # other hashes
    other.mine(40)
    again = SettlingNode(stored, committee, other, index=first_index)
    with pytest.raises(OtherL1, match="--reset"):
        await again.follower.check()
