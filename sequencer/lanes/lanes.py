"""The lanes of all validators as this one holds them.

Responsible for: which batches are taken, stored, told as held, pushed, fetched and asked for again.
Refuses to do: any I/O, hash or signature: bytes are checked, stored and sent by the shell, which answers with events.

Invariants:
1. Nothing is told as held before its own synced write returned ▲ (`lane.py`).
2. A duplicate is dropped before its signature is checked. A batch counts as known only after its check, so a forged
   copy never shadows the true one.
3. A pushed batch is taken only from its author's link, in the order of its lane, within LANE_BYTES_MAX uncommitted,
   AHEAD_BATCHES_MAX ahead and `ahead_bytes_max` in memory. A fetched one only if it was asked for.
4. A lane with a known fork tells nothing more of its branch ▲; its batches are taken only if the chain names them.
5. Our own lane goes on behind everything that any record of ours names; a seq is never sealed twice ▲ (`recovered.py`,
   `lane.py`, `pushing.py` stop the process where that could happen), and nothing of it is pushed before it is held ▲.
6. The core never waits for a peer: each gap and each wish has a due time, `next_wake_ms` tells the next.
"""

from typing import assert_never

from consensus import limits
from consensus.clock import Now
from consensus.errors import BrokenInvariant, DecodeError
from consensus.genesis import Genesis
from consensus.numbers import Digest, Seq, ValidatorIndex
from consensus.replica.effects import NeededBatch
from consensus.vocabulary.batch import Batch
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.effects import BlamePeer, CheckBatch, CountDrop, Effect, PushLane
from sequencer.lanes.errors import Dropped, Fault
from sequencer.lanes.events import (
    BatchChecked,
    BatchesNeeded,
    BatchesStored,
    BatchFaulted,
    BatchReceived,
    Committed,
    Event,
    FetchFailed,
    ForkProven,
    GapRequested,
    LinkClosed,
    LinkOpened,
    OwnBatchSealed,
    Ticked,
)
from sequencer.lanes.fetching import Fetches
from sequencer.lanes.gaps import Gaps
from sequencer.lanes.lane import Entry, Lane
from sequencer.lanes.pushing import Pushes
from sequencer.lanes.recovered import RecoveredLanes


