"""The replica's state and the effects of the step in progress.

Responsible for: holding what the rules read and change, collecting effects, and looping our own messages back to us.
Refuses to do: decide anything; the rules stand in the files named after their inputs.

Invariants:
1. Whatever the safety record holds is changed through `state` and marks it dirty; a step that sends anything while
   dirty puts one `Save` before its first send. A step that sends nothing saves nothing: nothing left the process.
2. Our own messages are handled in the same step, after the rule that made them returned.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from consensus.clock import Now
from consensus.errors import BrokenInvariant
from consensus.genesis import Genesis
from consensus.numbers import (
    GENESIS_EPOCH,
    GENESIS_VIEW,
    BlockId,
    Digest,
    Height,
    Milliseconds,
    Seq,
    ValidatorIndex,
    View,
)
from consensus.ordering.effective import Effective
from consensus.replica.effects import Broadcast, Effect, Message, Save, Send, SetTimer
from consensus.replica.events import (
    CertificateReceived,
    Event,
    ProposalReceived,
    ReportReceived,
    TimeoutReceived,
    Timer,
    TipReceived,
    VoteReceived,
)
from consensus.replica.pacemaker import Pacemaker
from consensus.replica.pools import ReportPool, TimeoutPool, VotePool
from consensus.replica.reporting import Holdings
from consensus.replica.safety import SafetyRecord, StoredProposal
from consensus.replica.tree import Gap, TipTree
from consensus.signing import NodeKey
from consensus.validity import Validity
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.certificates import QC, TC, Certificate, tip_rank
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip

QCS_KEPT = 64


@dataclass(frozen=True, slots=True)
class ReplicaTiming:
    """Local timing, in ms; see `docs/reference/configuration.md`."""

    view_timeout_ms: float = 1_000
    view_timeout_max_ms: float = 8_000
    min_block_interval_ms: int = 5
    min_block_interval_loaded_ms: int = 40
    idle_interval_ms: int = 200
    report_delay_ms: float = 1
    report_lead_ms: float = 2  # how long before the paced proposal a report is re-sent
    fetch_delay_ms: float = 30  # a vote may overtake its proposal by this much before the tip is asked for
    fetch_retry_ms: float = 200


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the disk gives back at a start. For a new chain: no record, the genesis as the executed block."""

    record: SafetyRecord | None
    executed_id: BlockId
    executed_height: Height
    executed_view: View
    effective: Effective  # the lanes after the executed block: every batch in it is held
    committed: tuple[Tip, ...] = ()  # above the executed block, oldest first
    tips: tuple[Tip, ...] = ()  # other stored tips, the record's high tip among them
    certificates: tuple[QC, ...] = ()  # of the last commit: they may be newer than the record
    held: tuple[
        tuple[ValidatorIndex, Seq, Digest, Milliseconds, bool], ...
    ] = ()  # above the effective cut; see BatchHeld


@dataclass(slots=True)
class WantedTip:
    """A tip that is asked for. With a height: a valid QC leads to it, so hashes suffice to accept it."""

    peers: tuple[ValidatorIndex, ...]
    height: Height | None
    due_mono_ms: float
    view: View  # ours when it was last wanted
    attempts: int = 0
    failures: int = 0  # how often a peer gave nothing


@dataclass(slots=True)
class Walk:
    """A way from a QC to the committed block that is longer than one page; see `walk.py`."""

    top: BlockId  # where it began
    wanted: BlockId  # the page that is asked for
    peers: tuple[ValidatorIndex, ...] = ()
    marks: list[Gap] = field(default_factory=list)  # first tips of stored pages, the highest first


@dataclass(slots=True)
class ViewProgress:
    """What belongs to the current view alone."""

    view: View
    proposal_seen: bool = False
    report_count: int = 0  # reports re-sent while waiting
    entered_mono_ms: float = 0


