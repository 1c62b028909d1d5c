"""The ordering rules agree with their definition, and give what they promise."""

import itertools
from collections.abc import Iterator
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from consensus.numbers import BlockId, Epoch, Hash, Height, Milliseconds, ValidatorIndex, View
from consensus.ordering.blocktime import block_anchor, block_time, weighted_lower_median
from consensus.ordering.cut import determine_cut
from consensus.ordering.effective import effective_start, order_block
from consensus.signing import sha256
from consensus.vocabulary.certificates import TimeoutBody, genesis_qc, qc_only
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Header, Tip
from tests.property.lane_worlds import STAKES, World, any_reports, make_world, quoted, validators
from tests.property.naive_ordering import Judge, anchor, median

# Worlds are made from a seed, many for each one that hypothesis draws: the guarantees fail rarely when they fail.
SEEDS = given(st.integers(0, 2**48))
WORLDS_PER_SEED = 8


def cases(seed: int, parent_ts_ms: int) -> Iterator[tuple[World, list[LaneReport]]]:
    """Worlds, each with a set of reports that some leader may quote on a parent of this time."""
    rng = Random(seed)
    for _ in range(WORLDS_PER_SEED):
        world = make_world(rng)
        yield world, quoted(world, rng, parent_ts_ms)


def tip_of(reports: list[LaneReport], view: int, parent: bytes, stakes: tuple[int, ...]) -> Tip:
    """As much of a tip as ordering looks at."""
    made, count = validators(stakes), len(stakes)
    header = Header(
        Epoch(0), View(view), Height(view), BlockId(parent), Hash(bytes(32)), ValidatorIndex(0), Milliseconds(0),
        block_anchor(reports, made), Hash(bytes(32)), Hash(bytes(32)), Hash(bytes(32)),
    )  # fmt: skip
    justify = genesis_qc(bytes(32), Milliseconds(0), count)
    return Tip(header, bytes(65), justify, tuple(reports), None, count)


@SEEDS
def test_the_cut_is_what_its_definition_says_in_whatever_order_the_reports_come(seed):
    rng = Random(seed)
    for _ in range(WORLDS_PER_SEED):
        stakes = rng.choice(STAKES)
        reports = any_reports(rng, stakes)
        cut = determine_cut(reports, validators(stakes))
        judge = Judge(reports, stakes)
        for lane, (end, listed) in enumerate(zip(cut.ends, cut.listed, strict=True)):
            s0, ordered = judge.lane(lane)
            found = [(batch.seq, batch.digest, batch.arrival_ms) for batch in listed]
            assert found == [(batch.seq, batch.digest, batch.arrival) for batch in ordered]
            assert end == ((ordered[-1].seq, ordered[-1].digest) if ordered else (s0, bytes(32)))
        assert determine_cut(rng.sample(reports, len(reports)), validators(stakes)) == cut


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=9))
def test_the_median_is_what_its_definition_says(values):
    assert weighted_lower_median(values) == median(values)


@SEEDS
def test_block_time_and_anchor_are_what_their_definitions_say(seed):
    rng = Random(seed)
    for _ in range(WORLDS_PER_SEED):
        stakes, parent_ts_ms = rng.choice(STAKES), rng.randrange(990, 1_040)
        reports, made = any_reports(rng, stakes), validators(stakes)
        middle = median([(entry.sent_ms, stakes[entry.validator]) for entry in reports])
        assert block_time(reports, Milliseconds(parent_ts_ms), made) == max(parent_ts_ms + 1, middle)
        assert tuple(block_anchor(reports, made)) == anchor(reports, stakes)


@SEEDS
def test_liars_cannot_move_the_block_time_out_of_the_honest_range_nor_invent_an_anchor(seed):
    for world, reports in cases(seed, parent_ts_ms=0):
        honest = [entry.sent_ms for entry in reports if entry.validator not in world.liars]
        made = validators(world.stakes)
        assert min(honest) <= block_time(reports, Milliseconds(-1), made) <= max(honest)
        assert block_anchor(reports, made).number == 0  # no honest validator names one


@SEEDS
def test_inclusion(seed):
    """What every honest validator had more than δ before the parent's time is in every block on that parent."""
    parent_ts_ms = seed % 120
    for world, reports in cases(seed, parent_ts_ms):
        cut = determine_cut(reports, validators(world.stakes))
        for lane, arrivals in enumerate(world.arrivals[0]):
            for seq in range(1, len(arrivals) + 1):
                clocks = [world.arrivals[index][lane][seq - 1] + world.offsets[index] for index in world.honest]
                if max(clocks) < parent_ts_ms - world.skew_ms:
                    assert cut.ends[lane].seq >= seq, world


