"""Drives the lanes: batches in from links, onto the disk, out to peers, and to the replica as held.

Responsible for: checking received batches, one group-committing writer, one pump per peer, fetching by digest.
Refuses to do: decide what is accepted, pushed or fetched (`sequencer/lanes`).

Invariants:
1. A batch is told as held only after its own synced write returned; its arrival is the wall time of that moment ▲.
2. An own batch is pushed and receipted only after its bytes *and* the own head are synced: a restarted author never
   seals a seq twice ▲.
3. The writer of batches has a thread of its own, and their bytes are synced apart from the database: a stalled batch
   does not stop votes.
4. Nothing is fetched while more than UNWRITTEN_BYTES_MAX wait for the disk: links may be faster. What authors push is
   bounded by the core.
"""

from collections.abc import Callable, Sequence

import structlog
import trio

from consensus.errors import BrokenInvariant, DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import Digest, Hash, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.effective import OrderedBatch
from consensus.replica import events as replica_events
from consensus.replica.effects import CommittedBlock, NeedBatches, NeededBatch
from consensus.vocabulary.batch import Batch
from p2p.errors import PeerFault, RequestFailed
from p2p.host import ValidatorHost
from sequencer.lanes import effects, events
from sequencer.lanes.lanes import Lanes
from sequencer.mempool.seal import OwnLane
from sequencer.node.batch_source import BatchSource
from sequencer.node.clock import read_now, wall_ms
from sequencer.node.failpoints import Failpoints
from sequencer.node.frames import FrameKind, RequestKind
from sequencer.node.records import batch_record, own_head_puts
from sequencer.node.worker import Worker
from sequencer.telemetry import table
from sequencer.telemetry.metrics import Metrics
from storage.batches import BatchLog
from storage.database import Database
from storage.keyspace import Puts

PUSH_PAUSE_S = 0.01  # after a refused send
FETCH_TIMEOUT_MS = 5_000
UNWRITTEN_BYTES_MAX = 32 * 1024 * 1024
OWN_DIGESTS_MAX = 1_024
WISH_AGAIN_S = 1.0  # execution waits for a batch this long before it asks once more

_log = structlog.get_logger("lanes")


