"""When a batch is due."""

import math

import pytest

from sequencer.mempool.bounds import MempoolBounds
from sequencer.mempool.seal import PATIENCE_MS, Backlog, OwnLane, batch_delay_ms, seal_at_mono_ms

BOUNDS = MempoolBounds()
BATCHES_MAX = 64
IDLE = OwnLane(uncommitted=0, is_syncing=False)


def seal_at(byte_count=1, since=1_000.0, last_sealed=0.0, own=IDLE, batches_max=BATCHES_MAX, is_lane_full=False):
    return seal_at_mono_ms(Backlog(byte_count, since, last_sealed, is_lane_full), own, batches_max, BOUNDS)


def test_nothing_waits_nothing_is_due() -> None:
    assert seal_at(byte_count=0) is None


def test_the_first_batch_is_due_at_once() -> None:
    at = seal_at(last_sealed=-math.inf)
    assert at is not None
    assert at <= 1_000


def test_idle_and_the_last_batch_long_ago_is_due_at_once() -> None:
    at = seal_at(since=1_000.0, last_sealed=900.0)
    assert at is not None
    assert at <= 1_000


def test_shortly_after_a_batch_the_delay_counts_from_it() -> None:
    assert seal_at(since=1_000.5, last_sealed=1_000.0) == 1_000.0 + BOUNDS.batch_delay_min_ms


def test_while_a_batch_is_syncing_the_delay_counts_from_the_oldest_that_waits() -> None:
    own = OwnLane(uncommitted=1, is_syncing=True)
    assert seal_at(since=1_010.0, last_sealed=1_000.0, own=own) == 1_010.0 + batch_delay_ms(1, BATCHES_MAX, BOUNDS)


def test_a_full_batch_does_not_wait() -> None:
    own = OwnLane(uncommitted=60, is_syncing=True)
    at = seal_at(byte_count=BOUNDS.batch_bytes_target, since=1_000.0, last_sealed=1_000.0, own=own)
    assert at == 1_000.0


@pytest.mark.parametrize("byte_count", [1, BOUNDS.batch_bytes_target])
def test_while_the_window_is_full_a_batch_waits_for_a_commit_or_for_its_patience_to_end(byte_count) -> None:
    own = OwnLane(uncommitted=20, is_syncing=False)
    at = seal_at(byte_count, since=1_000.0, last_sealed=1_000.0, own=own, is_lane_full=True)
    assert at == 1_000.0 + PATIENCE_MS
    at = seal_at(byte_count, since=5_000.0, last_sealed=1_000.0, own=own, is_lane_full=True)
    assert at is not None
    assert at <= 5_000.0


def test_at_the_lane_bound_nothing_is_due_however_much_waits() -> None:
    own = OwnLane(uncommitted=BATCHES_MAX, is_syncing=False)
    assert seal_at(byte_count=10 * BOUNDS.batch_bytes_target, own=own) is None


@pytest.mark.parametrize("batches_max", [1, 2, 8, 10, 64])
def test_the_delay_grows_with_what_is_uncommitted_and_has_no_end_at_the_bound(batches_max) -> None:
    delays = [batch_delay_ms(uncommitted, batches_max, BOUNDS) for uncommitted in range(batches_max + 2)]
    assert delays == sorted(delays)
    assert delays[0] == BOUNDS.batch_delay_min_ms or batches_max == 1
    assert delays[batches_max] == delays[batches_max + 1] == math.inf
    assert all(delay > BOUNDS.batch_delay_min_ms for delay in delays[1:])


@pytest.mark.parametrize("batches_max", [8, 64])
@pytest.mark.parametrize("commit_lag_ms", [5.0, 50.0, 500.0, 5_000.0, 50_000.0])
def test_a_steady_stream_stays_below_the_lane_bound(batches_max, commit_lag_ms) -> None:
    """One small transaction is always waiting and a batch commits `commit_lag_ms` after it was sealed."""
    now = 0.0
    out: list[float] = []
    highest = 0
    for _ in range(20 * batches_max):
        own = OwnLane(len(out), is_syncing=False)
        at = seal_at(since=now, last_sealed=now, own=own, batches_max=batches_max)
        commit_at = out[0] + commit_lag_ms if out else math.inf
        if at is not None and at <= commit_at:
            now = max(now, at)
            out.append(now)
        else:
            now = commit_at
            out.pop(0)
        highest = max(highest, len(out))
    assert highest <= batches_max
    if commit_lag_ms <= batches_max * BOUNDS.batch_delay_max_ms / 2:
        assert highest <= batches_max * 0.75  # the delay alone sees to it; the bound never has to stop anything
