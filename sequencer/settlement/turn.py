"""Who commits the next batch: a stake-weighted permutation that everybody computes alike.

Responsible for: the permutation, and from which L1 block on a rank may commit.
Refuses to do: enforce it: the contract's contiguity decides every race, the turn only saves gas.

Invariants:
1. The order follows from the chain id and the index alone. Not from the previous batch: whoever commits it chooses its
   compressed bytes, and so would choose who is next.
2. A validator is drawn with a chance proportional to its stake among those left.
"""

import hashlib

from consensus.encoding import u16, u64
from consensus.numbers import Hash, ValidatorIndex
from consensus.validators import ValidatorSet

TAKEOVER_L1_BLOCKS = 10  # a rank waits so many L1 blocks for each rank before it


def turn_order(validators: ValidatorSet, chain_id: Hash, index: int) -> tuple[ValidatorIndex, ...]:
    """All validators, the one whose turn it is first."""
    seed = hashlib.sha256(chain_id + u64(index)).digest()
    left = list(range(validators.count))
    total = int(sum(validators.stakes))
    order = []
    for draw in range(validators.count):
        point = int.from_bytes(hashlib.sha256(seed + u16(draw)).digest(), "big") % total
        place = 0
        while point >= validators.stakes[left[place]]:
            point -= validators.stakes[left[place]]
            place += 1
        drawn = left.pop(place)
        total -= validators.stakes[drawn]
        order.append(ValidatorIndex(drawn))
    return tuple(order)


def may_commit(rank: int, l1_block: int, last_commit_block: int, due_block: int) -> bool:
    """Whether a rank may commit at `l1_block`.

    `due_block` is the L1 block at which this validator found a batch due: without it a quiet hour would make every rank
    commit at once.
    """
    return l1_block >= max(last_commit_block, due_block) + TAKEOVER_L1_BLOCKS * rank
