"""Execution of committed tips: which bytes reach which namespace, and what stays out."""

import pytest

from consensus.errors import BrokenInvariant
from consensus.merkle import merkle_root, root_of_path
from consensus.numbers import ZERO_HASH, Digest, Hash, NamespaceId, Seq
from consensus.signing import sha256
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.batch import frame_items
from consensus.vocabulary.block import INERT_LEAF, RUN_LEAF, SectionKind, namespace_leaf
from sequencer.execution.blocks import ClosedLane, ExecutedBlock
from sequencer.execution.errors import MissingBatch, NotAttested
from sequencer.execution.namespaces import LeavesRecord, leaves_at
from sequencer.execution.state import ExecutionState
from tests.chain_run import ChainRun
from tests.committee import FIRST, GENESIS_MS, SECOND, Committee, Segment, TipBuilder

UNKNOWN = NamespaceId(7)
ABOVE_TX_BYTES_MAX = b"x" * (64 * 1024 + 1)


@pytest.fixture(scope="module")
def committee() -> Committee:
    return Committee()


@pytest.fixture
def run(committee: Committee) -> ChainRun:
    return ChainRun(committee)


def test_a_transaction_becomes_a_namespace_block(committee: Committee, run: ChainRun) -> None:
    batch = run.seal(1, Segment(FIRST, (b"one", b"two")))
    block = run.block(1000, {1: [batch]}, anchor=Anchor(32, Hash(b"\x05" * 32)))

    (executed,) = block.namespaces
    made = executed.block
    assert (made.namespace, made.index, made.prev_hash) == (FIRST, 0, ZERO_HASH)
    assert (made.height, made.block_id, made.ts_ms) == (1, block.block_id, GENESIS_MS + 1000)
    assert made.l1_anchor == Anchor(32, Hash(b"\x05" * 32))
    (section,) = made.sections
    segment = frame_items([b"one", b"two"])
    assert (section.section, section.item_count, section.byte_count) == (SectionKind.OPEN, 2, len(segment))
    assert section.root == merkle_root([RUN_LEAF + sha256(segment)])
    assert made.data_root == merkle_root([section.encode()])
    assert executed.hash == made.hash(committee.chain.domain)
    assert block.namespaces_root == merkle_root([namespace_leaf(FIRST, made.index, executed.hash)])
    (where,) = executed.runs
    assert batch.encoded[where.offset : where.offset + where.byte_count] == segment == batch.segment(where.place)
    assert (where.lane, where.seq, where.digest) == (1, 1, batch.digest)


def test_runs_of_several_batches_follow_block_order_and_count_positions_on(run: ChainRun) -> None:
    first = run.seal(2, Segment(FIRST, (b"a", b"b")), Segment(SECOND, (b"z",)))
    second = run.seal(2, Segment(FIRST, (b"c",)))
    block = run.block(2000, {2: [first, second]})
    one, other = block.namespaces
    assert [(run.seq, run.first_position, run.item_count) for run in one.runs] == [(1, 0, 2), (2, 2, 1)]
    assert [(run.seq, run.place, run.first_position) for run in other.runs] == [(1, 1, 0)]
    assert (one.item_count, other.item_count) == (3, 1)
    assert one.byte_count == len(frame_items([b"a", b"b", b"c"]))


def test_namespaces_of_a_block_are_sorted_whatever_came_first(run: ChainRun) -> None:
    block = run.block(10, run.data(0, b"2", namespace=SECOND) | run.data(1, b"1", namespace=FIRST))
    assert [executed.block.namespace for executed in block.namespaces] == [FIRST, SECOND]


def test_blocks_of_a_namespace_are_dense_and_chained_over_gaps(run: ChainRun) -> None:
    first = run.block(10, run.data(0, b"1")).namespaces[0]
    assert run.block(20, run.data(0, b"2", namespace=SECOND)).namespaces[0].block.index == 0
    assert run.block(30).is_empty
    later = run.block(40, run.data(3, b"3")).namespaces[0]
    assert (later.block.index, later.block.prev_hash, later.block.height) == (1, first.hash, 4)


def test_the_root_has_a_leaf_for_every_namespace_that_ever_had_a_block(run: ChainRun) -> None:
    second = run.block(10, run.data(0, b"2", namespace=SECOND)).namespaces[0]
    first = run.block(20, run.data(0, b"1")).namespaces[0]
    assert run.state.namespaces.root == merkle_root(
        [
            namespace_leaf(FIRST, first.block.index, first.hash),
            namespace_leaf(SECOND, second.block.index, second.hash),
        ]
    )
    root = run.state.namespaces.root
    assert run.block(30).namespaces_root == root  # an empty block leaves it as it was


