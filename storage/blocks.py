"""What execution made of the committed chain: executed blocks, namespace blocks, the state after them, attestations.

Makes puts and loads; it does not write. Invariants, kept by a caller that writes all puts of one executed height (or
of a run of heights) in one synced write:
1. The execution state is that after the highest executed block, and there is only the newest.
2. Namespace blocks are dense by index; each is found by its index and by its height.
3. An own attestation is on disk before it is sent, so a restarted node re-sends it and never signs another.
"""

from dataclasses import dataclass

from storage.database import Database
from storage.errors import StorageFault
from storage.keyspace import (
    CERTIFICATE,
    CHECKPOINT,
    EXECUTED_BLOCK,
    EXECUTION_STATE,
    LEAVES_RECORD,
    NAMESPACE_BLOCK,
    NAMESPACE_HEIGHT,
    OWN_ATTESTATION,
    U32,
    U64,
    Puts,
    decode_height_key,
    decode_namespace_key,
    decode_u64,
    encode_u64,
    height_key,
    namespace_key,
)


@dataclass(frozen=True, slots=True)
class ExecutionState:
    """The encoded state of execution after the block of `height`."""

    height: int
    state: bytes


@dataclass(frozen=True, slots=True)
class HeightRecord:
    """An encoded record that belongs to a height."""

    height: int
    record: bytes


