"""The poster's rules, case by case. `tests/property/test_poster.py` runs them through whole histories."""

from dataclasses import replace

import pytest

from consensus.numbers import Hash, Height, Milliseconds
from sequencer.settlement.poster import (
    GAS_LIMIT_MAX,
    Backlog,
    Findings,
    Gate,
    Sealing,
    Standing,
    fate,
    fee_limit_wei,
    gas_limit,
    gate,
    is_due,
    next_nonce,
    wants_calldata,
)
from sequencer.settlement.records import OPEN_ATTEMPTS, BatchState
from sequencer.settlement.sharing import ChainEnd, L1DataPolicy
from tests.unit.settlement.attempts import attempt

INTENT, SENT, MINED, CONFIRMED = BatchState.INTENT, BatchState.SENT, BatchState.MINED, BatchState.CONFIRMED
FINALIZED, LOST_RACE = BatchState.FINALIZED, BatchState.LOST_RACE
REVERTED, PARKED = BatchState.REVERTED, BatchState.PARKED
INDEX = 7
STANDING = Standing(
    rank=0,
    l1_block=100,
    last_commit_block=90,
    due_block=95,
    end=ChainEnd(INDEX, Height(11), Hash(bytes(32))),
    has_money=True,
)


@pytest.mark.parametrize(
    ("first", "attested", "byte_count", "now_ms", "due"),
    [
        (None, 20, 0, 10_000, False),  # nothing waits
        (10, 20, 5, 1_999, False),  # neither old nor much
        (10, 20, 5, 2_000, True),  # old enough
        (10, 20, 100, 1_000, True),  # enough
        (10, 20, 99, 1_000, False),
        (10, 10, 100, 9_000, True),  # the oldest is attested
        (10, 9, 100, 9_000, False),  # and here it is not: nobody may say that the data is held
        (10, 20, 5, 0, False),  # a clock behind the block's time is no age
    ],
)
def test_when_a_batch_is_due(first, attested, byte_count, now_ms, due):
    oldest = Height(first) if first is not None else None
    backlog = Backlog(oldest, Milliseconds(1_000), byte_count, Height(attested))
    assert is_due(backlog, Sealing(age_ms=1_000, bytes=100), now_ms) is due


@pytest.mark.parametrize(
    ("states", "index", "rank", "due", "money", "expected"),
    [
        ([], INDEX, 0, True, True, Gate.READY),
        ([], INDEX, 0, False, True, Gate.NOTHING_DUE),
        ([], INDEX, 1, True, True, Gate.NOT_MY_TURN),
        ([], INDEX, 0, True, False, Gate.NO_MONEY),
        ([], INDEX, 1, True, False, Gate.NOT_MY_TURN),  # money matters when it would be spent
        ([INTENT], INDEX, 0, True, True, Gate.IN_FLIGHT),
        ([SENT], INDEX, 0, False, True, Gate.IN_FLIGHT),
        ([MINED], INDEX, 1, True, True, Gate.IN_FLIGHT),
        ([CONFIRMED], INDEX, 0, True, False, Gate.IN_FLIGHT),
        ([INTENT], INDEX - 1, 0, True, True, Gate.READY),  # an older one is followed beside the next
        ([CONFIRMED], INDEX - 1, 0, True, True, Gate.READY),
        ([PARKED], INDEX, 0, True, True, Gate.READY),
        ([LOST_RACE], INDEX, 0, True, True, Gate.READY),  # the L1 took the winner back
        ([REVERTED], INDEX, 0, True, True, Gate.READY),  # once more
        ([REVERTED, REVERTED], INDEX, 0, True, True, Gate.HALTED),
        ([REVERTED, REVERTED], INDEX, 0, False, True, Gate.HALTED),
        ([REVERTED, REVERTED], INDEX - 1, 0, True, True, Gate.READY),  # the L1 moved on
        ([REVERTED, SENT], INDEX, 0, True, True, Gate.IN_FLIGHT),
    ],
)
def test_whether_a_batch_is_started(states, index, rank, due, money, expected):
    own = [attempt(state, nonce=nonce, index=index) for nonce, state in enumerate(states)]
    assert gate(replace(STANDING, rank=rank, has_money=money), own, due=due) is expected


