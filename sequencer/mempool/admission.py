"""The author's front door: which transactions of a request may wait.

Responsible for: quotas, size checks, the room in a queue, and refusing what was seen within the window.
Refuses to do: look inside a transaction, or remove repeats that came through other validators: a copied transaction is
a replay that a rollup withstands anyway, and removing it would cost every node a hash per transaction.

Invariants:
1. Per admitted transaction: one SHA-256 and a look-up in the two halves of the window; the rest is per request. A
   request that a quota refuses, or whose first item finds no room and may ever find some, is refused whole, and costs
   the same for any number of items.
2. A request is admitted up to the first item that finds the queue full: of what follows nothing is admitted, so that
   a client's later transactions never overtake its earlier ones. A quota admits a request or refuses it.
3. A flood never takes the last room: a namespace with nothing waiting finds some, however many others are flooded
   (`room.py`).
4. The window remembers a hash for at least half its time and at most all of it, unless more than its count of hashes
   arrive: then for a shorter time.
5. A namespace's quota is charged with what was admitted, a client's with all of a request but what found no room: to
   refuse a transaction for what it is costs as much as to admit it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from consensus.numbers import Hash
from consensus.vocabulary.batch import KIND_OPEN, LENGTH_PREFIX_BYTES, Items, transaction_id_head
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.errors import Refusal
from sequencer.mempool.queues import NamespaceQueue, Run, Ticket
from sequencer.mempool.quota import Bucket, ClientQuotas
from sequencer.mempool.room import Room

RETRY_AFTER_MIN_MS = 10


@dataclass(frozen=True, slots=True)
class Refused:
    """Item `number` of the request was not admitted. `full` carries a time to wait, `known` the hash."""

    number: int
    reason: Refusal
    retry_after_ms: int | None = None
    hash: Hash | None = None


@dataclass(frozen=True, slots=True)
class RefusedWhole:
    """Nothing of the request was looked at. `quota`, `client_quota` and `full` carry a time to wait."""

    reason: Refusal
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """The answer to one request: what is not refused is admitted. `hashes` has what was computed, by number."""

    ticket: int
    hashes: Sequence[Hash | None]
    admitted_count: int
    admitted_bytes: int  # without framing
    refused: tuple[Refused, ...]
    whole: RefusedWhole | None = None  # then all else is empty

    @staticmethod
    def refused_whole(ticket: int, reason: Refusal, retry_after_ms: int | None = None) -> "Submission":
        """Of which nothing was looked at."""
        return Submission(ticket, (), 0, 0, (), RefusedWhole(reason, retry_after_ms))

    @property
    def admitted(self) -> tuple[tuple[int, Hash], ...]:
        """(number, hash) of each, by rising number."""
        refused = {item.number for item in self.refused}
        return tuple(
            (number, tx_id) for number, tx_id in enumerate(self.hashes) if tx_id is not None and number not in refused
        )


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

    def __init__(self, bounds: MempoolBounds, tx_bytes_max: int, queue_count: int) -> None:
        self._bounds = bounds
        self._framed_bytes_max = LENGTH_PREFIX_BYTES + tx_bytes_max
        self._bytes_room = Room.of(bounds.bytes_max, queue_count)
        self._entries_room = Room.of(bounds.entries_max, queue_count)
        self.seen = SeenWindow(bounds.seen_window_ms, bounds.seen_count_max)
        self.clients = ClientQuotas(bounds.client_bytes_per_s, bounds.client_tx_per_s, bounds.clients_max)
        self.byte_count = 0
        self.entry_count = 0

    def note_left(self, entry_count: int, byte_count: int) -> None:
        """That much left the queues."""
        self.entry_count -= entry_count
        self.byte_count -= byte_count

    def admit(self, queue: NamespaceQueue, ticket: Ticket, items: Items, client: str | None) -> Submission:
        """Appends to `queue` what may wait and refuses the rest. `client` has a quota of its own, unless it is None."""
        mono_ms = ticket.received.mono_ms
        sender = None if client is None else self.clients.bucket(client)
        whole = self._refuse_whole(queue, sender, items, mono_ms)
        if whole is not None:
            queue.refused_counts[whole.reason] += len(items)
            return Submission.refused_whole(ticket.id, whole.reason, whole.retry_after_ms)
        self.seen.advance(mono_ms)
        bytes_before = self.byte_count
        submission, full_bytes = self._admit_items(queue, ticket, items)
        taken_bytes = self.byte_count - bytes_before
        queue.quota.take(taken_bytes, submission.admitted_count, mono_ms)
        if sender is not None:
            full_count = sum(item.reason is Refusal.FULL for item in submission.refused)
            sender.take(len(items.framed) - full_bytes, len(items) - full_count, mono_ms)
        queue.admitted.note(submission.admitted_count, taken_bytes, mono_ms)
        queue.admitted_count += submission.admitted_count
        queue.refused_counts.update(item.reason for item in submission.refused)
        return submission

    def _refuse_whole(
        self, queue: NamespaceQueue, sender: Bucket | None, items: Items, mono_ms: float
    ) -> RefusedWhole | None:
        """What speaks against the request before anything of it is looked at."""
        wait_ms = queue.quota.wait_ms(mono_ms)
        if wait_ms:
            return RefusedWhole(Refusal.QUOTA, wait_ms)
        wait_ms = 0 if sender is None else sender.wait_ms(mono_ms)
        if wait_ms:
            return RefusedWhole(Refusal.CLIENT_QUOTA, wait_ms)
        bytes_left, entries_left = self._room(queue)
        if items and (entries_left < 1 or bytes_left < items.ends[0] <= self._framed_bytes_max):
            return RefusedWhole(Refusal.FULL, self._retry_after_ms(queue, len(items.framed), mono_ms))
        return None

    def _admit_items(self, queue: NamespaceQueue, ticket: Ticket, items: Items) -> tuple[Submission, int]:
        """One by one; also the bytes from the first on that found no room."""
        hashes: list[Hash | None] = []
        refused: list[Refused] = []
        too_many: list[int] = []  # numbers that found the queue full
        bytes_left, entries_left = self._room(queue)
        head, framed, add, sha256 = (
            transaction_id_head(queue.namespace, KIND_OPEN),
            items.framed,
            self.seen.add,
            hashlib.sha256,
        )
        size_max = self._framed_bytes_max
        taken_bytes = taken_count = full_bytes = begin = 0
        for number, end in enumerate(items.ends):
            size, start, begin = end - begin, begin + LENGTH_PREFIX_BYTES, end
            tx_id: Hash | None = None
            if not LENGTH_PREFIX_BYTES < size <= size_max:
                reason = Refusal.OVERSIZED if size > LENGTH_PREFIX_BYTES else Refusal.EMPTY
                refused.append(Refused(number, reason))
            elif too_many or taken_bytes + size > bytes_left or taken_count >= entries_left:
                too_many.append(number)
            else:
                tx_id = Hash(sha256(head + framed[start:end]).digest())
                if add(tx_id):
                    taken_bytes += size
                    taken_count += 1
                else:
                    refused.append(Refused(number, Refusal.KNOWN, hash=tx_id))
            hashes.append(tx_id)
        self.note_left(-taken_count, -taken_bytes)
        if too_many:
            full_bytes = len(framed) - items.begin(too_many[0])
            wait_ms = self._retry_after_ms(queue, full_bytes, ticket.received.mono_ms)
            refused.extend(Refused(number, Refusal.FULL, retry_after_ms=wait_ms) for number in too_many)
            refused.sort(key=lambda item: item.number)
        for first, end in _gaps_between([item.number for item in refused], len(items)):
            queue.append(Run(ticket, first, items.part(first, end), cast("list[Hash]", hashes[first:end])))
        admitted_bytes = taken_bytes - LENGTH_PREFIX_BYTES * taken_count
        return Submission(ticket.id, hashes, taken_count, admitted_bytes, tuple(refused)), full_bytes

    def _room(self, queue: NamespaceQueue) -> tuple[int, int]:
        """Bytes and entries that `queue` may still take; see invariant 3."""
        bounds, terms = self._bounds, queue.terms
        bytes_max = self._bytes_room.queue_max(self.byte_count - queue.byte_count)
        bytes_max = min(bounds.namespace_queue_bytes, terms.queue_bytes, bytes_max)
        entries_max = self._entries_room.queue_max(self.entry_count - queue.entry_count)
        entries_max = min(bounds.namespace_queue_entries, terms.queue_tx, entries_max)
        return bytes_max - queue.byte_count, entries_max - queue.entry_count

    def _retry_after_ms(self, queue: NamespaceQueue, refused_bytes: int, mono_ms: float) -> int:
        """When as much will have left as was refused, at the rate of late; at most the time to live."""
        rate = queue.sealed.bytes_per_s(mono_ms) / 1_000
        if rate * self._bounds.ttl_ms <= refused_bytes:
            return self._bounds.ttl_ms
        return max(RETRY_AFTER_MIN_MS, round(refused_bytes / rate))


def _gaps_between(numbers: Sequence[int], count: int) -> Iterator[tuple[int, int]]:
    """The ranges of what is below `count` and not in `numbers`, which rise."""
    first = 0
    for number in (*numbers, count):
        if number > first:
            yield first, number
        first = number + 1
