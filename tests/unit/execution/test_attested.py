"""The attestation rule on short chains; `tests/property/test_attestation_rule.py` compares it with its definition."""

import pytest

from consensus.numbers import Milliseconds
from sequencer.execution.attested import Attested, due_attestation, is_open_after

ATTEST_MS = 50


def due_heights(*blocks: tuple[int, bool]) -> list[int]:
    """The attested heights of a chain of (ts_ms, is_empty) blocks behind a genesis of time 0."""
    heights, is_open, parent_ts_ms = [], False, Milliseconds(0)
    for height, (ts_ms, is_empty) in enumerate(blocks, 1):
        due = due_attestation(
            is_parent_open=is_open,
            parent_ts_ms=parent_ts_ms,
            ts_ms=Milliseconds(ts_ms),
            is_empty=is_empty,
            attest_ms=ATTEST_MS,
        )
        if due is not Attested.NOTHING:
            heights.append(height if due is Attested.BLOCK else height - 1)
        is_open, parent_ts_ms = is_open_after(due, is_empty=is_empty), Milliseconds(ts_ms)
    return heights


DATA, EMPTY = False, True


@pytest.mark.parametrize(
    ("blocks", "attested"),
    [
        ([(10, EMPTY), (60, EMPTY), (120, EMPTY)], []),  # an idle chain signs nothing
        ([(10, DATA)], []),  # not known yet: neither a boundary nor a child
        ([(10, DATA), (20, EMPTY)], [1]),  # the child shows it
        ([(50, DATA), (60, EMPTY)], [1]),  # attested at the boundary, and only once
        ([(10, DATA), (20, DATA), (30, DATA), (51, DATA)], [4]),  # under load one per ATTEST_MS
        ([(10, DATA), (20, DATA), (60, EMPTY)], [2]),  # the empty child crosses the boundary; its parent has the data
        ([(60, DATA), (110, DATA), (115, DATA), (120, EMPTY), (170, EMPTY)], [1, 2, 3]),
        ([(49, DATA), (50, DATA)], [2]),  # the boundary belongs to the new interval
        ([(400, DATA), (401, EMPTY)], [1]),  # several intervals at once are one crossing
    ],
)
def test_which_heights_are_attested(blocks: list[tuple[int, bool]], attested: list[int]) -> None:
    assert due_heights(*blocks) == attested
