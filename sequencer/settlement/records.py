"""What is kept of batches on the L1, and of own attempts to put them there.

Responsible for: the types and their one encoding on disk, and the words for a batch's way.
Refuses to do: decide anything (`poster.py`), or know the disk's keys (`storage/settlement.py`).

Invariants:
1. An attempt holds the signed transaction: what is sent again after a crash is these bytes.
"""

from dataclasses import dataclass, replace
from enum import StrEnum, unique

from consensus.encoding import Reader, u8, u32, u64, variable
from consensus.errors import DecodeError
from consensus.numbers import Hash, Height, Milliseconds
from consensus.vocabulary.l1_batch import INBOX_ADDRESS_BYTES, BatchCertificate, DataKind, L1Batch
from consensus.vocabulary.report import read_time

RECORD_VERSION = 1
TRANSACTION_BYTES_MAX = 256 * 1024


@unique
class BatchState(StrEnum):
    """The way of a batch through its poster, and how it can end beside it."""

    OPEN = "open"  # blocks with data are waiting
    SEALED = "sealed"  # the range is chosen
    CERTIFYING = "certifying"  # shares are being asked for
    CERTIFIED = "certified"
    INTENT = "intent"  # the signed transaction is on disk
    SENT = "sent"
    MINED = "mined"  # the transaction is in a block; its event has not been seen yet
    CONFIRMED = "confirmed"  # our event stands in the L1's log
    FINALIZED = "finalized"
    LOST_RACE = "lost_race"  # somebody else committed this index
    REVERTED = "reverted"  # the contract refused it, and nobody else committed this index
    PARKED = "parked"  # another transaction used its nonce, or it waits for money
    HALTED = "halted"  # refused twice: an operator has to look


_STATES = tuple(BatchState)
OPEN_ATTEMPTS = frozenset({BatchState.INTENT, BatchState.SENT, BatchState.MINED, BatchState.CONFIRMED})


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch in an L1 block. `byte_count`: of its data on the L1; 0 if it is held."""

    certificate: BatchCertificate
    hash: Hash
    poster: bytes  # 20-byte address
    transaction: bytes  # 32-byte hash
    block_number: int
    block_hash: bytes
    byte_count: int

    @property
    def batch(self) -> L1Batch:
        """What was committed."""
        return self.certificate.batch

    def encode(self) -> bytes:
        """version ‖ the fields in order."""
        return (
            u8(RECORD_VERSION)
            + self.certificate.encode()
            + self.hash
            + self.poster
            + self.transaction
            + u64(self.block_number)
            + self.block_hash
            + u32(self.byte_count)
        )

    @staticmethod
    def decode(reader: Reader, count: int) -> "BatchRecord":
        """The inverse of `encode`, over a set of `count` validators."""
        if reader.u8() != RECORD_VERSION:
            raise DecodeError("unknown batch record version")
        return BatchRecord(
            BatchCertificate.decode(reader, count),
            Hash(reader.fixed(32)),
            reader.fixed(INBOX_ADDRESS_BYTES),
            reader.fixed(32),
            reader.u64(),
            reader.fixed(32),
            reader.u32(),
        )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signed transaction that commits a batch."""

    nonce: int  # u64
    index: int
    first: Height
    last: Height
    data_kind: DataKind
    batch_hash: Hash
    transaction: bytes  # 32-byte hash
    raw: bytes
    created_ms: Milliseconds
    state: BatchState

    @property
    def is_open(self) -> bool:
        """Whether its fate is not settled."""
        return self.state in OPEN_ATTEMPTS

    def become(self, state: BatchState) -> "Attempt":
        """The same with a new fate."""
        return replace(self, state=state)

    def encode(self) -> bytes:
        """version ‖ the fields in order."""
        return (
            u8(RECORD_VERSION)
            + u64(self.nonce)
            + u64(self.index)
            + u64(self.first)
            + u64(self.last)
            + u8(self.data_kind)
            + self.batch_hash
            + self.transaction
            + variable(self.raw)
            + u64(self.created_ms)
            + u8(_STATES.index(self.state))
        )

    @staticmethod
    def decode(reader: Reader) -> "Attempt":
        """The inverse of `encode`."""
        if reader.u8() != RECORD_VERSION:
            raise DecodeError("unknown attempt version")
        return Attempt(
            reader.u64(),
            reader.u64(),
            Height(reader.u64()),
            Height(reader.u64()),
            _read_data_kind(reader),
            Hash(reader.fixed(32)),
            reader.fixed(32),
            reader.variable(TRANSACTION_BYTES_MAX),
            read_time(reader),
            _read_state(reader),
        )


def _read_data_kind(reader: Reader) -> DataKind:
    number = reader.u8()
    if number not in set(DataKind):
        raise DecodeError(f"unknown data kind {number}")
    return DataKind(number)


def _read_state(reader: Reader) -> BatchState:
    number = reader.u8()
    if number >= len(_STATES):
        raise DecodeError(f"unknown state {number}")
    return _STATES[number]
