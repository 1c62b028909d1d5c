"""SEQ1, the payload of an L1 batch: the non-empty blocks of a range of heights, and their bytes by namespace.

Responsible for: writing a payload, and reading one within bounds.
Refuses to do: build namespace blocks from it (`sequencer/derive`), or say where it is kept.

Layout: version u8 ‖ compression u8 ‖ table (`payload_table.py`) ‖ index ‖ body. The index has (namespace u64, offset
u32, length u32) for each segment of the body; a segment is all bytes of one namespace, run after run, compressed on its
own if at all. So a rollup decompresses only its own.

Invariants:
1. The index lists exactly the table's namespaces, rising; segments lie one behind the other and fill the body ▲.
2. A segment's uncompressed size is the sum of its runs in the table: it is known and bounded before anything is
   decompressed, and decompressing stops there ▲. Nothing follows a zlib stream within its segment.
3. An uncompressed payload is a pure function of table and bytes. A zlib stream is not: compare what it holds.
4. A payload of several blocks is at most PAYLOAD_BYTES_MAX uncompressed, and so is every compressed one; a block that
   is longer than that stands alone in an uncompressed payload of at most PAYLOAD_BLOCK_BYTES_MAX.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, unique
from typing import NamedTuple

from consensus import limits
from consensus.encoding import Reader, sequence, u8, u32, u64
from consensus.errors import DecodeError
from consensus.numbers import NamespaceId
from consensus.vocabulary.payload_table import PayloadBlock, PayloadNamespace, PayloadTable

PAYLOAD_VERSION = 1
INDEX_ENTRY_BYTES = 8 + 4 + 4
_ZLIB_LEVEL = 6

Bytes = bytes | memoryview


@unique
class Compression(IntEnum):
    """How segments are stored. Numbers are part of the format."""

    NONE = 0
    ZLIB = 1  # RFC 1950


class NamespaceRuns(NamedTuple):
    """One namespace's part of a block, with the bytes of its runs in order."""

    block: PayloadBlock
    part: PayloadNamespace
    runs: tuple[bytes, ...]


def uncompressed_bytes(table: PayloadTable) -> int:
    """The length of the uncompressed payload of a table. Runs over it; no bytes are needed."""
    namespaces = {part.namespace for block in table.blocks for part in block.namespaces}
    body = sum(part.byte_count for block in table.blocks for part in block.namespaces)
    return 1 + 1 + table.encoded_bytes() + 4 + INDEX_ENTRY_BYTES * len(namespaces) + body


def payload_parts(table: PayloadTable, runs: Mapping[NamespaceId, Sequence[Bytes]]) -> Iterator[Bytes]:
    """The uncompressed payload piece by piece, to hash or send it without a second copy of the bytes.

    `runs` has the bytes of each namespace's runs in the table's order. Raises `DecodeError` for a table that breaks a
    rule or is too long and `ValueError` for bytes that are not the table's, both before the first piece.
    """
    sizes = _check_runs(table, runs, Compression.NONE)
    yield u8(PAYLOAD_VERSION) + u8(Compression.NONE) + table.encode() + _encode_index(sizes.items())
    for namespace in sizes:
        yield from runs[namespace]


def encode_payload(
    table: PayloadTable, runs: Mapping[NamespaceId, Sequence[Bytes]], compression: Compression = Compression.NONE
) -> bytes:
    """The payload. Arguments and errors as for `payload_parts`. Compressing takes some 20 ms per MB."""
    if compression is Compression.NONE:
        return b"".join(payload_parts(table, runs))
    sizes = _check_runs(table, runs, compression)
    segments = {namespace: _compress(runs[namespace]) for namespace in sizes}
    index = _encode_index((namespace, len(segment)) for namespace, segment in segments.items())
    return b"".join((u8(PAYLOAD_VERSION), u8(compression), table.encode(), index, *segments.values()))


@dataclass(frozen=True, slots=True)
class _Segment:
    """Where a namespace's bytes are, how many there are, and what they are."""

    place: slice
    uncompressed_bytes: int
    parts: Sequence[tuple[PayloadBlock, PayloadNamespace]]


@dataclass(frozen=True, slots=True)
class Payload:
    """A payload whose table and index are right; a compressed segment is judged when it is asked for."""

    table: PayloadTable
    compression: Compression
    _segments: Mapping[NamespaceId, _Segment] = field(repr=False)
    _data: bytes = field(repr=False)

    @property
    def namespaces(self) -> tuple[NamespaceId, ...]:
        """The namespaces that have bytes here, rising."""
        return tuple(self._segments)

    def body(self, namespace: NamespaceId) -> bytes:
        """All bytes of a namespace; none if it has none. Raises `DecodeError` for a zlib stream that is wrong."""
        segment = self._segments.get(namespace)
        if segment is None:
            return b""
        data = self._data[segment.place]
        return data if self.compression is Compression.NONE else _decompress(data, segment.uncompressed_bytes)

    def blocks_of(self, namespace: NamespaceId) -> Iterator[NamespaceRuns]:
        """A namespace's blocks by rising height. Raises as `body`, before the first."""
        body, at = self.body(namespace), 0
        for block, part in self._segments[namespace].parts if body else ():
            runs = []
            for section in part.sections:
                for run in section.runs:
                    runs.append(body[at : at + run.byte_count])
                    at += run.byte_count
            yield NamespaceRuns(block, part, tuple(runs))

    def holds_same(self, other: "Payload") -> bool:
        """Whether both hold the same table and bytes, however compressed. Raises as `body`."""
        return self.table == other.table and all(self.body(item) == other.body(item) for item in self._segments)