@pytest.mark.parametrize(
    "segment",
    [
        Segment(FIRST, (b"a", b"b"), claimed_count=1),
        Segment(FIRST, (b"a", b"b"), claimed_count=3),
        Segment(FIRST, (b"a",), claimed_count=0),
        Segment(FIRST, raw=b"\x00\x00\x00", claimed_count=1),  # no whole length
        Segment(FIRST, raw=b"\x00\x00\x00\x02a", claimed_count=1),  # an item that is cut off
        Segment(FIRST, raw=b"\x00\x00\x00\x01ab", claimed_count=1),  # bytes behind the last item
        Segment(FIRST, raw=b"\x00\x00\x00\x00", claimed_count=1),  # an empty item
        Segment(FIRST, (ABOVE_TX_BYTES_MAX,)),
        Segment(FIRST, raw=b"\xff\xff\xff\xff", claimed_count=1),
    ],
)
def test_an_inert_segment_is_ordered_as_bytes_and_has_no_items(run: ChainRun, segment: Segment) -> None:
    good = run.seal(1, Segment(FIRST, (b"good",)))
    block = run.block(1000, {1: [good, run.seal(1, segment)]})
    (executed,) = block.namespaces
    assert executed.item_count == 1
    assert executed.byte_count == len(frame_items([b"good"])) + len(segment.data)
    assert executed.block.sections[0].root == merkle_root(
        [RUN_LEAF + sha256(frame_items([b"good"])), INERT_LEAF + sha256(segment.data)]
    )
    assert [run.item_count for run in executed.runs] == [1, 0]
    assert block.dropped.inert_runs == 1


def test_a_namespace_with_nothing_but_an_inert_run_gets_a_block(run: ChainRun) -> None:
    block = run.block(1000, {0: [run.seal(0, Segment(FIRST, (b"a",), claimed_count=9))]})
    assert not block.is_empty
    assert block.namespaces[0].item_count == 0


@pytest.mark.parametrize(
    "segment",
    [Segment(UNKNOWN, (b"x",)), Segment(NamespaceId(0), (b"x",)), Segment(FIRST, (b"x",), kind=1)],
)
def test_unknown_namespaces_and_kinds_produce_nothing(run: ChainRun, segment: Segment) -> None:
    block = run.block(1000, {0: [run.seal(0, segment)]})
    assert block.is_empty
    assert block.namespaces_root == ZERO_HASH
    assert (block.dropped.foreign_segments, block.dropped.foreign_bytes) == (1, len(segment.data))


def test_segments_behind_a_foreign_one_are_found(run: ChainRun) -> None:
    batch = run.seal(0, Segment(UNKNOWN, (b"skip",)), Segment(FIRST, (b"1",)), Segment(SECOND, (b"2",)))
    one, other = run.block(1000, {0: [batch]}).namespaces
    for executed, item in ((one, b"1"), (other, b"2")):
        (where,) = executed.runs
        assert batch.encoded[where.offset : where.offset + where.byte_count] == frame_items([item])


def test_a_forked_lane_closes_and_stays_closed(committee: Committee, run: ChainRun) -> None:
    run.block(10, run.data(2, b"before"))
    stranger = committee.seal(2, 2, Digest(b"\x07" * 32), [Segment(FIRST, (b"fork",))])
    after = committee.seal(2, 3, stranger.digest, [Segment(FIRST, (b"after",))])
    block = run.block(1000, {2: [stranger, after]} | run.data(3, b"others go on"))
    assert block.closed_lanes == (ClosedLane(after.header.author, stranger.header.seq),)
    assert block.dropped.closed_lane_batches == 2
    assert [executed.item_count for executed in block.namespaces] == [1]

    chained = committee.seal(2, 4, after.digest, [Segment(FIRST, (b"later",))])
    later = run.block(2000, {2: [chained]})
    assert later.is_empty
    assert later.closed_lanes == ()
    assert later.dropped.closed_lane_batches == 1
    assert run.state.effective.cut[2].seq == 4  # cuts go on counting


def test_closed_lanes_are_kept_by_lane(committee: Committee, run: ChainRun) -> None:
    for lane in (3, 1, 2):
        run.block(10 + lane, {lane: [committee.seal(lane, 1, Digest(b"\x07" * 32), [Segment(FIRST, (b"fork",))])]})
    assert [closed.lane for closed in run.state.closed_lanes] == [1, 2, 3]


