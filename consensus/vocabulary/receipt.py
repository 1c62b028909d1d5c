"""A receipt: an author's signed promise of where a client's transactions stand in its lane.

Invariants:
1. One signature per request and batch: a receipt names all items of one request that went into one batch.
2. A receipt leaves only after its batch is synced; one that contradicts the author's own batch is evidence (E8).
"""

import itertools
import struct
from dataclasses import dataclass
from typing import NamedTuple

from consensus import limits
from consensus.encoding import Reader, u8, u16, u32, u64
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import Digest, Epoch, Hash, Milliseconds, NamespaceId, Seq, ValidatorIndex
from consensus.signing import SIGNATURE_BYTES, Kind, NodeKey, require_signature

RECEIPT_VERSION = 1
_ITEM = struct.Struct(">QB32sI")


class ReceiptItem(NamedTuple):
    """One transaction: `index` (u32) is its place within its namespace's segment of the batch."""

    namespace: NamespaceId
    kind: int
    hash: Hash
    index: int  # type: ignore[assignment]  # no need of the tuple's method

    def encode(self) -> bytes:
        """45 bytes."""
        return _ITEM.pack(*self)

    @staticmethod
    def decode(reader: Reader) -> "ReceiptItem":
        """The inverse of `encode`."""
        namespace, kind, tx_hash, index = _ITEM.unpack(reader.fixed(_ITEM.size))
        return ReceiptItem(NamespaceId(namespace), kind, Hash(tx_hash), index)


@dataclass(frozen=True, slots=True)
class Receipt:
    """The position (lane, seq, index) of each item."""

    chain_id: Hash
    epoch: Epoch
    lane: ValidatorIndex
    seq: Seq
    batch: Digest
    received_ms: Milliseconds
    items: tuple[ReceiptItem, ...]
    signature: bytes = b""

    def body(self) -> bytes:
        """The signed bytes: everything but the signature."""
        return (
            u8(RECEIPT_VERSION)
            + self.chain_id
            + u64(self.epoch)
            + u16(self.lane)
            + u64(self.seq)
            + self.batch
            + u64(self.received_ms)
            + u32(len(self.items))
            + b"".join(itertools.starmap(_ITEM.pack, self.items))
        )

    def encode(self) -> bytes:
        """body ‖ signature."""
        return self.body() + self.signature

    @staticmethod
    def decode(reader: Reader) -> "Receipt":
        """Reads a receipt; raises `DecodeError`."""
        if reader.u8() != RECEIPT_VERSION:
            raise DecodeError("unknown receipt version")
        return Receipt(
            Hash(reader.fixed(32)),
            Epoch(reader.u64()),
            ValidatorIndex(reader.u16()),
            Seq(reader.u64()),
            Digest(reader.fixed(32)),
            Milliseconds(reader.u64()),
            reader.sequence(limits.RECEIPT_ITEMS_MAX, ReceiptItem.decode),
            reader.fixed(SIGNATURE_BYTES),
        )

    def sign(self, chain: Genesis, key: NodeKey) -> "Receipt":
        """The same receipt with the author's signature."""
        signature = key.sign(chain.domain.digest(Kind.RECEIPT, self.epoch, self.body()))
        return Receipt(
            self.chain_id, self.epoch, self.lane, self.seq, self.batch, self.received_ms, self.items, signature
        )

    def check(self, chain: Genesis) -> None:
        """Raises `InvalidObject` unless the lane's author signed it for this chain."""
        if self.chain_id != chain.chain_id:
            raise DecodeError("a receipt of another chain")
        if self.lane >= chain.validator_set.count:
            raise DecodeError("a receipt of an unknown lane")
        digest = chain.domain.digest(Kind.RECEIPT, self.epoch, self.body())
        require_signature(chain.validator_set.node_public_key(self.lane), digest, self.signature)
