"""Follows the L1: its newest and final blocks, the Inbox's batches, and the anchor that goes into lane reports.

Responsible for: polling, reading the log once, falling back when the L1 reorganises, keeping finalized batches on disk,
and saying what the L1 looks like to whoever waits for the next look.
Refuses to do: send transactions, or trust an endpoint with more than it can be checked for: batches must chain, and be
certified.

Invariants:
1. Only batches in final L1 blocks are stored, in one synced write with the cursor; newer ones are in memory and are
   read again whenever the newest known block is no longer part of the L1.
2. An L1 that lacks what is stored, or an Inbox of another chain, is refused: at a start with `OtherL1` (the operator
   must choose), later by following it no further while the chain goes on without an L1.
3. The L1 being away, lagging or without a part of its log is no fault: it is logged once, counted, and asked again. A
   page of the log is taken whole or not at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
import trio

from consensus.encoding import decode_whole
from consensus.errors import InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_HEIGHT, Hash, Height
from consensus.replica.events import L1Finalized
from consensus.signing import sha256
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.l1_batch import FIRST_INDEX, DataKind
from sequencer.l1.errors import L1Error, L1Unreachable, WrongInbox
from sequencer.l1.inbox import CommittedBatch, Inbox
from sequencer.l1.json_rpc import L1Client
from sequencer.l1.shapes import L1Block
from sequencer.node.errors import OtherL1
from sequencer.settlement.records import BatchRecord
from sequencer.settlement.sharing import ChainEnd
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.keyspace import Puts
from storage.settlement import L1Cursor, SettlementStore

PAGE_BLOCKS = 128  # L1 blocks per request for logs: at six batches of 120 kB in each some 90 MB
NUMBER_MAX = 2**63 - 1  # of an L1 block that can be stored
CURSOR_BLOCKS = 100  # the cursor moves at least so often, also without batches
RECENT_BATCHES_MAX = 4_096  # in L1 blocks that are not final; at one per block far more than any L1 leaves open
FIRST_LOOK_TIMEOUT_S = 3.0

_log = structlog.get_logger("l1")


@dataclass(frozen=True, slots=True)
class L1View:
    """The L1 at one look."""

    latest: L1Block
    finalized_number: int
    end: ChainEnd
    last_commit_block: int


class L1Follower:
    """One node's view of its L1."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        client: L1Client,
        inbox: Inbox,
        finality: str,
        poll_s: float,
        database: Database,
        to_replica: Callable[[L1Finalized], None],
        moved: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        """`moved` is called after every look that found the L1 changed."""
        self._chain = chain
        self._client = client
        self._inbox = inbox
        self._finality = finality
        self._poll_s = poll_s
        self._database = database
        self._store = SettlementStore(database)
        self._to_replica = to_replica
        self._moved = moved
        self._metrics = metrics
        self._anchor = NO_ANCHOR
        self._known: L1Block | None = None  # the log has been read up to here
        self._recent: list[BatchRecord] = []
        self._stored = self._load_newest()
        self._is_checked = False
        self._is_away = False
        self._is_cursor_doubted = False  # a log that came late may be below the cursor: read on from what is stored
        self._next_look = trio.Event()
        self.view: L1View | None = None
        self.refusal: OtherL1 | None = None

    # what others ask

    @property
    def is_reachable(self) -> bool:
        """Whether the last look succeeded."""
        return self.view is not None and not self._is_away and self.refusal is None

    @property
    def newest(self) -> BatchRecord | None:
        """The newest batch on the L1."""
        return self._recent[-1] if self._recent else self._stored

    @property
    def settled(self) -> BatchRecord | None:
        """The newest batch in a final L1 block."""
        return self._stored

    @property
    def posted_height(self) -> Height:
        """The L1 holds everything up to here."""
        newest = self.newest
        return newest.batch.last if newest is not None else GENESIS_HEIGHT

    @property
    def settled_height(self) -> Height:
        """A final L1 block holds everything up to here."""
        return self._stored.batch.last if self._stored is not None else GENESIS_HEIGHT

    @property
    def end(self) -> ChainEnd:
        """What the next batch must follow."""
        newest = self.newest
        if newest is None:
            return ChainEnd(FIRST_INDEX, Height(GENESIS_HEIGHT + 1), self._chain.chain_id)
        return ChainEnd(newest.batch.index + 1, Height(newest.batch.last + 1), newest.hash)

    def batch(self, index: int) -> BatchRecord | None:
        """A batch on the L1, or None."""
        for record in self._recent:
            if record.batch.index == index:
                return record
        return self._decode(self._store.load_batch(index))

    def covering(self, height: Height) -> BatchRecord | None:
        """The batch on the L1 that holds a height, or None."""
        if not GENESIS_HEIGHT < height <= self.posted_height:
            return None
        for record in self._recent:
            if record.batch.first <= height <= record.batch.last:
                return record
        return self._decode(self._store.load_batch_covering(height))

    async def until_looked(self) -> None:
        """Returns after the next look that succeeds."""
        await self._next_look.wait()

    # looking

    async def check(self) -> None:
        """At a start: refuses a wrong L1 if it answers soon. Raises `OtherL1`."""
        with trio.move_on_after(FIRST_LOOK_TIMEOUT_S):
            try:
                await self._check_identity()
            except L1Error as error:
                self._note_away(error)

    async def run(self) -> None:
        """Looks for ever. Raises `StorageFault`."""
        while True:
            try:
                if not self._is_checked:
                    await self._check_identity()
                await self._look()
                self._note_back()
            except OtherL1 as error:
                self.refusal = error
                self._metrics.set(table.L1_REACHABLE, 0)
                _log.critical("l1_refused", detail=str(error))
                return
            except L1Error as error:
                self._note_away(error)
            await trio.sleep(self._poll_s)

    async def _check_identity(self) -> None:
        """Raises `OtherL1` if this is not the L1, or not the Inbox, of this chain."""
        if await self._client.is_syncing():
            raise L1Unreachable("the L1's node is still catching up")
        try:
            await self._inbox.require_chain(self._chain)
        except WrongInbox as error:
            remedy = "correct l1.url or l1.inbox, or deploy the Inbox; a development L1 may have lost its state"
            raise OtherL1(str(error), remedy) from error
        await self._check_stored()
        self._is_checked = True

    async def _check_stored(self) -> None:
        """Raises `OtherL1` unless the L1 still has the final block that the cursor names."""
        cursor = self._store.load_cursor()
        if cursor is None:
            return
        block = await self._client.block(cursor.number)
        if block is None:
            raise L1Unreachable(
                f"the L1 does not have block {cursor.number} yet, which was final before: its node lags, or a "
                "development L1 lost its state (a devnet starts over with --reset)"
            )
        if block.hash != cursor.hash:
            kept = self._stored.batch.index if self._stored is not None else 0
            raise OtherL1(
                f"block {cursor.number} of the L1 is 0x{block.hash.hex()}; it was 0x{cursor.hash.hex()} and final when "
                f"this node stored batch {kept}: it is another L1, or a development L1 that lost its state",
                "point l1.url at the L1 this home was used with; a devnet starts over with --reset",
            )

    async def _look(self) -> None:
        latest = await self._client.block("latest")
        final = await self._final_block(latest) if latest is not None else None
        if latest is None or max(latest.number, final.number if final is not None else 0) > NUMBER_MAX:
            raise L1Unreachable("the L1 has no newest block, or an impossible one")
        if final is not None and final.number > latest.number:
            final = None  # of another backend: nothing that was read is known to be final
        if self._known is None or latest.hash != self._known.hash:
            await self._read_batches(latest, final)
        if final is not None:
            if self._known is not None:  # what says what is final may be ahead of what was read
                await self._keep(min(final, self._known, key=lambda block: block.number))
            await self._follow_anchor(final)
        newest = self.newest
        self.view = L1View(
            latest,
            final.number if final is not None else 0,
            self.end,
            newest.block_number if newest is not None else 0,
        )
        self._measure()
        self._moved()
        self._next_look.set()
        self._next_look = trio.Event()

    async def _final_block(self, latest: L1Block) -> L1Block | None:
        if self._finality == "finalized":
            return await self._client.block("finalized")
        return await self._client.block(max(0, latest.number - int(self._finality)))

    async def _read_batches(self, latest: L1Block, final: L1Block | None) -> None:
        """Reads the log up to `latest`, page by page; what a page gave is taken together with the block it ends at."""
        first = await self._first_new()
        while first <= latest.number and len(self._recent) < RECENT_BATCHES_MAX:
            last = min(latest.number, first + PAGE_BLOCKS - 1)
            end = latest if last == latest.number else await self._client.block(last)
            if end is None:
                raise L1Unreachable(f"the L1 has no block {last}, and {latest.number} is its newest")
            page = await self._checked(await self._inbox.committed(first, last))
            self._recent += page
            self._known = end
            if last < latest.number:
                if final is not None and last <= final.number:
                    await self._keep(end)
                _log.info("l1_catching_up", block=last, of=latest.number, batches=self.end.next_index - 1)
            first = last + 1
        head = await self._inbox.head()
        if head.next_index > self.end.next_index and head.last_commit_block <= latest.number and first > latest.number:
            self._forget()
            self._is_cursor_doubted = True
            raise L1Unreachable(f"the L1's log lacks batch {head.next_index - 1}, which the Inbox has")
        self._is_cursor_doubted = False

    async def _first_new(self) -> int:
        """Where reading goes on: after the last block that was read if the L1 still has it, else after the cursor."""
        if self._known is not None:
            block = await self._client.block(self._known.number)
            if block is not None and block.hash == self._known.hash:
                return self._known.number + 1
            _log.warning("l1_reorganised", number=self._known.number)
        self._forget()
        await self._check_stored()
        cursor = self._store.load_cursor()
        if cursor is not None and not self._is_cursor_doubted:
            return cursor.number + 1
        return self._stored.block_number + 1 if self._stored is not None else await self._inbox.first_block()

    def _forget(self) -> None:
        """What is not stored is read again."""
        self._known = None
        self._recent.clear()

    async def _checked(self, page: Sequence[CommittedBatch]) -> list[BatchRecord]:
        """A page of the log as records. The contract checked the certificates; the endpoint may not be honest."""
        records: list[BatchRecord] = []
        end = self.end
        for found in page:
            batch = found.certificate.batch
            if (batch.index, batch.first, batch.previous) != (end.next_index, end.next_height, end.previous):
                self._forget()
                self._is_cursor_doubted = True
                raise L1Unreachable(f"the L1's log has batch {batch.index} where {end.next_index} should follow")
            try:
                await trio.to_thread.run_sync(self._check, found)
            except InvalidObject as error:
                raise L1Unreachable(f"batch {batch.index} in the L1's log is not certified: {error}") from error
            record = BatchRecord(
                found.certificate,
                batch.hash(self._chain.domain),
                found.poster,
                found.transaction,
                found.block_number,
                found.block_hash,
                len(found.data),
            )
            records.append(record)
            end = ChainEnd(batch.index + 1, Height(batch.last + 1), record.hash)
        return records

    def _check(self, found: CommittedBatch) -> None:
        """Raises `InvalidObject` unless the batch is certified, and its data what the certificate says."""
        found.certificate.check(self._chain)
        batch = found.certificate.batch
        is_right = sha256(found.data) == batch.data_hash if batch.data_kind is DataKind.CALLDATA else not found.data
        if not is_right:
            raise InvalidObject("wrong_data")

    async def _keep(self, final: L1Block) -> None:
        """Stores the batches up to a final block, and moves the cursor there."""
        settled = [record for record in self._recent if record.block_number <= final.number]
        cursor = self._store.load_cursor()
        if not settled and cursor is not None and final.number < cursor.number + CURSOR_BLOCKS:
            return
        puts: Puts = SettlementStore.cursor_puts(L1Cursor(final.number, final.hash))
        for record in settled:
            puts += SettlementStore.batch_puts(record.batch.index, record.batch.last, record.encode())
        await trio.to_thread.run_sync(lambda: self._database.write(puts, sync=True))
        if settled:
            self._stored = settled[-1]
            del self._recent[: len(settled)]

    async def _follow_anchor(self, final: L1Block) -> None:
        step = self._chain.parameters.anchor_step
        number = final.number - final.number % step
        if number <= self._anchor.number:
            return
        block = final if number == final.number else await self._client.block(number)
        if block is not None:
            self._anchor = Anchor(number, Hash(block.hash))
            self._to_replica(L1Finalized(self._anchor))

    # telling

    def _measure(self) -> None:
        if self.view is None:
            return
        self._metrics.set(table.L1_BLOCK, self.view.latest.number, "latest")
        self._metrics.set(table.L1_BLOCK, self.view.finalized_number, "finalized")
        self._metrics.set(table.SETTLEMENT_HEIGHT, self.posted_height, "posted")
        self._metrics.set(table.SETTLEMENT_HEIGHT, self.settled_height, "settled")
        self._metrics.set(table.SETTLEMENT_BATCH, self.end.next_index - 1)

    def _note_away(self, error: L1Error) -> None:
        self._metrics.add(table.L1_ERRORS)
        self._metrics.set(table.L1_REACHABLE, 0)
        if not self._is_away:
            self._is_away = True
            _log.warning("l1_away", detail=str(error))

    def _note_back(self) -> None:
        self._metrics.set(table.L1_REACHABLE, 1)
        if self._is_away:
            self._is_away = False
            _log.info("l1_back")

    def _load_newest(self) -> BatchRecord | None:
        return self._decode(self._store.load_newest_batch())

    def _decode(self, encoded: bytes | None) -> BatchRecord | None:
        if encoded is None:
            return None
        count = self._chain.validator_set.count
        return decode_whole(encoded, lambda reader: BatchRecord.decode(reader, count))
