"""One validator's lanes: what is taken, stored, told and refused."""

from dataclasses import replace

import pytest

from consensus import limits
from consensus.errors import BrokenInvariant, KeyUsedElsewhere
from consensus.numbers import Epoch, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.replica.events import BatchHeld, LaneForked
from consensus.vocabulary.batch import Batch
from sequencer.lanes.effects import (
    BlamePeer,
    CheckBatch,
    CountDrop,
    KeepEvidence,
    PushLane,
    RequestBatch,
    RequestGap,
    StoreBatch,
)
from sequencer.lanes.errors import Dropped, Fault
from sequencer.lanes.events import (
    BatchReceived,
    FetchFailed,
    ForkProven,
    GapRequested,
    LinkClosed,
    OwnBatchSealed,
    Ticked,
)
from tests.unit.lanes.lane_desk import CHAIN, at, chain_of, desk, held, seal

ONE, TWO = ValidatorIndex(1), ValidatorIndex(2)


def faults(effects) -> list[Fault]:
    return [effect.fault for effect in effects if isinstance(effect, BlamePeer)]


def drops(effects) -> list[Dropped]:
    return [effect.reason for effect in effects if isinstance(effect, CountDrop)]


def stores(effects) -> list[Batch]:
    return [effect.batch for effect in effects if isinstance(effect, StoreBatch)]


# taking pushes


def test_a_pushed_batch_is_stored_and_told_only_after_its_sync() -> None:
    node = desk()
    first, second = chain_of(1, 2)
    assert stores(node.push(first, second)) == [first, second]
    assert held(node.effects) == []
    assert not node.lanes.holds(first.digest)
    node.mono_ms = 7
    assert node.sync() == [
        BatchHeld(ONE, Seq(1), first.digest, at(7).wall_ms),
        BatchHeld(ONE, Seq(2), second.digest, at(7).wall_ms),
    ]
    assert node.lanes.holds(first.digest)
    assert node.lanes.heads() == (0, 2, 0, 0)


def test_the_bytes_are_stored_as_they_came() -> None:
    (batch,) = chain_of(1, 1)
    (effect,) = desk().push(batch)
    assert isinstance(effect, StoreBatch)
    assert effect.batch.encoded == batch.encoded


def test_batches_that_come_out_of_order_are_told_in_order() -> None:
    node = desk()
    batches = chain_of(1, 5)
    for place in (2, 4, 1, 3):
        assert stores(node.push(batches[place])) == []
    assert stores(node.push(batches[0])) == batches
    assert held(node.sync()) == [batch.digest for batch in batches]


def test_syncs_that_return_out_of_order_are_told_in_order() -> None:
    node = desk()
    first, second = chain_of(1, 2)
    node.push(first, second)
    node.unsynced.remove(first)
    assert held(node.sync()) == []
    node.unsynced.append(first)
    assert held(node.sync()) == [first.digest, second.digest]


def test_a_duplicate_is_dropped_before_its_signature_is_checked() -> None:
    node = desk()
    first, second = chain_of(1, 2)
    for known in (first, second):
        node.push(known)
        effects = node.lanes.step(BatchReceived(ONE, known.encoded), at(0))
        assert drops(effects) == [Dropped.DUPLICATE]
    node.sync()
    assert drops(node.push(first)) == [Dropped.DUPLICATE]
    node.commit(first)
    assert drops(node.push(first)) == [Dropped.STALE]


def test_a_forged_copy_never_shadows_the_true_one() -> None:
    """Both copies have the same digest; the forged one comes first and its check is still under way."""
    node = desk()
    (batch,) = chain_of(1, 1)
    header = batch.header.encoded
    forged = header + bytes(65) + batch.encoded[len(header) + 65 :]
    (check,) = node.lanes.step(BatchReceived(ONE, forged), at(0))
    assert isinstance(check, CheckBatch)
    assert stores(node.push(batch)) == [batch]
    assert faults(node.step(node.checked(check))) == [Fault.INVALID_BATCH]
    assert held(node.sync()) == [batch.digest]


