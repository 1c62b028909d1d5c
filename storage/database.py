"""The one LevelDB database of a node: opened exclusively, written in atomic batches, never used again after a fault.

Refuses to open a home that another process uses, a database of another chain or another format, and a database whose
files are damaged or partly missing. Knows nothing of what the values mean.

Invariants:
1. A synced write that returned is on disk. A write is atomic: after a crash all of it is there or none.
2. After a failed write every later write raises the same fault. LevelDB itself would go on: synced writes after a torn
   record return without an error, and none of them is there after a restart.
3. A *plain* (unsynced) write survives the death of the process but not a power cut, and a later synced write does not
   make it durable: LevelDB changes to a new log file without syncing the old one. So plain writes are for what can be
   rebuilt; records that only make sense together, or in order, belong in synced writes.
4. A key read is checked against the checksum of its block on disk.

Threads: any number may read; writers take turns. A plain write waits while another thread's synced write is running,
so it takes microseconds only where nothing is being synced: keep it off an event loop that also has a thread syncing.
A large write holds the turn (about 1 µs per put): more than `PUTS_PER_WRITE` puts are better split, where they need
not be atomic.
`close` waits for running reads and writes: LevelDB takes the whole process down if it is closed under a read.
"""

import secrets
import threading
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import plyvel

from storage import durable
from storage.errors import HomeInUse, OtherChain, OtherFormat, StorageFault, fault_from
from storage.home import DirectoryLock, database_directory, make_directory, sync_directory
from storage.keyspace import IDENTITY, U32, Put, checked_id

FORMAT_VERSION = 1
PUTS_PER_WRITE = 1_000

# Drawn at each opening: validators write the same, and would all compact at the same moment.
_WRITE_BUFFERS_MIB = range(8, 25)
_FILE_BYTES_MAX = 8 * 1024 * 1024
_CACHE_BYTES = 32 * 1024 * 1024
_OPEN_FILES_MAX = 512
_BLOOM_BITS_PER_KEY = 10  # a batch or transaction that is not there is asked for as often as one that is