@dataclass(slots=True)
class State:
    """See the module's invariants."""

    chain: Genesis
    key: NodeKey
    me: ValidatorIndex
    timing: ReplicaTiming
    validity: Validity
    tree: TipTree
    holdings: Holdings
    pacemaker: Pacemaker
    votes: VotePool
    timeouts: TimeoutPool
    reports: ReportPool
    # the safety record's parts
    entry: Certificate
    high_qc: QC
    voted_view: View = GENESIS_VIEW
    vote: Vote | None = None
    timeout_view: View = GENESIS_VIEW
    timeout: Timeout | None = None
    proposed_view: View = GENESIS_VIEW
    proposal: StoredProposal | None = None
    high_tip: Tip | None = None
    # the rest
    silent_view: View = GENESIS_VIEW  # the view of a restart: no vote and no proposal in it ▲
    reported_view: View = GENESIS_VIEW  # the highest view for which a report went to its leader
    proposal_view: View = GENESIS_VIEW  # the highest view whose proposal is here: its leader waits for no report
    last_report: LaneReport | None = None  # of ours, to whichever leader
    reported_mono_ms: float = -inf  # when it left
    processed_ts_ms: int = 0  # largest ts_ms of any tip or QC processed
    l1_final: Anchor = NO_ANCHOR
    qcs: dict[View, QC] = field(default_factory=dict)
    confirmed_view: View = GENESIS_VIEW
    wanted: dict[BlockId, WantedTip] = field(default_factory=dict)
    walk: Walk | None = None
    fetch_failures: dict[ValidatorIndex, int] = field(default_factory=dict)  # since it last gave what was asked for
    committing: QC | None = None  # what it makes final did not fit into one step
    current: ViewProgress = field(default_factory=lambda: ViewProgress(GENESIS_VIEW))
    deadlines: dict[Timer, float] = field(default_factory=dict)
    now: Now = field(default_factory=lambda: Now(Milliseconds(0), 0.0))
    inbox: deque[Event] = field(default_factory=deque)
    _effects: list[Effect] = field(default_factory=list)
    _sends: list[Effect] = field(default_factory=list)
    _dirty: bool = False
    _unsaved_tips: dict[BlockId, Tip] = field(default_factory=dict)

    @property
    def view(self) -> View:
        """The current view: one above the certificate by which it was entered."""
        return self.current.view

    @property
    def validators_count(self) -> int:
        """n."""
        return self.chain.validator_set.count

    @property
    def members(self) -> tuple[ValidatorIndex, ...]:
        """All validators."""
        return tuple(ValidatorIndex(index) for index in range(self.validators_count))

    def leader(self, view: int) -> ValidatorIndex:
        """Who proposes in `view`."""
        return self.chain.validator_set.leader(View(view))

    # effects

    def emit(self, effect: Effect) -> None:
        """An effect that need not wait for the disk."""
        self._effects.append(effect)

    def send(self, to: ValidatorIndex, message: Message) -> None:
        """To one validator; to ourselves through the inbox."""
        if to == self.me:
            self.inbox.append(received(self.me, message))
        else:
            self._sends.append(Send(to, message))

    def send_each(self, receivers: Iterable[ValidatorIndex], message: Message) -> None:
        """To each of these validators once."""
        for receiver in sorted(set(receivers)):
            self.send(receiver, message)

    def broadcast(self, message: Message) -> None:
        """To all others and, through the inbox, to ourselves."""
        self._sends.append(Broadcast(message))
        self.inbox.append(received(self.me, message))

    def set_timer(self, timer: Timer, at_mono_ms: float | None) -> None:
        """Sets, moves or cancels a timer."""
        if at_mono_ms is None:
            if self.deadlines.pop(timer, None) is not None:
                self.emit(SetTimer(timer, None))
        elif self.deadlines.get(timer) != at_mono_ms:
            self.deadlines[timer] = at_mono_ms
            self.emit(SetTimer(timer, at_mono_ms))

    def take_effects(self) -> list[Effect]:
        """The step's effects: the save first, if anything is to be sent; nobody is told anything before it."""
        effects, self._effects = self._effects + self._sends, []
        sends, self._sends = self._sends, []
        if sends and self._dirty:
            effects.insert(0, Save(self.record(), tuple(self._unsaved_tips.values())))
            self._dirty = False
            self._unsaved_tips = {}
        return effects

    # the safety record

    def record(self) -> SafetyRecord:
        """What a restart needs."""
        return SafetyRecord(
            GENESIS_EPOCH,
            self.entry,
            self.voted_view,
            self.vote,
            self.timeout_view,
            self.timeout,
            self.proposed_view,
            self.proposal,
            self.high_tip.id if self.high_tip else None,
            self.high_qc,
        )

    def mark_dirty(self, *tips: Tip) -> None:
        """The record changed; these tips must be stored with it."""
        self._dirty = True
        self._unsaved_tips.update({tip.id: tip for tip in tips})

    def raise_high_tip(self, tip: Tip) -> None:
        """Keep-max: the higher-ranked of the old high tip and `tip`, if above the highest QC. Never an overwrite ▲."""
        if tip.view <= self.high_qc.view:
            return
        if self.high_tip is None or rank_of(tip) > rank_of(self.high_tip):
            self.high_tip = tip
            self.mark_dirty(tip)

    def raise_high_qc(self, qc: QC) -> bool:
        """Takes a higher QC and drops a high tip that it covers; returns whether it was higher."""
        if qc.view <= self.high_qc.view:
            return False
        self.high_qc = qc
        if self.high_tip is not None and self.high_tip.view <= qc.view:
            self.high_tip = None
        self.mark_dirty()
        return True

    def keep_qc(self, qc: QC) -> None:
        """Remembers a QC by view, for proposals on a TC whose high is not our highest QC. Bounded."""
        self.qcs.setdefault(qc.view, qc)
        if len(self.qcs) > QCS_KEPT:
            del self.qcs[min(self.qcs)]

    def sent_ms(self) -> Milliseconds:
        """max(own clock, ts_ms of every tip and QC processed) ▲."""
        return Milliseconds(max(self.now.wall_ms, self.processed_ts_ms))

    def mono_at(self, wall_ms: int) -> float:
        """The monotonic time at which the wall clock will read `wall_ms`, if it runs on."""
        return self.now.mono_ms + (wall_ms - self.now.wall_ms)


