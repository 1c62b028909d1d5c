"""What this validator holds of every lane, and the rows of its lane reports.

Responsible for: base_seq, the list of later batches with their ages, and which committed batches are missing.
Refuses to do: fetch, store or check batches (`sequencer/lanes`).

Invariants:
1. base_seq = the highest seq up to which every *committed* batch of the lane is held, synced ▲. It never passes what
   was committed, and never falls.
2. A row lists contiguous batches from base_seq + 1 on, oldest first, at most LANE_REPORT_BATCHES; lanes never compete
   for room ▲. Of a lane with a known fork it lists nothing.
3. Ages run on the monotonic clock since the stored arrival; after a restart they start at max(0, wall now − stored).
"""

from collections.abc import Iterable

from consensus.clock import Now
from consensus.numbers import Digest, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.effective import OrderedBatch
from consensus.vocabulary.report import LaneRow

_AGE_MS_MAX = 2**32 - 1


class _Lane:
    """One lane as we hold it, above its base."""

    __slots__ = ("base", "chained", "committed", "fetched", "forked")

    def __init__(self, base: Seq) -> None:
        self.base: int = base
        self.committed: dict[int, Digest] = {}  # ordered above the base
        self.chained: dict[int, tuple[Digest, float]] = {}  # our view of the lane: digest and monotonic arrival
        self.fetched: set[Digest] = set()  # held by digest only
        self.forked = False

    def holds(self, seq: int, digest: Digest) -> bool:
        return digest in self.fetched or self.chained.get(seq, (None,))[0] == digest

    def advance(self) -> None:
        """Moves the base over committed batches that are held."""
        while True:
            digest = self.committed.get(self.base + 1)
            if digest is None or not self.holds(self.base + 1, digest):
                return
            self.base += 1
            del self.committed[self.base]
            self.chained.pop(self.base, None)
            self.fetched.discard(digest)


class Holdings:
    """All lanes of one chain."""

    def __init__(self, bases: Iterable[Seq], batches_max: int) -> None:
        """`bases`: per lane the seq up to which every batch is committed and held."""
        self._lanes = [_Lane(base) for base in bases]
        self._batches_max = batches_max

    def note_held(
        self, lane: ValidatorIndex, seq: Seq, digest: Digest, arrival_ms: Milliseconds, now: Now, *, chained: bool
    ) -> None:
        """A batch is synced since `arrival_ms` (wall)."""
        state = self._lanes[lane]
        if seq <= state.base:
            return
        if chained:
            state.chained.setdefault(seq, (digest, now.mono_ms - max(0, now.wall_ms - arrival_ms)))
        else:
            state.fetched.add(digest)
        self._compare(state, seq)
        state.advance()

    def note_committed(self, batches: Iterable[OrderedBatch]) -> tuple[OrderedBatch, ...]:
        """These are ordered for good; returns those that we do not hold."""
        missing = []
        for batch in batches:
            state = self._lanes[batch.lane]
            if batch.seq <= state.base:
                continue
            state.committed[batch.seq] = batch.digest
            self._compare(state, batch.seq)
            if not state.holds(batch.seq, batch.digest):
                missing.append(batch)
        for lane in {batch.lane for batch in batches}:
            self._lanes[lane].advance()
        return tuple(missing)

    def note_forked(self, lane: ValidatorIndex) -> None:
        """Two batches of one seq exist (E7): list nothing of this lane any more."""
        self._lanes[lane].forked = True

    def _compare(self, state: _Lane, seq: int) -> None:
        ordered, own = state.committed.get(seq), state.chained.get(seq)
        if ordered is not None and own is not None and own[0] != ordered:
            state.forked = True

    def holds(self, lane: ValidatorIndex, seq: Seq, digest: Digest) -> bool:
        """Whether this batch is held, or lies below the base."""
        state = self._lanes[lane]
        return seq <= state.base or state.holds(seq, digest)

    def missing(self) -> tuple[tuple[ValidatorIndex, Seq, Digest], ...]:
        """Every committed batch that is not held."""
        return tuple(
            (ValidatorIndex(lane), Seq(seq), digest)
            for lane, state in enumerate(self._lanes)
            for seq, digest in state.committed.items()
            if not state.holds(seq, digest)
        )

    @property
    def unheld_count(self) -> int:
        """Committed batches above the bases: the first of each lane is missing."""
        return sum(len(state.committed) for state in self._lanes)

    def bases(self) -> tuple[Seq, ...]:
        """base_seq of every lane."""
        return tuple(Seq(state.base) for state in self._lanes)

    def listed_ends(self) -> tuple[Seq, ...]:
        """Per lane the last seq that a report of ours would list."""
        return tuple(Seq(state.base + len(self._listed(state))) for state in self._lanes)

    def _listed(self, state: _Lane) -> list[tuple[Digest, float]]:
        listed: list[tuple[Digest, float]] = []
        if state.forked:
            return listed
        seq = state.base + 1
        while len(listed) < self._batches_max and (entry := state.chained.get(seq)) is not None:
            listed.append(entry)
            seq += 1
        return listed

    def rows(self, now: Now) -> tuple[LaneRow, ...]:
        """The lanes of a report that is sent now."""
        return tuple(
            LaneRow(
                Seq(state.base),
                tuple(
                    (digest, min(_AGE_MS_MAX, int(max(0.0, now.mono_ms - arrival))))
                    for digest, arrival in self._listed(state)
                ),
            )
            for state in self._lanes
        )
