"""Checkpoints: keeping the newest one for whoever asks, and starting from one that an operator was given.

Responsible for: choosing which attested states are kept, reading a checkpoint file, and making a home begin there.
Refuses to do: believe one (`sequencer/execution/checkpoint.py` verifies), or fetch one: the operator does.

Invariants:
1. A checkpoint is installed with one synced write, before any core exists: a start finds all of it or nothing.
2. It is installed only if it is ahead of what is executed here. What was signed before stays: safety record, own lane
   and evidence are not touched ▲.
3. A home is refused if the checkpoint shows a vote, an attestation or batches of its own key that it does not know:
   it is an older copy ▲.
"""

from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import structlog
import trio

from consensus.encoding import decode_whole
from consensus.errors import DecodeError, InvalidObject, KeyUsedElsewhere
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_HEIGHT, GENESIS_VIEW, Height, ValidatorIndex
from consensus.replica.safety import SafetyRecord
from consensus.vocabulary.attestation import AttestationCertificate
from consensus.vocabulary.certificates import QC
from consensus.vocabulary.tip import Tip
from sequencer.client.chain_view import CheckpointView
from sequencer.execution.checkpoint import Checkpoint, checkpoint_bytes_max
from sequencer.execution.execute import Execution
from sequencer.execution.namespaces import LeavesRecord, RecordProgress
from sequencer.execution.state import ExecutionState
from sequencer.node.errors import ConfigError
from sequencer.node.recovery import Stores, load_execution
from storage import blocks
from storage.chain import ChainStore, CommitProof
from storage.errors import StorageFault
from storage.safety import SafetyRecordBytes
from storage.transactions import TransactionStore

SPACING_S = 10.0  # between two that are kept
STATES_MAX = 64  # attested states that wait for their certificate, of up to 1.6 MB each with 65,536 namespaces
CERTIFICATES_MAX = 16  # of the newest certified heights, of which some were not committed alone

_log = structlog.get_logger("node")


class Checkpoints:
    """The newest checkpoint of a running node."""

    def __init__(self, chain: Genesis, stores: Stores) -> None:
        self._chain = chain
        self._stores = stores
        self._states: OrderedDict[Height, ExecutionState] = OrderedDict()
        self._certificates: list[AttestationCertificate] = []  # since the last one that was kept, rising
        self._moved = trio.Event()
        self._shown: CheckpointView | None = None
        self._showing = trio.Lock()
        found = stores.blocks.load_checkpoint()
        self.height = ExecutionState.decode(found[1]).height if found is not None else GENESIS_HEIGHT

    def note_executed(self, execution: Execution) -> None:
        """A height was executed and stored."""
        if execution.attested is not None:
            self._states[execution.attested.height] = execution.attested
            if len(self._states) > STATES_MAX:
                self._states.popitem(last=False)

    def note_certified(self, certificate: AttestationCertificate) -> None:
        """A height has a certificate."""
        if certificate.attestation.height in self._states:
            self._certificates.append(certificate)
            del self._certificates[:-CERTIFICATES_MAX]
            self._moved.set()

    async def run(self) -> None:
        """Keeps checkpoints for ever. Raises `StorageFault`."""
        while True:
            await self._moved.wait()
            self._moved = trio.Event()
            await self.keep_newest()
            await trio.sleep(SPACING_S)

    async def keep_newest(self) -> None:
        """Keeps the newest certified height that can be one. Raises `StorageFault`."""
        certificates, self._certificates = self._certificates, []
        for certificate in reversed(certificates):
            state = self._states.get(certificate.attestation.height)
            if state is not None and await trio.to_thread.run_sync(self._store, certificate, state):
                self.height = state.height
                for height in [height for height in self._states if height <= state.height]:
                    del self._states[height]
                return

    def _store(self, certificate: AttestationCertificate, state: ExecutionState) -> bool:
        """In a thread: false for a height that was committed together with later ones, and has no proof of its own."""
        if self._stores.chain.load_commit_proof(state.height) is None:
            return False
        puts = blocks.BlockStore.checkpoint_puts(certificate.encode(), _bare(state).encode())
        self._stores.database.write(puts, sync=True)  # what is pruned next is below it ▲
        return True

    async def newest(self) -> CheckpointView | None:
        """The newest checkpoint as clients get it, or None before the first. Raises `StorageFault`.

        Put together once, however many ask: with many namespaces that is seconds of work.
        """
        async with self._showing:
            if self._shown is None or self._shown.height != self.height:
                self._shown = await trio.to_thread.run_sync(self._view)
            return self._shown

    def _view(self) -> CheckpointView | None:
        found = load_newest(self._chain, self._stores)
        return CheckpointView(found.state.height, found.state.block_id, found.encode()) if found is not None else None


def load_newest(chain: Genesis, stores: Stores) -> Checkpoint | None:
    """The newest checkpoint that a node kept, put together from its stores."""
    found = stores.blocks.load_checkpoint()
    if found is None:
        return None
    count = chain.validator_set.count
    try:
        certificate = decode_whole(found[0], lambda reader: AttestationCertificate.decode(reader, count))
        state = ExecutionState.decode(found[1])
        tip, proof = stores.chain.load_tip(state.block_id), stores.chain.load_commit_proof(state.height)
        if tip is None or proof is None:
            raise StorageFault(f"the block of checkpoint {state.height} is not stored: the database is damaged")
        first, second = (
            decode_whole(encoded, lambda reader: QC.decode(reader, count))
            for encoded in (proof.first_qc, proof.second_qc)
        )
        return Checkpoint(
            certificate, decode_whole(tip, lambda reader: Tip.decode(reader, count)), first, second, state
        )
    except DecodeError as error:
        raise StorageFault(f"the newest checkpoint is unreadable: {error}") from error


