"""Buckets of tokens: the rate holds, the time to wait is exact, and the table of clients is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from sequencer.mempool.quota import BURST_MS, Bucket, ClientQuotas

requests = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 5_000), st.integers(1, 50)), max_size=25)


def test_a_full_bucket_lets_in_a_second_of_the_rate_and_one_request() -> None:
    bucket = Bucket(bytes_per_s=1_000, tx_per_s=1_000)
    bucket.take(900, 1, 0)
    assert bucket.wait_ms(0) == 0
    bucket.take(600, 1, 0)
    assert bucket.wait_ms(0) == 501  # 500 bytes overdrawn: one is back after 501 ms
    assert bucket.wait_ms(500) == 1
    assert bucket.wait_ms(501) == 0


def test_the_scarcer_of_both_units_decides() -> None:
    bucket = Bucket(bytes_per_s=1_000_000, tx_per_s=10)
    bucket.take(10, 20, 0)
    assert bucket.wait_ms(0) == 1_001
    bucket.take(3_000_000, 0, 0)
    assert bucket.wait_ms(0) == 2_001


def test_a_rate_of_zero_bounds_nothing() -> None:
    bucket = Bucket(0, 0)
    bucket.take(10**12, 10**9, 0)
    assert bucket.wait_ms(0) == 0


@given(requests, st.integers(100, 100_000), st.integers(1, 2_000))
def test_no_more_than_the_rate_is_ever_let_in(script, bytes_per_s, tx_per_s) -> None:
    """Over every stretch of the script: at most the rate over its length and a burst, and one request."""
    bucket, now, taken = Bucket(bytes_per_s, tx_per_s), 0.0, []
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
            span_ms = taken[end][0] - taken[start][0] + BURST_MS
            before_last = taken[start:end]
            assert sum(entry[1] for entry in before_last) <= bytes_per_s * span_ms / 1_000 + 1e-6
            assert sum(entry[2] for entry in before_last) <= tx_per_s * span_ms / 1_000 + 1e-6


def test_clients_are_bounded_and_who_was_silent_longest_goes() -> None:
    quotas = ClientQuotas(1_000, 1_000, clients_max=2)
    first, second = quotas.bucket("a"), quotas.bucket("b")
    assert quotas.bucket("a") is first
    quotas.bucket("c")
    assert len(quotas) == 2
    assert quotas.bucket("a") is first
    assert quotas.bucket("b") is not second
