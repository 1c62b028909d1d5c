"""The one codec for hashes, signatures, the wire and the disk.

Responsible for: strict fixed-width big-endian reading and writing.
Refuses to do: know any type of the protocol.

Invariants:
1. Integers are big-endian with a fixed width; a list is `u32 count ‖ items`; variable bytes are `u32 length ‖ bytes`;
   an optional value is `0` or `1 ‖ value`; a bitmap over n is ⌈n/8⌉ bytes, index i = bit 7−(i mod 8) of byte i div 8,
   padding zero.
2. A reader accepts exactly one encoding of a value: no trailing bytes, no padding, no non-minimal varint.
3. Every length and count is compared with the caller's bound, and with what is left to read, before it is used.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from consensus.errors import DecodeError

T = TypeVar("T")

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
VARINT_BYTES_MAX = 5  # enough for a u32

u16 = _U16.pack
u32 = _U32.pack
u64 = _U64.pack


def u8(value: int) -> bytes:
    """One byte; raises `ValueError` outside 0 … 255."""
    return bytes((value,))


def u256(value: int) -> bytes:
    """32 bytes, big-endian; raises `OverflowError` when it does not fit."""
    return value.to_bytes(32, "big")


def variable(value: bytes) -> bytes:
    """`u32 length ‖ value`."""
    return _U32.pack(len(value)) + value


def optional(value: bytes | None) -> bytes:
    """`0`, or `1 ‖ value`, for a value that is encoded already."""
    return b"\x00" if value is None else b"\x01" + value


def sequence(items: Sequence[bytes]) -> bytes:
    """`u32 count ‖ items`, for items that are encoded already."""
    return _U32.pack(len(items)) + b"".join(items)


def bitmap(indices: Iterable[int], size: int) -> bytes:
    """The bitmap over `size` positions with `indices` set. Raises `ValueError` for an index outside it."""
    bits = bytearray((size + 7) // 8)
    for index in indices:
        if not 0 <= index < size:
            raise ValueError(f"bit {index} is outside a bitmap over {size}")
        bits[index >> 3] |= 0x80 >> (index & 7)
    return bytes(bits)


def varint(value: int) -> bytes:
    """LEB128 of a u32, minimal. Used only inside a tip's compact reports, never in signed bytes."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Reads one value after another from `data`; every method raises `DecodeError` instead of reading too far."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def position(self) -> int:
        """How many bytes were read."""
        return self._at

    @property
    def remaining(self) -> int:
        """How many bytes are left."""
        return self._end - self._at

    def _advance(self, size: int) -> int:
        start = self._at
        if size > self._end - start:
            raise DecodeError(f"{size} bytes wanted at {start}, {self._end - start} left")
        self._at = start + size
        return start

    def u8(self) -> int:
        """One byte."""
        return self._data[self._advance(1)]

    def u16(self) -> int:
        """Two bytes."""
        value: int = _U16.unpack_from(self._data, self._advance(2))[0]
        return value

    def u32(self) -> int:
        """Four bytes."""
        value: int = _U32.unpack_from(self._data, self._advance(4))[0]
        return value

    def u64(self) -> int:
        """Eight bytes."""
        value: int = _U64.unpack_from(self._data, self._advance(8))[0]
        return value

    def u256(self) -> int:
        """32 bytes."""
        return int.from_bytes(self.fixed(32), "big")

    def fixed(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        start = self._advance(size)
        return self._data[start : start + size]

    def variable(self, bytes_max: int) -> bytes:
        """`u32 length ‖ bytes` with at most `bytes_max` bytes."""
        return self.fixed(self.count(bytes_max))

    def count(self, count_max: int) -> int:
        """A u32 count of at most `count_max`."""
        value = self.u32()
        if value > count_max:
            raise DecodeError(f"count {value} is above its bound {count_max}")
        return value

    def sequence(self, count_max: int, item: Callable[["Reader"], T]) -> tuple[T, ...]:
        """`u32 count ‖ items`, each read by `item`."""
        return tuple(item(self) for _ in range(self.count(count_max)))

    def flag(self) -> bool:
        """The leading byte of an optional value: exactly 0 or 1."""
        value = self.u8()
        if value > 1:
            raise DecodeError(f"an optional value starts with 0 or 1, not {value}")
        return value == 1

    def varint(self) -> int:
        """A minimal LEB128 u32."""
        value = 0
        for place in range(VARINT_BYTES_MAX):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                if (byte == 0 and place > 0) or value > 0xFFFFFFFF:
                    raise DecodeError("a varint is minimal and fits in 32 bits")
                return value
        raise DecodeError("a varint has at most 5 bytes")

    def bitmap(self, size: int) -> tuple[int, ...]:
        """The set positions of a bitmap over `size`, rising. Padding bits must be zero."""
        raw = self.fixed((size + 7) // 8)
        indices = tuple(index for index in range(len(raw) * 8) if raw[index >> 3] & (0x80 >> (index & 7)))
        if indices and indices[-1] >= size:
            raise DecodeError(f"bit {indices[-1]} is set in a bitmap over {size}")
        return indices

    def finish(self) -> None:
        """Raises `DecodeError` if bytes are left."""
        if self._at != self._end:
            raise DecodeError(f"{self._end - self._at} trailing bytes")


def decode_whole(data: bytes, item: Callable[[Reader], T]) -> T:
    """Decodes `data` as exactly one value. Raises `DecodeError`."""
    reader = Reader(data)
    value = item(reader)
    reader.finish()
    return value