class Database:
    """An open database. Get one from `open`; use it as a context manager or call `close`."""

    def __init__(self, leveldb: Any, lock: DirectoryLock, path: Path) -> None:
        self._leveldb = leveldb
        self._lock = lock
        self._path = path
        self._turn = threading.Lock()
        self._reads = _Reads()
        self._fault: StorageFault | None = None
        self._closed = False

    @classmethod
    def open(cls, home: Path, chain_id: bytes) -> Self:
        """Lock the home and open its database, making both if they are missing.

        Raises HomeInUse, OtherChain, OtherFormat, or StorageFault (damaged, partly missing, disk full).
        """
        checked_id(chain_id)
        lock = DirectoryLock.acquire(home)
        try:
            path = database_directory(home)
            make_directory(path)
            _refuse_missing_current(path)
            database = cls(_open_leveldb(path), lock, path)
            try:
                database._check_identity(chain_id)
            except BaseException:
                database._leveldb.close()
                raise
        except BaseException:
            lock.release()
            raise
        return database

    def close(self) -> None:
        """Wait for running reads and writes, then close; a second call does nothing. Later calls raise StorageFault."""
        self._reads.end()
        with self._turn:
            if not self._closed:
                self._closed = True
                self._fault = self._fault or StorageFault(f"{self._path} is closed")
                self._leveldb.close()
                self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, puts: Iterable[Put], deletes: Iterable[bytes] = (), *, sync: bool) -> None:
        """Apply puts, then deletes, as one atomic change; with `sync` it is on disk on return (run that in a thread).

        Raises DiskFull or StorageFault, then and on every later call.
        """
        with self._reads:
            batch = self._leveldb.write_batch(sync=sync)
        for key, value in puts:
            batch.put(key, value)
        for key in deletes:
            batch.delete(key)
        with self._turn:
            if self._fault is not None:
                raise self._fault
            try:
                durable.write_database(self._path, batch.write, sync=sync)
            except (plyvel.Error, OSError) as error:
                self._fault = fault_from(error, f"writing to {self._path}")
                raise self._fault from error

    def get(self, key: bytes) -> bytes | None:
        """The value, or None. Raises StorageFault if the disk fails or the stored block is damaged."""
        try:
            with self._reads:
                value: bytes | None = self._leveldb.get(key, verify_checksums=True)
        except (plyvel.Error, OSError) as error:
            raise fault_from(error, f"reading {self._path}") from error
        return value

    def iterate(
        self, prefix: bytes, *, start: bytes = b"", stop: bytes | None = None, reverse: bool = False, limit: int
    ) -> Sequence[Put]:
        """At most `limit` (key, value) pairs whose key is prefix ‖ rest with start ≤ rest < stop, in order or reversed.

        Keys come back whole. It is a list, not an iterator: nothing stays open, and the bound is explicit.
        """
        last = _after(prefix) if stop is None else prefix + stop
        found: list[Put] = self._scan(limit, start=prefix + start, stop=last, reverse=reverse)
        return found

    def list_keys(self, prefix: bytes, *, start: bytes = b"", limit: int) -> list[bytes]:
        """Like `iterate`, of the keys alone: values that are large and not wanted are not read."""
        found: list[bytes] = self._scan(limit, start=prefix + start, stop=_after(prefix), include_value=False)
        return found

    def _scan(self, limit: int, **options: Any) -> list[Any]:
        """The first `limit` things that LevelDB's iterator gives."""
        if limit <= 0:
            return []
        try:
            with self._reads, self._leveldb.iterator(verify_checksums=True, **options) as iterator:
                return list(islice(iterator, limit))
        except (plyvel.Error, OSError) as error:
            raise fault_from(error, f"reading {self._path}") from error

    def _check_identity(self, chain_id: bytes) -> None:
        stored = self.get(IDENTITY)
        if stored is None:
            if self.iterate(b"", limit=1):
                raise StorageFault(f"{self._path} holds data but does not say of which chain: it is damaged")
            self.write([(IDENTITY, U32.pack(FORMAT_VERSION) + chain_id)], sync=True)
            sync_directory(self._path)
            return
        if len(stored) < U32.size:
            raise StorageFault(f"{self._path} has an unreadable identity: it is damaged")
        (found_format,) = U32.unpack_from(stored)
        if found_format != FORMAT_VERSION:
            raise OtherFormat(self._path, found=found_format, expected=FORMAT_VERSION)
        found = stored[U32.size :]
        if found != chain_id:
            raise OtherChain(
                self._path,
                found=found,
                expected=chain_id,
                remedy="Start with the genesis this home was made for, or choose another home; nothing was changed.",
            )


class _Reads:
    """The running reads, counted, so that a close can wait for them and none begins after it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._ended = False

    def __enter__(self) -> None:
        with self._changed:
            if self._ended:
                raise StorageFault("the database is closed")
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._running -= 1
            if self._ended:
                self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: self._running == 0)


def _open_leveldb(path: Path) -> Any:
    try:
        return plyvel.DB(
            str(path),
            create_if_missing=True,
            # Without it LevelDB drops damaged log records in silence; a torn tail is accepted either way.
            paranoid_checks=True,
            write_buffer_size=secrets.choice(_WRITE_BUFFERS_MIB) * 1024 * 1024,
            max_file_size=_FILE_BYTES_MAX,
            lru_cache_size=_CACHE_BYTES,
            max_open_files=_OPEN_FILES_MAX,
            bloom_filter_bits=_BLOOM_BITS_PER_KEY,
            compression=None,  # hashes and signatures do not shrink
        )
    except (plyvel.Error, OSError) as error:
        fault = fault_from(error, f"opening {path}")
        if "LOCK" in str(fault) and ("already held" in str(fault) or "temporarily unavailable" in str(fault)):
            raise HomeInUse(path, None) from error
        raise fault from error


def _refuse_missing_current(path: Path) -> None:
    """LevelDB takes a directory without CURRENT for a new database and would start an empty one over lost data."""
    if (path / "CURRENT").exists():
        return
    for entry in path.iterdir():
        if entry.suffix in {".ldb", ".sst", ".log"}:
            raise StorageFault(f"{path} has data files but no CURRENT file: it is damaged; restore it from a copy")


def _after(prefix: bytes) -> bytes | None:
    """The smallest key greater than every key with this prefix; None if there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
