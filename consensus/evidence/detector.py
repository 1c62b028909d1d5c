"""Notices validators that contradict themselves, in all messages that a node sees.

Responsible for: remembering one statement of each kind by each validator and view, and making a proof of two that no
honest validator makes together (E1–E5), wherever they stand: alone, in certificates, entries or envelopes.
Refuses to do: check the signatures of what nobody contradicts: that is others' work, and done. Judge objects that are
invalid (`convict_leader` is asked for those), or find E6 to E8, which those who keep shares and lanes find.

Invariants:
1. A proof that leaves is valid: both signatures were checked. A statement that turns out false is forgotten, also if a
   true one says the same.
2. Memory: one statement of each kind by each validator in the last `views_kept` views and the next VIEWS_AHEAD; and
   OFFENCES_MAX offences of each validator against each rule: many small ones leave room for the one that matters.
3. One proof per offence: what is known already is not made again.
4. Honest traffic costs no signature, and a look at the few views that may matter. What contradicts costs one check for
   the statement that came, and one for each kept one until a proof is made; what stands in a certificate behind a false
   signature is not looked at.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import TypeVar

from consensus import limits, signing
from consensus.encoding import optional
from consensus.errors import InvalidObject
from consensus.evidence.check import Offence, check_proof, is_below, reported_rank
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
from consensus.numbers import GENESIS_EPOCH, GENESIS_VIEW, Hash, ValidatorIndex, View
from consensus.signing import sha256
from consensus.vocabulary.certificates import QC, TC, Certificate, TimeoutBody, VoteBody
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip

STATEMENTS_MAX = 16_384  # of one kind by all validators; about 20 MB when every view sees votes and timeouts of all
VIEWS_KEPT_MIN = 128
OFFENCES_MAX = 16  # of one validator against one rule: who has done so much is convicted often enough
_CERTIFICATES_SEEN_MAX = 256
_PRUNE_EVERY_VIEWS = 32

Statement = TypeVar("Statement", SignedTip, SignedProposal, SignedVote, SignedTimeout)


def views_kept(count: int) -> int:
    """For how many past views `count` validators' statements are remembered: fewer validators, more views."""
    return max(VIEWS_KEPT_MIN, STATEMENTS_MAX // count)


@unique
class _Meeting(Enum):
    """What a statement is beside those that are kept."""

    NEW = 0
    REPEATED = 1
    FALSE = 2  # not signed by whom it names


@dataclass(slots=True)
class _Statements:
    """What one validator said, by view."""

    tips: dict[View, SignedTip] = field(default_factory=dict)
    proposals: dict[View, SignedProposal] = field(default_factory=dict)
    votes: dict[View, SignedVote] = field(default_factory=dict)
    timeouts: dict[View, SignedTimeout] = field(default_factory=dict)
    last_timeout: View = GENESIS_VIEW  # no kept timeout is of a later view

    def hiding(self, vote: VoteBody) -> list[SignedTimeout]:
        """The kept timeouts that hide what this vote is for (E4): of its view or a later one, of a lower rank."""
        views = range(vote.view, self.last_timeout + 1)
        kept = [self.timeouts[view] for view in map(View, views) if view in self.timeouts]
        return [timeout for timeout in kept if is_below(timeout.body, vote)]

    def hidden_by(self, timeout: TimeoutBody, floor: int) -> list[SignedVote]:
        """The kept votes that this timeout hides (E4): up to its view, and not before the view that it reports."""
        views = range(max(floor, reported_rank(timeout)[0]), timeout.view + 1)
        kept = [self.votes[view] for view in map(View, views) if view in self.votes]
        return [vote for vote in kept if is_below(timeout, vote.body)]

    def drop(self, first: int, end: int) -> None:
        """Forgets the views from `first` up to, not including, `end`; before `first` nothing is kept."""
        _drop(self.tips, first, end)
        _drop(self.proposals, first, end)
        _drop(self.votes, first, end)
        _drop(self.timeouts, first, end)


class Detector:
    """See the module."""

    def __init__(self, chain: Genesis, known: Iterable[Offence] = ()) -> None:
        """`known`: offences whose proofs are stored already."""
        self._chain = chain
        self._views_kept = views_kept(chain.validator_set.count)
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
        """Whether it is of no use to prove this offence (again). May be asked from a thread."""
        return offence in self._known or self._counts[offence.validator, offence.rule] >= OFFENCES_MAX

    def has_convicted(self, validator: ValidatorIndex, rule: int) -> bool:
        """Whether a proof that the validator broke the rule is kept."""
        return self._counts[validator, rule] > 0

    def note(self, offence: Offence) -> None:
        """A proof of it is kept."""
        if offence not in self._known:
            self._known.add(offence)
            self._counts[offence.validator, offence.rule] += 1

    def enter(self, view: View) -> None:
        """The node is in `view`: what is long past is forgotten now and then."""
        self._view = max(self._view, view)
        if self._view >= self._pruned_view + _PRUNE_EVERY_VIEWS:
            first, end = self._pruned_view - self._views_kept, self._view - self._views_kept
            self._pruned_view = self._view
            for statements in self._statements:
                statements.drop(first, end)

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
        if not self._is_near(proposal.epoch, proposal.view):
            return None
        leader = self._chain.validator_set.leader(proposal.view)
        proof = InvalidProposal(proposal)
        if self.knows(Offence(9, leader, proposal.view)) or not self._is_proof(proof):
            return None
        return proof

    def _is_near(self, epoch: int, view: int) -> bool:
        lowest, highest = max(1, self._view - self._views_kept), self._view + limits.VIEWS_AHEAD
        return epoch == GENESIS_EPOCH and lowest <= view <= highest

    # where statements stand

    def _see_proposal(self, proposal: Proposal) -> None:
        view = proposal.view
        if self._is_near(proposal.epoch, view):
            leader = self._chain.validator_set.leader(view)
            entry_hash = sha256(optional(proposal.entry.encoded if proposal.entry else None))
            author_sig_hash = sha256(proposal.tip.author_sig)
            signed = SignedProposal(
                proposal.epoch, view, proposal.tip.id, author_sig_hash, entry_hash, proposal.leader_sig
            )
            slots = self._statements[leader].proposals
            self._meet(2, leader, slots, view, signed, lambda kept, other: in_order(TwoProposals(kept, other)))
        self._see_tip(proposal.tip)
        if proposal.entry is not None:
            self._see_certificate(proposal.entry)

    def _see_tip(self, tip: Tip) -> None:
        header = tip.header
        view, author = header.view, header.author
        if self._is_near(header.epoch, view) and author == self._chain.validator_set.leader(view):
            signed = SignedTip(header, tip.author_sig)
            slots = self._statements[author].tips
            self._meet(1, author, slots, view, signed, lambda kept, other: in_order(TwoTips(kept, other)))
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
        epoch = certificate.body.epoch if isinstance(certificate, QC) else certificate.epoch
        if not self._is_near(epoch, certificate.view) or certificate.hash in self._seen:
            return
        self._seen[certificate.hash] = None
        if len(self._seen) > _CERTIFICATES_SEEN_MAX:
            self._seen.popitem(last=False)
        if isinstance(certificate, QC):
            for signer, signature in zip(certificate.signers, certificate.signatures, strict=True):
                if not self._see_vote(signer, SignedVote(certificate.body, signature)):
                    return
        else:
            for signer, body, signature in zip(
                certificate.signers, certificate.bodies, certificate.signatures, strict=True
            ):
                if not self._see_timeout(signer, SignedTimeout(body, signature)):
                    return

    # votes and timeouts; both return False for a statement that was found to be false

    def _see_vote(self, voter: ValidatorIndex, vote: SignedVote) -> bool:
        body = vote.body
        if not self._is_near(body.epoch, body.view) or voter >= len(self._statements) or body.block_view > body.view:
            return True
        statements = self._statements[voter]
        meeting = self._meet(
            3, voter, statements.votes, body.view, vote, lambda kept, other: in_order(TwoVotes(voter, kept, other))
        )
        return self._compare_vote(voter, statements, vote) if meeting is _Meeting.NEW else meeting is _Meeting.REPEATED

    def _compare_vote(self, voter: ValidatorIndex, statements: _Statements, vote: SignedVote) -> bool:
        """E4: no timeout of this view or a later one hides what the vote is for."""
        body = vote.body
        below = [kept for kept in statements.hiding(body) if not self.knows(Offence(4, voter, kept.body.view))]
        if below and not self._is_true(voter, vote):
            _forget(statements.votes, body.view, vote)
            return False
        for timeout in below:
            if not self._is_true(voter, timeout):
                _forget(statements.timeouts, timeout.body.view, timeout)
            elif not self.knows(Offence(4, voter, timeout.body.view)):
                self._prove(VoteAboveTimeout(voter, vote, timeout))
        return True

    def _see_timeout(self, signer: ValidatorIndex, timeout: SignedTimeout) -> bool:
        body = timeout.body
        if not self._is_near(body.epoch, body.view) or signer >= len(self._statements):
            return True
        statements = self._statements[signer]
        meeting = self._meet(
            5,
            signer,
            statements.timeouts,
            body.view,
            timeout,
            lambda kept, other: in_order(TwoTimeouts(signer, kept, other)),
        )
        if meeting is not _Meeting.NEW:
            return meeting is _Meeting.REPEATED
        return self._compare_timeout(signer, statements, timeout)

    def _compare_timeout(self, signer: ValidatorIndex, statements: _Statements, timeout: SignedTimeout) -> bool:
        """E4: the timeout hides no vote of its view or an earlier one."""
        body = timeout.body
        statements.last_timeout = max(statements.last_timeout, body.view)
        if self.knows(Offence(4, signer, body.view)):
            return True
        hidden = statements.hidden_by(body, self._view - self._views_kept)
        if hidden and not self._is_true(signer, timeout):
            _forget(statements.timeouts, body.view, timeout)
            return False
        for vote in hidden:
            if self._is_true(signer, vote):
                self._prove(VoteAboveTimeout(signer, vote, timeout))
                break
            _forget(statements.votes, vote.body.view, vote)
        return True

    # truth

    def _meet(
        self,
        rule: int,
        signer: ValidatorIndex,
        slots: dict[View, Statement],
        view: View,
        latter: Statement,
        make: Callable[[Statement, Statement], Proof],
    ) -> "_Meeting":
        """Keeps the first true statement of a view; another one makes a proof with it."""
        kept = slots.setdefault(view, latter)
        if kept is latter:
            return _Meeting.NEW
        if kept == latter:
            return _Meeting.REPEATED
        differs = kept.says != latter.says
        if differs and self.knows(Offence(rule, signer, view)):
            return _Meeting.NEW
        if not self._is_true(signer, latter):
            return _Meeting.FALSE
        if differs and self._is_true(signer, kept):
            self._prove(make(kept, latter))
        else:
            slots[view] = latter
        return _Meeting.NEW if differs else _Meeting.REPEATED

    def _is_true(self, signer: ValidatorIndex, statement: Signed) -> bool:
        public_key = self._chain.validator_set.node_public_key(signer)
        return signing.is_signature(public_key, statement.digest(self._chain), statement.signature)

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


def _drop(slots: dict[View, Statement], first: int, end: int) -> None:
    gone = range(first, end) if end - first <= len(slots) else [view for view in slots if view < end]
    for view in gone:
        slots.pop(View(view), None)
