"""The BLS work of attesting, as pure functions that a shell runs in a thread (they release the GIL).

Responsible for: signing, aggregating with one verification, and finding the bad share if that fails.
Refuses to do: decide when (`attest.py`).

Invariants:
1. A certificate that leaves `aggregate_shares` is valid. Checking the sum once costs one pairing check instead of one
   per share; shares that are invalid each and valid together make a certificate that proves the same, since every key
   in it has a proof of possession.
2. Evidence is made of shares that `verify_shares` checked one by one.
"""

from consensus.bls import BlsKey
from consensus.errors import InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import ValidatorIndex
from consensus.vocabulary.attestation import Attestation, AttestationCertificate, AttestationShare, make_certificate
from sequencer.attesting.effects import AggregateShares, VerifyCertificate, VerifyShares
from sequencer.attesting.events import CertificateVerified, SharesAggregated, SharesVerified


def sign_attestation(
    chain: Genesis, key: BlsKey, validator: ValidatorIndex, attestation: Attestation
) -> AttestationShare:
    """This validator's share. About 1.2 ms."""
    return AttestationShare(attestation, validator, key.sign(attestation.signing_digest(chain.domain)))


def aggregate_shares(chain: Genesis, work: AggregateShares) -> SharesAggregated:
    """One certificate of shares of one attestation by distinct validators, verified once; None if some share is bad."""
    signatures = {share.validator: share.signature for share in work.shares}
    try:
        certificate = make_certificate(work.attestation, signatures, chain.validator_set.count)
        certificate.check(chain)
    except InvalidObject:
        return SharesAggregated(work.attestation, None)
    return SharesAggregated(work.attestation, certificate)


def verify_shares(chain: Genesis, work: VerifyShares) -> SharesVerified:
    """Which of the shares their validators signed. About 2.4 ms each."""
    bad = tuple(share for share in work.shares if not _is_valid(chain, share))
    return SharesVerified(tuple(share for share in work.shares if share not in bad), bad)


def verify_certificate(chain: Genesis, work: VerifyCertificate) -> CertificateVerified:
    """Whether a received certificate is valid. About 2.5 ms."""
    return CertificateVerified(work.certificate, work.sender, _is_valid(chain, work.certificate))


def _is_valid(chain: Genesis, signed: AttestationShare | AttestationCertificate) -> bool:
    try:
        signed.check(chain)
    except InvalidObject:
        return False
    return True
