"""Where a transaction stands: the index and the progress put together.

Responsible for: statuses and waiting for them, all copies of a hash, and receipts of what the own lane holds, made
again when asked for.
Refuses to do: know what waits in the mempool: until it is sealed a transaction has no place.

Invariants:
1. `final` is told when the block is executed here, so that its place is known; that follows the commit within
   milliseconds unless a batch is missing.
2. A receipt made again names the same position as the first one: it is read from the batch.
3. What has a place in a lane stays `received` until it is ordered, however long its author is away; it is `refused`
   only if its lane is closed. Of a lane that is forked and not closed it says so.
4. By a receipt's place nothing is called final but the batch that the receipt names.
5. Of a copy in the own lane and one that a receipt names the one that has come further is told, and ends a wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

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
from sequencer.client.status import LADDER, L1Place, LanePlace, Status, TransactionPlace, TransactionStatus
from sequencer.execution.blocks import ExecutedBlock
from sequencer.execution.state import ExecutionState
from sequencer.node.progress import Progress
from sequencer.node.recovery import Stores
from storage.batch_index import StoredBatch
from storage.transactions import POSITIONS_MAX, FinalPlace, SealedPlace, TransactionPlaces, TransactionStore

UNKNOWN_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A place in a lane, as the index or a receipt says."""

    lane: ValidatorIndex
    seq: Seq
    namespace: NamespaceId | None = None
    batch: Digest | None = None  # what a receipt says; the index holds only what is true