class BlockStore:
    """Executed blocks and attestations in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def executed_block_puts(height: int, block: bytes) -> Puts:
        """Keep the encoded executed block of a height."""
        return [(height_key(EXECUTED_BLOCK, height), block)]

    @staticmethod
    def namespace_block_puts(namespace: int, index: int, height: int, block: bytes) -> Puts:
        """Keep an encoded namespace block by its index, and its index by its height."""
        return [
            (namespace_key(NAMESPACE_BLOCK, namespace, index), block),
            (namespace_key(NAMESPACE_HEIGHT, namespace, height), encode_u64(index)),
        ]

    @staticmethod
    def state_puts(state: ExecutionState) -> Puts:
        """Replace the execution state; belongs in the same write as the executed block of its height."""
        return [(EXECUTION_STATE, encode_u64(state.height) + state.state)]

    @staticmethod
    def certificate_puts(height: int, certificate: bytes) -> Puts:
        """Keep the encoded attestation certificate of a height."""
        return [(height_key(CERTIFICATE, height), certificate)]

    @staticmethod
    def leaves_record_puts(height: int, record: bytes) -> Puts:
        """Keep what the paths of an attested height are made of; same write as the executed block that made it due."""
        return [(height_key(LEAVES_RECORD, height), record)]

    @staticmethod
    def checkpoint_puts(certificate: bytes, state: bytes) -> Puts:
        """Replace the newest checkpoint: the encoded state after an attested height, and its encoded certificate."""
        return [(CHECKPOINT, U32.pack(len(certificate)) + certificate + state)]

    @staticmethod
    def own_attestation_puts(height: int, attestation: bytes) -> Puts:
        """Keep this validator's own signed attestation of a height; must be synced before it is sent."""
        return [(height_key(OWN_ATTESTATION, height), attestation)]

    def load_executed_block(self, height: int) -> bytes | None:
        """The encoded executed block, or None."""
        return self._database.get(height_key(EXECUTED_BLOCK, height))

    def load_namespace_block(self, namespace: int, index: int) -> bytes | None:
        """The encoded namespace block, or None."""
        return self._database.get(namespace_key(NAMESPACE_BLOCK, namespace, index))

    def list_namespace_blocks(self, namespace: int, from_index: int, limit: int) -> list[bytes]:
        """At most `limit` encoded namespace blocks from an index on, upwards. Raises StorageFault at a gap."""
        start = encode_u64(from_index)
        pairs = self._database.iterate(NAMESPACE_BLOCK + encode_u64(namespace), start=start, limit=limit)
        for expected, (key, _) in enumerate(pairs, from_index):
            if decode_namespace_key(key)[1] != expected:
                raise StorageFault(f"namespace {namespace} has no block {expected}: the database is damaged")
        return [block for _, block in pairs]

    def list_namespace_heights(self, namespace: int, from_height: int, to_height: int, limit: int) -> list[int]:
        """At most `limit` heights from `from_height` to `to_height`, rising, at which the namespace has a block."""
        start, stop = encode_u64(from_height), encode_u64(to_height) + b"\x00"
        pairs = self._database.iterate(NAMESPACE_HEIGHT + encode_u64(namespace), start=start, stop=stop, limit=limit)
        return [decode_namespace_key(key)[1] for key, _ in pairs]

    def load_namespace_index(self, namespace: int, height: int) -> int | None:
        """The index of the namespace block made at exactly this height, or None if the namespace had no data there."""
        value = self._database.get(namespace_key(NAMESPACE_HEIGHT, namespace, height))
        return None if value is None else decode_u64(value)

    def load_newest_namespace_index(self, namespace: int, height: int) -> int | None:
        """The index of the namespace's newest block at or below a height, or None if it had none yet."""
        stop = encode_u64(height) + b"\x00"
        prefix = NAMESPACE_HEIGHT + encode_u64(namespace)
        pairs = self._database.iterate(prefix, stop=stop, reverse=True, limit=1)
        return decode_u64(pairs[0][1]) if pairs else None

    def load_state(self) -> ExecutionState | None:
        """The newest execution state, or None before the first block. Raises StorageFault if it is unreadable."""
        value = self._database.get(EXECUTION_STATE)
        if value is None:
            return None
        if len(value) < U64.size:
            raise StorageFault("the execution state is unreadable: the database is damaged")
        return ExecutionState(decode_u64(value[: U64.size]), value[U64.size :])

    def load_checkpoint(self) -> tuple[bytes, bytes] | None:
        """The newest checkpoint's certificate and state, or None before the first. Raises StorageFault."""
        value = self._database.get(CHECKPOINT)
        if value is None:
            return None
        if len(value) < U32.size or (length := U32.unpack_from(value)[0]) > len(value) - U32.size:
            raise StorageFault("the newest checkpoint is unreadable: the database is damaged")
        return value[U32.size : U32.size + length], value[U32.size + length :]

    def load_certificate(self, height: int) -> bytes | None:
        """The encoded attestation certificate of exactly this height, or None: not every height is attested."""
        return self._database.get(height_key(CERTIFICATE, height))

    def load_certificate_at_or_after(self, height: int) -> HeightRecord | None:
        """The certificate of the lowest attested height ≥ height, which covers it too; None if there is none yet."""
        pairs = self._database.iterate(CERTIFICATE, start=encode_u64(height), limit=1)
        return HeightRecord(decode_height_key(pairs[0][0]), pairs[0][1]) if pairs else None

    def load_newest_certificate(self) -> HeightRecord | None:
        """The certificate of the highest attested height, or None."""
        pairs = self._database.iterate(CERTIFICATE, reverse=True, limit=1)
        return HeightRecord(decode_height_key(pairs[0][0]), pairs[0][1]) if pairs else None

    def load_leaves_record(self, height: int) -> bytes | None:
        """The record of namespace leaves of exactly this attested height, or None."""
        return self._database.get(height_key(LEAVES_RECORD, height))

    def load_own_attestation(self, height: int) -> bytes | None:
        """This validator's own attestation of a height, or None."""
        return self._database.get(height_key(OWN_ATTESTATION, height))

    def list_own_attestations(self, from_height: int, limit: int) -> list[HeightRecord]:
        """At most `limit` own attestations from a height on, upwards: what is re-sent until certified."""
        pairs = self._database.iterate(OWN_ATTESTATION, start=encode_u64(from_height), limit=limit)
        return [HeightRecord(decode_height_key(key), record) for key, record in pairs]
