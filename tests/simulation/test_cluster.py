"""Four replicas finalise in one process, on virtual time."""

import pytest

from tests.simulation.cluster import Cluster


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
