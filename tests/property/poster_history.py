"""One poster on an L1 that does anything an L1 may do, with the real driver, intent log and follower.

What lies around them is made up: blocks of ten heights with data in the last, a certificate for the asking, a database
in memory that survives a crash.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import cast

import trio
import trio.testing

from consensus.encoding import decode_whole, u64
from consensus.numbers import BlockId, Hash, Height, Milliseconds, ValidatorIndex
from consensus.signing import sha256
from consensus.vocabulary.l1_batch import BatchCertificate, DataKind, L1Batch
from consensus.vocabulary.payload_table import PayloadTable
from sequencer.l1.inbox import Inbox
from sequencer.l1.transactions import address_of
from sequencer.node.certifying import Certifying
from sequencer.node.intent_log import IntentLog
from sequencer.node.l1_follower import L1Follower
from sequencer.node.poster_driver import PosterDriver
from sequencer.node.progress import Progress
from sequencer.node.range_reader import HeightWithData, RangeReader
from sequencer.node.unposted import Unposted
from sequencer.settlement.packing import PackedRange
from sequencer.settlement.poster import Gate, Sealing
from sequencer.settlement.records import Attempt, BatchState
from sequencer.settlement.sharing import L1DataPolicy
from sequencer.telemetry.metrics import Metrics
from storage.database import Database
from storage.settlement import SettlementStore
from tests.committed_chain import certify
from tests.memory_l1 import ETHER_WEI, INBOX, MemoryL1, MemoryL1Client
from tests.settling_node import POLL_S, POSTER_SECRET, Crash, RecordingFailpoints, settling_committee

BATCH_HEIGHTS = 10
COMMITTEE = settling_committee((1,), l1_data=L1DataPolicy.HELD)
CHAIN = COMMITTEE.chain
OWN = address_of(POSTER_SECRET)
BEFORE_US, AFTER_US = bytes(20), b"\xff" * 20  # rivals: a block takes accounts in this order

_INTENT, _SENT, _MINED, _CONFIRMED = BatchState.INTENT, BatchState.SENT, BatchState.MINED, BatchState.CONFIRMED
_RECEIPTS = frozenset({_MINED, _CONFIRMED, BatchState.FINALIZED, BatchState.LOST_RACE, BatchState.REVERTED})
EDGES: dict[BatchState, frozenset[BatchState]] = {
    _INTENT: _RECEIPTS | {_SENT, BatchState.PARKED},
    _SENT: _RECEIPTS | {BatchState.PARKED},
    _MINED: _RECEIPTS | {_SENT},
    _CONFIRMED: _RECEIPTS | {_SENT},
    # The L1 may take a block back in which an attempt ended; what is final stays.
    BatchState.LOST_RACE: _RECEIPTS | {_SENT, BatchState.PARKED},
    BatchState.REVERTED: _RECEIPTS | {_SENT, BatchState.PARKED},
    BatchState.PARKED: _RECEIPTS | {_SENT},
    BatchState.FINALIZED: frozenset(),
}


class MemoryDatabase:
    """Key and value in memory; every write here is a synced one."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes = b"", reverse: bool = False, limit: int
    ) -> Sequence[tuple[bytes, bytes]]:
        keys = sorted((key for key in self.values if key.startswith(prefix) and key >= prefix + start), reverse=reverse)
        return [(key, self.values[key]) for key in keys[:limit]]

    def write(self, puts: Sequence[tuple[bytes, bytes]], *, sync: bool) -> None:
        assert sync
        self.values.update(puts)


class MadeUpReader:
    """Every tenth height has data."""

    def with_data(self, first: int, last: int) -> Iterator[HeightWithData]:
        for height in range(first, last + 1):
            if height % BATCH_HEIGHTS == 0:
                yield HeightWithData(Height(height), Milliseconds(1), 1)

    def choose_last(self, first: int, last: int, _: int) -> Height | None:
        end = first + BATCH_HEIGHTS - 1
        return Height(end) if end <= last else None

    def pack(self, first: int, last: int) -> PackedRange:
        table = PayloadTable(Height(first), Height(last), ())
        block_id, root, held_hash = (sha256(word + u64(first) + u64(last)) for word in (b"block", b"root", b"payload"))
        return PackedRange(Height(last), BlockId(block_id), root, table, {}, 1, held_hash, ends_with_data=True)


