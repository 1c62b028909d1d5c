"""Validity: what makes an object of the protocol acceptable, without any state.

Responsible for: judging certificates, votes, reports, timeouts, tips and proposals from their own bytes, the validator
set and the genesis. An invalid object raises `InvalidObject`; it is dropped and its sender's score falls.
Refuses to do: look at the clock, at missing batches, at unknown parents or at what was committed. Nothing but the rules
below may make a well-formed tip unvotable ▲: otherwise a leader could be unable to re-propose it.

Invariants:
1. A justify is always verified, even if another QC for the same body is known ▲. What is remembered as valid is the
   hash of the full encoding, signatures included; "invalid" is never remembered.
2. A re-proposal matches the entry's high in view, id *and* justify view ▲ (the id alone forks the chain).
3. No field of a tip is checked against state that a voter may lack ▲.
"""

from collections import OrderedDict

from consensus.errors import InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import Epoch, Hash, ValidatorIndex
from consensus.ordering.blocktime import block_anchor, block_time
from consensus.ordering.cut import Cut, determine_cut
from consensus.signing import require_signature, sha256
from consensus.vocabulary.certificates import NO_TIP, QC, TC, Certificate, TimeoutBody, VoteBody, genesis_qc
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport
from consensus.vocabulary.tip import Tip, fresh_hash

_REMEMBERED_MAX = 4_096


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise InvalidObject(reason)


class Validity:
    """The rules for one chain, with a bounded memory of encodings that were found valid."""

    def __init__(self, chain: Genesis) -> None:
        self.chain = chain
        self.validators = chain.validator_set
        self.genesis_qc = genesis_qc(chain.chain_id, chain.time_ms, self.validators.count)
        self._valid: OrderedDict[Hash, None] = OrderedDict()

    def remember(self, encoding_hash: Hash) -> None:
        """Notes that the object with this hash of its full encoding is valid (checked, or made here)."""
        self._valid[encoding_hash] = None
        if len(self._valid) > _REMEMBERED_MAX:
            self._valid.popitem(last=False)

    def _is_remembered(self, encoding_hash: Hash) -> bool:
        if encoding_hash not in self._valid:
            return False
        self._valid.move_to_end(encoding_hash)
        return True

    def _require_member(self, epoch: Epoch, index: ValidatorIndex) -> None:
        _require(epoch == 0, "wrong_epoch")
        _require(index < self.validators.count, "unknown_validator")

    def _require_signed(self, index: ValidatorIndex, digest: bytes, signature: bytes) -> None:
        require_signature(self.validators.node_public_key(index), digest, signature)

    def check_qc(self, qc: QC) -> None:
        """Known epoch, a quorum by stake, every signature valid; the genesis QC only by byte equality."""
        if qc.view == 0:
            _require(qc.encoded == self.genesis_qc.encoded, "bad_genesis_qc")
            return
        if self._is_remembered(qc.hash):
            return
        _check_vote_body(qc.body)
        _require(qc.count == self.validators.count and self.validators.is_quorum(qc.signers), "no_quorum")
        digest = qc.body.signing_digest(self.chain.domain)
        for signer, signature in zip(qc.signers, qc.signatures, strict=True):
            self._require_signed(signer, digest, signature)
        self.remember(qc.hash)

    def check_tc(self, tc: TC) -> None:
        """Distinct signers, a quorum by stake, every body numerically sound and every signature valid."""
        if self._is_remembered(tc.hash):
            return
        _require(tc.epoch == 0 and tc.view >= 1, "wrong_epoch")
        _require(tc.count == self.validators.count and self.validators.is_quorum(tc.signers), "no_quorum")
        for signer, body, signature in zip(tc.signers, tc.bodies, tc.signatures, strict=True):
            _check_timeout_body(body)
            self._require_signed(signer, body.signing_digest(self.chain.domain), signature)
        self.remember(tc.hash)

    def check_certificate(self, certificate: Certificate) -> None:
        """Either kind."""
        if isinstance(certificate, QC):
            self.check_qc(certificate)
        else:
            self.check_tc(certificate)

    def check_vote(self, vote: Vote) -> None:
        """The voter's signature over a sound body. A report that came with it is judged apart (`on_report.py`)."""
        self._require_member(vote.body.epoch, vote.voter)
        _check_vote_body(vote.body)
        self._require_signed(vote.voter, vote.body.signing_digest(self.chain.domain), vote.signature)

    def check_report(self, report: LaneReport) -> None:
        """One row per lane within its bound, signed by its validator."""
        self._require_member(report.epoch, report.validator)
        _require(len(report.lanes) == self.validators.count, "report_lanes")
        bound = self.chain.parameters.lane_report_batches
        _require(all(len(row.batches) <= bound for row in report.lanes), "report_bound")
        self._require_signed(report.validator, report.signing_digest(self.chain), report.signature)

    def check_timeout(self, timeout: Timeout) -> None:
        """Every body field equals what the timeout carries ▲; a named tip is compared when it is held.

        The entry proves the timed-out view, or its end for a signer that jumped over it.
        """
        body = timeout.body
        self._require_member(body.epoch, timeout.signer)
        _check_timeout_body(body)
        self._require_signed(timeout.signer, body.signing_digest(self.chain.domain), timeout.signature)
        if body.names_tip:
            _require(timeout.qc is None, "timeout_qc")
        else:
            _require(timeout.qc is not None and timeout.qc.view == body.qc_view, "timeout_qc")
        if timeout.qc is not None:
            self.check_qc(timeout.qc)
        vote = timeout.backup_vote
        if vote is not None:
            _require(vote.voter == timeout.signer and vote.body.view == body.view, "foreign_backup_vote")
            _require(vote.report is None, "foreign_report")
            self.check_vote(vote)
        _require(body.view - 1 <= timeout.entry.view <= body.view, "timeout_entry")
        self.check_certificate(timeout.entry)

    def check_tip(self, tip: Tip) -> Cut:
        """Stateless validity of a tip; returns the cut that its reports determine."""
        header = tip.header
        self._require_member(header.epoch, header.author)
        _require(header.view >= 1 and header.author == self.validators.leader(header.view), "wrong_leader")
        encoding_hash = sha256(tip.encoded)
        is_known = self._is_remembered(encoding_hash)
        if not is_known:  # before anything that costs more than a signature
            self._require_signed(header.author, header.signing_digest(self.chain), tip.author_sig)
        _check_links(tip)
        cut = determine_cut(self._checked_reports(tip), self.validators)
        _require(cut.root() == header.cut_root, "cut_root")
        _require(block_time(tip.reports, tip.justify.body.ts_ms, self.validators) == header.ts_ms, "block_time")
        _require(block_anchor(tip.reports, self.validators) == header.l1_anchor, "l1_anchor")
        if is_known:
            return cut
        self.check_qc(tip.justify)
        self._check_fresh(tip)
        for report in tip.reports:
            self.check_report(report)
        self.remember(encoding_hash)
        return cut

    def check_author(self, tip: Tip) -> None:
        """The author's signature, which the id does not cover: a tip that hashes lead to may come with a false one."""
        header = tip.header
        _require(header.author == self.validators.leader(header.view), "wrong_leader")
        self._require_signed(header.author, header.signing_digest(self.chain), tip.author_sig)

    def _checked_reports(self, tip: Tip) -> tuple[LaneReport, ...]:
        """The reports are for this epoch and view, a quorum of distinct validators, none older than the parent."""
        count, justify_ts_ms = self.validators.count, tip.justify.body.ts_ms
        for report in tip.reports:
            self._require_member(report.epoch, report.validator)
            _require(len(report.lanes) == count, "report_lanes")
            _require(report.epoch == tip.header.epoch and report.view == tip.header.view, "report_view")
            _require(report.sent_ms >= justify_ts_ms, "report_stale")
        signers = [report.validator for report in tip.reports]
        _require(len(set(signers)) == len(signers) and self.validators.is_quorum(signers), "report_quorum")
        return tip.reports

    def _check_fresh(self, tip: Tip) -> None:
        """Either the parent's QC is of the previous view, or a TC of it proves that no higher tip may exist."""
        fresh, view = tip.fresh, tip.header.view
        if fresh is None:
            _require(tip.justify.view == view - 1, "not_fresh")
            return
        _require(fresh.view == view - 1, "fresh_view")
        _require(not fresh.high.names_tip and fresh.high.qc_view == tip.justify.view, "fresh_high")
        self.check_tc(fresh)

    def check_proposal(self, proposal: Proposal) -> Cut:
        """Fresh: the tip is of this view, without entry. Re-proposal: the tip is the high of TC(view − 1)."""
        tip, entry, view = proposal.tip, proposal.entry, proposal.view
        _require(proposal.epoch == 0 and view >= 1, "wrong_epoch")
        leader = self.validators.leader(view)
        self._require_signed(leader, proposal.signing_digest(self.chain), proposal.leader_sig)
        if entry is None:
            _require(tip.view == view, "no_entry")
        else:
            _require(entry.view == view - 1 and is_high_of(tip, entry), "entry_high")
            self.check_tc(entry)
        return self.check_tip(tip)


