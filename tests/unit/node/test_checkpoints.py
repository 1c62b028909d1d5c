"""Checkpoints on disk: which are kept, and what a home is after it was made to begin at one."""

from dataclasses import replace
from typing import Any

import pytest
import trio

from consensus.errors import KeyUsedElsewhere
from consensus.numbers import GENESIS_HEIGHT, Height, Seq, ValidatorIndex
from consensus.replica.replica import Replica
from consensus.replica.state import ReplicaTiming
from sequencer.execution.execute import Execution
from sequencer.node import checkpoints
from sequencer.node.checkpoints import Checkpoints, load_newest, read_checkpoint_file, start_from, start_from_file
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
ME = ValidatorIndex(3)  # the others are the quorum that signs
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
    assert start_from(CHAIN, ME, stores, None, GOOD)
    execution = load_execution(CHAIN, stores)
    assert execution == GOOD.state
    replica = start_replica(stores)
    assert replica.state.tree.committed_height == 3
    assert replica.state.tree.committed_id == GOOD.tip.id
    assert replica.state.high_qc == GOOD.child_qc
    assert stores.chain.load_prunable_height() == 3
    assert load_newest(CHAIN, stores) == GOOD


def test_a_home_that_is_there_already_stays_as_it_is(stores):
    assert start_from(CHAIN, ME, stores, None, make_checkpoint(FORGE, 4))
    assert not start_from(CHAIN, ME, stores, None, GOOD)
    assert not start_from(CHAIN, ME, stores, None, make_checkpoint(FORGE, 4))
    assert load_execution(CHAIN, stores).height == 4


def test_what_was_signed_before_is_kept(stores):
    """A validator that was away jumps ahead with its safety record, and the tip that the record names."""
    tips = FORGE.chain_of(2)
    record = replace(first_record(CHAIN), high_tip_id=tips[1].id)
    kept: dict[bytes, bytes] = {tips[1].id: tips[1].encoded}
    stores.database.write(SafetyStore.record_puts(record.encode(), kept), sync=True)
    loaded = stores.safety.load()
    assert start_from(CHAIN, ME, stores, loaded, GOOD)
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
    assert start_from(CHAIN, ME, stores, None, GOOD)
    assert start_replica(stores).state.tree.committed_height == 4


def test_another_block_at_its_height_is_a_fault(stores):
    stores.database.write(ChainStore.commit_puts(3, bytes(32)), sync=True)
    with pytest.raises(StorageFault, match="another block"):
        start_from(CHAIN, ME, stores, None, GOOD)


def ahead_in_our_lane(seq):
    cut = GOOD.state.effective.cut
    lanes = tuple(end._replace(seq=Seq(seq)) if lane == ME else end for lane, end in enumerate(cut))
    return changed(GOOD, effective=replace(GOOD.state.effective, cut=lanes))


FORGOTTEN = {
    "batches": ahead_in_our_lane(5),
    "a vote": replace(GOOD, qc=FORGE.certify(GOOD.tip, signers=(1, 2, 3))),
    "a later vote": replace(GOOD, child_qc=FORGE.certify(FORGE.chain_of(4)[3], signers=(0, 2, 3))),
    "an attestation": replace(GOOD, certificate=attest(CHAIN, GOOD.state, (0, 1, 3))),
}


@pytest.mark.parametrize("what", FORGOTTEN)
def test_a_home_that_has_forgotten_what_its_key_signed_is_refused(stores, what):
    with pytest.raises(KeyUsedElsewhere):
        start_from(CHAIN, ME, stores, None, FORGOTTEN[what])
    assert load_execution(CHAIN, stores).height == GENESIS_HEIGHT


def test_batches_that_a_home_knows_are_no_reason_to_refuse(stores):
    stores.database.write(SafetyStore.own_head_puts(OwnHead(5, bytes(32), b"")), sync=True)
    assert start_from(CHAIN, ME, stores, None, ahead_in_our_lane(5))


def test_another_batch_of_its_lane_than_the_last_that_a_home_knows_is_refused(stores):
    stores.database.write(SafetyStore.own_head_puts(OwnHead(5, bytes([1] * 32), b"")), sync=True)
    with pytest.raises(KeyUsedElsewhere, match="another batch 5"):
        start_from(CHAIN, ME, stores, None, ahead_in_our_lane(5))
    assert load_execution(CHAIN, stores).height == GENESIS_HEIGHT


def test_a_vote_that_a_home_knows_is_no_reason_to_refuse(stores):
    """It voted on while it could not execute: what it needed was gone."""
    vote = FORGE.vote(GOOD.child_qc.body, ME)
    record = replace(first_record(CHAIN), voted_view=GOOD.child_qc.view, vote=vote)
    loaded = SafetyRecordBytes(record.encode(), {})
    assert start_from(CHAIN, ME, stores, loaded, FORGOTTEN["a later vote"])


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
    start_from(CHAIN, ME, stores, None, GOOD)
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


async def test_the_newest_is_put_together_once_however_many_ask(stores, monkeypatch):
    start_from(CHAIN, ME, stores, None, GOOD)
    keeper = Checkpoints(CHAIN, stores)
    made = []

    def count(*arguments):
        made.append(arguments)
        return load_newest(*arguments)

    monkeypatch.setattr(checkpoints, "load_newest", count)
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(keeper.newest)
    found = await keeper.newest()
    assert found is not None
    assert found.data == GOOD.encode()
    assert len(made) == 1


def test_the_file_may_go_once_it_was_used(stores, tmp_path):
    """It is used once; an operator who tidies up must not find a validator that refuses to start."""
    path = tmp_path / "checkpoint"
    with pytest.raises(ConfigError, match="cannot be read"):
        start_from_file(CHAIN, ME, stores, None, path)
    path.write_bytes(GOOD.encode())
    assert start_from_file(CHAIN, ME, stores, None, path)
    path.unlink()
    assert not start_from_file(CHAIN, ME, stores, None, path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="no checkpoint of this chain"):
        start_from_file(CHAIN, ME, stores, None, path)
