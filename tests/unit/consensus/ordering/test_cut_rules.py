"""The cut, case by case. Validators have stake 1 each unless said otherwise; with four, two are a witness set."""

from consensus.ordering.cut import Cut, determine_cut
from tests.property.lane_worlds import digest, report, validators

FOUR = (1, 1, 1, 1)
A, B = sorted((digest(0, 1), digest(0, 1, fork=1)))  # two batches of one seq; A is the smaller


def cut(*lanes: tuple[int, int, list], stakes: tuple[int, ...] = FOUR) -> Cut:
    """Each entry is one validator's report of lane 0: (sent_ms, base_seq, [(digest, age_ms)])."""
    empty: list[tuple[int, list]] = [(0, [])] * (len(stakes) - 1)
    reports = [
        report(index, sent_ms, [(base, batches), *empty]) for index, (sent_ms, base, batches) in enumerate(lanes)
    ]
    return determine_cut(reports, validators(stakes))


def arrivals(made: Cut) -> list[tuple[int, bytes, int]]:
    return [(batch.seq, batch.digest, batch.arrival_ms) for batch in made.listed[0]]


def test_a_witness_set_puts_a_batch_into_the_block_one_validator_does_not():
    one = (100, 0, [(A, 5)])
    assert arrivals(cut(one, (100, 0, []), (100, 0, []))) == []
    assert arrivals(cut(one, (100, 0, [(A, 9)]), (100, 0, []))) == [(1, A, 95)]


def test_more_than_a_witness_set_is_not_needed():
    """With a quorum of three quoted, two honest listings suffice, whatever the third says."""
    assert arrivals(cut((100, 0, [(A, 9)]), (100, 0, [(A, 9)]), (100, 0, []))) == [(1, A, 91)]


def test_the_arrival_is_when_a_witness_set_had_it_not_the_median_nor_the_last():
    made = cut((100, 0, [(A, 90)]), (100, 0, [(A, 60)]), (100, 0, [(A, 30)]), (100, 0, [(A, 1)]))
    assert arrivals(made) == [(1, A, 40)]


def test_not_listed_never_counts():
    """A report that does not list the batch is no word that it came just then: here it would be the second by 90."""
    assert arrivals(cut((100, 0, [(A, 50)]), (100, 0, [(A, 2)]), (90, 0, []), (90, 0, []))) == []
    assert arrivals(cut((100, 0, [(A, 50)]), (100, 0, [(A, 2)]), (99, 0, []), (98, 0, []))) == [(1, A, 98)]


def test_what_came_after_the_earliest_report_waits_for_the_next_block():
    """One reporter could not have listed it yet; by the rule it may come after what that one had before."""
    assert arrivals(cut((100, 0, [(A, 5)]), (100, 0, [(A, 5)]), (90, 0, []))) == []
    assert arrivals(cut((100, 0, [(A, 10)]), (100, 0, [(A, 10)]), (90, 0, []))) == [(1, A, 90)]


def test_the_horizon_is_the_smallest_sent_ms_not_the_median_nor_the_largest():
    made = cut((100, 0, [(A, 5)]), (100, 0, [(A, 5)]), (100, 0, []), (94, 0, []))
    assert arrivals(made) == []


def test_a_base_at_or_above_counts_as_support_and_as_having_had_it_always():
    made = cut((100, 1, []), (100, 0, [(A, 7)]), (100, 0, []))
    assert arrivals(made) == [(1, A, 93)]


def test_the_base_of_a_witness_set_is_where_the_lane_starts():
    made = cut((100, 4, []), (100, 3, []), (100, 0, [(A, 7)]))
    assert made.ends[0].seq == 3
    assert arrivals(made) == []


