"""The lanes after a restart."""

import pytest

from consensus.errors import BrokenInvariant
from consensus.numbers import Milliseconds, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.replica.events import BatchHeld, LaneForked
from consensus.vocabulary.batch import Batch
from sequencer.lanes.effects import CountDrop, KeepEvidence, RequestBatch
from sequencer.lanes.errors import Dropped
from sequencer.lanes.events import OwnBatchSealed
from sequencer.lanes.recovered import RecoveredBatch, RecoveredLanes, nothing_recovered
from tests.unit.lanes.lane_desk import COUNT, chain_of, desk, held, seal

NEW = nothing_recovered(COUNT).committed


def recovered_batch(batch: Batch, arrival_ms: int = 5) -> RecoveredBatch:
    header = batch.header
    return RecoveredBatch(
        header.author, header.seq, batch.digest, header.prev_digest, len(batch.encoded), Milliseconds(arrival_ms)
    )


def position(batch: Batch) -> LanePosition:
    return LanePosition(batch.header.seq, batch.digest)


def after(committed: dict[int, Batch], *batches: Batch, **more) -> RecoveredLanes:
    cut = list(NEW)
    for author, batch in committed.items():
        cut[author] = position(batch)
    return RecoveredLanes(tuple(cut), tuple(recovered_batch(batch) for batch in batches), **more)


def test_held_batches_are_told_in_order_with_their_stored_arrival() -> None:
    batches = chain_of(1, 4)
    node = desk(recovered=after({1: batches[0]}, batches[3], batches[0], batches[1], batches[2]))
    assert node.effects == [
        BatchHeld(ValidatorIndex(1), batch.header.seq, batch.digest, Milliseconds(5)) for batch in batches[1:]
    ]
    assert node.lanes.heads() == (0, 4, 0, 0)
    assert node.lanes.start() == []
    more = chain_of(1, 1, after=batches[3])
    node.push(*more)
    assert held(node.sync()) == [more[0].digest]


def test_what_does_not_reach_the_branch_waits_for_its_predecessor() -> None:
    batches = chain_of(1, 3)
    node = desk(recovered=after({}, batches[2]))
    assert node.effects == []
    node.push(*batches[:2])
    assert held(node.sync()) == [batch.digest for batch in batches]


def test_a_fork_on_disk_stays_a_fork() -> None:
    first, other = seal(1, 1, None), seal(1, 1, None, b"other")
    node = desk(recovered=after({}, first, other))
    assert node.effects == [
        LaneForked(ValidatorIndex(1)),
        KeepEvidence(ValidatorIndex(1), Seq(1), first.digest, other.digest),
    ]


def test_a_lane_with_known_evidence_is_not_listed() -> None:
    batches = chain_of(1, 2)
    node = desk(recovered=after({}, batches[0], forked=frozenset({ValidatorIndex(1)})))
    assert node.effects == [LaneForked(ValidatorIndex(1))]
    assert node.push(batches[1]) == [CountDrop(Dropped.FORKED)]


def test_an_author_goes_on_behind_its_newest_batch_wherever_it_is_recorded() -> None:
    own = chain_of(0, 3)
    for recovered in (
        after({0: own[0]}, own[1], own[2]),
        after({0: own[0]}, own[1], own_sealed=(position(own[2]),)),
        after({0: own[2]}, own_sealed=(position(own[2]),)),
    ):
        assert desk(recovered=recovered).lanes.own_next() == (4, own[2].digest)


def test_our_own_batches_that_were_lost_are_fetched_from_the_others() -> None:
    own = chain_of(0, 3)
    node = desk(recovered=after({}, own[0], own_sealed=(position(own[1]), position(own[2]))))
    assert node.lanes.own_next() == (4, own[2].digest)
    assert node.lanes.heads()[0] == 1
    requests = node.link(1, 2, heads=(3, 0, 0, 0))
    assert {effect.digest for effect in requests if isinstance(effect, RequestBatch)} == {own[1].digest, own[2].digest}
    node.answer(1, own[1])
    node.answer(1, own[2])
    assert held(node.sync()) == [own[1].digest, own[2].digest]
    assert node.lanes.heads()[0] == 3
    node.step(OwnBatchSealed(seal(0, 4, own[2])))


@pytest.mark.parametrize("known", [0, 1])
def test_a_chain_that_knows_more_of_our_lane_than_we_do_stops_the_process(known) -> None:
    own = chain_of(0, 2)
    with pytest.raises(BrokenInvariant):
        desk(recovered=after({0: own[1]}, own_sealed=tuple(map(position, own[:known]))))


def test_two_own_batches_of_one_seq_stop_the_process() -> None:
    first, other = seal(0, 1, None), seal(0, 1, None, b"other")
    with pytest.raises(BrokenInvariant):
        desk(recovered=after({}, first, other))
    with pytest.raises(BrokenInvariant):
        desk(recovered=after({}, first, own_sealed=(position(other),)))
