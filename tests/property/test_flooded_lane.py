"""A namespace that floods at ten times its share does not raise another's p99 by more than twice, on virtual time."""

from dataclasses import replace

import pytest

from consensus.namespace_terms import NamespaceTerms
from sequencer.mempool.bounds import MempoolBounds
from tests.committee import Committee
from tests.property.flooded_lane import FloodedLane, Load, Outcome, Pace

CALM, FLOOD = 1, 2
CHAIN = Committee(namespaces=(CALM, FLOOD)).chain
NO_CLIENT_QUOTA = MempoolBounds(client_bytes_per_s=0, client_tx_per_s=0)
MIB = 1024 * 1024
UNTIL_MS = 1_500.0


def p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times))]


def chain_with(**terms):
    calm, flood = CHAIN.namespaces
    return replace(CHAIN, namespaces=(calm, replace(flood, terms=NamespaceTerms(**terms)))).check()


def run(chain, bounds: MempoolBounds, pace: Pace, loads: list[Load]) -> Outcome:
    return FloodedLane(chain, bounds, pace).run(loads, UNTIL_MS)


def loads_for(order_bytes_per_ms: float, factor: float = 10.0) -> list[Load]:
    """The calm one takes a twentieth of what the lane takes, the other offers `factor` times a half of it.

    A request of the flood keeps the lane busy for 13 ms, whatever the lane takes.
    """
    calm_every_ms = 2 * 516 / (order_bytes_per_ms / 20)
    items = int(order_bytes_per_ms * 13 / 516)
    flood_every_ms = items * 516 / (order_bytes_per_ms / 2 * factor)
    return [Load(CALM, calm_every_ms, 2, 512), Load(FLOOD, flood_every_ms, items, 512, client="flood")]


@pytest.mark.parametrize("order_bytes_per_ms", [5_000.0, 20_000.0, 40_000.0])
def test_with_its_share_as_its_quota_a_flood_doubles_no_wait(order_bytes_per_ms) -> None:
    pace = Pace(order_bytes_per_ms=order_bytes_per_ms)
    chain = chain_with(bytes_per_s=int(order_bytes_per_ms * 1_000 / 2))
    calm, flood = loads_for(order_bytes_per_ms)
    alone, flooded = (run(chain, NO_CLIENT_QUOTA, pace, loads) for loads in ([calm], [calm, flood]))
    assert p99(flooded.synced_ms[CALM]) <= 2 * p99(alone.synced_ms[CALM])
    assert p99(flooded.committed_ms[CALM]) <= 2 * p99(alone.committed_ms[CALM])
    assert set(flooded.refused) == {(FLOOD, "quota")}
    taken = flooded.admitted[FLOOD] * 516 / UNTIL_MS
    assert 0.45 * order_bytes_per_ms <= taken <= 0.6 * order_bytes_per_ms  # its share, and the burst at the start


def test_the_quota_of_a_client_bounds_what_it_does_to_others() -> None:
    bounds = MempoolBounds(client_bytes_per_s=4_000_000)
    calm, flood = loads_for(20_000.0)
    alone, flooded = (run(CHAIN, bounds, Pace(), loads) for loads in ([calm], [calm, flood]))
    assert p99(flooded.synced_ms[CALM]) <= 2 * p99(alone.synced_ms[CALM])
    assert set(flooded.refused) == {(FLOOD, "client_quota")}
    assert flooded.admitted[FLOOD] * 516 <= 4_000_000 * (1 + UNTIL_MS / 1_000) + flood.items * 516


def test_without_a_quota_the_wait_is_bounded_by_the_window_of_the_lane() -> None:
    """Fair share decides what is in the next batch; what is in the lane already can only be kept short."""
    pace, window = Pace(order_bytes_per_ms=40_000.0), MIB
    calm, flood = loads_for(pace.order_bytes_per_ms)
    bounds = replace(NO_CLIENT_QUOTA, lane_window_bytes=window)
    alone, flooded = (run(CHAIN, bounds, pace, loads) for loads in ([calm], [calm, flood]))
    assert flooded.refused[CALM, "full"] == 0
    assert flooded.refused[FLOOD, "full"] > 0
    in_window_ms = 2 * window / pace.order_bytes_per_ms  # once in the lane, and at most as long before a batch
    assert p99(flooded.committed_ms[CALM]) <= p99(alone.committed_ms[CALM]) + in_window_ms
    assert p99(flooded.committed_ms[CALM]) <= 2 * p99(alone.committed_ms[CALM])
    assert sum(flooded.committed_ms[CALM]) < 0.2 * sum(flooded.committed_ms[FLOOD])


def test_a_share_holds_while_both_want_more_than_there_is() -> None:
    pace = Pace()
    chain = chain_with(share_permille=800)
    both = [Load(CALM, 2.6, 512, 512), Load(FLOOD, 2.6, 512, 512)]
    outcome = run(chain, NO_CLIENT_QUOTA, pace, both)
    full = NO_CLIENT_QUOTA.namespace_queue_bytes // 516  # both queues are full: what more came in had left
    left = [outcome.admitted[namespace] - full for namespace in (CALM, FLOOD)]
    assert left[1] / sum(left) == pytest.approx(0.8, abs=0.03)


def test_the_same_loads_give_the_same_times() -> None:
    first, second = (run(CHAIN, MempoolBounds(), Pace(), loads_for(20_000.0)) for _ in range(2))
    assert (first.synced_ms, first.refused) == (second.synced_ms, second.refused)
