"""The batch log: append-only segment files that hold every batch as received, and the index that finds them.

The bytes live in files because LevelDB would rewrite them again and again while compacting. Writes and index are
ordered so that a crash at any moment leaves a log that can be believed:

    write the group → fdatasync → ask the arrival time → put the index entries (plain) → return

Invariants:
1. The index never points at bytes that have not been synced, and `append_many` returns only after the sync: what it
   returned is *held*.
2. Every synced batch is in the index after `open`: files from the first incomplete one on are scanned, and what the
   index lacks is added with received_ms as its arrival. (Plain index entries can be lost in a power cut, even when
   later ones survive; so when a file is closed its entries are written again, synced, and only then is it marked
   complete.)
3. A torn tail is cut off at `open`; damage before it is a StorageFault that names file and offset, and so is damage
   met by a read. Nothing is skipped.
4. After a failed write the log refuses every later one: an fsync that failed once may report success the next time.
5. A digest is stored once; several digests of one (author, seq) are all kept: the other fork may be the ordered one.
6. The oldest files can be pruned. What is still needed of one is appended again before; its index entries go, synced,
   before the file does. A read that meets this looks again.

Threads: appends take turns; reads run beside them.
"""

import os
import secrets
import struct
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

from storage import durable, segments
from storage.batch_index import StoredBatch, decode_entry, index_puts
from storage.database import PUTS_PER_WRITE, Database
from storage.errors import DamagedRecord, StorageFault, fault_from, faults_mapped
from storage.home import make_directory, sync_directory
from storage.keyspace import (
    BATCH_DIGEST,
    BATCH_FIRST_FILE,
    BATCH_INDEX_COMPLETE,
    BATCH_LANE,
    BATCH_SYNCED_END,
    U32,
    checked_id,
    decode_lane_key,
    id_key,
    lane_position,
)
from storage.pruned_files import FileShares, copied_groups
from storage.segments import BatchRecord, FoundRecord

SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENT_RECORDS_MAX = 8_192  # bounds what is indexed again when a file is closed, and scanned at open

_PLACE = struct.Struct(">II")