@SEEDS
def test_fairness(seed):
    """What every honest validator had more than δ before any had the other is ordered before it."""
    places = [(lane, seq) for lane in (0, 1) for seq in (1, 2, 3)]
    for world, reports in cases(seed, seed % 120):
        if len(world.stakes) < 2:
            continue
        cut = determine_cut(reports, validators(world.stakes))
        judge = Judge(reports, world.stakes)
        for (lane_a, seq_a), (lane_b, seq_b) in itertools.permutations(places, 2):
            had_a = [world.arrivals[index][lane_a][seq_a - 1] for index in world.honest]
            had_b = [world.arrivals[index][lane_b][seq_b - 1] for index in world.honest]
            if lane_a == lane_b or max(had_a) + world.skew_ms >= min(had_b) or judge.s0(lane_a) >= seq_a:
                continue
            first, second = (
                next((batch for batch in cut.listed[lane] if batch.seq == seq), None)
                for lane, seq in ((lane_a, seq_a), (lane_b, seq_b))
            )
            if second is not None:
                assert first is not None, world
                assert first.arrival_ms < second.arrival_ms, world


@SEEDS
def test_availability(seed):
    """Every batch in a cut is listed by an honest validator, or below the base of one."""
    for world, reports in cases(seed, 0):
        cut = determine_cut(reports, validators(world.stakes))
        honest = [entry for entry in reports if entry.validator not in world.liars]
        for lane, listed in enumerate(cut.listed):
            for batch in listed:
                assert any(batch.digest in {found for found, _ in entry.lanes[lane].batches} for entry in honest)


@SEEDS
def test_along_a_chain_cuts_only_grow_no_lane_is_reversed_and_nothing_is_ordered_twice(seed):
    """Any reports, as long as no base is above what was ordered: no witness set claims what never was.

    Only in the lane of an author who signed two batches of one seq may a later one have the earlier arrival; then it
    does not chain, and the lane is closed.
    """
    rng = Random(seed)
    stakes = rng.choice(STAKES)
    made, state, parent = validators(stakes), effective_start(len(stakes)), bytes(32)
    seen: set[tuple[int, int]] = set()
    for view in range(1, 7):
        reports = any_reports(rng, stakes, [end.seq for end in state.cut])
        after, batches = order_block(state, tip_of(reports, view, parent, stakes), made)
        assert all(new.seq >= old.seq for new, old in zip(after.cut, state.cut, strict=True))
        assert after.anchor >= state.anchor
        for lane in range(len(stakes)):
            seqs = [batch.seq for batch in batches if batch.lane == lane]
            has_forks = lane % 2 == 0
            assert (sorted(seqs) if has_forks else seqs) == list(
                range(state.cut[lane].seq + 1, after.cut[lane].seq + 1)
            )
        ranked = [(batch.arrival_ms, sha256(parent + batch.lane.to_bytes(2, "big")), batch.seq) for batch in batches]
        assert ranked == sorted(ranked)
        places = {(int(batch.lane), int(batch.seq)) for batch in batches}
        assert not places & seen
        seen |= places
        state, parent = after, sha256(parent)


BODIES = st.builds(
    lambda view, below, block, tip: (
        TimeoutBody(Epoch(0), View(9), View(view), BlockId(bytes(31) + bytes([block])), View(below))
        if tip and below < view
        else qc_only(Epoch(0), View(9), View(below))
    ),
    st.integers(1, 6),
    st.integers(0, 5),
    st.integers(0, 3),
    st.booleans(),
)


@given(BODIES, BODIES)
def test_rank_is_lexicographic_and_a_tie_goes_to_the_smaller_id(one, other):
    def key(body: TimeoutBody) -> tuple[float, float]:
        return (body.tip_view, body.qc_view) if body.tip_view else (body.qc_view, float("inf"))

    if key(one) != key(other):
        assert (one.rank > other.rank) == (key(one) > key(other))
    elif one.tip_view and one.tip_id != other.tip_id:
        assert (one.rank > other.rank) == (one.tip_id < other.tip_id)
    else:
        assert one.rank == other.rank
