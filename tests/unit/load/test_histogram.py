import json
from random import Random

import pytest

from sequencer.load.histogram import BUCKETS_MAX, HALF, VALUE_MAX, Histogram, bucket_end, bucket_of


def test_buckets_follow_one_another_and_are_narrow():
    for bucket in range(BUCKETS_MAX):
        end = bucket_end(bucket)
        start = bucket_end(bucket - 1) + 1 if bucket else 0
        assert bucket_of(start) == bucket_of(end) == bucket
        assert end - start <= start / HALF
    assert bucket_of(VALUE_MAX) == BUCKETS_MAX - 1
    assert bucket_end(BUCKETS_MAX - 1) == VALUE_MAX


@pytest.mark.parametrize("seed", range(5))
def test_a_percentile_is_never_better_than_the_true_one(seed):
    random = Random(seed)
    values = sorted(int(random.expovariate(1 / 50_000)) for _ in range(2_000))
    found = Histogram()
    for value in values:
        found.record(value)
    for share in (0.001, 0.5, 0.9, 0.99, 0.999, 1.0):
        true = values[max(1, -int(-share * len(values) // 1)) - 1]
        said = found.percentile(share)
        assert said is not None
        assert true <= said <= true * (1 + 1 / HALF)
    assert found.percentile(1.0) == found.max == values[-1]
    assert found.mean == sum(values) / len(values)


def test_nothing_counted_has_no_percentile():
    assert Histogram().percentiles((0.5, 0.99)) == [None, None]
    assert Histogram().mean is None


def test_what_is_out_of_range_counts_at_the_edge():
    found = Histogram()
    found.record(-3)
    found.record(VALUE_MAX * 5)
    assert found.percentiles((0.5, 1.0)) == [0, VALUE_MAX]


def test_adding_up_and_json_keep_everything():
    whole, one, other = Histogram(), Histogram(), Histogram()
    for value in range(0, 500_000, 997):
        whole.record(value, 2)
        (one if value % 2 else other).record(value, 2)
    one.add(other)
    again = Histogram.from_json(json.loads(json.dumps(one.to_json())))
    assert again.to_json() == one.to_json() == whole.to_json()
    assert again.percentile(0.99) == whole.percentile(0.99)


def test_a_count_weighs_as_so_many_values():
    found = Histogram()
    found.record(10, 99)
    found.record(1_000)
    assert found.percentiles((0.5, 0.99, 1.0)) == [10, 10, 1_000]
