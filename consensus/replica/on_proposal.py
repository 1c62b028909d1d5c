"""A proposal arrives: process its certificates, keep its tip, and vote if this view allows it.

Invariants:
1. A valid proposal of the current view gets our vote if it is the first of this view and we have not timed out in it.
   Nothing else may stop the vote: not missing batches, not an unknown parent, not our clock ▲.
2. The vote goes to leader(v) and leader(v+1), to everybody while n ≤ 16; the lane report to leader(v+1) alone.
"""

from consensus.numbers import View
from consensus.replica.commit import keep_tip, need_listed, try_commit, try_confirm
from consensus.replica.events import ProposalReceived, Timer
from consensus.replica.lane_reports import make_report, note_reported
from consensus.replica.on_certificate import use_certificate, use_qc
from consensus.replica.on_timeout import count_timeouts
from consensus.replica.state import State
from consensus.replica.voting import EVERYBODY_MAX, cast_vote
from consensus.vocabulary.messages import Proposal, Vote


def on_proposal(state: State, event: ProposalReceived) -> None:
    """A proposal from a link; one of a past view is only a source of its tip."""
    proposal = event.proposal
    tip = proposal.tip
    is_known = state.tree.get(tip.id) is not None
    is_past = proposal.view < state.view and (is_known or tip.view <= state.tree.committed_view)
    is_decided = proposal.view == state.view and is_known and state.view <= max(state.voted_view, state.timeout_view)
    if is_past or is_decided:
        return  # it can change nothing: do not even check it
    cut = state.validity.check_proposal(proposal)
    state.proposal_view = max(state.proposal_view, proposal.view)  # before a certificate in it takes us to its view
    use_qc(state, tip.justify)
    if proposal.entry is not None:
        use_certificate(state, proposal.entry)
    if tip.fresh is not None and tip.view == proposal.view:
        use_certificate(state, tip.fresh)
    state.processed_ts_ms = max(state.processed_ts_ms, tip.header.ts_ms)
    keep_tip(state, tip, cut, named=False)
    if proposal.view == state.view:
        _vote(state, proposal)
    if not is_known:
        need_listed(state, tip)
        try_confirm(state, state.high_qc)
        try_commit(state, state.high_qc)
        count_timeouts(state)


def _vote(state: State, proposal: Proposal) -> None:
    state.current.proposal_seen = True
    state.set_timer(Timer.REPORT, None)
    view = state.view
    if view <= state.voted_view or view <= state.timeout_view or view == state.silent_view:
        return
    vote = cast_vote(state, proposal.tip, view)
    send_vote(state, vote)


def send_vote(state: State, vote: Vote) -> None:
    """Routes a vote; see invariant 2."""
    next_view = View(vote.body.view + 1)
    next_leader = state.leader(next_view)
    small = state.validators_count <= EVERYBODY_MAX
    others = set(state.members) if small else {state.leader(vote.body.view), state.me}
    state.send_each(others - {next_leader}, vote)
    report = make_report(state, next_view)
    note_reported(state, report)
    state.send(next_leader, Vote(vote.body, vote.voter, vote.signature, report))
