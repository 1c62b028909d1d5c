"""Notices validators that contradict themselves, in all messages that a node sees.

Responsible for: remembering one statement of each kind by each validator and view, and making a proof of two that no
honest validator makes together (E1–E5), wherever they stand: alone, in certificates, entries or envelopes.
Refuses to do: check the signatures of what nobody contradicts: that is others' work, and done. Judge objects that are
invalid (`convict_leader` is asked for those), or find E6 to E8, which those who keep shares and lanes find.

Invariants:
1. A proof that leaves is valid: both signatures were checked. A statement that turns out false is forgotten.
2. Memory: statements of the last VIEWS_KEPT views and the next VIEWS_AHEAD, one of each kind by each validator; and
   OFFENCES_MAX offences of each validator against each rule: many small ones leave room for the one that matters.
3. One proof per offence: what is known already is not made again.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from consensus import limits, signing
from consensus.encoding import optional
from consensus.errors import InvalidObject
from consensus.evidence.check import Offence, check_proof, is_below
from consensus.evidence.proofs import (
    InvalidProposal,
    Proof,
    Signed,
    SignedProposal,
    SignedTimeout,
    SignedTip,
    SignedVote,
    TwoProposals,
    TwoTimeouts,
    TwoTips,
    TwoVotes,
    VoteAboveTimeout,
    in_order,
)
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_VIEW, Hash, ValidatorIndex, View
from consensus.signing import sha256
from consensus.vocabulary.certificates import QC, TC, Certificate
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip

VIEWS_KEPT = 128
OFFENCES_MAX = 16  # of one validator against one rule: who has done so much is convicted often enough
_CERTIFICATES_SEEN_MAX = 256
_PRUNE_EVERY_VIEWS = 32


Statement = TypeVar("Statement", SignedTip, SignedProposal, SignedVote, SignedTimeout)


@dataclass(slots=True)
class _Statements:
    """What one validator said, by view."""

    tips: dict[View, SignedTip] = field(default_factory=dict)
    proposals: dict[View, SignedProposal] = field(default_factory=dict)
    votes: dict[View, SignedVote] = field(default_factory=dict)
    timeouts: dict[View, SignedTimeout] = field(default_factory=dict)

    def drop_below(self, floor: int) -> None:
        self.tips = {view: kept for view, kept in self.tips.items() if view >= floor}
        self.proposals = {view: kept for view, kept in self.proposals.items() if view >= floor}
        self.votes = {view: kept for view, kept in self.votes.items() if view >= floor}
        self.timeouts = {view: kept for view, kept in self.timeouts.items() if view >= floor}


class Detector:
    """See the module."""

    def __init__(self, chain: Genesis, known: Iterable[Offence] = ()) -> None:
        """`known`: offences whose proofs are stored already."""
        self._chain = chain
        self._statements = [_Statements() for _ in chain.validators]
        self._known: set[Offence] = set()
        self._counts: Counter[tuple[ValidatorIndex, int]] = Counter()
        self._view = GENESIS_VIEW
        self._pruned_view = GENESIS_VIEW
        self._seen: OrderedDict[Hash, None] = OrderedDict()
        self._found: list[Proof] = []
        for offence in known:
            self.note(offence)

    def knows(self, offence: Offence) -> bool:
        """Whether it is of no use to prove this offence (again)."""
        return offence in self._known or self._counts[offence.validator, offence.rule] >= OFFENCES_MAX

    def note(self, offence: Offence) -> None:
        """A proof of it is kept."""
        if offence not in self._known:
            self._known.add(offence)
            self._counts[offence.validator, offence.rule] += 1

    def enter(self, view: View) -> None:
        """The node is in `view`: what is long past is forgotten now and then."""
        self._view = max(self._view, view)
        if self._view >= self._pruned_view + _PRUNE_EVERY_VIEWS:
            self._pruned_view = self._view
            for statements in self._statements:
                statements.drop_below(self._view - VIEWS_KEPT)

    def see(self, message: Proposal | Vote | Timeout | QC | TC | Tip | LaneReport) -> list[Proof]:
        """Takes a message, checked or not, and returns the proofs that it completes; nearly always none."""
        match message:
            case Proposal():
                self._see_proposal(message)
            case Tip():
                self._see_tip(message)
            case Vote():
                self._see_vote(message.voter, SignedVote(message.body, message.signature))
            case Timeout():
                self._see_timeout_message(message)
            case QC() | TC():
                self._see_certificate(message)
            case LaneReport():
                pass
        found, self._found = self._found, []
        return found

    def convict_leader(self, proposal: Proposal) -> InvalidProposal | None:
        """The proof that an invalid proposal makes (E9), or None if it is none or known. Takes ms: run it in a thread.

        Call it with what the replica refused, and hand the result to `note`.
        """
        if not self._is_near(proposal.view):
            return None
        leader = self._chain.validator_set.leader(proposal.view)
        proof = InvalidProposal(proposal)
        if self.knows(Offence(9, leader, proposal.view)) or not self._is_proof(proof):
            return None
        return proof

    def _is_near(self, view: int) -> bool:
        return max(1, self._view - VIEWS_KEPT) <= view <= self._view + limits.VIEWS_AHEAD

    # statements

    def _see_proposal(self, proposal: Proposal) -> None:
        view = proposal.view
        if self._is_near(view):
            leader = self._chain.validator_set.leader(view)
            entry_hash = sha256(optional(proposal.entry.encoded if proposal.entry else None))
            signed = SignedProposal(
                proposal.epoch,
                view,
                proposal.tip.id,
                sha256(proposal.tip.author_sig),
                entry_hash,
                proposal.leader_sig,
            )
            slots = self._statements[leader].proposals
            kept = slots.setdefault(view, signed)
            if kept.tip_id != signed.tip_id and self._are_true(2, leader, slots, view, signed):
                self._prove(in_order(TwoProposals(kept, signed)))
        self._see_tip(proposal.tip)
        if proposal.entry is not None:
            self._see_certificate(proposal.entry)

    def _see_tip(self, tip: Tip) -> None:
        header = tip.header
        if self._is_near(header.view) and header.author < len(self._statements):
            signed = SignedTip(header, tip.author_sig)
            slots = self._statements[header.author].tips
            kept = slots.setdefault(header.view, signed)
            if kept.header.id != header.id and self._are_true(1, header.author, slots, header.view, signed):
                self._prove(in_order(TwoTips(kept, signed)))
        self._see_certificate(tip.justify)
        if tip.fresh is not None:
            self._see_certificate(tip.fresh)

    def _see_timeout_message(self, timeout: Timeout) -> None:
        self._see_timeout(timeout.signer, SignedTimeout(timeout.body, timeout.signature))
        self._see_certificate(timeout.entry)
        if timeout.qc is not None:
            self._see_certificate(timeout.qc)
        vote = timeout.backup_vote
        if vote is not None:
            self._see_vote(vote.voter, SignedVote(vote.body, vote.signature))

    def _see_certificate(self, certificate: Certificate) -> None:
        if not self._is_near(certificate.view) or certificate.hash in self._seen:
            return
        self._seen[certificate.hash] = None
        if len(self._seen) > _CERTIFICATES_SEEN_MAX:
            self._seen.popitem(last=False)
        if isinstance(certificate, QC):
            for signer, signature in zip(certificate.signers, certificate.signatures, strict=True):
                self._see_vote(signer, SignedVote(certificate.body, signature))
        else:
            for signer, body, signature in zip(
                certificate.signers, certificate.bodies, certificate.signatures, strict=True
            ):
                self._see_timeout(signer, SignedTimeout(body, signature))

    def _see_vote(self, voter: ValidatorIndex, vote: SignedVote) -> None:
        view = vote.body.view
        if not self._is_near(view) or voter >= len(self._statements):
            return
        statements = self._statements[voter]
        kept = statements.votes.setdefault(view, vote)
        if kept.body != vote.body and self._are_true(3, voter, statements.votes, view, vote):
            self._prove(in_order(TwoVotes(voter, kept, vote)))
        if statements.timeouts:
            self._compare(voter, [vote], list(statements.timeouts.values()))

    def _see_timeout(self, signer: ValidatorIndex, timeout: SignedTimeout) -> None:
        view = timeout.body.view
        if not self._is_near(view) or signer >= len(self._statements):
            return
        statements = self._statements[signer]
        kept = statements.timeouts.setdefault(view, timeout)
        if kept.body != timeout.body and self._are_true(5, signer, statements.timeouts, view, timeout):
            self._prove(in_order(TwoTimeouts(signer, kept, timeout)))
        self._compare(signer, list(statements.votes.values()), [timeout])

    def _compare(self, validator: ValidatorIndex, votes: list[SignedVote], timeouts: list[SignedTimeout]) -> None:
        """E4: none of these timeouts hides what one of these votes was for."""
        statements = self._statements[validator]
        for timeout in timeouts:
            view = timeout.body.view
            hidden = [vote for vote in votes if is_below(timeout.body, vote.body)]
            for vote in hidden:
                if self.knows(Offence(4, validator, view)):
                    break
                if not self._is_true(validator, timeout):
                    _forget(statements.timeouts, view, timeout)
                    break
                if self._is_true(validator, vote):
                    self._prove(VoteAboveTimeout(validator, vote, timeout))
                else:
                    _forget(statements.votes, vote.body.view, vote)

    # truth

    def _is_true(self, signer: ValidatorIndex, statement: Signed) -> bool:
        public_key = self._chain.validator_set.node_public_key(signer)
        return signing.is_signature(public_key, statement.digest(self._chain), statement.signature)

    def _are_true(
        self, rule: int, signer: ValidatorIndex, slots: dict[View, Statement], view: View, latter: Statement
    ) -> bool:
        """Whether the kept statement and the latter make a new proof. A kept one that is false gives its place up."""
        if self.knows(Offence(rule, signer, view)) or not self._is_true(signer, latter):
            return False
        if self._is_true(signer, slots[view]):
            return True
        slots[view] = latter
        return False

    def _prove(self, proof: Proof) -> None:
        self.note(check_proof(proof, self._chain))
        self._found.append(proof)

    def _is_proof(self, proof: Proof) -> bool:
        try:
            check_proof(proof, self._chain)
        except InvalidObject:
            return False
        return True


def _forget(slots: dict[View, Statement], view: View, statement: Statement) -> None:
    if slots.get(view) is statement:
        del slots[view]
