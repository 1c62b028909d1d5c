"""What must be on disk before anything signed leaves: the safety record, the tips voted for, the own lane's head.

Makes puts and loads; it does not write. The caller puts everything that a turn changed into one synced
`Database.write` and sends only after it has returned.

Invariants:
1. A loaded record is byte for byte one that was handed to `record_puts`; a damaged one is refused, never repaired.
2. Record and tips handed over together are loaded together (they are written in one atomic batch).
3. The own head is replaced, never removed: a restarted author knows the last seq it sealed.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import (
    ID_BYTES,
    OWN_HEAD,
    SAFETY_OWNER,
    SAFETY_RECORD,
    SAFETY_TIP,
    U32,
    U64,
    Puts,
    checked_id,
    encode_u64,
    id_key,
)

_TIPS_PER_PAGE = 256


@dataclass(frozen=True, slots=True)
class SafetyRecordBytes:
    """The encoded safety record and the encoded tips kept with it, by id."""

    record: bytes
    tips: dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class OwnHead:
    """The own lane's newest sealed batch: seq, 32-byte digest, encoded header."""

    seq: int
    digest: bytes
    header: bytes


class SafetyStore:
    """Safety records in a database: puts to merge into the turn's synced write, and the load at the start."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def record_puts(record: bytes, tips: Mapping[bytes, bytes]) -> Puts:
        """Replace the record and add tips (id → encoded tip); tips kept before stay until `tip_deletes`."""
        puts = [(id_key(SAFETY_TIP, tip_id), _seal(tip)) for tip_id, tip in tips.items()]
        puts.append((SAFETY_RECORD, _seal(record)))
        return puts

    @staticmethod
    def tip_deletes(tip_ids: Iterable[bytes]) -> list[bytes]:
        """Forget tips that have been executed."""
        return [id_key(SAFETY_TIP, tip_id) for tip_id in tip_ids]

    @staticmethod
    def own_head_puts(head: OwnHead) -> Puts:
        """Replace the own lane's head; must be synced before the batch or a receipt for it leaves."""
        return [(OWN_HEAD, _seal(encode_u64(head.seq) + checked_id(head.digest) + head.header))]

    @staticmethod
    def owner_puts(public_key: bytes) -> Puts:
        """Note whose record this is; belongs in the same write as the first record."""
        return [(SAFETY_OWNER, public_key)]

    def load_owner(self) -> bytes | None:
        """The node public key whose record this is, or None before the first record."""
        return self._database.get(SAFETY_OWNER)

    def load(self) -> SafetyRecordBytes | None:
        """The record and its tips, or None if none was ever stored. Raises StorageFault if any of it is damaged."""
        sealed = self._database.get(SAFETY_RECORD)
        tips = self._load_tips()
        if sealed is None:
            if tips:
                raise StorageFault("tips are kept for a safety record that is missing: the database is damaged")
            return None
        return SafetyRecordBytes(_unseal(sealed, "safety record"), tips)

    def load_own_head(self) -> OwnHead | None:
        """The own lane's head, or None if this node never sealed a batch. Raises StorageFault if it is damaged."""
        sealed = self._database.get(OWN_HEAD)
        if sealed is None:
            return None
        value = _unseal(sealed, "own lane head")
        if len(value) < U64.size + ID_BYTES:
            raise StorageFault("the own lane head is too short: the database is damaged")
        (seq,) = U64.unpack_from(value)
        return OwnHead(seq, value[U64.size : U64.size + ID_BYTES], value[U64.size + ID_BYTES :])

    def _load_tips(self) -> dict[bytes, bytes]:
        tips: dict[bytes, bytes] = {}
        start = b""
        while True:
            page = self._database.iterate(SAFETY_TIP, start=start, limit=_TIPS_PER_PAGE)
            for key, sealed in page:
                tips[key[len(SAFETY_TIP) :]] = _unseal(sealed, "tip in the safety record")
            if len(page) < _TIPS_PER_PAGE:
                return tips
            start = page[-1][0][len(SAFETY_TIP) :] + b"\x00"


def _seal(value: bytes) -> bytes:
    return U32.pack(zlib.crc32(value)) + value


def _unseal(sealed: bytes, name: str) -> bytes:
    value = sealed[U32.size :]
    if len(sealed) < U32.size or U32.unpack_from(sealed)[0] != zlib.crc32(value):
        raise StorageFault(
            f"the {name} fails its checksum: the database is damaged. Do not sign with these keys; "
            "restore the data directory as it was when the node last ran, or register new keys"
        )
    return value
