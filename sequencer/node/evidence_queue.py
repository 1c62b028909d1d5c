"""What waits to be judged as evidence, each peer's within its share.

Responsible for: order, and bounds of what peers can make us hold.
Refuses to do: know what is true, or what came before.

Invariants:
1. Of one peer at most SHARE_MAX wait, and at most its part of QUEUE_BYTES_MAX, or one of any size; of all peers
   QUEUE_BYTES_MAX. No peer can fill the queue, or take another's share.
2. What we found ourselves always finds room: whoever found it bounds how much that is.
"""

from collections import Counter, deque
from dataclasses import dataclass

from consensus.evidence.proofs import Proof
from consensus.numbers import ValidatorIndex
from consensus.vocabulary.messages import Proposal
from sequencer.lanes.effects import KeepEvidence

QUEUE_BYTES_MAX = 32 * 1024 * 1024  # of peers
SHARE_MAX = 64  # as many as a peer sends when its link opens


@dataclass(frozen=True, slots=True)
class Waiting:
    """A proof, encoded as a peer sent it or made here; or what may become one: a proposal that was refused, a fork."""

    found: Proof | bytes | Proposal | KeepEvidence
    sender: ValidatorIndex | None = None  # the peer whose message it is, or None if we found it
    is_counted: bool = False  # the detector found it, so its offence counts already

    @property
    def byte_count(self) -> int:
        """How much of its sender's share it takes."""
        match self.found:
            case bytes():
                return len(self.found)
            case Proposal():
                return len(self.found.encoded)
            case _:
                return 0  # made here, of what is bounded already


class EvidenceQueue:
    """See the module."""

    def __init__(self, peer_count: int) -> None:
        self._share_bytes_max = QUEUE_BYTES_MAX // peer_count
        self._waiting: deque[Waiting] = deque()
        self._counts: Counter[ValidatorIndex] = Counter()
        self._bytes: Counter[ValidatorIndex] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, waiting: Waiting) -> bool:
        """Queues it; False, and nothing queued, if its sender has no room."""
        sender = waiting.sender
        if sender is not None:
            size = waiting.byte_count
            if self._counts[sender] and not self._fits_share(sender, size):
                return False
            if self._bytes.total() + size > QUEUE_BYTES_MAX:
                return False
            self._counts[sender] += 1
            self._bytes[sender] += size
        self._waiting.append(waiting)
        return True

    def _fits_share(self, sender: ValidatorIndex, size: int) -> bool:
        return self._counts[sender] < SHARE_MAX and self._bytes[sender] + size <= self._share_bytes_max

    def take(self) -> Waiting:
        """The one that waits longest; there is one."""
        waiting = self._waiting.popleft()
        if waiting.sender is not None:
            self._counts[waiting.sender] -= 1
            self._bytes[waiting.sender] -= waiting.byte_count
        return waiting
