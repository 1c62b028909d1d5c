"""Where a transaction stands: the index and the progress put together.

Responsible for: statuses and waiting for them, and receipts of what the own lane holds, made again when asked for.
Refuses to do: know what waits in the mempool: until it is sealed a transaction has no place.

Invariants:
1. `final` is told when the block is executed here, so that its place is known; that follows the commit within
   milliseconds unless a batch is missing.
2. A receipt made again names the same position as the first one: it is read from the batch.
"""

from collections.abc import Callable, Sequence

import trio

from consensus.encoding import decode_whole
from consensus.genesis import Genesis
from consensus.numbers import (
    GENESIS_EPOCH,
    Digest,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
)
from consensus.signing import NodeKey
from consensus.vocabulary.block import NamespaceBlock
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from sequencer.client.status import L1Place, Status, TransactionStatus
from sequencer.execution.state import ExecutionState
from sequencer.node.progress import Progress
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.transactions import FinalPlace, SealedPlace, TransactionStore

UNKNOWN_POLL_S = 0.1


class TransactionViews:
    """Answers about transactions."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        key: NodeKey,
        transactions: TransactionStore,
        blocks: BlockStore,
        batches: BatchLog,
        progress: Progress,
        execution_state: Callable[[], ExecutionState],
        has_expired: Callable[[Hash], bool],
        l1_place: Callable[[Height], L1Place | None],
    ) -> None:
        self._chain = chain
        self._index = index
        self._key = key
        self._transactions = transactions
        self._blocks = blocks
        self._batches = batches
        self._progress = progress
        self._execution_state = execution_state
        self._has_expired = has_expired
        self._l1_place = l1_place

    def status(self, tx_hash: Hash) -> TransactionStatus:
        """See `Service.status`."""
        places = self._transactions.load_places(tx_hash)
        if places is None:
            ended = self._has_expired(tx_hash)
            return TransactionStatus(tx_hash, Status.EXPIRED if ended else Status.UNKNOWN)
        sealed = places.sealed[0] if places.sealed else None
        receipt = self._receipt_of(tx_hash, sealed) if sealed is not None else None
        if places.final:
            return self._final(tx_hash, places.final[0], places.final_count, receipt)
        if sealed is None:
            return TransactionStatus(tx_hash, Status.UNKNOWN)
        return self._sealed(tx_hash, sealed, receipt)

    def _sealed(self, tx_hash: Hash, place: SealedPlace, receipt: Receipt | None) -> TransactionStatus:
        """Not in a block as far as the index knows; with no index of final places the cuts tell."""
        namespace, lane, seq = NamespaceId(place.namespace), place.lane, place.seq
        if self._is_closed(lane, seq):
            return TransactionStatus(
                tx_hash, Status.REFUSED, namespace=namespace, receipt=receipt, reason="lane_closed"
            )
        ordered_ms = self._ordered_ms(lane, seq)
        if self._progress.executed.covers(lane, seq):
            step = self._progress.executed.first_covering(lane, seq)
            height = step.height if step is not None else None
            reached = self._progress.rung(height if height is not None else self._progress.executed.height)
            return TransactionStatus(
                tx_hash,
                reached,
                namespace=namespace,
                height=height,
                section="open",
                receipt=receipt,
                ordered_ms=ordered_ms,
                final_ms=self._progress.final_ms(height) if height is not None else None,
                attested_ms=self._progress.attested_ms(height) if height is not None else None,
                l1=self._l1_place(height) if height is not None else None,
            )
        reached = Status.ORDERED if self._progress.ordered.covers(lane, seq) else Status.RECEIVED
        return TransactionStatus(tx_hash, reached, namespace=namespace, receipt=receipt, ordered_ms=ordered_ms)

    def _final(self, tx_hash: Hash, place: FinalPlace, count: int, receipt: Receipt | None) -> TransactionStatus:
        encoded = self._blocks.load_namespace_block(place.namespace, place.namespace_index)
        height = decode_whole(encoded, NamespaceBlock.decode).height if encoded is not None else None
        return TransactionStatus(
            tx_hash,
            self._progress.rung(height) if height is not None else Status.FINAL,
            namespace=NamespaceId(place.namespace),
            height=height,
            namespace_index=NamespaceIndex(place.namespace_index),
            position=place.position,
            section="open",
            receipt=receipt,
            count=count,
            ordered_ms=self._ordered_ms(place.sealed.lane, place.sealed.seq),
            final_ms=self._progress.final_ms(height) if height is not None else None,
            attested_ms=self._progress.attested_ms(height) if height is not None else None,
            l1=self._l1_place(height) if height is not None else None,
        )

    def _ordered_ms(self, lane: int, seq: int) -> Milliseconds | None:
        step = self._progress.ordered.first_covering(lane, seq)
        return step.at_ms if step is not None else None

    def _is_closed(self, lane: int, seq: int) -> bool:
        return any(closed.lane == lane and seq >= closed.seq for closed in self._execution_state().closed_lanes)

    # receipts

    def first_receipts(self, hashes: Sequence[Hash]) -> dict[Hash, Receipt]:
        """The receipts of those transactions that are in the own lane. Reads and signs: run it in a thread."""
        found = {}
        for tx_hash in hashes:
            places = self._transactions.load_places(tx_hash)
            receipt = self._receipt_of(tx_hash, places.sealed[0]) if places is not None and places.sealed else None
            if receipt is not None:
                found[tx_hash] = receipt
        return found

    def _receipt_of(self, tx_hash: Hash, place: SealedPlace) -> Receipt | None:
        if place.lane != self._index:
            return None
        found = self._batches.list_lane(place.lane, place.seq, 1)
        if not found or found[0].seq != place.seq:
            return None
        item = ReceiptItem(NamespaceId(place.namespace), place.kind, tx_hash, place.index)
        receipt = Receipt(
            self._chain.chain_id,
            GENESIS_EPOCH,
            self._index,
            Seq(place.seq),
            Digest(Hash(found[0].digest)),
            Milliseconds(found[0].arrival_ms),
            (item,),
        )
        return receipt.sign(self._chain, self._key)

    # waiting

    async def wait(self, tx_hash: Hash, status: Status, timeout_ms: int) -> TransactionStatus:
        """See `Service.wait`."""
        found = self.status(tx_hash)
        with trio.move_on_after(timeout_ms / 1_000):
            while not (found.has_reached(status) or found.has_ended):
                await self._until_next(found, tx_hash, status)
                await trio.lowlevel.checkpoint()  # however fast it climbs, the loop goes on and the deadline holds
                found = self.status(tx_hash)
        return found if found.has_reached(status) else self.status(tx_hash)

    async def _until_next(self, found: TransactionStatus, tx_hash: Hash, status: Status) -> None:
        """Returns when the transaction may have moved towards `status`."""
        if found.height is not None:
            height = Height(found.height)
            if status in (Status.POSTED, Status.SETTLED):
                await self._progress.until_on_l1(status, height)
            else:
                await self._progress.until_attested(height)
            return
        if found.has_reached(Status.FINAL):  # executed, but its height is not remembered: only later heights can help
            await trio.sleep(UNKNOWN_POLL_S)
            return
        places = self._transactions.load_places(tx_hash)
        if places is None or not places.sealed:
            await trio.sleep(UNKNOWN_POLL_S)
            return
        place = places.sealed[0]
        if status is Status.ORDERED:
            await self._progress.until_lane(Status.ORDERED, ValidatorIndex(place.lane), Seq(place.seq))
        elif not self._progress.executed.covers(place.lane, place.seq):
            await self._progress.until_lane(Status.FINAL, ValidatorIndex(place.lane), Seq(place.seq))
        else:
            await self._progress.until_executed_more()
