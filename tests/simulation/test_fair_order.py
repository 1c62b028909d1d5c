"""Inclusion and fair order in running clusters, with clocks that differ and batches that arrive when they like.

δ is the largest difference between clocks. All arrivals are read off the validators' own clocks, as stored.
"""

import itertools

import pytest

from consensus.numbers import Digest
from consensus.replica.state import ReplicaTiming
from tests.simulation.cluster import Cluster

TIMING = ReplicaTiming(view_timeout_ms=80, view_timeout_max_ms=200, idle_interval_ms=10)
SKEW_MS = 6


def traffic(seed: int, stakes: tuple[int, ...]) -> Cluster:
    """Two hundred ms of batches from everybody, each arriving anywhere within 20 ms; sometimes a proposal is lost."""
    cluster = Cluster(stakes, seed, TIMING)
    rng = cluster.random
    for node in cluster.nodes:
        node.clock_offset_ms = rng.randrange(SKEW_MS + 1)
    cluster.drops = lambda sent: type(sent.message).__name__ == "Proposal" and rng.random() < 0.05
    cluster.start()
    cluster.run(30)
    for _ in range(40):
        author = rng.randrange(cluster.count)
        cluster.batch(author, {index: rng.uniform(0.5, 20) for index in range(cluster.count)})
        cluster.run(rng.uniform(0, 10))
    wanted = {digest for lane in cluster.lanes for digest in lane}
    cluster.run_until(lambda: wanted <= set(cluster.ordered), limit_ms=5_000)
    cluster.check()
    return cluster


def arrivals(cluster: Cluster) -> dict[Digest, list[int]]:
    """Per batch, when each validator had it, by its own clock."""
    found: dict[Digest, list[int]] = {}
    for node in cluster.nodes:
        for (_, _, digest), (arrival_ms, _) in node.disk.held.items():
            found.setdefault(digest, []).append(arrival_ms)
    return found


@pytest.mark.parametrize("stakes", [(1, 1, 1, 1), (3, 2, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_what_everybody_had_more_than_delta_earlier_is_ordered_earlier(seed, stakes):
    cluster = traffic(seed, stakes)
    when, place = arrivals(cluster), {digest: place for place, digest in enumerate(cluster.ordered)}
    judged = 0
    for first, second in itertools.permutations(cluster.ordered, 2):
        if max(when[first]) + SKEW_MS < min(when[second]):
            judged += 1
            assert place[first] < place[second]
    assert judged > 300


@pytest.mark.parametrize("stakes", [(1, 1, 1, 1), (3, 2, 2, 1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_what_everybody_had_more_than_delta_before_the_parents_time_is_in_the_block(seed, stakes):
    cluster = traffic(seed, stakes)
    when, height_of = arrivals(cluster), {}
    for block in cluster.blocks:
        height_of.update({batch.digest: block.tip.header.height for batch in block.batches})
    judged = 0
    for digest, times in when.items():
        for block in cluster.blocks:
            if max(times) < block.tip.justify.body.ts_ms - SKEW_MS:
                judged += 1
                assert height_of[digest] <= block.tip.header.height
    assert judged > 100
