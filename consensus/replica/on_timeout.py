"""A timeout arrives: use what it carries, join a witness set, and make a TC of a quorum.

Invariants:
1. Taken only from the signer's own link: the envelope is unsigned.
2. At leader(view + 1) a timeout that names a tip counts once the tip is held, or once the committed chain has passed
   it; elsewhere its signature suffices.
3. A body that contradicts the tip it names mutes the peer that delivered it ▲; a missing tip means wait and ask.
"""

from consensus.errors import InvalidObject
from consensus.replica.events import TimeoutReceived
from consensus.replica.on_certificate import use_certificate, use_qc
from consensus.replica.on_vote import count_vote
from consensus.replica.propose import try_propose
from consensus.replica.state import State
from consensus.replica.timing_out import local_timeout
from consensus.replica.views import enter
from consensus.replica.walk import want_tip
from consensus.validity import names
from consensus.vocabulary.messages import Timeout


def on_timeout(state: State, event: TimeoutReceived) -> None:
    """A timeout from a link."""
    timeout = event.timeout
    if event.sender != timeout.signer:
        raise InvalidObject("foreign_timeout")
    if timeout.view < state.view - 1 or state.timeouts.knows(timeout.view, timeout.signer):
        return
    if event.sender != state.me:
        state.validity.check_timeout(timeout)
        _compare_with_tip(state, timeout)
    if timeout.qc is not None:
        use_qc(state, timeout.qc)
    use_certificate(state, timeout.entry)
    if timeout.backup_vote is not None:
        count_vote(state, timeout.backup_vote, checked=False)
    if not state.timeouts.add(timeout, state.view):
        return
    if timeout.body.names_tip:
        state.tree.note_named(timeout.body.tip_id)
    if timeout.view == state.view:
        _join(state, timeout)
    count_timeouts(state)


def _compare_with_tip(state: State, timeout: Timeout) -> None:
    tip = state.tree.get(timeout.body.tip_id)
    if tip is not None and not names(timeout.body, tip):
        raise InvalidObject("timeout_tip")


def _join(state: State, timeout: Timeout) -> None:
    """A witness set's timeouts, or the leader's own, make us time out too."""
    signers = [kept.signer for kept in state.timeouts.of_view(state.view)]
    if timeout.signer == state.leader(state.view) or state.chain.validator_set.is_witness(signers):
        local_timeout(state)


def count_timeouts(state: State) -> None:
    """Makes a TC of the current view if it can be; a waiting leader tries again with those of the view before."""
    counted = [kept for kept in state.timeouts.of_view(state.view) if _counts(state, kept)]
    certificate = state.timeouts.certificate(counted)
    if certificate is not None:
        state.validity.remember(certificate.hash)
        enter(state, certificate)
    else:
        try_propose(state)


def _counts(state: State, timeout: Timeout) -> bool:
    """Invariant 2; a tip that is missing where it is needed is asked for."""
    body = timeout.body
    if not body.names_tip or state.leader(timeout.view + 1) != state.me:
        return True
    if body.tip_view <= state.tree.committed_view:
        return True  # a quorum has voted beyond it, so no TC has it as its high and its tip is not needed
    tip = state.tree.get(body.tip_id)
    if tip is None:
        want_tip(state, body.tip_id, (timeout.signer,))
        return False
    return names(body, tip)
