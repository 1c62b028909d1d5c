"""What the disk gives back at a start, put together for every core.

Responsible for: opening the stores in the right order, the guards of keys and safety record, and recovered states.
Refuses to do: repair. What contradicts itself stops the start with a clear message.

Invariants:
1. A key that was used before never signs without its safety record, nor with an older copy of it that can be told;
   `USED` is synced before the first signature ▲.
2. Every batch below the executed cut is held: what the cores get is what lies above it.
3. The own lane goes on after the highest of the own head and the own batches on disk ▲.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.encoding import decode_whole
from consensus.errors import DecodeError
from consensus.evidence.check import LANE_FORK_RULE, Offence
from consensus.genesis import Genesis
from consensus.numbers import GENESIS_VIEW, BlockId, Digest, Hash, Height, Milliseconds, Seq, ValidatorIndex, View
from consensus.ordering.cut import LanePosition
from consensus.replica.events import BatchHeld
from consensus.replica.safety import SafetyRecord
from consensus.replica.state import Recovered
from consensus.vocabulary.attestation import AttestationShare
from consensus.vocabulary.batch import KIND_OPEN, Batch, read_segment, transaction_ids
from consensus.vocabulary.certificates import QC, genesis_qc
from consensus.vocabulary.tip import Tip
from sequencer.execution.execute import Executor
from sequencer.execution.state import ExecutionState
from sequencer.lanes.recovered import RecoveredBatch, RecoveredLanes
from sequencer.node.clock import wall_ms
from sequencer.node.config import NodeConfig
from sequencer.node.records import own_head_puts
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from storage.errors import OtherKey, StorageFault
from storage.evidence import EvidenceStore
from storage.home import DirectoryLock, batches_directory
from storage.key_use import check_used, mark_used
from storage.keyspace import Puts
from storage.record_number import RecordNumber
from storage.safety import SafetyRecordBytes, SafetyStore
from storage.transactions import LaneRun, TransactionStore

_PAGE = 1_024
_RESTORED_SHARES_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Stores:
    """The open disk of a node."""

    keys_lock: DirectoryLock
    database: Database
    batches: BatchLog
    safety: SafetyStore
    chain: ChainStore
    blocks: BlockStore

    def close(self) -> None:
        """Waits for running reads and writes."""
        self.batches.close()
        self.database.close()
        self.keys_lock.release()


def open_stores(config: NodeConfig, chain: Genesis) -> Stores:
    """Locks the home and the keys, which may lie elsewhere, and opens everything. Raises `StorageError`."""
    keys_lock = DirectoryLock.acquire(config.keys_dir)
    try:
        return _open_locked(config, chain, keys_lock)
    except BaseException:
        keys_lock.release()
        raise


def _open_locked(config: NodeConfig, chain: Genesis, keys_lock: DirectoryLock) -> Stores:
    database = Database.open(config.home, chain.chain_id)
    try:
        batches = BatchLog.open(
            batches_directory(config.home), database, chain.chain_id, segment_bytes=config.storage.segment_bytes
        )
    except BaseException:
        database.close()
        raise
    return Stores(keys_lock, database, batches, SafetyStore(database), ChainStore(database), BlockStore(database))


def first_record(chain: Genesis) -> SafetyRecord:
    """The safety record of a key that has signed nothing: the genesis, view 1."""
    genesis = genesis_qc(chain.chain_id, chain.time_ms, chain.validator_set.count)
    none = GENESIS_VIEW
    return SafetyRecord(genesis.body.epoch, genesis, none, None, none, None, none, None, None, genesis)


def guard_key(config: NodeConfig, chain: Genesis, stores: Stores, public_key: bytes) -> SafetyRecordBytes | None:
    """Refuses a used key without its own record, or with an older copy; at the very first start stores a record, then
    marks the key used.

    Returns the record and its tips as they were found.
    """
    loaded = stores.safety.load()
    if loaded is not None and stores.safety.load_owner() != public_key:
        raise OtherKey(config.data_dir)
    check_used(config.keys_dir, chain.chain_id, has_record=loaded is not None)
    number = RecordNumber(stores.database, config.keys_dir)
    number.check()
    if loaded is None:
        puts = SafetyStore.record_puts(first_record(chain).encode(), {}) + SafetyStore.owner_puts(public_key)
        stores.database.write(puts, sync=True)
    mark_used(config.keys_dir, chain.chain_id, wall_ms())
    number.rise()
    return loaded


def load_execution(chain: Genesis, stores: Stores) -> ExecutionState:
    """The state after the highest executed height."""
    stored = stores.blocks.load_state()
    return ExecutionState.decode(stored.state) if stored is not None else Executor(chain).start()


def recover_replica(
    chain: Genesis,
    stores: Stores,
    loaded: SafetyRecordBytes | None,
    execution: ExecutionState,
    stored: Sequence[RecoveredBatch],
) -> Recovered:
    """The replica's start. `loaded`: see `guard_key`; `stored`: every batch on disk above the executed cut.

    Raises `StorageFault` if something that must be there is not.
    """
    count = chain.validator_set.count
    record = SafetyRecord.decode(loaded.record, count) if loaded is not None else None
    if record is not None and record == first_record(chain):
        record = None  # nothing was signed: not a restart
    executed_view = GENESIS_VIEW
    if execution.height > 0:
        executed_view = _require_tip(stores, execution.block_id, count).view
    return Recovered(
        record=record,
        executed_id=execution.block_id,
        executed_height=execution.height,
        executed_view=View(executed_view),
        effective=execution.effective,
        committed=_committed_tips(stores, execution.height, count),
        tips=_kept_tips(stores, loaded, record, count),
        certificates=_last_certificates(stores, count),
        held=tuple(
            (event.lane, event.seq, event.digest, event.arrival_ms, event.chained)
            for event in held_above(execution.effective.cut, stored)
        ),
    )


def _decode_tip(encoded: bytes, count: int) -> Tip:
    try:
        return decode_whole(encoded, lambda reader: Tip.decode(reader, count))
    except DecodeError as error:
        raise StorageFault(f"a stored tip is unreadable: {error}") from error


def _require_tip(stores: Stores, block_id: BlockId, count: int) -> Tip:
    encoded = stores.chain.load_tip(block_id)
    if encoded is None:
        raise StorageFault(f"the tip of block {block_id.hex()} is missing: the database is damaged")
    return _decode_tip(encoded, count)


def _committed_tips(stores: Stores, executed_height: Height, count: int) -> tuple[Tip, ...]:
    tips: list[Tip] = []
    height = executed_height + 1
    while page := stores.chain.list_committed(height, _PAGE):
        tips.extend(_require_tip(stores, BlockId(Hash(commit.block_id)), count) for commit in page)
        height = page[-1].height + 1
    return tuple(tips)


def _kept_tips(
    stores: Stores, loaded: SafetyRecordBytes | None, record: SafetyRecord | None, count: int
) -> tuple[Tip, ...]:
    """Tips that were voted for, and the record's high tip even if it was executed and so is kept with the chain."""
    if loaded is None:
        return ()
    tips = {tip.id: tip for tip in (_decode_tip(encoded, count) for encoded in loaded.tips.values())}
    high_id = record.high_tip_id if record is not None else None
    if high_id is not None and high_id not in tips:
        tips[high_id] = _require_tip(stores, high_id, count)
    return tuple(tips.values())


