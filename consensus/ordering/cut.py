"""The cut: what a quorum of lane reports determines, by rule and without any state.

Responsible for: which batches a set R of reports puts into a block, their arrival times, and the cut root.
Refuses to do: look at batches, clocks or committed state. What this file returns is a function of R alone.

For each lane, with W = the smallest `sent_ms` in R:
1. s0 = the largest s such that reports with base_seq ≥ s hold witness stake; carry(s0) = −∞.
2. For s = s0+1, …: support(d) = stake listing digest d at s + stake with base_seq ≥ s. time(d) = the smallest t such
   that reports with base_seq ≥ s, or listing d at a time sent_ms − age ≤ t, hold witness stake. Not listed
   never counts ▲.
3. A listed digest is live if support(d) ≥ witness and max(carry(s−1), time(d)) ≤ W ▲. With none live the lane stops.
4. digest(s) = the live one with most listing stake, then the smaller; arrival(s) = max(carry(s−1), time(digest(s)));
   carry(s) = max(carry(s−1), the smallest time in live). No report is dropped for what it listed elsewhere ▲.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from consensus.encoding import sequence, u16, u64
from consensus.numbers import ZERO_HASH, Digest, Hash, Milliseconds, Seq
from consensus.signing import sha256
from consensus.validators import ValidatorSet
from consensus.vocabulary.report import LaneReport

_BEFORE_ALL = -(2**64)  # −∞: below every time that a report can state
_NO_DIGEST = Digest(ZERO_HASH)


class LanePosition(NamedTuple):
    """How far a lane is ordered: its last seq and that batch's digest (zeros where no digest was determined)."""

    seq: Seq
    digest: Digest


class ListedBatch(NamedTuple):
    """A batch that a cut contains, with its arrival (signed ms; a liar may state a time before 1970)."""

    seq: Seq
    digest: Digest
    arrival_ms: int


@dataclass(frozen=True, slots=True)
class Cut:
    """Per lane, by index: where the cut ends, and every batch that the reports determined on the way."""

    ends: tuple[LanePosition, ...]
    listed: tuple[tuple[ListedBatch, ...], ...]

    def root(self) -> Hash:
        """SHA-256 of the list (lane, seq, digest) for all lanes."""
        return sha256(sequence([u16(lane) + u64(end.seq) + end.digest for lane, end in enumerate(self.ends)]))


class _Listing(NamedTuple):
    """Who lists one digest at one seq: the stake, and (time, stake) of each."""

    stake: int
    times: list[tuple[int, int]]


def determine_cut(reports: Sequence[LaneReport], validators: ValidatorSet) -> Cut:
    """The cut of R. The caller has checked that the reports are valid, distinct and a quorum."""
    horizon = min(report.sent_ms for report in reports)
    lanes = [_determine_lane(reports, lane, horizon, validators) for lane in range(validators.count)]
    return Cut(tuple(end for end, _ in lanes), tuple(listed for _, listed in lanes))


def committed_base(reports: Sequence[LaneReport], lane: int, validators: ValidatorSet) -> Seq:
    """s0: the largest s such that reports with base_seq ≥ s hold witness stake."""
    held = 0
    for base_seq, stake in sorted(
        ((report.lanes[lane].base_seq, validators.stakes[report.validator]) for report in reports), reverse=True
    ):
        held += stake
        if held >= validators.witness:
            return base_seq
    return Seq(0)


def _determine_lane(
    reports: Sequence[LaneReport], lane: int, horizon: Milliseconds, validators: ValidatorSet
) -> tuple[LanePosition, tuple[ListedBatch, ...]]:
    seq = committed_base(reports, lane, validators)
    end = LanePosition(seq, _NO_DIGEST)
    carry = _BEFORE_ALL
    passed: list[ListedBatch] = []
    last = max(report.lanes[lane].last_seq for report in reports)
    while seq < last:
        seq = Seq(seq + 1)
        live = _live_digests(reports, lane, seq, carry, horizon, validators)
        if not live:
            break
        _, digest, time = min((-stake, digest, time) for stake, digest, time in live)
        passed.append(ListedBatch(seq, digest, max(carry, time)))
        end = LanePosition(seq, digest)
        carry = max(carry, min(time for _, _, time in live))
    return end, tuple(passed)


def _live_digests(
    reports: Sequence[LaneReport], lane: int, seq: Seq, carry: int, horizon: int, validators: ValidatorSet
) -> list[tuple[int, Digest, int]]:
    """(listing stake, digest, time) of every live digest at `seq`."""
    base_stake, listings = _listings(reports, lane, seq, validators)
    live = []
    for digest, listing in listings.items():
        if listing.stake + base_stake < validators.witness:
            continue
        time = _witness_time(base_stake, listing.times, validators.witness)
        if max(carry, time) <= horizon:
            live.append((listing.stake, digest, time))
    return live


def _listings(
    reports: Sequence[LaneReport], lane: int, seq: Seq, validators: ValidatorSet
) -> tuple[int, dict[Digest, _Listing]]:
    """The stake whose base covers `seq`, and who lists what there."""
    base_stake = 0
    listings: dict[Digest, _Listing] = {}
    for report in reports:
        row = report.lanes[lane]
        stake = validators.stakes[report.validator]
        place = seq - row.base_seq
        if place <= 0:
            base_stake += stake
        elif place <= len(row.batches):
            digest, age_ms = row.batches[place - 1]
            known = listings.get(digest, _Listing(0, []))
            listings[digest] = _Listing(known.stake + stake, [*known.times, (report.sent_ms - age_ms, stake)])
    return base_stake, listings


def _witness_time(base_stake: int, times: list[tuple[int, int]], witness: int) -> int:
    """The smallest t by which the base and the listings at times ≤ t hold witness stake."""
    held = base_stake
    for time, stake in sorted(times):
        held += stake
        if held >= witness:
            return time
    raise ValueError("the caller checked that the support is a witness set")


def lane_start(count: int) -> tuple[LanePosition, ...]:
    """The cut of the genesis: nothing ordered in any of `count` lanes."""
    return (LanePosition(Seq(0), _NO_DIGEST),) * count
