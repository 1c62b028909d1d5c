"""A validator's answers to posters: what it signs is on its disk first, and nobody keeps it busy."""

from dataclasses import replace

import pytest
import trio

from consensus.encoding import decode_whole
from consensus.errors import DecodeError
from consensus.numbers import Hash, ValidatorIndex
from consensus.vocabulary.l1_batch import BatchShare, DataKind
from sequencer.node.batch_sharing import PACE_S, TURN_SLACK_BLOCKS
from sequencer.settlement.sharing import ShareAnswer, ShareRequest, Word
from sequencer.settlement.turn import TAKEOVER_L1_BLOCKS, turn_order
from sequencer.telemetry import table
from storage.errors import StorageFault
from storage.settlement import SettlementStore
from tests.settling_node import commit


@pytest.fixture
def order(committee):
    """Who may ask, first the one whose turn it is."""
    return turn_order(committee.chain.validator_set, committee.chain.chain_id, 1)


@pytest.fixture
async def ready(node):
    """The node has three heights with data and has looked at the L1."""
    for number in range(1, 4):
        node.execute(10 * number, b"transaction %d" % number)
    await node.look()
    return node


def asking(node, **changed):
    end = node.follower.end
    request = ShareRequest(end.next_index, end.next_height, node.progress.executed.height, end.previous, b"")
    return replace(request, **changed)


async def serve(node, peer, request):
    return ShareAnswer.decode(await node.sharing.serve(ValidatorIndex(peer), request.encode()))


def shares_on_disk(node):
    stored = SettlementStore(node.database).list_shares(1, 10)
    return [decode_whole(share, BatchShare.decode) for share in stored]


async def test_a_share_is_on_disk_as_it_was_answered(ready, order, committee):
    payload = ready.reader.pack(1, 3).held_payload()
    answer = await serve(ready, order[0], asking(ready, payload=payload))
    assert answer.word is Word.SHARES
    kept = {share.batch.data_kind: share for share in shares_on_disk(ready)}
    assert dict(answer.signatures) == {kind: share.signature for kind, share in kept.items()}
    assert set(kept) == {DataKind.HELD, DataKind.CALLDATA}
    for share in kept.values():
        assert share.validator == ready.index
        share.check(committee.chain)
    assert ready.metrics.value(table.SETTLEMENT_SHARES, "shares") == 1


class BrokenDisk:
    """Nothing is written any more."""

    def write(self, puts, *, sync):
        assert sync
        raise StorageFault("the disk is gone")


async def test_nothing_is_answered_that_is_not_on_disk(ready, order):
    ready.sharing = ready.sharing_of(ready.index, BrokenDisk())
    with pytest.raises(StorageFault):
        await serve(ready, order[0], asking(ready))


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"index": 2}, Word.BEHIND),
        ({"last": 4}, Word.BEHIND),  # not executed here
        ({"first": 2}, Word.MISMATCH),
        ({"previous": Hash(bytes(32))}, Word.MISMATCH),
        ({"payload": b"junk"}, Word.MISMATCH),
    ],
)
async def test_what_cannot_be_signed_is_said_counted_and_not_signed(ready, order, changed, word):
    assert (await serve(ready, order[0], asking(ready, **changed))).word is word
    assert ready.metrics.value(table.SETTLEMENT_SHARES, word.name.lower()) == 1
    assert shares_on_disk(ready) == []


async def test_a_payload_of_other_blocks_is_a_mismatch(ready, order):
    payload = ready.reader.pack(1, 2).held_payload()
    assert (await serve(ready, order[0], asking(ready, payload=payload))).word is Word.MISMATCH
    assert shares_on_disk(ready) == []


async def test_a_range_that_ends_with_an_empty_block_is_a_mismatch(ready, order):
    ready.execute(40)
    assert (await serve(ready, order[0], asking(ready))).word is Word.MISMATCH


async def test_an_index_that_is_on_the_l1_is_committed(ready, order, l1):
    request = asking(ready)
    commit(l1)
    await ready.look()
    # The order changes with every batch; ten blocks on, anybody may ask.
    l1.mine(TAKEOVER_L1_BLOCKS * len(order))
    await ready.look()
    assert (await serve(ready, order[0], request)).word is Word.COMMITTED


async def test_nothing_is_signed_while_the_l1_is_away(ready, order):
    ready.follower._is_away = True
    assert (await serve(ready, order[0], asking(ready))).word is Word.BEHIND


async def test_nothing_is_signed_that_the_l1_overtook_meanwhile(ready, make_node, order, l1):
    other, pack = make_node(l1), ready.reader.pack
    commit(l1, heights=2)
    await other.look()

    def slow_pack(first, last):
        ready.follower._recent.append(other.follower.newest)
        return pack(first, last)

    ready.reader.pack = slow_pack
    assert (await serve(ready, order[0], asking(ready))).word is Word.COMMITTED
    assert shares_on_disk(ready) == []


async def test_malformed_requests_are_the_peers_fault(ready, order):
    for body in (b"", b"\x00" * 10, asking(ready).encode() + b"\x00"):
        with pytest.raises(DecodeError):
            await ready.sharing.serve(order[0], body)


# keeping a validator busy


async def test_a_peer_that_asks_again_meanwhile_is_told_to_come_back(ready, order, autojump_clock):
    entered, finish = trio.Event(), trio.Event()
    answer = ready.sharing.answer

    async def slow(request):
        entered.set()
        await finish.wait()
        return await answer(request)

    ready.sharing.answer = slow
    words = []

    async def ask():
        words.append((await serve(ready, order[0], asking(ready))).word)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await entered.wait()
        await trio.sleep(10 * PACE_S)
        await ask()
        assert words == [Word.BUSY]
        finish.set()
    assert words == [Word.BUSY, Word.SHARES]


async def test_a_peer_that_asks_too_often_is_told_to_come_back(ready, order, autojump_clock):
    words = []
    for pause_s in (PACE_S / 2, PACE_S / 2, PACE_S):
        words.append((await serve(ready, order[0], asking(ready))).word)
        await trio.sleep(pause_s)
    assert words == [Word.SHARES, Word.BUSY, Word.SHARES]


async def test_whose_turn_it_is_not_is_told_to_come_back(ready, order, l1):
    l1.mine(TAKEOVER_L1_BLOCKS - TURN_SLACK_BLOCKS - 1 - l1.newest.number)
    await ready.look()
    assert (await serve(ready, order[1], asking(ready))).word is Word.BUSY
    l1.mine()
    await ready.look()
    assert (await serve(ready, order[2], asking(ready))).word is Word.BUSY
    assert (await serve(ready, order[1], asking(ready))).word is Word.SHARES


async def test_a_range_is_packed_once_for_all_who_ask(ready, order, l1, autojump_clock):
    l1.mine(TAKEOVER_L1_BLOCKS * len(order))
    await ready.look()
    packed, pack = [], ready.reader.pack

    def counting(first, last):
        packed.append((first, last))
        return pack(first, last)

    ready.reader.pack = counting
    for peer in (*order, *order):
        assert (await serve(ready, peer, asking(ready))).word is Word.SHARES
        await trio.sleep(PACE_S)
    assert packed == [(1, 3)]
