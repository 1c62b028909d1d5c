"""One namespace's queue: first in, first out, bounded, with a time to live.

Responsible for: the order of submission, the count of what waits, and how fast it comes and goes.
Refuses to do: judge transactions (`admission.py`), bound them (`quota.py`) or choose between namespaces
(`fair_share.py`).

Invariants:
1. What is taken leaves in the order of its submission.
2. `byte_count` is the sum of the segment bytes (length prefixes included) of all that waits, `entry_count` its number.
3. A transaction leaves by `take` or by `expire`, never otherwise.
4. There is an object for each run of a request, none for each transaction. A run holds at most twice the bytes that
   wait of it, whatever else its request held.
"""

import bisect
from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

from consensus.clock import Now
from consensus.namespace_terms import DEFAULT_TERMS, NamespaceTerms
from consensus.numbers import Hash, NamespaceId
from consensus.vocabulary.batch import Items
from sequencer.mempool.errors import Refusal
from sequencer.mempool.flow import Flow
from sequencer.mempool.quota import NAMESPACE_BURST_MS, Bucket

# Hash, receipt and place cost a transaction so much, however short it is. So a batch of 512 KiB has 8,192 at most, and
# a flood of tiny ones takes no more of the processor than of the batches.
TX_COST_BYTES_LEAST = 64


class Ticket(NamedTuple):
    """One request."""

    id: int
    received: Now


class Run:
    """Consecutive transactions of one request: item `number` of it and those that follow."""

    __slots__ = ("_hashes", "_items", "_number", "_taken", "ticket")

    def __init__(self, ticket: Ticket, number: int, items: Items, hashes: Sequence[Hash]) -> None:
        """`items` and `hashes` go together."""
        self.ticket = ticket
        self._number = number
        self._items = items
        self._hashes = hashes
        self._taken = 0  # so many at the front have left

    def __len__(self) -> int:
        return len(self._items) - self._taken

    @property
    def number(self) -> int:
        """The first one's number in its request."""
        return self._number + self._taken

    @property
    def hashes(self) -> Sequence[Hash]:
        """The ids of all that wait."""
        return self._hashes[self._taken :] if self._taken else self._hashes

    @property
    def framed(self) -> bytes:
        """The segment bytes of all that waits."""
        return self._items.framed[self._items.begin(self._taken) :]

    @property
    def byte_count(self) -> int:
        """How many those are."""
        return len(self._items.framed) - self._items.begin(self._taken)

    @property
    def cost_bytes(self) -> int:
        """What it costs of a share and of a batch: its bytes, but no less than TX_COST_BYTES_LEAST a transaction."""
        return max(self.byte_count, TX_COST_BYTES_LEAST * len(self))

    def head_cost_bytes(self) -> int:
        """That of the first."""
        return max(TX_COST_BYTES_LEAST, self._items.ends[self._taken] - self._items.begin(self._taken))

    def split(self, cost_max: int) -> "Run":
        """Takes off as many as cost so much together: at least the first, and not all."""
        items, taken = self._items, self._taken
        end = bisect.bisect_right(items.ends, items.begin(taken) + cost_max, taken)
        end = min(end, taken + cost_max // TX_COST_BYTES_LEAST)
        head = Run(self.ticket, self.number, items.part(taken, end), self._hashes[taken:end])
        self._taken = end
        if items.begin(end) > len(items.framed) // 2:
            self._number, self._taken = self.number, 0
            self._items, self._hashes = items.part(end, len(items)), self._hashes[end:]
        return head


class NamespaceQueue:
    """See the module's invariants. `deficit` and `in_turn` belong to `fair_share.py`."""

    __slots__ = (
        "admitted",
        "admitted_count",
        "byte_count",
        "deficit",
        "entry_count",
        "expired_count",
        "in_turn",
        "namespace",
        "quota",
        "refused_counts",
        "runs",
        "sealed",
        "sealed_count",
        "terms",
    )

    def __init__(self, namespace: NamespaceId, terms: NamespaceTerms = DEFAULT_TERMS) -> None:
        self.namespace = namespace
        self.terms = terms
        self.quota = Bucket(terms.bytes_per_s, terms.tx_per_s, NAMESPACE_BURST_MS)
        self.runs: deque[Run] = deque()
        self.entry_count = 0
        self.byte_count = 0
        self.deficit = 0
        self.in_turn = False
        self.admitted = Flow()
        self.sealed = Flow()
        self.admitted_count = 0
        self.sealed_count = 0
        self.expired_count = 0
        self.refused_counts: Counter[Refusal] = Counter()

    def append(self, run: Run) -> None:
        """These wait behind all others."""
        self.runs.append(run)
        self.entry_count += len(run)
        self.byte_count += run.byte_count

    def head_cost_bytes(self) -> int:
        """What the oldest transaction costs; there is one."""
        return self.runs[0].head_cost_bytes()

    def take(self, cost_max: int) -> Run:
        """Removes as many of the oldest run as cost so much at most; the oldest transaction does."""
        run = self.runs[0]
        if run.cost_bytes <= cost_max:
            self.runs.popleft()
        else:
            run = run.split(cost_max)
        self._note_left(run)
        return run

    def expire(self, received_before_mono_ms: float, count_max: int) -> list[Run]:
        """Removes what was received before that, oldest first; whole runs, until `count_max` or more have gone."""
        expired: list[Run] = []
        gone = 0
        while self.runs and gone < count_max and self.runs[0].ticket.received.mono_ms < received_before_mono_ms:
            run = self.runs.popleft()
            self._note_left(run)
            gone += len(run)
            self.expired_count += len(run)
            expired.append(run)
        if not self.runs:
            self.deficit = 0
        return expired

    def _note_left(self, run: Run) -> None:
        self.entry_count -= len(run)
        self.byte_count -= run.byte_count

    def oldest_age_ms(self, now: Now) -> float:
        """How long the oldest transaction has waited; 0 when nothing waits."""
        return max(0.0, now.mono_ms - self.runs[0].ticket.received.mono_ms) if self.runs else 0.0
