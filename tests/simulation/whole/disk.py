"""A disk that forgets what was not synced: LevelDB in memory, and segment files that can be torn.

Responsible for: what a power cut leaves. The stores above it are the real ones, record formats and recovery included.
Refuses to do: lie. What a synced write returned for is there.

Invariants:
1. A synced write is there whole. A plain one may be lost in a power cut, alone or with others, even if later ones
   survive (`storage/database.py`, invariant 3).
2. A write that a power cut meets is there or not; appended bytes may be there in part.
"""

import bisect
import os
import random
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consensus.genesis import Genesis
from sequencer.node.recovery import Stores
from storage.batches import BatchLog
from storage.blocks import BlockStore
from storage.chain import ChainStore
from storage.database import Database
from storage.keyspace import BATCH_DIGEST, id_key
from storage.safety import SafetyStore
from storage.segments import HEAD_BYTES, BatchRecord

PLAIN_WRITES_AT_RISK = 64  # LevelDB changes its log file now and then; what is older is taken as synced
MEMORY = Path("/dev/shm")

Change = tuple[bytes, bytes | None]  # a key and its value; None: not there


@dataclass(frozen=True, slots=True)
class PlainWrite:
    """A write that a power cut may undo: its number, and the values before it."""

    number: int
    before: list[Change]


class SimulatedLevelDb:
    """As much of plyvel's `DB` as `storage.database.Database` calls."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []  # sorted
        self._writers: dict[bytes, int] = {}  # the number of the write that a key's value is from
        self._plain: deque[PlainWrite] = deque(maxlen=PLAIN_WRITES_AT_RISK)
        self._count = 0

    def get(self, key: bytes, *, verify_checksums: bool = False) -> bytes | None:
        return self._values.get(key)

    def write_batch(self, *, sync: bool) -> "WriteBatch":
        return WriteBatch(self, sync)

    @contextmanager
    def iterator(
        self,
        *,
        start: bytes,
        stop: bytes | None,
        verify_checksums: bool,
        reverse: bool = False,
        include_value: bool = True,
    ) -> Iterator[Iterator[tuple[bytes, bytes] | bytes]]:
        first = bisect.bisect_left(self._keys, start)
        last = len(self._keys) if stop is None else bisect.bisect_left(self._keys, stop)
        places = range(last - 1, first - 1, -1) if reverse else range(first, last)
        keys = (self._keys[place] for place in places)
        yield ((key, self._values[key]) for key in keys) if include_value else keys

    def close(self) -> None:
        """The values stay: they are what the next `Database` finds."""

    def apply(self, changes: Sequence[Change], *, sync: bool) -> None:
        self._count += 1
        if not sync:
            self._plain.append(PlainWrite(self._count, [(key, self._values.get(key)) for key, _ in changes]))
        for key, value in changes:
            self._set(key, value)
            self._writers[key] = self._count

    def _set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self._values.pop(key, None) is not None:
                del self._keys[bisect.bisect_left(self._keys, key)]
            return
        if key not in self._values:
            bisect.insort(self._keys, key)
        self._values[key] = value

    def lose_plain_writes(self, is_lost: Callable[[], bool]) -> None:
        """A power cut: each plain write at risk is asked about, the newest first."""
        for write in reversed(self._plain):
            if is_lost():
                for key, old in reversed(write.before):
                    if self._writers[key] == write.number:
                        self._set(key, old)
        self._plain.clear()

    def copy(self) -> "SimulatedLevelDb":
        """What an operator's backup holds."""
        copied = SimulatedLevelDb()
        copied._values, copied._keys = dict(self._values), list(self._keys)
        return copied


class WriteBatch:
    """As much of plyvel's `WriteBatch` as `Database.write` calls."""

    def __init__(self, leveldb: SimulatedLevelDb, sync: bool) -> None:
        self._leveldb = leveldb
        self._sync = sync
        self._changes: list[Change] = []

    def put(self, key: bytes, value: bytes) -> None:
        self._changes.append((key, value))

    def delete(self, key: bytes) -> None:
        self._changes.append((key, None))

    def write(self) -> None:
        self._leveldb.apply(self._changes, sync=self._sync)


class _NoLock:
    def release(self) -> None:
        """One process runs all nodes."""


class NodeDisk:
    """One node's LevelDB and its folder of segment files."""

    def __init__(self, chain: Genesis, folder: Path, segment_bytes: int) -> None:
        self._chain = chain
        self._folder = folder
        self._segment_bytes = segment_bytes
        self.leveldb = SimulatedLevelDb()
        self.stores: Stores | None = None

    def open(self) -> Stores:
        """What a start finds. Raises `StorageFault` as the real stores do."""
        database = Database(self.leveldb, _NoLock(), self._folder)  # type: ignore[arg-type]
        database._check_identity = lambda chain_id: None  # type: ignore[method-assign]
        batches = BatchLog.open(self._folder, database, self._chain.chain_id, segment_bytes=self._segment_bytes)
        self.stores = Stores(
            _NoLock(),  # type: ignore[arg-type]
            database,
            batches,
            SafetyStore(database),
            ChainStore(database),
            BlockStore(database),
        )
        return self.stores

    def close(self) -> None:
        """The process is gone."""
        if self.stores is not None:
            self.stores.batches.close()
            self.stores = None

    def contains(self, digest: bytes) -> bool:
        """Whether the batch is indexed, which a node that is down may have to do again at its start."""
        return self.leveldb.get(id_key(BATCH_DIGEST, digest)) is not None

    def append_torn(self, records: list[BatchRecord], rng: random.Random) -> None:
        """A power cut in the middle of appending: of the last group some bytes are there, and no index entry.

        If the group before it filled a file, that file was synced, and its index with it.
        """
        assert self.stores is not None
        before = {path: path.stat().st_size for path in self._folder.glob("*.seg")}
        at_risk, self.leveldb._plain = self.leveldb._plain, deque(maxlen=PLAIN_WRITES_AT_RISK)
        self.stores.batches.append_many(records, lambda: 0)
        self.leveldb.lose_plain_writes(lambda: True)
        self.leveldb._plain = at_risk
        last = max(self._folder.glob("*.seg"))
        begin, end = before.get(last, HEAD_BYTES), last.stat().st_size
        if end > begin:
            os.truncate(last, rng.randrange(begin, end + 1))

    def power_cut(self, rng: random.Random) -> None:
        """Call it after `close`."""
        self.leveldb.lose_plain_writes(lambda: rng.random() < 0.5)


class Disks:
    """The folder of all nodes of one run; gone when the run is."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None))

    def make(self, chain: Genesis, index: int, segment_bytes: int) -> NodeDisk:
        return NodeDisk(chain, self._folder / str(index), segment_bytes)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
