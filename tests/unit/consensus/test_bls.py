"""BLS against py_ecc, which is slow and independent, and the encodings on which good libraries disagree.

py_ecc takes seconds per pairing check, so there is one per question.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from py_ecc.bls.ciphersuites import G2ProofOfPossession
from py_ecc.bls.g2_primitives import subgroup_check
from py_ecc.bls.point_compression import compress_G1, compress_G2, modular_squareroot_in_FQ2
from py_ecc.fields import optimized_bls12_381_FQ as FQ
from py_ecc.fields import optimized_bls12_381_FQ2 as FQ2
from py_ecc.optimized_bls12_381.optimized_curve import b2, curve_order, field_modulus

from consensus.bls import (
    POSSESSION_DST,
    SIGNATURE_DST,
    BlsKey,
    BlsPublicKey,
    aggregate,
    is_aggregate_signature,
    is_possession_proved,
    is_signature,
)
from consensus.errors import InvalidObject

Reference: Any = G2ProofOfPossession  # its types tell keys from signatures, ours do not
DIGEST = bytes(range(32))
SECRETS = [int(1e70) + number for number in range(1, 4)]
KEYS = [BlsKey(secret.to_bytes(32, "big")) for secret in SECRETS]
PUBLIC_KEYS = [BlsPublicKey(key.public_key) for key in KEYS]
INFINITY_G1 = b"\xc0" + bytes(47)
INFINITY_G2 = b"\xc0" + bytes(95)
X_BITS = 381


def test_the_domains_are_ethereums() -> None:
    assert Reference.DST == SIGNATURE_DST
    assert Reference.POP_TAG == POSSESSION_DST


def test_keys_signatures_and_possession_are_the_references() -> None:
    assert KEYS[0].public_key == Reference.SkToPk(SECRETS[0])
    assert KEYS[0].sign(DIGEST) == Reference.Sign(SECRETS[0], DIGEST)
    assert KEYS[0].prove_possession() == Reference.PopProve(SECRETS[0])
    assert is_possession_proved(PUBLIC_KEYS[0], Reference.PopProve(SECRETS[0]))


def test_the_reference_accepts_our_aggregate() -> None:
    signatures = [key.sign(DIGEST) for key in KEYS]
    total = aggregate(signatures)
    assert total == Reference.Aggregate(signatures)
    assert Reference.FastAggregateVerify([key.public_key for key in KEYS], DIGEST, total)


def test_a_signature_is_for_its_key_and_digest() -> None:
    signature = KEYS[0].sign(DIGEST)
    assert is_signature(PUBLIC_KEYS[0], DIGEST, signature)
    assert not is_signature(PUBLIC_KEYS[1], DIGEST, signature)
    assert not is_signature(PUBLIC_KEYS[0], bytes(32), signature)


def test_an_aggregate_is_for_exactly_its_signers() -> None:
    total = aggregate([key.sign(DIGEST) for key in KEYS])
    assert is_aggregate_signature(PUBLIC_KEYS, DIGEST, total)
    assert not is_aggregate_signature(PUBLIC_KEYS[:2], DIGEST, total)
    assert not is_aggregate_signature([*PUBLIC_KEYS, PUBLIC_KEYS[0]], DIGEST, total)
    assert not is_aggregate_signature([], DIGEST, total)
    with pytest.raises(ValueError, match="nothing"):
        aggregate([])


def test_a_possession_proof_is_no_signature_and_the_other_way_round() -> None:
    key = KEYS[0]
    assert not is_possession_proved(PUBLIC_KEYS[0], key.sign(key.public_key))
    assert not is_signature(PUBLIC_KEYS[0], key.public_key, key.prove_possession())
    assert not is_possession_proved(PUBLIC_KEYS[1], key.prove_possession())


def test_keys_that_cancel_out_sign_nothing() -> None:
    opposite = BlsKey((curve_order - SECRETS[0]).to_bytes(32, "big"))
    pair = [PUBLIC_KEYS[0], BlsPublicKey(opposite.public_key)]
    assert not is_aggregate_signature(pair, DIGEST, INFINITY_G2)
    assert not is_aggregate_signature(pair, DIGEST, KEYS[1].sign(DIGEST))


def not_in_subgroup_g1() -> bytes:
    for x in range(1, 100):
        square = (x**3 + 4) % field_modulus
        y = pow(square, (field_modulus + 1) // 4, field_modulus)
        point = (FQ(x), FQ(y), FQ(1))
        if y * y % field_modulus == square and not subgroup_check(point):
            return int(compress_G1(point)).to_bytes(48, "big")
    raise AssertionError


def not_in_subgroup_g2() -> bytes:
    for number in range(1, 100):
        x = FQ2([number, 1])
        y = modular_squareroot_in_FQ2(x**3 + b2)
        if y is not None and not subgroup_check((x, y, FQ2.one())):
            high, low = compress_G2((x, y, FQ2.one()))
            return int(high).to_bytes(48, "big") + int(low).to_bytes(48, "big")
    raise AssertionError


def with_x_above_modulus(encoded: bytes) -> bytes | None:
    """The same point with x + p in its first coordinate, where that fits in 381 bits."""
    value = int.from_bytes(encoded[:48], "big")
    flags, x = value >> X_BITS, value & ((1 << X_BITS) - 1)
    if x + field_modulus >= 1 << X_BITS:
        return None
    return (flags << X_BITS | (x + field_modulus)).to_bytes(48, "big") + encoded[48:]


def first_above_modulus(encodings: Iterator[bytes]) -> bytes:
    return next(above for encoded in encodings if (above := with_x_above_modulus(encoded)) is not None)


def numbered_keys() -> Iterator[BlsKey]:
    return (BlsKey(number.to_bytes(32, "big")) for number in range(1, 100))


MALFORMED_G1 = {
    "infinity": INFINITY_G1,
    "infinity with the sign bit": b"\xe0" + bytes(47),
    "infinity with a bit in x": INFINITY_G1[:-1] + b"\x01",
    "infinity, uncompressed flag": b"\x40" + bytes(47),
    "no compression flag": bytes([KEYS[0].public_key[0] & 0x7F]) + KEYS[0].public_key[1:],
    "infinity flag on a point": bytes([KEYS[0].public_key[0] | 0x40]) + KEYS[0].public_key[1:],
    "x = 0": b"\x80" + bytes(47),
    "outside the subgroup": not_in_subgroup_g1(),
    "x ≥ p": first_above_modulus(key.public_key for key in numbered_keys()),
    "x = p": (0b100 << X_BITS | field_modulus).to_bytes(48, "big"),
    "short": KEYS[0].public_key[:-1],
    "long": KEYS[0].public_key + b"\x00",
    "empty": b"",
}


@pytest.mark.parametrize("encoded", MALFORMED_G1.values(), ids=MALFORMED_G1.keys())
def test_a_public_key_has_one_encoding(encoded: bytes) -> None:
    with pytest.raises(InvalidObject, match="bad_point"):
        BlsPublicKey(encoded)


SIGNATURE = KEYS[0].sign(DIGEST)
_SECOND_ABOVE = first_above_modulus(key.sign(DIGEST)[48:] for key in numbered_keys())

MALFORMED_G2 = {
    "infinity": INFINITY_G2,
    "infinity with the sign bit": b"\xe0" + bytes(95),
    "infinity with a bit in x": INFINITY_G2[:-1] + b"\x01",
    "no compression flag": bytes([SIGNATURE[0] & 0x7F]) + SIGNATURE[1:],
    "infinity flag on a point": bytes([SIGNATURE[0] | 0x40]) + SIGNATURE[1:],
    "outside the subgroup": not_in_subgroup_g2(),
    "first x ≥ p": first_above_modulus(key.sign(DIGEST) for key in numbered_keys()),
    "second x ≥ p": SIGNATURE[:48] + _SECOND_ABOVE,
    "flags in the second x": SIGNATURE[:48] + bytes([SIGNATURE[48] | 0x80]) + SIGNATURE[49:],
    "short": SIGNATURE[:-1],
    "long": SIGNATURE + b"\x00",
    "empty": b"",
}


@pytest.mark.parametrize("encoded", MALFORMED_G2.values(), ids=MALFORMED_G2.keys())
def test_a_signature_has_one_encoding(encoded: bytes) -> None:
    assert not is_signature(PUBLIC_KEYS[0], DIGEST, encoded)
    assert not is_possession_proved(PUBLIC_KEYS[0], encoded)
    with pytest.raises(InvalidObject, match="bad_point"):
        aggregate([SIGNATURE, encoded])


def test_the_same_signature_with_x_above_the_modulus_is_refused_although_it_is_the_same_point() -> None:
    for key in numbered_keys():
        above = with_x_above_modulus(key.sign(DIGEST))
        if above is not None:
            public_key = BlsPublicKey(key.public_key)
            assert is_signature(public_key, DIGEST, key.sign(DIGEST))
            assert not is_signature(public_key, DIGEST, above)
            return
    raise AssertionError


@pytest.mark.parametrize("secret", [0, curve_order, curve_order + 1, 2**256 - 1])
def test_a_secret_lies_below_the_order(secret: int) -> None:
    with pytest.raises(ValueError, match=r"not zero|invalid"):
        BlsKey(secret.to_bytes(32, "big"))


def test_a_secret_has_32_bytes() -> None:
    for secret in (b"", b"\x01", bytes(31) + b"\x01" + b"\x00"):
        with pytest.raises(ValueError, match="length 32"):
            BlsKey(secret)


def test_a_key_does_not_show_its_secret() -> None:
    assert f"{SECRETS[0]:064x}" not in repr(KEYS[0])
    assert KEYS[0].public_key.hex() in repr(KEYS[0])
