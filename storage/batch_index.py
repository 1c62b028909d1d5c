"""Where held batches are: the index entries of the batch log, as they stand in the database.

Responsible for: their one form.
Refuses to do: read or write: the log does (`batches.py`).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from storage.errors import StorageFault
from storage.keyspace import BATCH_DIGEST, Puts, id_key, lane_key

_ENTRY = struct.Struct(">IIIHQQ")


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A held batch: when it arrived (ms since 1970) and where it is (file number, offset of its record, its bytes)."""

    author: int
    seq: int
    digest: bytes
    arrival_ms: int
    file: int
    offset: int
    length: int


def index_puts(stored: Sequence[StoredBatch]) -> Puts:
    """How they are found by digest, and by lane and seq."""
    puts: Puts = []
    for batch in stored:
        entry = _ENTRY.pack(batch.file, batch.offset, batch.length, batch.author, batch.seq, batch.arrival_ms)
        puts.append((id_key(BATCH_DIGEST, batch.digest), entry))
        puts.append((lane_key(batch.author, batch.seq, batch.digest), b""))
    return puts


def decode_entry(digest: bytes, value: bytes) -> StoredBatch:
    """The entry that was found under a digest. Raises StorageFault if it is unreadable."""
    try:
        file, offset, length, author, seq, arrival_ms = _ENTRY.unpack(value)
    except struct.error:
        raise StorageFault(f"the index entry of batch {digest.hex()} is unreadable: the database is damaged") from None
    return StoredBatch(author, seq, digest, arrival_ms, file, offset, length)
