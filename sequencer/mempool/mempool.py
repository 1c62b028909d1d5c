"""The transactions that wait at this validator.

Responsible for: taking requests in, giving batches out, and answering for every transaction in between.
Refuses to do: read a clock, sign, store or send. A sealed transaction is the lane's affair (`sequencer/lanes`).

Invariants:
1. Every admitted transaction leaves exactly once, in a draft or in the list that `expire` returns: none silently.
2. A transaction expires only before it is drafted, so never after a receipt.
3. What expired, or was in an abandoned draft, may be sent again at once.
4. A draft, header and signature included, stays within BATCH_BYTES_TARGET, or holds one transaction if the target is
   smaller than that; it never passes the genesis's batch_bytes_max. A draft is never empty, and while anything waits
   there is one: whoever asks again and again until there is would wait for ever.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from consensus.clock import Now
from consensus.genesis import Genesis
from consensus.numbers import Digest, Epoch, Hash, NamespaceId, Seq, ValidatorIndex
from consensus.vocabulary.batch import LENGTH_PREFIX_BYTES, Items
from sequencer.mempool.admission import Admission, Submission
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.draft import BATCH_OVERHEAD_BYTES, SEGMENT_OVERHEAD_BYTES, Draft, LanePlace, make_draft
from sequencer.mempool.errors import Refusal
from sequencer.mempool.fair_share import FairShare
from sequencer.mempool.flow import Flow
from sequencer.mempool.queues import TX_COST_BYTES_LEAST, NamespaceQueue, Ticket
from sequencer.mempool.seal import Backlog, OwnLane, seal_at_mono_ms
from sequencer.mempool.window import BATCH_BYTES_LEAST, LaneWindow

EXPIRED_STEP_MAX = 4_096  # transactions given up in one step, and those of one request more


@dataclass(frozen=True, slots=True)
class Expired:
    """Admitted transactions of one request, from `number` on, whose time to live ended before they were sealed."""

    namespace: NamespaceId
    ticket: int
    number: int
    hashes: Sequence[Hash]


@dataclass(frozen=True, slots=True)
class NamespaceFigures:
    """Counters since the start, what waits now, and per second what passed lately; bytes with their length prefixes."""

    admitted: int
    sealed: int
    expired: int
    refused: dict[Refusal, int]
    waiting_count: int
    waiting_bytes: int
    oldest_age_ms: float
    admitted_tx_per_s: float
    admitted_bytes_per_s: float
    sealed_tx_per_s: float
    sealed_bytes_per_s: float
    sealed_share: float  # of the bytes of all namespaces; 0 while none was sealed


class Mempool:
    """See the module's invariants."""

    def __init__(self, chain: Genesis, index: ValidatorIndex, bounds: MempoolBounds) -> None:
        """`index`: whose lane the drafts are for."""
        self._index = index
        self._bounds = bounds
        self._batches_max = chain.parameters.lane_report_batches
        self._queues = {namespace.id: NamespaceQueue(namespace.id, namespace.terms) for namespace in chain.namespaces}
        self._admission = Admission(bounds, chain.parameters.tx_bytes_max, len(self._queues))
        self._fair_share = FairShare(SEGMENT_OVERHEAD_BYTES)
        one_item = SEGMENT_OVERHEAD_BYTES + max(
            TX_COST_BYTES_LEAST, LENGTH_PREFIX_BYTES + chain.parameters.tx_bytes_max
        )
        target = max(bounds.batch_bytes_target, BATCH_OVERHEAD_BYTES + one_item)
        batch_bytes = min(chain.parameters.batch_bytes_max, target)
        self._room_bytes = batch_bytes - BATCH_OVERHEAD_BYTES
        self._sealed = Flow()
        self._window = LaneWindow(bounds.lane_window_bytes, max(BATCH_BYTES_LEAST, one_item))
        self._next_ticket = 1
        self._since_mono_ms = 0.0
        self._last_sealed_mono_ms = -math.inf
        self.unknown_namespace_count = 0  # transactions refused for a namespace that has no queue to count them

    def submit(self, namespace: int, items: Items, now: Now, client: str | None = None) -> Submission:
        """Admits or refuses each item of one request, or all of it. The caller bounds the request (REQUEST_BYTES_MAX).

        `client` names the sender, whose quota applies; None: nobody's does.
        """
        ticket = Ticket(self._next_ticket, now)
        self._next_ticket += 1
        queue = self._queues.get(NamespaceId(namespace))
        if queue is None:
            self.unknown_namespace_count += len(items)
            return Submission.refused_whole(ticket.id, Refusal.UNKNOWN_NAMESPACE)
        was_empty = self._admission.entry_count == 0
        submission = self._admission.admit(queue, ticket, items, client)
        if submission.admitted_count:
            if was_empty:
                self._since_mono_ms = now.mono_ms
            self._fair_share.enter(queue)
        return submission

    def expire(self, now: Now) -> list[Expired]:
        """Gives up what has waited longer than the time to live, up to EXPIRED_STEP_MAX or a request more.

        Call it about once a second, and again until it returns nothing.
        """
        self._admission.seen.advance(now.mono_ms)
        found: list[Expired] = []
        left = EXPIRED_STEP_MAX
        for queue in self._queues.values():
            for run in queue.expire(now.mono_ms - self._bounds.ttl_ms, left):
                left -= len(run)
                self._admission.note_left(len(run), run.byte_count)
                for tx_id in run.hashes:
                    self._admission.seen.forget(tx_id)
                found.append(Expired(queue.namespace, run.ticket.id, run.number, run.hashes))
        return found

    def seal_due(self, now: Now, own: OwnLane) -> bool:
        """Whether a batch should be drafted now."""
        at_mono_ms = self.next_seal_ms(own)
        return at_mono_ms is not None and at_mono_ms <= now.mono_ms

    def next_seal_ms(self, own: OwnLane) -> float | None:
        """When a batch is due, on the monotonic clock; None: not before another event.

        Ask again as soon as batches of the own lane are committed: that is how the lane's window learns of it.
        """
        self._window.note_uncommitted(own.uncommitted)
        waiting_bytes, is_full = self._admission.byte_count, self._window.is_full
        backlog = Backlog(waiting_bytes, self._since_mono_ms, self._last_sealed_mono_ms, is_full)
        return seal_at_mono_ms(backlog, own, self._batches_max, self._bounds)

    def draft(self, now: Now, seq: Seq, prev_digest: Digest, epoch: Epoch) -> Draft | None:
        """Takes the next batch out of the queues, or None when nothing waits."""
        taken = self._fair_share.drain(min(self._room_bytes, self._window.room_bytes))
        if not taken:
            return None
        draft = make_draft(LanePlace(epoch, self._index, seq, prev_digest), now.wall_ms, taken)
        for entry in draft.header.segments:
            queue = self._queues[entry.namespace]
            queue.sealed_count += entry.item_count
            queue.sealed.note(entry.item_count, entry.byte_count, now.mono_ms)
            self._sealed.note(entry.item_count, entry.byte_count, now.mono_ms)
            self._admission.note_left(entry.item_count, entry.byte_count)
        self._since_mono_ms = self._last_sealed_mono_ms = now.mono_ms
        self._window.note_sealed(draft.byte_count)
        return draft

    def abandon(self, draft: Draft) -> None:
        """The draft will not be sealed, or its lane is closed: its transactions may be sent again."""
        for tx_id in draft.hashes():
            self._admission.seen.forget(tx_id)

    @property
    def namespaces(self) -> Sequence[NamespaceId]:
        """Those that are registered, by id."""
        return tuple(self._queues)

    @property
    def waiting_count(self) -> int:
        """Transactions that wait, over all namespaces."""
        return self._admission.entry_count

    @property
    def waiting_bytes(self) -> int:
        """Their segment bytes."""
        return self._admission.byte_count

    def figures(self, namespace: NamespaceId, now: Now) -> NamespaceFigures:
        """Of one namespace, which is registered."""
        queue, mono_ms = self._queues[namespace], now.mono_ms
        sealed_bytes_per_s, of_all = queue.sealed.bytes_per_s(mono_ms), self._sealed.bytes_per_s(mono_ms)
        return NamespaceFigures(
            admitted=queue.admitted_count,
            sealed=queue.sealed_count,
            expired=queue.expired_count,
            refused=dict(queue.refused_counts),
            waiting_count=queue.entry_count,
            waiting_bytes=queue.byte_count,
            oldest_age_ms=queue.oldest_age_ms(now),
            admitted_tx_per_s=queue.admitted.tx_per_s(mono_ms),
            admitted_bytes_per_s=queue.admitted.bytes_per_s(mono_ms),
            sealed_tx_per_s=queue.sealed.tx_per_s(mono_ms),
            sealed_bytes_per_s=sealed_bytes_per_s,
            sealed_share=sealed_bytes_per_s / of_all if of_all else 0.0,
        )
