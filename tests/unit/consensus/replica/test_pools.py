"""Which reports a leader quotes: the smallest quorum of those with the largest W, the newest of each validator."""

import itertools
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from consensus.numbers import View
from consensus.replica.pools import ReportPool
from tests.property.lane_worlds import STAKES, report, validators


def pool_of(stakes: tuple[int, ...], sent: dict[int, int]) -> ReportPool:
    pool = ReportPool(validators(stakes))
    for index, sent_ms in sent.items():
        pool.add(report(index, sent_ms, [(0, [])] * len(stakes)))
    return pool


def quoted(stakes: tuple[int, ...], sent: dict[int, int], sent_ms_min: int = 0) -> list[int] | None:
    reports = pool_of(stakes, sent).smallest_quorum(View(1), sent_ms_min)
    return None if reports is None else [entry.validator for entry in reports]


def test_the_latest_reports_are_quoted_sorted_by_validator():
    assert quoted((1, 1, 1, 1), {0: 50, 1: 90, 2: 70, 3: 80}) == [1, 2, 3]


def test_no_report_that_the_quorum_does_not_need():
    assert quoted((4, 3, 2, 1), {0: 60, 1: 50, 2: 90, 3: 80}) == [0, 2, 3]
    assert quoted((5, 1, 1, 1), {0: 50, 1: 90, 2: 80, 3: 70}) == [0, 1]


def test_without_a_quorum_there_is_nothing_to_quote():
    assert quoted((1, 1, 1, 1), {0: 50, 1: 90}) is None
    assert quoted((1, 1, 1, 1), {0: 50, 1: 90, 2: 70}, sent_ms_min=60) is None


def test_a_newer_report_of_a_validator_replaces_the_older_one_and_not_the_other_way_round():
    pool = pool_of((1, 1, 1, 1), {0: 50})
    for sent_ms, wanted in ((40, False), (50, False), (51, True)):
        assert pool.wants(report(0, sent_ms, [(0, [])] * 4), View(1)) == wanted


@given(st.integers(0, 2**48))
def test_no_other_quorum_has_a_larger_w_and_none_of_its_members_can_be_spared(seed):
    rng = Random(seed)
    stakes = rng.choice(STAKES)
    members = rng.sample(range(len(stakes)), rng.randrange(len(stakes) + 1))
    sent = {index: rng.randrange(20) for index in members}
    chosen, made = quoted(stakes, sent), validators(stakes)
    quorums = [
        subset
        for size in range(1, len(members) + 1)
        for subset in itertools.combinations(members, size)
        if made.is_quorum(subset)
    ]
    if chosen is None:
        assert not quorums
        return
    assert made.is_quorum(chosen)
    assert min(sent[index] for index in chosen) == max(min(sent[index] for index in subset) for subset in quorums)
    assert not any(made.is_quorum(set(chosen) - {index}) for index in chosen)