@cache
def certificate_of(batch: L1Batch) -> BatchCertificate:
    """The only validator's signature on it."""
    return certify(COMMITTEE, batch, (0,))


class MadeUpCertifying:
    """A quorum at once."""

    async def certify(self, _: object, batch: L1Batch, is_outdated: Callable[[], bool]) -> BatchCertificate:
        await trio.lowlevel.checkpoint()
        assert not is_outdated()
        return certificate_of(batch)


class CheckedLog(IntentLog):
    """An intent log that knows what must never be saved."""

    async def save(self, attempt: Attempt) -> None:
        before = self._attempts.get(attempt.nonce)
        if before is None:
            assert attempt.state is _INTENT
            assert attempt.index == self._follower.end.next_index
            in_flight = [other for other in self.attempts if other.is_open and other.index == attempt.index]
            assert not in_flight, "two in flight for one index"
        else:
            assert before.become(attempt.state) == attempt, "another transaction with a nonce that was used"
            assert attempt.state in EDGES[before.state], f"{before.state} became {attempt.state}"
        await super().save(attempt)


class WatchedL1(MemoryL1):
    """Asserts of each transaction that arrives that it is on disk."""

    disk: MemoryDatabase

    def _answer_send_raw(self, raw: str) -> str:
        entries = SettlementStore(cast(Database, self.disk)).list_attempts(1_000)
        assert raw[2:] in {decode_whole(entry.record, Attempt.decode).raw.hex() for entry in entries}, "sent, not saved"
        return super()._answer_send_raw(raw)