def test_batches_of_a_closed_lane_are_not_asked_for(committee: Committee, run: ChainRun) -> None:
    stranger = committee.seal(2, 1, Digest(b"\x07" * 32), [Segment(FIRST, (b"fork",))])
    run.block(10, {2: [stranger]})
    unheld = committee.seal(2, 2, stranger.digest, [Segment(FIRST, (b"never fetched",))])
    assert run.execute(run.tips.tip(1000, {2: [unheld]})).block.is_empty


def test_a_batch_of_another_place_closes_the_lane(committee: Committee, run: ChainRun) -> None:
    elsewhere = committee.seal(1, 5, Digest(ZERO_HASH), [Segment(FIRST, (b"x",))])
    assert run.block(10, {1: [elsewhere]}).closed_lanes == (ClosedLane(elsewhere.header.author, Seq(1)),)


def test_a_missing_batch_is_named_and_nothing_changes(run: ChainRun) -> None:
    batch = run.seal(0, Segment(FIRST, (b"x",)))
    ordered = run.executor.order(run.state, run.tips.tip(10, {0: [batch]}))
    assert [item.digest for item in ordered.batches] == [batch.digest]
    with pytest.raises(MissingBatch) as caught:
        run.executor.execute(run.state, ordered, {})
    assert caught.value.digest == batch.digest


def test_a_tip_that_does_not_follow_is_a_broken_invariant(committee: Committee, run: ChainRun) -> None:
    run.tips.tip(10)
    with pytest.raises(BrokenInvariant):
        run.executor.order(run.state, run.tips.tip(20))
    start = run.executor.start()
    first = run.executor.order(start, TipBuilder(committee).tip(10))
    later = run.executor.execute(start, first, {}).state
    with pytest.raises(BrokenInvariant):
        run.executor.execute(later, first, {})


def test_the_anchor_of_a_block_never_falls_back(run: ChainRun) -> None:
    high = Anchor(64, Hash(b"\x01" * 32))
    run.block(10, anchor=high)
    block = run.block(20, run.data(0, b"x"), anchor=Anchor(32, Hash(b"\x02" * 32)))
    assert (block.anchor, block.namespaces[0].block.l1_anchor) == (high, high)


def test_an_attested_parent_carries_its_own_id_and_roots(run: ChainRun) -> None:
    block = run.block(10, run.data(0, b"x"))
    assert block.attestation is None
    child = run.block(20)
    assert child.attestation is not None
    assert (child.attestation.height, child.attestation.block_id) == (1, block.block_id)
    assert child.attestation.namespaces_root == block.namespaces_root
    assert run.block(60).attestation is None


def test_an_attested_block_carries_its_own_roots(run: ChainRun) -> None:
    block = run.block(60, run.data(0, b"x"))
    assert block.attestation is not None
    assert (block.attestation.height, block.attestation.block_id) == (1, block.block_id)
    assert block.attestation.namespaces_root == block.namespaces_root
    assert run.block(70).attestation is None


def test_paths_of_every_attested_height_can_be_answered_later(run: ChainRun) -> None:
    roots = {}
    for number in range(1, 160):
        namespace = SECOND if number % 7 == 3 else FIRST
        block = run.block(60 * number, run.data(number % 4, b"%d" % number, namespace=namespace))
        assert block.attestation is not None
        roots[block.attestation.height] = (block.namespaces_root, block.namespaces[0])
    for height, (root, executed) in roots.items():
        heads = leaves_at(height, run.records.get)
        path = heads.path(executed.block.namespace)
        assert heads.root == root
        assert path is not None
        assert root_of_path(namespace_leaf(executed.block.namespace, executed.block.index, executed.hash), path) == root


def test_a_record_is_full_when_the_changes_would_be_as_long(run: ChainRun) -> None:
    for number in range(1, 20):
        run.block(60 * number, run.data(0, b"1") | run.data(1, b"2", namespace=SECOND))
    assert [LeavesRecord.decode(record).base for record in run.records.values()] == [0] * 19


def test_a_height_that_is_not_attested_has_no_leaves(run: ChainRun) -> None:
    run.block(10, run.data(0, b"x"))
    with pytest.raises(NotAttested):
        leaves_at(run.state.height, run.records.get)


def test_blocks_and_states_survive_storage(run: ChainRun) -> None:
    for number in range(6):
        block = run.block(30 * number, run.data(number % 4, b"%d" % number) if number % 3 else None)
        assert ExecutedBlock.decode(block.encode()) == block
        again = ExecutionState.decode(run.state.encode())
        assert again == run.state
        assert again.namespaces.tree == run.state.namespaces.tree
