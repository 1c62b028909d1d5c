"""Points of BLS12-381 that a careful reader refuses, in the L1's encoding."""

import itertools

from py_arkworks_bls12381 import G1Point, G2Point

MODULUS = int("1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab", 16)
FIELD_BYTES = 64
_COMPRESSED = 0x80


def padded(coordinates: bytes) -> bytes:
    """Field elements of 48 bytes, each with 16 zero bytes before it."""
    return b"".join(bytes(16) + coordinates[start : start + 48] for start in range(0, len(coordinates), 48))


def outside_subgroup(size: int) -> bytes:
    """A point on the curve and not in the subgroup, of G1 (48) or G2 (96 bytes compressed)."""
    kind = G1Point if size == 48 else G2Point
    for number in itertools.count(1):
        compressed = bytearray(number.to_bytes(size, "big"))
        compressed[0] |= _COMPRESSED
        try:
            point = kind.from_compressed_bytes_unchecked(bytes(compressed))
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return padded(bytes(point.to_xy_bytes_be()))
    raise AssertionError("there are infinitely many numbers")


def raised(point: bytes, place: int) -> bytes:
    """The same point with the modulus added to one of its field elements: a second encoding."""
    start = place * FIELD_BYTES
    value = int.from_bytes(point[start : start + FIELD_BYTES], "big") + MODULUS
    return point[:start] + value.to_bytes(FIELD_BYTES, "big") + point[start + FIELD_BYTES :]


def off_curve(point: bytes) -> bytes:
    """The same x, another y."""
    return point[:-1] + bytes((point[-1] ^ 1,))


def negated(point: bytes) -> bytes:
    """The point with the other y, for G2."""
    half = len(point) // 2
    fields = [
        int.from_bytes(point[start : start + FIELD_BYTES], "big") for start in range(half, len(point), FIELD_BYTES)
    ]
    return point[:half] + b"".join((-field % MODULUS).to_bytes(FIELD_BYTES, "big") for field in fields)
