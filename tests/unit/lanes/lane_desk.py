"""One validator's lanes with a shell that checks at once and a disk that syncs when told."""

from dataclasses import dataclass, field

from consensus.clock import Now
from consensus.errors import InvalidObject
from consensus.numbers import ZERO_HASH, Digest, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.ordering.effective import OrderedBatch
from consensus.replica.effects import NeededBatch
from consensus.replica.events import BatchHeld
from consensus.vocabulary.batch import Batch
from sequencer.lanes.bounds import LaneBounds
from sequencer.lanes.effects import CheckBatch, Effect, StoreBatch
from sequencer.lanes.events import (
    BatchChecked,
    BatchesNeeded,
    BatchesStored,
    BatchFaulted,
    BatchReceived,
    Committed,
    Event,
    LinkOpened,
)
from sequencer.lanes.lanes import Lanes
from sequencer.lanes.recovered import RecoveredLanes, nothing_recovered
from tests.committee import Committee, Segment

COMMITTEE = Committee()
CHAIN = COMMITTEE.chain
COUNT = COMMITTEE.count
WALL_MS = 1_700_000_000_000
ZEROS = Digest(ZERO_HASH)
NAMESPACE = NamespaceId(1001)


def at(mono_ms: float) -> Now:
    return Now(Milliseconds(WALL_MS + int(mono_ms)), mono_ms)


def seal(author: int, seq: int, prev: Batch | None, salt: bytes = b"", byte_count: int = 10) -> Batch:
    """The batch of `author` at `seq` behind `prev`; another salt makes another batch."""
    prev_digest = ZEROS if prev is None else prev.digest
    item = bytes([author, seq % 256]) + salt + bytes(byte_count)
    return COMMITTEE.seal(author, seq, prev_digest, [Segment(NAMESPACE, (item,))])


def chain_of(
    author: int, count: int, salt: bytes = b"", after: Batch | None = None, byte_count: int = 10
) -> list[Batch]:
    """`count` batches, one behind the other."""
    batches: list[Batch] = []
    for _ in range(count):
        prev = batches[-1] if batches else after
        batches.append(seal(author, 1 if prev is None else prev.header.seq + 1, prev, salt, byte_count))
    return batches


@dataclass
class Desk:
    """Steps one `Lanes` and keeps what it asked for."""

    lanes: Lanes
    mono_ms: float = 0.0
    unsynced: list[Batch] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def step(self, event: Event) -> list[Effect]:
        """Carries out one event, the checks that it asks for included; returns all other effects."""
        found: list[Effect] = []
        for effect in self.lanes.step(event, at(self.mono_ms)):
            match effect:
                case CheckBatch():
                    found += self.step(self.checked(effect))
                case StoreBatch():
                    self.unsynced.append(effect.batch)
                    found.append(effect)
                case _:
                    found.append(effect)
        self.effects += found
        return found

    def checked(self, effect: CheckBatch) -> Event:
        try:
            effect.batch.check(CHAIN)
        except InvalidObject as error:
            return BatchFaulted(effect.peer, effect.asked, error.reason)
        return BatchChecked(effect.peer, effect.batch, effect.asked)

    def push(self, *batches: Batch) -> list[Effect]:
        """Each over its author's link."""
        found: list[Effect] = []
        for batch in batches:
            found += self.step(BatchReceived(batch.header.author, batch.encoded))
        return found

    def answer(self, peer: int, batch: Batch) -> list[Effect]:
        """`peer` answers the request for this batch."""
        return self.step(BatchReceived(ValidatorIndex(peer), batch.encoded, batch.digest))

    def sync(self) -> list[Effect]:
        """The disk is done with all it was given."""
        stored = tuple((batch.digest, at(self.mono_ms).wall_ms) for batch in self.unsynced)
        self.unsynced = []
        return self.step(BatchesStored(stored))

    def link(self, *peers: int, heads: tuple[int, ...] = (0,) * COUNT) -> list[Effect]:
        found: list[Effect] = []
        for peer in peers:
            found += self.step(LinkOpened(ValidatorIndex(peer), tuple(Seq(head) for head in heads)))
        return found

    def need(self, *batches: Batch, holders: tuple[int, ...] = (1, 2, 3)) -> list[Effect]:
        return self.step(BatchesNeeded(tuple(needed(batch, holders) for batch in batches)))

    def commit(self, *batches: Batch) -> list[Effect]:
        """A block that orders these."""
        cut = [lane.committed for lane in self.lanes._lanes]
        for batch in batches:
            cut[batch.header.author] = LanePosition(batch.header.seq, batch.digest)
        ordered = tuple(OrderedBatch(batch.header.author, batch.header.seq, batch.digest, 0) for batch in batches)
        return self.step(Committed(tuple(cut), ordered))


def needed(batch: Batch, holders: tuple[int, ...]) -> NeededBatch:
    header = batch.header
    return NeededBatch(header.author, header.seq, batch.digest, tuple(ValidatorIndex(peer) for peer in holders))


def desk(index: int = 0, recovered: RecoveredLanes | None = None, **bounds: float) -> Desk:
    """The lanes of validator `index`, on a new chain unless something was recovered."""
    lanes = Lanes(
        CHAIN,
        ValidatorIndex(index),
        LaneBounds(**bounds),  # type: ignore[arg-type]
        recovered or nothing_recovered(COUNT),
    )
    made = Desk(lanes)
    made.effects += lanes.start()
    return made


def held(effects: list[Effect], *, chained: bool | None = None) -> list[Digest]:
    """The digests told as held."""
    return [
        effect.digest
        for effect in effects
        if isinstance(effect, BatchHeld) and (chained is None or effect.chained is chained)
    ]