def is_high_of(tip: Tip, entry: TC) -> bool:
    """Whether the entry's high names exactly this tip: view, id and justify view ▲."""
    return names(entry.high, tip)


def names(body: TimeoutBody, tip: Tip) -> bool:
    """Whether a timeout body names exactly this tip: view, id and justify view ▲."""
    return body.names_tip and (body.tip_view, body.tip_id, body.qc_view) == (tip.view, tip.id, tip.justify.view)


def _check_links(tip: Tip) -> None:
    """The header commits to what the tip carries, and extends what its justify certifies."""
    header, parent = tip.header, tip.justify.body
    check_content(tip)
    _require(header.parent_id == parent.block_id, "parent_id")
    _require(header.height == parent.height + 1, "height")
    _require(parent.view < header.view, "justify_view")


def check_content(tip: Tip) -> None:
    """The header's hashes are those of what the tip carries: all that a walk back from a valid QC needs to check."""
    header = tip.header
    _require(header.justify_hash == tip.justify.hash, "justify_hash")
    _require(header.reports_hash == sha256(tip.reports_encoded), "reports_hash")
    _require(header.fresh_hash == fresh_hash(tip.fresh), "fresh_hash")


def _check_vote_body(body: VoteBody) -> None:
    _require(body.epoch == 0, "wrong_epoch")
    _require(body.justify_view < body.block_view <= body.view, "vote_views")


def _check_timeout_body(body: TimeoutBody) -> None:
    _require(body.epoch == 0 and body.view >= 1, "wrong_epoch")
    _require(body.qc_view < body.view and body.tip_view <= body.view, "timeout_views")
    _require(body.tip_view > body.qc_view if body.names_tip else body.tip_id == NO_TIP, "timeout_views")
