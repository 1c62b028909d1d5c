"""What a node says of transactions: copies under one hash, receipts whose author is away, and waiting that ends."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from consensus.numbers import Hash, Height, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.batch import KIND_OPEN, Batch, transaction_id
from sequencer.client.status import LanePlace, Status, TransactionPlace, TransactionStatus
from sequencer.execution.blocks import ClosedLane
from sequencer.node.progress import Progress
from sequencer.node.records import batch_record
from sequencer.node.transaction_views import TransactionViews
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.database import Database
from storage.transactions import POSITIONS_MAX, LaneRun, TransactionStore
from tests.chain_run import ChainRun
from tests.committee import FIRST, Committee, LaneWriter, Segment

TX = Hash(b"t" * 32)
ITEM = b"one"
HASH = transaction_id(FIRST, KIND_OPEN, ITEM)
HELD_MS = Milliseconds(1_700_000_001_000)


class Attested(TransactionViews):
    """Views in which every transaction is attested at height 1."""

    def __init__(self):
        self._progress = Progress((), Height(1), Height(1), Height(1))

    def status(self, tx_hash, claimed=None):
        return TransactionStatus(tx_hash, Status.ATTESTED, height=Height(1))


@pytest.mark.parametrize("status", [Status.POSTED, Status.SETTLED])
async def test_waiting_for_a_rung_that_cannot_come_ends_with_its_deadline(status, autojump_clock):
    found = await Attested().wait(TX, status, timeout_ms=5_000)
    assert found.status is Status.ATTESTED


async def test_a_rung_that_is_reached_is_told_at_once():
    found = await Attested().wait(TX, Status.FINAL, timeout_ms=5_000)
    assert found.has_reached(Status.FINAL)


class Desk:
    """The views of validator 0, over real stores."""

    def __init__(self, directory, database):
        self.committee = Committee()
        chain = self.committee.chain
        self.run = ChainRun(self.committee)
        self.database = database
        self.log = BatchLog.open(directory, database, chain.chain_id)
        self.progress = Progress((Seq(0),) * 4, Height(0), Height(0), Height(0))
        self.away: dict[ValidatorIndex, Milliseconds] = {}
        self.closed: list[ClosedLane] = []
        self.forked: set[ValidatorIndex] = set()
        stores = SimpleNamespace(database=database, blocks=BlockStore(database), batches=self.log)
        self.views = TransactionViews(
            chain=chain,
            index=ValidatorIndex(0),
            key=self.committee.node_keys[0],
            stores=stores,  # type: ignore[arg-type]
            progress=self.progress,
            away_since_ms=self.away.get,
            is_forked=lambda lane: lane in self.forked,
            execution_state=lambda: replace(self.run.state, closed_lanes=tuple(self.closed)),
            has_expired=lambda _: False,
            l1_place=lambda _: None,
        )

    def seal(self, lane, *items):
        """A batch of a lane with these transactions, not held."""
        ((batch,),) = self.run.data(lane, *(items or (ITEM,))).values()
        return batch

    def hold(self, batch):
        self.log.append_many([batch_record(batch, HELD_MS)], lambda: HELD_MS)
        return batch

    def index(self, batch):
        """What the front door notes of its own batch."""
        place = LaneRun(batch.header.author, batch.header.seq, FIRST, KIND_OPEN, 0)
        self.database.write(TransactionStore.sealed_puts(place, [HASH]), sync=True)

    def block(self, *batches, indexed=True):
        """A block with these batches is executed and indexed."""
        by_lane: dict[int, list[Batch]] = {}
        for batch in batches:
            by_lane.setdefault(batch.header.author, []).append(batch)
        block = self.run.block(100 * (self.run.state.height + 1), by_lane)
        (executed,) = block.namespaces
        part, puts, position = executed.block, [], 0
        for run in executed.runs if indexed else ():
            lane_run = LaneRun(run.lane, run.seq, FIRST, KIND_OPEN, 0)
            puts += TransactionStore.final_puts(lane_run, part.index, position, [HASH])
            position += run.item_count
        puts += BlockStore.namespace_block_puts(part.namespace, part.index, block.height, part.encode())
        puts += BlockStore.executed_block_puts(block.height, block.encode())
        self.database.write(puts, sync=True)
        self.progress.note_executed(tuple(end.seq for end in self.run.state.effective.cut), block.height)
        return block


@pytest.fixture
def desk(tmp_path):
    with Database.open(tmp_path, Committee().chain.chain_id) as database:
        made = Desk(tmp_path / "batches", database)
        yield made
        made.log.close()


def place_of(batch):
    return LanePlace(batch.header.author, batch.header.seq, batch.digest)


def test_copies_through_several_lanes_stand_under_one_hash(desk):
    own, second, third = (desk.hold(desk.seal(lane)) for lane in (0, 1, 2))
    desk.index(own)
    block = desk.block(second, third)
    found = desk.views.status(HASH)
    assert found.status is Status.FINAL
    assert found.count == 2
    assert {(place.lane, place.height) for place in found.places} == {(0, None), (1, block.height), (2, block.height)}
    assert found.places[0].namespace_index == found.namespace_index
    assert [place.position for place in found.places] == [0, 1, None]
    assert found.receipt is not None  # our own promise stands until it is kept, too

    desk.block(own)
    found = desk.views.status(HASH)
    assert found.count == 3
    assert found.places[2] == TransactionPlace(ValidatorIndex(0), Seq(1), 0, Height(2), found.namespace_index + 1, 0)


def test_the_places_of_many_copies_are_bounded(desk):
    for _ in range(POSITIONS_MAX + 4):
        desk.block(desk.hold(desk.seal(1)))
    found = desk.views.status(HASH)
    assert found.count == POSITIONS_MAX + 4
    assert [place.seq for place in found.places] == list(range(1, POSITIONS_MAX + 1))


def test_while_its_author_is_away_it_stays_received_and_says_since_when(desk):
    batch = desk.seal(2)
    assert desk.views.status(HASH).status is Status.UNKNOWN
    found = desk.views.status(HASH, place_of(batch))
    assert (found.status, found.received_ms, found.author_away_since_ms) == (Status.RECEIVED, None, None)
    desk.away[ValidatorIndex(2)] = Milliseconds(77)
    desk.hold(batch)
    found = desk.views.status(HASH, place_of(batch))
    assert (found.status, found.reason) == (Status.RECEIVED, None)
    assert (found.received_ms, found.author_away_since_ms) == (HELD_MS, 77)


def test_what_is_refused_stands_in_a_lane_that_is_closed(desk):
    batch = desk.hold(desk.seal(2))
    desk.closed = [ClosedLane(ValidatorIndex(2), Seq(2))]
    assert desk.views.status(HASH, place_of(batch)).status is Status.RECEIVED
    desk.closed = [ClosedLane(ValidatorIndex(2), Seq(1))]
    found = desk.views.status(HASH, place_of(batch))
    assert (found.status, found.reason) == (Status.REFUSED, "lane_closed")
    desk.index(desk.hold(desk.seal(0)))
    desk.closed = [ClosedLane(ValidatorIndex(0), Seq(1))]
    assert desk.views.status(HASH).reason == "lane_closed"


def test_by_a_receipt_the_batch_that_it_names_is_called_final_and_no_other(desk):
    batch = desk.hold(desk.seal(2))
    desk.block(batch, indexed=False)
    found = desk.views.status(HASH, place_of(batch))
    assert (found.status, found.height, found.section) == (Status.FINAL, Height(1), "open")
    other = desk.seal(1)
    wrong = LanePlace(batch.header.author, batch.header.seq, other.digest)
    assert desk.views.status(HASH, wrong).status is Status.UNKNOWN
    assert desk.views.status(HASH, LanePlace(ValidatorIndex(9), Seq(1), batch.digest)).status is Status.UNKNOWN


async def test_a_receipt_can_be_waited_for_at_another_node(desk, nursery):
    batch = desk.hold(desk.seal(2))
    nursery.start_soon(desk.views.wait, HASH, Status.FINAL, 10_000, place_of(batch))
    desk.block(batch, indexed=False)
    found = await desk.views.wait(HASH, Status.FINAL, 10_000, place_of(batch))
    assert found.has_reached(Status.FINAL)


def test_a_receipt_of_another_lane_counts_where_the_own_copy_is_behind(desk):
    desk.index(desk.hold(desk.seal(0)))
    other = desk.hold(desk.seal(2))
    desk.block(other, indexed=False)
    assert desk.views.status(HASH).status is Status.RECEIVED
    found = desk.views.status(HASH, place_of(other))
    assert (found.status, found.height) == (Status.FINAL, Height(1))
    assert found.receipt is not None
    assert [place.lane for place in found.places] == [0]


def test_a_receipt_of_another_lane_holds_where_the_own_lane_is_closed(desk):
    desk.index(desk.hold(desk.seal(0)))
    desk.closed = [ClosedLane(ValidatorIndex(0), Seq(1))]
    assert desk.views.status(HASH).status is Status.REFUSED
    assert desk.views.status(HASH, place_of(desk.seal(2))).status is Status.RECEIVED


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("status", [Status.ORDERED, Status.FINAL])
async def test_either_copy_ends_a_wait(desk, nursery, first, status):
    copies = {lane: desk.hold(desk.seal(lane)) for lane in (0, 2)}
    desk.index(copies[0])
    found = []

    async def wait():
        found.append(await desk.views.wait(HASH, status, 10_000, place_of(copies[2])))

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    desk.block(copies[first], indexed=False)
    await trio.testing.wait_all_tasks_blocked()
    assert [status.status for status in found] == [Status.FINAL]


async def test_a_wait_for_another_copy_rests_while_the_own_one_is_refused(desk, autojump_clock):
    own = desk.hold(desk.seal(0))
    desk.index(own)
    desk.block(own, indexed=False)
    desk.closed = [ClosedLane(ValidatorIndex(0), Seq(1))]
    asked, status = [], desk.views.status

    def note(*arguments):
        asked.append(arguments)
        return status(*arguments)

    desk.views.status = note
    found = await desk.views.wait(HASH, Status.FINAL, 10_000, place_of(desk.seal(2)))
    assert found.status is Status.RECEIVED
    assert len(asked) < 5


async def test_a_wait_ends_when_the_lane_is_closed(desk, nursery):
    batch = desk.hold(desk.seal(2))
    found = []

    async def wait(status):
        found.append(await desk.views.wait(HASH, status, 10_000, place_of(batch)))

    nursery.start_soon(wait, Status.ORDERED)
    nursery.start_soon(wait, Status.FINAL)
    await trio.testing.wait_all_tasks_blocked()
    desk.closed = [ClosedLane(ValidatorIndex(2), Seq(1))]
    desk.progress.note_closed(ValidatorIndex(2))
    await trio.testing.wait_all_tasks_blocked()
    assert [status.reason for status in found] == ["lane_closed", "lane_closed"]


def test_of_a_forked_lane_what_is_not_ordered_says_so(desk):
    batch = desk.hold(desk.seal(2))
    desk.forked.add(ValidatorIndex(2))
    found = desk.views.status(HASH, place_of(batch))
    assert (found.status, found.reason, found.has_ended) == (Status.RECEIVED, "lane_forked", False)
    desk.block(batch, indexed=False)
    assert desk.views.status(HASH, place_of(batch)).reason is None


def test_of_two_batches_of_one_seq_the_executed_one_is_final_whichever_is_held(desk):
    batch = desk.seal(2)
    rival = desk.hold(LaneWriter(desk.committee, ValidatorIndex(2)).seal(Segment(FIRST, (b"rival",))))
    assert (rival.header.seq, rival.digest == batch.digest) == (batch.header.seq, False)
    desk.block(batch, indexed=False)  # and pruned: it is held no more
    desk.forked.add(ValidatorIndex(2))
    assert desk.views.status(HASH, place_of(rival)).status is Status.UNKNOWN
    assert desk.views.status(HASH, place_of(batch)).status is Status.FINAL


def test_a_batch_that_is_pruned_is_final_still(desk):
    batch = desk.seal(2)
    desk.block(batch, indexed=False)
    assert desk.views.status(HASH, place_of(batch)).status is Status.FINAL
    wrong = replace(place_of(batch), batch=desk.seal(1).digest)
    assert desk.views.status(HASH, wrong).status is Status.UNKNOWN


def test_a_rung_does_not_fall_when_the_height_is_forgotten(desk):
    batch = desk.hold(desk.seal(2))
    desk.block(batch, indexed=False)
    ends = tuple(end.seq for end in desk.run.state.effective.cut)
    desk.views._progress = restarted = Progress(ends, Height(1), Height(1), Height(1))
    assert desk.views.status(HASH, place_of(batch)).status is Status.ATTESTED
    restarted.note_executed(ends, Height(2))
    assert desk.views.status(HASH, place_of(batch)).status is Status.ATTESTED
