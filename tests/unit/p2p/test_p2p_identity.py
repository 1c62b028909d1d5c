"""A node key is the same identity for libp2p as everywhere else."""

import pytest

from p2p.identity import decode_public_key, decode_secret, peer_id_of, public_key_of

# The secp256k1 vector of the libp2p specification, peer ids.
SECRET = bytes.fromhex("53DADF1D5A164D6B4ACDB15E24AA4C5B1D3461BDBD42ABEDB0A4404D56CED8FB")
PUBLIC_KEY = bytes.fromhex("037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99")
ORDER = bytes.fromhex("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")


def test_public_key_of_the_specifications_secret() -> None:
    assert public_key_of(SECRET) == PUBLIC_KEY
    assert decode_public_key(PUBLIC_KEY).serialize().hex() == "08021221" + PUBLIC_KEY.hex()


def test_the_peer_id_is_the_public_key_itself() -> None:
    peer_id = peer_id_of(PUBLIC_KEY)
    assert str(peer_id).startswith("16Uiu2HA")
    assert peer_id.to_bytes() == b"\x00\x25\x08\x02\x12\x21" + PUBLIC_KEY


@pytest.mark.parametrize("secret", [b"", SECRET[:31], SECRET + b"\x00", bytes(32), ORDER, b"\xff" * 32])
def test_what_is_no_secret_is_refused_and_never_shown(secret: bytes) -> None:
    with pytest.raises(ValueError, match="secret") as caught:
        decode_secret(secret)
    assert caught.value.__cause__ is None
    assert not secret or secret.hex() not in str(caught.value)


@pytest.mark.parametrize(
    "public_key", [b"", PUBLIC_KEY[:32], PUBLIC_KEY + b"\x00", b"\x05" + PUBLIC_KEY[1:], b"\x02" + b"\xff" * 32]
)
def test_what_is_no_public_key_is_refused(public_key: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_public_key(public_key)
