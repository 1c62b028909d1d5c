"""The database on disk: atomic writes, the one holder, the one chain, and damage that is refused."""

import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import plyvel
import pytest

from storage.database import FORMAT_VERSION, Database
from storage.errors import DiskFull, HomeInUse, OtherChain, OtherFormat, StorageFault
from storage.home import database_directory
from storage.keyspace import IDENTITY, U32

CHAIN_ID = b"\x01" * 32
OTHER_CHAIN_ID = b"\x02" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_what_was_written_is_there_after_reopening(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"a", b"1"), (b"b", b"2")], sync=True)
        database.write([(b"c", b"3")], [b"a"], sync=False)
    with Database.open(home, CHAIN_ID) as database:
        assert [database.get(key) for key in (b"a", b"b", b"c")] == [None, b"2", b"3"]


def test_a_write_whose_items_fail_changes_nothing(home):
    def puts():
        yield b"a", b"1"
        raise RuntimeError("the encoder failed")

    with Database.open(home, CHAIN_ID) as database:
        with pytest.raises(RuntimeError):
            database.write(puts(), sync=True)
        assert database.get(b"a") is None
        database.write([(b"a", b"2")], sync=True)


def test_iterate_bounds_orders_and_limits(home):
    with Database.open(home, CHAIN_ID) as database:
        puts = [(prefix + bytes([number]), bytes([number])) for prefix in (b"aa", b"ab", b"ac") for number in range(5)]
        database.write(puts, sync=False)

        def rests(**bounds):
            return [key[2] for key, _ in database.iterate(b"ab", **bounds)]

        assert rests(limit=9) == [0, 1, 2, 3, 4]
        assert rests(limit=2) == [0, 1]
        assert rests(limit=0) == []
        assert rests(start=b"\x02", limit=9) == [2, 3, 4]
        assert rests(stop=b"\x02", limit=9) == [0, 1]
        assert rests(start=b"\x01", stop=b"\x04", reverse=True, limit=2) == [3, 2]
        assert [key for key, _ in database.iterate(b"ac", reverse=True, limit=1)] == [b"ac\x04"]


def test_iterate_reaches_the_last_key_of_a_prefix_of_ones(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"\xfe\xff\xff", b"1"), (b"\xff\xff", b"2")], sync=False)
        assert database.iterate(b"\xfe\xff", limit=9) == [(b"\xfe\xff\xff", b"1")]
        assert database.iterate(b"\xff", reverse=True, limit=9) == [(b"\xff\xff", b"2")]


def test_keys_are_listed_without_their_values(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write(
            [(prefix + bytes([number]), b"v" * 9) for prefix in (b"ab", b"ac") for number in range(4)], sync=True
        )
        assert database.list_keys(b"ab", limit=9) == [b"ab" + bytes([number]) for number in range(4)]
        assert database.list_keys(b"ab", start=b"\x02", limit=1) == [b"ab\x02"]
        assert database.list_keys(b"ab", limit=0) == []


def test_several_threads_write_and_read_at_once(home):
    with Database.open(home, CHAIN_ID) as database:

        def work(number: int) -> None:
            for count in range(50):
                database.write([(b"%d/%d" % (number, count), b"x")], sync=count % 10 == 0)
                assert database.get(b"%d/%d" % (number, count)) == b"x"

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(len(database.iterate(b"%d/" % number, limit=100)) for number in range(4)) == 200


def test_a_second_open_in_the_same_process_is_refused(home):
    with Database.open(home, CHAIN_ID), pytest.raises(HomeInUse, match=str(os.getpid())):
        Database.open(home, CHAIN_ID)
    Database.open(home, CHAIN_ID).close()


def test_a_second_process_is_refused_and_told_who_holds_the_home(home):
    code = "import pathlib, sys, storage.database as d; d.Database.open(pathlib.Path(sys.argv[1]), b'\\1' * 32)"
    with Database.open(home, CHAIN_ID):
        child = subprocess.run(
            [sys.executable, "-c", code, str(home)],
            capture_output=True,
            text=True,
            check=False,
            env=child_environment(),
        )
    assert child.returncode == 1
    assert f"HomeInUse: {home} is in use by process {os.getpid()}" in child.stderr


def child_environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


def test_a_database_that_another_program_holds_is_refused(home):
    Database.open(home, CHAIN_ID).close()
    other = plyvel.DB(str(database_directory(home)))
    with pytest.raises(HomeInUse):
        Database.open(home, CHAIN_ID)
    other.close()


def test_a_refused_open_lets_go_of_the_home(home):
    Database.open(home, CHAIN_ID).close()
    with pytest.raises(OtherChain):
        Database.open(home, OTHER_CHAIN_ID)
    Database.open(home, CHAIN_ID).close()


def test_another_chain_is_refused_with_both_ids_and_the_remedy(home):
    Database.open(home, CHAIN_ID).close()
    with pytest.raises(OtherChain) as caught:
        Database.open(home, OTHER_CHAIN_ID)
    assert CHAIN_ID.hex() in str(caught.value)
    assert OTHER_CHAIN_ID.hex() in str(caught.value)
    assert "choose another home" in str(caught.value)


def test_another_format_is_refused(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(IDENTITY, U32.pack(FORMAT_VERSION + 1) + CHAIN_ID)], sync=True)
    with pytest.raises(OtherFormat, match="format 2"):
        Database.open(home, CHAIN_ID)


@pytest.mark.parametrize("identity", [b"", b"\x00"])
def test_an_unreadable_identity_is_a_fault(home, identity):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(IDENTITY, identity)], sync=True)
    with pytest.raises(StorageFault, match="identity"):
        Database.open(home, CHAIN_ID)


