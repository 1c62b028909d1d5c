"""The author's front door: which transactions of a request may wait.

Responsible for: size checks, the room in a queue, and refusing what was seen within the window.
Refuses to do: look inside a transaction, or remove repeats that came through other validators: a copied transaction is
a replay that a rollup withstands anyway, and removing it would cost every node a hash per transaction.

Invariants:
1. Per admitted transaction: one SHA-256, a look-up in the two halves of the window, one append to a deque.
2. A request is admitted up to the first item that finds the queue full: of what follows nothing is admitted, so that
   a client's later transactions never overtake its earlier ones.
3. A namespace may use at most as much room as is left over for all others: a flood never takes the last room, and the
   next namespace always finds some.
4. The window remembers a hash for at least half its time and at most all of it, unless more than its count of hashes
   arrive: then for a shorter time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.numbers import Hash
from consensus.vocabulary.batch import KIND_OPEN, LENGTH_PREFIX_BYTES, transaction_id
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.errors import Refusal
from sequencer.mempool.queues import NamespaceQueue, Ticket, Waiting

RETRY_AFTER_MIN_MS = 10


@dataclass(frozen=True, slots=True)
class Refused:
    """Item `number` of the request was not admitted. `full` carries a time to wait, `known` the hash."""

    number: int
    reason: Refusal
    retry_after_ms: int | None = None
    hash: Hash | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to one request; every item stands in exactly one of the two lists, by rising number."""

    ticket: int
    admitted: tuple[tuple[int, Hash], ...]
    refused: tuple[Refused, ...]


class SeenWindow:
    """The hashes admitted lately, in two sets that take turns (one set of millions would stall the collector)."""

    __slots__ = ("_half_count_max", "_half_ms", "_old", "_rotate_mono_ms", "_young")

    def __init__(self, window_ms: int, count_max: int) -> None:
        self._half_ms = window_ms / 2
        self._half_count_max = count_max // 2
        self._young: set[Hash] = set()
        self._old: set[Hash] = set()
        self._rotate_mono_ms: float | None = None

    def advance(self, mono_ms: float) -> None:
        """Forgets what is older than the window."""
        if self._rotate_mono_ms is None:
            self._rotate_mono_ms = mono_ms + self._half_ms
        elif mono_ms >= self._rotate_mono_ms:
            if mono_ms >= self._rotate_mono_ms + self._half_ms:
                self._young = set()
            self._rotate()
            self._rotate_mono_ms = mono_ms + self._half_ms

    def _rotate(self) -> None:
        self._old = self._young
        self._young = set()

    def add(self, tx_id: Hash) -> bool:
        """Remembers a hash; returns False if it is remembered already."""
        if tx_id in self._young or tx_id in self._old:
            return False
        if len(self._young) >= self._half_count_max:
            self._rotate()
        self._young.add(tx_id)
        return True

    def forget(self, tx_id: Hash) -> None:
        """Lets this hash in again."""
        self._young.discard(tx_id)
        self._old.discard(tx_id)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


class Admission:
    """See the module's invariants. Counts what waits in all queues together."""

    def __init__(self, bounds: MempoolBounds, tx_bytes_max: int) -> None:
        self._bounds = bounds
        self._tx_bytes_max = tx_bytes_max
        self.seen = SeenWindow(bounds.seen_window_ms, bounds.seen_count_max)
        self.byte_count = 0
        self.entry_count = 0

    def note_left(self, entry_count: int, byte_count: int) -> None:
        """That much left the queues."""
        self.entry_count -= entry_count
        self.byte_count -= byte_count

    def admit(self, queue: NamespaceQueue, ticket: Ticket, items: Sequence[bytes]) -> Submission:
        """Appends to `queue` what may wait and refuses the rest."""
        self.seen.advance(ticket.received.mono_ms)
        admitted: list[tuple[int, Hash]] = []
        refused: list[Refused] = []
        too_many: list[int] = []  # numbers that found the queue full
        bytes_left, entries_left = self._room(queue)
        append, add, tx_bytes_max, namespace = queue.entries.append, self.seen.add, self._tx_bytes_max, queue.namespace
        taken_bytes = 0
        for number, body in enumerate(items):
            size = len(body)
            if not 0 < size <= tx_bytes_max:
                refused.append(Refused(number, Refusal.OVERSIZED if size else Refusal.EMPTY))
                continue
            size += LENGTH_PREFIX_BYTES
            if too_many or taken_bytes + size > bytes_left or len(admitted) >= entries_left:
                too_many.append(number)
                continue
            tx_id = transaction_id(namespace, KIND_OPEN, body)
            if not add(tx_id):
                refused.append(Refused(number, Refusal.KNOWN, hash=tx_id))
                continue
            append(Waiting(ticket, number, tx_id, body))
            admitted.append((number, tx_id))
            taken_bytes += size
        queue.byte_count += taken_bytes
        queue.admitted_count += len(admitted)
        self.note_left(-len(admitted), -taken_bytes)
        if too_many:
            wait_ms = self._retry_after_ms(queue, sum(len(items[number]) for number in too_many), ticket)
            refused.extend(Refused(number, Refusal.FULL, retry_after_ms=wait_ms) for number in too_many)
            refused.sort(key=lambda item: item.number)
        queue.refused_counts.update(item.reason for item in refused)
        return Submission(ticket.id, tuple(admitted), tuple(refused))

    def _room(self, queue: NamespaceQueue) -> tuple[int, int]:
        """Bytes and entries that `queue` may still take; see invariant 3."""
        bounds = self._bounds
        others_bytes = self.byte_count - queue.byte_count
        others_entries = self.entry_count - len(queue.entries)
        bytes_max = min(bounds.namespace_queue_bytes, (bounds.bytes_max - others_bytes) // 2)
        entries_max = min(bounds.namespace_queue_entries, (bounds.entries_max - others_entries) // 2)
        return bytes_max - queue.byte_count, entries_max - len(queue.entries)

    def _retry_after_ms(self, queue: NamespaceQueue, refused_bytes: int, ticket: Ticket) -> int:
        """When as much will have left as was refused, at the rate of late; at most the time to live."""
        rate = queue.drain_rate.bytes_per_ms(ticket.received.mono_ms)
        if rate * self._bounds.ttl_ms <= refused_bytes:
            return self._bounds.ttl_ms
        return max(RETRY_AFTER_MIN_MS, round(refused_bytes / rate))
