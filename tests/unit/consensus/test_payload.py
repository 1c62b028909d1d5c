"""SEQ1 payloads that somebody made to do harm, or by mistake."""

import tracemalloc
import zlib
from dataclasses import replace
from typing import Any

import pytest

from consensus import limits
from consensus.encoding import sequence, u8, u32, u64
from consensus.errors import DecodeError
from consensus.numbers import ZERO_HASH, BlockId, Height, Milliseconds, NamespaceId, NamespaceIndex
from consensus.vocabulary.anchor import NO_ANCHOR
from consensus.vocabulary.block import SectionKind
from consensus.vocabulary.payload import Compression, decode_payload, encode_payload, payload_parts
from consensus.vocabulary.payload_table import (
    PayloadBlock,
    PayloadNamespace,
    PayloadRun,
    PayloadSection,
    PayloadTable,
)

FIRST, SECOND = NamespaceId(1001), NamespaceId(1002)
MIB = 1024 * 1024


def part(namespace: int, index: int, *byte_counts: int) -> PayloadNamespace:
    runs = tuple(PayloadRun(count, False) for count in byte_counts)
    sections = (PayloadSection(SectionKind.OPEN, runs),)
    return PayloadNamespace(NamespaceId(namespace), NamespaceIndex(index), sections)


def block(height: int, *parts: PayloadNamespace) -> PayloadBlock:
    return PayloadBlock(Height(height), BlockId(ZERO_HASH), Milliseconds(height), NO_ANCHOR, parts)


def table(*blocks: PayloadBlock, first: int = 1, last: int = 9) -> PayloadTable:
    return PayloadTable(Height(first), Height(last), blocks)


GOOD = table(block(2, part(1001, 5, 3, 2), part(1002, 0, 4)), block(4, part(1001, 6, 1)))
BODIES = [(FIRST, b"aaabbc"), (SECOND, b"dddd")]


def payload(
    listed: PayloadTable = GOOD,
    segments: Any = None,
    compression: int = 0,
    index: Any = None,
    version: int = 1,
) -> bytes:
    """A payload put together by hand, so that any part of it can be wrong."""
    segments = BODIES if segments is None else segments
    if index is None:
        index, offset = [], 0
        for namespace, data in segments:
            index.append((namespace, offset, len(data)))
            offset += len(data)
    entries = sequence([u64(namespace) + u32(offset) + u32(length) for namespace, offset, length in index])
    return u8(version) + u8(compression) + listed.encode() + entries + b"".join(data for _, data in segments)


def zipped(**changed: bytes) -> bytes:
    """A compressed payload whose first segment is replaced."""
    first = changed.get("first", zlib.compress(b"aaabbc"))
    return payload(segments=[(FIRST, first), (SECOND, zlib.compress(b"dddd"))], compression=1)


def test_the_hand_made_payload_is_the_real_one():
    runs = {FIRST: [b"aaa", b"bb", b"c"], SECOND: [b"dddd"]}
    assert payload() == encode_payload(GOOD, runs)
    assert decode_payload(zipped()).holds_same(decode_payload(payload()))


