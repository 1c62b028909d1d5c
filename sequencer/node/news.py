"""What the node tells its clients at once: the one point at which the drivers' news leave for the RPC server.

Responsible for: passing news on to who listens (`sequencer.rpc.news.Listener`), and telling every ordered block once.
Refuses to do: keep or queue anything: nobody can lag here. What listens bounds what it keeps.

Invariants:
1. Nothing here waits, reads the disk or costs more than a block's headers, whatever is in the block.
2. A block is told as ordered once, at the fresh QC that covers it, after its parent.
"""

from collections.abc import Callable, Sequence

from consensus.numbers import BlockId, Height, Seq
from consensus.vocabulary.tip import Tip
from sequencer.client.evidence_views import EvidenceView
from sequencer.client.views import BlockView
from sequencer.rpc.news import Listener


class News:
    """One per node."""

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self._told: dict[Height, BlockId] = {}  # ordered blocks above the committed one

    def listen(self, listener: Listener) -> None:
        """Tells it from now on; at most one listens."""
        self._listener = listener

    def ordered(
        self, branch: Sequence[Tip], view_of: Callable[[Tip], BlockView], ends: tuple[Seq, ...], committed: Height
    ) -> Callable[[], None]:
        """A fresh QC covers `branch`, the uncommitted blocks up to its own, oldest first.

        Call what is returned when it may be told: the branch may be committed by then, so it is looked at here.
        """
        new = [tip for tip in branch if self._told.get(tip.header.height) != tip.id]
        self._told = {height: told for height, told in self._told.items() if height > committed}
        self._told.update((tip.header.height, tip.id) for tip in new)
        views = [view_of(tip) for tip in new] if self._listener is not None else []

        def tell() -> None:
            if self._listener is not None:
                self._listener.note_ordered(views, ends)

        return tell

    def executed(self, height: Height) -> None:
        """A height is final and executed, and its write is synced."""
        if self._listener is not None:
            self._listener.note_executed(height)

    def attested(self, height: Height) -> None:
        """A certificate covers a height."""
        if self._listener is not None:
            self._listener.note_attested(height)

    def on_l1(self, posted: Height, settled: Height) -> None:
        """How far the chain is on the L1."""
        if self._listener is not None:
            self._listener.note_l1(posted, settled)

    def evidence_kept(self, evidence: EvidenceView) -> None:
        """A proof of a fault is synced."""
        if self._listener is not None:
            self._listener.note_evidence(evidence)
