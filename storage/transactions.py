"""The index from a transaction's hash to its places: in its author's lane once sealed, in its namespace once final.

A repeat is not removed by the network, so one hash can have many places. A place of each kind is a key of its own, the
hash first: writing needs no reading, and a look-up is one short scan. About 1.5 µs of work per transaction besides
LevelDB's compaction; write a block's puts in portions of `PUTS_PER_WRITE`, in a thread.

Makes puts and loads; it does not write. Invariants:
1. Final places of one hash come in chain order, the first one first; sealed places in lane order.
2. A look-up reads a bounded number of keys however often a transaction was repeated.
3. `indexed_puts(height)` belongs in a synced write after all synced writes of that height: then nothing at or below
   `load_indexed_height` is missing, also after a power cut.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import (
    TRANSACTION_FINAL,
    TRANSACTION_SEALED,
    TRANSACTIONS_INDEXED,
    U32,
    Puts,
    checked_id,
    decode_final_key,
    decode_sealed_key,
    decode_u64,
    encode_u64,
    final_suffix,
    sealed_suffix,
    transaction_prefix,
)

POSITIONS_MAX = 16  # places told of one hash
COUNT_MAX = 1_024  # places counted of one hash; a count that reaches it means "at least"

_FINAL_VALUE = struct.Struct(">QHQBI")
_FINAL_VALUE_HEAD = struct.Struct(">QHQB")


@dataclass(frozen=True, slots=True)
class LaneRun:
    """Consecutive transactions of one segment of a batch, from place `first_index` in the segment on."""

    lane: int
    seq: int
    namespace: int
    kind: int
    first_index: int


@dataclass(frozen=True, slots=True)
class SealedPlace:
    """Where a transaction stands in its author's lane."""

    lane: int
    seq: int
    namespace: int
    kind: int
    index: int


@dataclass(frozen=True, slots=True)
class FinalPlace:
    """Where a transaction stands in its namespace's chain of blocks, and where it came from."""

    namespace: int
    namespace_index: int
    position: int
    sealed: SealedPlace


@dataclass(frozen=True, slots=True)
class TransactionPlaces:
    """What is known of a hash: the first POSITIONS_MAX places of each kind; how many there are, up to COUNT_MAX."""

    final: tuple[FinalPlace, ...]
    final_count: int
    sealed: tuple[SealedPlace, ...]
    sealed_count: int


class TransactionStore:
    """The index of transactions in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def sealed_puts(run: LaneRun, hashes: Iterable[bytes]) -> Puts:
        """Places in the own lane, for hashes in the order of the segment."""
        head = sealed_suffix(run.lane, run.seq, run.namespace, run.kind, run.first_index)[: -U32.size]
        pack = U32.pack
        return [
            (TRANSACTION_SEALED + checked_id(transaction_hash) + head + pack(index), b"")
            for index, transaction_hash in enumerate(hashes, run.first_index)
        ]

    @staticmethod
    def final_puts(run: LaneRun, namespace_index: int, first_position: int, hashes: Iterable[bytes]) -> Puts:
        """Places in a namespace block from `first_position` on, for hashes in the order of the block."""
        key_head = final_suffix(namespace_index, first_position)[: -U32.size]
        value_head = _FINAL_VALUE_HEAD.pack(run.namespace, run.lane, run.seq, run.kind)
        pack = U32.pack
        index_of_position = run.first_index - first_position
        return [
            (
                TRANSACTION_FINAL + checked_id(transaction_hash) + key_head + pack(position),
                value_head + pack(position + index_of_position),
            )
            for position, transaction_hash in enumerate(hashes, first_position)
        ]

    @staticmethod
    def indexed_puts(height: int) -> Puts:
        """Note that every final transaction at or below a height is indexed."""
        return [(TRANSACTIONS_INDEXED, encode_u64(height))]

    def load_indexed_height(self) -> int | None:
        """The height up to which final transactions are indexed, or None."""
        value = self._database.get(TRANSACTIONS_INDEXED)
        return None if value is None else decode_u64(value)

    def load_places(self, transaction_hash: bytes) -> TransactionPlaces | None:
        """What is known of a hash, or None; reads at most 2 × COUNT_MAX keys. Raises StorageFault if unreadable."""
        final = self._database.iterate(transaction_prefix(TRANSACTION_FINAL, transaction_hash), limit=COUNT_MAX)
        sealed = self._database.iterate(transaction_prefix(TRANSACTION_SEALED, transaction_hash), limit=COUNT_MAX)
        if not final and not sealed:
            return None
        try:
            return TransactionPlaces(
                tuple(_final_place(key, value) for key, value in final[:POSITIONS_MAX]),
                len(final),
                tuple(SealedPlace(*decode_sealed_key(key)) for key, _ in sealed[:POSITIONS_MAX]),
                len(sealed),
            )
        except struct.error:
            raise StorageFault(
                f"the index of transaction {transaction_hash.hex()} is unreadable: the database is damaged"
            ) from None


def _final_place(key: bytes, value: bytes) -> FinalPlace:
    namespace, lane, seq, kind, index = _FINAL_VALUE.unpack(value)
    namespace_index, position = decode_final_key(key)
    return FinalPlace(namespace, namespace_index, position, SealedPlace(lane, seq, namespace, kind, index))
