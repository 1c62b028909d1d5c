"""Points in the L1's encoding: the same as a slow library's, and only one encoding of each."""

import pytest
from py_ecc.bls.point_compression import decompress_G1, decompress_G2
from py_ecc.bls.typing import G1Compressed, G2Compressed
from py_ecc.optimized_bls12_381.optimized_curve import normalize

from consensus.bls import BlsKey, BlsPublicKey, aggregate
from consensus.errors import InvalidObject
from sequencer.l1.points import aggregate_key_to_l1, key_to_l1, signature_from_l1, signature_to_l1
from tests.committee import secret
from tests.l1_points import FIELD_BYTES, off_curve, outside_subgroup, raised

KEYS = [BlsKey(secret("bls", index)) for index in range(3)]
SIGNATURES = [key.sign(b"message") for key in KEYS]
INFINITY = b"\xc0" + bytes(95)


def field(value) -> bytes:
    return int(value).to_bytes(FIELD_BYTES, "big")


def test_a_key_is_what_another_library_reads_from_it():
    encoded = KEYS[0].public_key
    x, y = normalize(decompress_G1(G1Compressed(int.from_bytes(encoded, "big"))))
    assert key_to_l1(BlsPublicKey(encoded)) == field(x) + field(y)


def test_a_signature_is_what_another_library_reads_from_it():
    encoded = SIGNATURES[0]
    halves = (int.from_bytes(encoded[:48], "big"), int.from_bytes(encoded[48:], "big"))
    x, y = normalize(decompress_G2(G2Compressed(halves)))
    expected = field(x.coeffs[0]) + field(x.coeffs[1]) + field(y.coeffs[0]) + field(y.coeffs[1])
    assert signature_to_l1(encoded) == expected


def test_signatures_come_back_as_they_were():
    for encoded in (*SIGNATURES, aggregate(SIGNATURES)):
        assert signature_from_l1(signature_to_l1(encoded)) == encoded


def test_the_sum_of_one_key_is_that_key():
    keys = [BlsPublicKey(key.public_key) for key in KEYS]
    assert aggregate_key_to_l1(keys[:1]) == key_to_l1(keys[0])
    assert aggregate_key_to_l1(keys) == aggregate_key_to_l1(keys[::-1])


@pytest.mark.parametrize("encoded", [b"", SIGNATURES[0][:95], INFINITY, b"\xff" * 96, bytes(96), SIGNATURES[0] + b"\0"])
def test_a_signature_that_is_none_is_not_converted(encoded):
    with pytest.raises(InvalidObject):
        signature_to_l1(encoded)


GOOD = signature_to_l1(SIGNATURES[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\0",
        bytes(256),
        b"\x01" + GOOD[1:],
        off_curve(GOOD),
        outside_subgroup(96),
        *(raised(GOOD, place) for place in range(4)),
    ],
)
def test_only_the_one_encoding_of_a_good_point_is_read(data):
    with pytest.raises(InvalidObject):
        signature_from_l1(data)
