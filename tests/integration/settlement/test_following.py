"""Following an L1: what is read when, what is kept, and which L1 is refused."""

from dataclasses import replace

import pytest
import trio

from sequencer.l1.errors import L1Unreachable
from sequencer.node import l1_follower
from sequencer.node.errors import OtherL1
from sequencer.node.l1_follower import CURSOR_BLOCKS, PAGE_BLOCKS
from sequencer.telemetry import table
from storage.settlement import L1Cursor, SettlementStore
from tests.committed_chain import certify, on_l1
from tests.committee import Committee
from tests.memory_l1 import MemoryL1
from tests.settling_node import POLL_S, commit, made_up_batch, settling_committee


def reads(l1):
    """The ranges of L1 blocks whose logs are asked for from now on."""
    ranges = []

    def before(method, parameters):
        if method == "eth_getLogs":
            ranges.append((int(parameters[0]["fromBlock"], 16), int(parameters[0]["toBlock"], 16)))

    l1.before = before
    return ranges


def cursor_of(node):
    return SettlementStore(node.database).load_cursor()


# looking


async def test_a_first_look_at_an_l1_without_batches(node, l1, committee):
    assert not node.follower.is_reachable
    await node.follower.check()
    await node.look()
    follower = node.follower
    assert follower.is_reachable
    assert (follower.end.next_index, follower.end.next_height) == (1, 1)
    assert follower.end.previous == committee.chain.chain_id
    assert (follower.newest, follower.settled, follower.covering(1)) == (None, None, None)
    assert follower.view.latest.number == l1.newest.number
    assert node.looks == 1


async def test_a_batch_is_posted_and_then_settled(node, l1):
    batch = commit(l1)
    await node.look()
    follower = node.follower
    assert (follower.posted_height, follower.settled_height) == (10, 0)
    record = follower.batch(1)
    assert record.batch == batch
    assert (record.block_number, record.block_hash) == (l1.newest.number, l1.newest.hash)
    assert (record.poster, record.byte_count) == (b"\x77" * 20, 0)
    assert record.transaction == l1.newest.mined[0].transaction.hash
    assert follower.end.previous == record.hash == l1.head.head_hash
    assert follower.covering(10) == record
    assert follower.covering(11) is None
    assert cursor_of(node).number < record.block_number  # nothing is kept that the L1 may take back

    l1.mine(l1.unfinalized)
    await node.look()
    assert follower.settled_height == 10
    assert follower.settled == follower.newest == follower.batch(1) == follower.covering(1) == record
    assert cursor_of(node).number == record.block_number


async def test_a_long_log_is_read_in_pages_and_only_once(node, l1):
    commit(l1)
    l1.mine(2 * PAGE_BLOCKS)
    commit(l1)
    ranges = reads(l1)
    await node.look()
    newest = l1.newest.number
    assert ranges == [(1, 128), (129, 256), (257, newest)]
    assert node.follower.end.next_index == 3
    await node.look()  # nothing new
    assert len(ranges) == 3
    l1.mine(2)
    await node.look()
    assert ranges[3:] == [(newest + 1, newest + 2)]


async def test_a_page_that_fails_is_read_again_and_those_before_it_are_not(node, l1):
    l1.unfinalized = 10**6
    commit(l1)
    l1.mine(2 * PAGE_BLOCKS)
    ranges = reads(l1)
    note = l1.before

    def failing(method, parameters):
        note(method, parameters)
        if ranges and ranges[-1][0] == 129:
            raise L1Unreachable("the connection broke")

    l1.before = failing
    with pytest.raises(L1Unreachable):
        await node.look()
    l1.before = note
    await node.look()
    assert ranges == [(1, 128), (129, 256), (129, 256), (257, l1.newest.number)]
    assert node.follower.end.next_index == 2


async def test_a_reorganisation_takes_batches_back_until_they_are_there_again(node, l1):
    first = commit(l1)
    l1.mine(l1.unfinalized)
    await node.look()
    commit(l1)
    commit(l1)
    await node.look()
    assert node.follower.posted_height == 30

    l1.reorganise(2, takes_pool=False)
    await node.look()
    assert (node.follower.posted_height, node.follower.settled_height) == (10, 10)
    assert node.follower.batch(1).batch == first
    assert node.follower.batch(2) is None
    assert node.follower.covering(15) is None

    l1.mine()
    await node.look()
    assert node.follower.posted_height == 30
    assert node.follower.newest.block_hash == l1.newest.hash


