"""What execution makes of one committed block, as it is stored.

Responsible for: the types and their one encoding.
Refuses to do: make them (`execute.py`), or hold a transaction's bytes: a run says where in which batch they stand.

Invariants:
1. Namespaces are sorted by id; the runs of each are in block order, and `first_position` counts the items before a run
   in its namespace block, so a transaction's position is `first_position` + its place in the run.
2. At most one attestation is due per executed block: of this height, or of its parent's (`attested.py`).
"""

from dataclasses import dataclass

from consensus import limits
from consensus.encoding import Reader, decode_whole, optional, sequence, u16, u32, u64
from consensus.numbers import BlockId, Digest, Hash, Height, Milliseconds, Seq, ValidatorIndex, View
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.attestation import Attestation
from consensus.vocabulary.block import NamespaceBlock
from consensus.vocabulary.report import read_time

# every validator's lane grows by at most one report's length per reporter
_RUNS_MAX = limits.VALIDATORS_MAX**2 * limits.LANE_REPORT_BATCHES_CEILING


@dataclass(frozen=True, slots=True)
class Run:
    """One segment of open transactions in a namespace block, and where its bytes are: `offset` in the batch's bytes."""

    lane: ValidatorIndex
    seq: Seq
    digest: Digest
    place: int  # u16: of the segment in its batch's header
    offset: int  # u32
    byte_count: int  # u32
    first_position: int  # u32
    item_count: int  # u32: as executed; 0 if the run is inert

    def encode(self) -> bytes:
        """60 bytes."""
        return (
            u16(self.lane)
            + u64(self.seq)
            + self.digest
            + u16(self.place)
            + u32(self.offset)
            + u32(self.byte_count)
            + u32(self.first_position)
            + u32(self.item_count)
        )

    @staticmethod
    def decode(reader: Reader) -> "Run":
        """The inverse of `encode`."""
        lane, seq, digest = ValidatorIndex(reader.u16()), Seq(reader.u64()), Digest(reader.fixed(32))
        return Run(lane, seq, digest, reader.u16(), reader.u32(), reader.u32(), reader.u32(), reader.u32())


@dataclass(frozen=True, slots=True)
class ExecutedNamespace:
    """A namespace block, its hash, and the runs of its open section."""

    block: NamespaceBlock
    hash: Hash
    runs: tuple[Run, ...]

    @property
    def item_count(self) -> int:
        """Transactions in all sections."""
        return sum(section.item_count for section in self.block.sections)

    @property
    def byte_count(self) -> int:
        """Bytes in all sections, framing and inert runs included."""
        return sum(section.byte_count for section in self.block.sections)

    def encode(self) -> bytes:
        """block ‖ hash ‖ runs."""
        return self.block.encode() + self.hash + sequence([run.encode() for run in self.runs])

    @staticmethod
    def decode(reader: Reader) -> "ExecutedNamespace":
        """The inverse of `encode`."""
        block = NamespaceBlock.decode(reader)
        return ExecutedNamespace(block, Hash(reader.fixed(32)), reader.sequence(_RUNS_MAX, Run.decode))


@dataclass(frozen=True, slots=True)
class ClosedLane:
    """A lane whose author forked it: from batch `seq` on nothing of it is executed."""

    lane: ValidatorIndex
    seq: Seq

    def encode(self) -> bytes:
        """10 bytes."""
        return u16(self.lane) + u64(self.seq)

    @staticmethod
    def decode(reader: Reader) -> "ClosedLane":
        """The inverse of `encode`."""
        return ClosedLane(ValidatorIndex(reader.u16()), Seq(reader.u64()))


@dataclass(frozen=True, slots=True)
class Dropped:
    """What the block orders and execution makes nothing of. Inert runs are in their namespace's block, as bytes."""

    closed_lane_batches: int = 0
    inert_runs: int = 0
    foreign_segments: int = 0  # of an unknown namespace, or of a kind that is not in use
    foreign_bytes: int = 0

    def encode(self) -> bytes:
        """Four u64."""
        counts = (self.closed_lane_batches, self.inert_runs, self.foreign_segments, self.foreign_bytes)
        return b"".join(u64(count) for count in counts)

    @staticmethod
    def decode(reader: Reader) -> "Dropped":
        """The inverse of `encode`."""
        return Dropped(reader.u64(), reader.u64(), reader.u64(), reader.u64())


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """One height after execution. `anchor` is the effective one; `attestation` is what became due."""

    height: Height
    block_id: BlockId
    parent_id: BlockId
    view: View
    ts_ms: Milliseconds
    anchor: Anchor
    namespaces_root: Hash
    namespaces: tuple[ExecutedNamespace, ...]
    closed_lanes: tuple[ClosedLane, ...]  # those that this block closed
    dropped: Dropped
    attestation: Attestation | None

    @property
    def is_empty(self) -> bool:
        """Whether no namespace got a block."""
        return not self.namespaces

    def encode(self) -> bytes:
        """The fields in order."""
        return b"".join(
            (
                u64(self.height),
                self.block_id,
                self.parent_id,
                u64(self.view),
                u64(self.ts_ms),
                self.anchor.encode(),
                self.namespaces_root,
                sequence([namespace.encode() for namespace in self.namespaces]),
                sequence([closed.encode() for closed in self.closed_lanes]),
                self.dropped.encode(),
                optional(self.attestation.encode() if self.attestation else None),
            )
        )

    @staticmethod
    def decode(data: bytes) -> "ExecutedBlock":
        """The inverse of `encode`. Raises `DecodeError`."""
        return decode_whole(data, _read_block)


def _read_block(reader: Reader) -> ExecutedBlock:
    return ExecutedBlock(
        Height(reader.u64()),
        BlockId(reader.fixed(32)),
        BlockId(reader.fixed(32)),
        View(reader.u64()),
        read_time(reader),
        Anchor.decode(reader),
        Hash(reader.fixed(32)),
        reader.sequence(limits.NAMESPACES_MAX, ExecutedNamespace.decode),
        reader.sequence(limits.VALIDATORS_MAX, ClosedLane.decode),
        Dropped.decode(reader),
        Attestation.decode(reader) if reader.flag() else None,
    )