def _last_certificates(stores: Stores, count: int) -> tuple[QC, ...]:
    last = stores.chain.load_last_committed()
    proof = stores.chain.load_commit_proof(last.height) if last is not None else None
    if proof is None:
        return ()
    return tuple(
        decode_whole(encoded, lambda reader: QC.decode(reader, count)) for encoded in (proof.first_qc, proof.second_qc)
    )


def stored_above(chain: Genesis, stores: Stores, cut: tuple[LanePosition, ...]) -> list[RecoveredBatch]:
    """Every batch on disk above `cut`, by lane and seq; forks stand side by side."""
    found = []
    for lane, position in enumerate(cut):
        seq = position.seq + 1
        while page := stores.batches.list_lane(lane, seq, _PAGE):
            for stored in page:
                batch = Batch.decode(stores.batches.read_stored(stored), chain.parameters.batch_bytes_max)
                found.append(
                    RecoveredBatch(
                        ValidatorIndex(lane),
                        Seq(stored.seq),
                        batch.digest,
                        batch.header.prev_digest,
                        stored.length,
                        Milliseconds(stored.arrival_ms),
                    )
                )
            seq = page[-1].seq + 1
    return found


def held_above(cut: Sequence[LanePosition], stored: Sequence[RecoveredBatch]) -> list[BatchHeld]:
    """What the replica may list: batches above `cut` that chain without a gap; others as held by digest."""
    events: list[BatchHeld] = []
    ends = list(cut)
    seen: set[tuple[int, int]] = set()
    for batch in stored:
        place = (batch.lane, batch.seq)
        end = ends[batch.lane]
        chained = place not in seen and batch.seq == end.seq + 1 and batch.prev_digest == end.digest
        seen.add(place)
        if chained:
            ends[batch.lane] = LanePosition(batch.seq, batch.digest)
        events.append(BatchHeld(batch.lane, batch.seq, batch.digest, batch.arrival_ms, chained))
    return events