class LaneDriver:
    """The lanes core at work."""

    def __init__(  # noqa: PLR0913 - each is given by name
        self,
        *,
        chain: Genesis,
        index: ValidatorIndex,
        lanes: Lanes,
        log: BatchLog,
        database: Database,
        source: BatchSource,
        to_replica: Callable[[replica_events.Event], None],
        own_committed: Callable[[], None],
        keep_fork: Callable[[effects.KeepEvidence], None],
        metrics: Metrics,
        failpoints: Failpoints,
    ) -> None:
        self._chain = chain
        self._index = index
        self.lanes = lanes
        self._log = log
        self._database = database
        self._source = source
        self._to_replica = to_replica
        self._own_committed = own_committed
        self._keep_fork = keep_fork
        self._metrics = metrics
        self._failpoints = failpoints
        self._host: ValidatorHost | None = None
        self._nursery: trio.Nursery | None = None
        self._unwritten: list[tuple[Batch, float]] = []
        self._unwritten_bytes = 0  # the write that is under way included
        self._write_wanted = trio.Event()
        self._written = trio.Event()
        self._own_puts: Puts = []
        self._own_held = trio.Event()
        self._own_digests: dict[Seq, Digest] = {}
        self._waiting_held: dict[Digest, trio.Event] = {}
        self._pumps: dict[ValidatorIndex, trio.Event] = {}
        self._wake_changed = trio.Event()
        self._worker = Worker("batches")

    def attach(self, host: ValidatorHost) -> None:
        """Gives the links."""
        self._host = host

    # the core

    def handle(self, event: events.Event) -> None:
        """One step of the core. Raises `BrokenInvariant`."""
        for effect in self.lanes.step(event, read_now()):
            self._carry_out(effect)
        self._wake_changed.set()

    def start(self) -> None:
        """Tells what the disk gave back, after the replica has started."""
        for effect in self.lanes.start():
            self._carry_out(effect)

    def _carry_out(self, effect: effects.Effect) -> None:  # noqa: C901 - the table from effect to act
        match effect:
            case effects.CheckBatch():
                self._check(effect)
            case effects.StoreBatch():
                self._unwritten.append((effect.batch, trio.current_time()))
                self._unwritten_bytes += len(effect.batch.encoded)
                self._write_wanted.set()
            case replica_events.BatchHeld():
                self._held(effect)
            case replica_events.LaneForked():
                _log.error("lane_forked", lane=effect.lane)
                self._metrics.add(table.LANES_FAULTS, 1, "forked")
                self._to_replica(effect)
            case effects.PushLane():
                for peer in effect.peers:
                    self._pump_event(peer).set()
            case effects.RequestBatch():
                self._spawn(self._fetch, effect)
            case effects.RequestGap():
                if self._host is not None:
                    self._host.send(effect.author, FrameKind.LANE_GAP, effect.from_seq.to_bytes(8, "big"))
            case effects.KeepEvidence():
                self._keep_fork(effect)
            case effects.BlamePeer():
                self._blame(effect)
            case effects.CountDrop():
                self._metrics.add(table.LANES_FAULTS, 1, effect.reason.value)

    def _check(self, effect: effects.CheckBatch) -> None:
        try:
            effect.batch.check(self._chain)
        except InvalidObject as fault:
            self.handle(events.BatchFaulted(effect.peer, effect.asked, fault.reason))
            return
        self.handle(events.BatchChecked(effect.peer, effect.batch, effect.asked))

    def _blame(self, effect: effects.BlamePeer) -> None:
        _log.warning("peer_fault", peer=effect.peer, reason=effect.fault.value, detail=effect.detail)
        self._metrics.add(table.LANES_FAULTS, 1, effect.fault.value)
        if self._host is not None and effect.peer != self._index:
            self._host.accuse(effect.peer, PeerFault(effect.fault.value))

    def _held(self, event: replica_events.BatchHeld) -> None:
        self._metrics.set(table.LANES_HEAD, event.seq, str(event.lane))
        waiting = self._waiting_held.pop(event.digest, None)
        if waiting is not None:
            waiting.set()
        self._to_replica(event)

    def _spawn(self, task: Callable[..., object], *arguments: object) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(task, *arguments)  # type: ignore[arg-type]

    async def run(self) -> None:
        """Writes, wakes the core and fetches, for ever. Raises `StorageFault` or `BrokenInvariant`."""
        with self._worker:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._run_writer)
                nursery.start_soon(self._run_wakes)
                for peer in range(self._chain.validator_set.count):
                    if peer != self._index:
                        nursery.start_soon(self._run_pump, ValidatorIndex(peer))

    async def _run_wakes(self) -> None:
        while True:
            self._wake_changed = trio.Event()
            at_ms = self.lanes.next_wake_ms()
            with trio.move_on_at(float("inf") if at_ms is None else at_ms / 1_000):
                await self._wake_changed.wait()
                continue
            self.handle(events.Ticked())

    # writing

    async def _run_writer(self) -> None:
        while True:
            await self._write_wanted.wait()
            self._write_wanted = trio.Event()
            while self._unwritten:
                group, self._unwritten = self._unwritten, []
                own_puts, self._own_puts = self._own_puts, []
                await self._write(group, own_puts)

    async def _write(self, group: list[tuple[Batch, float]], own_puts: Puts) -> None:
        batches = [batch for batch, _ in group]
        for batch in batches:
            self._source.remember(batch)
        started = trio.current_time()
        stored = await self._worker.run(self._store, batches, own_puts)
        now_s = trio.current_time()
        self._unwritten_bytes -= sum(len(batch.encoded) for batch in batches)
        self._written.set()
        self._written = trio.Event()
        self._metrics.observe(table.STORAGE_SYNC, now_s - started, "batches")
        for batch, since_s in group:
            origin = "own" if batch.header.author == self._index else "peer"
            self._metrics.observe(table.LANES_PERSIST, now_s - since_s)
            self._metrics.add(table.LANES_BATCHES, 1, origin)
            self._metrics.add(table.LANES_BATCH_BYTES, len(batch.encoded), origin)
        self.handle(events.BatchesStored(stored))
        if own_puts:
            self._own_held.set()
            self._failpoints.reach("own_batch_after_push")

    def _store(self, batches: Sequence[Batch], own_puts: Puts) -> tuple[tuple[Digest, Milliseconds], ...]:
        """In a thread: the bytes, synced; then the own head, synced."""
        self._failpoints.reach("batch_before_append")
        if own_puts:
            self._failpoints.reach("own_batch_before_append")
        received_ms = wall_ms()
        stored = self._log.append_many([batch_record(batch, received_ms) for batch in batches], wall_ms)
        self._failpoints.reach("batch_after_append")
        if own_puts:
            self._failpoints.reach("own_batch_after_append")
            self._database.write(own_puts, sync=True)
            self._failpoints.reach("own_batch_after_head")
        return tuple((Digest(Hash(entry.digest)), Milliseconds(entry.arrival_ms)) for entry in stored)

    # the own lane

    def own_next(self) -> tuple[Seq, Digest]:
        """Where the next own batch goes."""
        return self.lanes.own_next()

    def own_lane(self) -> OwnLane:
        """What sealing must know of the own lane."""
        return OwnLane(self.lanes.own_uncommitted(), is_syncing=self.lanes.own_is_syncing())

    async def hold_own(self, batch: Batch, sealed_puts: Puts) -> None:
        """Stores an own batch and its head, and pushes it. Returns when it is held."""
        self._own_held = trio.Event()
        self._own_digests[batch.header.seq] = batch.digest
        if len(self._own_digests) > OWN_DIGESTS_MAX:
            del self._own_digests[min(self._own_digests)]
        self._own_puts = [*own_head_puts(batch), *sealed_puts]
        self.handle(events.OwnBatchSealed(batch))
        await self._own_held.wait()

    def fork_proven(self, lane: ValidatorIndex) -> None:
        """A proof is kept that its author forked it. Raises `BrokenInvariant` of our own."""
        self.handle(events.ForkProven(lane))

    def is_forked(self, lane: ValidatorIndex) -> bool:
        """Whether its author is known to have signed two batches of one seq: nothing more of it is listed."""
        return lane in self.lanes.forked()

    # links

    def heads(self) -> tuple[Seq, ...]:
        """How far every lane is held, for a hello."""
        return self.lanes.heads()

    def note_link_opened(self, peer: ValidatorIndex, heads: tuple[Seq, ...]) -> None:
        """A link is up; `heads` come from the peer's hello."""
        self.handle(events.LinkOpened(peer, heads))
        self._pump_event(peer).set()

    def note_link_closed(self, peer: ValidatorIndex) -> None:
        """A link is gone."""
        self.handle(events.LinkClosed(peer))

    def receive(self, peer: ValidatorIndex, encoded: bytes) -> None:
        """A batch pushed over `peer`'s link."""
        self.handle(events.BatchReceived(peer, encoded))

    def receive_gap(self, peer: ValidatorIndex, body: bytes) -> None:
        """A peer asks for our lane again. Raises `DecodeError`."""
        if len(body) != 8:
            raise DecodeError("a gap is a u64")
        self.handle(events.GapRequested(peer, Seq(int.from_bytes(body, "big"))))

    def _pump_event(self, peer: ValidatorIndex) -> trio.Event:
        return self._pumps.setdefault(peer, trio.Event())

    async def _run_pump(self, peer: ValidatorIndex) -> None:
        """Pushes our lane to one peer, as fast as its queue takes it."""
        ready: tuple[Seq, bytes] | None = None  # read, and not yet taken by the link
        while True:
            seq = self.lanes.next_to_push(peer)
            if seq is None:
                event = self._pumps[peer] = trio.Event()
                if self.lanes.next_to_push(peer) is None:
                    await event.wait()
                continue
            if ready is None or ready[0] != seq:
                found = self._own_encoded(seq)
                if found is None:
                    _log.warning("peer_lacks_pruned_batches", peer=peer, seq=seq)
                    self.lanes.push_impossible(peer)
                    continue
                ready = (seq, found)
            encoded = ready[1]
            if self._host is not None and self._host.send(peer, FrameKind.BATCH, encoded):
                self.lanes.push_accepted(peer, seq)
                await trio.lowlevel.checkpoint()
            else:
                await trio.sleep(PUSH_PAUSE_S)

    def _own_encoded(self, seq: Seq) -> bytes | None:
        """The bytes of an own batch, or None if it is pruned. Raises `BrokenInvariant` if it should be held."""
        digest = self._own_digests.get(seq)
        if digest is None:
            found = self._log.list_lane(self._index, seq, 1)
            digest = Digest(Hash(found[0].digest)) if found and found[0].seq == seq else None
        encoded = self._source.encoded(digest) if digest is not None else None
        if encoded is None and seq > self.lanes.own_committed_seq():
            raise BrokenInvariant(f"batch {seq} of our own lane is not held")
        return encoded

    # fetching

    async def _fetch(self, effect: effects.RequestBatch) -> None:
        answer = b""
        while self._unwritten_bytes > UNWRITTEN_BYTES_MAX:
            await self._written.wait()
        try:
            if self._host is not None:
                answer = await self._host.request(
                    effect.peer,
                    RequestKind.BATCH,
                    effect.digest,
                    timeout_ms=FETCH_TIMEOUT_MS,
                    response_bytes_max=self._chain.parameters.batch_bytes_max,
                )
        except RequestFailed:
            answer = b""
        if answer:
            self._metrics.add(table.LANES_FETCHES, 1, "found")
            self.handle(events.BatchReceived(effect.peer, answer, effect.digest))
        else:
            self._metrics.add(table.LANES_FETCHES, 1, "missing")
            self.handle(events.FetchFailed(effect.peer, effect.digest))

    def serve_batch(self, digest: Digest) -> bytes:
        """A held batch's bytes for a peer; empty if it is not held."""
        return self._source.encoded(digest) or b""

    # consensus

    def note_committed(self, blocks: Sequence[CommittedBlock]) -> None:
        """Blocks are final."""
        for block in blocks:
            self.handle(events.Committed(block.effective.cut, block.batches))
        self._own_committed()

    def need(self, needed: NeedBatches) -> None:
        """The replica lacks batches."""
        self.handle(events.BatchesNeeded(needed.batches))

    async def until_held(self, batches: Sequence[OrderedBatch]) -> None:
        """Returns once all of these are on our disk. A wish that got lost is wished again, of everybody."""
        others = tuple(ValidatorIndex(peer) for peer in range(self._chain.validator_set.count) if peer != self._index)
        while missing := [batch for batch in batches if not self._log.contains(batch.digest)]:
            needed = tuple(NeededBatch(batch.lane, batch.seq, batch.digest, others) for batch in missing)
            arrivals = [self._waiting_held.setdefault(batch.digest, trio.Event()) for batch in missing]
            self.handle(events.BatchesNeeded(needed))
            with trio.move_on_after(WISH_AGAIN_S):
                for arrival in arrivals:
                    await arrival.wait()

    @property
    def missing_count(self) -> int:
        """Batches that execution waits for."""
        return len(self._waiting_held)
