"""Signatures that cost a hash, for campaigns of a million schedules.

Responsible for: standing in for ECDSA and BLS inside one process: nobody can make a signature of a key that it does not
hold, since all of them are made here.
Refuses to do: be used where bytes leave the process. Whether the real ones are checked right is tested with real ones.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from consensus import bls, signing
from consensus.bls import BlsKey, BlsPublicKey
from consensus.errors import InvalidObject
from consensus.signing import SIGNATURE_BYTES
from tests.simulation import keys


@lru_cache(maxsize=65_536)
def _sign(public_key: bytes, digest: bytes) -> bytes:
    """65 bytes in the form of a recoverable signature with a low s."""
    first = hashlib.sha256(b"quick" + public_key + digest).digest()
    return first + b"\x00" + hashlib.sha256(first).digest()[1:] + b"\x00"


def _is_signature(public_key: bytes, digest: bytes, signature: bytes) -> bool:
    return len(signature) == SIGNATURE_BYTES and signature == _sign(public_key, digest)


@lru_cache(maxsize=65_536)
def _bls_sign(public_key: bytes, digest: bytes) -> bytes:
    return hashlib.sha256(b"quick bls" + public_key + digest).digest() * 3


def _aggregate(signatures: Sequence[bytes]) -> bytes:
    if any(len(signature) != bls.SIGNATURE_BYTES for signature in signatures):
        raise InvalidObject("bad_point")
    return signatures[0] if len(signatures) == 1 else hashlib.sha256(b"".join(sorted(signatures))).digest() * 3


def _is_aggregate(public_keys: Sequence[BlsPublicKey], digest: bytes, signature: bytes) -> bool:
    return bool(public_keys) and signature == _aggregate([_bls_sign(key.encoded, digest) for key in public_keys])


@contextmanager
def quick_signatures(*, ecdsa: bool) -> Iterator[None]:
    """BLS, and with `ecdsa` node signatures too, are hashes inside."""
    kept = (BlsKey.sign, bls.is_signature, bls.is_aggregate_signature, bls.aggregate)
    kept_ecdsa = (keys.RepeatingKey.sign, signing.is_signature)
    BlsKey.sign = lambda self, digest: _bls_sign(self.public_key, digest)  # type: ignore[method-assign]
    bls.is_signature = lambda public_key, digest, signature: _is_aggregate([public_key], digest, signature)
    bls.is_aggregate_signature = _is_aggregate
    bls.aggregate = _aggregate
    if ecdsa:
        keys.RepeatingKey.sign = lambda self, digest: _sign(self.public_key, digest)  # type: ignore[method-assign]
        signing.is_signature = _is_signature
    try:
        yield
    finally:
        BlsKey.sign, bls.is_signature, bls.is_aggregate_signature, bls.aggregate = kept  # type: ignore[method-assign]
        keys.RepeatingKey.sign, signing.is_signature = kept_ecdsa  # type: ignore[method-assign]
