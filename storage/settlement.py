"""What a node keeps of its L1: finalized batches, own shares of batches, and the log of own attempts to commit.

Makes puts and loads; it does not write. Invariants:
1. A batch is kept once its L1 block is final, together with the cursor, so that "kept up to the cursor" is always true
   and a reorganisation of the L1 changes nothing that is stored.
2. An own share is synced before it is sent.
3. An attempt is synced, with its signed transaction, before the transaction is sent: after a crash the same bytes are
   sent again, never others with the same nonce.
"""

from dataclasses import dataclass

from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import (
    BATCH_SHARE,
    ID_BYTES,
    L1_ATTEMPT,
    L1_BATCH,
    L1_BATCH_HEIGHT,
    L1_CURSOR,
    U64,
    Puts,
    checked_id,
    decode_height_key,
    decode_u64,
    encode_u64,
    height_key,
)


@dataclass(frozen=True, slots=True)
class L1Cursor:
    """A finalized L1 block: every batch up to it is kept."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """An encoded attempt and its nonce."""

    nonce: int
    record: bytes


class SettlementStore:
    """L1 records in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # batches

    @staticmethod
    def batch_puts(index: int, last_height: int, record: bytes) -> Puts:
        """Keep a finalized batch; belongs in one write with the cursor."""
        return [
            (height_key(L1_BATCH, index), record),
            (height_key(L1_BATCH_HEIGHT, last_height), encode_u64(index)),
        ]

    @staticmethod
    def cursor_puts(cursor: L1Cursor) -> Puts:
        """Every batch up to this finalized block is kept."""
        return [(L1_CURSOR, encode_u64(cursor.number) + checked_id(cursor.hash))]

    def load_cursor(self) -> L1Cursor | None:
        """The cursor, or None before the first. Raises StorageFault if it is unreadable."""
        value = self._database.get(L1_CURSOR)
        if value is None:
            return None
        if len(value) != U64.size + ID_BYTES:
            raise StorageFault("the L1 cursor is unreadable: the database is damaged")
        return L1Cursor(decode_u64(value[: U64.size]), value[U64.size :])

    def load_batch(self, index: int) -> bytes | None:
        """The record of a finalized batch, or None."""
        return self._database.get(height_key(L1_BATCH, index))

    def load_newest_batch(self) -> bytes | None:
        """The record of the newest finalized batch, or None."""
        pairs = self._database.iterate(L1_BATCH, reverse=True, limit=1)
        return pairs[0][1] if pairs else None

    def load_batch_covering(self, height: int) -> bytes | None:
        """The record of the finalized batch that holds a height, or None."""
        pairs = self._database.iterate(L1_BATCH_HEIGHT, start=encode_u64(height), limit=1)
        return self.load_batch(decode_u64(pairs[0][1])) if pairs else None

    # shares

    @staticmethod
    def share_puts(index: int, last_height: int, data_kind: int, share: bytes) -> Puts:
        """Keep an own signed share; must be synced before it is sent."""
        return [(BATCH_SHARE + encode_u64(index) + encode_u64(last_height) + bytes([data_kind]), share)]

    def list_shares(self, index: int, limit: int) -> list[bytes]:
        """At most `limit` own shares of one batch index."""
        return [share for _, share in self._database.iterate(BATCH_SHARE + encode_u64(index), limit=limit)]

    # attempts

    @staticmethod
    def attempt_puts(nonce: int, record: bytes) -> Puts:
        """Keep an attempt, or its new fate."""
        return [(height_key(L1_ATTEMPT, nonce), record)]

    def list_attempts(self, limit: int) -> list[AttemptRecord]:
        """At most `limit` attempts, the highest nonce first."""
        pairs = self._database.iterate(L1_ATTEMPT, reverse=True, limit=limit)
        return [AttemptRecord(decode_height_key(key), record) for key, record in pairs]
