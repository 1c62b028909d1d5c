"""What the disk gives back to the lanes at a start."""

from dataclasses import dataclass

from consensus.errors import KeyUsedElsewhere
from consensus.numbers import ZERO_HASH, Digest, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition


@dataclass(frozen=True, slots=True)
class RecoveredBatch:
    """A held batch, with the arrival that was stored with it."""

    lane: ValidatorIndex
    seq: Seq
    digest: Digest
    prev_digest: Digest
    byte_count: int
    arrival_ms: Milliseconds


@dataclass(frozen=True, slots=True)
class RecoveredLanes:
    """For a new chain: `nothing_recovered(count)`."""

    committed: tuple[LanePosition, ...]  # the effective cut, for every lane
    held: tuple[RecoveredBatch, ...] = ()  # every batch at or above it, forks included, in any order
    forked: frozenset[ValidatorIndex] = frozenset()  # lanes of which E7 evidence is kept
    own_sealed: tuple[LanePosition, ...] = ()  # our own newest batches that any record names, held or not

    def own_tip(self, own: ValidatorIndex) -> LanePosition:
        """The last batch that we ever sealed ▲. Raises `KeyUsedElsewhere` if the chain knows a later one."""
        known = [LanePosition(batch.seq, batch.digest) for batch in self.held if batch.lane == own]
        known += self.own_sealed
        committed = self.committed[own]
        newest = max([*known, LanePosition(Seq(0), Digest(ZERO_HASH))], key=lambda position: position.seq)
        if newest.seq < committed.seq:
            raise KeyUsedElsewhere(
                f"the chain ordered batches up to {committed.seq} of this validator's lane, which knows {newest.seq}"
            )
        digests: dict[Seq, Digest] = {}
        for position in known:
            if digests.setdefault(position.seq, position.digest) != position.digest:
                raise KeyUsedElsewhere(f"two batches {position.seq} are signed with this validator's key")
        return newest


def nothing_recovered(count: int) -> RecoveredLanes:
    """A chain of `count` validators before its first batch."""
    return RecoveredLanes((LanePosition(Seq(0), Digest(ZERO_HASH)),) * count)
