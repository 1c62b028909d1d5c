"""What the lanes are told. Names are past participles; each is one input of `Lanes.step`."""

from dataclasses import dataclass

from consensus.numbers import Digest, Milliseconds, Seq, ValidatorIndex
from consensus.ordering.cut import LanePosition
from consensus.ordering.effective import OrderedBatch
from consensus.replica.effects import NeededBatch
from consensus.vocabulary.batch import Batch


@dataclass(frozen=True, slots=True)
class BatchReceived:
    """Bytes from `peer`: pushed over its link (`asked` is None), or its answer to a request for the digest `asked`."""

    peer: ValidatorIndex
    encoded: bytes
    asked: Digest | None = None


@dataclass(frozen=True, slots=True)
class BatchChecked:
    """`CheckBatch` was carried out and the batch is valid."""

    peer: ValidatorIndex
    batch: Batch
    asked: Digest | None = None


@dataclass(frozen=True, slots=True)
class BatchFaulted:
    """`CheckBatch` was carried out and the batch is not valid; `reason` is the word of `InvalidObject`."""

    peer: ValidatorIndex
    asked: Digest | None
    reason: str


@dataclass(frozen=True, slots=True)
class BatchesStored:
    """The write of these batches was synced; each with its arrival, the wall time at which the sync returned."""

    stored: tuple[tuple[Digest, Milliseconds], ...]


@dataclass(frozen=True, slots=True)
class OwnBatchSealed:
    """Our next batch, at the place that `own_next()` gave."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A link with `peer`; `heads`: from its hello, the highest seq that it holds of each lane."""

    peer: ValidatorIndex
    heads: tuple[Seq, ...]


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The link with `peer` is gone, and with it whatever was on its way."""

    peer: ValidatorIndex


@dataclass(frozen=True, slots=True)
class GapRequested:
    """`peer` asks us, as the author, to push again from `from_seq` on."""

    peer: ValidatorIndex
    from_seq: Seq


@dataclass(frozen=True, slots=True)
class Committed:
    """A block is final: the effective cut after it, for every lane, and the batches that it ordered."""

    cut: tuple[LanePosition, ...]
    batches: tuple[OrderedBatch, ...]


@dataclass(frozen=True, slots=True)
class BatchesNeeded:
    """A proposal or a commit names batches that the replica lacks, with those who listed them."""

    batches: tuple[NeededBatch, ...]


@dataclass(frozen=True, slots=True)
class ForkProven:
    """A proof is kept that the lane's author signed two batches of one seq, whoever found it."""

    lane: ValidatorIndex


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """`RequestBatch` ended without the batch: not found, too busy, timed out."""

    peer: ValidatorIndex
    digest: Digest


@dataclass(frozen=True, slots=True)
class Ticked:
    """The time of `Lanes.next_wake_ms()` has come."""


Event = (
    BatchReceived
    | BatchChecked
    | BatchFaulted
    | BatchesStored
    | OwnBatchSealed
    | LinkOpened
    | LinkClosed
    | GapRequested
    | Committed
    | BatchesNeeded
    | ForkProven
    | FetchFailed
    | Ticked
)
