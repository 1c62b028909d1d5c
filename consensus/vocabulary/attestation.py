"""An attestation: one validator's BLS signature on the roots up to a height; a quorum of them makes a certificate.

Invariants:
1. It is signed only when every byte it covers is synced on the signer's disk.
2. Which heights are attested is a rule of the chain (`sequencer/execution/attested.py`), so that all sign the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus import bls
from consensus.encoding import Reader, bitmap, u8, u16, u64
from consensus.errors import DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import ZERO_HASH, BlockId, Epoch, Hash, Height, ValidatorIndex
from consensus.signing import Domain, Kind

ATTESTATION_VERSION = 1


@dataclass(frozen=True, slots=True)
class Attestation:
    """The roots after executing everything up to `height`.

    `aux_root` is the hash of how far the lanes are ordered (`ExecutionState.order_root`): with it a node can start from
    here. `state_root` is zeros until used.
    """

    epoch: Epoch
    height: Height
    block_id: BlockId
    namespaces_root: Hash
    state_root: Hash = ZERO_HASH
    forced_cursor: int = 0  # u64
    aux_root: Hash = ZERO_HASH

    def encode(self) -> bytes:
        """version ‖ the fields in order."""
        return (
            u8(ATTESTATION_VERSION)
            + u64(self.epoch)
            + u64(self.height)
            + self.block_id
            + self.namespaces_root
            + self.state_root
            + u64(self.forced_cursor)
            + self.aux_root
        )

    @staticmethod
    def decode(reader: Reader) -> "Attestation":
        """The inverse of `encode`."""
        if reader.u8() != ATTESTATION_VERSION:
            raise DecodeError("unknown attestation version")
        return Attestation(
            Epoch(reader.u64()),
            Height(reader.u64()),
            BlockId(reader.fixed(32)),
            Hash(reader.fixed(32)),
            Hash(reader.fixed(32)),
            reader.u64(),
            Hash(reader.fixed(32)),
        )

    def signing_digest(self, domain: Domain) -> Hash:
        """What validators sign with BLS."""
        return domain.digest(Kind.ATTESTATION, self.epoch, self.encode())


@dataclass(frozen=True, slots=True)
class AttestationShare:
    """One validator's signature, as sent over the links."""

    attestation: Attestation
    validator: ValidatorIndex
    signature: bytes  # 96 bytes, BLS

    def encode(self) -> bytes:
        """attestation ‖ validator ‖ signature."""
        return self.attestation.encode() + u16(self.validator) + self.signature

    @staticmethod
    def decode(reader: Reader) -> "AttestationShare":
        """The inverse of `encode`."""
        return AttestationShare(
            Attestation.decode(reader), ValidatorIndex(reader.u16()), reader.fixed(bls.SIGNATURE_BYTES)
        )

    def check(self, chain: Genesis) -> None:
        """Raises `InvalidObject` unless the validator signed it. About 2.4 ms; releases the GIL."""
        if self.validator >= chain.validator_set.count:
            raise InvalidObject("unknown_validator")
        key = chain.validator_set.bls_public_keys[self.validator]
        if not bls.is_signature(key, self.attestation.signing_digest(chain.domain), self.signature):
            raise InvalidObject("bad_signature")


@dataclass(frozen=True, slots=True)
class AttestationCertificate:
    """An attestation with the aggregate signature of `signers` (rising)."""

    attestation: Attestation
    signers: tuple[ValidatorIndex, ...]
    signature: bytes  # 96 bytes, aggregate
    count: int

    def encode(self) -> bytes:
        """attestation ‖ bitmap ‖ signature."""
        return self.attestation.encode() + bitmap(self.signers, self.count) + self.signature

    @staticmethod
    def decode(reader: Reader, count: int) -> "AttestationCertificate":
        """Reads a certificate over a set of `count` validators."""
        attestation = Attestation.decode(reader)
        signers = tuple(ValidatorIndex(index) for index in reader.bitmap(count))
        return AttestationCertificate(attestation, signers, reader.fixed(bls.SIGNATURE_BYTES), count)

    def check(self, chain: Genesis) -> None:
        """Raises `InvalidObject` unless a quorum of this chain's validators signed it."""
        validators = chain.validator_set
        if self.attestation.epoch != 0 or self.count != validators.count:
            raise InvalidObject("wrong_epoch")
        if not validators.is_quorum(self.signers):
            raise InvalidObject("no_quorum")
        keys = [validators.bls_public_keys[signer] for signer in self.signers]
        if not bls.is_aggregate_signature(keys, self.attestation.signing_digest(chain.domain), self.signature):
            raise InvalidObject("bad_signature")


def make_certificate(
    attestation: Attestation, shares: Mapping[ValidatorIndex, bytes], count: int
) -> AttestationCertificate:
    """The certificate of checked shares of one attestation, by validator."""
    signers = tuple(sorted(shares))
    return AttestationCertificate(attestation, signers, bls.aggregate([shares[s] for s in signers]), count)
