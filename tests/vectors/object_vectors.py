"""Vectors of the genesis and of every object of the vocabulary, with the digests and hashes made of them."""

from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from consensus.bls import aggregate
from consensus.namespace_terms import NamespaceTerms
from consensus.numbers import (
    GENESIS_EPOCH,
    BlockId,
    Digest,
    Epoch,
    Hash,
    Height,
    Milliseconds,
    NamespaceId,
    NamespaceIndex,
    Seq,
    ValidatorIndex,
    View,
)
from consensus.ordering.blocktime import block_anchor, block_time
from consensus.ordering.cut import determine_cut
from consensus.signing import Kind, sha256
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.attestation import Attestation, AttestationShare, make_certificate
from consensus.vocabulary.batch import transaction_id
from consensus.vocabulary.block import NamespaceBlock, Section, SectionKind, namespace_leaf
from consensus.vocabulary.certificates import (
    TC,
    TimeoutBody,
    VoteBody,
    encode_certificate,
    genesis_qc,
    make_qc,
    qc_only,
)
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from consensus.vocabulary.report import LaneReport, LaneRow, encode_reports
from consensus.vocabulary.tip import Header, Tip, fresh_hash
from sequencer.client.fields import to_hex
from tests.committee import FIRST, GENESIS_MS, SECOND, Committee, Segment

COMMITTEE = Committee(stakes=(4, 3, 2, 1))
CHAIN = COMMITTEE.chain
VIEW = View(7)
TERMS = NamespaceTerms(
    bytes_per_s=1_000_000, tx_per_s=2_000, queue_bytes=8_000_000, queue_tx=16_000, share_permille=250
)


def filled(number: int) -> bytes:
    """32 bytes of one value."""
    return bytes([number]) * 32


def described(value: Any) -> Any:
    """A value's fields for a reader: bytes as hex, numbers above 2^53 as text."""
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, Enum):
        return value.name
    if is_dataclass(value):
        shown = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: described(item) for name, item in shown.items() if name != "encoded"}
    if isinstance(value, ReceiptItem):  # a tuple with names
        return {name: described(item) for name, item in value._asdict().items()}
    if isinstance(value, Anchor):
        return {"number": value.number, "hash": to_hex(value.hash)}
    if isinstance(value, tuple):
        return [described(item) for item in value]
    return str(value) if isinstance(value, int) and value >= 2**53 else value


def genesis() -> Any:
    """Three genesis files: equal and unequal stakes, with the start of their leader tables, and one with terms."""
    made = []
    first, second = CHAIN.namespaces
    with_terms = replace(CHAIN, namespaces=(replace(first, terms=TERMS), second)).check()
    for chain in (Committee().chain, CHAIN, with_terms):
        qc = genesis_qc(chain.chain_id, chain.time_ms, len(chain.validators))
        made.append(
            {
                "fields": described(chain),
                "encoded": to_hex(chain.encode()),
                "chain_id": to_hex(chain.chain_id),
                "quorum": chain.validator_set.quorum,
                "witness": chain.validator_set.witness,
                "leaders_from_view_1": [chain.validator_set.leader(View(view)) for view in range(1, 41)],
                "block_0_id": to_hex(qc.body.block_id),
                "qc_of_block_0": to_hex(qc.encoded),
            }
        )
    return made


def reports() -> tuple[LaneReport, ...]:
    """Signed reports of a quorum for VIEW that disagree about lane 2 at seq 4."""
    made = []
    for index in (0, 1, 3):
        fork = Digest(filled(0xA0 + (index == 3)))
        rows = (
            LaneRow(Seq(10), ((Digest(filled(1)), 30 + index), (Digest(filled(2)), 5))),
            LaneRow(Seq(10 + index), ()),
            LaneRow(Seq(3), ((fork, 300),)),
            LaneRow(Seq(0), ()),
        )
        unsigned = LaneReport(
            GENESIS_EPOCH, VIEW, ValidatorIndex(index), Milliseconds(GENESIS_MS + 1000 + index),
            Anchor(64, Hash(filled(0x64))), rows,
        )  # fmt: skip
        made.append(unsigned.sign(CHAIN, COMMITTEE.node_keys[index]))
    return tuple(made)


