"""Strategies for proofs of faults. Well-formed, and of nothing true."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from consensus.evidence.proofs import (
    FalseReceipt,
    InvalidProposal,
    Proof,
    SignedHeader,
    SignedProposal,
    SignedTimeout,
    SignedTip,
    SignedVote,
    TwoAttestations,
    TwoBatches,
    TwoBatchShares,
    TwoProposals,
    TwoTimeouts,
    TwoTips,
    TwoVotes,
    VoteAboveTimeout,
    in_order,
)
from consensus.numbers import Height
from consensus.vocabulary.l1_batch import BatchShare, DataKind, L1Batch
from tests.property import vocabulary as v

signed_tips = st.builds(SignedTip, v.headers, v.signatures)
signed_proposals = st.builds(SignedProposal, v.epochs, v.views, v.block_ids, v.hashes, v.hashes, v.signatures)
signed_votes = st.builds(SignedVote, v.vote_bodies, v.signatures)
signed_timeouts = st.builds(SignedTimeout, v.timeout_bodies, v.signatures)
signed_headers = st.builds(SignedHeader, v.batch_headers, v.signatures)


@st.composite
def _l1_batches(draw: st.DrawFn) -> L1Batch:
    first, last = sorted(draw(st.tuples(*[st.integers(1, 2**64 - 1).map(Height)] * 2)))
    head = draw(st.integers(0, 2**256 - 1)), draw(st.binary(min_size=20, max_size=20)), draw(st.integers(1, 2**64 - 1))
    data = draw(v.hashes), draw(st.sampled_from(DataKind)), draw(v.hashes)
    roots = draw(v.hashes), draw(v.hashes), draw(v.hashes)
    return L1Batch(*head, first, last, *data, draw(v.block_ids), *roots, draw(v.u64s))


batch_shares = st.builds(BatchShare, _l1_batches(), v.validators, v.bls_signatures)


def _pairs(make: Callable[..., Any], statements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(statements, statements).filter(lambda two: two[0] != two[1]).map(lambda two: in_order(make(*two)))


def _pairs_of(make: Callable[..., Any], statements: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return v.validators.flatmap(lambda who: _pairs(lambda first, second: make(who, first, second), statements))


proofs: st.SearchStrategy[Proof] = st.one_of(
    _pairs(TwoTips, signed_tips),
    _pairs(TwoProposals, signed_proposals),
    _pairs_of(TwoVotes, signed_votes),
    st.builds(VoteAboveTimeout, v.validators, signed_votes, signed_timeouts),
    _pairs_of(TwoTimeouts, signed_timeouts),
    _pairs(TwoAttestations, v.shares),
    _pairs(TwoBatchShares, batch_shares),
    _pairs(TwoBatches, signed_headers),
    st.builds(FalseReceipt, v.receipts, signed_headers, v.u16s, st.binary(max_size=40)),
    st.builds(InvalidProposal, v.proposals),
)