@pytest.mark.parametrize(
    ("encoded", "fault"),
    [
        (b"", Fault.MALFORMED),
        (b"\x01" * 300, Fault.MALFORMED),
        (bytes(CHAIN.parameters.batch_bytes_max + 1), Fault.OVERSIZED),
        (chain_of(2, 1)[0].encoded, Fault.WRONG_AUTHOR),
        (chain_of(1, 1)[0].encoded + b"\x00", Fault.MALFORMED),
        (chain_of(1, 1)[0].encoded[:-1] + b"\x01", Fault.INVALID_BATCH),
    ],
)
def test_what_no_innocent_author_pushes(encoded, fault) -> None:
    assert faults(desk().step(BatchReceived(ONE, encoded))) == [fault]


def test_an_author_whose_batch_does_not_follow_is_blamed() -> None:
    node = desk()
    first, _second = chain_of(1, 2)
    other = chain_of(1, 2, salt=b"other")
    node.push(first)
    assert faults(node.push(other[1])) == [Fault.BROKEN_CHAIN]
    assert node.lanes.forked() == ()


def test_a_batch_behind_a_gap_that_does_not_follow_is_dropped_when_the_gap_closes() -> None:
    node = desk()
    first, second = chain_of(1, 2)
    node.push(chain_of(1, 2, salt=b"other")[1])
    assert faults(node.push(first)) == [Fault.BROKEN_CHAIN]
    assert stores(node.push(second)) == [second]
    assert node.lanes._lanes[1].ahead_bytes == 0


# bounds


def test_at_most_so_many_are_kept_ahead() -> None:
    node = desk()
    batches = chain_of(1, limits.AHEAD_BATCHES_MAX + 2)
    assert drops(node.push(*batches[1:])) == [Dropped.TOO_FAR]


def test_the_bytes_in_memory_behind_a_gap_are_bounded() -> None:
    node = desk(ahead_bytes_max=0)  # two of the largest batches all the same
    batches = chain_of(1, 5, byte_count=600_000)
    assert drops(node.push(*batches[1:])) == [Dropped.AHEAD_FULL]
    assert node.lanes._lanes[1].ahead_bytes <= 2 * CHAIN.parameters.batch_bytes_max


def test_a_lane_with_too_much_uncommitted_is_refused_until_commits_free_it() -> None:
    node = desk(lane_bytes_max=3_000_000)
    node.link(1)
    batches = chain_of(1, 5, byte_count=800_000)
    assert drops(node.push(*batches)) == [Dropped.LANE_FULL, Dropped.LANE_FULL]
    node.sync()
    node.mono_ms = 1_000
    assert node.step(Ticked()) == []  # no room: nothing is asked for
    node.commit(*batches[:2])
    node.mono_ms = 1_100
    assert node.step(Ticked()) == [RequestGap(ONE, Seq(4))]
    assert stores(node.push(*batches[3:])) == batches[3:]


def test_a_needed_batch_is_taken_however_full_its_lane_is() -> None:
    node = desk(lane_bytes_max=100)
    (batch,) = chain_of(1, 1)
    assert drops(node.push(batch)) == [Dropped.LANE_FULL]
    node.need(batch)
    assert stores(node.push(batch)) == [batch]


# gaps


def test_a_gap_that_stays_is_asked_for_once_per_while() -> None:
    node = desk()
    node.link(1)
    batches = chain_of(1, 3)
    assert node.push(batches[1]) == []
    assert node.lanes.next_wake_ms() == 20
    node.mono_ms = 20
    assert node.step(Ticked()) == [RequestGap(ONE, Seq(1))]
    assert node.push(batches[2]) == []
    assert node.lanes.next_wake_ms() == 520
    node.push(batches[0])
    assert node.lanes.next_wake_ms() is None


def test_no_gap_is_asked_for_without_a_link() -> None:
    node = desk()
    node.push(chain_of(1, 2)[1])
    assert node.lanes.next_wake_ms() is None


# forks


def test_two_batches_of_one_seq_are_evidence_and_nothing_more_is_listed() -> None:
    node = desk()
    first, second, third = chain_of(1, 3)
    other = seal(1, 2, first, b"other")
    node.push(first, second)
    node.sync()
    effects = node.push(other)
    assert LaneForked(ONE) in effects
    assert stores(effects) == [other]
    assert node.sync() == [KeepEvidence(ONE, Seq(2), second.digest, other.digest)]
    assert drops(node.push(third)) == [Dropped.FORKED]
    assert node.lanes.forked() == (1,)


