"""How much of the own lane is out, and what the next batch may have."""

from dataclasses import replace

import pytest

from consensus.clock import Now
from consensus.genesis import ChainParameters
from consensus.numbers import Digest, Epoch, Milliseconds, Seq, ValidatorIndex
from consensus.vocabulary.batch import Items
from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.mempool import Mempool
from sequencer.mempool.seal import PATIENCE_MS, OwnLane
from sequencer.mempool.window import BATCH_BYTES_LEAST, LaneWindow
from tests.committee import Committee

CHAIN = Committee(namespaces=(1, 2)).chain
MIB = 1024 * 1024


def test_what_is_out_counts_until_it_is_committed() -> None:
    window = LaneWindow(MIB)
    assert (window.is_full, window.room_bytes) == (False, MIB)
    window.note_sealed(MIB - 1_000)
    assert (window.is_full, window.room_bytes) == (False, BATCH_BYTES_LEAST)
    window.note_sealed(BATCH_BYTES_LEAST)
    assert (window.is_full, window.room_bytes) == (True, BATCH_BYTES_LEAST)
    window.note_uncommitted(2)
    assert window.is_full
    window.note_uncommitted(1)
    assert (window.is_full, window.room_bytes) == (False, MIB - BATCH_BYTES_LEAST)


def test_batches_from_before_a_restart_are_committed_first() -> None:
    window = LaneWindow(MIB)
    window.note_sealed(MIB)
    window.note_uncommitted(5)  # four older ones
    window.note_uncommitted(1)
    assert window.is_full
    window.note_uncommitted(0)
    assert not window.is_full


def test_a_flood_waits_in_its_queue_and_not_in_the_lane() -> None:
    pool = Mempool(CHAIN, ValidatorIndex(0), MempoolBounds(lane_window_bytes=MIB))
    for request in range(20):
        items = [(request * 1_000 + n).to_bytes(4, "big") + bytes(508) for n in range(1_000)]
        pool.submit(1, Items.of(items), Now(Milliseconds(10**12), 0))
    out: list[int] = []
    while pool.seal_due(Now(Milliseconds(10**12), 1), OwnLane(len(out), is_syncing=False)):
        made = pool.draft(Now(Milliseconds(10**12), 1), Seq(len(out) + 1), Digest(bytes(32)), Epoch(0))
        assert made is not None
        out.append(made.byte_count)
    assert MIB <= sum(out) <= MIB + BATCH_BYTES_LEAST
    assert pool.next_seal_ms(OwnLane(len(out), is_syncing=False)) == 1 + PATIENCE_MS
    assert pool.seal_due(Now(Milliseconds(10**12), 2), OwnLane(len(out) - 1, is_syncing=False))


@pytest.mark.parametrize("lane_window_bytes", [256 * 1024, 8 * MIB])
def test_what_is_due_fits_however_long_a_chains_transactions_may_be(lane_window_bytes) -> None:
    parameters = ChainParameters(batch_bytes_max=2 * MIB, tx_bytes_max=MIB)
    chain = replace(CHAIN, parameters=parameters).check()
    pool = Mempool(chain, ValidatorIndex(0), MempoolBounds(lane_window_bytes=lane_window_bytes))
    for number in range(12):
        pool.submit(1, Items.of([bytes([number]) * MIB]), Now(Milliseconds(10**12), 0))
    for seq in range(1, 13):
        now = Now(Milliseconds(10**12), 1 + seq * PATIENCE_MS)
        assert pool.seal_due(now, OwnLane(seq - 1, is_syncing=False))
        made = pool.draft(now, Seq(seq), Digest(bytes(32)), Epoch(0))
        assert made is not None
        assert made.byte_count <= parameters.batch_bytes_max