class BatchLog:
    """The open log. Get it from `open`; it lives as long as the database it was opened with."""

    def __init__(self, directory: Path, database: Database, chain_id: bytes, segment_bytes: int) -> None:
        self._directory = directory
        self._database = database
        self._chain_id = chain_id
        self._segment_bytes = segment_bytes
        self._turn = threading.Lock()
        self._fault: StorageFault | None = None
        self._descriptor: int | None = None
        self._file = 0
        self._first_file = 1  # all earlier ones are pruned
        self._file_shares = FileShares(self._scan_closed)
        self._mark = b""
        self._end = 0
        self._incomplete: list[StoredBatch] = []  # entries of the current file, to be written again when it is closed

    @classmethod
    def open(cls, directory: Path, database: Database, chain_id: bytes, *, segment_bytes: int = SEGMENT_BYTES) -> Self:
        """Find the end of the log, cut off a torn tail, complete the index, and make ready to append.

        Reads the files whose index is not known to be complete: normally one, at most `segment_bytes` or one record.
        Raises DamagedRecord, OtherChain or StorageFault.
        """
        log = cls(directory, database, checked_id(chain_id), segment_bytes)
        make_directory(directory)
        log._recover()
        return log

    def close(self) -> None:
        """Close the current file once a running append is done; a second call does nothing."""
        with self._turn:
            self._close_file()
            self._fault = self._fault or StorageFault("the batch log is closed")

    def append_many(self, records: Iterable[BatchRecord], arrival_ms: Callable[[], int]) -> list[StoredBatch]:
        """Hold batches: one write and one sync for all of them (one more for each file begun). Run it in a thread.

        `arrival_ms` is called after the sync and returns the wall time in ms since 1970. A batch that is already held
        is not written again and comes back as it is stored. Raises DiskFull or StorageFault, then and ever after.
        """
        with self._turn:
            if self._fault is not None:
                raise self._fault
            wanted = list(records)
            held = {record.digest: self.find(record.digest) for record in wanted}
            fresh = list({record.digest: record for record in wanted if held[record.digest] is None}.values())
            try:
                while fresh:
                    descriptor = self._file_for(fresh)
                    group = fresh[: max(1, self._room_for(fresh))]
                    for batch in self._append_group(descriptor, group, arrival_ms):
                        held[batch.digest] = batch
                    fresh = fresh[len(group) :]
            except StorageFault as fault:
                self._fault = fault
                raise
            return [stored for record in wanted if (stored := held[record.digest]) is not None]

    def contains(self, digest: bytes) -> bool:
        """Whether the batch is held."""
        return self._database.get(id_key(BATCH_DIGEST, digest)) is not None

    def find(self, digest: bytes) -> StoredBatch | None:
        """Where the batch is and when it arrived, or None if it is not held."""
        value = self._database.get(id_key(BATCH_DIGEST, digest))
        return None if value is None else decode_entry(digest, value)

    def read(self, digest: bytes) -> bytes | None:
        """The bytes of a batch as received, or None if it is not held. Raises DamagedRecord or StorageFault."""
        stored = self.find(digest)
        while stored is not None:
            try:
                return self.read_stored(stored)
            except StorageFault:
                before, stored = stored, self.find(digest)
                if stored == before:
                    raise
        return None

    def read_stored(self, stored: StoredBatch) -> bytes:
        """The bytes of a held batch, checked against checksum and index. Raises DamagedRecord or StorageFault."""
        path = self._path(stored.file)
        size = segments.RECORD_HEAD_BYTES + stored.length
        with faults_mapped(f"reading {path} at byte {stored.offset}"):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                content = os.pread(descriptor, size, stored.offset)
            finally:
                os.close(descriptor)
        record = segments.decode_record(content, path, stored.offset)
        if (record.author, record.seq, record.digest) != (stored.author, stored.seq, stored.digest):
            raise DamagedRecord(path, stored.offset, "it is another batch than the index says")
        return record.batch

    def list_lane(self, author: int, from_seq: int, limit: int) -> Sequence[StoredBatch]:
        """At most `limit` held batches of a lane with seq ≥ from_seq, by seq, then digest; forks stand side by side."""
        start = lane_position(author, from_seq)
        keys = self._database.list_keys(BATCH_LANE + start[:2], start=start[2:], limit=limit)
        return [stored for key in keys if (stored := self._indexed(key)) is not None]

    def _indexed(self, key: bytes) -> StoredBatch | None:
        """None if it was pruned since the key was read."""
        digest = decode_lane_key(key)[2]
        stored = self.find(digest)
        if stored is None and self._database.get(key) is not None:
            raise StorageFault(f"the index of lanes names batch {digest.hex()}, the index of digests does not know it")
        return stored

    def prune_oldest(self, is_needed: Callable[[int, int], bool]) -> int | None:
        """Remove the oldest file if it is closed; returns the bytes that were freed, None if nothing was done.

        `is_needed(author, seq)`, which rises with `seq`: such batches are appended again, with their arrival times. The
        file is left alone unless, with as many files behind it as that takes, at most a quarter is needed: a lane that
        nobody orders must not keep all that lies behind it. Reads files; run it in a thread. Raises DiskFull or
        StorageFault.
        """
        number = self._first_file
        if not self._file_shares.is_worth_pruning(number, self._file, is_needed):
            return None
        path = self._path(number)
        records = self._scan_closed(number)
        needed = [record for record in records if is_needed(record.author, record.seq)]
        self._append_again([batch for record in needed if (batch := self.find(record.digest)) is not None])
        kept = {record.digest for record in needed}
        self._forget([self._found_batch(number, record) for record in records if record.digest not in kept])
        size = path.stat().st_size
        self._database.write([(BATCH_FIRST_FILE, U32.pack(number + 1))], sync=True)
        self._first_file = number + 1
        self._file_shares.forget(number)
        self._remove_file(number)
        return size

    def _scan_closed(self, number: int) -> Sequence[FoundRecord]:
        found = segments.scan(self._path(number), chain_id=self._chain_id, number=number, synced_end=0, last=False)
        return found.records if found is not None else ()

    def _append_again(self, batches: Sequence[StoredBatch]) -> None:
        """A group at a time: appends of new batches take turns with them, and every group costs one sync."""
        for group in copied_groups(batches):
            with self._turn:
                if self._fault is not None:
                    raise self._fault
                try:
                    self._append_copies([self._copy(stored) for stored in group if stored.file == self._first_file])
                except StorageFault as fault:
                    self._fault = fault
                    raise

    def _copy(self, stored: StoredBatch) -> BatchRecord:
        return BatchRecord(stored.author, stored.seq, stored.digest, stored.arrival_ms, self.read_stored(stored))

    def _append_copies(self, records: list[BatchRecord]) -> None:
        while records:
            descriptor = self._file_for(records)
            group = records[: max(1, self._room_for(records))]
            self._append_group(descriptor, group, lambda: None)
            records = records[len(group) :]

    def _forget(self, batches: Sequence[StoredBatch]) -> None:
        """Takes index entries away, synced: no entry outlives the bytes."""
        keys = [key for key, _ in index_puts(batches)]
        for start in range(0, len(keys), PUTS_PER_WRITE):
            self._database.write((), keys[start : start + PUTS_PER_WRITE], sync=True)

    def _remove_file(self, number: int) -> None:
        with faults_mapped(f"removing {self._path(number)}"):
            durable.remove(self._path(number))
        sync_directory(self._directory)

    def _file_for(self, fresh: list[BatchRecord]) -> int:
        """The current file's descriptor, or a new file's if none of these records fits; an empty file takes any one."""
        if self._descriptor is None or (self._room_for(fresh) == 0 and self._end > segments.HEAD_BYTES):
            return self._begin_file()
        return self._descriptor

    def _room_for(self, fresh: list[BatchRecord]) -> int:
        """How many of these records, from the first on, the current file still takes."""
        end = self._end
        count = 0
        for record in fresh[: max(0, SEGMENT_RECORDS_MAX - len(self._incomplete))]:
            end += segments.RECORD_HEAD_BYTES + len(record.batch)
            if end > self._segment_bytes:
                break
            count += 1
        return count

    def _append_group(
        self, descriptor: int, group: list[BatchRecord], arrival_ms: Callable[[], int | None]
    ) -> list[StoredBatch]:
        """`arrival_ms` returns None for copies: each keeps its own, which is its `received_ms`."""
        parts = [segments.encode_record(record, mark=self._mark, group=self._end) for record in group]
        path = self._path(self._file)
        try:
            durable.append(descriptor, path, b"".join(parts))
            durable.sync_data(descriptor, path)
        except OSError as error:
            raise fault_from(error, f"appending to {path}") from error
        arrived_ms = arrival_ms()
        stored: list[StoredBatch] = []
        for record, part in zip(group, parts, strict=True):
            stored.append(
                StoredBatch(
                    record.author,
                    record.seq,
                    record.digest,
                    record.received_ms if arrived_ms is None else arrived_ms,
                    self._file,
                    self._end,
                    len(record.batch),
                )
            )
            self._end += len(part)
        self._incomplete.extend(stored)
        puts = index_puts(stored)
        puts.append((BATCH_SYNCED_END, _PLACE.pack(self._file, self._end)))
        self._database.write(puts, sync=False)
        return stored

    def _begin_file(self) -> int:
        """Close the current file, make its index durable, and begin the next one, its head and name synced."""
        self._close_file()
        self._complete_index(self._incomplete, self._file + 1)
        self._incomplete = []
        number = self._file + 1
        path = self._path(number)
        mark = secrets.token_bytes(segments.MARK_BYTES)
        with faults_mapped(f"beginning {path}"):
            self._descriptor = descriptor = durable.create(path, os.O_EXCL | os.O_APPEND)
            durable.append(descriptor, path, segments.encode_head(self._chain_id, number, mark))
            durable.sync_file(descriptor, path)
        sync_directory(self._directory)
        self._file, self._mark, self._end = number, mark, segments.HEAD_BYTES
        return descriptor

    def _complete_index(self, stored: list[StoredBatch], next_file: int) -> None:
        """Write entries again, synced, and mark every file before `next_file` complete: entries first, mark last."""
        puts = index_puts(stored)
        for start in range(0, len(puts), PUTS_PER_WRITE):
            self._database.write(puts[start : start + PUTS_PER_WRITE], sync=True)
        self._database.write([(BATCH_INDEX_COMPLETE, U32.pack(next_file))], sync=True)

    def _close_file(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _recover(self) -> None:
        numbers = self._file_numbers()
        complete, (synced_file, synced_end) = self._load_marks()
        for number in sorted(number for number in numbers if number < self._first_file):
            self._remove_file(number)
        last = max(numbers, default=0)
        missing = set(range(self._first_file, max(last, complete - 1, synced_file) + 1)) - numbers
        if missing:
            raise StorageFault(f"segment file {self._path(min(missing))} is missing; restore it from a copy")
        self._file = last
        for number in range(complete, last + 1):
            found = segments.scan(
                self._path(number),
                chain_id=self._chain_id,
                number=number,
                synced_end=synced_end if number == synced_file else 0,
                last=number == last,
            )
            if found is None:
                self._remove_file(number)
                self._file = number - 1
            else:
                self._adopt(number, found)

    def _adopt(self, number: int, found: segments.Scan) -> None:
        """Make a scanned file the current one: cut its torn tail, sync what is left, then index all of it."""
        self._close_file()
        if self._incomplete:
            self._complete_index(self._incomplete, number)
        path = self._path(number)
        with faults_mapped(f"recovering {path}"):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            durable.truncate(self._descriptor, path, found.end)
            durable.sync_file(self._descriptor, path)
        stored = [self._found_batch(number, record) for record in found.records]
        puts = [*index_puts(stored), (BATCH_SYNCED_END, _PLACE.pack(number, found.end))]
        for start in range(0, len(puts), PUTS_PER_WRITE):
            self._database.write(puts[start : start + PUTS_PER_WRITE], sync=False)
        self._file, self._mark, self._end, self._incomplete = number, found.mark, found.end, stored

    def _found_batch(self, number: int, record: FoundRecord) -> StoredBatch:
        indexed = self.find(record.digest)
        arrival_ms = record.received_ms if indexed is None else indexed.arrival_ms
        return StoredBatch(record.author, record.seq, record.digest, arrival_ms, number, record.offset, record.length)

    def _file_numbers(self) -> set[int]:
        with faults_mapped(f"listing {self._directory}"):
            names = [path.name for path in self._directory.glob("*.seg")]
        numbers = {int(name[:-4]) for name in names if name[:-4].isdecimal()}
        if {segments.file_name(number) for number in numbers} != set(names):
            raise StorageFault(f"{self._directory} holds a file that is not a segment file of this log")
        return numbers

    def _load_marks(self) -> tuple[int, tuple[int, int]]:
        """Notes the first file; the first with a doubtful index; the (file, offset) up to which all is synced."""
        complete = self._database.get(BATCH_INDEX_COMPLETE)
        synced = self._database.get(BATCH_SYNCED_END)
        first_file = self._database.get(BATCH_FIRST_FILE)
        try:
            (self._first_file,) = (1,) if first_file is None else U32.unpack(first_file)
            (first,) = (1,) if complete is None else U32.unpack(complete)
            file, offset = (0, 0) if synced is None else _PLACE.unpack(synced)
        except struct.error:
            raise StorageFault("the marks of the batch log are unreadable: the database is damaged") from None
        return first, (file, offset)

    def _path(self, number: int) -> Path:
        return self._directory / segments.file_name(number)
