"""Entering a view. Views move by certificates only.

Invariants:
1. view = entry.view + 1, and it never falls.
2. On entering by a TC whose view we have not timed out ourselves, we first sign and store the timeout of that view,
   with the current highs and no new vote ▲: so two thirds of honest timeouts, each with its tip, always reach
   the leader.
3. The leader of the view gets a lane report for it, if none was sent ▲.
"""

from consensus.numbers import View
from consensus.replica.effects import EnterView
from consensus.replica.events import Timer
from consensus.replica.lane_reports import schedule_report, send_report
from consensus.replica.propose import try_propose
from consensus.replica.state import State, ViewProgress
from consensus.replica.timing_out import sign_timeout, start_view_timer
from consensus.vocabulary.certificates import TC, Certificate


def enter(state: State, certificate: Certificate) -> None:
    """Moves to the view after `certificate`, which is valid, if that is ahead."""
    view = View(certificate.view + 1)
    if view <= state.view:
        return
    by_timeout = isinstance(certificate, TC)
    if certificate.view == state.view:
        state.pacemaker.view_ended(
            state.leader(state.view), by_timeout=by_timeout, proposal_seen=state.current.proposal_seen
        )
    state.entry = certificate
    state.mark_dirty()
    begin(state, view, by_timeout=by_timeout)
    if by_timeout:
        report_highs(state)
    try_propose(state)


def begin(state: State, view: View, *, by_timeout: bool) -> None:
    """Starts the timers and pools of `view` and reports to its leader."""
    state.current = ViewProgress(view, entered_mono_ms=state.now.mono_ms)
    for pool in (state.votes, state.timeouts, state.reports):
        pool.enter(view)
    state.set_timer(Timer.PROPOSE, None)
    state.set_timer(Timer.REPORT, None)
    start_view_timer(state)
    state.emit(EnterView(view, state.leader(view), by_timeout))
    if state.reported_view < view:
        send_report(state, view)
    schedule_report(state)


def report_highs(state: State) -> None:
    """Tells the leader of a view entered by a TC what we hold: our timeout of the view before, and its tip ▲."""
    ended = View(state.view - 1)
    if state.timeout_view < ended:
        sign_timeout(state, ended, state.entry, state.vote if state.voted_view == ended else None)
    timeout = state.timeout
    if timeout is None or timeout.view != ended:
        return
    leader = state.leader(state.view)
    state.send(leader, timeout)
    tip = state.tree.get(timeout.body.tip_id)
    if tip is not None:
        state.send(leader, tip)