class History:
    """The world around one poster; each step ends with a block of the L1 and a look at it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.l1, self.database = WatchedL1(COMMITTEE), MemoryDatabase()
        self.l1.disk = self.database
        self.l1.give(OWN, 100 * ETHER_WEI)
        self.l1.mine(self.l1.unfinalized)
        self.progress = Progress((), Height(0), Height(0), Height(0))
        self._nursery = nursery
        self._running: trio.CancelScope | None = None
        self._deadly: str | None = None
        self.start()

    # the node

    def start(self) -> None:
        """The node (again), from what is on disk."""
        client, database = MemoryL1Client(self.l1), cast(Database, self.database)
        inbox, metrics, reader = Inbox(client, INBOX), Metrics("test"), cast(RangeReader, MadeUpReader())
        self.follower = L1Follower(
            chain=CHAIN,
            client=client,
            inbox=inbox,
            finality="finalized",
            poll_s=POLL_S,
            database=database,
            to_replica=lambda _: None,
            moved=lambda: None,
            metrics=metrics,
        )
        self.log = CheckedLog(client, self.follower, database, metrics)
        self.poster = PosterDriver(
            chain=CHAIN,
            index=ValidatorIndex(0),
            secret=POSTER_SECRET,
            client=client,
            inbox=inbox,
            follower=self.follower,
            reader=reader,
            unposted=Unposted(reader, self.progress),
            certifying=cast(Certifying, MadeUpCertifying()),
            intents=self.log,
            sealing=Sealing(0, 0),
            backlog_ms=0,
            metrics=metrics,
            failpoints=RecordingFailpoints(self._deadly),
        )
        self._deadly, self._running = None, trio.CancelScope()
        self._nursery.start_soon(self._live, self._running)

    async def _live(self, scope: trio.CancelScope) -> None:
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.follower.run)
                    nursery.start_soon(self.poster.run)
        except* Crash:
            pass
        if self._running is scope:
            self._running = None

    # what may happen before the next block

    def look(self) -> None:
        """Nothing."""

    def execute(self) -> None:
        """Ten more heights, attested."""
        height = Height(self.progress.executed.height + BATCH_HEIGHTS)
        self.progress.note_executed((), height)
        self.progress.note_attested(height)

    def crash(self, at: str | None = None) -> None:
        """The node starts again, and dies at this point of its next commit."""
        self._deadly = at
        if self._running is not None:
            self._running.cancel()
        self.start()

    def withhold(self) -> None:
        """No block takes what waits of ours."""
        self.l1.withheld |= self._own_in_pool()

    def release(self) -> None:
        """Blocks take everything again."""
        self.l1.withheld.clear()

    def drop(self) -> None:
        """The pool forgets what waits of ours."""
        for transaction in self._own_in_pool():
            self.l1.drop(transaction)

    def rival(self, sender: bytes) -> None:
        """Another poster hands in the batch that the L1 waits for."""
        head, end = self.l1.head, self.l1.head.next_height + BATCH_HEIGHTS - 1
        if end > self.progress.executed.height:
            return
        packed = MadeUpReader().pack(head.next_height, end)
        batch = L1Batch(
            CHAIN.l1_chain_id,
            INBOX,
            head.next_index,
            Height(head.next_height),
            Height(end),
            Hash(head.head_hash),
            DataKind.HELD,
            packed.held_hash,
            packed.block_id,
            packed.namespaces_root,
        )
        self.l1.hand_in(certificate_of(batch), sender=sender)

    def out_of_gas(self, is_on: bool) -> None:
        """The L1 reverts commits for no reason of the contract, or no longer does."""
        self.l1.runs_out_of_gas = is_on

    def reorganise(self, depth: int, how: str) -> None:
        """`how`: our transactions stand in the new blocks, have to wait for a release, or are forgotten."""
        self.l1.reorganise(depth, takes_pool=how == "taken")
        if how == "delayed":
            self.withhold()
        elif how == "forgotten":
            self.drop()

    def reorganise_before(self, wanted: str, depth: int, how: str) -> None:
        """The L1 reorganises right before it answers the next request of this method."""

        def before(method: str, _: object) -> None:
            if method == wanted:
                self.l1.before = None
                self.reorganise(depth, how)

        self.l1.before = before

    def away(self, is_on: bool) -> None:
        """Requests do not arrive, or do again."""
        self.l1.is_away = is_on

    def lose_answers(self, is_on: bool) -> None:
        """Requests arrive, and answers do not, or do again."""
        self.l1.loses_answers = is_on

    def foreign_nonce(self) -> None:
        """The poster's key is used for something else."""
        self.l1.use_nonce(OWN)

    def balance(self, wei: int) -> None:
        """The poster has so much."""
        self.l1.give(OWN, wei)

    def _own_in_pool(self) -> set[bytes]:
        """Not what somebody else signed with our key: whoever does has to see that it is mined."""
        ours = {attempt.transaction for attempt in self.log.attempts}
        return {item.hash for item in self.l1.pool.values() if item.hash in ours}

    # going on

    async def step(self) -> None:
        """The L1 makes a block, and the node looks; if it died, it is started again."""
        self.l1.mine()
        await trio.sleep(POLL_S)
        assert all(len(hashes) == 1 for hashes in self.l1.received.values()), "two transactions with one nonce"
        if self._running is None:
            self.start()

    async def behave(self) -> None:
        """From here on the L1 does what it should; everything must reach it."""
        self.l1.is_away = self.l1.loses_answers = self.l1.runs_out_of_gas = False
        self.l1.before, self.l1.withheld = None, set()
        self.l1.give(OWN, 100 * ETHER_WEI)
        self.execute()
        for _ in range(60):
            await self.step()
            if self.poster.gate is Gate.HALTED:
                self.rival(BEFORE_US)
        assert self.l1.head.next_height == self.progress.executed.height + 1, self._told()
        assert self.follower.end.next_index == self.l1.head.next_index
        assert not [item for item in self.log.attempts if item.is_open], self._told()

    def _told(self) -> object:
        attempts = [(item.nonce, item.index, str(item.state)) for item in self.log.attempts]
        return self.l1.head, self.progress.executed.height, self.poster.gate, attempts, self.l1.newest.nonces
