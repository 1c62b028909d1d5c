"""Histories of a poster: whatever the L1 does, no nonce is used twice, nothing is sent unsaved, and posting goes on.

The L1 is strict as geth's pool is, and its Inbox a model of the contract; see `tests/memory_l1.py`.
"""

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory_l1 import ETHER_WEI
from tests.property.poster_history import AFTER_US, BEFORE_US, History
from tests.settling_node import threads_inline

DEPTHS = st.integers(1, 5)  # of a reorganisation: less than what is not final
POINTS = ("post_before_save", "post_after_save", "post_after_send")
METHODS = ("eth_getTransactionReceipt", "eth_getLogs", "eth_getTransactionCount", "eth_sendRawTransaction")
WORDS = ("taken", "delayed", "forgotten")
BALANCES = (0, ETHER_WEI // 1_000, 100 * ETHER_WEI)


def step(name: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """A method of `History` with its arguments."""
    return st.tuples(st.just(name), *values)


STEPS = st.one_of(
    step("look"),
    step("execute"),
    step("crash"),
    step("crash", st.sampled_from(POINTS)),
    step("withhold"),
    step("release"),
    step("drop"),
    step("rival", st.sampled_from((BEFORE_US, AFTER_US))),
    step("out_of_gas", st.booleans()),
    step("reorganise", DEPTHS, st.sampled_from(WORDS)),
    step("reorganise_before", st.sampled_from(METHODS), DEPTHS, st.sampled_from(WORDS)),
    step("away", st.booleans()),
    step("lose_answers", st.booleans()),
    step("foreign_nonce"),
    step("balance", st.sampled_from(BALANCES)),
)


async def play(steps: list[tuple[Any, ...]]) -> None:
    async with trio.open_nursery() as nursery:
        history = History(nursery)
        history.execute()
        for name, *values in steps:
            getattr(history, name)(*values)
            await history.step()
        await history.behave()
        nursery.cancel_scope.cancel()


def run(steps: list[tuple[Any, ...]]) -> None:
    with threads_inline():
        trio.run(play, steps, clock=trio.testing.MockClock(autojump_threshold=0))


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=20))
def test_whatever_the_l1_does_posting_is_careful_and_goes_on(steps: list[tuple[Any, ...]]) -> None:
    run(steps)


@pytest.mark.parametrize("point", POINTS)
def test_a_death_on_the_way_of_a_commit_costs_nothing(point: str) -> None:
    run([("crash", point), ("look",), ("look",), ("look",)])


def test_a_rival_that_is_faster_costs_one_revert() -> None:
    run([("look",), ("rival", BEFORE_US), ("execute",), ("look",)])


@pytest.mark.parametrize("how", WORDS)
def test_a_block_taken_back_between_the_count_and_the_receipt_costs_no_nonce(how: str) -> None:
    run([("look",), ("reorganise_before", METHODS[0], 2, how), ("look",), ("release",), ("look",)])


@pytest.mark.parametrize("how", WORDS)
def test_a_lost_race_that_the_l1_takes_back_leaves_no_hole(how: str) -> None:
    run([("look",), ("withhold",), ("rival", BEFORE_US), ("release",), ("reorganise", 3, how), ("look",), ("release",)])
