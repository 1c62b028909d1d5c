"""One segment file of the batch log: the bytes of its head and records, and what may be believed of it after a crash.

    head    magic 8 B, format u32, chain id 32 B, file number u32, mark 8 B, crc32 u32 (of all before)
    record  mark 8 B, crc32 u32 (of all after), length u32, group u32, author u16, seq u64, digest 32 B,
            received_ms u64, batch (length bytes)

`mark` is drawn at random for each file, so that nobody who chooses a batch's bytes can put into them what looks like a
record. `group` is the offset in the file at which the write of this record's group began: a group is written at once
and synced before the next one is written.

Knows one file at a time and nothing of the index. Invariants:
1. `scan` calls an end *torn* only if the damage can lie in the last group alone: it lies behind everything known to
   have been synced, and no intact record of a later group follows. Anything else is damage, named by file and offset.
2. A record is returned only if its checksum holds.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from storage.errors import DamagedRecord, OtherChain, StorageFault, faults_mapped
from storage.keyspace import U32, checked_id

MAGIC = b"SEQLANES"
FORMAT_VERSION = 1
MARK_BYTES = 8
BATCH_BYTES_MAX = 16 * 1024 * 1024  # far above the chain's own limit; what a length field is checked against

_HEAD = struct.Struct(">8sI32sI8s")
_RECORD = struct.Struct(">IIHQ32sQ")  # length, group, author, seq, digest, received_ms
HEAD_BYTES = _HEAD.size + U32.size
RECORD_HEAD_BYTES = MARK_BYTES + U32.size + _RECORD.size
_CRC_END = MARK_BYTES + U32.size


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch to store: its author and seq, its 32-byte digest, when its bytes came (ms since 1970), and the bytes."""

    author: int
    seq: int
    digest: bytes
    received_ms: int
    batch: bytes


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """A record found by a scan, without its bytes: where it begins, and the length of its batch in bytes."""

    offset: int
    length: int
    author: int
    seq: int
    digest: bytes
    received_ms: int


@dataclass(frozen=True, slots=True)
class Scan:
    """A segment file as it was found: its mark, its intact records, and the offset at which the next one belongs.

    `end` is below the size of the file if a torn tail has to be cut off.
    """

    mark: bytes
    records: tuple[FoundRecord, ...]
    end: int


def file_name(number: int) -> str:
    """The name of a segment file; numbers start at 1."""
    return f"{number:08d}.seg"


def encode_head(chain_id: bytes, number: int, mark: bytes) -> bytes:
    """The first HEAD_BYTES of a segment file."""
    head = _HEAD.pack(MAGIC, FORMAT_VERSION, checked_id(chain_id), number, mark)
    return head + U32.pack(zlib.crc32(head))


def encode_record(record: BatchRecord, *, mark: bytes, group: int) -> bytes:
    """The bytes of one record; ValueError if a field does not fit. group: see the module."""
    if not 0 < len(record.batch) <= BATCH_BYTES_MAX:
        raise ValueError(f"a batch of {len(record.batch)} bytes cannot be stored")
    try:
        fields = _RECORD.pack(
            len(record.batch), group, record.author, record.seq, checked_id(record.digest), record.received_ms
        )
    except struct.error as error:
        raise ValueError(f"a batch record's field is out of range: {error}") from None
    checksum = zlib.crc32(record.batch, zlib.crc32(fields))
    return b"".join((mark, U32.pack(checksum), fields, record.batch))


def decode_record(content: bytes, path: Path, offset: int) -> BatchRecord:
    """The record whose bytes, exactly, were read at `offset` of `path`. Raises DamagedRecord."""
    if len(content) < RECORD_HEAD_BYTES:
        raise DamagedRecord(path, offset, f"the file ends after {len(content)} bytes of it")
    (checksum,) = U32.unpack_from(content, MARK_BYTES)
    if zlib.crc32(memoryview(content)[_CRC_END:]) != checksum:
        raise DamagedRecord(path, offset, "its checksum fails")
    length, _, author, seq, digest, received_ms = _RECORD.unpack_from(content, _CRC_END)
    if RECORD_HEAD_BYTES + length != len(content):
        raise DamagedRecord(path, offset, "its length is another than the index says")
    return BatchRecord(author, seq, digest, received_ms, content[RECORD_HEAD_BYTES:])


def scan(path: Path, *, chain_id: bytes, number: int, synced_end: int, last: bool) -> Scan | None:
    """Read a segment file through.

    `synced_end` is the offset up to which everything is known to have been synced, 0 if nothing is; `last` says that no
    later file exists, so that its tail may be torn. None: the file's own head was never synced, so it holds nothing.
    Raises DamagedRecord, OtherChain or StorageFault.
    """
    with faults_mapped(f"reading {path}"):
        content = path.read_bytes()
    mark = _decode_head(content, path, chain_id, number)
    if mark is None:
        if last and synced_end == 0 and len(content) <= HEAD_BYTES:
            return None
        raise DamagedRecord(path, 0, "the head of the file is unreadable")
    records: list[FoundRecord] = []
    offset = HEAD_BYTES
    while (found := _record_at(content, offset, mark)) is not None:
        records.append(found[0])
        offset += RECORD_HEAD_BYTES + found[0].length
    if offset < max(len(content), synced_end):
        if not last:
            raise DamagedRecord(path, offset, "it cannot be read, and a later file exists")
        if offset < synced_end:
            raise DamagedRecord(path, offset, f"it cannot be read, and it was synced up to byte {synced_end}")
        if (later := _later_group(content, offset, mark)) is not None:
            raise DamagedRecord(path, offset, f"it cannot be read, and an intact later write follows at byte {later}")
    return Scan(mark, tuple(records), offset)


def _decode_head(content: bytes, path: Path, chain_id: bytes, number: int) -> bytes | None:
    if len(content) < HEAD_BYTES:
        return None
    if U32.unpack_from(content, _HEAD.size)[0] != zlib.crc32(memoryview(content)[: _HEAD.size]):
        return None
    magic, version, found_chain, found_number, mark = _HEAD.unpack_from(content)
    if (magic, version, found_number) != (MAGIC, FORMAT_VERSION, number):
        raise StorageFault(f"{path} is not segment file {number} of format {FORMAT_VERSION}")
    if found_chain != chain_id:
        raise OtherChain(
            path,
            found=found_chain,
            expected=chain_id,
            remedy="Move the file to the home it came from; nothing was changed.",
        )
    return bytes(mark)


def _record_at(content: bytes, offset: int, mark: bytes) -> tuple[FoundRecord, int] | None:
    """The intact record at `offset` and the beginning of its group, or None."""
    start = offset + RECORD_HEAD_BYTES
    if start > len(content) or content[offset : offset + MARK_BYTES] != mark:
        return None
    (checksum,) = U32.unpack_from(content, offset + MARK_BYTES)
    length, group, author, seq, digest, received_ms = _RECORD.unpack_from(content, offset + _CRC_END)
    if not 0 < length <= BATCH_BYTES_MAX or start + length > len(content):
        return None
    if zlib.crc32(memoryview(content)[offset + _CRC_END : start + length]) != checksum:
        return None
    return FoundRecord(offset, length, author, seq, digest, received_ms), group


def _later_group(content: bytes, damage: int, mark: bytes) -> int | None:
    """The offset of an intact record whose group began after `damage`: proof that the damage had been synced."""
    position = content.find(mark, damage + 1)
    while position != -1:
        found = _record_at(content, position, mark)
        if found is not None and found[1] > damage:
            return position
        position = content.find(mark, position + 1)
    return None
