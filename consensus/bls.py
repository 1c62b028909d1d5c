"""BLS12-381 multisignatures for what an L1 or a light client checks in aggregate.

Responsible for: keys, signatures, proofs of possession, aggregation and its verification, in the variant Ethereum uses:
public keys in G1 (48 bytes), signatures in G2 (96 bytes), proof-of-possession scheme
(draft-irtf-cfrg-bls-signature-05 §3.3, §4.2.3).
Refuses to do: know validators, stakes or what is signed.

Invariants:
1. Decoding a point re-encodes it and compares, refuses infinity and checks the subgroup: good libraries disagree on a
   malformed infinity, and that would split the consensus.
2. Aggregation is sound only for keys whose proof of possession was verified; the genesis verifies all of them.
"""

from collections.abc import Sequence

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from consensus.errors import InvalidObject

PUBLIC_KEY_BYTES = 48
SIGNATURE_BYTES = 96
SECRET_BYTES = 32
SIGNATURE_DST = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
POSSESSION_DST = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"

_NEGATIVE_GENERATOR = -G1Point()
_G1_IDENTITY = G1Point.identity()
_G2_IDENTITY = G2Point.identity()


class BlsPublicKey:
    """A decoded public key. Raises `InvalidObject("bad_point")` for anything but a canonical subgroup point."""

    __slots__ = ("encoded", "point")

    def __init__(self, encoded: bytes) -> None:
        if len(encoded) != PUBLIC_KEY_BYTES:
            raise InvalidObject("bad_point", "a BLS public key has 48 bytes")
        try:
            point = G1Point.from_compressed_bytes(encoded)
        except (ValueError, TypeError) as error:
            raise InvalidObject("bad_point", "not a point of G1") from error
        if point.to_compressed_bytes() != encoded or point == _G1_IDENTITY or not point.is_in_subgroup():
            raise InvalidObject("bad_point", "not a canonical point of G1's subgroup")
        self.encoded = encoded
        self.point = point


def _signature_point(encoded: bytes) -> G2Point:
    if len(encoded) != SIGNATURE_BYTES:
        raise InvalidObject("bad_point", "a BLS signature has 96 bytes")
    try:
        point = G2Point.from_compressed_bytes(encoded)
    except (ValueError, TypeError) as error:
        raise InvalidObject("bad_point", "not a point of G2") from error
    if point.to_compressed_bytes() != encoded or point == _G2_IDENTITY or not point.is_in_subgroup():
        raise InvalidObject("bad_point", "not a canonical point of G2's subgroup")
    return point


class BlsKey:
    """A validator's certificate key. Its representation never shows the secret."""

    __slots__ = ("_scalar", "public_key")

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 bytes big-endian in 1 … r−1; raises `ValueError` otherwise."""
        scalar = Scalar.from_be_bytes(secret)
        if scalar.is_zero():
            raise ValueError("a BLS secret is not zero")
        self._scalar = scalar
        self.public_key: bytes = bytes((G1Point() * scalar).to_compressed_bytes())

    def __repr__(self) -> str:
        return f"BlsKey({self.public_key.hex()})"

    def sign(self, digest: bytes) -> bytes:
        """96-byte signature over `digest`. About 1.2 ms; releases the GIL, so it may run in a thread."""
        return bytes((G2Point.hash_to_curve(digest, SIGNATURE_DST) * self._scalar).to_compressed_bytes())

    def prove_possession(self) -> bytes:
        """96-byte proof that the holder of this public key knows its secret."""
        return bytes((G2Point.hash_to_curve(self.public_key, POSSESSION_DST) * self._scalar).to_compressed_bytes())


def _pairing_holds(key: G1Point, message_point: G2Point, signature: G2Point) -> bool:
    return bool(GT.pairing_check([key, _NEGATIVE_GENERATOR], [message_point, signature]))


def is_possession_proved(public_key: BlsPublicKey, proof: bytes) -> bool:
    """Whether `proof` (96 bytes) shows knowledge of `public_key`'s secret."""
    try:
        point = _signature_point(proof)
    except InvalidObject:
        return False
    return _pairing_holds(public_key.point, G2Point.hash_to_curve(public_key.encoded, POSSESSION_DST), point)


def is_signature(public_key: BlsPublicKey, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public_key`'s over `digest`. About 2.4 ms."""
    return is_aggregate_signature([public_key], digest, signature)


def is_aggregate_signature(public_keys: Sequence[BlsPublicKey], digest: bytes, signature: bytes) -> bool:
    """Whether `signature` aggregates signatures of all `public_keys` over the one `digest` (invariant 2 applies)."""
    if not public_keys:
        return False
    try:
        point = _signature_point(signature)
    except InvalidObject:
        return False
    total = public_keys[0].point
    for key in public_keys[1:]:
        total = total + key.point
    if total == _G1_IDENTITY:
        return False
    return _pairing_holds(total, G2Point.hash_to_curve(digest, SIGNATURE_DST), point)


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """The 96-byte sum of `signatures`. Raises `InvalidObject("bad_point")`, or `ValueError` for an empty list."""
    if not signatures:
        raise ValueError("nothing to aggregate")
    total = _signature_point(signatures[0])
    for signature in signatures[1:]:
        total = total + _signature_point(signature)
    return bytes(total.to_compressed_bytes())