def sample_qc(view: int) -> Any:
    """A signed QC of `view`."""
    body = VoteBody(
        GENESIS_EPOCH, View(view), BlockId(filled(0xB0)), View(view), Height(view), View(view - 1),
        Milliseconds(GENESIS_MS + 500),
    )  # fmt: skip
    digest = body.signing_digest(CHAIN.domain)
    votes = {ValidatorIndex(index): COMMITTEE.node_keys[index].sign(digest) for index in (0, 1)}
    return make_qc(body, votes, COMMITTEE.count)


def sample_tc(view: int) -> TC:
    """A signed TC of `view`: one signer names a tip, the other a QC."""
    bodies = (
        TimeoutBody(GENESIS_EPOCH, View(view), View(view - 1), BlockId(filled(0xB1)), View(view - 2)),
        qc_only(GENESIS_EPOCH, View(view), View(view - 2)),
    )
    signatures = tuple(
        COMMITTEE.node_keys[index].sign(body.signing_digest(CHAIN.domain)) for index, body in enumerate(bodies)
    )
    return TC(GENESIS_EPOCH, View(view), (ValidatorIndex(0), ValidatorIndex(1)), bodies, signatures, COMMITTEE.count)


def sample_tip() -> Tip:
    """A tip for VIEW on a QC of the view before, signed by its leader."""
    validators, quoted, justify = CHAIN.validator_set, reports(), sample_qc(VIEW - 1)
    author = validators.leader(VIEW)
    header = Header(
        GENESIS_EPOCH,
        VIEW,
        Height(justify.body.height + 1),
        justify.body.block_id,
        justify.hash,
        author,
        block_time(quoted, justify.body.ts_ms, validators),
        block_anchor(quoted, validators),
        determine_cut(quoted, validators).root(),
        sha256(encode_reports(quoted, COMMITTEE.count)),
        fresh_hash(None),
    )
    author_sig = COMMITTEE.node_keys[author].sign(header.signing_digest(CHAIN))
    return Tip(header, author_sig, justify, quoted, None, COMMITTEE.count)


def cut() -> Any:
    """A quorum of reports, and everything that it determines."""
    validators, quoted = CHAIN.validator_set, reports()
    found = determine_cut(quoted, validators)
    return {
        "genesis": to_hex(CHAIN.encode()),
        "reports": [to_hex(report.encoded) for report in quoted],
        "compact": to_hex(encode_reports(quoted, COMMITTEE.count)),
        "ends": [{"seq": end.seq, "digest": to_hex(end.digest)} for end in found.ends],
        "listed": [
            [{"seq": b.seq, "digest": to_hex(b.digest), "arrival_ms": b.arrival_ms} for b in lane]
            for lane in found.listed
        ],
        "cut_root": to_hex(found.root()),
        "justify_ts_ms": GENESIS_MS + 500,
        "ts_ms": block_time(quoted, Milliseconds(GENESIS_MS + 500), validators),
        "l1_anchor": described(block_anchor(quoted, validators)),
    }


def _entry(value: Any, encoded: bytes, **more: bytes) -> Any:
    return {
        "fields": described(value),
        "encoded": to_hex(encoded),
        **{name: to_hex(data) for name, data in more.items()},
    }


