"""A node key's peer id as text, without the network library, which takes a second to import.

Responsible for: the text form that libp2p gives a secp256k1 key.
Refuses to do: anything on the network (`p2p/identity.py` is what the node uses).

Invariants:
1. The text is exactly libp2p's: base58btc of an identity multihash of the public key's protobuf
   (libp2p specs, peer-ids: keys of at most 42 encoded bytes are their own hash).
"""

from consensus.signing import require_public_key

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PROTOBUF_SECP256K1 = bytes.fromhex("08021221")  # Type = Secp256k1, Data = 33 bytes
_IDENTITY_MULTIHASH = bytes.fromhex("0025")  # code 0, 37 bytes


def peer_id_text(node_public_key: bytes) -> str:
    """The `16Uiu2HA…` form of a 33-byte compressed public key. Raises `ValueError` if it is not one."""
    require_public_key(node_public_key)
    data = _IDENTITY_MULTIHASH + _PROTOBUF_SECP256K1 + node_public_key
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _ALPHABET[digit] + digits
    leading_zeros = len(data) - len(data.lstrip(b"\x00"))
    return _ALPHABET[0] * leading_zeros + digits
