"""The consensus chain on disk: tips, the certificates of blocks, what is committed, and the proof of each commit.

Makes puts and loads; it does not write. Tips are forgotten by id and on request: those that lost, and pruned ones.

Invariants, kept by a caller that writes the puts of a commit in one synced write, in order of height:
1. A committed height has one block id, and that id has that height.
2. Committed heights have no gaps above the prunable height. At and below it tips may be missing, and after a start from
   a checkpoint everything; commits and their proofs are not pruned.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import (
    CHAIN_HEIGHT,
    CHAIN_ID_HEIGHT,
    CHAIN_PROOF,
    CHAIN_QC,
    CHAIN_TIP,
    PRUNABLE,
    PRUNED,
    U32,
    Puts,
    checked_id,
    decode_height_key,
    decode_u64,
    encode_u64,
    height_key,
    id_key,
)


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed height and its 32-byte block id."""

    height: int
    block_id: bytes


@dataclass(frozen=True, slots=True)
class CommitProof:
    """The two encoded QCs that commit a block: of the block's own line, then of the fresh child in the next view."""

    first_qc: bytes
    second_qc: bytes


class ChainStore:
    """Tips and commits in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def tip_puts(block_id: bytes, tip: bytes) -> Puts:
        """Keep an encoded tip by its block id."""
        return [(id_key(CHAIN_TIP, block_id), tip)]

    @staticmethod
    def tip_deletes(block_ids: Iterable[bytes]) -> list[bytes]:
        """Forget tips that lost or are pruned, and the QCs of their blocks. Never call it with an id above those."""
        return [id_key(prefix, block_id) for block_id in block_ids for prefix in (CHAIN_TIP, CHAIN_QC)]

    @staticmethod
    def qc_puts(block_id: bytes, qc: bytes) -> Puts:
        """Keep an encoded QC that certifies a block; a later one for the same block replaces it."""
        return [(id_key(CHAIN_QC, block_id), qc)]

    @staticmethod
    def commit_puts(height: int, block_id: bytes) -> Puts:
        """Commit a block id at a height."""
        return [
            (height_key(CHAIN_HEIGHT, height), checked_id(block_id)),
            (id_key(CHAIN_ID_HEIGHT, block_id), encode_u64(height)),
        ]

    @staticmethod
    def commit_proof_puts(height: int, proof: CommitProof) -> Puts:
        """Keep what proves the commit of a height to a light client."""
        value = U32.pack(len(proof.first_qc)) + proof.first_qc + proof.second_qc
        return [(height_key(CHAIN_PROOF, height), value)]

    @staticmethod
    def prunable_puts(height: int) -> Puts:
        """Note, synced and before anything goes, that tips and batches up to a height may be missing."""
        return [(PRUNABLE, encode_u64(height))]

    @staticmethod
    def pruned_puts(height: int) -> Puts:
        """Note that the tips up to a height are gone; belongs in the write that takes the last of them away."""
        return [(PRUNED, encode_u64(height))]

    def load_prunable_height(self) -> int:
        """At and below it tips and batches may be missing; 0 if nothing is."""
        return decode_u64(self._database.get(PRUNABLE) or bytes(8))

    def load_pruned_height(self) -> int:
        """At and below it tips are gone; 0 if none are."""
        return decode_u64(self._database.get(PRUNED) or bytes(8))

    def load_tip(self, block_id: bytes) -> bytes | None:
        """The encoded tip, or None."""
        return self._database.get(id_key(CHAIN_TIP, block_id))

    def contains_tip(self, block_id: bytes) -> bool:
        """Whether the tip is stored."""
        return self.load_tip(block_id) is not None

    def load_qc(self, block_id: bytes) -> bytes | None:
        """The encoded QC that certifies the block, or None."""
        return self._database.get(id_key(CHAIN_QC, block_id))

    def load_committed_id(self, height: int) -> bytes | None:
        """The block id committed at a height, or None."""
        return self._database.get(height_key(CHAIN_HEIGHT, height))

    def load_committed_height(self, block_id: bytes) -> int | None:
        """The height at which a block was committed, or None if it is not."""
        value = self._database.get(id_key(CHAIN_ID_HEIGHT, block_id))
        return None if value is None else decode_u64(value)

    def load_last_committed(self) -> Committed | None:
        """The highest commit, or None before the first."""
        pairs = self._database.iterate(CHAIN_HEIGHT, reverse=True, limit=1)
        return _committed(*pairs[0]) if pairs else None

    def list_from(self, from_height: int, limit: int) -> list[Committed]:
        """At most `limit` commits with height ≥ from_height, upwards, below a checkpoint perhaps with gaps."""
        pairs = self._database.iterate(CHAIN_HEIGHT, start=encode_u64(from_height), limit=limit)
        return [_committed(key, value) for key, value in pairs]

    def list_committed(self, from_height: int, limit: int) -> list[Committed]:
        """Like `list_from`; raises StorageFault at a gap."""
        commits = self.list_from(from_height, limit)
        for before, after in pairwise(commits):
            if after.height != before.height + 1:
                raise StorageFault(f"no block is committed at height {before.height + 1}: the database is damaged")
        return commits

    def load_commit_proof(self, height: int) -> CommitProof | None:
        """The two QCs that commit the block of a height, or None."""
        value = self._database.get(height_key(CHAIN_PROOF, height))
        if value is None:
            return None
        if len(value) < U32.size or (length := U32.unpack_from(value)[0]) > len(value) - U32.size:
            raise StorageFault(f"the commit proof of height {height} is unreadable: the database is damaged")
        split = U32.size + length
        return CommitProof(value[U32.size : split], value[split:])


def _committed(key: bytes, block_id: bytes) -> Committed:
    return Committed(decode_height_key(key), block_id)
