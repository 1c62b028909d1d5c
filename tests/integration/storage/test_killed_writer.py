"""Kill −9 at random moments: whatever a returned call made durable is there afterwards, byte for byte."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from storage.batches import BatchLog
from storage.database import Database
from storage.home import batches_directory
from storage.safety import SafetyStore

HERE = Path(__file__).resolve().parent
ROUNDS = 8


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    import importlib.util

    spec = importlib.util.spec_from_file_location("killed_writer", HERE / "killed_writer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_and_kill(home: Path, first: int, lines_wanted: int) -> list[str]:
    """Run the writer on the home, kill it once it has said `lines_wanted` lines, and return all that it said."""
    child = subprocess.Popen(
        [sys.executable, str(HERE / "killed_writer.py"), str(home), str(first)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
    )
    assert child.stdout is not None
    with child.stdout as stdout:
        try:
            said = [stdout.readline() for _ in range(lines_wanted)]
        finally:
            child.send_signal(signal.SIGKILL)
        said += stdout.readlines()
    assert child.wait() == -signal.SIGKILL
    return [line.decode().strip() for line in said if line.endswith(b"\n")]


def test_everything_said_to_be_synced_survives_kill_9(tmp_path, writer):
    home = tmp_path / "home"
    moments = random.Random(2024)
    batches: set[int] = set()
    for _ in range(ROUNDS):
        first = max(batches, default=0) + 1_000
        said = [line.split() for line in write_and_kill(home, first, moments.randint(1, 120))]
        batches |= {int(number) for what, number in said if what == "batch"}
        turns = [int(number) for what, number in said if what == "record"]

        with Database.open(home, writer.CHAIN_ID) as database:
            log = BatchLog.open(batches_directory(home), database, writer.CHAIN_ID, segment_bytes=writer.SEGMENT_BYTES)
            for number in batches:
                assert log.read(writer.digest_of(number)) == writer.batch_of(number)
            found = SafetyStore(database).load()
            if turns:
                assert found is not None
                # The last write may have returned without the line about it having left.
                assert found.record in (writer.record_of(turns[-1]), writer.record_of(turns[-1] + 1))
            listed = log.list_lane(1, 0, 100_000)
            assert batches <= {one.seq for one in listed}
            assert all(log.read_stored(one) == writer.batch_of(one.seq) for one in listed)
            log.close()
    assert len(batches) > 100
