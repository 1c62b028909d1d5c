"""What a replica is told. Names are past participles; each is one input of `Replica.step`."""

from dataclasses import dataclass
from enum import Enum, unique

from consensus.numbers import BlockId, Digest, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.certificates import Certificate
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip


@unique
class Timer(Enum):
    """The replica's timers; setting one replaces its earlier deadline."""

    VIEW = "view"  # the view times out
    PROPOSE = "propose"  # pacing and idling of the leader
    REPORT = "report"  # a report for a waiting leader
    FETCH = "fetch"  # ask again for tips that did not come
    COMMIT = "commit"  # commit on, what did not fit into one step


@dataclass(frozen=True, slots=True)
class Started:
    """The process runs: the first event, once."""


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """From `sender`'s link; `sender` need not be its leader."""

    sender: ValidatorIndex
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """From `sender`'s link."""

    sender: ValidatorIndex
    vote: Vote


@dataclass(frozen=True, slots=True)
class TimeoutReceived:
    """From `sender`'s link; taken only if it is the signer's own, for the envelope is unsigned."""

    sender: ValidatorIndex
    timeout: Timeout


@dataclass(frozen=True, slots=True)
class CertificateReceived:
    """A QC or TC that somebody formed."""

    sender: ValidatorIndex
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class TipReceived:
    """The tip that a timeout names, sent along with it."""

    sender: ValidatorIndex
    tip: Tip


@dataclass(frozen=True, slots=True)
class TipsFetched:
    """An answer to `FetchTips`: the wanted tip first, then its parents. Empty when the peer had nothing or failed.

    `sender` is ourselves for what our own disk had.
    """

    sender: ValidatorIndex
    wanted: BlockId
    tips: tuple[Tip, ...]


@dataclass(frozen=True, slots=True)
class ReportReceived:
    """A lane report that did not travel with a vote."""

    sender: ValidatorIndex
    report: LaneReport


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A link opened: what we sent to this peer before may be lost."""

    peer: ValidatorIndex


@dataclass(frozen=True, slots=True)
class BatchHeld:
    """A batch is synced on our disk and extends its lane without a gap, or was ordered and fetched by its digest.

    `chained` says whether it stands in our own view of the lane and may be listed; of a forked lane nothing is.
    """

    lane: ValidatorIndex
    seq: Seq
    digest: Digest
    arrival_ms: Milliseconds  # wall time at which its sync returned, stored with it
    chained: bool = True


@dataclass(frozen=True, slots=True)
class LaneForked:
    """Two batches of one (author, seq) are known (E7): nothing further of this lane is listed."""

    lane: ValidatorIndex


@dataclass(frozen=True, slots=True)
class L1Finalized:
    """The newest finalized L1 block whose number is a multiple of ANCHOR_STEP."""

    anchor: Anchor


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The deadline of `timer` has passed. A timer that was set again meanwhile is ignored."""

    timer: Timer


Event = (
    Started
    | ProposalReceived
    | VoteReceived
    | TimeoutReceived
    | CertificateReceived
    | TipReceived
    | TipsFetched
    | ReportReceived
    | PeerConnected
    | BatchHeld
    | LaneForked
    | L1Finalized
    | TimerFired
)
