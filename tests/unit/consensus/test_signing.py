"""Node signatures: one form, one key, one digest; and digests that never mean two things."""

import hashlib
from itertools import product

import pytest
from coincurve import PrivateKey, PublicKey

from consensus.errors import InvalidObject
from consensus.numbers import Epoch
from consensus.signing import PREFIX, Domain, Kind, NodeKey, is_signature, require_public_key, require_signature

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
FIELD = 2**256 - 2**32 - 977
KEY = NodeKey(bytes(31) + b"\x07")
OTHER = NodeKey(bytes(31) + b"\x08")
DIGEST = hashlib.sha256(b"digest").digest()
SIGNATURE = KEY.sign(DIGEST)
R, S, V = SIGNATURE[:32], SIGNATURE[32:64], SIGNATURE[64:]


def number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def test_a_signature_is_accepted_from_its_key_over_its_digest_only() -> None:
    assert is_signature(KEY.public_key, DIGEST, SIGNATURE)
    assert not is_signature(OTHER.public_key, DIGEST, SIGNATURE)
    assert not is_signature(KEY.public_key, hashlib.sha256(b"other").digest(), SIGNATURE)
    require_signature(KEY.public_key, DIGEST, SIGNATURE)
    with pytest.raises(InvalidObject, match="bad_signature"):
        require_signature(OTHER.public_key, DIGEST, SIGNATURE)


def test_the_high_twin_of_a_signature_is_refused_although_a_library_recovers_the_key() -> None:
    high = R + number(ORDER - int.from_bytes(S, "big")) + bytes([V[0] ^ 1])
    recovered = PublicKey.from_signature_and_message(high, DIGEST, hasher=None)
    assert recovered.format(compressed=True) == KEY.public_key
    assert not is_signature(KEY.public_key, DIGEST, high)


@pytest.mark.parametrize("v", [0, 1, 2, 3, 4, 26, 27, 28, 255])
def test_v_is_the_one_that_recovers_the_key(v: int) -> None:
    assert is_signature(KEY.public_key, DIGEST, R + S + bytes([v])) == (v == V[0])


@pytest.mark.parametrize(
    "value", [0, ORDER, ORDER + 1, FIELD, 2**256 - 1, ORDER // 2 + 1], ids=["0", "n", "n + 1", "p", "max", "half + 1"]
)
@pytest.mark.parametrize("v", [0, 1])
def test_r_and_s_lie_in_their_ranges(value: int, v: int) -> None:
    assert not is_signature(KEY.public_key, DIGEST, R + number(value) + bytes([v]))
    if value != ORDER // 2 + 1:  # s ends there, r does not
        assert not is_signature(KEY.public_key, DIGEST, number(value) + S + bytes([v]))


@pytest.mark.parametrize("signature", [b"", SIGNATURE[:-1], SIGNATURE + b"\x00", bytes(65), b"\xff" * 65, b"\x01" * 65])
def test_a_malformed_signature_is_refused(signature: bytes) -> None:
    assert not is_signature(KEY.public_key, DIGEST, signature)


def test_every_flipped_bit_is_refused() -> None:
    for place, bit in product(range(65), range(8)):
        flipped = bytearray(SIGNATURE)
        flipped[place] ^= 1 << bit
        assert not is_signature(KEY.public_key, DIGEST, bytes(flipped))


def test_our_own_signatures_have_low_s() -> None:
    for count in range(50):
        digest = hashlib.sha256(bytes([count])).digest()
        signature = KEY.sign(digest)
        assert int.from_bytes(signature[32:64], "big") <= ORDER // 2
        assert is_signature(KEY.public_key, digest, signature)


def test_a_public_key_is_compressed_and_on_the_curve() -> None:
    require_public_key(KEY.public_key)
    uncompressed = PrivateKey(bytes(31) + b"\x07").public_key.format(compressed=False)
    off_curve = next(
        candidate
        for candidate in (b"\x02" + number(x) for x in range(1, 100))
        if pow(int.from_bytes(candidate[1:], "big") ** 3 + 7, (FIELD - 1) // 2, FIELD) != 1
    )
    for data in (b"", uncompressed, b"\x04" + KEY.public_key[1:], KEY.public_key[:-1], bytes(33), off_curve):
        with pytest.raises(ValueError):  # noqa: PT011 - coincurve's words differ from case to case
            require_public_key(data)


def test_a_secret_lies_below_the_order() -> None:
    for secret in (bytes(32), number(ORDER), b"\x01", bytes(33)):
        with pytest.raises(ValueError):  # noqa: PT011 - coincurve's words differ from case to case
            NodeKey(secret)


def test_a_key_does_not_show_its_secret() -> None:
    key = NodeKey(b"\x5a" * 32)
    assert "5a" * 32 not in repr(key)
    assert key.public_key.hex() in repr(key)


def test_kinds_are_unique_and_fit_a_byte() -> None:
    numbers = [kind.value for kind in Kind.__members__.values()]
    assert len(set(numbers)) == len(Kind.__members__) == len(numbers)
    assert all(0 < value < 256 for value in numbers)


def test_a_digest_binds_kind_chain_epoch_and_body() -> None:
    chains = [Domain(bytes(32)), Domain(b"\x01" * 32)]
    digests = {
        domain.digest(kind, Epoch(epoch), body)
        for domain, kind, epoch, body in product(chains, Kind, (0, 1), (b"", b"body"))
    }
    digests |= {d.hash_unsigned(kind, body) for d, kind, body in product(chains, Kind, (b"", b"body"))}
    assert len(digests) == len(chains) * len(Kind) * 4 + len(chains) * len(Kind) * 2


def test_the_layout_of_a_signed_digest() -> None:
    expected = hashlib.sha256(
        b"shared-sequencer/1|" + bytes([8]) + b"\x02" * 32 + bytes(7) + b"\x05" + b"body"
    ).digest()
    assert PREFIX == b"shared-sequencer/1|"
    assert Domain(b"\x02" * 32).digest(Kind.ATTESTATION, Epoch(5), b"body") == expected


def test_a_chain_id_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Domain(bytes(31))