@pytest.mark.parametrize(
    ("policy", "age_ms", "wanted"),
    [
        (L1DataPolicy.PREFER, 0, True),
        (L1DataPolicy.PREFER, 4_999, True),
        (L1DataPolicy.PREFER, 5_000, False),  # the L1 does not keep up
        (L1DataPolicy.REQUIRE, 10**9, True),
        (L1DataPolicy.HELD, 0, False),
    ],
)
def test_whether_data_goes_onto_the_l1(policy, age_ms, wanted):
    assert wants_calldata(policy, age_ms, backlog_ms=5_000) is wanted


@pytest.mark.parametrize(
    ("logged", "l1_next", "expected"),
    [
        ([], 0, 0),
        ([], 9, 9),  # the key was used for something else before
        ([(4, SENT)], 4, 5),  # not mined yet, and its nonce is used all the same
        ([(4, INTENT)], 4, 5),  # not even sent
        ([(4, FINALIZED)], 5, 5),
        ([(4, FINALIZED)], 6, 6),  # somebody used the key beside us
        ([(4, SENT), (5, INTENT)], 4, 6),
        ([(4, REVERTED), (5, LOST_RACE)], 6, 6),
        ([(4, PARKED)], 5, 5),
        ([(4, PARKED), (7, SENT)], 5, 5),  # the hole that a wrong answer left
        ([(5, SENT), (6, SENT), (8, SENT)], 5, 7),
    ],
)
def test_the_next_nonce(logged, l1_next, expected):
    assert next_nonce([attempt(state, nonce=nonce) for nonce, state in logged], l1_next) == expected


def test_fees_and_gas_have_a_margin_and_a_limit():
    assert fee_limit_wei(7_000_000_000) == 15_000_000_000
    assert fee_limit_wei(0) == 1_000_000_000
    assert gas_limit(200_000) == 250_000
    assert gas_limit(16_000_000) == gas_limit(10**12) == GAS_LIMIT_MAX == 2**24


NOT_MINED = Findings(None, None, l1_nonce=4, has_event=False, next_index=INDEX, finalized_number=50)
DONE = Findings(True, 60, l1_nonce=5, has_event=True, next_index=INDEX + 1, finalized_number=50)
REFUSED = Findings(False, 60, l1_nonce=5, has_event=False, next_index=INDEX, finalized_number=50)


@pytest.mark.parametrize("before", sorted(OPEN_ATTEMPTS))
@pytest.mark.parametrize(
    ("found", "after"),
    [
        (DONE, CONFIRMED),
        (replace(DONE, finalized_number=60), FINALIZED),
        (replace(DONE, finalized_number=59), CONFIRMED),
        (replace(DONE, has_event=False), MINED),  # the log was read before
        (replace(DONE, has_event=False, finalized_number=99), MINED),
        (replace(REFUSED, next_index=INDEX + 1), LOST_RACE),
        (replace(REFUSED, next_index=INDEX + 9), LOST_RACE),
        (REFUSED, REVERTED),
    ],
)
def test_what_a_receipt_makes_of_an_attempt(before, found, after):
    assert fate(attempt(before, index=INDEX), found) is after


@pytest.mark.parametrize(
    ("before", "l1_nonce", "after"),
    [
        (INTENT, 4, INTENT),
        (INTENT, 3, INTENT),  # another of ours is before it
        (SENT, 4, SENT),
        (INTENT, 5, PARKED),  # something else used the nonce
        (SENT, 5, PARKED),
        (MINED, 4, SENT),  # the L1 took the block back
        (CONFIRMED, 4, SENT),
        (MINED, 5, SENT),
        (CONFIRMED, 5, SENT),  # by the next look it is clear what used the nonce
    ],
)
def test_what_no_receipt_makes_of_an_attempt(before, l1_nonce, after):
    assert fate(attempt(before, nonce=4), replace(NOT_MINED, l1_nonce=l1_nonce)) is after
