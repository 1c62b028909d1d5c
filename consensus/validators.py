"""The validator set of one epoch: keys, stakes, thresholds and the leader of every view.

Responsible for: `quorum`, `witness`, summing the stake of a set of validators, and the leader schedule.
Refuses to do: change. A new epoch is a new set.

Invariants:
1. quorum: stake ≥ ⌊2S/3⌋ + 1. witness: stake ≥ ⌊S/3⌋ + 1. With Byzantine stake < S/3 a witness set holds at least one
   honest validator and two quorums share one.
2. leader(view) = table[(view − 1) mod L], L = max(256, 4n): smooth weighted round-robin, so that every window of the
   table is proportional to stake within one slot.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consensus.bls import BlsPublicKey
from consensus.encoding import u16
from consensus.limits import LEADER_TABLE_MIN
from consensus.numbers import Stake, ValidatorIndex, View


@dataclass(frozen=True, slots=True)
class Validator:
    """One genesis entry. `possession` proves the BLS key (96 bytes)."""

    stake: Stake
    node_public_key: bytes  # 33 bytes, secp256k1
    bls_public_key: bytes  # 48 bytes
    possession: bytes  # 96 bytes


def leader_table(stakes: Sequence[int], seed: bytes) -> tuple[ValidatorIndex, ...]:
    """One period of leaders: each slot adds every stake to its priority, the largest leads and pays S.

    Ties go to the smaller SHA-256(seed ‖ index u16).
    """
    total = sum(stakes)
    tie_break = [hashlib.sha256(seed + u16(index)).digest() for index in range(len(stakes))]
    by_tie = sorted(range(len(stakes)), key=tie_break.__getitem__)
    priorities = [0] * len(stakes)
    table = []
    for _ in range(max(LEADER_TABLE_MIN, 4 * len(stakes))):
        for index, stake in enumerate(stakes):
            priorities[index] += stake
        leader = max(by_tie, key=priorities.__getitem__)  # max keeps the first of equals: the smaller hash
        priorities[leader] -= total
        table.append(ValidatorIndex(leader))
    return tuple(table)


class ValidatorSet:
    """The validators of an epoch by index, with the arithmetic of stakes."""

    def __init__(self, validators: Sequence[Validator], seed: bytes) -> None:
        """`seed` (32 bytes) orders the leader table; epoch 0 uses the chain id."""
        self.validators = tuple(validators)
        self.count = len(self.validators)
        self.stakes = tuple(validator.stake for validator in self.validators)
        self.total = Stake(sum(self.stakes))
        self.quorum = Stake(2 * self.total // 3 + 1)
        self.witness = Stake(self.total // 3 + 1)
        self.bls_public_keys = tuple(BlsPublicKey(validator.bls_public_key) for validator in self.validators)
        self._table = leader_table(self.stakes, seed)
        self._by_key = {validator.node_public_key: index for index, validator in enumerate(self.validators)}

    def leader(self, view: View) -> ValidatorIndex:
        """Who proposes in `view` (≥ 1)."""
        return self._table[(view - 1) % len(self._table)]

    def node_public_key(self, index: ValidatorIndex) -> bytes:
        """The 33-byte node key of a validator of this set."""
        return self.validators[index].node_public_key

    def index_of(self, node_public_key: bytes) -> ValidatorIndex | None:
        """Which validator a node key belongs to, if any."""
        index = self._by_key.get(node_public_key)
        return None if index is None else ValidatorIndex(index)

    def stake_of(self, indices: Iterable[int]) -> int:
        """Sum of stakes. The caller answers for distinct indices within the set."""
        stakes = self.stakes
        return sum(stakes[index] for index in indices)

    def is_quorum(self, indices: Iterable[int]) -> bool:
        """Whether these distinct validators hold more than 2/3 of the stake."""
        return self.stake_of(indices) >= self.quorum

    def is_witness(self, indices: Iterable[int]) -> bool:
        """Whether these distinct validators hold more than 1/3 of the stake."""
        return self.stake_of(indices) >= self.witness

    def indispensable(self) -> tuple[ValidatorIndex, ...]:
        """Those who hold a third of the stake or more: without any one of them there is no quorum."""
        rest = self.total - self.quorum
        return tuple(ValidatorIndex(index) for index, stake in enumerate(self.stakes) if stake > rest)