def test_a_fork_between_batches_that_are_not_stored_yet_keeps_both() -> None:
    node = desk()
    _first, second = chain_of(1, 2)
    other = chain_of(1, 2, b"other")[1]
    node.push(second)
    assert stores(node.push(other)) == [second, other]
    assert node.sync() == [KeepEvidence(ONE, Seq(2), second.digest, other.digest)]


def test_the_other_half_of_a_fork_is_taken_however_full_the_lane_is() -> None:
    node = desk(lane_batches_max=1)
    (first,) = chain_of(1, 1)
    node.push(first)
    assert LaneForked(ONE) in node.push(seal(1, 1, None, b"other"))


def test_what_was_being_stored_when_the_fork_showed_is_never_listed() -> None:
    node = desk()
    first, second = chain_of(1, 2)
    node.push(first, second)
    node.push(seal(1, 1, None, b"other"))
    assert held(node.sync()) == []


def test_an_ordered_batch_that_differs_from_ours_is_a_fork_and_is_fetched() -> None:
    node = desk()
    node.link(1, 2, 3)
    ours, theirs = seal(1, 1, None), seal(1, 1, None, b"other")
    node.push(ours)
    node.sync()
    assert LaneForked(ONE) in node.commit(theirs)
    node.need(theirs)
    node.mono_ms = 30
    assert {effect.peer for effect in node.step(Ticked()) if isinstance(effect, RequestBatch)} == {1, 2}
    assert stores(node.answer(1, theirs)) == [theirs]
    effects = node.sync()
    assert held(effects, chained=False) == [theirs.digest]
    assert KeepEvidence(ONE, Seq(1), ours.digest, theirs.digest) in effects


def test_a_lane_that_a_proof_shows_to_be_forked_is_not_listed_any_more() -> None:
    """A peer's proof: we may never see the other half."""
    node = desk()
    first, second, third, fourth = chain_of(1, 4)
    node.push(first)
    node.sync()
    node.push(second, fourth)  # one being stored, one waiting in memory
    assert node.step(ForkProven(ONE)) == [LaneForked(ONE)]
    assert node.lanes.forked() == (1,)
    assert held(node.sync()) == []
    assert drops(node.push(third)) == [Dropped.FORKED]
    assert node.lanes.uncommitted_bytes()[1] == len(first.encoded) + len(second.encoded)
    assert node.step(ForkProven(ONE)) == []


def test_a_proof_that_our_own_lane_is_forked_stops_us() -> None:
    """Somebody else seals with this key: whatever is sealed here is listed by nobody."""
    with pytest.raises(KeyUsedElsewhere):
        desk().step(ForkProven(ValidatorIndex(0)))


def test_of_a_forked_lane_the_ordered_batches_are_still_told() -> None:
    node = desk()
    ours = chain_of(1, 3)
    node.push(*ours[:2], seal(1, 1, None, b"other"))
    node.sync()
    assert held(node.commit(*ours[:2]), chained=False) == [ours[0].digest, ours[1].digest]
    node.need(ours[2])
    assert stores(node.push(ours[2])) == [ours[2]]
    assert held(node.sync(), chained=False) == [ours[2].digest]


# commits and missing batches


def test_a_commit_frees_what_it_orders_and_the_lane_goes_on() -> None:
    node = desk()
    batches = chain_of(1, 4)
    node.push(*batches[:3])
    node.sync()
    assert node.lanes.uncommitted_bytes()[1] == sum(len(batch.encoded) for batch in batches[:3])
    assert node.commit(*batches[:2]) == []
    assert node.lanes.uncommitted_bytes()[1] == len(batches[2].encoded)
    node.push(batches[3])
    assert held(node.sync()) == [batches[3].digest]


def test_a_batch_that_is_ordered_while_it_is_being_stored_is_told_after_its_sync() -> None:
    node = desk()
    (batch,) = chain_of(1, 1)
    node.push(batch)
    assert held(node.commit(batch)) == []
    assert held(node.sync()) == [batch.digest]
    assert not node.lanes._lanes[1].by_digest


def test_a_batch_that_is_ordered_while_it_waits_behind_a_gap_is_stored() -> None:
    node = desk()
    first, second = chain_of(1, 2)
    node.push(second)
    assert stores(node.commit(first, second)) == [second]
    assert held(node.sync(), chained=False) == [second.digest]


