"""The state of execution after a height: all that the next height depends on.

Responsible for: the state, its start at block 0, and its one encoding (a snapshot).
Refuses to do: change: `execute.py` makes the next one.

Invariants:
1. Executing from a decoded snapshot gives the same bytes as executing on.
2. `block_id`, the heads' root and `order_root` bind all of it but `progress`, which decides only what is stored.
3. The last ordered digest of a lane is the effective cut's; a closed lane stays closed until the epoch ends.
"""

from dataclasses import dataclass

from consensus import limits
from consensus.encoding import Reader, decode_whole, sequence, u8, u64
from consensus.errors import DecodeError
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_HEIGHT, BlockId, Digest, Hash, Height, Milliseconds, Seq
from consensus.ordering.cut import LanePosition
from consensus.ordering.effective import Effective, effective_start
from consensus.signing import Domain, Kind
from consensus.vocabulary.anchor import Anchor
from consensus.vocabulary.certificates import genesis_qc
from consensus.vocabulary.report import read_time
from sequencer.execution.blocks import ClosedLane
from sequencer.execution.namespaces import NO_NAMESPACES, NamespaceHeads, RecordProgress

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class ExecutionState:
    """After the block `block_id` at `height`."""

    height: Height
    block_id: BlockId
    ts_ms: Milliseconds
    effective: Effective
    closed_lanes: tuple[ClosedLane, ...]  # sorted by lane
    namespaces: NamespaceHeads
    is_open: bool  # the block is non-empty and not attested (`attested.py`)
    progress: RecordProgress

    def encode(self) -> bytes:
        """version ‖ height ‖ block id ‖ time ‖ order ‖ heads ‖ progress."""
        return b"".join(
            (
                u8(STATE_VERSION),
                u64(self.height),
                self.block_id,
                u64(self.ts_ms),
                self._encode_order(),
                self.namespaces.encode(),
                self.progress.encode(),
            )
        )

    def _encode_order(self) -> bytes:
        return (
            sequence([u64(position.seq) + position.digest for position in self.effective.cut])
            + self.effective.anchor.encode()
            + sequence([closed.encode() for closed in self.closed_lanes])
            + u8(self.is_open)
        )

    def order_root(self, domain: Domain) -> Hash:
        """What an attestation carries as `aux_root`, for whoever starts from here; no header says it.

        It is the hash of how far every lane is ordered, the newest L1 anchor, which lanes are closed, and `is_open`.
        """
        return domain.hash_unsigned(Kind.ORDER_STATE, self._encode_order())

    @staticmethod
    def decode(data: bytes) -> "ExecutionState":
        """The inverse of `encode`. Raises `DecodeError`."""
        return decode_whole(data, _read_state)


def _read_state(reader: Reader) -> ExecutionState:
    if reader.u8() != STATE_VERSION:
        raise DecodeError("unknown version of the execution state")
    height, block_id, ts_ms = Height(reader.u64()), BlockId(reader.fixed(32)), read_time(reader)
    effective = Effective(reader.sequence(limits.VALIDATORS_MAX, _read_position), Anchor.decode(reader))
    closed_lanes, is_open = reader.sequence(limits.VALIDATORS_MAX, ClosedLane.decode), reader.flag()
    heads, progress = NamespaceHeads.decode(reader), RecordProgress.decode(reader)
    return ExecutionState(height, block_id, ts_ms, effective, closed_lanes, heads, is_open, progress)


def _read_position(reader: Reader) -> LanePosition:
    return LanePosition(Seq(reader.u64()), Digest(reader.fixed(32)))


def execution_start(chain: Genesis) -> ExecutionState:
    """The state at block 0."""
    genesis = genesis_qc(chain.chain_id, chain.time_ms, chain.validator_set.count).body
    return ExecutionState(
        GENESIS_HEIGHT,
        genesis.block_id,
        genesis.ts_ms,
        effective_start(chain.validator_set.count),
        (),
        NO_NAMESPACES,
        False,
        RecordProgress(),
    )
