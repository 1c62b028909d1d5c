"""A vote arrives: one per voter and view is kept; a quorum for one body makes a QC.

Refuses to do: take a vote for a view that cannot matter, or check a signature for one that is kept already.
"""

from consensus.replica.events import ReportReceived, VoteReceived
from consensus.replica.on_certificate import use_qc
from consensus.replica.on_report import on_report
from consensus.replica.state import State
from consensus.vocabulary.messages import Vote


def on_vote(state: State, event: VoteReceived) -> None:
    """A vote from a link, perhaps with the voter's report for the next view."""
    vote = event.vote
    if vote.report is not None:
        if vote.report.validator != vote.voter or vote.report.view != vote.body.view + 1:
            return
        on_report(state, ReportReceived(event.sender, vote.report))
    count_vote(state, vote.without_report(), checked=event.sender == state.me)


def count_vote(state: State, vote: Vote, *, checked: bool) -> None:
    """Counts a vote that stands alone or in a timeout's envelope."""
    if not state.votes.wants(vote, state.view):
        return
    if not checked:
        state.validity.check_vote(vote)
    qc = state.votes.add(vote)
    if qc is None:
        return
    state.validity.remember(qc.hash)
    if state.leader(qc.view) == state.me:
        state.broadcast(qc)
    else:
        use_qc(state, qc)