class TransactionViews:
    """Answers about transactions."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        key: NodeKey,
        stores: Stores,
        progress: Progress,
        away_since_ms: Callable[[ValidatorIndex], Milliseconds | None],
        is_forked: Callable[[ValidatorIndex], bool],
        execution_state: Callable[[], ExecutionState],
        has_expired: Callable[[Hash], bool],
        l1_place: Callable[[Height], L1Place | None],
    ) -> None:
        """`away_since_ms`: since when there is no link with another validator, None while there is one.

        `is_forked`: whether a lane's author is known to have signed two batches of one seq.
        """
        self._chain = chain
        self._index = index
        self._key = key
        self._transactions = TransactionStore(stores.database)
        self._blocks = stores.blocks
        self._batches = stores.batches
        self._progress = progress
        self._away_since_ms = away_since_ms
        self._is_forked = is_forked
        self._execution_state = execution_state
        self._has_expired = has_expired
        self._l1_place = l1_place

    def status(self, tx_hash: Hash, claimed: LanePlace | None = None) -> TransactionStatus:
        """See `Service.status`."""
        found = self._transactions.load_places(tx_hash)
        if found is None:
            ended = self._has_expired(tx_hash)
            return self._by_claim(tx_hash, claimed) or TransactionStatus(
                tx_hash, Status.EXPIRED if ended else Status.UNKNOWN
            )
        first = found.sealed[0] if found.sealed else None
        receipt = self._receipt_of(tx_hash, first) if first is not None else None
        places = self._places(found)
        if found.final:
            return self._final(tx_hash, found.final[0], found.final_count, receipt, places)
        if first is None:
            return TransactionStatus(tx_hash, Status.UNKNOWN)
        sealed = _Sealed(ValidatorIndex(first.lane), Seq(first.seq), NamespaceId(first.namespace))
        own = self._sealed(tx_hash, sealed, receipt, places)
        other = self._by_claim(tx_hash, claimed)
        if other is None or other.status not in LADDER or own.has_reached(other.status):
            return own
        return replace(other, namespace=own.namespace, receipt=receipt, places=places)

    def _by_claim(self, tx_hash: Hash, claimed: LanePlace | None) -> TransactionStatus | None:
        """By what a receipt says, if it names a lane."""
        if not self._is_place(claimed):
            return None
        return self._sealed(tx_hash, _Sealed(claimed.lane, claimed.seq, batch=claimed.batch), None, ())

    def _is_place(self, claimed: LanePlace | None) -> TypeGuard[LanePlace]:
        return claimed is not None and claimed.lane < self._chain.validator_set.count

    def _places(self, found: TransactionPlaces) -> tuple[TransactionPlace, ...]:
        """The first copies: the final ones, then those of the own lane that are not, as far as the index knows."""
        places = [
            TransactionPlace(
                ValidatorIndex(final.sealed.lane),
                Seq(final.sealed.seq),
                final.sealed.index,
                self._height_of(final),
                NamespaceIndex(final.namespace_index),
                final.position,
            )
            for final in found.final
        ]
        known = {final.sealed for final in found.final}
        places += [
            TransactionPlace(ValidatorIndex(place.lane), Seq(place.seq), place.index)
            for place in found.sealed
            if place not in known
        ]
        return tuple(places[:POSITIONS_MAX])

    def _height_of(self, place: FinalPlace) -> Height | None:
        encoded = self._blocks.load_namespace_block(place.namespace, place.namespace_index)
        return decode_whole(encoded, NamespaceBlock.decode).height if encoded is not None else None

    def _sealed(
        self, tx_hash: Hash, place: _Sealed, receipt: Receipt | None, places: tuple[TransactionPlace, ...]
    ) -> TransactionStatus:
        """Not in a block as far as the index knows; with no index of final places the cuts tell."""
        lane, seq = place.lane, place.seq
        held = [batch for batch in self._batches.list_lane(lane, seq, 2) if batch.seq == seq]
        named = [batch for batch in held if place.batch in (None, batch.digest)]
        status = TransactionStatus(
            tx_hash,
            Status.RECEIVED,
            namespace=place.namespace,
            receipt=receipt,
            places=places,
            received_ms=Milliseconds(named[0].arrival_ms) if named else None,
        )
        if self._is_closed(lane, seq):
            return replace(status, status=Status.REFUSED, reason="lane_closed")
        if self._progress.executed.covers(lane, seq):
            is_sure = place.batch is None or self._is_executed(place.lane, place.seq, place.batch, held)
            return self._executed(status, lane, seq) if is_sure else TransactionStatus(tx_hash, Status.UNKNOWN)
        if self._progress.ordered.covers(lane, seq):
            return replace(status, status=Status.ORDERED, ordered_ms=self._ordered_ms(lane, seq))
        reason = "lane_forked" if self._is_forked(lane) else None
        return replace(status, reason=reason, author_away_since_ms=self._away_since_ms(lane))

    def _is_executed(self, lane: ValidatorIndex, seq: Seq, digest: Digest, held: Sequence[StoredBatch]) -> bool:
        """Whether this batch is surely the one that was executed at its place.

        Of a forked lane a batch that is held may be the other one, and what is pruned is held no more: there the
        executed block tells.
        """
        if held and not self._is_forked(lane):
            return [batch.digest for batch in held] == [digest]
        step = self._progress.executed.first_covering(lane, seq)
        encoded = self._blocks.load_executed_block(step.height) if step is not None else None
        if encoded is None:
            return False
        namespaces = ExecutedBlock.decode(encoded).namespaces
        return any((lane, seq, digest) == (run.lane, run.seq, run.digest) for part in namespaces for run in part.runs)

    def _executed(self, status: TransactionStatus, lane: ValidatorIndex, seq: Seq) -> TransactionStatus:
        step = self._progress.executed.first_covering(lane, seq)
        height = step.height if step is not None else None
        return replace(
            status,
            status=self._progress.rung(height if height is not None else self._progress.executed.forgotten_height),
            height=height,
            section="open",
            ordered_ms=self._ordered_ms(lane, seq),
            final_ms=self._progress.final_ms(height) if height is not None else None,
            attested_ms=self._progress.attested_ms(height) if height is not None else None,
            l1=self._l1_place(height) if height is not None else None,
        )

    def _final(
        self,
        tx_hash: Hash,
        place: FinalPlace,
        count: int,
        receipt: Receipt | None,
        places: tuple[TransactionPlace, ...],
    ) -> TransactionStatus:
        height = places[0].height
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
            places=places,
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

    async def wait(
        self, tx_hash: Hash, status: Status, timeout_ms: int, claimed: LanePlace | None = None
    ) -> TransactionStatus:
        """See `Service.wait`."""
        found = self.status(tx_hash, claimed)
        with trio.move_on_after(timeout_ms / 1_000):
            while not (found.has_reached(status) or found.has_ended):
                await self._until_next(found, tx_hash, status, claimed)
                await trio.lowlevel.checkpoint()  # however fast it climbs, the loop goes on and the deadline holds
                found = self.status(tx_hash, claimed)
        return found if found.has_reached(status) else self.status(tx_hash, claimed)

    async def _until_next(
        self, found: TransactionStatus, tx_hash: Hash, status: Status, claimed: LanePlace | None
    ) -> None:
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
        places = self._lane_places(tx_hash, claimed)
        if not places or found.status is Status.UNKNOWN:
            await trio.sleep(UNKNOWN_POLL_S)
            return
        rung = Status.ORDERED if status is Status.ORDERED else Status.FINAL
        history = self._progress.ordered if rung is Status.ORDERED else self._progress.executed
        ahead = [place for place in places if not history.covers(*place)]
        if ahead:
            await self._progress.until_any_lane(rung, ahead)
        else:
            await self._progress.until_executed_more()

    def _lane_places(self, tx_hash: Hash, claimed: LanePlace | None) -> list[tuple[ValidatorIndex, Seq]]:
        """The first copy in the own lane, and the one that a receipt names."""
        found = self._transactions.load_places(tx_hash)
        places = [(ValidatorIndex(place.lane), Seq(place.seq)) for place in (found.sealed[:1] if found else ())]
        if self._is_place(claimed):
            places.append((claimed.lane, claimed.seq))
        return places
