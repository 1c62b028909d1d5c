"""A QC or TC is known to be valid: what follows from it.

On a QC: high_qc = max; a high tip that it covers is dropped; confirm and commit; enter the view
after it; a leader that lacked it tries again ▲.
On a TC: enter the view after it.
"""

from consensus.replica.commit import try_commit, try_confirm
from consensus.replica.events import CertificateReceived
from consensus.replica.propose import try_propose
from consensus.replica.state import State
from consensus.replica.views import enter
from consensus.vocabulary.certificates import QC, TC, Certificate


def on_certificate(state: State, event: CertificateReceived) -> None:
    """A certificate that a peer formed; one that cannot help any more is not even checked."""
    certificate = event.certificate
    if certificate.view < state.view and not _is_news(state, certificate):
        return
    if event.sender != state.me:
        state.validity.check_certificate(certificate)
    use_certificate(state, certificate)


def _is_news(state: State, certificate: Certificate) -> bool:
    """A QC of a past view may be higher than ours, or what a waiting leader lacks to propose on its entry."""
    if not isinstance(certificate, QC) or certificate.view in state.qcs:
        return False
    is_lacking = isinstance(state.entry, TC) and certificate.view == state.entry.high.qc_view
    return certificate.view > state.high_qc.view or is_lacking


def use_certificate(state: State, certificate: Certificate) -> None:
    """Applies a valid certificate."""
    if isinstance(certificate, TC):
        enter(state, certificate)
    else:
        use_qc(state, certificate)


def use_qc(state: State, qc: QC) -> None:
    """Applies a valid QC."""
    if not state.raise_high_qc(qc) and qc.view in state.qcs:
        return
    state.keep_qc(qc)
    state.processed_ts_ms = max(state.processed_ts_ms, qc.body.ts_ms)
    try_confirm(state, qc)
    try_commit(state, qc)
    enter(state, qc)
    try_propose(state)
