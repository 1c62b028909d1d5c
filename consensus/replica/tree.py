"""The tips beyond the committed chain, and what they order.

Responsible for: keeping known tips by id, linking them to the committed chain, and the effective cut along a branch.
Refuses to do: judge tips (`consensus/validity.py`) or decide to commit (`commit.py`).

Invariants:
1. Every tip in here was found valid, or is linked by hashes to a valid QC.
2. Of tips that neither a QC nor a timeout names, at most TIPS_PER_VIEW_MAX of one view are kept (more need an
   equivocating leader), and TIPS_UNCOMMITTED_MAX in all: the oldest go first, and are fetched again if they matter.
3. Tips of views up to the committed block's are dropped.
4. What is found on the way down from a tip is remembered until a tip is dropped, so that each event of a node that is
   far behind costs as much as one of a node that is not.
5. One call orders at most `blocks_per_step` blocks.
"""

import heapq
from collections import OrderedDict
from dataclasses import dataclass

from consensus import limits
from consensus.errors import BrokenInvariant
from consensus.numbers import BlockId, Height, View
from consensus.ordering.cut import Cut, determine_cut
from consensus.ordering.effective import Effective, OrderedBatch, order_cut
from consensus.validators import ValidatorSet
from consensus.vocabulary.tip import Tip

TIPS_PER_VIEW_MAX = 4


@dataclass(frozen=True, slots=True)
class Gap:
    """Where the way down from a tip ends: a tip that is not known, or that lies beside the committed chain."""

    tip_id: BlockId
    height: Height


class TipTree:
    """Known tips above the last committed block."""

    def __init__(
        self, validators: ValidatorSet, committed_id: BlockId, height: Height, view: View, effective: Effective
    ) -> None:
        self._validators = validators
        self._tips: dict[BlockId, Tip] = {}
        self._cuts: dict[BlockId, Cut] = {}
        self._ordered: dict[BlockId, tuple[Effective, tuple[OrderedBatch, ...]]] = {}
        self._loose: OrderedDict[BlockId, View] = OrderedDict()
        self._by_view: list[tuple[View, BlockId]] = []  # a heap of all that was added and no commit has passed
        self._ends: dict[BlockId, tuple[BlockId, Height]] = {}  # tip → where its way down went to, as far as known then
        self.blocks_per_step = max(1, limits.STEP_LANES_MAX // validators.count)
        self.committed_id = committed_id
        self.committed_height = height
        self.committed_view = view
        self.effective = effective

    def get(self, tip_id: BlockId) -> Tip | None:
        """The tip with this id, if known."""
        return self._tips.get(tip_id)

    def __len__(self) -> int:
        return len(self._tips)

    def add(self, tip: Tip, cut: Cut | None = None, *, named: bool = False) -> bool:
        """Keeps a valid tip; returns whether it was new.

        `named`: a valid QC or a kept timeout names it, so its number is bounded by theirs.
        """
        if tip.id in self._tips or tip.header.height <= self.committed_height:
            return False
        if not named:
            if sum(view == tip.view for view in self._loose.values()) >= TIPS_PER_VIEW_MAX:
                return False
            self._loose[tip.id] = tip.view
            if len(self._loose) > limits.TIPS_UNCOMMITTED_MAX:
                self._drop(next(iter(self._loose)))
        self._tips[tip.id] = tip
        heapq.heappush(self._by_view, (tip.view, tip.id))
        if cut is not None:
            self._cuts[tip.id] = cut
        return True

    def note_named(self, tip_id: BlockId) -> None:
        """A QC or timeout names this tip: it no longer counts as loose."""
        self._loose.pop(tip_id, None)

    def _drop(self, tip_id: BlockId) -> None:
        self._ends.clear()
        for index in (self._tips, self._cuts, self._ordered, self._loose):
            index.pop(tip_id, None)

    def cut_of(self, tip: Tip) -> Cut:
        """The cut that the tip's reports determine."""
        cut = self._cuts.get(tip.id)
        if cut is None:
            cut = determine_cut(tip.reports, self._validators)
            if tip.id in self._tips:
                self._cuts[tip.id] = cut
        return cut

    def missing_ancestor(self, tip_id: BlockId, height: Height) -> Gap | None:
        """Where the way from a tip of this height to the committed block breaks off; None if it does not.

        A gap at or below the committed height is none to fill: that branch was abandoned.
        """
        passed: list[BlockId] = []
        while tip_id != self.committed_id and height > self.committed_height:
            step = self._ends.get(tip_id)
            if step is None:
                tip = self._tips.get(tip_id)
                if tip is None:
                    break
                step = tip.header.parent_id, Height(tip.header.height - 1)
            passed.append(tip_id)
            tip_id, height = step
        self._ends.update(dict.fromkeys(passed, (tip_id, height)))
        return None if tip_id == self.committed_id else Gap(tip_id, height)

    def branch(self, tip_id: BlockId) -> list[Tip] | None:
        """The tips from the committed block (exclusive) to `tip_id`, oldest first; None if not linked."""
        tips: list[Tip] = []
        while tip_id != self.committed_id:
            tip = self._tips.get(tip_id)
            if tip is None or tip.header.height <= self.committed_height:
                return None
            tips.append(tip)
            tip_id = tip.header.parent_id
        tips.reverse()
        return tips

    def order(self, tip: Tip) -> tuple[Effective, tuple[OrderedBatch, ...]] | None:
        """The lanes after `tip` and its batches; None if it is not linked to the committed chain.

        Nor can it be said in this call if more than `blocks_per_step` blocks below are not ordered yet.
        """
        if tip.id == self.committed_id:
            return self.effective, ()
        if self.missing_ancestor(tip.id, tip.header.height) is not None:
            return None
        steps: list[Tip] = []
        lower, known = tip.id, None
        while lower != self.committed_id and (known := self._ordered.get(lower)) is None:
            steps.append(self._tips[lower])
            lower = steps[-1].header.parent_id
        state, batches = known or (self.effective, ())
        for step in reversed(steps[-self.blocks_per_step :]):
            state, batches = self._ordered[step.id] = order_cut(state, step, self.cut_of(step))
        return (state, batches) if len(steps) <= self.blocks_per_step else None

    def commit(self, tip: Tip) -> tuple[Effective, tuple[OrderedBatch, ...]]:
        """Makes `tip`, a child of the committed block, the committed one; returns what it orders."""
        if tip.header.parent_id != self.committed_id:
            raise BrokenInvariant(f"block {tip.id.hex()} does not extend the committed {self.committed_id.hex()}")
        ordered = self._ordered.get(tip.id) or order_cut(self.effective, tip, self.cut_of(tip))
        self.committed_id, self.effective = tip.id, ordered[0]
        self.committed_height, self.committed_view = tip.header.height, tip.view
        self._ends.clear()
        while self._by_view and self._by_view[0][0] <= tip.view:
            self._drop(heapq.heappop(self._by_view)[1])
        return ordered
