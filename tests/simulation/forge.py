"""Makes any signed object of the protocol, valid or not, with the test validators' keys.

What is not given follows from the rules, so that a caller states only what its case is about.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from consensus.genesis import Genesis
from consensus.numbers import (
    GENESIS_EPOCH,
    BlockId,
    Digest,
    Height,
    Milliseconds,
    Seq,
    ValidatorIndex,
    View,
)
from consensus.ordering.blocktime import block_anchor, block_time
from consensus.ordering.cut import determine_cut
from consensus.signing import sha256
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.certificates import QC, TC, Certificate, TimeoutBody, VoteBody, genesis_qc, qc_only
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.report import LaneReport, LaneRow
from consensus.vocabulary.tip import Header, Tip, fresh_hash
from tests.simulation.keys import GENESIS_TIME_MS, node_key

START_MS = GENESIS_TIME_MS + 1_000


class Forge:
    """The keys of all validators of one chain, ready to sign anything."""

    def __init__(self, chain: Genesis) -> None:
        self.chain = chain
        self.count = len(chain.validators)
        self.everybody = tuple(range(self.count))
        self.genesis_qc = genesis_qc(chain.chain_id, chain.time_ms, self.count)

    def leader(self, view: int) -> ValidatorIndex:
        return self.chain.validator_set.leader(View(view))

    def quorum(self) -> tuple[int, ...]:
        """The first validators that are a quorum."""
        members: list[int] = []
        while not self.chain.validator_set.is_quorum(members):
            members.append(len(members))
        return tuple(members)

    # reports and tips

    def report(
        self,
        view: int,
        validator: int,
        sent_ms: int = START_MS,
        lanes: Mapping[int, tuple[int, Sequence[tuple[Digest, int]]]] | None = None,
        anchor: Anchor = NO_ANCHOR,
    ) -> LaneReport:
        """A signed report; `lanes`: lane → (base_seq, [(digest, age_ms)])."""
        rows = tuple(
            LaneRow(Seq(base), tuple(batches))
            for base, batches in ((lanes or {}).get(lane, (0, ())) for lane in range(self.count))
        )
        author = ValidatorIndex(validator)
        unsigned = LaneReport(GENESIS_EPOCH, View(view), author, Milliseconds(sent_ms), anchor, rows)
        return unsigned.sign(self.chain, node_key(validator))

    def reports(self, view: int, sent_ms: int = START_MS, validators: Iterable[int] | None = None):
        """A quorum's empty reports."""
        return tuple(
            self.report(view, validator, sent_ms) for validator in (self.quorum() if validators is None else validators)
        )

    def tip(
        self,
        view: int,
        justify: QC,
        fresh: TC | None = None,
        reports: tuple[LaneReport, ...] | None = None,
        author: int | None = None,
        **changes: object,
    ) -> Tip:
        """A tip that follows from its reports, with `changes` to its header before it is signed."""
        validators = self.chain.validator_set
        if reports is None:
            reports = self.reports(view, max(START_MS, justify.body.ts_ms) + 1)
        signer = self.leader(view) if author is None else ValidatorIndex(author)
        tip = Tip(
            Header(
                GENESIS_EPOCH,
                View(view),
                Height(justify.body.height + 1),
                justify.body.block_id,
                justify.hash,
                signer,
                block_time(reports, justify.body.ts_ms, validators),
                block_anchor(reports, validators),
                determine_cut(reports, validators).root(),
                sha256(b""),
                fresh_hash(fresh),
            ),
            bytes(65),
            justify,
            reports,
            fresh,
            self.count,
        )
        header = replace(tip.header, reports_hash=sha256(tip.reports_encoded))
        return self.sign_tip(replace(tip, header=replace(header, **changes)))  # type: ignore[arg-type]

    def sign_tip(self, tip: Tip, key: int | None = None) -> Tip:
        """The tip with its author's signature (or another key's)."""
        signer = node_key(tip.header.author if key is None else key)
        return replace(tip, author_sig=signer.sign(tip.header.signing_digest(self.chain)))

    def proposal(self, view: int, tip: Tip, entry: TC | None = None, leader: int | None = None) -> Proposal:
        unsigned = Proposal(GENESIS_EPOCH, View(view), tip, entry)
        key = node_key(self.leader(view) if leader is None else leader)
        return replace(unsigned, leader_sig=key.sign(unsigned.signing_digest(self.chain)))

    # votes and QCs

    def vote(self, body: VoteBody, voter: int, report: LaneReport | None = None) -> Vote:
        signature = node_key(voter).sign(body.signing_digest(self.chain.domain))
        return Vote(body, ValidatorIndex(voter), signature, report)

    def qc(self, body: VoteBody, signers: Iterable[int] | None = None) -> QC:
        """A QC by `signers` (a quorum by default); nobody checks that they are one."""
        voters = sorted(self.quorum() if signers is None else signers)
        signatures = tuple(self.vote(body, voter).signature for voter in voters)
        return QC(body, tuple(ValidatorIndex(voter) for voter in voters), signatures, self.count)

    def certify(self, tip: Tip, view: int | None = None, signers: Iterable[int] | None = None) -> QC:
        """The QC of votes for `tip`, fresh unless another view is given."""
        return self.qc(tip.vote_body(View(tip.view if view is None else view)), signers)

    # timeouts and TCs

    def body(self, view: int, high: Tip | QC) -> TimeoutBody:
        """The timeout body that reports this tip or QC as its signer's highest."""
        if isinstance(high, QC):
            return qc_only(GENESIS_EPOCH, View(view), high.view)
        return TimeoutBody(GENESIS_EPOCH, View(view), high.view, high.id, high.justify.view)

    def sign_timeout(self, body: TimeoutBody, signer: int) -> bytes:
        return node_key(signer).sign(body.signing_digest(self.chain.domain))

    def timeout(
        self,
        view: int,
        signer: int,
        high: Tip | QC,
        entry: Certificate,
        backup_vote: Vote | None = None,
        **changes: object,
    ) -> Timeout:
        """A timeout of `view`; `changes` to its body happen before it is signed."""
        body = replace(self.body(view, high), **changes)  # type: ignore[arg-type]
        qc = high if isinstance(high, QC) else None
        return Timeout(body, ValidatorIndex(signer), self.sign_timeout(body, signer), qc, backup_vote, entry)

    def tc(self, view: int, highs: Mapping[int, Tip | QC | TimeoutBody]) -> TC:
        """A TC of these signers, each with its highest tip or QC (or any body)."""
        signers = sorted(highs)
        bodies = []
        for signer in signers:
            high = highs[signer]
            bodies.append(high if isinstance(high, TimeoutBody) else self.body(view, high))
        signatures = tuple(self.sign_timeout(body, signer) for signer, body in zip(signers, bodies, strict=True))
        indices = tuple(ValidatorIndex(signer) for signer in signers)
        return TC(GENESIS_EPOCH, View(view), indices, tuple(bodies), signatures, self.count)

    def tc_of(self, view: int, high: Tip | QC) -> TC:
        """A TC in which a quorum reports the same."""
        return self.tc(view, dict.fromkeys(self.quorum(), high))

    def chain_of(self, length: int) -> list[Tip]:
        """Tips of views 1 … length, each fresh on the QC of the one before."""
        tips: list[Tip] = []
        justify = self.genesis_qc
        for view in range(1, length + 1):
            tips.append(self.tip(view, justify))
            justify = self.certify(tips[-1])
        return tips


def no_block(label: str) -> BlockId:
    """The id of a block that does not exist."""
    return BlockId(sha256(label.encode()))