def rank_of(tip: Tip) -> tuple[int, int, int]:
    """The rank of a timeout body that names this tip."""
    return tip_rank(tip.view, tip.justify.view, tip.id)


def received(sender: ValidatorIndex, message: Message) -> Event:
    """The event that tells a replica of a message from `sender`'s link."""
    match message:
        case Proposal():
            return ProposalReceived(sender, message)
        case Vote():
            return VoteReceived(sender, message)
        case Timeout():
            return TimeoutReceived(sender, message)
        case QC() | TC():
            return CertificateReceived(sender, message)
        case Tip():
            return TipReceived(sender, message)
        case LaneReport():
            return ReportReceived(sender, message)


def recover(chain: Genesis, key: NodeKey, timing: ReplicaTiming, recovered: Recovered) -> State:
    """The state after a start. Raises `BrokenInvariant` if the disk contradicts itself."""
    validators = chain.validator_set
    me = validators.index_of(key.public_key)
    if me is None:
        raise BrokenInvariant("this node key is not a validator of the chain")
    validity = Validity(chain)
    tree = TipTree(
        validators,
        recovered.executed_id,
        recovered.executed_height,
        recovered.executed_view,
        recovered.effective,
    )
    state = State(
        chain=chain,
        key=key,
        me=me,
        timing=timing,
        validity=validity,
        tree=tree,
        holdings=Holdings((end.seq for end in recovered.effective.cut), chain.parameters.lane_report_batches),
        pacemaker=Pacemaker(timing.view_timeout_ms, timing.view_timeout_max_ms),
        votes=VotePool(validators),
        timeouts=TimeoutPool(validators),
        reports=ReportPool(validators),
        entry=validity.genesis_qc,
        high_qc=validity.genesis_qc,
        processed_ts_ms=chain.time_ms,
    )
    state.keep_qc(validity.genesis_qc)
    _recover_chain(state, recovered)
    if recovered.record is not None:
        _recover_record(state, recovered.record, recovered)
    _recover_certificates(state, recovered.certificates)
    if recovered.record is not None:
        state.silent_view = View(state.entry.view + 1)
    return state


def _recover_chain(state: State, recovered: Recovered) -> None:
    for tip in recovered.committed:
        state.tree.add(tip, named=True)
        _, batches = state.tree.commit(tip)
        state.holdings.note_committed(batches)
    for tip in recovered.tips:
        state.tree.add(tip, named=True)


def _recover_record(state: State, record: SafetyRecord, recovered: Recovered) -> None:
    state.entry, state.high_qc = record.entry, record.high_qc
    state.voted_view, state.vote = record.voted_view, record.vote
    state.timeout_view, state.timeout = record.timeout_view, record.timeout
    state.proposed_view, state.proposal = record.proposed_view, record.proposal
    state.processed_ts_ms = max(state.processed_ts_ms, record.high_qc.body.ts_ms)
    state.keep_qc(record.high_qc)
    if isinstance(record.entry, QC):
        state.keep_qc(record.entry)
    if record.high_tip_id is not None:
        known = {tip.id: tip for tip in (*recovered.committed, *recovered.tips)}
        state.high_tip = known.get(record.high_tip_id)
        if state.high_tip is None:
            raise BrokenInvariant(f"the safety record names tip {record.high_tip_id.hex()}, which is not stored")
        state.processed_ts_ms = max(state.processed_ts_ms, state.high_tip.header.ts_ms)


def _recover_certificates(state: State, certificates: tuple[QC, ...]) -> None:
    """A commit may have reached the disk after the record's last save: its QCs count."""
    for qc in certificates:
        state.keep_qc(qc)
        state.processed_ts_ms = max(state.processed_ts_ms, qc.body.ts_ms)
        state.raise_high_qc(qc)
        if qc.view > state.entry.view:
            state.entry = qc
            state.mark_dirty()
