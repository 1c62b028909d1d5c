"""Signing, storing and sending our own timeout of a view.

Invariants:
1. First the backup vote is decided, once; then the body is made, signed once and stored; it is re-sent verbatim each
   period, also after a restart. A backup vote is never added when re-sending ▲.
2. The body's qc_view is the tip's own justify view if it names a tip, else the highest QC's view ▲.
3. The timeout goes to all; the tip itself and a lane report only to the next leader ▲.
"""

from consensus.numbers import GENESIS_EPOCH, View
from consensus.replica.events import Timer
from consensus.replica.lane_reports import send_report
from consensus.replica.state import State
from consensus.replica.voting import cast_vote
from consensus.validity import is_high_of
from consensus.vocabulary.certificates import TC, Certificate, TimeoutBody, qc_only
from consensus.vocabulary.messages import Timeout, Vote


def local_timeout(state: State) -> None:
    """The current view has failed for us. Only the first call in a view does anything."""
    if state.timeout_view >= state.view:
        return
    backup_vote = _decide_backup_vote(state)
    sign_timeout(state, state.view, state.entry, backup_vote)
    send_timeout(state)


def _decide_backup_vote(state: State) -> Vote | None:
    """The vote already cast in this view; else a vote for the tip that the entry's high names, if we hold it."""
    if state.voted_view == state.view:
        return state.vote
    entry = state.entry
    if not isinstance(entry, TC) or state.view == state.silent_view or state.voted_view > state.view:
        return None
    tip = state.tree.get(entry.high.tip_id)
    if tip is None or not is_high_of(tip, entry):
        return None
    return cast_vote(state, tip, state.view)


def sign_timeout(state: State, view: View, entry: Certificate, vote: Vote | None) -> None:
    """Makes, signs and stores the timeout of `view` from the current highs."""
    tip = state.high_tip
    if tip is not None:
        body = TimeoutBody(GENESIS_EPOCH, view, tip.view, tip.id, tip.justify.view)
    else:
        body = qc_only(GENESIS_EPOCH, view, state.high_qc.view)
    signature = state.key.sign(body.signing_digest(state.chain.domain))
    qc = None if tip is not None else state.high_qc
    state.timeout = Timeout(body, state.me, signature, qc, vote.without_report() if vote else None, entry)
    state.timeout_view = view
    state.mark_dirty()


def send_timeout(state: State) -> None:
    """Sends the stored timeout of the current view to all, its tip and a report to the next leader; plans a re-send."""
    timeout = state.timeout
    if timeout is None:
        return
    state.broadcast(timeout)
    next_view = View(state.view + 1)
    tip = state.tree.get(timeout.body.tip_id)
    if tip is not None:
        state.send(state.leader(next_view), tip)
    send_report(state, next_view)
    start_view_timer(state)


def start_view_timer(state: State) -> None:
    """The current view may take this long from now on; also the period of re-sending."""
    duration = state.pacemaker.duration_ms(state.leader(state.view))
    state.set_timer(Timer.VIEW, state.now.mono_ms + duration)


def view_timer_fired(state: State) -> None:
    """The view's time is over: time out, or re-send what was signed."""
    if state.timeout_view >= state.view:
        send_timeout(state)
    else:
        local_timeout(state)
