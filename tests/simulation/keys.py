"""Deterministic keys and a genesis for tests; never for a chain that holds value."""

import hashlib
from functools import lru_cache

from consensus.bls import BlsKey
from consensus.genesis import ChainParameters, Genesis, Namespace, lane_report_batches_default
from consensus.numbers import Milliseconds, NamespaceId, Stake
from consensus.signing import NodeKey
from consensus.validators import Validator

GENESIS_TIME_MS = 1_700_000_000_000


class RepeatingKey(NodeKey):
    """Signatures are deterministic, and simulations repeat each other: keeps those it made."""

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self._known = lru_cache(maxsize=32_768)(super().sign)

    def sign(self, digest: bytes) -> bytes:
        return self._known(digest)


@lru_cache(maxsize=256)
def node_key(index: int) -> NodeKey:
    """The node key of test validator `index`."""
    return RepeatingKey(hashlib.sha256(b"test node key %d" % index).digest())


@lru_cache(maxsize=256)
def bls_key(index: int) -> BlsKey:
    """The BLS key of test validator `index`."""
    return BlsKey(b"\x00" + hashlib.sha256(b"test bls key %d" % index).digest()[:31])


@lru_cache(maxsize=256)
def validator(index: int, stake: int) -> Validator:
    """A genesis entry with a valid proof of possession."""
    bls = bls_key(index)
    return Validator(Stake(stake), node_key(index).public_key, bls.public_key, bls.prove_possession())


@lru_cache(maxsize=64)
def make_genesis(stakes: tuple[int, ...], namespaces: tuple[int, ...] = (1001, 1002)) -> Genesis:
    """A genesis of validators with these stakes."""
    return Genesis(
        name="test",
        time_ms=Milliseconds(GENESIS_TIME_MS),
        l1_chain_id=0,
        parameters=ChainParameters(lane_report_batches=lane_report_batches_default(len(stakes))),
        validators=tuple(validator(index, stake) for index, stake in enumerate(stakes)),
        namespaces=tuple(Namespace(NamespaceId(number), f"namespace {number}") for number in namespaces),
    )
