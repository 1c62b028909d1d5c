"""What a tip adds to its parent: the effective cut and anchor, and the batches of its block in their order.

Responsible for: the step from one block to the next along a branch that is linked to the committed chain, as a pure
function.
Refuses to do: look inside batches (`sequencer/execution`), or be part of a validity check: no tip is judged by this
state ▲.

Invariants:
1. effective_cut(b) = max(effective_cut(parent), cut(b)) per lane; effective_anchor likewise: both are monotone.
2. The batches of b are those between the two cuts, sorted by (arrival, SHA-256(parent_id ‖ lane), seq): a tie never
   reverses a lane ▲.
"""

from dataclasses import dataclass
from typing import NamedTuple

from consensus.encoding import u16
from consensus.errors import BrokenInvariant
from consensus.numbers import Digest, Seq, ValidatorIndex
from consensus.ordering.cut import Cut, LanePosition, determine_cut, lane_start
from consensus.signing import sha256
from consensus.validators import ValidatorSet
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.tip import Tip


class OrderedBatch(NamedTuple):
    """A batch at its place in a block."""

    lane: ValidatorIndex
    seq: Seq
    digest: Digest
    arrival_ms: int


@dataclass(frozen=True, slots=True)
class Effective:
    """How far the committed chain orders every lane, and its newest L1 anchor."""

    cut: tuple[LanePosition, ...]
    anchor: Anchor


def effective_start(count: int) -> Effective:
    """The state at block 0 of a chain of `count` validators."""
    return Effective(lane_start(count), NO_ANCHOR)


def order_block(parent: Effective, tip: Tip, validators: ValidatorSet) -> tuple[Effective, tuple[OrderedBatch, ...]]:
    """The state after `tip` and its batches in order. `tip` is valid and its parent's state is `parent`.

    Raises `BrokenInvariant` if a batch between the cuts has no determined digest, which no committed chain contains.
    """
    return order_cut(parent, tip, determine_cut(tip.reports, validators))


def order_cut(parent: Effective, tip: Tip, cut: Cut) -> tuple[Effective, tuple[OrderedBatch, ...]]:
    """`order_block` for a cut that was determined already."""
    ends: list[LanePosition] = []
    keyed: list[tuple[int, bytes, int, OrderedBatch]] = []
    for index, (before, end, listed) in enumerate(zip(parent.cut, cut.ends, cut.listed, strict=True)):
        if end.seq <= before.seq:
            ends.append(before)
            continue
        lane = ValidatorIndex(index)
        tie_break = sha256(tip.header.parent_id + u16(lane))
        added = [batch for batch in listed if batch.seq > before.seq]
        if len(added) != end.seq - before.seq:
            raise BrokenInvariant(f"lane {lane}: no digest for some seq in ({before.seq}, {end.seq}]")
        keyed.extend(
            (batch.arrival_ms, tie_break, batch.seq, OrderedBatch(lane, batch.seq, batch.digest, batch.arrival_ms))
            for batch in added
        )
        ends.append(end)
    anchor = max(parent.anchor, tip.header.l1_anchor)
    return Effective(tuple(ends), anchor), tuple(entry[3] for entry in sorted(keyed))
