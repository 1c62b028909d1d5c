"""An L1 batch: the range of heights that one commit to the L1 covers, what validators sign for it, and its certificate.

Responsible for: the types, their encodings and digests, and checking shares and certificates.
Refuses to do: build or read payloads (`payload.py`), talk to an L1, or decide who posts (`sequencer/settlement`).

Invariants:
1. The signed digest binds the data (`data_hash`), the L1's chain id, the contract, the epoch, the index, the heights,
   the previous batch and the roots ▲: a valid certificate can be replayed nowhere else and with nothing else.
2. Batches are dense: index 1, 2, 3 …, the first begins at height 1, each begins after the last height of the one
   before. `previous` is the hash of the batch before; the first has the chain id there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, unique

from consensus import bls
from consensus.encoding import Reader, bitmap, u8, u16, u64
from consensus.errors import DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_EPOCH, ZERO_HASH, BlockId, Epoch, Hash, Height, ValidatorIndex
from consensus.signing import Domain, Kind

INBOX_ADDRESS_BYTES = 20
FIRST_INDEX = 1
U256_BYTES = 32


@unique
class DataKind(IntEnum):
    """Where a batch's payload is. Numbers are part of the format."""

    HELD = 0  # with more than 2/3 of the stake; only its hash is on the L1
    CALLDATA = 1  # on the L1, in the commit itself
    # 2 is kept for blobs


@dataclass(frozen=True, slots=True)
class L1Batch:
    """What a commit says. `block_id` and the roots are those after height `last`; `data_hash` = SHA-256(payload)."""

    l1_chain_id: int  # u256
    inbox: bytes  # 20-byte address
    index: int  # u64
    first: Height
    last: Height
    previous: Hash
    data_kind: DataKind
    data_hash: Hash
    block_id: BlockId
    namespaces_root: Hash
    state_root: Hash = ZERO_HASH
    aux_root: Hash = ZERO_HASH
    forced_cursor: int = 0  # u64

    def encode(self) -> bytes:
        """The fields in order, 277 bytes."""
        return (
            self.l1_chain_id.to_bytes(U256_BYTES, "big")
            + self.inbox
            + u64(self.index)
            + u64(self.first)
            + u64(self.last)
            + self.previous
            + u8(self.data_kind)
            + self.data_hash
            + self.block_id
            + self.namespaces_root
            + self.state_root
            + self.aux_root
            + u64(self.forced_cursor)
        )

    @staticmethod
    def decode(reader: Reader) -> "L1Batch":
        """The inverse of `encode`. Raises `DecodeError`, also for heights out of order."""
        batch = L1Batch(
            int.from_bytes(reader.fixed(U256_BYTES), "big"),
            reader.fixed(INBOX_ADDRESS_BYTES),
            reader.u64(),
            Height(reader.u64()),
            Height(reader.u64()),
            Hash(reader.fixed(32)),
            _read_data_kind(reader),
            Hash(reader.fixed(32)),
            BlockId(reader.fixed(32)),
            Hash(reader.fixed(32)),
            Hash(reader.fixed(32)),
            Hash(reader.fixed(32)),
            reader.u64(),
        )
        if batch.index < FIRST_INDEX or not 1 <= batch.first <= batch.last:
            raise DecodeError("a batch has an index from 1 on and heights from 1 on, the first not above the last")
        return batch

    def hash(self, domain: Domain) -> Hash:
        """What the next batch names as `previous`."""
        return domain.hash_unsigned(Kind.L1_BATCH, self.encode())

    def signing_digest(self, domain: Domain, epoch: Epoch = GENESIS_EPOCH) -> Hash:
        """What validators sign with BLS."""
        return domain.digest(Kind.BATCH_CERTIFICATE, epoch, self.encode())

    def with_data(self, data_kind: DataKind, data_hash: Hash) -> "L1Batch":
        """The same range with its payload elsewhere."""
        return replace(self, data_kind=data_kind, data_hash=data_hash)


def _read_data_kind(reader: Reader) -> DataKind:
    number = reader.u8()
    if number not in set(DataKind):
        raise DecodeError(f"unknown data kind {number}")
    return DataKind(number)


@dataclass(frozen=True, slots=True)
class BatchShare:
    """One validator's signature on a batch."""

    batch: L1Batch
    validator: ValidatorIndex
    signature: bytes  # 96 bytes, BLS

    def encode(self) -> bytes:
        """batch ‖ validator ‖ signature."""
        return self.batch.encode() + u16(self.validator) + self.signature

    @staticmethod
    def decode(reader: Reader) -> "BatchShare":
        """The inverse of `encode`."""
        return BatchShare(L1Batch.decode(reader), ValidatorIndex(reader.u16()), reader.fixed(bls.SIGNATURE_BYTES))

    def check(self, chain: Genesis) -> None:
        """Raises `InvalidObject` unless the validator signed it. About 2.4 ms; releases the GIL."""
        if self.validator >= chain.validator_set.count:
            raise InvalidObject("unknown_validator")
        key = chain.validator_set.bls_public_keys[self.validator]
        if not bls.is_signature(key, self.batch.signing_digest(chain.domain), self.signature):
            raise InvalidObject("bad_signature")


@dataclass(frozen=True, slots=True)
class BatchCertificate:
    """A batch with the aggregate signature of `signers` (rising): what the Inbox checks."""

    batch: L1Batch
    signers: tuple[ValidatorIndex, ...]
    signature: bytes  # 96 bytes, aggregate
    count: int

    def encode(self) -> bytes:
        """batch ‖ bitmap ‖ signature."""
        return self.batch.encode() + bitmap(self.signers, self.count) + self.signature

    @staticmethod
    def decode(reader: Reader, count: int) -> "BatchCertificate":
        """Reads a certificate over a set of `count` validators."""
        batch = L1Batch.decode(reader)
        signers = tuple(ValidatorIndex(index) for index in reader.bitmap(count))
        return BatchCertificate(batch, signers, reader.fixed(bls.SIGNATURE_BYTES), count)

    def check(self, chain: Genesis) -> None:
        """Raises `InvalidObject` unless a quorum of this chain's validators signed it."""
        validators = chain.validator_set
        if self.count != validators.count:
            raise InvalidObject("wrong_epoch")
        if not validators.is_quorum(self.signers):
            raise InvalidObject("no_quorum")
        keys = [validators.bls_public_keys[signer] for signer in self.signers]
        if not bls.is_aggregate_signature(keys, self.batch.signing_digest(chain.domain), self.signature):
            raise InvalidObject("bad_signature")


def make_batch_certificate(batch: L1Batch, shares: Mapping[ValidatorIndex, bytes], count: int) -> BatchCertificate:
    """The certificate of checked shares of one batch, by validator."""
    signers = tuple(sorted(shares))
    return BatchCertificate(batch, signers, bls.aggregate([shares[signer] for signer in signers]), count)
