"""What each way of dying leaves of each operation: what was synced stays, what was not is lost in a power cut."""

import os

import pytest

from sequencer.node.dying_disk import DyingDisk
from sequencer.node.errors import ConfigError
from sequencer.node.failpoints import Failpoints
from storage import durable
from storage.database import Database
from storage.home import make_directory, write_durably

CHAIN_ID = bytes(range(32))


class Died(BaseException):
    """In place of SIGKILL."""


def die(place):
    raise Died(place)


@pytest.fixture
def arm():
    """`arm(number, way)`: from now on."""
    yield lambda number, way: durable.set_witness(DyingDisk(number, way, die))
    durable.set_witness(None)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    yield descriptor, path
    os.close(descriptor)


def died(*steps):
    """Runs the steps; returns where it died."""

    def run():
        for step in steps:
            step()

    with pytest.raises(Died) as death:
        run()
    return str(death.value)


@pytest.mark.parametrize(
    ("number", "way", "left"),
    [
        (1, "before", b"old"),
        (1, "middle", b"old12"),
        (1, "after", b"old1234"),
        (1, "lost", b"old"),
        (2, "before", b"old1234"),
        (2, "middle", b"old12"),
        (2, "after", b"old1234"),
        (2, "lost", b"old1234"),
        (3, "middle", b"old123456"),
        (3, "lost", b"old1234"),
    ],
)
def test_an_append(arm, file, number, way, left):
    descriptor, path = file
    arm(number, way)
    place = died(
        lambda: durable.append(descriptor, path, b"1234"),
        lambda: durable.sync_data(descriptor, path),
        lambda: durable.append(descriptor, path, b"5678"),
    )
    assert place == f"{number} {way} {'sync_file' if number == 2 else 'append'} file"
    assert path.read_bytes() == left


@pytest.mark.parametrize(
    ("number", "way", "left"),
    [
        (1, "after", b""),
        (3, "after", b"new"),
        (3, "lost", None),  # its content is synced, its name is not
        (4, "before", b"new"),
        (4, "middle", None),
        (4, "lost", b"new"),
    ],
)
def test_a_new_file(arm, tmp_path, number, way, left):
    path = tmp_path / "new"
    arm(number, way)

    def make():
        descriptor = durable.create(path, os.O_EXCL)
        durable.append(descriptor, path, b"new")
        durable.sync_file(descriptor, path)
        os.close(descriptor)
        durable.sync_directory(tmp_path)

    died(make)
    assert (path.read_bytes() if path.exists() else None) == left


@pytest.mark.parametrize(
    ("number", "way", "left"),
    [(3, "lost", b"old"), (4, "before", b"old"), (4, "after", b"new"), (4, "lost", b"old"), (5, "lost", b"new")],
)
def test_a_replaced_file(arm, tmp_path, number, way, left):
    path = tmp_path / "mark"
    write_durably(path, b"old")
    arm(number, way)
    died(lambda: write_durably(path, b"new"))
    assert path.read_bytes() == left


def test_a_name_that_was_taken_away_comes_back_until_its_directory_is_synced(arm, file, tmp_path):
    descriptor, path = file
    arm(2, "lost")
    died(lambda: durable.truncate(descriptor, path, 1), lambda: durable.remove(path))
    assert path.read_bytes() == b"old"
    arm(2, "lost")
    died(lambda: durable.remove(path), lambda: durable.sync_directory(tmp_path))
    assert not path.exists()


@pytest.mark.parametrize(("number", "way", "left"), [(1, "lost", False), (2, "before", True), (2, "lost", True)])
def test_a_directory(arm, tmp_path, number, way, left):
    arm(number, way)
    died(lambda: make_directory(tmp_path / "one"))
    assert (tmp_path / "one").exists() == left


@pytest.mark.parametrize(
    ("number", "way", "left"),
    [
        (1, "before", ()),
        (1, "middle", ()),
        (1, "after", (1,)),
        (1, "lost", ()),
        (2, "before", (1,)),
        (2, "middle", (1,)),
        (2, "lost", (1, 2)),
        (3, "after", (1, 2, 3)),
        (3, "lost", (1, 2)),
    ],
)
def test_writes_of_the_database(arm, tmp_path, number, way, left):
    """The first and the third are plain, the second is synced, and what it syncs is its whole log."""
    with Database.open(tmp_path, CHAIN_ID) as database:
        arm(number, way)
        died(
            *(
                lambda value=value: database.write([(b"k%d" % value, b"v" * 100)], sync=value == 2)
                for value in (1, 2, 3)
            )
        )
        durable.set_witness(None)
    with Database.open(tmp_path, CHAIN_ID) as database:
        assert tuple(value for value in (1, 2, 3) if database.get(b"k%d" % value) is not None) == left


@pytest.mark.parametrize(
    "entry", ["disk_operation", "disk_operation:3", "disk_operation:x:lost", "disk_operation:3:no"]
)
def test_an_operation_or_way_that_does_not_exist_is_refused(entry):
    with pytest.raises(ConfigError):
        Failpoints([entry])