def test_the_lane_goes_on_behind_a_commit_before_the_missing_batches_are_here() -> None:
    node = desk()
    node.link(1, 2, 3)
    batches = chain_of(1, 4)
    node.commit(*batches[:3])
    node.need(*batches[:3])
    assert stores(node.push(batches[3])) == [batches[3]]
    assert held(node.sync()) == [batches[3].digest]
    assert node.lanes.missing_count() == 3
    assert stores(node.push(*batches[:3])) == batches[:3]  # the author, streaming from our hello, fills in
    assert held(node.sync(), chained=False) == [batch.digest for batch in batches[:3]]
    assert node.lanes.missing_count() == 0


def test_a_fetched_batch_counts_as_held_at_once_and_is_chained_when_its_lane_reaches_it() -> None:
    node = desk()
    node.link(2, 3)
    batches = chain_of(1, 3)
    node.need(batches[1])
    assert stores(node.answer(2, batches[1])) == [batches[1]]
    assert held(node.sync(), chained=False) == [batches[1].digest]
    node.push(batches[0], batches[2])
    assert held(node.sync(), chained=True) == [batch.digest for batch in batches]


def test_the_arrival_is_that_of_the_batchs_own_sync() -> None:
    node = desk()
    node.link(2)
    first, second = chain_of(1, 2)
    node.need(second)
    node.answer(2, second)
    node.mono_ms = 5
    node.sync()
    node.push(first)
    node.mono_ms = 9
    assert node.sync() == [
        BatchHeld(ONE, Seq(1), first.digest, at(9).wall_ms),
        BatchHeld(ONE, Seq(2), second.digest, at(5).wall_ms),
    ]


def test_what_is_needed_and_here_is_not_fetched() -> None:
    node = desk()
    node.link(2, 3)
    (batch,) = chain_of(1, 1)
    node.push(batch)
    assert node.need(batch) == []
    assert held(node.sync()) == [batch.digest]
    assert node.need(batch) == []
    assert node.lanes.missing_count() == 0


def test_a_push_that_may_be_on_its_way_is_waited_for_a_little() -> None:
    (batch,) = chain_of(1, 1)
    node = desk()
    node.link(1, 2)
    assert node.need(batch) == []
    assert node.lanes.next_wake_ms() == 20
    node.mono_ms = 20
    assert len(node.step(Ticked())) == 2
    without_author = desk()
    without_author.link(2, 3)
    assert len(without_author.need(batch)) == 2


def test_an_answer_is_taken_only_if_it_was_asked_for() -> None:
    node = desk()
    node.link(2, 3)
    (batch,) = chain_of(1, 1)
    assert drops(node.answer(2, batch)) == [Dropped.UNASKED]
    assert node.need(batch) == [RequestBatch(TWO, batch.digest), RequestBatch(ValidatorIndex(3), batch.digest)]
    other = seal(1, 1, None, b"other")
    assert faults(node.step(BatchReceived(TWO, other.encoded, batch.digest))) == [Fault.WRONG_HASH]
    assert drops(node.answer(2, batch)) == [Dropped.UNASKED]
    assert stores(node.answer(3, batch)) == [batch]


def test_a_bad_answer_is_a_failure_and_the_next_holder_is_asked() -> None:
    node = desk()
    node.link(1, 2, 3)
    node.mono_ms = 100
    (batch,) = chain_of(1, 1)
    node.need(batch)
    node.mono_ms = 200
    node.step(Ticked())
    effects = node.step(BatchReceived(ONE, batch.encoded[:-1] + b"\x01", batch.digest))
    assert faults(effects) == [Fault.INVALID_BATCH]
    assert RequestBatch(ValidatorIndex(3), batch.digest) in effects


def test_when_all_holders_failed_it_begins_again_after_a_pause() -> None:
    node = desk()
    node.link(2, 3)
    (batch,) = chain_of(1, 1)
    node.need(batch)
    for peer in (2, 3):
        assert node.step(FetchFailed(ValidatorIndex(peer), batch.digest)) == []
    wake_ms = node.lanes.next_wake_ms()
    assert wake_ms is not None
    assert wake_ms >= 250
    node.mono_ms = wake_ms
    assert len(node.step(Ticked())) == 2


# our own lane