@pytest.mark.parametrize(
    ("why", "wrong"),
    [
        ("no block", table()),
        ("height 0", table(block(1, part(1001, 0, 1)), first=0)),
        ("an empty range", table(block(9, part(1001, 0, 1)), first=9, last=8)),
        ("a height below the range", table(block(1, part(1001, 0, 1)), first=2)),
        ("a height above the range", table(block(10, part(1001, 0, 1)))),
        ("a height twice", table(block(2, part(1001, 0, 1)), block(2, part(1001, 1, 1)))),
        ("falling heights", table(block(3, part(1001, 0, 1)), block(2, part(1001, 1, 1)))),
        ("an empty block", table(block(2))),
        ("a namespace twice", table(block(2, part(1001, 0, 1), part(1001, 1, 1)))),
        ("falling namespaces", table(block(2, part(1002, 0, 1), part(1001, 0, 1)))),
        ("an index that skips", table(block(2, part(1001, 0, 1)), block(3, part(1001, 2, 1)))),
        ("an index twice", table(block(2, part(1001, 7, 1)), block(3, part(1001, 7, 1)))),
        ("no section", table(block(2, replace(part(1001, 0), sections=())))),
        ("a section twice", table(block(2, replace(part(1001, 0, 1), sections=part(1001, 0, 1).sections * 2)))),
        (
            "a section that is not in use",
            table(
                block(
                    2, replace(part(1001, 0), sections=(PayloadSection(SectionKind.FORCED, (PayloadRun(1, False),)),))
                )
            ),
        ),
        ("no run", table(block(2, part(1001, 0)))),
        ("an empty run", table(block(2, part(1001, 0, 1, 0)))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_that_breaks_a_rule_is_neither_read_nor_written(why, wrong):
    sizes: dict[NamespaceId, int] = {}
    for found in wrong.blocks:
        for entry in found.namespaces:
            sizes[entry.namespace] = sizes.get(entry.namespace, 0) + entry.byte_count
    with pytest.raises(DecodeError):
        decode_payload(payload(wrong, [(namespace, bytes(size)) for namespace, size in sorted(sizes.items())]))
    with pytest.raises(DecodeError):
        encode_payload(wrong, {})


@pytest.mark.parametrize(
    ("why", "index"),
    [
        ("a namespace missing", [(FIRST, 0, 10)]),
        ("a namespace too many", [(FIRST, 0, 6), (SECOND, 6, 4), (NamespaceId(1003), 10, 0)]),
        ("another namespace", [(FIRST, 0, 6), (NamespaceId(1003), 6, 4)]),
        ("a namespace twice", [(FIRST, 0, 6), (FIRST, 6, 4)]),
        ("the wrong order", [(SECOND, 0, 4), (FIRST, 4, 6)]),
        ("an overlap", [(FIRST, 0, 6), (SECOND, 5, 4)]),
        ("a gap", [(FIRST, 0, 6), (SECOND, 7, 3)]),
        ("an offset to begin with", [(FIRST, 1, 6), (SECOND, 7, 3)]),
        ("a segment that is too long", [(FIRST, 0, 7), (SECOND, 7, 3)]),
        ("a segment beyond the end", [(FIRST, 0, 6), (SECOND, 6, 2**32 - 1)]),
        ("a segment that is too short", [(FIRST, 0, 6), (SECOND, 6, 3)]),
        ("the whole body for both", [(FIRST, 0, 10), (SECOND, 0, 10)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("compression", [0, 1])
def test_an_index_has_one_form(why, index, compression):
    with pytest.raises(DecodeError):
        decode_payload(payload(index=index, compression=compression)).body(FIRST)


def test_unknown_versions_and_compressions_are_refused():
    for data in (b"", payload(version=0), payload(version=2), payload(compression=2)):
        with pytest.raises(DecodeError):
            decode_payload(data)


def test_a_flag_is_nothing_but_0_or_1():
    listed = table(block(2, part(1001, 0, 1)), last=2)
    encoded = payload(listed, [(FIRST, b"x")])
    at = len(encoded) - 1 - 4 - 16 - 1  # the last byte of the table
    assert decode_payload(encoded[:at] + b"\x01" + encoded[at + 1 :]).table.blocks[0].namespaces[0].sections[
        0
    ].runs == (PayloadRun(1, True),)
    with pytest.raises(DecodeError):
        decode_payload(encoded[:at] + b"\x02" + encoded[at + 1 :])


@pytest.mark.parametrize(
    ("why", "stream"),
    [
        ("nothing", b""),
        ("no stream", b"aaabbc"),
        ("too few bytes", zlib.compress(b"aaabb")),
        ("too many bytes", zlib.compress(b"aaabbcc")),
        ("cut before its checksum", zlib.compress(b"aaabbc")[:-1]),
        ("cut within", zlib.compress(b"aaabbc")[:4]),
        ("a wrong checksum", zlib.compress(b"aaabbc")[:-1] + b"\xff"),
        ("something behind it", zlib.compress(b"aaabbc") + b"\x00"),
        ("a second stream", zlib.compress(b"aaa") + zlib.compress(b"bbc")),
        ("a gzip file", zlib.compress(b"aaabbc", wbits=31)),
        ("a bare deflate stream", zlib.compress(b"aaabbc", wbits=-15)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_segment_is_exactly_one_stream_of_its_runs(why, stream):
    found = decode_payload(zipped(first=stream))
    with pytest.raises(DecodeError):
        found.body(FIRST)
    assert found.body(SECOND) == b"dddd"  # another namespace's fault is not one's own


def test_a_stream_with_a_dictionary_is_refused():
    packer = zlib.compressobj(zdict=b"aaabbc")
    with pytest.raises(DecodeError):
        decode_payload(zipped(first=packer.compress(b"aaabbc") + packer.flush())).body(FIRST)


def test_a_bomb_goes_off_after_one_byte():
    bomb = zlib.compress(bytes(256 * MIB), 9)
    data = zipped(first=bomb)
    tracemalloc.start()
    with pytest.raises(DecodeError, match="does not hold the 6 bytes"):
        decode_payload(data).body(FIRST)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * len(bomb) + MIB


def test_what_is_said_to_be_too_long_is_refused_before_anything_is_made():
    half = limits.PAYLOAD_BYTES_MAX // 2
    two = table(block(2, part(1001, 0, half)), block(3, part(1001, 1, half)))
    alone = table(block(2, part(1001, 0, 2 * half)))
    for listed in (two, alone):
        with pytest.raises(DecodeError, match="uncompressed"):
            decode_payload(payload(listed, [(FIRST, b"x")], compression=1))
    with pytest.raises(DecodeError, match="uncompressed"):
        decode_payload(payload(two, [(FIRST, b"x")]))
    with pytest.raises(DecodeError, match="not as long as its runs"):
        decode_payload(payload(alone, [(FIRST, b"x")]))  # a block that cannot be split may be longer


def test_counts_are_compared_with_what_is_left():
    head = u8(1) + u8(0) + u64(1) + u64(9)
    one = u64(2) + bytes(32) + u64(0) + bytes(40)
    for data in (
        head + u32(2**32 - 1) + bytes(1000),
        head + u32(1) + one + u32(2**32 - 1) + bytes(1000),
        head + u32(1) + one + u32(1) + u64(1001) + u64(0) + u32(2**32 - 1) + bytes(1000),
        head + u32(1) + one + u32(1) + u64(1001) + u64(0) + u32(1) + u8(4) + u32(2**32 - 1) + bytes(1000),
    ):
        with pytest.raises(DecodeError, match="above its bound"):
            decode_payload(data)


def test_more_runs_than_a_block_can_have_are_refused(monkeypatch):
    monkeypatch.setattr(limits, "PAYLOAD_RUNS_MAX", 3)
    with pytest.raises(DecodeError, match="4 runs"):
        decode_payload(payload())


def test_bytes_that_are_not_the_tables_are_not_written():
    runs = {FIRST: [b"aaa", b"bb", b"c"], SECOND: [b"dddd"]}
    for wrong in (
        {FIRST: runs[FIRST]},
        runs | {NamespaceId(1003): [b"x"]},
        runs | {SECOND: [b"ddd"]},
        runs | {SECOND: [b"dd", b"dd"]},
        runs | {FIRST: [b"aa", b"abb", b"c"]},
    ):
        for compression in Compression:
            with pytest.raises(ValueError, match="runs"):
                encode_payload(GOOD, wrong, compression)
        with pytest.raises(ValueError, match="runs"):
            next(payload_parts(GOOD, wrong))


def test_a_namespace_that_is_not_there_has_no_bytes_and_no_blocks():
    found = decode_payload(payload())
    assert found.body(NamespaceId(7)) == b""
    assert [*found.blocks_of(NamespaceId(7))] == []
