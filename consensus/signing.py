"""Domains, digests and the node key's signatures (secp256k1, recoverable ECDSA).

Responsible for: what exactly is signed, and checking a signature against a known public key.
Refuses to do: keep keys on disk, know validators, or sign anything that has no kind.

Invariants:
1. Signed digest = SHA-256(`shared-sequencer/1|` ‖ kind u8 ‖ chain_id 32 B ‖ epoch u64 ‖ body). Kinds are unique.
2. A signature is 65 bytes r ‖ s ‖ v with v in {0, 1} and s ≤ n/2; anything else is malformed, whatever a library says.
   It is the form that Ethereum's `ecrecover` takes (with 27 added to v).
3. A signature is accepted only if recovery gives exactly the expected key, so v is bound too.
"""

import hashlib
from enum import IntEnum, unique

from coincurve import PrivateKey, PublicKey

from consensus.encoding import u8, u64
from consensus.errors import InvalidObject
from consensus.numbers import Epoch, Hash

PREFIX = b"shared-sequencer/1|"
SIGNATURE_BYTES = 65
PUBLIC_KEY_BYTES = 33
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HALF_ORDER = _ORDER // 2


@unique
class Kind(IntEnum):
    """What a digest stands for. Numbers are part of the format and never reused."""

    TIP = 1
    PROPOSAL = 2
    VOTE = 3
    TIMEOUT = 4
    LANE_REPORT = 5
    BATCH = 6
    RECEIPT = 7
    ATTESTATION = 8
    BATCH_CERTIFICATE = 9
    HANDOVER = 10
    # hashes of structures that nobody signs
    NAMESPACE_BLOCK = 64
    L1_BATCH = 65
    ORDER_STATE = 66


def sha256(data: bytes) -> Hash:
    """SHA-256 of `data`, 32 bytes."""
    return Hash(hashlib.sha256(data).digest())


class Domain:
    """One chain's digests: binds every signature to the chain, the epoch and the kind of object."""

    __slots__ = ("_prefixes", "chain_id")

    def __init__(self, chain_id: bytes) -> None:
        if len(chain_id) != 32:
            raise ValueError("a chain id has 32 bytes")
        self.chain_id = chain_id
        self._prefixes = {kind: PREFIX + u8(kind) + chain_id for kind in Kind}

    def digest(self, kind: Kind, epoch: Epoch, body: bytes) -> Hash:
        """The 32 bytes to sign for `body`."""
        return Hash(hashlib.sha256(self._prefixes[kind] + u64(epoch) + body).digest())

    def hash_unsigned(self, kind: Kind, body: bytes) -> Hash:
        """The hash of a structure that has a kind but no signer, hence no epoch."""
        return Hash(hashlib.sha256(self._prefixes[kind] + body).digest())


class NodeKey:
    """A validator's secp256k1 key: signs digests. Its representation never shows the secret."""

    __slots__ = ("_private", "public_key")

    def __init__(self, secret: bytes) -> None:
        """`secret` is 32 bytes in 1 … n−1; raises `ValueError` otherwise."""
        if len(secret) != 32:
            raise ValueError("a node secret has 32 bytes")
        self._private = PrivateKey(secret)
        self.public_key: bytes = self._private.public_key.format(compressed=True)

    def __repr__(self) -> str:
        return f"NodeKey({self.public_key.hex()})"

    def sign(self, digest: bytes) -> bytes:
        """65-byte recoverable signature with low s over a 32-byte digest (RFC 6979 nonce)."""
        return self._private.sign_recoverable(digest, hasher=None)


def require_signature(public_key: bytes, digest: bytes, signature: bytes) -> None:
    """Raises `InvalidObject("bad_signature")` unless `signature` is `public_key`'s over `digest`."""
    if not is_signature(public_key, digest, signature):
        raise InvalidObject("bad_signature")


def is_signature(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    """Whether `signature` is well-formed (invariant 2) and recovers to `public_key` (33 bytes, compressed)."""
    if len(signature) != SIGNATURE_BYTES or signature[64] > 1:
        return False
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        return False
    try:
        recovered = PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except ValueError:  # coincurve's word for r or s out of range, or no such point
        return False
    return bool(recovered.format(compressed=True) == public_key)


def require_public_key(data: bytes) -> None:
    """Raises `ValueError` unless `data` is a compressed secp256k1 point of 33 bytes."""
    if len(data) != PUBLIC_KEY_BYTES:
        raise ValueError("a node public key has 33 bytes")
    PublicKey(data)
