"""What the lanes ask for, to be carried out in the order given.

`BatchHeld` and `LaneForked` are the replica's own events: they are handed on to it as they are.
"""

from dataclasses import dataclass

from consensus.numbers import Digest, Seq, ValidatorIndex
from consensus.replica.events import BatchHeld, LaneForked
from consensus.vocabulary.batch import Batch
from sequencer.lanes.errors import Dropped, Fault


@dataclass(frozen=True, slots=True)
class CheckBatch:
    """Call `batch.check(chain)`, here or in a thread, and answer with `BatchChecked` or `BatchFaulted`."""

    peer: ValidatorIndex
    batch: Batch
    asked: Digest | None


@dataclass(frozen=True, slots=True)
class StoreBatch:
    """Write the batch's bytes as received, sync, and only then answer with `BatchesStored`. Writes keep their order."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class PushLane:
    """There is something to push to these peers: see `Lanes.next_to_push`."""

    peers: tuple[ValidatorIndex, ...]


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Ask `peer` for a batch by its digest; answer exactly once, with `BatchReceived` or `FetchFailed`."""

    peer: ValidatorIndex
    digest: Digest


@dataclass(frozen=True, slots=True)
class RequestGap:
    """Ask `author` over its link to push its lane again from `from_seq` on."""

    author: ValidatorIndex
    from_seq: Seq


@dataclass(frozen=True, slots=True)
class KeepEvidence:
    """E7: two batches of one (author, seq). Both are synced, by their digests."""

    author: ValidatorIndex
    seq: Seq
    first: Digest
    second: Digest


@dataclass(frozen=True, slots=True)
class BlamePeer:
    """`peer` did what no innocent peer does."""

    peer: ValidatorIndex
    fault: Fault
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CountDrop:
    """A batch or a wish was dropped; nobody is to blame."""

    reason: Dropped


Effect = (
    CheckBatch
    | StoreBatch
    | BatchHeld
    | LaneForked
    | PushLane
    | RequestBatch
    | RequestGap
    | KeepEvidence
    | BlamePeer
    | CountDrop
)
