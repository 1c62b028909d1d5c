"""What is known of one author's lane above its last commit.

Responsible for: the branch that we follow, what waits behind a gap, what is being stored, forks, and telling the
replica what is held.
Refuses to do: check batches, ask anybody for anything, or decide whether a batch is worth its bytes (`lanes.py`).

Invariants:
1. The branch is the batches from the committed position to `tip`, each naming the digest of the one before. A batch
   joins it only as its next one.
2. A batch is told as held only after its own synced write returned ▲, with the arrival of that sync: `chained` in the
   order of the branch and once; otherwise (`chained=False`) if somebody needs it, once.
3. After a fork is known nothing is chained any more ▲, and nothing is accepted but what somebody needs.
4. Batches ordered by the committed chain are right by definition: `tip` is never behind the committed position, and a
   different batch of ours at an ordered seq is a fork.
5. Of our own lane a fork, or a commit beyond its tip, means that this key sealed what we do not remember: the process
   stops ▲.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from consensus.errors import KeyUsedElsewhere
from consensus.numbers import Digest, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.replica.events import BatchHeld, LaneForked
from consensus.vocabulary.batch import Batch
from sequencer.lanes.effects import BlamePeer, Effect, KeepEvidence, StoreBatch
from sequencer.lanes.errors import Fault


@dataclass(slots=True)
class Entry:
    """One batch. It is in memory (`buffered`), then being stored, then held (`arrival_ms`)."""

    seq: Seq
    digest: Digest
    prev_digest: Digest
    byte_count: int
    buffered: Batch | None = None
    arrival_ms: Milliseconds | None = None
    is_needed: bool = False
    is_chained: bool = False  # told as part of the branch
    is_told: bool = False

    @property
    def is_storing(self) -> bool:
        """Whether its write is under way."""
        return self.buffered is None and self.arrival_ms is None


@dataclass(slots=True)
class _Rivals:
    """Two batches of one seq, until both are synced. The second may be known by its digest only."""

    first: Entry
    digest: Digest
    second: Entry | None = None


class Lane:
    """See the module's invariants."""

    def __init__(self, author: ValidatorIndex, committed: LanePosition, *, is_own: bool = False) -> None:
        self.author = author
        self.is_own = is_own
        self.committed = committed
        self.tip = committed  # the last of the branch, maybe still being stored
        self.head = committed  # the last of the branch that is held
        self.by_digest: dict[Digest, Entry] = {}  # all that is known
        self.at: dict[Seq, Entry] = {}  # the first batch known at each seq above the committed one
        self.byte_count = 0  # of `at`
        self.ahead_bytes = 0  # of those in memory
        self.shown_seq = committed.seq  # the highest that the author has pushed
        self.is_forked = False
        self._rivals: _Rivals | None = None

    @property
    def has_gap(self) -> bool:
        """Whether the author has pushed what the branch does not reach."""
        return not self.is_forked and self.shown_seq > self.tip.seq

    def recover(self, entries: Iterable[Entry]) -> None:
        """Takes what the disk holds above the committed position; two batches of one seq are a fork."""
        for entry in entries:
            self.by_digest[entry.digest] = entry
            if entry.seq in self.at:
                self._stop_if_own()
                self.is_forked = True
                self._rivals = _Rivals(self.at[entry.seq], entry.digest, entry)
            else:
                self._place(entry)

    def start(self) -> list[Effect]:
        """Tells what was recovered."""
        fork: list[Effect] = [LaneForked(self.author)] if self.is_forked else []
        return fork + self._tell_evidence() + self.extend()

    def _place(self, entry: Entry) -> None:
        self.at[entry.seq] = entry
        self.byte_count += entry.byte_count

    def extend(self) -> list[Effect]:
        """Follows the branch as far as what is known goes on, storing what was in memory."""
        effects: list[Effect] = []
        while not self.is_forked and (entry := self.at.get(Seq(self.tip.seq + 1))) is not None:
            if entry.prev_digest != self.tip.digest:
                if entry.buffered is not None:
                    self._drop_buffered(entry)
                    effects.append(BlamePeer(self.author, Fault.BROKEN_CHAIN))
                break
            effects += self._store(entry)
            self.tip = LanePosition(entry.seq, entry.digest)
        return effects + self._tell_branch()

    def accept(self, batch: Batch, *, is_needed: bool) -> list[Effect]:
        """Takes a checked batch that is not known yet and within the bounds."""
        header = batch.header
        entry = Entry(header.seq, batch.digest, header.prev_digest, len(batch.encoded), is_needed=is_needed)
        rival = self.at.get(header.seq)
        if rival is not None and not self.is_forked:
            return [*self._fork(rival, batch.digest), self._keep(entry, batch)]
        if self.is_forked or header.seq <= self.committed.seq:
            return [self._keep(entry, batch)] if is_needed else []
        if header.seq == self.tip.seq + 1 and header.prev_digest != self.tip.digest and not is_needed:
            return [BlamePeer(self.author, Fault.BROKEN_CHAIN)]
        self.by_digest[entry.digest] = entry
        self._place(entry)
        entry.buffered = batch
        self.ahead_bytes += entry.byte_count
        return self._need(entry) + self.extend()

    def _keep(self, entry: Entry, batch: Batch) -> Effect:
        """Stores a batch outside the branch."""
        self.by_digest[entry.digest] = entry
        if self._rivals is not None and self._rivals.digest == entry.digest:
            self._rivals.second = entry
        return StoreBatch(batch)

    def need(self, digest: Digest) -> list[Effect] | None:
        """Somebody needs this batch: store it now, and tell when it is held. None if it is not known."""
        entry = self.by_digest.get(digest)
        if entry is None:
            return None
        entry.is_needed = True
        return self._need(entry)

    def _need(self, entry: Entry) -> list[Effect]:
        return self._store(entry) + self._tell_needed(entry) if entry.is_needed else []

    def stored(self, digest: Digest, arrival_ms: Milliseconds) -> list[Effect]:
        """The batch's own write was synced."""
        entry = self.by_digest.get(digest)
        if entry is None or not entry.is_storing:
            return []
        entry.arrival_ms = arrival_ms
        effects = self._tell_branch() + self._tell_needed(entry) + self._tell_evidence()
        if entry.seq <= self.committed.seq:
            del self.by_digest[digest]
        return effects

    def commit(self, position: LanePosition, ordered: Iterable[tuple[Seq, Digest]]) -> list[Effect]:
        """The committed chain orders the lane up to `position`; `ordered` are the batches that it adds."""
        if position.seq <= self.committed.seq:
            return []
        if self.is_own and position.seq > self.tip.seq:
            raise KeyUsedElsewhere(
                f"the chain orders batches up to {position.seq} of this validator's lane, which knows {self.tip.seq}"
            )
        effects: list[Effect] = []
        for seq, digest in ordered:
            ours = self.at.get(seq)
            if ours is not None and ours.digest != digest and not self.is_forked:
                effects += self._fork(ours, digest)
            effects += self.need(digest) or []
        for entry in [entry for entry in self.by_digest.values() if entry.seq <= position.seq]:
            self._drop_committed(entry)
        self.committed = position
        if self.tip.seq <= position.seq:
            self.tip = position
        if self.head.seq <= position.seq:
            self.head = position
        return effects + self.extend()

    def _drop_committed(self, entry: Entry) -> None:
        """Forgets an entry, but one whose write is under way only once that is done."""
        if self.at.get(entry.seq) is entry:
            del self.at[entry.seq]
            self.byte_count -= entry.byte_count
        if entry.buffered is not None:
            self.ahead_bytes -= entry.byte_count
        if not entry.is_storing:
            del self.by_digest[entry.digest]

    def _drop_buffered(self, entry: Entry) -> None:
        del self.at[entry.seq], self.by_digest[entry.digest]
        self.byte_count -= entry.byte_count
        self.ahead_bytes -= entry.byte_count

    def _store(self, entry: Entry) -> list[Effect]:
        if entry.buffered is None:
            return []
        batch, entry.buffered = entry.buffered, None
        self.ahead_bytes -= entry.byte_count
        return [StoreBatch(batch)]

    def _fork(self, ours: Entry, other: Digest) -> list[Effect]:
        """Two batches of one seq: keep both, list nothing more."""
        self._rivals = _Rivals(ours, other)
        stored = self._store(ours)
        return [*self.close(), *stored]

    def close(self) -> list[Effect]:
        """A fork is known: nothing more is listed, and what waits in memory is nobody's need."""
        if self.is_forked:
            return []
        self._stop_if_own()
        self.is_forked = True
        for entry in [entry for entry in self.at.values() if entry.buffered is not None]:
            self._drop_buffered(entry)
        return [LaneForked(self.author)]

    def _stop_if_own(self) -> None:
        if self.is_own:
            raise KeyUsedElsewhere("two batches of one number are signed with this validator's key")

    def _tell_branch(self) -> list[Effect]:
        effects: list[Effect] = []
        while not self.is_forked and self.head.seq < self.tip.seq:
            entry = self.at.get(Seq(self.head.seq + 1))
            if entry is None or entry.arrival_ms is None:
                break
            entry.is_told = entry.is_chained = True
            self.head = LanePosition(entry.seq, entry.digest)
            effects.append(BatchHeld(self.author, entry.seq, entry.digest, entry.arrival_ms))
        return effects

    def _tell_needed(self, entry: Entry) -> list[Effect]:
        if not entry.is_needed or entry.is_told or entry.arrival_ms is None:
            return []
        entry.is_told = True
        return [BatchHeld(self.author, entry.seq, entry.digest, entry.arrival_ms, chained=False)]

    def _tell_evidence(self) -> list[Effect]:
        """The pair, once both are synced."""
        rivals = self._rivals
        if rivals is None or rivals.second is None:
            return []
        if rivals.first.arrival_ms is None or rivals.second.arrival_ms is None:
            return []
        self._rivals = None
        return [KeepEvidence(self.author, rivals.first.seq, rivals.first.digest, rivals.second.digest)]