async def test_another_batch_may_stand_in_the_place_of_one_that_was_taken_back(node, l1):
    commit(l1)
    await node.look()
    l1.reorganise(1, takes_pool=False)
    l1.pool.clear()
    other = commit(l1, heights=3)
    await node.look()
    assert node.follower.batch(1).batch == other
    assert node.follower.end.next_height == 4


async def test_an_l1_that_became_shorter_is_read_anew(node, l1):
    commit(l1)
    l1.mine(3)
    await node.look()
    l1.reorganise(4, takes_pool=False)
    del l1.blocks[-2:]
    await node.look()
    assert node.follower.posted_height == 0


# what is kept


async def test_a_restarted_node_goes_on_where_the_cursor_is(make_node, node, l1):
    commit(l1)
    l1.mine(l1.unfinalized)
    commit(l1)
    await node.look()
    settled, newest = node.follower.settled, node.follower.newest

    l1.is_away = True
    again = make_node(l1)
    await again.follower.check()  # an L1 that is away stops nothing
    assert again.follower.settled == again.follower.newest == settled
    assert not again.follower.is_reachable

    l1.is_away = False
    ranges = reads(l1)
    await again.look()
    assert ranges == [(cursor_of(again).number + 1, l1.newest.number)]
    assert again.follower.newest == newest


async def test_the_cursor_moves_now_and_then_without_batches(node, l1):
    l1.mine(20)
    await node.look()
    first = cursor_of(node)
    assert first.number == l1.newest.number - l1.unfinalized
    for _ in range(CURSOR_BLOCKS - 1):
        l1.mine()
        await node.look()
    assert cursor_of(node) == first
    l1.mine()
    await node.look()
    number = first.number + CURSOR_BLOCKS
    assert cursor_of(node) == L1Cursor(number, l1.blocks[number].hash)


@pytest.mark.parametrize(("finality", "behind"), [("finalized", 8), ("3", 3), ("0", 0)])
async def test_finality_is_the_l1s_tag_or_a_number_of_blocks(make_node, l1, finality, behind):
    l1.mine(20)
    commit(l1)
    node = make_node(l1, finality=finality)
    for mined in range(behind + 1):
        await node.look()
        assert node.follower.view.finalized_number == l1.newest.number - behind
        assert node.follower.settled_height == (10 if mined == behind else 0)
        l1.mine()


@pytest.mark.parametrize("finality", ["finalized", "3"])
async def test_an_l1_younger_than_its_finality_is_followed(make_node, l1, finality):
    commit(l1)
    node = make_node(l1, finality=finality)
    await node.look()
    assert (node.follower.posted_height, node.follower.settled_height) == (10, 0)


async def test_the_cursor_is_never_ahead_of_what_was_read(make_node, node, l1):
    """Behind one name, the backend that knows what is final may be ahead of the one that says what is newest."""
    commit(l1)
    ahead = MemoryL1(l1.committee)
    ahead.blocks = [*l1.blocks]
    commit(ahead)
    ahead.mine(l1.unfinalized + 5)
    own = l1._at
    l1._at = lambda block: ahead._at(block) if block == "finalized" else own(block)
    await node.look()
    cursor = cursor_of(node)
    assert cursor is None or cursor.number <= l1.newest.number

    again = make_node(ahead)
    await again.look()
    assert again.follower.end.next_index == 3


async def test_the_cursor_waits_for_batches_that_memory_had_no_room_for(make_node, node, l1, monkeypatch):
    monkeypatch.setattr(l1_follower, "RECENT_BATCHES_MAX", 1)
    monkeypatch.setattr(l1_follower, "PAGE_BLOCKS", 1)
    for _ in range(3):
        commit(l1)
    l1.mine(20)
    l1.unfinalized = 10**6
    await node.look()
    l1.unfinalized = 8  # finality is back, for one look before the node ends
    l1.mine()
    await node.look()
    again = make_node(l1)
    for _ in range(3):
        await again.look()
        l1.mine()
    assert again.follower.end.next_index == 4


# anchors


async def test_anchors_are_final_blocks_at_the_step_and_each_is_told_once(node, l1, committee):
    step = committee.chain.parameters.anchor_step
    for _ in range(3 * step):
        l1.mine()
        await node.look()
    newest_final = l1.newest.number - l1.unfinalized
    assert [anchor.number for anchor in node.anchors] == list(range(step, newest_final + 1, step))
    assert all(anchor.hash == l1.blocks[anchor.number].hash for anchor in node.anchors)


async def test_anchors_in_between_are_left_out_after_a_pause(node, l1, committee):
    step = committee.chain.parameters.anchor_step
    l1.mine(5 * step)
    await node.look()
    assert [anchor.number for anchor in node.anchors] == [4 * step]


