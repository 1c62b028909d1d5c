"""The number of the safety record: an older copy of the database is refused, a death at any moment is not."""

import shutil

import pytest

from storage import record_number
from storage.database import Database
from storage.errors import SafetyRecordRolledBack, StorageFault
from storage.home import write_durably
from storage.record_number import FILE_NAME, RecordNumber

CHAIN_ID = bytes(range(32))


@pytest.fixture
def keys(tmp_path):
    directory = tmp_path / "keys"
    directory.mkdir()
    return directory


def open_home(tmp_path):
    return Database.open(tmp_path / "home", CHAIN_ID)


def test_a_node_starts_again_and_again(tmp_path, keys):
    for _ in range(3):
        with open_home(tmp_path) as database:
            number = RecordNumber(database, keys)
            number.check()
            number.rise()
            number.rise()
    assert (keys / FILE_NAME).read_bytes() == b"number 6\n"


def test_an_older_copy_is_refused_with_the_remedy(tmp_path, keys):
    with open_home(tmp_path) as database:
        RecordNumber(database, keys).rise()
    shutil.copytree(tmp_path / "home", tmp_path / "copy")
    with open_home(tmp_path) as database:
        RecordNumber(database, keys).rise()
    shutil.rmtree(tmp_path / "home")
    shutil.copytree(tmp_path / "copy", tmp_path / "home")
    with open_home(tmp_path) as database:
        for _ in range(2):
            with pytest.raises(SafetyRecordRolledBack, match=r"number 1, .* number 2: .*Put back the data directory"):
                RecordNumber(database, keys).check()


def test_a_death_between_the_two_writes_is_no_older_copy(tmp_path, keys, monkeypatch):
    def die(path, content):
        raise KeyboardInterrupt

    with open_home(tmp_path) as database:
        number = RecordNumber(database, keys)
        number.rise()
        monkeypatch.setattr(record_number, "write_durably", die)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                number.rise()
            number.check()
        monkeypatch.setattr(record_number, "write_durably", write_durably)
        number.rise()
        number.check()
    assert (keys / FILE_NAME).read_bytes() == b"number 4\n"


def test_keys_put_back_from_their_first_copy_are_no_older_data(tmp_path, keys):
    with open_home(tmp_path) as database:
        number = RecordNumber(database, keys)
        number.rise()
        (keys / FILE_NAME).unlink()
        number.check()


@pytest.mark.parametrize("content", [b"", b"number \n", b"number 01\n", b"number 5", b"x" * 1_000])
def test_an_unreadable_mark_is_refused_not_ignored(tmp_path, keys, content):
    (keys / FILE_NAME).write_bytes(content)
    with open_home(tmp_path) as database, pytest.raises(StorageFault, match="unreadable"):
        RecordNumber(database, keys).check()
