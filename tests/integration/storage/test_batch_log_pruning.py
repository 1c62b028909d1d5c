"""Pruning the batch log: the oldest files go, what is needed of them stays, and a death at any step can be borne."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import storage.batches as batches_module
import storage.durable as durable_module
from storage.batches import BatchLog
from storage.database import Database
from tests.integration.storage.test_batch_log import CHAIN_ID as CHAIN
from tests.integration.storage.test_batch_log import arrival, batch_record

SMALL = 300  # bytes of a segment file


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path / "home", CHAIN) as opened:
        yield opened


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "home" / "data" / "batches"


def full_log(directory, database, count=12):
    """A log of several small files: lane 1, seq 1 …, each with an arrival time of its own."""
    log = BatchLog.open(directory, database, CHAIN, segment_bytes=SMALL)
    for seq in range(1, count + 1):
        log.append_many([batch_record(1, seq)], partial(int, 1_000 + seq))
    assert len(list(directory.glob("*.seg"))) > 3
    return log


def prune_all(log, needed_from):
    freed = 0
    while (size := log.prune_oldest(lambda _, seq: seq >= needed_from)) is not None:
        freed += size
    return freed


def test_a_pruned_log_holds_what_is_needed_and_forgets_the_rest(directory, database):
    log = full_log(directory, database)
    before = sum(path.stat().st_size for path in directory.glob("*.seg"))
    freed = prune_all(log, needed_from=9)
    assert freed > before / 2
    for again in range(2):
        held = log.list_lane(1, 1, 100)
        seqs = [stored.seq for stored in held]
        assert seqs == list(range(seqs[0], 13))
        assert 1 < seqs[0] <= 9
        for stored in held:
            assert log.read(stored.digest) == batch_record(1, stored.seq).batch
            assert stored.arrival_ms == 1_000 + stored.seq
        assert log.read(batch_record(1, 1).digest) is None
        assert not log.contains(batch_record(1, 1).digest)
        log.close()
        if not again:
            log = BatchLog.open(directory, database, CHAIN, segment_bytes=SMALL)


def test_a_file_of_which_most_is_needed_stays(directory, database):
    log = full_log(directory, database)
    assert log.prune_oldest(lambda _, seq: seq > 1) is None
    assert len(log.list_lane(1, 1, 100)) == 12


def test_what_is_needed_of_an_old_file_moves_on_with_its_arrival_time(directory, database):
    log = BatchLog.open(directory, database, CHAIN, segment_bytes=SMALL * 8)
    log.append_many([batch_record(2, 1)], lambda: 77)
    for seq in range(1, 60):
        log.append_many([batch_record(1, seq)], lambda: 1_000)
    assert log.prune_oldest(lambda author, _: author == 2)
    moved = log.find(batch_record(2, 1).digest)
    assert moved is not None
    assert moved.arrival_ms == 77
    assert moved.file > 1
    log.close()
    log = BatchLog.open(directory, database, CHAIN, segment_bytes=SMALL * 8)
    assert log.find(batch_record(2, 1).digest) == moved
    assert log.read(moved.digest) == batch_record(2, 1).batch


def test_the_newest_file_is_never_pruned(directory, database):
    log = BatchLog.open(directory, database, CHAIN)
    log.append_many([batch_record(1, 1)], arrival)
    assert log.prune_oldest(lambda *_: False) is None
    assert log.read(batch_record(1, 1).digest) is not None


@pytest.mark.parametrize("dies_at", ["index", "mark", "remove", "directory"])
def test_a_death_while_pruning_leaves_a_log_that_opens_and_prunes_on(directory, database, monkeypatch, dies_at):
    log = full_log(directory, database)

    class Death(Exception):
        pass

    def die(*_args, **_options):
        raise Death

    if dies_at == "index":
        monkeypatch.setattr(BatchLog, "_forget", die)
    elif dies_at == "mark":
        monkeypatch.setattr(BatchLog, "_remove_file", die)
        write = database.write
        monkeypatch.setattr(database, "write", lambda puts, *rest, **how: die() if puts else write(puts, *rest, **how))
    else:
        target = "remove" if dies_at == "remove" else "sync_directory"
        monkeypatch.setattr(durable_module if dies_at == "remove" else batches_module, target, die)
    with pytest.raises(Death):
        log.prune_oldest(lambda _, seq: seq > 9)
    monkeypatch.undo()
    log.close()
    log = BatchLog.open(directory, database, CHAIN, segment_bytes=SMALL)
    prune_all(log, needed_from=9)
    held = [stored.seq for stored in log.list_lane(1, 9, 100)]
    assert held == [9, 10, 11, 12]
    for seq in held:
        assert log.read(batch_record(1, seq).digest) == batch_record(1, seq).batch


def test_a_read_that_meets_pruning_finds_nothing_instead_of_a_fault(directory, database, monkeypatch):
    log = full_log(directory, database)
    first = batch_record(1, 1).digest
    read_stored = log.read_stored

    def read_late(stored):
        monkeypatch.undo()
        prune_all(log, needed_from=9)
        return read_stored(stored)

    monkeypatch.setattr(log, "read_stored", read_late)
    assert log.read(first) is None
