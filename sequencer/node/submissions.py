"""Transactions on their way into the own lane: submit, seal, receipt.

Responsible for: the mempool core at work, the moment of sealing, and answering each request once all its items are
sealed and synced, or have expired.
Refuses to do: hold batches or push them (`lane_driver.py`).

Invariants:
1. A receipt is made only after its batch and the own head are synced.
2. Own batches are sealed one after another: a seq is taken only when the one before is synced.
3. Every admitted item of a request ends in exactly one receipt or refusal.
4. No step of giving up what expired takes longer than a few thousand transactions do.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, Hash, NamespaceId, Seq, ValidatorIndex
from consensus.signing import NodeKey
from consensus.vocabulary.batch import KIND_OPEN, Items, transaction_id
from consensus.vocabulary.receipt import Receipt
from sequencer.client.namespace_views import NamespaceLoad, NamespaceView
from sequencer.client.submission import Refused, SubmitOutcome, refused_item
from sequencer.mempool.admission import Submission
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.draft import Draft
from sequencer.mempool.errors import Refusal
from sequencer.mempool.mempool import Expired, Mempool
from sequencer.node.clock import read_now, wall_ms
from sequencer.node.config import MempoolSection
from sequencer.node.failpoints import Failpoints
from sequencer.node.lane_driver import LaneDriver
from sequencer.node.worker import Worker
from sequencer.rpc.errors import RequestRefused
from sequencer.telemetry import table
from sequencer.telemetry.metric_types import Histogram
from sequencer.telemetry.metrics import Metrics
from storage.keyspace import Puts
from storage.transactions import LaneRun, TransactionStore

EXPIRY_PERIOD_S = 1.0
SEALED_MAX = 1_024  # own batches whose way is measured
KNOWN_RECEIPTS_MAX = 256  # first receipts made again for one request
SIGNED_AT_ONCE_MAX = 32  # transactions of a batch whose receipts are signed on the event loop: 1 ms at most
ENDED_MAX = 65_536  # hashes of expired transactions that are remembered for a status


@dataclass(slots=True)
class _Pending:
    """A request whose items are not all sealed."""

    count: int  # admitted and still waiting
    receipts: list[Receipt] = field(default_factory=list)
    expired: list[Refused] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)


class Submissions:
    """The own lane's front door."""

    def __init__(
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        key: NodeKey,
        bounds: MempoolBounds,
        lanes: LaneDriver,
        first_receipts: Callable[[Sequence[Hash]], dict[Hash, Receipt]],
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._chain = chain
        self._index = index
        self._key = key
        self.mempool = Mempool(chain, index, bounds)
        self._namespaces = chain.namespace_ids()
        self._lanes = lanes
        self._first_receipts = first_receipts
        self._metrics = metrics
        self._failpoints = failpoints
        self._pending: dict[int, _Pending] = {}
        self._expired: OrderedDict[Hash, None] = OrderedDict()
        self._sealed: dict[Histogram, deque[tuple[Seq, float]]] = {
            table.CONSENSUS_ORDERED_LATENCY: deque(maxlen=SEALED_MAX),
            table.CONSENSUS_FINAL_LATENCY: deque(maxlen=SEALED_MAX),
        }
        self._wake = trio.Event()
        self._signing = Worker("receipts")
        self.is_accepting = False

    def has_expired(self, tx_hash: Hash) -> bool:
        """Whether a transaction expired here lately."""
        return tx_hash in self._expired

    def load(self, namespace: NamespaceView) -> NamespaceLoad:
        """What goes on in a registered namespace here."""
        figures = self.mempool.figures(namespace.id, read_now())
        used = max(
            figures.admitted_tx_per_s / namespace.terms.tx_per_s,
            figures.admitted_bytes_per_s / namespace.terms.bytes_per_s,
        )
        return NamespaceLoad(
            queued_tx=figures.waiting_count,
            queued_bytes=figures.waiting_bytes,
            oldest_waiting_ms=round(figures.oldest_age_ms),
            admitted_tx_per_s=round(figures.admitted_tx_per_s),
            admitted_bytes_per_s=round(figures.admitted_bytes_per_s),
            sealed_tx_per_s=round(figures.sealed_tx_per_s),
            sealed_bytes_per_s=round(figures.sealed_bytes_per_s),
            quota_used_permille=round(1_000 * used),
            sealed_share_permille=round(1_000 * figures.sealed_share),
            expired=figures.expired,
            refused={reason.value: count for reason, count in figures.refused.items()},
        )

    def wake(self) -> None:
        """Something changed that may make a batch due: an admission, a commit of own batches."""
        self._wake.set()

    def note_reached(self, latency: Histogram, end: Seq) -> None:
        """The own lane is ordered, or committed, up to `end`: measures how long its batches took."""
        waiting = self._sealed[latency]
        while waiting and waiting[0][0] <= end:
            self._metrics.observe(latency, trio.current_time() - waiting.popleft()[1])

    async def submit(self, namespace: NamespaceId, items: Items, client: str) -> SubmitOutcome:
        """See `Service.submit`."""
        if not self.is_accepting:
            raise RequestRefused("not_accepting")
        if self._lanes.is_forked(self._index):
            raise RequestRefused("lane_forked")
        if namespace not in self._namespaces:
            raise RequestRefused("unknown_namespace")
        submission = self.mempool.submit(namespace, items, read_now(), client)
        self._count(namespace, submission, len(items))
        if submission.whole is not None:
            raise RequestRefused(submission.whole.reason.value, retry_after_ms=submission.whole.retry_after_ms)
        hashes = [
            tx_hash or transaction_id(namespace, KIND_OPEN, items[number])
            for number, tx_hash in enumerate(submission.hashes)
        ]
        receipts: Sequence[Receipt] = ()
        expired: Sequence[Refused] = ()
        if submission.admitted_count:
            pending = self._await_sealing(submission)
            await pending.done.wait()
            receipts, expired = pending.receipts, pending.expired
        refused = sorted([*await self._refusals(submission, hashes), *expired], key=lambda entry: entry.item)
        return SubmitOutcome(tuple(hashes), tuple(receipts), tuple(refused))

    def _await_sealing(self, submission: Submission) -> _Pending:
        """The request waits for its batches; what expired before may be on its way again."""
        pending = self._pending[submission.ticket] = _Pending(submission.admitted_count)
        if self._expired:
            for _, tx_hash in submission.admitted:
                self._expired.pop(tx_hash, None)
        self.wake()
        return pending

    async def _refusals(self, submission: Submission, hashes: Sequence[Hash]) -> list[Refused]:
        """What was not admitted; of what is known already the first KNOWN_RECEIPTS_MAX with their first receipts."""
        known = [entry.number for entry in submission.refused if entry.reason is Refusal.KNOWN][:KNOWN_RECEIPTS_MAX]
        receipts: dict[int, Receipt | None] = {}
        if known:
            first = await trio.to_thread.run_sync(self._first_receipts, list({hashes[number] for number in known}))
            receipts = {number: first.get(hashes[number]) for number in known}
        return [
            refused_item(entry.number, entry.reason.value, entry.retry_after_ms, receipts.get(entry.number))
            for entry in submission.refused
        ]

    def _count(self, namespace: NamespaceId, submission: Submission, item_count: int) -> None:
        metrics, label = self._metrics, str(namespace)
        if submission.admitted_count:
            metrics.add(table.MEMPOOL_ADMITTED, submission.admitted_count, label)
            metrics.add(table.MEMPOOL_ADMITTED_BYTES, submission.admitted_bytes, label)
        refused = Counter(entry.reason for entry in submission.refused)
        if submission.whole is not None:
            refused[submission.whole.reason] = item_count
        for reason, count in refused.items():
            metrics.add(table.MEMPOOL_REFUSED, count, label, reason.value)

    # sealing

    async def run_sealing(self) -> None:
        """Seals batches for ever. Raises `StorageFault`."""
        with self._signing:
            async with trio.open_nursery() as nursery:
                await self._seal_for_ever(nursery)

    async def _seal_for_ever(self, nursery: trio.Nursery) -> None:
        while True:
            await self._until_due()
            now = read_now()
            seq, prev_digest = self._lanes.own_next()
            draft = self.mempool.draft(now, seq, prev_digest, GENESIS_EPOCH)
            if draft is None:
                continue
            batch = draft.seal(self._chain, self._key)
            for waiting in self._sealed.values():
                waiting.append((seq, trio.current_time()))
            await self._lanes.hold_own(batch, self._sealed_puts(draft))
            if draft.transaction_count <= SIGNED_AT_ONCE_MAX:
                self._answer(draft, draft.receipts(self._chain, self._key))
            else:
                nursery.start_soon(self._sign_and_answer, draft)

    async def _until_due(self) -> None:
        while True:
            self._wake = trio.Event()
            now = read_now()
            at_ms = self.mempool.next_seal_ms(self._lanes.own_lane())
            if at_ms is not None and at_ms <= now.mono_ms:
                return
            with trio.move_on_at(float("inf") if at_ms is None else at_ms / 1_000):
                await self._wake.wait()

    def _sealed_puts(self, draft: Draft) -> Puts:
        """Where each transaction stands in the own lane, for look-ups by hash."""
        header, puts = draft.header, Puts()
        for request in draft.requests.values():
            for first, run in request.runs:
                place = LaneRun(header.author, header.seq, request.namespace, KIND_OPEN, first)
                puts += TransactionStore.sealed_puts(place, run.hashes)
        return puts

    async def _sign_and_answer(self, draft: Draft) -> None:
        self._answer(draft, await self._signing.run(draft.receipts, self._chain, self._key))

    def _answer(self, draft: Draft, receipts: Sequence[tuple[int, Receipt]]) -> None:
        """Hands the signed receipts out."""
        self._failpoints.reach("own_batch_after_receipt")
        waited_ms = wall_ms()
        for ticket, receipt in receipts:
            self._metrics.observe(table.MEMPOOL_WAIT, max(0, waited_ms - receipt.received_ms) / 1_000)
            pending = self._pending.get(ticket)
            if pending is not None:
                pending.receipts.append(receipt)
        for ticket, request in draft.requests.items():
            self._settle(ticket, len(request))

    async def run_expiry(self) -> None:
        """Gives up transactions whose time ended, for ever."""
        while True:
            await trio.sleep(EXPIRY_PERIOD_S)
            while expired := self.mempool.expire(read_now()):
                for run in expired:
                    self._give_up(run)
                await trio.lowlevel.checkpoint()

    def _give_up(self, run: Expired) -> None:
        """Tells whoever waits for these that they expired."""
        self._metrics.add(table.MEMPOOL_EXPIRED, len(run.hashes), str(run.namespace))
        self._expired.update(dict.fromkeys(run.hashes))
        while len(self._expired) > ENDED_MAX:
            self._expired.popitem(last=False)
        pending = self._pending.get(run.ticket)
        if pending is not None:
            numbers = range(run.number, run.number + len(run.hashes))
            pending.expired += [refused_item(number, "expired") for number in numbers]
            self._settle(run.ticket, len(run.hashes))

    def _settle(self, ticket: int, count: int) -> None:
        pending = self._pending.get(ticket)
        if pending is None:
            return
        pending.count -= count
        if not pending.count:
            del self._pending[ticket]
            pending.done.set()


def mempool_bounds(section: MempoolSection) -> MempoolBounds:
    """The bounds that an operator configured."""
    return MempoolBounds(
        batch_bytes_target=section.batch_bytes_target,
        namespace_queue_bytes=section.queue_bytes,
        namespace_queue_entries=section.queue_tx,
        client_bytes_per_s=section.client_bytes_per_s,
        client_tx_per_s=section.client_tx_per_s,
        ttl_ms=round(section.ttl_s * 1_000),
        seen_window_ms=round(section.seen_window_s * 1_000),
        lane_window_bytes=section.lane_window_bytes,
        batch_delay_min_ms=section.batch_delay_min_ms,
        batch_delay_max_ms=section.batch_delay_max_ms,
    )
