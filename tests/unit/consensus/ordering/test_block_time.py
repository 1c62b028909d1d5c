"""Block time and anchor: what a witness set says exactly, and the median that liars cannot move."""

from consensus.numbers import Hash, Milliseconds
from consensus.ordering.blocktime import block_anchor, block_time, weighted_lower_median
from consensus.signing import sha256
from consensus.vocabulary.anchor import NO_ANCHOR, Anchor
from consensus.vocabulary.report import LaneReport
from tests.property.lane_worlds import report, validators

FOUR = (1, 1, 1, 1)


def sent(*times: int) -> list[LaneReport]:
    return [report(index, time, [(0, [])] * 4) for index, time in enumerate(times)]


def anchored(*numbers: int, stakes: tuple[int, ...] = FOUR) -> Anchor:
    reports = [report(index, 0, [(0, [])] * len(stakes), number) for index, number in enumerate(numbers)]
    return block_anchor(reports, validators(stakes))


def anchor(number: int) -> Anchor:
    return Anchor(number, Hash(sha256(b"l1 %d" % number)))


def test_the_time_is_the_lower_median_of_the_reports_above_the_parents():
    assert block_time(sent(100, 140, 120), Milliseconds(50), validators(FOUR)) == 120
    assert block_time(sent(100, 110, 120, 130), Milliseconds(50), validators(FOUR)) == 110
    assert block_time(sent(100, 110, 120), Milliseconds(110), validators(FOUR)) == 111


def test_one_clock_far_ahead_moves_nothing():
    assert block_time(sent(100, 2**50, 101), Milliseconds(0), validators(FOUR)) == 101
    assert block_time(sent(2**50, 100, 101), Milliseconds(0), validators(FOUR)) == 101


def test_the_time_is_weighted_by_stake():
    assert block_time(sent(100, 110, 120), Milliseconds(0), validators((1, 1, 5, 1))) == 120


def test_the_median_is_weighted():
    assert weighted_lower_median([(10, 1), (20, 1), (30, 5)]) == 30
    assert weighted_lower_median([(10, 3), (20, 1), (30, 2)]) == 10
    assert weighted_lower_median([(10, 2), (20, 1), (30, 2)]) == 20


def test_the_anchor_is_the_highest_that_a_witness_set_reports_exactly():
    assert anchored(64, 32, 64) == anchor(64)
    assert anchored(96, 64, 64) == anchor(64)
    assert anchored(96, 64, 32) == NO_ANCHOR  # a median would have invented agreement
    assert anchored(96, 96, 64, 64) == anchor(96)


def test_an_anchor_is_a_pair_of_number_and_hash():
    reports = [report(index, 0, [(0, [])] * 4, 64) for index in range(3)]
    other = [
        LaneReport(r.epoch, r.view, r.validator, r.sent_ms, Anchor(64, Hash(bytes([i]) * 32)), r.lanes)
        for i, r in enumerate(reports)
    ]
    assert block_anchor(other, validators(FOUR)) == NO_ANCHOR


def test_a_witness_set_of_anchors_is_counted_in_stake():
    assert anchored(64, 32, 32, stakes=(4, 3, 2, 1)) == anchor(64)
    assert anchored(32, 64, 32, stakes=(4, 3, 2, 1)) == anchor(32)
