"""Whose turn it is: one order for everybody, drawn by stake."""

from collections import Counter
from math import sqrt
from types import SimpleNamespace
from typing import cast

import pytest

from consensus.numbers import Hash
from consensus.signing import sha256
from consensus.validators import ValidatorSet
from sequencer.settlement.turn import TAKEOVER_L1_BLOCKS, may_commit, turn_order

PREVIOUS = sha256(b"the batch before")


def validators(*stakes):
    """A set, as far as an order looks at it: making keys for hundreds would take seconds."""
    return cast(ValidatorSet, SimpleNamespace(count=len(stakes), stakes=stakes))


@pytest.mark.parametrize("stakes", [(1,), (1, 1), (5, 1, 1, 1), (10**18, 1, 7), (3,) * 128])
def test_an_order_names_everybody_once_and_is_the_same_every_time(stakes):
    for index in range(1, 6):
        order = turn_order(validators(*stakes), PREVIOUS, index)
        assert sorted(order) == list(range(len(stakes)))
        assert order == turn_order(validators(*stakes), PREVIOUS, index)


def test_the_order_changes_with_the_index_and_with_the_batch_before():
    crowd = validators(*(1,) * 20)
    order = turn_order(crowd, PREVIOUS, 5)
    assert order != turn_order(crowd, PREVIOUS, 6)
    assert order != turn_order(crowd, sha256(b"another batch"), 5)


def test_nobody_else_comes_first_where_one_has_nearly_everything():
    heavy = validators(1, 2**60, 1)
    assert {turn_order(heavy, PREVIOUS, index)[0] for index in range(200)} == {1}


def expected(draws, share):
    """Bounds of a count of `draws` with this chance, four standard deviations wide. The draws are fixed."""
    spread = 4 * sqrt(draws * share * (1 - share))
    return draws * share - spread, draws * share + spread


def test_each_place_is_drawn_by_stake_among_those_left():
    stakes, draws = (4, 3, 2, 1), 4_000
    orders = [turn_order(validators(*stakes), Hash(sha256(seed.to_bytes(8, "big"))), 1) for seed in range(draws)]
    firsts, pairs = Counter[int](order[0] for order in orders), Counter[tuple[int, ...]](order[:2] for order in orders)
    for first, stake in enumerate(stakes):
        low, high = expected(draws, stake / 10)
        assert low < firsts[first] < high
        for second, other in enumerate(stakes):
            if second != first:
                low, high = expected(draws, stake / 10 * other / (10 - stake))
                assert low < pairs[first, second] < high


@pytest.mark.parametrize(
    ("rank", "l1_block", "last_commit_block", "due_block", "may"),
    [
        (0, 100, 100, 100, True),  # the first may at once
        (0, 100, 100, 101, False),  # not before the batch was due
        (1, 109, 100, 90, False),
        (1, 110, 100, 90, True),  # ten blocks after the last commit
        (1, 110, 50, 101, False),  # or after it was due, whichever is later: a quiet hour gives nobody a right
        (1, 111, 50, 101, True),
        (3, 129, 100, 0, False),
        (3, 130, 100, 0, True),
        (3, 10**9, 100, 10**9, False),
    ],
)
def test_a_rank_waits_its_blocks(rank, l1_block, last_commit_block, due_block, may):
    assert TAKEOVER_L1_BLOCKS == 10
    assert may_commit(rank, l1_block, last_commit_block, due_block) is may
