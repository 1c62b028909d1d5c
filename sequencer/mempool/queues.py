"""One namespace's queue: first in, first out, bounded, with a time to live.

Responsible for: the order of submission, the count of what waits, and how fast it drains.
Refuses to do: judge transactions (`admission.py`) or choose between namespaces (`fair_share.py`).

Invariants:
1. What is taken leaves in the order of its submission.
2. `byte_count` is the sum of the segment bytes (length prefixes included) of all that waits.
3. An entry leaves by `take` or by `expire`, never otherwise.
"""

import math
from collections import Counter, deque
from typing import NamedTuple

from consensus.clock import Now
from consensus.numbers import Hash, NamespaceId
from consensus.vocabulary.batch import LENGTH_PREFIX_BYTES
from sequencer.mempool.errors import Refusal

_DRAIN_MEMORY_MS = 1_000.0


class Ticket(NamedTuple):
    """One request."""

    id: int
    received: Now


class Waiting(NamedTuple):
    """One admitted transaction: item `number` of its request."""

    ticket: Ticket
    number: int
    hash: Hash
    body: bytes


class DrainRate:
    """Bytes per ms that left, averaged with a memory that halves about every 0.7 s."""

    __slots__ = ("_at_mono_ms", "_level")

    def __init__(self) -> None:
        self._level = 0.0
        self._at_mono_ms = 0.0

    def note(self, byte_count: int, mono_ms: float) -> None:
        """`byte_count` bytes left at `mono_ms`."""
        self._level = self._decayed(mono_ms) + byte_count
        self._at_mono_ms = mono_ms

    def bytes_per_ms(self, mono_ms: float) -> float:
        """The rate as of `mono_ms`; 0 when nothing ever left."""
        return self._decayed(mono_ms) / _DRAIN_MEMORY_MS

    def _decayed(self, mono_ms: float) -> float:
        return self._level * math.exp(min(0.0, self._at_mono_ms - mono_ms) / _DRAIN_MEMORY_MS)


class NamespaceQueue:
    """See the module's invariants. `deficit` and `in_turn` belong to `fair_share.py`."""

    __slots__ = (
        "admitted_count",
        "byte_count",
        "deficit",
        "drain_rate",
        "entries",
        "expired_count",
        "in_turn",
        "namespace",
        "refused_counts",
        "sealed_count",
    )

    def __init__(self, namespace: NamespaceId) -> None:
        self.namespace = namespace
        self.entries: deque[Waiting] = deque()
        self.byte_count = 0
        self.deficit = 0
        self.in_turn = False
        self.drain_rate = DrainRate()
        self.admitted_count = 0
        self.sealed_count = 0
        self.expired_count = 0
        self.refused_counts: Counter[Refusal] = Counter()

    def head_size(self) -> int:
        """Segment bytes of the oldest entry; there is one."""
        return LENGTH_PREFIX_BYTES + len(self.entries[0].body)

    def take(self) -> Waiting:
        """Removes the oldest entry; there is one."""
        waiting = self.entries.popleft()
        self.byte_count -= LENGTH_PREFIX_BYTES + len(waiting.body)
        return waiting

    def expire(self, received_before_mono_ms: float) -> list[Waiting]:
        """Removes what was received before that, oldest first."""
        expired = []
        while self.entries and self.entries[0].ticket.received.mono_ms < received_before_mono_ms:
            expired.append(self.take())
        self.expired_count += len(expired)
        if not self.entries:
            self.deficit = 0
        return expired

    def oldest_age_ms(self, now: Now) -> float:
        """How long the oldest entry has waited; 0 when nothing waits."""
        return max(0.0, now.mono_ms - self.entries[0].ticket.received.mono_ms) if self.entries else 0.0
