"""An L1 batch: what its digest binds, and whose signatures make a certificate."""

from dataclasses import fields, replace
from typing import Any

import pytest

from consensus.bls import aggregate
from consensus.encoding import decode_whole
from consensus.errors import DecodeError, InvalidObject
from consensus.numbers import BlockId, Epoch, Hash, Height, ValidatorIndex
from consensus.signing import Domain
from consensus.vocabulary.l1_batch import (
    BatchCertificate,
    BatchShare,
    DataKind,
    L1Batch,
    make_batch_certificate,
)
from tests.committee import Committee

COMMITTEE = Committee(stakes=(3, 2, 1, 1))
CHAIN = COMMITTEE.chain


def hash_of(number: int) -> Hash:
    return Hash(bytes([number]) * 32)


BATCH = L1Batch(
    l1_chain_id=31_337,
    inbox=b"\x1b" * 20,
    index=3,
    first=Height(11),
    last=Height(20),
    previous=hash_of(1),
    data_kind=DataKind.CALLDATA,
    data_hash=hash_of(2),
    block_id=BlockId(hash_of(3)),
    namespaces_root=hash_of(4),
    state_root=hash_of(5),
    aux_root=hash_of(6),
    forced_cursor=7,
)
CHANGED: dict[str, Any] = {
    "l1_chain_id": 1,
    "inbox": b"\x1c" * 20,
    "index": 4,
    "first": 12,
    "last": 21,
    "previous": hash_of(9),
    "data_kind": DataKind.HELD,
    "data_hash": hash_of(9),
    "block_id": hash_of(9),
    "namespaces_root": hash_of(9),
    "state_root": hash_of(9),
    "aux_root": hash_of(9),
    "forced_cursor": 8,
}


def share(index: int, batch: L1Batch = BATCH) -> bytes:
    return COMMITTEE.bls_keys[index].sign(batch.signing_digest(CHAIN.domain))


def certificate(*signers: int) -> BatchCertificate:
    return make_batch_certificate(BATCH, {ValidatorIndex(signer): share(signer) for signer in signers}, 4)


@pytest.mark.parametrize("field", [field.name for field in fields(L1Batch)])
def test_hash_and_signed_digest_bind_every_field(field):
    other = replace(BATCH, **{field: CHANGED[field]})
    assert other.hash(CHAIN.domain) != BATCH.hash(CHAIN.domain)
    assert other.signing_digest(CHAIN.domain) != BATCH.signing_digest(CHAIN.domain)


def test_the_signed_digest_binds_chain_epoch_and_kind():
    other = Domain(bytes(32))
    digests = {
        BATCH.signing_digest(CHAIN.domain),
        BATCH.signing_digest(CHAIN.domain, Epoch(1)),
        BATCH.signing_digest(other),
        BATCH.hash(CHAIN.domain),
        BATCH.hash(other),
    }
    assert len(digests) == 5


def test_everything_reads_back():
    assert len(BATCH.encode()) == 277
    assert decode_whole(BATCH.encode(), L1Batch.decode) == BATCH
    signed = BatchShare(BATCH, ValidatorIndex(2), share(2))
    assert decode_whole(signed.encode(), BatchShare.decode) == signed
    whole = certificate(0, 1)
    assert decode_whole(whole.encode(), lambda reader: BatchCertificate.decode(reader, 4)) == whole


@pytest.mark.parametrize("wrong", [{"index": 0}, {"first": 0}, {"first": 21}])
def test_a_batch_that_cannot_be_is_refused(wrong):
    with pytest.raises(DecodeError):
        decode_whole(replace(BATCH, **wrong).encode(), L1Batch.decode)


def test_an_unknown_data_kind_is_refused():
    encoded = bytearray(BATCH.encode())
    place = 32 + 20 + 3 * 8 + 32
    assert encoded[place] == DataKind.CALLDATA
    encoded[place] = 2
    with pytest.raises(DecodeError, match="data kind 2"):
        decode_whole(bytes(encoded), L1Batch.decode)


def test_a_quorum_of_stake_certifies():
    certificate(0, 1).check(CHAIN)
    certificate(0, 2, 3).check(CHAIN)


def test_below_a_quorum_nothing_is_certified():
    for signers in ((0,), (1, 2, 3), (0, 2)):
        with pytest.raises(InvalidObject, match="no_quorum"):
            certificate(*signers).check(CHAIN)


def test_a_certificate_of_another_batch_or_other_signers_is_refused():
    right = certificate(0, 1)
    with pytest.raises(InvalidObject, match="bad_signature"):
        replace(right, batch=replace(BATCH, last=Height(21))).check(CHAIN)
    with pytest.raises(InvalidObject, match="bad_signature"):
        replace(right, signers=(ValidatorIndex(0), ValidatorIndex(1), ValidatorIndex(2))).check(CHAIN)
    doubled = aggregate([share(0), share(0), share(1)])
    with pytest.raises(InvalidObject, match="bad_signature"):
        replace(right, signature=doubled).check(CHAIN)
    with pytest.raises(InvalidObject, match="wrong_epoch"):
        replace(right, count=5).check(CHAIN)


def test_a_share_is_its_validators_own():
    BatchShare(BATCH, ValidatorIndex(1), share(1)).check(CHAIN)
    with pytest.raises(InvalidObject, match="bad_signature"):
        BatchShare(BATCH, ValidatorIndex(1), share(2)).check(CHAIN)
    with pytest.raises(InvalidObject, match="unknown_validator"):
        BatchShare(BATCH, ValidatorIndex(4), share(1)).check(CHAIN)
