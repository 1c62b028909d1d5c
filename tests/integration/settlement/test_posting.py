"""One validator's whole L1 side on a strict L1 in memory: it packs, certifies, writes down, sends and follows."""

import pytest
import trio

from consensus.numbers import Height
from consensus.vocabulary.l1_batch import DataKind, L1Batch
from consensus.vocabulary.payload import decode_payload
from sequencer.settlement.poster import Gate
from sequencer.settlement.records import BatchState
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


# what a death, a refusal and a faster poster leave behind


@pytest.mark.parametrize(
    ("point", "on_disk", "sent"), [("before_save", 0, 0), ("after_save", 1, 0), ("after_send", 1, 1)]
)
async def test_whatever_was_written_down_is_what_a_restarted_poster_sends(
    make_node, l1, point, on_disk, sent, autojump_clock
):
    node = make_node(l1, failpoints=RecordingFailpoints(f"post_{point}"))
    node.execute(10, b"one")
    with pytest.raises(BaseExceptionGroup):
        await node.run_for(3)
    saved = SettlementStore(node.database).list_attempts(10)
    assert (len(saved), len(l1.sent)) == (on_disk, sent)

    again = make_node(l1)
    await again.run_for(14)
    assert len(set(l1.sent)) == 1
    assert all(l1.sent[0] in entry.record for entry in saved)
    assert fates(again) == [(1, BatchState.FINALIZED)]
    assert l1.newest.nonces[node.address] == 1


async def test_the_same_bytes_are_sent_with_every_look_until_a_block_takes_them(node, l1, autojump_clock):
    node.execute(10, b"one")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await trio.sleep(0.5)
        l1.base_fee_wei *= 10  # dearer than the transaction may pay
        for _ in range(6):
            l1.mine()
            await trio.sleep(1)
        assert fates(node) == [(1, BatchState.SENT)]
        assert node.poster.gate is Gate.IN_FLIGHT
        assert len(l1.sent) >= 6
        assert len(set(l1.sent)) == 1
        l1.base_fee_wei //= 10
        l1.mine()
        await trio.sleep(1)
        assert fates(node) == [(1, BatchState.CONFIRMED)]
        nursery.cancel_scope.cancel()


async def test_an_answer_that_is_lost_is_no_second_transaction(node, l1, autojump_clock):
    node.execute(10, b"one")

    def lose_the_first(method, _):
        l1.loses_answers = method == "eth_sendRawTransaction" and not l1.sent

    l1.before = lose_the_first
    await node.run_for(3)
    assert len(set(l1.sent)) == 1
    assert fates(node) == [(1, BatchState.CONFIRMED)]


async def test_a_commit_that_would_be_refused_twice_halts_the_poster_until_the_l1_moves_on(node, l1, autojump_clock):
    node.execute(10, b"one")
    l1.runs_out_of_gas = True
    await node.run_for(6)
    assert node.poster.gate is Gate.HALTED
    assert node.metrics.value(table.SETTLEMENT_HALTED) == 1
    assert node.metrics.value(table.SETTLEMENT_ATTEMPTS, "would_revert") == l1.asked["eth_estimateGas"] == 2
    assert l1.sent == []

    l1.runs_out_of_gas = False
    await node.run_for(3)
    assert node.poster.gate is Gate.HALTED  # an operator has to look
    l1.hand_in(certified_by_others(node))
    node.execute(20, b"two")
    await node.run_for(12 * len(node.links.answers))
    assert node.metrics.value(table.SETTLEMENT_HALTED) == 0
    assert node.follower.posted_height == 2


async def test_a_halted_poster_begins_anew_after_a_restart(make_node, node, l1, autojump_clock):
    node.execute(10, b"one")
    l1.runs_out_of_gas = True
    await node.run_for(6)
    assert node.poster.gate is Gate.HALTED
    l1.runs_out_of_gas = False
    again = make_node(l1)
    await again.run_for(3)
    assert again.follower.posted_height == 1


async def test_a_reverted_commit_is_tried_once_more(node, l1, autojump_clock):
    node.execute(10, b"one")

    def only_in_blocks(method, _):
        l1.runs_out_of_gas = False

    l1.before = only_in_blocks
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await trio.sleep(0.5)
        for _ in range(6):
            l1.runs_out_of_gas = True
            l1.mine()
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert fates(node) == [(1, BatchState.REVERTED), (1, BatchState.REVERTED)]
    assert node.poster.gate is Gate.HALTED
    assert len(l1.sent) == 2


async def test_a_race_that_is_lost_before_the_certificate_costs_nothing(node, l1, autojump_clock):
    node.execute(10, b"one")
    node.links.silent = {1, 2, 3, 0} - {node.index}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await trio.sleep(3)
        l1.hand_in(certified_by_others(node))
        l1.mine()
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert node.follower.end.next_index == 2
    assert node.metrics.value(table.SETTLEMENT_ATTEMPTS, "no_quorum") == 1
    assert (l1.sent, fates(node)) == ([], [])


async def test_a_rival_that_our_look_has_not_seen_costs_nothing_and_halts_nobody(node, l1, autojump_clock):
    node.execute(10, b"one")
    node.execute(20, b"two")

    def faster(method, _):
        if method == "eth_estimateGas" and l1.head.next_index == 1:
            l1.hand_in(certified_by_others(node))
            l1.mine()

    l1.before = faster
    await node.run_for(3)
    assert (l1.sent, fates(node)) == ([], [])
    assert node.metrics.value(table.SETTLEMENT_ATTEMPTS, "would_revert") == 1
    await node.run_for(12 * len(node.links.answers))
    assert node.follower.posted_height == 2


async def test_without_a_quorum_nothing_is_signed_and_later_it_goes_on(node, l1, autojump_clock):
    node.execute(10, b"one")
    node.links.silent = set(node.links.answers)
    await node.run_for(70)
    assert (l1.sent, fates(node)) == ([], [])
    assert node.metrics.value(table.SETTLEMENT_ATTEMPTS, "no_quorum") == 1
    node.links.silent = set()
    await node.run_for(70)
    assert node.follower.posted_height == 1


async def test_a_node_of_the_l1_that_lacks_the_contract_gets_no_transaction(node, l1, autojump_clock):
    node.execute(10, b"one")
    own, l1._answer_estimate_gas = l1._answer_estimate_gas, lambda *_: hex(21_000)
    await node.run_for(3)
    assert (l1.sent, fates(node)) == ([], [])
    l1._answer_estimate_gas = own
    await node.run_for(3)
    assert node.follower.posted_height == 1


async def test_a_key_that_is_used_elsewhere_costs_a_nonce_and_no_batch(node, l1, autojump_clock):
    node.execute(10, b"one")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        await trio.sleep(0.5)
        l1.use_nonce(node.address)  # in place of ours
        for _ in range(4):
            l1.mine()
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert fates(node) == [(1, BatchState.PARKED), (1, BatchState.CONFIRMED)]
