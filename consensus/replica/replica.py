"""The replica: one table from event to rule.

Responsible for: running the rules of one step, the inbox of our own messages, and telling faults of peers from ours.
Refuses to do: I/O, reading clocks, logging. `step` is deterministic: same state, event and time, same effects.

Invariants:
1. Effects come in the order in which the driver must carry them out; see `effects.py`.
2. An invalid object changes nothing but what its own valid parts (certificates) would have changed, and is reported as
   the fault of the peer that delivered it. An `InvalidObject` about our own message is a broken invariant.
3. Everything kept is bounded: see `pools.py`, `tree.py`, `reporting.py`, `state.py`.
"""

from typing import assert_never

from consensus.clock import Now
from consensus.errors import BrokenInvariant, InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import ValidatorIndex, View
from consensus.replica.commit import go_on_committing, try_commit
from consensus.replica.effects import Effect, NeedBatches, NeededBatch, PeerFault
from consensus.replica.events import (
    BatchHeld,
    CertificateReceived,
    Event,
    L1Finalized,
    LaneForked,
    PeerConnected,
    ProposalReceived,
    ReportReceived,
    Started,
    TimeoutReceived,
    Timer,
    TimerFired,
    TipReceived,
    TipsFetched,
    VoteReceived,
)
from consensus.replica.lane_reports import make_report, report_timer_fired, schedule_report
from consensus.replica.on_certificate import on_certificate
from consensus.replica.on_proposal import on_proposal
from consensus.replica.on_report import on_report
from consensus.replica.on_timeout import on_timeout
from consensus.replica.on_tip import on_tip, on_tips_fetched
from consensus.replica.on_vote import on_vote
from consensus.replica.propose import stored_proposal, try_propose
from consensus.replica.state import Recovered, ReplicaTiming, State, recover
from consensus.replica.timing_out import send_timeout, view_timer_fired
from consensus.replica.views import begin, report_highs
from consensus.replica.walk import fetch_due, go_up
from consensus.signing import NodeKey
from consensus.vocabulary.certificates import TC


class Replica:
    """One validator's consensus core."""

    def __init__(self, chain: Genesis, key: NodeKey, timing: ReplicaTiming, recovered: Recovered) -> None:
        self.state: State = recover(chain, key, timing, recovered)
        self._held = recovered.held

    def step(self, event: Event, now: Now) -> list[Effect]:
        """Handles one event at `now`; returns the effects in order."""
        state = self.state
        state.now = now
        state.inbox.append(event)
        while state.inbox:
            self._handle(state.inbox.popleft())
        return state.take_effects()

    def _handle(self, event: Event) -> None:
        try:
            self._dispatch(event)
        except InvalidObject as fault:
            sender: ValidatorIndex | None = getattr(event, "sender", None)
            if sender is None or sender == self.state.me:
                raise BrokenInvariant(f"our own message is invalid: {fault}") from fault
            self.state.emit(PeerFault(sender, fault.reason))

    def _dispatch(self, event: Event) -> None:  # noqa: C901 - the table from event to rule
        state = self.state
        match event:
            case ProposalReceived():
                on_proposal(state, event)
            case VoteReceived():
                on_vote(state, event)
            case TimeoutReceived():
                on_timeout(state, event)
            case CertificateReceived():
                on_certificate(state, event)
            case TipReceived():
                on_tip(state, event)
            case TipsFetched():
                on_tips_fetched(state, event)
            case ReportReceived():
                on_report(state, event)
            case BatchHeld():
                self._on_batch_held(event)
            case LaneForked():
                state.holdings.note_forked(event.lane)
            case L1Finalized():
                state.l1_final = event.anchor
            case PeerConnected():
                _on_peer_connected(state, event.peer)
            case TimerFired():
                self._on_timer(event.timer)
            case Started():
                self._on_started()
            case _:
                assert_never(event)

    def _on_batch_held(self, event: BatchHeld) -> None:
        state = self.state
        state.holdings.note_held(
            event.lane, event.seq, event.digest, event.arrival_ms, state.now, chained=event.chained
        )
        go_up(state)
        schedule_report(state)
        try_propose(state)

    def _on_timer(self, timer: Timer) -> None:
        """Ignores a deadline that was moved or cancelled meanwhile."""
        state = self.state
        deadline = state.deadlines.get(timer)
        if deadline is None or state.now.mono_ms < deadline:
            return
        del state.deadlines[timer]
        match timer:
            case Timer.VIEW:
                view_timer_fired(state)
            case Timer.PROPOSE:
                try_propose(state)
            case Timer.REPORT:
                report_timer_fired(state)
            case Timer.FETCH:
                fetch_due(state)
            case Timer.COMMIT:
                go_on_committing(state)

    def _on_started(self) -> None:
        """Takes up the stored view: never a vote or proposal in it after a restart, but a timeout ▲."""
        state = self.state
        for lane, seq, digest, arrival_ms, chained in self._held:
            state.holdings.note_held(lane, seq, digest, arrival_ms, state.now, chained=chained)
        self._held = ()
        others = tuple(member for member in state.members if member != state.me)
        missing = tuple(NeededBatch(*batch, others) for batch in state.holdings.missing())
        if missing:
            state.emit(NeedBatches(missing))
        view = View(state.entry.view + 1)
        begin(state, view, by_timeout=isinstance(state.entry, TC))
        if state.timeout_view == view:
            send_timeout(state)
        elif isinstance(state.entry, TC):
            report_highs(state)
        try_commit(state, state.high_qc)
        try_propose(state)


def _on_peer_connected(state: State, peer: ValidatorIndex) -> None:
    """Repeats to a peer what it may have missed of the current view: never anything new but a lane report."""
    if peer == state.me:
        return
    if state.entry.view > 0:
        state.send(peer, state.entry)
    timeout = state.timeout
    if timeout is not None and timeout.view >= state.view - 1:
        state.send(peer, timeout)
        tip = state.tree.get(timeout.body.tip_id)
        if tip is not None and state.leader(timeout.view + 1) == peer:
            state.send(peer, tip)
    proposal = stored_proposal(state)
    if proposal is not None:
        state.send(peer, proposal)
    if state.vote is not None and state.voted_view == state.view:
        state.send(peer, state.vote)
        if state.leader(state.view + 1) == peer:
            state.send(peer, make_report(state, View(state.view + 1)))
    if state.leader(state.view) == peer:
        state.send(peer, make_report(state, state.view))
