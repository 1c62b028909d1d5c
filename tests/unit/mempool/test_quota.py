"""Buckets of tokens: the rate holds, the time to wait is exact, and the table of clients is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from sequencer.mempool.quota import BURST_BYTES, BURST_TX, Bucket, ClientQuotas

requests = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 5_000), st.integers(1, 50)), max_size=25)


def test_a_full_bucket_lets_in_a_burst_of_the_rate_and_one_request() -> None:
    bucket = Bucket(bytes_per_s=1_000_000, tx_per_s=1_000, burst_ms=50)
    bucket.take(65_000, 1, 0)
    assert bucket.wait_ms(0) == 0
    bucket.take(50_536, 1, 0)
    assert bucket.wait_ms(0) == 51  # 50,000 bytes overdrawn: the first is back after 51 ms
    assert bucket.wait_ms(50) == 1
    assert bucket.wait_ms(51) == 0


def test_a_small_quota_has_a_burst_of_a_few_requests_all_the_same() -> None:
    bucket = Bucket(bytes_per_s=1_000, tx_per_s=1, burst_ms=50)
    for _ in range(BURST_TX):
        assert bucket.wait_ms(0) == 0
        bucket.take(1_000, 1, 0)
    assert bucket.wait_ms(0) == 1
    bucket.take(1_600, 0, 0)
    assert bucket.wait_ms(0) == 65  # 65,600 bytes of 65,536


def test_the_scarcer_of_both_units_decides() -> None:
    bucket = Bucket(bytes_per_s=1_000_000, tx_per_s=10, burst_ms=50)
    bucket.take(10, 74, 0)
    assert bucket.wait_ms(0) == 1_001
    bucket.take(3_000_000, 0, 0)
    assert bucket.wait_ms(0) == 2_935


def test_a_rate_of_zero_bounds_nothing() -> None:
    bucket = Bucket(0, 0, 50)
    bucket.take(10**12, 10**9, 0)
    assert bucket.wait_ms(0) == 0


@given(requests, st.integers(100, 100_000), st.integers(1, 2_000), st.integers(1, 2_000))
def test_no_more_than_the_rate_is_ever_let_in(script, bytes_per_s, tx_per_s, burst_ms) -> None:
    """Over every stretch of the script: at most the rate over its length and a burst, and one request."""
    bucket, now, taken = Bucket(bytes_per_s, tx_per_s, burst_ms), 0.0, []
    for pause_ms, byte_count, tx_count in script:
        now += pause_ms
        wait_ms = bucket.wait_ms(now)
        if wait_ms:
            assert bucket.wait_ms(now + wait_ms) == 0
            assert wait_ms < 2 or bucket.wait_ms(now + wait_ms - 1.01) > 0
            continue
        bucket.take(byte_count, tx_count, now)
        taken.append((now, byte_count, tx_count))
    for start in range(len(taken)):
        for end in range(start, len(taken)):
            span_s = (taken[end][0] - taken[start][0]) / 1_000
            before_last = taken[start:end]
            bucket_bytes = max(BURST_BYTES, bytes_per_s * burst_ms / 1_000)
            bucket_tx = max(BURST_TX, tx_per_s * burst_ms / 1_000)
            assert sum(entry[1] for entry in before_last) <= bytes_per_s * span_s + bucket_bytes + 1e-6
            assert sum(entry[2] for entry in before_last) <= tx_per_s * span_s + bucket_tx + 1e-6


def test_clients_are_bounded_and_who_was_silent_longest_goes() -> None:
    quotas = ClientQuotas(1_000, 1_000, clients_max=2)
    first, second = quotas.bucket("a"), quotas.bucket("b")
    assert quotas.bucket("a") is first
    quotas.bucket("c")
    assert len(quotas) == 2
    assert quotas.bucket("a") is first
    assert quotas.bucket("b") is not second