def test_a_witness_set_is_counted_in_stake():
    stakes = (4, 3, 2, 1)  # witness 4
    listing: tuple[int, int, list] = (100, 0, [(A, 7)])
    silent: tuple[int, int, list] = (100, 0, [])
    assert arrivals(cut(listing, silent, silent, stakes=stakes)) == [(1, A, 93)]
    assert arrivals(cut(silent, listing, silent, stakes=stakes)) == []
    assert arrivals(cut(silent, listing, silent, listing, stakes=stakes)) == [(1, A, 93)]


def test_of_two_live_digests_the_one_with_most_listing_stake_is_taken_then_the_smaller():
    stakes = (1,) * 7  # witness 3
    three_a, four_b = [(100, 0, [(A, 5)])] * 3, [(100, 0, [(B, 5)])] * 4
    assert arrivals(cut(*three_a, *four_b, stakes=stakes)) == [(1, B, 95)]
    assert arrivals(cut(*three_a, *four_b[:3], stakes=stakes)) == [(1, A, 95)]


def test_carry_keeps_a_lane_in_order_by_the_earliest_live_digest():
    """Batch 2 cannot arrive before batch 1; what a fork's later digest says does not delay it."""
    first, second = digest(0, 1), digest(0, 2)
    made = cut((100, 0, [(first, 10), (second, 60)]), (100, 0, [(first, 10), (second, 60)]), (100, 0, []))
    assert arrivals(made) == [(1, first, 90), (2, second, 90)]


def test_carry_takes_the_smallest_time_of_the_live_ones_not_that_of_the_chosen():
    """Else whoever forks a lane could delay what stands behind it. Batch 2 does not chain to B then: lane closed."""
    stakes = (1,) * 7
    second = digest(0, 2)
    early = [(100, 0, [(A, 50), (second, 30)])] * 3
    late = [(100, 0, [(B, 10), (second, 30)])] * 4
    assert arrivals(cut(*early, *late, stakes=stakes)) == [(1, B, 90), (2, second, 70)]


def test_no_report_is_dropped_for_what_it_listed_elsewhere():
    """Both honest reporters list batch 2, over different forks of batch 1: it counts all the same."""
    second = digest(0, 2)
    made = cut(
        (100, 0, [(A, 50), (second, 40)]),
        (100, 0, [(B, 50), (second, 40)]),
        (100, 0, [(A, 50)]),
    )
    assert arrivals(made) == [(1, A, 50), (2, second, 60)]


def test_a_gap_stops_the_lane():
    third = digest(0, 3)
    made = cut((100, 0, [(A, 5)]), (100, 0, [(A, 5)]), (100, 2, [(third, 5)]), (100, 2, [(third, 5)]))
    assert made.ends[0].seq == 3  # the base of a witness set is 2
    made = cut((100, 0, [(A, 5)]), (100, 0, [(A, 5)]), (100, 2, [(third, 5)]), (100, 0, []))
    assert made.ends[0].seq == 1


def test_what_stands_behind_a_batch_that_no_witness_set_agrees_on_waits():
    second = digest(0, 2)
    made = cut((100, 0, [(A, 5), (second, 5)]), (100, 0, [(B, 5), (second, 5)]), (100, 0, []))
    assert arrivals(made) == []
    assert made.ends[0].seq == 0


def test_an_age_before_1970_is_just_early():
    made = cut((100, 0, [(A, 4_000_000_000)]), (100, 0, [(A, 4_000_000_000)]), (100, 0, []))
    assert arrivals(made) == [(1, A, 100 - 4_000_000_000)]


def test_lanes_are_judged_apart():
    empty: list = []
    reports = [
        report(index, 100, [(0, [(digest(0, 1), 5)]), (0, empty), (7, [(digest(2, 8), 5)]), (0, empty)])
        for index in range(3)
    ]
    made = determine_cut(reports, validators(FOUR))
    assert [end.seq for end in made.ends] == [1, 0, 8, 0]
    assert (
        made.root()
        != determine_cut(reports[:0] + [report(i, 100, [(0, empty)] * 4) for i in range(3)], validators(FOUR)).root()
    )
