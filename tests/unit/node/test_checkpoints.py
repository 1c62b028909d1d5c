"""Checkpoints on disk: which are kept, and what a home is after it was made to begin at one."""

from dataclasses import replace
from typing import Any

import pytest

from consensus.numbers import GENESIS_HEIGHT, Height, Seq, ValidatorIndex
from consensus.replica.replica import Replica
from consensus.replica.state import ReplicaTiming
from sequencer.execution.execute import Execution
from sequencer.node.checkpoints import Checkpoints, load_newest, read_checkpoint_file, start_from
from sequencer.node.errors import ConfigError
from sequencer.node.recovery import Stores, first_record, load_execution, recover_replica, stored_above
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.chain import ChainStore, CommitProof
from storage.database import Database
from storage.errors import StorageFault
from storage.safety import OwnHead, SafetyRecordBytes, SafetyStore
from tests.checkpoints import attest, changed, make_checkpoint
from tests.simulation.forge import Forge
from tests.simulation.keys import make_genesis, node_key

CHAIN = make_genesis((1, 1, 1, 1))
FORGE = Forge(CHAIN)
GOOD = make_checkpoint(FORGE, 3)
ME = ValidatorIndex(0)
TIMING = ReplicaTiming(1_000, 8_000, 200)


@pytest.fixture
def stores(tmp_path):
    with Database.open(tmp_path / "home", CHAIN.chain_id) as database:
        log = BatchLog.open(tmp_path / "home" / "data" / "batches", database, CHAIN.chain_id)
        lock: Any = None
        yield Stores(lock, database, log, SafetyStore(database), ChainStore(database), BlockStore(database))
        log.close()


def start_replica(stores, record=None):
    execution = load_execution(CHAIN, stores)
    stored = stored_above(CHAIN, stores, execution.effective.cut)
    return Replica(CHAIN, node_key(ME), TIMING, recover_replica(CHAIN, stores, record, execution, stored))


def test_an_empty_home_begins_at_the_checkpoint(stores):
    assert start_from(CHAIN, ME, stores, GOOD)
    execution = load_execution(CHAIN, stores)
    assert execution == GOOD.state
    replica = start_replica(stores)
    assert replica.state.tree.committed_height == 3
    assert replica.state.tree.committed_id == GOOD.tip.id
    assert replica.state.high_qc == GOOD.child_qc
    assert stores.chain.load_prunable_height() == 3
    assert load_newest(CHAIN, stores) == GOOD


def test_a_home_that_is_there_already_stays_as_it_is(stores):
    assert start_from(CHAIN, ME, stores, make_checkpoint(FORGE, 4))
    assert not start_from(CHAIN, ME, stores, GOOD)
    assert not start_from(CHAIN, ME, stores, make_checkpoint(FORGE, 4))
    assert load_execution(CHAIN, stores).height == 4


def test_what_was_signed_before_is_kept(stores):
    """A validator that was away jumps ahead with its safety record, and the tip that the record names."""
    tips = FORGE.chain_of(2)
    record = replace(first_record(CHAIN), high_tip_id=tips[1].id)
    kept: dict[bytes, bytes] = {tips[1].id: tips[1].encoded}
    stores.database.write(SafetyStore.record_puts(record.encode(), kept), sync=True)
    assert start_from(CHAIN, ME, stores, GOOD)
    loaded = stores.safety.load()
    assert loaded == SafetyRecordBytes(record.encode(), kept)
    replica = start_replica(stores, loaded)
    assert replica.state.high_qc == GOOD.child_qc  # above the tip that the record names
    assert replica.state.silent_view == GOOD.child_qc.view + 1
    assert replica.state.tree.committed_height == 3


def test_a_home_that_has_committed_further_than_it_executed_goes_on_from_there(stores):
    """Batches that nobody has any more keep it from executing; the checkpoint takes it across."""
    tips = FORGE.chain_of(6)
    puts = []
    for tip in tips[:4]:
        puts += ChainStore.tip_puts(tip.id, tip.encoded) + ChainStore.commit_puts(tip.header.height, tip.id)
    proof = CommitProof(tips[4].justify.encoded, tips[5].justify.encoded)
    stores.database.write(puts + ChainStore.commit_proof_puts(4, proof), sync=True)
    assert start_from(CHAIN, ME, stores, GOOD)
    assert start_replica(stores).state.tree.committed_height == 4


def test_another_block_at_its_height_is_a_fault(stores):
    stores.database.write(ChainStore.commit_puts(3, bytes(32)), sync=True)
    with pytest.raises(StorageFault, match="another block"):
        start_from(CHAIN, ME, stores, GOOD)


def test_a_checkpoint_that_knows_more_of_our_lane_than_we_do_is_refused(stores):
    cut = (GOOD.state.effective.cut[0]._replace(seq=Seq(5)), *GOOD.state.effective.cut[1:])
    ahead = changed(GOOD, effective=replace(GOOD.state.effective, cut=cut))
    with pytest.raises(ConfigError, match="5 batches of this validator"):
        start_from(CHAIN, ME, stores, ahead)
    assert load_execution(CHAIN, stores).height == GENESIS_HEIGHT
    stores.database.write(SafetyStore.own_head_puts(OwnHead(5, bytes(32), b"")), sync=True)
    assert start_from(CHAIN, ME, stores, ahead)


def test_a_file_is_verified_and_errors_say_what_is_wrong(tmp_path):
    file = tmp_path / "checkpoint"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_checkpoint_file(file, CHAIN)
    file.write_bytes(GOOD.encode())
    assert read_checkpoint_file(file, CHAIN) == GOOD
    file.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="no checkpoint of this chain"):
        read_checkpoint_file(file, CHAIN)
    file.write_bytes(changed(GOOD, is_open=True).encode())
    with pytest.raises(ConfigError, match="other_order"):
        read_checkpoint_file(file, CHAIN)


# keeping


def execution_of(state) -> Any:
    return Execution(state=state, block=None, record=None, attested=state)  # type: ignore[arg-type]


async def test_the_newest_certified_height_that_was_committed_alone_is_kept(stores):
    start_from(CHAIN, ME, stores, GOOD)
    keeper = Checkpoints(CHAIN, stores)
    assert keeper.height == 3
    states = [replace(GOOD.state, height=Height(height)) for height in (4, 5, 6)]
    proof = CommitProof(GOOD.qc.encoded, GOOD.child_qc.encoded)
    stores.database.write(ChainStore.commit_proof_puts(4, proof) + ChainStore.commit_proof_puts(5, proof), sync=True)
    for state in states:
        keeper.note_executed(execution_of(state))
        keeper.note_certified(attest(CHAIN, state, (0, 1, 2)))
    await keeper.keep_newest()
    assert keeper.height == 5
    await keeper.keep_newest()
    assert keeper.height == 5


async def test_a_first_one_is_kept_at_once_and_survives(stores):
    tip, proof = GOOD.tip, CommitProof(GOOD.qc.encoded, GOOD.child_qc.encoded)
    puts = ChainStore.tip_puts(tip.id, tip.encoded) + ChainStore.commit_proof_puts(3, proof)
    stores.database.write(puts, sync=True)
    keeper = Checkpoints(CHAIN, stores)
    assert await keeper.newest() is None
    keeper.note_executed(execution_of(GOOD.state))
    keeper.note_certified(GOOD.certificate)
    await keeper.keep_newest()
    found = await keeper.newest()
    assert found is not None
    assert (found.height, found.data) == (3, GOOD.encode())
    assert Checkpoints(CHAIN, stores).height == 3