def decode_payload(data: bytes) -> Payload:
    """Reads table and index. Raises `DecodeError`. Takes time in proportion to the number of runs, some µs each."""
    if len(data) > limits.PAYLOAD_BLOCK_BYTES_MAX:
        raise DecodeError(f"{len(data)} bytes are above {limits.PAYLOAD_BLOCK_BYTES_MAX}")
    reader = Reader(data)
    if reader.u8() != PAYLOAD_VERSION:
        raise DecodeError("unknown payload version")
    number = reader.u8()
    if number not in set(Compression):
        raise DecodeError(f"unknown compression {number}")
    compression, table = Compression(number), PayloadTable.decode(reader)
    _check_size(table, compression)
    return Payload(table, compression, _read_index(reader, table, compression), data)


def _check_size(table: PayloadTable, compression: Compression) -> None:
    """Invariant 4."""
    alone = len(table.blocks) == 1 and compression is Compression.NONE
    bytes_max = limits.PAYLOAD_BLOCK_BYTES_MAX if alone else limits.PAYLOAD_BYTES_MAX
    size = uncompressed_bytes(table)
    if size > bytes_max:
        raise DecodeError(f"{size} bytes uncompressed are above {bytes_max}")


def _check_runs(
    table: PayloadTable, runs: Mapping[NamespaceId, Sequence[Bytes]], compression: Compression
) -> dict[NamespaceId, int]:
    """The uncompressed size of each namespace's segment. Raises as `payload_parts`."""
    table.check()
    _check_size(table, compression)
    parts = table.by_namespace()
    if runs.keys() != parts.keys():
        raise ValueError("the runs are of other namespaces than the table's")
    for namespace, listed in parts.items():
        expected = [run.byte_count for _, part in listed for section in part.sections for run in section.runs]
        if [len(run) for run in runs[namespace]] != expected:
            raise ValueError(f"the runs of namespace {namespace} are not the table's")
    return {namespace: sum(part.byte_count for _, part in listed) for namespace, listed in parts.items()}


def _encode_index(segments: Iterable[tuple[NamespaceId, int]]) -> bytes:
    """The index of segments of these lengths, in this order."""
    entries, offset = [], 0
    for namespace, length in segments:
        entries.append(u64(namespace) + u32(offset) + u32(length))
        offset += length
    return sequence(entries)


def _read_index(reader: Reader, table: PayloadTable, compression: Compression) -> dict[NamespaceId, _Segment]:
    """The segments by namespace, which fill what is left of the payload."""
    parts = table.by_namespace()
    entries = reader.sequence(len(parts), lambda item: (NamespaceId(item.u64()), item.u32(), item.u32()))
    if [namespace for namespace, _, _ in entries] != list(parts):
        raise DecodeError("the index does not list the table's namespaces, rising")
    segments, start, at = {}, reader.position, 0
    for namespace, offset, length in entries:
        size = sum(part.byte_count for _, part in parts[namespace])
        if offset != at:
            raise DecodeError(f"the segment of namespace {namespace} does not begin where the one before ends")
        if compression is Compression.NONE and length != size:
            raise DecodeError(f"the segment of namespace {namespace} is not as long as its runs")
        at += length
        segments[namespace] = _Segment(slice(start + offset, start + at), size, parts[namespace])
    if at != reader.remaining:
        raise DecodeError("the segments do not fill the body")
    return segments


def _compress(runs: Iterable[Bytes]) -> bytes:
    packer = zlib.compressobj(_ZLIB_LEVEL)
    return b"".join([*(packer.compress(run) for run in runs), packer.flush()])


def _decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes of a zlib stream; never makes more than one byte beyond them. `size` is at least 1."""
    unpacker = zlib.decompressobj()
    try:
        body = unpacker.decompress(data, size)
        # A stream can end only after its last byte is out; asking for one more reads its end, or shows that it goes on.
        beyond = b"" if unpacker.eof else unpacker.decompress(unpacker.unconsumed_tail, 1)
    except zlib.error as error:
        raise DecodeError(f"not a zlib stream: {error}") from error
    if len(body) != size or beyond:
        raise DecodeError(f"a segment does not hold the {size} bytes of its runs")
    if not unpacker.eof or unpacker.unused_data:
        raise DecodeError("a segment is not exactly one zlib stream")
    return body