# L1s that are away or wrong


async def test_an_l1_that_goes_away_and_comes_back(node, l1, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.follower.run)
        await trio.sleep(POLL_S / 2)
        assert node.follower.is_reachable
        l1.is_away = True
        await trio.sleep(60)
        assert not node.follower.is_reachable
        assert node.metrics.value(table.L1_REACHABLE) == 0
        assert node.metrics.value(table.L1_ERRORS) == 60
        commit(l1)
        l1.is_away = False
        await trio.sleep(POLL_S)
        assert node.follower.is_reachable
        assert node.metrics.value(table.L1_REACHABLE) == 1
        assert node.follower.posted_height == 10
        nursery.cancel_scope.cancel()


def other_chain_id(l1):
    l1._answer_chain_id = lambda: "0x1"


def inbox_of_another_chain(l1):
    l1._answer_call = MemoryL1(on_l1(Committee(namespaces=(7,))))._answer_call


def inbox_with_other_keys(l1):
    l1._answer_code = MemoryL1(settling_committee((2, 1, 1, 1)))._answer_code


def no_inbox(l1):
    l1._answer_call = lambda *_: "0x"


WRONG = [other_chain_id, inbox_of_another_chain, inbox_with_other_keys, no_inbox]


@pytest.mark.parametrize("spoil", WRONG)
async def test_a_wrong_l1_or_inbox_is_refused_at_the_start(node, l1, spoil):
    spoil(l1)
    with pytest.raises(OtherL1):
        await node.follower.check()


@pytest.mark.parametrize("spoil", WRONG)
async def test_a_wrong_l1_that_shows_itself_later_is_followed_no_further(node, l1, spoil, autojump_clock):
    l1.is_away = True
    await node.follower.check()
    spoil(l1)
    l1.is_away = False
    await node.follower.run()  # comes to an end
    assert isinstance(node.follower.refusal, OtherL1)
    assert not node.follower.is_reachable


async def kept_home(node, l1):
    """A home that has a final batch."""
    commit(l1)
    l1.mine(l1.unfinalized + 10)
    await node.look()
    assert node.follower.settled is not None


async def test_an_l1_that_lost_its_state_is_refused(make_node, node, l1, committee):
    await kept_home(node, l1)
    lost = MemoryL1(committee)
    lost.reorganise(1)
    lost.mine(100)
    with pytest.raises(OtherL1, match="lost its state") as refused:
        await make_node(lost).follower.check()
    assert "--reset" in str(refused.value)


async def test_an_l1_that_takes_a_final_block_back_is_followed_no_further(node, l1, autojump_clock):
    await kept_home(node, l1)
    settled = node.follower.settled
    l1.reorganise(l1.newest.number - cursor_of(node).number + 1)
    await node.follower.run()
    assert isinstance(node.follower.refusal, OtherL1)
    assert node.follower.settled == settled


async def test_an_l1_that_is_behind_what_is_kept_is_waited_for(make_node, node, l1, committee):
    await kept_home(node, l1)
    behind = MemoryL1(committee)
    again = make_node(behind)
    await again.follower.check()
    assert again.follower.refusal is None
    with pytest.raises(L1Unreachable):
        await again.look()


# logs that lie


async def test_a_log_that_does_not_chain_is_not_believed(node, l1):
    commit(l1)
    commit(l1)
    own = l1._answer_logs
    l1._answer_logs = lambda query: own(query)[1:]
    with pytest.raises(L1Unreachable, match="batch 2 where 1 should follow"):
        await node.look()
    assert node.follower.posted_height == 0
    l1._answer_logs = own
    await node.look()
    assert node.follower.posted_height == 20


async def test_a_log_without_a_batch_that_the_inbox_has_is_not_believed(node, l1):
    commit(l1)
    own = l1._answer_logs
    l1._answer_logs = lambda query: []
    with pytest.raises(L1Unreachable, match="lacks batch 1"):
        await node.look()
    l1._answer_logs = own
    await node.look()
    assert node.follower.posted_height == 10


@pytest.mark.parametrize("signers", [(0, 1), ()])
async def test_a_batch_without_a_quorum_is_not_believed(node, l1, committee, signers):
    batch = made_up_batch(l1)
    certificate = replace(certify(committee, batch), signers=signers)
    l1.hand_in(certificate)
    l1._refusal = lambda *_: None  # a contract, or an endpoint, that does not check
    l1.mine()
    with pytest.raises(L1Unreachable, match="not certified"):
        await node.look()
    assert node.follower.posted_height == 0