def _messages() -> dict[str, Any]:
    tip, qc, tc = sample_tip(), sample_qc(6), sample_tc(6)
    report = tip.reports[0]
    vote_body = tip.vote_body(VIEW)
    vote = Vote(
        vote_body, ValidatorIndex(0), COMMITTEE.node_keys[0].sign(vote_body.signing_digest(CHAIN.domain)), report
    )
    unsigned = Proposal(GENESIS_EPOCH, VIEW, tip, None)
    leader = CHAIN.validator_set.leader(VIEW)
    proposal_digest = unsigned.signing_digest(CHAIN)
    proposal = Proposal(GENESIS_EPOCH, VIEW, tip, None, COMMITTEE.node_keys[leader].sign(proposal_digest))
    body = tc.bodies[1]
    timeout = Timeout(body, ValidatorIndex(1), tc.signatures[1], qc, vote.without_report(), tc)
    domain = CHAIN.domain
    return {
        "lane_report": _entry(report, report.encoded, digest=report.signing_digest(CHAIN)),
        "vote_body": _entry(vote_body, vote_body.encode(), digest=vote_body.signing_digest(domain)),
        "vote": _entry(vote, vote.encoded),
        "qc": _entry(qc, qc.encoded, hash=qc.hash),
        "timeout_body": _entry(body, body.encode(), digest=body.signing_digest(domain)),
        "timeout": _entry(timeout, timeout.encoded),
        "tc": _entry(tc, tc.encoded, hash=tc.hash),
        "certificate_qc": _entry(qc, encode_certificate(qc)),
        "certificate_tc": _entry(tc, encode_certificate(tc)),
        "header": _entry(tip.header, tip.header.encoded, id=tip.id, digest=tip.header.signing_digest(CHAIN)),
        "tip": _entry(tip, tip.encoded),
        "proposal": _entry(proposal, proposal.encoded, digest=proposal_digest),
    }


def _data() -> dict[str, Any]:
    segments = [Segment(FIRST, (b"first", b"second")), Segment(SECOND, (b"third",)), Segment(SECOND, (b"x",), kind=1)]
    batch = COMMITTEE.seal(2, 1, Digest(bytes(32)), segments)
    batch_digest = CHAIN.domain.digest(Kind.BATCH, GENESIS_EPOCH, batch.digest)
    items = tuple(
        ReceiptItem(FIRST, 0, transaction_id(FIRST, 0, body), index) for index, body in enumerate((b"first", b"second"))
    )
    receipt = Receipt(
        CHAIN.chain_id, GENESIS_EPOCH, ValidatorIndex(2), Seq(1), batch.digest, Milliseconds(GENESIS_MS), items
    ).sign(CHAIN, COMMITTEE.node_keys[2])
    section = Section(SectionKind.OPEN, 2, 19, Hash(filled(3)))
    block = NamespaceBlock(
        NamespaceId(2**63 - 1), NamespaceIndex(5), Hash(filled(4)), Height(9), BlockId(filled(5)),
        Milliseconds(GENESIS_MS + 9), Anchor(32, Hash(filled(6))), (section,), Hash(filled(7)),
    )  # fmt: skip
    attestation = Attestation(
        Epoch(0), Height(9), BlockId(filled(5)), Hash(filled(8)), Hash(filled(9)), 3, Hash(filled(10))
    )
    digest = attestation.signing_digest(CHAIN.domain)
    shares = {ValidatorIndex(index): COMMITTEE.bls_keys[index].sign(digest) for index in (0, 1)}
    share = AttestationShare(attestation, ValidatorIndex(0), shares[ValidatorIndex(0)])
    certificate = make_certificate(attestation, shares, COMMITTEE.count)
    assert certificate.signature == aggregate([*shares.values()])
    return {
        "transaction_ids": [
            {"namespace": FIRST, "kind": 0, "body": to_hex(body), "id": to_hex(transaction_id(FIRST, 0, body))}
            for body in (b"first", b"second")
        ],
        "batch_header": _entry(batch.header, batch.header.encoded, digest=batch.digest, signed=batch_digest),
        "batch": {"encoded": to_hex(batch.encoded), "segments": [to_hex(segment.data) for segment in segments]},
        "receipt": _entry(receipt, receipt.encode()),
        "section": _entry(section, section.encode()),
        "namespace_block": _entry(
            block,
            block.encode(),
            hash=block.hash(CHAIN.domain),
            leaf=namespace_leaf(block.namespace, block.index, block.hash(CHAIN.domain)),
        ),
        "attestation": _entry(attestation, attestation.encode(), digest=digest),
        "attestation_share": _entry(share, share.encode()),
        "attestation_certificate": _entry(certificate, certificate.encode()),
    }


def objects() -> Any:
    """Every object with its fields and its bytes."""
    return {"genesis": to_hex(CHAIN.encode()), "chain_id": to_hex(CHAIN.chain_id), **_data(), **_messages()}
