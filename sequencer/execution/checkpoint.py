"""A checkpoint: all that a node needs in order to start at an attested height instead of at block 0.

Responsible for: the type, its encoding, and its verification against the genesis alone.
Refuses to do: fetch, store or choose one (`sequencer/node/checkpoints.py`).

Invariants:
1. A checked checkpoint is the chain's: more than two thirds of the stake attested block id, namespaces and order, and
   the two certificates commit the block. Nothing in it is believed because somebody sent it ▲.
2. `state.progress` is a new one: how leaves records were spaced on the sender's disk is nobody else's matter.
"""

from dataclasses import dataclass, replace

from consensus import limits
from consensus.encoding import Reader, decode_whole, u8, u32
from consensus.errors import DecodeError, InvalidObject
from consensus.genesis import Genesis
from consensus.validity import Validity
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.tip import Tip
from sequencer.execution.namespaces import RecordProgress
from sequencer.execution.state import ExecutionState

CHECKPOINT_VERSION = 1
STATE_BYTES_MAX = 64 * limits.NAMESPACES_MAX + 64 * limits.VALIDATORS_MAX + 1_024  # 48 B a namespace, 40 + 10 a lane


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state after an attested height, its tip, and what proves both."""

    certificate: AttestationCertificate
    tip: Tip
    qc: QC  # certifies the tip
    child_qc: QC  # certifies a child of it in the next view, and so commits it
    state: ExecutionState

    def encode(self) -> bytes:
        """version ‖ certificate ‖ length u32 ‖ tip ‖ QC ‖ QC of the child ‖ length u32 ‖ state."""
        state = replace(self.state, progress=RecordProgress()).encode()
        return b"".join(
            (
                u8(CHECKPOINT_VERSION),
                self.certificate.encode(),
                u32(len(self.tip.encoded)) + self.tip.encoded,
                self.qc.encoded,
                self.child_qc.encoded,
                u32(len(state)) + state,
            )
        )

    @staticmethod
    def decode(data: bytes, chain: Genesis) -> "Checkpoint":
        """The inverse of `encode`. Raises `DecodeError`. Says nothing about who made it: see `check`."""
        return decode_whole(data, lambda reader: _read(reader, chain))

    def check(self, chain: Genesis) -> None:
        """Raises `InvalidObject` unless it is this chain's. Verifies some hundred signatures in a large committee."""
        attested, state, tip = self.certificate.attestation, self.state, self.tip
        _require(attested.height == state.height and attested.block_id == state.block_id, "other_block")
        _require(attested.namespaces_root == state.namespaces.root, "other_namespaces")
        _require(attested.aux_root == state.order_root(chain.domain), "other_order")
        _require(len(state.effective.cut) == chain.validator_set.count, "other_order")
        _require(tip.id == state.block_id and tip.header.height == state.height, "other_tip")
        _require(tip.header.ts_ms == state.ts_ms and state.height > 0, "other_tip")
        self.certificate.check(chain)
        validity = Validity(chain)
        validity.check_tip(tip)
        validity.check_qc(self.qc)
        validity.check_qc(self.child_qc)
        first, second = self.qc.body, self.child_qc.body
        _require(first.block_id == tip.id, "not_committed")
        _require(second.view == first.view + 1 and second.justify_view == first.view, "not_committed")
        _require(second.height == first.height + 1, "not_committed")


def checkpoint_bytes_max(chain: Genesis) -> int:
    """No checkpoint of this chain is longer."""
    return chain.tip_bytes_max + STATE_BYTES_MAX + 64 * 1024


def _read(reader: Reader, chain: Genesis) -> Checkpoint:
    count = chain.validator_set.count
    if reader.u8() != CHECKPOINT_VERSION:
        raise DecodeError("unknown version of a checkpoint")
    certificate = AttestationCertificate.decode(reader, count)
    tip = decode_whole(reader.variable(chain.tip_bytes_max), lambda inner: Tip.decode(inner, count))
    qc, child_qc = QC.decode(reader, count), QC.decode(reader, count)
    state = ExecutionState.decode(reader.variable(STATE_BYTES_MAX))
    if state.progress != RecordProgress():
        raise DecodeError("a checkpoint's state has no records behind it")
    return Checkpoint(certificate, tip, qc, child_qc, state)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise InvalidObject(reason)
