"""Attacks on the pruning of the batch log: what a lane that is never ordered does to it."""

from pathlib import Path

import pytest

import storage.durable as durable_module
from storage import segments
from storage.batches import BatchLog
from storage.database import Database
from tests.integration.storage.test_batch_log import CHAIN_ID as CHAIN
from tests.integration.storage.test_batch_log import batch_record


@pytest.fixture
def log(tmp_path: Path):
    with Database.open(tmp_path / "home", CHAIN) as database:
        opened = BatchLog.open(tmp_path / "home" / "data" / "batches", database, CHAIN, segment_bytes=8_000)
        yield opened
        opened.close()


def prune_all(log, is_needed):
    freed = 0
    while (size := log.prune_oldest(is_needed)) is not None:
        freed += size
    return freed


def test_a_lane_that_is_never_ordered_does_not_stop_pruning_for_ever(log):
    """Author 2 pushed a burst and forked its lane: no block will ever order it. 93 % of the log is prunable."""
    for seq in range(1, 41):
        log.append_many([batch_record(2, seq)], lambda: 1)
    for seq in range(1, 600):
        log.append_many([batch_record(1, seq)], lambda: 1)
    assert log._file > 5
    freed = sum(prune_all(log, lambda author, _: author == 2) for _ in range(10))
    assert freed > 0
    assert len(list(log._directory.glob("*.seg"))) <= 3
    assert [stored.seq for stored in log.list_lane(2, 1, 100)] == list(range(1, 41))
    assert prune_all(log, lambda author, _: author == 2) == 0  # what is left is not copied again and again


def test_a_file_is_read_once_while_it_stays(log, monkeypatch):
    """A round every ten seconds must not read the same 64 MiB again."""
    for seq in range(1, 600):
        log.append_many([batch_record(1, seq)], lambda: 1)
    scan, scanned = segments.scan, []

    def note(path, **how):
        scanned.append(path)
        return scan(path, **how)

    monkeypatch.setattr(segments, "scan", note)
    for _ in range(20):
        assert log.prune_oldest(lambda *_: True) is None
    assert len(scanned) == len(set(scanned)) > 2


def test_what_is_needed_is_copied_with_few_syncs(log, monkeypatch):
    """Each sync of a copy keeps arriving batches from being held."""
    tiny = [batch_record(2, seq) for seq in range(1, 11)]
    log.append_many(tiny, lambda: 1)
    for seq in range(1, 100):
        log.append_many([batch_record(1, seq)], lambda: 1)
    syncs = []
    sync_data = durable_module.sync_data

    def count(*arguments):
        syncs.append(arguments)
        sync_data(*arguments)

    monkeypatch.setattr(durable_module, "sync_data", count)
    assert log.prune_oldest(lambda author, seq: author == 2)
    assert len(syncs) <= 2, f"{len(syncs)} syncs under the log's turn for 10 batches"
    assert [stored.seq for stored in log.list_lane(2, 1, 100)] == list(range(1, 11))
