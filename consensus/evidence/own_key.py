"""Notices that our key has signed what our record does not know: the record is an older copy, or the key has a twin.

Certificates and tips that reach us show votes, timeouts and tips of ours. Those of this life, and those up to the views
of the record that the disk gave back, are known; a true one of any other view was signed by a life that the record has
forgotten, or by somebody else.

Responsible for: comparing what is shown with the views in which we signed.
Refuses to do: believe a signature that it has not checked, or say anything about other validators (`detector.py`).

Invariants:
1. Whoever runs with the newest record and a key of its own is never stopped: a vote, timeout or tip is saved before it
   leaves, and is made in the view of that moment or, a timeout, in the one before.
2. A comparison of numbers for what is known; one check of a signature for what is not.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from consensus import signing
from consensus.errors import KeyUsedElsewhere
from consensus.evidence.proofs import Signed, SignedTimeout, SignedTip, SignedVote
from consensus.genesis import Genesis
from consensus.numbers import ValidatorIndex, View
from consensus.replica.events import (
    CertificateReceived,
    Event,
    ProposalReceived,
    TimeoutReceived,
    TipReceived,
    TipsFetched,
)
from consensus.replica.state import State
from consensus.vocabulary.certificates import QC, Certificate
from consensus.vocabulary.tip import Tip


@dataclass(slots=True)
class _Views:
    """The views in which one kind of statement was signed: up to `recorded`, and in this life `first` to `last`."""

    recorded: View
    last: View
    first: View | None = None  # or less: the view of this life's first step that signed one

    def note(self, last: View, view_before: View) -> None:
        if last > self.last:
            if self.first is None:
                self.first = View(view_before - 1)
            self.last = last

    def knows(self, view: View) -> bool:
        return view <= self.recorded or (self.first is not None and self.first <= view <= self.last)


class OwnKey:
    """One replica's own key. Before each step `check`, after it `note`."""

    def __init__(self, chain: Genesis, state: State) -> None:
        """`state` is as the disk gave it back."""
        self._chain = chain
        self._me: ValidatorIndex = state.me
        self._public_key = chain.validator_set.node_public_key(state.me)
        self._votes = _Views(state.voted_view, state.voted_view)
        self._timeouts = _Views(state.timeout_view, state.timeout_view)
        self._tips = _Views(state.proposed_view, state.proposed_view)

    def note(self, view_before: View, state: State) -> None:
        """A step began in `view_before` and led to `state`."""
        self._votes.note(state.voted_view, view_before)
        self._timeouts.note(state.timeout_view, view_before)
        self._tips.note(state.proposed_view, view_before)

    def check(self, event: Event) -> None:
        """Raises `KeyUsedElsewhere` if what a peer shows holds a statement of ours that we do not know."""
        match event:
            case ProposalReceived():
                self._check_tips([event.proposal.tip])
                self._check_certificate(event.proposal.entry)
            case TimeoutReceived():
                self._check_certificate(event.timeout.entry)
                self._check_certificate(event.timeout.qc)
            case CertificateReceived():
                self._check_certificate(event.certificate)
            case TipReceived():
                self._check_tips([event.tip])
            case TipsFetched():
                self._check_tips(event.tips)
            case _:
                pass

    def _check_tips(self, tips: Iterable[Tip]) -> None:
        for tip in tips:
            header = tip.header
            if header.author == self._me and not self._tips.knows(header.view):
                self._refuse_true("block", header.view, SignedTip(header, tip.author_sig))
            self._check_certificate(tip.justify)
            self._check_certificate(tip.fresh)

    def _check_certificate(self, certificate: Certificate | None) -> None:
        if certificate is None or self._me not in certificate.signers:
            return
        views = self._votes if isinstance(certificate, QC) else self._timeouts
        if views.knows(certificate.view):
            return
        place = certificate.signers.index(self._me)
        signature = certificate.signatures[place]
        if isinstance(certificate, QC):
            self._refuse_true("vote", certificate.view, SignedVote(certificate.body, signature))
        else:
            self._refuse_true("timeout", certificate.view, SignedTimeout(certificate.bodies[place], signature))

    def _refuse_true(self, name: str, view: View, statement: Signed) -> None:
        if signing.is_signature(self._public_key, statement.digest(self._chain), statement.signature):
            raise KeyUsedElsewhere(f"others hold a {name} of view {view} that is signed with this validator's key")