class Lanes:
    """See the module's invariants. After each step the driver sets its timer by `next_wake_ms()`."""

    def __init__(self, chain: Genesis, index: ValidatorIndex, bounds: LaneBounds, recovered: RecoveredLanes) -> None:
        """`index` is ours. Raises `BrokenInvariant` if the disk is older than our own lane."""
        count = chain.validator_set.count
        self._index = index
        self._bounds = bounds
        self._batch_bytes_max = chain.parameters.batch_bytes_max
        self._ahead_bytes_max = max(2 * self._batch_bytes_max, bounds.ahead_bytes_max // count)
        self._lanes = [
            Lane(ValidatorIndex(author), position, is_own=author == index)
            for author, position in enumerate(recovered.committed)
        ]
        self._fetches = Fetches(bounds)
        self._pushes = Pushes(chain.validator_set, bounds)
        self._gaps = Gaps(bounds)
        self._linked: set[ValidatorIndex] = set()
        self._recover(recovered)

    def _recover(self, recovered: RecoveredLanes) -> None:
        own_tip = recovered.own_tip(self._index)
        for lane in self._lanes:
            lane.is_forked = lane.author in recovered.forked
            lane.recover(
                Entry(batch.seq, batch.digest, batch.prev_digest, batch.byte_count, arrival_ms=batch.arrival_ms)
                for batch in recovered.held
                if batch.lane == lane.author and batch.seq > lane.committed.seq
            )
        self._started = [effect for lane in self._lanes for effect in lane.start()]
        own = self._lanes[self._index]
        others = tuple(lane.author for lane in self._lanes if lane is not own)
        if own_tip.seq > own.tip.seq:
            own.tip = own_tip
        for position in recovered.own_sealed:
            if position.seq > own.committed.seq and position.digest not in own.by_digest:
                self._fetches.want(position.digest, others, 0.0)

    # queries

    def start(self) -> list[Effect]:
        """What the disk gave back, to be told once before the first step."""
        effects, self._started = self._started, []
        return effects

    def own_next(self) -> tuple[Seq, Digest]:
        """(seq, prev_digest) of the next batch that we seal."""
        tip = self._lanes[self._index].tip
        return Seq(tip.seq + 1), tip.digest

    def own_uncommitted(self) -> int:
        """How many of our batches are sealed and not committed."""
        own = self._lanes[self._index]
        return own.tip.seq - own.committed.seq

    def own_is_syncing(self) -> bool:
        """Whether one of our batches is between sealed and synced."""
        own = self._lanes[self._index]
        return own.head.seq < own.tip.seq

    def heads(self) -> tuple[Seq, ...]:
        """For the hello: per lane the seq behind which its author should go on."""
        return tuple(lane.head.seq for lane in self._lanes)

    def own_committed_seq(self) -> Seq:
        """Up to which seq our lane is committed."""
        return self._lanes[self._index].committed.seq

    def holds(self, digest: Digest) -> bool:
        """Whether a batch above the last commit is held. Older ones are the storage's affair."""
        return any((entry := lane.by_digest.get(digest)) and entry.arrival_ms is not None for lane in self._lanes)

    def forked(self) -> tuple[ValidatorIndex, ...]:
        """The lanes of which nothing is listed any more."""
        return tuple(lane.author for lane in self._lanes if lane.is_forked)

    def missing_count(self) -> int:
        """How many batches are wished for."""
        return len(self._fetches)

    def uncommitted_bytes(self) -> tuple[int, ...]:
        """Per lane, for metrics."""
        return tuple(lane.byte_count for lane in self._lanes)

    def next_wake_ms(self) -> float | None:
        """When a `Ticked` is due, on the monotonic clock."""
        due = [at for at in (self._fetches.next_due_ms(), self._gaps.next_due_ms()) if at is not None]
        return min(due, default=None)

    def next_to_push(self, peer: ValidatorIndex) -> Seq | None:
        """The seq of our own lane to send to `peer` next; None: nothing, or no link."""
        return self._pushes.next_seq(peer, self._lanes[self._index].head.seq)

    def push_accepted(self, peer: ValidatorIndex, seq: Seq) -> None:
        """The link's queue took it. After a refusal call nothing and try `next_to_push` when the queue has drained."""
        self._pushes.accepted(peer, seq)

    def push_impossible(self, peer: ValidatorIndex) -> None:
        """What `next_to_push` told is pruned."""
        self._pushes.give_up(peer)

    # events

    def step(self, event: Event, now: Now) -> list[Effect]:
        """One event. Raises `BrokenInvariant` (invariant 5)."""
        effects = self._rule(event, now)
        effects += self._fetches.requests(now)
        effects += self._gaps.requests(now)
        return effects

    def _rule(self, event: Event, now: Now) -> list[Effect]:  # noqa: C901, PLR0911 - one table
        match event:
            case BatchReceived():
                return self._on_received(event, now)
            case BatchChecked():
                return self._on_checked(event, now)
            case BatchFaulted():
                return self._refuse(event.peer, event.asked, now, Fault.INVALID_BATCH, event.reason)
            case BatchesStored():
                return self._on_stored(event)
            case OwnBatchSealed():
                return self._on_sealed(event.batch)
            case LinkOpened():
                return self._on_link_opened(event)
            case LinkClosed():
                self._linked.discard(event.peer)
                self._pushes.link_closed(event.peer)
                self._fetches.link_closed(event.peer, now)
                self._gaps.forget(event.peer)
                return []
            case GapRequested():
                return self._on_gap_requested(event, now)
            case Committed():
                return self._on_committed(event, now)
            case BatchesNeeded():
                return [effect for batch in event.batches for effect in self._need(batch, now)]
            case ForkProven():
                return self._lanes[event.lane].close()
            case FetchFailed():
                self._fetches.failed(event.digest, event.peer, now)
                return []
            case Ticked():
                return []
            case _:
                assert_never(event)

    def _refuse(
        self, peer: ValidatorIndex, asked: Digest | None, now: Now, fault: Fault, detail: str = ""
    ) -> list[Effect]:
        if asked is not None:
            self._fetches.failed(asked, peer, now)
        return [BlamePeer(peer, fault, detail)]

    def _on_received(self, event: BatchReceived, now: Now) -> list[Effect]:
        peer, asked = event.peer, event.asked
        if asked is not None and not self._fetches.is_in_flight(asked, peer):
            return [CountDrop(Dropped.UNASKED)]
        if len(event.encoded) > self._batch_bytes_max:
            return self._refuse(peer, asked, now, Fault.OVERSIZED)
        try:
            batch = Batch.decode(event.encoded, self._batch_bytes_max)
        except DecodeError as error:
            return self._refuse(peer, asked, now, Fault.MALFORMED, str(error))
        if asked is not None and batch.digest != asked:
            return self._refuse(peer, asked, now, Fault.WRONG_HASH)
        if asked is None and batch.header.author != peer:
            return self._refuse(peer, asked, now, Fault.WRONG_AUTHOR)
        if batch.header.author >= len(self._lanes):
            return self._refuse(peer, asked, now, Fault.INVALID_BATCH, "unknown_author")
        lane = self._lanes[batch.header.author]
        if asked is None:
            lane.shown_seq = max(lane.shown_seq, batch.header.seq)
        dropped = self._reason_to_drop(lane, batch)
        if dropped is None:
            return [CheckBatch(peer, batch, asked)]
        return self._drop(lane, peer, asked, dropped, now)

    def _drop(self, lane: Lane, peer: ValidatorIndex, asked: Digest | None, dropped: Dropped, now: Now) -> list[Effect]:
        if asked is not None:
            self._fetches.answered(asked, peer, now)
        self._watch(lane, now)
        return [CountDrop(dropped)]

    def _reason_to_drop(self, lane: Lane, batch: Batch) -> Dropped | None:
        """The cheap judgement, before any hash or signature; a batch that somebody needs is always taken."""
        seq, size = batch.header.seq, len(batch.encoded)
        if batch.digest in lane.by_digest:
            return Dropped.DUPLICATE
        if batch.digest in self._fetches:
            return None
        if seq <= lane.committed.seq:
            return Dropped.STALE
        if lane.is_forked:
            return Dropped.FORKED
        if seq in lane.at:
            return None  # the other half of a fork
        if seq > lane.tip.seq + 1 + limits.AHEAD_BATCHES_MAX:
            return Dropped.TOO_FAR
        if lane.byte_count + size > self._bounds.lane_bytes_max or len(lane.at) >= self._bounds.lane_batches_max:
            return Dropped.LANE_FULL
        if seq > lane.tip.seq + 1 and lane.ahead_bytes + size > self._ahead_bytes_max:
            return Dropped.AHEAD_FULL
        return None

    def _on_checked(self, event: BatchChecked, now: Now) -> list[Effect]:
        batch, asked = event.batch, event.asked
        lane = self._lanes[batch.header.author]
        dropped = self._reason_to_drop(lane, batch)
        if dropped is not None:
            return self._drop(lane, event.peer, asked, dropped, now)
        effects = lane.accept(batch, is_needed=batch.digest in self._fetches)
        if asked is not None:
            self._fetches.answered(asked, event.peer, now)
        if batch.digest in lane.by_digest:
            self._fetches.drop(batch.digest)
        self._watch(lane, now)
        return effects

    def _on_stored(self, event: BatchesStored) -> list[Effect]:
        own_head = self._lanes[self._index].head
        effects: list[Effect] = []
        for digest, arrival_ms in event.stored:
            for lane in self._lanes:
                effects += lane.stored(digest, arrival_ms)
        return effects + self._push_if_moved(own_head.seq)

    def _push_if_moved(self, before: Seq) -> list[Effect]:
        held = self._lanes[self._index].head.seq
        peers = self._pushes.behind(held) if held > before else ()
        return [PushLane(peers)] if peers else []

    def _on_sealed(self, batch: Batch) -> list[Effect]:
        header = batch.header
        if (header.author, header.seq, header.prev_digest) != (self._index, *self.own_next()):
            raise BrokenInvariant(f"our batch {header.seq} does not follow our lane")
        return self._lanes[self._index].accept(batch, is_needed=False)

    def _on_link_opened(self, event: LinkOpened) -> list[Effect]:
        peer = event.peer
        if len(event.heads) != len(self._lanes) or peer == self._index or peer >= len(self._lanes):
            return [BlamePeer(peer, Fault.MALFORMED, "hello")]
        own = self._lanes[self._index]
        self._linked.add(peer)
        self._gaps.forget(peer)
        self._pushes.link_opened(peer, event.heads[self._index], own.tip.seq)
        self._fetches.link_opened(peer)
        return [PushLane((peer,))] if self.next_to_push(peer) is not None else []

    def _on_gap_requested(self, event: GapRequested, now: Now) -> list[Effect]:
        if not self._pushes.rewind(event.peer, event.from_seq, self._lanes[self._index].head.seq, now):
            return [CountDrop(Dropped.GAP_TOO_OFTEN)]
        return [PushLane((event.peer,))] if self.next_to_push(event.peer) is not None else []

    def _on_committed(self, event: Committed, now: Now) -> list[Effect]:
        ordered: dict[ValidatorIndex, list[tuple[Seq, Digest]]] = {}
        for batch in event.batches:
            ordered.setdefault(batch.lane, []).append((batch.seq, batch.digest))
        own_head = self._lanes[self._index].head.seq
        effects: list[Effect] = []
        for lane, position in zip(self._lanes, event.cut, strict=True):
            effects += lane.commit(position, ordered.get(lane.author, ()))
            self._watch(lane, now)
        return effects + self._push_if_moved(own_head)

    def _need(self, batch: NeededBatch, now: Now) -> list[Effect]:
        """Stores or tells it if it is here, else fetches it: a little later if its author may be pushing it."""
        effects = self._lanes[batch.lane].need(batch.digest)
        if effects is not None:
            return effects
        grace_ms = self._bounds.push_grace_ms if batch.lane in self._linked else 0
        holders = tuple(peer for peer in batch.holders if peer != self._index)
        if not self._fetches.want(batch.digest, holders, now.mono_ms + grace_ms):
            return [CountDrop(Dropped.WANTED_FULL)]
        return []

    def _watch(self, lane: Lane, now: Now) -> None:
        if lane.author in self._linked:
            has_room = lane.byte_count + self._batch_bytes_max <= self._bounds.lane_bytes_max
            self._gaps.watch(lane, now, has_room=has_room and len(lane.at) < self._bounds.lane_batches_max)