def adopt_own_batches(chain: Genesis, stores: Stores, index: ValidatorIndex) -> None:
    """Saves the own head again if a crash left the segment files ahead of it: what they hold counts as sealed ▲.

    So does the index of its transactions, which is written with the head: whoever got no answer asks by hash.
    """
    head = stores.safety.load_own_head()
    seq, newest = (head.seq if head is not None else 0), None
    while page := stores.batches.list_lane(index, seq + 1, _PAGE):
        newest, seq = page[-1], page[-1].seq
    if newest is not None:
        batch = Batch.decode(stores.batches.read_stored(newest), chain.parameters.batch_bytes_max)
        stores.database.write([*own_head_puts(batch), *_sealed_puts(chain, batch)], sync=True)


def _sealed_puts(chain: Genesis, batch: Batch) -> Puts:
    puts: Puts = []
    for place, entry in enumerate(batch.header.segments):
        items = read_segment(batch.segment(place), entry.item_count, chain.parameters.tx_bytes_max)
        if items is not None and entry.kind == KIND_OPEN:
            run = LaneRun(batch.header.author, batch.header.seq, entry.namespace, entry.kind, 0)
            puts += TransactionStore.sealed_puts(run, transaction_ids(entry.namespace, entry.kind, items))
    return puts


def recover_lanes(
    stores: Stores, committed: tuple[LanePosition, ...], stored: Sequence[RecoveredBatch]
) -> RecoveredLanes:
    """The lanes above the committed cut, of the batches on disk, and the newest batch that we ever sealed.

    A lane of which evidence E7 is kept stays unlisted.
    """
    own = stores.safety.load_own_head()
    sealed = (LanePosition(Seq(own.seq), Digest(Hash(own.digest))),) if own is not None else ()
    held = tuple(batch for batch in stored if batch.seq > committed[batch.lane].seq)
    kept = [Offence.decode(offence) for offence in EvidenceStore(stores.database).list_offences()]
    forked = frozenset(offence.validator for offence in kept if offence.rule == LANE_FORK_RULE)
    return RecoveredLanes(committed, held, forked, own_sealed=sealed)


def restored_shares(stores: Stores, attested_height: Height) -> tuple[AttestationShare, ...]:
    """Own saved attestations of heights above the newest certificate, rising."""
    records = stores.blocks.list_own_attestations(attested_height + 1, _RESTORED_SHARES_MAX)
    return tuple(decode_whole(entry.record, AttestationShare.decode) for entry in records)
