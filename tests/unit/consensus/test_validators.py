"""Thresholds and the leader schedule, at the edges of the stake arithmetic."""

import hashlib
from fractions import Fraction
from itertools import pairwise

import pytest

from consensus.bls import BlsKey
from consensus.encoding import u16
from consensus.limits import LEADER_TABLE_MIN, STAKE_TOTAL_MAX
from consensus.numbers import Stake, ValidatorIndex, View
from consensus.signing import NodeKey
from consensus.validators import Validator, ValidatorSet, leader_table
from tests.committee import secret

SEED = b"\x07" * 32


def set_of(*stakes: int) -> ValidatorSet:
    validators = []
    for index, stake in enumerate(stakes):
        node, bls = NodeKey(secret("node", index)), BlsKey(secret("bls", index))
        validators.append(Validator(Stake(stake), node.public_key, bls.public_key, bls.prove_possession()))
    return ValidatorSet(validators, SEED)


@pytest.mark.parametrize("faulty", [0, 1, 2, 3, 10, 33, 2**40])
@pytest.mark.parametrize("rest", [0, 1, 2])
def test_thresholds_are_exact_for_every_remainder(faulty: int, rest: int) -> None:
    total = 3 * faulty + rest
    if total == 0:
        return
    validators = set_of(total)
    third, two_thirds = Fraction(total, 3), Fraction(2 * total, 3)
    assert validators.quorum > two_thirds >= validators.quorum - 1
    assert validators.witness > third >= validators.witness - 1
    byzantine = -(-total // 3) - 1  # the largest stake below a third
    assert 2 * validators.quorum - total > byzantine  # two quorums share an honest validator
    assert validators.quorum - byzantine >= validators.witness  # a quorum holds an honest witness set
    assert total - byzantine >= validators.quorum  # the honest ones alone are a quorum


@pytest.mark.parametrize(
    ("stakes", "quorum", "witness"), [((1,), 1, 1), ((1, 1), 2, 1), ((1, 1, 1), 3, 2), ((1, 1, 1, 1), 3, 2)]
)
def test_thresholds_of_small_committees(stakes: tuple[int, ...], quorum: int, witness: int) -> None:
    validators = set_of(*stakes)
    assert (validators.quorum, validators.witness) == (quorum, witness)


@pytest.mark.parametrize("faulty", [1, 2, 3, 10, 33])
@pytest.mark.parametrize("rest", [0, 1, 2])
def test_any_two_quorums_share_an_honest_validator_and_the_honest_alone_are_one(faulty: int, rest: int) -> None:
    """S = 3f, 3f + 1, 3f + 2 in heads of one: with the most Byzantine that are allowed."""
    count = 3 * faulty + rest
    validators = set_of(*[1] * count)
    byzantine = set(range(-(-count // 3) - 1))
    honest = set(range(count)) - byzantine
    assert validators.is_quorum(honest)
    assert not validators.is_witness(byzantine)
    first = set(range(validators.quorum))
    last = set(range(count - validators.quorum, count))  # overlaps with the first as little as a quorum can
    assert len(first & last) > len(byzantine)
    assert not validators.is_quorum(set(range(count)) - set(range(-(-count // 3))))  # a third away: nothing moves


@pytest.mark.parametrize(
    ("stakes", "indispensable"),
    [
        ((1,), (0,)),
        ((1, 1, 1), (0, 1, 2)),
        ((1, 1, 1, 1), ()),
        ((2, 1, 1, 1, 1), (0,)),
        ((2, 1, 1, 1, 1, 1), ()),
        ((2, 2, 2), (0, 1, 2)),
        ((34, 33, 33), (0,)),
        ((33, 33, 34, 1), (2,)),
        ((33, 33, 33, 2), ()),
        ((10, 1, 1, 1), (0,)),
    ],
)
def test_without_a_third_of_the_stake_there_is_no_quorum(
    stakes: tuple[int, ...], indispensable: tuple[int, ...]
) -> None:
    validators = set_of(*stakes)
    assert validators.indispensable() == indispensable
    for index in range(validators.count):
        others = set(range(validators.count)) - {index}
        assert validators.is_quorum(others) == (index not in indispensable)


def test_sets_are_judged_by_stake_and_not_by_heads() -> None:
    validators = set_of(10, 1, 1, 1)
    assert validators.is_quorum([0])
    assert not validators.is_quorum([1, 2, 3])
    assert validators.is_witness([0])
    assert not validators.is_witness([1, 2, 3])
    assert not validators.is_witness([])
    assert validators.stake_of([0, 3]) == 11


def test_the_largest_stakes_do_not_overflow() -> None:
    validators = set_of(STAKE_TOTAL_MAX - 2, 1, 1)
    assert validators.quorum == 2 * STAKE_TOTAL_MAX // 3 + 1
    assert validators.is_quorum([0])
    assert validators.leader(View(1)) == 0


@pytest.mark.parametrize(
    "stakes", [(1,), (1, 1, 1), (1, 1, 1, 1), (5, 1, 1), (3, 2, 2, 1), (7, 11, 13), (100, 1), (1,) * 70]
)
def test_leading_is_proportional_to_stake(stakes: tuple[int, ...]) -> None:
    """Within one slot from the start of the table on, hence within two in every window of it."""
    table = leader_table(stakes, SEED)
    assert len(table) == max(LEADER_TABLE_MIN, 4 * len(stakes))
    total = sum(stakes)
    for index, stake in enumerate(stakes):
        led = [0]
        for leader in table:
            led.append(led[-1] + (leader == index))
        ahead = [count - Fraction(slot * stake, total) for slot, count in enumerate(led)]
        assert max(abs(slots) for slots in ahead) <= 1
        assert max(ahead) - min(ahead) < 2


def test_equal_stakes_take_turns() -> None:
    table = leader_table((1,) * 4, SEED)
    assert {tuple(sorted(table[at : at + 4])) for at in range(0, len(table), 4)} == {(0, 1, 2, 3)}
    assert all(earlier != later for earlier, later in pairwise(table))


def test_ties_go_to_the_smaller_hash_of_seed_and_index() -> None:
    for seed in (SEED, b"\x01" * 32, b"\x02" * 32):
        hashes = [hashlib.sha256(seed + u16(index)).digest() for index in range(5)]
        assert list(leader_table((1,) * 5, seed)[:5]) == sorted(range(5), key=hashes.__getitem__)


def test_the_seed_decides_the_order_within_a_window() -> None:
    tables = {leader_table((1,) * 6, bytes([number]) * 32) for number in range(8)}
    assert len(tables) > 1


def test_leaders_repeat_after_the_table() -> None:
    validators = set_of(2, 1, 1)
    assert validators.leader(View(1)) == leader_table((2, 1, 1), SEED)[0]
    for view in (1, 2, 100, LEADER_TABLE_MIN):
        assert validators.leader(View(view)) == validators.leader(View(view + LEADER_TABLE_MIN))
    assert validators.leader(View(2**63)) in range(3)


def test_a_node_key_names_its_validator() -> None:
    validators = set_of(1, 1)
    assert validators.index_of(validators.node_public_key(ValidatorIndex(1))) == 1
    assert validators.index_of(NodeKey(secret("stranger", 0)).public_key) is None
