"""Proposing: the leader's part, which leaves it nothing to choose but the moment.

Responsible for: what the entry certificate allows to propose, waiting for reports, pacing and idling.
Refuses to do: pick content. A fresh tip is a quorum of reports; everything else in it follows from them.

Invariants:
1. One proposal per view, saved before it leaves; none in the view of a restart ▲.
2. On QC(v−1): fresh. On TC(v−1): its high is a QC → fresh on that QC with the TC as proof; a tip → re-propose it.
3. A leader that lacks that tip or QC keeps collecting timeouts of v−1 and proposes on any TC(v−1) that it can complete:
   it tries again on every tip, QC or timeout of v−1 that arrives ▲.
"""

from consensus.numbers import GENESIS_EPOCH, Height, View
from consensus.ordering.blocktime import block_anchor, block_time
from consensus.ordering.cut import Cut, determine_cut
from consensus.replica.events import Timer
from consensus.replica.lane_reports import make_report
from consensus.replica.safety import StoredProposal
from consensus.replica.state import State
from consensus.replica.walk import want_tip
from consensus.signing import sha256
from consensus.validity import is_high_of
from consensus.vocabulary.certificates import QC, TC
from consensus.vocabulary.messages import Proposal
from consensus.vocabulary.report import LaneReport, encode_reports
from consensus.vocabulary.tip import Header, Tip, fresh_hash


def try_propose(state: State) -> None:
    """Proposes in the current view if we lead it, have not yet, and have what it takes."""
    view = state.view
    if state.leader(view) != state.me or view == state.silent_view:
        return
    if state.proposed_view >= view or state.timeout_view >= view:
        return
    if isinstance(state.entry, QC):
        _propose_fresh(state, state.entry, None)
        return
    plan = _completable(state, state.entry)
    if plan is None:
        _ask_for_high(state, state.entry)
        return
    entry, base = plan
    if isinstance(base, Tip):
        _publish(state, base, entry)
    else:
        _propose_fresh(state, base, entry)


def _completable(state: State, entry: TC) -> tuple[TC, Tip | QC] | None:
    """A TC of the previous view with what its high names: the entry, or one made of the timeouts that we have ▲."""
    base = _named_by_high(state, entry)
    if base is not None:
        return entry, base
    timeouts = sorted(state.timeouts.of_view(entry.view), key=lambda timeout: timeout.body.rank, reverse=True)
    for place in range(len(timeouts)):
        certificate = state.timeouts.certificate(timeouts[place:])
        if certificate is None:
            return None
        base = _named_by_high(state, certificate)
        if base is not None:
            return certificate, base
    return None


def _named_by_high(state: State, certificate: TC) -> Tip | QC | None:
    high = certificate.high
    if not high.names_tip:
        return state.qcs.get(high.qc_view)
    tip = state.tree.get(high.tip_id)
    return tip if tip is not None and is_high_of(tip, certificate) else None


def _ask_for_high(state: State, entry: TC) -> None:
    """Asks those who named it for the tip that a re-proposal needs."""
    high = entry.high
    if high.names_tip:
        holders = tuple(
            signer for signer, body in zip(entry.signers, entry.bodies, strict=True) if body.tip_id == high.tip_id
        )
        want_tip(state, high.tip_id, holders)


def _is_pacing(state: State) -> bool:
    """Whether a short wait is under way, which nothing that arrives can shorten."""
    deadline = state.deadlines.get(Timer.PROPOSE)
    if deadline is None or state.now.mono_ms >= deadline:
        return False
    return deadline <= state.current.entered_mono_ms + state.timing.min_block_interval_loaded_ms


def _propose_fresh(state: State, justify: QC, fresh: TC | None) -> None:
    if _is_pacing(state):
        return
    state.reports.add(make_report(state, state.view))
    reports = state.reports.smallest_quorum(state.view, justify.body.ts_ms)
    if reports is None:
        return
    cut = determine_cut(reports, state.chain.validator_set)
    start = _earliest_ms(state, justify, cut)
    if state.now.mono_ms < start:
        state.set_timer(Timer.PROPOSE, start)
        return
    _publish(state, _make_tip(state, justify, fresh, reports, cut), None)


def _earliest_ms(state: State, justify: QC, cut: Cut) -> float:
    """The monotonic time from which a proposal of `cut` may leave: pacing with something to order, idling without.

    A non-empty block that is not committed yet is flushed at once by an empty one, and followed by another non-empty
    one after the longer interval of a loaded chain. A leader that is given little time waits for nothing. No wait is
    longer than its interval, whatever the parent's time says.
    """
    timing, entered = state.timing, state.current.entered_mono_ms
    branch = state.tree.branch(justify.body.block_id)
    if branch is None or state.committing is not None or _is_given_little_time(state):
        return state.now.mono_ms
    effective = state.tree.effective
    pending = False
    for tip in branch:
        ordered = state.tree.order(tip)
        if ordered is not None:
            effective = ordered[0]
            pending = pending or bool(ordered[1])
    new = sum(max(0, end.seq - known.seq) for end, known in zip(cut.ends, effective.cut, strict=True))
    if new == 0:
        return state.now.mono_ms if pending else entered + timing.idle_interval_ms
    loaded = pending or new >= state.validators_count
    interval = timing.min_block_interval_loaded_ms if loaded else timing.min_block_interval_ms
    return min(state.mono_at(justify.body.ts_ms + interval), entered + interval)


def _is_given_little_time(state: State) -> bool:
    """Whether others may take us for absent: after a slot of ours without a proposal, or since a restart.

    They give us a quarter of a view then, and waiting would use it up before we could show that we are back.
    """
    return state.me in state.pacemaker.absent or state.proposed_view <= state.silent_view != 0


def _make_tip(state: State, justify: QC, fresh: TC | None, reports: tuple[LaneReport, ...], cut: Cut) -> Tip:
    count, validators = state.validators_count, state.chain.validator_set
    header = Header(
        epoch=GENESIS_EPOCH,
        view=state.view,
        height=Height(justify.body.height + 1),
        parent_id=justify.body.block_id,
        justify_hash=justify.hash,
        author=state.me,
        ts_ms=block_time(reports, justify.body.ts_ms, validators),
        l1_anchor=block_anchor(reports, validators),
        cut_root=cut.root(),
        reports_hash=sha256(encode_reports(reports, count)),
        fresh_hash=fresh_hash(fresh),
    )
    author_sig = state.key.sign(header.signing_digest(state.chain))
    tip = Tip(header, author_sig, justify, reports, fresh, count)
    state.validity.remember(sha256(tip.encoded))
    return tip


def _publish(state: State, tip: Tip, entry: TC | None) -> None:
    """Signs, records and sends the proposal; our own vote follows through the inbox."""
    state.set_timer(Timer.PROPOSE, None)
    unsigned = Proposal(GENESIS_EPOCH, state.view, tip, entry)
    proposal = Proposal(unsigned.epoch, unsigned.view, tip, entry, state.key.sign(unsigned.signing_digest(state.chain)))
    state.proposed_view = state.view
    state.proposal = StoredProposal(state.view, tip.id, entry, proposal.leader_sig)
    state.mark_dirty(tip)
    state.broadcast(proposal)


def stored_proposal(state: State) -> Proposal | None:
    """Our proposal of the current view, if there is one, for a peer that may have missed it."""
    stored = state.proposal
    if stored is None or stored.view != state.view:
        return None
    tip = state.tree.get(stored.tip_id)
    return Proposal(GENESIS_EPOCH, View(stored.view), tip, stored.entry, stored.leader_sig) if tip else None
