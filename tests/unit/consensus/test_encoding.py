"""The codec's primitives: exact bytes, bounds before use, and one encoding of every value."""

from collections.abc import Callable

import pytest

from consensus.encoding import (
    Reader,
    bitmap,
    decode_whole,
    optional,
    sequence,
    u8,
    u16,
    u32,
    u64,
    u256,
    variable,
    varint,
)
from consensus.errors import DecodeError


def test_integers_are_big_endian_and_of_fixed_width() -> None:
    assert u8(1) + u16(2) + u32(3) + u64(4) == b"\x01" + b"\x00\x02" + b"\x00\x00\x00\x03" + bytes(7) + b"\x04"
    assert u256(5) == bytes(31) + b"\x05"
    reader = Reader(u8(255) + u16(65535) + u32(2**32 - 1) + u64(2**64 - 1) + u256(2**256 - 1))
    assert (reader.u8(), reader.u16(), reader.u32()) == (255, 65535, 2**32 - 1)
    assert (reader.u64(), reader.u256()) == (2**64 - 1, 2**256 - 1)
    reader.finish()


def test_lengths_counts_and_flags() -> None:
    assert variable(b"ab") == b"\x00\x00\x00\x02ab"
    assert sequence([b"x", b"yz"]) == b"\x00\x00\x00\x02xyz"
    assert (optional(None), optional(b"v")) == (b"\x00", b"\x01v")


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"", Reader.u8),
        (b"\x00", Reader.u16),
        (bytes(3), Reader.u32),
        (bytes(7), Reader.u64),
        (bytes(31), Reader.u256),
        (b"\x00\x00\x00\x02a", lambda reader: reader.variable(10)),
        (b"\x00\x00\x00\x02ab", lambda reader: reader.variable(1)),
        (b"\xff\xff\xff\xff", lambda reader: reader.variable(2**32)),
        (b"\x00\x00\x00\x03", lambda reader: reader.count(2)),
        (b"\x02", Reader.flag),
        (b"ab", lambda reader: reader.fixed(3)),
        (b"\x00\x00\x00\x02\x01", lambda reader: reader.sequence(5, Reader.u8)),
    ],
)
def test_nothing_is_read_beyond_the_data_or_its_bound(data: bytes, read: Callable[[Reader], object]) -> None:
    with pytest.raises(DecodeError):
        read(Reader(data))


def test_a_count_is_compared_before_anything_is_read() -> None:
    reads = []
    with pytest.raises(DecodeError):
        Reader(b"\xff\xff\xff\xff" + bytes(100)).sequence(10, lambda reader: reads.append(reader.u8()))
    assert reads == []


def test_trailing_bytes_are_refused() -> None:
    assert decode_whole(b"\x07", Reader.u8) == 7
    with pytest.raises(DecodeError, match="1 trailing"):
        decode_whole(b"\x07\x00", Reader.u8)


def test_a_reader_says_where_it_is() -> None:
    reader = Reader(bytes(10))
    reader.u32()
    assert (reader.position, reader.remaining) == (4, 6)


@pytest.mark.parametrize(
    ("indices", "size", "data"),
    [((), 0, b""), ((), 4, b"\x00"), ((0,), 1, b"\x80"), ((0, 3), 4, b"\x90"), ((7, 8), 9, b"\x01\x80")],
)
def test_bitmaps(indices: tuple[int, ...], size: int, data: bytes) -> None:
    assert bitmap(indices, size) == data
    assert Reader(data).bitmap(size) == indices


@pytest.mark.parametrize(("data", "size"), [(b"\x08", 4), (b"\x01", 7), (b"\x80\x40", 9), (b"", 1), (b"\xff", 4)])
def test_padding_bits_of_a_bitmap_are_zero(data: bytes, size: int) -> None:
    with pytest.raises(DecodeError):
        Reader(data).bitmap(size)


@pytest.mark.parametrize("index", [-1, 4, 8])
def test_a_bit_outside_a_bitmap_is_our_own_mistake(index: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        bitmap([index], 4)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**28, 2**32 - 1])
def test_varints_survive(value: int) -> None:
    assert decode_whole(varint(value), Reader.varint) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80", b"\x80\x00", b"\xff\x00", b"\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\x7f", b"\x80" * 5 + b"\x01"],
)
def test_a_varint_is_minimal_whole_and_fits(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_whole(data, Reader.varint)


@pytest.mark.parametrize("value", [-1, 256])
def test_a_byte_holds_0_to_255(value: int) -> None:
    with pytest.raises(ValueError, match="range"):
        u8(value)


def test_a_value_too_large_for_its_width_is_our_own_mistake() -> None:
    with pytest.raises(OverflowError):
        u256(2**256)
