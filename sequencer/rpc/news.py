"""What a node tells its server at once: the seam of subscriptions, in the direction from the node to its clients.

Responsible for: the `Listener` protocol. `service.py` is the other direction.
Refuses to do: keep anything: what is told here and not listened to is gone, and can be asked for.

Invariants:
1. Every method is called from the event loop, returns at once, raises nothing and blocks nothing.
2. What is told can be read from the service already, but for `note_ordered`, which comes with the fresh QC itself.
"""

from collections.abc import Sequence
from typing import Protocol

from consensus.numbers import Height, Seq
from sequencer.client.evidence_views import EvidenceView
from sequencer.client.views import BlockView


class Listener(Protocol):
    """Who is told."""

    def note_ordered(self, blocks: Sequence[BlockView], ends: tuple[Seq, ...]) -> None:
        """A fresh QC covers these blocks, oldest first, each told once. `ends`: each lane's last batch up to there."""
        ...

    def note_executed(self, height: Height) -> None:
        """The chain is final and executed up to this height. Told for every height, in order."""
        ...

    def note_attested(self, height: Height) -> None:
        """A certificate covers everything up to this height."""
        ...

    def note_l1(self, posted: Height, settled: Height) -> None:
        """The L1 holds everything up to `posted`, a final block of it up to `settled`. `posted` may fall."""
        ...

    def note_evidence(self, evidence: EvidenceView) -> None:
        """A proof of a validator's fault is kept."""
        ...