def read_checkpoint_file(path: Path, chain: Genesis) -> Checkpoint:
    """A verified checkpoint. Raises `ConfigError`, which says what is wrong with the file."""
    subject = f"storage.checkpoint ({path}) cannot be used"
    bytes_max = checkpoint_bytes_max(chain)
    try:
        with path.open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise ConfigError(subject, [f"it cannot be read: {error.strerror}"]) from error
    if len(content) > bytes_max:
        raise ConfigError(subject, [f"it is longer than any checkpoint of this chain ({bytes_max} bytes)"])
    try:
        checkpoint = Checkpoint.decode(content, chain)
        checkpoint.check(chain)
    except DecodeError as error:
        raise ConfigError(subject, [f"it is no checkpoint of this chain: {error}"]) from error
    except InvalidObject as error:
        raise ConfigError(
            subject, [f"it is not proved by this chain's validators ({error.reason}); fetch another one"]
        ) from error
    return checkpoint


def start_from(
    chain: Genesis, index: ValidatorIndex, stores: Stores, loaded: SafetyRecordBytes | None, checkpoint: Checkpoint
) -> bool:
    """Makes the home begin at a verified checkpoint; false if it is there already. `loaded`: see `guard_key`.

    Raises `KeyUsedElsewhere` or `StorageFault`.
    """
    height = checkpoint.state.height
    executed = load_execution(chain, stores).height
    if height <= executed:
        _log.info("checkpoint_not_needed", height=height, executed=executed)
        return False
    _require_known(chain, index, stores, loaded, checkpoint)
    known_id = stores.chain.load_committed_id(height)
    if known_id is not None and known_id != checkpoint.tip.id:
        raise StorageFault(f"height {height} is committed here with another block than everybody's")
    stores.database.write(_puts(checkpoint), sync=True)
    _log.info("started_from_checkpoint", height=height, block_id=checkpoint.tip.id, executed_before=executed)
    return True


def start_from_file(
    chain: Genesis, index: ValidatorIndex, stores: Stores, loaded: SafetyRecordBytes | None, path: Path
) -> bool:
    """The same from a file. A file that is gone is no reason to stop where it has been used, or was not needed.

    Raises `ConfigError` for one that is there and proves nothing, and for one that is missing while the home is empty.
    """
    if load_execution(chain, stores).height > GENESIS_HEIGHT and not path.exists():
        _log.warning("checkpoint_file_missing", path=str(path), detail="not needed any more: this home has blocks")
        return False
    return start_from(chain, index, stores, loaded, read_checkpoint_file(path, chain))


def _require_known(
    chain: Genesis, index: ValidatorIndex, stores: Stores, loaded: SafetyRecordBytes | None, checkpoint: Checkpoint
) -> None:
    """Raises `KeyUsedElsewhere` if the checkpoint, which is ahead of us, shows what our key signed and we forgot."""
    record = SafetyRecord.decode(loaded.record, chain.validator_set.count) if loaded is not None else None
    voted_view = record.voted_view if record is not None else GENESIS_VIEW
    for qc in (checkpoint.qc, checkpoint.child_qc):
        if index in qc.signers and qc.view > voted_view:
            raise KeyUsedElsewhere(f"the checkpoint shows a vote of view {qc.view} that this validator's key signed")
    if index in checkpoint.certificate.signers:  # a height is attested only once it is executed, and this one is not
        height = checkpoint.state.height
        raise KeyUsedElsewhere(
            f"the checkpoint shows an attestation of height {height} that this validator's key signed"
        )
    own_head = stores.safety.load_own_head()
    own_seq, known_seq = own_head.seq if own_head is not None else 0, checkpoint.state.effective.cut[index].seq
    if known_seq > own_seq:
        raise KeyUsedElsewhere(
            f"the chain has ordered this validator's lane up to {known_seq}, behind {own_seq}, its last"
        )
    digest = checkpoint.state.effective.cut[index].digest
    if own_head is not None and known_seq == own_seq and digest != own_head.digest:
        raise KeyUsedElsewhere(f"the chain has ordered another batch {own_seq} of this validator's lane than its last")


def _puts(checkpoint: Checkpoint) -> list[tuple[bytes, bytes]]:
    state, tip, certificate = checkpoint.state, checkpoint.tip, checkpoint.certificate.encode()
    height = state.height
    encoded = _bare(state).encode()
    return [
        *ChainStore.tip_puts(tip.id, tip.encoded),
        *ChainStore.commit_puts(height, tip.id),
        *ChainStore.commit_proof_puts(height, CommitProof(checkpoint.qc.encoded, checkpoint.child_qc.encoded)),
        *ChainStore.prunable_puts(height),
        *blocks.BlockStore.certificate_puts(height, certificate),
        *blocks.BlockStore.leaves_record_puts(height, LeavesRecord(GENESIS_HEIGHT, state.namespaces.heads).encode()),
        *blocks.BlockStore.state_puts(blocks.ExecutionState(height, encoded)),
        *blocks.BlockStore.checkpoint_puts(certificate, encoded),
        *TransactionStore.indexed_puts(height),
    ]


def _bare(state: ExecutionState) -> ExecutionState:
    """Without what hangs on the leaves records of one disk."""
    return replace(state, progress=RecordProgress())
