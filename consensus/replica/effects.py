"""What a replica asks for. Names are imperatives; the driver carries them out in the order given.

Invariant: a `Save` stands before every `Send` and `Broadcast` of its step; nothing after it leaves the process before
it is synced on disk. The driver may step on meanwhile (group commit), but keeps that order.
"""

from dataclasses import dataclass

from consensus.numbers import BlockId, Digest, Seq, ValidatorIndex
from consensus.ordering.effective import Effective, OrderedBatch
from consensus.replica.events import Timer
from consensus.replica.safety import SafetyRecord
from consensus.vocabulary.certificates import QC, Certificate
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip

Message = Proposal | Vote | Timeout | Certificate | Tip | LaneReport


@dataclass(frozen=True, slots=True)
class Save:
    """Write the safety record and these tips in one synced batch."""

    record: SafetyRecord
    tips: tuple[Tip, ...]


@dataclass(frozen=True, slots=True)
class Send:
    """Send to one validator, never to ourselves."""

    to: ValidatorIndex
    message: Message


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Send to all other validators."""

    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `timer` at `at_mono_ms` on the monotonic clock, or cancel it (None)."""

    timer: Timer
    at_mono_ms: float | None


@dataclass(frozen=True, slots=True)
class FetchTips:
    """Get `wanted` and its parents down to `floor_height`, exclusive.

    From the stored tips; if it is not among them, from one of `peers`, the first first.
    """

    wanted: BlockId
    floor_height: int
    peers: tuple[ValidatorIndex, ...]


@dataclass(frozen=True, slots=True)
class StoreTips:
    """Store these tips, which a valid QC leads to, before a later `FetchTips`. If they are lost, peers have them."""

    tips: tuple[Tip, ...]


@dataclass(frozen=True, slots=True)
class NeededBatch:
    """A batch that we lack and validators who hold it."""

    lane: ValidatorIndex
    seq: Seq
    digest: Digest
    holders: tuple[ValidatorIndex, ...]


@dataclass(frozen=True, slots=True)
class NeedBatches:
    """A proposal or a commit lists batches that we lack: start fetching now."""

    batches: tuple[NeededBatch, ...]


@dataclass(frozen=True, slots=True)
class Confirm:
    """A fresh QC: the block is `ordered`. Its cut and those of its ancestors are preconfirmed."""

    tip: Tip
    qc: QC
    effective: Effective


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """A final block with its batches in order and the state of the lanes after it."""

    tip: Tip
    effective: Effective
    batches: tuple[OrderedBatch, ...]


@dataclass(frozen=True, slots=True)
class Commit:
    """These blocks are `final`, oldest first, proved for the last one by its own QC and its child's."""

    blocks: tuple[CommittedBlock, ...]
    certificate: QC  # certifies the last block's tip
    child_certificate: QC  # certifies its child, of the next view


@dataclass(frozen=True, slots=True)
class PeerFault:
    """`sender` delivered what no honest node delivers: drop it, count it, score it."""

    sender: ValidatorIndex
    reason: str


@dataclass(frozen=True, slots=True)
class EnterView:
    """For logs and metrics: a view begins."""

    view: int
    leader: ValidatorIndex
    by_timeout: bool


Effect = (
    Save | Send | Broadcast | SetTimer | FetchTips | StoreTips | NeedBatches | Confirm | Commit | PeerFault | EnterView
)
