"""The tips beyond the committed chain, and what they order.

Responsible for: keeping known tips by id, linking them to the committed chain, and the effective cut along a branch.
Refuses to do: judge tips (`consensus/validity.py`) or decide to commit (`commit.py`).

Invariants:
1. Every tip in here was found valid, or is linked by hashes to a valid QC.
2. Of tips that neither a QC nor a timeout names, at most TIPS_PER_VIEW_MAX of one view are kept (more need an
   equivocating leader), and TIPS_UNCOMMITTED_MAX in all: the oldest go first, and are fetched again if they matter.
3. Tips of views up to the committed block's are dropped.
"""

import heapq
from collections import OrderedDict

from consensus import limits
from consensus.errors import BrokenInvariant
from consensus.numbers import BlockId, Height, View
from consensus.ordering.cut import Cut, determine_cut
from consensus.ordering.effective import Effective, OrderedBatch, order_cut
from consensus.validators import ValidatorSet
from consensus.vocabulary.tip import Tip

TIPS_PER_VIEW_MAX = 4


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

    def missing_ancestor(self, tip_id: BlockId) -> BlockId | None:
        """The first id on the way from `tip_id` to the committed block that is not known; None if linked."""
        while tip_id != self.committed_id:
            tip = self._tips.get(tip_id)
            if tip is None:
                return tip_id
            tip_id = tip.header.parent_id
        return None

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
        """The lanes after `tip` and its batches, if it is linked to the committed chain."""
        branch = self.branch(tip.id)
        if branch is None:
            return None
        state, batches = self.effective, tuple[OrderedBatch, ...]()
        for step in branch:
            known = self._ordered.get(step.id)
            if known is None:
                known = order_cut(state, step, self.cut_of(step))
                self._ordered[step.id] = known
            state, batches = known
        return state, batches

    def commit(self, tip: Tip) -> tuple[Effective, tuple[OrderedBatch, ...]]:
        """Makes `tip`, a child of the committed block, the committed one; returns what it orders."""
        if tip.header.parent_id != self.committed_id:
            raise BrokenInvariant(f"block {tip.id.hex()} does not extend the committed {self.committed_id.hex()}")
        ordered = self._ordered.get(tip.id) or order_cut(self.effective, tip, self.cut_of(tip))
        self.committed_id, self.effective = tip.id, ordered[0]
        self.committed_height, self.committed_view = tip.header.height, tip.view
        while self._by_view and self._by_view[0][0] <= tip.view:
            self._drop(heapq.heappop(self._by_view)[1])
        return ordered
