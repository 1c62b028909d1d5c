"""BLS points between this chain's encoding and the L1's: compressed (96 bytes) ↔ EIP-2537 (256 bytes).

Responsible for: converting, strictly in both directions.
Refuses to do: verify signatures, or decode a public key from 48 bytes (`consensus/bls.py`).

Invariants:
1. EIP-2537: a field element is 16 zero bytes ‖ 48 bytes big-endian, below the modulus; G1 is x ‖ y, and G2 is
   x.c0 ‖ x.c1 ‖ y.c0 ‖ y.c1.
2. Either direction refuses a point at infinity, off the curve, out of the subgroup, or in any but its one encoding:
   what is converted and converted back is the same bytes.
"""

from collections.abc import Sequence
from typing import Final

from py_arkworks_bls12381 import G2Point

from consensus.bls import SIGNATURE_BYTES, BlsPublicKey
from consensus.errors import InvalidObject

G2_BYTES: Final = 256
_FIELD_BYTES: Final = 48
_PADDED_BYTES: Final = 64
_PADDING: Final = bytes(_PADDED_BYTES - _FIELD_BYTES)


def key_to_l1(key: BlsPublicKey) -> bytes:
    """A public key, 128 bytes."""
    return _pad(bytes(key.point.to_xy_bytes_be()))


def aggregate_key_to_l1(keys: Sequence[BlsPublicKey]) -> bytes:
    """The sum of at least one public key, 128 bytes."""
    total = keys[0].point
    for key in keys[1:]:
        total = total + key.point
    return _pad(bytes(total.to_xy_bytes_be()))


def signature_to_l1(signature: bytes) -> bytes:
    """A signature of 96 bytes as 256 bytes. Raises `InvalidObject("bad_point")`."""
    if len(signature) != SIGNATURE_BYTES:
        raise InvalidObject("bad_point", f"a BLS signature has {SIGNATURE_BYTES} bytes")
    try:
        point = G2Point.from_compressed_bytes(signature)
    except (ValueError, TypeError) as error:
        raise InvalidObject("bad_point", "not a point of G2") from error
    if point.to_compressed_bytes() != signature:
        raise InvalidObject("bad_point", "not a canonical encoding")
    return _pad(bytes(_checked(point).to_xy_bytes_be()))


def signature_from_l1(data: bytes) -> bytes:
    """The 96-byte signature of 256 bytes. Raises `InvalidObject("bad_point")`."""
    if len(data) != G2_BYTES:
        raise InvalidObject("bad_point", f"a point of G2 has {G2_BYTES} bytes on the L1")
    fields = [data[start : start + _PADDED_BYTES] for start in range(0, G2_BYTES, _PADDED_BYTES)]
    try:
        point = G2Point.from_xy_bytes_be(b"".join(field[len(_PADDING) :] for field in fields))
    except (ValueError, TypeError) as error:
        raise InvalidObject("bad_point", "not a point of G2") from error
    if _pad(bytes(point.to_xy_bytes_be())) != data:
        raise InvalidObject("bad_point", "not a canonical encoding")
    return bytes(_checked(point).to_compressed_bytes())


def _checked(point: G2Point) -> G2Point:
    if point == G2Point.identity() or not point.is_in_subgroup():
        raise InvalidObject("bad_point", "not a point of G2's subgroup, or infinity")
    return point


def _pad(coordinates: bytes) -> bytes:
    starts = range(0, len(coordinates), _FIELD_BYTES)
    return b"".join(_PADDING + coordinates[start : start + _FIELD_BYTES] for start in starts)