def test_data_without_an_identity_is_a_fault(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"a", b"1")], [IDENTITY], sync=True)
    with pytest.raises(StorageFault, match="does not say of which chain"):
        Database.open(home, CHAIN_ID)


def test_a_start_that_died_before_the_identity_is_carried_on(home):
    path = database_directory(home)
    path.mkdir(parents=True)
    plyvel.DB(str(path), create_if_missing=True).close()
    Database.open(home, CHAIN_ID).close()
    with pytest.raises(OtherChain):
        Database.open(home, OTHER_CHAIN_ID)


def test_a_start_that_died_while_leveldb_was_made_is_carried_on(home):
    path = database_directory(home)
    path.mkdir(parents=True)
    for name in ("LOCK", "LOG", "MANIFEST-000001", "000001.dbtmp"):
        (path / name).touch()
    Database.open(home, CHAIN_ID).close()


def test_a_lost_current_file_is_damage_not_a_new_database(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"a", b"1")], sync=True)
    (database_directory(home) / "CURRENT").unlink()
    with pytest.raises(StorageFault, match="no CURRENT file"):
        Database.open(home, CHAIN_ID)


def test_a_lost_table_file_is_damage(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"a", b"1")], sync=True)
    Database.open(home, CHAIN_ID).close()  # recovery turns the log into a table
    tables = list(database_directory(home).glob("*.ldb"))
    assert tables
    for table in tables:
        table.unlink()
    with pytest.raises(StorageFault, match="missing files"):
        Database.open(home, CHAIN_ID)


def written_log(home: Path, count: int) -> tuple[Path, bytes]:
    """A home whose newest LevelDB log holds `count` synced writes, as it stood before the database was closed."""
    Database.open(home, CHAIN_ID).close()
    with Database.open(home, CHAIN_ID) as database:
        for number in range(count):
            database.write([(b"k%d" % number, b"v" * 20)], sync=True)
        (log,) = database_directory(home).glob("*.log")
        return log, log.read_bytes()


def test_a_torn_tail_of_leveldbs_log_loses_only_the_last_write(home, tmp_path):
    log, content = written_log(home, 3)
    record_bytes = len(content) // 3
    for length in range(2 * record_bytes, len(content)):
        copy = tmp_path / f"copy-{length}"
        shutil.copytree(home, copy)
        (database_directory(copy) / log.name).write_bytes(content[:length])
        with Database.open(copy, CHAIN_ID) as database:
            assert [database.get(b"k%d" % number) for number in range(3)] == [b"v" * 20, b"v" * 20, None]
        shutil.rmtree(copy)


def test_damage_in_the_middle_of_leveldbs_log_is_refused_not_skipped(home):
    log, content = written_log(home, 3)
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    log.write_bytes(damaged)
    with pytest.raises(StorageFault, match="opening"):
        Database.open(home, CHAIN_ID)


def test_damage_in_a_table_is_met_by_the_read_not_returned(home):
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"k%03d" % number, b"value") for number in range(100)], sync=True)
    Database.open(home, CHAIN_ID).close()
    (table,) = database_directory(home).glob("*.ldb")
    content = bytearray(table.read_bytes())
    content[content.index(b"value")] ^= 1
    table.write_bytes(content)
    with pytest.raises(StorageFault), Database.open(home, CHAIN_ID) as database:
        database.get(b"k000")
    with pytest.raises(StorageFault), Database.open(home, CHAIN_ID) as database:
        database.iterate(b"k", limit=10)


def test_a_close_waits_for_a_running_read(home):
    """LevelDB takes the process down if it is closed under a read."""
    database = Database.open(home, CHAIN_ID)
    order = []

    def close() -> None:
        database.close()
        order.append("closed")

    closer = threading.Thread(target=close)
    with database._reads:
        closer.start()
        closer.join(timeout=0.1)  # only a close that does not wait ends here
        order.append("read")
    closer.join()
    assert order == ["read", "closed"]


def test_a_closed_database_refuses_every_call_and_closes_twice(home):
    database = Database.open(home, CHAIN_ID)
    database.close()
    database.close()
    for call in (
        lambda: database.get(b"a"),
        lambda: database.iterate(b"a", limit=1),
        lambda: database.write([(b"a", b"1")], sync=True),
    ):
        with pytest.raises(StorageFault, match="closed"):
            call()


def test_threads_that_read_while_the_database_closes_are_refused(home):
    database = Database.open(home, CHAIN_ID)
    refused = []
    reading = threading.Barrier(4)

    def read_for_ever() -> None:
        reading.wait()
        try:
            while True:
                database.get(b"a")
        except StorageFault as fault:
            refused.append(str(fault))

    threads = [threading.Thread(target=read_for_ever) for _ in range(3)]
    for thread in threads:
        thread.start()
    reading.wait()
    database.close()
    for thread in threads:
        thread.join()
    assert refused == ["the database is closed"] * 3


def test_after_a_failed_write_nothing_more_is_reported_as_written(home):
    """LevelDB would accept the later writes, synced and without an error, and lose every one of them."""
    with Database.open(home, CHAIN_ID) as database:
        database.write([(b"before", b"x" * 3_000)], sync=True)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, limits[1]))
        try:
            with pytest.raises(DiskFull):
                database.write([(b"failing", b"x" * 3_000)], sync=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        for sync in (True, False):
            with pytest.raises(DiskFull):
                database.write([(b"after", b"x")], sync=sync)
    with Database.open(home, CHAIN_ID) as database:
        assert [database.get(key) is not None for key in (b"before", b"failing", b"after")] == [True, False, False]
