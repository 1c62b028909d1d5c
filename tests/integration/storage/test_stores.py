"""The stores on a real database: what their puts wrote is what their loads return, also after reopening."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.blocks import BlockStore, ExecutionState, HeightRecord
from storage.chain import ChainStore, CommitProof, Committed
from storage.database import Database
from storage.errors import SafetyRecordLost, StorageFault
from storage.key_use import check_used, mark_used
from storage.keyspace import (
    CHAIN_PROOF,
    EXECUTION_STATE,
    OWN_HEAD,
    SAFETY_RECORD,
    TRANSACTION_FINAL,
    height_key,
)
from storage.safety import OwnHead, SafetyRecordBytes, SafetyStore
from storage.transactions import (
    COUNT_MAX,
    POSITIONS_MAX,
    FinalPlace,
    LaneRun,
    SealedPlace,
    TransactionPlaces,
    TransactionStore,
)

CHAIN_ID = b"\x01" * 32


def id_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path, CHAIN_ID) as opened:
        yield opened


class TestSafety:
    def test_nothing_stored_is_none(self, database):
        assert SafetyStore(database).load() is None
        assert SafetyStore(database).load_own_head() is None

    def test_record_tips_and_head_come_back(self, database):
        store = SafetyStore(database)
        head = OwnHead(7, id_of(9), b"header")
        puts = store.record_puts(b"record one", {id_of(1): b"tip one"}) + store.own_head_puts(head)
        database.write(puts, sync=True)
        assert store.load() == SafetyRecordBytes(b"record one", {id_of(1): b"tip one"})
        assert store.load_own_head() == head

    def test_a_record_is_replaced_and_tips_stay_until_deleted(self, database):
        store = SafetyStore(database)
        database.write(store.record_puts(b"one", {id_of(1): b"tip one"}), sync=True)
        database.write(store.record_puts(b"two", {id_of(2): b"tip two"}), sync=True)
        assert store.load() == SafetyRecordBytes(b"two", {id_of(1): b"tip one", id_of(2): b"tip two"})
        database.write(store.record_puts(b"three", {}), store.tip_deletes([id_of(1)]), sync=True)
        assert store.load() == SafetyRecordBytes(b"three", {id_of(2): b"tip two"})

    def test_more_tips_than_one_page_all_come_back(self, database):
        store = SafetyStore(database)
        tips = {id_of(number): b"tip %d" % number for number in range(600)}
        database.write(store.record_puts(b"record", tips), sync=True)
        assert store.load() == SafetyRecordBytes(b"record", tips)

    @pytest.mark.parametrize("position", range(10))
    def test_no_flipped_byte_of_a_record_is_accepted(self, database, position):
        store = SafetyStore(database)
        database.write(store.record_puts(b"record", {}), sync=True)
        sealed = bytearray(database.get(SAFETY_RECORD) or b"")
        sealed[position] ^= 1
        database.write([(SAFETY_RECORD, bytes(sealed))], sync=True)
        with pytest.raises(StorageFault, match="Do not sign"):
            store.load()

    def test_a_damaged_tip_or_head_is_refused(self, database):
        store = SafetyStore(database)
        puts = store.record_puts(b"record", {id_of(1): b"tip"}) + store.own_head_puts(OwnHead(1, id_of(1), b"header"))
        damaged = [(key, value[:-1]) if key != SAFETY_RECORD else (key, value) for key, value in puts]
        database.write(damaged, sync=True)
        with pytest.raises(StorageFault, match="tip"):
            store.load()
        with pytest.raises(StorageFault, match="own lane head"):
            store.load_own_head()
        database.write([(OWN_HEAD, b"\x00\x00\x00\x00")], sync=True)
        with pytest.raises(StorageFault, match="too short"):
            store.load_own_head()

    def test_tips_without_their_record_are_damage(self, database):
        store = SafetyStore(database)
        database.write(store.record_puts(b"record", {id_of(1): b"tip"}), [SAFETY_RECORD], sync=True)
        with pytest.raises(StorageFault, match="missing"):
            store.load()


class TestChain:
    def test_tips_and_certificates_come_back_and_go(self, database):
        store = ChainStore(database)
        database.write(store.tip_puts(id_of(1), b"tip") + store.qc_puts(id_of(1), b"qc"), sync=True)
        assert (store.load_tip(id_of(1)), store.load_qc(id_of(1))) == (b"tip", b"qc")
        assert store.contains_tip(id_of(1))
        assert not store.contains_tip(id_of(2))
        database.write([], store.tip_deletes([id_of(1)]), sync=True)
        assert (store.load_tip(id_of(1)), store.load_qc(id_of(1))) == (None, None)

    def test_commits_are_found_by_height_and_by_id(self, database):
        store = ChainStore(database)
        assert store.load_last_committed() is None
        assert store.list_committed(1, 10) == []
        # 256 sorts before 255 in little-endian keys, and 10 before 9 in decimal ones.
        for height in (9, 10, 254, 255, 256):
            database.write(store.commit_puts(height, id_of(height)), sync=False)
            assert store.load_last_committed() == Committed(height, id_of(height))
        assert store.load_committed_id(255) == id_of(255)
        assert store.load_committed_height(id_of(255)) == 255
        assert store.load_committed_id(11) is None
        assert store.load_committed_height(id_of(11)) is None
        assert store.list_committed(254, 2) == [Committed(254, id_of(254)), Committed(255, id_of(255))]

    def test_a_gap_between_commits_is_damage(self, database):
        store = ChainStore(database)
        database.write(store.commit_puts(1, id_of(1)) + store.commit_puts(3, id_of(3)), sync=True)
        with pytest.raises(StorageFault, match="height 2"):
            store.list_committed(1, 10)

    def test_commit_proofs_come_back(self, database):
        store = ChainStore(database)
        proofs = {1: CommitProof(b"first", b"second"), 2: CommitProof(b"", b""), 3: CommitProof(b"", b"second")}
        for height, proof in proofs.items():
            database.write(store.commit_proof_puts(height, proof), sync=True)
        assert {height: store.load_commit_proof(height) for height in proofs} == proofs
        assert store.load_commit_proof(4) is None

    @pytest.mark.parametrize("value", [b"", b"\x00\x00\x00\x05qc"])
    def test_an_unreadable_proof_is_damage(self, database, value):
        database.write([(height_key(CHAIN_PROOF, 1), value)], sync=True)
        with pytest.raises(StorageFault, match="commit proof of height 1"):
            ChainStore(database).load_commit_proof(1)


class TestBlocks:
    def test_executed_blocks_and_state_come_back(self, database):
        store = BlockStore(database)
        assert store.load_state() is None
        for height in (1, 2):
            state = ExecutionState(height, b"state %d" % height)
            database.write(store.executed_block_puts(height, b"block %d" % height) + store.state_puts(state), sync=True)
        assert store.load_executed_block(1) == b"block 1"
        assert store.load_executed_block(3) is None
        assert store.load_state() == ExecutionState(2, b"state 2")

    def test_an_unreadable_state_is_damage(self, database):
        database.write([(EXECUTION_STATE, b"short")], sync=True)
        with pytest.raises(StorageFault, match="execution state"):
            BlockStore(database).load_state()

    def test_namespace_blocks_are_found_by_index_and_height(self, database):
        store = BlockStore(database)
        for namespace in (6, 7, 8):
            for index, height in enumerate((10, 20, 300)):
                block = b"%d/%d" % (namespace, index)
                database.write(store.namespace_block_puts(namespace, index, height, block), sync=False)
        assert store.load_namespace_block(7, 1) == b"7/1"
        assert store.load_namespace_block(7, 3) is None
        assert store.list_namespace_blocks(7, 1, 10) == [b"7/1", b"7/2"]
        assert store.list_namespace_blocks(7, 0, 2) == [b"7/0", b"7/1"]
        assert store.list_namespace_blocks(7, 3, 2) == []
        assert store.load_namespace_index(7, 20) == 1
        assert store.load_namespace_index(7, 21) is None
        newest = [store.load_newest_namespace_index(7, height) for height in (9, 10, 19, 20, 299, 300, 2**64 - 1)]
        assert newest == [None, 0, 0, 1, 1, 2, 2]
        assert store.load_newest_namespace_index(9, 300) is None

    def test_a_gap_between_namespace_blocks_is_damage(self, database):
        store = BlockStore(database)
        database.write(store.namespace_block_puts(7, 0, 1, b"a") + store.namespace_block_puts(7, 2, 3, b"c"), sync=True)
        with pytest.raises(StorageFault, match="no block 1"):
            store.list_namespace_blocks(7, 0, 10)

    def test_certificates_are_found_by_the_heights_they_cover(self, database):
        store = BlockStore(database)
        assert store.load_newest_certificate() is None
        for height in (5, 300):
            database.write(store.certificate_puts(height, b"certificate %d" % height), sync=True)
        assert store.load_certificate(5) == b"certificate 5"
        assert store.load_certificate(6) is None
        at_or_after = [store.load_certificate_at_or_after(height) for height in (1, 5, 6, 300, 301)]
        five, three_hundred = HeightRecord(5, b"certificate 5"), HeightRecord(300, b"certificate 300")
        assert at_or_after == [five, five, three_hundred, three_hundred, None]
        assert store.load_newest_certificate() == three_hundred

    def test_own_attestations_come_back(self, database):
        store = BlockStore(database)
        for height in (5, 300):
            database.write(store.own_attestation_puts(height, b"own %d" % height), sync=True)
        assert store.load_own_attestation(5) == b"own 5"
        assert store.load_own_attestation(6) is None
        assert store.list_own_attestations(6, 10) == [HeightRecord(300, b"own 300")]
        assert store.list_own_attestations(0, 1) == [HeightRecord(5, b"own 5")]


class TestTransactions:
    def test_an_unknown_hash_is_none(self, database):
        assert TransactionStore(database).load_places(id_of(1)) is None

    def test_sealed_then_final_places_come_back(self, database):
        store = TransactionStore(database)
        run = LaneRun(lane=3, seq=9, namespace=1001, kind=0, first_index=4)
        hashes = [id_of(number) for number in range(3)]
        database.write(store.sealed_puts(run, hashes), sync=False)
        sealed = SealedPlace(3, 9, 1001, 0, 5)
        assert store.load_places(id_of(1)) == TransactionPlaces((), 0, (sealed,), 1)
        database.write(store.final_puts(run, 70, 100, hashes), sync=False)
        final = FinalPlace(1001, 70, 101, sealed)
        assert store.load_places(id_of(1)) == TransactionPlaces((final,), 1, (sealed,), 1)

    def test_repeats_are_told_in_chain_order_and_counted_within_a_bound(self, database):
        store = TransactionStore(database)
        run = LaneRun(lane=0, seq=1, namespace=5, kind=0, first_index=0)
        database.write(store.final_puts(run, 2, 10, [id_of(1)] * (COUNT_MAX + 10)), sync=False)
        earlier = LaneRun(lane=9, seq=500, namespace=5, kind=0, first_index=3)
        database.write(store.final_puts(earlier, 1, 7, [id_of(1)]), sync=False)
        places = store.load_places(id_of(1))
        assert places is not None
        assert places.final[0] == FinalPlace(5, 1, 7, SealedPlace(9, 500, 5, 0, 3))
        assert [place.position for place in places.final[1:]] == list(range(10, 9 + POSITIONS_MAX))
        assert len(places.final) == POSITIONS_MAX
        assert places.final_count == COUNT_MAX

    def test_neighbouring_hashes_do_not_mix(self, database):
        store = TransactionStore(database)
        run = LaneRun(lane=0, seq=1, namespace=5, kind=0, first_index=0)
        database.write(store.final_puts(run, 0, 0, [b"\xff" * 32, b"\xff" * 31 + b"\xfe", bytes(32)]), sync=False)
        positions = []
        for transaction_hash in (b"\xff" * 32, b"\xff" * 31 + b"\xfe", bytes(32)):
            places = store.load_places(transaction_hash)
            assert places is not None
            positions.append([place.position for place in places.final])
        assert positions == [[0], [1], [2]]

    def test_indexing_the_same_run_twice_changes_nothing(self, database):
        store = TransactionStore(database)
        run = LaneRun(lane=0, seq=1, namespace=5, kind=0, first_index=0)
        for _ in range(2):
            database.write(store.final_puts(run, 0, 0, [id_of(1)]) + store.sealed_puts(run, [id_of(1)]), sync=False)
        places = store.load_places(id_of(1))
        assert places is not None
        assert (places.final_count, places.sealed_count) == (1, 1)

    def test_the_indexed_height_comes_back(self, database):
        store = TransactionStore(database)
        assert store.load_indexed_height() is None
        database.write(store.indexed_puts(12), sync=True)
        assert store.load_indexed_height() == 12

    def test_an_unreadable_place_is_damage(self, database):
        database.write([(TRANSACTION_FINAL + id_of(1) + b"short", b"")], sync=True)
        with pytest.raises(StorageFault, match="unreadable"):
            TransactionStore(database).load_places(id_of(1))

    def test_a_hash_of_another_length_is_our_own_mistake(self):
        with pytest.raises(ValueError, match="32 bytes"):
            TransactionStore.final_puts(LaneRun(0, 1, 5, 0, 0), 0, 0, [b"short"])


def test_a_lost_data_directory_is_noticed_by_the_mark_beside_the_keys(tmp_path):
    keys, home = tmp_path / "keys", tmp_path / "home"
    keys.mkdir()

    def start() -> None:
        with Database.open(home, CHAIN_ID) as database:
            store = SafetyStore(database)
            check_used(keys, CHAIN_ID, has_record=store.load() is not None)
            database.write(store.record_puts(b"record", {}), sync=True)
            mark_used(keys, CHAIN_ID, 1)

    start()
    start()
    shutil.rmtree(home / "data")
    with pytest.raises(SafetyRecordLost):
        start()


def test_one_write_carries_several_stores_and_all_of_it_survives(tmp_path):
    with Database.open(tmp_path, CHAIN_ID) as database:
        puts = [
            *SafetyStore.record_puts(b"record", {}),
            *ChainStore.commit_puts(1, id_of(1)),
            *BlockStore.own_attestation_puts(1, b"own"),
        ]
        database.write(puts, sync=True)
    with Database.open(tmp_path, CHAIN_ID) as database:
        assert SafetyStore(database).load() == SafetyRecordBytes(b"record", {})
        assert ChainStore(database).load_last_committed() == Committed(1, id_of(1))
        assert BlockStore(database).load_own_attestation(1) == b"own"
