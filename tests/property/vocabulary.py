"""Strategies for every object of the vocabulary, over a committee of `COUNT` lanes. Well-formed, not valid."""

from typing import Any, TypeVar

from hypothesis import strategies as st

from consensus import limits
from consensus.numbers import (
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
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare
from consensus.vocabulary.batch import BatchHeader, SegmentEntry
from consensus.vocabulary.block import NamespaceBlock, Section, SectionKind
from consensus.vocabulary.certificates import QC, TC, TimeoutBody, VoteBody
from consensus.vocabulary.messages import Proposal, Timeout, Vote
from consensus.vocabulary.receipt import Receipt, ReceiptItem
from consensus.vocabulary.report import LaneReport, LaneRow
from consensus.vocabulary.tip import Header, Tip

T = TypeVar("T")
COUNT = 5

u8s, u16s, u32s = st.integers(0, 2**8 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
hashes = st.binary(min_size=32, max_size=32).map(Hash)
digests = hashes.map(Digest)
block_ids = hashes.map(BlockId)
times = st.integers(0, limits.TIMESTAMP_MS_MAX).map(Milliseconds)
epochs, views, heights = u64s.map(Epoch), u64s.map(View), u64s.map(Height)
seqs, namespaces = u64s.map(Seq), u64s.map(NamespaceId)
validators = u16s.map(ValidatorIndex)
signatures = st.binary(min_size=65, max_size=65)
bls_signatures = st.binary(min_size=96, max_size=96)
signer_sets = st.sets(st.integers(0, COUNT - 1)).map(lambda found: tuple(ValidatorIndex(i) for i in sorted(found)))

anchors = st.builds(Anchor, u64s, hashes)
attestations = st.builds(Attestation, epochs, heights, block_ids, hashes, hashes, u64s, hashes)
shares = st.builds(AttestationShare, attestations, validators, bls_signatures)
attestation_certificates = st.builds(AttestationCertificate, attestations, signer_sets, bls_signatures, st.just(COUNT))

segment_entries = st.builds(SegmentEntry, namespaces, u8s, u32s, u32s, hashes)
batch_headers = st.builds(
    BatchHeader,
    epochs,
    validators,
    seqs,
    digests,
    times,
    st.lists(segment_entries, max_size=4, unique_by=lambda e: (e.namespace, e.kind)).map(
        lambda found: tuple(sorted(found, key=lambda e: (e.namespace, e.kind)))
    ),
)

sections = st.lists(
    st.builds(Section, st.sampled_from(SectionKind), u32s, u64s, hashes), max_size=4, unique_by=lambda s: s.section
).map(lambda found: tuple(sorted(found, key=lambda s: s.section)))
namespace_blocks = st.builds(
    NamespaceBlock,
    namespaces,
    u64s.map(NamespaceIndex),
    hashes,
    heights,
    block_ids,
    times,
    anchors,
    sections,
    hashes,
)

receipts = st.builds(
    Receipt,
    hashes,
    epochs,
    validators,
    seqs,
    digests,
    times,
    st.lists(st.builds(ReceiptItem, namespaces, u8s, hashes, u32s), max_size=3).map(tuple),
    signatures,
)

# few distinct seqs and digests, so that reports agree, differ and overlap
base_seqs = st.one_of(st.integers(0, 3), st.just(2**63 - 1)).map(Seq)
listed = st.tuples(st.integers(0, 2).map(lambda n: Digest(bytes([n]) * 32)), st.one_of(st.integers(0, 300), u32s))
rows = st.builds(LaneRow, base_seqs, st.lists(listed, max_size=4).map(tuple))
lanes = st.lists(rows, min_size=COUNT, max_size=COUNT).map(tuple)


def reports_of(epoch: Epoch, view: View) -> st.SearchStrategy[tuple[LaneReport, ...]]:
    """Reports for one view, sorted by validator."""
    report = st.builds(
        LaneReport, st.just(epoch), st.just(view), st.integers(0, 2**16 - 1).map(ValidatorIndex), times, anchors, lanes,
        signatures,
    )  # fmt: skip
    return st.lists(report, max_size=COUNT, unique_by=lambda r: r.validator).map(
        lambda found: tuple(sorted(found, key=lambda r: r.validator))
    )


lane_reports = st.builds(LaneReport, epochs, views, validators, times, anchors, lanes, signatures)
vote_bodies = st.builds(VoteBody, epochs, views, block_ids, views, heights, views, times)
timeout_bodies = st.builds(TimeoutBody, epochs, views, views, block_ids, views)


@st.composite
def _qcs(draw: st.DrawFn) -> QC:
    signers = draw(signer_sets)
    found = tuple(draw(signatures) for _ in signers)
    return QC(draw(vote_bodies), signers, found, COUNT)


@st.composite
def _tcs(draw: st.DrawFn) -> TC:
    signers, epoch, view = draw(signer_sets), draw(epochs), draw(views)
    bodies = tuple(TimeoutBody(epoch, view, draw(views), draw(block_ids), draw(views)) for _ in signers)
    return TC(epoch, view, signers, bodies, tuple(draw(signatures) for _ in signers), COUNT)


qcs, tcs = _qcs(), _tcs()
headers = st.builds(
    Header, epochs, views, heights, block_ids, hashes, validators, times, anchors, hashes, hashes, hashes
)


@st.composite
def _tips(draw: st.DrawFn) -> Tip:
    header = draw(headers)
    reports = draw(reports_of(header.epoch, header.view))
    return Tip(header, draw(signatures), draw(qcs), reports, draw(optional(tcs)), COUNT)


def optional(inner: st.SearchStrategy[T]) -> st.SearchStrategy[T | None]:
    """None, or a value."""
    nothing: st.SearchStrategy[Any] = st.none()
    return st.one_of(nothing, inner)


tips = _tips()
votes = st.builds(Vote, vote_bodies, validators, signatures, optional(lane_reports))
proposals = st.builds(Proposal, epochs, views, tips, optional(tcs), signatures)
timeouts = st.builds(
    Timeout, timeout_bodies, validators, signatures, optional(qcs), optional(votes), st.one_of(qcs, tcs)
)
