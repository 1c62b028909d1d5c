"""Four replicas finalise in one process, on virtual time."""

import pytest

from consensus.replica.state import ReplicaTiming
from tests.simulation.cluster import Cluster

QUICK = ReplicaTiming(
    view_timeout_ms=50, view_timeout_max_ms=150, min_block_interval_loaded_ms=10, idle_interval_ms=10, fetch_delay_ms=5
)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_a_batch_is_final_on_every_node(count):
    cluster = Cluster((1,) * count)
    cluster.start()
    cluster.run(300)
    digest = cluster.batch(0)
    cluster.run_until(lambda: digest in cluster.ordered)
    cluster.run(500)
    cluster.check()
    assert {len(node.committed) for node in cluster.nodes} == {len(cluster.chain_ids)}


def test_with_one_of_four_dead_batches_are_final_and_it_catches_up_later():
    cluster = Cluster()
    cluster.start(0, 1, 2)
    digests = []
    for author in (0, 1, 2, 0):
        digests.append(cluster.batch(author))
        cluster.run(200)
    cluster.run_until(lambda: set(digests) <= set(cluster.ordered))
    cluster.start(3)
    cluster.run_until(lambda: len(cluster.nodes[3].committed) >= len(cluster.chain_ids) - 1)
    cluster.check()


@pytest.mark.parametrize("rate", [0.98, 0.999, 1.0, 1.001, 1.0170328, 1.02])
def test_a_drifting_clock_never_rings_too_early(rate):
    cluster = Cluster()
    node = cluster.nodes[0]
    node.clock_rate = rate
    early = []

    def ring(at_mono_ms: float) -> None:
        if node.now().mono_ms < at_mono_ms:
            early.append(at_mono_ms)

    for number in range(2_000):
        at_mono_ms = 117.52270887447172 + number / 7
        node.at_mono(at_mono_ms, lambda at_mono_ms=at_mono_ms: ring(at_mono_ms))
    cluster.run(1_000)
    assert early == []


def test_time_that_stands_still_is_a_failure():
    cluster = Cluster()

    def again() -> None:
        cluster.after(0, again)

    again()
    with pytest.raises(AssertionError, match="time stands still"):
        cluster.run(1)


def test_a_full_power_cut_is_survived():
    cluster = Cluster()
    cluster.start()
    cluster.run(500)
    cluster.crash(0, 1, 2, 3)
    cluster.run(100)
    cluster.start()
    digest = cluster.batch(1)
    cluster.run_until(lambda: digest in cluster.ordered)
    cluster.check()


@pytest.mark.parametrize(
    "stakes",
    [(1, 1, 1), (2, 2, 2), (1, 1, 1, 1), (2, 1, 1), (1, 1, 1, 1, 1), (3, 3, 2), (4, 3, 2, 1), (3, 3, 3, 3, 1, 1)],
    ids=str,
)
def test_less_than_a_third_of_the_stake_may_be_dead_and_a_third_may_not(stakes):
    """Total stakes of 3f, 3f + 1 and 3f + 2: the quorum is the smallest stake above two thirds."""
    total, order = sum(stakes), sorted(range(len(stakes)), key=stakes.__getitem__)
    dead: list[int] = []
    for index in order:
        if 3 * sum(stakes[other] for other in [*dead, index]) < total:
            dead.append(index)
    alive = [index for index in order if index not in dead]
    cluster = Cluster(stakes, timing=QUICK)
    cluster.start(*alive)
    digest = cluster.batch(alive[0])
    cluster.run_until(lambda: digest in cluster.ordered, limit_ms=3_000)
    cluster.crash(alive[0])  # the smallest of the rest: now a third or more is dead
    cluster.run(50)
    height = len(cluster.blocks)
    cluster.run(1_000)
    assert len(cluster.blocks) == height
    cluster.start(alive[0])
    digest = cluster.batch(alive[0])
    cluster.run_until(lambda: digest in cluster.ordered, limit_ms=5_000)
    cluster.check()


@pytest.mark.parametrize("seed", range(4))
def test_batches_that_the_author_did_not_send_to_everybody_are_fetched_and_the_base_follows(seed):
    """A batch that one validator lacks is ordered all the same; it asks for it by its digest, across a restart too."""
    cluster = Cluster(seed=seed, timing=QUICK)
    cluster.start()
    cluster.withholds = lambda author, receiver, seq: author == 0 and receiver == 3
    digests = [cluster.batch(author) for author in (0, 0, 1, 0)]
    cluster.run_until(lambda: set(digests) <= set(cluster.ordered), limit_ms=3_000)
    cluster.crash(3)
    cluster.start(3)
    cluster.run(500)
    state = cluster.nodes[3].core.state
    assert state.holdings.bases() == tuple(end.seq for end in state.tree.effective.cut)
    assert state.holdings.bases() == (3, 1, 0, 0)
    cluster.check()


def test_above_16_validators_with_almost_a_third_dead():
    """Votes go to two leaders only; where both are dead, the votes in the timeouts make the QC."""
    cluster = Cluster((1,) * 17, timing=QUICK, seed=3)
    dead = {0, 1, 2, 3, 4}
    alive = [index for index in range(17) if index not in dead]
    assert any({cluster.leader(view), cluster.leader(view + 1)} <= dead for view in range(1, 9))
    cluster.start(*alive)
    digests = {cluster.batch(author) for author in alive[:3]}
    cluster.run_until(lambda: digests <= set(cluster.ordered), limit_ms=3_000)
    cluster.check()
