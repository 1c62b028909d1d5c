"""Who a validator is on the network: its secp256k1 node key, seen as libp2p sees it.

This file is responsible for turning a secret or a public key into libp2p's key pair and peer id. It refuses to
read, store or show secrets.

1. A node key's peer id is its public key itself ("16Uiu2HA…"), so that peer to validator is a look-up and no promise.
2. Keys are accepted in one form each: 32 bytes of secret, 33 bytes of compressed public key, a point of the curve.
"""

from coincurve import PrivateKey as CurveSecret
from coincurve import PublicKey as CurvePoint
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import Secp256k1PrivateKey, Secp256k1PublicKey
from libp2p.peer.id import ID

SECRET_BYTES = 32
PUBLIC_KEY_BYTES = 33


def decode_public_key(public_key: bytes) -> Secp256k1PublicKey:
    """libp2p's form of a 33-byte compressed public key. Raises ValueError if it is not one."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise ValueError(f"a node's public key has {PUBLIC_KEY_BYTES} bytes, not {len(public_key)}")
    return Secp256k1PublicKey(CurvePoint(public_key))


def decode_secret(secret: bytes) -> KeyPair:
    """libp2p's key pair of a 32-byte secret. Raises ValueError, which never shows the secret, if it is not one."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a node's secret has {SECRET_BYTES} bytes, not {len(secret)}")
    try:
        private_key = Secp256k1PrivateKey(CurveSecret(secret))
    except ValueError:
        raise ValueError("a node's secret must be a number between 1 and the order of secp256k1") from None
    return KeyPair(private_key, private_key.get_public_key())


def public_key_of(secret: bytes) -> bytes:
    """The 33-byte compressed public key of a 32-byte secret."""
    return decode_secret(secret).public_key.to_bytes()


def peer_id_of(public_key: bytes) -> ID:
    """libp2p's peer id of a 33-byte compressed public key; `str()` of it is the "16Uiu2HA…" form."""
    return ID.from_pubkey(decode_public_key(public_key))