def test_our_batch_is_stored_told_and_only_then_pushed() -> None:
    node = desk(index=0)
    node.link(1, 2)
    batch = seal(0, 1, None)
    assert node.lanes.own_next() == (1, bytes(32))
    assert node.step(OwnBatchSealed(batch)) == [StoreBatch(batch)]
    assert (node.lanes.own_uncommitted(), node.lanes.own_is_syncing()) == (1, True)
    assert node.lanes.next_to_push(ONE) is None
    effects = node.sync()
    assert held(effects) == [batch.digest]
    assert effects[-1] == PushLane((ONE, TWO))
    assert node.lanes.next_to_push(ONE) == 1
    assert node.lanes.own_next() == (2, batch.digest)
    assert not node.lanes.own_is_syncing()
    node.commit(batch)
    assert node.lanes.own_uncommitted() == 0


@pytest.mark.parametrize("batch", [seal(0, 2, None), seal(1, 1, None), seal(0, 1, seal(0, 1, None))])
def test_our_batch_must_follow_our_lane(batch) -> None:
    with pytest.raises(BrokenInvariant):
        desk(index=0).step(OwnBatchSealed(batch))


def test_an_ordered_batch_of_ours_that_we_do_not_remember_stops_the_process() -> None:
    with pytest.raises(BrokenInvariant):
        desk(index=0).commit(seal(0, 1, None))
    node = desk(index=0)
    node.step(OwnBatchSealed(seal(0, 1, None)))
    with pytest.raises(BrokenInvariant):
        node.commit(seal(0, 1, None, b"other"))


def test_a_peer_is_sent_our_lane_from_the_head_of_its_hello() -> None:
    node = desk(index=0)
    for batch in chain_of(0, 4):
        node.step(OwnBatchSealed(batch))
    node.sync()
    assert node.link(1, heads=(2, 0, 0, 0)) == [PushLane((ONE,))]
    sent = []
    while (seq := node.lanes.next_to_push(ONE)) is not None:
        assert node.lanes.next_to_push(ONE) == seq  # a refused send moves nothing
        sent.append(seq)
        node.lanes.push_accepted(ONE, seq)
    assert sent == [3, 4]
    assert node.lanes.next_to_push(TWO) is None
    node.link(1, heads=(3, 0, 0, 0))
    assert node.lanes.next_to_push(ONE) == 4
    node.step(LinkClosed(ONE))
    assert node.lanes.next_to_push(ONE) is None


def test_a_peer_may_ask_to_go_back_but_not_all_the_time() -> None:
    node = desk(index=0)
    for batch in chain_of(0, 4):
        node.step(OwnBatchSealed(batch))
    node.sync()
    node.link(1, heads=(4, 0, 0, 0))
    assert node.step(GapRequested(ONE, Seq(2))) == [PushLane((ONE,))]
    assert node.lanes.next_to_push(ONE) == 2
    assert drops(node.step(GapRequested(ONE, Seq(0)))) == [Dropped.GAP_TOO_OFTEN]
    node.mono_ms = 100
    assert node.step(GapRequested(ONE, Seq(2**63))) == []
    assert node.step(GapRequested(TWO, Seq(1))) == []


def test_a_hello_of_another_shape_is_a_fault() -> None:
    assert faults(desk().link(1, heads=(0, 0))) == [Fault.MALFORMED]


def test_one_liar_about_our_lane_is_ignored_and_a_witness_set_stops_the_process() -> None:
    node = desk(index=0)
    node.link(1, heads=(9, 0, 0, 0))
    node.step(OwnBatchSealed(seal(0, 1, None)))
    node.sync()
    assert node.lanes.next_to_push(ONE) == 1
    with pytest.raises(BrokenInvariant):
        node.link(2, heads=(9, 0, 0, 0))


def test_a_batch_of_another_epoch_is_refused_by_its_check() -> None:
    batch = chain_of(1, 1)[0]
    header = replace(batch.header, epoch=Epoch(1))
    encoded = header.encoded + batch.encoded[len(batch.header.encoded) :]
    assert desk().step(BatchReceived(ONE, encoded)) == [BlamePeer(ONE, Fault.INVALID_BATCH, "wrong_epoch")]


def test_positions_compare_by_seq_and_digest() -> None:
    node = desk()
    batches = chain_of(1, 2)
    node.push(*batches)
    node.sync()
    node.commit(*batches)
    assert node.lanes._lanes[1].committed == LanePosition(Seq(2), batches[1].digest)
    assert node.commit() == []
